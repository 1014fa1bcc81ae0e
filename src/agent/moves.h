/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The moves of this agent, one side each: made by the manager's calls, driven by one job process and by
 * handover.c. The routes (agent/routes.c) only translate HTTP to these calls. Every call may be repeated: the
 * same answer comes back.
 */
#ifndef AGENT_MOVES_H
#define AGENT_MOVES_H

#include "agent/agent.h"
#include "base/err.h"
#include "ctl/ctl.h"
#include "model/move.h"

struct findings;
struct move;
struct vm;
struct vm_trace;

struct move_answer {
    struct move_spec spec; /* with what this side filled in */
    uint64_t ram_bytes;
};
typedef void (*move_done)(struct agent *agent, const struct move_answer *answer, const struct err *err,
                          void *user);

/* Phases 2 and 4: may this side take part? Nothing changes. */
void moves_find_problems(struct agent *agent, const struct move_spec *spec, bool as_source,
                         struct findings *findings);
/* Source: how large its disks are that move, for questions before the move (which asks QEMU). What does not
 * answer stays 0. */
void moves_measure_disks(struct agent *agent, struct move_spec *spec);
/* The first of them. */
int moves_check(struct agent *agent, const struct move_spec *spec, bool as_source, struct err *err);
/* Phase 4, source: validates, holds the VM for this move, burns an epoch (SENDING), draws COMMIT. A
 * spec.epoch that is not 0 is the one that the VM must still have (REFUSED "vm-has-moved"). Fills spec.epoch,
 * spec.vm, spec.accel, commit_hash. */
void moves_prepare_source(struct agent *agent, const struct move_spec *spec, move_done done, void *user);
/* Phase 5, destination: journals INCOMING, starts the shell and the job, tells the door. Fills ticket, the
 * four hashes, port. */
void moves_prepare_destination(struct agent *agent, const struct move_spec *spec, move_done done, void *user);
/* Phase 6, source: starts the job. spec now has ticket, hashes, addresses and key. */
void moves_start_source(struct agent *agent, const struct move_spec *spec, move_done done, void *user);
struct move *moves_find(struct agent *agent, const char *id);
void moves_status(const struct move *move, struct move_status *ret_status);
/* What a manager must know of a move that it has no record of. */
struct move_summary {
    const char *id, *vm_uuid, *peer; /* peer: name of the other host, "" after a restart of the agent */
    bool is_source;
    enum move_state state;
};
void moves_each(struct agent *agent, void (*call)(const struct move_summary *summary, void *user),
                void *user);
/* Calls `changed` once, when the status' version is above `version` or after wait_ms; NULL-safe against the
 * move's end. */
void moves_watch(struct move *move, uint64_t version, unsigned wait_ms,
                 void (*changed)(struct agent *agent, const char *id, void *user), void *user);
/* Ends the attempt if it is not GIVEN yet (REFUSED "too-late-to-cancel" else). `why` becomes the move's
 * error. A source that was only prepared lets go of the VM; a destination ends its shell (journal ABORTED
 * first). Idempotent. */
int moves_cancel(struct agent *agent, const char *id, const struct err *why, struct err *err);
/* Relay by the manager, destination: COMMIT may be given any number of times; the answer is the verdict
 * (HANDOVER rules: no OWNED possible: ABORTED is journaled first). */
void moves_commit(struct agent *agent, const char *id, const char *vm_uuid,
                  const uint8_t commit[MOVE_SECRET_SIZE],
                  void (*done)(enum move_verdict verdict, const uint8_t secret[MOVE_SECRET_SIZE],
                               const struct err *err, void *user),
                  void *user);
/* Relay by the manager, source. */
void moves_verdict(struct agent *agent, const char *id, enum move_verdict verdict,
                   const uint8_t secret[MOVE_SECRET_SIZE], move_done done, void *user);
/* Phase 9: forget a move that is done or failed. REFUSED while it runs. */
int moves_forget(struct agent *agent, const char *id, struct err *err);
/* After vms_load: settles every journal that an attempt left in SENDING, GIVEN or INCOMING; GIVEN ones become
 * moves again, so that the manager can relay. */
void moves_recover(struct agent *agent);
/* What a source tells of its QEMU. */
void moves_fill_job_trace(const struct vm *vm, const struct vm_trace *trace, struct ctl_job_spec *spec);
/* What source and destination tell their jobs alike. */
void moves_fill_job_spec(const struct move_spec *spec, bool as_source, uint64_t ram_size,
                         struct ctl_job_spec *ret_spec);

#endif
