/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/probe.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/spawn.h"
#include "base/cleanup.h"
#include "base/fdio.h"
#include "base/log.h"
#include "model/move.h"
#include "qemu/caps.h"
#include "qemu/cpu_features.h"
#include "qemu/cpu_models.h"
#include "qemu/qmp.h"

#define QEMU_MS 15000
/* On a busy machine a QEMU may not answer in time, or trip over its own start, with nothing wrong with it. */
#define QEMU_TRIES 3
#define JOB_MS 10000
#define OUTPUT_BYTES_MAX 65536

struct probe {
    struct agent *agent;
    char *output; /* file with what the program wrote */
    char *socket;
    int pidfd; /* -1: ended */
    guint timer;
    struct qmp *qmp;
    struct qemu_caps *caps;
    unsigned n_tries;
    bool is_late;
    bool is_kvm; /* the second QEMU, which says what guests can have under KVM */
    struct err err;
    void (*qemu_done)(const struct err *err, void *user);
    void (*job_done)(const char *source, const char *detail, void *user);
    void *user;
};

static struct probe *probe_new(struct agent *agent, const char *name, void *user)
{
    struct probe *probe = g_new0(struct probe, 1);
    probe->agent = agent;
    probe->output = g_strdup_printf("%s/probe-%s.out", agent->config.run_dir, name);
    probe->socket = g_strdup_printf("%s/probe-%s.sock", agent->config.run_dir, name);
    probe->pidfd = -1;
    probe->user = user;
    (void)unlink(probe->output);
    return probe;
}

static void probe_free(struct probe *probe)
{
    if (probe->timer)
        (void)g_source_remove(probe->timer);
    if (probe->pidfd >= 0)
        (void)close(probe->pidfd);
    (void)unlink(probe->output);
    (void)unlink(probe->socket);
    g_free(probe->output);
    g_free(probe->socket);
    g_free(probe);
}

static char *read_output(const struct probe *probe)
{
    auto_mem char *text = NULL;
    if (fdio_read_file(probe->output, OUTPUT_BYTES_MAX, &text, NULL) < 0)
        return g_strdup("");
    char *valid = g_utf8_make_valid(text, -1);
    return g_strstrip(valid);
}

static void kill_program(struct probe *probe)
{
    if (probe->pidfd >= 0)
        (void)syscall(SYS_pidfd_send_signal, probe->pidfd, SIGKILL, NULL, 0);
}

static gboolean on_too_late(gpointer user)
{
    struct probe *probe = user;
    probe->timer = 0;
    probe->is_late = true;
    kill_program(probe);
    return G_SOURCE_REMOVE;
}

/* ---- QEMU: killed once it has answered; then, if KVM works, another one under KVM ---- */
static int ask_qemu(struct probe *probe, struct err *err);
static int run_qemu(struct probe *probe, struct err *err);

/* What it said so far is good without it. */
static void kvm_done(struct probe *probe)
{
    if (!probe->caps->kvm_cpu_features[0])
        log_warn("%s does not tell which CPU features a guest can have under KVM",
                 probe->agent->config.qemu_path);
    probe->qemu_done(&probe->err, probe->user);
    probe_free(probe);
}

static bool go_on_with_kvm(struct probe *probe)
{
    struct err err = {0};
    if (err_is_set(&probe->err) || !probe->agent->kvm_works)
        return false;
    probe->is_kvm = true;
    if (run_qemu(probe, &err) == 0)
        return true;
    log_error(&err, "which CPU features a guest can have under KVM is not known");
    return false;
}

static void on_qemu_exit(pid_t pid, int status, void *user)
{
    (void)pid;
    (void)status;
    struct probe *probe = user;
    qmp_free(g_steal_pointer(&probe->qmp));
    if (probe->is_kvm) {
        kvm_done(probe);
        return;
    }
    struct err err = probe->err;
    if (!probe->caps->version[0] && probe->n_tries < QEMU_TRIES) {
        log_warn("%s %s: asked again", probe->agent->config.qemu_path,
                 probe->is_late ? "did not answer in time" : "ended without an answer");
        if (ask_qemu(probe, &err) == 0)
            return;
    }
    if (probe->caps->version[0] && probe->caps->machine[0]) {
        if (go_on_with_kvm(probe))
            return;
    } else {
        g_autofree char *output = read_output(probe);
        if (!err_is_set(&err)) {
            (void)err_set(&err, ERR_INTERNAL, "qemu-unusable", "%s cannot be used",
                          probe->agent->config.qemu_path);
            (void)err_arg(&err, "path", "%s", probe->agent->config.qemu_path);
        }
        if (output[0])
            (void)err_cause(&err, "%s", output);
    }
    probe->qemu_done(&err, probe->user);
    probe_free(probe);
}

static void on_models(const struct err *err, void *user)
{
    struct probe *probe = user;
    if (err_is_set(err))
        log_error(err, "which CPU models a guest can have is not known");
    kill_program(probe);
}

static void on_features(const struct err *err, void *user)
{
    struct probe *probe = user;
    struct cpu_models **models = probe->is_kvm ? &probe->caps->kvm_cpu_models : &probe->caps->cpu_models;
    if (err_is_set(err)) {
        log_error(err, "which CPU features a guest can have is not known");
        kill_program(probe);
        return;
    }
    *models = g_new0(struct cpu_models, 1);
    cpu_models_query(probe->qmp, *models, on_models, probe);
}

static void on_caps(const struct err *err, void *user)
{
    struct probe *probe = user;
    if (err_is_set(err) && err->code != ERR_CANCELLED && err->code != ERR_PEER_LOST)
        probe->err = *err;
    if (err_is_set(err) || caps_check_version(probe->caps, &probe->err) < 0)
        kill_program(probe);
    else
        cpu_features_query(probe->qmp, CPU_MODEL_MAX, probe->caps->cpu_features, on_features, probe);
}

static void on_qmp_ready(const struct err *err, void *user)
{
    struct probe *probe = user;
    probe->is_late |= err->code == ERR_TIMEOUT;
    if (err_is_set(err))
        kill_program(probe);
    else if (probe->is_kvm)
        cpu_features_query(probe->qmp, CPU_MODEL_MAX, probe->caps->kvm_cpu_features, on_features, probe);
    else
        caps_query(probe->qmp, probe->caps, on_caps, probe);
}

static int listen_for_qemu(const struct probe *probe, int *ret_fd, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_strlcpy(address.sun_path, probe->socket, sizeof address.sun_path);
    auto_fd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || (unlink(probe->socket) < 0 && errno != ENOENT) ||
        bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 1) < 0) {
        (void)err_sys(err, errno, "socket-failed", "cannot make the socket %s", probe->socket);
        return err_arg(err, "path", "%s", probe->socket);
    }
    *ret_fd = steal_fd(&fd);
    return 0;
}

static int start_qemu(struct probe *probe, struct err *err)
{
    const char *const argv[] = {"qemu-system-x86_64",
                                "-machine",
                                "none",
                                "-accel",
                                probe->is_kvm ? "kvm" : "tcg",
                                "-nodefaults",
                                "-no-user-config",
                                "-display",
                                "none",
                                "-S",
                                "-chardev",
                                "socket,id=qmp,fd=3,server=on,wait=off",
                                "-mon",
                                "chardev=qmp,mode=control",
                                NULL};
    auto_fd fd = -1;
    pid_t pid;
    if (access(probe->agent->config.qemu_path, X_OK) < 0) {
        (void)err_sys(err, errno, "qemu-missing", "%s cannot be run", probe->agent->config.qemu_path);
        return err_arg(err, "path", "%s", probe->agent->config.qemu_path);
    }
    if (listen_for_qemu(probe, &fd, err) < 0)
        return -1;
    const struct spawn_request request = {.program = probe->agent->config.qemu_path,
                                          .argv = argv,
                                          .user = probe->agent->config.qemu_user,
                                          .group = probe->is_kvm ? probe->agent->kvm_group : 0,
                                          .n_fds = 1,
                                          .fds = {fd},
                                          .log_path = probe->output};
    return spawn(&request, &pid, &probe->pidfd, on_qemu_exit, probe, err);
}

static int run_qemu(struct probe *probe, struct err *err)
{
    probe->is_late = false;
    if (probe->pidfd >= 0)
        (void)close(probe->pidfd);
    probe->pidfd = -1;
    if (start_qemu(probe, err) < 0)
        return -1;
    const struct qmp_config config = {
        .path = probe->socket, .deadline_ms = QEMU_MS, .ready = on_qmp_ready, .user = probe};
    probe->qmp = qmp_new(&config);
    if (probe->timer)
        (void)g_source_remove(probe->timer);
    probe->timer = g_timeout_add(QEMU_MS, on_too_late, probe);
    return 0;
}

/* Once more from the beginning. */
static int ask_qemu(struct probe *probe, struct err *err)
{
    probe->n_tries++;
    err_clear(&probe->err);
    caps_clear(probe->caps);
    memset(probe->caps, 0, sizeof *probe->caps);
    return run_qemu(probe, err);
}

void probe_qemu(struct agent *agent, struct qemu_caps *ret_caps,
                void (*done)(const struct err *err, void *user), void *user)
{
    struct probe *probe = probe_new(agent, "qemu", user);
    struct err err = {0};
    probe->qemu_done = done;
    probe->caps = ret_caps;
    if (ask_qemu(probe, &err) < 0) {
        probe_free(probe);
        done(&err, user);
    }
}

/* ---- the job ---- */
static void job_answer(struct probe *probe, const char *source, const char *detail)
{
    probe->job_done(source, detail, probe->user);
    probe_free(probe);
}

static void on_job_exit(pid_t pid, int status, void *user)
{
    (void)pid;
    struct probe *probe = user;
    g_autofree char *output = read_output(probe);
    g_autoptr(JsonObject) object = NULL;
    const char *line = strrchr(output, '\n');
    line = line ? line + 1 : output;
    struct err err;
    if (status == 0 && model_parse(line, -1, &object, &err) == 0 && model_text(object, "dirty_source")[0])
        job_answer(probe, model_text(object, "dirty_source"), model_text(object, "detail"));
    else
        job_answer(probe, "none", output[0] ? line : "godwit-job --probe gave no answer");
}

void probe_dirty_source(struct agent *agent, void (*done)(const char *source, const char *detail, void *user),
                        void *user)
{
    struct probe *probe = probe_new(agent, "job", user);
    g_autofree char *program = g_strdup_printf("%s/godwit-job", agent->config.libexec_dir);
    const char *argv[] = {"godwit-job", "--probe", NULL};
    const struct spawn_request request = {.program = program, .argv = argv, .log_path = probe->output};
    struct err err = {0};
    pid_t pid;
    probe->job_done = done;
    if (access(program, X_OK) < 0) {
        (void)err_sys(&err, errno, "job-missing", "%s cannot be run", program);
        (void)err_arg(&err, "path", "%s", program);
    } else if (spawn(&request, &pid, &probe->pidfd, on_job_exit, probe, &err) == 0) {
        probe->timer = g_timeout_add(JOB_MS, on_too_late, probe);
    }
    if (err_is_set(&err))
        job_answer(probe, "none", err.message);
}
