/* SPDX-License-Identifier: Apache-2.0 */
/* The document of a task as everyone sees it, and what only the manager needs after a restart. */
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "manager/task.h"

static void set_time(JsonObject *object, const char *name, int64_t wall_ms)
{
    char text[CLOCK_TEXT_SIZE];
    if (wall_ms)
        json_object_set_string_member(object, name, clock_format(wall_ms, text));
    else
        json_object_set_null_member(object, name);
}

static double rounded(double value, double parts)
{
    return round(value * parts) / parts;
}

static double ns_to_ms(uint64_t ns)
{
    return rounded((double)ns / (double)NS_PER_MS, 1000);
}

static void set_count(JsonObject *object, const char *name, uint64_t value)
{
    json_object_set_int_member(object, name, (gint64)value);
}

static JsonArray *rounds_json(const struct move_status *status)
{
    JsonArray *list = json_array_new();
    for (uint32_t i = 0; i < status->n_rounds; i++) {
        const struct move_round *round = &status->rounds[i];
        JsonObject *object = json_object_new();
        set_count(object, "n", round->n);
        set_count(object, "pages", round->pages);
        set_count(object, "bytes", round->bytes);
        json_object_set_double_member(object, "ms", ns_to_ms(round->duration_ns));
        set_count(object, "dirty_pages", round->dirty_pages);
        set_count(object, "stun_us", round->stun_ns / 1000);
        set_count(object, "throttle_bytes_s", round->throttle_bytes_s);
        json_array_add_object_element(list, object);
    }
    return list;
}

static void set_number_or_null(JsonObject *object, const char *name, uint64_t value)
{
    if (value)
        set_count(object, name, value);
    else
        json_object_set_null_member(object, name);
}

static void add_stuns(JsonObject *object, const struct move_status *status)
{
    JsonArray *classes = json_array_new();
    for (uint32_t i = 0; i < status->n_stuns; i++) {
        JsonObject *class = json_object_new();
        set_number_or_null(class, "up_to_us", status->stuns[i].up_to_us);
        set_count(class, "count", status->stuns[i].count);
        json_array_add_object_element(classes, class);
    }
    json_object_set_array_member(object, "stuns", classes);
    if (!status->n_vcpu_stuns) {
        json_object_set_null_member(object, "stun_per_vcpu");
        return;
    }
    JsonArray *vcpus = json_array_new();
    for (uint32_t i = 0; i < status->n_vcpu_stuns; i++)
        json_array_add_int_element(vcpus, (gint64)(status->vcpu_stuns[i].stun_ns / 1000));
    json_object_set_array_member(object, "stun_per_vcpu", vcpus);
}

static JsonArray *phases_json(const struct task *task)
{
    JsonArray *list = json_array_new();
    int64_t now = clock_wall_ms();
    for (unsigned i = 0; i < task->n_phases; i++) {
        const struct task_phase *phase = &task->phases[i];
        JsonObject *object = json_object_new();
        json_object_set_string_member(object, "name", move_phase_name(phase->phase));
        set_time(object, "start", phase->start_ms);
        set_time(object, "end", phase->end_ms);
        json_object_set_int_member(object, "ms", (phase->end_ms ? phase->end_ms : now) - phase->start_ms);
        json_array_add_object_element(list, object);
    }
    return list;
}

static void set_clock(JsonObject *object, const char *name, const struct task_guest *guest)
{
    if (guest->is_known && guest->report.has_clock)
        json_object_set_double_member(object, name, (double)guest->report.clock_offset_us / 1e3);
    else
        json_object_set_null_member(object, name);
}

static void set_notice(JsonObject *object, const char *name, const struct task_guest *guest)
{
    if (!guest->is_known || guest->report.notice == NOTICE_OFF) {
        json_object_set_null_member(object, name);
        return;
    }
    JsonObject *notice = json_object_new();
    json_object_set_string_member(notice, "result", guest_notice_name(guest->report.notice));
    set_count(notice, "ms", guest->report.notice_ms);
    json_object_set_string_member(notice, "problem", guest->report.problem);
    json_object_set_object_member(object, name, notice);
}

/* Of the guest itself: its clock against its host's, and what it made of the notice. */
static void add_guest(JsonObject *object, const struct task *task)
{
    JsonObject *clock = json_object_new();
    JsonObject *notice = json_object_new();
    set_clock(clock, "before", &task->guest_before);
    set_clock(clock, "after", &task->guest_after);
    json_object_set_boolean_member(clock, "was_set", task->guest_after.report.clock_was_set);
    set_notice(notice, "before", &task->guest_before);
    set_notice(notice, "after", &task->guest_after);
    json_object_set_object_member(object, "clock_offset_ms", clock);
    json_object_set_object_member(object, "guest_notice", notice);
}

/* Time left in the copy, or null while nobody can say. */
static void set_eta(JsonObject *object, const struct task *task, const struct move_status *status)
{
    bool is_known = task->phase == PHASE_COPY && task->state == TASK_RUNNING &&
                    status->rate_bytes_s > status->dirty_bytes_s;
    if (is_known)
        json_object_set_int_member(object, "eta_ms",
                                   (gint64)((double)status->bytes_left * 1000.0 /
                                            (double)(status->rate_bytes_s - status->dirty_bytes_s)));
    else
        json_object_set_null_member(object, "eta_ms");
}

/* How pages were sent, zero pages apart. */
static JsonArray *codecs_json(const struct move_status *status)
{
    JsonArray *list = json_array_new();
    for (unsigned i = 0; i < status->n_codecs; i++) {
        const struct move_codec *codec = &status->codecs[i];
        JsonObject *object = json_object_new();
        json_object_set_string_member(object, "name", codec->name);
        set_count(object, "pages", codec->pages);
        set_count(object, "raw_bytes", codec->raw_bytes);
        set_count(object, "wire_bytes", codec->wire_bytes);
        json_array_add_object_element(list, object);
    }
    return list;
}

static JsonArray *disks_json(const struct move_status *status)
{
    JsonArray *list = json_array_new();
    for (uint32_t i = 0; i < status->n_disks; i++) {
        const struct move_disk_copy *disk = &status->disks[i];
        JsonObject *object = json_object_new();
        json_object_set_string_member(object, "name", disk->label);
        set_count(object, "bytes_done", disk->bytes_done);
        set_count(object, "bytes_total", disk->bytes_total);
        json_object_set_boolean_member(object, "ready", disk->ready);
        json_array_add_object_element(list, object);
    }
    return list;
}

/* What was measured; it comes from the source, which sees both ends of the downtime. */
static void add_measurements(JsonObject *object, const struct task *task)
{
    const struct move_status *status =
        task->source.is_known ? &task->source.status : &task->destination.status;
    double seconds = (double)status->copy_ns / (double)NS_PER_S;
    json_object_set_double_member(object, "downtime_ms", ns_to_ms(status->downtime_ns));
    set_count(object, "stun_us", status->stun_ns / 1000);
    add_stuns(object, status);
    set_count(object, "throttle_bytes_s", status->throttle_bytes_s);
    json_object_set_array_member(object, "warnings", task_warnings_to_json(task, status));
    json_object_set_array_member(object, "rounds", rounds_json(status));
    json_object_set_array_member(object, "switch_over", task_switch_over_to_json(task));
    set_count(object, "bytes_on_wire", status->bytes_on_wire);
    set_count(object, "job_memory_bytes",
              MAX(task->source.status.job_memory_bytes, task->destination.status.job_memory_bytes));
    json_object_set_array_member(object, "codecs", codecs_json(status));
    json_object_set_array_member(object, "disks", disks_json(status));
    set_count(object, "ram_bytes", status->ram_bytes ? status->ram_bytes : task->ram_bytes);
    set_count(object, "bytes_left", status->bytes_left);
    set_count(object, "rate_bytes_s", status->rate_bytes_s);
    set_count(object, "dirty_bytes_s", status->dirty_bytes_s);
    set_count(object, "pages_zero", status->pages_zero);
    set_count(object, "resumes", status->resumes);
    set_count(object, "bytes_resent", status->bytes_resent);
    set_eta(object, task, status);
    double rate = seconds > 0 ? (double)status->bytes_on_wire / 1e6 / seconds : 0;
    json_object_set_double_member(object, "throughput_mb_s", rounded(rate, 10));
    json_object_set_double_member(object, "copy_ms", ns_to_ms(status->copy_ns));
    json_object_set_string_member(object, "encryption", status->encryption[0] ? status->encryption : "none");
    json_object_set_string_member(object, "encryption_cipher", status->encryption_cipher);
    json_object_set_string_member(object, "dirty_source", status->dirty_source);
    json_object_set_boolean_member(object, "verified", status->verified);
    add_guest(object, task);
}

static void add_error(JsonObject *object, const struct err *error)
{
    if (!err_is_set(error)) {
        json_object_set_null_member(object, "error");
        return;
    }
    g_autoptr(JsonObject) outer = model_error_to_json(error);
    json_object_set_member(object, "error", json_node_copy(json_object_get_member(outer, "error")));
}

static void add_times(JsonObject *object, const struct task *task)
{
    int64_t end = task->ended_ms ? task->ended_ms : clock_wall_ms();
    set_time(object, "created", task->created_ms);
    set_time(object, "started", task->started_ms);
    set_time(object, "ended", task->ended_ms);
    json_object_set_int_member(object, "duration_ms", task->started_ms ? end - task->started_ms : 0);
}

JsonObject *task_to_json(const struct task *task)
{
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "task", task->id);
    json_object_set_string_member(object, "state", task_state_name(task->state));
    json_object_set_int_member(object, "progress", (gint64)task->progress);
    json_object_set_string_member(object, "phase", move_phase_name(task->phase));
    set_time(object, "phase_since", task->n_phases ? task->phases[task->n_phases - 1].start_ms : 0);
    json_object_set_string_member(object, "waiting_for", task->waiting_for);
    set_time(object, "waiting_since", task->waiting_since_ms);
    json_object_set_string_member(object, "vm", task->vm_name);
    json_object_set_string_member(object, "vm_uuid", task->vm_uuid);
    json_object_set_string_member(object, "source", task->source_host);
    json_object_set_string_member(object, "destination", task->destination_host);
    json_object_set_string_member(object, "user", task->user);
    if (task->client_key[0])
        json_object_set_string_member(object, "client_key", task->client_key);
    else
        json_object_set_null_member(object, "client_key");
    json_object_set_object_member(object, "options", move_options_to_json(&task->options));
    if (task->specification)
        json_object_set_object_member(object, "specification", json_object_ref(task->specification));
    else
        json_object_set_null_member(object, "specification");
    add_times(object, task);
    add_measurements(object, task);
    json_object_set_array_member(object, "phases", phases_json(task));
    json_object_set_array_member(object, "timeline", task_timeline_to_json(task));
    add_error(object, &task->error);
    return object;
}

/* ---- what a restarted manager needs ---- */

JsonObject *task_internals_to_json(const struct task *task)
{
    JsonObject *object = json_object_new();
    json_object_set_boolean_member(object, "is_ending", task->is_ending);
    json_object_set_int_member(object, "created_ms", task->created_ms);
    json_object_set_int_member(object, "started_ms", task->started_ms);
    json_object_set_double_member(object, "progress", task->progress);
    set_count(object, "ram_bytes", task->ram_bytes);
    set_count(object, "vm_epoch", task->vm_epoch);
    JsonArray *phases = json_array_new();
    for (unsigned i = 0; i < task->n_phases; i++) {
        json_array_add_int_element(phases, task->phases[i].phase);
        json_array_add_int_element(phases, task->phases[i].start_ms);
        json_array_add_int_element(phases, task->phases[i].end_ms);
    }
    json_object_set_array_member(object, "phases", phases);
    if (task->warnings)
        json_object_set_array_member(object, "warnings", json_array_ref(task->warnings));
    if (task->guest_before.is_known)
        json_object_set_object_member(object, "guest_before",
                                      guest_report_to_json(&task->guest_before.report));
    if (task->guest_after.is_known)
        json_object_set_object_member(object, "guest_after", guest_report_to_json(&task->guest_after.report));
    json_object_set_object_member(object, "story", move_timeline_to_json(&task->story));
    json_object_set_object_member(object, "source_timeline", move_timeline_to_json(&task->source.timeline));
    json_object_set_object_member(object, "destination_timeline",
                                  move_timeline_to_json(&task->destination.timeline));
    if (task->source.is_known) {
        /* The measurements; never the secret of the handover. */
        struct move_status status = task->source.status;
        memset(status.commit, 0, sizeof status.commit);
        memset(status.verdict_secret, 0, sizeof status.verdict_secret);
        status.timeline.n_events = 0;
        json_object_set_object_member(object, "source_status", move_status_to_json(&status));
    }
    return object;
}

static int take_text(JsonObject *object, const char *name, char *ret_text, size_t size, struct err *err)
{
    JsonNode *node = json_object_get_member(object, name);
    const char *text =
        node && json_node_get_value_type(node) == G_TYPE_STRING ? json_node_get_string(node) : NULL;
    if (!text || strlen(text) >= size) {
        (void)err_set(err, ERR_CORRUPT, "task-document", "the member '%s' is missing or too long", name);
        return err_arg(err, "name", "%s", name);
    }
    memcpy(ret_text, text, strlen(text) + 1);
    return 0;
}

static int take_names(JsonObject *document, struct task *task, struct err *err)
{
    char phase[32];
    char state[16];
    if (take_text(document, "task", task->id, sizeof task->id, err) ||
        take_text(document, "vm", task->vm_name, sizeof task->vm_name, err) ||
        take_text(document, "vm_uuid", task->vm_uuid, sizeof task->vm_uuid, err) ||
        take_text(document, "source", task->source_host, sizeof task->source_host, err) ||
        take_text(document, "destination", task->destination_host, sizeof task->destination_host, err) ||
        take_text(document, "user", task->user, sizeof task->user, err) ||
        take_text(document, "phase", phase, sizeof phase, err) ||
        take_text(document, "state", state, sizeof state, err))
        return -1;
    if (move_phase_from_name(phase, &task->phase)) {
        (void)err_set(err, ERR_CORRUPT, "task-document", "unknown phase '%s'", phase);
        return err_arg(err, "phase", "%s", phase);
    }
    task->state = strcmp(state, task_state_name(TASK_QUEUED)) ? TASK_RUNNING : TASK_QUEUED;
    return 0;
}

static void take_phases(JsonObject *internals, struct task *task)
{
    JsonArray *phases = json_object_get_array_member(internals, "phases");
    for (guint i = 0; i + 2 < json_array_get_length(phases) && task->n_phases < MOVE_PHASES; i += 3)
        task->phases[task->n_phases++] = (struct task_phase){
            .phase = (enum move_phase)json_array_get_int_element(phases, i),
            .start_ms = json_array_get_int_element(phases, i + 1),
            .end_ms = json_array_get_int_element(phases, i + 2),
        };
}

static int take_timeline(JsonObject *internals, const char *name, struct move_timeline *ret_timeline,
                         struct err *err)
{
    JsonNode *node = json_object_get_member(internals, name);
    /* An earlier version stored none. */
    if (!node || !JSON_NODE_HOLDS_OBJECT(node))
        return 0;
    return move_timeline_from_json(json_node_get_object(node), ret_timeline, err);
}

static int take_guest(JsonObject *internals, const char *name, struct task_guest *ret_guest, struct err *err)
{
    JsonNode *node = json_object_get_member(internals, name);
    ret_guest->is_known = node && JSON_NODE_HOLDS_OBJECT(node);
    return ret_guest->is_known ? guest_report_from_json(json_node_get_object(node), &ret_guest->report, err)
                               : 0;
}

int task_from_json(JsonObject *document, JsonObject *internals, struct task *ret_task, struct err *err)
{
    if (take_names(document, ret_task, err))
        return -1;
    if (!json_object_has_member(internals, "phases") || !json_object_has_member(document, "options"))
        return err_set(err, ERR_CORRUPT, "task-document", "the phases or the options are missing");
    if (move_options_from_json(json_object_get_object_member(document, "options"), &ret_task->options, err))
        return -1;
    JsonNode *specification = json_object_get_member(document, "specification");
    if (specification && JSON_NODE_HOLDS_OBJECT(specification))
        ret_task->specification = json_node_dup_object(specification);
    JsonNode *error = json_object_get_member(document, "error");
    if (error && JSON_NODE_HOLDS_OBJECT(error))
        model_error_from_json(json_node_get_object(error), &ret_task->error);
    ret_task->is_ending = model_flag(internals, "is_ending");
    ret_task->created_ms = model_int(internals, "created_ms", 0);
    ret_task->started_ms = model_int(internals, "started_ms", 0);
    ret_task->progress = model_real(internals, "progress", 0);
    ret_task->ram_bytes = (uint64_t)model_int(internals, "ram_bytes", 0);
    ret_task->vm_epoch = (uint64_t)model_int(internals, "vm_epoch", 0);
    take_phases(internals, ret_task);
    JsonNode *warnings = json_object_get_member(internals, "warnings");
    if (warnings && JSON_NODE_HOLDS_ARRAY(warnings))
        ret_task->warnings = json_node_dup_array(warnings);
    if (take_guest(internals, "guest_before", &ret_task->guest_before, err) ||
        take_guest(internals, "guest_after", &ret_task->guest_after, err))
        return -1;
    if (take_timeline(internals, "story", &ret_task->story, err) ||
        take_timeline(internals, "source_timeline", &ret_task->source.timeline, err) ||
        take_timeline(internals, "destination_timeline", &ret_task->destination.timeline, err))
        return -1;
    if (json_object_has_member(internals, "source_status")) {
        JsonObject *status = json_object_get_object_member(internals, "source_status");
        if (move_status_from_json(status, &ret_task->source.status, err))
            return -1;
        ret_task->source.is_known = true;
    }
    return 0;
}
