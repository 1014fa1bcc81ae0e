/* SPDX-License-Identifier: Apache-2.0 */
/* Disks over the network, as the kernel shows them. */
#include <string.h>

#include "doctor/files.h"
#include "doctor/patient.h"

#define SESSIONS "/sys/class/iscsi_session"
#define BLOCKS "/sys/block"

void check_iscsi(const struct patient *patient, struct report *report)
{
    (void)patient;
    g_autoptr(GDir) dir = g_dir_open(SESSIONS, 0, NULL);
    const char *name;
    bool is_any = false;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *state = files_text(SESSIONS "/%s/state", name);
        g_autofree char *target = files_text(SESSIONS "/%s/targetname", name);
        bool is_well = state && !strcmp(state, "LOGGED_IN");
        struct err *line = report_line(report, is_well ? DIAGNOSIS_OK : DIAGNOSIS_PROBLEM, "iSCSI %s: %s",
                                       name, state ? state : "gone");
        (void)err_arg(line, "target", "%s", target ? target : "");
        is_any = true;
        if (is_well)
            continue;
        (void)err_cause(line, "the session to %s broke: its disks do not answer",
                        target ? target : "its target");
        (void)err_fix(line,
                      "see that the target can be reached; iscsiadm -m session -P 1, iscsiadm -m session -R");
    }
    if (!is_any)
        report_absent(report, "no session", "this machine has no iSCSI disks");
}

/* Its paths, and how many of them work. */
static void count_paths(const char *device, unsigned *ret_n, unsigned *ret_n_good)
{
    g_autofree char *slaves = g_strdup_printf(BLOCKS "/%s/slaves", device);
    g_autoptr(GDir) dir = g_dir_open(slaves, 0, NULL);
    const char *name;
    *ret_n = *ret_n_good = 0;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *state = files_text("%s/%s/device/state", slaves, name);
        (*ret_n)++;
        *ret_n_good += !state || !strcmp(state, "running") || !strcmp(state, "live");
    }
}

static void look_at_multipath(struct report *report, const char *device)
{
    g_autofree char *name = files_text(BLOCKS "/%s/dm/name", device);
    unsigned n, n_good;
    count_paths(device, &n, &n_good);
    struct err *line = report_line(report,
                                   n_good == n && n ? DIAGNOSIS_OK
                                   : n_good         ? DIAGNOSIS_WARNING
                                                    : DIAGNOSIS_PROBLEM,
                                   "multipath %s: %u of %u paths work", name ? name : device, n_good, n);
    (void)err_arg(line, "device", "%s", device);
    if (n_good == n && n)
        return;
    (void)err_cause(line, "%s",
                    n_good ? "a cable, a switch or a controller of the storage is down"
                           : "no path to the storage is left: what reads or writes it waits");
    (void)err_fix(line, "multipath -ll says which path; look at its adapter, switch and controller");
}

void check_multipath(const struct patient *patient, struct report *report)
{
    (void)patient;
    g_autoptr(GDir) dir = g_dir_open(BLOCKS, 0, NULL);
    const char *name;
    bool is_any = false;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *uuid = files_text(BLOCKS "/%s/dm/uuid", name);
        if (!uuid || !g_str_has_prefix(uuid, "mpath-"))
            continue;
        look_at_multipath(report, name);
        is_any = true;
    }
    if (!is_any)
        report_absent(report, "no device", "this machine has no multipath devices");
}
