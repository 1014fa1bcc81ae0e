/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/settlements.h"

#include <string.h>

#include "base/log.h"
#include "manager/agent_client.h"
#include "manager/claims.h"
#include "manager/events.h"
#include "model/move.h"

#define CALL_TIMEOUT_S 60

struct settlement {
    struct manager *manager;
    struct settle_plan plan;
    bool is_owned;              /* the owner has confirmed */
    GHashTable *under_way;      /* names of hosts that are being told */
    char problem[ERR_TEXT_MAX]; /* what a host said last; each is logged once */
    settlement_done done;
    void *user;
};

struct settlements {
    GHashTable *table; /* uuid -> struct settlement, owned */
};

static const char *const state_names[] = {
    [SETTLE_TO_DO] = "to do",
    [SETTLE_DOWN] = "down",
    [SETTLE_DONE] = "done",
};

/* ---- store ---- */

static JsonObject *hosts_json(const struct settlement *settlement)
{
    JsonObject *hosts = json_object_new();
    GHashTableIter iter;
    void *name;
    void *state;
    g_hash_table_iter_init(&iter, settlement->plan.hosts);
    while (g_hash_table_iter_next(&iter, &name, &state))
        json_object_set_string_member(hosts, name, state_names[GPOINTER_TO_INT(state)]);
    return hosts;
}

static JsonObject *to_json(const struct settlement *settlement)
{
    const struct settle_plan *plan = &settlement->plan;
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "vm", plan->vm_name);
    json_object_set_string_member(object, "owner", plan->owner);
    json_object_set_string_member(object, "user", plan->user);
    json_object_set_int_member(object, "epoch", (gint64)plan->epoch);
    json_object_set_boolean_member(object, "is_owned", settlement->is_owned);
    json_object_set_object_member(object, "hosts", hosts_json(settlement));
    return object;
}

static int save(const struct settlement *settlement, struct err *err)
{
    g_autoptr(JsonObject) object = to_json(settlement);
    if (settlement->plan.has_spec)
        json_object_set_object_member(object, "spec", vm_spec_to_json(&settlement->plan.spec));
    g_autofree char *text = model_print(object, false);
    return db_settlement_put(settlement->manager->db, settlement->plan.uuid, text, err);
}

static void settlement_free(void *data)
{
    struct settlement *settlement = data;
    g_hash_table_unref(settlement->plan.hosts);
    g_hash_table_unref(settlement->under_way);
    g_free(settlement);
}

static struct settlement *settlement_new(struct manager *manager, const struct settle_plan *plan)
{
    struct settlement *settlement = g_new0(struct settlement, 1);
    settlement->manager = manager;
    settlement->plan = *plan;
    settlement->under_way = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return settlement;
}

static void read_hosts(JsonObject *hosts, GHashTable *ret_hosts)
{
    JsonObjectIter iter;
    const char *name;
    JsonNode *node;
    json_object_iter_init(&iter, hosts);
    while (json_object_iter_next(&iter, &name, &node))
        for (int i = 0; i <= SETTLE_DONE; i++)
            if (!g_strcmp0(json_node_get_string(node), state_names[i]))
                g_hash_table_insert(ret_hosts, g_strdup(name), GINT_TO_POINTER(i));
}

static void load(const char *uuid, const char *document, void *user)
{
    struct manager *manager = user;
    struct err err = {0};
    g_autoptr(JsonObject) object = NULL;
    struct settle_plan plan = {0};
    if (model_parse(document, -1, &object, &err)) {
        log_error(&err, "the settlement of VM %s cannot be read and is left alone", uuid);
        return;
    }
    JsonObject *spec =
        json_object_has_member(object, "spec") ? json_object_get_object_member(object, "spec") : NULL;
    plan.has_spec = spec && !vm_spec_from_json(spec, &plan.spec, &err);
    if (err_is_set(&err))
        log_error(&err, "the settlement of VM %s has no usable specification", uuid);
    (void)g_strlcpy(plan.uuid, uuid, sizeof plan.uuid);
    (void)g_strlcpy(plan.vm_name, model_text(object, "vm"), sizeof plan.vm_name);
    (void)g_strlcpy(plan.owner, model_text(object, "owner"), sizeof plan.owner);
    (void)g_strlcpy(plan.user, model_text(object, "user"), sizeof plan.user);
    plan.epoch = (uint64_t)model_int(object, "epoch", 0);
    plan.hosts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    if (json_object_has_member(object, "hosts"))
        read_hosts(json_object_get_object_member(object, "hosts"), plan.hosts);
    struct settlement *settlement = settlement_new(manager, &plan);
    settlement->is_owned = model_flag(object, "is_owned");
    g_hash_table_replace(manager->settlements->table, settlement->plan.uuid, settlement);
}

void settlements_free(struct settlements *settlements)
{
    if (!settlements)
        return;
    g_hash_table_unref(settlements->table);
    g_free(settlements);
}

static struct settlement *find(struct manager *manager, const char *uuid)
{
    return g_hash_table_lookup(manager->settlements->table, uuid);
}

/* ---- telling hosts ---- */

static void emit(const struct settlement *settlement, const char *host, const char *action, const char *text)
{
    bool is_owner = !strcmp(host, settlement->plan.owner);
    enum event_type type = is_owner ? EVENT_OWNER_TAKEN : EVENT_OWNER_GIVEN_UP;
    g_autoptr(JsonObject) document = json_object_new();
    json_object_set_string_member(document, "vm_uuid", settlement->plan.uuid);
    json_object_set_string_member(document, "vm", settlement->plan.vm_name);
    json_object_set_string_member(document, "host", host);
    json_object_set_string_member(document, "action", action);
    json_object_set_string_member(document, "text", text);
    log_info("VM %s, settled in epoch %llu: host %s: %s", settlement->plan.uuid,
             (unsigned long long)settlement->plan.epoch, host, text);
    events_emit(settlement->manager->events, type,
                &(struct event){.user = settlement->plan.user,
                                .vm = settlement->plan.vm_name,
                                .vm_uuid = settlement->plan.uuid,
                                .host = host,
                                .document = document});
}

static void finish(struct settlement *settlement, const struct err *err)
{
    settlement_done done = settlement->done;
    settlement->done = NULL;
    if (done)
        done(err, settlement->user);
}

static bool all_are(const struct settlement *settlement, bool down_counts)
{
    GHashTableIter iter;
    void *state;
    g_hash_table_iter_init(&iter, settlement->plan.hosts);
    while (g_hash_table_iter_next(&iter, NULL, &state))
        if (GPOINTER_TO_INT(state) == SETTLE_TO_DO || (!down_counts && GPOINTER_TO_INT(state) == SETTLE_DOWN))
            return false;
    return true;
}

struct telling {
    struct manager *manager;
    char uuid[MODEL_UUID_SIZE];
    char host[MODEL_NAME_MAX];
    uint64_t epoch;
};

static void work(struct settlement *settlement, struct host *host);

static void go_on(struct settlement *settlement)
{
    struct host *owner = inventory_find_host(settlement->manager->inventory, settlement->plan.owner);
    if (settlement->is_owned && all_are(settlement, false)) {
        struct err err = {0};
        if (db_settlement_remove(settlement->manager->db, settlement->plan.uuid, &err))
            log_error(&err, "the settlement of VM %s is finished and stays stored", settlement->plan.uuid);
        else
            (void)g_hash_table_remove(settlement->manager->settlements->table, settlement->plan.uuid);
    } else if (owner && owner->state == HOST_CONNECTED) {
        work(settlement, owner);
    }
}

/* One that every host has heard of: the manager was killed before it could forget it. */
static gboolean is_over(void *uuid, void *value, void *user)
{
    const struct settlement *settlement = value;
    struct err err = {0};
    (void)user;
    if (!settlement->is_owned || !all_are(settlement, false))
        return FALSE;
    if (!db_settlement_remove(settlement->manager->db, uuid, &err))
        return TRUE;
    log_error(&err, "the settlement of VM %s is finished and stays stored", (const char *)uuid);
    return FALSE;
}

int settlements_open(struct manager *manager, struct err *err)
{
    manager->settlements = g_new0(struct settlements, 1);
    manager->settlements->table = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, settlement_free);
    if (db_settlement_list(manager->db, load, manager, err))
        return -1;
    (void)g_hash_table_foreach_remove(manager->settlements->table, is_over, NULL);
    return 0;
}

static void note_answer(struct settlement *settlement, const char *name, bool had_it)
{
    struct err err = {0};
    bool is_owner = !strcmp(name, settlement->plan.owner);
    if (is_owner)
        settlement->is_owned = true;
    else
        g_hash_table_insert(settlement->plan.hosts, g_strdup(name), GINT_TO_POINTER(SETTLE_DONE));
    /* Not stored: it is told once more after a restart, which changes nothing. */
    if (save(settlement, &err))
        log_error(&err, "VM %s: what host %s answered was not stored", settlement->plan.uuid, name);
    if (is_owner)
        emit(settlement, name, "owns", "owns the VM, as the operator said");
    else if (had_it)
        emit(settlement, name, "gave up", "gave the VM up, as the operator said");
    if (is_owner)
        finish(settlement, &err);
    go_on(settlement);
}

static void refreshed(const struct err *err, void *user)
{
    (void)err; /* the next round of questions asks again */
    (void)user;
}

/* What keeps the owner from having it: said once to who waits, and the log. */
static void note_refusal(struct settlement *settlement, const char *host, const struct err *err)
{
    const struct err *why = err;
    struct err gone = {0};
    if (strcmp(settlement->problem, err->message) != 0)
        log_error(err, "VM %s: host %s did not take the operator's word", settlement->plan.uuid, host);
    (void)g_strlcpy(settlement->problem, err->message, sizeof settlement->problem);
    if (GPOINTER_TO_INT(g_hash_table_lookup(settlement->plan.hosts, host)) == SETTLE_DOWN)
        return;
    if (err->code == ERR_CANCELLED) {
        if (inventory_find_host(settlement->manager->inventory, host))
            return; /* the manager ends */
        err_set(&gone, ERR_REFUSED, "host-removed", "host '%s' was removed before it answered", host);
        (void)err_arg(&gone, "host", "%s", host);
        err_fix(&gone, "settle VM '%s' once more", settlement->plan.vm_name);
        why = &gone;
    }
    finish(settlement, why);
}

static void told(JsonObject *object, const struct err *err, void *user)
{
    g_autofree struct telling *telling = user;
    struct settlement *settlement = find(telling->manager, telling->uuid);
    if (!settlement || settlement->plan.epoch != telling->epoch)
        return;
    (void)g_hash_table_remove(settlement->under_way, telling->host);
    /* The owner has it, and the VM went on from there: the word is of an older database. */
    bool is_past = settlement->is_owned && !strcmp(err->id, "epoch-too-old");
    if (err_is_set(err) && !is_past) {
        note_refusal(settlement, telling->host, err);
        return;
    }
    struct host *host = inventory_find_host(telling->manager->inventory, telling->host);
    if (host)
        inventory_refresh(host, refreshed, NULL);
    const char *journal = object ? model_text(object, "journal") : "";
    note_answer(settlement, telling->host, !is_past && strcmp(journal, OWNERSHIP_ABSENT) != 0);
}

static void tell(struct settlement *settlement, struct host *host, bool is_owner)
{
    struct settle_order order = {.is_owner = is_owner, .epoch = settlement->plan.epoch};
    if (is_owner && settlement->plan.has_spec) {
        order.has_spec = true;
        order.spec = settlement->plan.spec;
    }
    if (!g_hash_table_add(settlement->under_way, g_strdup(host->name)))
        return;
    struct telling *telling = g_new0(struct telling, 1);
    telling->manager = settlement->manager;
    telling->epoch = order.epoch;
    (void)g_strlcpy(telling->uuid, settlement->plan.uuid, sizeof telling->uuid);
    (void)g_strlcpy(telling->host, host->name, sizeof telling->host);
    g_autofree char *path = g_strdup_printf("/v1/vms/%s/settle", settlement->plan.uuid);
    agent_call(host, &(struct http_call){"POST", path, settle_order_to_json(&order), CALL_TIMEOUT_S, NULL},
               told, telling);
}

/* A host that nobody thought of, with a word of before. */
static bool is_behind(const struct settlement *settlement, const struct host *host)
{
    const struct vm_status *vm = g_hash_table_lookup(host->vms, settlement->plan.uuid);
    return vm && vm->epoch < settlement->plan.epoch &&
           !g_hash_table_contains(settlement->plan.hosts, host->name);
}

static bool must_give_up(const struct settlement *settlement, const struct host *host)
{
    void *state = GINT_TO_POINTER(SETTLE_DONE);
    (void)g_hash_table_lookup_extended(settlement->plan.hosts, host->name, NULL, &state);
    return GPOINTER_TO_INT(state) != SETTLE_DONE || is_behind(settlement, host);
}

static void work(struct settlement *settlement, struct host *host)
{
    if (!strcmp(host->name, settlement->plan.owner)) {
        if (!settlement->is_owned && all_are(settlement, true))
            tell(settlement, host, true);
    } else if (must_give_up(settlement, host)) {
        tell(settlement, host, false);
    }
}

static void work_at(struct host *host, void *user)
{
    if (host->state == HOST_CONNECTED)
        work(user, host);
}

void settlements_work(struct host *host)
{
    GHashTableIter iter;
    void *settlement;
    g_hash_table_iter_init(&iter, host->manager->settlements->table);
    while (g_hash_table_iter_next(&iter, NULL, &settlement))
        work(settlement, host);
}

int settlements_add(struct manager *manager, struct settle_plan *plan, settlement_done done, void *user,
                    struct err *err)
{
    struct settlement *settlement = settlement_new(manager, plan);
    if (save(settlement, err)) {
        settlement_free(settlement);
        return -1;
    }
    struct settlement *earlier = find(manager, plan->uuid);
    struct err replaced = {0};
    err_set(&replaced, ERR_CANCELLED, "settled-again", "VM '%s' was settled once more meanwhile",
            plan->vm_name);
    (void)err_arg(&replaced, "vm", "%s", plan->vm_name);
    if (earlier)
        finish(earlier, &replaced);
    settlement->done = done;
    settlement->user = user;
    g_hash_table_replace(manager->settlements->table, settlement->plan.uuid, settlement);
    inventory_each_host(manager->inventory, work_at, settlement);
    return 0;
}

/* ---- questions ---- */

static bool is_open_at(const struct settlement *settlement, const struct host *host)
{
    bool is_owner = !strcmp(host->name, settlement->plan.owner);
    return is_owner ? !settlement->is_owned : must_give_up(settlement, host);
}

bool settlements_are_at(struct manager *manager, const char *uuid, const char *host_name)
{
    const struct settlement *settlement = find(manager, uuid);
    const struct host *host = inventory_find_host(manager->inventory, host_name);
    return settlement && host && is_open_at(settlement, host);
}

bool settlements_are_open_at(struct host *host)
{
    GHashTableIter iter;
    void *settlement;
    g_hash_table_iter_init(&iter, host->manager->settlements->table);
    while (g_hash_table_iter_next(&iter, NULL, &settlement))
        if (is_open_at(settlement, host))
            return true;
    return false;
}

uint64_t settlements_epoch(struct manager *manager, const char *uuid)
{
    const struct settlement *settlement = find(manager, uuid);
    return settlement ? settlement->plan.epoch : 0;
}

JsonObject *settlements_json(struct manager *manager, const char *uuid)
{
    const struct settlement *settlement = find(manager, uuid);
    return settlement ? to_json(settlement) : NULL;
}

int settlements_check(struct manager *manager, const struct vm_status *status, struct err *err)
{
    const struct vm_spec *vm = &status->spec;
    const struct settlement *settlement = find(manager, vm->uuid);
    if (settlement && (!settlement->is_owned || settlements_are_at(manager, vm->uuid, status->host))) {
        err_set(err, ERR_REFUSED, "vm-being-settled",
                "VM '%s' is being given to host '%s' by the operator's word", vm->name,
                settlement->plan.owner);
        if (settlement->is_owned)
            err_cause(err, "host '%s', which shows it, has not given it up yet", status->host);
        (void)err_arg(err, "vm", "%s", vm->name);
        (void)err_arg(err, "host", "%s", settlement->plan.owner);
        return err_fix(err, "see with 'godwit vm settle %s' which host has not answered yet", vm->name);
    }
    g_autoptr(GPtrArray) owners = claims_conflict(manager, vm->uuid);
    if (!owners)
        return 0;
    err_set(err, ERR_REFUSED, "vm-owned-twice", "hosts '%s' and '%s' both say that VM '%s' is theirs",
            (const char *)owners->pdata[0], (const char *)owners->pdata[1], vm->name);
    (void)err_arg(err, "vm", "%s", vm->name);
    (void)err_arg(err, "host", "%s", (const char *)owners->pdata[0]);
    (void)err_arg(err, "other_host", "%s", (const char *)owners->pdata[1]);
    return err_fix(err, "look at 'godwit vm settle %s' and say which one owns it", vm->name);
}
