/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JOB_JOB_H
#define JOB_JOB_H

#include "job/story.h"

/* Receives the spec on the control socket, enters the sandbox, tells the story, reports the result; all the
 * time it beats in the page behind beat_fd (ctl/beat.h). Returns the process' exit status: 0 if the move
 * succeeded. */
int job_run(int control_fd, int beat_fd, const struct job_hooks *hooks);
/* What the engine finds on this kernel, as one JSON line on standard output. */
int job_probe(void);

#endif
