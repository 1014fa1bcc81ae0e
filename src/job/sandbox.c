/* SPDX-License-Identifier: Apache-2.0 */
#include "job/sandbox.h"

#include <asm/ioctls.h>
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/ram.h"

#ifndef WITHOUT_SECCOMP
static const int allowed[] = {
    /* data */
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(pread64),
    SCMP_SYS(preadv),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(pwrite64),
    SCMP_SYS(pwritev),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(sendmsg),
    SCMP_SYS(lseek),
    RAM_SYS_CACHESTAT,
    SCMP_SYS(fallocate),
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    /* sockets that it has */
    SCMP_SYS(setsockopt),
    SCMP_SYS(getsockopt),
    SCMP_SYS(shutdown),
    /* descriptors and waits */
    SCMP_SYS(close),
    SCMP_SYS(eventfd2),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(nanosleep),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(gettimeofday),
    /* memory */
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    /* threads */
    SCMP_SYS(futex),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    /* facts */
    SCMP_SYS(getrandom),
    SCMP_SYS(uname),
    SCMP_SYS(getrusage),
};

/* From linux/fs.h of Linux 6.7; older headers do not have it. The type and number of the ioctl, whatever the
 * size of its argument. */
#define PAGEMAP_SCAN_TYPE (('f' << 8) | 16)
#define IOCTL_TYPE_AND_NUMBER 0xffff
#define IOCTL_TYPE 0xff00
#define SOCKET_TYPE 0xf /* the other bits are flags */

/* To ask whether a thread belongs to QEMU; signal 0 is none. */
static int allow_asking_for_threads(scmp_filter_ctx filter, int qemu_pid)
{
    if (!qemu_pid)
        return 0;
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 2,
                            SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)qemu_pid), SCMP_A2(SCMP_CMP_EQ, 0));
}

static int allow_with_arguments(scmp_filter_ctx filter)
{
    const struct {
        int call;
        struct scmp_arg_cmp check;
    } rules[] = {
        {SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)},
        {SCMP_SYS(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)},
        {SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD)},
        {SCMP_SYS(prctl), SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME)},
        {SCMP_SYS(prctl), SCMP_A0(SCMP_CMP_EQ, PR_SET_TIMERSLACK)},
        {SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_MASKED_EQ, IOCTL_TYPE, USERFAULTFD_IOC << 8)},
        {SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_MASKED_EQ, IOCTL_TYPE_AND_NUMBER, PAGEMAP_SCAN_TYPE)},
        {SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, SIOCOUTQ)},
        /* Its own threads only: the jobs of other VMs, and the guards, are of the same user. */
        {SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid())},
        /* Not those that choose who is signalled when a descriptor is ready. */
        {SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_EQ, F_DUPFD_CLOEXEC)},
        {SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_EQ, F_GETFD)},
        {SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_EQ, F_SETFD)},
        {SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_EQ, F_GETFL)},
        {SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_EQ, F_SETFL)},
    };
    int failed = 0;
    for (size_t i = 0; !failed && i < sizeof rules / sizeof *rules; i++)
        failed = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, rules[i].call, 1, &rules[i].check);
    return failed;
}

/* TCP and nothing else. The destination waits for connections: it has no way out to other machines. */
static int allow_connecting(scmp_filter_ctx filter)
{
    static const int families[] = {AF_INET, AF_INET6};
    int failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(connect), 0);
    if (!failed)
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(bind), 0);
    for (size_t i = 0; !failed && i < sizeof families / sizeof *families; i++)
        failed = seccomp_rule_add(
            filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 3, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i]),
            SCMP_A1(SCMP_CMP_MASKED_EQ, SOCKET_TYPE, SOCK_STREAM), SCMP_A2(SCMP_CMP_EQ, 0));
    return failed;
}

static int fill_filter(scmp_filter_ctx filter, const struct sandbox_needs *needs)
{
    int failed = 0;
    for (size_t i = 0; !failed && i < sizeof allowed / sizeof *allowed; i++)
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    if (!failed)
        failed = allow_with_arguments(filter);
    if (!failed)
        failed = allow_asking_for_threads(filter, needs->qemu_pid);
    if (!failed && needs->connects)
        failed = allow_connecting(filter);
    if (!failed)
        failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(openat), 0);
    /* Its flags lie in memory where no filter can look; the C library then uses clone. */
    if (!failed)
        failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    return failed ? failed : seccomp_load(filter);
}

static int load_filter(const struct sandbox_needs *needs, struct err *err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!filter)
        return err_sys(err, ENOMEM, "no-memory", "no memory for the system call filter");
    int failed = fill_filter(filter, needs);
    seccomp_release(filter);
    return failed ? err_sys(err, -failed, "sandbox-failed", "cannot load the system call filter") : 0;
}
#endif

int sandbox_enter(const struct sandbox_needs *needs, struct err *err)
{
    const struct rlimit no_core = {0};
    if (setrlimit(RLIMIT_CORE, &no_core) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_sys(err, errno, "sandbox-failed", "cannot give up privileges");
    /* Only a process that may change it can shrink its bounding set; the others have nothing in reach. */
    capng_select_t which =
        capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS;
    capng_clear(which);
    if (capng_apply(which) < 0)
        return err_set(err, ERR_INTERNAL, "sandbox-failed", "cannot give up capabilities");
#ifdef WITHOUT_SECCOMP
    (void)needs;
    return 0; /* sanitizers look at their own process, too */
#else
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_sys(err, errno, "sandbox-failed", "cannot give up privileges");
    return load_filter(needs, err);
#endif
}
