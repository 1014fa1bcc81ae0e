/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sending half of a round.
 *
 *   story:    a round's pages; one batch for each worker that is needed -> `work` queue
 *   workers:  take a batch; then, until all pages of the round are taken: claim some, pread them, drop zero
 *             pages, pack, checksum, send; batch -> `idle` queue
 *
 * One worker per channel, each claims when it is done with what it had: a slow channel gets less to do, and
 * nobody waits for anybody within a round. When all batches lie in `idle` again, all of the round was handed
 * to the kernel; only then does the story itself use the sockets, for SYNC and ACK. Nothing is allocated
 * after sender_start.
 *
 * With `reconnect` a lost connection ends its worker only: the others go on with what is left, and the batch
 * that was under way counts as not sent. Nobody sends it again before the destination has said (RESUME) what
 * is placed, and so has left the old connections: two records of one page must not be placed at once.
 */
#ifndef ENGINE_SEND_H
#define ENGINE_SEND_H

#include <pthread.h>
#include <stdint.h>

#include "base/bitmap.h"
#include "base/thread.h"
#include "engine/engine.h"
#include "engine/link.h"
#include "engine/packer.h"
#include "engine/ram.h"
#include "engine/rate.h"
#include "wire/data.h"

struct err;
struct halt;
struct queue;

struct batch;

struct channel_counts { /* of this round; written by its worker, read by the story when it is idle */
    uint64_t n_records, n_bytes;
};

struct sender {
    struct ram ram;
    struct halt *halt; /* not owned */
    struct rate rate;
    unsigned n_channels;
    struct link links[ENGINE_CHANNELS_MAX];
    struct channel_counts counts[ENGINE_CHANNELS_MAX];
    struct bitmap handled;  /* pages that were sent at some time, as whatever; the story's */
    struct bitmap present;  /* pages that may be other than zero on the destination */
    uint32_t round;         /* written by the story while all workers idle */
    uint64_t n_round_bytes; /* of pages, in the round that was ended last; the story's */
    uint64_t pages_left;    /* of this round; atomic */
    uint64_t zero_pages;    /* atomic, of all rounds */
    struct packing packing;
    uint64_t *hashes; /* while verifying: one per part, else NULL */

    /* Replaces all links (link_reopen) after `why`; NULL: not now. -1: the attempt is over. */
    int (*reconnect)(const struct err *why, void *user, struct err *err);
    int (*check_own)(void *user, struct err *err); /* as in engine_source_config */
    void *user;
    unsigned n_alive;      /* links that are not known to be lost; atomic */
    bool is_synced;        /* every SYNC of this round was sent */
    bool is_finished;      /* every FINISH was sent */
    struct bitmap missing; /* of this round, after a RESUME */
    uint64_t n_missing;    /* pages in it; 0: no RESUME yet */
    bool is_stuck;         /* the last RESUME found as many missing as the one before */
    uint64_t sent_ns;      /* when the last batch was sent; atomic */
    uint64_t outage_ns;    /* of this round, from the last batch before it to the RESUME */
    uint64_t down_ns;      /* since when links are known to be lost, or come back and carry nothing */
    bool is_down;          /* these three for snapshots; atomic */
    uint32_t resumes;
    uint64_t bytes_resent;

    pthread_mutex_t claim_lock;
    const struct bitmap *pages; /* of this round; not owned */
    uint64_t next_page;         /* that nobody has claimed; claim_lock */

    unsigned n_batches; /* one for each worker */
    struct batch *batches;
    struct queue *idle, *work;
    struct sender_worker {
        struct thread thread;
        struct sender *sender;
        struct packer packer;
        unsigned number;
        /* Written by the worker before it puts its last batch into `idle`. */
        bool is_lost;   /* its link is */
        bool has_ended; /* its thread ends, or has */
        struct err why;
    } workers[ENGINE_CHANNELS_MAX];
};

/* `sender` is zeroed but for ram, halt, rate, n_channels, links, reconnect, user and what `packing` asks for.
 * On failure sender_clear is still due. */
int sender_start(struct sender *sender, struct err *err);
/* All pages in `dirty` as round n. Returns when the destination acknowledged that all is placed. */
int sender_round(struct sender *sender, uint32_t n, const struct bitmap *dirty, struct err *err);
/* The last round, of a guest that stands, with what has lost its memory since as holes, and the end of the
 * transfer: returns when all of it is with the kernel. With `verify`, both sides hash all of RAM. */
int sender_last_round(struct sender *sender, uint32_t n, const struct bitmap *dirty, bool verify,
                      struct err *err);
/* The destination's word on it: all is placed, and with `verify` equal: ERR_CORRUPT "ram-differs". */
int sender_await_end(struct sender *sender, bool verify, struct err *err);
uint64_t sender_bytes(const struct sender *sender);
/* Ends every wait of the workers; any thread. */
void sender_wake(struct sender *sender);
void sender_clear(struct sender *sender);

#endif
