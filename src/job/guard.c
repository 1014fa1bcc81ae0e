/* SPDX-License-Identifier: Apache-2.0 */
/*
 * godwit-guard PAGE_FD PIDFD: watches the heartbeat of one job until that has ended, and ends it when it
 * falls silent (ctl/beat.h). A process of its own, because it has to do so while the agent is stopped. It
 * holds nothing but the page and the pidfd, least of all a userfaultfd. It hears nobody else, but its user is
 * the jobs': so it may call no more than it needs.
 */
#include <errno.h>
#include <limits.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "base/log.h"
#include "ctl/beat.h"

enum { EXIT_USAGE = 2 };

#ifndef WITHOUT_SECCOMP
static const int allowed[] = {
    SCMP_SYS(brk),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(futex),
    SCMP_SYS(getpid),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(write),
};

static int fill_filter(scmp_filter_ctx filter, int pidfd)
{
    /* It ends the one job and no other process. */
    int failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(pidfd_send_signal), 2,
                                  SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)pidfd), SCMP_A1(SCMP_CMP_EQ, SIGKILL));
    /* The C library looks for the time zone when a line is logged, and copes without. */
    if (!failed)
        failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(openat), 0);
    for (size_t i = 0; !failed && i < sizeof allowed / sizeof *allowed; i++)
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    return failed ? failed : seccomp_load(filter);
}

static int give_up_rights(int pidfd, struct err *err)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_sys(err, errno, "sandbox-failed", "cannot give up privileges");
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!filter)
        return err_sys(err, ENOMEM, "no-memory", "no memory for the system call filter");
    int failed = fill_filter(filter, pidfd);
    seccomp_release(filter);
    return failed ? err_sys(err, -failed, "sandbox-failed", "cannot load the system call filter") : 0;
}
#else
/* Sanitizers look at their own process, too. */
static int give_up_rights(int pidfd, struct err *err)
{
    (void)pidfd;
    (void)err;
    return 0;
}
#endif

/* A descriptor's number, or -1. */
static int number(const char *text)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    return errno || end == text || *end || value < 0 || value > INT_MAX ? -1 : (int)value;
}

int main(int argc, char **argv)
{
    struct beat *beat;
    struct err err;
    log_init("godwit-guard");
    int page = argc == 3 ? number(argv[1]) : -1;
    int pidfd = argc == 3 ? number(argv[2]) : -1;
    if (page < 0 || pidfd < 0) {
        (void)fprintf(stderr, "usage: godwit-guard PAGE_FD PIDFD\n");
        return EXIT_USAGE;
    }
    if (beat_map(page, &beat, &err) < 0 || give_up_rights(pidfd, &err) < 0) {
        log_error(&err, "guard");
        return EXIT_FAILURE;
    }
    if (beat_watch(beat, pidfd, -1) == BEAT_PROCESS_KILLED)
        log_info("the job was silent for %u ms and was ended", beat_silence_ms(beat));
    return EXIT_SUCCESS;
}
