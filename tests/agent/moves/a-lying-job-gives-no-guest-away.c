/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job that was taken over by hostile bytes can say what it likes to its agent. Real agents and QEMU, a FAKE
 * job that lies: it claims steps that were not taken, brings secrets that it made up, has seen earlier, or
 * knows for another purpose, asks in any order, and floods. Each time exactly one host runs the guest, and it
 * is the one that should; the other side never starts it.
 */
#include <glib.h>
#include <string.h>
#include <unistd.h>

#include "tests/agent/moves/lab.h"

#define N_ORDERS 6u

/* "": whatever it is. */
struct lie {
    const char *fault;
    const char *source_says, *destination_says;
};

static void tell(struct lab *lab, const struct lie *lie, bool relays, enum move_state end)
{
    enum move_state state = attempt(lab, lie->fault, relays);
    (void)fprintf(stderr, "%-40s source: %s, destination: %s\n", lie->fault, lab->why[0], lab->why[1]);
    CHECK(state == end);
    CHECK(!lie->source_says[0] || !strcmp(lab->why[0], lie->source_says));
    CHECK(!lie->destination_says[0] || !strcmp(lab->why[1], lie->destination_says));
}

static void a_source_that_lies_keeps_its_guest(struct lab *lab)
{
    static const struct lie lies[] = {
        {"source lie-give", "secret-forged", ""},
        {"source lie-key-as-ready", "secret-forged", ""},
        {"source lie-running", "secret-forged", ""},
        {"source lie-no-verdict", "verdict-unknown", ""},
        {"source lie-other-verdict", "verdict-unknown", ""},
        {"source lie-done", "", ""},
        {"source lie-two-at-once", "job-broke-rules", ""},
        {"source lie-other-role", "job-broke-rules", ""},
        {"source lie-stop-twice", "job-out-of-order", ""},
        {"source lie-save-twice", "", ""}, /* out of order, or beside the first */
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(lies); i++)
        tell(lab, &lies[i], false, MOVE_FAILED);
    CHECK(attempt(lab, "", false) == MOVE_DONE);
}

static void a_destination_that_lies_starts_nothing(struct lab *lab)
{
    static const struct lie lies[] = {
        {"destination lie-ready", "", "handover-out-of-order"},
        {"destination lie-commit", "", "secret-forged"},
        {"destination lie-ticket-as-commit", "", "secret-forged"},
        {"destination lie-old-commit", "", "secret-forged"},
        {"destination lie-done", "", ""},
        {"destination lie-two-at-once", "", "job-broke-rules"},
        {"destination lie-other-role", "", "job-broke-rules"},
        {"destination lie-rubbish", "", ""},
    };
    /* It may still tell the source READY; the manager then brings the verdict that nothing runs there. */
    static const struct lie with_ready = {"destination lie-ready-as-commit", "", "secret-forged"};
    /* So that its job has seen a COMMIT, of the move before the last. */
    CHECK(attempt(lab, "", false) == MOVE_DONE);
    CHECK(attempt(lab, "", false) == MOVE_DONE);
    for (unsigned i = 0; i < G_N_ELEMENTS(lies); i++)
        tell(lab, &lies[i], false, MOVE_FAILED);
    tell(lab, &with_ready, true, MOVE_FAILED);
    CHECK(attempt(lab, "", false) == MOVE_DONE);
}

/* After GIVEN only the destination's own verdict ends the guest here or lets it run: the manager brings it.
 */
static void what_a_job_knows_after_given_decides_nothing(struct lab *lab)
{
    static const struct lie lies[] = {
        {"source lie-give-again", "", ""},       {"source lie-commit-as-running", "", ""},
        {"source lie-ready-as-running", "", ""}, {"source lie-ready-as-returned", "", ""},
        {"source lie-done-when-given", "", ""},  {"destination lie-aborted", "", ""},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(lies); i++)
        tell(lab, &lies[i], true, MOVE_DONE);
}

static void requests_in_any_order_move_nothing(struct lab *lab)
{
    for (unsigned i = 0; i < 2 * N_ORDERS; i++) {
        g_autofree char *fault =
            g_strdup_printf("%s lie-order-%u", i % 2 ? "source" : "destination", i / 2 + 1);
        tell(lab, &(struct lie){fault, "", ""}, false, MOVE_FAILED);
    }
    CHECK(attempt(lab, "", false) == MOVE_DONE);
}

static void end_both(struct lab *lab, const char *id)
{
    const struct err why = {.code = ERR_CANCELLED, .id = "test"};
    (void)moves_cancel(agent_of(lab, true), id, &why, NULL);
    (void)moves_cancel(agent_of(lab, false), id, &why, NULL);
    wait_for_state(agent_of(lab, true), id, MOVE_DONE);
    wait_for_state(agent_of(lab, false), id, MOVE_DONE);
    CHECK(status_of(agent_of(lab, true), id).state == MOVE_FAILED);
    check_one_runner(lab);
    CHECK(moves_forget(agent_of(lab, true), id, NULL) == 0 &&
          moves_forget(agent_of(lab, false), id, NULL) == 0);
}

/* Neither is the agent kept from its work by them, nor by what they make it write down. */
static void a_flood_of_reports_is_cancelled_like_any_move(struct lab *lab)
{
    static const char *const floods[] = {"source lie-flood", "destination lie-flood"};
    for (unsigned i = 0; i < G_N_ELEMENTS(floods); i++) {
        struct move_spec spec = {0};
        (void)fprintf(stderr, "---- %s\n", floods[i]);
        set_fault(lab, floods[i]);
        start_move(lab, &spec);
        struct agent *flooded = agent_of(lab, i == 0);
        while (status_of(flooded, spec.id).bytes_on_wire < 2000)
            (void)g_main_context_iteration(NULL, TRUE);
        struct move_status status = status_of(flooded, spec.id);
        CHECK(status.n_rounds <= MOVE_ROUNDS_MAX && status.timeline.n_events <= MOVE_EVENTS_MAX);
        /* The guest's own proof that it runs on; the fake job of a source has stopped it by now otherwise. */
        struct vm *vm = vm_on(lab, lab->source);
        if (i == 0)
            (void)wait_for_console(vm, "CHK t_ms=", console_size(vm));
        end_both(lab, spec.id);
    }
}

/* A guest that the job had stopped is not kept so for longer than the operator's limit. */
static void a_stop_without_an_end_is_taken_back(struct lab *lab)
{
    struct move_spec spec;
    (void)fprintf(stderr, "---- source lie-stop-and-flood\n");
    set_fault(lab, "source lie-stop-and-flood");
    prepare_move(lab, &spec);
    spec.options.switchover_limit_s = 1;
    start_move(lab, &spec);
    wait_for_state(agent_of(lab, true), spec.id, MOVE_DONE);
    CHECK(!strcmp(status_of(agent_of(lab, true), spec.id).error.id, "switchover-limit"));
    end_both(lab, spec.id);
    CHECK(attempt(lab, "", false) == MOVE_DONE);
}

/* Its heartbeat would say that all is well: this one sends none, and promises nothing by it. */
static void a_guest_is_not_held_up_for_ever(struct lab *lab)
{
    tell(lab, &(struct lie){"source lie-hold", "guest-held-up", ""}, false, MOVE_FAILED);
    struct vm *vm = vm_on(lab, lab->source);
    (void)wait_for_console(vm, "CHK t_ms=", console_size(vm)); /* the guest's own proof */
    CHECK(attempt(lab, "", false) == MOVE_DONE);
}

int main(void)
{
    struct lab lab = {0};
    if (geteuid() != 0)
        return 77;
    lab_up(&lab, NULL, NULL);
    lab_start_guest(&lab);
    a_source_that_lies_keeps_its_guest(&lab);
    a_destination_that_lies_starts_nothing(&lab);
    what_a_job_knows_after_given_decides_nothing(&lab);
    requests_in_any_order_move_nothing(&lab);
    a_flood_of_reports_is_cancelled_like_any_move(&lab);
    a_stop_without_an_end_is_taken_back(&lab);
    a_guest_is_not_held_up_for_ever(&lab);
    lab_down(&lab);
    return 0;
}
