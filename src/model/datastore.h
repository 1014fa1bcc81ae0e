/* SPDX-License-Identifier: Apache-2.0 */
/* A datastore: a folder with images of disks, of one host or, over a network, of several. What it is says a
 * file in it, and not its path or name: each host may have mounted it somewhere else. Plain data. */
#ifndef MODEL_DATASTORE_H
#define MODEL_DATASTORE_H

#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "model/vm.h"

#define HOST_DATASTORES_MAX 16
/* Its identity: JSON with uuid and name. */
#define DATASTORE_FILE ".godwit-datastore"
#define DATASTORE_FILE_BYTES_MAX 4096

/* How a host finds it. */
#define DATASTORE_OK "ok"
#define DATASTORE_UNKNOWN "unknown"             /* not looked at yet */
#define DATASTORE_UNINITIALISED "uninitialised" /* a folder without an identity */
#define DATASTORE_MISSING "missing" /* no folder, or an empty one where the host has seen an identity */
#define DATASTORE_READ_ONLY "read-only"
#define DATASTORE_NOT_WRITABLE "not-writable" /* for QEMU's user */
#define DATASTORE_FULL "full"
#define DATASTORE_STALE "stale" /* it does not answer, or its server has forgotten it */

/* What one host says of it. */
struct host_datastore {
    char name[MODEL_NAME_MAX];
    char path[MODEL_PATH_MAX];
    char state[16];             /* one of the above */
    char reason[160];           /* why it is not ok; "" if it is */
    char uuid[MODEL_UUID_SIZE]; /* "": it has none, or that could not be read; of a stale one the last */
    char type[32];              /* of the file system: "nfs4", "ext4"; "": not known */
    uint64_t capacity_bytes;
    uint64_t free_bytes;
    int64_t since_ms;  /* wall clock: when it came into this state; 0: not known */
    uint32_t write_ms; /* how long a small durable write took last */
    bool slow;         /* ... which is too long for guests */
};

JsonObject *host_datastore_to_json(const struct host_datastore *datastore); /* transfer full */
int host_datastore_from_json(JsonObject *object, struct host_datastore *ret_datastore, struct err *err);
/* The one of that name, or NULL. */
const struct host_datastore *datastore_find(const struct host_datastore *list, uint32_t n, const char *name);
/* Guests can use what is on it. */
bool datastore_is_usable(const struct host_datastore *datastore);
/* Their names, or "none". */
void datastores_text(const struct host_datastore *list, uint32_t n, char ret_names[ERR_TEXT_MAX]);

/* The content of DATASTORE_FILE; g_free. */
char *datastore_identity_text(const char *uuid, const char *name);
/* ERR_CORRUPT "datastore-identity" if the text is none. */
int datastore_identity_read(const char *text, char ret_uuid[MODEL_UUID_SIZE], struct err *err);

#endif
