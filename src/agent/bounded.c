/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/bounded.h"

#include <glib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/thread.h"

/* Belongs to both sides until the second one lets go. */
struct call {
    GMutex lock;
    GCond done;
    bool is_done;      /* lock */
    bool is_abandoned; /* lock */
    void (*work)(void *question);
    void *question; /* of the thread until is_done, then of the caller */
};

static void call_free(struct call *call)
{
    g_mutex_clear(&call->lock);
    g_cond_clear(&call->done);
    g_free(call->question);
    g_free(call);
}

static void *run(void *argument)
{
    struct call *call = argument;
    call->work(call->question);
    g_mutex_lock(&call->lock);
    call->is_done = true;
    bool is_abandoned = call->is_abandoned;
    g_cond_signal(&call->done);
    g_mutex_unlock(&call->lock);
    if (is_abandoned)
        call_free(call);
    return NULL;
}

bool bounded_call(void (*work)(void *question), void *question, size_t size, unsigned limit_ms)
{
    struct call *call = g_new0(struct call, 1);
    struct err err;
    gint64 until_us = g_get_monotonic_time() + limit_ms * G_TIME_SPAN_MILLISECOND;
    g_mutex_init(&call->lock);
    g_cond_init(&call->done);
    call->work = work;
    call->question = g_memdup2(question, size);
    if (thread_leave("bounded", run, call, &err) < 0) {
        log_error(&err, "a file system is not asked");
        call_free(call);
        return false;
    }
    g_mutex_lock(&call->lock);
    bool is_late = false;
    while (!call->is_done && !is_late)
        is_late = !g_cond_wait_until(&call->done, &call->lock, until_us);
    bool is_done = call->is_done;
    call->is_abandoned = !is_done;
    g_mutex_unlock(&call->lock);
    if (!is_done)
        return false;
    memcpy(question, call->question, size);
    call_free(call);
    return true;
}
