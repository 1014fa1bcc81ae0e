/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/orphans.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "manager/agent_client.h"
#include "manager/events.h"
#include "manager/settlements.h"
#include "manager/task.h"

#define CALL_TIMEOUT_S 10

struct orphan {
    struct manager *manager;
    char *key; /* HOST/ID: both sides of a move may be orphans */
    char host[MODEL_NAME_MAX];
    char id[MODEL_UUID_SIZE];
    char vm_uuid[MODEL_UUID_SIZE];
    bool is_listed; /* by the host, when it was asked last */
    bool is_busy;   /* a call is under way */
    char note[200]; /* what was said of it last: each change once */
    JsonObject *relayed;
    GPtrArray *to_ask; /* names of hosts that were not asked for the verdict yet */
    char answering[MODEL_NAME_MAX];
};

struct orphans {
    struct manager *manager;
    GHashTable *table; /* key -> struct orphan, owned */
};

static void orphan_free(void *data)
{
    struct orphan *orphan = data;
    if (orphan->to_ask)
        g_ptr_array_unref(orphan->to_ask);
    if (orphan->relayed)
        json_object_unref(orphan->relayed);
    g_free(orphan->key);
    g_free(orphan);
}

struct orphans *orphans_new(struct manager *manager)
{
    struct orphans *orphans = g_new0(struct orphans, 1);
    orphans->manager = manager;
    orphans->table = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, orphan_free);
    return orphans;
}

void orphans_free(struct orphans *orphans)
{
    if (!orphans)
        return;
    g_hash_table_unref(orphans->table);
    g_free(orphans);
}

/* ---- what is said ---- */

static void emit(const struct orphan *orphan, enum event_type type, const char *action)
{
    g_autoptr(JsonObject) document = json_object_new();
    struct vm_status vm;
    struct err err;
    bool is_listed = !inventory_get_vm(orphan->manager->inventory, orphan->vm_uuid, &vm, &err);
    json_object_set_string_member(document, "vm_uuid", orphan->vm_uuid);
    json_object_set_string_member(document, "vm", is_listed ? vm.spec.name : orphan->vm_uuid);
    json_object_set_string_member(document, "host", orphan->host);
    json_object_set_string_member(document, "move", orphan->id);
    json_object_set_string_member(document, "action", action);
    json_object_set_string_member(document, "text", orphan->note);
    events_emit(orphan->manager->events, type,
                &(struct event){.vm = is_listed ? vm.spec.name : NULL,
                                .vm_uuid = orphan->vm_uuid,
                                .host = orphan->host,
                                .task = orphan->id,
                                .detail = orphan->note,
                                .document = document});
}

/* True if this was not said before. */
static bool __attribute__((format(printf, 2, 3))) say(struct orphan *orphan, const char *format, ...)
{
    char text[sizeof orphan->note];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (!strcmp(text, orphan->note))
        return false;
    memcpy(orphan->note, text, sizeof text);
    log_info("move %s on host %s has no task: %s", orphan->id, orphan->host, orphan->note);
    return true;
}

static void call(struct orphan *orphan, const char *host_name, const struct http_call *what, http_done done)
{
    struct host *host = inventory_find_host(orphan->manager->inventory, host_name);
    struct err gone = {0};
    if (host) {
        agent_call(host, what, done, orphan);
        return;
    }
    if (what->body)
        json_object_unref(what->body);
    (void)err_set(&gone, ERR_NOT_FOUND, "host-not-found", "host '%s' was removed", host_name);
    (void)err_arg(&gone, "host", "%s", host_name);
    done(NULL, &gone, orphan);
}

static void rest(struct orphan *orphan)
{
    orphan->is_busy = false;
    if (!orphan->is_listed)
        (void)g_hash_table_remove(orphan->manager->orphans->table, orphan->key);
}

/* ---- over, or not begun ---- */

static void forgotten(JsonObject *object, const struct err *err, void *user)
{
    (void)object;
    struct orphan *orphan = user;
    struct host *host = inventory_find_host(orphan->manager->inventory, orphan->host);
    bool is_forgotten = !err_is_set(err) || err->code == ERR_NOT_FOUND;
    if (is_forgotten && host)
        inventory_move_over(host, orphan->id);
    if (is_forgotten)
        (void)say(orphan, "it was over and is forgotten");
    else
        (void)say(orphan, "it is over and cannot be forgotten: %s", err->message);
    rest(orphan);
}

static void cancelled(JsonObject *object, const struct err *err, void *user)
{
    (void)object;
    struct orphan *orphan = user;
    if (!err_is_set(err)) {
        if (say(orphan, "cancelled; the VM stays where it is"))
            emit(orphan, EVENT_ORPHAN_CANCELLED, "cancelled");
    } else if (err->code != ERR_NOT_FOUND) {
        (void)say(orphan, "it cannot be cancelled: %s", err->message);
    }
    rest(orphan);
}

/* ---- given away: the verdict is looked for ---- */

static void source_told(JsonObject *object, const struct err *err, void *user)
{
    (void)object;
    struct orphan *orphan = user;
    const char *verdict = json_object_get_string_member(orphan->relayed, "verdict");
    if (err_is_set(err))
        (void)say(orphan, "host %s says '%s', which the source does not take: %s", orphan->answering, verdict,
                  err->message);
    else if (say(orphan, "settled: host %s answered '%s'", orphan->answering, verdict))
        emit(orphan, EVENT_ORPHAN_SETTLED, "settled");
    rest(orphan);
}

static void ask_next(struct orphan *orphan);

static void asked(JsonObject *object, const struct err *err, void *user)
{
    struct orphan *orphan = user;
    const char *verdict = object ? model_text(object, "verdict") : "";
    if (err_is_set(err) || !verdict[0]) {
        if (err->code == ERR_RETRY) {
            (void)say(orphan, "host %s is settling it", orphan->answering);
            rest(orphan);
        } else {
            ask_next(orphan);
        }
        return;
    }
    JsonObject *body = json_object_new();
    json_object_set_string_member(body, "verdict", verdict);
    json_object_set_string_member(body, "secret", model_text(object, "secret"));
    g_clear_pointer(&orphan->relayed, json_object_unref);
    orphan->relayed = json_object_ref(body);
    g_autofree char *path = g_strdup_printf("/v1/moves/%s/verdict", orphan->id);
    call(orphan, orphan->host, &(struct http_call){"POST", path, body, CALL_TIMEOUT_S, NULL}, source_told);
}

static void ask_next(struct orphan *orphan)
{
    if (!orphan->to_ask->len) {
        if (say(orphan, "the VM was given away and stands still; it waits for the host that took it"))
            emit(orphan, EVENT_ORPHAN_WAITS, "waits");
        rest(orphan);
        return;
    }
    const char *name = g_ptr_array_index(orphan->to_ask, orphan->to_ask->len - 1);
    (void)g_strlcpy(orphan->answering, name, sizeof orphan->answering);
    g_ptr_array_set_size(orphan->to_ask, (gint)orphan->to_ask->len - 1);
    g_autofree char *path = g_strdup_printf("/v1/moves/%s/commit", orphan->id);
    JsonObject *body = json_object_new();
    json_object_set_string_member(body, "vm", orphan->vm_uuid);
    json_object_set_string_member(body, "commit", json_object_get_string_member(orphan->relayed, "commit"));
    call(orphan, orphan->answering, &(struct http_call){"POST", path, body, CALL_TIMEOUT_S, NULL}, asked);
}

static void collect(struct host *host, void *user)
{
    struct orphan *orphan = user;
    if (host->state == HOST_CONNECTED && strcmp(host->name, orphan->host) != 0)
        g_ptr_array_add(orphan->to_ask, g_strdup(host->name));
}

/* COMMIT is the source's secret and shown to agents of this manager only; which of them was the destination
 * is not known after a restart of the source. One that has no record of the session says so. */
static void relay(struct orphan *orphan, const struct move_status *status)
{
    char commit[2 * MOVE_SECRET_SIZE + 1];
    model_hex(status->commit, MOVE_SECRET_SIZE, commit);
    g_clear_pointer(&orphan->relayed, json_object_unref);
    orphan->relayed = json_object_new();
    json_object_set_string_member(orphan->relayed, "commit", commit);
    if (orphan->to_ask)
        g_ptr_array_unref(orphan->to_ask);
    orphan->to_ask = g_ptr_array_new_with_free_func(g_free);
    inventory_each_host(orphan->manager->inventory, collect, orphan);
    ask_next(orphan);
}

/* ---- looking ---- */

static void decide(struct orphan *orphan, const struct move_status *status)
{
    g_autofree char *path = g_strdup_printf("/v1/moves/%s", orphan->id);
    g_autofree char *cancel = g_strdup_printf("/v1/moves/%s/cancel", orphan->id);
    if (tasks_find(orphan->manager, orphan->id)) {
        rest(orphan);
    } else if (status->state >= MOVE_DONE) {
        call(orphan, orphan->host, &(struct http_call){"DELETE", path, NULL, CALL_TIMEOUT_S, NULL},
             forgotten);
    } else if (status->state == MOVE_GIVEN) {
        relay(orphan, status);
    } else {
        struct err why = {0};
        err_set(&why, ERR_CANCELLED, "task-over", "no task of the manager belongs to this move");
        call(orphan, orphan->host,
             &(struct http_call){"POST", cancel, model_error_to_json(&why), CALL_TIMEOUT_S, NULL}, cancelled);
    }
}

static void looked(JsonObject *object, const struct err *call_err, void *user)
{
    struct orphan *orphan = user;
    struct move_status status;
    struct err err = *call_err;
    if (!err_is_set(&err) && !object) {
        err_set(&err, ERR_CORRUPT, "agent-answer", "host %s sent no status", orphan->host);
        (void)err_arg(&err, "host", "%s", orphan->host);
    }
    if (err_is_set(&err) || move_status_from_json(object, &status, &err)) {
        if (err.code != ERR_NOT_FOUND)
            (void)say(orphan, "its host does not say how it stands: %s", err.message);
        rest(orphan);
        return;
    }
    decide(orphan, &status);
}

static void look_at(struct host *host, const char *id, const char *vm_uuid)
{
    struct orphans *orphans = host->manager->orphans;
    g_autofree char *key = g_strdup_printf("%s/%s", host->name, id);
    struct orphan *orphan = g_hash_table_lookup(orphans->table, key);
    if (!orphan) {
        orphan = g_new0(struct orphan, 1);
        orphan->manager = host->manager;
        orphan->key = g_steal_pointer(&key);
        (void)g_strlcpy(orphan->host, host->name, sizeof orphan->host);
        (void)g_strlcpy(orphan->id, id, sizeof orphan->id);
        (void)g_strlcpy(orphan->vm_uuid, vm_uuid, sizeof orphan->vm_uuid);
        g_hash_table_insert(orphans->table, orphan->key, orphan);
    }
    orphan->is_listed = true;
    /* What the operator settles is taken from the host with the move. */
    if (orphan->is_busy || settlements_are_at(host->manager, vm_uuid, host->name))
        return;
    orphan->is_busy = true;
    g_autofree char *path = g_strdup_printf("/v1/moves/%s", id);
    call(orphan, host->name, &(struct http_call){"GET", path, NULL, CALL_TIMEOUT_S, NULL}, looked);
}

static void unlist(struct orphans *orphans, const char *host)
{
    GHashTableIter iter;
    void *value;
    g_hash_table_iter_init(&iter, orphans->table);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        if (!strcmp(((struct orphan *)value)->host, host))
            ((struct orphan *)value)->is_listed = false;
}

static void drop_unlisted(struct orphans *orphans)
{
    GHashTableIter iter;
    void *value;
    g_hash_table_iter_init(&iter, orphans->table);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        if (!((struct orphan *)value)->is_listed && !((struct orphan *)value)->is_busy)
            g_hash_table_iter_remove(&iter);
}

void orphans_look(struct host *host, JsonArray *moves)
{
    unlist(host->manager->orphans, host->name);
    for (guint i = 0; i < json_array_get_length(moves); i++) {
        JsonNode *node = json_array_get_element(moves, i);
        JsonObject *move = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
        const char *id = move ? model_text(move, "id") : "";
        const char *vm = move ? model_text(move, "vm") : "";
        if (model_uuid_is_valid(id) && model_uuid_is_valid(vm) && !tasks_find(host->manager, id))
            look_at(host, id, vm);
    }
    drop_unlisted(host->manager->orphans);
}
