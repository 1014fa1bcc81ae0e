/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/log.h"
#include "manager/migrate.h"

/* Short, so that a side that says nothing is soon known not to live. */
#define WAIT_MS 500
#define PATIENCE_MS (WAIT_MS + 400)
#define ANSWER_TIMEOUT_S 6
/* Between two answers, so that a side that changes all the time does not fill the manager's loop. */
#define PAUSE_MS 10
#define RETRY_MS 300

bool migrate_note_status(struct task *task, struct task_side *side, JsonObject *object,
                         const struct err *call_err)
{
    struct err err = *call_err;
    struct move_status status;
    side->is_missing = err.code == ERR_NOT_FOUND;
    if (!err_is_set(&err) && !object) {
        (void)err_set(&err, ERR_CORRUPT, "agent-answer", "host %s sent no status",
                      task_side_host(task, side));
        (void)err_arg(&err, "host", "%s", task_side_host(task, side));
    }
    if (!err_is_set(&err) && !move_status_from_json(object, &status, &err)) {
        side->status = status;
        side->is_known = true;
        uint32_t n_lines = side->timeline.n_events;
        move_timeline_take(&side->timeline, &status.timeline);
        if (side == &task->source)
            task_tell_seen(task, n_lines);
    }
    bool is_answer = side->is_missing || !err_is_set(&err);
    if (is_answer) {
        side->silent_since_ms = 0;
        side->silent_since_ns = 0;
        side->has_answered = true;
    } else if (!side->silent_since_ms) {
        side->silent_since_ms = clock_wall_ms();
        side->silent_since_ns = clock_now_ns();
        log_error(&err, "task %s: host %s does not say how the move stands", task->id,
                  task_side_host(task, side));
    }
    return is_answer;
}

void migrate_note_silence(struct task *task, struct task_side *side, int64_t since_ms)
{
    if (!side->silent_since_ms) {
        side->silent_since_ms = since_ms;
        side->silent_since_ns = clock_now_ns();
    }
    if (side->is_watched)
        side->changed(task, side);
}

static void ask(struct task *task, struct task_side *side);

static void answered(struct task *task, struct task_side *side, JsonObject *object, const struct err *err)
{
    bool is_answer = migrate_note_status(task, side, object, err);
    /* Before `changed`, which may end the task. */
    task_side_after(task, side, is_answer && !side->is_missing ? PAUSE_MS : RETRY_MS, ask);
    side->changed(task, side);
}

static void ask(struct task *task, struct task_side *side)
{
    g_autofree char *query = g_strdup_printf("?version=%llu&wait_ms=%d",
                                             side->is_known ? (unsigned long long)side->status.version : 0ull,
                                             side->is_known ? WAIT_MS : 0);
    g_autofree char *path = task_move_path(task, query);
    struct task_call_spec call = {side, "GET", path, NULL, ANSWER_TIMEOUT_S, .patience_ms = PATIENCE_MS};
    task_side_call(task, &call, answered);
}

void migrate_watch(struct task *task, struct task_side *side,
                   void (*changed)(struct task *task, struct task_side *side))
{
    side->serial++;
    side->is_watched = true;
    side->changed = changed;
    side->is_known = side->is_missing = false;
    ask(task, side);
}
