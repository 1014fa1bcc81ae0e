/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"

#define FDS_OUT_OF_THE_WAY (SPAWN_CHILD_FD(SPAWN_FDS_MAX) + 1)

static char launch_path[PATH_MAX];

void spawn_init(const char *libexec_dir)
{
    (void)snprintf(launch_path, sizeof launch_path, "%s/godwit-launch", libexec_dir);
}

struct watch {
    pid_t pid;
    void (*exited)(pid_t pid, int status, void *user);
    void *user;
};

static gboolean on_exit_of_process(gint fd, GIOCondition condition, gpointer user)
{
    (void)condition;
    struct watch *watch = user;
    siginfo_t info = {0};
    int status = -1;
    if (waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG) == 0) {
        if (!info.si_pid)
            return G_SOURCE_CONTINUE;
        status = info.si_code == CLD_EXITED ? W_EXITCODE(info.si_status, 0) : W_EXITCODE(0, info.si_status);
    }
    (void)close(fd);
    if (watch->exited)
        watch->exited(watch->pid, status, watch->user);
    g_free(watch);
    return G_SOURCE_REMOVE;
}

int spawn_watch(pid_t pid, int pidfd, void (*exited)(pid_t pid, int status, void *user), void *user,
                struct err *err)
{
    int own = fcntl(pidfd, F_DUPFD_CLOEXEC, 0);
    if (own < 0) {
        (void)err_sys(err, errno, "watch-failed", "cannot watch process %d", (int)pid);
        return err_arg(err, "pid", "%d", (int)pid);
    }
    struct watch *watch = g_new(struct watch, 1);
    *watch = (struct watch){.pid = pid, .exited = exited, .user = user};
    (void)g_unix_fd_add(own, G_IO_IN, on_exit_of_process, watch);
    return 0;
}

/* argv of godwit-launch; g_strfreev. */
static char **launch_argv(const struct spawn_request *request, const char *launch)
{
    GPtrArray *argv = g_ptr_array_new();
    g_ptr_array_add(argv, g_strdup(launch));
    g_ptr_array_add(argv, g_strdup_printf("%u", request->user.uid));
    g_ptr_array_add(argv, g_strdup_printf("%u", request->user.gid));
    g_ptr_array_add(argv, g_strdup_printf("%u", request->group));
    g_ptr_array_add(argv, g_strdup_printf("%u", request->n_fds));
    g_ptr_array_add(argv, g_strdup_printf("%d", request->survives ? 0 : (int)getpid()));
    g_ptr_array_add(argv, g_strdup_printf("%d", request->nice));
    g_ptr_array_add(argv, g_strdup(request->preload ? request->preload : "-"));
    g_ptr_array_add(argv, g_strdup(request->program));
    for (unsigned i = 0; request->argv[i]; i++)
        g_ptr_array_add(argv, g_strdup(request->argv[i]));
    g_ptr_array_add(argv, NULL);
    return (char **)g_ptr_array_free(argv, FALSE);
}

static char **child_env(const struct spawn_request *request)
{
    GPtrArray *env = g_ptr_array_new();
    g_ptr_array_add(env, g_strdup("PATH=/usr/sbin:/usr/bin:/sbin:/bin"));
    g_ptr_array_add(env, g_strdup("LC_ALL=C"));
    const char *level = g_getenv("LOG_LEVEL");
    if (level)
        g_ptr_array_add(env, g_strdup_printf("LOG_LEVEL=%s", level));
    const char *journal = g_getenv("JOURNAL_STREAM");
    if (journal)
        g_ptr_array_add(env, g_strdup_printf("JOURNAL_STREAM=%s", journal));
    for (unsigned i = 0; request->env && request->env[i]; i++)
        g_ptr_array_add(env, g_strdup(request->env[i]));
    g_ptr_array_add(env, NULL);
    return (char **)g_ptr_array_free(env, FALSE);
}

static int child_files(posix_spawn_file_actions_t *actions, const struct spawn_request *request, int log_fd,
                       const int *high_fds)
{
    int failed = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (log_fd >= 0)
        failed = failed || posix_spawn_file_actions_adddup2(actions, log_fd, STDOUT_FILENO) ||
                 posix_spawn_file_actions_adddup2(actions, log_fd, STDERR_FILENO);
    for (unsigned i = 0; i < request->n_fds; i++)
        failed = failed || posix_spawn_file_actions_adddup2(actions, high_fds[i], SPAWN_CHILD_FD((int)i));
    return failed ? -1 : 0;
}

static int start(const struct spawn_request *request, const char *launch, const int *high_fds, int log_fd,
                 pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none;
    sigset_t all;
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawnattr_init(&attr);
    int errnum = ENOMEM;
    short flags =
        POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | (request->survives ? POSIX_SPAWN_SETSID : 0);
    if (!posix_spawnattr_setsigmask(&attr, &none) && !posix_spawnattr_setsigdefault(&attr, &all) &&
        !posix_spawnattr_setflags(&attr, flags) && !child_files(&actions, request, log_fd, high_fds)) {
        g_auto(GStrv) argv = launch_argv(request, launch);
        g_auto(GStrv) env = child_env(request);
        errnum = posix_spawn(ret_pid, launch, &actions, &attr, argv, env);
    }
    (void)posix_spawnattr_destroy(&attr);
    (void)posix_spawn_file_actions_destroy(&actions);
    return errnum;
}

int spawn(const struct spawn_request *request, pid_t *ret_pid, int *ret_pidfd,
          void (*exited)(pid_t pid, int status, void *user), void *user, struct err *err)
{
    int high_fds[SPAWN_FDS_MAX];
    unsigned n_high = 0;
    int errnum = 0;
    if (request->n_fds > SPAWN_FDS_MAX) {
        (void)err_set(err, ERR_INTERNAL, "too-many-descriptors", "%s would get %u descriptors",
                      request->program, request->n_fds);
        (void)err_arg(err, "path", "%s", request->program);
        return err_arg(err, "n_fds", "%u", request->n_fds);
    }
    auto_fd log_fd = -1;
    if (request->log_path) {
        log_fd = open(request->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (log_fd < 0) {
            (void)err_sys(err, errno, "log-open-failed", "cannot open %s", request->log_path);
            return err_arg(err, "path", "%s", request->log_path);
        }
    }
    /* Above all child numbers, so that no dup2 in the child overwrites one that is still needed. */
    for (; n_high < request->n_fds; n_high++) {
        high_fds[n_high] = fcntl(request->fds[n_high], F_DUPFD_CLOEXEC, FDS_OUT_OF_THE_WAY);
        if (high_fds[n_high] < 0) {
            errnum = errno;
            break;
        }
    }
    int high_log = -1;
    if (!errnum && log_fd >= 0 && (high_log = fcntl(log_fd, F_DUPFD_CLOEXEC, FDS_OUT_OF_THE_WAY)) < 0)
        errnum = errno;
    if (!errnum)
        errnum = start(request, launch_path, high_fds, high_log, ret_pid);
    for (unsigned i = 0; i < n_high; i++)
        (void)close(high_fds[i]);
    if (high_log >= 0)
        (void)close(high_log);
    if (errnum) {
        (void)err_sys(err, errnum, "spawn-failed", "cannot start %s", request->program);
        return err_arg(err, "path", "%s", request->program);
    }
    /* The child cannot have been reaped yet, so the number is still its own. */
    *ret_pidfd = (int)syscall(SYS_pidfd_open, *ret_pid, 0);
    if (*ret_pidfd < 0 || spawn_watch(*ret_pid, *ret_pidfd, exited, user, NULL) < 0) {
        errnum = errno;
        (void)kill(*ret_pid, SIGKILL);
        (void)waitpid(*ret_pid, NULL, 0);
        if (*ret_pidfd >= 0)
            (void)close(*ret_pidfd);
        *ret_pidfd = -1;
        (void)err_sys(err, errnum, "spawn-failed", "cannot watch %s", request->program);
        return err_arg(err, "path", "%s", request->program);
    }
    return 0;
}
