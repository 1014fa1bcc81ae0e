/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The RAM path: moves the memory of a guest from a memfd on one host into a memfd on another, in rounds,
 * while the guest writes. It owns the data channels (connected, authenticated sockets) and knows nothing of
 * QEMU, JSON, daemons or ownership.
 *
 * Both ends: `*_new`, then the calls in the order in which they are listed, from one thread (the job's
 * story); workers are inside. Every blocking call ends within 200 ms of `cancel` (ERR_CANCELLED), of a lost
 * peer (ERR_PEER_LOST; unless there is `reconnect`) or of a dead QEMU (ERR_PEER_LOST, id "qemu-died"). After
 * a failure only `*_free` may be called; it joins all threads, releases every blocked guest thread and closes
 * all that it was given.
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
#define ENGINE_VCPUS_MAX 64
#define ENGINE_STUN_CLASSES 12

enum engine_dirty { ENGINE_DIRTY_AUTO, ENGINE_DIRTY_ASYNC, ENGINE_DIRTY_SYNC };
/* AUTO packs where that is faster, the others always, as far as a batch can be packed at all. */
enum engine_compression {
    ENGINE_COMPRESSION_OFF,
    ENGINE_COMPRESSION_AUTO,
    ENGINE_COMPRESSION_LZ4,
    ENGINE_COMPRESSION_ZSTD
};
/* Changes against the version sent last, of pages that are sent again: AUTO where the link is the bottleneck.
 */
enum engine_delta { ENGINE_DELTA_OFF, ENGINE_DELTA_AUTO, ENGINE_DELTA_ON };

/* How pages were sent, zero pages apart. */
enum engine_codec { ENGINE_CODEC_RAW, ENGINE_CODEC_LZ4, ENGINE_CODEC_ZSTD, ENGINE_CODEC_DELTA };
#define ENGINE_CODECS 4
struct engine_codec_counts {
    uint64_t pages, raw_bytes;
    uint64_t wire_bytes;
};

/* One pass over what is dirty. */
struct engine_round {
    uint32_t n;
    uint64_t pages; /* handled, zero pages included, holes not */
    uint64_t zero_pages;
    uint64_t bytes;            /* on the wire, both directions, framing included */
    uint64_t duration_ns;      /* without the time when no connection worked */
    uint64_t dirty_pages;      /* found by the scan at its end */
    uint64_t stun_ns;          /* guest threads held up by a synchronous source */
    uint64_t throttle_bytes_s; /* what the guest was held to while it lasted; 0: to nothing */
};

/* How long writes of the guest were held up, from the moment when the engine heard of them. */
struct engine_stuns {
    uint64_t total_ns;
    uint64_t counts[ENGINE_STUN_CLASSES];
    /* What can be said of single vCPUs. Less than the total under KVM, where the kernel's own workers fetch
     * pages for a vCPU. */
    uint64_t vcpu_ns[ENGINE_VCPUS_MAX];
};
/* Upper ends of the classes, in us; the last has none: 0. */
extern const uint32_t engine_stun_up_to_us[ENGINE_STUN_CLASSES];

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
    struct engine_codec_counts codecs[ENGINE_CODECS]; /* source only */
    uint64_t throttle_bytes_s;                        /* what the guest is held to now; 0: to nothing */
};

struct cancel; /* base/cancel.h */
struct rate;   /* engine/rate.h */
struct tls;    /* engine/tls.h */

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
typedef int (*engine_reconnect)(const struct engine_outage *outage, int ret_channels[], struct tls *ret_tls[],
                                void *user, struct err *err);

struct engine_source_config {
    int ram_fd;           /* memfd, opened read-write; never read through a mapping */
    uint64_t ram_size;    /* bytes, multiple of the page size */
    uint64_t ram_address; /* where QEMU maps it, one contiguous range */
    int uffd_async;       /* fresh userfaultfds of QEMU's address space, nothing enabled yet */
    int uffd_sync;
    int pagemap_fd; /* /proc/QEMU/pagemap */
    int qemu_pidfd; /* or -1 in tests */
    /* Who is who among the writers: threads of this process that are none of the vCPUs are never held up.
     * 0: everybody may be. */
    int qemu_pid;
    unsigned n_vcpus;
    int vcpu_tids[ENGINE_VCPUS_MAX];
    unsigned stun_limit_percent; /* share of the vCPUs' time that may be spent in stuns; 0: all */
    bool is_kvm;                 /* 2 MiB per protect and scan call instead of 64 */
    enum engine_dirty dirty;
    unsigned n_channels;
    int channels[ENGINE_CHANNELS_MAX];
    struct tls *tls[ENGINE_CHANNELS_MAX]; /* their sessions, taken over as well; NULL: in the clear */
    uint64_t downtime_goal_ns;
    uint64_t fixed_downtime_ns; /* what stop, device state and commit cost whatever the RAM does: taken off
                                   the goal */
    uint64_t bandwidth_bytes_s; /* 0 = no cap */
    struct rate *rate;          /* not owned; in place of that: a cap that others share. NULL: none do */
    uint32_t max_rounds;        /* 0 = 100: more rounds than that give up */
    /* Both only where the destination takes such records. */
    enum engine_compression compression;
    enum engine_delta delta;
    uint64_t delta_cache_bytes; /* 0 = a quarter of RAM, at most 512 MiB */
    struct cancel *cancel;      /* not owned */
    /* Not owned; NULL: nobody looks. In memory shared with who watches this process: not 0, and raised every
     * ENGINE_BEAT_MS at least, exactly while a write of the guest may wait for a thread of the engine. */
    uint64_t *fault_beat;
    void (*round_done)(const struct engine_round *round,
                       void *user); /* from the story's thread; may be NULL */
    /* NULL: a lost channel ends the attempt. Else the copy goes on while one channel is left, and over new
     * ones at the end of the round; without one when the guest is stopped. Both ends have it, or none. */
    engine_reconnect reconnect;
    /* With reconnect, may be NULL: asked after each round. -1 and ERR_PEER_LOST: the caller's own connection
     * to the destination is lost, which is as bad as a lost channel and better found before the guest stands.
     */
    int (*check_own)(void *user, struct err *err);
    void *user;
};

struct engine_source;

/* Takes over the descriptors also on failure. Enables and registers the dirty source, starts workers and
 * protects all memory. */
int engine_source_new(const struct engine_source_config *config, struct engine_source **ret_source,
                      struct err *err);
/* Rounds while the guest runs, until the policy says that the rest fits the downtime goal. A guest that
 * writes faster than its memory can be sent is held up page by page (SDPS). ERR_REFUSED "not-converging" if
 * that does not help either. */
int engine_source_copy(struct engine_source *source, struct err *err);
/* The guest is stopped: the last scan. */
int engine_source_find_rest(struct engine_source *source, struct err *err);
/* Sends what it found, and which memory the guest has given up; returns when all of it is on its way. With
 * `verify` both sides make checksums of the whole RAM. */
int engine_source_send_rest(struct engine_source *source, bool verify, struct err *err);
/* Returns when the destination has said that all memory is placed, and equal if that was asked for:
 * ERR_CORRUPT "ram-differs" with the first differing range. */
int engine_source_await_placed(struct engine_source *source, struct err *err);
/* After the device state was saved: one more scan must find nothing written; else ERR_INTERNAL
 * "written-after-stop". */
int engine_source_check_quiet(struct engine_source *source, struct err *err);
enum engine_dirty engine_source_dirty(const struct engine_source *source);
/* Any thread, never blocks. */
void engine_source_snapshot(const struct engine_source *source, struct engine_snapshot *ret);

/* What the caller knows of a move's cost outside of the engine. */
struct engine_costs {
    uint64_t begin_ns;  /* both sides ready .. engine_source_new has returned */
    uint64_t switch_ns; /* the guest's stop, but for the memory that is sent meanwhile */
};
/* What a move would be like now, and the figures that it rests on (engine/forecast.h, engine/sample.c). */
struct engine_forecast {
    uint64_t duration_ns, downtime_ns; /* until it is given up, and 0, if it does not converge */
    uint32_t n_rounds;
    bool needs_sdps; /* the guest would be held up */
    bool converges;
    uint64_t used_bytes;
    uint32_t zero_percent; /* of the used pages */
    uint32_t wire_percent; /* bytes on the wire for 100 bytes that are not zero pages; 0: there were none */
    uint64_t dirty_bytes_s, working_set_bytes;
    uint64_t link_bytes_s;                 /* on the wire, all channels; 0: too little memory to tell */
    uint64_t first_bytes_s, again_bytes_s; /* memory that is sent for the first time, and again */
    uint64_t sync_ns;                      /* there and back, with a wake-up on each side */
};
/* In place of engine_source_copy and all after it, with a destination that receives and keeps nothing: takes
 * about two seconds, in which at most 150 MiB are sent, and ends the transfer. The guest runs on. */
int engine_source_forecast(struct engine_source *source, const struct engine_costs *costs,
                           struct engine_forecast *ret_forecast, struct err *err);
/* Any thread. All of the attempt so far. */
void engine_source_stuns(const struct engine_source *source, struct engine_stuns *ret_stuns);
/* Unregisters, so that the guest runs at full speed again, ends workers, closes descriptors. NULL ok. */
void engine_source_free(struct engine_source *source);

struct engine_dest_config {
    int ram_fd; /* memfd of ram_size bytes, empty */
    uint64_t ram_size;
    unsigned n_channels;
    int channels[ENGINE_CHANNELS_MAX];
    struct tls *tls[ENGINE_CHANNELS_MAX];
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
