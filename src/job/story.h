/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a job does, told once for each side, straight line, phase by phase (job/source.c, job/dest.c).
 * One thread tells it; the control thread and the engine's workers are beside it.
 */
#ifndef JOB_STORY_H
#define JOB_STORY_H

#include "base/err.h"
#include "ctl/beat.h"
#include "ctl/ctl.h"
#include "engine/engine.h"
#include "engine/rate.h"
#include "job/control.h"
#include "job/peer.h"
#include "job/pulse.h"
#include "job/reception.h"
#include "job/relay.h"
#include "job/watch.h"

/* NULL members in production; tests link an executable of their own. */
struct job_hooks {
    void (*before_verify)(int ram_fd, void *user); /* as in engine_dest_config */
    void *user;
};

struct job {
    struct ctl_job_spec spec;
    int fds[CTL_SOURCE_FDS]; /* enum ctl_job_fd; -1 once handed to the engine */
    int qemu_pidfd;          /* source: our own copy, for the waits; else -1 */
    int state_stream;        /* destination: QEMU reads its device state from it; -1: not opened, or done */
    const struct job_hooks *hooks;
    struct control *control;
    struct beat *beat; /* NULL only until it is mapped */
    int memory_fd;     /* see memory.h */
    struct pulse pulse;
    struct watch watch;
    struct peer peer;
    struct stream channels[ENGINE_CHANNELS_MAX]; /* fd -1: none, or handed to the engine */
    struct reception reception;                  /* destination */
    struct stream disks[CTL_DISKS_MAX];          /* fd -1: none, or handed to a relay */
    struct relay relays[CTL_DISKS_MAX];
    struct rate rate; /* source: the cap of all that goes out */
    struct engine_source *source;
    struct engine_dest *dest;
    bool is_committed;  /* source: GIVE was asked; destination: CONT was asked. Only the agent stops us now */
    uint64_t ready_ns;  /* both sides ready */
    uint64_t switch_ns; /* source: the stop was asked for; destination: the switch-over began */
    struct wire_choice choice; /* what both sides agreed on */
    struct ctl_result result;
};

struct story_phase {
    const char *name; /* of the nine */
    enum ctl_step step;
    int (*run)(struct job *job, struct err *err);
};

/* Runs the phases in order; an error is placed in its phase. */
int story_run(struct job *job, const struct story_phase *phases, size_t n_phases, struct err *err);

/* The switch-over has come to this step now. */
void story_mark(struct job *job, enum ctl_mark mark);
/* A request to the agent and its (first) answer. A failing peer ends the wait unless is_committed. */
int story_ask(struct job *job, uint32_t type, const void *body, size_t size,
              struct control_answer *ret_answer, struct err *err);
/* The next answer to the last request. */
int story_answer(struct job *job, struct control_answer *ret_answer, struct err *err);
/* The answer must have this body, or a descriptor (ret_fd). */
int story_answer_body(const struct control_answer *answer, void *ret_body, size_t size, struct err *err);
int story_answer_fd(const struct control_answer *answer, int *ret_fd, struct err *err);
/* "source" or "destination". */
const char *story_side(const struct job *job);
/* True from the moment when the guest is stopped for this job, or will be: its silence is answered fast. */
void story_guest_waits(struct job *job, bool waits);
/* Tells the agent, with the next progress, by which cipher the control connection is protected. */
void story_note_cipher(struct job *job);
/* The data channels go to the engine. */
void story_hand_over_channels(struct job *job, int ret_fds[ENGINE_CHANNELS_MAX],
                              struct tls *ret_tls[ENGINE_CHANNELS_MAX]);
/* Whatever is left of the connections is closed. */
void story_drop_connections(struct job *job);
/* An outage is logged; `err` becomes what is said when it lasts too long. */
int story_resume_limit(const struct job *job, struct err *err);
/* Asks the agent for the socket of disk connection `number` to QEMU, and carries its bytes from then on. */
int story_start_disk(struct job *job, unsigned number, struct err *err);
/* The connections are no longer needed to be made again: the secrets go. */
void story_wipe_secrets(struct job *job);
/* From here on a CANCEL and a failing peer change nothing. */
void story_commit(struct job *job);

int source_story(struct job *job, struct err *err);
int dest_story(struct job *job, struct err *err);
int forecast_source_story(struct job *job, struct err *err);
int forecast_dest_story(struct job *job, struct err *err);

/* Parts of the stories of a move that a forecast tells as well. */
/* All connections, proven, and what both sides can do. */
int source_meet(struct job *job, struct err *err);
int dest_meet(struct job *job, struct err *err);
/* The guest's writes are tracked from then on. */
int source_start_engine(struct job *job, struct err *err);
int dest_receive(struct job *job, struct err *err);

#endif
