/* SPDX-License-Identifier: Apache-2.0 */
/* VMs, merged over the hosts. */
#include <string.h>

#include "base/log.h"
#include "manager/claims.h"
#include "manager/inventory_private.h"
#include "manager/vm_events.h"
#include "model/move.h"

/* Who of several reporters shows the VM: the runner, and a shell that waits only if nobody else has it. */
static int rank(enum vm_state state)
{
    switch (state) {
    case VM_RUNNING:
        return 5;
    case VM_PAUSED:
    case VM_STARTING:
        return 4;
    case VM_OFF:
        return 3;
    case VM_UNKNOWN:
        return 2;
    case VM_INCOMING:
        return 1;
    }
    return 0;
}

static struct vm_status as_shown(const struct host *host, const struct vm_status *vm)
{
    struct vm_status shown = *vm;
    (void)g_strlcpy(shown.host, host->name, sizeof shown.host);
    if (host->state != HOST_CONNECTED)
        shown.state = VM_UNKNOWN;
    return shown;
}

static bool wins(const struct vm_status *challenger, const struct vm_status *holder)
{
    int difference = rank(challenger->state) - rank(holder->state);
    return difference > 0 || (difference == 0 && challenger->epoch > holder->epoch);
}

static void merge_host(struct host *host, void *user)
{
    GHashTable *merged = user;
    GHashTableIter iter;
    void *value;
    g_hash_table_iter_init(&iter, host->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        struct vm_status shown = as_shown(host, value);
        struct vm_status *holder = g_hash_table_lookup(merged, shown.spec.uuid);
        if (!holder)
            g_hash_table_insert(merged, g_strdup(shown.spec.uuid), g_memdup2(&shown, sizeof shown));
        else if (wins(&shown, holder))
            *holder = shown;
    }
}

static int compare_names(const void *left, const void *right)
{
    const struct vm_status *a = left;
    const struct vm_status *b = right;
    int names = strcmp(a->spec.name, b->spec.name);
    return names ? names : strcmp(a->spec.uuid, b->spec.uuid);
}

GArray *inventory_vms(struct inventory *inventory)
{
    g_autoptr(GHashTable) merged = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    inventory_each_host(inventory, merge_host, merged);
    GArray *vms = g_array_new(FALSE, FALSE, sizeof(struct vm_status));
    GHashTableIter iter;
    void *value;
    g_hash_table_iter_init(&iter, merged);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        g_array_append_vals(vms, value, 1);
    g_array_sort(vms, compare_names);
    return vms;
}

int inventory_get_vm(struct inventory *inventory, const char *name_or_uuid, struct vm_status *ret_vm,
                     struct err *err)
{
    g_autoptr(GArray) vms = inventory_vms(inventory);
    for (guint i = 0; i < vms->len; i++) {
        const struct vm_status *vm = &g_array_index(vms, struct vm_status, i);
        if (!strcmp(vm->spec.name, name_or_uuid) || !g_ascii_strcasecmp(vm->spec.uuid, name_or_uuid)) {
            *ret_vm = *vm;
            return 0;
        }
    }
    err_set(err, ERR_NOT_FOUND, "vm-not-found", "there is no VM '%s'", name_or_uuid);
    (void)err_arg(err, "vm", "%s", name_or_uuid);
    return err_fix(err, "list them with 'godwit vm ls'");
}

bool inventory_has_vm_named(struct inventory *inventory, const char *name)
{
    g_autoptr(GArray) vms = inventory_vms(inventory);
    for (guint i = 0; i < vms->len; i++)
        if (!strcmp(g_array_index(vms, struct vm_status, i).spec.name, name))
            return true;
    return false;
}

bool inventory_has_mac(struct inventory *inventory, const char *mac)
{
    g_autoptr(GArray) vms = inventory_vms(inventory);
    for (guint i = 0; i < vms->len; i++) {
        const struct vm_spec *spec = &g_array_index(vms, struct vm_status, i).spec;
        for (uint32_t n = 0; n < spec->n_nics; n++)
            if (!strcmp(spec->nics[n].mac, mac))
                return true;
    }
    return false;
}

void host_store_vm(struct host *host, const struct vm_status *vm)
{
    g_autoptr(JsonObject) object = vm_status_to_json(vm);
    g_autofree char *text = model_print(object, false);
    struct db_vm row = {vm->spec.uuid, host->name, text};
    struct err err = {0};
    if (db_vm_put(host->manager->db, &row, &err))
        log_error(&err, "the status of VM %s was not stored", vm->spec.uuid);
}

static bool has_changed(const struct vm_status *before, const struct vm_status *now)
{
    return !before || memcmp(before, now, sizeof *now) != 0;
}

void inventory_note_vm(struct host *host, const struct vm_status *vm)
{
    const struct vm_status *known = g_hash_table_lookup(host->vms, vm->spec.uuid);
    if (!has_changed(known, vm))
        return;
    g_autofree struct vm_status *before = known ? g_memdup2(known, sizeof *known) : NULL;
    host_store_vm(host, vm);
    g_hash_table_insert(host->vms, g_strdup(vm->spec.uuid), g_memdup2(vm, sizeof *vm));
    struct vm_status now = *vm;
    (void)g_strlcpy(now.host, host->name, sizeof now.host);
    vm_events_changed(host, before, &now);
}

void inventory_forget_vm(struct host *host, const char *uuid)
{
    const struct vm_status *known = g_hash_table_lookup(host->vms, uuid);
    g_autofree struct vm_status *before = known ? g_memdup2(known, sizeof *known) : NULL;
    g_autofree char *key = g_strdup(uuid);
    claims_forget(host, key);
    if (!g_hash_table_remove(host->vms, key))
        return;
    struct err err = {0};
    if (db_vm_remove(host->manager->db, key, host->name, &err))
        log_error(&err, "VM %s stays in the cache of host %s", key, host->name);
    vm_events_gone(host, before);
}

void inventory_move_over(struct host *host, const char *move)
{
    GHashTableIter iter;
    void *value;
    g_hash_table_iter_init(&iter, host->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        struct vm_status vm = *(const struct vm_status *)value;
        if (strcmp(vm.move, move) != 0)
            continue;
        vm.move[0] = '\0';
        if (vm.state == VM_INCOMING)
            inventory_forget_vm(host, vm.spec.uuid);
        else
            inventory_note_vm(host, &vm);
        return; /* a move has one VM, and the iterator is not valid any more */
    }
}

void inventory_each_vm_on(const struct host *host, void (*each)(const struct vm_status *vm, void *user),
                          void *user)
{
    GHashTableIter iter;
    void *value;
    g_hash_table_iter_init(&iter, host->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const struct vm_status *vm = value;
        if (vm->state != VM_OFF)
            each(vm, user);
    }
}
