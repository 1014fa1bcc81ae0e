/* SPDX-License-Identifier: Apache-2.0 */
/* What the operator of a migration should know that did not forbid it. */
#include "manager/task.h"

#include <string.h>

/* More of its time than this, and the task says so. */
#define STUN_WARNING_PERCENT 10

static struct err *begin(struct findings *found)
{
    *found = (struct findings){0};
    return findings_add(found, FINDING_WARNING);
}

static void end(JsonArray *warnings, const struct findings *found)
{
    g_autoptr(JsonArray) array = findings_to_json(found);
    json_array_add_element(warnings, json_array_dup_element(array, 0));
}

static void warn_of_image(JsonArray *warnings, const struct move_status *status, const char *host,
                          const char *side)
{
    if (!status->image_left[0])
        return;
    g_autofree struct findings *found = g_new(struct findings, 1);
    struct err *err = begin(found);
    (void)err_set(err, ERR_REFUSED, "image-not-removed",
                  "host '%s' could not remove the image %s, which nobody needs any more", host,
                  status->image_left);
    (void)err_cause(err, "the agent's log says why");
    (void)err_fix(err, "remove it by hand; the next start of the agent tries it again");
    (void)err_arg(err, "host", "%s", host);
    (void)err_arg(err, "path", "%s", status->image_left);
    err_place(err, move_phase_name(PHASE_COMPLETE), side);
    end(warnings, found);
}

/* What the move has cost the guest, if that is more than anybody would expect. */
static void warn_of_stuns(JsonArray *warnings, const struct move_status *status)
{
    double percent = status->copy_ns && status->n_vcpus
                         ? 100.0 * (double)status->stun_ns / (double)status->copy_ns / status->n_vcpus
                         : 0;
    if (percent <= STUN_WARNING_PERCENT)
        return;
    g_autofree struct findings *found = g_new(struct findings, 1);
    struct err *err = begin(found);
    (void)err_set(err, ERR_REFUSED, "guest-stunned",
                  "the guest was held up for %.0f %% of the time of the copy, because it wrote memory faster "
                  "than it could be sent",
                  MIN(percent, 100));
    (void)err_fix(err,
                  "give the migration network more bandwidth, allow a longer downtime, move the VM when it "
                  "is less busy, or set a stun limit");
    (void)err_arg(err, "percent", "%.0f", MIN(percent, 100));
    err_place(err, move_phase_name(PHASE_COPY), "source");
    end(warnings, found);
}

static bool has_warning(const struct task *task, JsonObject *warning)
{
    for (guint i = 0; i < json_array_get_length(task->warnings); i++) {
        JsonObject *known = json_array_get_object_element(task->warnings, i);
        if (!strcmp(model_text(known, "id"), model_text(warning, "id")) &&
            !strcmp(model_text(known, "side"), model_text(warning, "side")))
            return true;
    }
    return false;
}

/* A check may be made again. */
void task_keep_warnings(struct task *task, const struct findings *findings)
{
    g_autoptr(JsonArray) array = findings_to_json(findings);
    if (!task->warnings)
        task->warnings = json_array_new();
    for (unsigned i = 0; i < findings->n; i++)
        if (findings->list[i].severity == FINDING_WARNING &&
            !has_warning(task, json_array_get_object_element(array, i)))
            json_array_add_element(task->warnings, json_array_dup_element(array, i));
}

JsonArray *task_warnings_to_json(const struct task *task, const struct move_status *status)
{
    JsonArray *warnings = json_array_new();
    for (guint i = 0; task->warnings && i < json_array_get_length(task->warnings); i++)
        json_array_add_element(warnings, json_array_dup_element(task->warnings, i));
    warn_of_stuns(warnings, status);
    warn_of_image(warnings, &task->source.status, task->source_host, "source");
    warn_of_image(warnings, &task->destination.status, task->destination_host, "destination");
    return warnings;
}
