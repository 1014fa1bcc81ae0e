/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's end of one job: starts the process, sends it its specification, and turns its messages into
 * calls. A job reads bytes from the network, so nothing of it is believed beyond size, range and order: the
 * first message that breaks the rules ends the job. Main-loop thread.
 */
#ifndef AGENT_JOB_CONTROL_H
#define AGENT_JOB_CONTROL_H

#include <stdbool.h>
#include <sys/types.h>

#include "agent/agent.h"
#include "base/err.h"
#include "ctl/ctl.h"

struct job_control;

struct job_handlers {
    /* NULL: the job may make none. A request with a body of the right size that this role may make. Answered
     * later, or from inside. */
    void (*request)(enum ctl_type type, const uint8_t *body, void *user);
    /* Numbers are clamped to what JSON can carry. */
    void (*progress)(const struct ctl_progress *progress, void *user);
    void (*round)(const struct ctl_round *round, void *user);
    /* The error's strings are terminated and printable, its code, phase and side are known ones. */
    void (*result)(const struct ctl_result *result, void *user);
    /* The job is gone or was ended for breaking the rules; nothing is called after it. Not called after
     * job_control_free. */
    void (*ended)(const struct err *why, void *user);
    /* Of a job that was started for a forecast; NULL: it may send none. */
    void (*forecast)(const struct ctl_forecast *forecast, void *user);
};

/* Starts libexec_dir/godwit-job and sends *spec with its descriptors (copied; they stay the caller's). */
int job_control_start(const struct agent_config *config, const struct ctl_job_spec *spec, const int *fds,
                      const struct job_handlers *handlers, void *user, struct job_control **ret_job,
                      struct err *err);
/* The same on a socket whose other end is no child of ours (tests). Takes over `socket` also on failure. */
int job_control_attach(int socket, const struct ctl_job_spec *spec, const int *fds,
                       const struct job_handlers *handlers, void *user, struct job_control **ret_job,
                       struct err *err);
/* Answer the pending request. `fd` >= 0 travels along (copied). With `more`, the request stays pending for a
 * second answer. No pending request: ignored. */
void job_control_answer(struct job_control *job, const void *body, size_t size, int fd, bool more);
void job_control_fail(struct job_control *job, const struct err *why);
/* Tells the job to end; one that has not gone after grace_ms is killed. */
void job_control_cancel(struct job_control *job, const struct err *why, unsigned grace_ms);
/* 0 once it has ended, or if it is no child of ours. */
pid_t job_control_pid(const struct job_control *job);
/* Kills the job if it is still there. NULL ok. */
void job_control_free(struct job_control *job);

#endif
