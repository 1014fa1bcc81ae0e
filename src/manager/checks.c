/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/checks.h"

#include <string.h>

#include "manager/admit.h"
#include "manager/agent_client.h"
#include "manager/migrate.h"
#include "manager/pools.h"
#include "manager/storage.h"
#include "manager/way.h"

#define HOST_TIMEOUT_S 10
#define ANY_PORT 1

struct run {
    struct task *plan;
    struct vm_status vm; /* as it is; the plan's has its new pool */
    struct findings findings;
    unsigned n_waiting; /* for facts */
    void (*done)(const struct findings *findings, void *user);
    void *user;
};

void checks_plan(struct manager *manager, const struct task_request *wish, struct task *ret_plan)
{
    *ret_plan = (struct task){.manager = manager, .options = wish->options};
    model_uuid_new(ret_plan->id);
    (void)g_strlcpy(ret_plan->vm_uuid, wish->vm->spec.uuid, sizeof ret_plan->vm_uuid);
    (void)g_strlcpy(ret_plan->vm_name, wish->vm->spec.name, sizeof ret_plan->vm_name);
    (void)g_strlcpy(ret_plan->source_host, wish->vm->host, sizeof ret_plan->source_host);
    (void)g_strlcpy(ret_plan->destination_host, wish->destination, sizeof ret_plan->destination_host);
    (void)g_strlcpy(ret_plan->user, wish->user, sizeof ret_plan->user);
}

static void finish(struct run *run)
{
    run->done(&run->findings, run->user);
    g_free(run);
}

static void ask(struct run *run, struct host *host, bool is_source, http_done done)
{
    g_autofree char *path = g_strdup_printf("/v1/moves/%s/check", run->plan->id);
    JsonObject *body = json_object_new();
    json_object_set_string_member(body, "side", is_source ? "source" : "destination");
    json_object_set_object_member(body, "spec", move_spec_to_json(&run->plan->spec));
    json_object_set_boolean_member(body, "all", TRUE);
    agent_call(host, &(struct http_call){"POST", path, body, HOST_TIMEOUT_S}, done, run);
}

/* An agent that knows no more answers with its first error, or with nothing. */
static void hear(struct run *run, JsonObject *object, const struct err *call_err, bool is_source)
{
    g_autofree struct findings *theirs = g_new0(struct findings, 1);
    struct err err = *call_err;
    if (!err_is_set(&err) && object && json_object_has_member(object, "findings"))
        (void)findings_from_json(json_object_get_member(object, "findings"), theirs, &err);
    const char *host = is_source ? run->plan->source_host : run->plan->destination_host;
    if (err_is_set(&err) && !err.fix[0])
        (void)err_fix(&err,
                      "see that the agent on '%s' runs and that the manager reaches it: 'godwit doctor' "
                      "there says what is wrong",
                      host);
    findings_note(theirs, err_is_set(&err) ? -1 : 0, &err);
    findings_place(theirs, move_phase_name(is_source ? PHASE_SOURCE_CHECK : PHASE_DESTINATION_CHECK),
                   is_source ? "source" : "destination");
    findings_merge(&run->findings, theirs);
}

/* Whoever did not answer is said already, and has nothing to be compared. */
static void compare_sites(struct run *run, JsonObject *object)
{
    g_autofree struct move_site *source = g_new(struct move_site, 1);
    g_autofree struct findings *found = g_new0(struct findings, 1);
    struct err err = {0};
    findings_note(found, migrate_take_site(object, run->plan->source_host, source, &err), &err);
    if (!err_is_set(&err))
        migrate_check_sites(run->plan, source, found);
    findings_merge(&run->findings, found);
}

/* How much is on its disks only the source knows, and the destination was asked before. */
static void compare_disks(struct run *run, JsonObject *object)
{
    g_autofree struct findings *found = g_new0(struct findings, 1);
    const struct host *destination =
        inventory_find_connected(run->plan->manager->inventory, run->plan->destination_host);
    struct err err = {0};
    if (!run->plan->spec.n_disks || !object || !destination)
        return;
    findings_note(found, move_disks_from_json(object, &run->plan->spec, &err), &err);
    findings_place(found, move_phase_name(PHASE_SOURCE_CHECK), "source");
    if (!task_is_here(run->plan)) /* else the host has looked itself */
        storage_find_room(&run->plan->spec, &destination->facts, found);
    findings_place(found, move_phase_name(PHASE_DESTINATION_CHECK), "destination");
    findings_merge(&run->findings, found);
}

/* ---- the way between them ---- */

/* The way back carries no memory: what is wrong with it is for the day when the VM shall come back. */
static void hear_way(struct run *run, JsonObject *object, const struct err *err, bool is_back)
{
    g_autofree struct findings *found = g_new0(struct findings, 1);
    way_take(object, err, is_back, found);
    for (unsigned i = 0; is_back && i < found->n; i++)
        found->list[i].severity = FINDING_WARNING;
    findings_merge(&run->findings, found);
}

static void way_back_tried(JsonObject *object, const struct err *err, void *user)
{
    struct run *run = user;
    hear_way(run, object, err, true);
    finish(run);
}

static void way_tried(JsonObject *object, const struct err *err, void *user)
{
    struct run *run = user;
    hear_way(run, object, err, false);
    way_ask(run->plan, true, way_back_tried, run);
}

static void source_answered(JsonObject *object, const struct err *err, void *user)
{
    struct run *run = user;
    hear(run, object, err, true);
    compare_disks(run, object);
    if (task_is_here(run->plan)) {
        finish(run);
        return;
    }
    compare_sites(run, object);
    way_ask(run->plan, false, way_tried, run);
}

static void ask_source(struct run *run)
{
    struct task *plan = run->plan;
    struct host *source = inventory_find_connected(run->plan->manager->inventory, plan->source_host);
    struct err err = {0};
    if (!task_is_here(plan))
        findings_note(&run->findings, pools_admit(plan, &run->vm, &err), &err);
    findings_place(&run->findings, move_phase_name(PHASE_DESTINATION_CHECK), "manager");
    if (source && inventory_find_connected(run->plan->manager->inventory, plan->destination_host))
        findings_note(&run->findings, migrate_agree(plan, &err), &err);
    findings_place(&run->findings, move_phase_name(PHASE_SPECIFICATION), "manager");
    if (source)
        ask(run, source, true, source_answered);
    else
        finish(run);
}

static void destination_answered(JsonObject *object, const struct err *err, void *user)
{
    struct run *run = user;
    struct err site_err = {0};
    hear(run, object, err, false);
    findings_note(
        &run->findings,
        migrate_take_site(object, run->plan->destination_host, &run->plan->destination_site, &site_err),
        &site_err);
    ask_source(run);
}

/* Which host answered shows in its state. */
static void facts_are_fresh(const struct err *call_err, void *user)
{
    struct run *run = user;
    struct task *plan = run->plan;
    struct vm_status vm;
    struct err err = {0};
    (void)call_err;
    if (--run->n_waiting)
        return;
    if (migrate_check_vm(plan, &vm, &err)) {
        findings_note(&run->findings, -1, &err);
        findings_place(&run->findings, move_phase_name(PHASE_DESTINATION_CHECK), "manager");
        finish(run);
        return;
    }
    run->vm = vm;
    findings_note(&run->findings, admit_check(plan->manager, &vm, &err), &err);
    migrate_check_hosts(plan, &vm, &run->findings);
    findings_place(&run->findings, move_phase_name(PHASE_DESTINATION_CHECK), "manager");
    struct host *destination =
        inventory_find_connected(run->plan->manager->inventory, plan->destination_host);
    if (!destination) {
        /* The source has questions of its own; a specification has a port. */
        migrate_fill_spec(plan, &vm, &(struct host_facts){.migration_port = ANY_PORT});
        ask_source(run);
        return;
    }
    migrate_fill_spec(plan, &vm, &destination->facts);
    ask(run, destination, false, destination_answered);
}

void checks_run(struct task *plan, void (*done)(const struct findings *findings, void *user), void *user)
{
    const char *const names[] = {plan->source_host, plan->destination_host};
    struct run *run = g_new0(struct run, 1);
    run->plan = plan;
    run->done = done;
    run->user = user;
    run->n_waiting = 1;
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        struct host *host = inventory_find_host(plan->manager->inventory, names[i]);
        if (!host)
            continue;
        run->n_waiting++;
        inventory_refresh(host, facts_are_fresh, run);
    }
    facts_are_fresh(NULL, run);
}

/* ---- of several hosts ---- */

struct candidate {
    struct candidates *all;
    struct task plan;
    JsonObject *answer;
};
struct candidates {
    struct http_request *request;
    unsigned n, n_waiting;
    struct candidate *list;
};

static void reply(struct candidates *all)
{
    JsonObject *document = json_object_new();
    JsonArray *hosts = json_array_new();
    const struct task *any = &all->list[0].plan;
    json_object_set_string_member(document, "vm", any->vm_name);
    json_object_set_string_member(document, "vm_uuid", any->vm_uuid);
    json_object_set_string_member(document, "source", any->source_host);
    for (unsigned i = 0; i < all->n; i++) {
        json_array_add_object_element(hosts, all->list[i].answer);
        explicit_bzero(&all->list[i].plan.spec, sizeof all->list[i].plan.spec);
    }
    json_object_set_array_member(document, "hosts", hosts);
    http_reply(all->request, 200, document);
    g_free(all->list);
    g_free(all);
}

static void candidate_checked(const struct findings *findings, void *user)
{
    struct candidate *candidate = user;
    struct candidates *all = candidate->all;
    const char *result = findings_first(findings, NULL) ? "refused" : findings->n ? "warnings" : "passed";
    candidate->answer = json_object_new();
    json_object_set_string_member(candidate->answer, "host", candidate->plan.destination_host);
    json_object_set_string_member(candidate->answer, "result", result);
    json_object_set_array_member(candidate->answer, "findings", findings_to_json(findings));
    if (!--all->n_waiting)
        reply(all);
}

void checks_answer(struct manager *manager, struct http_request *request, const struct task_request *wish,
                   char **names)
{
    g_auto(GStrv) taken = names;
    struct candidates *all = g_new0(struct candidates, 1);
    all->request = request;
    all->n = all->n_waiting = g_strv_length(taken);
    all->list = g_new0(struct candidate, all->n);
    for (unsigned i = 0; i < all->n; i++) {
        struct task_request one = *wish;
        one.destination = taken[i];
        all->list[i].all = all;
        checks_plan(manager, &one, &all->list[i].plan);
    }
    for (unsigned i = 0, n = all->n; i < n; i++)
        checks_run(&all->list[i].plan, candidate_checked, &all->list[i]);
}
