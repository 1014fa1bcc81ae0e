/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/autostart.h"
#include "agent/cgroup.h"
#include "agent/config.h"
#include "agent/cpu_baseline.h"
#include "agent/datastores.h"
#include "agent/door.h"
#include "agent/enroll.h"
#include "agent/facts.h"
#include "agent/identity.h"
#include "agent/local.h"
#include "agent/local_call.h"
#include "agent/loop_watch.h"
#include "agent/moves.h"
#include "agent/renew.h"
#include "agent/routes.h"
#include "agent/settle.h"
#include "agent/site.h"
#include "agent/spawn.h"
#include "agent/storage_move.h"
#include "agent/vm.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "qemu/caps.h"

#define DEFAULT_CONFIG "/etc/godwit/agent.conf"
#define LOCAL_ANSWER_S 60
#define POWER_ON_S 3600
#define SHUTDOWN_S 180

/* The unit's RestartPreventExitStatus= knows them. */
enum exit_status { EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_CONFIGURATION };

struct arguments {
    const char *verb;
    char *config_path;
    char *manager_url;
    char *token;
    gint timeout_s;
    gboolean now;
    gboolean wants_version;
};

/* What `run` holds; one per process. */
struct program {
    struct agent agent;
    struct identity identity;
    struct renewal *renewal;
    struct loop_watch *loop_watch;
    struct local local;
    struct http_server *server;
    struct http_server *local_server;
    GMainLoop *loop;
    bool is_probed, is_loaded;
    struct err err; /* why it ended, if not by a signal */
};

static void fail(struct program *program, const struct err *err)
{
    program->err = *err;
    g_main_loop_quit(program->loop);
}

/* The identity as its file says, also for the server that runs already. */
static int use_identity(struct program *program, struct err *err)
{
    struct identity identity;
    if (identity_load(&program->agent.config, &identity, err) < 0) {
        identity_clear(&identity);
        return -1;
    }
    identity_clear(&program->identity);
    program->identity = identity;
    program->agent.facts.certificate_until_ms = identity.until_s * 1000;
    if (program->server) {
        http_server_set_certificate(program->server, identity.own);
        http_server_set_client_ca(program->server, identity.ca);
    }
    return 0;
}

static int reload_identity(void *user, struct err *err)
{
    struct program *program = user;
    if (use_identity(program, err) < 0)
        return -1;
    renewal_look(program->renewal);
    return 0;
}

static void on_renewed(void *user)
{
    struct err err = {0};
    if (use_identity(user, &err) < 0)
        log_error(&err, "the new certificate cannot be used");
}

/* ---- start: facts, and beside them VMs and moves, for guests may wait; only then the API ---- */
static int serve(struct program *program, struct err *err)
{
    const struct agent_config *config = &program->agent.config;
    if (use_identity(program, err) < 0)
        return -1;
    const struct http_server_config server_config = {.routes = agent_routes,
                                                     .user = &program->agent,
                                                     .certificate = program->identity.own,
                                                     .client_ca = program->identity.ca};
    if (http_server_new(&server_config, &program->server, err) < 0)
        return -1;
    program->renewal = renewal_start(&program->agent, &program->identity, on_renewed, program);
    program->loop_watch = loop_watch_start();
    program->local = (struct local){.agent = &program->agent,
                                    .identity = &program->identity,
                                    .renewal = program->renewal,
                                    .loop_watch = program->loop_watch,
                                    .reload = reload_identity,
                                    .user = program};
    if (local_listen(&program->local, &program->local_server, err) < 0)
        return -1;
    return http_server_listen(program->server, config->listen, config->port, NULL, err);
}

static struct program *program_of(struct agent *agent)
{
    return (struct program *)((char *)agent - offsetof(struct program, agent));
}

static void serve_if_ready(struct program *program)
{
    const struct agent *agent = &program->agent;
    struct err err = {0};
    if (!program->is_probed || !program->is_loaded)
        return;
    if (serve(program, &err) < 0) {
        fail(program, &err);
        return;
    }
    log_info("host %s serves on %s port %u: %u VMs", agent->config.name, agent->config.listen,
             agent->config.port, g_hash_table_size(agent->vms));
    (void)sd_notify(0, "READY=1");
}

static void on_loaded(struct agent *agent)
{
    struct program *program = program_of(agent);
    struct err err = {0};
    if (agent->config.migration_enabled && door_new(agent, &agent->door, &err) < 0) {
        fail(program, &err);
        return;
    }
    moves_recover(agent);
    settle_recover(agent);
    autostart_prepare(agent);
    program->is_loaded = true;
    serve_if_ready(program);
}

static void on_probed(struct agent *agent)
{
    struct program *program = program_of(agent);
    cpu_baseline_open(agent);
    site_know_offered(agent);
    program->is_probed = true;
    serve_if_ready(program);
}

/* From the loop, which what fails at once would else not end. */
static gboolean on_begin(gpointer user)
{
    struct program *program = user;
    facts_probe(&program->agent, on_probed);
    cgroup_open(&program->agent);
    program->agent.adopting = storage_adopt;
    vms_load(&program->agent, on_loaded);
    return G_SOURCE_REMOVE;
}

static gboolean on_signal(gpointer user)
{
    struct program *program = user;
    (void)sd_notify(0, "STOPPING=1");
    log_info("the agent ends; VMs and moves go on without it");
    g_main_loop_quit(program->loop);
    return G_SOURCE_CONTINUE;
}

static int make_folder(const char *folder, const char *name, struct err *err)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    if (g_mkdir_with_parents(path, 0700) == 0)
        return 0;
    (void)err_sys(err, errno, "folder-failed", "cannot make the folder %s", path);
    return err_arg(err, "path", "%s", path);
}

/* Two agents on one state would both start the VMs. Held until the process ends. */
static int lock_state(const struct agent_config *config, int *ret_fd, struct err *err)
{
    g_autofree char *path = g_build_filename(config->state_dir, "agent.lock", NULL);
    auto_fd fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        (void)err_sys(err, errno, "lock-failed", "cannot open %s", path);
        return err_arg(err, "path", "%s", path);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        (void)err_set(err, ERR_REFUSED, "agent-runs-already", "another agent holds %s", path);
        return err_arg(err, "path", "%s", path);
    }
    *ret_fd = steal_fd(&fd);
    return 0;
}

static int prepare(struct program *program, int *ret_lock, struct err *err)
{
    struct agent *agent = &program->agent;
    if (geteuid() != 0)
        return err_set(err, ERR_REFUSED, "not-root", "the agent must be started by root");
    if (make_folder(agent->config.state_dir, "vms", err) < 0 ||
        make_folder(agent->config.run_dir, "vms", err) < 0 || lock_state(&agent->config, ret_lock, err) < 0)
        return -1;
    (void)umask(077);
    (void)signal(SIGPIPE, SIG_IGN);
    task_logs_init(&agent->config.log);
    spawn_init(agent->config.libexec_dir);
    agent->vms = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    agent->moves = g_hash_table_new(g_str_hash, g_str_equal);
    return 0;
}

static int run(const struct agent_config *config, const struct arguments *arguments, struct err *err)
{
    (void)arguments;
    /* Not on the stack: calls that are under way when the loop ends still point to it. */
    static struct program program;
    auto_fd lock = -1;
    program.agent.config = *config;
    if (prepare(&program, &lock, err) < 0)
        return -1;
    if (datastores_open(&program.agent, err) < 0)
        return -1;
    program.loop = g_main_loop_new(NULL, FALSE);
    (void)g_unix_signal_add(SIGTERM, on_signal, &program);
    (void)g_unix_signal_add(SIGINT, on_signal, &program);
    (void)g_idle_add(on_begin, &program);
    g_main_loop_run(program.loop);
    http_server_free(program.local_server);
    http_server_free(program.server);
    loop_watch_free(program.loop_watch);
    renewal_free(program.renewal);
    identity_clear(&program.identity);
    door_free(program.agent.door);
    cgroup_close(&program.agent);
    datastores_close(&program.agent);
    g_main_loop_unref(program.loop);
    if (!err_is_set(&program.err))
        return 0;
    *err = program.err;
    return -1;
}

static int enroll_here(const struct agent_config *config, const struct arguments *arguments, struct err *err)
{
    if (make_folder(config->state_dir, "tls", err) < 0 ||
        enroll(config, arguments->manager_url, arguments->token, err) < 0)
        return -1;
    (void)printf("host %s is enrolled at %s; certificate and key are in %s/tls\n", config->name,
                 arguments->manager_url, config->state_dir);
    /* One that runs takes the new identity over; one that does not reads it when it starts. */
    g_autoptr(JsonObject) answer = NULL;
    struct err why = {0};
    if (local_call(config, "/identity", NULL, LOCAL_ANSWER_S, &answer, &why) == 0)
        (void)printf("the running agent uses it from now on\n");
    else if (strcmp(why.id, "agent-not-running") != 0)
        log_error(&why, "restart the agent to let it use its new certificate");
    return 0;
}

static void print_member(JsonObject *object, const gchar *name, JsonNode *node, gpointer user)
{
    (void)object;
    (void)user;
    g_autofree char *text = json_node_get_value_type(node) == G_TYPE_STRING
                                ? json_node_dup_string(node)
                                : g_strdup_printf("%" G_GINT64_FORMAT, json_node_get_int(node));
    (void)printf("%-18s %s\n", name, text);
}

static int show_status(const struct agent_config *config, const struct arguments *arguments, struct err *err)
{
    (void)arguments;
    g_autoptr(JsonObject) answer = NULL;
    if (local_call(config, "/status", NULL, LOCAL_ANSWER_S, &answer, err) < 0)
        return -1;
    json_object_foreach_member(answer, print_member, NULL);
    return 0;
}

static int renew_now(const struct agent_config *config, const struct arguments *arguments, struct err *err)
{
    (void)arguments;
    g_autoptr(JsonObject) answer = NULL;
    if (local_call(config, "/renew", NULL, LOCAL_ANSWER_S, &answer, err) < 0)
        return -1;
    (void)printf("host %s has a new certificate\n", config->name);
    return 0;
}

static int shut_down(const struct agent_config *config, const struct arguments *arguments, struct err *err)
{
    g_autoptr(JsonObject) answer = NULL;
    JsonObject *body = json_object_new();
    json_object_set_int_member(body, "timeout_s", arguments->timeout_s);
    if (local_call(config, "/shutdown", body, (unsigned)arguments->timeout_s + LOCAL_ANSWER_S, &answer, err) <
        0)
        return -1;
    gint64 n_on = model_int(answer, "on", 0);
    if (n_on) {
        (void)err_set(err, ERR_TIMEOUT, "vms-still-on", "%d VMs of host %s were not off after %d s",
                      (int)n_on, config->name, arguments->timeout_s);
        (void)err_arg(err, "n_vms", "%d", (int)n_on);
        (void)err_arg(err, "host", "%s", config->name);
        (void)err_arg(err, "waited_s", "%d", arguments->timeout_s);
        return err_fix(err, "the agent's log says which; repeat it, 'godwit-agent power-on' takes it back");
    }
    (void)printf("all VMs of host %s are off\n", config->name);
    return 0;
}

static int power_on(const struct agent_config *config, const struct arguments *arguments, struct err *err)
{
    g_autoptr(JsonObject) answer = NULL;
    JsonObject *body = json_object_new();
    json_object_set_boolean_member(body, "now", arguments->now);
    if (local_call(config, "/power-on", body, POWER_ON_S, &answer, err) < 0)
        return -1;
    (void)printf("%d VMs of host %s are on\n", (int)model_int(answer, "on", 0), config->name);
    if (model_flag(answer, "waits"))
        (void)printf("those with autostart wait for the manager's word, which knows whether they were given "
                     "to another host; --now starts them without it\n");
    return 0;
}

struct verb {
    const char *name;
    int (*call)(const struct agent_config *config, const struct arguments *arguments, struct err *err);
    const char *failed;
};
static const struct verb verbs[] = {
    {"run", run, "the agent cannot go on"},
    {"enroll", enroll_here, "not enrolled"},
    {"renew", renew_now, "not renewed"},
    {"status", show_status, "no answer"},
    {"shutdown", shut_down, "not all VMs are off"},
    {"power-on", power_on, "no VM was started"},
};

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++)
        if (!strcmp(verbs[i].name, name))
            return &verbs[i];
    return NULL;
}

static int usage(const char *why)
{
    (void)fprintf(stderr,
                  "godwit-agent: %s\n"
                  "usage: godwit-agent [run] [--config FILE]\n"
                  "       godwit-agent enroll [--config FILE] --manager https://ADDRESS:PORT --token TOKEN\n"
                  "       godwit-agent renew|status [--config FILE]\n"
                  "       godwit-agent power-on [--config FILE] [--now]\n"
                  "       godwit-agent shutdown [--config FILE] [--timeout S]\n",
                  why);
    return EXIT_USAGE;
}

/* A process' arguments may be read by everybody. */
static void wipe_argument(int argc, char *const *argv, const char *secret)
{
    for (int i = 0; i < argc; i++) {
        size_t prefix = g_str_has_prefix(argv[i], "--token=") ? strlen("--token=") : 0;
        if (!strcmp(argv[i] + prefix, secret))
            memset(argv[i] + prefix, 'x', strlen(secret));
    }
}

/* The token from standard input, if "-" stands for it: so it is in no process' arguments at all. */
static int take_token(struct arguments *arguments, GError **error)
{
    char line[512];
    if (!arguments->token || strcmp(arguments->token, "-") != 0)
        return 0;
    g_clear_pointer(&arguments->token, g_free);
    if (fgets(line, sizeof line, stdin))
        arguments->token = g_strdup(g_strstrip(line));
    explicit_bzero(line, sizeof line);
    if (arguments->token && arguments->token[0])
        return 0;
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "there is no token on standard input");
    return -1;
}

static int parse(int argc, char **argv, struct arguments *arguments, GError **error)
{
    const GOptionEntry options[] = {
        {"config", 'c', 0, G_OPTION_ARG_FILENAME, &arguments->config_path, "configuration file", "FILE"},
        {"manager", 0, 0, G_OPTION_ARG_STRING, &arguments->manager_url, "enroll: the manager", "URL"},
        {"token", 0, 0, G_OPTION_ARG_STRING, &arguments->token,
         "enroll: the one-time token; -: read from standard input", "TOKEN"},
        {"timeout", 0, 0, G_OPTION_ARG_INT, &arguments->timeout_s, "shutdown: time for the guests (180)",
         "S"},
        {"now", 0, 0, G_OPTION_ARG_NONE, &arguments->now,
         "power-on: start VMs with autostart without the manager's word; sure that no other host has them?",
         NULL},
        {"version", 0, 0, G_OPTION_ARG_NONE, &arguments->wants_version, "print the version", NULL},
        {0},
    };
    int n_words = argc;
    g_autofree char **words = g_memdup2(argv, (gsize)argc * sizeof *argv); /* parsing moves them */
    g_autoptr(GOptionContext) context = g_option_context_new("[run|enroll|renew|status|shutdown|power-on]");
    g_option_context_add_main_entries(context, options, NULL);
    if (!g_option_context_parse(context, &argc, &argv, error))
        return -1;
    if (arguments->token && strcmp(arguments->token, "-") != 0)
        wipe_argument(n_words, words, arguments->token);
    arguments->verb = argc > 1 ? argv[1] : "run";
    if (argc > 2) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "unexpected argument %s", argv[2]);
        return -1;
    }
    return take_token(arguments, error);
}

static int exit_status(const struct err *err)
{
    bool hopeless = !strcmp(err->id, "bad-configuration") || !strcmp(err->id, "not-enrolled");
    return hopeless ? EXIT_CONFIGURATION : EXIT_FAILED;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {.timeout_s = SHUTDOWN_S};
    g_autoptr(GError) error = NULL;
    struct agent_config config;
    struct err err = {0};
    log_init("godwit-agent");
    if (parse(argc, argv, &arguments, &error) < 0)
        return usage(error->message);
    if (arguments.wants_version)
        return printf("godwit-agent %s\n", AGENT_VERSION) < 0 ? EXIT_FAILED : EXIT_DONE;
    const struct verb *verb = find_verb(arguments.verb);
    if (!verb)
        return usage("unknown verb");
    if (verb->call == enroll_here && (!arguments.manager_url || !arguments.token))
        return usage("enroll needs --manager and --token");
    if (arguments.now && verb->call != power_on)
        return usage("--now goes with power-on");
    if (arguments.timeout_s < 1 || arguments.timeout_s > LOCAL_SHUTDOWN_MAX_S)
        return usage("--timeout must be from 1 to 3600 seconds");
    if (config_read(arguments.config_path ? arguments.config_path : DEFAULT_CONFIG, &config, &err) < 0 ||
        verb->call(&config, &arguments, &err) < 0) {
        log_error(&err, "%s", verb->failed);
        return exit_status(&err);
    }
    return EXIT_DONE;
}
