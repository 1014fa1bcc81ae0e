/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_agent.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "model/protocol.h"

#define RAM_BYTES (64ull << 20)

struct fake_move *fake_agent_move(struct fake_agent *agent)
{
    for (unsigned i = 0; i < FAKE_MOVES_MAX; i++)
        if (agent->moves[i].exists)
            return &agent->moves[i];
    return NULL;
}

static struct fake_move *find_move(struct fake_agent *agent, const char *id)
{
    for (unsigned i = 0; i < FAKE_MOVES_MAX; i++)
        if (agent->moves[i].exists && !strcmp(agent->moves[i].status.id, id))
            return &agent->moves[i];
    return NULL;
}

static void fail(struct http_request *request, enum err_code code, const char *id, const char *text)
{
    struct err err = {0};
    err_set(&err, code, id, "%s", text);
    http_fail(request, &err);
}

static void answer_poll(struct fake_move *move)
{
    struct http_request *request = g_steal_pointer(&move->poll);
    if (move->poll_timer)
        g_source_remove(move->poll_timer);
    move->poll_timer = 0;
    if (request)
        http_reply(request, 200, move_status_to_json(&move->status));
}

static void set_state(struct fake_move *move, enum move_state state)
{
    move->status.state = state;
    move->status.version++;
    answer_poll(move);
}

void fake_agent_set(struct fake_agent *agent, enum move_state state)
{
    set_state(fake_agent_move(agent), state);
}

/* The VM that a destination lists while a move comes in. */
static void add_shell(struct fake_agent *agent)
{
    g_assert(agent->n_vms < G_N_ELEMENTS(agent->vms));
    struct vm_status *shell = &agent->vms[agent->n_vms++];
    *shell = (struct vm_status){.state = VM_INCOMING, .spec = agent->spec.vm, .epoch = 1};
    (void)g_strlcpy(shell->host, agent->name, sizeof shell->host);
    (void)g_strlcpy(shell->move, agent->spec.id, sizeof shell->move);
}

static void remove_shell(struct fake_agent *agent, const char *move)
{
    for (unsigned i = 0; i < agent->n_vms; i++)
        if (agent->vms[i].state == VM_INCOMING && !strcmp(agent->vms[i].move, move)) {
            agent->vms[i] = agent->vms[--agent->n_vms];
            return;
        }
}

void fake_agent_note(struct fake_agent *agent, const char *event)
{
    move_timeline_add(&fake_agent_move(agent)->status.timeline, clock_wall_ms() + agent->clock_ahead_ms,
                      event, "fake");
}

void fake_agent_finish_pair(struct fake_agent *source)
{
    struct fake_agent *destination = source->peer;
    struct fake_move *move = fake_agent_move(source);
    remove_shell(destination, move->status.id);
    struct vm_status *moved = &destination->vms[destination->n_vms++];
    unsigned at = 0;
    for (unsigned i = 0; i < source->n_vms; i++)
        if (!strcmp(source->vms[i].move, move->status.id))
            at = i;
    *moved = source->vms[at];
    /* The specification that came with the move is the VM's from now on. */
    if (!strcmp(destination->spec.vm.uuid, moved->spec.uuid))
        moved->spec = destination->spec.vm;
    (void)g_strlcpy(moved->host, destination->name, sizeof moved->host);
    moved->epoch++;
    moved->move[0] = '\0';
    source->vms[at] = source->vms[--source->n_vms];
    move->status.downtime_ns = 4812000;
    move->status.copy_ns = 250 * NS_PER_MS;
    move->status.bytes_on_wire = RAM_BYTES;
    if (fake_agent_move(destination))
        set_state(fake_agent_move(destination), MOVE_DONE);
    set_state(move, MOVE_DONE);
}

/* Notes the call; true if it was held or refused, so that the route must not answer. */
static bool intercept(struct fake_agent *agent, struct http_request *request, const char *call)
{
    g_ptr_array_add(agent->calls, g_strdup(call));
    if (agent->is_mute)
        return true;
    if (agent->refuse && !strcmp(agent->refuse, call)) {
        fail(request, ERR_REFUSED, "fake-refusal", "the fake agent refuses");
        return true;
    }
    if (!agent->hold || strcmp(agent->hold, call) != 0)
        return false;
    agent->held = request;
    return true;
}

bool fake_agent_was_called(const struct fake_agent *agent, const char *call)
{
    for (guint i = 0; i < agent->calls->len; i++)
        if (!strcmp(agent->calls->pdata[i], call))
            return true;
    return false;
}

/* ---- as if stopped by a signal ---- */

struct frozen {
    struct http_request *request;
    http_handler handler;
};

/* True if the agent is frozen: it gets to the request when it thaws. */
static bool freeze(struct fake_agent *agent, struct http_request *request, http_handler handler)
{
    if (!agent->frozen)
        return false;
    struct frozen *frozen = g_new(struct frozen, 1);
    *frozen = (struct frozen){request, handler};
    g_queue_push_tail(agent->frozen, frozen);
    return true;
}

void fake_agent_freeze(struct fake_agent *agent)
{
    agent->frozen = g_queue_new();
}

void fake_agent_thaw(struct fake_agent *agent)
{
    GQueue *queue = g_steal_pointer(&agent->frozen);
    struct frozen *frozen;
    while ((frozen = g_queue_pop_head(queue))) {
        frozen->handler(frozen->request, agent);
        g_free(frozen);
    }
    g_queue_free(queue);
}

/* ---- routes ---- */

static void get_host(struct http_request *request, void *user)
{
    if (freeze(user, request, get_host))
        return;
    struct fake_agent *agent = user;
    struct host_facts facts = {.protocol = agent->protocol ? agent->protocol : PROTOCOL,
                               .cpus = 2,
                               .memory_mib = 4096,
                               .memory_free_mib = 2048,
                               .migration_enabled = true,
                               .autostart_pending = agent->is_booted && !agent->released,
                               .migration_port = 8000,
                               .n_migration_addresses = 1,
                               .wall_ms = clock_wall_ms() + agent->clock_ahead_ms};
    (void)g_strlcpy(facts.name, agent->name, sizeof facts.name);
    (void)g_strlcpy(facts.agent_version, "fake", sizeof facts.agent_version);
    (void)g_strlcpy(facts.dirty_source, "async", sizeof facts.dirty_source);
    (void)g_strlcpy(facts.migration_addresses[0], "127.0.0.1", MODEL_ADDRESS_MAX);
    facts.n_datastores = agent->n_datastores;
    memcpy(facts.datastores, agent->datastores, sizeof agent->datastores);
    fake_cpu_facts(agent, &facts);
    http_reply(request, 200, host_facts_to_json(&facts));
}

static void init_datastore(struct http_request *request, void *user)
{
    struct fake_agent *agent = user;
    struct host_datastore *datastore = &agent->datastores[0];
    g_ptr_array_add(agent->calls, g_strdup("POST init"));
    (void)g_strlcpy(datastore->uuid, "3f0c8a52-6b1d-4e7a-9c55-0d2f4b6a8c1e", sizeof datastore->uuid);
    (void)g_strlcpy(datastore->state, DATASTORE_OK, sizeof datastore->state);
    http_reply(request, 200, host_datastore_to_json(datastore));
}

static JsonArray *list_moves(struct fake_agent *agent)
{
    JsonArray *list = json_array_new();
    for (unsigned i = 0; i < FAKE_MOVES_MAX; i++) {
        const struct fake_move *move = &agent->moves[i];
        if (!move->exists)
            continue;
        JsonObject *object = json_object_new();
        json_object_set_string_member(object, "id", move->status.id);
        json_object_set_string_member(object, "vm", move->vm_uuid);
        json_object_set_boolean_member(object, "is_source", move->status.is_source);
        json_object_set_string_member(object, "state", move_state_name(move->status.state));
        json_array_add_object_element(list, object);
    }
    return list;
}

static void get_vms(struct http_request *request, void *user)
{
    if (freeze(user, request, get_vms))
        return;
    struct fake_agent *agent = user;
    agent->n_vm_lists++;
    JsonArray *list = json_array_new();
    for (unsigned i = 0; i < agent->n_vms; i++)
        json_array_add_object_element(list, vm_status_to_json(&agent->vms[i]));
    JsonObject *object = json_object_new();
    json_object_set_array_member(object, "vms", list);
    if (agent->lists_moves)
        json_object_set_array_member(object, "moves", list_moves(agent));
    http_reply(request, 200, object);
}

static void get_vm(struct http_request *request, void *user)
{
    if (freeze(user, request, get_vm))
        return;
    struct fake_agent *agent = user;
    for (unsigned i = 0; i < agent->n_vms; i++)
        if (!strcmp(agent->vms[i].spec.uuid, http_param(request, "uuid"))) {
            http_reply(request, 200, vm_status_to_json(&agent->vms[i]));
            return;
        }
    fail(request, ERR_NOT_FOUND, "vm-not-found", "no such VM");
}

static struct vm_status *find_vm(struct fake_agent *agent, const char *uuid)
{
    for (unsigned i = 0; i < agent->n_vms; i++)
        if (!strcmp(agent->vms[i].spec.uuid, uuid))
            return &agent->vms[i];
    return NULL;
}

static JsonObject *ownership(struct fake_agent *agent, const char *uuid)
{
    const struct vm_status *vm = find_vm(agent, uuid);
    struct ownership ownership = {.is_registered = vm != NULL, .epoch = vm ? vm->epoch : agent->epoch};
    const char *journal = vm ? vm->journal : agent->journal ? agent->journal : OWNERSHIP_ABSENT;
    (void)g_strlcpy(ownership.uuid, uuid, sizeof ownership.uuid);
    (void)g_strlcpy(ownership.journal, journal, sizeof ownership.journal);
    if (vm) {
        ownership.spec = vm->spec;
        (void)g_strlcpy(ownership.state, vm_state_name(vm->state), sizeof ownership.state);
    }
    return ownership_to_json(&ownership);
}

static void get_ownership(struct http_request *request, void *user)
{
    struct fake_agent *agent = user;
    if (intercept(agent, request, "GET ownership"))
        return;
    if (agent->is_before)
        fail(request, ERR_NOT_FOUND, "path-not-found", "there is nothing");
    else
        http_reply(request, 200, ownership(agent, http_param(request, "uuid")));
}

static void post_settle(struct http_request *request, void *user)
{
    struct fake_agent *agent = user;
    struct err err = {0};
    JsonObject *body;
    const char *uuid = http_param(request, "uuid");
    if (intercept(agent, request, "POST settle"))
        return;
    if (http_body(request, &body, &err) || settle_order_from_json(body, &agent->order, &err)) {
        http_fail(request, &err);
        return;
    }
    agent->n_orders++;
    struct vm_status *vm = find_vm(agent, uuid);
    if (vm && vm->epoch > agent->order.epoch) {
        fail(request, ERR_REFUSED, "epoch-too-old", "the fake agent knows a later epoch");
        return;
    }
    if (agent->order.is_owner) {
        if (!vm)
            vm = fake_agent_add_vm(agent, agent->order.spec.name, VM_OFF);
        memcpy(vm->spec.uuid, uuid, sizeof vm->spec.uuid);
        vm->epoch = agent->order.epoch;
        (void)g_strlcpy(vm->journal, "OWNED", sizeof vm->journal);
    } else {
        if (vm)
            *vm = agent->vms[--agent->n_vms];
        agent->journal = "GONE";
        agent->epoch = agent->order.epoch;
        for (unsigned i = 0; i < FAKE_MOVES_MAX; i++)
            agent->moves[i].exists = false;
    }
    http_reply(request, 200, ownership(agent, uuid));
}

static void put_vm(struct http_request *request, void *user)
{
    if (freeze(user, request, put_vm))
        return;
    struct fake_agent *agent = user;
    struct vm_status *vm = &agent->vms[agent->n_vms];
    struct err err = {0};
    JsonObject *body;
    *vm = (struct vm_status){.state = VM_OFF};
    if (http_body(request, &body, &err) || vm_spec_from_json(body, &vm->spec, &err)) {
        http_fail(request, &err);
        return;
    }
    for (unsigned i = 0; i < agent->n_vms; i++)
        if (!strcmp(agent->vms[i].spec.uuid, vm->spec.uuid)) {
            http_reply(request, 200, vm_status_to_json(&agent->vms[i]));
            return;
        }
    agent->n_vms++;
    http_reply(request, 201, vm_status_to_json(vm));
}

/* The VM of the path, unless the call was held or refused, or there is none: answered then. */
static struct vm_status *vm_for(struct fake_agent *agent, struct http_request *request, const char *call)
{
    if (intercept(agent, request, call))
        return NULL;
    for (unsigned i = 0; i < agent->n_vms; i++)
        if (!strcmp(agent->vms[i].spec.uuid, http_param(request, "uuid")))
            return &agent->vms[i];
    fail(request, ERR_NOT_FOUND, "vm-not-found", "no such VM");
    return NULL;
}

static void post_vm_start(struct http_request *request, void *user)
{
    struct vm_status *vm = vm_for(user, request, "POST vm start");
    if (!vm)
        return;
    vm->state = VM_RUNNING;
    http_reply(request, 200, vm_status_to_json(vm));
}

static void post_vm_stop(struct http_request *request, void *user)
{
    struct fake_agent *agent = user;
    struct vm_status *vm = vm_for(agent, request, "POST vm stop");
    if (!vm)
        return;
    if (agent->stops) {
        g_ptr_array_add(agent->stops, request);
        return;
    }
    vm->state = VM_OFF;
    http_reply(request, 200, vm_status_to_json(vm));
}

static void put_vm_pool(struct http_request *request, void *user)
{
    struct vm_status *vm = vm_for(user, request, "PUT vm pool");
    JsonObject *body;
    struct err err = {0};
    if (!vm)
        return;
    if (http_body(request, &body, &err)) {
        http_fail(request, &err);
        return;
    }
    (void)g_strlcpy(vm->spec.pool, json_object_get_string_member(body, "pool"), sizeof vm->spec.pool);
    http_reply(request, 200, vm_status_to_json(vm));
}

static void put_pools(struct http_request *request, void *user)
{
    struct fake_agent *agent = user;
    JsonObject *body;
    struct err err = {0};
    agent->n_pool_lists++;
    if (agent->is_before) {
        fail(request, ERR_NOT_FOUND, "path-not-found", "there is nothing");
        return;
    }
    if (http_body(request, &body, &err)) {
        http_fail(request, &err);
        return;
    }
    g_clear_pointer(&agent->pools, json_object_unref);
    agent->pools = json_object_ref(body);
    http_reply(request, 200, NULL);
}

static void post_autostart(struct http_request *request, void *user)
{
    struct fake_agent *agent = user;
    JsonObject *body;
    struct err err = {0};
    if (intercept(agent, request, "POST autostart"))
        return;
    if (http_body(request, &body, &err)) {
        http_fail(request, &err);
        return;
    }
    g_clear_pointer(&agent->released, json_object_unref);
    agent->released = json_object_ref(body);
    agent->n_orders_at_release = agent->n_orders;
    http_reply(request, 202, NULL);
}

static void patch_vm(struct http_request *request, void *user)
{
    struct fake_agent *agent = user;
    struct err err = {0};
    JsonObject *body;
    if (intercept(agent, request, "PATCH vm"))
        return;
    for (unsigned i = 0; i < agent->n_vms; i++) {
        struct vm_status *vm = &agent->vms[i];
        if (strcmp(vm->spec.uuid, http_param(request, "uuid")) != 0)
            continue;
        if (http_body(request, &body, &err) || vm_spec_change(&vm->spec, body, &err))
            http_fail(request, &err);
        else
            http_reply(request, 200, vm_status_to_json(vm));
        return;
    }
    fail(request, ERR_NOT_FOUND, "vm-not-found", "no such VM");
}

static void post_check(struct http_request *request, void *user)
{
    if (freeze(user, request, post_check))
        return;
    struct fake_agent *agent = user;
    if (intercept(agent, request, "POST check"))
        return;
    struct move_spec spec;
    struct err err = {0};
    JsonObject *body;
    if (http_body(request, &body, &err) ||
        move_spec_from_json(json_object_get_object_member(body, "spec"), &spec, &err)) {
        http_fail(request, &err);
        return;
    }
    for (unsigned i = 0; i < agent->n_vms; i++) {
        const struct vm_status *vm = &agent->vms[i];
        if (strcmp(vm->spec.uuid, spec.vm.uuid) != 0 || !vm->move[0] || !strcmp(vm->move, spec.id))
            continue;
        err_set(&err, ERR_REFUSED, "vm-is-moving", "the VM is held by task %s", vm->move);
        (void)err_arg(&err, "task", "%s", vm->move);
        http_fail(request, &err);
        return;
    }
    http_reply(request, 200, NULL);
}

static void hold_vm(struct fake_agent *agent, const char *uuid, const char *move)
{
    for (unsigned i = 0; i < agent->n_vms; i++)
        if (!strcmp(agent->vms[i].spec.uuid, uuid))
            (void)g_strlcpy(agent->vms[i].move, move, sizeof agent->vms[i].move);
}

static void free_vm(struct fake_agent *agent, const char *move)
{
    for (unsigned i = 0; i < agent->n_vms; i++)
        if (!strcmp(agent->vms[i].move, move))
            agent->vms[i].move[0] = '\0';
}

/* Its part of a forecast; nothing stays. */
static void forecast(struct fake_agent *agent, struct http_request *request, bool is_source)
{
    struct err err = {0};
    JsonObject *body;
    if (intercept(agent, request, is_source ? "POST forecast" : "PUT forecast"))
        return;
    if (http_body(request, &body, &err) || move_spec_from_json(body, &agent->spec, &err)) {
        http_fail(request, &err);
        return;
    }
    JsonObject *object = json_object_new();
    JsonObject *figures = json_object_new();
    struct move_spec answer = agent->spec;
    memset(answer.ticket, 7, MOVE_SECRET_SIZE);
    json_object_set_int_member(figures, "rounds", 3);
    if (agent->again_mb_s > 0) {
        json_object_set_int_member(figures, "ram_used_bytes", 1 << 30);
        json_object_set_int_member(figures, "zero_percent", agent->zero_percent);
        json_object_set_double_member(figures, "again_mb_s", agent->again_mb_s);
    }
    json_object_set_object_member(object, "forecast", figures);
    json_object_set_object_member(object, "spec", move_spec_to_json(&answer));
    http_reply(request, 200, object);
}

static void put_forecast_destination(struct http_request *request, void *user)
{
    forecast(user, request, false);
}

static void post_forecast_source(struct http_request *request, void *user)
{
    forecast(user, request, true);
}

static void prepare(struct fake_agent *agent, struct http_request *request, bool is_source)
{
    struct err err = {0};
    JsonObject *body;
    if (intercept(agent, request, is_source ? "PUT source" : "PUT destination"))
        return;
    if (http_body(request, &body, &err) || move_spec_from_json(body, &agent->spec, &err)) {
        http_fail(request, &err);
        return;
    }
    const struct vm_status *vm = find_vm(agent, agent->spec.vm.uuid);
    if (is_source && vm && agent->spec.epoch && agent->spec.epoch != vm->epoch) {
        fail(request, ERR_REFUSED, "vm-has-moved", "another epoch");
        return;
    }
    struct fake_move *move = find_move(agent, agent->spec.id);
    remove_shell(agent, agent->spec.id);
    for (unsigned i = 0; !move && i < FAKE_MOVES_MAX; i++)
        if (!agent->moves[i].exists)
            move = &agent->moves[i];
    *move = (struct fake_move){.exists = true};
    move->status = (struct move_status){.is_source = is_source, .version = 1, .ram_bytes = RAM_BYTES};
    memcpy(move->status.id, agent->spec.id, sizeof agent->spec.id);
    memcpy(move->vm_uuid, agent->spec.vm.uuid, sizeof move->vm_uuid);
    struct move_spec answer = agent->spec;
    answer.epoch = 1;
    if (is_source)
        hold_vm(agent, agent->spec.vm.uuid, agent->spec.id);
    else
        add_shell(agent);
    memset(is_source ? answer.commit_hash : answer.ticket, 7, MOVE_SECRET_SIZE);
    JsonObject *object = json_object_new();
    json_object_set_object_member(object, "spec", move_spec_to_json(&answer));
    json_object_set_int_member(object, "ram_bytes", RAM_BYTES);
    http_reply(request, 200, object);
}

static void put_source(struct http_request *request, void *user)
{
    if (freeze(user, request, put_source))
        return;
    prepare(user, request, true);
}

static void put_destination(struct http_request *request, void *user)
{
    if (freeze(user, request, put_destination))
        return;
    prepare(user, request, false);
}

static gboolean finish_automatically(void *user)
{
    struct fake_agent *agent = user;
    if (fake_agent_move(agent) && fake_agent_move(agent)->status.state == MOVE_COPYING)
        fake_agent_finish_pair(agent);
    return G_SOURCE_REMOVE;
}

static void post_start(struct http_request *request, void *user)
{
    if (freeze(user, request, post_start))
        return;
    struct fake_agent *agent = user;
    if (intercept(agent, request, "POST start"))
        return;
    struct fake_move *move = find_move(agent, http_param(request, "id"));
    if (move->status.state == MOVE_PREPARED)
        set_state(move, MOVE_COPYING);
    if (agent->is_automatic)
        (void)g_idle_add(finish_automatically, agent);
    http_reply(request, 202, NULL);
}

static gboolean poll_over(void *user)
{
    struct fake_move *move = user;
    move->poll_timer = 0;
    answer_poll(move);
    return G_SOURCE_REMOVE;
}

static void get_move(struct http_request *request, void *user)
{
    if (freeze(user, request, get_move))
        return;
    struct fake_agent *agent = user;
    if (agent->hold && !strcmp(agent->hold, "GET")) {
        agent->held = request;
        return;
    }
    struct fake_move *move = find_move(agent, http_param(request, "id"));
    if (agent->is_mute)
        return;
    if (!move) {
        fail(request, ERR_NOT_FOUND, "move-not-found", "no such move");
        return;
    }
    answer_poll(move);
    const char *version = http_query(request, "version");
    move->poll = request;
    if (!version || move->status.version > g_ascii_strtoull(version, NULL, 10))
        answer_poll(move);
    else
        move->poll_timer =
            g_timeout_add((guint)g_ascii_strtoull(http_query(request, "wait_ms"), NULL, 10), poll_over, move);
}

static void delete_move(struct http_request *request, void *user)
{
    if (freeze(user, request, delete_move))
        return;
    struct fake_agent *agent = user;
    if (intercept(agent, request, "DELETE"))
        return;
    struct fake_move *move = find_move(agent, http_param(request, "id"));
    if (!move) {
        fail(request, ERR_NOT_FOUND, "move-not-found", "no such move");
        return;
    }
    answer_poll(move);
    move->exists = false;
    remove_shell(agent, move->status.id);
    free_vm(agent, move->status.id);
    http_reply(request, 200, NULL);
}

static void post_cancel(struct http_request *request, void *user)
{
    if (freeze(user, request, post_cancel))
        return;
    struct fake_agent *agent = user;
    if (intercept(agent, request, "POST cancel"))
        return;
    struct fake_move *move = find_move(agent, http_param(request, "id"));
    if (!move) {
        fail(request, ERR_NOT_FOUND, "move-not-found", "no such move");
        return;
    }
    if (move->status.state == MOVE_GIVEN || move->status.state == MOVE_DONE) {
        fail(request, ERR_REFUSED, "too-late-to-cancel", "the VM is given away");
        return;
    }
    if (move->status.state != MOVE_FAILED) {
        err_set(&move->status.error, ERR_CANCELLED, "cancelled", "cancelled");
        remove_shell(agent, move->status.id);
        set_state(move, MOVE_FAILED);
    }
    http_reply(request, 200, NULL);
}

static void post_commit(struct http_request *request, void *user)
{
    if (freeze(user, request, post_commit))
        return;
    struct fake_agent *agent = user;
    if (intercept(agent, request, "POST commit"))
        return;
    agent->got_commit = true;
    if (!agent->verdict) {
        fail(request, ERR_IN_DOUBT, "session-unknown", "no journal of this session");
        return;
    }
    char secret[MOVE_SECRET_SIZE * 2 + 1];
    memset(secret, 'a', sizeof secret - 1);
    secret[sizeof secret - 1] = '\0';
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "verdict", agent->verdict);
    json_object_set_string_member(object, "secret", secret);
    http_reply(request, 200, object);
}

static void post_verdict(struct http_request *request, void *user)
{
    if (freeze(user, request, post_verdict))
        return;
    struct fake_agent *agent = user;
    struct err err = {0};
    JsonObject *body;
    if (intercept(agent, request, "POST verdict"))
        return;
    if (http_body(request, &body, &err)) {
        http_fail(request, &err);
        return;
    }
    agent->got_verdict = true;
    bool runs_there = !strcmp(json_object_get_string_member(body, "verdict"), "running");
    http_reply(request, 200, NULL);
    if (runs_there) {
        fake_agent_finish_pair(agent);
        return;
    }
    err_set(&fake_agent_move(agent)->status.error, ERR_REFUSED, "resume-failed",
            "the destination failed to resume");
    fake_agent_set(agent, MOVE_FAILED);
}

static const struct http_route routes[] = {
    {"GET", "/v1/host", HTTP_CLIENT, get_host},
    {"GET", "/v1/vms", HTTP_CLIENT, get_vms},
    {"GET", "/v1/vms/{uuid}", HTTP_CLIENT, get_vm},
    {"PUT", "/v1/vms/{uuid}", HTTP_CLIENT, put_vm},
    {"POST", "/v1/vms/{uuid}/start", HTTP_CLIENT, post_vm_start},
    {"POST", "/v1/vms/{uuid}/stop", HTTP_CLIENT, post_vm_stop},
    {"PUT", "/v1/vms/{uuid}/pool", HTTP_CLIENT, put_vm_pool},
    {"PUT", "/v1/pools", HTTP_CLIENT, put_pools},
    {"GET", "/v1/cpu-models/{model}", HTTP_CLIENT, fake_cpu_model},
    {"PUT", "/v1/cpu-baseline", HTTP_CLIENT, fake_cpu_baseline},
    {"POST", "/v1/autostart", HTTP_CLIENT, post_autostart},
    {"PATCH", "/v1/vms/{uuid}", HTTP_CLIENT, patch_vm},
    {"GET", "/v1/vms/{uuid}/ownership", HTTP_CLIENT, get_ownership},
    {"POST", "/v1/vms/{uuid}/settle", HTTP_CLIENT, post_settle},
    {"PUT", "/v1/forecasts/{id}/destination", HTTP_CLIENT, put_forecast_destination},
    {"POST", "/v1/forecasts/{id}/source", HTTP_CLIENT, post_forecast_source},
    {"POST", "/v1/moves/{id}/check", HTTP_CLIENT, post_check},
    {"PUT", "/v1/moves/{id}/source", HTTP_CLIENT, put_source},
    {"PUT", "/v1/moves/{id}/destination", HTTP_CLIENT, put_destination},
    {"POST", "/v1/moves/{id}/start", HTTP_CLIENT, post_start},
    {"GET", "/v1/moves/{id}", HTTP_CLIENT, get_move},
    {"POST", "/v1/moves/{id}/cancel", HTTP_CLIENT, post_cancel},
    {"POST", "/v1/moves/{id}/commit", HTTP_CLIENT, post_commit},
    {"POST", "/v1/moves/{id}/verdict", HTTP_CLIENT, post_verdict},
    {"DELETE", "/v1/moves/{id}", HTTP_CLIENT, delete_move},
    {"POST", "/v1/datastores/{datastore}/init", HTTP_CLIENT, init_datastore},
    {NULL},
};

void fake_agent_start(struct fake_agent *agent)
{
    GTlsCertificate *certificate = NULL;
    GTlsCertificate *ca = NULL;
    struct err err = {0};
    if (http_cert_load(agent->certificate_pem, agent->key_pem, &certificate, &err) ||
        http_cert_load(agent->ca_pem, NULL, &ca, &err))
        g_error("fake agent %s: %s", agent->name, err.message);
    struct http_server_config config = {
        .routes = routes, .user = agent, .certificate = certificate, .client_ca = ca};
    if (http_server_new(&config, &agent->server, &err) ||
        http_server_listen(agent->server, "127.0.0.1", agent->port, NULL, &err))
        g_error("fake agent %s: %s (%s)", agent->name, err.message, err.cause);
    g_object_unref(certificate);
    g_object_unref(ca);
}

void fake_agent_stop(struct fake_agent *agent)
{
    for (unsigned i = 0; i < FAKE_MOVES_MAX; i++)
        answer_poll(&agent->moves[i]);
    http_server_free(g_steal_pointer(&agent->server));
}

struct vm_status *fake_agent_add_vm(struct fake_agent *agent, const char *name, enum vm_state state)
{
    struct vm_status *vm = &agent->vms[agent->n_vms++];
    *vm = (struct vm_status){.state = state, .epoch = 1, .spec.memory_mib = 64, .spec.cpus = 1};
    model_uuid_new(vm->spec.uuid);
    (void)g_strlcpy(vm->spec.name, name, sizeof vm->spec.name);
    (void)g_strlcpy(vm->accel, "tcg", sizeof vm->accel);
    (void)g_strlcpy(vm->journal, "OWNED", sizeof vm->journal);
    (void)g_strlcpy(vm->host, agent->name, sizeof vm->host);
    return vm;
}

struct fake_move *fake_agent_add_move(struct fake_agent *agent, const char *vm_uuid, bool is_source,
                                      enum move_state state)
{
    struct fake_move *move = agent->moves;
    while (move->exists)
        move++;
    *move = (struct fake_move){.exists = true};
    move->status = (struct move_status){.is_source = is_source, .state = state, .version = 1};
    model_uuid_new(move->status.id);
    (void)g_strlcpy(move->vm_uuid, vm_uuid, sizeof move->vm_uuid);
    return move;
}
