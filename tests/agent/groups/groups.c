/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs as process 1's child on a kernel with cgroup v2 (boot.sh): the agent's own code makes groups for a
 * process that does nothing but count. No QEMU: what the kernel does with a group does not depend on it.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/cgroup.h"
#include "agent/vm.h"
#include "base/log.h"

#define ROOT "/sys/fs/cgroup/vms-of-test"

static void check(bool is_so, const char *what)
{
    if (is_so)
        return;
    (void)printf("GROUPS failed: %s\n", what);
    (void)fflush(stdout);
    exit(EXIT_FAILURE);
}

static char *value_of(const char *group, const char *file)
{
    g_autofree char *path = g_strdup_printf(ROOT "/%s/%s", group, file);
    char *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, NULL))
        return g_strdup("(none)");
    return g_strstrip(text);
}

static void expect(const char *group, const char *file, const char *wanted)
{
    g_autofree char *value = value_of(group, file);
    g_autofree char *what = g_strdup_printf("%s/%s is '%s', not '%s'", group, file, value, wanted);
    check(!strcmp(value, wanted), what);
}

static uint64_t counter(const char *group, const char *name)
{
    g_autofree char *text = value_of(group, "cpu.stat");
    const char *at = strstr(text, name);
    check(at != NULL, name);
    return g_ascii_strtoull(at + strlen(name), NULL, 10);
}

static struct pool_spec pool(const char *path, uint32_t limit_percent)
{
    struct pool_spec spec;
    pool_spec_init(&spec);
    (void)g_strlcpy(spec.path, path, sizeof spec.path);
    spec.cpu_limit_percent = limit_percent;
    return spec;
}

static void set_pools(struct agent *agent, const struct pool_spec *pools, uint32_t n_pools)
{
    struct err err = {0};
    if (cgroup_set_pools(agent, pools, n_pools, &err) < 0)
        log_error(&err, "pools");
    check(!err_is_set(&err), "the pools were not set");
}

static pid_t spin(void)
{
    pid_t pid = fork();
    check(pid >= 0, "fork");
    if (pid == 0)
        for (volatile unsigned long i = 0;; i++)
            ;
    return pid;
}

/* By the kernel's own periods of 100 ms, however slow the machine is. */
static void measure(const char *group)
{
    uint64_t periods = counter(group, "nr_periods ");
    uint64_t used_us = counter(group, "usage_usec ");
    while (counter(group, "nr_periods ") < periods + 30)
        (void)usleep(50000);
    periods = counter(group, "nr_periods ") - periods;
    used_us = counter(group, "usage_usec ") - used_us;
    uint64_t allowed_us = (periods + 2) * 20000;
    (void)printf("GROUPS %llu us of CPU in %llu periods, %llu us allowed\n", (unsigned long long)used_us,
                 (unsigned long long)periods, (unsigned long long)allowed_us);
    check(used_us < allowed_us + allowed_us / 2, "the limit was exceeded");
    check(counter(group, "nr_throttled ") > 0, "the group was never held up");
}

int main(void)
{
    static struct agent agent;
    const struct pool_spec pools[] = {pool("prod", 20), pool("prod/db", 80)};
    log_init("groups");
    (void)g_strlcpy(agent.config.state_dir, "/tmp", sizeof agent.config.state_dir);
    (void)g_strlcpy(agent.config.cgroup, "vms-of-test", sizeof agent.config.cgroup);
    cgroup_open(&agent);
    (void)printf("GROUPS %s: %s\n", agent.facts.cgroups, agent.facts.cgroups_reason);
    check(!strcmp(agent.facts.cgroups, "v2"), "cgroup v2 was not found");
    set_pools(&agent, pools, 2);

    struct vm vm = {.agent = &agent, .status.spec.cpus = 2, .status.pid = (int)spin()};
    (void)g_strlcpy(vm.status.spec.uuid, "3f0c8a52-6b1d-4e7a-9c55-0d2f4b6a8c1e", sizeof vm.status.spec.uuid);
    (void)g_strlcpy(vm.status.spec.pool, "prod/db", sizeof vm.status.spec.pool);
    g_autofree char *group = g_strdup_printf("pool-prod/pool-db/vm-%s", vm.status.spec.uuid);
    g_autofree char *pid = g_strdup_printf("%d", vm.status.pid);
    cgroup_place(&vm);
    expect(group, "cgroup.procs", pid);
    expect(group, "cpu.weight", "50");
    expect("pool-prod", "cpu.max", "20000 100000");
    expect("pool-prod", "cpu.weight", "100");
    expect("pool-prod/pool-db", "cpu.max", "20000 100000");
    measure("pool-prod");

    set_pools(&agent, NULL, 0);
    expect("pool-prod", "cpu.max", "max 100000");
    vm.status.spec.pool[0] = '\0';
    cgroup_place(&vm);
    check(access(ROOT "/pool-prod", F_OK) < 0, "the empty groups stay");
    check(kill(vm.status.pid, SIGKILL) == 0 && waitpid(vm.status.pid, NULL, 0) == vm.status.pid, "the end");
    cgroup_close(&agent);
    check(access(ROOT, F_OK) < 0, "the group of all VMs stays");
    (void)printf("GROUPS all is well\n");
    (void)fflush(stdout);
    return EXIT_SUCCESS;
}
