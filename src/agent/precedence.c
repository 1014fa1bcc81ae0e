/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/precedence.h"

#include <errno.h>
#include <glib.h>
#include <sched.h>
#include <stdbool.h>

#include "base/log.h"

#define VCPU_PRIORITY 1
#define PRIORITY 2 /* of all the others */
/* How QEMU names the threads of its vCPUs (-name debug-threads=on). */
#define VCPU_NAME "CPU "

static unsigned n_takers; /* switch-overs for which this thread has it */

static void put_first(pid_t thread, int priority, int flags)
{
    const struct sched_param param = {.sched_priority = priority};
    if (sched_getscheduler(thread) != SCHED_OTHER)
        return;
    if (sched_setscheduler(thread, SCHED_RR | flags, &param) < 0 && errno != ESRCH)
        log_debug("thread %d cannot come first: %s", (int)thread, g_strerror(errno));
}

static void put_back(pid_t thread)
{
    static const struct sched_param none = {0};
    struct sched_param now = {0};
    int policy = sched_getscheduler(thread);
    if (policy >= 0 && (policy & ~SCHED_RESET_ON_FORK) == SCHED_RR && sched_getparam(thread, &now) == 0 &&
        now.sched_priority <= PRIORITY)
        (void)sched_setscheduler(thread, SCHED_OTHER, &none);
}

static bool is_vcpu(pid_t pid, pid_t thread)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task/%d/comm", (int)pid, (int)thread), *name = NULL;
    return g_file_get_contents(path, &name, NULL, NULL) && g_str_has_prefix(name, VCPU_NAME);
}

static void each_thread(pid_t pid, bool is_first)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task", (int)pid);
    g_autoptr(GDir) threads = g_dir_open(path, 0, NULL);
    const char *name;
    while (threads && (name = g_dir_read_name(threads))) {
        pid_t thread = (pid_t)g_ascii_strtoll(name, NULL, 10);
        if (is_first)
            put_first(thread, is_vcpu(pid, thread) ? VCPU_PRIORITY : PRIORITY, 0);
        else
            put_back(thread);
    }
}

void precedence_take(pid_t qemu, pid_t job)
{
    /* What the agent starts meanwhile is ordinary. */
    if (n_takers++ == 0)
        put_first(0, PRIORITY, SCHED_RESET_ON_FORK);
    if (qemu)
        each_thread(qemu, true);
    if (job)
        each_thread(job, true);
}

void precedence_give_back(pid_t qemu)
{
    if (qemu)
        precedence_withdraw(qemu);
    if (--n_takers == 0)
        put_back(0);
}

void precedence_withdraw(pid_t qemu)
{
    each_thread(qemu, false);
}
