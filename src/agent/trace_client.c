/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/vm_process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "ctl/ctl.h"

#define ANSWER_S 1

static int refuse(const struct vm *vm, const char *why, struct err *err)
{
    (void)err_set(err, ERR_REFUSED, "vm-not-traceable", "the memory writes of VM %s cannot be tracked",
                  vm->status.spec.name);
    (void)err_arg(err, "vm", "%s", vm->status.spec.name);
    (void)err_cause(err, "%s", why);
    return err_fix(err,
                   "stop and start VM %s; if that does not help, 'godwit doctor' on its host says what "
                   "it lacks",
                   vm->status.spec.name);
}

static int connect_trace(const struct vm *vm, int *ret_fd, struct err *err)
{
    if (!vm->process->has_trace) {
        (void)refuse(vm, "/dev/userfaultfd could not be opened when the VM was started", err);
        return err_fix(err,
                       "make /dev/userfaultfd available (Linux 6.1 or later), then stop and start the VM");
    }
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_autofree char *path = vm_path(vm, "trace.sock");
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    const struct timeval limit = {.tv_sec = ANSWER_S};
    auto_fd fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) < 0)
        return err_sys(err, errno, "socket-failed", "cannot make a socket");
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        char why[160];
        (void)snprintf(why, sizeof why, "the trace object in QEMU does not answer: %s", strerror(errno));
        return refuse(vm, why, err);
    }
    *ret_fd = steal_fd(&fd);
    return 0;
}

/* The descriptors of a message; *ret_count 0 or 2, others are closed. */
static void take_pair(struct msghdr *header, int pair[2], unsigned *ret_count)
{
    *ret_count = 0;
    for (struct cmsghdr *at = CMSG_FIRSTHDR(header); at; at = CMSG_NXTHDR(header, at)) {
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(at) + i * sizeof fd, sizeof fd);
            if (*ret_count < 2)
                pair[(*ret_count)++] = fd;
            else
                (void)close(fd);
        }
    }
}

int trace_ask(const struct vm *vm, int *ret_async, int *ret_sync, struct err *err)
{
    auto_fd fd = -1;
    if (connect_trace(vm, &fd, err) < 0)
        return -1;
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(4 * sizeof(int))];
    } control;
    char ask = CTL_TRACE_ASK;
    char answer[1 + sizeof(int32_t)];
    struct iovec data = {.iov_base = answer, .iov_len = sizeof answer};
    struct msghdr header = {.msg_iov = &data,
                            .msg_iovlen = 1,
                            .msg_control = control.space,
                            .msg_controllen = sizeof control.space};
    if (send(fd, &ask, 1, MSG_NOSIGNAL) != 1)
        return refuse(vm, "the trace object in QEMU closed its socket", err);
    ssize_t got = recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
    if (got < 0)
        return refuse(
            vm, errno == EAGAIN ? "the trace object in QEMU did not answer within a second" : strerror(errno),
            err);
    int pair[2] = {-1, -1};
    unsigned count;
    take_pair(&header, pair, &count);
    /* The object hangs up after it has closed its own copies: only then is ours the last reference. */
    char end;
    bool is_ours_alone = got == 1 && recv(fd, &end, 1, 0) == 0;
    if (is_ours_alone && answer[0] == CTL_TRACE_PAIR && count == 2) {
        *ret_async = pair[0];
        *ret_sync = pair[1];
        return 0;
    }
    for (unsigned i = 0; i < count; i++)
        (void)close(pair[i]);
    if (got == (ssize_t)sizeof answer && answer[0] == CTL_TRACE_ERROR) {
        int32_t errnum;
        memcpy(&errnum, answer + 1, sizeof errnum);
        return refuse(vm, strerror(errnum), err);
    }
    return refuse(vm, "the trace object in QEMU gave a malformed answer", err);
}

/* QEMU names its threads: "CPU 3/KVM". One that it does not name counts as any other thread of it, and is
 * never held up. */
static void find_vcpus(const struct vm *vm, struct vm_trace *trace)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/task", vm->status.pid);
    g_autoptr(GDir) tasks = g_dir_open(path, 0, NULL);
    const char *tid;
    unsigned n_found = 0;
    while (tasks && (tid = g_dir_read_name(tasks))) {
        unsigned number;
        g_autofree char *name_path = g_strdup_printf("%s/%s/comm", path, tid);
        g_autofree char *name = NULL;
        if (!g_file_get_contents(name_path, &name, NULL, NULL) || sscanf(name, "CPU %u/", &number) != 1 ||
            number >= vm->status.spec.cpus || trace->vcpu_tids[number])
            continue;
        trace->vcpu_tids[number] = atoi(tid);
        n_found++;
    }
    trace->n_vcpus = vm->status.spec.cpus;
    if (n_found < trace->n_vcpus)
        log_warn("VM %s: QEMU names %u of its %u vCPUs", vm->status.spec.name, n_found, trace->n_vcpus);
}

/* Another opening of the same memory, for who has only to read it. */
static int open_to_read(int memory)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", memory);
    return open(path, O_RDONLY | O_CLOEXEC);
}

int vm_open_trace(struct vm *vm, struct vm_trace *ret_trace, struct err *err)
{
    if (!vm->process) {
        (void)err_set(err, ERR_REFUSED, "vm-is-off", "VM %s is off", vm->status.spec.name);
        return err_arg(err, "vm", "%s", vm->status.spec.name);
    }
    struct vm_trace trace = {.ram_fd = -1, .uffd_async = -1, .uffd_sync = -1, .pagemap_fd = -1, .pidfd = -1};
    char path[64];
    if (ram_find(vm, &trace.ram_address, err) < 0 ||
        trace_ask(vm, &trace.uffd_async, &trace.uffd_sync, err) < 0)
        return -1;
    (void)snprintf(path, sizeof path, "/proc/%d/pagemap", vm->status.pid);
    trace.pagemap_fd = open(path, O_RDONLY | O_CLOEXEC);
    trace.ram_fd = open_to_read(vm->ram_fd);
    trace.pidfd = fcntl(vm->pidfd, F_DUPFD_CLOEXEC, 0);
    if (trace.pagemap_fd >= 0 && trace.ram_fd >= 0 && trace.pidfd >= 0) {
        find_vcpus(vm, &trace);
        *ret_trace = trace;
        return 0;
    }
    (void)err_sys(err, errno, "trace-failed", "cannot open what tracks the memory writes of VM %s",
                  vm->status.spec.name);
    (void)err_arg(err, "vm", "%s", vm->status.spec.name);
    const int fds[] = {trace.ram_fd, trace.uffd_async, trace.uffd_sync, trace.pagemap_fd, trace.pidfd};
    for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
    return -1;
}
