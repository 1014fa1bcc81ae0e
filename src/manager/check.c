/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/cluster.h"
#include "model/check_table.h"
#include "model/protocol.h"

/* The first version of the protocol whose jobs know TLS. */
#define ENCRYPTION_PROTOCOL 3u
/* NTP holds clocks within milliseconds; people compare seconds. */
#define CLOCK_DIFFERENCE_MS 1000
#define SECONDS_SIZE 24
/* What vSphere asks of a vMotion link, too. */
#define LINK_MBIT_WANTED 1000

static bool is_here(const struct check_input *input)
{
    return !strcmp(input->source.name, input->destination.name);
}

/* To another datastore of its host. */
static int check_request_here(const struct check_input *input, struct err *err)
{
    if (!input->options->datastore[0])
        return check_say(err, CHECK_SAME_HOST,
                         CHECK_ARGS({"vm", input->vm->spec.name}, {"host", input->vm->host}));
    if (!input->options->pool[0])
        return 0;
    (void)err_set(err, ERR_BAD_REQUEST, "field-invalid",
                  "options.pool must be left out where only the disks of VM '%s' move", input->vm->spec.name);
    (void)err_arg(err, "member", "options.pool");
    return err_fix(err, "put it into the pool without a migration: godwit vm set %s --pool P",
                   input->vm->spec.name);
}

int check_request(const struct check_input *input, struct err *err)
{
    const struct vm_status *vm = input->vm;
    const char *name = vm->spec.name;
    const struct check_arg *args = CHECK_ARGS({"vm", name}, {"host", vm->host},
                                              {"state", vm_state_name(vm->state)}, {"problem", vm->problem});
    if (is_here(input) && check_request_here(input, err))
        return -1;
    if (is_here(input) && vm->state == VM_OFF)
        return 0;
    switch (vm->state) {
    case VM_RUNNING:
        return 0;
    case VM_OFF:
        return check_say(err, CHECK_VM_OFF, CHECK_ARGS({"vm", name}, {"host", vm->host}));
    case VM_UNKNOWN:
        return check_say(err, CHECK_HOST_DISCONNECTED,
                         CHECK_ARGS({"host", vm->host}, {"vm", name}, {"problem", input->source.problem}));
    case VM_STARTING:
    case VM_PAUSED:
    case VM_INCOMING:
        break;
    }
    return check_say(err, check_why_not_running(vm->problem), args);
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
        findings_note(findings, -1, &mismatch);
    } else if (!host->is_connected || !facts) {
        findings_say(findings, CHECK_HOST_DISCONNECTED,
                     CHECK_ARGS({"host", host->name}, {"problem", host->problem}));
    } else {
        if (!facts->migration_enabled && !is_here(input))
            findings_say(findings, CHECK_MIGRATION_DISABLED, CHECK_ARGS({"host", host->name}));
        if (facts->qemu_problem[0])
            findings_say(findings, CHECK_QEMU_MISSING,
                         CHECK_ARGS({"host", host->name}, {"problem", facts->qemu_problem}));
    }
    for (; before < findings->n; before++)
        err_place(&findings->list[before].err, "", side);
}

/* Nothing of a move depends on it; what people and programs make of the times on both sides does. */
static void clock_differs(const struct check_host *host, const char *side, struct findings *findings)
{
    int64_t ahead_ms = host->clock_ahead_ms;
    char seconds[SECONDS_SIZE], signed_ms[SECONDS_SIZE];
    if (!host->is_connected || llabs(ahead_ms) < CLOCK_DIFFERENCE_MS)
        return;
    (void)snprintf(seconds, sizeof seconds, "%.1f", (double)llabs(ahead_ms) / 1000);
    (void)snprintf(signed_ms, sizeof signed_ms, "%" PRId64, ahead_ms);
    struct err *err =
        findings_say(findings, ahead_ms > 0 ? CHECK_CLOCK_AHEAD : CHECK_CLOCK_BEHIND,
                     CHECK_ARGS({"host", host->name}, {"seconds", seconds},
                                {"direction", ahead_ms > 0 ? "ahead" : "behind"}, {"ahead_ms", signed_ms}));
    err_place(err, "", side);
}

static void link_mtu(const struct check_input *input, struct findings *findings)
{
    const struct host_facts *source = input->source.facts;
    const struct host_facts *destination = input->destination.facts;
    if (!source || !destination || !source->migration_mtu || !destination->migration_mtu ||
        source->migration_mtu == destination->migration_mtu)
        return;
    findings_say(findings, CHECK_MIGRATION_MTU_DIFFERS,
                 CHECK_ARGS({"source", source->name}, {"destination", destination->name},
                            {"source_mtu", .number = source->migration_mtu},
                            {"destination_mtu", .number = destination->migration_mtu}));
}

static void memory(const struct check_input *input, struct findings *findings)
{
    const struct host_facts *facts = input->destination.facts;
    uint64_t wanted = (uint64_t)input->vm->spec.memory_mib + input->vm->overhead_mib;
    if (facts && wanted > facts->memory_free_mib)
        findings_say(findings, CHECK_MEMORY_SHORT,
                     CHECK_ARGS({"host", input->destination.name}, {"vm", input->vm->spec.name},
                                {"needed_mib", .number = wanted},
                                {"overhead_mib", .number = input->vm->overhead_mib},
                                {"free_mib", .number = facts->memory_free_mib},
                                {"short_mib", .number = wanted - facts->memory_free_mib}));
}

static void cpu_baseline(const struct check_input *input, struct findings *findings)
{
    const struct host_facts *facts = input->destination.facts;
    char problem[ERR_TEXT_MAX];
    if (!facts)
        return;
    cluster_problem(input->cpu_baseline, facts, problem);
    if (problem[0])
        findings_say(findings, CHECK_CPU_BASELINE_UNSUPPORTED,
                     CHECK_ARGS({"host", input->destination.name}, {"vm", input->vm->spec.name},
                                {"baseline", input->cpu_baseline}, {"reason", problem}));
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
    if (!facts || !facts->n_machines || !spec->machine[0] || has_machine(facts, spec->machine))
        return;
    findings_say(findings, CHECK_MACHINE_UNKNOWN,
                 CHECK_ARGS({"vm", spec->name}, {"host", host}, {"machine", spec->machine},
                            {"qemu_version", facts->qemu_version}, {"newest_machine", facts->machines[0]},
                            {"needed_version", check_machine_version(spec->machine)},
                            {"source", input->source.name},
                            {"source_qemu_version", input->vm->qemu_version}));
}

/* Its agent would refuse it too, and not say why. */
static void hardware(const struct check_input *input, struct findings *findings)
{
    const struct host_facts *facts = input->destination.facts;
    const struct vm_spec *spec = &input->vm->spec;
    if (facts && spec->hardware > facts->hardware)
        findings_say(findings, CHECK_HARDWARE_UNKNOWN,
                     CHECK_ARGS({"vm", spec->name}, {"host", input->destination.name},
                                {"hardware", .number = spec->hardware},
                                {"host_hardware", .number = facts->hardware}));
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
    char names[ERR_TEXT_MAX];
    for (uint32_t n = 0; facts && n < input->vm->spec.n_nics; n++) {
        const char *wanted = input->vm->spec.nics[n].network;
        const struct host_network *network = find_network(facts, wanted);
        host_networks_text(facts->networks, facts->n_networks, names);
        if (!network)
            findings_say(findings, CHECK_NETWORK_MISSING,
                         CHECK_ARGS({"vm", input->vm->spec.name}, {"host", host}, {"network", wanted},
                                    {"networks", names}));
        else if (!network->mtu)
            findings_say(findings, CHECK_BRIDGE_MISSING,
                         CHECK_ARGS({"vm", input->vm->spec.name}, {"host", host}, {"network", wanted},
                                    {"bridge", network->bridge}));
    }
}

static void dirty_source(const struct check_input *input, struct findings *findings)
{
    const struct host_facts *facts = input->source.facts;
    if (!facts || strcmp(facts->dirty_source, "none") != 0)
        return;
    findings_say(findings, CHECK_DIRTY_SOURCE_NONE,
                 CHECK_ARGS({"vm", input->vm->spec.name}, {"host", input->source.name},
                            {"detail", facts->dirty_detail}));
}

static void protection(const struct check_input *input, struct findings *findings)
{
    const struct vm_spec *spec = &input->vm->spec;
    if (spec->pinned && !is_here(input))
        findings_say(findings, CHECK_VM_PINNED, CHECK_ARGS({"vm", spec->name}, {"host", input->source.name}));
    if (input->options->sync_clock && !is_here(input) && !spec->guest_agent)
        findings_say(findings, CHECK_GUEST_AGENT_MISSING, CHECK_ARGS({"vm", spec->name}));
    if (spec->held_by[0])
        findings_say(findings, CHECK_VM_HELD,
                     CHECK_ARGS({"vm", spec->name}, {"host", input->source.name}, {"holder", spec->held_by}));
}

static void maintenance(const struct check_input *input, struct findings *findings)
{
    if (input->destination.is_in_maintenance)
        findings_say(findings, CHECK_HOST_IN_MAINTENANCE,
                     CHECK_ARGS({"host", input->destination.name}, {"vm", input->vm->spec.name}));
}

static void link_speed(const struct check_host *host, const char *side, struct findings *findings)
{
    if (!host->is_connected || !host->facts || !host->facts->migration_mbit ||
        host->facts->migration_mbit >= LINK_MBIT_WANTED)
        return;
    struct err *err =
        findings_say(findings, CHECK_MIGRATION_LINK_SLOW,
                     CHECK_ARGS({"host", host->name}, {"mbit", .number = host->facts->migration_mbit}));
    err_place(err, "", side);
}

static void network_vlan(const struct check_input *input, const struct host_network *here,
                         const struct host_network *there, struct findings *findings)
{
    const char *vm = input->vm->spec.name, *source = input->source.name,
               *destination = input->destination.name;
    if (!host_network_vlan_is_known(here) || !host_network_vlan_is_known(there) || here->vlan == there->vlan)
        return;
    if (here->vlan && there->vlan)
        findings_say(findings, CHECK_NETWORK_VLAN_DIFFERS,
                     CHECK_ARGS({"vm", vm}, {"network", here->name}, {"source", source},
                                {"destination", destination}, {"bridge", there->bridge},
                                {"source_vlan", .number = here->vlan},
                                {"destination_vlan", .number = there->vlan}));
    else
        findings_say(findings, CHECK_NETWORK_VLAN_UNTAGGED,
                     CHECK_ARGS({"vm", vm}, {"network", here->name},
                                {"tagged", here->vlan ? source : destination},
                                {"untagged", here->vlan ? destination : source},
                                {"vlan", .number = here->vlan ? here->vlan : there->vlan}));
}

/* Where the VM is cut off already, it loses nothing. */
static void network_way_out(const struct check_input *input, const struct host_network *here,
                            const struct host_network *there, struct findings *findings)
{
    const char *vm = input->vm->spec.name;
    if (here->isolated || here->uplink_problem[0])
        return;
    if (there->isolated)
        findings_say(findings, CHECK_NETWORK_ISOLATED,
                     CHECK_ARGS({"vm", vm}, {"network", here->name}, {"source", input->source.name},
                                {"host", input->destination.name}, {"bridge", there->bridge}));
    else if (there->uplink_problem[0])
        findings_say(findings, CHECK_NETWORK_UPLINK_DOWN,
                     CHECK_ARGS({"vm", vm}, {"network", here->name}, {"source", input->source.name},
                                {"host", input->destination.name}, {"bridge", there->bridge},
                                {"reason", there->uplink_problem}));
}

static void network_differs(const struct check_input *input, struct findings *findings)
{
    const struct host_facts *source = input->source.facts;
    const struct host_facts *destination = input->destination.facts;
    for (uint32_t n = 0; source && destination && n < input->vm->spec.n_nics; n++) {
        const char *name = input->vm->spec.nics[n].network;
        const struct host_network *here = find_network(source, name);
        const struct host_network *there = find_network(destination, name);
        if (!here || !there || !here->mtu || !there->mtu)
            continue;
        network_way_out(input, here, there, findings);
        network_vlan(input, here, there, findings);
        if (here->mtu != there->mtu)
            findings_say(findings, CHECK_NETWORK_MTU_DIFFERS,
                         CHECK_ARGS({"vm", input->vm->spec.name}, {"network", name},
                                    {"source", input->source.name}, {"destination", input->destination.name},
                                    {"source_mtu", .number = here->mtu},
                                    {"destination_mtu", .number = there->mtu}));
    }
}

/* It moves to another datastore (storage.c). */
static bool is_leaving(const struct check_input *input, uint32_t disk)
{
    return input->options->datastore[0] && !vm_disk_is_cdrom(&input->vm->spec.disks[disk]);
}

static bool is_first_on_store(const struct check_input *input, uint32_t disk)
{
    const struct vm_spec *spec = &input->vm->spec;
    for (uint32_t i = 0; i < disk; i++)
        if (!strcmp(spec->disks[i].datastore, spec->disks[disk].datastore) && !is_leaving(input, i))
            return false;
    return spec->disks[disk].datastore[0] != '\0' && !is_leaving(input, disk);
}

/* What else is wrong with it, its host says. */
static void datastore_differs(const struct check_input *input, struct findings *findings)
{
    const struct host_facts *source = input->source.facts;
    const struct host_facts *destination = input->destination.facts;
    for (uint32_t i = 0; source && destination && i < input->vm->spec.n_disks; i++) {
        const char *name = input->vm->spec.disks[i].datastore;
        if (!is_first_on_store(input, i))
            continue;
        const struct host_datastore *here = datastore_find(source->datastores, source->n_datastores, name);
        const struct host_datastore *there =
            datastore_find(destination->datastores, destination->n_datastores, name);
        if (here && there && here->uuid[0] && there->uuid[0] && strcmp(here->uuid, there->uuid) != 0)
            findings_say(findings, CHECK_DATASTORE_DIFFERS,
                         CHECK_ARGS({"vm", input->vm->spec.name}, {"datastore", name},
                                    {"source", input->source.name}, {"destination", input->destination.name},
                                    {"source_uuid", here->uuid}, {"destination_uuid", there->uuid}));
    }
}

void check_hosts(const struct check_input *input, struct findings *findings)
{
    protection(input, findings);
    if (is_here(input)) {
        one_side(input, &input->source, "source", findings);
        findings_place(findings, "", "");
        return;
    }
    maintenance(input, findings);
    one_side(input, &input->destination, "destination", findings);
    if (input->destination.is_connected) { /* else what is known of it may be long over */
        memory(input, findings);
        machine(input, findings);
        cpu_baseline(input, findings);
        hardware(input, findings);
        network(input, findings);
        clock_differs(&input->destination, "destination", findings);
        link_speed(&input->destination, "destination", findings);
    }
    one_side(input, &input->source, "source", findings);
    dirty_source(input, findings);
    clock_differs(&input->source, "source", findings);
    link_speed(&input->source, "source", findings);
    if (input->destination.is_connected && input->source.is_connected) {
        link_mtu(input, findings);
        network_differs(input, findings);
        datastore_differs(input, findings);
    }
    findings_place(findings, "", "");
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
    return check_say(err, CHECK_MIGRATION_ADDRESSES,
                     CHECK_ARGS({"source", source->name}, {"destination", destination->name},
                                {"n_source", .number = source->n_migration_addresses},
                                {"n_destination", .number = destination->n_migration_addresses}));
}

static int cannot_encrypt(const struct host_facts *facts, const char *side, struct err *err)
{
    (void)check_say(err, CHECK_ENCRYPTION_UNKNOWN,
                    CHECK_ARGS({"host", facts->name}, {"agent_version", facts->agent_version},
                               {"agent_protocol", .number = facts->protocol},
                               {"needed_protocol", .number = ENCRYPTION_PROTOCOL}));
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
