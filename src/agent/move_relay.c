/* SPDX-License-Identifier: Apache-2.0 */
/* The manager's path of the handover, for when the jobs' path is gone. A destination answers from the journal
 * alone, whatever has become of the move and of the VM since. */
#include <string.h>

#include "agent/move.h"

struct commit_call {
    void (*done)(enum move_verdict verdict, const uint8_t secret[MOVE_SECRET_SIZE], const struct err *err,
                 void *user);
    void *user;
};

static void committed(struct move *move, const struct handover_answer *answer, const struct err *err,
                      void *user)
{
    struct commit_call *call = user;
    struct err none = {0};
    (void)move;
    if (err_is_set(err))
        call->done(VERDICT_NONE, NULL, err, call->user);
    else
        call->done(answer->verdict, answer->secret, &none, call->user);
    g_free(call);
}

/* No move of that name lives here: what does the journal say? */
static int answer_from_journal(struct agent *agent, const char *id, const char *vm_uuid,
                               struct handover_answer *ret_answer, struct err *err)
{
    struct journal *journal;
    struct journal_entry entry = {0};
    if (move_open_journal(agent, vm_uuid, false, &journal, err) == 0) {
        journal_read(journal, &entry);
        journal_close(journal);
    } else if (err->code != ERR_NOT_FOUND) {
        return -1;
    }
    err_clear(err);
    bool is_known = handover_verdict(&entry, id, ret_answer);
    bool is_settling = entry.is_destination && !strcmp(entry.session, id);
    explicit_bzero(&entry, sizeof entry);
    if (is_known)
        return 0;
    if (is_settling) {
        (void)err_set(err, ERR_RETRY, "session-settling", "session %s is being settled", id);
        return err_arg(err, "task", "%s", id);
    }
    (void)err_set(err, ERR_IN_DOUBT, "session-unknown", "this host knows nothing of session %s of VM %s", id,
                  vm_uuid);
    (void)err_arg(err, "task", "%s", id);
    (void)err_arg(err, "vm", "%s", vm_uuid);
    return err_fix(err, "end neither host's QEMU; bring this agent back with the state folder it had, its "
                        "journal says who owns the VM");
}

void moves_commit(struct agent *agent, const char *id, const char *vm_uuid,
                  const uint8_t commit[MOVE_SECRET_SIZE],
                  void (*done)(enum move_verdict verdict, const uint8_t secret[MOVE_SECRET_SIZE],
                               const struct err *err, void *user),
                  void *user)
{
    struct err err = {0};
    struct handover_answer answer;
    struct move *move = moves_find(agent, id);
    if (move && move->status.is_source) {
        (void)err_set(&err, ERR_BAD_REQUEST, "wrong-side", "this host is the source of move %s", id);
        (void)err_arg(&err, "task", "%s", id);
        done(VERDICT_NONE, NULL, &err, user);
    } else if (move && strcmp(move->spec.vm.uuid, vm_uuid) != 0) {
        (void)err_set(&err, ERR_BAD_REQUEST, "wrong-vm", "move %s is not one of VM %s", id, vm_uuid);
        (void)err_arg(&err, "task", "%s", id);
        (void)err_arg(&err, "vm", "%s", vm_uuid);
        done(VERDICT_NONE, NULL, &err, user);
    } else if (move) {
        struct commit_call *call = g_new0(struct commit_call, 1);
        call->done = done;
        call->user = user;
        if (move->entry.step == JOURNAL_INCOMING)
            move_note(move, "COMMIT received", "through the manager");
        handover_submit(move, HANDOVER_COMMIT, commit, NULL, committed, call);
    } else if (!model_uuid_is_valid(vm_uuid)) {
        (void)err_set(&err, ERR_BAD_REQUEST, "uuid-invalid", "vm must be a UUID in lower case");
        done(VERDICT_NONE, NULL, &err, user);
    } else if (answer_from_journal(agent, id, vm_uuid, &answer, &err) < 0) {
        done(VERDICT_NONE, NULL, &err, user);
    } else {
        done(answer.verdict, answer.secret, &err, user);
        explicit_bzero(&answer, sizeof answer);
    }
}

struct verdict_call {
    move_done done;
    void *user;
};

static void taken(struct move *move, const struct handover_answer *answer, const struct err *err, void *user)
{
    struct verdict_call *call = user;
    struct err none = {0};
    (void)answer;
    call->done(move->agent, NULL, err_is_set(err) ? err : &none, call->user);
    g_free(call);
}

void moves_verdict(struct agent *agent, const char *id, enum move_verdict verdict,
                   const uint8_t secret[MOVE_SECRET_SIZE], move_done done, void *user)
{
    static const enum handover_event events[] = {[VERDICT_RUNNING] = HANDOVER_RUNNING,
                                                 [VERDICT_ABORTED] = HANDOVER_ABORTED,
                                                 [VERDICT_RETURNED] = HANDOVER_RETURNED};
    struct err err;
    struct move *move = moves_find(agent, id);
    if (!move || !move->status.is_source || move->is_here) {
        (void)err_set(&err, ERR_NOT_FOUND, "move-not-found", "there is no move %s on this source", id);
        (void)err_arg(&err, "task", "%s", id);
    } else if (verdict < VERDICT_RUNNING || verdict > VERDICT_RETURNED) {
        (void)err_set(&err, ERR_BAD_REQUEST, "verdict-invalid",
                      "verdict must be \"running\", \"aborted\" or \"returned\"");
    } else {
        struct verdict_call *call = g_new0(struct verdict_call, 1);
        call->done = done;
        call->user = user;
        move_note(move, "verdict received", "%s, through the manager", move_verdict_name(verdict));
        handover_submit(move, events[verdict], secret, NULL, taken, call);
        return;
    }
    done(agent, NULL, &err, user);
}
