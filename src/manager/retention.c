/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A task that is over is asked for by people only: moves without a task (orphans.c), settlements and
 * admission ask hosts and open tasks, which are never removed. With a task goes its client key, so that a
 * client which repeats its request after that time moves the VM once more.
 */
#include "manager/retention.h"

#include "base/clock.h"
#include "base/log.h"

#define LOOK_MS 60000
#define GO_ON_MS 100
/* So much takes a few milliseconds, in which nothing else is done. A task is large. */
#define EVENTS_AT_ONCE 200
#define TASKS_AT_ONCE 10
#define DAY_MS (24ll * 60 * 60 * 1000)

struct retention {
    struct manager *manager;
    guint timer;
};

struct history {
    const char *what;
    int (*prune)(struct db *db, const struct db_retention *retention, struct err *err);
    const struct keep_config *keep;
    unsigned at_once;
};

/* True if there may be more to remove. */
static bool prune(struct db *db, const struct history *history)
{
    struct err err = {0};
    const struct db_retention retention = {
        .keep = history->keep->number,
        .oldest_ms = clock_wall_ms() - history->keep->days * DAY_MS,
        .limit = history->at_once,
    };
    int n_removed = history->prune(db, &retention, &err);
    if (n_removed < 0)
        log_error(&err, "old %s stay", history->what);
    else if (n_removed)
        log_debug("%d old %s removed", n_removed, history->what);
    return n_removed >= (int)history->at_once;
}

static gboolean look(void *user)
{
    struct retention *retention = user;
    const struct manager *manager = retention->manager;
    const struct history events = {"events", db_event_prune, &manager->config.events_keep, EVENTS_AT_ONCE};
    const struct history tasks = {"tasks", db_task_prune, &manager->config.tasks_keep, TASKS_AT_ONCE};
    bool is_more = prune(manager->db, &events);
    is_more = prune(manager->db, &tasks) || is_more;
    retention->timer = g_timeout_add(is_more ? GO_ON_MS : LOOK_MS, look, retention);
    return G_SOURCE_REMOVE;
}

struct retention *retention_start(struct manager *manager)
{
    struct retention *retention = g_new0(struct retention, 1);
    retention->manager = manager;
    retention->timer = g_timeout_add(GO_ON_MS, look, retention);
    return retention;
}

void retention_stop(struct retention *retention)
{
    if (!retention)
        return;
    g_source_remove(retention->timer);
    g_free(retention);
}
