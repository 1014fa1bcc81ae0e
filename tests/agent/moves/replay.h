/* SPDX-License-Identifier: Apache-2.0 */
/* A run of the model, and the world in which it is replayed: two hosts (replay_host.h), their disks, and what
 * is known of each session. */
#ifndef TESTS_AGENT_MOVES_REPLAY_H
#define TESTS_AGENT_MOVES_REPLAY_H

#include <glib.h>

#include "agent/move.h"
#include "tests/agent/moves/replay_host.h"

#define SESSIONS 8 /* epochs of two attempts, and one more each for what takes the VM back */

/* One host as the model sees it. */
struct view {
    unsigned up, unsynced;
    unsigned is_tainted;       /* the write of GIVEN has failed, and RESUMED is not written yet */
    enum journal_step out, in; /* the last session as source, as destination */
    unsigned out_epoch, in_epoch;
    enum replay_qemu qemu;
    unsigned pending, has_job, is_stopped, is_sure, has_failed;
};

struct step {
    char name[16];
    unsigned host;
    struct view view[2]; /* after it */
};

/* What the world knows of a session: nobody can present what is not here. */
struct session {
    char id[MODEL_UUID_SIZE];
    bool has_ticket, is_shown, is_started;
    struct move_spec ticket, shown; /* as the source has answered, and the destination */
    bool has_ready, has_commit, has_verdict[VERDICT_RETURNED + 1];
    uint8_t ready[MOVE_SECRET_SIZE], commit[MOVE_SECRET_SIZE];
    uint8_t verdict[VERDICT_RETURNED + 1][MOVE_SECRET_SIZE];
};

struct host {
    unsigned number;
    char folder[64];
    pid_t agent; /* 0: none; one that the model has started comes up when something is asked of it */
    int socket;
    bool is_death_untold; /* of its QEMU */
    char *disk;           /* the journal's file as the power failure finds it, or NULL */
    gsize disk_size;
    char *shown; /* the same as the page cache shows it after a sync that failed: what is not written since
                    stays off the disk; or NULL */
    ino_t shown_file; /* its number then */
    struct view view;
    struct replay_answer answer; /* the last one */
};

struct run {
    char folder[32];
    char uuid[MODEL_UUID_SIZE];
    unsigned seed;
    GRand *random;
    GArray *steps;
    unsigned at;
    struct host host[2];
    struct session session[SESSIONS];
    bool is_disk_lost;
    GHashTable *count; /* name of a step -> how often it was replayed */
    unsigned n_steps, n_refused;
};
extern struct run run;

/* Says where the run was, what both agents have printed, leaves nothing behind, and exits. */
void __attribute__((format(printf, 1, 2), noreturn)) fail(const char *format, ...);
/* Ends the agents, removes the folder. */
void tidy(void);

#define CHECK(condition, ...)                                                                                \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            fail(__VA_ARGS__);                                                                               \
    } while (0)

/* ---- replay_trace.c ---- */
/* The steps of one run of $MODEL by Spin, with its preprocessor flags, into run.steps. */
void draw_steps(const char *const *flags);

/* ---- replay_world.c ---- */
/* A journal says of a host: the record with the higher epoch. */
bool is_source(const struct view *view);
enum journal_step step_of(const struct view *view);
unsigned epoch_of(const struct view *view);
bool owns(const struct view *view);
bool may_run(const struct view *view);
/* The session that the record belongs to. */
struct session *session_of(const struct view *view);
enum move_verdict verdict_of(enum journal_step step);

/* True once in so many times. */
bool toss(unsigned one_in);
bool is_zero(const uint8_t secret[MOVE_SECRET_SIZE]);
/* A new host; the first owns the VM, which runs. */
void host_new(unsigned number);
/* Orders to an agent; host->answer is what they return. */
struct replay_answer *order(struct host *host, const struct replay_order *what);
struct replay_answer *tell(struct host *host, enum replay_verb verb, unsigned kind);
struct replay_answer *ask(struct host *host, enum replay_verb verb, const struct session *session,
                          const uint8_t secret[MOVE_SECRET_SIZE]);
struct replay_answer *job_asks(struct host *host, enum ctl_type type, const uint8_t secret[MOVE_SECRET_SIZE],
                               enum move_verdict verdict);
void need_agent(struct host *host);
void kill_agent(struct host *host);
/* What was written is on the disk; what was not synced is not. After a failed sync only the page cache has
 * what was written until then. */
void disk_has_it(struct host *host);
void disk_lost_it(struct host *host);
void disk_never_gets_it(struct host *host);
/* All that the host knew of its VMs is gone. */
void disk_is_lost(struct host *host);
bool has_journal(const struct host *host);
/* The agent and its journal are as the model's. */
void check_host(struct host *host);
/* What follows without a step of the model: QEMU has ended, or runs already. False: nothing. */
bool follow(struct host *host);

#endif
