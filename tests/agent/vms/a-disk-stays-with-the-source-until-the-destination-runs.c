/* SPDX-License-Identifier: Apache-2.0 */
/* The image locks of a VM with a disk: a loaded destination does not hold them, so the source can take its
 * guest back; whoever runs holds them against the other. With $QEMU and $QEMU_OTHER it is a move between
 * versions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "two_hosts.h"

/* The image lies in the host's folder, which QEMU's user may pass through, and goes with it. */
static struct vm *start_with_disk(struct host *host)
{
    struct vm_spec spec = checker_spec("disk");
    char *path = spec.disks[0].path;
    spec.n_disks = 1;
    (void)snprintf(path, sizeof spec.disks[0].path, "%s/disk.qcow2", host->folder);
    g_strlcpy(spec.disks[0].format, "qcow2", sizeof spec.disks[0].format);
    g_autofree char *command = g_strdup_printf("qemu-img create -q -f qcow2 %s 16M", path);
    assert_int_equal(system(command), 0);
    assert_int_equal(chown(path, HOST_UID, HOST_UID), 0);
    assert_int_equal(chmod(host->folder, 0711), 0);
    struct vm *vm = start_vm(host, &spec);
    (void)wait_for_console(vm, "sweeps=1", 0);
    return vm;
}

static void end_vm(struct vm *vm)
{
    struct answer ended = {0};
    vm_end(vm, take_answer, &ended);
    wait_ok(&ended, "end");
    vm_forget(vm);
}

static void check_is_locked_out(struct vm *vm)
{
    const struct ran ran = cont(vm, 200);
    assert_int_equal(ran.result, VM_CONT_FAILED);
    g_autofree char *said = g_strdup_printf("%s: %s", ran.err.message, ran.err.cause);
    print_message("cont was refused: %s\n", said);
    assert_non_null(strstr(said, "lock"));
}

static void the_source_takes_its_guest_back_from_a_loaded_destination(void **state)
{
    (void)state;
    struct host *source = host_up(NULL);
    struct host *destination = host_up_other();
    struct vm *vm = start_with_disk(source);
    struct vm *arrived = bring_over(vm, destination);

    size_t from = console_size(vm);
    assert_int_equal(cont(vm, 2000).result, VM_CONT_RUNS);
    check_is_locked_out(arrived);
    check_goes_on(vm, from);
    end_vm(arrived);

    arrived = bring_over(vm, destination);
    assert_int_equal(cont(arrived, 2000).result, VM_CONT_RUNS);
    check_goes_on(arrived, 0);
    host_down(source);
    host_down(destination);
}

static void a_source_that_handed_over_is_locked_out_until_the_destination_ends(void **state)
{
    (void)state;
    struct host *source = host_up(NULL);
    struct host *destination = host_up_other();
    struct vm *vm = start_with_disk(source);
    struct vm *arrived = bring_over(vm, destination);

    assert_int_equal(cont(arrived, 2000).result, VM_CONT_RUNS);
    check_is_locked_out(vm);
    check_goes_on(arrived, 0);
    end_vm(arrived);
    assert_int_equal(cont(vm, 2000).result, VM_CONT_RUNS);
    host_down(source);
    host_down(destination);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_source_takes_its_guest_back_from_a_loaded_destination),
        cmocka_unit_test(a_source_that_handed_over_is_locked_out_until_the_destination_ends),
    };
    return cmocka_run_group_tests(tests, NULL, hosts_sweep);
}
