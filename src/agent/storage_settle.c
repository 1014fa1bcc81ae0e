/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/storage_settle.h"

#include <stdio.h>
#include <string.h>

#include "agent/vm_process.h"
#include "base/clock.h"
#include "base/log.h"
#include "model/json.h"
#include "model/vm_disks.h"
#include "qemu/disk_device.h"

/* A job that is cancelled, or a node that was just let go, takes a moment. */
#define AGAIN_MS 20
/* A QEMU that does not answer, a file system that is full. */
#define PATIENCE_MS 500
#define CONT_MS 5000
#define NODES_TRIES 250

struct settling {
    struct agent *agent;
    char uuid[MODEL_UUID_SIZE];
    struct disk_images_here here;
    bool continues;
    uint64_t runs_ns; /* when it went on */
    unsigned n_tries; /* to remove nodes */
    void (*again)(struct settling *settling);
    struct vm_spec found; /* the config file as it should be */
    bool is_ahead;        /* and is not yet */
    storage_settled done;
    void *user;
};

void storage_prefix(const char *session, char ret_prefix[STORAGE_PREFIX_SIZE])
{
    (void)snprintf(ret_prefix, STORAGE_PREFIX_SIZE, "mv-%.13s-", session);
}

static void ask_jobs(struct settling *settling);
static void take_devices(struct settling *settling);
static void remove_nodes(struct settling *settling);

/* ---- the end ---- */

static void finish(struct settling *settling)
{
    const struct vm *vm = vm_find(settling->agent, settling->uuid);
    const struct disk_images_here *here = &settling->here;
    struct storage_outcome outcome = {.n_disks = here->n, .runs_ns = settling->runs_ns};
    for (uint32_t i = 0; vm && i < here->n; i++) {
        uint32_t place = disk_images_place(here, i, &vm->status.spec);
        outcome.n_moved += place < vm->status.spec.n_disks &&
                           vm_disk_is_same(&vm->status.spec.disks[place], &here->disks[i].to);
    }
    (void)disk_images_settle(settling->agent, settling->uuid, here->session, &outcome.err);
    settling->done(&outcome, settling->user);
    g_free(settling);
}

static gboolean on_again(gpointer user)
{
    struct settling *settling = user;
    settling->again(settling);
    return G_SOURCE_REMOVE;
}

static void again(struct settling *settling, unsigned ms, void (*call)(struct settling *settling))
{
    settling->again = call;
    (void)g_timeout_add(ms, on_again, settling);
}

/* Its QEMU; NULL: there is none (any more), and the rest was done. */
static struct vm *qemu_of(struct settling *settling)
{
    struct vm *vm = vm_find(settling->agent, settling->uuid);
    if (vm && vm->process && !vm->process->dead)
        return vm;
    if (vm && vm->process)
        again(settling, AGAIN_MS, ask_jobs); /* it is being cleaned up */
    else
        finish(settling);
    return NULL;
}

/* True: the answer is an error, and it is begun anew. */
static bool is_unanswered(struct settling *settling, const struct err *err)
{
    if (!err_is_set(err))
        return false;
    log_error(err, "VM %s: which images it uses is not known yet", settling->uuid);
    again(settling, PATIENCE_MS, ask_jobs);
    return true;
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

static void ignore(JsonNode *result, const struct err *err, void *user)
{
    (void)result;
    (void)err;
    (void)user;
}

static void call_by_name(struct vm *vm, const char *command, const char *member, const char *name)
{
    JsonObject *arguments = json_object_new();
    json_object_set_string_member(arguments, member, name);
    if (!strcmp(command, "block-job-cancel"))
        json_object_set_boolean_member(arguments, "force", TRUE);
    vm_qmp(vm, command, arguments, -1, ignore, NULL);
}

/* ---- nodes that no device uses ---- */

static void name_nodes(const struct settling *settling, uint32_t i, const struct vm_disk *disk,
                       char ret_node[DISK_NODE_SIZE], char ret_file[DISK_NODE_SIZE])
{
    g_autofree struct vm_spec *spec = g_memdup2(&settling->found, sizeof *spec);
    uint32_t place = disk_images_place(&settling->here, i, spec);
    ret_node[0] = ret_file[0] = '\0';
    if (place == spec->n_disks)
        return;
    spec->disks[place] = *disk;
    disk_node(spec, place, ret_node);
    disk_file_node(spec, place, ret_file);
}

static bool has_node(JsonArray *nodes, const char *name)
{
    for (guint i = 0; nodes && name[0] && i < json_array_get_length(nodes); i++) {
        JsonObject *node = element(nodes, i);
        if (node && !strcmp(model_text(node, "node-name"), name))
            return true;
    }
    return false;
}

static bool is_moved(const struct settling *settling, uint32_t i)
{
    uint32_t place = disk_images_place(&settling->here, i, &settling->found);
    return place < settling->found.n_disks &&
           vm_disk_is_same(&settling->found.disks[place], &settling->here.disks[i].to);
}

static void on_nodes(JsonNode *result, const struct err *err, void *user)
{
    struct settling *settling = user;
    struct vm *vm;
    unsigned n_found = 0;
    if (is_unanswered(settling, err) || !(vm = qemu_of(settling)))
        return;
    for (uint32_t i = 0; i < settling->here.n; i++) {
        char node[DISK_NODE_SIZE], file[DISK_NODE_SIZE];
        name_nodes(settling, i,
                   is_moved(settling, i) ? &settling->here.disks[i].from : &settling->here.disks[i].to, node,
                   file);
        if (has_node(list_of(result), node))
            call_by_name(vm, "blockdev-del", "node-name", node);
        if (has_node(list_of(result), file))
            call_by_name(vm, "blockdev-del", "node-name", file);
        n_found += has_node(list_of(result), node) || has_node(list_of(result), file);
    }
    if (n_found && settling->n_tries++ < NODES_TRIES) {
        again(settling, AGAIN_MS, remove_nodes);
        return;
    }
    if (n_found)
        log_warn("VM %s: its QEMU keeps an image open that it does not use any more", settling->uuid);
    finish(settling);
}

static void remove_nodes(struct settling *settling)
{
    struct vm *vm = qemu_of(settling);
    if (!vm)
        return;
    JsonObject *arguments = json_object_new();
    json_object_set_boolean_member(arguments, "flat", TRUE);
    vm_qmp(vm, "query-named-block-nodes", arguments, -1, on_nodes, settling);
}

/* ---- what each disk uses, and what the config file says ---- */

static void on_cont(struct vm *vm, enum vm_cont_result result, const struct err *err, void *user)
{
    struct settling *settling = user;
    if (result != VM_CONT_RUNS)
        log_error(err, "VM %s stands with its disks where they are now", vm->status.spec.name);
    else
        settling->runs_ns = clock_now_ns();
    settling->continues = false;
    remove_nodes(settling);
}

static void write_config(struct settling *settling)
{
    struct vm *vm = qemu_of(settling);
    struct err err = {0};
    if (!vm)
        return;
    if (settling->is_ahead && vm_config_write(vm, &settling->found, vm_holder(vm), &err) < 0) {
        log_error(&err, "VM %s stands until its config file says where its disks are now",
                  vm->status.spec.name);
        again(settling, PATIENCE_MS, take_devices);
        return;
    }
    if (settling->is_ahead && vm_process_write(vm, &err) < 0)
        log_error(&err, "VM %s: the record of its QEMU has the old specification", vm->status.spec.name);
    if (settling->continues)
        vm_cont(vm, CONT_MS, on_cont, settling);
    else
        remove_nodes(settling);
}

/* The node that the device of that slot has inserted; "" if there is none. */
static const char *inserted_node(JsonArray *devices, uint32_t slot)
{
    g_autofree char *id = g_strdup_printf("vdisk%u", slot - 1);
    for (guint i = 0; devices && i < json_array_get_length(devices); i++) {
        JsonObject *device = element(devices, i);
        if (!device || !disk_device_is(model_text(device, "qdev"), id))
            continue;
        JsonNode *inserted = json_object_get_member(device, "inserted");
        return inserted && JSON_NODE_HOLDS_OBJECT(inserted)
                   ? model_text(json_node_get_object(inserted), "node-name")
                   : "";
    }
    return "";
}

static void on_devices(JsonNode *result, const struct err *err, void *user)
{
    struct settling *settling = user;
    struct vm *vm;
    if (is_unanswered(settling, err) || !(vm = qemu_of(settling)))
        return;
    settling->found = vm->status.spec;
    settling->is_ahead = false;
    for (uint32_t i = 0; i < settling->here.n; i++) {
        char node[DISK_NODE_SIZE], file[DISK_NODE_SIZE];
        uint32_t place = disk_images_place(&settling->here, i, &settling->found);
        name_nodes(settling, i, &settling->here.disks[i].to, node, file);
        if (!node[0] || is_moved(settling, i) ||
            strcmp(inserted_node(list_of(result), settling->here.disks[i].slot), node) != 0)
            continue;
        settling->found.disks[place] = settling->here.disks[i].to;
        settling->is_ahead = true;
    }
    write_config(settling);
}

static void take_devices(struct settling *settling)
{
    struct vm *vm = qemu_of(settling);
    if (vm)
        vm_qmp(vm, "query-block", NULL, -1, on_devices, settling);
}

/* ---- jobs ---- */

static void on_jobs(JsonNode *result, const struct err *err, void *user)
{
    struct settling *settling = user;
    struct vm *vm;
    char prefix[STORAGE_PREFIX_SIZE];
    bool has_found = false;
    if (is_unanswered(settling, err) || !(vm = qemu_of(settling)))
        return;
    JsonArray *jobs = list_of(result);
    storage_prefix(settling->here.session, prefix);
    for (guint i = 0; jobs && i < json_array_get_length(jobs); i++) {
        JsonObject *job = element(jobs, i);
        const char *name = job ? model_text(job, "device") : "";
        if (!g_str_has_prefix(name, prefix))
            continue;
        has_found = true;
        call_by_name(vm, "block-job-cancel", "device", name);
    }
    if (has_found)
        again(settling, AGAIN_MS, ask_jobs);
    else
        take_devices(settling);
}

static void ask_jobs(struct settling *settling)
{
    struct vm *vm = qemu_of(settling);
    if (vm)
        vm_qmp(vm, "query-block-jobs", NULL, -1, on_jobs, settling);
}

void storage_settle(struct agent *agent, const char *uuid, const struct disk_images_here *here,
                    bool continues, storage_settled done, void *user)
{
    struct settling *settling = g_new0(struct settling, 1);
    settling->agent = agent;
    settling->here = *here;
    settling->continues = continues;
    settling->done = done;
    settling->user = user;
    g_strlcpy(settling->uuid, uuid, sizeof settling->uuid);
    ask_jobs(settling);
}
