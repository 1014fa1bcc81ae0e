/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/job_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/spawn.h"
#include "base/cleanup.h"
#include "base/thread.h"
#include "ctl/beat.h"

struct job_watch {
    struct beat *beat;
    int page;
    int pidfd;       /* of the job */
    int stop_fd;     /* ends the thread */
    int guard_pidfd; /* -1: no guard */
    bool is_guarded; /* its exit was not reported yet: that call still uses this object */
    bool is_freed;
    void (*unguarded)(void *user);
    void *user;
    struct thread thread;
};

int job_watch_new(struct job_watch **ret_watch, struct err *err)
{
    struct job_watch *watch = g_new0(struct job_watch, 1);
    watch->page = watch->pidfd = watch->guard_pidfd = -1;
    watch->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (watch->stop_fd < 0) {
        (void)err_sys(err, errno, "eventfd-failed", "cannot make an eventfd");
        job_watch_free(watch);
        return -1;
    }
    if (beat_new(&watch->beat, &watch->page, err) < 0) {
        job_watch_free(watch);
        return -1;
    }
    *ret_watch = watch;
    return 0;
}

int job_watch_page(const struct job_watch *watch)
{
    return watch->page;
}

unsigned job_watch_silence_ms(const struct job_watch *watch)
{
    return beat_silence_ms(watch->beat);
}

static void *watch_job(void *argument)
{
    struct job_watch *watch = argument;
    (void)beat_watch(watch->beat, watch->pidfd, watch->stop_fd);
    return NULL;
}

static void release(struct job_watch *watch)
{
    if (!watch->is_freed || watch->is_guarded)
        return;
    g_free(watch);
}

static bool job_has_ended(const struct job_watch *watch)
{
    struct pollfd job = {.fd = watch->pidfd, .events = POLLIN};
    return poll(&job, 1, 0) > 0;
}

static void guard_ended(pid_t pid, int status, void *user)
{
    struct job_watch *watch = user;
    (void)pid;
    (void)status;
    if (!watch->is_freed && !job_has_ended(watch) && !job_watch_silence_ms(watch))
        watch->unguarded(watch->user);
    watch->is_guarded = false;
    release(watch);
}

static int start_guard(struct job_watch *watch, const struct agent_config *config, struct err *err)
{
    char program[MODEL_PATH_MAX + 16];
    char page[16];
    char pidfd[16];
    pid_t pid;
    (void)snprintf(program, sizeof program, "%s/godwit-guard", config->libexec_dir);
    (void)snprintf(page, sizeof page, "%d", SPAWN_CHILD_FD(0));
    (void)snprintf(pidfd, sizeof pidfd, "%d", SPAWN_CHILD_FD(1));
    const char *argv[] = {"godwit-guard", page, pidfd, NULL};
    struct spawn_request request = {.program = program,
                                    .argv = argv,
                                    .user = config->job_user,
                                    .n_fds = 2,
                                    .fds = {watch->page, watch->pidfd}};
    if (spawn(&request, &pid, &watch->guard_pidfd, guard_ended, watch, err) < 0)
        return -1;
    watch->is_guarded = true;
    return 0;
}

int job_watch_start(struct job_watch *watch, const struct agent_config *config, int pidfd,
                    void (*unguarded)(void *user), void *user, struct err *err)
{
    watch->unguarded = unguarded;
    watch->user = user;
    watch->pidfd = fcntl(pidfd, F_DUPFD_CLOEXEC, 0);
    if (watch->pidfd < 0)
        return err_sys(err, errno, "watch-failed", "cannot watch the migration job");
    if (thread_start(&watch->thread, "heartbeat", watch_job, watch, err) < 0)
        return -1;
    return start_guard(watch, config, err);
}

void job_watch_free(struct job_watch *watch)
{
    if (!watch)
        return;
    if (watch->thread.started)
        (void)eventfd_write(watch->stop_fd, 1);
    thread_join(&watch->thread);
    /* It ends with the job; one that was stopped does not. */
    if (watch->guard_pidfd >= 0)
        (void)syscall(SYS_pidfd_send_signal, watch->guard_pidfd, SIGKILL, NULL, 0);
    beat_unmap(watch->beat);
    cleanup_fd(&watch->page);
    cleanup_fd(&watch->pidfd);
    cleanup_fd(&watch->stop_fd);
    cleanup_fd(&watch->guard_pidfd);
    watch->beat = NULL;
    watch->is_freed = true;
    release(watch);
}
