/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor/limited.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define OUTPUT_MAX (16u << 20)

extern char **environ;

static int left_ms(uint64_t until_ns)
{
    uint64_t now_ns = clock_now_ns();
    return now_ns < until_ns ? (int)((until_ns - now_ns) / NS_PER_MS) + 1 : 0;
}

/* All that comes, until the end. False: it is late. */
static bool read_until(int fd, uint64_t until_ns, GByteArray *bytes)
{
    guint8 buffer[16384];
    for (;;) {
        struct pollfd poller = {.fd = fd, .events = POLLIN};
        int n_ready = poll(&poller, 1, left_ms(until_ns));
        if (n_ready < 0 && errno == EINTR)
            continue;
        if (n_ready <= 0)
            return false;
        ssize_t n = read(fd, buffer, sizeof buffer);
        if (n <= 0)
            return true;
        if (bytes->len < OUTPUT_MAX)
            g_byte_array_append(bytes, buffer, (guint)n);
    }
}

/* Its status; -1: it does not end, even killed. */
static int end_child(pid_t pid, bool is_late)
{
    int status = -1;
    if (!is_late)
        return waitpid(pid, &status, 0) == pid ? status : -1;
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, &status, WNOHANG);
    return -1;
}

static char *find_program(const char *name)
{
    static const char *const folders[] = {"/usr/sbin", "/sbin"};
    char *path = g_find_program_in_path(name);
    for (size_t i = 0; !path && i < G_N_ELEMENTS(folders); i++) {
        path = g_build_filename(folders[i], name, NULL);
        if (access(path, X_OK) < 0)
            g_clear_pointer(&path, g_free);
    }
    return path;
}

/* The program with its output in two files of the parent. */
static int start(const char *path, const char *const *argv, int out, int complaints, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    (void)posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    (void)posix_spawn_file_actions_adddup2(&actions, complaints, STDERR_FILENO);
    int errnum = posix_spawn(ret_pid, path, &actions, NULL, (char *const *)argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    return errnum;
}

static char *last_line(int fd)
{
    char text[2048];
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    char *valid = g_utf8_make_valid(g_strstrip(text), -1);
    const char *line = strrchr(valid, '\n');
    char *last = g_strdup(line ? line + 1 : valid);
    g_free(valid);
    return last;
}

int limited_run(const char *const *argv, unsigned limit_ms, char **ret_output, struct err *err)
{
    g_autofree char *path = find_program(argv[0]);
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    uint64_t until_ns = clock_now_ns() + limit_ms * NS_PER_MS;
    int ends[2];
    pid_t pid;
    *ret_output = NULL;
    if (!path)
        return err_set(err, ERR_NOT_FOUND, "program-missing", "there is no program '%s' here", argv[0]);
    auto_fd complaints = memfd_create("complaints", MFD_CLOEXEC);
    if (complaints < 0 || pipe2(ends, O_CLOEXEC) < 0)
        return err_sys(err, errno, "pipe-failed", "cannot hear '%s'", argv[0]);
    int errnum = start(path, argv, ends[1], complaints, &pid);
    (void)close(ends[1]);
    auto_fd hear = ends[0];
    if (errnum)
        return err_sys(err, errnum, "program-failed", "cannot run '%s'", path);
    bool is_late = !read_until(hear, until_ns, bytes);
    int status = end_child(pid, is_late);
    if (is_late)
        return err_set(err, ERR_TIMEOUT, "program-late", "'%s' did not end within %u s", path,
                       limit_ms / 1000);
    if (!WIFEXITED(status) || WEXITSTATUS(status)) {
        g_autofree char *why = last_line(complaints);
        (void)err_set(err, ERR_REFUSED, "program-failed", "'%s' failed", path);
        return err_cause(err, "%s", why);
    }
    g_byte_array_append(bytes, (const guint8 *)"", 1);
    *ret_output = g_utf8_make_valid((const char *)bytes->data, -1);
    return 0;
}

int limited_ask(void (*work)(void *answer), void *answer, size_t size, unsigned limit_ms, struct err *err)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_sys(err, errno, "pipe-failed", "cannot ask a child");
    pid_t pid = fork();
    if (pid == 0) {
        work(answer);
        ssize_t n = write(ends[1], answer, size);
        _exit(n == (ssize_t)size ? 0 : 1);
    }
    (void)close(ends[1]);
    auto_fd hear = ends[0];
    if (pid < 0)
        return err_sys(err, errno, "fork-failed", "cannot ask a child");
    bool is_late = !read_until(hear, clock_now_ns() + limit_ms * NS_PER_MS, bytes);
    (void)end_child(pid, is_late);
    if (is_late)
        return err_set(err, ERR_TIMEOUT, "child-late", "no answer came within %u s", limit_ms / 1000);
    if (bytes->len != size)
        return err_set(err, ERR_INTERNAL, "child-failed", "the child that asked died");
    memcpy(answer, bytes->data, size);
    return 0;
}
