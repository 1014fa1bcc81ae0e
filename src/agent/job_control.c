/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/job_control.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/guest_watch.h"
#include "agent/job_watch.h"
#include "agent/spawn.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/task_log.h"
#include "model/move.h"

#define EXIT_MS 500u
/* Of a job of high priority: where they want the same core it gets three times as much of it as a job or a
 * vCPU without. */
#define URGENT_NICE (-5)

struct job_control {
    struct job_handlers handlers;
    void *user;
    uint32_t role;
    int socket; /* -1 once the job has ended */
    int pidfd;  /* -1: none of our children */
    pid_t pid;  /* while is_child */
    const char *host;
    struct job_watch *beats;   /* NULL: none of our children */
    struct guest_watch *guest; /* NULL: no guest runs on this side */
    guint watch;               /* of `socket` */
    guint killer;              /* grace of a cancelled job ... */
    unsigned grace_ms;         /* ... and how long it is */
    bool is_child;             /* its exit was not reported yet: that call still uses this object */
    bool is_freed;             /* job_control_free was called */
    bool dispatching;
    bool is_pending; /* a request waits for its answer */
    bool has_result;
    uint32_t serial; /* of the pending request */
    struct ctl_msg msg;
};

static void kill_process(struct job_control *job)
{
    if (job->pidfd >= 0)
        (void)syscall(SYS_pidfd_send_signal, job->pidfd, SIGKILL, NULL, 0);
}

static void close_socket(struct job_control *job)
{
    if (job->watch)
        (void)g_source_remove(job->watch);
    if (job->killer)
        (void)g_source_remove(job->killer);
    job->watch = 0;
    job->killer = 0;
    job->is_pending = false;
    if (job->socket >= 0)
        (void)close(job->socket);
    job->socket = -1;
}

static void release(struct job_control *job)
{
    if (!job->is_freed || job->is_child || job->dispatching)
        return;
    if (job->pidfd >= 0)
        (void)close(job->pidfd);
    job_watch_free(job->beats);
    guest_watch_free(job->guest);
    explicit_bzero(&job->msg, sizeof job->msg);
    g_free(job);
}

pid_t job_control_pid(const struct job_control *job)
{
    return job->is_child ? job->pid : 0;
}

void job_control_free(struct job_control *job)
{
    if (!job)
        return;
    kill_process(job);
    close_socket(job);
    job->is_freed = true;
    release(job);
}

static void end(struct job_control *job, const struct err *why)
{
    if (job->socket < 0)
        return;
    kill_process(job);
    close_socket(job);
    job->handlers.ended(why, job->user);
}

static void violation(struct job_control *job, const char *what)
{
    struct err err;
    (void)err_set(&err, ERR_CORRUPT, "job-broke-rules", "the migration job broke the rules: %s", what);
    (void)err_arg(&err, "what", "%s", what);
    (void)err_fix(&err, "retry; if it happens again, something hostile may be on the migration network");
    end(job, &err);
}

/* ---- what a job may say ---- */

static uint64_t clamp(uint64_t value)
{
    return value > INT64_MAX ? INT64_MAX : value;
}

static void clean_text(char *text, size_t size)
{
    text[size - 1] = '\0';
    for (char *at = text; *at; at++)
        if ((unsigned char)*at < ' ' || (unsigned char)*at >= 0x7f)
            *at = '?';
}

static void clean_error(struct err *err)
{
    enum move_phase phase;
    clean_text(err->id, sizeof err->id);
    clean_text(err->phase, sizeof err->phase);
    clean_text(err->side, sizeof err->side);
    clean_text(err->message, sizeof err->message);
    clean_text(err->cause, sizeof err->cause);
    clean_text(err->fix, sizeof err->fix);
    err->n_args = MIN(err->n_args, ERR_ARGS_MAX);
    for (unsigned i = 0; i < err->n_args; i++) {
        clean_text(err->args[i].name, sizeof err->args[i].name);
        clean_text(err->args[i].value, sizeof err->args[i].value);
    }
    if (err->code <= ERR_NONE || err->code >= ERR_CODE_COUNT)
        err->code = ERR_INTERNAL;
    if (move_phase_from_name(err->phase, &phase) < 0)
        err->phase[0] = '\0';
    if (strcmp(err->side, "source") != 0 && strcmp(err->side, "destination") != 0)
        err->side[0] = '\0';
    if (!err->id[0])
        (void)snprintf(err->id, sizeof err->id, "job-failed");
    if (!err->message[0])
        (void)snprintf(err->message, sizeof err->message, "the migration job failed without a reason");
}

static int take_progress(struct job_control *job)
{
    struct ctl_progress progress;
    if (ctl_body(&job->msg, &progress, sizeof progress, NULL) < 0 || progress.step > CTL_STEP_END)
        return -1;
    progress.bytes_on_wire = clamp(progress.bytes_on_wire);
    progress.bytes_left = clamp(progress.bytes_left);
    progress.rate_bytes_s = clamp(progress.rate_bytes_s);
    progress.dirty_bytes_s = clamp(progress.dirty_bytes_s);
    progress.pages_zero = clamp(progress.pages_zero);
    progress.stun_ns = clamp(progress.stun_ns);
    for (unsigned i = 0; i < CTL_CODECS; i++)
        progress.codecs[i] = (struct ctl_codec){.pages = clamp(progress.codecs[i].pages),
                                                .raw_bytes = clamp(progress.codecs[i].raw_bytes),
                                                .wire_bytes = clamp(progress.codecs[i].wire_bytes)};
    progress.throttle_bytes_s = clamp(progress.throttle_bytes_s);
    progress.bytes_resent = clamp(progress.bytes_resent);
    job->handlers.progress(&progress, job->user);
    return 0;
}

static int take_round(struct job_control *job)
{
    struct ctl_round round;
    if (ctl_body(&job->msg, &round, sizeof round, NULL) < 0)
        return -1;
    round.pages = clamp(round.pages);
    round.bytes = clamp(round.bytes);
    round.duration_ns = clamp(round.duration_ns);
    round.dirty_pages = clamp(round.dirty_pages);
    round.stun_ns = clamp(round.stun_ns);
    round.throttle_bytes_s = clamp(round.throttle_bytes_s);
    job->handlers.round(&round, job->user);
    return 0;
}

static int take_result(struct job_control *job)
{
    struct ctl_result result;
    if (job->has_result || ctl_body(&job->msg, &result, sizeof result, NULL) < 0 ||
        result.dirty > CTL_DIRTY_SYNC || result.n_vcpus > CTL_VCPUS_MAX)
        return -1;
    result.copy_ns = clamp(result.copy_ns);
    result.downtime_ns = clamp(result.downtime_ns);
    result.bytes_on_wire = clamp(result.bytes_on_wire);
    result.memory_bytes = clamp(result.memory_bytes);
    for (unsigned i = 0; i < CTL_MARKS; i++)
        result.marks_ns[i] = clamp(result.marks_ns[i]);
    for (unsigned i = 0; i < CTL_STUN_CLASSES; i++) {
        result.stuns[i].up_to_us = clamp(result.stuns[i].up_to_us);
        result.stuns[i].count = clamp(result.stuns[i].count);
    }
    for (unsigned i = 0; i < CTL_VCPUS_MAX; i++)
        result.vcpu_stun_ns[i] = clamp(result.vcpu_stun_ns[i]);
    if (result.ok)
        err_clear(&result.error);
    else
        clean_error(&result.error);
    job->has_result = true;
    job->handlers.result(&result, job->user);
    return 0;
}

static int take_forecast(struct job_control *job)
{
    struct ctl_forecast forecast;
    if (job->has_result || !job->handlers.forecast ||
        ctl_body(&job->msg, &forecast, sizeof forecast, NULL) < 0 || forecast.zero_percent > 100)
        return -1;
    uint64_t *const numbers[] = {
        &forecast.duration_ns,       &forecast.downtime_ns,  &forecast.used_bytes,
        &forecast.dirty_bytes_s,     &forecast.link_bytes_s, &forecast.first_bytes_s,
        &forecast.working_set_bytes, &forecast.sync_ns,      &forecast.again_bytes_s};
    for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++)
        *numbers[i] = clamp(*numbers[i]);
    job->handlers.forecast(&forecast, job->user);
    return 0;
}

static int request_size(uint32_t role, uint32_t type, size_t *ret_size)
{
    static const struct {
        uint32_t type;
        uint32_t role;
        size_t size;
    } requests[] = {
        {CTL_STOP, CTL_ROLE_SOURCE, 0},
        {CTL_SAVE, CTL_ROLE_SOURCE, 0},
        {CTL_GIVE, CTL_ROLE_SOURCE, CTL_SECRET_SIZE},
        {CTL_QUIT, CTL_ROLE_SOURCE, sizeof(struct ctl_verdict)},
        {CTL_LOAD, CTL_ROLE_DESTINATION, 0},
        {CTL_READY, CTL_ROLE_DESTINATION, 0},
        {CTL_CONT, CTL_ROLE_DESTINATION, CTL_SECRET_SIZE},
        {CTL_DISK, CTL_ROLE_SOURCE, sizeof(uint32_t)},
        {CTL_DISK, CTL_ROLE_DESTINATION, sizeof(uint32_t)},
        {CTL_DISKS, CTL_ROLE_SOURCE, 0},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(requests); i++) {
        if (requests[i].type == type && requests[i].role == role) {
            *ret_size = requests[i].size;
            return 0;
        }
    }
    return -1;
}

static int take_request(struct job_control *job)
{
    size_t size;
    uint8_t body[sizeof(struct ctl_verdict)];
    if (job->has_result || job->is_pending || !job->msg.serial || !job->handlers.request ||
        request_size(job->role, job->msg.type, &size) < 0 || ctl_body(&job->msg, body, size, NULL) < 0)
        return -1;
    job->is_pending = true;
    job->serial = job->msg.serial;
    job->handlers.request((enum ctl_type)job->msg.type, body, job->user);
    explicit_bzero(body, sizeof body);
    return 0;
}

static int take_message(struct job_control *job)
{
    switch (job->msg.type) {
    case CTL_PROGRESS:
        return take_progress(job);
    case CTL_ROUND:
        return take_round(job);
    case CTL_RESULT:
        return take_result(job);
    case CTL_FORECAST:
        return take_forecast(job);
    default:
        return take_request(job);
    }
}

static const char *side(const struct job_control *job)
{
    return job->role == CTL_ROLE_SOURCE ? "source" : "destination";
}

static gboolean exit_is_overdue(gpointer user)
{
    struct job_control *job = user;
    struct err err;
    job->killer = 0;
    (void)err_set(&err, ERR_INTERNAL, "job-died",
                  "the migration job on the %s, host '%s', closed its control socket and is slow to end",
                  side(job), job->host);
    (void)err_arg(&err, "side", "%s", side(job));
    (void)err_fix(&err, "look into the agent's log on host '%s', then start the migration again", job->host);
    (void)err_arg(&err, "host", "%s", job->host);
    end(job, &err);
    return G_SOURCE_REMOVE;
}

/* A child that hangs up is dying, or has to: its exit says why, and follows at once. */
static void hung_up(struct job_control *job, const struct err *err)
{
    if (!job->is_child) {
        end(job, err);
        return;
    }
    kill_process(job);
    if (job->watch)
        (void)g_source_remove(job->watch);
    job->watch = 0;
    if (job->killer)
        (void)g_source_remove(job->killer);
    job->killer = g_timeout_add(EXIT_MS, exit_is_overdue, job);
}

/* Reads what is there; at most a bounded number, so that a job that floods cannot keep the main loop. */
static void read_messages(struct job_control *job)
{
    for (unsigned n = 0; n < 64 && job->socket >= 0; n++) {
        struct err err;
        if (ctl_recv(job->socket, &job->msg, NULL, NULL, &err) < 0) {
            if (err.code == ERR_RETRY)
                return;
            if (err.code == ERR_CORRUPT)
                violation(job, err.message);
            else
                hung_up(job, &err);
            return;
        }
        if (take_message(job) < 0) {
            char what[64];
            (void)snprintf(what, sizeof what, "message %u of %u bytes has no place here", job->msg.type,
                           job->msg.length);
            violation(job, what);
        }
    }
}

static gboolean readable(gint fd, GIOCondition condition, gpointer user)
{
    (void)fd;
    (void)condition;
    struct job_control *job = user;
    job->dispatching = true;
    read_messages(job);
    job->dispatching = false;
    release(job);
    return G_SOURCE_CONTINUE; /* end() and free() have removed it already where need be */
}

static void was_silent(const struct job_control *job, struct err *err)
{
    unsigned silent_ms = job_watch_silence_ms(job->beats);
    (void)err_set(err, ERR_TIMEOUT, "job-stopped",
                  "the migration job on the %s, host '%s', gave no sign of life for %u ms and was ended",
                  side(job), job->host, silent_ms);
    (void)err_arg(err, "side", "%s", side(job));
    (void)err_cause(err,
                    "something stopped its process (a signal, a debugger, a frozen control group), or the "
                    "host was too busy to run it");
    (void)err_fix(err, "look for what stops processes on host '%s', then start the migration again",
                  job->host);
    (void)err_arg(err, "host", "%s", job->host);
    (void)err_arg(err, "silent_ms", "%u", silent_ms);
}

static void held_the_guest(const struct job_control *job, struct err *err)
{
    unsigned held_ms = guest_watch_held_ms(job->guest);
    (void)err_set(
        err, ERR_TIMEOUT, "guest-held-up",
        "the migration job on the %s, host '%s', kept the guest waiting for a page for %u ms and was "
        "ended; the guest runs on",
        side(job), job->host, held_ms);
    (void)err_arg(err, "side", "%s", side(job));
    (void)err_cause(err,
                    "it did not release a write that it tracks: a defect, or something hostile is on the "
                    "migration network");
    (void)err_fix(err,
                  "start the migration again; if that happens twice, keep the log of the agent on host '%s'",
                  job->host);
    (void)err_arg(err, "host", "%s", job->host);
    (void)err_arg(err, "held_ms", "%u", held_ms);
}

static void has_died(const struct job_control *job, pid_t pid, int status, struct err *err)
{
    if (WIFSIGNALED(status)) {
        (void)err_set(err, ERR_INTERNAL, "job-died",
                      "the migration job on the %s, host '%s', was ended by signal %d (%s)", side(job),
                      job->host, WTERMSIG(status), g_strsignal(WTERMSIG(status)));
        (void)err_arg(err, "side", "%s", side(job));
        (void)err_arg(err, "host", "%s", job->host);
        (void)err_arg(err, "signal_name", "%s", g_strsignal(WTERMSIG(status)));
        (void)err_cause(err, "%s",
                        WTERMSIG(status) == SIGKILL ? "somebody killed it, or the host ran out of memory"
                                                    : "it crashed, or broke out of its sandbox");
        (void)err_arg(err, "signal", "%d", WTERMSIG(status));
    } else {
        (void)err_set(err, ERR_INTERNAL, "job-died",
                      "the migration job on the %s, host '%s', ended with status %d before the move was over",
                      side(job), job->host, WEXITSTATUS(status));
        (void)err_cause(err, "its last lines in the agent's log say more");
        (void)err_arg(err, "status", "%d", WEXITSTATUS(status));
    }
    (void)err_fix(err, "look for process %d in the logs of host '%s', then start the migration again",
                  (int)pid, job->host);
    (void)err_arg(err, "host", "%s", job->host);
    (void)err_arg(err, "pid", "%d", (int)pid);
}

static void exited(pid_t pid, int status, void *user)
{
    struct job_control *job = user;
    if (job->socket >= 0) {
        job->dispatching = true;
        if (job->watch)
            read_messages(job); /* its last words */
        struct err err;
        if (job_watch_silence_ms(job->beats))
            was_silent(job, &err);
        else if (guest_watch_held_ms(job->guest))
            held_the_guest(job, &err);
        else
            has_died(job, pid, status, &err);
        end(job, &err);
        job->dispatching = false;
    }
    job->is_child = false;
    release(job);
}

static void unguarded(void *user)
{
    struct job_control *job = user;
    struct err err;
    (void)err_set(&err, ERR_INTERNAL, "guard-died",
                  "the guard of the migration job on the %s, host '%s', ended before the job", side(job),
                  job->host);
    (void)err_arg(&err, "side", "%s", side(job));
    (void)err_cause(
        &err, "somebody killed it, or the host ran out of memory; a job without a guard could block the "
              "guest, so it was ended");
    (void)err_fix(&err, "look into the agent's log on host '%s', then start the migration again", job->host);
    (void)err_arg(&err, "host", "%s", job->host);
    job->dispatching = true;
    end(job, &err);
    job->dispatching = false;
    release(job);
}

/* ---- start ---- */

static int send_spec(struct job_control *job, const struct ctl_job_spec *spec, const int *fds,
                     struct err *err)
{
    size_t n_fds = spec->role == CTL_ROLE_SOURCE ? CTL_SOURCE_FDS : CTL_DESTINATION_FDS;
    ctl_fill(&job->msg, CTL_JOB_SPEC, 0, spec, sizeof *spec);
    return ctl_send(job->socket, &job->msg, fds, n_fds, err);
}

static struct job_control *new_job(int socket, const struct ctl_job_spec *spec,
                                   const struct job_handlers *handlers, void *user)
{
    struct job_control *job = g_new0(struct job_control, 1);
    job->handlers = *handlers;
    job->user = user;
    job->role = spec->role;
    job->socket = socket;
    job->pidfd = -1;
    job->watch = g_unix_fd_add(socket, G_IO_IN | G_IO_HUP | G_IO_ERR, readable, job);
    return job;
}

int job_control_attach(int socket, const struct ctl_job_spec *spec, const int *fds,
                       const struct job_handlers *handlers, void *user, struct job_control **ret_job,
                       struct err *err)
{
    struct job_control *job = new_job(socket, spec, handlers, user);
    if (!g_unix_set_fd_nonblocking(socket, TRUE, NULL) || send_spec(job, spec, fds, err) < 0) {
        job_control_free(job);
        return -1;
    }
    *ret_job = job;
    return 0;
}

static int start_process(struct job_control *job, const struct agent_config *config,
                         const struct ctl_job_spec *spec, int child_end, struct err *err)
{
    char program[MODEL_PATH_MAX + 16];
    char control[16];
    char beat[16];
    (void)snprintf(program, sizeof program, "%s/godwit-job", config->libexec_dir);
    (void)snprintf(control, sizeof control, "%d", SPAWN_CHILD_FD(0));
    (void)snprintf(beat, sizeof beat, "%d", SPAWN_CHILD_FD(1));
    const char *argv[] = {"godwit-job", "--control", control, "--beat", beat, NULL};
    struct spawn_request request = {.program = program,
                                    .argv = argv,
                                    .user = config->job_user,
                                    .nice = spec->is_urgent ? URGENT_NICE : 0,
                                    .n_fds = 2,
                                    .fds = {child_end, -1}};
    char log_variable[32];
    const char *const env[] = {log_variable, NULL};
    int log_fd = task_log_fd(spec->move_id);
    if (job_watch_new(&job->beats, err) < 0)
        return -1;
    request.fds[1] = job_watch_page(job->beats);
    if (log_fd >= 0) {
        (void)snprintf(log_variable, sizeof log_variable, TASK_LOG_FD_VARIABLE "=%d", SPAWN_CHILD_FD(2));
        request.fds[request.n_fds++] = log_fd;
        request.env = env;
    }
    if (spawn(&request, &job->pid, &job->pidfd, exited, job, err) < 0)
        return -1;
    job->is_child = true;
    job->host = config->name;
    return job_watch_start(job->beats, config, job->pidfd, unguarded, job, err);
}

static int watch_guest(struct job_control *job, const int *fds, struct err *err)
{
    if (job->role != CTL_ROLE_SOURCE)
        return 0;
    return guest_watch_start(fds[CTL_FD_QEMU_PID], job->pidfd, &job->guest, err);
}

int job_control_start(const struct agent_config *config, const struct ctl_job_spec *spec, const int *fds,
                      const struct job_handlers *handlers, void *user, struct job_control **ret_job,
                      struct err *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return err_sys(err, errno, "socket-failed", "cannot make the control socket of the migration job");
    auto_fd child_end = ends[1];
    struct job_control *job = new_job(ends[0], spec, handlers, user);
    if (!g_unix_set_fd_nonblocking(ends[0], TRUE, NULL) ||
        start_process(job, config, spec, child_end, err) < 0 || watch_guest(job, fds, err) < 0 ||
        send_spec(job, spec, fds, err) < 0) { /* it holds nothing before it is watched */
        job_control_free(job);
        return -1;
    }
    *ret_job = job;
    return 0;
}

/* ---- answers ---- */

static void send_message(struct job_control *job, const int *fds, size_t n_fds)
{
    struct err err;
    if (ctl_send(job->socket, &job->msg, fds, n_fds, &err) == 0)
        return;
    if (err.code == ERR_PEER_LOST)
        return; /* what it said last waits to be read, and its end, which say more */
    if (err.code != ERR_RETRY) {
        end(job, &err);
        return;
    }
    violation(job, "it does not read its control socket");
}

void job_control_answer(struct job_control *job, const void *body, size_t size, int fd, bool more)
{
    if (!job || !job->is_pending || job->socket < 0)
        return;
    job->is_pending = more;
    ctl_fill(&job->msg, CTL_DONE, job->serial, body, size);
    send_message(job, &fd, fd >= 0 ? 1 : 0);
}

void job_control_fail(struct job_control *job, const struct err *why)
{
    if (!job || !job->is_pending || job->socket < 0)
        return;
    job->is_pending = false;
    ctl_fill(&job->msg, CTL_FAILED, job->serial, why, sizeof *why);
    send_message(job, NULL, 0);
}

static gboolean grace_is_over(gpointer user)
{
    struct job_control *job = user;
    struct err err;
    job->killer = 0;
    (void)err_set(&err, ERR_TIMEOUT, "job-did-not-end",
                  "the agent waited %u ms in vain for the migration job on the %s, host '%s', to end, and "
                  "killed it",
                  job->grace_ms, side(job), job->host);
    (void)err_arg(&err, "side", "%s", side(job));
    (void)err_cause(&err, "it was told to cancel, and went on");
    (void)err_arg(&err, "host", "%s", job->host);
    (void)err_arg(&err, "waited_ms", "%u", job->grace_ms);
    end(job, &err);
    return G_SOURCE_REMOVE;
}

void job_control_cancel(struct job_control *job, const struct err *why, unsigned grace_ms)
{
    if (!job || job->socket < 0 || job->killer)
        return;
    job->grace_ms = grace_ms;
    job->killer = g_timeout_add(grace_ms, grace_is_over, job);
    ctl_fill(&job->msg, CTL_CANCEL, 0, why, sizeof *why);
    /* A job that cannot be told is killed when the grace is over. */
    (void)ctl_send(job->socket, &job->msg, NULL, 0, NULL);
}
