/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The RAM path: moves the memory of a guest from a memfd on one host into a memfd on another, in rounds,
 * while the guest writes. It owns the data channels (connected, authenticated sockets) and knows nothing of
 * QEMU, JSON, daemons or ownership.
 *
 * Both ends: `*_new`, then the calls in the order in which they are listed, from one thread (the job's
 * story); workers are inside. Every blocking call ends within 200 ms of `cancel` (ERR_CANCELLED), of a lost
 * peer (ERR_PEER_LOST; unless there is `reconnect`) or of a dead QEMU (ERR_PEER_LOST, id "qemu-died"). After a failure only `*_free` may
 * be called; it joins all threads, releases every blocked guest thread and closes all that it was given.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define ENGINE_PAGE_SIZE 4096u
#define ENGINE_CHANNELS_MAX 16
#define ENGINE_BEAT_MS 50

enum engine_dirty { ENGINE_DIRTY_AUTO, ENGINE_DIRTY_ASYNC, ENGINE_DIRTY_SYNC };

/* One pass over what is dirty. */
struct engine_round {
    uint32_t n;
    uint64_t pages; /* handled, zero pages included, holes not */
    uint64_t zero_pages;
    uint64_t bytes; /* on the wire, both directions, framing included */
    uint64_t duration_ns; /* without the time when no connection worked */
    uint64_t dirty_pages; /* found by the scan at its end */
    uint64_t stun_ns;     /* guest threads held up by a synchronous source */
};

struct engine_snapshot {
    uint32_t round;
    uint64_t bytes_on_wire;
    uint64_t bytes_left; /* known dirty and not yet sent */
    uint64_t rate_bytes_s;
    uint64_t dirty_bytes_s;
    uint64_t zero_pages;
    uint64_t stun_ns;
    bool is_down;          /* connections are lost and not yet replaced */
    uint32_t resumes;      /* how often the copy went on over new connections */
    uint64_t bytes_resent; /* source: crossed the network and had to cross it again */
};

struct cancel; /* base/cancel.h */

/* Data channels were lost. */
struct engine_outage {
    const struct cancel *stop; /* ends the wait for new ones */
    uint64_t since_ns;         /* CLOCK_MONOTONIC */
    /* Destination: false if all seem to be alive and the source knocks all the same: perhaps it knows better,
     * perhaps it is not the source. */
    bool is_lost;
    const struct err *why; /* when is_lost: what was seen first */
};
/* Makes as many connected, authenticated channels again; from the story's thread. 0: they are in
 * ret_channels, in the same order on both ends, and the engine's; 1, only if !is_lost: nobody came; -1: the
 * attempt is over. */
typedef int (*engine_reconnect)(const struct engine_outage *outage, int ret_channels[], void *user,
                                struct err *err);

struct engine_source_config {
    int ram_fd;           /* memfd, opened read-write; never read through a mapping */
    uint64_t ram_size;    /* bytes, multiple of the page size */
    uint64_t ram_address; /* where QEMU maps it, one contiguous range */
    int uffd_async;       /* fresh userfaultfds of QEMU's address space, nothing enabled yet */
    int uffd_sync;
    int pagemap_fd; /* /proc/QEMU/pagemap */
    int qemu_pidfd; /* or -1 in tests */
    bool is_kvm;    /* 2 MiB per protect and scan call instead of 64 */
    enum engine_dirty dirty;
    unsigned n_channels;
    int channels[ENGINE_CHANNELS_MAX];
    uint64_t downtime_goal_ns;
    uint64_t fixed_downtime_ns; /* what stop, device state and commit cost whatever the RAM does: taken off
                                   the goal */
    uint64_t bandwidth_bytes_s; /* 0 = no cap */
    uint32_t max_rounds;        /* 0 = 100: more rounds than that give up */
    struct cancel *cancel;      /* not owned */
    /* Not owned; NULL: nobody looks. In memory shared with who watches this process: not 0, and raised every
     * ENGINE_BEAT_MS at least, exactly while a write of the guest may wait for a thread of the engine. */
    uint64_t *fault_beat;
    void (*round_done)(const struct engine_round *round,
                       void *user); /* from the story's thread; may be NULL */
    /* NULL: a lost channel ends the attempt. Else the copy goes on while one channel is left, and over new ones
     * at the end of the round; without one when the guest is stopped. Both ends have it, or none. */
    engine_reconnect reconnect;
    void *user;
};

struct engine_source;

/* Takes over the descriptors also on failure. Enables and registers the dirty source, starts workers and
 * protects all memory. */
int engine_source_new(const struct engine_source_config *config, struct engine_source **ret_source,
                      struct err *err);
/* Rounds while the guest runs, until the policy says that the rest fits the downtime goal. ERR_REFUSED
 * "not-converging" if it never will. */
int engine_source_copy(struct engine_source *source, struct err *err);
/* The guest is stopped: last scan, rest, holes; returns when the destination has acknowledged that all of it
 * is placed. With `verify` the checksums of the whole RAM of both sides are compared as well: ERR_CORRUPT
 * "ram-differs" with the first differing range. */
int engine_source_finish(struct engine_source *source, bool verify, struct err *err);
/* After the device state was saved: one more scan must find nothing written; else ERR_INTERNAL
 * "written-after-stop". */
int engine_source_check_quiet(struct engine_source *source, struct err *err);
enum engine_dirty engine_source_dirty(const struct engine_source *source);
/* Any thread, never blocks. */
void engine_source_snapshot(const struct engine_source *source, struct engine_snapshot *ret);
/* Unregisters, so that the guest runs at full speed again, ends workers, closes descriptors. NULL ok. */
void engine_source_free(struct engine_source *source);

struct engine_dest_config {
    int ram_fd; /* memfd of ram_size bytes, empty */
    uint64_t ram_size;
    unsigned n_channels;
    int channels[ENGINE_CHANNELS_MAX];
    struct cancel *cancel;
    /* Test hook of the flip-one-bit test: called once after the last page was placed and before checksums are
     * made; NULL in production. */
    void (*before_verify)(int ram_fd, void *user);
    engine_reconnect reconnect; /* as at the source */
    int knock_fd;               /* with reconnect: readable when somebody wants to connect; not owned */
    void *user;
};
struct engine_dest;

int engine_dest_new(const struct engine_dest_config *config, struct engine_dest **ret_dest, struct err *err);
/* Receives everything, in round order across channels, until the source finished; true in *ret_verified if
 * checksums were compared and equal. */
int engine_dest_receive(struct engine_dest *dest, bool *ret_verified, struct err *err);
void engine_dest_snapshot(const struct engine_dest *dest, struct engine_snapshot *ret);
void engine_dest_free(struct engine_dest *dest);

/*
 * What this kernel offers, for host facts. Fills ret_detail (size bytes) with what is missing. A kernel is
 * probed by doing it on a page of our own: returns the best source, or -1 if none works.
 */
int engine_probe(char *ret_detail, size_t size);

#endif
