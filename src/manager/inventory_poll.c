/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking hosts: facts, then VMs. A host is disconnected after three rounds in a row without an answer: within
 * 20 s when it is silent, within 6 s when it refuses connections. The limit of a round counts the seconds in
 * which the manager itself ran (http/call.c).
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "manager/agent_client.h"
#include "manager/autostart.h"
#include "manager/claims.h"
#include "manager/cluster.h"
#include "manager/datastores.h"
#include "manager/inventory_private.h"
#include "manager/maintenance.h"
#include "manager/orphans.h"
#include "manager/settlements.h"
#include "manager/vm_events.h"
#include "model/move.h"
#include "model/protocol.h"

#define ANSWER_TIMEOUT_S 5
#define MISSES_UNTIL_DISCONNECTED 3
/* Facts change with every answer; they are stored for the time after a restart only. */
#define SAVE_INTERVAL_MS 60000

struct question {
    struct manager *manager;
    char host[MODEL_NAME_MAX];
    bool is_poll;
    int64_t sent_ms;   /* the call for the facts */
    uint64_t asked_ns; /* when the VMs were asked for */
    void (*done)(const struct err *err, void *user);
    void *user;
};

static void save_facts(struct host *host)
{
    g_autoptr(JsonObject) object = host_facts_to_json(&host->facts);
    g_autofree char *text = model_print(object, false);
    struct err err = {0};
    if (db_host_set_facts(host->manager->db, host->name, text, host->last_seen_ms, &err))
        log_error(&err, "facts of host %s were not stored", host->name);
    host->saved_ms = host->last_seen_ms;
}

/* `why` says what is wrong with one that is not connected any more. */
static void set_state(struct host *host, enum host_state state, const struct err *why)
{
    if (host->state == state)
        return;
    host->state = state;
    log_info("host %s is %s", host->name, state == HOST_CONNECTED ? "connected" : "disconnected");
    if (host->has_facts)
        save_facts(host);
    if (state == HOST_CONNECTED)
        host_tell(host, EVENT_HOST_CONNECTED, NULL, NULL);
    else
        host_tell_lost(host, why);
}

static void finish(struct question *question, struct host *host, const struct err *err)
{
    if (host && question->is_poll)
        host->is_polling = false;
    if (host && err_is_set(err)) {
        host->misses++;
        (void)snprintf(host->problem, sizeof host->problem, "%.150s%s%.150s", err->message,
                       err->cause[0] ? ": " : "", err->cause);
        if (host->misses == MISSES_UNTIL_DISCONNECTED)
            log_error(err, "host %s does not answer", host->name);
        if (host->misses >= MISSES_UNTIL_DISCONNECTED)
            set_state(host, HOST_DISCONNECTED, err);
    }
    if (question->done)
        question->done(err, question->user);
    g_free(question);
}

static void forget_unseen(struct host *host, GHashTable *seen)
{
    g_autoptr(GPtrArray) gone = g_ptr_array_new_with_free_func(g_free);
    GHashTableIter iter;
    void *uuid;
    g_hash_table_iter_init(&iter, host->vms);
    while (g_hash_table_iter_next(&iter, &uuid, NULL))
        if (!g_hash_table_contains(seen, uuid))
            g_ptr_array_add(gone, g_strdup(uuid));
    for (guint i = 0; i < gone->len; i++)
        inventory_forget_vm(host, gone->pdata[i]);
}

/* An agent of an earlier version does not list its moves: those that hold a VM are seen at the VM. */
static JsonArray *moves_of_vms(const struct host *host)
{
    JsonArray *moves = json_array_new();
    GHashTableIter iter;
    void *value;
    g_hash_table_iter_init(&iter, host->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const struct vm_status *vm = value;
        JsonObject *move = json_object_new();
        json_object_set_string_member(move, "id", vm->move);
        json_object_set_string_member(move, "vm", vm->spec.uuid);
        json_array_add_object_element(moves, move);
    }
    return moves;
}

static void take_moves(struct host *host, JsonObject *object)
{
    JsonNode *node = json_object_get_member(object, "moves");
    g_autoptr(JsonArray) moves =
        node && JSON_NODE_HOLDS_ARRAY(node) ? json_array_ref(json_node_get_array(node)) : moves_of_vms(host);
    orphans_look(host, moves);
}

static int take_vms(struct host *host, JsonObject *object, uint64_t asked_ns, struct err *err)
{
    JsonNode *node = object ? json_object_get_member(object, "vms") : NULL;
    if (!node || !JSON_NODE_HOLDS_ARRAY(node)) {
        (void)err_set(err, ERR_CORRUPT, "agent-answer", "host %s sent no list of VMs", host->name);
        return err_arg(err, "host", "%s", host->name);
    }
    JsonArray *list = json_node_get_array(node);
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < json_array_get_length(list); i++) {
        struct vm_status vm;
        JsonNode *element = json_array_get_element(list, i);
        if (!JSON_NODE_HOLDS_OBJECT(element) || vm_status_from_json(json_node_get_object(element), &vm, err))
            return err_prefix(err, "VM number %u of host %s", i, host->name);
        (void)g_hash_table_add(seen, g_strdup(vm.spec.uuid));
        inventory_note_vm(host, &vm);
        claims_note(host, &vm, asked_ns);
    }
    forget_unseen(host, seen);
    return 0;
}

static void got_vms(JsonObject *object, const struct err *call_err, void *user)
{
    struct question *question = user;
    struct host *host = inventory_find_host(question->manager->inventory, question->host);
    struct err err = *call_err;
    if (!err_is_set(&err) && host && !take_vms(host, object, question->asked_ns, &err)) {
        host->misses = 0;
        host->problem[0] = '\0';
        set_state(host, HOST_CONNECTED, NULL);
        maintenance_look(host, false);
        settlements_work(host);
        cluster_work(host);
        autostart_work(host);
        take_moves(host, object);
    }
    finish(question, host, &err);
}

static void say_change(GString *text, const char *what, const char *before, const char *now)
{
    if (before[0] && now[0] && strcmp(before, now) != 0)
        g_string_append_printf(text, "%s%s %s instead of %s", text->len ? ", " : "", what, now, before);
}

/* Programs that are new since the last answer, which may have been to a manager before this one. */
static void tell_upgrade(const struct host *host, const struct host_facts *facts)
{
    g_autoptr(GString) text = g_string_new(NULL);
    say_change(text, "agent", host->facts.agent_version, facts->agent_version);
    say_change(text, "QEMU", host->facts.qemu_version, facts->qemu_version);
    say_change(text, "Linux", host->facts.kernel, facts->kernel);
    if (text->len)
        host_tell(host, EVENT_HOST_UPGRADED, NULL, text->str);
}

static void got_facts(JsonObject *object, const struct err *call_err, void *user)
{
    struct question *question = user;
    struct host *host = inventory_find_host(question->manager->inventory, question->host);
    struct err err = *call_err;
    if (!err_is_set(&err) && !object) {
        (void)err_set(&err, ERR_CORRUPT, "agent-answer", "host %s sent no facts", question->host);
        (void)err_arg(&err, "host", "%s", question->host);
    }
    struct host_facts facts;
    if (err_is_set(&err) || !host || host_facts_from_json(object, &facts, &err)) {
        finish(question, host, &err);
        return;
    }
    g_autofree struct host_facts *before = host->has_facts ? g_memdup2(&host->facts, sizeof facts) : NULL;
    if (before)
        tell_upgrade(host, &facts);
    datastores_complete(host, &facts);
    cluster_look(host, &facts);
    host->facts = facts;
    host->has_facts = true;
    datastores_tell(host, before);
    host->last_seen_ms = clock_wall_ms();
    clock_offset_take(&host->clock, question->sent_ms, host->last_seen_ms, facts.wall_ms);
    if (host->last_seen_ms - host->saved_ms > SAVE_INTERVAL_MS)
        save_facts(host);
    if (protocol_check(PROTOCOL, facts.protocol, host->name, &err)) {
        finish(question, host, &err);
        return;
    }
    question->asked_ns = clock_now_ns();
    agent_call(host, &(struct http_call){"GET", "/v1/vms", NULL, ANSWER_TIMEOUT_S}, got_vms, question);
}

static void ask(struct host *host, bool is_poll, void (*done)(const struct err *err, void *user), void *user)
{
    struct question *question = g_new0(struct question, 1);
    question->manager = host->manager;
    (void)g_strlcpy(question->host, host->name, sizeof question->host);
    question->is_poll = is_poll;
    question->done = done;
    question->user = user;
    question->sent_ms = clock_wall_ms();
    agent_call(host, &(struct http_call){"GET", AGENT_FACTS_PATH, NULL, ANSWER_TIMEOUT_S}, got_facts,
               question);
}

void host_poll(struct host *host)
{
    if (!host->client || host->is_polling)
        return;
    host->is_polling = true;
    ask(host, true, NULL, NULL);
}

bool inventory_host_was_asked(const struct host *host)
{
    return !host->client || host->state == HOST_CONNECTED || host->misses >= MISSES_UNTIL_DISCONNECTED;
}

void inventory_refresh(struct host *host, void (*done)(const struct err *err, void *user), void *user)
{
    ask(host, false, done, user);
}
