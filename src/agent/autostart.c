/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/autostart.h"

#include <string.h>

#include "agent/boot.h"
#include "agent/journal.h"
#include "agent/vm.h"
#include "base/log.h"

#define LOOK_AGAIN_MS 200
#define COMPLAIN_S 60

struct autostart {
    struct agent *agent;
    char boot_id[MODEL_UUID_SIZE]; /* to be recorded; "": it is no boot */
    guint complaint;               /* timer, while it waits for the word */
    GQueue waiting;                /* uuids, owned */
    unsigned n_postponed, n_given; /* in a row */
    bool is_over;                  /* all were tried, but what may come back from another host */
    autostart_done done;
    void *user;
};

static void start_next(struct autostart *autostart);

static void record(const struct agent *agent, const char *boot_id)
{
    struct err err = {0};
    if (boot_record(agent, boot_id, &err) < 0)
        log_error(&err, "VMs with autostart will be started again by the next agent");
}

static void tried_all(struct autostart *autostart)
{
    if (autostart->is_over)
        return;
    autostart->is_over = true;
    /* Only now: an agent that is killed before tries again, and finds running what it has started. */
    if (autostart->boot_id[0] && !autostart->agent->shutdown)
        record(autostart->agent, autostart->boot_id);
    if (autostart->done)
        autostart->done(autostart->agent, autostart->user);
}

static void finish(struct autostart *autostart)
{
    tried_all(autostart);
    g_queue_clear_full(&autostart->waiting, g_free);
    g_free(autostart);
}

static void on_started(struct vm *vm, const struct err *err, void *user)
{
    if (err_is_set(err))
        log_error(err, "VM %s was not started with the host", vm->status.spec.name);
    else
        log_info("VM %s: started with the host", vm->status.spec.name);
    start_next(user);
}

static enum journal_step step_of(const struct vm *vm)
{
    struct journal_entry entry = {0};
    if (vm->journal)
        journal_read(vm->journal, &entry);
    return entry.step;
}

/* A move that the boot ended is being settled. Before GIVEN the VM comes back to this host in a moment; after
 * it the other host decides, which may take long. Or a shutdown was taken back, and the guest, which cannot
 * be told, still switches itself off. */
static bool may_come_back(struct autostart *autostart, const struct vm *vm)
{
    enum journal_step step = step_of(vm);
    bool is_given = step == JOURNAL_GIVEN;
    if (vm->ending) {
        autostart->n_postponed++;
        return true;
    }
    if (!vm->status.move[0] || (!is_given && step != JOURNAL_SENDING && step != JOURNAL_RESUMED))
        return false;
    autostart->n_postponed++;
    autostart->n_given += is_given;
    return true;
}

static bool may_start(const struct vm *vm)
{
    if (vm->status.state != VM_OFF)
        return false;
    if (journal_may_run(vm->journal))
        return true;
    log_info("VM %s is not started with the host, which does not own it", vm->status.spec.name);
    return false;
}

static gboolean on_look_again(gpointer user)
{
    struct autostart *autostart = user;
    autostart->n_postponed = autostart->n_given = 0;
    start_next(autostart);
    return G_SOURCE_REMOVE;
}

static void start_next(struct autostart *autostart)
{
    char *uuid;
    GQueue *waiting = &autostart->waiting;
    while (!autostart->agent->shutdown && autostart->n_postponed < waiting->length &&
           (uuid = g_queue_pop_head(waiting))) {
        struct vm *vm = vm_find(autostart->agent, uuid);
        if (vm && may_come_back(autostart, vm)) {
            g_queue_push_tail(waiting, uuid);
            continue;
        }
        g_free(uuid);
        autostart->n_postponed = autostart->n_given = 0;
        if (vm && may_start(vm)) {
            vm_start(vm, on_started, autostart);
            return;
        }
    }
    if (autostart->agent->shutdown || !waiting->length) {
        finish(autostart);
        return;
    }
    if (autostart->n_given == waiting->length)
        tried_all(autostart);
    (void)g_timeout_add(LOOK_AGAIN_MS, on_look_again, autostart);
}

/* The order is the same after each boot. */
static int by_name(gconstpointer left, gconstpointer right)
{
    const struct vm *const *a = left;
    const struct vm *const *b = right;
    return strcmp((*a)->status.spec.name, (*b)->status.spec.name);
}

/* With autostart, by name. g_ptr_array_unref. */
static GPtrArray *candidates(const struct agent *agent)
{
    GPtrArray *vms = g_ptr_array_new();
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, agent->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        if (((const struct vm *)value)->status.spec.autostart)
            g_ptr_array_add(vms, value);
    g_ptr_array_sort(vms, by_name);
    return vms;
}

static void queue_all(struct autostart *autostart, const char *const *except)
{
    g_autoptr(GPtrArray) vms = candidates(autostart->agent);
    for (guint i = 0; i < vms->len; i++) {
        const struct vm *vm = vms->pdata[i];
        if (except && g_strv_contains(except, vm->status.spec.uuid))
            log_warn("VM %s is not started with the host: the manager knows of another host that has it",
                     vm->status.spec.name);
        else
            g_queue_push_tail(&autostart->waiting, g_strdup(vm->status.spec.uuid));
    }
}

static struct autostart *autostart_new(struct agent *agent)
{
    struct autostart *autostart = g_new0(struct autostart, 1);
    autostart->agent = agent;
    g_queue_init(&autostart->waiting);
    return autostart;
}

void autostart_all(struct agent *agent, autostart_done done, void *user)
{
    struct autostart *autostart = autostart_new(agent);
    autostart->done = done;
    autostart->user = user;
    queue_all(autostart, NULL);
    start_next(autostart);
}

/* Once: an operator who looks for the reason finds it. */
static gboolean on_still_pending(gpointer user)
{
    struct autostart *autostart = user;
    autostart->complaint = 0;
    log_warn("host %s was booted, and its manager has not spoken to it: VMs with autostart stay off, because "
             "they may have been given to another host meanwhile. See to it that godwitd reaches this host; "
             "or, if you know that no other host has them: godwit-agent power-on --now",
             autostart->agent->config.name);
    return G_SOURCE_REMOVE;
}

void autostart_prepare(struct agent *agent)
{
    char booted[MODEL_UUID_SIZE];
    char recorded[MODEL_UUID_SIZE];
    struct err err = {0};
    if (boot_id_read(booted, &err) < 0) {
        log_error(&err, "it is not known whether the host was booted: no VM is started with it");
        return;
    }
    bool is_known = boot_recorded(agent, recorded, &err) == 0;
    if (is_known && !strcmp(booted, recorded))
        return;
    if (!is_known && err.code != ERR_NOT_FOUND)
        log_error(&err, "it is not known whether the host was booted: no VM is started with it");
    g_autoptr(GPtrArray) vms = candidates(agent);
    if (!is_known || !vms->len) {
        record(agent, booted);
        return;
    }
    log_info("host %s was booted: %u VMs start with it, at the manager's word", agent->config.name, vms->len);
    agent->autostart = autostart_new(agent);
    g_strlcpy(agent->autostart->boot_id, booted, sizeof agent->autostart->boot_id);
    agent->autostart->complaint = g_timeout_add_seconds(COMPLAIN_S, on_still_pending, agent->autostart);
}

bool autostart_is_pending(const struct agent *agent)
{
    return agent->autostart != NULL;
}

void autostart_release(struct agent *agent, const char *const *except, autostart_done done, void *user)
{
    if (!agent->autostart || agent->shutdown) {
        if (done)
            done(agent, user);
        return;
    }
    struct autostart *autostart = g_steal_pointer(&agent->autostart);
    if (autostart->complaint)
        (void)g_source_remove(autostart->complaint);
    autostart->done = done;
    autostart->user = user;
    queue_all(autostart, except);
    log_info("host %s: %u VMs start with it now", agent->config.name, autostart->waiting.length);
    start_next(autostart);
}
