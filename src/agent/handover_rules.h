/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handover protocol as a pure function: what one side does about one event, given its last durable
 * journal step. No I/O, no clock, no secrets (the caller has checked them): a trace of the model can be
 * replayed against it. Events of one move are decided one after the other; the next one waits until the plan
 * of the one before is carried out.
 */
#ifndef AGENT_HANDOVER_RULES_H
#define AGENT_HANDOVER_RULES_H

#include <stdbool.h>

#include "agent/journal.h"

enum handover_event {
    HANDOVER_DOUBT,     /* job died, failed or lied, deadline, cancel, QEMU died: the attempt cannot go on */
    HANDOVER_RECOVERED, /* the agent has restarted */
    HANDOVER_GIVE,      /* source: READY has come */
    HANDOVER_RUNNING,   /* source: verdicts */
    HANDOVER_ABORTED,
    HANDOVER_RETURNED,
    HANDOVER_LOADED,   /* destination: memory and device state are there */
    HANDOVER_COMMIT,   /* destination: COMMIT has come, from the job or from the manager */
    HANDOVER_CONT_RAN, /* destination: what became of `cont` */
    HANDOVER_CONT_FAILED,
    HANDOVER_CONT_UNKNOWN,
    HANDOVER_OVERRULED, /* the operator settles the VM by hand: the attempt is over as it stands */
};

struct handover_view {
    enum journal_step step; /* of this session */
    bool is_destination;
    bool is_authentic; /* the secret that came with the event fits its hash */
    bool can_go_on;    /* source: guest stopped and saved; destination: device state loaded; QEMU lives */
    bool qemu_lives;
    bool is_stopped;   /* source: the guest stands, or was asked to */
    bool is_overruled; /* the journal is not this move's any more: it may do nothing */
    bool cont_tried;   /* destination: an earlier `cont`, whose outcome was lost, may have worked */
};

enum handover_act {
    ACT_NOTHING,         /* success, nothing to do */
    ACT_REFUSE,          /* wrong secret or wrong order */
    ACT_RETRY,           /* destination: the verdict is RUNNING, but QEMU may not run the guest yet: again */
    ACT_RELEASE_READY,   /* destination */
    ACT_RELEASE_COMMIT,  /* source */
    ACT_RELEASE_VERDICT, /* destination: the one that the journal holds */
    ACT_CONT,            /* run the guest here */
    ACT_LET_GO,          /* the move ends without an act or an entry of its own */
    ACT_END,             /* end QEMU and forget the VM; a destination then releases its verdict */
};

struct handover_plan {
    enum journal_step write; /* JOURNAL_NONE: nothing; else durable before `act` */
    enum handover_act act;
};

struct handover_plan handover_decide(const struct handover_view *view, enum handover_event event);
const char *handover_event_name(enum handover_event event);

#endif
