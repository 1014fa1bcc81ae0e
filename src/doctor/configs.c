/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>

#include "doctor/patient.h"

static void judge(struct report *report, const char *path, bool is_right, const struct err *why)
{
    if (is_right) {
        (void)err_arg(report_line(report, DIAGNOSIS_OK, "%s is right", path), "file", "%s", path);
        return;
    }
    struct err *line = report_line(report, DIAGNOSIS_PROBLEM, "%s", why->message);
    (void)err_cause(line, "%s", why->cause[0] ? why->cause : "the daemon refuses to start with it");
    (void)err_fix(line, "%s",
                  why->fix[0] ? why->fix : "correct the file, or name another one: --config FILE");
    (void)err_arg(line, "file", "%s", path);
}

void check_agent_config(const struct patient *patient, struct report *report)
{
    judge(report, patient->wish->agent_config, patient->has_agent_config, &patient->agent_config_err);
}

void check_manager_config(const struct patient *patient, struct report *report)
{
    judge(report, patient->wish->manager_config, patient->has_manager_config, &patient->manager_config_err);
}
