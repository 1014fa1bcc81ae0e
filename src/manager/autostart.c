/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/autostart.h"

#include <string.h>

#include "base/log.h"
#include "manager/agent_client.h"
#include "manager/claims.h"
#include "manager/events.h"
#include "manager/settlements.h"
#include "model/ownership.h"

#define CALL_TIMEOUT_S 10

struct rival {
    const struct host *host; /* that was booted */
    const struct vm_status *vm;
    const struct host *other; /* that owns it in a later epoch; NULL: none */
};

static void look_for_rival(struct host *host, void *user)
{
    struct rival *rival = user;
    const struct vm_status *vm = g_hash_table_lookup(host->vms, rival->vm->spec.uuid);
    if (host != rival->host && vm && vm->epoch > rival->vm->epoch && ownership_claims(vm->journal))
        rival->other = host;
}

/* Tells people, once for each word. */
static void emit(const struct host *host, const struct vm_status *vm, const char *other)
{
    g_autoptr(JsonObject) document = json_object_new();
    g_autofree char *text =
        g_strdup_printf("VM %s is not started with host %s, which was booted: host %s says that it owns it. "
                        "Look at 'godwit vm settle %s', say who owns it, and start it",
                        vm->spec.name, host->name, other, vm->spec.name);
    json_object_set_string_member(document, "vm_uuid", vm->spec.uuid);
    json_object_set_string_member(document, "vm", vm->spec.name);
    json_object_set_string_member(document, "host", host->name);
    json_object_set_string_member(document, "other_host", other);
    json_object_set_string_member(document, "action", "not started");
    json_object_set_string_member(document, "text", text);
    log_warn("%s", text);
    events_emit(host->manager->events, EVENT_VM_NOT_STARTED,
                &(struct event){.vm = vm->spec.name,
                                .vm_uuid = vm->spec.uuid,
                                .host = host->name,
                                .detail = text,
                                .document = document});
}

/* True if the host must not start the VM by itself. */
static bool is_disputed(const struct host *host, const struct vm_status *vm)
{
    struct rival rival = {host, vm, NULL};
    inventory_each_host(host->manager->inventory, look_for_rival, &rival);
    if (rival.other) {
        emit(host, vm, rival.other->name);
        return true;
    }
    g_autoptr(GPtrArray) owners = claims_conflict(host->manager, vm->spec.uuid);
    for (guint i = 0; owners && i < owners->len; i++)
        if (strcmp(owners->pdata[i], host->name) != 0) {
            emit(host, vm, owners->pdata[i]);
            return true;
        }
    return false;
}

static JsonArray *withheld(const struct host *host)
{
    JsonArray *uuids = json_array_new();
    GHashTableIter iter;
    void *value;
    g_hash_table_iter_init(&iter, host->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const struct vm_status *vm = value;
        /* One that it does not own it does not start; one that it gave away only with the taker's word. */
        bool may_start = !host->in_maintenance && (!ownership_claims(vm->journal) || !is_disputed(host, vm));
        if (vm->spec.autostart && !may_start)
            json_array_add_string_element(uuids, vm->spec.uuid);
    }
    return uuids;
}

struct word {
    struct manager *manager;
    char host[MODEL_NAME_MAX];
};

static void answered(JsonObject *object, const struct err *err, void *user)
{
    g_autofree struct word *word = user;
    struct host *host = inventory_find_host(word->manager->inventory, word->host);
    (void)object;
    if (host)
        host->is_releasing = false;
    if (err_is_set(err))
        log_error(err, "host %s does not start its VMs yet", word->host); /* it asks again with its facts */
    else
        log_info("host %s was booted, has heard all settlements, and starts its VMs", word->host);
}

static void look_for_unasked(struct host *host, void *user)
{
    *(bool *)user |= !inventory_host_was_asked(host);
}

void autostart_work(struct host *host)
{
    bool is_early = false;
    if (!host->facts.autostart_pending || host->is_releasing || settlements_are_open_at(host))
        return;
    /* What another host owns is seen in its answer, not in an old copy of the database. */
    inventory_each_host(host->manager->inventory, look_for_unasked, &is_early);
    if (is_early)
        return;
    struct word *word = g_new0(struct word, 1);
    JsonObject *body = json_object_new();
    word->manager = host->manager;
    (void)g_strlcpy(word->host, host->name, sizeof word->host);
    json_object_set_array_member(body, "except", withheld(host));
    host->is_releasing = true;
    agent_call(host, &(struct http_call){"POST", "/v1/autostart", body, CALL_TIMEOUT_S, NULL}, answered,
               word);
}
