/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/disk_image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/bounded.h"
#include "agent/disks.h"
#include "agent/open_as.h"
#include "agent/qemu_img.h"
#include "agent/vm_process.h"
#include "base/cleanup.h"
#include "base/fdio.h"
#include "base/log.h"
#include "model/json.h"

/* A copy may be of terabytes. */
#define COPY_S (6 * 60 * 60)
#define RECORD_BYTES_MAX 4096
#define ARGUMENTS_MAX 16

/* ---- files, on storage that may hang ---- */

struct file_work {
    struct agent_user user;
    char part[MODEL_PATH_MAX];
    char path[MODEL_PATH_MAX];
    char label[DISK_LABEL_MAX];
    bool is_kept;
    bool is_there;
    int errnum;
};

static bool file_of(const struct agent_user *user, const char *path, struct stat *ret_facts)
{
    auto_fd fd = open_as(user, 0, path, O_PATH | O_NOFOLLOW);
    return fd >= 0 && fstat(fd, ret_facts) == 0;
}

static void look_for(void *argument)
{
    struct file_work *work = argument;
    struct stat facts;
    work->is_there = file_of(&work->user, work->path, &facts);
}

static void flush_folder(const struct file_work *work)
{
    g_autofree char *folder = g_path_get_dirname(work->path);
    auto_fd fd = open_as(&work->user, 0, folder, O_RDONLY | O_DIRECTORY);
    if (fd < 0 || fsync(fd) < 0)
        log_warn("%s is not flushed: %s", folder, g_strerror(errno));
}

static void publish(void *argument)
{
    struct file_work *work = argument;
    auto_fd fd = open_as(&work->user, 0, work->part, O_RDONLY);
    if (fd < 0 || fdatasync(fd) < 0 || link_as(&work->user, work->part, work->path) < 0)
        work->errnum = errno;
    else
        flush_folder(work);
}

/* The image goes only if it is the one that was made: the other name is the proof. */
static void sweep(void *argument)
{
    struct file_work *work = argument;
    struct stat part, image;
    if (!file_of(&work->user, work->part, &part))
        return;
    bool is_ours = file_of(&work->user, work->path, &image) && image.st_dev == part.st_dev &&
                   image.st_ino == part.st_ino;
    if (is_ours && !work->is_kept && unlink_as(&work->user, work->path) < 0)
        work->errnum = errno;
    if (!work->errnum && unlink_as(&work->user, work->part) < 0)
        work->errnum = errno;
}

static void delete (void *argument)
{
    struct file_work *work = argument;
    if (unlink_as(&work->user, work->path) < 0)
        work->errnum = errno;
}

static int do_work(const struct agent *agent, void (*call)(void *argument), struct file_work *work)
{
    work->user = agent->config.qemu_user;
    if (disks_is_stale(agent, work->path) || !bounded_call(call, work, sizeof *work, BOUNDED_MS))
        work->errnum = ETIMEDOUT;
    return work->errnum ? -1 : 0;
}

bool disk_image_exists(const struct agent *agent, const char *path)
{
    struct file_work work = {0};
    g_strlcpy(work.path, path, sizeof work.path);
    return do_work(agent, look_for, &work) == 0 && work.is_there;
}

int disk_image_delete(const struct agent *agent, const char *path, struct err *err)
{
    struct file_work work = {0};
    g_strlcpy(work.path, path, sizeof work.path);
    if (do_work(agent, delete, &work) == 0)
        return 0;
    (void)err_sys(err, work.errnum, "disk-not-deleted", "%s is detached, and cannot be deleted", path);
    (void)err_arg(err, "path", "%s", path);
    return err_fix(err, "delete the file by hand on host '%s', as a user who may", agent->config.name);
}

/* ---- the record of an image that is made ---- */

static char *record_path(const struct agent *agent, const char *uuid)
{
    return g_strdup_printf("%s/vms/%s" VM_MAKING, agent->config.state_dir, uuid);
}

static int record_write(const struct agent *agent, const char *uuid, const struct file_work *work,
                        struct err *err)
{
    g_autofree char *path = record_path(agent, uuid);
    g_autoptr(JsonObject) object = json_object_new();
    json_object_set_string_member(object, "part", work->part);
    json_object_set_string_member(object, "path", work->path);
    json_object_set_string_member(object, "label", work->label);
    g_autofree char *text = model_print(object, true);
    return fdio_replace_file(path, text, strlen(text), 0600, err);
}

static int record_read(const struct agent *agent, const char *uuid, struct file_work *ret_work)
{
    g_autofree char *path = record_path(agent, uuid);
    auto_mem char *text = NULL;
    g_autoptr(JsonObject) object = NULL;
    struct err err = {0};
    *ret_work = (struct file_work){0};
    if (fdio_read_file(path, RECORD_BYTES_MAX, &text, &err) < 0 || model_parse(text, -1, &object, &err) < 0) {
        if (err.code != ERR_NOT_FOUND)
            log_error(&err, "what a new disk of VM %s left is not known", uuid);
        return -1;
    }
    g_strlcpy(ret_work->part, model_text(object, "part"), sizeof ret_work->part);
    g_strlcpy(ret_work->path, model_text(object, "path"), sizeof ret_work->path);
    g_strlcpy(ret_work->label, model_text(object, "label"), sizeof ret_work->label);
    return 0;
}

void disk_image_settle(const struct agent *agent, const char *uuid, bool is_kept)
{
    struct file_work work;
    if (record_read(agent, uuid, &work) < 0)
        return;
    work.is_kept = is_kept;
    if (do_work(agent, sweep, &work) < 0) {
        /* The record stays, for the next start of the agent. */
        log_warn("%s cannot be removed: %s", work.part, g_strerror(work.errnum));
        return;
    }
    g_autofree char *path = record_path(agent, uuid);
    (void)unlink(path);
}

void disk_image_recover(const struct vm *vm)
{
    struct file_work work;
    const struct vm_spec *spec = &vm->status.spec;
    bool is_kept = false;
    if (record_read(vm->agent, spec->uuid, &work) < 0)
        return;
    for (uint32_t i = 0; i < spec->n_disks; i++) {
        char label[DISK_LABEL_MAX];
        vm_disk_label(&spec->disks[i], label);
        is_kept |= !strcmp(label, work.label);
    }
    log_info("VM %s: the new disk %s is %s", spec->name, work.path,
             is_kept ? "whole, and its own" : "of a command that was interrupted: it is removed");
    disk_image_settle(vm->agent, spec->uuid, is_kept);
}

/* ---- an image is made ---- */

struct making {
    struct agent *agent;
    char uuid[MODEL_UUID_SIZE];
    struct disk_image_wish wish;
    struct file_work file;
    bool has_record;
    struct vm_wait wait;
};

static void making_end(struct making *making, const struct err *err)
{
    struct vm *vm = vm_find(making->agent, making->uuid);
    struct err told = *err;
    if (!vm && !err_is_set(&told))
        (void)err_set(&told, ERR_NOT_FOUND, "vm-not-found", "the VM is not on this host any more");
    if (err_is_set(&told) && making->has_record)
        disk_image_settle(making->agent, making->uuid, false);
    vm_wait_end(&making->wait, vm, &told);
    g_free(making);
}

static int refuse_existing(const struct making *making, struct err *err)
{
    (void)err_set(err, ERR_REFUSED, "disk-exists", "%s exists already on host '%s'", making->file.path,
                  making->agent->config.name);
    (void)err_arg(err, "path", "%s", making->file.path);
    (void)err_arg(err, "host", "%s", making->agent->config.name);
    return err_fix(err, "choose another file; if that one is the disk, attach it: godwit vm disk attach");
}

static void name_it(struct making *making)
{
    struct err err = {0};
    if (do_work(making->agent, publish, &making->file) < 0) {
        if (making->file.errnum == EEXIST)
            (void)refuse_existing(making, &err);
        else
            (void)err_sys(&err, making->file.errnum, "disk-image-failed", "%s cannot be given its name",
                          making->file.path);
        (void)err_arg(&err, "path", "%s", making->file.path);
    }
    making_end(making, &err);
}

static void on_grown(const struct err *err, void *user)
{
    struct making *making = user;
    if (err_is_set(err))
        making_end(making, err);
    else
        name_it(making);
}

static int start_growing(struct making *making, struct err *err)
{
    char size[32];
    (void)g_snprintf(size, sizeof size, "%llu", (unsigned long long)making->wish.size_bytes);
    const char *const argv[] = {"qemu-img", "resize",          "-q", "-f", making->wish.format,
                                "--",       making->file.part, size, NULL};
    return qemu_img_run(
        &(struct qemu_img){making->agent, making->uuid, making->file.path, argv, QEMU_IMG_QUICK_S}, on_grown,
        making, err);
}

static void on_made(const struct err *err, void *user)
{
    struct making *making = user;
    struct err problem = {0};
    if (err_is_set(err))
        making_end(making, err);
    else if (!making->wish.is_to_grow)
        name_it(making);
    else if (start_growing(making, &problem) < 0)
        making_end(making, &problem);
}

static void add_arguments(const char **argv, unsigned *n, const char *const *more)
{
    for (; *more && *n < ARGUMENTS_MAX - 1; more++)
        argv[(*n)++] = *more;
}

/* Formats are always named: what is written into a raw image must never be taken for one of another. */
static int start_making(struct making *making, struct err *err)
{
    const struct disk_image_wish *wish = &making->wish;
    const char *argv[ARGUMENTS_MAX] = {"qemu-img"};
    unsigned n = 1;
    char size[32];
    (void)g_snprintf(size, sizeof size, "%llu", (unsigned long long)wish->size_bytes);
    if (wish->from[0])
        add_arguments(argv, &n,
                      (const char *const[]){"convert", "-q", "-t", "writeback", "-f", wish->source_format,
                                            "-O", wish->format, "--", wish->from, making->file.part, NULL});
    else
        add_arguments(argv, &n, (const char *const[]){"create", "-q", "-f", wish->format, NULL});
    if (wish->backing[0])
        add_arguments(argv, &n, (const char *const[]){"-b", wish->backing, "-F", wish->source_format, NULL});
    if (!wish->from[0])
        add_arguments(argv, &n,
                      (const char *const[]){"--", making->file.part, wish->size_bytes ? size : NULL, NULL});
    unsigned limit_s = wish->from[0] ? COPY_S : QEMU_IMG_QUICK_S;
    return qemu_img_run(&(struct qemu_img){making->agent, making->uuid, making->file.path, argv, limit_s},
                        on_made, making, err);
}

static int name_part(struct making *making, struct err *err)
{
    char uuid[MODEL_UUID_SIZE];
    model_uuid_new(uuid);
    g_autofree char *folder = g_path_get_dirname(making->wish.path);
    g_autofree char *name = g_strdup_printf(".godwit-%s.part", uuid);
    g_autofree char *part = g_build_filename(folder, name, NULL);
    g_strlcpy(making->file.path, making->wish.path, sizeof making->file.path);
    g_strlcpy(making->file.label, making->wish.label, sizeof making->file.label);
    if (g_strlcpy(making->file.part, part, sizeof making->file.part) < sizeof making->file.part)
        return 0;
    (void)err_set(err, ERR_BAD_REQUEST, "path-too-long", "the path %s is too long", part);
    return err_arg(err, "path", "%s", part);
}

void disk_image_make(struct vm *vm, const struct disk_image_wish *wish, vm_done done, void *user)
{
    struct making *making = g_new0(struct making, 1);
    struct err err = {0};
    making->agent = vm->agent;
    making->wish = *wish;
    making->wait = (struct vm_wait){.done = done, .user = user};
    g_strlcpy(making->uuid, vm->status.spec.uuid, sizeof making->uuid);
    disk_image_recover(vm); /* storage that could not be reached then may be now */
    if (name_part(making, &err) < 0) {
        making_end(making, &err);
        return;
    }
    if (disk_image_exists(vm->agent, making->file.path))
        (void)refuse_existing(making, &err);
    else
        making->has_record = record_write(vm->agent, making->uuid, &making->file, &err) == 0;
    if (making->has_record && start_making(making, &err) == 0)
        return;
    making_end(making, &err);
}

/* ---- an image grows ---- */

struct growing {
    struct agent *agent;
    char uuid[MODEL_UUID_SIZE];
    struct vm_wait wait;
};

static void on_resized(const struct err *err, void *user)
{
    struct growing *growing = user;
    vm_wait_end(&growing->wait, vm_find(growing->agent, growing->uuid), err);
    g_free(growing);
}

void disk_image_grow(struct vm *vm, const char *path, const char *format, uint64_t bytes, vm_done done,
                     void *user)
{
    char size[32];
    struct err err = {0};
    struct growing *growing = g_new0(struct growing, 1);
    growing->agent = vm->agent;
    growing->wait = (struct vm_wait){.done = done, .user = user};
    g_strlcpy(growing->uuid, vm->status.spec.uuid, sizeof growing->uuid);
    (void)g_snprintf(size, sizeof size, "%llu", (unsigned long long)bytes);
    const char *const argv[] = {"qemu-img", "resize", "-q", "-f", format, "--", path, size, NULL};
    if (qemu_img_run(&(struct qemu_img){vm->agent, growing->uuid, path, argv, QEMU_IMG_QUICK_S}, on_resized,
                     growing, &err) < 0)
        on_resized(&err, growing);
}
