/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host goes down: moves are cancelled, guests are asked to switch themselves off, and those that do not
 * in time are switched off. Who is there and what became of it is looked at in short intervals, because VMs
 * come free of their moves at any time, in any order.
 */
#include <glib.h>
#include <string.h>

#include "agent/autostart.h"
#include "agent/move.h"
#include "base/clock.h"
#include "base/log.h"

#define LOOK_MS 100
/* After the time of the guests, for QEMU's own end. */
#define GRACE_S 15

struct waiter {
    void (*done)(struct agent *agent, void *user);
    void *user;
};

struct shutdown {
    struct agent *agent;
    uint64_t deadline_ns; /* of the guests */
    GHashTable *asked;    /* uuids that were asked to stop */
    GSList *waiters;      /* struct waiter, owned */
    guint timer;          /* 0: nothing left to wait for */
};

static void on_stopped(struct vm *vm, const struct err *err, void *user)
{
    (void)user;
    if (err_is_set(err))
        log_error(err, "VM %s could not be stopped with the host", vm->status.spec.name);
}

static unsigned seconds_left(const struct shutdown *shutdown)
{
    uint64_t now_ns = clock_now_ns();
    return now_ns >= shutdown->deadline_ns ? 0 : (unsigned)((shutdown->deadline_ns - now_ns) / NS_PER_S + 1);
}

/* True if it must be waited for. What a move holds is left to the move: given away, it is the destination's.
 */
static bool stop_one(struct shutdown *shutdown, struct vm *vm)
{
    if (!vm->process || err_is_set(&vm->problem))
        return false;
    if (vm_holder(vm)[0])
        return seconds_left(shutdown) > 0;
    if (g_hash_table_add(shutdown->asked, g_strdup(vm->status.spec.uuid))) {
        unsigned timeout_s = seconds_left(shutdown);
        vm_stop(vm, !timeout_s, timeout_s, on_stopped, NULL);
    }
    return true;
}

static unsigned stop_all(struct shutdown *shutdown)
{
    unsigned n = 0;
    g_autoptr(GList) vms = g_hash_table_get_values(shutdown->agent->vms);
    for (GList *at = vms; at; at = at->next)
        n += stop_one(shutdown, at->data);
    return n;
}

static void finish(struct shutdown *shutdown, unsigned n_left)
{
    struct agent *agent = shutdown->agent; /* a waiter may take the shutdown back */
    GSList *waiters = g_steal_pointer(&shutdown->waiters);
    if (n_left)
        log_warn("host %s goes down with %u VMs that do not end", agent->config.name, n_left);
    for (GSList *at = waiters; at; at = at->next) {
        const struct waiter *waiter = at->data;
        waiter->done(agent, waiter->user);
    }
    g_slist_free_full(waiters, g_free);
}

static gboolean on_look(gpointer user)
{
    struct shutdown *shutdown = user;
    unsigned n_left = stop_all(shutdown);
    if (n_left && clock_now_ns() < shutdown->deadline_ns + GRACE_S * NS_PER_S)
        return G_SOURCE_CONTINUE;
    shutdown->timer = 0;
    finish(shutdown, n_left);
    return G_SOURCE_REMOVE;
}

static void cancel_moves(struct agent *agent)
{
    struct err why;
    (void)err_set(&why, ERR_CANCELLED, "host-shutting-down", "host %s is shutting down", agent->config.name);
    (void)err_arg(&why, "host", "%s", agent->config.name);
    (void)err_fix(&why, "migrate again when it is up");
    g_autoptr(GList) moves = agent->moves ? g_hash_table_get_values(agent->moves) : NULL;
    for (GList *at = moves; at; at = at->next) {
        const struct move *move = at->data;
        struct err err = {0};
        if (!move->is_settled && moves_cancel(agent, move->status.id, &why, &err) < 0)
            log_error(&err, "move %s goes on", move->status.id);
    }
}

void vms_shutdown(struct agent *agent, unsigned timeout_s, void (*done)(struct agent *agent, void *user),
                  void *user)
{
    struct shutdown *shutdown = agent->shutdown;
    if (!shutdown) {
        shutdown = agent->shutdown = g_new0(struct shutdown, 1);
        shutdown->agent = agent;
        shutdown->asked = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    }
    struct waiter *waiter = g_new(struct waiter, 1);
    *waiter = (struct waiter){.done = done, .user = user};
    shutdown->waiters = g_slist_append(shutdown->waiters, waiter);
    if (shutdown->timer)
        return; /* the first call's time counts */
    log_info("host %s is shutting down: its guests have %u s", agent->config.name, timeout_s);
    shutdown->deadline_ns = clock_now_ns() + timeout_s * NS_PER_S;
    cancel_moves(agent);
    shutdown->timer = g_timeout_add(LOOK_MS, on_look, shutdown);
}

static void take_back(struct agent *agent, struct shutdown *shutdown)
{
    log_info("host %s: its VMs may start again", agent->config.name);
    if (shutdown->timer)
        (void)g_source_remove(shutdown->timer);
    finish(shutdown, 0);
    g_hash_table_unref(shutdown->asked);
    g_free(shutdown);
}

void vms_power_on(struct agent *agent, bool now, void (*done)(struct agent *agent, void *user), void *user)
{
    struct shutdown *shutdown = g_steal_pointer(&agent->shutdown);
    if (shutdown)
        take_back(agent, shutdown);
    if (now && autostart_is_pending(agent)) {
        log_warn("host %s: VMs with autostart start without the manager's word, as root says",
                 agent->config.name);
        autostart_release(agent, NULL, done, user);
    } else if (shutdown && !autostart_is_pending(agent)) {
        autostart_all(agent, done, user);
    } else {
        done(agent, user);
    }
}
