/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/facts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/autostart.h"
#include "agent/cpu_baseline.h"
#include "agent/datastores.h"
#include "agent/kvm.h"
#include "agent/network.h"
#include "agent/probe.h"
#include "agent/vm.h"
#include "base/clock.h"
#include "base/log.h"
#include "model/protocol.h"
#include "qemu/caps.h"

static void probe_accel(struct agent *agent)
{
    struct host_facts *facts = &agent->facts;
    struct err err = {0};
    agent->kvm_works = kvm_try(&agent->config.qemu_user, &agent->kvm_group, &err) == 0;
    bool by_choice = agent->config.accel != VM_ACCEL_AUTO;
    bool use_kvm = by_choice ? agent->config.accel == VM_ACCEL_KVM : agent->kvm_works && kvm_cpu_is_able();
    g_strlcpy(facts->accel, use_kvm ? "kvm" : "tcg", sizeof facts->accel);
    if (!agent->kvm_works)
        (void)snprintf(facts->accel_reason, sizeof facts->accel_reason, "%.100s: %.50s", err.message,
                       err.cause);
    else if (by_choice)
        g_strlcpy(facts->accel_reason, "set in the agent's configuration", sizeof facts->accel_reason);
    else if (use_kvm)
        g_strlcpy(facts->accel_reason, "/dev/kvm works", sizeof facts->accel_reason);
    else
        g_strlcpy(facts->accel_reason, "/dev/kvm works but the CPU shows neither vmx nor svm",
                  sizeof facts->accel_reason);
}

static uint64_t memory_mib(void)
{
    return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGE_SIZE) >> 20;
}

static void probe_host(struct agent *agent)
{
    struct host_facts *facts = &agent->facts;
    const struct agent_config *config = &agent->config;
    struct utsname kernel;
    g_strlcpy(facts->name, config->name, sizeof facts->name);
    g_strlcpy(facts->agent_version, AGENT_VERSION, sizeof facts->agent_version);
    facts->protocol = PROTOCOL;
    facts->hardware = VM_HARDWARE_NOW;
    if (uname(&kernel) == 0)
        g_strlcpy(facts->kernel, kernel.release, sizeof facts->kernel);
    g_strlcpy(facts->qemu_path, config->qemu_path, sizeof facts->qemu_path);
    facts->cpus = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
    facts->memory_mib = memory_mib();
    facts->migration_enabled = config->migration_enabled;
    facts->migration_port = config->migration_port;
    facts->n_migration_addresses = config->n_migration_addresses;
    memcpy(facts->migration_addresses, config->migration_addresses, sizeof facts->migration_addresses);
}

struct probing {
    struct agent *agent;
    void (*done)(struct agent *agent);
    struct qemu_caps caps;
};

static void on_dirty(const char *source, const char *detail, void *user)
{
    struct probing *probing = user;
    struct agent *agent = probing->agent;
    g_strlcpy(agent->facts.dirty_source, source, sizeof agent->facts.dirty_source);
    g_strlcpy(agent->facts.dirty_detail, detail, sizeof agent->facts.dirty_detail);
    if (access("/dev/userfaultfd", R_OK | W_OK) < 0) {
        g_strlcpy(agent->facts.dirty_source, "none", sizeof agent->facts.dirty_source);
        (void)snprintf(agent->facts.dirty_detail, sizeof agent->facts.dirty_detail,
                       "/dev/userfaultfd cannot be opened: %s; VMs run here and cannot be moved away",
                       strerror(errno));
    }
    log_info("host %s: QEMU %s, accel %s (%s), dirty source %s %s", agent->facts.name,
             agent->qemu ? agent->qemu->version : agent->facts.qemu_problem, agent->facts.accel,
             agent->facts.accel_reason, agent->facts.dirty_source, agent->facts.dirty_detail);
    probing->done(agent);
    g_free(probing);
}

static int newer_first(const void *one, const void *other)
{
    return strverscmp(other, one);
}

/* What `caps` owns becomes the agent's. */
static void take_qemu(struct agent *agent, struct qemu_caps *caps, const struct err *err)
{
    struct host_facts *facts = &agent->facts;
    g_clear_pointer(&agent->qemu, caps_free);
    facts->qemu_version[0] = facts->qemu_problem[0] = '\0';
    facts->n_machines = 0;
    if (err_is_set(err)) {
        (void)snprintf(facts->qemu_problem, sizeof facts->qemu_problem, "%.70s%s%.80s", err->message,
                       err->cause[0] ? ": " : "", err->cause);
        caps_clear(caps);
        cpu_baseline_describe(agent);
        return;
    }
    agent->qemu = g_memdup2(caps, sizeof *caps);
    g_strlcpy(facts->qemu_version, caps->version, sizeof facts->qemu_version);
    for (unsigned i = 0; i < caps->n_machines && facts->n_machines < HOST_MACHINES_MAX; i++)
        if (g_str_has_prefix(caps->machines[i], "pc-q35-"))
            g_strlcpy(facts->machines[facts->n_machines++], caps->machines[i], sizeof facts->machines[0]);
    qsort(facts->machines, facts->n_machines, sizeof facts->machines[0], newer_first);
    cpu_baseline_describe(agent);
}

static void on_qemu(const struct err *err, void *user)
{
    struct probing *probing = user;
    take_qemu(probing->agent, &probing->caps, err);
    probe_dirty_source(probing->agent, on_dirty, probing);
}

/* ---- QEMU was replaced while the agent runs: by a package's upgrade, or because it was missing ---- */
static void note_qemu_file(struct agent *agent)
{
    struct stat its;
    bool is_there = stat(agent->config.qemu_path, &its) == 0;
    agent->qemu_file = (struct agent_file){
        .inode = is_there ? its.st_ino : 0,
        .changed_ns = is_there ? (uint64_t)its.st_ctim.tv_sec * NS_PER_S + (uint64_t)its.st_ctim.tv_nsec : 0};
}

static void on_qemu_again(const struct err *err, void *user)
{
    struct probing *probing = user;
    struct agent *agent = probing->agent;
    take_qemu(agent, &probing->caps, err);
    agent->is_probing = false;
    log_info("host %s: the program %s changed: %s%s", agent->facts.name, agent->config.qemu_path,
             agent->qemu ? "QEMU " : "", agent->qemu ? agent->qemu->version : agent->facts.qemu_problem);
    g_free(probing);
}

static void look_at_qemu(struct agent *agent)
{
    const struct agent_file before = agent->qemu_file;
    if (agent->is_probing)
        return;
    note_qemu_file(agent);
    if (before.inode == agent->qemu_file.inode && before.changed_ns == agent->qemu_file.changed_ns)
        return;
    struct probing *probing = g_new0(struct probing, 1);
    probing->agent = agent;
    agent->is_probing = true;
    probe_qemu(agent, &probing->caps, on_qemu_again, probing);
}

void facts_probe(struct agent *agent, void (*done)(struct agent *agent))
{
    struct probing *probing = g_new0(struct probing, 1);
    probing->agent = agent;
    probing->done = done;
    probe_host(agent);
    probe_accel(agent);
    note_qemu_file(agent);
    probe_qemu(agent, &probing->caps, on_qemu, probing);
}

/* Of a QEMU that Godwit started, here or as another agent's: its memory is promised by that agent. */
#define OWN_MARK "mem-path=/proc/self/fd/"

static char *proc_file(int pid, const char *name, gsize *ret_size)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/%s", pid, name);
    char *text = NULL;
    /* It may be gone meanwhile. */
    return g_file_get_contents(path, &text, ret_size, NULL) ? text : NULL;
}

static bool is_foreign_qemu(int pid)
{
    gsize size = 0;
    g_autofree char *comm = proc_file(pid, "comm", NULL);
    if (!comm || (!g_str_has_prefix(comm, "qemu-system-") && !g_str_has_prefix(comm, "qemu-kvm")))
        return false;
    g_autofree char *arguments = proc_file(pid, "cmdline", &size);
    return arguments && !memmem(arguments, size, OWN_MARK, strlen(OWN_MARK));
}

static uint64_t resident_kib(int pid)
{
    g_autofree char *status = proc_file(pid, "status", NULL);
    const char *line = status ? strstr(status, "\nVmRSS:") : NULL;
    return line ? g_ascii_strtoull(line + strlen("\nVmRSS:"), NULL, 10) : 0;
}

/* QEMU processes of others on this machine: how many, and what they hold of its memory. */
static void count_foreign(struct host_facts *facts)
{
    g_autoptr(GDir) dir = g_dir_open("/proc", 0, NULL);
    uint64_t sum_kib = 0;
    const char *name;
    facts->n_foreign_vms = 0;
    while (dir && (name = g_dir_read_name(dir))) {
        int pid = (int)g_ascii_strtoll(name, NULL, 10);
        if (pid <= 0 || !is_foreign_qemu(pid))
            continue;
        facts->n_foreign_vms++;
        sum_kib += resident_kib(pid);
    }
    facts->memory_foreign_mib = sum_kib >> 10;
}

/* Of all links of migrations, as far as they tell. */
static uint32_t least_of_links(const struct host_facts *facts, uint32_t (*ask)(const char *address))
{
    uint32_t least = 0;
    for (uint32_t i = 0; i < facts->n_migration_addresses; i++) {
        uint32_t found = ask(facts->migration_addresses[i]);
        if (found && (!least || found < least))
            least = found;
    }
    return least;
}

/* A bridge that is not there has mtu 0: the manager says so before a VM is sent here. One that could not be
 * asked after is as it was. */
static void learn_mtu(const char *bridge, uint32_t *mtu)
{
    struct err err;
    uint32_t found;
    if (network_bridge_mtu(bridge, &found, &err) == 0)
        *mtu = found;
    else if (err.code == ERR_NOT_FOUND)
        *mtu = 0;
    else
        log_error(&err, "whether there is a bridge %s is not known", bridge);
}

void facts_now(struct agent *agent, struct host_facts *ret_facts)
{
    struct host_facts *facts = ret_facts;
    look_at_qemu(agent);
    *facts = agent->facts;
    facts->memory_used_mib = vms_memory_mib(agent);
    facts->cpu_reserved_percent = (uint32_t)vms_cpu_percent(agent);
    count_foreign(facts);
    uint64_t taken = facts->memory_used_mib + facts->memory_foreign_mib + agent->config.memory_reserve_mib;
    facts->memory_free_mib = facts->memory_mib > taken ? facts->memory_mib - taken : 0;
    facts->n_vms = g_hash_table_size(agent->vms);
    facts->autostart_pending = autostart_is_pending(agent);
    facts->wall_ms = clock_wall_ms();
    facts->migration_mbit = least_of_links(facts, network_speed_mbit);
    facts->migration_mtu = least_of_links(facts, network_mtu);
    facts->n_networks = agent->config.n_networks;
    for (uint32_t i = 0; i < facts->n_networks; i++) {
        uint32_t *last_mtu = &agent->facts.networks[i].mtu;
        learn_mtu(agent->config.networks[i].bridge, last_mtu);
        facts->networks[i] = agent->config.networks[i];
        facts->networks[i].mtu = *last_mtu;
    }
    network_learn_uplinks(facts->networks, facts->n_networks);
    datastores_now(agent, facts->datastores, &facts->n_datastores);
}
