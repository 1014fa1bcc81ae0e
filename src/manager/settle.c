/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's last resort: looking at a VM's ownership and settling it. What is refused here would make
 * two guests of one, or is done better by a migration; the rest is the operator's own assertion. */
#include <string.h>

#include "base/log.h"
#include "manager/events.h"
#include "manager/inquiry.h"
#include "manager/routes.h"
#include "manager/settlements.h"
#include "manager/task.h"

/* Above all that a host which is down may have reached by itself. */
#define EPOCH_STEP 1000

struct wish {
    struct manager *manager;
    struct http_request *request;
    char owner[MODEL_NAME_MAX];
    char **down; /* names, NULL-terminated */
    JsonObject *before;
};

static void wish_free(struct wish *wish)
{
    g_strfreev(wish->down);
    if (wish->before)
        json_object_unref(wish->before);
    g_free(wish);
}

static void fail(struct wish *wish, const struct err *err)
{
    http_fail(wish->request, err);
    wish_free(wish);
}

/* ---- GET ownership ---- */

static void show(struct inquiry *inquiry, void *user)
{
    http_reply(user, 200, inquiry_json(inquiry));
}

void route_vm_ownership(struct http_request *request, void *user)
{
    struct err err = {0};
    if (inquiry_start(user, http_param(request, "vm"), show, request, &err))
        http_fail(request, &err);
}

/* ---- checks ---- */

static bool is_down(const struct wish *wish, const char *host)
{
    return g_strv_contains((const char *const *)wish->down, host);
}

static int check_owner(const struct wish *wish, const struct inquiry *inquiry, struct err *err)
{
    struct host *host;
    const struct inquiry_row *row = inquiry_find(inquiry, wish->owner);
    const struct inquiry_row *owner = inquiry_owner(inquiry);
    if (inventory_get_host(wish->manager->inventory, wish->owner, &host, err))
        return -1;
    if (row && row->is_outdated) {
        *err = row->err;
        return -1;
    }
    if (!row || err_is_set(&row->err)) {
        err_set(err, ERR_REFUSED, "host-disconnected", "host '%s' does not answer", wish->owner);
        (void)err_arg(err, "host", "%s", wish->owner);
        return err_fix(err, "choose a host that answers, or bring it back first");
    }
    if (!owner || owner == row || strcmp(owner->ownership.state, "running") != 0)
        return 0;
    err_set(err, ERR_REFUSED, "vm-runs-elsewhere", "VM '%s' runs on host '%s', which owns it without dispute",
            inquiry->vm_name, owner->host);
    (void)err_arg(err, "vm", "%s", inquiry->vm_name);
    (void)err_arg(err, "host", "%s", owner->host);
    return err_fix(err, "move it: godwit vm migrate %s --to %s", inquiry->vm_name, wish->owner);
}

/* It was booted while it was asked, and may have got the word to start its VMs (manager/autostart.h). */
static int check_down(const struct wish *wish, const struct inquiry *inquiry, const char *name,
                      struct err *err)
{
    const struct host *host = inventory_find_host(wish->manager->inventory, name);
    if (!host || host->last_seen_ms < inquiry->started_ms)
        return 0;
    err_set(err, ERR_REFUSED, "host-is-up", "host '%s' is declared down, and it has just answered", name);
    (void)err_arg(err, "host", "%s", name);
    return err_fix(err, "see to it that it is switched off, and repeat the command");
}

/* Every host that does not answer must be declared down by name, and none that does. */
static int check_silence(const struct wish *wish, const struct inquiry *inquiry, struct err *err)
{
    g_autoptr(GString) options = g_string_new(NULL);
    for (guint i = 0; i < inquiry->rows->len; i++) {
        const struct inquiry_row *row = inquiry->rows->pdata[i];
        bool is_declared = is_down(wish, row->host);
        if (row->is_outdated) {
            *err = row->err;
            return -1;
        }
        if (err_is_set(&row->err) && !is_declared)
            g_string_append_printf(options, " --host-is-down %s", row->host);
        if (err_is_set(&row->err) && is_declared && check_down(wish, inquiry, row->host, err))
            return -1;
        if (!err_is_set(&row->err) && is_declared) {
            err_set(err, ERR_REFUSED, "host-is-up", "host '%s' is declared down, and it answers", row->host);
            (void)err_arg(err, "host", "%s", row->host);
            return err_fix(err, "leave it out: it will be told to give the VM up");
        }
    }
    for (char **name = wish->down; *name; name++)
        if (!inquiry_find(inquiry, *name)) {
            err_set(err, ERR_NOT_FOUND, "host-not-found", "there is no host '%s' to be declared down", *name);
            (void)err_arg(err, "host", "%s", *name);
            return err_fix(err, "list them with 'godwit host ls'");
        }
    if (!options->len)
        return 0;
    err_set(err, ERR_REFUSED, "host-not-answering",
            "hosts that do not answer may run VM '%s': if one does, two guests would run", inquiry->vm_name);
    (void)err_arg(err, "vm", "%s", inquiry->vm_name);
    err_cause(err, "they cannot be told to give it up");
    return err_fix(err, "see to it that they are switched off, then repeat with%s", options->str);
}

/* A task that waits for a host which is declared down ends with it; any other must end first. */
static int check_task(const struct wish *wish, const struct inquiry *inquiry, struct err *err)
{
    const struct task *task = tasks_find_by_vm(wish->manager, inquiry->uuid);
    if (!task || is_down(wish, task->source_host) || is_down(wish, task->destination_host))
        return 0;
    err_set(err, ERR_REFUSED, "task-running", "task %s moves VM '%s' to host '%s'", task->id,
            inquiry->vm_name, task->destination_host);
    (void)err_arg(err, "task", "%s", task->id);
    (void)err_arg(err, "vm", "%s", inquiry->vm_name);
    (void)err_arg(err, "destination", "%s", task->destination_host);
    return err_fix(err, "wait for it (godwit task follow %s) or cancel it (godwit task cancel %s)", task->id,
                   task->id);
}

/* ---- the plan ---- */

struct known {
    const char *uuid;
    uint64_t epoch;
    const struct vm_spec *spec; /* of any host's cache */
};

static void look_at_cache(struct host *host, void *user)
{
    struct known *known = user;
    const struct vm_status *vm = g_hash_table_lookup(host->vms, known->uuid);
    if (!vm)
        return;
    known->epoch = MAX(known->epoch, vm->epoch);
    known->spec = &vm->spec;
}

static int make_plan(const struct wish *wish, const struct inquiry *inquiry, struct settle_plan *ret_plan,
                     struct err *err)
{
    struct known known = {inquiry->uuid, settlements_epoch(wish->manager, inquiry->uuid), NULL};
    const char *user = http_user(wish->request);
    *ret_plan = (struct settle_plan){0};
    ret_plan->hosts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    inventory_each_host(wish->manager->inventory, look_at_cache, &known);
    for (guint i = 0; i < inquiry->rows->len; i++) {
        const struct inquiry_row *row = inquiry->rows->pdata[i];
        bool answers = !err_is_set(&row->err);
        if (answers)
            known.epoch = MAX(known.epoch, row->ownership.epoch);
        if (answers && row->ownership.is_registered)
            known.spec = &row->ownership.spec;
        if (strcmp(row->host, wish->owner) != 0)
            g_hash_table_insert(ret_plan->hosts, g_strdup(row->host),
                                GINT_TO_POINTER(answers ? SETTLE_TO_DO : SETTLE_DOWN));
    }
    ret_plan->epoch = known.epoch + EPOCH_STEP;
    (void)g_strlcpy(ret_plan->uuid, inquiry->uuid, sizeof ret_plan->uuid);
    (void)g_strlcpy(ret_plan->vm_name, inquiry->vm_name, sizeof ret_plan->vm_name);
    (void)g_strlcpy(ret_plan->owner, wish->owner, sizeof ret_plan->owner);
    (void)g_strlcpy(ret_plan->user, user ? user : "", sizeof ret_plan->user);
    if (known.spec) {
        ret_plan->has_spec = true;
        ret_plan->spec = *known.spec;
        return 0;
    }
    g_hash_table_unref(ret_plan->hosts);
    err_set(err, ERR_REFUSED, "vm-config-missing", "no host that answers has the config file of VM '%s'",
            inquiry->vm_name);
    (void)err_arg(err, "vm", "%s", inquiry->vm_name);
    return err_fix(err, "bring a host back that has it, or create the VM anew from its disks");
}

/* Who said what, when, and how it stood before. */
static void audit(const struct wish *wish, const struct settle_plan *plan)
{
    g_autoptr(JsonObject) document = json_object_new();
    JsonArray *down = json_array_new();
    g_autofree char *names = g_strjoinv(", ", wish->down);
    g_autofree char *before = model_print(wish->before, false);
    g_autofree char *text =
        g_strdup_printf("host %s owns VM %s in epoch %llu%s%s", plan->owner, plan->vm_name,
                        (unsigned long long)plan->epoch, *wish->down ? "; declared down: " : "", names);
    for (char **name = wish->down; *name; name++)
        json_array_add_string_element(down, *name);
    json_object_set_string_member(document, "user", plan->user);
    json_object_set_string_member(document, "action", "settle");
    json_object_set_string_member(document, "vm", plan->vm_name);
    json_object_set_string_member(document, "vm_uuid", plan->uuid);
    json_object_set_string_member(document, "owner", plan->owner);
    json_object_set_int_member(document, "epoch", (gint64)plan->epoch);
    json_object_set_array_member(document, "hosts_down", down);
    json_object_set_object_member(document, "before", json_object_ref(wish->before));
    json_object_set_string_member(document, "text", text);
    log_warn("%s settles: %s; before: %s", plan->user, text, before);
    events_emit(wish->manager->events, EVENT_OWNER_SETTLED,
                &(struct event){.user = plan->user,
                                .vm = plan->vm_name,
                                .vm_uuid = plan->uuid,
                                .host = plan->owner,
                                .detail = text,
                                .document = document});
}

struct answer {
    struct manager *manager;
    struct http_request *request;
    char uuid[MODEL_UUID_SIZE];
};

/* The request may be gone when a later word replaces this one: it was answered then. */
static void settled(const struct err *err, void *user)
{
    g_autofree struct answer *answer = user;
    struct err none = {0};
    if (err_is_set(err))
        http_fail(answer->request, err);
    else if (inquiry_start(answer->manager, answer->uuid, show, answer->request, &none))
        http_fail(answer->request, &none);
}

static void apply(struct inquiry *inquiry, void *user)
{
    struct wish *wish = user;
    struct settle_plan plan;
    struct err err = {0};
    if (!wish->manager->tasks) {
        err_set(&err, ERR_RETRY, "manager-restarted", "the manager is being stopped; nothing was changed");
        err_fix(&err, "repeat the command when it runs again");
        fail(wish, &err);
        return;
    }
    wish->before = inquiry_json(inquiry);
    if (check_owner(wish, inquiry, &err) || check_silence(wish, inquiry, &err) ||
        check_task(wish, inquiry, &err) || make_plan(wish, inquiry, &plan, &err)) {
        fail(wish, &err);
        return;
    }
    struct answer *answer = g_new0(struct answer, 1);
    answer->manager = wish->manager;
    answer->request = wish->request;
    memcpy(answer->uuid, plan.uuid, sizeof answer->uuid);
    audit(wish, &plan);
    if (settlements_add(wish->manager, &plan, settled, answer, &err)) {
        g_free(answer);
        fail(wish, &err);
        return;
    }
    tasks_settled(wish->manager, plan.uuid, plan.owner);
    wish_free(wish);
}

/* ---- POST settle ---- */

static int read_down(JsonObject *body, char ***ret_down, struct err *err)
{
    JsonNode *node = json_object_get_member(body, "hosts_down");
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    if (node && !JSON_NODE_HOLDS_ARRAY(node))
        return routes_refuse_member("hosts_down", "a list of names", err);
    JsonArray *list = node ? json_node_get_array(node) : NULL;
    for (guint i = 0; list && i < json_array_get_length(list); i++) {
        JsonNode *element = json_array_get_element(list, i);
        if (json_node_get_value_type(element) != G_TYPE_STRING)
            return routes_refuse_member("hosts_down", "a list of names", err);
        g_ptr_array_add(names, g_strdup(json_node_get_string(element)));
    }
    g_ptr_array_add(names, NULL);
    *ret_down = (char **)g_ptr_array_free(g_steal_pointer(&names), FALSE);
    return 0;
}

static int read_wish(struct http_request *request, struct wish *wish, struct err *err)
{
    static const char *const members[] = {"owner", "confirm", "hosts_down", NULL};
    JsonObject *body;
    const char *owner;
    const char *confirm;
    if (routes_body(request, members, &body, err) || routes_text(body, "owner", NULL, &owner, err) ||
        routes_text(body, "confirm", NULL, &confirm, err) || read_down(body, &wish->down, err))
        return -1;
    if (strcmp(owner, confirm) != 0) {
        err_set(err, ERR_BAD_REQUEST, "confirm-differs", "confirm must be the owner's name, '%s', not '%s'",
                owner, confirm);
        (void)err_arg(err, "owner", "%s", owner);
        (void)err_arg(err, "confirm", "%s", confirm);
        return err_fix(err, "nothing was changed; type the name of the host that owns the VM from now on");
    }
    (void)g_strlcpy(wish->owner, owner, sizeof wish->owner);
    return 0;
}

void route_vm_settle(struct http_request *request, void *user)
{
    struct err err = {0};
    struct wish *wish = g_new0(struct wish, 1);
    wish->manager = user;
    wish->request = request;
    if (read_wish(request, wish, &err) || inquiry_start(user, http_param(request, "vm"), apply, wish, &err))
        fail(wish, &err);
}
