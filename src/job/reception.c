/* SPDX-License-Identifier: Apache-2.0 */
#include "job/reception.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdio.h"
#include "base/log.h"
#include "job/connect.h"
#include "job/story.h"

#define PATIENCE_NS (3 * NS_PER_S)

enum { SLOT_DOOR, SLOT_PEER, SLOT_ARRIVALS, SLOTS = SLOT_ARRIVALS + RECEPTION_MAX };
_Static_assert(SLOTS <= WATCH_FDS_MAX, "all are waited for at once");

static const struct awaited awaited_source = {"no-source", "a connection of the source"};

void reception_init(struct reception *reception)
{
    *reception = (struct reception){0};
    for (unsigned i = 0; i < RECEPTION_MAX; i++)
        reception->all[i].stream.fd = -1;
}

static void forget(struct arrival *arrival)
{
    introduce_forget(&arrival->heard);
    *arrival = (struct arrival){.stream = {.fd = -1}};
}

static void dismiss(struct arrival *arrival)
{
    stream_close(&arrival->stream);
    forget(arrival);
}

void reception_clear(struct reception *reception)
{
    for (unsigned i = 0; i < RECEPTION_MAX; i++)
        dismiss(&reception->all[i]);
}

/* They may come as fast as somebody who saw the ticket likes: all are counted, the first is logged. */
void reception_turn_away(struct job *job, struct stream *stream, const struct err *why)
{
    stream_close(stream);
    if (!job->reception.n_strangers++)
        log_error(why, "refused a connection with this move's ticket; others are only counted");
    control_set_strangers(job->control, job->reception.n_strangers);
}

static void turn_away(struct job *job, struct arrival *arrival, const struct err *why)
{
    reception_turn_away(job, &arrival->stream, why);
    forget(arrival);
}

static struct introduction introduction_of(const struct job *job, const struct arrival *arrival)
{
    return (struct introduction){
        .spec = &job->spec, .role = (uint16_t)arrival->about.role, .channel = arrival->about.channel};
}

/* If all places are taken, a chance one goes: who brings many cannot choose that it is the source's. */
static struct arrival *find_place(struct job *job)
{
    struct reception *reception = &job->reception;
    for (unsigned i = 0; i < RECEPTION_MAX; i++)
        if (reception->all[i].stream.fd < 0)
            return &reception->all[i];
    uint32_t chance;
    struct err why;
    fdio_random(&chance, sizeof chance);
    struct arrival *victim = &reception->all[chance % RECEPTION_MAX];
    (void)err_set(&why, ERR_REFUSED, "too-many-connections",
                  "%d connections with this move's ticket wait to be heard", RECEPTION_MAX);
    turn_away(job, victim, &why);
    return victim;
}

static void seat(struct job *job, const struct ctl_door_socket *about, int fd)
{
    struct arrival *arrival = find_place(job);
    struct err err;
    *arrival = (struct arrival){
        .stream = {.fd = fd}, .about = *about, .events = POLLIN, .deadline_ns = clock_now_ns() + PATIENCE_NS};
    struct introduction us = introduction_of(job, arrival);
    if (connect_tune(fd, &err) < 0 ||
        introduce_begin_hearing(&us, about->security, &arrival->stream, &arrival->heard, &err) < 0)
        turn_away(job, arrival, &err);
}

static int take_from_door(struct job *job, struct err *err)
{
    struct ctl_msg msg;
    struct ctl_door_socket about;
    int fd = -1;
    size_t n_fds = 1;
    if (ctl_recv(job->fds[CTL_FD_DOOR], &msg, &fd, &n_fds, err) < 0) {
        if (err->code == ERR_PEER_LOST)
            (void)err_set(err, ERR_PEER_LOST, "door-lost", "the migration door of this host ended");
        return -1;
    }
    if (msg.type == CTL_DOOR_SOCKET && n_fds == 1 && ctl_body(&msg, &about, sizeof about, err) == 0) {
        seat(job, &about, fd);
        return 0;
    }
    if (n_fds)
        (void)close(fd);
    return err_set(err, ERR_CORRUPT, "door-message", "the door sent message %u", msg.type);
}

/* True if it is the source's; who is not, or has taken too long, is gone afterwards. */
static bool is_proven(struct job *job, struct arrival *arrival, bool has_said_more)
{
    struct introduction us = introduction_of(job, arrival);
    struct err err;
    if (has_said_more) {
        if (introduce_hear(&us, &arrival->heard, &arrival->stream, &arrival->events, &err) == 0)
            return true;
        if (err.code != ERR_RETRY) {
            turn_away(job, arrival, &err);
            return false;
        }
    }
    if (arrival->deadline_ns <= clock_now_ns()) {
        (void)err_set(
            &err, ERR_TIMEOUT, "introduction-timeout",
            "a connection with this move's ticket did not prove within %u s that it is the source's",
            (unsigned)(PATIENCE_NS / NS_PER_S));
        (void)err_arg(&err, "waited_s", "%u", (unsigned)(PATIENCE_NS / NS_PER_S));
        turn_away(job, arrival, &err);
    }
    return false;
}

/* Returns the first deadline of all, UINT64_MAX if there is nobody. */
static uint64_t prepare(const struct job *job, int peer_fd, struct pollfd fds[SLOTS])
{
    uint64_t first_ns = UINT64_MAX;
    fds[SLOT_DOOR] = (struct pollfd){.fd = job->fds[CTL_FD_DOOR], .events = POLLIN};
    fds[SLOT_PEER] = (struct pollfd){.fd = peer_fd, .events = POLLIN};
    for (unsigned i = 0; i < RECEPTION_MAX; i++) {
        const struct arrival *arrival = &job->reception.all[i];
        fds[SLOT_ARRIVALS + i] = (struct pollfd){.fd = arrival->stream.fd, .events = arrival->events};
        if (arrival->stream.fd >= 0 && arrival->deadline_ns < first_ns)
            first_ns = arrival->deadline_ns;
    }
    return first_ns;
}

/* 0: something happened, or somebody's time is over. */
static int wait_for_news(const struct job *job, int peer_fd, struct pollfd fds[SLOTS], uint64_t deadline_ns,
                         struct err *err)
{
    uint64_t first_ns = prepare(job, peer_fd, fds);
    if (watch_wait_any(&job->watch, fds, SLOTS, first_ns < deadline_ns ? first_ns : deadline_ns,
                       &awaited_source, err) == 0)
        return 0;
    if (err->code != ERR_TIMEOUT)
        return -1;
    if (first_ns <= clock_now_ns() && clock_now_ns() < deadline_ns)
        return 0;
    return job->reception.n_strangers
               ? err_cause(err, "%u connections came that did not prove to be the source's",
                           job->reception.n_strangers)
               : err_cause(err, "none came at all");
}

static struct arrival *hear_all(struct job *job, const struct pollfd fds[SLOTS])
{
    for (unsigned i = 0; i < RECEPTION_MAX; i++) {
        struct arrival *arrival = &job->reception.all[i];
        if (arrival->stream.fd >= 0 && is_proven(job, arrival, fds[SLOT_ARRIVALS + i].revents != 0))
            return arrival;
    }
    return NULL;
}

static bool is_empty(const struct reception *reception)
{
    for (unsigned i = 0; i < RECEPTION_MAX; i++)
        if (reception->all[i].stream.fd >= 0)
            return false;
    return true;
}

/* The source makes data connections after the greeting on its control connection: those that wait while a
 * control connection is proven are of an attempt that it has given up. */
static void forget_older_attempt(struct reception *reception)
{
    for (unsigned i = 0; i < RECEPTION_MAX; i++)
        if (reception->all[i].about.role == WIRE_ROLE_DATA)
            dismiss(&reception->all[i]);
}

int reception_next(struct job *job, enum reception_peer peer, uint64_t deadline_ns,
                   struct ctl_door_socket *ret_about, struct stream *ret_stream, struct err *err)
{
    int peer_fd = peer == PEER_IS_SILENT ? job->peer.stream.fd : -1;
    do {
        struct pollfd fds[SLOTS];
        if (peer_fd >= 0 && stream_has_pending(&job->peer.stream))
            return peer_unexpected(&job->peer, &job->watch, err);
        if (wait_for_news(job, peer_fd, fds, deadline_ns, err) < 0)
            return -1;
        struct arrival *proven = hear_all(job, fds);
        if (proven) {
            *ret_about = proven->about;
            *ret_stream = proven->stream;
            forget(proven);
            if (ret_about->role == WIRE_ROLE_CONTROL)
                forget_older_attempt(&job->reception);
            return 1;
        }
        if (fds[SLOT_DOOR].revents) {
            if (take_from_door(job, err) < 0)
                return -1;
        } else if (fds[SLOT_PEER].revents) {
            return peer_unexpected(&job->peer, &job->watch, err);
        }
    } while (!is_empty(&job->reception));
    return 0;
}
