/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/disk_plug.h"

#include <string.h>

#include "agent/disks.h"
#include "agent/vm_process.h"
#include "base/log.h"
#include "model/json.h"
#include "qemu/disk_device.h"

#define AGAIN_MS 100
/* QEMU lets go of a node a moment after its device has gone. */
#define NODE_MS 5000
/* A guest that is asked to unlock its tray does so at once, or somebody uses the CD. */
#define TRAY_MS 10000
#define DEVICE_MS 30000

enum step_kind {
    STEP_CALL,
    STEP_IN_TRAY,     /* the tray has to be open, which the guest may keep shut, or shut again at any time */
    STEP_DEVICE_GONE, /* waits for DEVICE_DELETED */
};

struct step {
    enum step_kind kind;
    const char *command;   /* static; NULL: none, it only waits */
    JsonObject *arguments; /* owned */
    unsigned patience_ms;  /* so long a refusal is answered by asking again */
    gint64 until_us;       /* the end of that; 0: not asked yet */
    bool forces_tray;      /* of STEP_IN_TRAY: also if the guest has locked it */
    char device[DISK_NODE_SIZE];
};

struct disk_plug {
    struct agent *agent;
    char uuid[MODEL_UUID_SIZE]; /* of the VM, which may go */
    struct vm_wait wait;
    GQueue steps; /* of struct step, owned; the first is under way */
    guint timer;
    char gone[DISK_NODE_SIZE]; /* the device that went last */
    bool is_reconciling;
    JsonNode *devices; /* of query-block, while it reconciles; owned */
    struct err err;    /* why it reconciles; none: it was asked to */
};

static void go_on(struct disk_plug *plug);
static void reconcile(struct disk_plug *plug, struct vm *vm);

static struct vm *vm_of(const struct disk_plug *plug)
{
    struct vm *vm = vm_find(plug->agent, plug->uuid);
    return vm && vm->plug == plug ? vm : NULL;
}

static void step_free(void *data)
{
    struct step *step = data;
    if (step->arguments)
        json_object_unref(step->arguments);
    g_free(step);
}

static struct disk_plug *plug_new(struct vm *vm, vm_done done, void *user)
{
    struct disk_plug *plug = g_new0(struct disk_plug, 1);
    plug->agent = vm->agent;
    g_strlcpy(plug->uuid, vm->status.spec.uuid, sizeof plug->uuid);
    plug->wait = (struct vm_wait){.done = done, .user = user};
    vm->plug = plug;
    return plug;
}

static void clear_steps(struct disk_plug *plug)
{
    g_queue_clear_full(&plug->steps, step_free);
    if (plug->timer)
        (void)g_source_remove(plug->timer);
    plug->timer = 0;
}

static void finish(struct disk_plug *plug, const struct err *err)
{
    struct vm *vm = vm_of(plug);
    struct err told = *err;
    if (!vm)
        (void)err_set(&told, ERR_NOT_FOUND, "vm-not-found", "the VM is not on this host any more");
    clear_steps(plug);
    g_clear_pointer(&plug->devices, json_node_unref);
    if (vm)
        vm->plug = NULL;
    vm_wait_end(&plug->wait, vm, &told);
    g_free(plug);
}

static void fail(struct disk_plug *plug, const struct err *err)
{
    struct vm *vm = vm_of(plug);
    bool is_over = !vm || !vm->process || vm->process->dead || err->code == ERR_CANCELLED;
    if (plug->is_reconciling && plug->err.code) {
        log_error(err, "VM %s: QEMU may not have the disks of the config file",
                  vm ? vm->status.spec.name : plug->uuid);
        finish(plug, &plug->err);
    } else if (plug->is_reconciling || is_over) {
        finish(plug, err);
    } else {
        plug->err = *err;
        clear_steps(plug);
        reconcile(plug, vm);
    }
}

/* ---- steps ---- */

static struct step *add_step(struct disk_plug *plug, const char *command, JsonObject *arguments)
{
    struct step *step = g_new0(struct step, 1);
    step->command = command;
    step->arguments = arguments;
    g_queue_push_tail(&plug->steps, step);
    return step;
}

static JsonObject *one_text(const char *member, const char *text)
{
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, member, text);
    return object;
}

static void say_late(const struct vm *vm, const struct step *step, struct err *err)
{
    const char *name = vm->status.spec.name;
    if (step->kind == STEP_IN_TRAY) {
        (void)err_set(err, ERR_REFUSED, "cd-locked", "the guest of VM '%s' keeps its CD drive shut", name);
        (void)err_arg(err, "vm", "%s", name);
        (void)err_cause(err, "it was asked to open it and did not within %d s, as when the CD is mounted",
                        TRAY_MS / 1000);
        (void)err_fix(err, "unmount the CD in the guest, or take it away all the same with --force");
    } else {
        (void)err_set(err, ERR_REFUSED, "disk-held-by-guest",
                      "the guest of VM '%s' did not let the disk go within %d s", name, DEVICE_MS / 1000);
        (void)err_fix(err, "unmount it in the guest and detach it again, or switch the VM off for that");
        (void)err_arg(err, "vm", "%s", name);
        (void)err_arg(err, "waited_s", "%d", DEVICE_MS / 1000);
    }
}

static void next(struct disk_plug *plug)
{
    step_free(g_queue_pop_head(&plug->steps));
    go_on(plug);
}

static struct step *open_step(const char *id, bool force)
{
    struct step *step = g_new0(struct step, 1);
    step->command = "blockdev-open-tray";
    step->arguments = one_text("id", id);
    json_object_set_boolean_member(step->arguments, "force", force);
    return step;
}

/* A guest shuts the tray as it likes, and each reset of its controller does. */
static gboolean on_again(gpointer user)
{
    struct disk_plug *plug = user;
    const struct step *step = g_queue_peek_head(&plug->steps);
    plug->timer = 0;
    if (step->kind == STEP_IN_TRAY)
        g_queue_push_head(&plug->steps, open_step(model_text(step->arguments, "id"), step->forces_tray));
    go_on(plug);
    return G_SOURCE_REMOVE;
}

static bool is_patient(const struct step *step)
{
    return g_get_monotonic_time() < step->until_us;
}

static void on_answer(JsonNode *result, const struct err *err, void *user)
{
    struct disk_plug *plug = user;
    struct vm *vm = vm_of(plug);
    (void)result;
    if (!err_is_set(err)) {
        next(plug);
        return;
    }
    const struct step *step = g_queue_peek_head(&plug->steps);
    bool is_refused = !strcmp(err->id, "qemu-refused");
    if (vm && is_refused && is_patient(step)) {
        plug->timer = g_timeout_add(AGAIN_MS, on_again, plug);
        return;
    }
    struct err told = *err;
    if (vm && is_refused && step->kind == STEP_IN_TRAY)
        say_late(vm, step, &told);
    fail(plug, &told);
}

static void await_device(struct disk_plug *plug, const struct vm *vm, const struct step *step)
{
    struct err err;
    if (!strcmp(plug->gone, step->device)) {
        next(plug);
    } else if (is_patient(step)) {
        plug->timer = g_timeout_add(AGAIN_MS, on_again, plug);
    } else {
        say_late(vm, step, &err);
        fail(plug, &err);
    }
}

static void go_on(struct disk_plug *plug)
{
    struct vm *vm = vm_of(plug);
    struct step *step = g_queue_peek_head(&plug->steps);
    struct err err = {0};
    if (!step) {
        finish(plug, &plug->err);
        return;
    }
    if (!vm || !vm->process || vm->process->dead) {
        (void)err_set(&err, ERR_PEER_LOST, "qmp-lost", "QEMU of the VM has ended");
        fail(plug, &err);
        return;
    }
    if (!step->until_us)
        step->until_us = g_get_monotonic_time() + step->patience_ms * G_TIME_SPAN_MILLISECOND;
    if (step->command)
        vm_qmp(vm, step->command, json_object_ref(step->arguments), -1, on_answer, plug);
    else
        await_device(plug, vm, step);
}

bool disk_plug_deleted(struct vm *vm, const char *device)
{
    struct disk_plug *plug = vm->plug;
    if (plug)
        g_strlcpy(plug->gone, device, sizeof plug->gone);
    return plug != NULL;
}

/* ---- what verbs are made of ---- */

/* 0, or why this host has no such place. An empty drive has no nodes. */
static int add_nodes(struct disk_plug *plug, const struct vm_spec *spec, uint32_t i, struct err *err)
{
    struct block_image image;
    char path[MODEL_PATH_MAX];
    if (disks_path(plug->agent, spec, &spec->disks[i], path, err) < 0)
        return -1;
    if (!disk_image_of(spec, i, path, &image))
        return 0;
    add_step(plug, "blockdev-add", block_file_node(&image));
    add_step(plug, "blockdev-add", block_format_node(&image));
    return 0;
}

static void remove_node(struct disk_plug *plug, const char *node)
{
    add_step(plug, "blockdev-del", one_text("node-name", node))->patience_ms = NODE_MS;
}

static void remove_nodes(struct disk_plug *plug, const struct vm_spec *spec, uint32_t i)
{
    char node[DISK_NODE_SIZE], file[DISK_NODE_SIZE];
    disk_node(spec, i, node);
    disk_file_node(spec, i, file);
    remove_node(plug, node);
    remove_node(plug, file);
}

static void remove_device(struct disk_plug *plug, const char *id)
{
    add_step(plug, "device_del", one_text("id", id));
    struct step *step = add_step(plug, NULL, NULL);
    step->kind = STEP_DEVICE_GONE;
    step->patience_ms = DEVICE_MS;
    g_strlcpy(step->device, id, sizeof step->device);
}

static int add_device(struct disk_plug *plug, const struct vm_spec *spec, uint32_t i, struct err *err)
{
    if (add_nodes(plug, spec, i, err) < 0)
        return -1;
    add_step(plug, "device_add", disk_device(spec, i));
    return 0;
}

static void in_tray(struct disk_plug *plug, const char *command, JsonObject *arguments, bool force)
{
    struct step *step = add_step(plug, command, arguments);
    step->kind = STEP_IN_TRAY;
    step->patience_ms = TRAY_MS;
    step->forces_tray = force;
}

static void empty_tray(struct disk_plug *plug, const char *id, bool force)
{
    g_queue_push_tail(&plug->steps, open_step(id, force));
    in_tray(plug, "blockdev-remove-medium", one_text("id", id), force);
}

static int fill_tray(struct disk_plug *plug, const struct vm_spec *spec, uint32_t i, bool force,
                     struct err *err)
{
    char id[DISK_NODE_SIZE], node[DISK_NODE_SIZE];
    disk_device_id(spec, i, id);
    disk_node(spec, i, node);
    if (add_nodes(plug, spec, i, err) < 0)
        return -1;
    if (!vm_disk_is_empty(&spec->disks[i])) {
        JsonObject *insert = one_text("id", id);
        json_object_set_string_member(insert, "node-name", node);
        in_tray(plug, "blockdev-insert-medium", insert, force);
    }
    add_step(plug, "blockdev-close-tray", one_text("id", id));
    return 0;
}

/* ---- verbs ---- */

static void run(struct disk_plug *plug, int result, const struct err *err)
{
    if (result < 0)
        finish(plug, err);
    else
        go_on(plug);
}

void disk_plug_add(struct vm *vm, const struct vm_spec *spec, uint32_t i, vm_done done, void *user)
{
    struct disk_plug *plug = plug_new(vm, done, user);
    struct err err = {0};
    run(plug, add_device(plug, spec, i, &err), &err);
}

void disk_plug_remove(struct vm *vm, const struct vm_spec *spec, uint32_t i, vm_done done, void *user)
{
    struct disk_plug *plug = plug_new(vm, done, user);
    char id[DISK_NODE_SIZE];
    disk_device_id(spec, i, id);
    remove_device(plug, id);
    if (!vm_disk_is_empty(&spec->disks[i]))
        remove_nodes(plug, spec, i);
    go_on(plug);
}

void disk_plug_change_medium(struct vm *vm, const struct vm_spec *spec, uint32_t i, bool force, vm_done done,
                             void *user)
{
    struct disk_plug *plug = plug_new(vm, done, user);
    char id[DISK_NODE_SIZE];
    struct err err = {0};
    disk_device_id(spec, i, id);
    empty_tray(plug, id, force);
    if (!vm_disk_is_empty(&vm->status.spec.disks[i]))
        remove_nodes(plug, spec, i);
    run(plug, fill_tray(plug, spec, i, force, &err), &err);
}

void disk_plug_resize(struct vm *vm, uint32_t i, uint64_t bytes, vm_done done, void *user)
{
    struct disk_plug *plug = plug_new(vm, done, user);
    char node[DISK_NODE_SIZE];
    disk_node(&vm->status.spec, i, node);
    JsonObject *arguments = one_text("node-name", node);
    json_object_set_int_member(arguments, "size", (gint64)bytes);
    add_step(plug, "block_resize", arguments);
    go_on(plug);
}

/* ---- reconciliation ---- */

/* What QEMU has in one slot. */
struct found {
    bool has_device;
    bool is_inserted; /* the node is what the device uses */
    const char *node; /* the disk's node, or NULL */
    const char *file; /* the path of the node below it, or NULL */
};

/* What its nodes are called. A disk that came and is in no config file yet has never moved. */
static void name_nodes(const struct vm_spec *spec, unsigned number, char ret_node[DISK_NODE_SIZE],
                       char ret_file[DISK_NODE_SIZE])
{
    uint32_t i = vm_disk_in_slot(spec, number + 1);
    (void)g_snprintf(ret_node, DISK_NODE_SIZE, "disk%u", number);
    (void)g_snprintf(ret_file, DISK_NODE_SIZE, "disk%u-file", number);
    if (i == spec->n_disks)
        return;
    disk_node(spec, i, ret_node);
    disk_file_node(spec, i, ret_file);
}

static JsonArray *list_of(JsonNode *node)
{
    return node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
}

static JsonObject *element(JsonArray *list, guint i)
{
    JsonNode *node = json_array_get_element(list, i);
    return JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

static void find_in_slot(const struct vm_spec *spec, JsonArray *devices, JsonArray *nodes, unsigned number,
                         struct found *ret)
{
    g_autofree char *id = g_strdup_printf("vdisk%u", number);
    char node[DISK_NODE_SIZE], file[DISK_NODE_SIZE];
    name_nodes(spec, number, node, file);
    *ret = (struct found){0};
    for (guint i = 0; devices && i < json_array_get_length(devices); i++) {
        JsonObject *device = element(devices, i);
        if (!device || !disk_device_is(model_text(device, "qdev"), id))
            continue;
        JsonNode *inserted = json_object_get_member(device, "inserted");
        ret->has_device = true;
        ret->is_inserted = inserted && JSON_NODE_HOLDS_OBJECT(inserted) &&
                           !strcmp(model_text(json_node_get_object(inserted), "node-name"), node);
    }
    for (guint i = 0; nodes && i < json_array_get_length(nodes); i++) {
        JsonObject *one = element(nodes, i);
        const char *name = one ? model_text(one, "node-name") : "";
        if (!strcmp(name, node))
            ret->node = name;
        if (!strcmp(name, file))
            ret->file = model_text(one, "file");
    }
}

/* The same file, although its datastore may be mounted elsewhere than when QEMU was started. */
static bool has_medium(const struct vm_disk *disk, const struct found *found)
{
    const char *path = found->file;
    if (vm_disk_is_empty(disk))
        return !path && !found->node;
    g_autofree char *file = g_strdup_printf("/%s", disk->file);
    return found->is_inserted && path &&
           (disk->datastore[0] ? g_str_has_suffix(path, file) : !strcmp(path, disk->path));
}

static void drop_nodes(struct disk_plug *plug, const struct vm_spec *spec, unsigned number,
                       const struct found *found)
{
    char node[DISK_NODE_SIZE], file[DISK_NODE_SIZE];
    name_nodes(spec, number, node, file);
    if (found->node)
        remove_node(plug, node);
    if (found->file)
        remove_node(plug, file);
}

/* -1: the config file has a disk here that this host has not. */
static int settle_slot(struct disk_plug *plug, const struct vm_spec *spec, unsigned number,
                       const struct found *found, struct err *err)
{
    g_autofree char *id = g_strdup_printf("vdisk%u", number);
    uint32_t i = vm_disk_in_slot(spec, number + 1);
    const struct vm_disk *disk = i < spec->n_disks ? &spec->disks[i] : NULL;
    if (disk && !vm_disk_is_scsi(disk))
        return 0; /* it is there since QEMU was started */
    if (!disk) {
        if (found->has_device)
            remove_device(plug, id);
        drop_nodes(plug, spec, number, found);
        return 0;
    }
    if (!found->has_device) {
        drop_nodes(plug, spec, number, found);
        return add_device(plug, spec, i, err);
    }
    if (!vm_disk_is_cdrom(disk) || has_medium(disk, found))
        return 0;
    empty_tray(plug, id, true);
    drop_nodes(plug, spec, number, found);
    return fill_tray(plug, spec, i, true, err);
}

static void on_nodes(JsonNode *result, const struct err *err, void *user)
{
    struct disk_plug *plug = user;
    struct vm *vm = vm_of(plug);
    struct err problem = {0};
    if (err_is_set(err) || !vm) {
        fail(plug, err);
        return;
    }
    for (unsigned number = 0; number < VM_DISKS_MAX; number++) {
        struct found found;
        find_in_slot(&vm->status.spec, list_of(plug->devices), list_of(result), number, &found);
        if (settle_slot(plug, &vm->status.spec, number, &found, &problem) < 0) {
            fail(plug, &problem);
            return;
        }
    }
    if (plug->steps.length)
        log_info("VM %s: QEMU is brought back to the disks of the config file, in %u steps",
                 vm->status.spec.name, plug->steps.length);
    go_on(plug);
}

static void on_devices(JsonNode *result, const struct err *err, void *user)
{
    struct disk_plug *plug = user;
    struct vm *vm = vm_of(plug);
    if (err_is_set(err) || !vm) {
        fail(plug, err);
        return;
    }
    plug->devices = json_node_copy(result);
    JsonObject *arguments = json_object_new();
    json_object_set_boolean_member(arguments, "flat", TRUE);
    vm_qmp(vm, "query-named-block-nodes", arguments, -1, on_nodes, plug);
}

static void reconcile(struct disk_plug *plug, struct vm *vm)
{
    plug->is_reconciling = true;
    vm_qmp(vm, "query-block", NULL, -1, on_devices, plug);
}

void disk_plug_reconcile(struct vm *vm, vm_done done, void *user)
{
    reconcile(plug_new(vm, done, user), vm);
}
