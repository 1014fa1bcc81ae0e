/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/stat.h>
#include <unistd.h>

#include "doctor/patient.h"
#include "doctor/process.h"

/* The kernel tells the start of a process by its ticks since the boot. */
#define CLOCK_ROUGH_S 2

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

/* What it has not read yet is in force for nobody. */
static bool is_newer_than_agent(const struct patient *patient)
{
    struct stat file;
    int64_t started_s = patient->agent_pid ? process_started_s(patient->agent_pid) : 0;
    return started_s && stat(patient->wish->agent_config, &file) == 0 &&
           file.st_mtime > started_s + CLOCK_ROUGH_S;
}

void check_agent_config(const struct patient *patient, struct report *report)
{
    if (patient->has_agent_config && is_newer_than_agent(patient)) {
        struct err *line =
            report_line(report, DIAGNOSIS_WARNING, "%s is right, and newer than the agent that runs",
                        patient->wish->agent_config);
        (void)err_cause(line,
                        "it was changed after the agent (pid %d) was started, which has what was in it then",
                        patient->agent_pid);
        (void)err_fix(line, "systemctl restart godwit-agent: VMs run on");
        (void)err_arg(line, "file", "%s", patient->wish->agent_config);
        (void)err_arg(line, "pid", "%d", patient->agent_pid);
        return;
    }
    judge(report, patient->wish->agent_config, patient->has_agent_config, &patient->agent_config_err);
}

void check_manager_config(const struct patient *patient, struct report *report)
{
    judge(report, patient->wish->manager_config, patient->has_manager_config, &patient->manager_config_err);
}
