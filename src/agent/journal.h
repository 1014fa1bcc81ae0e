/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who owns a VM, durably: one preallocated file per VM (state_dir/vms/UUID.journal) with two slots written in
 * turn, each with a sequence number and a checksum, so that a torn write leaves the older one. Every write is
 * fdatasync'ed before it counts. The steps are those of tests/model/handover.pml.
 */
#ifndef AGENT_JOURNAL_H
#define AGENT_JOURNAL_H

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

struct journal_entry {
    enum journal_step step;
    uint64_t epoch;
    char session[MODEL_UUID_SIZE]; /* the move's id, "" if none */
    bool is_destination;           /* of that session */
    /* own secrets (the side's own), and the hashes of the other side's */
    uint8_t commit[MOVE_SECRET_SIZE], ready[MOVE_SECRET_SIZE], running[MOVE_SECRET_SIZE],
        aborted[MOVE_SECRET_SIZE], returned[MOVE_SECRET_SIZE];
};

struct journal;

/* Opens or creates (0600). A file with no valid slot is ERR_CORRUPT "journal-corrupt": the VM must not be
 * started (operator: settle). */
int journal_open(const char *path, struct journal **ret_journal, struct err *err);
void journal_close(struct journal *journal);
void journal_read(const struct journal *journal, struct journal_entry *ret_entry);
/* Durable before `done` is called (from the main loop; the write runs on a worker thread); writes of one
 * journal happen in the order of the calls. */
void journal_write(struct journal *journal, const struct journal_entry *entry,
                   void (*done)(const struct err *err, void *user), void *user);
/* The same, blocking, for start-up and for tests. */
int journal_write_sync(struct journal *journal, const struct journal_entry *entry, struct err *err);
const char *journal_step_name(enum journal_step step); /* "OWNED", ... as in the model */
/* True if this host may run the VM's vCPUs according to the last durable entry: OWNED, SENDING or RESUMED. */
bool journal_may_run(const struct journal *journal);

#endif
