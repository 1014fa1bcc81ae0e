/* SPDX-License-Identifier: Apache-2.0 */
/* A virtual machine as the operator describes it: the content of its config file. Plain data, copied by
 * assignment. */
#ifndef MODEL_VM_H
#define MODEL_VM_H

#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

struct err;

#define MODEL_NAME_MAX 64
#define MODEL_UUID_SIZE 37
#define MODEL_MAC_SIZE 18
#define MODEL_PATH_MAX 512
#define MODEL_APPEND_MAX 1024
#define POOL_PATH_MAX 512 /* of a resource pool (model/pool.h) */
#define MODEL_FILE_MAX 256
#define VM_DISKS_MAX 8
#define VM_DISK_MOVES_MAX 1000000000
#define VM_NICS_MAX 8
#define VM_CPUS_MAX 64
#define VM_PROBLEM_MAX 512
#define CPU_FEATURES_MAX 4096
#define CPU_MODEL_SIZE 64

/* 0: random numbers. 1: also panic notifier, balloon, watchdog, and NICs that know the MTU of their network.
 * 2: also a SCSI controller, whether or not there is a disk at it: disks come and go while the guest runs.
 * A guest keeps what it has, wherever it runs and whatever Godwit is upgraded to; qemu/cmdline.c. */
#define VM_HARDWARE_NOW 2
#define VM_HARDWARE_HOT_DISKS 2
#define NIC_MTU_MIN 68
#define NIC_MTU_MAX 65535

enum vm_accel { VM_ACCEL_AUTO, VM_ACCEL_KVM, VM_ACCEL_TCG };
enum vm_firmware { VM_FIRMWARE_BIOS, VM_FIRMWARE_UEFI };
/* "off": no QEMU. "incoming": a shell that waits for a migration. "paused": stopped vCPUs. "unknown": its
 * host does not answer, or does not know. */
enum vm_state { VM_OFF, VM_STARTING, VM_RUNNING, VM_PAUSED, VM_INCOMING, VM_UNKNOWN };

struct vm_disk {
    /* Absolute, as every host sees it; "": it is on a datastore, or a CD drive is empty. */
    char path[MODEL_PATH_MAX];
    char format[8];                 /* "qcow2" or "raw" */
    char datastore[MODEL_NAME_MAX]; /* of the host's configuration; "": the path says it */
    char file[MODEL_FILE_MAX];      /* on the datastore, relative to its folder */
    char bus[12];                   /* "virtio-blk" or "virtio-scsi"; "": the first, of a CD the second */
    char media[8];                  /* "disk" or "cdrom", which is read-only; "": a disk */
    uint32_t slot;  /* from 1: its name, address and place in the order of boot (model/vm_disks.h); 0: the
                       slot of its place in the list */
    uint32_t moves; /* made by Godwit: how often it went to another datastore while its VM was on. Part of the
                       names that it has in QEMU (qemu/disk_device.h); 0: never */
};

struct vm_nic {
    char network[MODEL_NAME_MAX]; /* a network of the host's configuration */
    char mac[MODEL_MAC_SIZE];     /* "52:54:00:xx:xx:xx"; "" until the manager fills it in */
    uint32_t mtu;                 /* that the guest is told, 0: none; made by Godwit, anew with each start */
};

struct vm_spec {
    char uuid[MODEL_UUID_SIZE];       /* lower case; made by the manager */
    char name[MODEL_NAME_MAX];        /* unique; letters, digits, '-', '_', '.' */
    uint32_t memory_mib;              /* 64 .. 1 TiB, a multiple of 2 */
    uint32_t cpus;                    /* 1 .. VM_CPUS_MAX */
    char pool[POOL_PATH_MAX];         /* resource pool, "prod/db"; "": none (the root) */
    uint32_t cpu_reservation_percent; /* of one core, 0 .. 100 * cpus: taken from the pool and the host */
    enum vm_accel accel;
    char machine[32]; /* pinned machine version, "pc-q35-7.2"; "" until the first start fills it in */
    char cpu_model[CPU_MODEL_SIZE]; /* QEMU's name; "" until the first start without a baseline fills it in */
    char kernel[MODEL_PATH_MAX];
    char initrd[MODEL_PATH_MAX];
    char append[MODEL_APPEND_MAX];
    enum vm_firmware firmware;  /* boots the disks, in their order, unless there is a kernel */
    char nvram[MODEL_PATH_MAX]; /* UEFI: file of its variables, as every host sees it; else "" */
    uint32_t n_disks;
    struct vm_disk disks[VM_DISKS_MAX];
    uint32_t n_nics;
    struct vm_nic nics[VM_NICS_MAX];
    bool guest_agent; /* it has a port for the QEMU guest agent */
    uint32_t
        notice_timeout_s; /* its guest is told of a migration and has so long to take note, 0: it is not told;
                             at most GUEST_NOTICE_MAX_S (model/guest_report.h); needs guest_agent */
    bool autostart;       /* started by the agent after a boot of its host */
    /* Protection settings: in force at once. */
    bool pinned;                  /* it is not migrated */
    char held_by[MODEL_NAME_MAX]; /* who needs it to stay for a while, "nightly backup"; "": nobody */
    /* QEMU's names of what its model "max" or "host" has and this guest does not get, one space between two:
     * so that its CPU stays the same when it moves. Made by Godwit, anew with each start. */
    char cpu_without[CPU_FEATURES_MAX];
    /* The cluster's CPU baseline that this guest was started with, where cpu_model is open or empty; else "".
     * Made by Godwit, anew with each start. */
    char cpu_baseline[CPU_MODEL_SIZE];
    uint32_t hardware; /* which devices it has beside disks and NICs: VM_HARDWARE_NOW for a new VM */
};

/* `problem` of a guest that only a reset wakes. */
#define VM_PROBLEM_PANICKED "stopped: the guest has panicked"
#define VM_PROBLEM_BROKEN "stopped by an internal error of QEMU"

/* What an agent says of one of its VMs, and what the manager caches. */
struct vm_status {
    struct vm_spec spec;
    enum vm_state state;
    char host[MODEL_NAME_MAX];
    char accel[8];              /* what it runs on: "kvm" or "tcg", "" when off */
    char qemu_version[32];      /* "" when off */
    int pid;                    /* of QEMU, 0 when off */
    uint64_t epoch;             /* of ownership, from the journal */
    char journal[16];           /* its step, as in struct ownership; "" from an agent that does not say */
    char move[MODEL_UUID_SIZE]; /* the move that holds it, or "" */
    uint32_t
        overhead_mib;     /* of its host's memory besides its own (model/overhead.h); 0: an agent of before */
    uint64_t balloon_mib; /* memory that its guest has; 0: off, no balloon, or not known yet */
    char problem[VM_PROBLEM_MAX]; /* why its host cannot use it (state unknown), why it is paused, or "" */
    /* What its guest sees of a CPU beyond the cluster's baseline, since it was started before that was set:
     * it keeps that until it is switched off. "": nothing, or not known. */
    char cpu_beyond_baseline[CPU_FEATURES_MAX];
};

/* JSON forms. *_to_json: transfer full. *_from_json: ERR_BAD_REQUEST that names the field and what is
 * allowed; unknown members are refused for specs (a typing error must not be lost) and ignored for statuses
 * (they come from our own programs, maybe newer). */
JsonObject *vm_spec_to_json(const struct vm_spec *spec);
/* For an agent or a file, which may be read by the version before: members that it does not know are left out
 * while they are zero. */
JsonObject *vm_spec_to_lean_json(const struct vm_spec *spec);
int vm_spec_from_json(JsonObject *object, struct vm_spec *ret_spec, struct err *err);
/* All limits of the fields above in one place; called by vm_spec_from_json. uuid, machine, cpu_model and a
 * nic's mac may still be empty. Paths may hold commas: QEMU option strings need them doubled. */
int vm_spec_check(const struct vm_spec *spec, struct err *err);
/* ERR_BAD_REQUEST "cpu-without" if the new specification has what only Godwit may set (cpu_without,
 * cpu_baseline): for whoever takes one from outside. */
int vm_spec_check_new(const struct vm_spec *spec, struct err *err);
/* Changes *spec to what `changes` has, a part of the JSON form, and leaves the rest; a list is replaced as a
 * whole. ERR_BAD_REQUEST as from_json, also for an empty object ("nothing-to-change"), for the uuid, for
 * cpu_without and cpu_baseline; *spec is untouched then. */
int vm_spec_change(struct vm_spec *spec, JsonObject *changes, struct err *err);
bool vm_disk_is_cdrom(const struct vm_disk *disk);
bool vm_disk_is_scsi(const struct vm_disk *disk);
/* A CD drive without a CD. */
bool vm_disk_is_empty(const struct vm_disk *disk);
/* "DATASTORE:FILE", or the path: the same on all hosts. */
#define DISK_LABEL_MAX MODEL_PATH_MAX
void vm_disk_label(const struct vm_disk *disk, char ret_label[DISK_LABEL_MAX]);
/* The name of the first field that differs and takes effect only in a new QEMU, or NULL: name, autostart and
 * the protection settings do at once. */
const char *vm_spec_needs_restart(const struct vm_spec *before, const struct vm_spec *after);
JsonObject *vm_status_to_json(const struct vm_status *status);
int vm_status_from_json(JsonObject *object, struct vm_status *ret_status, struct err *err);

const char *
vm_state_name(enum vm_state state); /* "off", "starting", "running", "paused", "incoming", "unknown" */
const char *vm_accel_name(enum vm_accel accel); /* "auto", "kvm", "tcg" */
int vm_accel_from_name(const char *name, enum vm_accel *ret_accel);
/* The CPU model that QEMU is started with: the baseline where there is one for it. "" before the first start.
 */
const char *vm_spec_cpu(const struct vm_spec *spec);
/* True for a CPU model that is all the host has ("max", "host"): another one on each kind of host. */
bool cpu_model_is_open(const char *model);
/* True for a name usable for VMs, hosts and networks. */
bool model_name_is_valid(const char *name);
/* Writes a random version 4 UUID in lower case. */
void model_uuid_new(char uuid[MODEL_UUID_SIZE]);
/* The same UUID (version 8) for the same seed. */
void model_uuid_from(const char *seed, char uuid[MODEL_UUID_SIZE]);
bool model_uuid_is_valid(const char *uuid);
/* Writes a random address below 52:54:00. */
void model_mac_new(char mac[MODEL_MAC_SIZE]);
/* The same one for the same seed. */
void model_mac_from(const char *seed, char mac[MODEL_MAC_SIZE]);

#endif
