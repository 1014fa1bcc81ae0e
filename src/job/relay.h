/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk's connection: whatever one QEMU says, which speaks NBD, goes unread to the other one, and back. Each
 * has a thread of its own. It ends when either QEMU has closed its end and what that one said was delivered;
 * or when the network broke, and then QEMU is told by its end being closed, which fails the copy and not the
 * guest.
 */
#ifndef JOB_RELAY_H
#define JOB_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "base/thread.h"
#include "engine/stream.h"

struct rate;

struct relay_config {
    struct stream stream; /* to the other host; taken over */
    int local;            /* the socket whose other end is QEMU; taken over */
    unsigned number;
    struct rate *rate; /* what goes to the other host waits for it; NULL: no cap */
    /* The side that asks, and is answered. From the relay's thread, once: the network broke, or no answer
     * came any more, while QEMU still held its end. NULL: the side that answers. */
    void (*lost)(const struct err *why, void *user);
    void *user;
};

struct way;
struct relay {
    struct relay_config config;
    struct thread thread;
    struct cancel *stop;
    struct way *out, *in; /* from QEMU, to QEMU */
    uint64_t n_bytes;     /* that have crossed the network, both directions; atomic */
    uint64_t changed_ns;  /* when something crossed last, in either direction */
    uint64_t looked_ns;   /* whether something did */
    bool is_owed;         /* something went out since something came in */
};

/* Takes over both descriptors also on failure. */
int relay_start(struct relay *relay, const struct relay_config *config, struct err *err);
/* Any thread. */
uint64_t relay_bytes(const struct relay *relay);
/* Ends it wherever it is, and joins its thread. Nothing for one that was not started. */
void relay_end(struct relay *relay);

#endif
