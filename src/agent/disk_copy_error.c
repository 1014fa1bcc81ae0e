/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/disk_copy_error.h"

#include <string.h>

#include "base/err.h"
#include "model/vm_disks.h"

/* As QEMU says it, also of a write that another QEMU had to refuse. */
#define NO_SPACE "No space left on device"

static void say_full(const struct disk_copying *copying, const char *label, struct err *err)
{
    (void)err_set(err, ERR_REFUSED, "datastore-full",
                  "datastore '%s' of host '%s' became full while disk %s of VM '%s' was copied to it",
                  copying->datastore, copying->host, label, copying->vm);
    (void)err_arg(err, "datastore", "%s", copying->datastore);
    (void)err_arg(err, "destination", "%s", copying->host);
    (void)err_arg(err, "path", "%s", label);
    (void)err_arg(err, "vm", "%s", copying->vm);
    (void)err_fix(err,
                  "make room on it, or name another with --datastore; then migrate again. VM '%s' runs on "
                  "with the disk it had",
                  copying->vm);
}

void disk_copy_error(const struct disk_copying *copying, const char *reason, struct err *err)
{
    char label[DISK_LABEL_MAX];
    vm_disk_label(copying->disk, label);
    if (strstr(reason, NO_SPACE)) {
        say_full(copying, label, err);
    } else {
        (void)err_set(err, ERR_REFUSED, "disk-copy-failed", "the copy of disk %s of VM '%s' failed", label,
                      copying->vm);
        (void)err_arg(err, "path", "%s", label);
        (void)err_arg(err, "vm", "%s", copying->vm);
        (void)err_fix(err, "look at both datastores and at the log of QEMU; then migrate again");
    }
    if (reason[0])
        (void)err_cause(err, "%s", reason);
}
