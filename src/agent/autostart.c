/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/autostart.h"

#include <string.h>

#include "agent/boot.h"
#include "agent/journal.h"
#include "agent/vm.h"
#include "base/log.h"

#define LOOK_AGAIN_MS 200

struct autostart {
    struct agent *agent;
    char boot_id[MODEL_UUID_SIZE];
    bool is_new;          /* boot_id is to be recorded */
    GQueue waiting;       /* uuids, owned */
    unsigned n_postponed; /* in a row */
    autostart_done done;
    void *user;
};

static void start_next(struct autostart *autostart);

static void finish(struct autostart *autostart)
{
    struct err err = {0};
    /* Only now: an agent that is killed before tries again, and finds running what it has started. */
    if (autostart->is_new && !autostart->agent->shutdown &&
        boot_record(autostart->agent, autostart->boot_id, &err) < 0)
        log_error(&err, "VMs with autostart will be started again by the next agent");
    if (autostart->done)
        autostart->done(autostart->agent, autostart->user);
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

/* A move that the boot ended is being settled: the VM comes back to this host in a moment. Or a shutdown was
 * taken back and the guest, which cannot be told, still switches itself off. */
static bool is_coming_back(const struct vm *vm)
{
    struct journal_entry entry = {0};
    if (vm->ending)
        return true;
    if (vm->journal)
        journal_read(vm->journal, &entry);
    return vm->status.move[0] && (entry.step == JOURNAL_SENDING || entry.step == JOURNAL_RESUMED);
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
    autostart->n_postponed = 0;
    start_next(autostart);
    return G_SOURCE_REMOVE;
}

static void start_next(struct autostart *autostart)
{
    char *uuid;
    while (!autostart->agent->shutdown && autostart->n_postponed <= g_queue_get_length(&autostart->waiting) &&
           (uuid = g_queue_pop_head(&autostart->waiting))) {
        struct vm *vm = vm_find(autostart->agent, uuid);
        if (vm && is_coming_back(vm)) {
            g_queue_push_tail(&autostart->waiting, uuid);
            autostart->n_postponed++;
            continue;
        }
        g_free(uuid);
        autostart->n_postponed = 0;
        if (vm && may_start(vm)) {
            vm_start(vm, on_started, autostart);
            return;
        }
    }
    if (!autostart->agent->shutdown && !g_queue_is_empty(&autostart->waiting))
        (void)g_timeout_add(LOOK_AGAIN_MS, on_look_again, autostart);
    else
        finish(autostart);
}

/* The order is the same after each boot. */
static int by_name(gconstpointer left, gconstpointer right)
{
    const struct vm *const *a = left;
    const struct vm *const *b = right;
    return strcmp((*a)->status.spec.name, (*b)->status.spec.name);
}

static void queue_all(struct autostart *autostart)
{
    g_autoptr(GPtrArray) vms = g_ptr_array_new();
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, autostart->agent->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        if (((const struct vm *)value)->status.spec.autostart)
            g_ptr_array_add(vms, value);
    g_ptr_array_sort(vms, by_name);
    for (guint i = 0; i < vms->len; i++)
        g_queue_push_tail(&autostart->waiting, g_strdup(((struct vm *)vms->pdata[i])->status.spec.uuid));
}

static struct autostart *autostart_new(struct agent *agent, autostart_done done, void *user)
{
    struct autostart *autostart = g_new0(struct autostart, 1);
    *autostart = (struct autostart){.agent = agent, .done = done, .user = user};
    g_queue_init(&autostart->waiting);
    return autostart;
}

void autostart_all(struct agent *agent, autostart_done done, void *user)
{
    struct autostart *autostart = autostart_new(agent, done, user);
    queue_all(autostart);
    start_next(autostart);
}

void autostart_run(struct agent *agent, autostart_done done, void *user)
{
    char recorded[MODEL_UUID_SIZE];
    struct err err = {0};
    struct autostart *autostart = autostart_new(agent, done, user);
    if (boot_id_read(autostart->boot_id, &err) < 0) {
        log_error(&err, "it is not known whether the host was booted: no VM is started with it");
        start_next(autostart);
        return;
    }
    bool is_known = boot_recorded(agent, recorded, &err) == 0;
    autostart->is_new = !is_known || strcmp(autostart->boot_id, recorded) != 0;
    if (is_known && autostart->is_new) {
        queue_all(autostart);
        log_info("host %s was booted: %u VMs start with it", agent->config.name, autostart->waiting.length);
    } else if (!is_known && err.code != ERR_NOT_FOUND) {
        log_error(&err, "it is not known whether the host was booted: no VM is started with it");
    }
    start_next(autostart);
}
