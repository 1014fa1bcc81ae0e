/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that shows that this process runs: it does nothing but beat (ctl/beat.h). */
#ifndef JOB_PULSE_H
#define JOB_PULSE_H

#include "base/thread.h"
#include "ctl/beat.h"

/* stop_fd is -1 before pulse_start. */
struct pulse {
    struct beat *beat; /* not owned */
    int stop_fd;
    struct thread thread;
};

/* `pulse` stays where it is until pulse_end. */
int pulse_start(struct pulse *pulse, struct beat *beat, struct err *err);
/* Also after a failed start. Nothing is promised any more. */
void pulse_end(struct pulse *pulse);

#endif
