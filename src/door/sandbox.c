/* SPDX-License-Identifier: Apache-2.0 */
#include "door/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <unistd.h>

int sandbox_become(uid_t uid, gid_t gid, struct err *err)
{
    if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
        return err_sys(err, errno, "user-change-failed", "cannot become uid %u, gid %u", (unsigned)uid,
                       (unsigned)gid);
    return 0;
}

#ifndef WITHOUT_SECCOMP
/* Killing is the right answer to any other call: the loop makes none, so it would be a stranger's. The agent
 * starts a new door. */
static const int allowed[] = {
    SCMP_SYS(accept4),       SCMP_SYS(brk),
    SCMP_SYS(clock_gettime), SCMP_SYS(close),
    SCMP_SYS(exit),          SCMP_SYS(exit_group),
    SCMP_SYS(getpid),        SCMP_SYS(gettimeofday),
    SCMP_SYS(munmap),        SCMP_SYS(poll),
    SCMP_SYS(ppoll),         SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),       SCMP_SYS(restart_syscall),
    SCMP_SYS(rt_sigreturn),  SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(sendmsg),       SCMP_SYS(write),
    SCMP_SYS(futex),
};

/* Not those that choose who is signalled when a descriptor is ready. */
static const int of_fcntl[] = {F_GETFL, F_SETFL, F_SETFD};
#endif

int sandbox_enter(struct err *err)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_sys(err, errno, "sandbox-failed", "cannot give up privileges");
#ifndef WITHOUT_SECCOMP /* sanitizers look at their own process, too */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_sys(err, errno, "sandbox-failed", "cannot give up privileges");
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!filter)
        return err_sys(err, ENOMEM, "no-memory", "no memory for the system call filter");
    int failed = 0;
    for (size_t i = 0; !failed && i < sizeof allowed / sizeof *allowed; i++)
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    for (size_t i = 0; !failed && i < sizeof of_fcntl / sizeof *of_fcntl; i++)
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
                                  SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)of_fcntl[i]));
    if (!failed)
        failed = seccomp_load(filter);
    seccomp_release(filter);
    if (failed)
        return err_sys(err, -failed, "sandbox-failed", "cannot load the system call filter");
#endif
    return 0;
}
