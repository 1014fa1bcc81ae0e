/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The destination's workers: one per channel, each a straight loop over the records of its connection.
 *
 *   channel 0:  PAGES ZERO PAGES ... SYNC(n) |         | PAGES ...
 *   channel 1:  PAGES PACKED ....... SYNC(n) | barrier | PAGES ...
 *   channel 2:  ZERO ............... SYNC(n) |  ACK(n) | ...
 *
 * A worker that has read its SYNC waits for the others, so no page of round n+1 is placed before all of round
 * n. Within a round every page comes at most once, so channels need no other order.
 *
 * With is_resumable a lost connection ends its worker only. The others go on until the owner stops them all,
 * and starts them again on new connections with a RESUME.
 */
#ifndef ENGINE_RECEIVE_H
#define ENGINE_RECEIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/thread.h"
#include "engine/barrier.h"
#include "engine/engine.h"
#include "engine/link.h"
#include "engine/place.h"
#include "engine/unpack.h"
#include "wire/data.h"

struct err;
struct halt;

struct receiver {
    struct place place;
    struct halt *halt; /* not owned */
    unsigned n_channels;
    struct link links[ENGINE_CHANNELS_MAX];
    void (*before_verify)(int ram_fd, void *user); /* may be NULL */
    void *user;

    bool is_resumable;
    struct cancel *settled; /* not owned; triggered when the last worker has heard that all is over */

    int event_fd;      /* readable when a worker has ended */
    unsigned n_over;   /* workers that have heard FINISH; atomic */
    uint64_t n_wasted; /* bytes in records that did not arrive whole */
    unsigned lost;     /* 0, or 1 + the first worker that lost its link; atomic */
    struct barrier barrier;
    uint32_t published;  /* the round, for snapshots; atomic */
    uint64_t *hashes;    /* ours, one per part; set up at VERIFY_BEGIN */
    uint64_t n_compared; /* parts; connection 0 only */
    uint64_t differs_at; /* first part that differs, UINT64_MAX if none; connection 0 only */
    bool is_verified;    /* all parts compared and equal; valid after receiver_join */
    struct receiver_worker {
        struct thread thread;
        struct receiver *receiver;
        struct link *link;
        struct placer placer;
        struct unpacker unpacker;
        uint64_t n_records; /* of this round */
        uint64_t whole;     /* bytes that had arrived at the end of the last whole record */
        bool is_verifying;
        struct err why; /* of the loss of its link */
    } workers[ENGINE_CHANNELS_MAX];
};

enum receiver_news { RECEIVER_OVER, RECEIVER_LOST, RECEIVER_KNOCK };

/* `receiver` is zeroed but for place.ram, halt, n_channels, links, before_verify, user,
 * is_resumable, settled. On failure receiver_clear is still due. */
int receiver_init(struct receiver *receiver, struct err *err);
/* Starts the workers; the halt is ready by now. On failure receiver_clear is due, after the halt was set. */
int receiver_start(struct receiver *receiver, struct err *err);
/* Waits until all is over, one way or the other; if is_resumable also until a link is lost (*ret_why says
 * how) or knock_fd is readable. */
enum receiver_news receiver_wait(struct receiver *receiver, int knock_fd, struct err *ret_why);
/* Ends the workers, whatever they do. The halt may be set then: one had found more than a lost link. */
void receiver_stop(struct receiver *receiver);
/* Goes on over links that were opened again, after receiver_stop. ERR_PEER_LOST: not over these. */
int receiver_resume(struct receiver *receiver, struct err *err);
/* Waits for the workers' end. The result is in the halt, and is_verified. */
void receiver_join(struct receiver *receiver);
uint64_t receiver_bytes(const struct receiver *receiver);
/* Ends every wait of the workers; any thread. */
void receiver_wake(struct receiver *receiver);
void receiver_clear(struct receiver *receiver);

#endif
