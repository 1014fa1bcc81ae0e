/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network between both ends of a rig that breaks where a test says. The channels are real TCP connections
 * through a thread that passes bytes on; connections that are lost are made anew by the engine's `reconnect`,
 * through the same thread. The n-th set of connections breaks by the n-th cut; later ones hold.
 */
#ifndef TESTS_ENGINE_CUTTER_H
#define TESTS_ENGINE_CUTTER_H

#include "rig.h"

#define CUTTER_SETS_MAX 8

enum cutter_how {
    CUTTER_CLOSE,  /* both ends hear of it */
    CUTTER_HALF,   /* the source hears of it, for the destination all seems to be alive */
    CUTTER_FREEZE, /* nobody hears anything any more */
};
enum cutter_when {
    CUTTER_NEVER,
    CUTTER_AFTER,     /* when so many bytes went to the destination over this set */
    CUTTER_AT_ANSWER, /* when the destination answers: its word is lost */
    CUTTER_IN_ROUND,  /* when the first bytes of this round went over */
};
struct cutter_cut {
    enum cutter_when when;
    enum cutter_how how;
    uint64_t bytes;
    uint32_t round;
    bool only_one; /* the last channel; the others stay */
};

struct cutter {
    struct cutter_cut cuts[CUTTER_SETS_MAX];
    struct rig *rig;
    uint32_t n_rounds; /* not 0: the guests of `rig` write in each of so many rounds, then no more */
    bool stays_down;   /* after the first cut nobody can connect, and the wait for it is cancelled, `why` */
    struct cancel *cancel;
    const struct err *why;

    struct thread thread;
    int knock[2]; /* sets of the destination's sockets, for its reconnect */
    int news[2];  /* struct cutter_set from who connects to the thread; its end ends the thread */
    int listener;
    unsigned n_channels;
    uint32_t round;      /* atomic: the source's */
    uint64_t delivered;  /* bytes to the destination, over all sets; atomic */
    unsigned n_sets;     /* atomic */
    uint64_t at_connect; /* `delivered` when the latest set was made */
};

/* Wires `attempt`, whose n_channels is set, to the cutter: rig_run and rig_move then go through it. The
 * attempt's user is the cutter, its round_done is taken. */
void cutter_init(struct cutter *cutter, struct rig_attempt *attempt);
void cutter_clear(struct cutter *cutter);

#endif
