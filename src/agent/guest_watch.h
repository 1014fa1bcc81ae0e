/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sees to it that a job gives the guest's writes back. A job that is stopped falls silent
 * (agent/job_watch.h); one with a defect, or that was taken over, may beat on while a thread of QEMU waits in
 * the kernel for a page that nobody releases. The kernel tells: the thread sleeps in handle_userfault
 * (proc_pid_wchan(5)) and has not been switched to since. Who waits for the throttle goes on within
 * milliseconds, and waits anew.
 *
 * A thread of its own, which does not care how busy the main loop is. It counts its own wake-ups: a machine
 * that is too busy to run the job is too busy to run it. What it cannot see: KVM lets a guest that wants that
 * (asynchronous page faults) halt instead of its thread. Main-loop thread.
 */
#ifndef AGENT_GUEST_WATCH_H
#define AGENT_GUEST_WATCH_H

#include "base/err.h"

#define GUEST_WATCH_INTERVAL_MS 250
/* Of them in a row are the end of the job. */
#define GUEST_WATCH_PATIENT 12

struct guest_watch;

/* Both pidfds are duplicated. */
int guest_watch_start(int qemu_pidfd, int job_pidfd, struct guest_watch **ret_watch, struct err *err);
/* How long a thread of the guest had waited when the job was ended for it; 0: it was not. NULL: 0. */
unsigned guest_watch_held_ms(const struct guest_watch *watch);
/* NULL ok. */
void guest_watch_free(struct guest_watch *watch);

#endif
