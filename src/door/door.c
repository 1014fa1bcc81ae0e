/* SPDX-License-Identifier: Apache-2.0 */
#include "door/door.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "ctl/ctl.h"
#include "door/pending.h"
#include "door/strangers.h"
#include "door/tickets.h"

#define ACCEPTS_PER_TURN 16
#define COUNTS_INTERVAL_NS NS_PER_S
#define ACCEPT_PAUSE_NS (100 * NS_PER_MS) /* when the system has no descriptor or memory left */

struct door {
    int control;
    size_t n_listeners;
    int listeners[DOOR_LISTENERS_MAX];
    struct pending_table pending;
    struct tickets tickets;
    struct strangers strangers;
    bool is_over; /* the control socket ended */
    uint64_t handed;
    struct ctl_door_counts told; /* what the agent knows */
    uint64_t told_ns;
    uint64_t accept_again_ns; /* listeners are not polled before */
    struct ctl_msg msg;
};

static int make_nonblocking(int fd, struct err *err)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return err_sys(err, errno, "descriptor-unusable", "cannot use descriptor %d", fd);
    return 0;
}

struct door *door_new(int control, const int *listeners, size_t n_listeners, struct err *err)
{
    if (!n_listeners || n_listeners > DOOR_LISTENERS_MAX) {
        (void)err_set(err, ERR_BAD_REQUEST, "listeners-count", "--listen needs 1 to %d descriptors",
                      DOOR_LISTENERS_MAX);
        return NULL;
    }
    if (make_nonblocking(control, err) < 0)
        return NULL;
    for (size_t i = 0; i < n_listeners; i++)
        if (make_nonblocking(listeners[i], err) < 0)
            return NULL;
    struct door *door = calloc(1, sizeof *door);
    if (!door) {
        (void)err_sys(err, ENOMEM, "no-memory", "no memory for the door");
        return NULL;
    }
    door->control = control;
    door->n_listeners = n_listeners;
    memcpy(door->listeners, listeners, n_listeners * sizeof *listeners);
    tickets_init(&door->tickets);
    pending_init(&door->pending);
    return door;
}

void door_free(struct door *door)
{
    if (!door)
        return;
    pending_clear(&door->pending);
    tickets_clear(&door->tickets);
    explicit_bzero(&door->msg, sizeof door->msg);
    free(door);
}

static void turn_away(struct door *door, struct pending *pending, const char *why)
{
    strangers_add(&door->strangers, &pending->from, clock_now_ns(), why);
    pending_drop(pending);
}

static void expect(struct door *door, int *fds, size_t n_fds, struct err *err)
{
    struct ctl_door_ticket ticket;
    int has_job = n_fds == 1;
    if (!has_job) {
        (void)err_set(err, ERR_CORRUPT, "control-descriptors", "a ticket came with %zu descriptors", n_fds);
    } else if (ctl_body(&door->msg, &ticket, sizeof ticket, err) < 0 || make_nonblocking(fds[0], err) < 0) {
        (void)close(fds[0]);
    } else {
        (void)tickets_expect(&door->tickets, ticket.ticket, fds[0], err);
    }
    explicit_bzero(&ticket, sizeof ticket);
}

/* One message of the agent, false if there is none; what is wrong with it is logged, the door stays. */
static bool obey(struct door *door)
{
    struct err err = {0};
    int fds[1] = {-1};
    size_t n_fds = 1;
    if (ctl_recv(door->control, &door->msg, fds, &n_fds, &err) < 0) {
        if (err.code == ERR_CORRUPT)
            log_error(&err, "control socket");
        else if (err.code != ERR_RETRY)
            door->is_over = true;
        return err.code == ERR_CORRUPT;
    }
    struct ctl_door_ticket ticket;
    if (door->msg.type == CTL_DOOR_EXPECT) {
        expect(door, fds, n_fds, &err);
        n_fds = 0;
    } else if (door->msg.type != CTL_DOOR_FORGET) {
        (void)err_set(&err, ERR_CORRUPT, "control-type", "the door does not know message %u", door->msg.type);
    } else if (ctl_body(&door->msg, &ticket, sizeof ticket, &err) == 0) {
        tickets_forget(&door->tickets, ticket.ticket);
        explicit_bzero(&ticket, sizeof ticket);
    }
    if (n_fds)
        (void)close(fds[0]);
    if (err_is_set(&err))
        log_error(&err, "control socket");
    explicit_bzero(&door->msg, sizeof door->msg);
    return true;
}

static void hear_agent(struct door *door)
{
    while (obey(door))
        ;
}

static void hand_over(struct door *door, struct pending *pending, const struct wire_preamble *preamble)
{
    struct ticket *ticket = tickets_find(&door->tickets, preamble->ticket);
    if (!ticket) {
        /* The agent announces a ticket before the source may know it: its word may still wait to be read. */
        hear_agent(door);
        ticket = tickets_find(&door->tickets, preamble->ticket);
    }
    if (!ticket) {
        turn_away(door, pending, "nobody waits for its ticket");
        return;
    }
    struct ctl_door_socket about = {
        .role = preamble->role, .channel = preamble->channel, .security = preamble->security};
    struct err err;
    ctl_fill(&door->msg, CTL_DOOR_SOCKET, 0, &about, sizeof about);
    if (ctl_send(ticket->job, &door->msg, &pending->fd, 1, &err) == 0) {
        door->handed++;
        pending_drop(pending);
        return;
    }
    if (err.code != ERR_RETRY)
        ticket_clear(ticket);
    turn_away(door, pending, err.message);
}

static void read_preamble(struct door *door, struct pending *pending)
{
    uint8_t *at = pending->bytes + pending->n_bytes;
    ssize_t got = recv(pending->fd, at, sizeof pending->bytes - pending->n_bytes, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        turn_away(door, pending, "it ended before it had said what it wants");
        return;
    }
    pending->n_bytes += (size_t)got;
    if (pending->n_bytes < sizeof pending->bytes)
        return;
    struct wire_preamble preamble;
    struct err err;
    if (wire_preamble_decode(pending->bytes, &preamble, &err) < 0)
        turn_away(door, pending, err.message);
    else
        hand_over(door, pending, &preamble);
    explicit_bzero(&preamble, sizeof preamble);
}

static void admit(struct door *door, int fd, const struct sockaddr_storage *peer)
{
    struct source_address from = source_address_of(peer);
    struct pending *victim = pending_victim(&door->pending, &from);
    if (victim)
        turn_away(door, victim, "too many connections wait, and it is the oldest");
    struct pending *pending = pending_add(&door->pending, fd, &from, clock_now_ns());
    read_preamble(door, pending); /* an honest peer's preamble is often there already */
}

static void accept_some(struct door *door, int listener)
{
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t size = sizeof peer;
        int fd = accept4(listener, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            admit(door, fd, &peer);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            struct pending *oldest = pending_oldest(&door->pending);
            if (oldest)
                turn_away(door, oldest, "no descriptor or memory is left, and it is the oldest");
            door->accept_again_ns = clock_now_ns() + ACCEPT_PAUSE_NS;
        }
        return; /* empty, or an error of that one connection only: the next poll shows what is left */
    }
}

static bool counts_changed(const struct door *door)
{
    return door->told.handed != door->handed || door->told.strangers != door->strangers.count;
}

static void tell_counts(struct door *door, uint64_t now_ns)
{
    if (!counts_changed(door) || (door->told_ns && now_ns - door->told_ns < COUNTS_INTERVAL_NS))
        return;
    struct ctl_door_counts counts = {.handed = door->handed, .strangers = door->strangers.count};
    struct err err;
    ctl_fill(&door->msg, CTL_DOOR_COUNTS, 0, &counts, sizeof counts);
    door->told_ns = now_ns;
    if (ctl_send(door->control, &door->msg, NULL, 0, &err) == 0)
        door->told = counts;
}

static int next_timeout_ms(const struct door *door, uint64_t now_ns)
{
    uint64_t wake_ns = pending_first_deadline(&door->pending);
    if (counts_changed(door) && door->told_ns + COUNTS_INTERVAL_NS < wake_ns)
        wake_ns = door->told_ns + COUNTS_INTERVAL_NS;
    if (door->accept_again_ns > now_ns && door->accept_again_ns < wake_ns)
        wake_ns = door->accept_again_ns;
    if (wake_ns == UINT64_MAX)
        return -1;
    return wake_ns <= now_ns ? 0 : (int)((wake_ns - now_ns) / NS_PER_MS) + 1;
}

/* The control socket first, then listeners, connections, jobs: each in a fixed slot (poll skips -1). */
struct poll_set {
    struct pollfd control;
    struct pollfd listeners[DOOR_LISTENERS_MAX];
    struct pollfd pending[PENDING_MAX];
    struct pollfd jobs[TICKETS_MAX];
};

static void fill_poll_set(const struct door *door, uint64_t now_ns, struct poll_set *set)
{
    bool paused = door->accept_again_ns > now_ns;
    set->control = (struct pollfd){.fd = door->control, .events = POLLIN};
    for (size_t i = 0; i < DOOR_LISTENERS_MAX; i++)
        set->listeners[i] = (struct pollfd){.fd = i < door->n_listeners && !paused ? door->listeners[i] : -1,
                                            .events = POLLIN};
    for (size_t i = 0; i < PENDING_MAX; i++)
        set->pending[i] = (struct pollfd){.fd = door->pending.all[i].fd, .events = POLLIN};
    for (size_t i = 0; i < TICKETS_MAX; i++)
        set->jobs[i] = (struct pollfd){.fd = door->tickets.all[i].job}; /* hang-up only */
}

static void close_late(struct door *door, uint64_t now_ns)
{
    for (size_t i = 0; i < PENDING_MAX; i++)
        if (door->pending.all[i].fd >= 0 && door->pending.all[i].deadline_ns <= now_ns)
            turn_away(door, &door->pending.all[i], "it did not say in time what it wants");
}

int door_run(struct door *door, struct err *err)
{
    while (!door->is_over) {
        struct poll_set set;
        uint64_t now_ns = clock_now_ns();
        close_late(door, now_ns);
        tell_counts(door, now_ns);
        fill_poll_set(door, now_ns, &set);
        int ready =
            poll((struct pollfd *)&set, sizeof set / sizeof set.control, next_timeout_ms(door, now_ns));
        if (ready < 0 && errno != EINTR)
            return err_sys(err, errno, "poll-failed", "the door cannot wait");
        if (ready <= 0)
            continue;
        /* Before the agent is heard: a descriptor that comes may get the number of one that it ends. */
        for (size_t i = 0; i < TICKETS_MAX; i++)
            if (set.jobs[i].revents)
                ticket_clear(&door->tickets.all[i]);
        if (set.control.revents)
            hear_agent(door);
        for (size_t i = 0; i < PENDING_MAX; i++)
            if (set.pending[i].revents)
                read_preamble(door, &door->pending.all[i]);
        for (size_t i = 0; i < door->n_listeners; i++)
            if (set.listeners[i].revents)
                accept_some(door, door->listeners[i]);
    }
    return 0;
}
