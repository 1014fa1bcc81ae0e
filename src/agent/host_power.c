/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/host_power.h"

#include "agent/moves.h"
#include "agent/vm.h"
#include "base/clock.h"
#include "base/log.h"

#define LOOK_MS 200
/* QEMU is ended when the guest's time is over, and needs a moment itself. */
#define GRACE_S 10

struct shutdown {
    struct agent *agent;
    uint64_t deadline_ns;
    GHashTable *asked; /* uuids of the VMs that were told to go off */
    void (*done)(struct agent *agent, void *user);
    void *user;
};

static void on_off(struct vm *vm, const struct err *err, void *user)
{
    (void)user;
    if (err_is_set(err))
        log_error(err, "VM %s is not off", vm->status.spec.name);
}

static void cancel_moves(struct agent *agent)
{
    struct err why = {0};
    (void)err_set(&why, ERR_CANCELLED, "host-shutting-down", "host %s is being shut down",
                  agent->config.name);
    (void)err_arg(&why, "host", "%s", agent->config.name);
    g_autoptr(GList) ids = g_hash_table_get_keys(agent->moves);
    for (GList *at = ids; at; at = at->next)
        /* One that was handed over already is not ours to stop. */
        (void)moves_cancel(agent, at->data, &why, NULL);
}

static unsigned seconds_left(const struct shutdown *shutdown)
{
    uint64_t now_ns = clock_now_ns();
    uint64_t left_ns = shutdown->deadline_ns > now_ns ? shutdown->deadline_ns - now_ns : 0;
    return (unsigned)(left_ns / NS_PER_S) + 1;
}

/* Asks those that nobody holds any more; the number of VMs that are not off. */
static unsigned ask_free(struct shutdown *shutdown)
{
    unsigned n_on = 0;
    g_autoptr(GList) vms = g_hash_table_get_values(shutdown->agent->vms);
    for (GList *at = vms; at; at = at->next) {
        struct vm *vm = at->data;
        const char *uuid = vm->status.spec.uuid;
        if (!vm->process)
            continue;
        n_on++;
        if (vm->status.move[0] || vm->status.state == VM_STARTING ||
            g_hash_table_contains(shutdown->asked, uuid))
            continue;
        (void)g_hash_table_add(shutdown->asked, g_strdup(uuid));
        vm_stop(vm, false, seconds_left(shutdown), on_off, NULL);
    }
    return n_on;
}

static gboolean look(gpointer user)
{
    struct shutdown *shutdown = user;
    struct agent *agent = shutdown->agent;
    unsigned n_on = ask_free(shutdown);
    if (n_on && clock_now_ns() < shutdown->deadline_ns + GRACE_S * NS_PER_S)
        return G_SOURCE_CONTINUE;
    if (n_on)
        log_warn("host %s goes down with %u VMs that could not be switched off", agent->config.name, n_on);
    else
        log_info("host %s: all VMs are off", agent->config.name);
    shutdown->done(agent, shutdown->user);
    g_hash_table_unref(shutdown->asked);
    g_free(shutdown);
    return G_SOURCE_REMOVE;
}

void vms_shutdown(struct agent *agent, unsigned timeout_s, void (*done)(struct agent *agent, void *user),
                  void *user)
{
    struct shutdown *shutdown = g_new0(struct shutdown, 1);
    *shutdown = (struct shutdown){.agent = agent,
                                  .deadline_ns = clock_now_ns() + timeout_s * NS_PER_S,
                                  .asked = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                                  .done = done,
                                  .user = user};
    agent->is_shutting_down = true;
    log_info("host %s is being shut down: its VMs have %u s", agent->config.name, timeout_s);
    cancel_moves(agent);
    (void)g_timeout_add(LOOK_MS, look, shutdown);
}

/* ---- up ---- */
struct power_on {
    struct agent *agent;
    unsigned n_open; /* starts under way, plus one while they are begun */
    void (*done)(struct agent *agent, void *user);
    void *user;
};

static void begun(struct power_on *power_on)
{
    if (--power_on->n_open)
        return;
    power_on->done(power_on->agent, power_on->user);
    g_free(power_on);
}

static void on_started(struct vm *vm, const struct err *err, void *user)
{
    if (err_is_set(err))
        log_error(err, "VM %s was not started with its host", vm->status.spec.name);
    begun(user);
}

void vms_power_on(struct agent *agent, void (*done)(struct agent *agent, void *user), void *user)
{
    struct power_on *power_on = g_new0(struct power_on, 1);
    *power_on = (struct power_on){.agent = agent, .n_open = 1, .done = done, .user = user};
    agent->is_shutting_down = false;
    g_autoptr(GList) vms = g_hash_table_get_values(agent->vms);
    for (GList *at = vms; at; at = at->next) {
        struct vm *vm = at->data;
        if (!vm->status.spec.autostart || vm->status.state != VM_OFF || vm->status.move[0])
            continue;
        log_info("VM %s is started with its host", vm->status.spec.name);
        power_on->n_open++;
        vm_start(vm, on_started, power_on);
    }
    begun(power_on);
}
