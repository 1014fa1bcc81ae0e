/* SPDX-License-Identifier: Apache-2.0 */
#include "model/fields.h"
#include "model/move.h"
#include "model/move_fields.h"

static const char *const state_names[] = {
    [MOVE_PREPARED] = "prepared", [MOVE_COPYING] = "copying", [MOVE_SWITCHING] = "switching",
    [MOVE_GIVEN] = "given",       [MOVE_DONE] = "done",       [MOVE_FAILED] = "failed",
};

static const char *const verdict_names[] = {
    [VERDICT_NONE] = "none",
    [VERDICT_RUNNING] = "running",
    [VERDICT_ABORTED] = "aborted",
    [VERDICT_RETURNED] = "returned",
};

static const struct field round_fields[] = {
    COUNT(struct move_round, n),
    COUNT(struct move_round, pages),
    COUNT(struct move_round, bytes),
    COUNT(struct move_round, duration_ns),
    COUNT(struct move_round, dirty_pages),
    COUNT(struct move_round, stun_ns),
    COUNT(struct move_round, throttle_bytes_s),
    FIELDS_END,
};

static const struct field stuns_fields[] = {
    COUNT(struct move_stuns, up_to_us),
    COUNT(struct move_stuns, count),
    FIELDS_END,
};

static const struct field vcpu_stun_fields[] = {
    COUNT(struct move_vcpu_stun, stun_ns),
    FIELDS_END,
};

static const struct field step_fields[] = {
    TEXT(struct move_step, step, NULL),
    COUNT(struct move_step, us),
    FIELDS_END,
};

static const struct field codec_fields[] = {
    TEXT(struct move_codec, name, NULL),
    COUNT(struct move_codec, pages),
    COUNT(struct move_codec, raw_bytes),
    COUNT(struct move_codec, wire_bytes),
    FIELDS_END,
};

static const struct field disk_copy_fields[] = {
    TEXT(struct move_disk_copy, label, NULL),
    COUNT(struct move_disk_copy, bytes_done),
    COUNT(struct move_disk_copy, bytes_total),
    BOOL(struct move_disk_copy, ready),
    FIELDS_END,
};

static const struct field status_fields[] = {
    TEXT(struct move_status, id, NULL),
    BOOL(struct move_status, is_source),
    ENUM(struct move_status, state, state_names),
    COUNT(struct move_status, version),
    COUNT(struct move_status, ram_bytes),
    COUNT(struct move_status, bytes_on_wire),
    COUNT(struct move_status, job_memory_bytes),
    COUNT(struct move_status, bytes_left),
    COUNT(struct move_status, rate_bytes_s),
    COUNT(struct move_status, dirty_bytes_s),
    COUNT(struct move_status, pages_zero),
    COUNT(struct move_status, resumes),
    COUNT(struct move_status, bytes_resent),
    BOOL(struct move_status, is_down),
    COUNT(struct move_status, stun_ns),
    COUNT(struct move_status, copy_ns),
    COUNT(struct move_status, downtime_ns),
    SIGNED(struct move_status, copy_start_ms),
    SIGNED(struct move_status, switch_start_ms),
    SIGNED(struct move_status, end_ms),
    COUNT(struct move_status, throttle_bytes_s),
    LIST(struct move_status, rounds, round_fields),
    LIST(struct move_status, disks, disk_copy_fields),
    TEXT(struct move_status, image_left, NULL),
    LIST(struct move_status, codecs, codec_fields),
    LIST(struct move_status, switch_over, step_fields),
    LIST(struct move_status, stuns, stuns_fields),
    LIST(struct move_status, vcpu_stuns, vcpu_stun_fields),
    COUNT(struct move_status, n_vcpus),
    TEXT(struct move_status, dirty_source, NULL),
    TEXT(struct move_status, encryption, NULL),
    TEXT(struct move_status, encryption_cipher, NULL),
    BOOL(struct move_status, verified),
    ERROR_FIELD(struct move_status, error),
    HEX(struct move_status, commit, false),
    ENUM(struct move_status, verdict, verdict_names),
    HEX(struct move_status, verdict_secret, false),
    MOVE_EVENTS(struct move_status, timeline),
    FIELDS_END,
};

JsonObject *move_status_to_json(const struct move_status *status)
{
    return fields_write(status_fields, status);
}

int move_status_from_json(JsonObject *object, struct move_status *ret_status, struct err *err)
{
    *ret_status = (struct move_status){0};
    return fields_read(object, status_fields, ret_status, FIELDS_LENIENT, err);
}

const char *move_state_name(enum move_state state)
{
    return (unsigned)state < G_N_ELEMENTS(state_names) ? state_names[state] : "unknown";
}

const char *move_verdict_name(enum move_verdict verdict)
{
    return (unsigned)verdict < G_N_ELEMENTS(verdict_names) ? verdict_names[verdict] : "unknown";
}
