/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source is GIVEN: it is stopped and repeats COMMIT until it learns a verdict. When the jobs have lost
 * each other, the manager is the other path: COMMIT to the destination's agent, its verdict to the source's.
 * Both may be given any number of times. The manager cannot forge either: they are secrets of the agents.
 */
#include "base/clock.h"
#include "base/log.h"
#include "manager/migrate.h"

#define PATIENCE_MS 500
#define REPEAT_MS 1000
#define CALL_TIMEOUT_S 10
/* A destination that does not know the session will not learn of it, nor another secret than it has said. */
#define UNKNOWN_MAX 3

static void relay(struct task *task);

static void repeat(struct task *task)
{
    task->is_relaying = false;
    task_after(task, REPEAT_MS, relay);
}

static void end_in_doubt(struct task *task, const char *cause)
{
    struct err err = {0};
    err_set(&err, ERR_IN_DOUBT, "ownership-in-doubt",
            "VM '%s' is stopped on host '%s', and host '%s' cannot say whether it took it over",
            task->vm_name, task->source_host, task->destination_host);
    err_cause(&err, "%s", cause);
    err_fix(
        &err,
        "end neither QEMU; bring the agent on '%s' back with the state folder it had, see in 'godwit vm ls' "
        "and in the logs of both agents (lines with %s) which host has the VM, and start it on no other",
        task->destination_host, task->vm_uuid);
    (void)err_arg(&err, "vm", "%s", task->vm_name);
    (void)err_arg(&err, "source", "%s", task->source_host);
    (void)err_arg(&err, "destination", "%s", task->destination_host);
    err_place(&err, move_phase_name(task->phase), "destination");
    log_error(&err, "task %s ends", task->id);
    task->is_ending = true;
    task->error = err;
    task_finish_failed(task);
}

static void source_told(struct task *task, JsonObject *object, const struct err *err)
{
    (void)object;
    bool is_refused = err->code == ERR_REFUSED && task->source.status.state == MOVE_GIVEN;
    if (is_refused && ++task->unknown_verdicts >= UNKNOWN_MAX) {
        end_in_doubt(task, "the source does not accept the destination's verdict");
        return;
    }
    if (err_is_set(err))
        log_error(err, "task %s: the verdict did not reach host %s", task->id, task->source_host);
    repeat(task);
}

static bool is_verdict(const char *name)
{
    static const char *const verdicts[] = {"running", "aborted", "returned", NULL};
    return g_strv_contains(verdicts, name);
}

static void destination_told(struct task *task, JsonObject *object, const struct err *err)
{
    const char *verdict = object ? model_text(object, "verdict") : "";
    if (!err_is_set(err) && is_verdict(verdict)) {
        log_info("task %s: relays verdict %s to host %s", task->id, verdict, task->source_host);
        g_autofree char *path = task_move_path(task, "/verdict");
        struct task_call_spec call = {&task->source,  "POST",
                                      path,           json_object_ref(object),
                                      CALL_TIMEOUT_S, .to = "take the verdict of the destination"};
        task_call(task, &call, source_told);
        return;
    }
    /* Neither the move nor a journal of it is there (IN_DOUBT), or the route itself is not (NOT_FOUND). */
    bool is_unknown = !err_is_set(err) || err->code == ERR_NOT_FOUND || err->code == ERR_IN_DOUBT;
    task->unknown_verdicts = is_unknown ? task->unknown_verdicts + 1 : 0;
    if (task->unknown_verdicts >= UNKNOWN_MAX) {
        end_in_doubt(task, "the destination's record of this migration is gone");
        return;
    }
    task_wait_since(task, 0, "host '%s' to say whether it runs the VM", task->destination_host);
    repeat(task);
}

static void relay(struct task *task)
{
    const struct task_side *source = &task->source;
    if (task->is_relaying || (source->is_known && source->status.state != MOVE_GIVEN))
        return;
    if (!source->is_known) { /* it was GIVEN, and is being asked again */
        repeat(task);
        return;
    }
    task->is_relaying = true;
    char commit[MOVE_SECRET_SIZE * 2 + 1];
    model_hex(source->status.commit, MOVE_SECRET_SIZE, commit);
    JsonObject *body = json_object_new();
    json_object_set_string_member(body, "vm", task->vm_uuid);
    json_object_set_string_member(body, "commit", commit);
    log_info("task %s: relays COMMIT to host %s", task->id, task->destination_host);
    g_autofree char *path = task_move_path(task, "/commit");
    struct task_call_spec call = {
        &task->destination, "POST", path, body, CALL_TIMEOUT_S, .to = "say whether it runs the VM"};
    task_call(task, &call, destination_told);
}

void migrate_relay(struct task *task)
{
    if (task->given_ns)
        return;
    task->given_ns = clock_now_ns();
    task_after(task, PATIENCE_MS, relay);
}
