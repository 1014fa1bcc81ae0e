/* SPDX-License-Identifier: Apache-2.0 */
/* One side of one migration, as moves.c, move_source.c, move_dest.c and handover.c share it. Nobody else. */
#ifndef AGENT_MOVE_H
#define AGENT_MOVE_H

#include "agent/handover_rules.h"
#include "agent/job_control.h"
#include "agent/journal.h"
#include "agent/moves.h"
#include "agent/vm.h"

struct handover_answer {
    enum move_verdict verdict; /* destination: of `secret`; else VERDICT_NONE */
    uint8_t secret[MOVE_SECRET_SIZE];
};
typedef void (*handover_done)(struct move *move, const struct handover_answer *answer, const struct err *err,
                              void *user);

struct move {
    struct agent *agent;
    unsigned n_refs; /* the table's, one for each callback under way */
    struct move_status status;
    struct move_spec spec;
    struct journal *journal;
    struct journal_entry entry; /* of this session, as last written */
    struct vm *vm;              /* NULL once this side has let go of it */
    struct job_control *job;    /* NULL when there is none (any more) */
    struct premap *premap;      /* destination, until it is settled; else NULL */

    bool is_here; /* between datastores of this host: ownership has no part in it (agent/storage_move.h) */
    struct storage_move *storage; /* of such a move, until it is settled; else NULL */

    /* handover.c: events wait here while one is carried out */
    GQueue events;
    struct disk_flush *disk_flush; /* source: while it copies (agent/disk_flush.h) */
    struct disk_mirror *mirror;    /* source: while disks are copied (agent/disk_mirror.h); else NULL */
    guint copy_failed_timer;       /* source: a copy has failed, and the job may yet say why */
    struct err copy_error;         /* ... else it is this */
    void (*disks_finished)(struct move *move); /* what follows when that is over; NULL: it is not asked for */
    bool is_busy;
    bool is_tainted;         /* a write that failed may still be on the disk as GIVEN */
    bool is_overruled;       /* the operator settled the VM: nothing of this move counts any more */
    bool is_settled;         /* nobody's vCPUs or journal depend on this move any more */
    bool is_stopped;         /* source: the guest stands, or was asked to; destination: it stands */
    bool is_stream_open;     /* the job has asked for the device state's stream */
    int stream;              /* the job's end of it; -1: none yet, or no more */
    bool has_precedence;     /* while the guest stands (agent/precedence.h) */
    bool has_disks;          /* source: the disks that move have been equal on both sides */
    bool is_saved;           /* source: device state was saved and QEMU is in postmigrate */
    bool is_loaded;          /* destination: memory and device state are there */
    bool is_recovered;       /* destination: an earlier `cont` may have run */
    enum move_state outcome; /* when settled: MOVE_DONE or MOVE_FAILED */

    bool is_prepared;
    GSList *preparers;       /* struct preparer: who waits for prepare */
    GSList *watchers;        /* struct watcher */
    guint tell_timer;        /* the watchers are told then; holds a reference */
    guint limit_timer;       /* source: switch-over limit */
    guint lease_timer;       /* source: until the lease on the VM expires */
    int64_t probe_us;        /* monotonic clock, when the journal is tried next */
    uint64_t lease_bytes;    /* source: what was on the wire, and */
    uint64_t noted_throttle; /* source: as the timeline says it, bytes per second */
    int64_t down_ms;         /* wall clock, when the connections were lost last */
    uint32_t addresses_out;  /* source: bit i: address i is known to lead nowhere */
    uint32_t n_outage_notes; /* lines of the timeline about these */
    uint32_t n_strangers;  /* destination: as its job says, connections with the ticket and without the key */
    uint32_t lease_rounds; /* how many rounds were over, when the lease was renewed last */
    guint close_timer;     /* settled: until the job has gone */
};

static inline const char *move_side(const struct move *move)
{
    return move->status.is_source ? "source" : "destination";
}

/* ---- moves.c ---- */
/* Puts a new move into the table. */
struct move *move_new(struct agent *agent, const struct move_spec *spec, bool is_source);
/* Opens the file with its task's lines, until the move is over. */
void move_log(const struct move *move);
struct move *move_ref(struct move *move);
void move_unref(struct move *move);
/* Something visible has changed. */
void move_changed(struct move *move);
/* A line of this side's timeline; it is reported with the next change. `format` NULL: no detail. */
void move_note(struct move *move, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* To an error that ends a wait: what happened on this side last, and when. */
void move_say_last(const struct move *move, struct err *err);
/* The vm is held by this move from now on; its end is a doubt. */
void move_take_vm(struct move *move, struct vm *vm);
/* The phase that an error of this moment belongs to. */
const char *move_phase_now(const struct move *move);
/* The guest stands: its switch-over goes first, until this side has nothing left to do for it. */
void move_take_precedence(struct move *move);
/* Only forward. */
void move_set_state(struct move *move, enum move_state state);
/* The first error of a move is the one that is shown. */
void move_set_error(struct move *move, const struct err *why);
/* Registers who waits for prepare; move_prepared answers all of them, with *err unless it is NULL. */
void move_add_preparer(struct move *move, move_done done, void *user);
void move_prepared(struct move *move, const struct err *err);
/* A prepare that is repeated: the same answer, now or when it is known. */
void move_prepare_again(struct move *move, bool is_source, move_done done, void *user);
/* REFUSED if the journal has an entry of that session already: what it says of one is said for good. */
int move_check_session(const struct journal_entry *entry, const char *session, struct err *err);
/* Opens the journal of a VM; below state_dir/vms. */
int move_open_journal(struct agent *agent, const char *uuid, bool create, struct journal **ret_journal,
                      struct err *err);
/* Called by handover.c when ownership is settled: lets go of the VM, gives the job a moment for its last
 * words, then makes the state final. */
void move_settle(struct move *move, enum move_state outcome);
/* Makes the outcome of a settled move visible; ends its job. */
void move_close(struct move *move);

/* ---- move_job.c ---- */
/* Job messages that both sides treat alike. */
void move_job_progress(const struct ctl_progress *progress, void *user);
void move_job_round(const struct ctl_round *round, void *user);
void move_job_result(const struct ctl_result *result, void *user);
void move_job_ended(const struct err *why, void *user);
/* Answers the job's request with FAILED and ends the attempt. */
void move_refuse_job(struct move *move, enum err_code code, const char *id, const char *what);

/* The same with an error that is there already. */
void move_job_failed(struct move *move, const struct err *err);
/* Makes a stream for the device state, keeps the job's end and returns QEMU's (the caller closes it). */
int move_new_stream(struct move *move, struct err *err);
/* The job's request for its end. */
void move_hand_stream(struct move *move);
void move_close_stream(struct move *move);
/* The handover released a secret (READY, COMMIT): the job gets it as the answer to its request. */
void move_pass_secret(struct move *move, const struct handover_answer *answer, const struct err *err,
                      void *user);

/* ---- move_disks.c ---- */
/* The job's request CTL_DISK; that a move is under way was checked. */
void move_give_disk(struct move *move, const uint8_t *body);
/* Source: the job's request CTL_DISKS. */
void move_await_disks(struct move *move);
/* Source, when the guest stands: `done` once the other side has all that it wrote, and QEMU nothing to do
 * with it any more; at once if no disk moves. Not called if that fails, which is a doubt. */
void move_finish_disks(struct move *move, void (*done)(struct move *move));
/* Source: the job's "disk-copy-stalled", which knows no names, says whose write to which disk was not
 * answered. */
void move_explain_stall(const struct move *move, struct err *err);
/* Source: QEMU has nothing to do with the other side any more. */
void move_break_off_disks(struct move *move);
/* The move is settled: images that nobody uses any more go. */
void move_settle_images(struct move *move);
/* An image that could not be removed, in the log, the timeline and the status. */
void move_say_image_left(struct move *move, const struct err *err);

/* ---- move_source.c, move_dest.c ---- */
/* Source: the job has reported: an advance of bytes or rounds renews the lease. */
void source_progress(struct move *move);
/* BAD_REQUEST "wrong-host", NOT_FOUND "vm-not-found" unless this host is the source and has `vm`, and
 * "vm-is-moving" and the like unless it is free for this move. */
int source_check_here(const struct agent *agent, const struct move_spec *spec, const struct vm *vm,
                      struct err *err);
int source_check_free(struct agent *agent, const struct move_spec *spec, struct vm *vm, struct err *err);
/* What is in the way of this side's part. */
void source_find_problems(struct agent *agent, const struct move_spec *spec, struct findings *findings);
void destination_find_problems(struct agent *agent, const struct move_spec *spec, struct findings *findings);

/* ---- handover.c ---- */
/* Hands an event to the protocol: decided after those before it. `secret` (32 bytes) belongs to GIVE, COMMIT
 * and the verdicts, else NULL; `why` to DOUBT. `done` may be NULL; it is called once, when the plan was
 * carried out or refused. */
void handover_submit(struct move *move, enum handover_event event, const uint8_t *secret,
                     const struct err *why, handover_done done, void *user);
void handover_doubt(struct move *move, const struct err *why);
/* Writes an entry as part of prepare; events wait until handover_open. */
void handover_begin(struct move *move, const struct journal_entry *entry,
                    void (*done)(const struct err *err, void *user));
void handover_open(struct move *move);
/* True while the point of no return is being written or has been: a cancel comes too late. */
bool handover_is_too_late(const struct move *move);
bool handover_fits(const uint8_t secret[MOVE_SECRET_SIZE], const uint8_t hash[MOVE_SECRET_SIZE]);
void handover_hash(const uint8_t secret[MOVE_SECRET_SIZE], uint8_t ret_hash[MOVE_SECRET_SIZE]);
/* What the entry says of a destination's session; false: nothing (unknown session, or still INCOMING). */
bool handover_verdict(const struct journal_entry *entry, const char *session,
                      struct handover_answer *ret_answer);
/* An entry for a new session that keeps what the old one must still be able to say. */
void handover_new_entry(const struct journal_entry *old, enum journal_step step, const char *session,
                        uint64_t epoch, struct journal_entry *ret_entry);

#endif
