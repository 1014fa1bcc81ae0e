/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Started by spawn.c with descriptors 3 .. 2+N in place. Opens the program and the object to preload with the
 * agent's rights, gives the rights up, and executes. What goes wrong is said on standard error, which is the
 * child's log.
 *
 *   godwit-launch UID GID GROUP N_FDS DIES_WITH_AGENT NICE PRELOAD PROGRAM ARGV...     ("-" for no preload)
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FIRST_FD 3
#define EXIT_CANNOT_RUN 127
#define FILES_MAX 65536
#define LOCKED_BYTES_MAX (64ul << 20)

enum argument {
    ARG_UID = 1,
    ARG_GID,
    ARG_GROUP,
    ARG_FDS,
    ARG_AGENT,
    ARG_NICE,
    ARG_PRELOAD,
    ARG_PROGRAM,
    ARG_ARGV
};

extern char **environ;

static int fail(const char *what, const char *name)
{
    (void)fprintf(stderr, "godwit-launch: %s %s: %s\n", what, name, strerror(errno));
    return -1;
}

/* At most what this process may have itself: raising a hard limit needs a right that a container may lack. */
static int limit(int resource, rlim_t wanted)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) < 0)
        return -1;
    limit.rlim_cur = limit.rlim_max = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    return setrlimit(resource, &limit);
}

static int set_limits(void)
{
    /* No core: guest memory and keys do not belong on a disk. */
    if (limit(RLIMIT_NOFILE, FILES_MAX) < 0 || limit(RLIMIT_MEMLOCK, LOCKED_BYTES_MAX) < 0 ||
        limit(RLIMIT_CORE, 0) < 0)
        return fail("cannot set", "resource limits");
    return 0;
}

/* The agent protects itself from the kernel's want of memory; a child with the same protection would outrank
 * the rest of the machine. */
static int be_ordinary(void)
{
    char now[16] = "";
    int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    if (fd < 0 || read(fd, now, sizeof now - 1) < 1 || (now[0] == '-' && pwrite(fd, "0", 1, 0) != 1))
        return fail("cannot set", "/proc/self/oom_score_adj");
    return close(fd);
}

/* A right that a container may lack, and without which the child works as well. */
static void set_nice(const char *wanted)
{
    int nice = (int)strtol(wanted, NULL, 10);
    if (nice && setpriority(PRIO_PROCESS, 0, nice) < 0)
        (void)fail("goes on without", "its scheduling priority");
}

static int drop_rights(uid_t uid, gid_t gid, gid_t group)
{
    if (uid == 0)
        return 0;
    if (setgroups(group ? 1 : 0, &group) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
        return fail("cannot become", "the child's user");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return fail("cannot set", "no_new_privs");
    return 0;
}

/* The preloaded object takes the number after the last listed descriptor; the rest ends at exec. */
static int arrange_fds(const char *preload, unsigned n_fds)
{
    int last = FIRST_FD + (int)n_fds;
    if (strcmp(preload, "-") != 0) {
        int fd = open(preload, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return fail("cannot open", preload);
        if (fd == last ? fcntl(fd, F_SETFD, 0) < 0 : dup2(fd, last) < 0)
            return fail("cannot place", preload);
        char value[32];
        (void)snprintf(value, sizeof value, "/proc/self/fd/%d", last);
        if (setenv("LD_PRELOAD", value, 1) < 0)
            return fail("cannot set", "LD_PRELOAD");
        last++;
    }
    if (syscall(SYS_close_range, last, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
        return fail("cannot close", "other descriptors");
    return 0;
}

/* "0": it lives on. Else the number of the agent with whose end it is killed: also when that came before it
 * was asked for. */
static int follow_agent(const char *agent)
{
    if (!strcmp(agent, "0"))
        return 0;
    /* After the change of user, which clears it. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        return fail("cannot follow", "the agent's end");
    errno = ESRCH;
    /* The agent of the version before says "1". */
    return !strcmp(agent, "1") || getppid() == (pid_t)strtol(agent, NULL, 10)
               ? 0
               : fail("came too late for", "its agent");
}

int main(int argc, char **argv)
{
    if (argc <= ARG_ARGV) {
        (void)fprintf(stderr, "godwit-launch: is started by godwit-agent only\n");
        return 2;
    }
    unsigned n_fds = (unsigned)strtoul(argv[ARG_FDS], NULL, 10);
    int program = open(argv[ARG_PROGRAM], O_RDONLY | O_CLOEXEC);
    if (program < 0) {
        (void)fail("cannot open", argv[ARG_PROGRAM]);
        return EXIT_CANNOT_RUN;
    }
    /* Out of the way of the preloaded object's number. */
    int high = fcntl(program, F_DUPFD_CLOEXEC, FIRST_FD + (int)n_fds + 1);
    if (high < 0) {
        (void)fail("cannot keep", argv[ARG_PROGRAM]);
        return EXIT_CANNOT_RUN;
    }
    (void)close(program);
    set_nice(argv[ARG_NICE]);
    if (set_limits() < 0 || be_ordinary() < 0 || arrange_fds(argv[ARG_PRELOAD], n_fds) < 0 ||
        drop_rights((uid_t)strtoul(argv[ARG_UID], NULL, 10), (gid_t)strtoul(argv[ARG_GID], NULL, 10),
                    (gid_t)strtoul(argv[ARG_GROUP], NULL, 10)) < 0)
        return EXIT_CANNOT_RUN;
    if (follow_agent(argv[ARG_AGENT]) < 0)
        return EXIT_CANNOT_RUN;
    (void)syscall(SYS_execveat, high, "", argv + ARG_ARGV, environ, AT_EMPTY_PATH);
    (void)fail("cannot execute", argv[ARG_PROGRAM]);
    return EXIT_CANNOT_RUN;
}
