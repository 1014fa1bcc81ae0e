/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/vm_process.h"
#include "fixture.h"
#include "model/move.h"

static int set(struct vm *vm, const char *text, struct err *err)
{
    g_autoptr(JsonObject) changes = NULL;
    assert_int_equal(model_parse(text, -1, &changes, NULL), 0);
    err_clear(err);
    return vm_set(vm, changes, err);
}

static struct vm_spec spec_in_file(struct vm *vm)
{
    g_autofree char *path = vm_config_path(vm->agent, vm->status.spec.uuid);
    struct vm_spec spec;
    struct stat facts;
    assert_int_equal(vm_config_read(path, &spec, NULL), 0);
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0600);
    return spec;
}

static void a_vm_that_is_off_takes_every_change(void **state)
{
    (void)state;
    struct host *host = host_up(NULL);
    struct vm *vm;
    struct err err = {0};
    struct vm_spec spec = checker_spec("first");
    assert_int_equal(vm_create(&host->agent, &spec, &vm, &err), 0);
    assert_int_equal(
        set(vm, "{\"name\":\"second\",\"memory_mib\":160,\"cpus\":2,\"append\":\"mb=32 rate=5\"}", &err), 0);
    struct vm_spec written = spec_in_file(vm);
    assert_string_equal(written.name, "second");
    assert_int_equal(written.memory_mib, 160);
    assert_memory_equal(&written, &vm->status.spec, sizeof written);
    struct answer answer = {0};
    vm_start(vm, take_answer, &answer);
    wait_ok(&answer, "start");
    assert_int_equal(vm->ram_size, 160u << 20);
    (void)wait_for_console(vm, "bad=0", 0);
    host_down(host);
}

static void a_running_vm_takes_what_its_guest_does_not_see(void **state)
{
    (void)state;
    static const char *const needs_off[] = {
        "{\"memory_mib\":256}",
        "{\"cpus\":2}",
        "{\"accel\":\"auto\"}",
        "{\"cpu_model\":\"max\"}",
        "{\"machine\":\"pc-q35-7.1\"}",
        "{\"initrd\":\"/i\"}",
        "{\"append\":\"\"}",
        "{\"disks\":[{\"path\":\"/a\",\"format\":\"raw\"}]}",
        "{\"nics\":[{\"network\":\"a\"}]}",
        "{\"name\":\"other\",\"cpus\":2}",
    };
    struct host *host = host_up(NULL);
    struct vm *vm = start_checker(host, "first");
    struct err err = {0};
    struct vm_spec before = vm->status.spec;
    for (unsigned i = 0; i < G_N_ELEMENTS(needs_off); i++) {
        assert_int_equal(set(vm, needs_off[i], &err), -1);
        assert_int_equal(err.code, ERR_REFUSED);
        assert_string_equal(err.id, "vm-not-off");
        assert_non_null(strstr(err.fix, "stop the VM"));
        assert_memory_equal(&vm->status.spec, &before, sizeof before);
    }
    struct vm_spec written = spec_in_file(vm);
    assert_memory_equal(&written, &before, sizeof before);
    assert_int_equal(set(vm, "{\"name\":\"second\",\"autostart\":true,\"cpus\":1}", &err), 0);
    written = spec_in_file(vm);
    assert_string_equal(written.name, "second");
    assert_true(written.autostart);
    assert_int_equal(vm->status.state, VM_RUNNING);
    host_down(host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_vm_that_is_off_takes_every_change),
        cmocka_unit_test(a_running_vm_takes_what_its_guest_does_not_see),
    };
    return cmocka_run_group_tests(tests, NULL, hosts_sweep);
}
