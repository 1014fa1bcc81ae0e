/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who owns a VM, durably: one preallocated file per VM (state_dir/vms/UUID.journal) with two slots written in
 * turn, each with a sequence number and a checksum, so that a torn write leaves the older one. Every write is
 * fdatasync'ed before it counts. The steps are those of tests/model/handover.pml.
 */
#ifndef AGENT_JOURNAL_H
#define AGENT_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "model/move.h"

enum journal_step {
    JOURNAL_NONE,     /* never written */
    JOURNAL_OWNED,    /* this host owns the VM in `epoch` */
    JOURNAL_SENDING,  /* source: an attempt with `epoch` has begun (the epoch is burned); still the owner */
    JOURNAL_GIVEN,    /* source: COMMIT is released: stopped until the verdict */
    JOURNAL_GONE,     /* source: the destination runs it */
    JOURNAL_RESUMED,  /* source: taken back; owner in the next epoch */
    JOURNAL_INCOMING, /* destination: an attempt has begun; not the owner */
    JOURNAL_ABORTED,  /* destination: will never run it in this session */
    JOURNAL_RETURNED, /* destination: owned it, `cont` failed, gave it back */
};

/* The last session in which this host was a destination, kept when a later session takes the entry over: its
 * source may still ask. */
struct journal_past {
    char session[MODEL_UUID_SIZE]; /* "" if none */
    enum move_verdict verdict;
    uint8_t secret[MOVE_SECRET_SIZE]; /* of that verdict */
};

struct journal_entry {
    enum journal_step step;
    uint64_t epoch;
    char session[MODEL_UUID_SIZE]; /* the move's id, "" if none */
    bool is_destination;           /* of that session */
    /* The side's own secrets (source: commit; destination: the other four), and SHA-256 of the other side's.
     */
    uint8_t commit[MOVE_SECRET_SIZE], ready[MOVE_SECRET_SIZE], running[MOVE_SECRET_SIZE],
        aborted[MOVE_SECRET_SIZE], returned[MOVE_SECRET_SIZE];
    struct journal_past past;
};

struct journal;

/* Opens or creates (0600; durable at once, step NONE). What an earlier process left is written anew before it
 * counts; fails if it cannot be. A second open of the same path gives the same object, so that there is one
 * order of writes; each open has its close. A file with no valid slot is ERR_CORRUPT "journal-corrupt": the
 * VM must not be started (operator: settle). Main-loop thread; blocks. */
int journal_open(const char *path, struct journal **ret_journal, struct err *err);
/* What the file says now, for one who must not change it: the last entry that is whole, durable or not. Any
 * process; reads only. */
int journal_look(const char *path, struct journal_entry *ret_entry, struct err *err);
/* For a file that is ERR_CORRUPT: kept aside as PATH.damaged-TIME, and a new one (step NONE) made in its
 * place. What it said is lost: the caller must know the owner by other means. */
int journal_replace(const char *path, struct journal **ret_journal, struct err *err);
/* NULL ok. Writes under way are still finished and reported. */
void journal_close(struct journal *journal);
/* The last durable entry. */
void journal_read(const struct journal *journal, struct journal_entry *ret_entry);
/* Durable before `done` (may be NULL) is called from the main loop; the write runs on a worker thread; writes
 * of one journal happen in the order of the calls. On failure journal_read still gives the older entry, and
 * the file holds either of the two. */
void journal_write(struct journal *journal, const struct journal_entry *entry,
                   void (*done)(const struct err *err, void *user), void *user);
/* Whether an entry could be made durable now: writes what is there, and changes nothing. In the order of the
 * writes. */
void journal_probe(struct journal *journal, void (*done)(const struct err *err, void *user), void *user);
/* As journal_write, blocking, for start-up and for tests; not while a journal_write is under way (ERR_RETRY).
 */
int journal_write_sync(struct journal *journal, const struct journal_entry *entry, struct err *err);
/* What must be said for good of the last session in which this host was a destination: that of *entry if it
 * has a verdict, else the past one. An entry for anything new takes it along as its `past`. */
void journal_last_session(const struct journal_entry *entry, struct journal_past *ret_past);
const char *journal_step_name(enum journal_step step); /* "OWNED", ... as in the model */
/* True if this host may run the VM's vCPUs according to the last durable entry: OWNED, SENDING or RESUMED.
 * NULL: false. */
bool journal_may_run(const struct journal *journal);

#endif
