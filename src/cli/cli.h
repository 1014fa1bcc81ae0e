/* SPDX-License-Identifier: Apache-2.0 */
/* What every command of the command line shares: settings, the manager's client, output. Single thread. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"
#include "http/http.h"

enum cli_exit { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

struct cli {
    bool json;                /* --json: exactly one document on stdout, progress on stderr */
    const char *program_path; /* of this executable, for the lab, which finds the daemons beside it */
};

/* One row a command. argv[0] is the command's last word ("ls"); returns enum cli_exit. */
struct cli_command {
    const char *group; /* "vm" */
    const char *name;  /* "migrate"; NULL: the group is the whole command */
    const char *usage; /* "V --to H [--detach] …" */
    const char *summary;
    int (*run)(struct cli *cli, int argc, char **argv);
};

/* Parses `entries` out of argv (left: the positional words, argv[0] kept). -1: said why on stderr (exit
 * CLI_USAGE). n_words: how many positional words must be left, or -1 for any. */
int cli_options(const struct cli_command *command, const GOptionEntry *entries, int n_words, int *argc,
                char ***argv);
/* The row of the command table that is running; for usage messages. */
const struct cli_command *cli_current(void);
int cli_usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The manager, from GODWIT_SERVER, GODWIT_TOKEN and GODWIT_CA, else from a config file (GODWIT_CONFIG,
 * ~/.config/godwit/config, /etc/godwit/cli.conf, /run/godwit-lab/cli.conf: the first that exists). */
int cli_connect(struct http_client **ret_client, struct err *err);
int cli_connect_file(const char *path, struct http_client **ret_client, struct err *err);

/* Message, phase, side, cause and cure as text, each line behind `indent`. */
void cli_print_error(FILE *to, const char *indent, const char *severity, const struct err *err);
/* Says the error on stderr as text, or with --json as the error form on stdout; returns CLI_FAILED. */
int cli_fail(struct cli *cli, const struct err *err);
/* Prints a document on stdout, indented. */
void cli_print_json(JsonObject *object);

/* One call to the manager. *ret_object (transfer full): the answer, on failure NULL or what it says beside
 * the error (http/http.h). */
int cli_ask(const char *method, const char *path, JsonObject *body, JsonObject **ret_object, struct err *err);
/* As cli_ask, and never NULL on success; ret_object: transfer full. Returns 0, or CLI_FAILED with the error
 * said. */
int cli_call(struct cli *cli, const char *method, const char *path, JsonObject *body,
             JsonObject **ret_object);
/* cli_call, then with --json the document, else `text` once. */
int cli_call_and_say(struct cli *cli, const char *method, const char *path, JsonObject *body,
                     const char *format, ...) __attribute__((format(printf, 5, 6)));
/* "/v1/vms/NAME" with NAME escaped; g_free. */
char *cli_path(const char *prefix, const char *name, const char *suffix);

/* Members of our own APIs' documents, with a default where one is absent or of another type. */
const char *cli_string(JsonObject *object, const char *member);
gint64 cli_number(JsonObject *object, const char *member);
double cli_real(JsonObject *object, const char *member);
JsonObject *cli_object(JsonObject *object, const char *member); /* NULL if absent */
JsonArray *cli_array(JsonObject *object, const char *member);   /* NULL if absent */

/* Aligned columns (cli/table.c). Cells are copied. */
struct table;
struct table *table_new(const char *const *headings); /* NULL-terminated */
void table_row(struct table *table, const char *first, ...) G_GNUC_NULL_TERMINATED;
void table_print(struct table *table); /* on stdout; frees */

/* A list of the manager's, shown with --json as the answer, else one element after the other. */
struct cli_listing {
    const char *path;
    const char *member;          /* of the answer that holds the array */
    const char *const *headings; /* NULL-terminated; NULL: no table, `show` prints by itself */
    void (*show)(struct table *table, JsonObject *element);
};
int cli_list(struct cli *cli, const struct cli_listing *listing);
/* One thing of the manager's, shown as its members, or with --json as the answer (cli/cmd_host.c). */
int cli_show(struct cli *cli, const char *path);

/* The commands, one file each. */
int cmd_host_ls(struct cli *cli, int argc, char **argv);
int cmd_host_show(struct cli *cli, int argc, char **argv);
int cmd_host_add(struct cli *cli, int argc, char **argv);
int cmd_host_enroll(struct cli *cli, int argc, char **argv);
int cmd_host_adopt(struct cli *cli, int argc, char **argv);
int cmd_host_maintenance(struct cli *cli, int argc, char **argv);
int cmd_host_rm(struct cli *cli, int argc, char **argv);
int cmd_vm_ls(struct cli *cli, int argc, char **argv);
int cmd_vm_show(struct cli *cli, int argc, char **argv);
int cmd_vm_create(struct cli *cli, int argc, char **argv);
int cmd_vm_set(struct cli *cli, int argc, char **argv);
int cmd_vm_rm(struct cli *cli, int argc, char **argv);
int cmd_vm_start(struct cli *cli, int argc, char **argv);
int cmd_vm_stop(struct cli *cli, int argc, char **argv);
int cmd_vm_disk(struct cli *cli, int argc, char **argv);
int cmd_vm_balloon(struct cli *cli, int argc, char **argv);
int cmd_vm_console(struct cli *cli, int argc, char **argv);
int cmd_vm_settle(struct cli *cli, int argc, char **argv);
int cmd_vm_check(struct cli *cli, int argc, char **argv);
int cmd_vm_migrate(struct cli *cli, int argc, char **argv);
int cmd_datastore_ls(struct cli *cli, int argc, char **argv);
int cmd_datastore_show(struct cli *cli, int argc, char **argv);
int cmd_datastore_init(struct cli *cli, int argc, char **argv);
int cmd_cluster_show(struct cli *cli, int argc, char **argv);
int cmd_cluster_set(struct cli *cli, int argc, char **argv);
int cmd_pool_ls(struct cli *cli, int argc, char **argv);
int cmd_pool_show(struct cli *cli, int argc, char **argv);
int cmd_pool_create(struct cli *cli, int argc, char **argv);
int cmd_pool_set(struct cli *cli, int argc, char **argv);
int cmd_pool_rm(struct cli *cli, int argc, char **argv);
int cmd_pool_assign(struct cli *cli, int argc, char **argv);
int cmd_task_ls(struct cli *cli, int argc, char **argv);
int cmd_task_show(struct cli *cli, int argc, char **argv);
int cmd_task_follow(struct cli *cli, int argc, char **argv);
int cmd_task_cancel(struct cli *cli, int argc, char **argv);
int cmd_event_ls(struct cli *cli, int argc, char **argv);
int cmd_event_types(struct cli *cli, int argc, char **argv);
int cmd_event_follow(struct cli *cli, int argc, char **argv);
int cmd_token_ls(struct cli *cli, int argc, char **argv);
int cmd_token_create(struct cli *cli, int argc, char **argv);
int cmd_token_rm(struct cli *cli, int argc, char **argv);
int cmd_doctor(struct cli *cli, int argc, char **argv);
int cmd_bench(struct cli *cli, int argc, char **argv);
int cmd_lab(struct cli *cli, int argc, char **argv);

#endif
