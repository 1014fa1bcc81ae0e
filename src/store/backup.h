/* SPDX-License-Identifier: Apache-2.0 */
/* One file that holds a whole manager: its database, and in the table backup_files the files that belong to
 * it. Needs no `struct db`, because it works beside a running manager and across versions. */
#ifndef STORE_BACKUP_H
#define STORE_BACKUP_H

#include <stddef.h>

#include "base/err.h"

struct backup_file {
    const char *name; /* without a folder */
    const char *text;
};

/* Writes `target` (mode 0600) from the database at `database`, as it is at one moment, and the files. Appears
 * whole or not at all. NOT_FOUND "no-database", REFUSED "backup-exists". */
int backup_write(const char *database, const char *target, const struct backup_file *files, size_t n_files,
                 struct err *err);
/* Makes `database`, which must not exist, from a backup, marked as restored (db_take_restored), and gives out
 * its files. CORRUPT "backup-invalid", REFUSED "schema-too-new". On failure the caller removes what was made.
 */
int backup_read(const char *backup, const char *database,
                int (*file)(const struct backup_file *file, void *user, struct err *err), void *user,
                struct err *err);

#endif
