/* SPDX-License-Identifier: Apache-2.0 */
#include "base/queue.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/err.h"

struct queue {
    pthread_mutex_t lock; /* protects all below */
    pthread_cond_t changed;
    size_t capacity, first, count;
    bool closed;
    void *items[];
};

struct queue *queue_new(size_t capacity, struct err *err)
{
    struct queue *queue = calloc(1, sizeof *queue + capacity * sizeof queue->items[0]);
    if (!queue) {
        (void)err_sys(err, ENOMEM, "no-memory", "no memory for a queue of %zu", capacity);
        return NULL;
    }
    queue->capacity = capacity;
    (void)pthread_mutex_init(&queue->lock, NULL);
    (void)pthread_cond_init(&queue->changed, NULL);
    return queue;
}

void queue_free(struct queue *queue)
{
    if (!queue)
        return;
    (void)pthread_cond_destroy(&queue->changed);
    (void)pthread_mutex_destroy(&queue->lock);
    free(queue);
}

void queue_put(struct queue *queue, void *item)
{
    (void)pthread_mutex_lock(&queue->lock);
    if (!queue->closed) {
        assert(queue->count < queue->capacity);
        queue->items[(queue->first + queue->count) % queue->capacity] = item;
        queue->count++;
        (void)pthread_cond_broadcast(&queue->changed);
    }
    (void)pthread_mutex_unlock(&queue->lock);
}

void *queue_take(struct queue *queue)
{
    void *item = NULL;
    (void)pthread_mutex_lock(&queue->lock);
    while (!queue->closed && !queue->count)
        (void)pthread_cond_wait(&queue->changed, &queue->lock);
    if (!queue->closed) {
        item = queue->items[queue->first];
        queue->first = (queue->first + 1) % queue->capacity;
        queue->count--;
    }
    (void)pthread_mutex_unlock(&queue->lock);
    return item;
}

int queue_wait_full(struct queue *queue)
{
    (void)pthread_mutex_lock(&queue->lock);
    while (!queue->closed && queue->count < queue->capacity)
        (void)pthread_cond_wait(&queue->changed, &queue->lock);
    int result = queue->closed ? -1 : 0;
    (void)pthread_mutex_unlock(&queue->lock);
    return result;
}

void queue_close(struct queue *queue)
{
    (void)pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    (void)pthread_cond_broadcast(&queue->changed);
    (void)pthread_mutex_unlock(&queue->lock);
}
