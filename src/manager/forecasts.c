/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/forecasts.h"

#include <string.h>

#include "base/log.h"
#include "manager/agent_client.h"
#include "manager/checks.h"
#include "manager/events.h"
#include "manager/inventory.h"

#define PREPARE_TIMEOUT_S 10
/* Longer than an agent gives its job. */
#define SAMPLE_TIMEOUT_S 30
/* The first version whose agents make forecasts. */
#define FORECAST_PROTOCOL 3
#define B_MS_PER_MB_S 1000.0
/* Of memory that is not zero, before it is packed: less than a fifth of what a link of 10 Mbit/s carries. */
#define MB_S_LEAST 0.2

struct run {
    struct http_request *request;
    /* What the phases of a migration work on; in no table. */
    struct task plan;
    JsonArray *findings; /* of the checks; NULL before */
};

static void run_free(struct run *run)
{
    explicit_bzero(&run->plan.spec, sizeof run->plan.spec);
    g_clear_pointer(&run->findings, json_array_unref);
    g_free(run);
}

static void fail(struct run *run, const struct err *why, enum move_phase phase, const char *side)
{
    struct err err = *why;
    err_place(&err, move_phase_name(phase), side);
    http_fail(run->request, &err);
    run_free(run);
}

/* Calls one side's agent; ID in the path becomes the forecast's. A host that was removed meanwhile is an
 * error like that of its agent. */
static void call(struct run *run, bool is_source, const struct http_call *what, http_done done)
{
    const char *name = is_source ? run->plan.source_host : run->plan.destination_host;
    struct host *host;
    struct err err = {0};
    if (inventory_get_host(run->plan.manager->inventory, name, &host, &err)) {
        json_object_unref(what->body);
        done(NULL, &err, run);
        return;
    }
    struct http_call meant = *what;
    g_autoptr(GString) path = g_string_new(what->path);
    (void)g_string_replace(path, "ID", run->plan.id, 0);
    meant.path = path->str;
    agent_call_for_user(host, &meant, done, run);
}

static void say_passed(JsonArray *checks, enum move_phase phase)
{
    JsonObject *check = json_object_new();
    json_object_set_string_member(check, "name", move_phase_name(phase));
    json_object_set_string_member(check, "result", "passed");
    json_array_add_object_element(checks, check);
}

/* They cross before memory, as they are: not packed. */
static double disks_ms(const struct task *plan, JsonObject *forecast)
{
    double mb_s = model_real(forecast, "link_mb_s", 0);
    double bytes = 0;
    for (uint32_t i = 0; i < plan->spec.n_disks; i++)
        bytes += (double)plan->spec.disks[i].used_bytes;
    return bytes / B_MS_PER_MB_S / MAX(mb_s, MB_S_LEAST);
}

static JsonArray *disks_of(const struct task *plan)
{
    JsonArray *list = json_array_new();
    for (uint32_t i = 0; i < plan->spec.n_disks; i++) {
        const struct move_disk *disk = &plan->spec.disks[i];
        char label[DISK_LABEL_MAX];
        JsonObject *object = json_object_new();
        vm_disk_label(&plan->spec.vm.disks[disk->disk], label);
        json_object_set_string_member(object, "to", label);
        json_object_set_int_member(object, "size_bytes", (gint64)disk->size_bytes);
        json_object_set_int_member(object, "used_bytes", (gint64)disk->used_bytes);
        json_array_add_object_element(list, object);
    }
    return list;
}

/* `forecast` NULL: nothing was sampled, since no memory would move. */
static JsonObject *answer_of(const struct run *run, JsonObject *forecast)
{
    static const enum move_phase passed[] = {PHASE_REQUEST, PHASE_DESTINATION_CHECK, PHASE_SPECIFICATION,
                                             PHASE_SOURCE_CHECK};
    const struct task *plan = &run->plan;
    JsonObject *answer = json_object_new();
    JsonArray *checks = json_array_new();
    for (unsigned i = 0; i < G_N_ELEMENTS(passed); i++)
        say_passed(checks, passed[i]);
    json_object_set_string_member(answer, "vm", plan->vm_name);
    json_object_set_string_member(answer, "vm_uuid", plan->vm_uuid);
    json_object_set_string_member(answer, "source", plan->source_host);
    json_object_set_string_member(answer, "destination", plan->destination_host);
    json_object_set_object_member(answer, "options", move_options_to_json(&plan->options));
    json_object_set_array_member(answer, "checks", checks);
    json_object_set_array_member(answer, "findings", json_array_ref(run->findings));
    json_object_set_array_member(answer, "disks", disks_of(plan));
    if (forecast)
        json_object_set_object_member(answer, "forecast", json_object_ref(forecast));
    else
        json_object_set_null_member(answer, "forecast");
    return answer;
}

static void tell(const struct task *plan, JsonObject *answer, JsonObject *forecast)
{
    bool converges = model_flag(forecast, "converges");
    g_autofree char *detail = g_strdup_printf(
        "%.2f s, with a downtime of %.1f ms%s", model_real(forecast, "duration_ms", 0) / 1e3,
        model_real(forecast, "downtime_ms", 0), converges ? "" : ", and it would not succeed");
    events_emit(plan->manager->events, EVENT_MIGRATION_FORECAST,
                &(struct event){.user = plan->user,
                                .vm = plan->vm_name,
                                .vm_uuid = plan->vm_uuid,
                                .host = plan->source_host,
                                .destination = plan->destination_host,
                                .detail = detail,
                                .document = answer});
}

/* What the checks have seen of the way is why memory does not cross it. */
static void explain(const struct run *run, struct err *err)
{
    static const char *const ways[] = {"migration-port-unreachable", "path-mtu", "address-duplicate", NULL};
    for (guint i = 0; i < json_array_get_length(run->findings); i++) {
        JsonObject *finding = json_array_get_object_element(run->findings, i);
        if (!g_strv_contains(ways, model_text(finding, "id")))
            continue;
        (void)err_cause(err, "%s", model_text(finding, "message"));
        (void)err_fix(err, "%s", model_text(finding, "fix"));
        return;
    }
}

/* Figures of a way that carries next to nothing would say only how long nothing takes. Memory that is all
 * zero has measured no way. */
static int check_link(const struct run *run, JsonObject *forecast, struct err *err)
{
    const struct task *plan = &run->plan;
    double mb_s = model_real(forecast, "again_mb_s", MB_S_LEAST);
    if (mb_s >= MB_S_LEAST || !model_int(forecast, "ram_used_bytes", 0) ||
        model_int(forecast, "zero_percent", 0) == 100)
        return 0;
    (void)err_set(
        err, ERR_RETRY, "memory-hardly-crosses",
        "hardly any memory crosses the migration network from host '%s' to host '%s': less than %.1f MB/s",
        plan->source_host, plan->destination_host, MB_S_LEAST);
    (void)err_arg(err, "source", "%s", plan->source_host);
    (void)err_arg(err, "destination", "%s", plan->destination_host);
    (void)err_arg(err, "mb_s", "%.1f", mb_s);
    (void)err_cause(err, "packets are lost on the way, or something lets few of them pass");
    (void)err_fix(
        err,
        "look at links, MTUs and switches between the two, for which 'godwit doctor --from %s --to %s' "
        "measures the way; then ask again",
        plan->source_host, plan->destination_host);
    explain(run, err);
    return -1;
}

static void sampled(JsonObject *object, const struct err *call_err, void *user)
{
    struct run *run = user;
    struct err err = *call_err;
    JsonNode *node = object ? json_object_get_member(object, "forecast") : NULL;
    if (!err_is_set(&err) && (!node || !JSON_NODE_HOLDS_OBJECT(node))) {
        (void)err_set(&err, ERR_CORRUPT, "agent-answer", "host '%s' answered without a forecast",
                      run->plan.source_host);
        (void)err_arg(&err, "host", "%s", run->plan.source_host);
    }
    if (err.code == ERR_PEER_LOST || err.code == ERR_TIMEOUT)
        explain(run, &err);
    if (err_is_set(&err) || check_link(run, json_node_get_object(node), &err)) {
        fail(run, &err, PHASE_COPY, "source");
        return;
    }
    JsonObject *forecast = json_node_get_object(node);
    double of_disks = disks_ms(&run->plan, forecast);
    json_object_set_double_member(forecast, "disks_ms", of_disks);
    json_object_set_double_member(forecast, "duration_ms", model_real(forecast, "duration_ms", 0) + of_disks);
    JsonObject *answer = answer_of(run, forecast);
    log_info("forecast %s of VM %s from %s to %s, for %s", run->plan.id, run->plan.vm_name,
             run->plan.source_host, run->plan.destination_host, run->plan.user);
    tell(&run->plan, answer, forecast);
    http_reply(run->request, 200, answer);
    run_free(run);
}

static void destination_waits(JsonObject *object, const struct err *call_err, void *user)
{
    struct run *run = user;
    struct err err = *call_err;
    struct move_spec answer;
    JsonNode *node = object ? json_object_get_member(object, "spec") : NULL;
    if (!err_is_set(&err) && (!node || !JSON_NODE_HOLDS_OBJECT(node))) {
        (void)err_set(&err, ERR_CORRUPT, "agent-answer", "host '%s' answered without a specification",
                      run->plan.destination_host);
        (void)err_arg(&err, "host", "%s", run->plan.destination_host);
    }
    if (err_is_set(&err) || move_spec_from_json(json_node_get_object(node), &answer, &err)) {
        fail(run, &err, PHASE_COPY, "destination");
        return;
    }
    run->plan.spec.port = answer.port;
    memcpy(run->plan.spec.ticket, answer.ticket, sizeof answer.ticket);
    explicit_bzero(&answer, sizeof answer);
    call(run, true,
         &(struct http_call){"POST", "/v1/forecasts/ID/source", move_spec_to_json(&run->plan.spec),
                             SAMPLE_TIMEOUT_S},
         sampled);
}

static int check_version(const struct run *run, struct err *err)
{
    const char *const names[] = {run->plan.destination_host, run->plan.source_host};
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        struct host *host;
        if (inventory_get_host(run->plan.manager->inventory, names[i], &host, err))
            return -1;
        if (!host->has_facts || host->facts.protocol >= FORECAST_PROTOCOL)
            continue;
        err_set(err, ERR_REFUSED, "forecast-unsupported",
                "the agent on host '%s' is of a version without forecasts", host->name);
        (void)err_arg(err, "host", "%s", host->name);
        return err_fix(err, "upgrade the agent on host '%s'; its VMs run on meanwhile", host->name);
    }
    return 0;
}

/* The error form, with all that was found beside the first error. */
static void refuse(struct run *run, const struct err *why)
{
    JsonObject *document = model_error_to_json(why);
    json_object_set_array_member(document, "findings", json_array_ref(run->findings));
    http_reply(run->request, err_http_status(why->code), document);
    run_free(run);
}

static void checked(const struct findings *findings, void *user)
{
    struct run *run = user;
    struct err err = {0};
    run->findings = findings_to_json(findings);
    if (findings_first(findings, &err)) {
        refuse(run, &err);
        return;
    }
    if (task_is_here(&run->plan)) {
        http_reply(run->request, 200, answer_of(run, NULL));
        run_free(run);
        return;
    }
    if (check_version(run, &err)) {
        fail(run, &err, PHASE_DESTINATION_CHECK, "destination");
        return;
    }
    call(run, false,
         &(struct http_call){"PUT", "/v1/forecasts/ID/destination", move_spec_to_json(&run->plan.spec),
                             PREPARE_TIMEOUT_S},
         destination_waits);
}

void forecasts_start(struct manager *manager, struct http_request *request, const struct task_request *wish)
{
    struct run *run = g_new0(struct run, 1);
    run->request = request;
    checks_plan(manager, wish, &run->plan);
    checks_run(&run->plan, checked, run);
}
