/* SPDX-License-Identifier: Apache-2.0 */
/* The phases of a migration. Each enter_* may run twice. */
#ifndef MANAGER_MIGRATE_H
#define MANAGER_MIGRATE_H

#include "manager/task.h"
#include "model/finding.h"

/* migrate_prepare.c */
/* Also for a task that is in no table (manager/checks.h). */
/* The VM is there still, and what it was; fills *ret_vm. */
int migrate_check_vm(struct task *task, struct vm_status *ret_vm, struct err *err);
/* Phase 2, as far as the manager knows the hosts. */
void migrate_check_hosts(const struct task *task, const struct vm_status *vm, struct findings *findings);
/* What both sides have said of themselves in the answers to their checks ("site"); ERR_CORRUPT
 * "agent-answer". */
int migrate_take_site(JsonObject *answer, const char *host, struct move_site *ret_site, struct err *err);
/* Phase 4: the source's against the destination's, which task->destination_site has. */
void migrate_check_sites(const struct task *task, const struct move_site *source, struct findings *findings);
/* Phases 2 and 3: task->spec, with a new key; then addresses, channels and encryption. */
void migrate_fill_spec(struct task *task, const struct vm_status *vm, const struct host_facts *destination);
int migrate_agree(struct task *task, struct err *err);
void migrate_enter_request(struct task *task);
void migrate_enter_destination_check(struct task *task);
void migrate_enter_specification(struct task *task);
void migrate_enter_source_check(struct task *task);
void migrate_enter_destination_shell(struct task *task);
/* migrate_copy.c */
void migrate_enter_copy(struct task *task);
/* Phase 6 after the guest was told. */
void migrate_start_copy(struct task *task);
void migrate_enter_switch_over(struct task *task);
/* migrate_guest.c */
/* False: there is nobody to be told, and nothing was done. Else migrate_start_copy follows. */
bool migrate_guest_before(struct task *task);
/* The guest runs on the destination, and nothing of the move is left; goes on to the phase "complete". */
void migrate_guest_after(struct task *task);
/* A guest that was told hears that it stays. Nobody waits for it. */
void migrate_guest_aborted(struct task *task);
/* migrate_wait.c */
#define MIGRATE_TO_REPORT "say how the move stands"
/* While the copy or the switch-over lasts: the connections broke, or nothing has moved for a second: the task
 * says who is waited for and for what. */
void migrate_say_wait(struct task *task);
/* To an error that ends such a wait: what is wrong with the way, and what both sides said last. */
void migrate_say_last(const struct task *task, struct err *err);
/* migrate_finish.c */
void migrate_enter_inventory(struct task *task);
void migrate_enter_complete(struct task *task);
/* migrate_end.c: the ending of a task that failed or is cancelled. */
void migrate_enter_end(struct task *task);
/* A call that made something on that side came back after the ending began: that side is told once more. */
void migrate_end_prepared(struct task *task, struct task_side *side);

/* migrate_watch.c: follows both sides by long polling until their serials change. `changed` is called on
 * every answer and on every failed call. */
void migrate_watch(struct task *task, struct task_side *side,
                   void (*changed)(struct task *task, struct task_side *side));
/* Takes an answer of GET moves/ID into the side; false if nothing came that could be used. */
bool migrate_note_status(struct task *task, struct task_side *side, JsonObject *object,
                         const struct err *err);

/* The side has not answered a call since then (wall clock); those who follow it learn of it. */
void migrate_note_silence(struct task *task, struct task_side *side, int64_t since_ms);

/* migrate_relay.c: called while the source is GIVEN; passes COMMIT and the verdict between the sides when
 * they do not find each other. */
void migrate_relay(struct task *task);

#endif
