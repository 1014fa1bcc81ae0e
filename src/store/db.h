/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manager's database: all SQL of the product sits behind this interface, one source file per object.
 *
 * Every call is synchronous (a write takes less than a millisecond and the manager is never on a guest's
 * path), durable when it returns 0, and belongs to one thread. A call that fails changed nothing. Text in
 * rows is borrowed: it is valid during the callback only. Where a call says "found", it returns 1 for a row,
 * 0 for none, -1 for an error.
 */
#ifndef STORE_DB_H
#define STORE_DB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "model/vm.h"

struct db;

/* Opens or makes the file (mode 0600) and brings its schema up to date in one transaction. REFUSED
 * "schema-too-new" when a later program wrote it; nothing is changed then. */
int db_open(const char *path, struct db **ret_db, struct err *err);
void db_close(struct db *db);
/* Several writes as one. Not nested. */
int db_begin(struct db *db, struct err *err);
int db_commit(struct db *db, struct err *err);
void db_rollback(struct db *db);

/* ---- meta: single values; of settings, and for who looks into the database ---- */
int db_meta_set(struct db *db, const char *key, const char *value, struct err *err);
/* Found: `got` was called with the value. */
int db_meta_get(struct db *db, const char *key, void (*got)(const char *value, void *user), void *user,
                struct err *err);
/* Found: the database came out of a backup, and nobody has dealt with that yet. */
int db_is_restored(struct db *db, struct err *err);
int db_restored_done(struct db *db, struct err *err);

/* ---- hosts ---- */
struct db_host {
    const char *name;
    const char *address;
    uint16_t port;
    bool enrolled;
    const char *facts; /* JSON as the agent sent it last, NULL before the first time */
    int64_t last_seen_ms;
    const char *certificate;          /* hex SHA-256 of what it may show; NULL: whatever the CA signed */
    const char *previous_certificate; /* may be shown too, until the newer one was; NULL: none */
    bool in_maintenance;
};
/* REFUSED "host-exists" if the name is taken. */
int db_host_add(struct db *db, const char *name, const char *address, uint16_t port, struct err *err);
/* As db_host_add, for a host that holds a certificate of ours already: it counts as enrolled. Of the row the
 * name, the address, the port and the certificate are taken. */
int db_host_adopt(struct db *db, const struct db_host *host, struct err *err);
int db_host_set_facts(struct db *db, const char *name, const char *facts, int64_t last_seen_ms,
                      struct err *err);
/* `previous` may be NULL. */
int db_host_set_certificates(struct db *db, const char *name, const char *certificate, const char *previous,
                             struct err *err);
int db_host_set_maintenance(struct db *db, const char *name, bool in_maintenance, struct err *err);
/* Removes its VM cache and its enrolments as well. */
int db_host_remove(struct db *db, const char *name, struct err *err);
int db_host_list(struct db *db, void (*row)(const struct db_host *host, void *user), void *user,
                 struct err *err);

/* ---- vms: what each host said last ---- */
struct db_vm {
    const char *uuid;
    const char *host;
    const char *status; /* JSON of a vm_status */
};
int db_vm_put(struct db *db, const struct db_vm *vm, struct err *err);
int db_vm_remove(struct db *db, const char *uuid, const char *host, struct err *err);
int db_vm_list(struct db *db, void (*row)(const struct db_vm *vm, void *user), void *user, struct err *err);

/* ---- settlements: the operator's word on who owns a VM, until every host has heard of it ---- */
int db_settlement_put(struct db *db, const char *uuid, const char *document, struct err *err);
int db_settlement_remove(struct db *db, const char *uuid, struct err *err);
int db_settlement_list(struct db *db, void (*row)(const char *uuid, const char *document, void *user),
                       void *user, struct err *err);

/* ---- resource pools ---- */
/* Inserts or replaces; `spec` is the JSON of a pool_spec. */
int db_pool_put(struct db *db, const char *path, const char *spec, struct err *err);
int db_pool_remove(struct db *db, const char *path, struct err *err);
/* By path. */
int db_pool_list(struct db *db, void (*row)(const char *path, const char *spec, void *user), void *user,
                 struct err *err);

/* ---- how long history is kept ---- */
struct db_retention {
    uint64_t keep;     /* so many of the newest stay */
    int64_t oldest_ms; /* and none from before that */
    unsigned limit;    /* rows that one call may remove: it keeps everything else waiting */
};

/* ---- tasks ---- */
struct db_task {
    const char *id;
    uint64_t number;        /* order of creation; given by db_task_next_number */
    const char *client_key; /* NULL if the client gave none */
    bool final;
    const char *document; /* the public JSON, without its timeline */
    const char *timeline; /* JSON; not in lists (NULL) */
    const char
        *internals; /* JSON that only the task's own code reads; holds no secret; not in lists (NULL) */
    /* By which it is found; not given back. */
    const char *state, *vm, *vm_uuid, *source, *destination, *user;
    int64_t created_ms, ended_ms; /* 0 while it is open */
};
int db_task_next_number(struct db *db, uint64_t *ret_number, struct err *err);
/* Inserts, or replaces what changes in a task's life. */
int db_task_put(struct db *db, const struct db_task *task, struct err *err);
typedef void (*db_task_row)(const struct db_task *task, void *user);
/* Found. */
int db_task_get(struct db *db, const char *id, db_task_row row, void *user, struct err *err);
int db_task_get_by_key(struct db *db, const char *client_key, db_task_row row, void *user, struct err *err);
/* Texts: "" = any. Times of creation: 0 = any. */
struct db_task_filter {
    char before[MODEL_UUID_SIZE]; /* only those made before that task */
    char vm[MODEL_NAME_MAX];      /* a UUID, else the name as it was then */
    char host[MODEL_NAME_MAX];    /* source or destination */
    char state[MODEL_NAME_MAX];
    char user[MODEL_NAME_MAX];
    int64_t since_ms, until_ms;
    unsigned limit;
};
/* Newest first, without timeline and internals. */
int db_task_list(struct db *db, const struct db_task_filter *filter, db_task_row row, void *user,
                 struct err *err);
/* Those not final, oldest first. */
int db_task_list_open(struct db *db, db_task_row row, void *user, struct err *err);
/* Removes final ones, oldest first; how many, or -1. Of the newest `keep` (open ones count) none goes for its
 * number, and the age is from the end on. */
int db_task_prune(struct db *db, const struct db_retention *retention, struct err *err);

/* ---- tokens: hashes only ---- */
struct db_token {
    const char *name;
    const char *hash; /* hex SHA-256 */
    int64_t created_ms;
};
/* Replaces the token of that name. */
int db_token_put(struct db *db, const struct db_token *token, struct err *err);
/* Found (1: removed). */
int db_token_remove(struct db *db, const char *name, struct err *err);
int db_token_list(struct db *db, void (*row)(const struct db_token *token, void *user), void *user,
                  struct err *err);

/* ---- enrolments ---- */
/* A new enrolment of a host ends all earlier ones of it. */
int db_enrolment_add(struct db *db, const char *host, const char *hash, int64_t now_ms, struct err *err);
struct db_enrolment {
    const char *host;
    const char *hash;
    const char *certificate; /* hex SHA-256: from now on the only one that the host may show */
};
/* Uses it up: found (1) at most once for each enrolment; the host is marked as enrolled, with its
 * certificate, in the same transaction. */
int db_enrolment_use(struct db *db, const struct db_enrolment *enrolment, int64_t now_ms, struct err *err);

/* ---- events ---- */
/* All but the first six may be NULL, `text` and `document` may not. */
struct db_event {
    uint64_t id; /* ignored by db_event_add */
    int64_t time_ms;
    const char *kind;
    const char *subject; /* id, uuid or name */
    const char *type;
    unsigned severity; /* 0 info, 1 warning, 2 error */
    const char *user;
    const char *vm, *vm_uuid;
    const char *host, *destination;
    const char *task;
    const char *text;
    const char *error, *figures, *document; /* JSON */
};
typedef void (*db_event_row)(const struct db_event *event, void *user);
int db_event_add(struct db *db, const struct db_event *event, uint64_t *ret_id, struct err *err);
/* Texts: "" = any; ids and times: 0 = any. */
struct db_event_filter {
    uint64_t after, before;    /* only ids between them */
    char vm[MODEL_NAME_MAX];   /* a UUID, else the name as it was then */
    char host[MODEL_NAME_MAX]; /* host or destination */
    char task[MODEL_UUID_SIZE];
    char type[MODEL_NAME_MAX];
    char user[MODEL_NAME_MAX];
    unsigned severity; /* or graver */
    int64_t since_ms, until_ms;
    unsigned limit;
    bool is_newest; /* the last `limit` of those that match, not the first */
};
/* Oldest first, in either case. */
int db_event_list(struct db *db, const struct db_event_filter *filter, db_event_row row, void *user,
                  struct err *err);
/* The same question about one event; ids are not looked at. */
bool db_event_matches(const struct db_event_filter *filter, const struct db_event *event);
/* Removes the oldest; how many, or -1. */
int db_event_prune(struct db *db, const struct db_retention *retention, struct err *err);

#endif
