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

struct db;

/* Opens or makes the file (mode 0600) and brings its schema up to date in one transaction. REFUSED
 * "schema-too-new" when a later program wrote it; nothing is changed then. */
int db_open(const char *path, struct db **ret_db, struct err *err);
void db_close(struct db *db);
/* Several writes as one. Not nested. */
int db_begin(struct db *db, struct err *err);
int db_commit(struct db *db, struct err *err);
void db_rollback(struct db *db);

/* ---- meta: single values, for who looks into the database ---- */
int db_meta_set(struct db *db, const char *key, const char *value, struct err *err);
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

/* ---- tasks ---- */
struct db_task {
    const char *id;
    uint64_t number;        /* order of creation; given by db_task_next_number */
    const char *client_key; /* NULL if the client gave none */
    bool final;
    const char *document;  /* the public JSON */
    const char *internals; /* JSON that only the task's own code reads; holds no secret */
};
int db_task_next_number(struct db *db, uint64_t *ret_number, struct err *err);
/* Inserts or replaces. */
int db_task_put(struct db *db, const struct db_task *task, struct err *err);
typedef void (*db_task_row)(const struct db_task *task, void *user);
/* Found. */
int db_task_get(struct db *db, const char *id, db_task_row row, void *user, struct err *err);
int db_task_get_by_key(struct db *db, const char *client_key, db_task_row row, void *user, struct err *err);
/* Newest first, at most `limit`. */
int db_task_list(struct db *db, unsigned limit, db_task_row row, void *user, struct err *err);
/* Those not final, oldest first. */
int db_task_list_open(struct db *db, db_task_row row, void *user, struct err *err);

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
#define DB_EVENTS_KEPT 10000
struct db_event {
    uint64_t id; /* ignored by db_event_add */
    int64_t time_ms;
    const char *kind;     /* "task", "vm", "host" */
    const char *subject;  /* id, uuid or name */
    const char *document; /* JSON */
};
/* Keeps the newest DB_EVENTS_KEPT. */
int db_event_add(struct db *db, const struct db_event *event, uint64_t *ret_id, struct err *err);
/* Oldest first, those with an id above `since`, at most `limit`. */
int db_event_list(struct db *db, uint64_t since, unsigned limit,
                  void (*row)(const struct db_event *event, void *user), void *user, struct err *err);

#endif
