/* SPDX-License-Identifier: Apache-2.0 */
/* A first-in first-out queue of pointers between threads. It never owns what it carries. Thread: any. */
#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

#include <stddef.h>

struct err;
struct queue;

/* Room for `capacity` items, which is never exceeded: the caller has no more items than that. */
struct queue *queue_new(size_t capacity, struct err *err);
void queue_free(struct queue *queue);
/* Never blocks. Items put into a closed queue are dropped. */
void queue_put(struct queue *queue, void *item);
/* Waits for an item. NULL at once when the queue is closed, whatever is still in it. */
void *queue_take(struct queue *queue);
/* Waits until all `capacity` items lie in the queue: 0, or -1 when it is closed. */
int queue_wait_full(struct queue *queue);
/* Ends every wait for good. */
void queue_close(struct queue *queue);

#endif
