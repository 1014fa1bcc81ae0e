/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "base/err.h"

/* A thread names itself: to name another one, the C library opens a file, which a sandbox forbids. */
static void *begin(void *argument)
{
    struct thread *thread = argument;
    (void)prctl(PR_SET_NAME, thread->name);
    return thread->run(thread->argument);
}

static int create(pthread_t *ret_id, void *(*first)(void *), void *argument)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(ret_id, NULL, first, argument);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

int thread_start(struct thread *thread, const char *name, void *(*run)(void *), void *argument,
                 struct err *err)
{
    thread->name = name;
    thread->run = run;
    thread->argument = argument;
    int failed = create(&thread->id, begin, thread);
    if (failed)
        return err_sys(err, failed, "thread-failed", "cannot start the thread %s", name);
    thread->started = true;
    return 0;
}

struct left {
    struct thread thread;
    char name[THREAD_NAME_SIZE];
};

static void *begin_left(void *argument)
{
    struct left left = *(struct left *)argument;
    free(argument);
    (void)prctl(PR_SET_NAME, left.name);
    return left.thread.run(left.thread.argument);
}

int thread_leave(const char *name, void *(*run)(void *), void *argument, struct err *err)
{
    struct left *left = calloc(1, sizeof *left);
    if (!left)
        return err_sys(err, ENOMEM, "thread-failed", "cannot start the thread %s", name);
    (void)snprintf(left->name, sizeof left->name, "%s", name);
    left->thread = (struct thread){.run = run, .argument = argument};
    pthread_t id;
    int failed = create(&id, begin_left, left);
    if (failed) {
        free(left);
        return err_sys(err, failed, "thread-failed", "cannot start the thread %s", name);
    }
    (void)pthread_detach(id);
    return 0;
}

void thread_join(struct thread *thread)
{
    if (!thread->started)
        return;
    (void)pthread_join(thread->id, NULL);
    thread->started = false;
}
