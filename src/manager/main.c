/* SPDX-License-Identifier: Apache-2.0 */
#include <glib-unix.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/log.h"
#include "http/http.h"
#include "manager/auth.h"
#include "manager/backup.h"
#include "manager/ca.h"
#include "manager/cluster.h"
#include "manager/events.h"
#include "manager/inventory.h"
#include "manager/orphans.h"
#include "manager/pools.h"
#include "manager/retention.h"
#include "manager/routes.h"
#include "manager/settlements.h"
#include "manager/task.h"

#define DEFAULT_CONFIG "/etc/godwit/manager.conf"
#define ADMIN "admin"
#define RENEW_INTERVAL_S (30 * 24 * 3600)
#define GIVE_BACK_INTERVAL_S 60
#define GIVE_BACK_SLACK (256u << 10)
/* The unit's RestartPreventExitStatus= knows them. */
enum { EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_CONFIGURATION };

struct arguments {
    char *config;
    char *name;
    char *file;
    gboolean wants_version;
};

static char *authorize(const char *token, void *user)
{
    struct manager *manager = user;
    return auth_token_find(manager->db, token);
}

static gboolean stop(void *loop)
{
    g_main_loop_quit(loop);
    return G_SOURCE_CONTINUE;
}

static void use_certificate(struct manager *manager)
{
    http_server_set_certificate(manager->server, manager->authority->own);
    inventory_certificate_changed(manager);
}

/* A burst of calls (connections, documents) leaves holes all over the heap, which the allocator keeps. */
static gboolean give_back(void *user)
{
    (void)user;
    (void)malloc_trim(GIVE_BACK_SLACK);
    return G_SOURCE_CONTINUE;
}

static gboolean renew(void *user)
{
    struct manager *manager = user;
    struct err err = {0};
    if (authority_issue_own(manager->authority, &manager->config, &err)) {
        log_error(&err, "the manager's certificate was not renewed");
        return G_SOURCE_CONTINUE;
    }
    use_certificate(manager);
    events_emit(manager->events, EVENT_MANAGER_CERTIFICATE, &(struct event){.name = MANAGER_NAME});
    return G_SOURCE_CONTINUE;
}

static int open_store(struct manager *manager, struct err *err)
{
    if (g_mkdir_with_parents(manager->config.state_dir, 0700)) {
        (void)err_sys(err, errno, "state-folder", "cannot make the state folder %s",
                      manager->config.state_dir);
        return err_arg(err, "path", "%s", manager->config.state_dir);
    }
    g_autofree char *path = g_build_filename(manager->config.state_dir, "manager.db", NULL);
    if (db_open(path, &manager->db, err))
        return -1;
    return db_meta_set(manager->db, "version", MANAGER_VERSION, err);
}

static int listen_all(struct manager *manager, struct err *err)
{
    const struct manager_config *config = &manager->config;
    for (char **address = config->listen; *address; address++) {
        uint16_t port;
        if (http_server_listen(manager->server, *address, config->port, &port, err))
            return -1;
        log_info("listens on %s port %u", *address, port);
    }
    if (!config->socket_path[0])
        return 0;
    g_autofree char *folder = g_path_get_dirname(config->socket_path);
    if (g_mkdir_with_parents(folder, 0755)) {
        (void)err_sys(err, errno, "socket", "cannot make the folder %s", folder);
        return err_arg(err, "path", "%s", folder);
    }
    return http_server_listen_unix(manager->server, config->socket_path, err);
}

static int open_all(struct manager *manager, struct err *err)
{
    task_logs_init(&manager->config.log);
    if (open_store(manager, err) || authority_open(&manager->config, &manager->authority, err))
        return -1;
    manager->events = events_new(manager->db);
    manager->orphans = orphans_new(manager);
    if (settlements_open(manager, err) || tasks_open(manager, err) || pools_open(manager, err) ||
        cluster_open(manager, err) || inventory_open(manager, err))
        return -1;
    manager->retention = retention_start(manager);
    struct http_server_config server = {
        .routes = routes_table,
        .user = manager,
        .authorize = authorize,
        .certificate = manager->authority->own,
        .client_ca = manager->authority->ca,
    };
    if (http_server_new(&server, &manager->server, err))
        return -1;
    return listen_all(manager, err);
}

/* Tasks and pools first, so that no call that ends now moves one; streams and requests before their server.
 */
static void close_all(struct manager *manager)
{
    struct tasks *tasks = g_steal_pointer(&manager->tasks);
    tasks_free(tasks);
    retention_stop(manager->retention);
    struct pools *pools = g_steal_pointer(&manager->pools);
    pools_free(pools);
    inventory_free(manager->inventory);
    cluster_free(manager->cluster);
    orphans_free(manager->orphans);
    settlements_free(manager->settlements);
    events_free(manager->events);
    http_server_free(manager->server);
    authority_free(manager->authority);
    db_close(manager->db);
    manager_config_clear(&manager->config);
}

static int first_token(struct manager *manager, struct err *err)
{
    char token[AUTH_TOKEN_SIZE];
    bool is_first;
    if (auth_is_first_start(manager->db, &is_first, err))
        return -1;
    if (!is_first)
        return 0;
    /* More people may read the journal than may rule the cluster. */
    if (log_is_journal(STDOUT_FILENO)) {
        log_info("nobody has a token yet: 'godwitd token' as root prints one");
        return 0;
    }
    if (auth_token_new(manager->db, ADMIN, token, err))
        return -1;
    if (printf("admin token: %s\n", token) < 0 || fflush(stdout))
        return err_sys(err, errno, "token", "cannot print the admin token");
    return 0;
}

static int run(struct manager *manager, const struct arguments *arguments, struct err *err)
{
    (void)arguments;
    if (open_all(manager, err) || first_token(manager, err))
        return -1;
    GMainLoop *loop = g_main_loop_new(NULL, FALSE);
    (void)g_unix_signal_add(SIGTERM, stop, loop);
    (void)g_unix_signal_add(SIGINT, stop, loop);
    (void)g_timeout_add_seconds(RENEW_INTERVAL_S, renew, manager);
    (void)g_timeout_add_seconds(GIVE_BACK_INTERVAL_S, give_back, NULL);
    log_info("version %s, state in %s", MANAGER_VERSION, manager->config.state_dir);
    (void)sd_notify(0, "READY=1");
    g_main_loop_run(loop);
    (void)sd_notify(0, "STOPPING=1");
    g_main_loop_unref(loop);
    return 0;
}

static int print_token(struct manager *manager, const struct arguments *arguments, struct err *err)
{
    const char *name = arguments->name;
    char token[AUTH_TOKEN_SIZE];
    if (!model_name_is_valid(name)) {
        (void)err_set(err, ERR_BAD_REQUEST, "name", "'%s' is not a name for a token", name);
        return err_arg(err, "name", "%s", name);
    }
    if (open_store(manager, err) || auth_token_new(manager->db, name, token, err))
        return -1;
    /* A manager that runs beside us sees it when it is asked. */
    manager->events = events_new(manager->db);
    events_emit(manager->events, EVENT_TOKEN_CREATED, &(struct event){.user = "root", .name = name});
    if (printf("%s\n", token) < 0 || fflush(stdout))
        return err_sys(err, errno, "token", "cannot print the token");
    return 0;
}

static int exit_status(const struct err *err)
{
    return strcmp(err->id, "bad-configuration") != 0 ? EXIT_FAILED : EXIT_CONFIGURATION;
}

/* Beside a running manager, or without one. */
static int backup(struct manager *manager, const struct arguments *arguments, struct err *err)
{
    if (manager_backup(&manager->config, arguments->file, err))
        return -1;
    (void)printf(
        "%s holds the inventory, the tasks, the tokens and the key of the certificate authority: keep it "
        "as safe as the manager\n",
        arguments->file);
    return 0;
}

static int restore(struct manager *manager, const struct arguments *arguments, struct err *err)
{
    if (manager_restore(&manager->config, arguments->file, err))
        return -1;
    (void)printf("restored into %s; moves that were open end with an error when the manager starts\n",
                 manager->config.state_dir);
    return 0;
}

struct verb {
    const char *name;
    bool takes_file;
    int (*call)(struct manager *manager, const struct arguments *arguments, struct err *err);
};
static const struct verb verbs[] = {
    {"run", false, run},
    {"token", false, print_token},
    {"backup", true, backup},
    {"restore", true, restore},
};

/* NULL: `error` may say why. */
static const struct verb *parse(int argc, char **argv, struct arguments *arguments, GError **error)
{
    const GOptionEntry entries[] = {
        {"config", 'c', 0, G_OPTION_ARG_FILENAME, &arguments->config, "configuration file", "FILE"},
        {"name", 'n', 0, G_OPTION_ARG_STRING, &arguments->name, "token: whose token it is", "NAME"},
        {"version", 0, 0, G_OPTION_ARG_NONE, &arguments->wants_version, "print the version", NULL},
        {NULL},
    };
    g_autoptr(GOptionContext) context = g_option_context_new("[run | token | backup FILE | restore FILE]");
    g_option_context_add_main_entries(context, entries, NULL);
    g_option_context_set_summary(context, "run: serve (default)\n"
                                          "token: make or replace a token of the API and print it\n"
                                          "backup: write the manager's whole state to a new file\n"
                                          "restore: make an empty state folder from a backup");
    if (!g_option_context_parse(context, &argc, &argv, error))
        return NULL;
    const char *name = argc > 1 ? argv[1] : "run";
    for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++)
        if (!strcmp(verbs[i].name, name) && argc <= 2 + verbs[i].takes_file) {
            arguments->file = argc > 2 ? g_strdup(argv[2]) : NULL;
            return arguments->file || !verbs[i].takes_file ? &verbs[i] : NULL;
        }
    return NULL;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {.config = g_strdup(DEFAULT_CONFIG), .name = g_strdup(ADMIN)};
    g_autoptr(GError) error = NULL;
    log_init("godwitd");
    (void)umask(0077);
    const struct verb *verb = parse(argc, argv, &arguments, &error);
    if (arguments.wants_version)
        return printf("godwitd %s\n", MANAGER_VERSION) < 0 ? EXIT_FAILED : EXIT_DONE;
    if (!verb) {
        (void)fprintf(stderr, "godwitd: %s; see godwitd --help\n",
                      error ? error->message : "unknown verb, or not its arguments");
        return EXIT_USAGE;
    }
    struct manager manager = {0};
    struct err err = {0};
    int result = manager_config_read(arguments.config, &manager.config, &err);
    if (!result)
        result = verb->call(&manager, &arguments, &err);
    if (result)
        log_error(&err, "%s", verb->call == run ? "the manager stops" : verb->name);
    close_all(&manager);
    g_free(arguments.config);
    g_free(arguments.name);
    g_free(arguments.file);
    return result ? exit_status(&err) : EXIT_DONE;
}
