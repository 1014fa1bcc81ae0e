/* SPDX-License-Identifier: Apache-2.0 */
/* Named threads, which are joined unless what they do may never return. All signals are blocked in them:
 * signals belong to the main thread.
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>

struct err;

#define THREAD_NAME_SIZE 16

struct thread {
    pthread_t id; /* valid if started */
    bool started;
    /* read by the new thread */
    const char *name;
    void *(*run)(void *);
    void *argument;
};

/* `name` has at most 15 characters; it and `thread` stay where they are until thread_join. */
int thread_start(struct thread *thread, const char *name, void *(*run)(void *), void *argument,
                 struct err *err);
/* One that nobody can wait for: it asks a file system that may be dead, which even the end of the process
 * waits for only as long as the kernel must. It frees what it uses. */
int thread_leave(const char *name, void *(*run)(void *), void *argument, struct err *err);
/* Does nothing for a thread that was not started, or was joined already. */
void thread_join(struct thread *thread);

#endif
