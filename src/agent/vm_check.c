/* SPDX-License-Identifier: Apache-2.0 */
/* What can be said before a VM is started or received here. Every no names the thing and the cure. */
#include "agent/vm_check.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/facts.h"
#include "agent/journal.h"
#include "agent/network.h"
#include "agent/open_as.h"
#include "agent/vm.h"
#include "base/cleanup.h"
#include "qemu/caps.h"

static void name(struct err *err, const struct agent *agent, const struct vm_spec *spec)
{
    (void)err_arg(err, "host", "%s", agent->config.name);
    (void)err_arg(err, "vm", "%s", spec->name);
}

static int check_memory(struct agent *agent, const struct vm_spec *spec, struct err *err)
{
    struct host_facts facts;
    facts_now(agent, &facts);
    struct vm *vm = vm_find(agent, spec->uuid);
    uint64_t free_mib = facts.memory_free_mib + (vm && vm->process ? spec->memory_mib : 0);
    if (spec->memory_mib <= free_mib)
        return 0;
    (void)err_set(err, ERR_REFUSED, "memory-short", "host %s is %" PRIu64 " MiB short of memory for VM %s",
                  facts.name, spec->memory_mib - free_mib, spec->name);
    (void)err_cause(err,
                    "the VM needs %u MiB; of %" PRIu64 " MiB, %" PRIu64 " are promised to VMs and %" PRIu64
                    " kept for the host",
                    spec->memory_mib, facts.memory_mib, facts.memory_used_mib,
                    agent->config.memory_reserve_mib);
    name(err, agent, spec);
    (void)err_arg(err, "needed_mib", "%u", spec->memory_mib);
    (void)err_arg(err, "free_mib", "%" PRIu64, free_mib);
    (void)err_arg(err, "short_mib", "%" PRIu64, spec->memory_mib - free_mib);
    (void)err_arg(err, "reserve_mib", "%" PRIu64, agent->config.memory_reserve_mib);
    return err_fix(err, "move or stop another VM, give this one less memory, or lower memory_reserve_mib");
}

static int check_cpu(struct agent *agent, const struct vm_spec *spec, struct err *err)
{
    struct vm *vm = vm_find(agent, spec->uuid);
    uint64_t taken = vms_cpu_percent(agent) - (vm && vm->process ? spec->cpu_reservation_percent : 0);
    uint64_t wanted = taken + spec->cpu_reservation_percent;
    uint64_t all = 100ull * agent->facts.cpus;
    if (!spec->cpu_reservation_percent || wanted <= all)
        return 0;
    (void)err_set(err, ERR_REFUSED, "cpu-short",
                  "host %s is %" PRIu64 " percent of a core short of CPU that it could reserve for VM %s",
                  agent->config.name, wanted - all, spec->name);
    (void)err_arg(err, "host", "%s", agent->config.name);
    (void)err_arg(err, "vm", "%s", spec->name);
    (void)err_arg(err, "short_percent", "%" PRIu64, wanted - all);
    (void)err_cause(err, "the VM reserves %u; of %" PRIu64 ", %" PRIu64 " are promised to VMs",
                    spec->cpu_reservation_percent, all, taken);
    return err_fix(err, "move or stop another VM, or give this one a smaller CPU reservation");
}

static int check_qemu(struct agent *agent, const struct vm_spec *spec, struct err *err)
{
    if (agent->qemu)
        return 0;
    (void)err_set(err, ERR_REFUSED, "qemu-missing", "QEMU cannot be run on host %s", agent->config.name);
    (void)err_cause(err, "%s", agent->facts.qemu_problem);
    name(err, agent, spec);
    (void)err_arg(err, "problem", "%s", agent->facts.qemu_problem);
    return err_fix(
        err, "install qemu-system-x86 (QEMU 7.2 or later), or correct 'qemu' in the agent's configuration");
}

/* Without QEMU that is said already. */
static int check_machine(struct agent *agent, const struct vm_spec *spec, struct err *err)
{
    if (!agent->qemu || !spec->machine[0] || caps_has_machine(agent->qemu, spec->machine))
        return 0;
    (void)err_set(err, ERR_REFUSED, "machine-unknown", "QEMU %s on host %s has no machine type %s",
                  agent->qemu->version, agent->config.name, spec->machine);
    (void)err_cause(err, "the newest it has is %s", agent->qemu->machine);
    name(err, agent, spec);
    (void)err_arg(err, "machine", "%s", spec->machine);
    (void)err_arg(err, "qemu_version", "%s", agent->qemu->version);
    return err_fix(err, "use a host with a QEMU that has it, usually the same or a newer version");
}

static int check_accel(struct agent *agent, const struct vm_spec *spec, const char *accel, struct err *err)
{
    if (strcmp(accel, "kvm") != 0 || agent->kvm_works)
        return 0;
    (void)err_set(err, ERR_REFUSED, "kvm-missing", "VM %s needs KVM and host %s does not offer it",
                  spec->name, agent->config.name);
    (void)err_cause(err, "%s", agent->facts.accel_reason);
    name(err, agent, spec);
    (void)err_arg(err, "reason", "%s", agent->facts.accel_reason);
    return err_fix(err, "enable virtualization in the firmware and let the QEMU user open /dev/kvm, or set "
                        "the VM's accel to tcg");
}

static int check_network(struct agent *agent, const struct vm_spec *spec, const char *wanted, struct err *err)
{
    const struct host_network *network = network_find(&agent->config, wanted);
    uint32_t mtu;
    if (!network) {
        (void)err_set(err, ERR_REFUSED, "network-missing", "host %s has no network %s", agent->config.name,
                      wanted);
        name(err, agent, spec);
        (void)err_arg(err, "network", "%s", wanted);
        return err_fix(err, "add [network %s] with a bridge to the agent's configuration", wanted);
    }
    if (network_bridge_mtu(network->bridge, &mtu, err) == 0)
        return 0;
    if (err->code != ERR_NOT_FOUND)
        return err_prefix(err, "network %s", network->name);
    (void)err_set(err, ERR_REFUSED, "bridge-missing", "bridge %s of network %s does not exist on host %s",
                  network->bridge, network->name, agent->config.name);
    name(err, agent, spec);
    (void)err_arg(err, "network", "%s", network->name);
    (void)err_arg(err, "bridge", "%s", network->bridge);
    return err_fix(err,
                   "create it (ip link add %s type bridge; ip link set %s up), or correct bridge= in "
                   "[network %s] of the agent's configuration",
                   network->bridge, network->bridge, network->name);
}

/* The kernel and the initial ramdisk are opened by the agent and again by QEMU, through its descriptor. */
static int check_boot_file(struct agent *agent, const char *what, const char *path, struct err *err)
{
    if (!path[0])
        return 0;
    auto_fd fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        int errnum = errno;
        (void)err_set(err, ERR_REFUSED, "boot-file-missing", "%s %s cannot be opened on host %s", what, path,
                      agent->config.name);
        (void)err_cause(err, "%s", strerror(errnum));
        (void)err_arg(err, "host", "%s", agent->config.name);
        (void)err_arg(err, "file", "%s", what);
        (void)err_arg(err, "path", "%s", path);
        return err_fix(err, "put the same file there on every host the VM may run on");
    }
    g_autofree char *again = g_strdup_printf("/proc/self/fd/%d", fd);
    auto_fd theirs = open_as(&agent->config.qemu_user, 0, again, O_RDONLY);
    if (theirs >= 0)
        return 0;
    (void)err_set(err, ERR_REFUSED, "boot-file-unreadable", "%s %s cannot be read by the QEMU user (uid %u)",
                  what, path, agent->config.qemu_user.uid);
    (void)err_arg(err, "host", "%s", agent->config.name);
    (void)err_arg(err, "file", "%s", what);
    (void)err_arg(err, "path", "%s", path);
    (void)err_arg(err, "uid", "%u", agent->config.qemu_user.uid);
    return err_fix(err, "chmod o+r %s", path);
}

static int check_disk(struct agent *agent, const struct vm_spec *spec, const char *path, struct err *err)
{
    const struct agent_user *user = &agent->config.qemu_user;
    auto_fd theirs = open_as(user, 0, path, O_RDWR | O_NONBLOCK);
    if (theirs >= 0)
        return 0;
    int errnum = errno;
    (void)err_set(err, ERR_REFUSED, errnum == ENOENT ? "disk-missing" : "disk-not-accessible",
                  "disk %s cannot be opened for reading and writing by the QEMU user (uid %u) on host %s",
                  path, user->uid, agent->config.name);
    (void)err_cause(err, "%s", strerror(errnum));
    name(err, agent, spec);
    (void)err_arg(err, "path", "%s", path);
    (void)err_arg(err, "uid", "%u", user->uid);
    if (errnum == ENOENT)
        return err_fix(err, "the disk must be on storage that this host sees at the same path");
    return err_fix(err, "chown %u:%u %s, and let that user pass through the folders above it", user->uid,
                   user->gid, path);
}

int vm_check_owned(const struct vm *vm, struct err *err)
{
    const struct vm_spec *spec = &vm->status.spec;
    const struct agent *agent = vm->agent;
    if (journal_may_run(vm->journal))
        return 0;
    if (vm->journal) {
        (void)err_set(err, ERR_REFUSED, "vm-not-owned", "host %s does not own VM %s", agent->config.name,
                      spec->name);
        name(err, agent, spec);
        return err_fix(err, "see with 'godwit vm ls' which host owns it");
    }
    (void)err_set(err, ERR_CORRUPT, "journal-corrupt",
                  "the journal of VM %s cannot be read: it is not known who owns the VM", spec->name);
    name(err, agent, spec);
    return err_fix(err, "see with 'godwit vm settle %s' what the hosts know; it repairs the journal too",
                   spec->name);
}

const char *vm_accel_here(const struct agent *agent, const struct vm_spec *spec)
{
    return spec->accel == VM_ACCEL_AUTO ? agent->facts.accel : vm_accel_name(spec->accel);
}

/* What makes all other questions idle. */
static int check_arrival(struct agent *agent, const struct vm_spec *spec, struct err *err)
{
    if (vm_find(agent, spec->uuid)) {
        (void)err_set(err, ERR_REFUSED, "vm-exists", "VM %s is registered on host %s already", spec->name,
                      agent->config.name);
        name(err, agent, spec);
        return err_fix(err, "see with 'godwit vm ls' which host has the VM, and move it from there");
    }
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
    findings_note(findings, check_qemu(agent, spec, &err), &err);
    findings_note(findings, check_machine(agent, spec, &err), &err);
    findings_note(findings, check_accel(agent, spec, accel, &err), &err);
    findings_note(findings, check_memory(agent, spec, &err), &err);
    findings_note(findings, check_cpu(agent, spec, &err), &err);
    for (uint32_t i = 0; i < spec->n_nics; i++)
        findings_note(findings, check_network(agent, spec, spec->nics[i].network, &err), &err);
    findings_note(findings, check_boot_file(agent, "kernel", spec->kernel, &err), &err);
    findings_note(findings, check_boot_file(agent, "initrd", spec->initrd, &err), &err);
    for (uint32_t i = 0; i < spec->n_disks; i++)
        findings_note(findings, check_disk(agent, spec, spec->disks[i].path, &err), &err);
}

int vm_check_fits(struct agent *agent, const struct vm_spec *spec, const char *accel, bool as_incoming,
                  struct err *err)
{
    g_autofree struct findings *findings = g_new0(struct findings, 1);
    vm_find_problems(agent, spec, accel, as_incoming, findings);
    return findings_first(findings, err);
}
