/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine and the agent need of the kernel. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/cgroup.h"
#include "base/cleanup.h"
#include "doctor/limited.h"
#include "doctor/patient.h"
#include "model/move.h"

#define PROBE_MS 10000

/* The engine's own word: it tries each way on a page of its own. */
static int probe(const struct patient *patient, JsonObject **ret_answer, struct err *err)
{
    g_autofree char *program = g_build_filename(patient->agent_config.libexec_dir, "godwit-job", NULL);
    const char *const argv[] = {program, "--probe", NULL};
    g_autofree char *output = NULL;
    if (limited_run(argv, PROBE_MS, &output, err) < 0)
        return -1;
    g_strchomp(output);
    const char *line = strrchr(output, '\n');
    return model_parse(line ? line + 1 : output, -1, ret_answer, err);
}

static const char *release(struct utsname *kernel)
{
    return uname(kernel) == 0 ? kernel->release : "?";
}

void check_kernel(const struct patient *patient, struct report *report)
{
    struct utsname kernel;
    struct err err = {0};
    g_autoptr(JsonObject) answer = NULL;
    if (!patient->has_agent_config) {
        report_absent(report, release(&kernel), "without the agent's configuration godwit-job is not found");
        return;
    }
    if (probe(patient, &answer, &err) < 0) {
        struct err *line =
            report_line(report, DIAGNOSIS_PROBLEM, "what Linux %s can do is not known", release(&kernel));
        (void)err_cause(line, "%.200s %.100s", err.message, err.cause);
        (void)err_fix(line, "install Godwit's programs again; libexec= in the agent's configuration says "
                            "where they are");
        return;
    }
    const char *source = model_text(answer, "dirty_source");
    bool is_best = !strcmp(source, "async"), is_none = !strcmp(source, "none");
    struct err *line = report_line(report,
                                   is_best   ? DIAGNOSIS_OK
                                   : is_none ? DIAGNOSIS_PROBLEM
                                             : DIAGNOSIS_WARNING,
                                   is_best   ? "Linux %s tracks the writes of guests without disturbing them"
                                   : is_none ? "Linux %s cannot track the writes of guests: no VM can leave"
                                             : "Linux %s tracks the writes of guests in the way that holds "
                                               "them up at the first write to each page",
                                   release(&kernel));
    (void)err_arg(line, "kernel", "%s", release(&kernel));
    (void)err_arg(line, "dirty_source", "%s", source);
    if (is_best)
        return;
    (void)err_cause(line, "%s", model_text(answer, "detail"));
    (void)err_fix(line, "use Linux 6.7 or later (userfaultfd write protection with PAGEMAP_SCAN)");
}

void check_userfaultfd(const struct patient *patient, struct report *report)
{
    (void)patient;
    auto_fd fd = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
        (void)report_line(report, DIAGNOSIS_OK, "/dev/userfaultfd can be opened");
        return;
    }
    int errnum = errno;
    struct err *line =
        report_line(report, DIAGNOSIS_PROBLEM,
                    "/dev/userfaultfd cannot be opened: VMs run here and cannot be moved away");
    (void)err_cause(line, "%s", g_strerror(errnum));
    (void)err_fix(line, "use Linux 6.1 or later with CONFIG_USERFAULTFD; in a container, pass the device on");
}

void check_tun(const struct patient *patient, struct report *report)
{
    auto_fd fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0) {
        (void)report_line(report, DIAGNOSIS_OK, "/dev/net/tun can be opened");
        return;
    }
    int errnum = errno;
    bool is_needed = patient->agent_config.n_networks;
    struct err *line = report_line(report, is_needed ? DIAGNOSIS_PROBLEM : DIAGNOSIS_WARNING,
                                   "/dev/net/tun cannot be opened: VMs can have no network here");
    (void)err_cause(line, "%s", g_strerror(errnum));
    (void)err_fix(line, "load the kernel module 'tun': modprobe tun; in a container, pass the device on");
}

void check_cgroups(const struct patient *patient, struct report *report)
{
    const char *name = patient->agent_config.cgroup;
    g_autofree char *mount = NULL;
    if (patient->has_agent_config && !*name) {
        report_absent(report, "VMs are in no control group", "cgroup= in the agent's configuration is empty");
        return;
    }
    const char *version = cgroup_find_cpu(&mount);
    if (!strcmp(version, "none")) {
        struct err *line =
            report_line(report, DIAGNOSIS_WARNING,
                        "CPU limits and shares of resource pools are counted, and not enforced");
        (void)err_cause(line, "no hierarchy of control groups with a cpu controller is mounted");
        (void)err_fix(line, "mount cgroup2 at /sys/fs/cgroup (systemd does)");
        return;
    }
    if (access(mount, W_OK) < 0) {
        int errnum = errno;
        struct err *line = report_line(report, DIAGNOSIS_WARNING, "%s cannot be written", mount);
        (void)err_cause(line, "%s", g_strerror(errnum));
        (void)err_fix(line, "in a container, mount the control groups writable; or cgroup= without a value");
        return;
    }
    struct err *line = report_line(report, DIAGNOSIS_OK, "%s has the cpu controller (%s)", mount, version);
    (void)err_arg(line, "version", "%s", version);
}
