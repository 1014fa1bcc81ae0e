/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heartbeat of a job. A job that is stopped (a signal, a debugger, a frozen control group) does not die,
 * so nobody hears of it; but a guest may wait for it: a write to a page that the synchronous dirty source has
 * protected, or the end of the switch-over. So it beats in a page of shared memory, and who watches the page
 * kills it by pidfd when it falls silent: its userfaultfds close, which lets the guest's threads go.
 *
 * Two watchers, independent of each other: a thread of the agent (agent/job_watch.c), and a process of its
 * own (godwit-guard), for the case that the agent is stopped as well. A dead agent takes its jobs along.
 *
 * Silence is counted in the watcher's own wake-ups: a machine that is too busy to run the job is too busy to
 * run the watcher. While the guest may be waiting BEAT_URGENT of them without a beat are the end, else
 * BEAT_PATIENT.
 *
 * A process that is stopped beats nowhere. So `alive` is what tells: its thread only sleeps, and is run as
 * soon as the watcher's. The thread behind `faults` has work to do, and waits for the processor among others;
 * one that hangs is noticed after BEAT_PATIENT.
 */
#ifndef CTL_BEAT_H
#define CTL_BEAT_H

#include <stdint.h>

#include "base/err.h"

#define BEAT_INTERVAL_MS 50
#define BEAT_URGENT 5
#define BEAT_PATIENT 60

/* Zeroed by beat_new. All members are atomic. A counter that is 0 promises nothing. */
struct beat {
    uint64_t alive;  /* raised every BEAT_INTERVAL_MS by a thread of the job that does nothing else */
    uint64_t faults; /* raised as often, if it gets to run, by the thread that releases the guest's writes,
                        while they may wait for it */
    uint32_t guest_waits; /* 1: the guest is stopped until this job has done its part */
    uint32_t silent_ms;   /* set by the watcher that kills the job for its silence, before it does */
};

enum beat_end {
    BEAT_PROCESS_ENDED,
    BEAT_PROCESS_KILLED,
    BEAT_WATCH_STOPPED,
};

/* Agent. The descriptor is close-on-exec and its size sealed: a job cannot take the page from under a
 * watcher. Both are the caller's (beat_unmap, close). */
int beat_new(struct beat **ret_beat, int *ret_fd, struct err *err);
/* Job, guard: the page behind a descriptor of beat_new, which stays the caller's. */
int beat_map(int fd, struct beat **ret_beat, struct err *err);
/* NULL ok. */
void beat_unmap(struct beat *beat);
/* One beat. Never makes the counter 0. */
void beat_raise(uint64_t *counter);
/* Watches until the process of `pidfd` has ended, was killed by this call for its silence, or stop_fd (-1:
 * none) is readable. */
enum beat_end beat_watch(struct beat *beat, int pidfd, int stop_fd);
/* How long the job was silent before a watcher killed it; 0: none did. A job can write here too: good for a
 * message only. */
unsigned beat_silence_ms(const struct beat *beat);

#endif
