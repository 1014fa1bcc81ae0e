/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HELLO: the first record of each side on the control connection. It may grow: a reader takes the fields it
 * knows and ignores what follows, up to WIRE_HELLO_MAX. What both will do is then computed by each side alone
 * with the same pure function. Thread: any.
 */
#ifndef WIRE_HELLO_H
#define WIRE_HELLO_H

#include <stddef.h>
#include <stdint.h>

#include "wire/preamble.h"

struct err;

#define WIRE_VERSION_MIN 1u
#define WIRE_VERSION_MAX 1u
#define WIRE_KERNEL_MAX 80u
#define WIRE_HELLO_SIZE 208u /* of version 1 */
#define WIRE_HELLO_MAX 4096u

/* Feature bits. The first one is the base set, so that 0 is never a valid answer. */
#define WIRE_FEATURE_RAM_ROUNDS (1ull << 0)
#define WIRE_FEATURE_VERIFY (1ull << 1) /* whole-RAM checksums after the final round */
#define WIRE_FEATURE_PACKED (1ull << 2) /* the reader takes PACKED records */
#define WIRE_FEATURE_DELTA (1ull << 3)  /* the reader takes DELTA records */
#define WIRE_FEATURE_RESUME (1ull << 4) /* a copy whose connections broke goes on over new ones */
#define WIRE_FEATURES                                                                                        \
    (WIRE_FEATURE_RAM_ROUNDS | WIRE_FEATURE_VERIFY | WIRE_FEATURE_PACKED | WIRE_FEATURE_DELTA |              \
     WIRE_FEATURE_RESUME)

struct wire_hello {
    uint16_t version_min, version_max;
    uint32_t n_channels; /* data connections; the source's number counts */
    uint64_t features;   /* offered */
    uint64_t required;   /* subset of features: without them the sender cannot go on */
    uint64_t ram_size;   /* bytes */
    uint32_t page_size;  /* of guest memory as the engine counts it */
    uint32_t host_page_size;
    uint64_t epoch;
    int64_t wall_ms;    /* clock of the host when it was sent */
    uint64_t batch_max; /* bytes of the largest batch that the sender takes */
    char move_id[WIRE_MOVE_ID_MAX];
    char kernel[WIRE_KERNEL_MAX]; /* uname -r, for reports */
};

struct wire_choice {
    uint16_t version;
    uint64_t features;
    uint32_t n_channels;
};

/* Returns the length, at most `size`; 0 if it does not fit. */
size_t wire_hello_encode(const struct wire_hello *hello, uint8_t *ret_bytes, size_t size);
/* ERR_CORRUPT for a payload that is too short or texts that do not end. */
int wire_hello_decode(const uint8_t *bytes, size_t size, struct wire_hello *ret_hello, struct err *err);
/* What both sides can do, or ERR_REFUSED and why not (versions, features, RAM size, page size, move, epoch,
 * channels). Both sides come to the same answer. */
int wire_hello_choose(const struct wire_hello *source, const struct wire_hello *destination,
                      struct wire_choice *ret_choice, struct err *err);

#endif
