/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the destination hears connections from the door until they have proven to be the source's: all at the
 * same time, because who saw the ticket on the way can bring as many as he likes that say nothing. Those that
 * prove nothing in time are turned away, counted, and the first is logged. Thread: the story's.
 */
#ifndef JOB_RECEPTION_H
#define JOB_RECEPTION_H

#include <stdint.h>

#include "base/err.h"
#include "ctl/ctl.h"
#include "engine/stream.h"
#include "job/introduce.h"

struct job;

/* One move makes at most 25 at once. */
#define RECEPTION_MAX 64

struct arrival {
    struct stream stream; /* owned; fd -1: free */
    struct ctl_door_socket about;
    struct introduction_heard heard;
    short events;         /* of poll, that it waits for */
    uint64_t deadline_ns; /* for its proof */
};
struct reception {
    struct arrival all[RECEPTION_MAX];
    uint32_t n_strangers; /* connections with the ticket that were turned away */
};

void reception_init(struct reception *reception);
/* What is said on the control connection meanwhile: nothing is due, so it is an error or the end; or it is
 * for the story, which goes on while somebody is heard. */
enum reception_peer { PEER_IS_SILENT, PEER_IS_BUSY };

/* 1: the next connection that is the source's, whatever it is for; the caller owns it. 0: all who came were
 * strangers, nobody is left. -1: ERR_TIMEOUT, or the peer (unless it is busy) or the door is lost, or what
 * job->watch says; who is not heard yet will be by the next call. */
int reception_next(struct job *job, enum reception_peer peer, uint64_t deadline_ns,
                   struct ctl_door_socket *ret_about, struct stream *ret_stream, struct err *err);
/* Closes, counts and logs. */
void reception_turn_away(struct job *job, struct stream *stream, const struct err *why);
/* All who wait. */
void reception_clear(struct reception *reception);

#endif
