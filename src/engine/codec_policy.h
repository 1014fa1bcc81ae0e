/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which codec batches go through: a pure function of what was measured. What is compared is pages per second,
 * not bytes saved:
 *
 *   as it is    what the link took while nothing was packed
 *   a codec     the lower of two: what the link takes divided by what is left of a byte, and what the workers
 *               can do in the time that a byte costs them in reading, sending and packing
 *
 * A codec that costs more CPU has to promise a tenth more than the cheaper one. A promise is then measured:
 * if it was not kept (the other host, or the guest, needed the CPU), its true figure counts for a while, each
 * time for longer. Where the CPU is the bottleneck no promise is better than the batch as it is, and all that
 * is spent is a small sample now and then. Whether a single batch can be packed at all is its own matter:
 * batches that cannot are sent as they are and change nothing here.
 *
 * Thread: one at a time.
 */
#ifndef ENGINE_CODEC_POLICY_H
#define ENGINE_CODEC_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/codec.h"

/* A decision rests on this many batches and this much time, or on a few batches and a long time. */
#define CODEC_WINDOW_BATCHES 16u
#define CODEC_WINDOW_NS 20000000ull
#define CODEC_WINDOW_FEW 4u
#define CODEC_WINDOW_LONG_NS 100000000ull
/* While nothing is packed, one batch in so many gives a sample, when each codec has given one. */
#define CODEC_SAMPLE_EVERY 32u
/* Windows for which a broken promise counts at first, and at most. */
#define CODEC_PATIENCE 16u
#define CODEC_PATIENCE_MAX 1024u

struct codec_figures {
    bool is_allowed;
    double ratio;      /* packed by unpacked bytes of what can be packed at all; 0: not known */
    double bytes_s;    /* unpacked bytes that one worker packs in a second */
    double measured;   /* pages' bytes a second while it was used; 0: not known */
    double promised;   /* when it was chosen */
    uint32_t n_valid;  /* windows for which `measured` counts rather than the promise */
    uint32_t patience; /* the next n_valid */
};

struct codec_window {
    uint32_t n_batches;
    uint64_t begin_ns;
    uint64_t raw_bytes, packed_bytes, wire_bytes; /* of pages; of them those that were packed; on the wire */
    uint64_t busy_ns, wait_ns;                    /* of workers, packing not counted */
};

struct codec_policy {
    unsigned n_workers;
    enum codec now;
    bool is_settling; /* what was sent before the last change is still on its way */
    double link_bytes_s;
    struct codec_figures codecs[CODEC_COUNT];
    struct codec_window window;
    uint32_t n_unsampled;
    enum codec next_sample;
};

/* One batch as it went. */
struct codec_batch {
    enum codec codec;    /* that was asked for */
    uint64_t raw_bytes;  /* of its pages */
    uint64_t packed_raw; /* those of them that were packed */
    uint64_t wire_bytes;
    uint64_t busy_ns, wait_ns; /* CPU time without packing; time in which sending stood still */
    uint64_t now_ns;
};

/* `allowed` has a bit for each codec; CODEC_RAW among them means that batches may stay as they are. */
void codec_policy_init(struct codec_policy *policy, unsigned n_workers, unsigned allowed);
/* Measurements stop: between two rounds nothing is sent. */
void codec_policy_pause(struct codec_policy *policy);
/* What packing some bytes took, in a sample or for a batch. */
void codec_policy_learn(struct codec_policy *policy, enum codec codec, uint64_t raw_bytes,
                        uint64_t packed_bytes, uint64_t ns);
/* After each batch; may change policy->now. */
void codec_policy_note(struct codec_policy *policy, const struct codec_batch *batch);
/* The codec that the next batch should give a sample of, or CODEC_RAW for none. */
enum codec codec_policy_sample(struct codec_policy *policy);

#endif
