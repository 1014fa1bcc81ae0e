/* SPDX-License-Identifier: Apache-2.0 */
/* What the checks share: the machine as its configuration files describe it, and the report they write to.
 * Internal to this folder. */
#ifndef DOCTOR_PATIENT_H
#define DOCTOR_PATIENT_H

#include <sys/types.h>

#include "agent/agent.h"
#include "doctor/doctor.h"
#include "manager/manager.h"

struct patient {
    const struct doctor_wish *wish;
    bool has_agent_config; /* there and right: agent_config may be used */
    struct err agent_config_err;
    struct agent_config agent_config;
    bool has_manager_config;
    struct err manager_config_err;
    struct manager_config manager_config;
    bool is_host;    /* enrolled, or its agent runs */
    bool is_manager; /* has a manager's database */
    pid_t agent_pid; /* who holds the lock on the agent's state, or its socket; 0: nobody */
};

/* The lines of one check. */
struct report {
    struct diagnoses *lines;
    const char *id, *what;
};

/* One line; the caller adds cause, cure and arguments. */
struct err *report_line(struct report *report, enum diagnosis_verdict verdict, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* DIAGNOSIS_NOT_HERE, with the reason as the cause. */
void report_absent(struct report *report, const char *message, const char *why);

void patient_open(struct patient *patient, const struct doctor_wish *wish);
void patient_close(struct patient *patient);

/* The checks, by file. */
typedef void (*check_function)(const struct patient *patient, struct report *report);
/* configs.c */
void check_agent_config(const struct patient *patient, struct report *report);
void check_manager_config(const struct patient *patient, struct report *report);
/* kernel.c */
void check_kernel(const struct patient *patient, struct report *report);
void check_userfaultfd(const struct patient *patient, struct report *report);
void check_tun(const struct patient *patient, struct report *report);
void check_cgroups(const struct patient *patient, struct report *report);
/* programs.c */
void check_kvm(const struct patient *patient, struct report *report);
void check_qemu(const struct patient *patient, struct report *report);
/* limits.c */
void check_map_count(const struct patient *patient, struct report *report);
void check_agent_limits(const struct patient *patient, struct report *report);
void check_threads(const struct patient *patient, struct report *report);
/* daemons.c */
void check_agent(const struct patient *patient, struct report *report);
void check_manager(const struct patient *patient, struct report *report);
void check_enrolment(const struct patient *patient, struct report *report);
/* ports.c */
void check_ports(const struct patient *patient, struct report *report);
/* firewall_check.c */
void check_firewall(const struct patient *patient, struct report *report);
/* addresses.c */
void check_addresses_here(const struct patient *patient, struct report *report);
void check_duplicates(const struct patient *patient, struct report *report);
void check_bridges(const struct patient *patient, struct report *report);
/* disks.c */
void check_folders(const struct patient *patient, struct report *report);
void check_datastores(const struct patient *patient, struct report *report);
/* clock.c */
void check_clock(const struct patient *patient, struct report *report);
/* names.c */
void check_names(const struct patient *patient, struct report *report);
/* starvation.c */
void check_pressure(const struct patient *patient, struct report *report);
void check_swap(const struct patient *patient, struct report *report);
void check_oom(const struct patient *patient, struct report *report);
/* storage.c */
void check_iscsi(const struct patient *patient, struct report *report);
void check_multipath(const struct patient *patient, struct report *report);

#endif
