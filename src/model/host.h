/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent says of its host. Plain data, copied by assignment. */
#ifndef MODEL_HOST_H
#define MODEL_HOST_H

#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "model/datastore.h"
#include "model/vm.h"

#define HOST_NETWORKS_MAX 16
#define HOST_ADDRESSES_MAX 4
#define HOST_MACHINES_MAX 64
#define HOST_CPU_MODELS_MAX 96
#define MODEL_ADDRESS_MAX 64

struct host_network {
    char name[MODEL_NAME_MAX];
    char bridge[16];
    uint32_t mtu;    /* of the bridge; 0: there is no such bridge */
    bool isolated;   /* the bridge has no port but those of VMs */
    char uplink[16]; /* the port that leads out of the host; "": none, several, or an agent that does not say
                      */
    uint32_t
        vlan; /* its id outside of the host: as the configuration says, else of the uplink; 0: untagged */
    char uplink_problem[80]; /* why nothing leaves the host or comes in, or "" */
};

struct host_facts {
    char name[MODEL_NAME_MAX];
    char agent_version[32];
    uint32_t protocol;      /* version of the agent's API */
    uint32_t hardware;      /* newest that its VMs may have (VM_HARDWARE_NOW of its agent) */
    char kernel[80];        /* uname -r */
    char dirty_source[16];  /* "async", "sync" or "none" */
    char dirty_detail[160]; /* what is missing, when not "async" */
    char accel[8];          /* what a VM with accel "auto" gets here */
    char accel_reason[160];
    char qemu_path[MODEL_PATH_MAX];
    char qemu_version[32]; /* "" when QEMU cannot be run; qemu_problem says why */
    char qemu_problem[160];
    char cgroups[8]; /* "v1", "v2": pools' CPU limits and shares are enforced by that; "none": only counted */
    char cgroups_reason[160];
    uint32_t n_machines;
    char machines[HOST_MACHINES_MAX][32]; /* q35 machine types of this QEMU, newest first; none: not told */
    uint32_t n_cpu_models;
    /* QEMU's CPU models that can be had here whole, under `accel`, those with most features first; one name
     * for each. */
    char cpu_models[HOST_CPU_MODELS_MAX][32];
    bool keeps_cpu_baseline;                 /* false: an agent that does not know what that is */
    char cpu_baseline[CPU_MODEL_SIZE];       /* as the manager told it last; "": none */
    char cpu_baseline_problem[ERR_TEXT_MAX]; /* why it cannot be had here under `accel`, or "" */
    uint32_t cpus;
    uint64_t memory_mib;           /* of the machine */
    uint64_t memory_used_mib;      /* promised to VMs, shells included */
    uint64_t memory_foreign_mib;   /* what QEMU processes of others hold now */
    uint64_t memory_free_mib;      /* what a new VM may take */
    uint32_t cpu_reserved_percent; /* of one core, promised to VMs, shells included */
    bool migration_enabled;
    uint16_t migration_port;
    uint32_t n_migration_addresses;
    char migration_addresses[HOST_ADDRESSES_MAX][MODEL_ADDRESS_MAX]; /* numeric IPv4 or IPv6 */
    uint32_t migration_mtu;  /* the smallest of the links that have one of these addresses; 0: nobody knows */
    uint32_t migration_mbit; /* of the slowest link that has one of these addresses; 0: nobody knows */
    uint32_t n_networks;
    struct host_network networks[HOST_NETWORKS_MAX];
    uint32_t n_datastores;
    struct host_datastore datastores[HOST_DATASTORES_MAX];
    uint32_t n_vms;         /* ours */
    uint32_t n_foreign_vms; /* QEMU processes that are not ours: left alone */
    bool autostart_pending; /* booted, and VMs with autostart wait for the manager's word */
    uint64_t strangers;     /* connections the door turned away */
    int64_t
        certificate_until_ms; /* end of the life of the agent's certificate; 0: an agent that does not say */
    int64_t wall_ms;          /* the host's clock when it answered */
};

/* False: that its `vlan` is 0 says nothing. */
bool host_network_vlan_is_known(const struct host_network *network);
/* Their names, or "none". */
void host_networks_text(const struct host_network *networks, uint32_t n, char ret_names[ERR_TEXT_MAX]);

JsonObject *host_facts_to_json(const struct host_facts *facts); /* transfer full */
int host_facts_from_json(JsonObject *object, struct host_facts *ret_facts, struct err *err);

/* How many data channels a move between these hosts gets: one for each 8 Gbit/s of the slower link (what a
 * core reads, checks and sends, encryption included; an unknown link counts as 10 Gbit/s), but at most half
 * as many as the smaller host has cores, since the guests need them too; at least 1, at most
 * MOVE_CHANNELS_MAX. */
uint32_t host_channels(const struct host_facts *source, const struct host_facts *destination);

#endif
