/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one way the story of a job waits: for a descriptor, and at the same time for all that can make the wait
 * pointless. Thread: the story's.
 */
#ifndef JOB_WATCH_H
#define JOB_WATCH_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "engine/stream.h"

struct watch {
    const struct cancel *stop; /* ends every wait, its reason becomes the error */
    uint64_t limit_ns;         /* every wait ends then at the latest, as by its own deadline; 0: none */
    int qemu_pidfd;            /* readable once QEMU is dead: ERR_PEER_LOST "qemu-died"; or -1 */
    const char *us;            /* "source" or "destination": who waits */
};

/* What is waited for, with an error of its own for the case that it does not come. */
struct awaited {
    const char *id;
    const char *what; /* completes "the source waited 10.0 s in vain for ..." */
};

#define WATCH_FOREVER UINT64_MAX
#define WATCH_FDS_MAX 80

/* 0 once `fd` has one of `events` (or hung up). deadline_ns: CLOCK_MONOTONIC; past it ERR_TIMEOUT with the id
 * of `awaited`, who waited, for what and how long (argument "waited_ms"). */
int watch_wait(const struct watch *watch, int fd, short events, uint64_t deadline_ns,
               const struct awaited *awaited, struct err *err);
/* As watch_wait for whatever is asked of up to WATCH_FDS_MAX descriptors (negative ones are left out); 0:
 * their `revents` are set. */
int watch_wait_any(const struct watch *watch, struct pollfd *fds, size_t n_fds, uint64_t deadline_ns,
                   const struct awaited *awaited, struct err *err);
/* As watch_wait for input of one of two descriptors (either may be -1); returns 0 or 1, which one, lower
 * first. */
int watch_wait_either(const struct watch *watch, const int fds[2], uint64_t deadline_ns,
                      const struct awaited *awaited, struct err *err);
/* Whole-buffer transfers on non-blocking descriptors. ERR_PEER_LOST "stream-ended" at an early end; a wait in
 * vain says how much had come. */
struct watch_input {
    void *data;
    size_t size;
    uint64_t deadline_ns;
    const struct awaited *awaited;
};
int watch_read(const struct watch *watch, int fd, const struct watch_input *input, struct err *err);
int watch_write(const struct watch *watch, int fd, const void *data, size_t size, struct err *err);
/* As watch_wait for input, watch_read and watch_write, on a stream; `parts` is changed. */
int watch_wait_stream(const struct watch *watch, const struct stream *stream, uint64_t deadline_ns,
                      const struct awaited *awaited, struct err *err);
int watch_receive(const struct watch *watch, struct stream *stream, const struct watch_input *input,
                  struct err *err);
int watch_send(const struct watch *watch, struct stream *stream, struct iovec *parts, size_t n_parts,
               struct err *err);

#endif
