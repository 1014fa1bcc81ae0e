/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/vm_disks.h"

#include <string.h>

#include "agent/datastores.h"
#include "agent/disk_image.h"
#include "agent/disk_look.h"
#include "agent/disk_plug.h"
#include "agent/disks.h"
#include "agent/vm_process.h"
#include "base/log.h"
#include "model/check_table.h"

#define BLOCK_BYTES 512u
#define NAMES_MAX 100
#define MIB_SHIFT 20

/* One change of a VM's disks, from the request to the answer. */
struct change {
    struct agent *agent;
    char uuid[MODEL_UUID_SIZE];
    struct vm_wait wait;
    struct vm_disk_wish wish; /* of a disk that comes */
    struct vm_spec after;     /* what the VM is to have */
    uint32_t i;               /* the disk, in `after` or, of one that goes, before */
    char path[MODEL_PATH_MAX];
    bool deletes_file;
    bool holds;     /* the VM */
    bool has_image; /* which was made, and goes if the disk does not come */
    struct err err; /* why QEMU is brought back */
};

static struct change *change_new(struct vm *vm, vm_done done, void *user)
{
    struct change *change = g_new0(struct change, 1);
    change->agent = vm->agent;
    change->wait = (struct vm_wait){.done = done, .user = user};
    change->after = vm->status.spec;
    g_strlcpy(change->uuid, vm->status.spec.uuid, sizeof change->uuid);
    return change;
}

/* Holds the VM until change_end. */
static void hold(struct change *change, struct vm *vm, const char *verb, const struct vm_disk *disk)
{
    char label[DISK_LABEL_MAX];
    vm_disk_label(disk, label);
    (void)g_snprintf(vm->disk_change, sizeof vm->disk_change, "%s %s", verb, label[0] ? label : "a CD drive");
    change->holds = true;
    log_info("VM %s: %s", vm->status.spec.name, vm->disk_change);
}

static void change_end(struct change *change, const struct err *err)
{
    struct vm *vm = vm_find(change->agent, change->uuid);
    struct err told = *err;
    if (!vm && !err_is_set(&told))
        (void)err_set(&told, ERR_NOT_FOUND, "vm-not-found", "the VM is not on this host any more");
    if (change->has_image)
        disk_image_settle(change->agent, change->uuid, !err_is_set(&told));
    if (vm && change->holds) {
        log_info("VM %s: %s: %s", vm->status.spec.name, vm->disk_change,
                 err_is_set(&told) ? told.message : "done");
        vm->disk_change[0] = '\0';
    }
    vm_wait_end(&change->wait, vm, &told);
    g_free(change);
}

/* ---- what is refused ---- */

static bool is_hot(const struct vm *vm)
{
    return vm->process != NULL;
}

/* Off, or a guest that runs or stands here. */
static int check_changeable(const struct vm *vm, struct err *err)
{
    const char *name = vm->status.spec.name;
    enum vm_state state = vm->status.state;
    if (vm_check_free(vm, err) < 0)
        return -1;
    bool is_on = is_hot(vm) && (state == VM_RUNNING || state == VM_PAUSED) && !vm->ending;
    if (is_on || (!is_hot(vm) && state == VM_OFF && !vm->n_conts))
        return 0;
    (void)err_set(err, ERR_REFUSED, "vm-not-off", "disks of VM %s cannot be changed while it is %s", name,
                  vm->ending ? "being stopped" : vm_state_name(state));
    (void)err_arg(err, "vm", "%s", name);
    (void)err_arg(err, "state", "%s", vm_state_name(state));
    return err_fix(err, "try again when 'godwit vm show %s' says off or running", name);
}

/* A device can come and go at the SCSI controller, which must be there with or without disks: the destination
 * of a move builds the same. */
static int check_hot(const struct vm *vm, const struct vm_disk *disk, struct err *err)
{
    const struct vm_spec *spec = &vm->status.spec;
    if (!is_hot(vm))
        return 0;
    if (!vm_disk_is_scsi(disk)) {
        (void)err_set(err, ERR_REFUSED, "hot-plug-bus",
                      "a virtio-blk disk cannot come or go while VM '%s' is on", spec->name);
        (void)err_cause(err, "its place is at the root bus, where nothing is plugged in while QEMU runs");
        (void)err_arg(err, "vm", "%s", spec->name);
        return err_fix(err, "switch the VM off for that; a disk with --bus virtio-scsi comes and goes at any "
                            "time");
    }
    if (spec->hardware >= VM_HARDWARE_HOT_DISKS)
        return 0;
    (void)err_set(err, ERR_REFUSED, "hot-plug-missing",
                  "VM '%s' has virtual hardware %u, whose disks can only be changed while it is off",
                  spec->name, spec->hardware);
    (void)err_arg(err, "vm", "%s", spec->name);
    (void)err_arg(err, "hardware", "%u", spec->hardware);
    return err_fix(err, "switch it off and give it newer hardware: godwit vm set %s --hardware %d",
                   spec->name, VM_HARDWARE_HOT_DISKS);
}

static int check_no_boot(const struct vm *vm, uint32_t i, struct err *err)
{
    const struct vm_spec *spec = &vm->status.spec;
    char name[VM_DISK_NAME_SIZE];
    if (!is_hot(vm) || !vm_disk_is_boot(spec, i))
        return 0;
    vm_disk_name(spec, i, name);
    (void)err_set(err, ERR_REFUSED, "disk-is-boot", "VM '%s' has booted from %s and is on", spec->name, name);
    (void)err_arg(err, "vm", "%s", spec->name);
    (void)err_arg(err, "disk", "%s", name);
    return err_fix(err, "switch the VM off first: godwit vm stop %s", spec->name);
}

static int refuse_kind(const struct vm *vm, uint32_t i, const char *must, struct err *err)
{
    const struct vm_spec *spec = &vm->status.spec;
    char name[VM_DISK_NAME_SIZE];
    vm_disk_name(spec, i, name);
    (void)err_set(err, ERR_REFUSED, "disk-kind", "%s of VM '%s' is not %s", name, spec->name, must);
    (void)err_arg(err, "disk", "%s", name);
    (void)err_arg(err, "vm", "%s", spec->name);
    (void)err_arg(err, "must", "%s", must);
    return err_fix(err, "see which is which: godwit vm disk ls %s", spec->name);
}

/* `bytes`: what `disk` has, and what was asked for. */
static int refuse_size(const char *disk, const uint64_t bytes[2], struct err *err)
{
    (void)err_set(err, ERR_REFUSED, "disk-shrinks", "%s has %llu bytes, which do not fit into %llu", disk,
                  (unsigned long long)bytes[0], (unsigned long long)bytes[1]);
    (void)err_cause(err, "a disk never becomes smaller: what lies behind its new end would be lost");
    (void)err_arg(err, "disk", "%s", disk);
    (void)err_arg(err, "size_bytes", "%llu", (unsigned long long)bytes[0]);
    (void)err_arg(err, "wanted_bytes", "%llu", (unsigned long long)bytes[1]);
    return err_fix(err, "ask for a larger size");
}

/* ---- the end of each change: the config file ---- */

static void on_brought_back(struct vm *vm, const struct err *err, void *user)
{
    struct change *change = user;
    (void)vm;
    if (err_is_set(err))
        log_error(err, "QEMU may not have the disks of the config file");
    change_end(change, &change->err);
}

/* QEMU has it, or there is none. Without its config file it must not have it either. */
static void write_config(struct vm *vm, const struct err *err, void *user)
{
    struct change *change = user;
    struct err problem = *err;
    bool is_written = vm && !err_is_set(err) && vm_take_spec(vm, &change->after, &problem) == 0;
    if (is_written && change->deletes_file)
        (void)disk_image_delete(change->agent, change->path, &problem);
    bool is_ahead = vm && vm->process && !err_is_set(err) && !is_written;
    if (!is_ahead) {
        change_end(change, &problem);
        return;
    }
    change->err = problem;
    disk_plug_reconcile(vm, on_brought_back, change);
}

static void write_config_now(struct vm *vm, struct change *change)
{
    const struct err none = {0};
    write_config(vm, &none, change);
}

/* ---- a disk comes ---- */

/* Everything that can be said before, but of the image itself. */
static int place_disk(const struct vm *vm, struct change *change, struct err *err)
{
    change->after = vm->status.spec;
    if (check_hot(vm, &change->wish.disk, err) < 0 ||
        vm_disks_add(&change->after, &change->wish.disk, &change->i, err) < 0)
        return -1;
    return vm_spec_check(&change->after, err);
}

static void attach(struct vm *vm, struct change *change)
{
    struct err err = {0};
    if (place_disk(vm, change, &err) < 0 ||
        disks_check(vm->agent, &change->after, &change->wish.disk, false, &err) < 0)
        change_end(change, &err);
    else if (is_hot(vm))
        disk_plug_add(vm, &change->after, change->i, write_config, change);
    else
        write_config_now(vm, change);
}

static void on_image(struct vm *vm, const struct err *err, void *user)
{
    struct change *change = user;
    if (!vm || err_is_set(err)) {
        change_end(change, err);
        return;
    }
    change->has_image = true;
    attach(vm, change);
}

/* "web-disk1.qcow2", or the first of "web-disk1-2.qcow2" and so on that is free. */
static int choose_file(const struct vm *vm, struct change *change, struct err *err)
{
    struct vm_disk *disk = &change->wish.disk;
    char name[VM_DISK_NAME_SIZE];
    struct vm_spec after = vm->status.spec;
    uint32_t i;
    if (vm_disks_add(&after, disk, &i, err) < 0)
        return -1;
    vm_disk_name(&after, i, name);
    for (unsigned n = 1; n <= NAMES_MAX; n++) {
        g_autofree char *number = n > 1 ? g_strdup_printf("-%u", n) : g_strdup("");
        (void)g_snprintf(disk->file, sizeof disk->file, "%s-%s%s.%s", after.name, name, number, disk->format);
        if (disks_path(vm->agent, &after, disk, change->path, err) < 0)
            return -1;
        if (!disk_image_exists(vm->agent, change->path))
            return 0;
    }
    return 0; /* making it says that it exists */
}

/* What the new image begins as: it must be readable and nobody may write it. */
static int look_at_source(const struct vm *vm, const struct change *change, struct disk_look *ret_look,
                          struct err *err)
{
    const struct vm_spec *spec = &vm->status.spec;
    bool is_clone = *change->wish.backing.format;
    struct vm_disk source = is_clone ? change->wish.backing : change->wish.from;
    char label[DISK_LABEL_MAX], new_label[DISK_LABEL_MAX];
    g_strlcpy(source.media, "cdrom", sizeof source.media); /* it is only read */
    vm_disk_label(&source, label);
    vm_disk_label(&change->wish.disk, new_label);
    if (disks_look(vm->agent, spec, &source, false, ret_look, err) < 0)
        return -1;
    bool is_absent = ret_look->trouble == DISK_MISSING || ret_look->trouble == DISK_NOT_ACCESSIBLE;
    if (is_clone && is_absent)
        return check_say(err, CHECK_DISK_BACKING_MISSING,
                         CHECK_ARGS({"host", vm->agent->config.name}, {"vm", spec->name}, {"path", new_label},
                                    {"backing", label}, {"reason", ret_look->reason}));
    return disks_refuse(vm->agent, spec, &source, ret_look, err);
}

/* "../base.qcow2" from "web/disk1.qcow2": a name that holds wherever a host has mounted the datastore. */
static void relative_name(const char *from, const char *to, char ret_name[MODEL_PATH_MAX])
{
    size_t common = 0;
    g_autoptr(GString) name = g_string_new(NULL);
    for (size_t i = 0; from[i] && from[i] == to[i]; i++)
        if (from[i] == '/')
            common = i + 1;
    for (const char *at = strchr(from + common, '/'); at; at = strchr(at + 1, '/'))
        (void)g_string_append(name, "../");
    /* QEMU takes "word:" at the beginning for a protocol. */
    if (!name->len)
        (void)g_string_append(name, strchr(to + common, ':') ? "./" : "");
    (void)g_string_append(name, to + common);
    (void)g_strlcpy(ret_name, name->str, MODEL_PATH_MAX);
}

static int check_clone(const struct change *change, struct err *err)
{
    const struct vm_disk *disk = &change->wish.disk, *backing = &change->wish.backing;
    char label[DISK_LABEL_MAX];
    vm_disk_label(backing, label);
    if (!strcmp(disk->format, "qcow2") && !strcmp(disk->datastore, backing->datastore))
        return 0;
    (void)err_set(err, ERR_REFUSED, "disk-clone", "a linked clone of %s is a qcow2 image on its datastore",
                  label);
    (void)err_arg(err, "path", "%s", label);
    return err_fix(err, "make it there, or make a full copy with --from");
}

/* A thin image takes what is written to it; a copy takes what is copied, and at once. */
static int check_room(const struct vm *vm, const struct change *change, const struct disk_look *source,
                      struct err *err)
{
    struct host_datastore now;
    const char *name = change->wish.disk.datastore;
    uint64_t needed = *change->wish.from.format ? MIN(source->data_bytes, source->virtual_bytes) : 0;
    if (!datastores_get(vm->agent, name, &now) || !now.capacity_bytes || needed <= now.free_bytes)
        return 0;
    (void)err_set(err, ERR_REFUSED, "disk-no-room",
                  "the copy needs %llu MiB of datastore '%s', which has %llu MiB free on host '%s'",
                  (unsigned long long)(needed >> MIB_SHIFT), name,
                  (unsigned long long)(now.free_bytes >> MIB_SHIFT), vm->agent->config.name);
    (void)err_arg(err, "needed_mib", "%llu", (unsigned long long)(needed >> MIB_SHIFT));
    (void)err_arg(err, "datastore", "%s", name);
    (void)err_arg(err, "free_mib", "%llu", (unsigned long long)(now.free_bytes >> MIB_SHIFT));
    (void)err_arg(err, "host", "%s", vm->agent->config.name);
    return err_fix(err, "make room there, use another datastore, or make a linked clone with --backing");
}

/* Fills in what qemu-img is to do. */
static int plan_image(const struct vm *vm, struct change *change, struct disk_image_wish *ret_wish,
                      struct err *err)
{
    const struct vm_disk_wish *wish = &change->wish;
    const struct vm_disk *source = *wish->backing.format ? &wish->backing : &wish->from;
    g_autofree struct disk_look *look = g_new0(struct disk_look, 1);
    *ret_wish = (struct disk_image_wish){.size_bytes = wish->size_bytes};
    vm_disk_label(&wish->disk, ret_wish->label);
    g_strlcpy(ret_wish->format, wish->disk.format, sizeof ret_wish->format);
    g_strlcpy(ret_wish->source_format, source->format, sizeof ret_wish->source_format);
    if (disks_path(vm->agent, &vm->status.spec, &wish->disk, ret_wish->path, err) < 0)
        return -1;
    if (!*source->format)
        return check_room(vm, change, look, err);
    if ((*wish->backing.format && check_clone(change, err) < 0) ||
        look_at_source(vm, change, look, err) < 0 || check_room(vm, change, look, err) < 0)
        return -1;
    uint64_t least = (look->virtual_bytes + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
    if (wish->size_bytes && wish->size_bytes < least) {
        char label[DISK_LABEL_MAX];
        vm_disk_label(source, label);
        return refuse_size(label, (const uint64_t[]){least, wish->size_bytes}, err);
    }
    if (*wish->backing.format) {
        relative_name(wish->disk.file, wish->backing.file, ret_wish->backing);
        return 0;
    }
    ret_wish->is_to_grow = wish->size_bytes > least;
    return disks_path(vm->agent, &vm->status.spec, source, ret_wish->from, err);
}

static int check_store(const struct vm *vm, const struct vm_disk *disk, struct err *err)
{
    g_autofree struct findings *findings = g_new0(struct findings, 1);
    g_autofree struct vm_spec *alone = g_memdup2(&vm->status.spec, sizeof *alone);
    alone->n_disks = 1;
    alone->disks[0] = *disk;
    disks_find_store_problems(vm->agent, alone, findings);
    return findings_first(findings, err);
}

static int prepare(const struct vm *vm, struct change *change, struct disk_image_wish *ret_image,
                   struct err *err)
{
    struct vm_disk *disk = &change->wish.disk;
    if (!disk->bus[0])
        g_strlcpy(disk->bus, "virtio-scsi", sizeof disk->bus);
    if (check_changeable(vm, err) < 0)
        return -1;
    if (!change->wish.is_new)
        return place_disk(vm, change, err);
    if (check_store(vm, disk, err) < 0 || (!disk->file[0] && choose_file(vm, change, err) < 0) ||
        place_disk(vm, change, err) < 0)
        return -1;
    return plan_image(vm, change, ret_image, err);
}

void vm_disks_add_wish(struct vm *vm, const struct vm_disk_wish *wish, vm_done done, void *user)
{
    struct change *change = change_new(vm, done, user);
    struct disk_image_wish image;
    struct err err = {0};
    change->wish = *wish;
    if (prepare(vm, change, &image, &err) < 0) {
        change_end(change, &err);
        return;
    }
    hold(change, vm, change->wish.is_new ? "making and attaching" : "attaching", &change->wish.disk);
    if (change->wish.is_new)
        disk_image_make(vm, &image, on_image, change);
    else
        attach(vm, change);
}

/* ---- a disk goes ---- */

static int prepare_detach(const struct vm *vm, const char *disk, struct change *change, struct err *err)
{
    const struct vm_spec *spec = &vm->status.spec;
    if (check_changeable(vm, err) < 0 || vm_disks_find(spec, disk, &change->i, err) < 0 ||
        check_no_boot(vm, change->i, err) < 0 || check_hot(vm, &spec->disks[change->i], err) < 0)
        return -1;
    if (change->deletes_file && vm_disk_is_empty(&spec->disks[change->i]))
        change->deletes_file = false;
    if (change->deletes_file && disks_path(vm->agent, spec, &spec->disks[change->i], change->path, err) < 0)
        return -1;
    vm_disks_remove(&change->after, change->i);
    return 0;
}

void vm_disks_detach(struct vm *vm, const char *disk, bool deletes_file, vm_done done, void *user)
{
    struct change *change = change_new(vm, done, user);
    const struct vm_spec *spec = &vm->status.spec;
    struct err err = {0};
    change->deletes_file = deletes_file;
    if (prepare_detach(vm, disk, change, &err) < 0) {
        change_end(change, &err);
        return;
    }
    hold(change, vm, "detaching", &spec->disks[change->i]);
    if (is_hot(vm))
        disk_plug_remove(vm, spec, change->i, write_config, change);
    else
        write_config_now(vm, change);
}

/* ---- a disk grows ---- */

static void on_grown(struct vm *vm, const struct err *err, void *user)
{
    (void)vm;
    change_end(user, err);
}

static int prepare_resize(const struct vm *vm, const char *disk, uint64_t bytes, struct change *change,
                          struct err *err)
{
    const struct vm_spec *spec = &vm->status.spec;
    g_autofree struct disk_look *look = g_new0(struct disk_look, 1);
    if (check_changeable(vm, err) < 0 || vm_disks_find(spec, disk, &change->i, err) < 0)
        return -1;
    const struct vm_disk *found = &spec->disks[change->i];
    if (vm_disk_is_cdrom(found))
        return refuse_kind(vm, change->i, "a disk that can grow", err);
    if (check_store(vm, found, err) < 0 || disks_look(vm->agent, spec, found, is_hot(vm), look, err) < 0 ||
        disks_refuse(vm->agent, spec, found, look, err) < 0 ||
        disks_path(vm->agent, spec, found, change->path, err) < 0)
        return -1;
    if (bytes >= look->virtual_bytes)
        return 0; /* the same size is there already */
    char name[VM_DISK_NAME_SIZE];
    vm_disk_name(spec, change->i, name);
    return refuse_size(name, (const uint64_t[]){look->virtual_bytes, bytes}, err);
}

void vm_disks_resize(struct vm *vm, const char *disk, uint64_t bytes, vm_done done, void *user)
{
    struct change *change = change_new(vm, done, user);
    struct err err = {0};
    if (prepare_resize(vm, disk, bytes, change, &err) < 0) {
        change_end(change, &err);
        return;
    }
    const struct vm_disk *found = &vm->status.spec.disks[change->i];
    hold(change, vm, "resizing", found);
    if (is_hot(vm))
        disk_plug_resize(vm, change->i, bytes, on_grown, change);
    else
        disk_image_grow(vm, change->path, found->format, bytes, on_grown, change);
}

/* ---- a CD ---- */

static int prepare_medium(const struct vm *vm, const char *disk, const struct vm_disk *medium,
                          struct change *change, struct err *err)
{
    if (check_changeable(vm, err) < 0 || vm_disks_find(&change->after, disk, &change->i, err) < 0)
        return -1;
    struct vm_disk *drive = &change->after.disks[change->i];
    if (!vm_disk_is_cdrom(drive))
        return refuse_kind(vm, change->i, "a CD drive", err);
    g_strlcpy(drive->path, medium ? medium->path : "", sizeof drive->path);
    g_strlcpy(drive->datastore, medium ? medium->datastore : "", sizeof drive->datastore);
    g_strlcpy(drive->file, medium ? medium->file : "", sizeof drive->file);
    g_strlcpy(drive->format, medium ? medium->format : "raw", sizeof drive->format);
    if (vm_spec_check(&change->after, err) < 0)
        return -1;
    return medium ? disks_check(vm->agent, &change->after, drive, false, err) : 0;
}

void vm_disks_change_medium(struct vm *vm, const char *disk, const struct vm_disk *medium, bool force,
                            vm_done done, void *user)
{
    struct change *change = change_new(vm, done, user);
    struct err err = {0};
    if (prepare_medium(vm, disk, medium, change, &err) < 0) {
        change_end(change, &err);
        return;
    }
    hold(change, vm, medium ? "inserting" : "ejecting",
         &(medium ? &change->after : &vm->status.spec)->disks[change->i]);
    if (is_hot(vm))
        disk_plug_change_medium(vm, &change->after, change->i, force, write_config, change);
    else
        write_config_now(vm, change);
}

/* ---- after an agent ---- */

static void on_reconciled(struct vm *vm, const struct err *err, void *user)
{
    if (vm && err_is_set(err))
        log_error(err, "VM %s: its QEMU may not have the disks of the config file", vm->status.spec.name);
    change_end(user, err);
}

void vm_disks_reconcile(struct vm *vm, vm_done done, void *user)
{
    const struct err none = {0};
    bool has_changing = vm->status.spec.hardware >= VM_HARDWARE_HOT_DISKS;
    for (uint32_t i = 0; i < vm->status.spec.n_disks; i++)
        has_changing |= vm_disk_is_cdrom(&vm->status.spec.disks[i]);
    if (!has_changing || !vm->process || vm->incoming || vm_check_free(vm, NULL) < 0) {
        if (done)
            done(vm, &none, user);
        return;
    }
    struct change *change = change_new(vm, done, user);
    g_strlcpy(vm->disk_change, "comparing them with those of its QEMU", sizeof vm->disk_change);
    change->holds = true;
    disk_plug_reconcile(vm, on_reconciled, change);
}

void vm_disks_deleted(struct vm *vm, const char *device)
{
    if (disk_plug_deleted(vm, device) || !g_str_has_prefix(device, "vdisk"))
        return;
    log_warn("VM %s: its guest has let %s go late", vm->status.spec.name, device);
    vm_disks_reconcile(vm, NULL, NULL);
}

/* ---- what there is ---- */

static JsonArray *chain_json(const struct disk_look *look)
{
    JsonArray *chain = json_array_new();
    g_auto(GStrv) files = g_strsplit(look->chain, "\n", -1);
    for (char **file = files; *file; file++)
        json_array_add_string_element(chain, *file);
    return chain;
}

static JsonObject *describe(const struct vm *vm, uint32_t i, bool *is_answered)
{
    const struct vm_spec *spec = &vm->status.spec;
    const struct vm_disk *disk = &spec->disks[i];
    g_autofree struct disk_look *look = g_new0(struct disk_look, 1);
    char name[VM_DISK_NAME_SIZE];
    struct err err = {0};
    JsonObject *object = vm_disk_to_json(disk);
    vm_disk_name(spec, i, name);
    if (!vm_disk_is_empty(disk) && *is_answered) {
        int result = disks_look(vm->agent, spec, disk, is_hot(vm), look, &err);
        *is_answered = result == 0 || strcmp(err.id, "disk-not-answering") != 0;
        if (result == 0)
            (void)disks_refuse(vm->agent, spec, disk, look, &err);
    }
    json_object_set_string_member(object, "name", name);
    json_object_set_int_member(object, "slot", vm_disk_slot(spec, i));
    json_object_set_string_member(object, "bus", vm_disk_is_scsi(disk) ? "virtio-scsi" : "virtio-blk");
    json_object_set_string_member(object, "media", vm_disk_is_cdrom(disk) ? "cdrom" : "disk");
    json_object_set_int_member(object, "size_bytes", (gint64)look->virtual_bytes);
    json_object_set_int_member(object, "allocated_bytes", (gint64)look->allocated_bytes);
    json_object_set_array_member(object, "backing", chain_json(look));
    json_object_set_string_member(object, "problem", err.message);
    return object;
}

JsonObject *vm_disks_list(const struct vm *vm)
{
    JsonObject *object = json_object_new();
    JsonArray *list = json_array_new();
    bool is_answered = true;
    for (uint32_t i = 0; i < vm->status.spec.n_disks; i++)
        json_array_add_object_element(list, describe(vm, i, &is_answered));
    json_object_set_array_member(object, "disks", list);
    json_object_set_string_member(object, "change", vm->disk_change);
    return object;
}

JsonArray *vm_disks_warnings(const struct vm *vm)
{
    g_autofree struct findings *findings = g_new0(struct findings, 1);
    g_autofree struct vm_spec *alone = g_memdup2(&vm->status.spec, sizeof *alone);
    alone->disks[0] = alone->disks[alone->n_disks - 1];
    alone->n_disks = 1;
    disks_find_problems(vm->agent, alone, is_hot(vm), findings);
    return findings_to_json(findings);
}
