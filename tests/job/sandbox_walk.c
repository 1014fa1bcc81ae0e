/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox_walk.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CALLS_MAX 600
#define CANNOT_ENTER 254
#define PATIENCE_S 20

/* What gives a process power over files, other processes, users or the kernel. */
static const char *const never[] = {
    "execve",
    "execveat",
    "fork",
    "vfork",
    "ptrace",
    "kill",
    "tkill",
    "rt_sigqueueinfo",
    "setuid",
    "setresuid",
    "setgroups",
    "capset",
    "unshare",
    "setns",
    "mount",
    "umount2",
    "pivot_root",
    "chroot",
    "fsopen",
    "open_tree",
    "move_mount",
    "open",
    "openat2",
    "creat",
    "unlinkat",
    "renameat2",
    "linkat",
    "symlinkat",
    "mkdirat",
    "mknodat",
    "fchmodat",
    "fchownat",
    "ftruncate",
    "truncate",
    "memfd_create",
    "userfaultfd",
    "socketpair",
    "listen",
    "bpf",
    "seccomp",
    "keyctl",
    "add_key",
    "init_module",
    "finit_module",
    "kexec_load",
    "reboot",
    "swapon",
    "settimeofday",
    "io_uring_setup",
    "perf_event_open",
    "pidfd_getfd",
    "pidfd_open",
    "open_by_handle_at",
    "prlimit64",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
};

pid_t walk_parent;

static int how_it_ended(pid_t child)
{
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child)
        return WALK_BROKEN;
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGSYS ? WALK_KILLED : WALK_BROKEN + WTERMSIG(status);
    return WEXITSTATUS(status) == CANNOT_ENTER ? WALK_BROKEN : WEXITSTATUS(status);
}

static const char *say(int end, char *text, size_t size)
{
    if (end == WALK_DONE)
        return "done";
    if (end == WALK_KILLED)
        return "ended by the filter";
    (void)snprintf(text, size, end >= WALK_BROKEN ? "broken: signal %d" : "error %d", end % WALK_KILLED);
    return text;
}

unsigned walk_attempts(sandbox_entry enter, const struct walk_attempt *attempts, size_t n)
{
    unsigned n_wrong = 0;
    walk_parent = getpid();
    for (size_t i = 0; i < n; i++) {
        char is[32], should[32];
        (void)fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            (void)alarm(PATIENCE_S);
            _exit(enter() < 0 ? CANNOT_ENTER : attempts[i].act());
        }
        int end = how_it_ended(child);
        bool is_wrong = end != attempts[i].end;
        (void)printf("%-50s %s%s%s\n", attempts[i].what, say(end, is, sizeof is),
                     is_wrong ? ", and not " : "",
                     is_wrong ? say(attempts[i].end, should, sizeof should) : "");
        n_wrong += is_wrong;
    }
    return n_wrong;
}

static bool may_never(const char *name)
{
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (!strcmp(never[i], name))
            return true;
    return false;
}

unsigned walk_calls(sandbox_entry enter)
{
    unsigned n_wrong = 0, n_allowed = 0, n_calls = 0;
    (void)printf("may be called in some form:");
    for (int number = 0; number < CALLS_MAX; number++) {
        char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);
        if (!name)
            continue;
        (void)fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            (void)alarm(PATIENCE_S);
            if (enter() < 0)
                _exit(CANNOT_ENTER);
            (void)syscall(number, -1L, -1L, -1L, -1L, -1L, -1L);
            _exit(0);
        }
        n_calls++;
        if (how_it_ended(child) != WALK_KILLED) {
            bool is_wrong = may_never(name);
            (void)printf(" %s%s", name, is_wrong ? " (NEVER)" : "");
            n_allowed++;
            n_wrong += is_wrong;
        }
        free(name);
    }
    (void)printf("\n%u of %u system calls\n", n_allowed, n_calls);
    return n_wrong + (n_allowed == 0);
}

/* ---- attempts ---- */

static int result_of(long result)
{
    return result < 0 ? errno : 0;
}

int walk_read_a_file(void)
{
    return result_of(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

int walk_make_a_file(void)
{
    return result_of(open("/tmp", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600));
}

static int execute(void)
{
    char *const argv[] = {(char *)(uintptr_t) "true", NULL};
    return result_of(execv("/bin/true", argv));
}

static int make_a_process(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    return result_of(child);
}

static int trace_the_parent(void)
{
    return result_of(ptrace(PTRACE_SEIZE, walk_parent, NULL, NULL));
}

static int kill_the_parent(void)
{
    return result_of(kill(walk_parent, 0));
}

static int read_the_parents_memory(void)
{
    char byte;
    struct iovec part = {&byte, 1};
    return result_of(process_vm_readv(walk_parent, &part, 1, &part, 1, 0));
}

static int unix_socket(void)
{
    return result_of(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

int walk_tcp_socket(void)
{
    return result_of(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

static int udp_socket(void)
{
    return result_of(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

static int packet_socket(void)
{
    return result_of(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
}

static int executable_memory(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
                   MAP_FAILED
               ? errno
               : 0;
}

static int be_dumpable(void)
{
    return result_of(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

static int become_root(void)
{
    return result_of(setresuid(0, 0, 0));
}

static int new_namespace(void)
{
    return result_of(unshare(CLONE_NEWUSER));
}

int walk_read_the_clock(void)
{
    struct timespec now;
    return result_of(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now));
}

unsigned walk_forbidden(sandbox_entry enter)
{
    static const struct walk_attempt attempts[] = {
        {"execute a program", execute, WALK_KILLED},
        {"make a process", make_a_process, WALK_KILLED},
        {"trace a process", trace_the_parent, WALK_KILLED},
        {"signal a process", kill_the_parent, WALK_KILLED},
        {"read another's memory", read_the_parents_memory, WALK_KILLED},
        {"make a unix socket", unix_socket, WALK_KILLED},
        {"make a UDP socket", udp_socket, WALK_KILLED},
        {"make a packet socket", packet_socket, WALK_KILLED},
        {"get memory that can be executed", executable_memory, WALK_KILLED},
        {"let others look into it", be_dumpable, WALK_KILLED},
        {"become root", become_root, WALK_KILLED},
        {"make a namespace", new_namespace, WALK_KILLED},
    };
    return walk_attempts(enter, attempts, sizeof attempts / sizeof *attempts);
}
