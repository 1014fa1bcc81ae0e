/* SPDX-License-Identifier: Apache-2.0 */
#include "model/host.h"

#include <stdio.h>

#include "model/datastore_fields.h"
#include "model/move.h"

static const struct field network_fields[] = {
    TEXT(struct host_network, name, NULL),
    TEXT(struct host_network, bridge, NULL),
    COUNT(struct host_network, mtu),
    BOOL(struct host_network, isolated),
    TEXT(struct host_network, uplink, NULL),
    COUNT(struct host_network, vlan),
    TEXT(struct host_network, uplink_problem, NULL),
    FIELDS_END,
};

static const struct field facts_fields[] = {
    TEXT(struct host_facts, name, NULL),
    TEXT(struct host_facts, agent_version, NULL),
    COUNT(struct host_facts, protocol),
    COUNT(struct host_facts, hardware),
    TEXT(struct host_facts, kernel, NULL),
    TEXT(struct host_facts, dirty_source, NULL),
    TEXT(struct host_facts, dirty_detail, NULL),
    TEXT(struct host_facts, accel, NULL),
    TEXT(struct host_facts, accel_reason, NULL),
    TEXT(struct host_facts, qemu_path, NULL),
    TEXT(struct host_facts, qemu_version, NULL),
    TEXT(struct host_facts, qemu_problem, NULL),
    TEXT(struct host_facts, cgroups, NULL),
    TEXT(struct host_facts, cgroups_reason, NULL),
    TEXTS(struct host_facts, machines, NULL),
    TEXTS(struct host_facts, cpu_models, NULL),
    BOOL(struct host_facts, keeps_cpu_baseline),
    TEXT(struct host_facts, cpu_baseline, NULL),
    TEXT(struct host_facts, cpu_baseline_problem, NULL),
    COUNT(struct host_facts, cpus),
    COUNT(struct host_facts, memory_mib),
    COUNT(struct host_facts, memory_used_mib),
    COUNT(struct host_facts, memory_foreign_mib),
    COUNT(struct host_facts, memory_free_mib),
    COUNT(struct host_facts, cpu_reserved_percent),
    BOOL(struct host_facts, migration_enabled),
    COUNT(struct host_facts, migration_port),
    TEXTS(struct host_facts, migration_addresses, NULL),
    COUNT(struct host_facts, migration_mtu),
    COUNT(struct host_facts, migration_mbit),
    LIST(struct host_facts, networks, network_fields),
    LIST(struct host_facts, datastores, datastore_fields),
    COUNT(struct host_facts, n_vms),
    COUNT(struct host_facts, n_foreign_vms),
    BOOL(struct host_facts, autostart_pending),
    COUNT(struct host_facts, strangers),
    SIGNED(struct host_facts, certificate_until_ms),
    SIGNED(struct host_facts, wall_ms),
    FIELDS_END,
};

JsonObject *host_facts_to_json(const struct host_facts *facts)
{
    return fields_write(facts_fields, facts);
}

int host_facts_from_json(JsonObject *object, struct host_facts *ret_facts, struct err *err)
{
    *ret_facts = (struct host_facts){0};
    return fields_read(object, facts_fields, ret_facts, FIELDS_LENIENT, err);
}

#define CHANNEL_MBIT 8000u
#define UNKNOWN_LINK_MBIT 10000u

static uint32_t link_mbit(const struct host_facts *facts)
{
    return facts->migration_mbit ? facts->migration_mbit : UNKNOWN_LINK_MBIT;
}

uint32_t host_channels(const struct host_facts *source, const struct host_facts *destination)
{
    uint32_t mbit = MIN(link_mbit(source), link_mbit(destination));
    uint32_t by_link = mbit / CHANNEL_MBIT + (mbit % CHANNEL_MBIT != 0);
    uint32_t by_cores = MIN(source->cpus, destination->cpus) / 2;
    return CLAMP(MIN(by_link, by_cores), 1, MOVE_CHANNELS_MAX);
}

bool host_network_vlan_is_known(const struct host_network *network)
{
    return network->vlan || network->uplink[0];
}

void host_networks_text(const struct host_network *networks, uint32_t n, char ret_names[ERR_TEXT_MAX])
{
    size_t used = (size_t)snprintf(ret_names, ERR_TEXT_MAX, "%s", n ? "" : "none");
    for (uint32_t i = 0; i < n && used < ERR_TEXT_MAX; i++)
        used +=
            (size_t)snprintf(ret_names + used, ERR_TEXT_MAX - used, "%s%s", i ? ", " : "", networks[i].name);
}
