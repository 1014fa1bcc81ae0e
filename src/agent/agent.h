/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's parts and how they hang together. One main loop; everything here belongs to its thread. */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/task_log.h"
#include "model/host.h"

struct door;
struct qemu_caps;
struct cgroup;
struct shutdown;
struct autostart;
struct datastores;
struct vm;

/* A user that a child runs as. Numeric ids need no entry in the password file. */
struct agent_user {
    uid_t uid;
    gid_t gid;
};

struct datastore_config {
    char name[MODEL_NAME_MAX];
    char path[MODEL_PATH_MAX]; /* of its folder, absolute */
};

/* From the configuration file (agent/config.c). Paths are absolute. */
struct agent_config {
    char name[MODEL_NAME_MAX];
    char listen[MODEL_ADDRESS_MAX];
    uint16_t port;
    char state_dir[MODEL_PATH_MAX];   /* vms/UUID.{json,lease,journal}, tls/, pools.json, datastores.json,
                                         cpu_baseline.json, boot_id */
    char run_dir[MODEL_PATH_MAX];     /* vms/UUID/{qmp,trace}.sock, console.log, process.json */
    char libexec_dir[MODEL_PATH_MAX]; /* godwit-job, -guard, -door, -launch, -trace.so */
    char qemu_path[MODEL_PATH_MAX];
    char qemu_data_dir[MODEL_PATH_MAX]; /* -L, or "" */
    char uefi_code[MODEL_PATH_MAX];     /* firmware of VMs with UEFI */
    char uefi_vars[MODEL_PATH_MAX];     /* what their variables begin as */
    struct agent_user qemu_user;
    struct agent_user job_user;
    struct agent_user door_user;
    struct task_log_config log;
    enum vm_accel accel;         /* host default for VMs with "auto" */
    uint64_t memory_reserve_mib; /* kept for the host */
    char cgroup[MODEL_PATH_MAX]; /* control group of the VMs, below the hierarchy; "": none */
    bool migration_enabled;
    uint16_t migration_port;
    uint32_t lease_s; /* term of the lease on the config file of a VM that is sent (agent/vm_lease.h) */
    uint32_t n_migration_addresses;
    char migration_addresses[HOST_ADDRESSES_MAX][MODEL_ADDRESS_MAX];
    uint32_t n_networks;
    struct host_network networks[HOST_NETWORKS_MAX];
    uint32_t n_datastores;
    struct datastore_config datastores[HOST_DATASTORES_MAX];
};

/* Tells a file that was replaced or written from the one before. */
struct agent_file {
    uint64_t inode; /* 0: there was none */
    uint64_t changed_ns;
};

struct agent {
    struct agent_config config;
    struct host_facts facts; /* refreshed by facts.c */
    struct qemu_caps
        *qemu; /* what config.qemu_path can do (qemu/caps.h); NULL: facts.qemu_problem says why */
    struct agent_file qemu_file; /* config.qemu_path as it was when `qemu` was asked */
    bool is_probing;             /* it changed and is being asked again */
    gid_t kvm_group;             /* of /dev/kvm, which QEMU's user needs to open it; 0: none */
    bool kvm_works;              /* for QEMU's user; facts.accel_reason says why not */
    /* A QEMU that was found alive: what must be brought to an end before its guest may go on
     * (agent/storage_move.h); false: nothing, and `done` is not called. NULL: nobody asks. */
    bool (*adopting)(struct vm *vm, bool is_stopped,
                     void (*done)(struct vm *vm, const struct err *err, void *user), void *user);
    GHashTable *vms;               /* uuid -> struct vm, owned (agent/vm.h) */
    GHashTable *moves;             /* id -> struct move, owned (agent/moves.h) */
    GHashTable *forecasts;         /* id -> struct forecast, owned (agent/forecast.c) */
    GHashTable *switch_costs;      /* owned; NULL: nothing learnt yet (agent/switch_cost.h) */
    struct cgroup *cgroup;         /* agent/cgroup.h; NULL until it is opened */
    struct datastores *datastores; /* agent/datastores.h; NULL until it is opened */
    struct door *door;             /* NULL when migration is disabled (agent/door.h) */
    struct shutdown *shutdown;     /* not NULL: vms_shutdown was called, no VM starts or moves any more */
    struct autostart *autostart;   /* not NULL: a start after a boot waits for the manager's word */
};

#endif
