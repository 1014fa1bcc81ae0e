/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor/process.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/vm_process.h"
#include "base/cleanup.h"
#include "doctor/files.h"
#include "doctor/limited.h"

#define SYSTEMD_MS 5000

char process_state(pid_t pid)
{
    g_autofree char *stat = files_text("/proc/%d/stat", pid);
    /* The name before it may hold anything but ends with the last bracket. */
    const char *bracket = stat ? strrchr(stat, ')') : NULL;
    return bracket && bracket[1] == ' ' ? bracket[2] : '\0';
}

/* The kernel counts ticks since the boot; "btime" is when that was. */
int64_t process_started_s(pid_t pid)
{
    g_autofree char *machine = files_text("/proc/stat");
    const char *boot = machine ? strstr(machine, "\nbtime ") : NULL;
    uint64_t ticks = process_start_time(pid);
    if (!ticks || !boot)
        return 0;
    return g_ascii_strtoll(boot + strlen("\nbtime "), NULL, 10) + (int64_t)ticks / sysconf(_SC_CLK_TCK);
}

bool process_is_of_unit(pid_t pid, const char *unit)
{
    g_autofree char *groups = files_text("/proc/%d/cgroup", pid);
    return groups && strstr(groups, unit);
}

static char *property(const char *output, const char *name)
{
    const char *at = strstr(output, name);
    return at ? g_strndup(at + strlen(name), strcspn(at + strlen(name), "\n")) : g_strdup("");
}

char *process_unit_state(const char *unit)
{
    const char *const argv[] = {"systemctl", "show", "-p", "LoadState,ActiveState,SubState,Result",
                                unit,        NULL};
    g_autofree char *output = NULL;
    if (limited_run(argv, SYSTEMD_MS, &output, NULL) < 0)
        return NULL;
    g_autofree char *load = property(output, "LoadState=");
    g_autofree char *active = property(output, "ActiveState=");
    g_autofree char *sub = property(output, "SubState=");
    g_autofree char *result = property(output, "Result=");
    if (strcmp(load, "loaded") != 0)
        return NULL;
    bool is_well = !*result || !strcmp(result, "success");
    return g_strdup_printf("%s (%s%s%s)", active, sub, is_well ? "" : ", ", is_well ? "" : result);
}

pid_t process_listening_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct ucred peer = {0};
    socklen_t size = sizeof peer;
    auto_fd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || g_strlcpy(address.sun_path, path, sizeof address.sun_path) >= sizeof address.sun_path ||
        connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return 0;
    return peer.pid;
}
