/* SPDX-License-Identifier: Apache-2.0 */
/* The disks of a move whose content moves along: what both sides' jobs ask for, and what becomes of the
 * images. */
#include <string.h>
#include <unistd.h>

#include "agent/disk_export.h"
#include "agent/disk_images.h"
#include "agent/disk_look.h"
#include "agent/disk_mirror.h"
#include "agent/disks.h"
#include "agent/move.h"
#include "base/cleanup.h"
#include "base/log.h"

/* ---- source ---- */

void moves_measure_disks(struct agent *agent, struct move_spec *spec)
{
    const struct vm *vm = vm_find(agent, spec->vm.uuid);
    g_autofree struct disk_look *look = g_new0(struct disk_look, 1);
    for (uint32_t i = 0; vm && i < spec->n_disks; i++) {
        struct move_disk *disk = &spec->disks[i];
        const struct vm_spec *now = &vm->status.spec;
        if (disk->disk >= now->n_disks ||
            disks_look(agent, now, &now->disks[disk->disk], true, look, NULL) < 0)
            continue;
        disk->size_bytes = look->virtual_bytes;
        disk->used_bytes = look->data_bytes;
    }
}

/* Most often the job has closed QEMU's connection and is about to say why; it asks the other side for up to a
 * second. */
#define JOBS_REASON_MS 1500

static gboolean reason_is_overdue(gpointer user)
{
    struct move *move = user;
    move->copy_failed_timer = 0;
    handover_doubt(move, &move->copy_error);
    return G_SOURCE_REMOVE;
}

static void copy_failed(const struct err *err, void *user)
{
    struct move *move = user;
    move->copy_error = *err;
    if (move->is_stopped)
        handover_doubt(move, err);
    else
        move->copy_failed_timer = g_timeout_add(JOBS_REASON_MS, reason_is_overdue, move);
}

static void copy_advanced(void *user)
{
    struct move *move = user;
    disk_mirror_report(move->mirror, &move->status);
    if (move->vm)
        vm_lease_renew(move->vm);
    move_changed(move);
}

static int make_mirror(struct move *move, struct err *err)
{
    if (move->mirror)
        return 0;
    const struct disk_mirror_config config = {.vm = move->vm,
                                              .move_id = move->spec.id,
                                              .n_disks = move->spec.n_disks,
                                              .disks = move->spec.disks,
                                              .destination = move->spec.destination,
                                              .datastore = move->spec.options.datastore,
                                              .failed = copy_failed,
                                              .advanced = copy_advanced,
                                              .user = move};
    return disk_mirror_new(&config, &move->mirror, err);
}

static void qemu_connected(int fd, void *user)
{
    struct move *move = user;
    job_control_answer(move->job, NULL, 0, fd, true);
}

static void answer_job(const struct err *err, void *user)
{
    struct move *move = user;
    if (err_is_set(err))
        move_job_failed(move, err);
    else
        job_control_answer(move->job, NULL, 0, -1, false);
}

static void all_ready(const struct err *err, void *user)
{
    struct move *move = user;
    move->has_disks = !err_is_set(err);
    if (move->has_disks)
        move_note(move, "disks equal", NULL);
    answer_job(err, user);
}

static void begin_copy(struct move *move, uint32_t number)
{
    struct err err;
    if (make_mirror(move, &err) < 0) {
        move_job_failed(move, &err);
        return;
    }
    disk_mirror_begin(move->mirror, number, qemu_connected, answer_job);
}

void move_await_disks(struct move *move)
{
    if (move->mirror)
        disk_mirror_await(move->mirror, all_ready);
    else
        move_refuse_job(move, ERR_CORRUPT, "job-out-of-order",
                        "the job waits for disks of which no copy was begun");
}

static void copies_finished(const struct err *err, void *user)
{
    struct move *move = user;
    void (*done)(struct move * move) = g_steal_pointer(&move->disks_finished);
    if (err_is_set(err)) {
        handover_doubt(move, err);
        return;
    }
    move_note(move, "disks complete", NULL);
    disk_mirror_free(g_steal_pointer(&move->mirror));
    done(move);
}

void move_finish_disks(struct move *move, void (*done)(struct move *move))
{
    if (!move->mirror) {
        done(move);
        return;
    }
    move->disks_finished = done;
    disk_mirror_finish(move->mirror, copies_finished);
}

void move_explain_stall(const struct move *move, struct err *err)
{
    const struct err told = *err;
    const char *number = err_arg_find(&told, "number"), *waited_s = err_arg_find(&told, "waited_s");
    guint64 at = number ? g_ascii_strtoull(number, NULL, 10) : 0;
    char label[DISK_LABEL_MAX];
    if (!move->vm || at >= move->spec.n_disks || !waited_s)
        return;
    const struct vm_spec *spec = &move->vm->status.spec;
    vm_disk_label(&spec->disks[move->spec.disks[at].disk], label);
    (void)err_set(err, ERR_TIMEOUT, "disk-copy-stalled",
                  "host '%s' waited %s s in vain for host '%s' to answer a write to disk %s of VM '%s'",
                  move->agent->config.name, waited_s, move->spec.destination, label, spec->name);
    (void)err_fix(
        err,
        "see that nothing has stopped QEMU on host '%s', and that datastore '%s' answers there; then "
        "migrate again",
        move->spec.destination, move->spec.options.datastore);
    (void)err_arg(err, "waited_s", "%s", waited_s);
    (void)err_arg(err, "host", "%s", move->agent->config.name);
    (void)err_arg(err, "destination", "%s", move->spec.destination);
    (void)err_arg(err, "path", "%s", label);
    (void)err_arg(err, "vm", "%s", spec->name);
}

void move_break_off_disks(struct move *move)
{
    if (move->copy_failed_timer)
        (void)g_source_remove(move->copy_failed_timer);
    move->copy_failed_timer = 0;
    disk_mirror_free(g_steal_pointer(&move->mirror));
}

/* ---- destination ---- */

static void connect_job(struct move *move)
{
    struct err err;
    auto_fd fd = disk_export_connect(move->vm, &err);
    if (fd < 0)
        move_job_failed(move, &err);
    else
        job_control_answer(move->job, NULL, 0, fd, false);
}

/* ---- both ---- */

void move_give_disk(struct move *move, const uint8_t *body)
{
    uint32_t number;
    memcpy(&number, body, sizeof number);
    if (number >= move->spec.n_disks || move->is_stopped)
        move_refuse_job(move, ERR_CORRUPT, "job-out-of-order",
                        "the job asked for a disk that does not move, or no longer");
    else if (move->status.is_source)
        begin_copy(move, number);
    else
        connect_job(move);
}

void move_say_image_left(struct move *move, const struct err *err)
{
    const char *path = err_arg_find(err, "path");
    log_error(err, "after the move of VM %s", move->spec.vm.name);
    move_note(move, "image left", "%s", err->message);
    (void)g_strlcpy(move->status.image_left, path ? path : "", sizeof move->status.image_left);
}

void move_settle_images(struct move *move)
{
    struct err err;
    if (disk_images_settle(move->agent, move->spec.vm.uuid, move->spec.id, &err) < 0)
        move_say_image_left(move, &err);
}
