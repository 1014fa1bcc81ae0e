/* SPDX-License-Identifier: Apache-2.0 */
/* A second ticket for the same VM, QEMU's control connection that breaks or its process that dies at the
 * worst moment, a VM that is removed before its source has heard the verdict, logs that fill up: the outcome
 * stays that of the journal, and the VM stays usable. */
#include <glib.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "agent/journal.h"
#include "base/task_log.h"
#include "tests/agent/moves/lab.h"

static const struct err test_err = {.code = ERR_CANCELLED, .id = "test"};

static void wait_for_vm(struct vm *vm, enum vm_state state)
{
    gint64 deadline = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    while (vm->status.state != state || vm->status.move[0]) {
        CHECK(g_get_monotonic_time() < deadline);
        (void)g_main_context_iteration(NULL, FALSE);
        g_usleep(1000);
    }
}

static void end_both(struct lab *lab, const char *id)
{
    for (unsigned i = 0; i < 2; i++) {
        wait_for_state(agent_of(lab, i), id, MOVE_DONE);
        CHECK(moves_forget(agent_of(lab, i), id, NULL) == 0);
    }
}

static void a_vm_comes_in_once_at_a_time(struct lab *lab)
{
    struct prepared source = {0};
    struct prepared first = {0};
    struct prepared second = {0};
    struct move_spec spec = {0};
    model_uuid_new(spec.id);
    move_options_init(&spec.options);
    g_strlcpy(spec.vm.uuid, lab->uuid, sizeof spec.vm.uuid);
    moves_prepare_source(agent_of(lab, true), &spec, take_prepared, &source);
    wait_until(&source.there, 20, "prepare source");
    spec = source.answer.spec;
    struct move_spec later = spec;
    model_uuid_new(later.id);
    later.epoch = spec.epoch + 2;
    moves_prepare_destination(agent_of(lab, false), &spec, take_prepared, &first);
    moves_prepare_destination(agent_of(lab, false), &later, take_prepared, &second);
    CHECK(second.there && !strcmp(second.err.id, "vm-is-moving") && strstr(second.err.message, spec.id));
    wait_until(&first.there, 60, "prepare destination");
    CHECK(!err_is_set(&first.err));
    CHECK(moves_cancel(agent_of(lab, true), spec.id, &test_err, NULL) == 0);
    CHECK(moves_cancel(agent_of(lab, false), spec.id, &test_err, NULL) == 0);
    end_both(lab, spec.id);
    /* Nor twice: what the journal says of a session is said for good. */
    second.there = false;
    later = spec;
    later.epoch = spec.epoch + 4;
    moves_prepare_destination(agent_of(lab, false), &later, take_prepared, &second);
    CHECK(second.there && !strcmp(second.err.id, "session-over"));
    check_one_runner(lab);
}

/* A manager with an old database: the task knows an epoch that the VM has left behind. */
static void a_task_that_the_vm_has_outlived_moves_nothing(struct lab *lab)
{
    struct prepared source = {0};
    struct move_spec spec = {0};
    struct journal_entry entry;
    journal_read(vm_on(lab, lab->source)->journal, &entry);
    model_uuid_new(spec.id);
    move_options_init(&spec.options);
    g_strlcpy(spec.vm.uuid, lab->uuid, sizeof spec.vm.uuid);
    spec.epoch = entry.epoch - 1;
    moves_prepare_source(agent_of(lab, true), &spec, take_prepared, &source);
    CHECK(source.there && !strcmp(source.err.id, "vm-has-moved"));
    CHECK(!moves_find(agent_of(lab, true), spec.id));
    check_one_runner(lab);
}

static void a_broken_control_connection_does_not_leave_the_source_paused(struct lab *lab)
{
    struct move_spec spec = {0};
    set_fault(lab, "source hang-before-give");
    start_move(lab, &spec);
    wait_for_state(agent_of(lab, true), spec.id, MOVE_SWITCHING);
    while (vm_on(lab, lab->source)->status.state != VM_PAUSED)
        (void)g_main_context_iteration(NULL, TRUE);
    cut_qmp(vm_on(lab, lab->source));
    CHECK(moves_cancel(agent_of(lab, true), spec.id, &test_err, NULL) == 0);
    CHECK(moves_cancel(agent_of(lab, false), spec.id, &test_err, NULL) == 0);
    end_both(lab, spec.id);
    check_one_runner(lab);
}

/* Leaves the destination as the owner, its `cont` unanswered. */
static void lose_the_first_cont(struct lab *lab, struct move_spec *spec)
{
    *spec = (struct move_spec){0};
    set_fault(lab, "destination hang-before-cont");
    start_move(lab, spec);
    wait_for_state(agent_of(lab, true), spec->id, MOVE_GIVEN);
    cut_qmp(vm_on(lab, 1 - lab->source));
    relay(lab, spec->id);
    CHECK(status_of(agent_of(lab, false), spec->id).verdict == VERDICT_RUNNING);
}

static void a_lost_answer_of_cont_does_not_leave_the_owner_paused(struct lab *lab)
{
    struct move_spec spec;
    lose_the_first_cont(lab, &spec);
    end_both(lab, spec.id);
    lab->source = 1 - lab->source;
    check_one_runner(lab);
}

static void a_qemu_that_dies_before_it_ran_does_not_hold_its_vm(struct lab *lab)
{
    struct move_spec spec;
    struct answer answer = {0};
    lose_the_first_cont(lab, &spec);
    lab->source = 1 - lab->source;
    struct vm *vm = vm_on(lab, lab->source);
    CHECK(vm && vm->status.pid && vm->status.move[0]);
    CHECK(kill(vm->status.pid, SIGKILL) == 0);
    wait_for_vm(vm, VM_OFF);
    end_both(lab, spec.id);
    vm_start(vm, take_answer, &answer);
    wait_ok(&answer, "start where it is owned");
    check_one_runner(lab);
}

static void a_vm_that_stands_is_started_by_continuing_it(struct lab *lab)
{
    struct vm *vm = vm_on(lab, lab->source);
    struct answer paused = {0};
    struct answer started = {0};
    int pid = vm->status.pid;
    vm_pause(vm, take_answer, &paused);
    wait_ok(&paused, "pause");
    CHECK(vm->status.state == VM_PAUSED);
    vm_start(vm, take_answer, &started);
    wait_ok(&started, "start");
    CHECK(vm->status.pid == pid);
    check_one_runner(lab);
}

static void a_vm_that_is_being_stopped_does_not_leave(struct lab *lab)
{
    struct vm *vm = vm_on(lab, lab->source);
    struct answer gentle = {0};
    struct answer forced = {0};
    struct answer started = {0};
    struct err err = {0};
    struct move_spec spec = {0};
    model_uuid_new(spec.id);
    g_strlcpy(spec.vm.uuid, lab->uuid, sizeof spec.vm.uuid);
    CHECK(moves_check(agent_of(lab, true), &spec, true, &err) == 0);
    vm_stop(vm, false, 3600, take_answer, &gentle);
    CHECK(moves_check(agent_of(lab, true), &spec, true, &err) < 0 && !strcmp(err.id, "vm-not-running"));
    vm_stop(vm, true, 0, take_answer, &forced);
    wait_ok(&forced, "stop");
    wait_ok(&gentle, "the gentle stop");
    vm_start(vm, take_answer, &started);
    wait_ok(&started, "start");
    check_one_runner(lab);
}

static void a_removed_vm_still_has_its_verdict(struct lab *lab)
{
    struct move_spec spec = {0};
    struct answer answer = {0};
    struct verdict verdict = {0};
    struct journal_entry entry;
    struct err err = {0};
    set_fault(lab, "destination hang-after-cont");
    start_move(lab, &spec);
    struct agent *destination = agent_of(lab, false);
    wait_for_state(destination, spec.id, MOVE_DONE);
    CHECK(status_of(agent_of(lab, true), spec.id).state == MOVE_GIVEN);
    uint8_t commit[MOVE_SECRET_SIZE];
    memcpy(commit, status_of(agent_of(lab, true), spec.id).commit, sizeof commit);
    CHECK(moves_forget(destination, spec.id, NULL) == 0);
    struct vm *vm = vm_on(lab, 1 - lab->source);
    struct vm_spec same = vm->status.spec;
    vm_stop(vm, true, 1, take_answer, &answer);
    wait_ok(&answer, "stop");
    CHECK(vm_remove(vm, &err) == 0);
    relay(lab, spec.id);
    wait_for_state(agent_of(lab, true), spec.id, MOVE_DONE);
    CHECK(status_of(agent_of(lab, true), spec.id).state == MOVE_DONE);
    CHECK(vm_create(destination, &same, &vm, &err) == 0);
    journal_read(vm->journal, &entry);
    CHECK(entry.step == JOURNAL_OWNED && entry.epoch > spec.epoch);
    moves_commit(destination, spec.id, lab->uuid, commit, take_verdict, &verdict);
    CHECK(verdict.there && verdict.kind == VERDICT_RUNNING);
    CHECK(vm_remove(vm, &err) == 0);
}

/* The manager may never come to forget it; there are only so many files. */
static void a_move_that_is_over_holds_no_file_open(struct lab *lab)
{
    struct move_spec spec = {0};
    struct task_log_config logs = {.keep_files = 1, .keep_days = 1};
    (void)g_strlcpy(logs.folder, agent_of(lab, true)->config.state_dir, sizeof logs.folder);
    task_logs_init(&logs);
    set_fault(lab, "source hang-copying");
    start_move(lab, &spec);
    CHECK(task_log_fd(spec.id) >= 0);
    for (unsigned i = 0; i < 2; i++)
        CHECK(moves_cancel(agent_of(lab, i), spec.id, &test_err, NULL) == 0);
    for (unsigned i = 0; i < 2; i++)
        wait_for_state(agent_of(lab, i), spec.id, MOVE_DONE);
    CHECK(task_log_fd(spec.id) < 0);
    end_both(lab, spec.id);
    task_logs_init(&(struct task_log_config){0});
    set_fault(lab, "");
}

/* One argument: the number of the only case to run. */
int main(int argc, char **argv)
{
    static void (*const cases[])(struct lab * lab) = {
        a_vm_comes_in_once_at_a_time,
        a_task_that_the_vm_has_outlived_moves_nothing,
        a_move_that_is_over_holds_no_file_open,
        a_broken_control_connection_does_not_leave_the_source_paused,
        a_lost_answer_of_cont_does_not_leave_the_owner_paused,
        a_qemu_that_dies_before_it_ran_does_not_hold_its_vm,
        a_vm_that_stands_is_started_by_continuing_it,
        a_vm_that_is_being_stopped_does_not_leave,
        a_removed_vm_still_has_its_verdict,
    };
    struct lab lab = {0};
    if (geteuid() != 0)
        return 77;
    lab_up(&lab, NULL, NULL);
    lab_start_guest(&lab);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++)
        if (argc < 2 || (unsigned)atoi(argv[1]) == i)
            cases[i](&lab);
    lab_down(&lab);
    return 0;
}
