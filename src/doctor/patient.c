/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor/patient.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/config.h"
#include "agent/local_call.h"
#include "base/cleanup.h"
#include "doctor/process.h"

struct err *report_line(struct report *report, enum diagnosis_verdict verdict, const char *format, ...)
{
    struct diagnosis line = {.verdict = verdict};
    va_list args;
    (void)g_strlcpy(line.what, report->what, sizeof line.what);
    (void)g_strlcpy(line.err.id, report->id, sizeof line.err.id);
    va_start(args, format);
    (void)vsnprintf(line.err.message, sizeof line.err.message, format, args);
    va_end(args);
    return diagnoses_add(report->lines, &line);
}

void report_absent(struct report *report, const char *message, const char *why)
{
    (void)err_cause(report_line(report, DIAGNOSIS_NOT_HERE, "%s", message), "%s", why);
}

/* Who holds the lock on that file, by the kernel's list: "7: FLOCK  ADVISORY  WRITE 812 08:01:262180 0 EOF".
 */
static pid_t find_locker(const char *path)
{
    struct stat its;
    char line[256], wanted[64];
    auto_file file = fopen("/proc/locks", "re");
    if (!file || stat(path, &its) < 0)
        return 0;
    (void)snprintf(wanted, sizeof wanted, "%02x:%02x:%llu", major(its.st_dev), minor(its.st_dev),
                   (unsigned long long)its.st_ino);
    while (fgets(line, sizeof line, file)) {
        int pid;
        char place[64];
        if (sscanf(line, "%*s FLOCK ADVISORY WRITE %d %63s", &pid, place) == 2 && !strcmp(place, wanted))
            return pid > 0 ? pid : 0;
    }
    return 0;
}

static bool is_there(const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    return access(path, F_OK) == 0;
}

static void look_for_agent(struct patient *patient)
{
    const struct agent_config *config = &patient->agent_config;
    g_autofree char *lock = g_build_filename(config->state_dir, "agent.lock", NULL);
    g_autofree char *socket = g_build_filename(config->run_dir, LOCAL_SOCKET, NULL);
    patient->agent_pid = find_locker(lock);
    /* Some file systems have other device numbers in that list. */
    if (!patient->agent_pid)
        patient->agent_pid = process_listening_at(socket);
    patient->is_host = patient->agent_pid || is_there(config->state_dir, "tls/identity.json");
}

void patient_open(struct patient *patient, const struct doctor_wish *wish)
{
    patient->wish = wish;
    patient->has_agent_config =
        config_read(wish->agent_config, &patient->agent_config, &patient->agent_config_err) == 0;
    patient->has_manager_config = manager_config_read(wish->manager_config, &patient->manager_config,
                                                      &patient->manager_config_err) == 0;
    if (patient->has_agent_config)
        look_for_agent(patient);
    if (patient->has_manager_config)
        patient->is_manager = is_there(patient->manager_config.state_dir, "manager.db");
}

void patient_close(struct patient *patient)
{
    manager_config_clear(&patient->manager_config);
}
