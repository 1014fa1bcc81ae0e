/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest hears of its migration, and what its clock says before and after. It has no veto: whatever
 * comes of it, the migration goes on. */
#include <string.h>

#include "base/log.h"
#include "manager/agent_client.h"
#include "manager/migrate.h"
#include "model/check_table.h"

/* Of the questions besides the notice (agent/guest_agent.h), and of the way to the agent. */
#define BESIDES_S 20
#define TO_VISIT "hear from the guest"

/* 0: the guest is not to be told, or is not known any more. By what the VM is now: a manager that was
 * restarted has no specification. */
static unsigned notice_timeout_s(const struct task *task, bool *ret_has_agent)
{
    struct vm_status vm;
    bool is_known = inventory_get_vm(task->manager->inventory, task->vm_uuid, &vm, NULL) == 0;
    *ret_has_agent = is_known && vm.spec.guest_agent;
    return *ret_has_agent ? vm.spec.notice_timeout_s : 0;
}

static JsonObject *visit_body(const struct task *task, enum guest_when when, unsigned timeout_s)
{
    struct guest_request request = {
        .when = when,
        .notice_timeout_s = timeout_s,
        .set_clock = when == GUEST_AFTER && task->options.sync_clock,
    };
    (void)g_strlcpy(request.task, task->id, sizeof request.task);
    (void)g_strlcpy(request.source, task->source_host, sizeof request.source);
    (void)g_strlcpy(request.destination, task->destination_host, sizeof request.destination);
    return guest_request_to_json(&request);
}

/* A host that gave no report: why, in the place of what the guest would have said. */
static void take_report(struct task *task, struct task_guest *guest, JsonObject *object,
                        const struct err *call_err)
{
    struct err err = *call_err;
    guest->is_known = true;
    if (!err_is_set(&err) && object && guest_report_from_json(object, &guest->report, &err) == 0)
        return;
    bool has_agent;
    guest->report =
        (struct guest_report){.notice = notice_timeout_s(task, &has_agent) ? NOTICE_UNANSWERED : NOTICE_OFF};
    (void)g_strlcpy(guest->report.problem, err_is_set(&err) ? err.message : "the agent sent no report",
                    sizeof guest->report.problem);
}

/* Those who read the task's warnings learn that an application was not ready for what came. */
static void warn(struct task *task, const struct task_guest *guest, const char *host)
{
    const struct guest_report *report = &guest->report;
    g_autofree struct findings *found = g_new0(struct findings, 1);
    if (report->notice == NOTICE_FAILED || report->notice == NOTICE_UNANSWERED)
        findings_say(found, CHECK_GUEST_NOT_NOTIFIED,
                     CHECK_ARGS({"vm", task->vm_name}, {"host", host}, {"problem", report->problem}));
    if (guest == &task->guest_after && task->options.sync_clock && !report->clock_was_set)
        findings_say(found, CHECK_GUEST_CLOCK_NOT_SET,
                     CHECK_ARGS({"vm", task->vm_name}, {"host", host}, {"problem", report->problem}));
    if (found->n)
        task_keep_warnings(task, found);
}

static void visit(struct task *task, struct task_side *side, enum guest_when when, unsigned timeout_s,
                  task_done done)
{
    g_autofree char *path = g_strdup_printf("vms/%s/guest", task->vm_uuid);
    struct task_call_spec call = {
        side, "POST", path, visit_body(task, when, timeout_s), timeout_s + BESIDES_S, .to = TO_VISIT};
    task_call(task, &call, done);
}

static void before_over(struct task *task, JsonObject *object, const struct err *err)
{
    take_report(task, &task->guest_before, object, err);
    warn(task, &task->guest_before, task->source_host);
    migrate_start_copy(task);
}

bool migrate_guest_before(struct task *task)
{
    bool has_agent;
    unsigned timeout_s = notice_timeout_s(task, &has_agent);
    if (!has_agent || task->guest_before.is_known)
        return false;
    visit(task, &task->source, GUEST_BEFORE, timeout_s, before_over);
    return true;
}

static void after_over(struct task *task, JsonObject *object, const struct err *err)
{
    take_report(task, &task->guest_after, object, err);
    warn(task, &task->guest_after, task->destination_host);
    task_set_state(task, TASK_RUNNING, PHASE_COMPLETE);
}

void migrate_guest_after(struct task *task)
{
    bool has_agent;
    unsigned timeout_s = notice_timeout_s(task, &has_agent);
    if (!has_agent) {
        task_set_state(task, TASK_RUNNING, PHASE_COMPLETE);
        return;
    }
    visit(task, &task->destination, GUEST_AFTER, timeout_s, after_over);
}

static void aborted_told(JsonObject *object, const struct err *err, void *user)
{
    g_autofree char *vm = user;
    (void)object;
    if (err_is_set(err))
        log_error(err, "VM %s was not told that its migration ended", vm);
}

void migrate_guest_aborted(struct task *task)
{
    struct host *host = inventory_find_host(task->manager->inventory, task->source_host);
    bool has_agent;
    unsigned timeout_s = notice_timeout_s(task, &has_agent);
    if (!host || !timeout_s || !task->guest_before.is_known || task->guest_before.report.notice == NOTICE_OFF)
        return;
    g_autofree char *path = g_strdup_printf("/v1/vms/%s/guest", task->vm_uuid);
    agent_call(
        host,
        &(struct http_call){"POST", path, visit_body(task, GUEST_ABORTED, timeout_s), timeout_s + BESIDES_S},
        aborted_told, g_strdup(task->vm_name));
}
