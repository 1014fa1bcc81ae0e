/* SPDX-License-Identifier: Apache-2.0 */
/* Phases 6 and 7: the two sides work, the manager follows. They need nothing from it any more, so a restart
 * of the manager costs nothing here. */
#include <string.h>

#include "base/clock.h"
#include "manager/migrate.h"
#include "manager/way.h"

#define START_TIMEOUT_S 20
#define TO_START "start to send the memory"
/* Both jobs move bytes, or change state, more often than this. */
#define STALL_NS NS_PER_S
/* Then it is looked for the reason, and again. */
#define ASK_WAY_NS (3 * NS_PER_S)
#define ASK_WAY_AGAIN_NS (10 * NS_PER_S)

static void look(struct task *task, struct task_side *side);

static void watch_both(struct task *task)
{
    if (!task->source.is_watched)
        migrate_watch(task, &task->source, look);
    if (!task->destination.is_watched && !task_is_here(task))
        migrate_watch(task, &task->destination, look);
}

/* What was sent, of that and what is known to be left. Before its first report a side says 0 for both, and
 * between the hello and the first round there is nothing left either: that is not the end. */
static double copied_share(const struct move_status *status)
{
    if (!status->bytes_on_wire || (!status->bytes_left && !status->n_rounds))
        return 0;
    return (double)status->bytes_on_wire / ((double)status->bytes_on_wire + (double)status->bytes_left);
}

/* Of the whole copy, disks take this share, where there are any: most often there is more on them. */
#define DISKS_SHARE 0.8

/* Writes of the guest make a copy longer. */
static double disks_share(const struct move_status *status)
{
    double done = 0, total = 0;
    for (uint32_t i = 0; i < status->n_disks; i++) {
        done += (double)status->disks[i].bytes_done;
        total += (double)status->disks[i].bytes_total;
    }
    return total > 0 ? done / total : 0;
}

static bool are_disks_ready(const struct move_status *status)
{
    for (uint32_t i = 0; i < status->n_disks; i++)
        if (!status->disks[i].ready)
            return false;
    return true;
}

static double share(const struct task *task)
{
    const struct move_status *status = &task->source.status;
    if (!status->n_disks)
        return copied_share(status);
    return are_disks_ready(status) ? DISKS_SHARE + (1 - DISKS_SHARE) * copied_share(status)
                                   : DISKS_SHARE * disks_share(status);
}

static void fail_side(struct task *task, const struct task_side *side)
{
    struct err err = side->status.error;
    if (!err_is_set(&err))
        err_set(&err, ERR_INTERNAL, "move-failed", "host '%s' gave the move up without a reason",
                task_side_host(task, side));
    (void)err_arg(&err, "host", "%s", task_side_host(task, side));
    /* The job has seen its connections break; a try of the way has found out why. */
    if (!strcmp(err.id, "resume-limit") && err_is_set(&task->way)) {
        err_cause(&err, "%s", task->way.message);
        err_fix(&err, "%s", task->way.fix);
    }
    task_fail(task, &err, side->label);
}

/* The source's agent has forgotten the move: it was restarted. Either it took the VM back, or the move was
 * over and the destination runs it. The ending finds out which. */
static void source_forgot(struct task *task)
{
    struct err err = {0};
    err_set(&err, ERR_PEER_LOST, "agent-restarted", "the agent on host '%s' does not know the move any more",
            task->source_host);
    err_cause(&err, "it was restarted, took the VM back and lets it run");
    err_fix(&err, "start the migration again");
    (void)err_arg(&err, "host", "%s", task->source_host);
    task_fail(task, &err, "source");
}

static bool is_late(const struct task *task, uint64_t since_ns)
{
    return clock_now_ns() - since_ns > task_deadline_s(task) * NS_PER_S;
}

struct way_question {
    struct manager *manager;
    char task[MODEL_UUID_SIZE];
};

static void way_tried(JsonObject *object, const struct err *err, void *user)
{
    g_autofree struct way_question *question = user;
    g_autofree struct findings *found = g_new0(struct findings, 1);
    struct task *task = tasks_find(question->manager, question->task);
    way_take(object, err, false, found);
    if (!task)
        return;
    err_clear(&task->way);
    if (found->n)
        task->way = found->list[0].err;
}

/* When nothing has moved for a while. A copy that connects again and again sends a little each time. */
static void ask_way(struct task *task)
{
    uint64_t now_ns = clock_now_ns();
    if (now_ns - task->progress_ns < ASK_WAY_NS ||
        (task->way_asked_ns && now_ns - task->way_asked_ns < ASK_WAY_AGAIN_NS))
        return;
    struct way_question *question = g_new0(struct way_question, 1);
    task->way_asked_ns = now_ns;
    question->manager = task->manager;
    (void)g_strlcpy(question->task, task->id, sizeof question->task);
    way_ask(task, false, way_tried, question);
}

static void say_stalled_here(const struct task *task, struct err *err)
{
    err_set(err, ERR_TIMEOUT, "copy-stalled",
            "no block of a disk of VM '%s' was copied on host '%s' for %u s", task->vm_name,
            task->source_host, task_deadline_s(task));
    err_fix(err, "look at both datastores on '%s'", task->source_host);
    (void)err_arg(err, "waited_s", "%u", task_deadline_s(task));
    (void)err_arg(err, "vm", "%s", task->vm_name);
    (void)err_arg(err, "source", "%s", task->source_host);
    (void)err_arg(err, "destination", "%s", task->destination_host);
}

static void look_at_copy(struct task *task)
{
    const struct move_status *status = &task->source.status;
    struct err err = {0};
    if (status->state == MOVE_PREPARED && !task->has_key) {
        err_set(&err, ERR_RETRY, "manager-restarted", "the manager was restarted before the copy began");
        err_cause(&err, "the one-time key of the migration is kept in memory only");
        err_fix(&err, "start the migration again");
        task_fail(task, &err, "manager");
    } else if (is_late(task, task->progress_ns) && task_is_here(task)) {
        say_stalled_here(task, &err);
        task_fail(task, &err, "manager");
    } else if (is_late(task, task->progress_ns)) {
        err_set(&err, ERR_TIMEOUT, "copy-stalled", "no memory crossed from host '%s' to host '%s' for %u s",
                task->source_host, task->destination_host, task_deadline_s(task));
        err_fix(&err, "look at the migration network between '%s' and '%s'", task->source_host,
                task->destination_host);
        if (err_is_set(&task->way))
            err_fix(&err, "%s", task->way.fix);
        migrate_say_last(task, &err);
        (void)err_arg(&err, "waited_s", "%u", task_deadline_s(task));
        (void)err_arg(&err, "source", "%s", task->source_host);
        (void)err_arg(&err, "destination", "%s", task->destination_host);
        task_fail(task, &err, "manager");
    } else {
        if (!task_is_here(task))
            ask_way(task);
        migrate_say_wait(task);
        task_publish(task, share(task));
    }
}

static void look_at_switch_over(struct task *task)
{
    if (task->source.status.state == MOVE_GIVEN) {
        migrate_relay(task);
        uint64_t given_ns = clock_now_ns() - task->given_ns;
        if (given_ns > STALL_NS)
            task_wait_since(task, clock_wall_ms() - (int64_t)(given_ns / NS_PER_MS),
                            "host '%s' to say whether it runs the VM", task->destination_host);
        task_publish(task, 0.5);
        return;
    }
    if (!is_late(task, task->phase_start_ns)) {
        migrate_say_wait(task);
        task_publish(task, 0.2);
        return;
    }
    struct err err = {0};
    err_set(&err, ERR_TIMEOUT, "switchover-limit",
            "host '%s' waited for more than %u s for host '%s' to take VM '%s' over", task->source_host,
            task_deadline_s(task), task->destination_host, task->vm_name);
    err_fix(&err, "try again in a calmer moment, or with a higher --switchover-limit");
    migrate_say_last(task, &err);
    (void)err_arg(&err, "limit_s", "%u", task_deadline_s(task));
    (void)err_arg(&err, "vm", "%s", task->vm_name);
    (void)err_arg(&err, "source", "%s", task->source_host);
    (void)err_arg(&err, "host", "%s", task->destination_host);
    task_fail(task, &err, "manager");
}

/* On one host nothing crosses the wire. */
static uint64_t bytes_moved(const struct task *task)
{
    const struct move_status *status = &task->source.status;
    uint64_t sum = status->bytes_on_wire;
    for (uint32_t i = 0; task_is_here(task) && i < status->n_disks; i++)
        sum += status->disks[i].bytes_done;
    return sum;
}

static void note_progress(struct task *task, struct task_side *side)
{
    if (side == &task->source && bytes_moved(task) != task->seen_bytes) {
        task->seen_bytes = bytes_moved(task);
        task->progress_ns = clock_now_ns();
    }
}

/* The source does not answer. What the destination has journaled is final all the same: a guest that runs
 * there has been given away, and one that was refused there can only go on at the source. */
static void look_without_source(struct task *task)
{
    const struct task_side *destination = &task->destination;
    bool is_known = destination->is_known && !destination->silent_since_ms && !destination->is_missing;
    if (is_known && destination->status.state == MOVE_DONE)
        task_set_state(task, TASK_RUNNING, PHASE_INVENTORY);
    else if (is_known && destination->status.state == MOVE_FAILED)
        fail_side(task, destination);
    else
        task_wait_since(task, task->source.silent_since_ms, "host '%s' to " MIGRATE_TO_REPORT,
                        task->source_host);
}

static void look(struct task *task, struct task_side *side)
{
    const struct task_side *source = &task->source;
    const struct task_side *destination = &task->destination;
    if (source->is_missing) {
        source_forgot(task);
        return;
    }
    if (source->silent_since_ms) {
        look_without_source(task);
        return;
    }
    if (!source->is_known)
        return;
    note_progress(task, side);
    enum move_state state = source->status.state;
    bool destination_failed = destination->is_known && destination->status.state == MOVE_FAILED;
    if (state == MOVE_FAILED)
        fail_side(task, source);
    else if (destination_failed && state < MOVE_GIVEN)
        fail_side(task, destination);
    else if (task->phase == PHASE_COPY && state >= MOVE_SWITCHING)
        task_set_state(task, TASK_RUNNING, PHASE_SWITCH_OVER);
    else if (state == MOVE_DONE)
        task_set_state(task, TASK_RUNNING, PHASE_INVENTORY);
    else if (task->phase == PHASE_COPY)
        look_at_copy(task);
    else
        look_at_switch_over(task);
}

static void started(struct task *task, JsonObject *object, const struct err *call_err)
{
    (void)object;
    struct err err = *call_err;
    if (!err_is_set(&err))
        watch_both(task);
    else if (!task_try_again(task, &task->source, TO_START, migrate_start_copy, &err))
        task_fail(task, &err, "source");
}

void migrate_enter_copy(struct task *task)
{
    if (!task->has_key)
        watch_both(task);
    else if (task_is_here(task) || !migrate_guest_before(task))
        migrate_start_copy(task);
}

void migrate_start_copy(struct task *task)
{
    /* What the guest took for itself is not the copy's. */
    task->progress_ns = clock_now_ns();
    g_autofree char *path = task_move_path(task, "/start");
    struct task_call_spec call = {
        &task->source, "POST", path, move_spec_to_json(&task->spec), MIN(START_TIMEOUT_S, task_left_s(task)),
        .to = TO_START};
    task_prepare_call(task, &call, started);
}

void migrate_enter_switch_over(struct task *task)
{
    if (task->source.is_watched)
        look(task, &task->source);
    else
        watch_both(task);
}
