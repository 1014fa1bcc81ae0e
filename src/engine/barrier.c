/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/barrier.h"

#include <stddef.h>

void barrier_init(struct barrier *barrier, unsigned n_threads)
{
    *barrier = (struct barrier){.n_threads = n_threads};
    (void)pthread_mutex_init(&barrier->lock, NULL);
    (void)pthread_cond_init(&barrier->changed, NULL);
}

void barrier_clear(struct barrier *barrier)
{
    (void)pthread_cond_destroy(&barrier->changed);
    (void)pthread_mutex_destroy(&barrier->lock);
}

static int release_all(struct barrier *barrier, int result)
{
    (void)pthread_mutex_lock(&barrier->lock);
    barrier->n_waiting = 0;
    barrier->generation++;
    if (result < 0)
        barrier->is_broken = true;
    (void)pthread_cond_broadcast(&barrier->changed);
    (void)pthread_mutex_unlock(&barrier->lock);
    return result;
}

int barrier_wait(struct barrier *barrier, int (*action)(void *user, struct err *err), void *user,
                 struct err *err)
{
    (void)pthread_mutex_lock(&barrier->lock);
    uint64_t generation = barrier->generation;
    bool is_last = !barrier->is_broken && ++barrier->n_waiting == barrier->n_threads;
    while (!is_last && !barrier->is_broken && barrier->generation == generation)
        (void)pthread_cond_wait(&barrier->changed, &barrier->lock);
    int result = barrier->is_broken ? -1 : 0;
    (void)pthread_mutex_unlock(&barrier->lock);
    if (!is_last)
        return result;
    /* The lock is not held here: the action may wait for the network, and barrier_break must not wait for it.
     */
    return release_all(barrier, action ? action(user, err) : 0);
}

void barrier_break(struct barrier *barrier)
{
    (void)pthread_mutex_lock(&barrier->lock);
    barrier->is_broken = true;
    (void)pthread_cond_broadcast(&barrier->changed);
    (void)pthread_mutex_unlock(&barrier->lock);
}
