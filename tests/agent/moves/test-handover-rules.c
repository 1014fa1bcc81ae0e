/* SPDX-License-Identifier: Apache-2.0 */
/* The handover's decisions: every step, every event, every circumstance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "agent/handover_rules.h"

#define N_STEPS (JOURNAL_RETURNED + 1)
#define N_EVENTS (HANDOVER_OVERRULED + 1)

/* Every circumstance as one number, so that a promise can be checked against all of them. */
#define N_VIEWS 64u
static struct handover_view view_of(enum journal_step step, bool is_destination, unsigned bits)
{
    return (struct handover_view){.step = step,
                                  .is_destination = is_destination,
                                  .is_authentic = bits & 1,
                                  .can_go_on = bits & 2,
                                  .qemu_lives = bits & 4,
                                  .is_stopped = bits & 8,
                                  .cont_tried = bits & 16,
                                  .is_overruled = bits & 32};
}

struct row {
    enum journal_step step;
    bool is_destination;
    enum handover_event event;
    const char *circumstance; /* letters: a(uthentic) g(o on) l(ives) s(topped) t(ried) */
    enum journal_step write;
    enum handover_act act;
};

static const struct row table[] = {
    /* source, before GIVEN: any doubt takes the VM back; a guest that was never stopped just goes on */
    {JOURNAL_SENDING, false, HANDOVER_DOUBT, "ls", JOURNAL_RESUMED, ACT_CONT},
    {JOURNAL_SENDING, false, HANDOVER_DOUBT, "gls", JOURNAL_RESUMED, ACT_CONT},
    {JOURNAL_SENDING, false, HANDOVER_DOUBT, "l", JOURNAL_RESUMED, ACT_NOTHING},
    {JOURNAL_SENDING, false, HANDOVER_DOUBT, "s", JOURNAL_RESUMED, ACT_NOTHING},
    {JOURNAL_SENDING, false, HANDOVER_RECOVERED, "ls", JOURNAL_RESUMED, ACT_CONT},
    {JOURNAL_SENDING, false, HANDOVER_GIVE, "agls", JOURNAL_GIVEN, ACT_RELEASE_COMMIT},
    {JOURNAL_SENDING, false, HANDOVER_GIVE, "gls", JOURNAL_NONE, ACT_REFUSE},
    {JOURNAL_SENDING, false, HANDOVER_GIVE, "als", JOURNAL_NONE, ACT_REFUSE},
    {JOURNAL_SENDING, false, HANDOVER_RUNNING, "agls", JOURNAL_NONE, ACT_REFUSE},
    /* source, after GIVEN: nothing but an authentic verdict */
    {JOURNAL_GIVEN, false, HANDOVER_DOUBT, "ls", JOURNAL_NONE, ACT_NOTHING},
    {JOURNAL_GIVEN, false, HANDOVER_RECOVERED, "ls", JOURNAL_NONE, ACT_NOTHING},
    {JOURNAL_GIVEN, false, HANDOVER_GIVE, "als", JOURNAL_NONE, ACT_RELEASE_COMMIT},
    {JOURNAL_GIVEN, false, HANDOVER_RUNNING, "als", JOURNAL_GONE, ACT_END},
    {JOURNAL_GIVEN, false, HANDOVER_RUNNING, "a", JOURNAL_GONE, ACT_END},
    {JOURNAL_GIVEN, false, HANDOVER_RUNNING, "ls", JOURNAL_NONE, ACT_REFUSE},
    {JOURNAL_GIVEN, false, HANDOVER_ABORTED, "als", JOURNAL_RESUMED, ACT_CONT},
    {JOURNAL_GIVEN, false, HANDOVER_ABORTED, "ls", JOURNAL_NONE, ACT_REFUSE},
    {JOURNAL_GIVEN, false, HANDOVER_RETURNED, "als", JOURNAL_RESUMED, ACT_CONT},
    {JOURNAL_GIVEN, false, HANDOVER_RETURNED, "a", JOURNAL_RESUMED, ACT_NOTHING},
    {JOURNAL_GIVEN, false, HANDOVER_RETURNED, "ls", JOURNAL_NONE, ACT_REFUSE},
    /* source, over: repeated */
    {JOURNAL_GONE, false, HANDOVER_RUNNING, "a", JOURNAL_NONE, ACT_END},
    {JOURNAL_GONE, false, HANDOVER_RECOVERED, "ls", JOURNAL_NONE, ACT_END},
    {JOURNAL_GONE, false, HANDOVER_RETURNED, "als", JOURNAL_NONE, ACT_REFUSE},
    {JOURNAL_RESUMED, false, HANDOVER_RECOVERED, "ls", JOURNAL_NONE, ACT_CONT},
    {JOURNAL_RESUMED, false, HANDOVER_RECOVERED, "l", JOURNAL_NONE, ACT_NOTHING},
    {JOURNAL_RESUMED, false, HANDOVER_ABORTED, "al", JOURNAL_NONE, ACT_NOTHING},
    {JOURNAL_RESUMED, false, HANDOVER_GIVE, "agls", JOURNAL_NONE, ACT_REFUSE},
    {JOURNAL_RESUMED, false, HANDOVER_RUNNING, "al", JOURNAL_NONE, ACT_REFUSE},
    /* destination, before OWNED */
    {JOURNAL_INCOMING, true, HANDOVER_LOADED, "gl", JOURNAL_NONE, ACT_RELEASE_READY},
    {JOURNAL_INCOMING, true, HANDOVER_LOADED, "l", JOURNAL_NONE, ACT_REFUSE},
    {JOURNAL_INCOMING, true, HANDOVER_COMMIT, "agl", JOURNAL_OWNED, ACT_CONT},
    {JOURNAL_INCOMING, true, HANDOVER_COMMIT, "gl", JOURNAL_NONE, ACT_REFUSE},
    {JOURNAL_INCOMING, true, HANDOVER_COMMIT, "al", JOURNAL_ABORTED, ACT_END},
    {JOURNAL_INCOMING, true, HANDOVER_COMMIT, "a", JOURNAL_ABORTED, ACT_END},
    {JOURNAL_INCOMING, true, HANDOVER_DOUBT, "gl", JOURNAL_ABORTED, ACT_END},
    {JOURNAL_INCOMING, true, HANDOVER_RECOVERED, "gl", JOURNAL_ABORTED, ACT_END},
    /* destination, OWNED */
    {JOURNAL_OWNED, true, HANDOVER_CONT_RAN, "gl", JOURNAL_NONE, ACT_RELEASE_VERDICT},
    {JOURNAL_OWNED, true, HANDOVER_CONT_UNKNOWN, "g", JOURNAL_NONE, ACT_RELEASE_VERDICT},
    {JOURNAL_OWNED, true, HANDOVER_CONT_UNKNOWN, "gl", JOURNAL_NONE, ACT_RETRY},
    {JOURNAL_OWNED, true, HANDOVER_CONT_FAILED, "gl", JOURNAL_RETURNED, ACT_END},
    {JOURNAL_OWNED, true, HANDOVER_CONT_FAILED, "lst", JOURNAL_NONE, ACT_RETRY},
    {JOURNAL_OWNED, true, HANDOVER_RECOVERED, "lst", JOURNAL_NONE, ACT_CONT},
    {JOURNAL_OWNED, true, HANDOVER_RECOVERED, "lt", JOURNAL_NONE, ACT_NOTHING},
    {JOURNAL_OWNED, true, HANDOVER_RECOVERED, "t", JOURNAL_NONE, ACT_NOTHING},
    {JOURNAL_OWNED, true, HANDOVER_COMMIT, "a", JOURNAL_NONE, ACT_RELEASE_VERDICT},
    {JOURNAL_OWNED, true, HANDOVER_COMMIT, "", JOURNAL_NONE, ACT_REFUSE},
    {JOURNAL_OWNED, true, HANDOVER_DOUBT, "gl", JOURNAL_NONE, ACT_NOTHING},
    /* destination, over: refuses a later COMMIT by answering what it journaled */
    {JOURNAL_ABORTED, true, HANDOVER_COMMIT, "agl", JOURNAL_NONE, ACT_RELEASE_VERDICT},
    {JOURNAL_ABORTED, true, HANDOVER_COMMIT, "gl", JOURNAL_NONE, ACT_REFUSE},
    {JOURNAL_ABORTED, true, HANDOVER_RECOVERED, "l", JOURNAL_NONE, ACT_END},
    {JOURNAL_RETURNED, true, HANDOVER_COMMIT, "a", JOURNAL_NONE, ACT_RELEASE_VERDICT},
    {JOURNAL_RETURNED, true, HANDOVER_RECOVERED, "", JOURNAL_NONE, ACT_END},
};

static void table_holds(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct row *row = &table[i];
        struct handover_view view = {.step = row->step,
                                     .is_destination = row->is_destination,
                                     .is_authentic = strchr(row->circumstance, 'a'),
                                     .can_go_on = strchr(row->circumstance, 'g'),
                                     .qemu_lives = strchr(row->circumstance, 'l'),
                                     .is_stopped = strchr(row->circumstance, 's'),
                                     .cont_tried = strchr(row->circumstance, 't')};
        struct handover_plan plan = handover_decide(&view, row->event);
        if (plan.write != row->write || plan.act != row->act)
            fail_msg("%s + %s (%s): writes %s, act %d", journal_step_name(row->step),
                     handover_event_name(row->event), row->circumstance, journal_step_name(plan.write),
                     (int)plan.act);
    }
}

/* The promises, over all circumstances there are. */
static void no_plan_ever_breaks_a_promise(void **state)
{
    (void)state;
    for (unsigned n = 0; n < N_STEPS * N_EVENTS * 2 * N_VIEWS; n++) {
        unsigned rest = n;
        enum journal_step step = (enum journal_step)(rest % N_STEPS);
        rest /= N_STEPS;
        enum handover_event event = (enum handover_event)(rest % N_EVENTS);
        rest /= N_EVENTS;
        struct handover_view view = view_of(step, rest % 2, rest / 2);
        struct handover_plan plan = handover_decide(&view, event);
        enum journal_step after = plan.write == JOURNAL_NONE ? step : plan.write;
        if (plan.act == ACT_RELEASE_COMMIT)
            assert_true(after == JOURNAL_GIVEN && view.is_authentic && !view.is_destination);
        if (plan.act == ACT_CONT)
            assert_true(after == JOURNAL_RESUMED || after == JOURNAL_OWNED);
        if (plan.write == JOURNAL_OWNED)
            assert_true(view.is_destination && event == HANDOVER_COMMIT && view.is_authentic &&
                        view.can_go_on);
        if (plan.write == JOURNAL_GIVEN)
            assert_true(!view.is_destination && event == HANDOVER_GIVE && view.is_authentic &&
                        view.can_go_on);
        if (step == JOURNAL_GIVEN && plan.write != JOURNAL_NONE)
            assert_true(view.is_authentic && event >= HANDOVER_RUNNING && event <= HANDOVER_RETURNED);
        if (plan.write == JOURNAL_RETURNED)
            assert_true(event == HANDOVER_CONT_FAILED && !view.cont_tried && step == JOURNAL_OWNED);
        if (plan.act == ACT_END)
            assert_true(after == JOURNAL_GONE || after == JOURNAL_ABORTED || after == JOURNAL_RETURNED);
        if (plan.act == ACT_RELEASE_VERDICT)
            assert_true(after == JOURNAL_OWNED || after == JOURNAL_ABORTED || after == JOURNAL_RETURNED);
        /* What the operator settled is out of the move's hands. */
        if (event == HANDOVER_OVERRULED)
            assert_true(plan.write == JOURNAL_NONE && plan.act == ACT_LET_GO);
        else if (view.is_overruled)
            assert_true(plan.write == JOURNAL_NONE && plan.act == ACT_REFUSE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_holds),
        cmocka_unit_test(no_plan_ever_breaks_a_promise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
