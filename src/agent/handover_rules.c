/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/handover_rules.h"

const char *handover_event_name(enum handover_event event)
{
    static const char *const names[] = {
        [HANDOVER_DOUBT] = "DOUBT",
        [HANDOVER_RECOVERED] = "RECOVERED",
        [HANDOVER_GIVE] = "GIVE",
        [HANDOVER_RUNNING] = "RUNNING",
        [HANDOVER_ABORTED] = "ABORTED",
        [HANDOVER_RETURNED] = "RETURNED",
        [HANDOVER_LOADED] = "LOADED",
        [HANDOVER_COMMIT] = "COMMIT",
        [HANDOVER_CONT_RAN] = "CONT_RAN",
        [HANDOVER_CONT_FAILED] = "CONT_FAILED",
        [HANDOVER_CONT_UNKNOWN] = "CONT_UNKNOWN",
        [HANDOVER_OVERRULED] = "OVERRULED",
    };
    return (unsigned)event < sizeof names / sizeof *names ? names[event] : "?";
}

static const struct handover_plan refuse = {JOURNAL_NONE, ACT_REFUSE};
static const struct handover_plan nothing = {JOURNAL_NONE, ACT_NOTHING};

static struct handover_plan take_back(const struct handover_view *view)
{
    enum handover_act act = view->qemu_lives && view->is_stopped ? ACT_CONT : ACT_NOTHING;
    return (struct handover_plan){JOURNAL_RESUMED, act};
}

/* Before GIVEN nothing that the destination says can take the VM away. */
static struct handover_plan decide_sending(const struct handover_view *view, enum handover_event event)
{
    switch (event) {
    case HANDOVER_DOUBT:
    case HANDOVER_RECOVERED:
        return take_back(view);
    case HANDOVER_GIVE:
        if (view->is_authentic && view->can_go_on)
            return (struct handover_plan){JOURNAL_GIVEN, ACT_RELEASE_COMMIT};
        return refuse;
    default:
        return refuse;
    }
}

/* After GIVEN only an authentic verdict moves anything. */
static struct handover_plan decide_given(const struct handover_view *view, enum handover_event event)
{
    switch (event) {
    case HANDOVER_DOUBT:
    case HANDOVER_RECOVERED:
        return nothing;
    case HANDOVER_GIVE:
        return view->is_authentic ? (struct handover_plan){JOURNAL_NONE, ACT_RELEASE_COMMIT} : refuse;
    case HANDOVER_RUNNING:
        return view->is_authentic ? (struct handover_plan){JOURNAL_GONE, ACT_END} : refuse;
    case HANDOVER_ABORTED:
    case HANDOVER_RETURNED:
        return view->is_authentic ? take_back(view) : refuse;
    default:
        return refuse;
    }
}

static struct handover_plan decide_source(const struct handover_view *view, enum handover_event event)
{
    switch (view->step) {
    case JOURNAL_SENDING:
        return decide_sending(view, event);
    case JOURNAL_GIVEN:
        return decide_given(view, event);
    case JOURNAL_GONE:
        if (event == HANDOVER_RECOVERED || (event == HANDOVER_RUNNING && view->is_authentic))
            return (struct handover_plan){JOURNAL_NONE, ACT_END};
        return event == HANDOVER_DOUBT ? nothing : refuse;
    case JOURNAL_RESUMED:
        if (event == HANDOVER_RECOVERED && view->qemu_lives && view->is_stopped)
            return (struct handover_plan){JOURNAL_NONE, ACT_CONT};
        if (event == HANDOVER_RECOVERED || event == HANDOVER_DOUBT)
            return nothing;
        if ((event == HANDOVER_ABORTED || event == HANDOVER_RETURNED) && view->is_authentic)
            return nothing;
        return refuse;
    default:
        return refuse;
    }
}

static struct handover_plan decide_incoming(const struct handover_view *view, enum handover_event event)
{
    switch (event) {
    case HANDOVER_DOUBT:
    case HANDOVER_RECOVERED:
        return (struct handover_plan){JOURNAL_ABORTED, ACT_END};
    case HANDOVER_LOADED:
        return view->can_go_on ? (struct handover_plan){JOURNAL_NONE, ACT_RELEASE_READY} : refuse;
    case HANDOVER_COMMIT:
        if (!view->is_authentic)
            return refuse;
        if (!view->can_go_on || !view->qemu_lives)
            return (struct handover_plan){JOURNAL_ABORTED, ACT_END};
        return (struct handover_plan){JOURNAL_OWNED, ACT_CONT};
    default:
        return refuse;
    }
}

/* OWNED: a `cont` that surely failed, and was the only one, gives the VM back; any other outcome counts as
 * having run. */
static struct handover_plan decide_owned(const struct handover_view *view, enum handover_event event)
{
    switch (event) {
    case HANDOVER_RECOVERED:
        return view->qemu_lives && view->is_stopped ? (struct handover_plan){JOURNAL_NONE, ACT_CONT}
                                                    : nothing;
    case HANDOVER_COMMIT:
        return view->is_authentic ? (struct handover_plan){JOURNAL_NONE, ACT_RELEASE_VERDICT} : refuse;
    case HANDOVER_CONT_RAN:
        return (struct handover_plan){JOURNAL_NONE, ACT_RELEASE_VERDICT};
    case HANDOVER_CONT_UNKNOWN:
        return (struct handover_plan){JOURNAL_NONE, view->qemu_lives ? ACT_RETRY : ACT_RELEASE_VERDICT};
    case HANDOVER_CONT_FAILED:
        if (view->cont_tried)
            return (struct handover_plan){JOURNAL_NONE, ACT_RETRY};
        return (struct handover_plan){JOURNAL_RETURNED, ACT_END};
    case HANDOVER_DOUBT:
        return nothing;
    default:
        return refuse;
    }
}

static struct handover_plan decide_destination(const struct handover_view *view, enum handover_event event)
{
    switch (view->step) {
    case JOURNAL_INCOMING:
        return decide_incoming(view, event);
    case JOURNAL_OWNED:
        return decide_owned(view, event);
    case JOURNAL_ABORTED:
    case JOURNAL_RETURNED:
        if (event == HANDOVER_RECOVERED)
            return (struct handover_plan){JOURNAL_NONE, ACT_END};
        if (event == HANDOVER_COMMIT && view->is_authentic)
            return (struct handover_plan){JOURNAL_NONE, ACT_RELEASE_VERDICT};
        return event == HANDOVER_DOUBT ? nothing : refuse;
    default:
        return refuse;
    }
}

struct handover_plan handover_decide(const struct handover_view *view, enum handover_event event)
{
    if (event == HANDOVER_OVERRULED)
        return (struct handover_plan){JOURNAL_NONE, ACT_LET_GO};
    if (view->is_overruled)
        return refuse;
    return view->is_destination ? decide_destination(view, event) : decide_source(view, event);
}
