/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/protocol.h"

/* The first version of the protocol whose jobs know TLS. */
#define ENCRYPTION_PROTOCOL 3u
/* NTP holds clocks within milliseconds; people compare seconds. */
#define CLOCK_DIFFERENCE_MS 1000

static void name_vm(struct err *err, const char *vm, const char *host)
{
    (void)err_arg(err, "vm", "%s", vm);
    (void)err_arg(err, "host", "%s", host);
}

int check_request(const struct check_input *input, struct err *err)
{
    const struct vm_status *vm = input->vm;
    if (!strcmp(vm->host, input->destination.name)) {
        err_set(err, ERR_REFUSED, "same-host", "VM '%s' is on host '%s' already", vm->spec.name, vm->host);
        name_vm(err, vm->spec.name, vm->host);
        return err_fix(err, "choose another host as the destination");
    }
    switch (vm->state) {
    case VM_RUNNING:
        return 0;
    case VM_OFF:
        err_set(err, ERR_REFUSED, "vm-is-off", "VM '%s' is off: only a running VM can migrate",
                vm->spec.name);
        name_vm(err, vm->spec.name, vm->host);
        return err_fix(err, "start it first: godwit vm start %s", vm->spec.name);
    case VM_UNKNOWN:
        err_set(err, ERR_PEER_LOST, "host-disconnected", "host '%s', where VM '%s' is, does not answer",
                vm->host, vm->spec.name);
        name_vm(err, vm->spec.name, vm->host);
        return err_fix(err, "see that the agent on '%s' runs and that the manager reaches it", vm->host);
    case VM_STARTING:
    case VM_PAUSED:
    case VM_INCOMING:
        break;
    }
    err_set(err, ERR_REFUSED, "vm-not-running", "VM '%s' is %s: only a running VM can migrate", vm->spec.name,
            vm_state_name(vm->state));
    name_vm(err, vm->spec.name, vm->host);
    (void)err_arg(err, "state", "%s", vm_state_name(vm->state));
    if (vm->problem[0]) {
        err_cause(err, "it is %s", vm->problem);
        return err_fix(err, "see that the datastore works and has room, and let it go on: godwit vm start %s",
                       vm->spec.name);
    }
    return err_fix(err, "try again when 'godwit vm show %s' says running", vm->spec.name);
}

static void connected(const struct check_host *host, const char *side, struct findings *findings)
{
    if (host->is_connected && host->facts)
        return;
    struct err *err = findings_add(findings, FINDING_ERROR);
    err_set(err, ERR_PEER_LOST, "host-disconnected", "host '%s' (%s) does not answer", host->name, side);
    err_fix(err, "see that the agent on '%s' runs and that the manager reaches it", host->name);
    (void)err_arg(err, "host", "%s", host->name);
    err_place(err, "", side);
}

static void one_side(const struct check_input *input, const struct check_host *host, const char *side,
                     struct findings *findings)
{
    const struct host_facts *facts = host->facts;
    unsigned before = findings->n;
    struct err mismatch = {0};
    /* Such a host counts as disconnected; this is why. */
    if (facts && protocol_check(input->protocol, facts->protocol, host->name, &mismatch)) {
        (void)err_arg(&mismatch, "agent_version", "%s", facts->agent_version);
        err_place(&mismatch, "", side);
        *findings_add(findings, FINDING_ERROR) = mismatch;
        return;
    }
    connected(host, side, findings);
    if (findings->n > before)
        return;
    if (!facts->migration_enabled) {
        struct err *err = findings_add(findings, FINDING_ERROR);
        err_set(err, ERR_REFUSED, "migration-disabled", "migration is disabled on host '%s'", host->name);
        err_fix(err,
                "set enabled=true in section [migration] of the agent's configuration on '%s' and "
                "restart the agent",
                host->name);
    }
    if (facts->qemu_problem[0]) {
        struct err *err = findings_add(findings, FINDING_ERROR);
        err_set(err, ERR_REFUSED, "qemu-missing", "QEMU cannot be used on host '%s'", host->name);
        err_cause(err, "%s", facts->qemu_problem);
        (void)err_arg(err, "problem", "%s", facts->qemu_problem);
        err_fix(err, "install QEMU 7.2 or later on '%s', or name it in the agent's configuration (qemu=)",
                host->name);
    }
    for (; before < findings->n; before++) {
        (void)err_arg(&findings->list[before].err, "host", "%s", host->name);
        err_place(&findings->list[before].err, "", side);
    }
}

/* Nothing of a move depends on it; what people and programs make of the times on both sides does. */
static void clock_differs(const struct check_host *host, const char *side, struct findings *findings)
{
    int64_t ahead_ms = host->clock_ahead_ms;
    if (!host->is_connected || llabs(ahead_ms) < CLOCK_DIFFERENCE_MS)
        return;
    struct err *err = findings_add(findings, FINDING_WARNING);
    err_set(err, ERR_REFUSED, "clock-differs", "the clock of host '%s' is %.1f s %s the manager's",
            host->name, (double)llabs(ahead_ms) / 1000, ahead_ms > 0 ? "ahead of" : "behind");
    err_cause(err, "logs and certificates of both cannot be compared, and a guest that sets its clock by its "
                   "host's would jump");
    err_fix(err, "synchronise the clocks of both with NTP (chronyc tracking shows whether that works)");
    (void)err_arg(err, "host", "%s", host->name);
    (void)err_arg(err, "ahead_ms", "%" PRId64, ahead_ms);
    err_place(err, "", side);
}

static void link_mtu(const struct check_input *input, struct findings *findings)
{
    const struct host_facts *source = input->source.facts;
    const struct host_facts *destination = input->destination.facts;
    if (!source || !destination || !source->migration_mtu || !destination->migration_mtu ||
        source->migration_mtu == destination->migration_mtu)
        return;
    struct err *err = findings_add(findings, FINDING_WARNING);
    err_set(err, ERR_REFUSED, "migration-mtu-differs",
            "the migration links of hosts '%s' and '%s' have different MTUs: %u and %u", source->name,
            destination->name, source->migration_mtu, destination->migration_mtu);
    err_cause(err, "if the network between them does not pass the larger one, a connection stands and large "
                   "packets are lost");
    err_fix(err, "give the interfaces of both, and all switches between, the same MTU");
    (void)err_arg(err, "source", "%s", source->name);
    (void)err_arg(err, "destination", "%s", destination->name);
    (void)err_arg(err, "source_mtu", "%u", source->migration_mtu);
    (void)err_arg(err, "destination_mtu", "%u", destination->migration_mtu);
    err_place(err, "", "destination");
}

static void memory(const struct check_input *input, struct findings *findings)
{
    const struct host_facts *facts = input->destination.facts;
    uint64_t wanted = input->vm->spec.memory_mib;
    if (!facts || wanted <= facts->memory_free_mib)
        return;
    struct err *err = findings_add(findings, FINDING_ERROR);
    err_set(err, ERR_REFUSED, "memory-short",
            "host '%s' has %" PRIu64 " MiB of memory free, VM '%s' needs %" PRIu64 " MiB: %" PRIu64
            " MiB short",
            input->destination.name, facts->memory_free_mib, input->vm->spec.name, wanted,
            wanted - facts->memory_free_mib);
    err_fix(err, "stop or move another VM away from '%s', or choose another host", input->destination.name);
    name_vm(err, input->vm->spec.name, input->destination.name);
    (void)err_arg(err, "needed_mib", "%" PRIu64, wanted);
    (void)err_arg(err, "free_mib", "%" PRIu64, facts->memory_free_mib);
    (void)err_arg(err, "short_mib", "%" PRIu64, wanted - facts->memory_free_mib);
    err_place(err, "", "destination");
}

static bool has_machine(const struct host_facts *facts, const char *machine)
{
    for (uint32_t i = 0; i < facts->n_machines; i++)
        if (!strcmp(facts->machines[i], machine))
            return true;
    return false;
}

/* A running guest cannot change its machine type. The agent looks too, and must where it did not tell. */
static void machine(const struct check_input *input, struct findings *findings)
{
    const struct host_facts *facts = input->destination.facts;
    const struct vm_spec *spec = &input->vm->spec;
    const char *host = input->destination.name;
    const char *version = strrchr(spec->machine, '-');
    if (!facts || !facts->n_machines || !spec->machine[0] || has_machine(facts, spec->machine))
        return;
    struct err *err = findings_add(findings, FINDING_ERROR);
    err_set(err, ERR_REFUSED, "machine-unknown",
            "QEMU %s on host '%s' has no machine type %s, with which VM '%s' runs under QEMU %s on host '%s'",
            facts->qemu_version, host, spec->machine, spec->name, input->vm->qemu_version,
            input->source.name);
    err_cause(err, "the newest machine type on '%s' is %s, and a VM keeps the one of its first start", host,
              facts->machines[0]);
    err_fix(
        err,
        "install QEMU %s or later on '%s', or choose another host; a VM that shall run on both is created "
        "with --machine %s",
        version ? version + 1 : input->vm->qemu_version, host, facts->machines[0]);
    (void)err_arg(err, "vm", "%s", spec->name);
    (void)err_arg(err, "host", "%s", host);
    (void)err_arg(err, "machine", "%s", spec->machine);
    (void)err_arg(err, "qemu_version", "%s", facts->qemu_version);
    (void)err_arg(err, "source_qemu_version", "%s", input->vm->qemu_version);
    (void)err_arg(err, "newest_machine", "%s", facts->machines[0]);
    err_place(err, "", "destination");
}

static const struct host_network *find_network(const struct host_facts *facts, const char *name)
{
    for (uint32_t i = 0; i < facts->n_networks; i++)
        if (!strcmp(facts->networks[i].name, name))
            return &facts->networks[i];
    return NULL;
}

static void network(const struct check_input *input, struct findings *findings)
{
    const struct host_facts *facts = input->destination.facts;
    const char *host = input->destination.name;
    for (uint32_t n = 0; facts && n < input->vm->spec.n_nics; n++) {
        const char *wanted = input->vm->spec.nics[n].network;
        const struct host_network *network = find_network(facts, wanted);
        if (network && network->mtu)
            continue;
        struct err *err = findings_add(findings, FINDING_ERROR);
        if (network) {
            const char *bridge = network->bridge;
            err_set(err, ERR_REFUSED, "bridge-missing", "bridge %s of network %s does not exist on host %s",
                    bridge, wanted, host);
            err_fix(err,
                    "create it there (ip link add %s type bridge; ip link set %s up), or correct bridge= in "
                    "section [network %s] of the agent's configuration",
                    bridge, bridge, wanted);
            (void)err_arg(err, "bridge", "%s", bridge);
        } else {
            err_set(err, ERR_REFUSED, "network-missing", "host '%s' has no network '%s', which VM '%s' uses",
                    host, wanted, input->vm->spec.name);
            err_fix(err, "add a section [network %s] to the agent's configuration on '%s'", wanted, host);
        }
        name_vm(err, input->vm->spec.name, host);
        (void)err_arg(err, "network", "%s", wanted);
        err_place(err, "", "destination");
    }
}

static void dirty_source(const struct check_input *input, struct findings *findings)
{
    const struct host_facts *facts = input->source.facts;
    if (!facts || strcmp(facts->dirty_source, "none") != 0)
        return;
    struct err *err = findings_add(findings, FINDING_ERROR);
    err_set(err, ERR_REFUSED, "dirty-source-none",
            "host '%s' cannot track which memory a VM writes, so no VM can leave it", input->source.name);
    err_cause(err, "%s", facts->dirty_detail);
    err_fix(err, "use a kernel with userfaultfd write-protection (Linux 6.1 or later, best 6.7 or later)");
    name_vm(err, input->vm->spec.name, input->source.name);
    (void)err_arg(err, "detail", "%s", facts->dirty_detail);
    err_place(err, "", "source");
}

void check_hosts(const struct check_input *input, struct findings *findings)
{
    one_side(input, &input->destination, "destination", findings);
    if (input->destination.is_connected) { /* else what is known of it may be long over */
        memory(input, findings);
        machine(input, findings);
        network(input, findings);
        clock_differs(&input->destination, "destination", findings);
    }
    one_side(input, &input->source, "source", findings);
    dirty_source(input, findings);
    clock_differs(&input->source, "source", findings);
    if (input->destination.is_connected && input->source.is_connected)
        link_mtu(input, findings);
}

static bool is_ipv6(const char *address)
{
    return strchr(address, ':') != NULL;
}

int check_addresses(const struct host_facts *source, const struct host_facts *destination,
                    struct move_spec *spec, struct err *err)
{
    spec->port = destination->migration_port;
    spec->n_addresses = spec->n_source_addresses = 0;
    for (uint32_t d = 0; d < destination->n_migration_addresses; d++) {
        const char *to = destination->migration_addresses[d];
        /* The n-th of one host and the n-th of the other are in one network; else any of the family. */
        uint32_t n = source->n_migration_addresses;
        for (uint32_t i = 0; i < n; i++) {
            const char *from = source->migration_addresses[(d + i) % n];
            if (is_ipv6(to) != is_ipv6(from))
                continue;
            (void)snprintf(spec->addresses[spec->n_addresses++], MODEL_ADDRESS_MAX, "%s", to);
            (void)snprintf(spec->source_addresses[spec->n_source_addresses++], MODEL_ADDRESS_MAX, "%s", from);
            break;
        }
    }
    if (spec->n_addresses)
        return 0;
    err_set(err, ERR_REFUSED, "migration-addresses",
            "hosts '%s' and '%s' have no pair of migration addresses of the same family", source->name,
            destination->name);
    err_cause(err, "%u on the source, %u on the destination", source->n_migration_addresses,
              destination->n_migration_addresses);
    (void)err_arg(err, "source", "%s", source->name);
    (void)err_arg(err, "destination", "%s", destination->name);
    return err_fix(err, "set addresses= in section [migration] of both agents' configurations");
}

static int cannot_encrypt(const struct host_facts *facts, const char *side, struct err *err)
{
    (void)err_set(err, ERR_REFUSED, "encryption-unknown",
                  "encryption is required, and host '%s' (%s) cannot encrypt migrations", facts->name, side);
    (void)err_cause(err, "its agent has version %s, which speaks version %u of the protocol; %u is needed",
                    facts->agent_version, facts->protocol, ENCRYPTION_PROTOCOL);
    (void)err_fix(
        err, "upgrade the agent on host '%s', or allow the move in the clear: --encryption opportunistic",
        facts->name);
    (void)err_arg(err, "host", "%s", facts->name);
    (void)err_arg(err, "agent_protocol", "%u", facts->protocol);
    err_place(err, "", side);
    return -1;
}

int check_encryption(const struct host_facts *source, const struct host_facts *destination, const char *wish,
                     bool *ret_encrypt, struct err *err)
{
    bool is_required = !strcmp(wish, "required");
    bool source_can = source->protocol >= ENCRYPTION_PROTOCOL;
    bool destination_can = destination->protocol >= ENCRYPTION_PROTOCOL;
    *ret_encrypt = strcmp(wish, "disabled") != 0 && source_can && destination_can;
    if (is_required && !destination_can)
        return cannot_encrypt(destination, "destination", err);
    if (is_required && !source_can)
        return cannot_encrypt(source, "source", err);
    return 0;
}
