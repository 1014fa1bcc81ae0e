/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "manager/check.h"
#include "manager/checks.h"
#include "manager/events.h"
#include "manager/filters.h"
#include "manager/forecasts.h"
#include "manager/inventory.h"
#include "manager/pools.h"
#include "manager/routes.h"
#include "manager/settlements.h"
#include "manager/task.h"
#include "model/protocol.h"

struct wish {
    struct vm_status vm;
    struct host *destination;
    const char *client_key;
    struct move_options options;
};

static int read_options(JsonObject *body, struct move_options *ret_options, struct err *err)
{
    JsonNode *node = json_object_get_member(body, "options");
    move_options_init(ret_options);
    if (!node)
        return 0;
    if (!JSON_NODE_HOLDS_OBJECT(node))
        return routes_refuse_member("options", "an object", err);
    if (move_options_from_json(json_node_get_object(node), ret_options, err)) {
        (void)err_arg(err, "member", "options");
        return err_prefix(err, "options");
    }
    return 0;
}

/* What this client asked for before under the same key: the same task, whatever became of it. */
static void take_id(const struct db_task *task, void *user)
{
    (void)g_strlcpy(user, task->id, MODEL_UUID_SIZE);
}

/* The VM and how it is to move. The VM first: what is wrong with the rest is part of its history. */
static int read_vm_wish(struct manager *manager, JsonObject *body, struct wish *ret_wish, struct err *err)
{
    const char *vm;
    if (routes_text(body, "vm", NULL, &vm, err) ||
        inventory_get_vm(manager->inventory, vm, &ret_wish->vm, err) ||
        read_options(body, &ret_wish->options, err) ||
        pools_check_exists(manager, pool_path_or_root(ret_wish->options.pool), err))
        return -1;
    return settlements_check(manager, &ret_wish->vm, err);
}

static int check_wish(const struct wish *wish, const char *destination, struct err *err)
{
    struct check_input input = {
        .vm = &wish->vm,
        .source.name = wish->vm.host,
        .destination.name = destination,
        .options = &wish->options,
        .protocol = PROTOCOL,
    };
    return check_request(&input, err);
}

/* Without a destination such a VM stays on its host, and only its disks move. */
static bool has_datastore(JsonObject *body)
{
    JsonNode *node = json_object_get_member(body, "options");
    return node && JSON_NODE_HOLDS_OBJECT(node) &&
           model_text(json_node_get_object(node), "datastore")[0] != '\0';
}

static int read_wish(struct manager *manager, JsonObject *body, struct wish *ret_wish, struct err *err)
{
    const char *destination;
    if (routes_text(body, "destination", has_datastore(body) ? ret_wish->vm.host : NULL, &destination, err) ||
        read_vm_wish(manager, body, ret_wish, err) ||
        inventory_get_host(manager->inventory, destination, &ret_wish->destination, err))
        return -1;
    return check_wish(ret_wish, ret_wish->destination->name, err);
}

/* That a VM was not moved is part of its history; a request that names none is only answered. */
static void tell_refusal(struct manager *manager, struct http_request *request, const struct wish *wish,
                         const struct err *why)
{
    JsonObject *body;
    struct err err = {0};
    if (!wish->vm.spec.uuid[0] || http_body(request, &body, &err))
        return;
    const struct event event = {
        .user = http_user(request),
        .vm = wish->vm.spec.name,
        .vm_uuid = wish->vm.spec.uuid,
        .host = wish->vm.host,
        .destination = model_text(body, "destination"),
        .error = why,
    };
    events_emit(manager->events, EVENT_MIGRATION_REFUSED, &event);
}

static int create(struct manager *manager, struct http_request *request, char ret_id[MODEL_UUID_SIZE],
                  struct err *err)
{
    static const char *const members[] = {"vm", "destination", "options", "client_key", NULL};
    JsonObject *body;
    struct wish wish;
    if (routes_body(request, members, &body, err) || routes_client_key(body, &wish.client_key, err))
        return -1;
    if (wish.client_key[0]) {
        int found = db_task_get_by_key(manager->db, wish.client_key, take_id, ret_id, err);
        if (found)
            return found == 1 ? 0 : -1;
    }
    wish.vm.spec.uuid[0] = '\0';
    if (!read_wish(manager, body, &wish, err)) {
        struct task_request task = {
            .vm = &wish.vm,
            .destination = wish.destination->name,
            .client_key = wish.client_key,
            .user = http_user(request),
            .options = wish.options,
        };
        if (!tasks_create(manager, &task, ret_id, err))
            return 0;
    }
    tell_refusal(manager, request, &wish, err);
    return -1;
}

static void answer_task(struct manager *manager, struct http_request *request, int status, const char *id)
{
    struct err err = {0};
    JsonObject *document;
    if (tasks_document(manager, id, &document, &err))
        http_fail(request, &err);
    else
        http_reply(request, status, document);
}

void route_migrate(struct http_request *request, void *user)
{
    struct err err = {0};
    char id[MODEL_UUID_SIZE] = "";
    if (create(user, request, id, &err))
        http_fail(request, &err);
    else
        answer_task(user, request, 202, id);
}

void route_forecast(struct http_request *request, void *user)
{
    static const char *const members[] = {"vm", "destination", "options", NULL};
    struct err err = {0};
    JsonObject *body;
    struct wish wish;
    if (routes_body(request, members, &body, &err) || read_wish(user, body, &wish, &err)) {
        http_fail(request, &err);
        return;
    }
    struct task_request as_task = {.vm = &wish.vm,
                                   .destination = wish.destination->name,
                                   .user = http_user(request),
                                   .options = wish.options};
    forecasts_start(user, request, &as_task);
}

static int take_destination(struct manager *manager, const struct wish *wish, JsonNode *node,
                            GStrvBuilder *names, struct err *err)
{
    const char *name = JSON_NODE_HOLDS_VALUE(node) ? json_node_get_string(node) : NULL;
    struct host *host;
    if (!name)
        return routes_refuse_member("destinations", "an array of names", err);
    if (inventory_get_host(manager->inventory, name, &host, err) || check_wish(wish, host->name, err))
        return -1;
    g_strv_builder_add(names, host->name);
    return 0;
}

struct others {
    const struct wish *wish;
    GStrvBuilder *names;
    unsigned n;
};

static void add_other(struct host *host, void *user)
{
    struct others *others = user;
    if (!strcmp(host->name, others->wish->vm.host))
        return;
    g_strv_builder_add(others->names, host->name);
    others->n++;
}

/* Without a list: all hosts but the VM's own. */
static int take_destinations(struct manager *manager, JsonObject *body, const struct wish *wish,
                             GStrvBuilder *names, struct err *err)
{
    JsonNode *node = json_object_get_member(body, "destinations");
    if (!node) {
        struct others others = {wish, names, 0};
        inventory_each_host(manager->inventory, add_other, &others);
        if (others.n)
            return check_wish(wish, "", err);
        (void)err_set(err, ERR_REFUSED, "no-other-host", "there is no host but '%s', where VM '%s' is",
                      wish->vm.host, wish->vm.spec.name);
        (void)err_arg(err, "host", "%s", wish->vm.host);
        (void)err_arg(err, "vm", "%s", wish->vm.spec.name);
        return err_fix(err, "enroll another one: godwit host enroll");
    }
    if (!JSON_NODE_HOLDS_ARRAY(node))
        return routes_refuse_member("destinations", "an array of names", err);
    JsonArray *array = json_node_get_array(node);
    guint n = json_array_get_length(array);
    if (!n || n > CHECKS_DESTINATIONS_MAX) {
        (void)err_set(err, ERR_BAD_REQUEST, "member-range",
                      "the member 'destinations' must have 1 to %d names", CHECKS_DESTINATIONS_MAX);
        (void)err_arg(err, "member", "destinations");
        return err_arg(err, "max", "%d", CHECKS_DESTINATIONS_MAX);
    }
    for (guint i = 0; i < n; i++)
        if (take_destination(manager, wish, json_array_get_element(array, i), names, err))
            return -1;
    return 0;
}

void route_check(struct http_request *request, void *user)
{
    static const char *const members[] = {"vm", "destinations", "options", NULL};
    struct err err = {0};
    JsonObject *body;
    struct wish wish;
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();
    if (routes_body(request, members, &body, &err) || read_vm_wish(user, body, &wish, &err) ||
        take_destinations(user, body, &wish, names, &err)) {
        http_fail(request, &err);
        return;
    }
    struct task_request as_task = {.vm = &wish.vm, .user = http_user(request), .options = wish.options};
    checks_answer(user, request, &as_task, g_strv_builder_end(names));
}

struct listing {
    struct manager *manager;
    JsonArray *tasks;
    unsigned limit;
    bool more;
    struct err err;
};

static void add_task(const struct db_task *row, void *user)
{
    struct listing *listing = user;
    listing->more = json_array_get_length(listing->tasks) == listing->limit;
    if (listing->more)
        return;
    const struct task *task = tasks_find(listing->manager, row->id);
    JsonObject *document = NULL;
    if (task)
        document = task_to_json(task);
    else
        (void)model_parse(row->document, -1, &document, &listing->err);
    /* A thousand of them would be most of the answer; those that are over come without. */
    if (document) {
        json_object_remove_member(document, "timeline");
        json_array_add_object_element(listing->tasks, document);
    }
}

void route_tasks_list(struct http_request *request, void *user)
{
    struct listing listing = {.manager = user};
    struct db_task_filter filter;
    if (filters_read_tasks(request, &filter, &listing.err)) {
        http_fail(request, &listing.err);
        return;
    }
    g_autoptr(JsonArray) tasks = json_array_new();
    listing.tasks = tasks;
    listing.limit = filter.limit++;
    (void)db_task_list(listing.manager->db, &filter, add_task, &listing, &listing.err);
    if (err_is_set(&listing.err)) {
        http_fail(request, &listing.err);
        return;
    }
    JsonObject *object = json_object_new();
    json_object_set_array_member(object, "tasks", json_array_ref(tasks));
    json_object_set_boolean_member(object, "more", listing.more);
    http_reply(request, 200, object);
}

void route_task_show(struct http_request *request, void *user)
{
    answer_task(user, request, 200, http_param(request, "task"));
}

struct cancel_wish {
    struct manager *manager;
    struct http_request *request;
};

static void cancel_answered(const struct err *err, void *user)
{
    g_autofree struct cancel_wish *wish = user;
    if (err_is_set(err))
        http_fail(wish->request, err);
    else
        answer_task(wish->manager, wish->request, 200, http_param(wish->request, "task"));
}

/* A task that is over: cancelled already is what the client wants. */
static void cancel_ended(struct manager *manager, struct http_request *request, const char *id)
{
    struct err err = {0};
    JsonObject *document;
    if (tasks_document(manager, id, &document, &err)) {
        http_fail(request, &err);
        return;
    }
    const char *state = json_object_get_string_member(document, "state");
    if (!strcmp(state, task_state_name(TASK_CANCELLED))) {
        http_reply(request, 200, document);
        return;
    }
    bool is_success = !strcmp(state, task_state_name(TASK_SUCCESS));
    err_set(&err, ERR_REFUSED, is_success ? "too-late-to-cancel" : "task-is-over",
            "task %s is over: its state is %s", id, state);
    (void)err_arg(&err, "task", "%s", id);
    (void)err_arg(&err, "state", "%s", state);
    if (is_success)
        err_fix(&err, "move the VM back with another migration");
    else
        err_fix(&err, "there is nothing left to cancel; see 'godwit task show %s'", id);
    json_object_unref(document);
    http_fail(request, &err);
}

void route_task_cancel(struct http_request *request, void *user)
{
    struct manager *manager = user;
    const char *id = http_param(request, "task");
    struct task *task = tasks_find(manager, id);
    struct err err = {0};
    if (routes_no_members(request, &err)) {
        http_fail(request, &err);
        return;
    }
    if (!task) {
        cancel_ended(manager, request, id);
        return;
    }
    struct cancel_wish *wish = g_new0(struct cancel_wish, 1);
    wish->manager = manager;
    wish->request = request;
    task_cancel(task, http_user(request), cancel_answered, wish);
}

void route_task_events(struct http_request *request, void *user)
{
    struct manager *manager = user;
    const char *id = http_param(request, "task");
    struct err err = {0};
    JsonObject *document;
    if (tasks_document(manager, id, &document, &err)) {
        http_fail(request, &err);
        return;
    }
    bool is_final = !tasks_find(manager, id);
    events_follow_task(manager->events, request, id, document, is_final);
    json_object_unref(document);
}
