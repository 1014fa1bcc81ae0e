/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <sys/timex.h>

#include "doctor/patient.h"
#include "http/http.h"

#define ANSWER_S 10
#define OFFSET_MAX_MS 1000

static void look_at_kernel(struct report *report)
{
    struct timex clock = {0};
    int state = adjtimex(&clock);
    if (state >= 0 && state != TIME_ERROR && !(clock.status & STA_UNSYNC)) {
        (void)report_line(report, DIAGNOSIS_OK, "the clock is synchronised, to within %ld ms",
                          clock.maxerror / 1000);
        return;
    }
    struct err *line = report_line(report, DIAGNOSIS_WARNING, "nobody keeps this machine's clock right");
    (void)err_cause(line,
                    "the kernel was told of no time server; certificates are checked against this clock");
    (void)err_fix(line, "apt-get install systemd-timesyncd (or chrony), then timedatectl set-ntp true");
}

/* As the manager measures it with each answer of the agent. */
static void look_at_offset(const struct patient *patient, struct report *report)
{
    g_autofree char *path = g_strdup_printf("/v1/hosts/%s", patient->agent_config.name);
    g_autoptr(JsonObject) host = NULL;
    struct err err = {0};
    if (!patient->wish->manager) {
        report_absent(report, "the offset to the manager's clock is not known",
                      patient->wish->manager_err.message);
        return;
    }
    if (http_client_call_sync(patient->wish->manager, &(struct http_call){"GET", path, NULL, ANSWER_S}, &host,
                              &err) < 0) {
        report_absent(report, "the offset to the manager's clock is not known", err.message);
        return;
    }
    JsonNode *node = json_object_get_member(host, "clock_offset_ms");
    if (!node || !JSON_NODE_HOLDS_VALUE(node)) {
        report_absent(report, "the offset to the manager's clock is not known",
                      "the manager has not measured it yet");
        return;
    }
    int64_t offset_ms = json_node_get_int(node);
    bool is_wrong = llabs(offset_ms) > OFFSET_MAX_MS;
    struct err *line = offset_ms ? report_line(report, is_wrong ? DIAGNOSIS_WARNING : DIAGNOSIS_OK,
                                               "this clock is %lld ms %s the manager's", llabs(offset_ms),
                                               offset_ms < 0 ? "behind" : "ahead of")
                                 : report_line(report, DIAGNOSIS_OK, "this clock agrees with the manager's");
    (void)err_arg(line, "offset_ms", "%" PRId64, offset_ms);
    if (!is_wrong)
        return;
    (void)err_cause(line, "one of the two is wrong");
    (void)err_fix(line, "on both: timedatectl; set the wrong one, and let a time server keep it");
}

void check_clock(const struct patient *patient, struct report *report)
{
    look_at_kernel(report);
    if (patient->is_host)
        look_at_offset(patient, report);
}
