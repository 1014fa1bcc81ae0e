/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of the kernel, and of the agent that runs. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "doctor/files.h"
#include "doctor/patient.h"

#define MAP_COUNT_DEFAULT 65530 /* the kernel's own */
#define DESCRIPTORS_MIN 4096    /* some for each VM, and each connection of a move */
#define FULL_PERCENT 80

void check_map_count(const struct patient *patient, struct report *report)
{
    (void)patient;
    uint64_t count = files_number("/proc/sys/vm/max_map_count", 0);
    if (!count) {
        report_absent(report, "vm.max_map_count is not known", "/proc/sys/vm cannot be read");
        return;
    }
    if (count >= MAP_COUNT_DEFAULT) {
        (void)report_line(report, DIAGNOSIS_OK, "vm.max_map_count is %" PRIu64, count);
        return;
    }
    struct err *line = report_line(report, DIAGNOSIS_WARNING,
                                   "vm.max_map_count is %" PRIu64 ", less than the kernel's default", count);
    (void)err_cause(line, "a large VM's QEMU may run out of memory maps, and end");
    (void)err_fix(line, "sysctl -w vm.max_map_count=%d, and the same in /etc/sysctl.d", MAP_COUNT_DEFAULT);
    (void)err_arg(line, "max_map_count", "%" PRIu64, count);
}

/* The soft limit in a line of /proc/PID/limits; false: it is not there, or unlimited. */
static bool find_limit(const char *limits, const char *name, uint64_t *ret_limit)
{
    const char *at = strstr(limits, name);
    return at && sscanf(at + strlen(name), "%" SCNu64, ret_limit) == 1;
}

/* How many entries /proc/PID/NAME has: descriptors, threads. */
static uint64_t count_entries(pid_t pid, const char *name)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/%s", pid, name);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    uint64_t n = 0;
    while (dir && g_dir_read_name(dir))
        n++;
    return n;
}

void check_agent_limits(const struct patient *patient, struct report *report)
{
    uint64_t most = UINT64_MAX, locked = 0;
    g_autofree char *limits = patient->agent_pid ? files_text("/proc/%d/limits", patient->agent_pid) : NULL;
    if (!limits) {
        report_absent(report, "not looked at", "no agent runs here");
        return;
    }
    uint64_t n_open = count_entries(patient->agent_pid, "fd");
    uint64_t n_threads = count_entries(patient->agent_pid, "task");
    bool is_limited = find_limit(limits, "Max open files", &most);
    bool is_little = is_limited && (most < DESCRIPTORS_MIN || n_open * 100 > most * FULL_PERCENT);
    struct err *line =
        report_line(report, is_little ? DIAGNOSIS_WARNING : DIAGNOSIS_OK,
                    "the agent has %" PRIu64 " of %" PRIu64 " descriptors open, and %" PRIu64 " threads",
                    n_open, is_limited ? most : n_open, n_threads);
    (void)err_arg(line, "descriptors", "%" PRIu64, n_open);
    (void)err_arg(line, "limit", "%" PRIu64, most);
    (void)err_arg(line, "threads", "%" PRIu64, n_threads);
    /* godwit-launch gives its children what they need of locked memory, whatever this is. */
    if (find_limit(limits, "Max locked memory", &locked))
        (void)err_arg(line, "locked_bytes_limit", "%" PRIu64, locked);
    if (!is_little)
        return;
    (void)err_cause(line, "many VMs and moves need more");
    (void)err_fix(line, "LimitNOFILE=65536 in its unit (Godwit's own has it), then systemctl daemon-reload "
                        "and systemctl restart godwit-agent: VMs run on");
}

/* What exists of threads on the machine: "0.10 0.08 0.05 1/312 4711". */
static uint64_t count_threads(void)
{
    uint64_t n_threads = 0;
    g_autofree char *load = files_text("/proc/loadavg");
    const char *slash = load ? strchr(load, '/') : NULL;
    return slash && sscanf(slash + 1, "%" SCNu64, &n_threads) == 1 ? n_threads : 0;
}

void check_threads(const struct patient *patient, struct report *report)
{
    (void)patient;
    uint64_t most = files_number("/proc/sys/kernel/threads-max", UINT64_MAX);
    uint64_t most_pids = files_number("/proc/sys/kernel/pid_max", UINT64_MAX);
    uint64_t limit = MIN(most, most_pids), n_threads = count_threads();
    bool is_full = n_threads * 100 > limit * FULL_PERCENT;
    struct err *line = report_line(report, is_full ? DIAGNOSIS_WARNING : DIAGNOSIS_OK,
                                   "%" PRIu64 " of at most %" PRIu64 " threads exist", n_threads, limit);
    (void)err_arg(line, "threads", "%" PRIu64, n_threads);
    (void)err_arg(line, "limit", "%" PRIu64, limit);
    if (!is_full)
        return;
    (void)err_cause(line, "at the limit no VM starts and no move begins");
    (void)err_fix(line, "find who has them (ps -eLf), or raise kernel.threads-max and kernel.pid_max");
}
