/* SPDX-License-Identifier: Apache-2.0 */
/* A meeting point of n threads that can be called off. */
#ifndef ENGINE_BARRIER_H
#define ENGINE_BARRIER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct err;

struct barrier {
    pthread_mutex_t lock; /* protects all below */
    pthread_cond_t changed;
    unsigned n_threads, n_waiting;
    uint64_t generation;
    bool is_broken;
};

void barrier_init(struct barrier *barrier, unsigned n_threads);
void barrier_clear(struct barrier *barrier);
/* Waits until all n threads are here. The last one to come runs `action` (may be NULL) before anybody goes
 * on; if that fails, the barrier breaks and *err of that thread is filled. -1 for all when broken. */
int barrier_wait(struct barrier *barrier, int (*action)(void *user, struct err *err), void *user,
                 struct err *err);
/* Any thread. Every present and later wait fails. */
void barrier_break(struct barrier *barrier);

#endif
