/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent is killed after each system call that changes what others can see (files, processes, words to
 * QEMU) while it creates, starts, stops or removes a VM: it is traced (ptrace) and dies after its k-th such
 * call, for every k until the verb is done. The next agent finds the VM in one of its two honest states, with
 * nothing left of the other, and can use it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/vm_process.h"
#include "base/log.h"
#include "dying_agent.h"

struct verb {
    struct dying_verb dying;
    bool may_be_absent, may_be_off, may_run; /* afterwards */
};

/* ---- the agent that dies ---- */

static struct vm_spec the_spec(void)
{
    struct vm_spec spec = checker_spec("half");
    g_strlcpy(spec.uuid, dying_scene.uuid, sizeof spec.uuid);
    spec.n_nics = 1;
    g_strlcpy(spec.nics[0].network, "vmnet", sizeof spec.nics[0].network);
    g_strlcpy(spec.nics[0].mac, "52:54:00:00:00:01", sizeof spec.nics[0].mac);
    return spec;
}

static struct host *networked_host_up(const char *folder)
{
    struct host *host = host_up(folder);
    host->agent.config.n_networks = 1;
    host->agent.config.networks[0] = (struct host_network){.name = "vmnet", .bridge = "br0"};
    return host;
}

static void create(struct host *host)
{
    struct vm_spec spec = the_spec();
    struct vm *vm;
    struct err err = {0};
    assert_int_equal(vm_create(&host->agent, &spec, &vm, &err), 0);
}

static void start(struct host *host)
{
    struct answer answer = {0};
    vm_start(vm_find(&host->agent, dying_scene.uuid), take_answer, &answer);
    wait_ok(&answer, "start");
}

static void create_and_start(struct host *host)
{
    create(host);
    start(host);
}

static void stop(struct host *host)
{
    struct answer answer = {0};
    vm_stop(vm_find(&host->agent, dying_scene.uuid), true, 1, take_answer, &answer);
    wait_ok(&answer, "stop");
}

static void create_and_use(struct host *host)
{
    create_and_start(host);
    stop(host);
}

static void rm(struct host *host)
{
    struct err err = {0};
    assert_int_equal(vm_remove(vm_find(&host->agent, dying_scene.uuid), &err), 0);
}

/* ---- what is left ---- */

static unsigned n_processes(void)
{
    return processes_of(dying_scene.uuid, 0);
}

static unsigned n_taps(void)
{
    struct if_nameindex *all = if_nameindex();
    unsigned n = 0;
    for (unsigned i = 0; all[i].if_index; i++)
        n += g_str_has_prefix(all[i].if_name, "vm");
    if_freenameindex(all);
    return n;
}

static unsigned n_entries(const struct host *host, const char *below)
{
    g_autofree char *path = g_strdup_printf("%s/%s", host->folder, below);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    unsigned n = 0;
    while (dir && g_dir_read_name(dir))
        n++;
    return n;
}

/* The kernel takes a dead process's descriptors, and with them its tap, a moment after its end. */
static void wait_for_taps(unsigned expected)
{
    gint64 deadline = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    while (n_taps() != expected && g_get_monotonic_time() < deadline)
        (void)usleep(1000);
    assert_int_equal(n_taps(), expected);
}

/* Whether it runs. A QEMU that the dead agent told to quit may end only now, and for a moment the agent and
 * the process table tell different stories. */
static unsigned settled(const struct vm *vm)
{
    gint64 deadline = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    while ((vm && vm->status.state == VM_RUNNING) != n_processes() && g_get_monotonic_time() < deadline)
        (void)g_main_context_iteration(NULL, FALSE);
    return vm && vm->status.state == VM_RUNNING;
}

static void start_for_good(struct host *host)
{
    do
        start(host);
    while (!settled(vm_find(&host->agent, dying_scene.uuid)));
}

static void check(const struct verb *verb, const char *folder)
{
    struct host *host = networked_host_up(folder);
    struct vm *vm = vm_find(&host->agent, dying_scene.uuid);
    assert_true(vm || verb->may_be_absent);
    unsigned runs = settled(vm);
    if (vm) {
        assert_true(runs ? verb->may_run : verb->may_be_off);
        assert_true(runs || vm->status.state == VM_OFF);
        assert_string_equal(vm->status.spec.name, "half");
    }
    assert_int_equal(n_processes(), runs);
    wait_for_taps(runs);
    g_autofree char *run = g_strdup_printf("run/vms/%s", dying_scene.uuid);
    assert_true(vm || n_entries(host, "run/vms") == 0);
    assert_true(runs || n_entries(host, run) <= 2); /* the logs of an earlier run */
    if (!vm)
        create(host);
    start_for_good(host);
    assert_int_equal(n_processes(), 1);
    stop(host);
    rm(host);
    wait_for_taps(0);
    assert_int_equal(n_entries(host, "state/vms"), 0);
    assert_int_equal(n_entries(host, "run/vms"), 0);
    host_down(host);
}

static void kill_everywhere(const struct verb *verb)
{
    for (unsigned k = 1;; k++) {
        bool was_killed = dies_after_change(&verb->dying, k);
        check(verb, dying_scene.folder);
        if (!was_killed) {
            assert_true(k > 3); /* it was killed at all */
            return;
        }
    }
}

static void while_it_creates(void **state)
{
    (void)state;
    static const struct verb verb = {
        .dying = {"create", networked_host_up, NULL, create}, .may_be_absent = true, .may_be_off = true};
    kill_everywhere(&verb);
}

static void while_it_starts(void **state)
{
    (void)state;
    static const struct verb verb = {
        .dying = {"start", networked_host_up, create, start}, .may_be_off = true, .may_run = true};
    kill_everywhere(&verb);
}

static void while_it_stops(void **state)
{
    (void)state;
    static const struct verb verb = {
        .dying = {"stop", networked_host_up, create_and_start, stop}, .may_be_off = true, .may_run = true};
    kill_everywhere(&verb);
}

static void while_it_removes(void **state)
{
    (void)state;
    static const struct verb verb = {.dying = {"remove", networked_host_up, create_and_use, rm},
                                     .may_be_absent = true,
                                     .may_be_off = true};
    kill_everywhere(&verb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(while_it_creates),
        cmocka_unit_test(while_it_starts),
        cmocka_unit_test(while_it_stops),
        cmocka_unit_test(while_it_removes),
    };
    if (geteuid() != 0)
        return 77;
    model_uuid_new(dying_scene.uuid);
    if (unshare(CLONE_NEWNET) < 0 || system("ip link add br0 type bridge && ip link set br0 up") != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, dying_scene_sweep);
}
