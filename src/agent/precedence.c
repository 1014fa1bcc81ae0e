/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/precedence.h"

#include <errno.h>
#include <glib.h>
#include <sched.h>
#include <stdbool.h>

#include "base/log.h"

struct precedence {
    GArray *others; /* pid_t: threads of QEMU with a policy of their own */
};

static unsigned n_takers; /* switch-overs for which this thread has it */

static bool is_ordinary(pid_t thread)
{
    return sched_getscheduler(thread) == SCHED_OTHER;
}

static void put_first(pid_t thread, int flags)
{
    static const struct sched_param lowest = {.sched_priority = 1}; /* of those that come first */
    if (sched_setscheduler(thread, SCHED_RR | flags, &lowest) < 0 && errno != ESRCH)
        log_debug("thread %d cannot come first: %s", (int)thread, g_strerror(errno));
}

static void put_back(pid_t thread)
{
    static const struct sched_param none = {0};
    (void)sched_setscheduler(thread, SCHED_OTHER, &none);
}

/* The threads of a process; free with g_array_unref. */
static GArray *threads_of(pid_t pid)
{
    GArray *threads = g_array_new(false, false, sizeof(pid_t));
    g_autofree char *path = g_strdup_printf("/proc/%d/task", (int)pid);
    g_autoptr(GDir) folder = g_dir_open(path, 0, NULL);
    const char *name;
    while (folder && (name = g_dir_read_name(folder))) {
        pid_t thread = (pid_t)g_ascii_strtoll(name, NULL, 10);
        g_array_append_val(threads, thread);
    }
    return threads;
}

static void put_all_first(pid_t pid, GArray *others)
{
    g_autoptr(GArray) threads = threads_of(pid);
    for (guint i = 0; i < threads->len; i++) {
        pid_t thread = g_array_index(threads, pid_t, i);
        if (is_ordinary(thread))
            put_first(thread, 0);
        else
            g_array_append_val(others, thread);
    }
}

static bool is_among(const GArray *others, pid_t thread)
{
    for (guint i = 0; i < others->len; i++)
        if (g_array_index(others, pid_t, i) == thread)
            return true;
    return false;
}

struct precedence *precedence_take(pid_t qemu, pid_t job)
{
    struct precedence *precedence = g_new(struct precedence, 1);
    precedence->others = g_array_new(false, false, sizeof(pid_t));
    /* What the agent starts meanwhile is ordinary. */
    if (n_takers++ == 0)
        put_first(0, SCHED_RESET_ON_FORK);
    if (qemu)
        put_all_first(qemu, precedence->others);
    if (job)
        put_all_first(job, precedence->others);
    return precedence;
}

void precedence_give_back(struct precedence *precedence, pid_t qemu)
{
    if (!precedence)
        return;
    g_autoptr(GArray) threads = qemu ? threads_of(qemu) : g_array_new(false, false, sizeof(pid_t));
    for (guint i = 0; i < threads->len; i++) {
        pid_t thread = g_array_index(threads, pid_t, i);
        if (!is_among(precedence->others, thread))
            put_back(thread);
    }
    if (--n_takers == 0)
        put_back(0);
    g_array_unref(precedence->others);
    g_free(precedence);
}
