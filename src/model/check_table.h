/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checks before a migration, as data: what each finding says, whoever finds it. Manager and agents look
 * for many of the same things; the words are here only, so an operator reads one text, and a program can make
 * another of the id and the arguments. docs/troubleshooting.md lists them with what to do.
 *
 * Plain data; thread: any.
 */
#ifndef MODEL_CHECK_TABLE_H
#define MODEL_CHECK_TABLE_H

#include <stdint.h>

#include "base/err.h"
#include "model/finding.h"
#include "model/move.h"

enum check {
    /* the request */
    CHECK_SAME_HOST,
    CHECK_VM_OFF,
    CHECK_VM_NOT_RUNNING,
    CHECK_VM_STANDS, /* stopped by QEMU, which says why */
    CHECK_VM_PANICKED,
    CHECK_VM_MOVING,
    CHECK_VM_DISKS_CHANGING,
    CHECK_TASK_RUNNING,
    CHECK_FORECAST_RUNNING,
    CHECK_VM_PINNED,
    CHECK_VM_HELD,
    /* either host */
    CHECK_HOST_DISCONNECTED,
    CHECK_MIGRATION_DISABLED,
    CHECK_QEMU_MISSING,
    CHECK_CLOCK_AHEAD,
    CHECK_CLOCK_BEHIND,
    CHECK_ENCRYPTION_UNKNOWN,
    CHECK_AGENT_TOO_OLD,
    CHECK_MANAGER_TOO_OLD,
    CHECK_STATE_READ_ONLY,
    CHECK_STATE_SPACE_SHORT,
    CHECK_LOG_SPACE_SHORT,
    /* the destination */
    CHECK_HOST_IN_MAINTENANCE,
    CHECK_MEMORY_SHORT,
    CHECK_CPU_SHORT,
    CHECK_MACHINE_UNKNOWN,
    CHECK_MACHINE_MISSING, /* as an agent finds it, which does not see the source */
    CHECK_HARDWARE_UNKNOWN,
    CHECK_KVM_MISSING,
    CHECK_CPU_BASELINE_UNSUPPORTED,
    CHECK_CPU_BASELINE_REFUSED, /* as a setting that hosts cannot provide */
    CHECK_NETWORK_MISSING,
    CHECK_BRIDGE_MISSING,
    CHECK_BOOT_FILE_MISSING,
    CHECK_BOOT_FILE_UNREADABLE,
    CHECK_FIRMWARE_MISSING,
    CHECK_NVRAM_NOT_ACCESSIBLE,
    CHECK_DATASTORE_UNKNOWN,
    CHECK_DATASTORE_NOT_MOUNTED,
    CHECK_DATASTORE_UNINITIALISED,
    CHECK_DATASTORE_READ_ONLY,
    CHECK_DATASTORE_STALE,
    CHECK_DATASTORE_SPACE_SHORT,
    CHECK_DATASTORE_NO_ROOM,
    CHECK_DISK_MISSING,
    CHECK_DISK_NOT_ACCESSIBLE,
    CHECK_DISK_NOT_ANSWERING,
    CHECK_DISK_FORMAT_DIFFERS,
    CHECK_DISK_BACKING_MISSING,
    CHECK_DISK_LOCKED,
    CHECK_DISK_IS_BACKING,
    CHECK_IMAGE_EXISTS,
    CHECK_VM_EXISTS,
    CHECK_VM_OWNED_HERE,
    /* the source */
    CHECK_VM_NOT_OWNED,
    CHECK_JOURNAL_CORRUPT,
    CHECK_DIRTY_SOURCE_NONE,
    /* the manager's */
    CHECK_POOL_MEMORY_SHORT,
    CHECK_POOL_CPU_SHORT,
    /* both sides beside each other */
    CHECK_MIGRATION_ADDRESSES,
    CHECK_MIGRATION_MTU_DIFFERS,
    CHECK_MIGRATION_LINK_SLOW,
    CHECK_NETWORK_MTU_DIFFERS,
    CHECK_NETWORK_ISOLATED,
    CHECK_NETWORK_UPLINK_DOWN,
    CHECK_NETWORK_VLAN_DIFFERS,
    CHECK_NETWORK_VLAN_UNTAGGED, /* on one of both, which the switch may make right */
    /* the way from one to the other */
    CHECK_PORT_UNREACHABLE,
    CHECK_PORT_REFUSED,
    CHECK_PORT_WITHOUT_SOURCE,
    CHECK_PATH_MTU, /* and somebody on the way says so */
    CHECK_PATH_MTU_UNTOLD,
    CHECK_ADDRESS_DUPLICATE,
    /* the VM on both */
    CHECK_DATASTORE_DIFFERS,
    CHECK_DISK_DIFFERS,
    CHECK_NVRAM_DIFFERS,
    CHECK_FIRMWARE_DIFFERS,
    CHECK_CPU_FEATURES_MISSING,
    CHECK_CPU_VENDOR_DIFFERS,
    CHECK_CPU_CONFIG_MODIFIED,
    /* the guest, through its guest agent */
    CHECK_GUEST_AGENT_MISSING,
    CHECK_GUEST_NOT_NOTIFIED,
    CHECK_GUEST_CLOCK_NOT_SET,
    /* the model of a VM's CPU, when it is made, changed or started */
    CHECK_CPU_BEYOND_BASELINE,
    CHECK_CPU_MODEL_UNKNOWN,
    CHECK_COUNT
};

struct check_kind {
    const char *id; /* of the error; two checks may have one id where the cure differs */
    enum err_code code;
    enum finding_severity severity;
    enum move_phase phase; /* of a move that finds it; with side NULL that of whoever looks */
    const char *side;      /* NULL: of whoever looks */
    /* "{vm}" stands for the argument of that name. A cause of which an argument is empty is left out. */
    const char *message, *cause, *fix;
};

/* One argument: a text, or where that is NULL a number. */
struct check_arg {
    const char *name;
    const char *text;
    uint64_t number;
};
#define CHECK_ARGS(...) ((const struct check_arg[]){__VA_ARGS__, {0}})

const struct check_kind *check_kind(enum check check);
/* The first of that id, or NULL: an error that no check makes. */
const struct check_kind *check_kind_find(const char *id);
/* Of a VM that has a QEMU and does not run; `problem` as its status has it. */
enum check check_why_not_running(const char *problem);
/* Sets the error: id, texts, arguments. An argument that no text names is one all the same. Returns -1; err
 * may be NULL. */
int check_say(struct err *err, enum check check, const struct check_arg *args);
/* The same as a finding, with the severity of the table. Returns it, so that a caller can place it. */
struct err *findings_say(struct findings *findings, enum check check, const struct check_arg *args);

/* "10.0" of "pc-q35-10.0": the QEMU that brought a machine type. */
const char *check_machine_version(const char *machine);

#endif
