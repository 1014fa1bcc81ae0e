/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the machine has enough of what its VMs need. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "doctor/files.h"
#include "doctor/patient.h"
#include "doctor/pressure.h"

#define SWAP_LITTLE_KIB (64u << 10)

static const struct resource {
    const char *file;
    const char *name;
    double most_some, most_full; /* percent of a minute */
    const char *fix;
} resources[] = {
    {"cpu", "the CPU", 60, 101, "move VMs to another host, or end what else runs here (top)"},
    {"memory", "memory", 10, 5, "move VMs to another host, or end what else holds memory (ps --sort=-rss)"},
    {"io", "disks", 60, 40, "see which disk is busy, and for whom: iostat -x 1, iotop"},
};

static void look(struct report *report, const struct resource *resource)
{
    struct pressure pressure;
    g_autofree char *text = files_text("/proc/pressure/%s", resource->file);
    if (!text || pressure_parse(text, &pressure) < 0) {
        g_autofree char *message = g_strdup_printf("who waits for %s is not known", resource->name);
        report_absent(report, message, "this kernel has no pressure information (psi=1 switches it on)");
        return;
    }
    bool is_high = pressure.some > resource->most_some || pressure.full > resource->most_full;
    struct err *line =
        report_line(report, is_high ? DIAGNOSIS_WARNING : DIAGNOSIS_OK,
                    "for %.0f %% of the last minute somebody waited for %s, for %.0f %% all did",
                    pressure.some, resource->name, pressure.full);
    (void)err_arg(line, "resource", "%s", resource->file);
    (void)err_arg(line, "some_percent", "%.1f", pressure.some);
    (void)err_arg(line, "full_percent", "%.1f", pressure.full);
    if (!is_high)
        return;
    (void)err_cause(line, "the machine has not enough of it for all that runs");
    (void)err_fix(line, "%s", resource->fix);
}

void check_pressure(const struct patient *patient, struct report *report)
{
    (void)patient;
    for (size_t i = 0; i < sizeof resources / sizeof *resources; i++)
        look(report, &resources[i]);
}

/* The number behind a name in a file of such pairs. */
static uint64_t find_number(const char *text, const char *name)
{
    const char *at = text ? strstr(text, name) : NULL;
    return at ? g_ascii_strtoull(at + strlen(name), NULL, 10) : 0;
}

void check_swap(const struct patient *patient, struct report *report)
{
    (void)patient;
    g_autofree char *text = files_text("/proc/meminfo");
    uint64_t all_kib = find_number(text, "SwapTotal:"), free_kib = find_number(text, "SwapFree:");
    uint64_t used_kib = all_kib > free_kib ? all_kib - free_kib : 0;
    if (!all_kib) {
        (void)report_line(report, DIAGNOSIS_OK, "there is no swap");
        return;
    }
    bool is_used = used_kib > SWAP_LITTLE_KIB;
    struct err *line =
        report_line(report, is_used ? DIAGNOSIS_WARNING : DIAGNOSIS_OK,
                    "%" PRIu64 " of %" PRIu64 " MiB of swap are used", used_kib >> 10, all_kib >> 10);
    (void)err_arg(line, "used_mib", "%" PRIu64, used_kib >> 10);
    if (!is_used)
        return;
    (void)err_cause(line,
                    "memory was short: a guest whose memory is swapped out stands while it comes back, and "
                    "its moves are slow");
    (void)err_fix(
        line, "move VMs to another host, then swapoff -a && swapon -a; memory_reserve_mib= keeps more for "
              "the host");
}

void check_oom(const struct patient *patient, struct report *report)
{
    (void)patient;
    g_autofree char *text = files_text("/proc/vmstat");
    if (!text || !strstr(text, "\noom_kill ")) {
        report_absent(report, "not counted", "this kernel does not count what it killed for lack of memory");
        return;
    }
    uint64_t n_killed = find_number(text, "\noom_kill ");
    if (!n_killed) {
        (void)report_line(report, DIAGNOSIS_OK, "nothing was killed for lack of memory since the boot");
        return;
    }
    struct err *line =
        report_line(report, DIAGNOSIS_WARNING,
                    "%" PRIu64 " processes were killed for lack of memory since the boot", n_killed);
    (void)err_cause(line, "memory, or that of a control group, was used up");
    (void)err_fix(
        line, "journalctl -k | grep -i 'killed process' says which; memory_reserve_mib= keeps more for the "
              "host");
    (void)err_arg(line, "killed", "%" PRIu64, n_killed);
}
