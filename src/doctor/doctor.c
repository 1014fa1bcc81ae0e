/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor/doctor.h"

#include <stdio.h>

#include "doctor/patient.h"

enum place { EVERYWHERE, ON_HOSTS, AT_MANAGER };

/* Everything that is looked at, in the order in which it is said. */
static const struct check {
    const char *id;
    const char *what;
    enum place place;
    check_function look;
} checks[] = {
    {"agent-config", "agent's configuration", ON_HOSTS, check_agent_config},
    {"manager-config", "manager's configuration", AT_MANAGER, check_manager_config},
    {"kernel", "kernel", ON_HOSTS, check_kernel},
    {"userfaultfd", "access to userfaultfd", ON_HOSTS, check_userfaultfd},
    {"kvm", "KVM", ON_HOSTS, check_kvm},
    {"qemu", "QEMU", ON_HOSTS, check_qemu},
    {"tun", "TUN", ON_HOSTS, check_tun},
    {"cgroups", "control groups", ON_HOSTS, check_cgroups},
    {"map-count", "limit of memory maps", ON_HOSTS, check_map_count},
    {"agent", "agent", ON_HOSTS, check_agent},
    {"agent-limits", "limits of the agent", ON_HOSTS, check_agent_limits},
    {"threads", "limit of threads", EVERYWHERE, check_threads},
    {"enrolment", "certificate and manager of this host", ON_HOSTS, check_enrolment},
    {"manager", "manager", AT_MANAGER, check_manager},
    {"ports", "ports", EVERYWHERE, check_ports},
    {"firewall", "firewall", EVERYWHERE, check_firewall},
    {"addresses", "addresses", ON_HOSTS, check_addresses_here},
    {"address-duplicate", "duplicate addresses", ON_HOSTS, check_duplicates},
    {"bridges", "bridges of the networks", ON_HOSTS, check_bridges},
    {"folders", "space for state and logs", EVERYWHERE, check_folders},
    {"datastores", "datastores", ON_HOSTS, check_datastores},
    {"iscsi", "iSCSI", ON_HOSTS, check_iscsi},
    {"multipath", "multipath", ON_HOSTS, check_multipath},
    {"clock", "clock", EVERYWHERE, check_clock},
    {"names", "name resolution", EVERYWHERE, check_names},
    {"pressure", "CPU, memory and disks under pressure", EVERYWHERE, check_pressure},
    {"swap", "swap", EVERYWHERE, check_swap},
    {"oom", "out of memory", EVERYWHERE, check_oom},
};

/* A machine that is neither could become a host. */
static bool belongs(const struct patient *patient, enum place place)
{
    if (place == ON_HOSTS)
        return patient->is_host || !patient->is_manager;
    return place == EVERYWHERE || patient->is_manager;
}

static void examine(const struct patient *patient, const struct check *check, struct diagnoses *lines)
{
    struct report report = {lines, check->id, check->what};
    if (belongs(patient, check->place))
        check->look(patient, &report);
    else if (check->place == ON_HOSTS)
        report_absent(&report, "not looked at", "this machine is a manager, and no host");
    else
        report_absent(&report, "not looked at", "this machine is no manager");
}

void doctor_examine(const struct doctor_wish *wish, struct diagnoses *ret_lines)
{
    struct patient *patient = g_new0(struct patient, 1);
    patient_open(patient, wish);
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        examine(patient, &checks[i], ret_lines);
    patient_close(patient);
    g_free(patient);
}
