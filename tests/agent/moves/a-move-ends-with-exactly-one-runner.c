/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a job does at any of its steps, exactly one host runs the guest afterwards, the guest's own proofs
 * of its memory hold, and the next move succeeds. */
#include <glib.h>
#include <string.h>
#include <unistd.h>

#include "tests/agent/moves/lab.h"

static void every_fault_before_given_leaves_it_on_the_source(struct lab *lab)
{
    static const char *const faults[] = {
        "source copying",      "source after-stop",    "source in-save",
        "source before-give",  "source forge-ready",   "source save-first",
        "destination waiting", "destination received", "destination before-ready",
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(faults); i++) {
        CHECK(attempt(lab, faults[i], false) == MOVE_FAILED);
        CHECK(attempt(lab, "", false) == MOVE_DONE);
    }
}

static void every_fault_after_given_is_settled_by_the_relay(struct lab *lab)
{
    static const char *const faults[] = {
        "source after-give",           "source before-quit",       "source forge-aborted",
        "destination before-cont",     "destination after-cont",   "destination hang-before-cont",
        "destination hang-after-cont", "destination forge-commit",
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(faults); i++) {
        (void)attempt(lab, faults[i], true);
        CHECK(attempt(lab, "", false) == MOVE_DONE);
    }
}

static void cancel_before_given_resumes_and_after_given_is_refused(struct lab *lab)
{
    struct move_spec spec = {0};
    struct err why;
    struct err err = {0};
    (void)err_set(&why, ERR_CANCELLED, "cancelled", "the operator asked for it");
    set_fault(lab, "source hang-before-give");
    start_move(lab, &spec);
    wait_for_state(agent_of(lab, true), spec.id, MOVE_SWITCHING);
    CHECK(moves_cancel(agent_of(lab, true), spec.id, &why, &err) == 0);
    CHECK(moves_cancel(agent_of(lab, true), spec.id, &why, &err) == 0);
    CHECK(moves_cancel(agent_of(lab, false), spec.id, &why, &err) == 0);
    wait_for_state(agent_of(lab, true), spec.id, MOVE_DONE);
    wait_for_state(agent_of(lab, false), spec.id, MOVE_DONE);
    CHECK(!strcmp(status_of(agent_of(lab, true), spec.id).error.id, "cancelled"));
    check_one_runner(lab);
    set_fault(lab, "destination hang-before-cont");
    spec = (struct move_spec){0};
    start_move(lab, &spec);
    wait_for_state(agent_of(lab, true), spec.id, MOVE_GIVEN);
    CHECK(moves_cancel(agent_of(lab, true), spec.id, &why, &err) < 0);
    CHECK(!strcmp(err.id, "too-late-to-cancel"));
    relay(lab, spec.id);
    wait_for_state(agent_of(lab, false), spec.id, MOVE_DONE);
    wait_for_state(agent_of(lab, true), spec.id, MOVE_DONE);
    lab->source = 1 - lab->source;
    check_one_runner(lab);
}

static void held_vm_refuses_everything_else(struct lab *lab)
{
    struct move_spec spec = {0};
    struct prepared second = {0};
    struct answer answer = {0};
    struct err err = {0};
    set_fault(lab, "source hang-copying");
    start_move(lab, &spec);
    struct vm *vm = vm_on(lab, lab->source);
    vm_stop(vm, true, 1, take_answer, &answer);
    CHECK(answer.there && !strcmp(answer.err.id, "vm-is-moving") && strstr(answer.err.message, spec.id));
    CHECK(vm_remove(vm, &err) < 0 && !strcmp(err.id, "vm-is-moving"));
    struct move_spec other = spec;
    model_uuid_new(other.id);
    moves_prepare_source(agent_of(lab, true), &other, take_prepared, &second);
    CHECK(second.there && !strcmp(second.err.id, "vm-is-moving") && strstr(second.err.message, spec.id));
    (void)moves_cancel(agent_of(lab, true), spec.id, &(struct err){.code = ERR_CANCELLED, .id = "test"},
                       NULL);
    (void)moves_cancel(agent_of(lab, false), spec.id, &(struct err){.code = ERR_CANCELLED, .id = "test"},
                       NULL);
    wait_for_state(agent_of(lab, true), spec.id, MOVE_DONE);
    wait_for_state(agent_of(lab, false), spec.id, MOVE_DONE);
    check_one_runner(lab);
}

static void unknown_session_is_in_doubt(struct lab *lab)
{
    struct verdict verdict = {0};
    uint8_t commit[MOVE_SECRET_SIZE] = {0};
    char id[MODEL_UUID_SIZE];
    char vm[MODEL_UUID_SIZE];
    model_uuid_new(id);
    model_uuid_new(vm);
    moves_commit(agent_of(lab, false), id, vm, commit, take_verdict, &verdict);
    CHECK(verdict.there && verdict.err.code == ERR_IN_DOUBT && !strcmp(verdict.err.id, "session-unknown"));
}

int main(void)
{
    struct lab lab = {0};
    if (geteuid() != 0)
        return 77;
    lab_up(&lab, NULL, NULL);
    lab_start_guest(&lab);
    CHECK(attempt(&lab, "", false) == MOVE_DONE);
    CHECK(attempt(&lab, "", false) == MOVE_DONE);
    held_vm_refuses_everything_else(&lab);
    cancel_before_given_resumes_and_after_given_is_refused(&lab);
    every_fault_before_given_leaves_it_on_the_source(&lab);
    every_fault_after_given_is_settled_by_the_relay(&lab);
    unknown_session_is_in_doubt(&lab);
    lab_down(&lab);
    return 0;
}
