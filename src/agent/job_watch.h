/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sees to it that a job that falls silent is ended (ctl/beat.h), in two ways: by a thread, which does not
 * care how busy the main loop is, and by a process, which does not care whether the agent lives. Main-loop
 * thread.
 */
#ifndef AGENT_JOB_WATCH_H
#define AGENT_JOB_WATCH_H

#include <stdbool.h>
#include <sys/types.h>

#include "agent/agent.h"

struct job_watch;

/* The page of the heartbeat, before there is a job. */
int job_watch_new(struct job_watch **ret_watch, struct err *err);
/* What the job inherits of it; stays the watch's. */
int job_watch_page(const struct job_watch *watch);
/* Starts both watchers of the job behind pidfd (duplicated). `unguarded` is called once if the process ends
 * before the job does: the job must not go on then. */
int job_watch_start(struct job_watch *watch, const struct agent_config *config, int pidfd,
                    void (*unguarded)(void *user), void *user, struct err *err);
/* How long the job had been silent when it was ended for it; 0: it was not. */
unsigned job_watch_silence_ms(const struct job_watch *watch);
/* Ends both watchers. `unguarded` is not called any more. NULL ok. */
void job_watch_free(struct job_watch *watch);

#endif
