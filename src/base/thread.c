/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"

#include <signal.h>

#include "base/err.h"

int thread_start(struct thread *thread, const char *name, void *(*run)(void *), void *argument,
                 struct err *err)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&thread->id, NULL, run, argument);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        return err_sys(err, failed, "thread-failed", "cannot start the thread %s", name);
    thread->started = true;
    (void)pthread_setname_np(thread->id, name);
    return 0;
}

void thread_join(struct thread *thread)
{
    if (!thread->started)
        return;
    (void)pthread_join(thread->id, NULL);
    thread->started = false;
}
