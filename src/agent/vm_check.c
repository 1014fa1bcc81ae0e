/* SPDX-License-Identifier: Apache-2.0 */
/* What can be said before a VM is started or received here. Every no names the thing and the cure. */
#include "agent/vm_check.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/bounded.h"
#include "agent/cpu_baseline.h"
#include "agent/disks.h"
#include "agent/facts.h"
#include "agent/journal.h"
#include "agent/network.h"
#include "agent/nvram.h"
#include "agent/open_as.h"
#include "agent/vm.h"
#include "base/cleanup.h"
#include "model/check_table.h"
#include "model/overhead.h"
#include "qemu/caps.h"

static int check_memory(struct agent *agent, const struct vm_spec *spec, const char *accel, struct err *err)
{
    struct host_facts facts;
    facts_now(agent, &facts);
    struct vm *vm = vm_find(agent, spec->uuid);
    uint64_t wanted = vm_memory_mib(spec, accel);
    uint64_t free_mib = facts.memory_free_mib + (vm && vm->process ? wanted : 0);
    if (wanted <= free_mib)
        return 0;
    return check_say(err, CHECK_MEMORY_SHORT,
                     CHECK_ARGS({"host", facts.name}, {"vm", spec->name}, {"needed_mib", .number = wanted},
                                {"overhead_mib", .number = wanted - spec->memory_mib},
                                {"free_mib", .number = free_mib},
                                {"short_mib", .number = wanted - free_mib}));
}

static int check_cpu(struct agent *agent, const struct vm_spec *spec, struct err *err)
{
    struct vm *vm = vm_find(agent, spec->uuid);
    uint64_t taken = vms_cpu_percent(agent) - (vm && vm->process ? spec->cpu_reservation_percent : 0);
    uint64_t wanted = taken + spec->cpu_reservation_percent;
    uint64_t all = 100ull * agent->facts.cpus;
    if (!spec->cpu_reservation_percent || wanted <= all)
        return 0;
    return check_say(err, CHECK_CPU_SHORT,
                     CHECK_ARGS({"host", agent->config.name}, {"vm", spec->name},
                                {"short_percent", .number = wanted - all},
                                {"needed_percent", .number = spec->cpu_reservation_percent},
                                {"host_percent", .number = all}, {"promised_percent", .number = taken}));
}

static int check_qemu(struct agent *agent, struct err *err)
{
    if (agent->qemu)
        return 0;
    return check_say(err, CHECK_QEMU_MISSING,
                     CHECK_ARGS({"host", agent->config.name}, {"problem", agent->facts.qemu_problem}));
}

/* Without QEMU that is said already. */
static int check_machine(struct agent *agent, const struct vm_spec *spec, struct err *err)
{
    if (!agent->qemu || !spec->machine[0] || caps_has_machine(agent->qemu, spec->machine))
        return 0;
    return check_say(err, CHECK_MACHINE_MISSING,
                     CHECK_ARGS({"host", agent->config.name}, {"vm", spec->name}, {"machine", spec->machine},
                                {"qemu_version", agent->qemu->version},
                                {"newest_machine", agent->qemu->machine},
                                {"needed_version", check_machine_version(spec->machine)}));
}

static int check_accel(struct agent *agent, const struct vm_spec *spec, const char *accel, struct err *err)
{
    if (strcmp(accel, "kvm") != 0 || agent->kvm_works)
        return 0;
    return check_say(
        err, CHECK_KVM_MISSING,
        CHECK_ARGS({"host", agent->config.name}, {"vm", spec->name}, {"reason", agent->facts.accel_reason}));
}

static int check_network(struct agent *agent, const struct vm_spec *spec, const char *wanted, struct err *err)
{
    const struct host_network *network = network_find(&agent->config, wanted);
    uint32_t mtu;
    if (!network) {
        char names[ERR_TEXT_MAX];
        host_networks_text(agent->config.networks, agent->config.n_networks, names);
        return check_say(err, CHECK_NETWORK_MISSING,
                         CHECK_ARGS({"host", agent->config.name}, {"vm", spec->name}, {"network", wanted},
                                    {"networks", names}));
    }
    if (network_bridge_mtu(network->bridge, &mtu, err) == 0)
        return 0;
    if (err->code != ERR_NOT_FOUND)
        return err_prefix(err, "network %s", network->name);
    return check_say(err, CHECK_BRIDGE_MISSING,
                     CHECK_ARGS({"host", agent->config.name}, {"vm", spec->name}, {"network", wanted},
                                {"bridge", network->bridge}));
}

struct boot_file {
    struct agent_user user; /* QEMU's */
    char path[MODEL_PATH_MAX];
    int errnum; /* 0: it is there */
    bool is_readable;
};

/* The kernel and the initial ramdisk are opened by the agent and again by QEMU, through its descriptor. */
static void look_at_boot_file(void *argument)
{
    struct boot_file *file = argument;
    auto_fd fd = open(file->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        file->errnum = errno;
        return;
    }
    g_autofree char *again = g_strdup_printf("/proc/self/fd/%d", fd);
    auto_fd theirs = open_as(&file->user, 0, again, O_RDONLY);
    file->is_readable = theirs >= 0;
}

static int check_boot_file(struct agent *agent, const struct vm_spec *spec, const char *what,
                           const char *path, struct err *err)
{
    struct boot_file file = {.user = agent->config.qemu_user};
    if (!path[0])
        return 0;
    (void)g_strlcpy(file.path, path, sizeof file.path);
    bool is_answered =
        !disks_is_stale(agent, path) && bounded_call(look_at_boot_file, &file, sizeof file, BOUNDED_MS);
    if (!is_answered || file.errnum)
        return check_say(
            err, CHECK_BOOT_FILE_MISSING,
            CHECK_ARGS({"host", agent->config.name}, {"vm", spec->name}, {"file", what}, {"path", path},
                       {"reason", is_answered ? g_strerror(file.errnum) : "its storage does not answer"}));
    if (file.is_readable)
        return 0;
    return check_say(err, CHECK_BOOT_FILE_UNREADABLE,
                     CHECK_ARGS({"host", agent->config.name}, {"vm", spec->name}, {"file", what},
                                {"path", path}, {"uid", .number = file.user.uid}));
}

int vm_check_owned(const struct vm *vm, struct err *err)
{
    const struct vm_spec *spec = &vm->status.spec;
    const struct agent *agent = vm->agent;
    if (journal_may_run(vm->journal))
        return 0;
    return check_say(err, vm->journal ? CHECK_VM_NOT_OWNED : CHECK_JOURNAL_CORRUPT,
                     CHECK_ARGS({"host", agent->config.name}, {"vm", spec->name}));
}

const char *vm_accel_here(const struct agent *agent, const struct vm_spec *spec)
{
    return spec->accel == VM_ACCEL_AUTO ? agent->facts.accel : vm_accel_name(spec->accel);
}

/* What makes all other questions idle. */
static int check_arrival(struct agent *agent, const struct vm_spec *spec, struct err *err)
{
    if (vm_find(agent, spec->uuid))
        return check_say(err, CHECK_VM_EXISTS, CHECK_ARGS({"host", agent->config.name}, {"vm", spec->name}));
    if (!spec->machine[0])
        return err_set(err, ERR_BAD_REQUEST, "vm-machine-missing",
                       "machine: must be set for a VM that arrives");
    return 0;
}

void vm_find_problems(struct agent *agent, const struct vm_spec *spec, const char *accel, bool as_incoming,
                      struct findings *findings)
{
    struct err err = {0};
    if (!accel[0])
        accel = vm_accel_here(agent, spec);
    if (as_incoming && check_arrival(agent, spec, &err) < 0) {
        findings_note(findings, -1, &err);
        return;
    }
    findings_note(findings, check_qemu(agent, &err), &err);
    findings_note(findings, check_machine(agent, spec, &err), &err);
    findings_note(findings, check_accel(agent, spec, accel, &err), &err);
    findings_note(findings, cpu_baseline_check_host(agent, spec, accel, &err), &err);
    /* One that runs keeps what it was started with. */
    if (!as_incoming)
        findings_note(findings, cpu_baseline_check_model(agent, spec, accel, &err), &err);
    findings_note(findings, check_memory(agent, spec, accel, &err), &err);
    findings_note(findings, check_cpu(agent, spec, &err), &err);
    for (uint32_t i = 0; i < spec->n_nics; i++)
        findings_note(findings, check_network(agent, spec, spec->nics[i].network, &err), &err);
    disks_find_problems(agent, spec, as_incoming, findings);
    findings_note(findings, check_boot_file(agent, spec, "kernel", spec->kernel, &err), &err);
    findings_note(findings, check_boot_file(agent, spec, "initrd", spec->initrd, &err), &err);
    if (spec->firmware == VM_FIRMWARE_UEFI)
        findings_note(findings, nvram_check(agent, spec, as_incoming, &err), &err);
}

int vm_check_fits(struct agent *agent, const struct vm_spec *spec, const char *accel, bool as_incoming,
                  struct err *err)
{
    g_autofree struct findings *findings = g_new0(struct findings, 1);
    vm_find_problems(agent, spec, accel, as_incoming, findings);
    return findings_first(findings, err);
}
