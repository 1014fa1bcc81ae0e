/* SPDX-License-Identifier: Apache-2.0 */
/* The real manager program with two fake agents, "h1" (source) and "h2" (destination), in a temporary folder.
 */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include "fake_agent.h"

struct harness {
    char *folder;
    uint16_t port;
    GPid pid; /* of the manager, 0 when it does not run */
    char *token;
    char *ca_pem;
    struct http_client *client;
    struct fake_agent source, destination;
};

/* Starts all; both hosts are enrolled and connected and the VM "web" runs on h1. */
int harness_setup(void **state);
int harness_teardown(void **state);
/* Only the manager: no hosts. */
int harness_setup_bare(void **state);

void harness_kill(struct harness *harness); /* SIGKILL */
void harness_start(struct harness *harness);

/* Adds groups to the configuration and restarts the manager; both hosts are connected again. */
void harness_configure(struct harness *harness, const char *groups);
/* The database of a manager that does not run: kept beside it, put back, or thrown away. */
void harness_keep_database(struct harness *harness);
void harness_restore_database(struct harness *harness);
void harness_lose_database(struct harness *harness);

struct answer {
    bool is_done;
    struct err err;     /* set if it was an error */
    JsonObject *object; /* NULL if the body was empty */
};
/* A call to the manager; waits for its answer while the fake agents work. answer_clear afterwards. */
struct answer harness_call(struct harness *harness, const char *method, const char *path, const char *body);
void answer_clear(struct answer *answer);
/* Runs the main loop until `condition` holds; the test fails if it never does. */
void harness_wait(bool (*condition)(void *user), void *user, const char *what);
void harness_wait_connected(struct harness *harness, const char *host);
/* Waits until an event of that kind has been stored whose document has the member; the document (unref). */
JsonObject *harness_wait_event(struct harness *harness, const char *kind, const char *member,
                               const char *value);
/* Starts a migration of "web" to h2; the task's id (g_free). */
char *harness_migrate(struct harness *harness);
/* Waits until the task is in that phase; its document (unref). */
JsonObject *harness_wait_phase(struct harness *harness, const char *task, const char *phase);
/* Waits until the member of the task's document has that text; the document (unref). */
JsonObject *harness_wait_member(struct harness *harness, const char *task, const char *member,
                                const char *value);
/* Waits for the end; the document (unref). */
JsonObject *harness_wait_final(struct harness *harness, const char *task);
const char *text_of(JsonObject *object, const char *name);
const char *error_id_of(JsonObject *task);

#endif
