/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "agent/journal.h"
#include "agent/vm_process.h"
#include "fixture.h"
#include "model/overhead.h"

static void a_vm_starts_runs_and_stops(void **state)
{
    (void)state;
    struct host *host = host_up(NULL);
    struct vm *vm = start_checker(host, "one");
    assert_int_equal(vm->status.state, VM_RUNNING);
    assert_string_equal(vm->status.accel, "tcg");
    assert_true(g_str_has_prefix(vm->status.spec.machine, "pc-q35-"));
    assert_int_equal(vms_memory_mib(&host->agent), 128 + vm_overhead_mib(&vm->status.spec, "tcg"));
    size_t at = wait_for_console(vm, "CHK filled", 0);
    (void)wait_for_console(vm, "bad=0", at);

    /* Nobody answers the power button: the timeout ends it. */
    struct answer stopped = {0};
    pid_t pid = vm->status.pid;
    vm_stop(vm, false, 1, take_answer, &stopped);
    wait_ok(&stopped, "stop");
    assert_int_equal(vm->status.state, VM_OFF);
    assert_int_equal(vm->status.pid, 0);
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(vms_memory_mib(&host->agent), 0);

    /* The same VM again, then away. */
    struct answer again = {0};
    vm_start(vm, take_answer, &again);
    wait_ok(&again, "start again");
    struct err err = {0};
    assert_int_equal(vm_remove(vm, &err), -1);
    assert_string_equal(err.id, "vm-not-off");
    struct answer forced = {0};
    vm_stop(vm, true, 0, take_answer, &forced);
    wait_ok(&forced, "forced stop");
    assert_int_equal(vm_remove(vm, &err), 0);
    assert_int_equal(g_hash_table_size(host->agent.vms), 0);
    host_down(host);
}

static void on_ended(struct vm *vm, void *user)
{
    (void)vm;
    *(bool *)user = true;
}

static void a_killed_qemu_leaves_the_vm_off(void **state)
{
    (void)state;
    struct host *host = host_up(NULL);
    struct vm *vm = start_checker(host, "two");
    bool ended = false;
    vm->ended = on_ended;
    vm->ended_user = &ended;
    assert_int_equal(kill(vm->status.pid, SIGKILL), 0);
    wait_until(&ended, 20, "the end was not noticed");
    assert_int_equal(vm->status.state, VM_OFF);
    assert_int_equal(vm->ram_fd, -1);
    struct answer again = {0};
    vm_start(vm, take_answer, &again);
    wait_ok(&again, "start after a crash");
    host_down(host);
}

static void a_qemu_that_will_not_start_says_why(void **state)
{
    (void)state;
    struct host *host = host_up(NULL);
    struct vm_spec spec = checker_spec("three");
    struct vm *vm;
    struct err err = {0};
    g_strlcpy(spec.cpu_model, "no-such-cpu", sizeof spec.cpu_model);
    assert_int_equal(vm_create(&host->agent, &spec, &vm, &err), 0);
    struct answer answer = {0};
    vm_start(vm, take_answer, &answer);
    wait_until(&answer.there, 60, "no answer");
    assert_true(err_is_set(&answer.err));
    assert_non_null(strstr(answer.err.cause, "no-such-cpu"));
    assert_int_equal(vm->status.state, VM_OFF);
    host_down(host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_vm_starts_runs_and_stops),
        cmocka_unit_test(a_killed_qemu_leaves_the_vm_off),
        cmocka_unit_test(a_qemu_that_will_not_start_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, hosts_sweep);
}
