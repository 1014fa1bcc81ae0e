/* SPDX-License-Identifier: Apache-2.0 */
/* After a restart: every journal that names a session becomes a move again, so that the manager can ask for
 * its outcome; what was left open is settled by the rules (event RECOVERED). Jobs do not outlive the agent.
 */
#include <glib.h>
#include <string.h>

#include "agent/disk_images.h"
#include "agent/disk_mirror.h"
#include "agent/move.h"
#include "agent/storage_move.h"
#include "base/log.h"

static bool is_over(enum journal_step step)
{
    return step == JOURNAL_GONE || step == JOURNAL_RESUMED || step == JOURNAL_OWNED ||
           step == JOURNAL_ABORTED || step == JOURNAL_RETURNED;
}

static void recover(struct agent *agent, const char *uuid, struct journal *journal,
                    const struct journal_entry *entry)
{
    struct move_spec spec = {.epoch = entry->epoch};
    struct err why;
    g_strlcpy(spec.id, entry->session, sizeof spec.id);
    g_strlcpy(spec.vm.uuid, uuid, sizeof spec.vm.uuid);
    struct move *move = move_new(agent, &spec, !entry->is_destination);
    move->journal = journal;
    move->entry = *entry;
    move->is_recovered = true;
    move->is_prepared = true;
    if (!is_over(entry->step))
        move_log(move);
    struct vm *vm = vm_find(agent, uuid);
    if (vm) {
        move_take_vm(move, vm);
        move->spec.vm = vm->status.spec;
        move->is_stopped =
            vm->status.state == VM_PAUSED || vm->status.state == VM_INCOMING || entry->step == JOURNAL_GIVEN;
    }
    if (vm && vm->process && entry->step == JOURNAL_SENDING)
        disk_mirror_clear(vm, entry->session);
    (void)err_set(&why, ERR_PEER_LOST, "agent-restarted",
                  "the agent of host %s was restarted during the move", agent->config.name);
    (void)err_arg(&why, "host", "%s", agent->config.name);
    (void)err_arg(&why, "vm", "%s", move->spec.vm.name[0] ? move->spec.vm.name : uuid);
    (void)err_fix(&why, "start the migration again");
    if (entry->step != JOURNAL_GIVEN)
        move_set_error(move, &why);
    if (entry->step == JOURNAL_GIVEN) {
        memcpy(move->status.commit, entry->commit, MOVE_SECRET_SIZE);
        move_set_state(move, MOVE_GIVEN);
    }
    move_note(move, "agent restarted", "the journal says %s", journal_step_name(entry->step));
    log_info("VM %s: %s in session %s, epoch %llu%s", uuid, journal_step_name(entry->step), entry->session,
             (unsigned long long)entry->epoch, is_over(entry->step) ? "" : ": settling");
    handover_submit(move, HANDOVER_RECOVERED, NULL, NULL, NULL, NULL);
}

/* What QEMU's file says of a move is of the time when it was written. A VM that no move holds now is free. */
static void release_others(struct agent *agent)
{
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, agent->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        struct vm *vm = value;
        if (vm->status.move[0] && !moves_find(agent, vm->status.move))
            vm->status.move[0] = '\0';
    }
}

void moves_recover(struct agent *agent)
{
    g_autofree char *folder = g_strdup_printf("%s/vms", agent->config.state_dir);
    GDir *dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        struct journal *journal;
        struct journal_entry entry;
        struct err err;
        if (!g_str_has_suffix(name, ".journal"))
            continue;
        g_autofree char *uuid = g_strndup(name, strlen(name) - strlen(".journal"));
        if (!model_uuid_is_valid(uuid))
            continue;
        if (move_open_journal(agent, uuid, false, &journal, &err) < 0) {
            log_error(&err, "VM %s", uuid);
            continue;
        }
        journal_read(journal, &entry);
        if (entry.session[0] && !moves_find(agent, entry.session))
            recover(agent, uuid, journal, &entry);
        else
            journal_close(journal);
        explicit_bzero(&entry, sizeof entry);
    }
    if (dir)
        g_dir_close(dir);
    storage_recover(agent);
    release_others(agent);
    disk_images_recover(agent);
}
