/* SPDX-License-Identifier: Apache-2.0 */
/* With the machine's own control groups; skipped where none can be made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/cgroup.h"
#include "agent/vm_process.h"
#include "base/fdio.h"
#include "fixture.h"
#include "qemu/caps.h"
#include "two_hosts.h"

#define GIVE_UP_S 60
#define PERIOD_US 100000

static char group_name[32];

/* Skips the test where the machine lets nobody make control groups. */
static struct host *grouped_host(void)
{
    host_cgroup = group_name;
    struct host *host = host_up(NULL);
    if (strcmp(host->agent.facts.cgroups, "none") != 0)
        return host;
    print_message("skipped: %s\n", host->agent.facts.cgroups_reason);
    host_down(host);
    skip();
    return NULL;
}

static struct pool_spec pool(const char *path, uint32_t limit_percent, const char *shares)
{
    struct pool_spec spec;
    pool_spec_init(&spec);
    g_strlcpy(spec.path, path, sizeof spec.path);
    g_strlcpy(spec.cpu_shares, shares, sizeof spec.cpu_shares);
    spec.cpu_limit_percent = limit_percent;
    return spec;
}

static void set_pools(struct host *host, const struct pool_spec *pools, uint32_t n_pools)
{
    struct err err = {0};
    if (cgroup_set_pools(&host->agent, pools, n_pools, &err) < 0)
        fail_msg("the pools were not set: %s: %s", err.message, err.cause);
}

static struct vm *start_in(struct host *host, const char *name, const char *pool_path)
{
    struct vm_spec spec = checker_spec(name);
    spec.cpus = 2;
    g_strlcpy(spec.append, "mb=64 rate=0 vcpus=2", sizeof spec.append);
    g_strlcpy(spec.pool, pool_path, sizeof spec.pool);
    return start_vm(host, &spec);
}

static bool is_v1(const struct host *host)
{
    return !strcmp(host->agent.facts.cgroups, "v1");
}

/* "…/NAME" of the facts: where the host's groups are. */
static const char *root_of(const struct host *host)
{
    const char *path = strchr(host->agent.facts.cgroups_reason, '/');
    assert_non_null(path);
    return path;
}

static char *read_file(const char *path)
{
    char *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, NULL))
        fail_msg("cannot read %s", path);
    return text;
}

static char *value_of(const struct host *host, const char *group, const char *file)
{
    g_autofree char *path = g_strdup_printf("%s/%s/%s", root_of(host), group, file);
    return g_strstrip(read_file(path));
}

static void assert_value(const struct host *host, const char *group, const char *file_v1, const char *file_v2,
                         const char *const values[2])
{
    g_autofree char *value = value_of(host, group, is_v1(host) ? file_v1 : file_v2);
    assert_string_equal(value, values[is_v1(host) ? 0 : 1]);
}

static void assert_limit(const struct host *host, const char *group, const char *v1, const char *v2)
{
    const char *const values[] = {v1, v2};
    assert_value(host, group, "cpu.cfs_quota_us", "cpu.max", values);
}

static void assert_shares(const struct host *host, const char *group, const char *v1, const char *v2)
{
    const char *const values[] = {v1, v2};
    assert_value(host, group, "cpu.shares", "cpu.weight", values);
}

static bool exists(const struct host *host, const char *group)
{
    g_autofree char *path = g_strdup_printf("%s/%s", root_of(host), group);
    return access(path, F_OK) == 0;
}

/* Where the kernel says that QEMU is. */
static void assert_in(const struct host *host, const struct vm *vm, const char *group)
{
    g_autofree char *path =
        g_strdup_printf("%s/%s/vm-%s/cgroup.procs", root_of(host), group, vm->status.spec.uuid);
    g_autofree char *procs = g_strstrip(read_file(path));
    g_autofree char *pid = g_strdup_printf("%d", vm->status.pid);
    assert_string_equal(procs, pid);
}

static void a_vm_is_in_the_group_of_its_pool_as_long_as_it_runs(void **state)
{
    (void)state;
    struct host *host = grouped_host();
    const struct pool_spec pools[] = {pool("prod", 150, "high"), pool("prod/db", 0, "low"),
                                      pool("test", 0, "500")};
    set_pools(host, pools, 3);
    struct vm *vm = start_in(host, "one", "prod/db");
    assert_in(host, vm, "pool-prod/pool-db");
    assert_limit(host, "pool-prod", "150000", "150000 100000");
    assert_shares(host, "pool-prod", "2048", "200");
    assert_shares(host, "pool-prod/pool-db", "512", "50");
    assert_false(exists(host, "pool-test"));
    g_autofree char *group = g_strdup_printf("pool-prod/pool-db/vm-%s", vm->status.spec.uuid);
    assert_shares(host, group, "512", "50");

    struct err err = {0};
    assert_int_equal(vm_set_pool(vm, "test", &err), 0);
    assert_in(host, vm, "pool-test");
    struct vm_spec recorded; /* from which a lost config file is written again */
    assert_int_equal(vm_process_read_spec(&host->agent, vm->status.spec.uuid, &recorded, &err), 0);
    assert_string_equal(recorded.pool, "test");
    assert_shares(host, "pool-test", "128", "12");
    assert_false(exists(host, "pool-prod"));
    assert_int_equal(vm_set_pool(vm, "", &err), 0);
    assert_in(host, vm, ".");
    assert_false(exists(host, "pool-test"));
    assert_int_equal(vm_set_pool(vm, "a b", &err), -1);
    assert_int_equal(vm_set_pool(vm, "prod", &err), 0);

    struct answer stopped = {0};
    vm_stop(vm, true, 1, take_answer, &stopped);
    wait_ok(&stopped, "stop");
    assert_false(exists(host, "pool-prod"));
    g_autofree char *root = g_strdup(root_of(host));
    host_down(host);
    assert_int_equal(access(root, F_OK), -1);
}

static void limits_change_while_vms_run(void **state)
{
    (void)state;
    struct host *host = grouped_host();
    struct pool_spec pools[] = {pool("prod", 100, "normal"), pool("prod/db", 80, "normal")};
    set_pools(host, pools, 2);
    (void)start_in(host, "one", "prod/db");
    assert_limit(host, "pool-prod/pool-db", "80000", "80000 100000");
    /* Below what the group under it has. */
    pools[0].cpu_limit_percent = 50;
    set_pools(host, pools, 2);
    assert_limit(host, "pool-prod", "50000", "50000 100000");
    assert_limit(host, "pool-prod/pool-db", "50000", "50000 100000");
    pools[0].cpu_limit_percent = 0;
    set_pools(host, pools, 2);
    assert_limit(host, "pool-prod", "-1", "max 100000");
    assert_limit(host, "pool-prod/pool-db", "80000", "80000 100000");
    /* A pool that is none any more lets go of what it held. */
    set_pools(host, NULL, 0);
    assert_limit(host, "pool-prod/pool-db", "-1", "max 100000");
    host_down(host);
}

static uint64_t counter(const struct host *host, const char *name)
{
    g_autofree char *text = value_of(host, "pool-slow", "cpu.stat");
    const char *at = strstr(text, name);
    assert_non_null(at);
    return g_ascii_strtoull(at + strlen(name), NULL, 10);
}

static uint64_t cpu_us(const struct vm *vm)
{
    char path[64];
    char text[1024] = "";
    unsigned long user_ticks = 0;
    unsigned long kernel_ticks = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", vm->status.pid);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    (void)fclose(file);
    /* The name in parentheses may hold anything; fields 14 and 15 of proc(5). */
    assert_int_equal(sscanf(strrchr(text, ')'), ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                            &user_ticks, &kernel_ticks),
                     2);
    return (uint64_t)(user_ticks + kernel_ticks) * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

static gboolean look_again(gpointer user)
{
    (void)user;
    return G_SOURCE_CONTINUE;
}

/* The kernel counts by its own periods of 100 ms: a slow machine has fewer of them, not longer ones. */
static void wait_for_counter(const struct host *host, const char *name, uint64_t until)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)GIVE_UP_S * G_USEC_PER_SEC;
    guint timer = g_timeout_add(50, look_again, NULL);
    while (counter(host, name) < until) {
        if (g_get_monotonic_time() > deadline)
            fail_msg("%s is %llu only", name, (unsigned long long)counter(host, name));
        (void)g_main_context_iteration(NULL, TRUE);
    }
    (void)g_source_remove(timer);
}

/* So little that the guest wants more on the busiest machine. */
#define LIMIT_PERCENT 5

static void a_busy_guest_gets_no_more_than_its_pool_has(void **state)
{
    (void)state;
    struct host *host = grouped_host();
    const struct pool_spec pools[] = {pool("slow", LIMIT_PERCENT, "normal")};
    struct vm *vm = start_in(host, "busy", "slow");
    (void)wait_for_console(vm, "CHK filled", 0);
    set_pools(host, pools, 1);
    uint64_t first = counter(host, "nr_periods");
    uint64_t before_us = cpu_us(vm);
    wait_for_counter(host, "nr_periods", first + 40);
    wait_for_counter(host, "nr_throttled", 1);
    uint64_t used_us = cpu_us(vm) - before_us;
    uint64_t n_periods = counter(host, "nr_periods") - first;
    uint64_t allowed_us = (n_periods + 2) * PERIOD_US * LIMIT_PERCENT / 100;
    print_message("%llu us of CPU in %llu periods, %llu us allowed\n", (unsigned long long)used_us,
                  (unsigned long long)n_periods, (unsigned long long)allowed_us);
    assert_true(used_us < allowed_us + allowed_us / 2);
    host_down(host);
}

static void a_vm_that_arrives_is_in_the_group_of_its_new_pool(void **state)
{
    (void)state;
    struct host *host = grouped_host();
    const struct pool_spec pools[] = {pool("new", 60, "low")};
    set_pools(host, pools, 1);
    struct vm_spec spec = checker_spec("shell");
    if (!spec.machine[0])
        g_strlcpy(spec.machine, host->agent.qemu->machine, sizeof spec.machine);
    g_strlcpy(spec.cpu_model, "qemu64", sizeof spec.cpu_model);
    g_strlcpy(spec.pool, "new", sizeof spec.pool);
    struct vm *vm = shell(host, &spec);
    assert_int_equal(vm->status.state, VM_INCOMING);
    assert_in(host, vm, "pool-new");
    assert_limit(host, "pool-new", "60000", "60000 100000");
    assert_shares(host, "pool-new", "512", "50");
    host_down(host);
}

/* ---- an agent that is killed ---- */

struct told {
    char folder[64];
    char uuid[MODEL_UUID_SIZE];
    int pid;
};

static void first_agent(int pipe_fd)
{
    struct host *host = host_up(NULL);
    struct told told = {0};
    const struct pool_spec pools[] = {pool("prod", 70, "high")};
    set_pools(host, pools, 1);
    struct vm *vm = start_in(host, "keep", "prod");
    g_strlcpy(told.folder, host->folder, sizeof told.folder);
    g_strlcpy(told.uuid, vm->status.spec.uuid, sizeof told.uuid);
    told.pid = vm->status.pid;
    assert_int_equal(fdio_write(pipe_fd, &told, sizeof told, NULL), 0);
    for (;;)
        (void)pause();
}

static void an_agent_restart_keeps_and_mends_the_groups(void **state)
{
    (void)state;
    struct host *host = grouped_host();
    g_autofree char *root = g_strdup(root_of(host));
    host_down(host);
    int ends[2];
    struct told told;
    assert_int_equal(pipe(ends), 0);
    pid_t agent = fork();
    assert_true(agent >= 0);
    if (agent == 0) {
        first_agent(ends[1]);
        _exit(1);
    }
    (void)close(ends[1]);
    assert_int_equal(fdio_read(ends[0], &told, sizeof told, NULL), 0);
    (void)close(ends[0]);
    assert_int_equal(kill(agent, SIGKILL), 0);
    assert_int_equal(waitpid(agent, NULL, 0), agent);

    /* Somebody took QEMU out of its group. */
    g_autofree char *mount = g_path_get_dirname(root);
    g_autofree char *out = g_strdup_printf("echo %d > %s/cgroup.procs", told.pid, mount);
    assert_int_equal(system(out), 0);
    host = host_up(told.folder);
    struct vm *vm = vm_find(&host->agent, told.uuid);
    assert_non_null(vm);
    assert_in(host, vm, "pool-prod");
    assert_limit(host, "pool-prod", "70000", "70000 100000");
    assert_shares(host, "pool-prod", "2048", "200");
    host_down(host);
    assert_int_equal(access(root, F_OK), -1);
}

static void without_control_groups_pools_are_only_counted(void **state)
{
    (void)state;
    host_cgroup = "";
    struct host *host = host_up(NULL);
    const struct pool_spec pools[] = {pool("prod", 10, "normal")};
    assert_string_equal(host->agent.facts.cgroups, "none");
    assert_non_null(strstr(host->agent.facts.cgroups_reason, "configuration"));
    set_pools(host, pools, 1);
    struct vm *vm = start_in(host, "one", "prod");
    assert_int_equal(vm->status.state, VM_RUNNING);
    struct err err = {0};
    assert_int_equal(vm_set_pool(vm, "", &err), 0);
    host_down(host);
}

int main(void)
{
    (void)snprintf(group_name, sizeof group_name, "vmstest-%d", (int)getpid());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_vm_is_in_the_group_of_its_pool_as_long_as_it_runs),
        cmocka_unit_test(limits_change_while_vms_run),
        cmocka_unit_test(a_busy_guest_gets_no_more_than_its_pool_has),
        cmocka_unit_test(a_vm_that_arrives_is_in_the_group_of_its_new_pool),
        cmocka_unit_test(an_agent_restart_keeps_and_mends_the_groups),
        cmocka_unit_test(without_control_groups_pools_are_only_counted),
    };
    return cmocka_run_group_tests(tests, NULL, hosts_sweep);
}
