/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU, and what accelerates it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/kvm.h"
#include "doctor/limited.h"
#include "doctor/patient.h"
#include "qemu/caps.h"

#define QEMU_MS 20000

void check_kvm(const struct patient *patient, struct report *report)
{
    const struct agent_config *config = &patient->agent_config;
    bool is_needed = patient->has_agent_config && config->accel == VM_ACCEL_KVM;
    struct err err = {0};
    gid_t group;
    if (kvm_try(&config->qemu_user, &group, &err) == 0 && kvm_cpu_is_able()) {
        (void)report_line(report, DIAGNOSIS_OK, "/dev/kvm works for QEMU's user");
        return;
    }
    struct err *line = report_line(report, is_needed ? DIAGNOSIS_PROBLEM : DIAGNOSIS_WARNING,
                                   is_needed ? "no VM can run: KVM is set, and cannot be used"
                                             : "VMs run under TCG, slowly");
    if (err_is_set(&err))
        (void)err_cause(line, "%.200s: %.100s", err.message, err.cause);
    else
        (void)err_cause(line, "/dev/kvm works, but the CPU shows neither vmx nor svm");
    if (err.sys_errno == EACCES)
        (void)err_fix(line, "open it to its group, which QEMU gets: chmod 0660 /dev/kvm; udevadm trigger "
                            "brings Debian's rule back");
    else if (err.sys_errno == ENOENT)
        (void)err_fix(line, "modprobe kvm_intel or kvm_amd; in a container, pass the device on");
    else
        (void)err_fix(line, "switch virtualisation on in the firmware; if this machine is a VM, nested "
                            "virtualisation in its host");
}

static void say_unusable(const struct patient *patient, struct report *report, const struct err *err)
{
    const char *path = patient->agent_config.qemu_path;
    struct err *line = report_line(report, DIAGNOSIS_PROBLEM, "%s cannot be used", path);
    (void)err_cause(line, "%.200s %.100s", err->message, err->cause);
    (void)err_fix(line,
                  "install QEMU %d.%d or later (apt-get install qemu-system-x86), or set qemu= in the "
                  "agent's configuration",
                  CAPS_MAJOR_MIN, CAPS_MINOR_MIN);
    (void)err_arg(line, "path", "%s", path);
}

void check_qemu(const struct patient *patient, struct report *report)
{
    const char *path = patient->agent_config.qemu_path;
    const char *const argv[] = {path, "--version", NULL};
    g_autofree char *output = NULL;
    struct err err = {0};
    struct qemu_caps *caps = g_new0(struct qemu_caps, 1);
    if (!patient->has_agent_config) {
        report_absent(report, "not looked for",
                      "the agent's configuration, which says where it is, is wrong");
    } else if (limited_run(argv, QEMU_MS, &output, &err) < 0) {
        say_unusable(patient, report, &err);
    } else if (sscanf(output, "QEMU emulator version %d.%d.%d", &caps->major, &caps->minor, &caps->micro) <
               2) {
        (void)err_set(&err, ERR_REFUSED, "qemu-unusable", "it does not say which version it is");
        say_unusable(patient, report, &err);
    } else {
        (void)snprintf(caps->version, sizeof caps->version, "%d.%d.%d", caps->major, caps->minor,
                       caps->micro);
        if (caps_check_version(caps, &err) < 0) {
            say_unusable(patient, report, &err);
        } else {
            struct err *line = report_line(report, DIAGNOSIS_OK, "%s is version %s", path, caps->version);
            (void)err_arg(line, "version", "%s", caps->version);
        }
    }
    g_free(caps);
}
