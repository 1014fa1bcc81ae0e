/* SPDX-License-Identifier: Apache-2.0 */
/* Config file or record of a VM are lost or damaged while no agent runs: it stays listed, its QEMU is left
 * alone, and it is neither started nor created again. Where a copy exists, the file is written again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/vm_process.h"
#include "base/log.h"
#include "fixture.h"
#include "model/move.h"

/* `what`: "state" or "run", and what follows the UUID. */
#define CONFIG "state", ".json"
#define CONFIG_DAMAGED "state", ".json" VM_CONFIG_DAMAGED
#define RECORD "run", "/process.json"

static char *path_in(const struct left *left, const char *where, const char *suffix)
{
    return g_strdup_printf("%s/%s/vms/%s%s", left->folder, where, left->uuid, suffix);
}

static void damage(const struct left *left, const char *where, const char *suffix)
{
    g_autofree char *path = path_in(left, where, suffix);
    assert_true(g_file_set_contents(path, "{\"name\": \"le", -1, NULL));
}

static bool is_there(const struct left *left, const char *where, const char *suffix)
{
    g_autofree char *path = path_in(left, where, suffix);
    return access(path, F_OK) == 0;
}

static void check_runs_with_its_config(const struct left *left)
{
    struct host *host = host_up(left->folder);
    struct vm *vm = vm_find(&host->agent, left->uuid);
    g_autofree char *path = path_in(left, CONFIG);
    struct vm_spec spec;
    struct answer answer = {0};
    struct err err = {0};
    assert_non_null(vm);
    assert_int_equal(vm->status.state, VM_RUNNING);
    assert_int_equal(vm->status.pid, left->pid);
    assert_int_equal(vm_config_read(path, &spec, &err), 0);
    assert_memory_equal(&spec, &vm->status.spec, sizeof spec);
    assert_string_equal(spec.name, "left");
    vm_stop(vm, true, 1, take_answer, &answer);
    wait_ok(&answer, "stop");
    assert_int_equal(vm_remove(vm, &err), 0);
    assert_false(is_there(left, CONFIG_DAMAGED));
    host_down(host);
}

static void a_damaged_config_is_written_again_from_the_record(void **state)
{
    (void)state;
    struct left left = host_of_killed_agent();
    damage(&left, CONFIG);
    check_runs_with_its_config(&left);
}

static void a_lost_config_is_written_again_from_the_record(void **state)
{
    (void)state;
    struct left left = host_of_killed_agent();
    g_autofree char *path = path_in(&left, CONFIG);
    assert_int_equal(unlink(path), 0);
    check_runs_with_its_config(&left);
}

static void check_refused(const struct err *err)
{
    assert_string_equal(err->id, "vm-damaged");
    assert_true(err->message[0] && err->cause[0] && err->fix[0]);
}

/* Listed, with the reason; no verb makes or ends anything. */
static void check_untouchable(struct host *host, const char *uuid)
{
    struct vm *vm = vm_find(&host->agent, uuid);
    struct answer started = {0};
    struct answer stopped = {0};
    struct err err = {0};
    assert_non_null(vm);
    assert_int_equal(vm->status.state, VM_UNKNOWN);
    assert_true(vm->status.problem[0]);
    vm_start(vm, take_answer, &started);
    assert_true(started.there);
    check_refused(&started.err);
    vm_stop(vm, true, 1, take_answer, &stopped);
    assert_true(stopped.there);
    check_refused(&stopped.err);
    struct vm_spec again = checker_spec("left");
    g_strlcpy(again.uuid, uuid, sizeof again.uuid);
    struct vm *same;
    assert_int_equal(vm_create(&host->agent, &again, &same, &err), -1);
    check_refused(&err);
    g_autoptr(JsonObject) changes = NULL;
    assert_int_equal(model_parse("{\"autostart\":true}", -1, &changes, NULL), 0);
    assert_int_equal(vm_set(vm, changes, &err), -1);
    check_refused(&err);
    assert_int_equal(vm_set_pool(vm, "prod", &err), -1);
    check_refused(&err);
    assert_int_equal(vm_remove(vm, &err), -1);
    check_refused(&err);
}

static void without_a_copy_it_waits_for_its_config(void **state)
{
    (void)state;
    struct left left = {0};
    struct host *host = host_up(NULL);
    struct vm_spec spec = checker_spec("off");
    struct vm *vm;
    struct err err = {0};
    assert_int_equal(vm_create(&host->agent, &spec, &vm, &err), 0);
    g_strlcpy(left.folder, host->folder, sizeof left.folder);
    g_strlcpy(left.uuid, spec.uuid, sizeof left.uuid);
    g_autofree char *path = path_in(&left, CONFIG);
    g_autofree char *text = NULL;
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    damage(&left, CONFIG);
    struct host *next = host_up(left.folder);
    check_untouchable(next, left.uuid);

    /* What the error says: restore it, restart the agent. */
    assert_true(g_file_set_contents(path, text, -1, NULL));
    struct host *last = host_up(left.folder);
    struct answer started = {0};
    vm = vm_find(&last->agent, left.uuid);
    assert_int_equal(vm->status.state, VM_OFF);
    vm_start(vm, take_answer, &started);
    wait_ok(&started, "start");
    host_down(last);
}

static void with_both_damaged_its_qemu_is_left_alone(void **state)
{
    (void)state;
    struct left left = host_of_killed_agent();
    damage(&left, CONFIG);
    damage(&left, RECORD);
    struct host *host = host_up(left.folder);
    check_untouchable(host, left.uuid);
    assert_int_equal(kill(left.pid, 0), 0);
    assert_true(is_there(&left, RECORD));
    assert_int_equal(kill(left.pid, SIGKILL), 0);
    host_down(host);
}

static void check_record_is_not_believed(const struct left *left, const char *text)
{
    g_autofree char *path = path_in(left, RECORD);
    assert_true(g_file_set_contents(path, text, -1, NULL));
    check_untouchable(host_up(left->folder), left->uuid);
    assert_int_equal(kill(left->pid, 0), 0);
    assert_true(is_there(left, RECORD));
}

/* JSON as it should be, and what it says is not: of a start that was interrupted, of another process. */
static void a_record_of_wrong_types_or_values_is_not_believed(void **state)
{
    (void)state;
    struct left left = host_of_killed_agent();
    g_autofree char *path = path_in(&left, RECORD);
    g_autofree char *text = NULL;
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    check_record_is_not_believed(&left, "{}");
    check_record_is_not_believed(&left, "{\"pid\":\"12\",\"start_time\":[],\"taps\":[{},7],\"move\":1}");
    check_record_is_not_believed(&left, "{\"pid\":-1,\"start_time\":5}");
    check_record_is_not_believed(&left, "{\"pid\":0,\"ram_inode\":\"7\"}");
    g_autoptr(JsonObject) record = NULL;
    assert_int_equal(model_parse(text, -1, &record, NULL), 0);
    json_object_set_int_member(record, "ram_fd", 4000);
    g_autofree char *other_memory = model_print(record, false);
    check_record_is_not_believed(&left, other_memory);
    assert_true(g_file_set_contents(path, text, -1, NULL));
    check_runs_with_its_config(&left);
}

static void with_a_damaged_record_the_cure_works(void **state)
{
    (void)state;
    struct left left = host_of_killed_agent();
    damage(&left, RECORD);
    struct host *host = host_up(left.folder);
    check_untouchable(host, left.uuid);
    assert_int_equal(kill(left.pid, 0), 0);

    /* What the error says: end that QEMU, remove the folder, restart the agent. */
    assert_int_equal(kill(left.pid, SIGKILL), 0);
    g_autofree char *folder = path_in(&left, "run", "");
    g_autofree char *command = g_strdup_printf("rm -r %s", folder);
    assert_int_equal(system(command), 0);
    struct host *next = host_up(left.folder);
    struct vm *vm = vm_find(&next->agent, left.uuid);
    struct answer started = {0};
    assert_int_equal(vm->status.state, VM_OFF);
    vm_start(vm, take_answer, &started);
    wait_ok(&started, "start");
    host_down(next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_damaged_config_is_written_again_from_the_record),
        cmocka_unit_test(a_lost_config_is_written_again_from_the_record),
        cmocka_unit_test(without_a_copy_it_waits_for_its_config),
        cmocka_unit_test(with_both_damaged_its_qemu_is_left_alone),
        cmocka_unit_test(a_record_of_wrong_types_or_values_is_not_believed),
        cmocka_unit_test(with_a_damaged_record_the_cure_works),
    };
    return cmocka_run_group_tests(tests, NULL, hosts_sweep);
}
