/* SPDX-License-Identifier: Apache-2.0 */
/* vms_shutdown: the guests end, moves before GIVEN are cancelled, what is given away is left to its move, and
 * nothing starts or moves any more. The checker guest does not know the power button. */
#include <glib.h>
#include <string.h>

#include "agent/autostart.h"
#include "agent/boot.h"
#include "agent/journal.h"
#include "tests/agent/moves/lab.h"

#define DOWN_S 120

static void on_down(struct agent *agent, void *user)
{
    (void)agent;
    *(bool *)user = true;
}

static void check_is_down(const struct err *err)
{
    CHECK(err->code == ERR_REFUSED && !strcmp(err->id, "host-shutting-down") && err->fix[0]);
}

static void check_nothing_starts_or_moves(struct lab *lab, struct agent *agent)
{
    struct vm *vm = vm_find(agent, lab->uuid);
    struct answer started = {0};
    struct err err = {0};
    struct move_spec spec = {0};
    if (vm && vm->status.state == VM_OFF) {
        vm_start(vm, take_answer, &started);
        CHECK(started.there);
        check_is_down(&started.err);
    }
    model_uuid_new(spec.id);
    g_strlcpy(spec.vm.uuid, lab->uuid, sizeof spec.vm.uuid);
    CHECK(moves_check(agent, &spec, true, &err) < 0);
    check_is_down(&err);
    CHECK(moves_check(agent, &spec, false, &err) < 0);
    check_is_down(&err);
}

static void guests_are_switched_off_in_the_end(struct lab *lab)
{
    struct agent *agent = agent_of(lab, true);
    struct vm *vm = vm_on(lab, lab->source);
    struct vm_spec more = checker_spec("more");
    struct vm *stands = NULL;
    struct answer started = {0};
    struct answer paused = {0};
    bool first = false;
    bool second = false;
    CHECK(vm_create(agent, &more, &stands, NULL) == 0);
    vm_start(stands, take_answer, &started);
    wait_ok(&started, "start");
    vm_pause(stands, take_answer, &paused);
    wait_ok(&paused, "pause");
    vms_shutdown(agent, 1, on_down, &first);
    vms_shutdown(agent, 1, on_down, &second);
    check_nothing_starts_or_moves(lab, agent);
    wait_until(&first, DOWN_S, "the host to go down");
    CHECK(second);
    CHECK(vm->status.state == VM_OFF && stands->status.state == VM_OFF);
    CHECK(!processes_of(lab->uuid, 0) && !processes_of(more.uuid, 0));
    CHECK(journal_may_run(vm->journal)); /* the next boot may start it */
    check_nothing_starts_or_moves(lab, agent);
    /* Taken back: what has autostart runs, the other may. */
    g_autoptr(JsonObject) changes = json_object_new();
    json_object_set_boolean_member(changes, "autostart", TRUE);
    CHECK(vm_set(vm, changes, NULL) == 0);
    bool up = false;
    vms_power_on(agent, false, on_down, &up);
    wait_until(&up, DOWN_S, "the host to come up");
    CHECK(vm->status.state == VM_RUNNING && stands->status.state == VM_OFF);
    check_one_runner(lab);
}

/* systemd's call after a boot is not the manager's word; root's, with --now, stands for it. */
static void after_a_boot_only_the_managers_word_or_roots_starts_vms(struct lab *lab)
{
    struct agent *agent = agent_of(lab, true);
    struct vm *vm = vm_on(lab, lab->source);
    char other[MODEL_UUID_SIZE];
    bool down = false;
    bool up = false;
    bool released = false;
    g_autoptr(JsonObject) changes = json_object_new();
    json_object_set_boolean_member(changes, "autostart", TRUE);
    CHECK(vm_set(vm, changes, NULL) == 0);
    vms_shutdown(agent, 1, on_down, &down);
    wait_until(&down, DOWN_S, "the host to go down");
    model_uuid_new(other);
    CHECK(boot_record(agent, other, NULL) == 0);
    autostart_prepare(agent);
    CHECK(autostart_is_pending(agent));
    autostart_release(agent, NULL, on_down, &released); /* the host is going down */
    CHECK(released && autostart_is_pending(agent));
    vms_power_on(agent, false, on_down, &up);
    CHECK(up && autostart_is_pending(agent) && vm->status.state == VM_OFF);
    up = false;
    vms_power_on(agent, true, on_down, &up);
    wait_until(&up, DOWN_S, "VMs to start");
    CHECK(!autostart_is_pending(agent) && vm->status.state == VM_RUNNING);
    check_one_runner(lab);
}

/* The power comes back while the guests are being switched off. */
static void a_shutdown_taken_back_leaves_no_guest_off(struct lab *lab)
{
    struct agent *agent = agent_of(lab, true);
    struct vm *vm = vm_on(lab, lab->source);
    int pid = vm->status.pid;
    bool down = false;
    bool up = false;
    g_autoptr(JsonObject) changes = json_object_new();
    json_object_set_boolean_member(changes, "autostart", TRUE);
    CHECK(vm_set(vm, changes, NULL) == 0);
    vms_shutdown(agent, 1, on_down, &down);
    while (!vm->ending)
        (void)g_main_context_iteration(NULL, TRUE);
    vms_power_on(agent, false, on_down, &up);
    CHECK(down);
    wait_until(&up, DOWN_S, "the host to come up");
    CHECK(vm->status.state == VM_RUNNING && !vm->ending && vm->status.pid != pid);
    check_one_runner(lab);
}

static void a_move_on_its_way_is_cancelled_first(struct lab *lab)
{
    struct move_spec spec = {0};
    bool down = false;
    struct agent *source = agent_of(lab, true);
    set_fault(lab, "source hang-before-give");
    start_move(lab, &spec);
    wait_for_state(source, spec.id, MOVE_SWITCHING);
    vms_shutdown(source, 1, on_down, &down);
    wait_until(&down, DOWN_S, "the host to go down");
    struct move_status status = status_of(source, spec.id);
    CHECK(status.state == MOVE_FAILED && !strcmp(status.error.id, "host-shutting-down"));
    struct vm *vm = vm_on(lab, lab->source);
    CHECK(vm->status.state == VM_OFF && journal_may_run(vm->journal));
    CHECK(config_mode(lab, lab->source) == 0600 && !lease_file(lab, lab->source));
    CHECK(moves_cancel(agent_of(lab, false), spec.id, &status.error, NULL) == 0);
    wait_for_state(agent_of(lab, false), spec.id, MOVE_DONE);
    CHECK(!processes_of(lab->uuid, 0));
}

static void what_was_given_away_is_waited_for_and_not_ended(struct lab *lab)
{
    struct move_spec spec = {0};
    bool down = false;
    struct agent *source = agent_of(lab, true);
    set_fault(lab, "source hang-after-give");
    start_move(lab, &spec);
    wait_for_state(source, spec.id, MOVE_GIVEN);
    vms_shutdown(source, 3600, on_down, &down);
    struct vm *vm = vm_on(lab, lab->source);
    for (unsigned i = 0; i < 20; i++) /* among them: looks at what is there */
        (void)g_main_context_iteration(NULL, TRUE);
    CHECK(!down && vm->status.state == VM_PAUSED && status_of(source, spec.id).state == MOVE_GIVEN);
    relay(lab, spec.id);
    wait_until(&down, DOWN_S, "the host to go down");
    wait_for_state(source, spec.id, MOVE_DONE);
    CHECK(status_of(source, spec.id).state == MOVE_DONE);
    lab->source = 1 - lab->source;
    wait_for_state(agent_of(lab, true), spec.id, MOVE_DONE);
    check_one_runner(lab);
}

/* Each in a lab of its own. One argument: the number of the only case to run. */
int main(int argc, char **argv)
{
    static void (*const cases[])(struct lab * lab) = {
        guests_are_switched_off_in_the_end,
        after_a_boot_only_the_managers_word_or_roots_starts_vms,
        a_shutdown_taken_back_leaves_no_guest_off,
        a_move_on_its_way_is_cancelled_first,
        what_was_given_away_is_waited_for_and_not_ended,
    };
    if (geteuid() != 0)
        return 77;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct lab lab = {0};
        if (argc > 1 && (unsigned)atoi(argv[1]) != i)
            continue;
        lab_up(&lab, NULL, NULL);
        lab_start_guest(&lab);
        cases[i](&lab);
        lab_down(&lab);
    }
    return 0;
}
