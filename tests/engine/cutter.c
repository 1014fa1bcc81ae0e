/* SPDX-License-Identifier: Apache-2.0 */
#include "cutter.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* One channel inside the cutter: -1 when that side is gone. */
struct wire_pair {
    int source, destination;
    bool is_frozen;
};
struct cutter_set {
    struct wire_pair pairs[ENGINE_CHANNELS_MAX];
};

/* A connected pair of TCP sockets. */
static void make_pair(const struct cutter *cutter, int *ret_near, int *ret_far)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    assert_int_equal(getsockname(cutter->listener, (struct sockaddr *)&address, &length), 0);
    *ret_near = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(*ret_near, (struct sockaddr *)&address, sizeof address), 0);
    *ret_far = accept4(cutter->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(*ret_far >= 0);
}

static void make_set(struct cutter *cutter, int source_channels[], int destination_channels[])
{
    struct cutter_set set;
    memset(&set, -1, sizeof set);
    for (unsigned i = 0; i < cutter->n_channels; i++) {
        make_pair(cutter, &source_channels[i], &set.pairs[i].source);
        make_pair(cutter, &destination_channels[i], &set.pairs[i].destination);
        set.pairs[i].is_frozen = false;
    }
    cutter->at_connect = __atomic_load_n(&cutter->delivered, __ATOMIC_RELAXED);
    assert_int_equal(write(cutter->news[1], &set, sizeof set), sizeof set);
}

static void drop(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

static void cut(const struct cutter *cutter, const struct cutter_cut *how, struct cutter_set *set)
{
    for (unsigned i = how->only_one ? cutter->n_channels - 1 : 0; i < cutter->n_channels; i++) {
        struct wire_pair *pair = &set->pairs[i];
        pair->is_frozen = true;
        if (how->how != CUTTER_FREEZE)
            drop(&pair->source);
        if (how->how == CUTTER_CLOSE)
            drop(&pair->destination);
    }
}

/* True if the cut is due now. */
static bool is_due(const struct cutter *cutter, const struct cutter_cut *cut, uint64_t of_set, bool is_answer)
{
    return (cut->when == CUTTER_AFTER && of_set >= cut->bytes) ||
           (cut->when == CUTTER_AT_ANSWER && is_answer) ||
           (cut->when == CUTTER_IN_ROUND && !is_answer &&
            __atomic_load_n(&cutter->round, __ATOMIC_ACQUIRE) >= cut->round);
}

static void put_all(int fd, const char *bytes, size_t size)
{
    while (size) {
        ssize_t put = send(fd, bytes, size, MSG_NOSIGNAL);
        if (put <= 0)
            return;
        bytes += put;
        size -= (size_t)put;
    }
}

/* The connections of now, and how they will break. */
struct carrying {
    struct cutter_set set;
    struct cutter_cut cut;
    uint64_t delivered; /* bytes to the destination */
};

/* Passes on what is there; false: that side has ended. */
static bool pass(struct cutter *cutter, struct carrying *now, unsigned i, bool is_answer)
{
    char bytes[32768];
    struct wire_pair *pair = &now->set.pairs[i];
    int from = is_answer ? pair->destination : pair->source;
    int to = is_answer ? pair->source : pair->destination;
    ssize_t got = recv(from, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return true;
    if (got <= 0)
        return false;
    if (!is_due(cutter, &now->cut, now->delivered + (is_answer ? 0 : (uint64_t)got), is_answer)) {
        put_all(to, bytes, (size_t)got);
        if (!is_answer) {
            now->delivered += (uint64_t)got;
            (void)__atomic_fetch_add(&cutter->delivered, (uint64_t)got, __ATOMIC_RELAXED);
        }
        return true;
    }
    /* What the other channels carry arrives. */
    if (now->cut.only_one && i + 1 < cutter->n_channels)
        put_all(to, bytes, (size_t)got);
    cut(cutter, &now->cut, &now->set);
    now->cut.when = CUTTER_NEVER;
    return true;
}

static void drop_set(const struct cutter *cutter, struct cutter_set *set)
{
    for (unsigned i = 0; i < cutter->n_channels; i++) {
        drop(&set->pairs[i].source);
        drop(&set->pairs[i].destination);
    }
}

static void pass_all(struct cutter *cutter, struct carrying *now, const struct pollfd *fds)
{
    for (unsigned i = 0; i < cutter->n_channels; i++) {
        struct wire_pair *pair = &now->set.pairs[i];
        bool is_open = true;
        if (fds[1 + 2 * i].revents && pair->source >= 0 && !pair->is_frozen)
            is_open = pass(cutter, now, i, false);
        if (is_open && fds[2 + 2 * i].revents && pair->destination >= 0 && !pair->is_frozen)
            is_open = pass(cutter, now, i, true);
        if (!is_open) {
            drop(&pair->source);
            drop(&pair->destination);
        }
    }
}

static void fill(const struct cutter *cutter, const struct cutter_set *set, struct pollfd *fds)
{
    fds[0] = (struct pollfd){.fd = cutter->news[0], .events = POLLIN};
    for (unsigned i = 0; i < cutter->n_channels; i++) {
        const struct wire_pair *pair = &set->pairs[i];
        fds[1 + 2 * i] = (struct pollfd){.fd = pair->is_frozen ? -1 : pair->source, .events = POLLIN};
        fds[2 + 2 * i] = (struct pollfd){.fd = pair->is_frozen ? -1 : pair->destination, .events = POLLIN};
    }
}

static void *carry(void *argument)
{
    struct cutter *cutter = argument;
    struct carrying now = {0};
    struct cutter_set old;
    memset(&now.set, -1, sizeof now.set);
    memset(&old, -1, sizeof old);
    for (;;) {
        struct pollfd fds[1 + 2 * ENGINE_CHANNELS_MAX];
        fill(cutter, &now.set, fds);
        if (poll(fds, 1 + 2 * cutter->n_channels, -1) <= 0)
            continue;
        pass_all(cutter, &now, fds);
        if (!fds[0].revents)
            continue;
        /* What was frozen stays as it is: the destination's half of it must go on to seem alive. */
        drop_set(cutter, &old);
        old = now.set;
        if (read(cutter->news[0], &now.set, sizeof now.set) != sizeof now.set)
            break;
        unsigned number = __atomic_fetch_add(&cutter->n_sets, 1, __ATOMIC_RELEASE);
        now.cut = number < CUTTER_SETS_MAX ? cutter->cuts[number] : (struct cutter_cut){0};
        now.delivered = 0;
    }
    drop_set(cutter, &old);
    return NULL;
}

static void open_channels(struct rig_attempt *attempt)
{
    make_set(attempt->user, attempt->source_channels, attempt->destination_channels);
}

static int wait_for_stop(const struct engine_outage *outage, struct err *err)
{
    struct pollfd stop = {.fd = cancel_fd(outage->stop), .events = POLLIN};
    (void)poll(&stop, 1, -1);
    return cancel_check(outage->stop, err);
}

static int source_reconnects(const struct engine_outage *outage, int ret_channels[], struct tls *ret_tls[],
                             void *user, struct err *err)
{
    struct rig_attempt *attempt = user;
    struct cutter *cutter = attempt->user;
    int theirs[ENGINE_CHANNELS_MAX];
    (void)ret_tls; /* none */
    assert_true(outage->is_lost);
    assert_int_equal(outage->why->code, ERR_PEER_LOST);
    if (cutter->stays_down) {
        cancel_trigger(cutter->cancel, cutter->why);
        return wait_for_stop(outage, err);
    }
    memset(theirs, -1, sizeof theirs);
    make_set(cutter, ret_channels, theirs);
    assert_int_equal(write(cutter->knock[1], theirs, sizeof theirs), sizeof theirs);
    return 0;
}

static int destination_reconnects(const struct engine_outage *outage, int ret_channels[],
                                  struct tls *ret_tls[], void *user, struct err *err)
{
    struct cutter *cutter = user;
    struct pollfd fds[] = {{.fd = cutter->knock[0], .events = POLLIN},
                           {.fd = cancel_fd(outage->stop), .events = POLLIN}};
    int ours[ENGINE_CHANNELS_MAX];
    (void)ret_tls;
    (void)poll(fds, 2, -1);
    if (!fds[0].revents)
        return cancel_check(outage->stop, err);
    assert_int_equal(read(cutter->knock[0], ours, sizeof ours), sizeof ours);
    memcpy(ret_channels, ours, cutter->n_channels * sizeof ours[0]);
    return 0;
}

static void note_round(const struct engine_round *round, void *user)
{
    struct cutter *cutter = user;
    __atomic_store_n(&cutter->round, round->n + 1, __ATOMIC_RELEASE);
    if (cutter->n_rounds && round->n + 1 == cutter->n_rounds)
        rig_stop_guests(cutter->rig);
    else if (cutter->n_rounds)
        rig_wait_writes(cutter->rig, 10);
}

void cutter_init(struct cutter *cutter, struct rig_attempt *attempt)
{
    struct err err;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cutter->n_channels = attempt->n_channels;
    cutter->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(cutter->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(cutter->listener, 1), 0);
    assert_int_equal(pipe2(cutter->knock, O_CLOEXEC), 0);
    assert_int_equal(pipe2(cutter->news, O_CLOEXEC), 0);
    attempt->user = cutter;
    attempt->open = open_channels;
    attempt->round_done = note_round;
    attempt->source_reconnect = source_reconnects;
    attempt->destination_reconnect = destination_reconnects;
    attempt->knock_fd = cutter->knock[0];
    assert_int_equal(thread_start(&cutter->thread, "cutter", carry, cutter, &err), 0);
}

void cutter_clear(struct cutter *cutter)
{
    (void)close(cutter->news[1]);
    thread_join(&cutter->thread);
    (void)close(cutter->news[0]);
    (void)close(cutter->knock[0]);
    (void)close(cutter->knock[1]);
    (void)close(cutter->listener);
}
