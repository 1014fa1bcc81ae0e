/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The job's end of the control socket. A thread of its own receives, so that a CANCEL is seen at once
 * whatever the story does, and reports progress every 200 ms. Requests are made by the story, one at a time.
 */
#ifndef JOB_CONTROL_H
#define JOB_CONTROL_H

#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "ctl/ctl.h"
#include "engine/engine.h"
#include "job/relay.h"

struct control;

/* An answer of the agent. */
struct control_answer {
    int fd; /* owned by the receiver; -1: none came */
    uint32_t length;
    uint8_t body[CTL_SECRET_SIZE + 8]; /* longer than any answer to a job */
};

/* fd stays the caller's. Starts the thread. */
int control_new(int fd, struct control **ret_control, struct err *err);
/* Triggered by CANCEL and by the end of the socket. */
struct cancel *control_cancel(struct control *control);
/* Triggered by the end of the socket only. */
struct cancel *control_lost(struct control *control);

/* Sends a request; its answers are then taken with control_take. */
int control_request(struct control *control, uint32_t type, const void *body, size_t size, struct err *err);
/* Readable while an answer waits. */
int control_answer_fd(const struct control *control);
/* The next answer to the last request: 0, ERR_RETRY if there is none yet, or the agent's error (FAILED). */
int control_take(struct control *control, struct control_answer *ret_answer, struct err *err);

/* Reports. Failures mean that the agent is gone, which control_lost tells. */
void control_report(struct control *control, uint32_t type, const void *body, size_t size);
/* Sets the step of the progress reports and sends one now. */
void control_step(struct control *control, enum ctl_step step);
/* The cipher of the progress reports; "": none. */
void control_set_cipher(struct control *control, const char *cipher);
/* The addresses left out (bit i: number i) of the progress reports. */
void control_set_addresses_out(struct control *control, uint32_t addresses);
/* The strangers of the progress reports. */
void control_set_strangers(struct control *control, uint32_t n);
/* One progress report more, for what is worth knowing at once. */
void control_report_now(struct control *control);
/* The engine to ask for numbers from now on; both NULL before the engine is freed. Keeps the last numbers. */
void control_set_engine(struct control *control, const struct engine_source *source,
                        const struct engine_dest *dest);
/* Their bytes count as well; not owned. Before any of them is started. */
void control_set_relays(struct control *control, const struct relay *relays, unsigned n);
/* The last numbers of the engine seen. */
void control_snapshot(struct control *control, struct engine_snapshot *ret_snapshot);

/* Triggers control_cancel with `why` at limit_ns (CLOCK_MONOTONIC); 0 takes the limit off. */
void control_set_limit(struct control *control, uint64_t limit_ns, const struct err *why);

/* Joins the thread. NULL ok. */
void control_free(struct control *control);

#endif
