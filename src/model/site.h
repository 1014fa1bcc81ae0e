/* SPDX-License-Identifier: Apache-2.0 */
/* What a VM meets on one side of a migration, and must find again on the other: which files its disks are,
 * which firmware it has, and what its CPU can do. Each agent describes its own side, the manager compares.
 * Plain data. */
#ifndef MODEL_SITE_H
#define MODEL_SITE_H

#include <json-glib/json-glib.h>

#include "base/err.h"
#include "model/vm.h"

#define SITE_SERIAL_MAX 128
#define SITE_VENDOR_MAX 32

/* Two hosts that see the same storage see the same of all that is set on both sides. */
struct site_disk {
    char path[MODEL_PATH_MAX]; /* as vm_disk_label */
    char kind[8];              /* "file" or "block"; "": it could not be looked at */
    uint64_t inode;            /* of a file; 0: this file system has numbers for one host only */
    int64_t born_ns;           /* of a file: when it was made, wall clock; 0: the file system does not say */
    uint64_t size;             /* of a block device, bytes */
    char serial[SITE_SERIAL_MAX]; /* of a block device: its world-wide name or serial number; "": it has none
                                   */
};

struct move_site {
    uint32_t n_disks;
    struct site_disk disks[VM_DISKS_MAX];
    struct site_disk nvram;  /* of UEFI; no path: the VM has none */
    uint64_t firmware_bytes; /* of this host's UEFI; 0: the VM has none, or it cannot be read */
    /* QEMU's names, sorted, one space between two. Source: what the guest sees; destination: what a guest can
     * have there. "": not known. */
    char cpu_features[CPU_FEATURES_MAX];
    char cpu_vendor[SITE_VENDOR_MAX]; /* who made the CPU that a guest of KVM sees; "": none does */
};

JsonObject *move_site_to_json(const struct move_site *site); /* transfer full */
/* ERR_CORRUPT "agent-answer" if it is none; an agent that says nothing (NULL) has an empty site. */
int move_site_from_json(JsonNode *node, struct move_site *ret_site, struct err *err);

/* One more at the end of the text. */
void cpu_features_add(char features[CPU_FEATURES_MAX], const char *name);
/* Of `wanted`, those that are not in `offered`; both and the result as cpu_features. */
void cpu_features_missing(const char *wanted, const char *offered, char ret_missing[CPU_FEATURES_MAX]);
/* Those that are in both. */
void cpu_features_common(const char *one, const char *other, char ret_common[CPU_FEATURES_MAX]);

#endif
