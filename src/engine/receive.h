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
        bool is_verifying;
    } workers[ENGINE_CHANNELS_MAX];
};

/* `receiver` is zeroed but for place.ram, halt, n_channels, links, before_verify, user. On
 * failure receiver_clear is still due. */
int receiver_init(struct receiver *receiver, struct err *err);
/* Starts the workers; the halt is ready by now. On failure receiver_clear is due, after the halt was set. */
int receiver_start(struct receiver *receiver, struct err *err);
/* Waits for the workers' end. The result is in the halt, and is_verified. */
void receiver_join(struct receiver *receiver);
uint64_t receiver_bytes(const struct receiver *receiver);
/* Ends every wait of the workers; any thread. */
void receiver_wake(struct receiver *receiver);
void receiver_clear(struct receiver *receiver);

#endif
