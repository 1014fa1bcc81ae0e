/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into QEMU. A userfaultfd belongs to the address space of the process that makes it, and an
 * attempt to move needs a fresh pair: one thread sleeps in accept() on an inherited socket and makes the pair
 * when the agent (uid 0) asks, from the inherited /dev/userfaultfd. Protocol: ctl/ctl.h.
 *
 * The guest of this code is QEMU: whatever is wrong, QEMU must run as if the object were not there. So no
 * output, no abort, no signal, nothing kept. The agent notices that nobody answers.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <linux/userfaultfd.h>

#include "ctl/ctl.h"

#define STACK_SIZE (256u << 10) /* QEMU's thread-local storage lies on it too */
#define ASK_TIMEOUT_S 2
#define RETRY_PAUSE_NS 100000000 /* when QEMU is out of descriptors */

static int listen_fd; /* both written before the thread starts */
static int device_fd;

static void answer_pair(int client, const int pair[2])
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(2 * sizeof(int))];
    } control = {0};
    char kind = CTL_TRACE_PAIR;
    struct iovec data = {.iov_base = &kind, .iov_len = 1};
    struct msghdr header = {.msg_iov = &data,
                            .msg_iovlen = 1,
                            .msg_control = control.space,
                            .msg_controllen = sizeof control.space};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(2 * sizeof(int));
    memcpy(CMSG_DATA(rights), pair, 2 * sizeof(int));
    (void)sendmsg(client, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void answer_error(int client, int errnum)
{
    uint8_t body[1 + sizeof(int32_t)] = {CTL_TRACE_ERROR};
    int32_t value = errnum;
    memcpy(body + 1, &value, sizeof value);
    (void)send(client, body, sizeof body, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void serve(int client)
{
    struct ucred peer = {0};
    socklen_t size = sizeof peer;
    if (getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != 0)
        return;
    struct timeval limit = {.tv_sec = ASK_TIMEOUT_S};
    (void)setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    char ask = 0;
    if (recv(client, &ask, 1, 0) != 1 || ask != CTL_TRACE_ASK)
        return;
    int pair[2];
    pair[0] = ioctl(device_fd, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
    pair[1] = pair[0] < 0 ? -1 : ioctl(device_fd, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
    if (pair[1] < 0)
        answer_error(client, errno);
    else
        answer_pair(client, pair);
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0)
            (void)close(pair[i]);
}

static void *serve_loop(void *unused)
{
    (void)unused;
    for (;;) {
        int client = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (client >= 0) {
            serve(client);
            (void)close(client);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            struct timespec pause = {.tv_nsec = RETRY_PAUSE_NS};
            (void)nanosleep(&pause, NULL);
        } else if (errno != EINTR && errno != ECONNABORTED) {
            break;
        }
    }
    return NULL;
}

static int is_what_the_agent_gave(void)
{
    int listens = 0;
    int type = 0;
    socklen_t size = sizeof listens;
    struct stat device;
    if (getsockopt(listen_fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0 || !listens)
        return 0;
    size = sizeof type;
    if (getsockopt(listen_fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET)
        return 0;
    return fstat(device_fd, &device) == 0 && S_ISCHR(device.st_mode) &&
           fcntl(listen_fd, F_SETFD, FD_CLOEXEC) == 0 && fcntl(device_fd, F_SETFD, FD_CLOEXEC) == 0;
}

static int start_thread(void)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all;
    sigset_t before;
    if (pthread_attr_init(&attr))
        return -1;
    int failed = pthread_attr_setstacksize(&attr, STACK_SIZE) ||
                 pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    (void)sigfillset(&all);
    if (!failed && !(failed = pthread_sigmask(SIG_SETMASK, &all, &before))) {
        failed = pthread_create(&thread, &attr, serve_loop, NULL);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    (void)pthread_attr_destroy(&attr);
    return failed ? -1 : 0;
}

__attribute__((constructor)) static void trace_start(void)
{
    int saved_errno = errno;
    const char *given = getenv(CTL_TRACE_ENV);
    char end;
    int usable = given && sscanf(given, "%d,%d%c", &listen_fd, &device_fd, &end) == 2 && listen_fd > 2 &&
                 device_fd > 2 && listen_fd != device_fd && is_what_the_agent_gave();
    if (given) {
        (void)unsetenv("LD_PRELOAD");
        (void)unsetenv(CTL_TRACE_ENV);
    }
    /* Closing the listening socket turns a later question into "connection refused" at once. */
    if (usable && start_thread() < 0) {
        (void)close(listen_fd);
        (void)close(device_fd);
    }
    errno = saved_errno;
}
