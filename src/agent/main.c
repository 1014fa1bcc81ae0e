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
#include "agent/cgroup.h"
#include "agent/config.h"
#include "agent/door.h"
#include "agent/enroll.h"
#include "agent/facts.h"
#include "agent/moves.h"
#include "agent/routes.h"
#include "agent/spawn.h"
#include "agent/vm.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "qemu/caps.h"

#define DEFAULT_CONFIG "/etc/godwit/agent.conf"

/* The unit's RestartPreventExitStatus= knows them. */
enum exit_status { EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_CONFIGURATION };

struct arguments {
    const char *verb;
    char *config_path;
    char *manager_url;
    char *token;
    gboolean wants_version;
};

/* What `run` holds; one per process. */
struct program {
    struct agent agent;
    struct http_server *server;
    GMainLoop *loop;
    struct err err; /* why it ended, if not by a signal */
};

static void fail(struct program *program, const struct err *err)
{
    program->err = *err;
    g_main_loop_quit(program->loop);
}

/* ---- start: facts, VMs, moves, and only then the API ---- */
static int serve(struct program *program, struct err *err)
{
    const struct agent_config *config = &program->agent.config;
    g_autoptr(GTlsCertificate) own = NULL;
    g_autoptr(GTlsCertificate) ca = NULL;
    if (enroll_load(config, &own, &ca, err) < 0)
        return -1;
    const struct http_server_config server_config = {
        .routes = agent_routes, .user = &program->agent, .certificate = own, .client_ca = ca};
    if (http_server_new(&server_config, &program->server, err) < 0)
        return -1;
    return http_server_listen(program->server, config->listen, config->port, NULL, err);
}

static void on_loaded(struct agent *agent)
{
    struct program *program = (struct program *)((char *)agent - offsetof(struct program, agent));
    struct err err = {0};
    if (agent->config.migration_enabled && door_new(agent, &agent->door, &err) < 0) {
        fail(program, &err);
        return;
    }
    moves_recover(agent);
    if (serve(program, &err) < 0) {
        fail(program, &err);
        return;
    }
    log_info("host %s serves on %s port %u: %u VMs", agent->config.name, agent->config.listen,
             agent->config.port, g_hash_table_size(agent->vms));
    (void)sd_notify(0, "READY=1");
}

static void on_probed(struct agent *agent)
{
    cgroup_open(agent);
    vms_load(agent, on_loaded);
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
    return err_sys(err, errno, "folder-failed", "cannot make the folder %s", path);
}

/* Two agents on one state would both start the VMs. Held until the process ends. */
static int lock_state(const struct agent_config *config, int *ret_fd, struct err *err)
{
    g_autofree char *path = g_build_filename(config->state_dir, "agent.lock", NULL);
    auto_fd fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(err, errno, "lock-failed", "cannot open %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return err_set(err, ERR_REFUSED, "agent-runs-already", "another agent holds %s", path);
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
    spawn_init(agent->config.libexec_dir);
    agent->vms = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    agent->moves = g_hash_table_new(g_str_hash, g_str_equal);
    return 0;
}

static int run(const struct agent_config *config, struct err *err)
{
    /* Not on the stack: calls that are under way when the loop ends still point to it. */
    static struct program program;
    auto_fd lock = -1;
    program.agent.config = *config;
    if (prepare(&program, &lock, err) < 0)
        return -1;
    program.loop = g_main_loop_new(NULL, FALSE);
    (void)g_unix_signal_add(SIGTERM, on_signal, &program);
    (void)g_unix_signal_add(SIGINT, on_signal, &program);
    facts_probe(&program.agent, on_probed);
    g_main_loop_run(program.loop);
    http_server_free(program.server);
    door_free(program.agent.door);
    cgroup_close(&program.agent);
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
    return 0;
}

static int usage(const char *why)
{
    (void)fprintf(stderr,
                  "godwit-agent: %s\n"
                  "usage: godwit-agent [run] [--config FILE]\n"
                  "       godwit-agent enroll [--config FILE] --manager https://ADDRESS:PORT --token TOKEN\n",
                  why);
    return EXIT_USAGE;
}

static int parse(int argc, char **argv, struct arguments *arguments, GError **error)
{
    const GOptionEntry options[] = {
        {"config", 'c', 0, G_OPTION_ARG_FILENAME, &arguments->config_path, "configuration file", "FILE"},
        {"manager", 0, 0, G_OPTION_ARG_STRING, &arguments->manager_url, "enroll: the manager", "URL"},
        {"token", 0, 0, G_OPTION_ARG_STRING, &arguments->token, "enroll: the one-time token", "TOKEN"},
        {"version", 0, 0, G_OPTION_ARG_NONE, &arguments->wants_version, "print the version", NULL},
        {0},
    };
    g_autoptr(GOptionContext) context = g_option_context_new("[run|enroll]");
    g_option_context_add_main_entries(context, options, NULL);
    if (!g_option_context_parse(context, &argc, &argv, error))
        return -1;
    arguments->verb = argc > 1 ? argv[1] : "run";
    if (argc > 2) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "unexpected argument %s", argv[2]);
        return -1;
    }
    return 0;
}

static int exit_status(const struct err *err)
{
    bool hopeless = !strcmp(err->id, "bad-configuration") || !strcmp(err->id, "not-enrolled");
    return hopeless ? EXIT_CONFIGURATION : EXIT_FAILED;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {0};
    g_autoptr(GError) error = NULL;
    struct agent_config config;
    struct err err = {0};
    log_init("godwit-agent");
    if (parse(argc, argv, &arguments, &error) < 0)
        return usage(error->message);
    if (arguments.wants_version)
        return printf("godwit-agent %s\n", AGENT_VERSION) < 0 ? EXIT_FAILED : EXIT_DONE;
    bool enrolls = !strcmp(arguments.verb, "enroll");
    if (!enrolls && strcmp(arguments.verb, "run") != 0)
        return usage("unknown verb");
    if (enrolls && (!arguments.manager_url || !arguments.token))
        return usage("enroll needs --manager and --token");
    if (config_read(arguments.config_path ? arguments.config_path : DEFAULT_CONFIG, &config, &err) < 0 ||
        (enrolls ? enroll_here(&config, &arguments, &err) : run(&config, &err)) < 0) {
        log_error(&err, "%s", enrolls ? "not enrolled" : "the agent cannot go on");
        return exit_status(&err);
    }
    return EXIT_DONE;
}
