/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"

#include <signal.h>
#include <sys/prctl.h>

#include "base/err.h"

/* A thread names itself: to name another one, the C library opens a file, which a sandbox forbids. */
static void *begin(void *argument)
{
    struct thread *thread = argument;
    (void)prctl(PR_SET_NAME, thread->name);
    return thread->run(thread->argument);
}

int thread_start(struct thread *thread, const char *name, void *(*run)(void *), void *argument,
                 struct err *err)
{
    sigset_t all, before;
    thread->name = name;
    thread->run = run;
    thread->argument = argument;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&thread->id, NULL, begin, thread);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        return err_sys(err, failed, "thread-failed", "cannot start the thread %s", name);
    thread->started = true;
    return 0;
}

void thread_join(struct thread *thread)
{
    if (!thread->started)
        return;
    (void)pthread_join(thread->id, NULL);
    thread->started = false;
}
