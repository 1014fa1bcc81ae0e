/* SPDX-License-Identifier: Apache-2.0 */
/* The manager's parts and how they hang together. One main loop; everything here belongs to its thread. */
#ifndef MANAGER_MANAGER_H
#define MANAGER_MANAGER_H

#include <glib.h>

#include "base/task_log.h"
#include "model/move.h"
#include "store/db.h"

struct authority;
struct cluster;
struct events;
struct http_server;
struct inventory;
struct pools;
struct retention;
struct orphans;
struct settlements;
struct tasks;

/* The common name of the manager's certificate; agents accept no other caller. */
#define MANAGER_NAME "godwitd"

/* How much of a history stays: so many of the newest, and none older. */
struct keep_config {
    unsigned number;
    unsigned days;
};

/* From the configuration file (config.c). */
struct manager_config {
    char state_dir[MODEL_PATH_MAX];   /* manager.db, ca.crt, ca.key, manager.crt, manager.key */
    char socket_path[MODEL_PATH_MAX]; /* "" = no unix socket */
    struct task_log_config log;
    struct keep_config events_keep, tasks_keep;
    unsigned host_certificate_hours;  /* life of what hosts get */
    uint16_t port;                    /* 0 = any free one; see the log */
    char **listen;                    /* numeric addresses, NULL-terminated */
    char **addresses;                 /* names and addresses in the certificate, NULL-terminated */
    unsigned deadline_s[MOVE_PHASES]; /* group [deadlines]; 0 = as in task.c's table */
};

struct manager {
    struct manager_config config;
    struct db *db;
    struct authority *authority;
    struct events *events;
    struct inventory *inventory;
    struct pools *pools;
    struct cluster *cluster;
    struct tasks *tasks;
    struct orphans *orphans;
    struct settlements *settlements;
    struct retention *retention;
    struct http_server *server;
};

/* ERR_BAD_REQUEST names the key. `manager_config_clear` is fine after a failure and on zeroes. */
int manager_config_read(const char *path, struct manager_config *ret_config, struct err *err);
void manager_config_clear(struct manager_config *config);

#endif
