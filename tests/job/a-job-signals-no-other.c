/* SPDX-License-Identifier: Apache-2.0 */
/* The jobs of all VMs, and their guards, are of one user: one that was taken over may not stop the others. */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "job/sandbox.h"

static void signal_itself(pid_t other)
{
    (void)other;
    (void)syscall(SYS_tgkill, getpid(), gettid(), 0);
}

static void signal_the_other(pid_t other)
{
    (void)syscall(SYS_tgkill, other, other, 0);
}

static void end_the_other(pid_t other)
{
    (void)syscall(SYS_tgkill, other, other, SIGTERM);
}

static void choose_who_is_signalled(pid_t other)
{
    (void)fcntl(STDIN_FILENO, F_SETOWN, other);
}

static void choose_the_signal(pid_t other)
{
    (void)other;
    (void)fcntl(STDIN_FILENO, F_SETSIG, SIGKILL);
}

/* The number of the signal that ended it, 0: none. */
static int end_of(void (*act)(pid_t other), bool is_qemu)
{
    int status = -1;
    pid_t other = getpid();
    pid_t child = fork();
    if (child == 0) {
        struct err err;
        if (sandbox_enter(&(struct sandbox_needs){.qemu_pid = is_qemu ? other : 0}, &err) < 0)
            _exit(1);
        act(other);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return -1;
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status) ? -1 : 0;
}

int main(void)
{
    static const struct {
        const char *what;
        void (*act)(pid_t other);
        int signal;
        bool is_qemu; /* the other process */
    } cases[] = {
        {"a signal to itself", signal_itself, 0, false},
        {"a signal to another process", signal_the_other, SIGSYS, false},
        {"whether a thread is QEMU's", signal_the_other, 0, true},
        {"a signal to QEMU", end_the_other, SIGSYS, true},
        {"F_SETOWN", choose_who_is_signalled, SIGSYS, false},
        {"F_SETSIG", choose_the_signal, SIGSYS, false},
    };
    int n_failed = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int end = end_of(cases[i].act, cases[i].is_qemu);
        (void)printf("%s: ended by signal %d, expected %d\n", cases[i].what, end, cases[i].signal);
        n_failed += end != cases[i].signal;
    }
    return n_failed ? 1 : 0;
}
