/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "The first error ends everything": the one place where the threads of one end meet a cancellation, a dead
 * QEMU or each other's failure. A watch thread turns the outer signals into the inner one, so that every
 * other wait has a single thing to look at: halt_fd is readable, or the `wake` callback closed its queue.
 */
#ifndef ENGINE_HALT_H
#define ENGINE_HALT_H

#include <stdbool.h>

#include "base/cancel.h"
#include "base/err.h"
#include "base/thread.h"

struct halt {
    struct cancel *inner; /* holds the first error */
    struct cancel *outer; /* not owned */
    int qemu_pidfd;       /* not owned, or -1 */
    int stop_fd;          /* eventfd: ends the watch thread */
    void (*wake)(void *user);
    void *user;
    struct thread watch;
};

/* Fills `halt`, whose outer, qemu_pidfd, wake and user are set, and starts the watch thread. `wake` closes
 * queues and barriers; any thread, any number of times. After a failure halt_end and halt_clear are still
 * due. */
int halt_start(struct halt *halt, struct err *err);
/* Any thread. Keeps `why` if it is the first, and wakes all. */
void halt_set(struct halt *halt, const struct err *why);
/* 0, or -1 with the first error. */
int halt_check(const struct halt *halt, struct err *err);
/* Readable once set; for poll. */
int halt_fd(const struct halt *halt);
/* The end of an attempt, in this order: halt_end ends every wait and joins the watch thread, so that nobody
 * calls `wake` but the workers; the owner joins these; halt_clear. Both are fine after a failed halt_start.
 */
void halt_end(struct halt *halt);
void halt_clear(struct halt *halt);

/* What an errno of a userfaultfd or pagemap call means: ESRCH and ENOMEM are a QEMU that died. Returns -1. */
int halt_ioctl_error(int errnum, const char *id, const char *what, struct err *err);

#endif
