/* SPDX-License-Identifier: Apache-2.0 */
/* Two hosts in one process; guest memory is copied by the test, device state by QEMU through vm_save/vm_load.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "two_hosts.h"

static void the_guest_goes_on_elsewhere(void **state)
{
    (void)state;
    struct host *source = host_up(NULL);
    struct host *destination = host_up_other();
    struct vm *vm = start_checker(source, "move");
    (void)wait_for_console(vm, "sweeps=1", 0);
    struct vm *arrived = shell(destination, &vm->status.spec);
    assert_int_equal(arrived->ram_size, vm->ram_size);

    pause_vm(vm);
    copy_ram(vm, arrived);
    size_t size;
    g_autofree char *device_state = save(vm, &size);
    assert_true(size > 10000 && size < (4u << 20));
    struct answer loaded = {0};
    load(arrived, device_state, size, &loaded);
    wait_ok(&loaded, "load");
    assert_int_equal(arrived->status.state, VM_INCOMING);
    assert_int_equal(console_size(arrived), 0);
    assert_int_equal(cont(arrived, 2000).result, VM_CONT_RUNS);
    assert_int_equal(arrived->status.state, VM_RUNNING);
    assert_false(arrived->incoming);
    check_goes_on(arrived, 0);

    struct answer ended = {0};
    vm_end(vm, take_answer, &ended);
    wait_ok(&ended, "end");
    vm_forget(vm);
    assert_int_equal(g_hash_table_size(source->agent.vms), 0);
    host_down(source);
    host_down(destination);
}

/* A stream that is no device state: QEMU ends, says why, and the source goes on; then the same move works. */
static void a_failed_load_tells_why_and_the_source_goes_on(void **state)
{
    (void)state;
    struct host *source = host_up(NULL);
    struct host *destination = host_up_other();
    struct vm *vm = start_checker(source, "fail");
    (void)wait_for_console(vm, "sweeps=1", 0);
    struct vm *arrived = shell(destination, &vm->status.spec);

    pause_vm(vm);
    size_t size;
    g_autofree char *device_state = save(vm, &size);
    memset(device_state, 0x5a, 16);
    struct answer loaded = {0};
    load(arrived, device_state, size, &loaded);
    assert_true(err_is_set(&loaded.err));
    assert_true(loaded.err.cause[0]);
    struct answer ended = {0};
    vm_end(arrived, take_answer, &ended);
    wait_ok(&ended, "end");
    vm_forget(arrived);

    size_t from = console_size(vm);
    assert_int_equal(cont(vm, 2000).result, VM_CONT_RUNS);
    check_goes_on(vm, from);

    arrived = shell(destination, &vm->status.spec);
    pause_vm(vm);
    copy_ram(vm, arrived);
    g_autofree char *again = save(vm, &size);
    struct answer reloaded = {0};
    from = console_size(arrived);
    load(arrived, again, size, &reloaded);
    wait_ok(&reloaded, "second load");
    assert_int_equal(cont(arrived, 2000).result, VM_CONT_RUNS);
    check_goes_on(arrived, from);
    host_down(source);
    host_down(destination);
}

static void a_save_nobody_reads_fails_and_the_guest_goes_on(void **state)
{
    (void)state;
    struct host *source = host_up(NULL);
    struct vm *vm = start_checker(source, "epipe");
    (void)wait_for_console(vm, "CHK filled", 0);
    pause_vm(vm);
    int pair[2];
    struct answer saved = {0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    vm_pass_stream(vm, pair[1]);
    vm_save(vm, take_answer, &saved);
    (void)close(pair[1]);
    (void)close(pair[0]);
    wait_until(&saved.there, 60, "save");
    assert_true(err_is_set(&saved.err));
    size_t from = console_size(vm);
    assert_int_equal(cont(vm, 2000).result, VM_CONT_RUNS);
    check_goes_on(vm, from);
    host_down(source);
}

/* QEMU was through with it, and the agent had not heard of that. */
static void a_save_that_comes_too_late_ends_and_the_next_one_works(void **state)
{
    (void)state;
    struct host *source = host_up(NULL);
    struct vm *vm = start_checker(source, "late");
    (void)wait_for_console(vm, "CHK filled", 0);
    pause_vm(vm);
    int pair[2];
    char bytes[65536];
    struct answer saved = {0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    vm_pass_stream(vm, pair[1]);
    vm_save(vm, take_answer, &saved);
    (void)close(pair[1]);
    while (read(pair[0], bytes, sizeof bytes) > 0)
        ;
    (void)close(pair[0]);
    size_t from = console_size(vm);
    assert_int_equal(cont(vm, 2000).result, VM_CONT_RUNS);
    wait_until(&saved.there, 60, "save");
    assert_string_equal(saved.err.id, "device-state-failed");
    check_goes_on(vm, from);

    pause_vm(vm);
    size_t size;
    g_autofree char *device_state = save(vm, &size);
    from = console_size(vm);
    assert_int_equal(cont(vm, 2000).result, VM_CONT_RUNS);
    check_goes_on(vm, from);
    host_down(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_guest_goes_on_elsewhere),
        cmocka_unit_test(a_failed_load_tells_why_and_the_source_goes_on),
        cmocka_unit_test(a_save_nobody_reads_fails_and_the_guest_goes_on),
        cmocka_unit_test(a_save_that_comes_too_late_ends_and_the_next_one_works),
    };
    return cmocka_run_group_tests(tests, NULL, hosts_sweep);
}
