/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation. For each disk QEMU gets a node, an NBD client of the other side's QEMU, and a mirror
 * job to it. Both have names that begin with those of the move, so that they can be found and ended whoever
 * made them. QEMU's connection is to a socket of ours with a random abstract name, where only its own process
 * is let in; its other end goes to the migration job.
 */
#include "agent/disk_mirror.h"

#include <errno.h>
#include <glib-unix.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/disk_copy_error.h"
#include "agent/vm_process.h"
#include "base/cleanup.h"
#include "base/fdio.h"
#include "base/log.h"
#include "model/json.h"
#include "qemu/disk_device.h"

#define NODE_MAX 32
#define LOOK_MS 500
#define CLEAR_MS 100
#define CLEAR_TRIES 300

struct copy {
    uint32_t disk;        /* number of the VM's disk */
    char node[NODE_MAX];  /* of the target, and the job's name */
    bool runs;            /* the job was started and has not ended */
    bool is_ready;        /* QEMU has said so */
    bool is_ended;        /* as it should */
    uint64_t done, total; /* bytes */
};

struct disk_mirror {
    struct disk_mirror_config config;
    unsigned n_refs; /* the owner's, one for each call under way */
    bool is_freed;
    bool has_failed;
    bool is_over; /* nothing of it is in QEMU any more */
    uint32_t n_copies;
    struct copy copies[VM_DISKS_MAX];
    char prefix[NODE_MAX];
    char socket[64]; /* its abstract name */
    int listener;
    guint listen_watch, look_timer;
    uint32_t beginning; /* the one under way */
    void (*connected)(int fd, void *user);
    disk_mirror_done begun, awaited, finished;
};

/* ---- names ---- */

/* Short, as QEMU wants the names of nodes. */
static void make_prefix(const char *move_id, char ret_prefix[NODE_MAX])
{
    (void)snprintf(ret_prefix, NODE_MAX, "mv-%.13s-", move_id);
}

static struct copy *find_copy(struct disk_mirror *mirror, const char *node)
{
    for (uint32_t i = 0; i < mirror->n_copies; i++)
        if (!strcmp(mirror->copies[i].node, node))
            return &mirror->copies[i];
    return NULL;
}

static void unref(struct disk_mirror *mirror)
{
    if (!--mirror->n_refs)
        g_free(mirror);
}

/* ---- the end ---- */

static void stop_listening(struct disk_mirror *mirror)
{
    if (mirror->listen_watch)
        (void)g_source_remove(mirror->listen_watch);
    mirror->listen_watch = 0;
}

static void call_once(disk_mirror_done *done, const struct disk_mirror *mirror, const struct err *err)
{
    disk_mirror_done call = *done;
    *done = NULL;
    if (call)
        call(err, mirror->config.user);
}

static void fail(struct disk_mirror *mirror, const struct err *err)
{
    struct err why = *err; /* it may belong to what ends here */
    if (mirror->is_freed || mirror->has_failed)
        return;
    mirror->has_failed = true;
    stop_listening(mirror);
    mirror->config.failed(&why, mirror->config.user);
}

static void copy_failed(struct disk_mirror *mirror, const struct copy *copy, const char *reason)
{
    const struct disk_mirror_config *config = &mirror->config;
    const struct vm_spec *spec = &config->vm->status.spec;
    struct err err;
    disk_copy_error(&(const struct disk_copying){spec->name, &spec->disks[copy->disk], config->destination,
                                                 config->datastore},
                    reason, &err);
    fail(mirror, &err);
}

/* ---- what QEMU tells ---- */

static void delete_nodes(struct disk_mirror *mirror);

static void check_ready(struct disk_mirror *mirror)
{
    struct err none = {0};
    for (uint32_t i = 0; i < mirror->n_copies; i++)
        if (!mirror->copies[i].is_ready)
            return;
    mirror->config.advanced(mirror->config.user);
    call_once(&mirror->awaited, mirror, &none);
}

static void job_ended(struct disk_mirror *mirror, struct copy *copy, const char *error)
{
    copy->runs = false;
    if (error[0] || !mirror->finished) {
        copy_failed(mirror, copy, error);
        return;
    }
    copy->is_ended = true;
    for (uint32_t i = 0; i < mirror->n_copies; i++)
        if (!mirror->copies[i].is_ended)
            return;
    delete_nodes(mirror);
}

static void on_job(struct vm *vm, const char *event, JsonObject *data, void *user)
{
    struct disk_mirror *mirror = user;
    struct copy *copy = find_copy(mirror, model_text(data, "device"));
    (void)vm;
    if (!copy)
        return;
    if (!strcmp(event, "BLOCK_JOB_READY")) {
        copy->is_ready = true;
        copy->done = copy->total = (uint64_t)model_int(data, "len", (gint64)copy->total);
        check_ready(mirror);
    } else if (!strcmp(event, "BLOCK_JOB_COMPLETED") || !strcmp(event, "BLOCK_JOB_CANCELLED")) {
        job_ended(mirror, copy, model_text(data, "error"));
    }
}

static void looked(JsonNode *result, const struct err *err, void *user)
{
    struct disk_mirror *mirror = user;
    JsonArray *jobs = !err_is_set(err) && JSON_NODE_HOLDS_ARRAY(result) ? json_node_get_array(result) : NULL;
    for (guint i = 0; jobs && i < json_array_get_length(jobs); i++) {
        JsonObject *job = json_array_get_object_element(jobs, i);
        struct copy *copy = find_copy(mirror, model_text(job, "device"));
        if (!copy)
            continue;
        copy->done = (uint64_t)model_int(job, "offset", 0);
        copy->total = (uint64_t)model_int(job, "len", 0);
    }
    if (jobs && !mirror->is_freed)
        mirror->config.advanced(mirror->config.user);
    unref(mirror);
}

static gboolean look(gpointer user)
{
    struct disk_mirror *mirror = user;
    mirror->n_refs++;
    vm_qmp(mirror->config.vm, "query-block-jobs", NULL, -1, looked, mirror);
    return G_SOURCE_CONTINUE;
}

/* ---- begin ---- */

static void begin_failed(struct disk_mirror *mirror, const struct err *err)
{
    struct err why = *err;
    stop_listening(mirror);
    (void)err_prefix(&why, "the copy of a disk of VM '%s' did not begin",
                     mirror->config.vm->status.spec.name);
    call_once(&mirror->begun, mirror, &why);
}

static void on_mirror(JsonNode *result, const struct err *err, void *user)
{
    struct disk_mirror *mirror = user;
    (void)result;
    if (!mirror->is_freed && err_is_set(err)) {
        begin_failed(mirror, err);
    } else if (!mirror->is_freed) {
        mirror->copies[mirror->beginning].runs = true;
        call_once(&mirror->begun, mirror, err);
    }
    unref(mirror);
}

/* What the guest writes while the copy runs is copied again, and no write of the guest waits for it. With
 * "write-blocking", where each does, a QEMU 7.2 has died of a corrupted heap when its copy was cancelled: a
 * write that is on its way then seems to end after mirror_run() has freed what it uses. */
static void start_copy(struct disk_mirror *mirror)
{
    const struct copy *copy = &mirror->copies[mirror->beginning];
    JsonObject *arguments = json_object_new();
    char device[DISK_NODE_SIZE];
    disk_node(&mirror->config.vm->status.spec, copy->disk, device);
    json_object_set_string_member(arguments, "job-id", copy->node);
    json_object_set_string_member(arguments, "device", device);
    json_object_set_string_member(arguments, "target", copy->node);
    json_object_set_string_member(arguments, "sync", "full");
    json_object_set_string_member(arguments, "copy-mode", "background");
    mirror->n_refs++;
    vm_qmp(mirror->config.vm, "blockdev-mirror", arguments, -1, on_mirror, mirror);
}

static void on_node(JsonNode *result, const struct err *err, void *user)
{
    struct disk_mirror *mirror = user;
    (void)result;
    if (!mirror->is_freed && err_is_set(err))
        begin_failed(mirror, err);
    else if (!mirror->is_freed)
        start_copy(mirror);
    unref(mirror);
}

static void add_node(struct disk_mirror *mirror)
{
    const struct copy *copy = &mirror->copies[mirror->beginning];
    char export[DISK_NODE_SIZE]; /* named as the node there, which is named as the one here */
    disk_node(&mirror->config.vm->status.spec, copy->disk, export);
    JsonObject *server = json_object_new();
    json_object_set_string_member(server, "type", "unix");
    json_object_set_string_member(server, "path", mirror->socket);
    json_object_set_boolean_member(server, "abstract", TRUE);
    JsonObject *arguments = json_object_new();
    json_object_set_string_member(arguments, "driver", "nbd");
    json_object_set_string_member(arguments, "node-name", copy->node);
    json_object_set_string_member(arguments, "export", export);
    /* Where there is nothing here, there shall be nothing there. */
    json_object_set_string_member(arguments, "discard", "unmap");
    json_object_set_object_member(arguments, "server", server);
    mirror->n_refs++;
    vm_qmp(mirror->config.vm, "blockdev-add", arguments, -1, on_node, mirror);
}

static gboolean on_connection(gint listener, GIOCondition condition, gpointer user)
{
    struct disk_mirror *mirror = user;
    struct ucred peer = {0};
    socklen_t size = sizeof peer;
    (void)condition;
    auto_fd fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 ||
        peer.pid != mirror->config.vm->status.pid)
        return G_SOURCE_CONTINUE;
    mirror->listen_watch = 0;
    mirror->connected(fd, mirror->config.user);
    return G_SOURCE_REMOVE;
}

void disk_mirror_begin(struct disk_mirror *mirror, uint32_t number, void (*connected)(int fd, void *user),
                       disk_mirror_done begun)
{
    mirror->beginning = number;
    mirror->connected = connected;
    mirror->begun = begun;
    if (number >= mirror->n_copies || mirror->listen_watch || mirror->copies[number].runs) {
        struct err err;
        (void)err_set(&err, ERR_CORRUPT, "job-out-of-order", "disk connection %u is not due", number);
        (void)err_arg(&err, "number", "%u", number);
        call_once(&mirror->begun, mirror, &err);
        return;
    }
    mirror->listen_watch = g_unix_fd_add(mirror->listener, G_IO_IN, on_connection, mirror);
    add_node(mirror);
    if (!mirror->look_timer)
        mirror->look_timer = g_timeout_add(LOOK_MS, look, mirror);
}

void disk_mirror_await(struct disk_mirror *mirror, disk_mirror_done done)
{
    mirror->awaited = done;
    check_ready(mirror);
}

/* ---- finish ---- */

static void on_deleted(JsonNode *result, const struct err *err, void *user)
{
    struct disk_mirror *mirror = user;
    (void)result;
    if (!mirror->is_freed && err_is_set(err))
        fail(mirror, err);
    unref(mirror);
}

static void on_last_deleted(JsonNode *result, const struct err *err, void *user)
{
    struct disk_mirror *mirror = user;
    (void)result;
    if (!mirror->is_freed && !mirror->has_failed) {
        mirror->is_over = !err_is_set(err);
        call_once(&mirror->finished, mirror, err);
    }
    unref(mirror);
}

static void call_with_name(struct disk_mirror *mirror, const char *command, const char *member,
                           const char *name, void (*done)(JsonNode *, const struct err *, void *))
{
    JsonObject *arguments = json_object_new();
    json_object_set_string_member(arguments, member, name);
    mirror->n_refs++;
    vm_qmp(mirror->config.vm, command, arguments, -1, done, mirror);
}

static void delete_nodes(struct disk_mirror *mirror)
{
    for (uint32_t i = 0; i < mirror->n_copies; i++)
        call_with_name(mirror, "blockdev-del", "node-name", mirror->copies[i].node,
                       i + 1 < mirror->n_copies ? on_deleted : on_last_deleted);
}

/* A copy that is ready ends well when it is cancelled: the guest stays with the image here. */
void disk_mirror_finish(struct disk_mirror *mirror, disk_mirror_done done)
{
    mirror->finished = done;
    if (mirror->look_timer)
        (void)g_source_remove(mirror->look_timer);
    mirror->look_timer = 0;
    for (uint32_t i = 0; i < mirror->n_copies; i++)
        call_with_name(mirror, "block-job-cancel", "device", mirror->copies[i].node, on_deleted);
}

/* ---- new, report, free ---- */

static void ignore(JsonNode *result, const struct err *err, void *user)
{
    (void)result;
    (void)err;
    (void)user;
}

static void call_by_name(struct vm *vm, const char *command, const char *member, const char *name,
                         bool with_force)
{
    JsonObject *arguments = json_object_new();
    json_object_set_string_member(arguments, member, name);
    if (with_force)
        json_object_set_boolean_member(arguments, "force", TRUE);
    vm_qmp(vm, command, arguments, -1, ignore, NULL);
}

static int listen_for_qemu(struct disk_mirror *mirror, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    uint8_t random[16];
    char text[2 * sizeof random + 1];
    fdio_random(random, sizeof random);
    model_hex(random, sizeof random, text);
    int length = snprintf(mirror->socket, sizeof mirror->socket, "godwit-disks-%s", text);
    memcpy(address.sun_path + 1, mirror->socket, (size_t)length);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
    mirror->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (mirror->listener < 0 || bind(mirror->listener, (struct sockaddr *)&address, size) < 0 ||
        listen(mirror->listener, VM_DISKS_MAX) < 0)
        return err_sys(err, errno, "socket-failed", "cannot make a socket for the copies of disks");
    return 0;
}

int disk_mirror_new(const struct disk_mirror_config *config, struct disk_mirror **ret_mirror, struct err *err)
{
    struct disk_mirror *mirror = g_new0(struct disk_mirror, 1);
    mirror->config = *config;
    mirror->n_refs = 1;
    mirror->n_copies = config->n_disks;
    make_prefix(config->move_id, mirror->prefix);
    for (uint32_t i = 0; i < config->n_disks; i++) {
        struct copy *copy = &mirror->copies[i];
        *copy = (struct copy){.disk = config->disks[i].disk, .total = config->disks[i].size_bytes};
        (void)snprintf(copy->node, sizeof copy->node, "%.20s%u", mirror->prefix, copy->disk);
    }
    if (listen_for_qemu(mirror, err) < 0) {
        if (mirror->listener >= 0)
            (void)close(mirror->listener);
        g_free(mirror);
        return -1;
    }
    config->vm->block_job = on_job;
    config->vm->block_job_user = mirror;
    *ret_mirror = mirror;
    return 0;
}

void disk_mirror_report(const struct disk_mirror *mirror, struct move_status *status)
{
    const struct vm_spec *spec = &mirror->config.vm->status.spec;
    status->n_disks = mirror->n_copies;
    for (uint32_t i = 0; i < mirror->n_copies; i++) {
        const struct copy *copy = &mirror->copies[i];
        struct move_disk_copy *shown = &status->disks[i];
        vm_disk_label(&spec->disks[copy->disk], shown->label);
        shown->bytes_done = copy->done;
        shown->bytes_total = copy->total;
        shown->ready = copy->is_ready;
    }
}

/* Said at once, before what lets the guest run on; then it is seen to it. */
static void break_off(struct disk_mirror *mirror)
{
    struct vm *vm = mirror->config.vm;
    for (uint32_t i = 0; i < mirror->n_copies; i++)
        call_by_name(vm, "block-job-cancel", "device", mirror->copies[i].node, true);
    disk_mirror_clear(vm, mirror->config.move_id);
}

void disk_mirror_free(struct disk_mirror *mirror)
{
    if (!mirror)
        return;
    struct vm *vm = mirror->config.vm;
    mirror->is_freed = true;
    stop_listening(mirror);
    if (mirror->look_timer)
        (void)g_source_remove(mirror->look_timer);
    (void)close(mirror->listener);
    vm->block_job = NULL;
    if (vm->process && !mirror->is_over)
        break_off(mirror);
    unref(mirror);
}

/* ---- what is left in QEMU ---- */

/* A VM may be gone when an answer comes, so it is looked for again. */
struct clearing {
    struct agent *agent;
    char uuid[MODEL_UUID_SIZE];
    char prefix[NODE_MAX];
    unsigned n_tries;
    bool has_found; /* something that was still there when it was looked last */
};

static gboolean clear_again(gpointer user);

static void nodes_listed(JsonNode *result, const struct err *err, void *user)
{
    struct clearing *clearing = user;
    struct vm *vm = vm_find(clearing->agent, clearing->uuid);
    JsonArray *nodes = !err_is_set(err) && JSON_NODE_HOLDS_ARRAY(result) ? json_node_get_array(result) : NULL;
    clearing->has_found = !nodes; /* a QEMU that does not answer may have all of it */
    for (guint i = 0; vm && nodes && i < json_array_get_length(nodes); i++) {
        const char *name = model_text(json_array_get_object_element(nodes, i), "node-name");
        if (!g_str_has_prefix(name, clearing->prefix))
            continue;
        clearing->has_found = true;
        call_by_name(vm, "block-job-cancel", "device", name, true);
        call_by_name(vm, "blockdev-del", "node-name", name, false);
    }
    if (vm && clearing->has_found && clearing->n_tries++ < CLEAR_TRIES) {
        (void)g_timeout_add(CLEAR_MS, clear_again, clearing);
        return;
    }
    if (vm && clearing->has_found)
        log_warn("VM %s: what a move that failed had begun with its disks is still in its QEMU",
                 clearing->uuid);
    g_free(clearing);
}

static gboolean clear_again(gpointer user)
{
    struct clearing *clearing = user;
    struct vm *vm = vm_find(clearing->agent, clearing->uuid);
    JsonObject *arguments = json_object_new();
    json_object_set_boolean_member(arguments, "flat", TRUE);
    clearing->has_found = false;
    if (vm && vm->process) {
        vm_qmp(vm, "query-named-block-nodes", arguments, -1, nodes_listed, clearing);
        return G_SOURCE_REMOVE;
    }
    json_object_unref(arguments);
    g_free(clearing);
    return G_SOURCE_REMOVE;
}

void disk_mirror_clear(struct vm *vm, const char *move_id)
{
    struct clearing *clearing = g_new0(struct clearing, 1);
    clearing->agent = vm->agent;
    (void)g_strlcpy(clearing->uuid, vm->status.spec.uuid, sizeof clearing->uuid);
    make_prefix(move_id, clearing->prefix);
    (void)clear_again(clearing);
}

/* ---- sizes ---- */

struct measuring {
    struct vm *vm;
    struct move_disk *disks;
    uint32_t n_disks;
    struct vm_wait wait;
};

/* With all images on which it is built. */
static uint64_t used_by(JsonObject *image)
{
    uint64_t sum = 0;
    for (; image; image = json_object_has_member(image, "backing-image")
                              ? json_object_get_object_member(image, "backing-image")
                              : NULL)
        sum += (uint64_t)model_int(image, "actual-size", 0);
    return sum;
}

static void take_size(const struct vm *vm, struct move_disk *disk, JsonArray *nodes)
{
    char name[DISK_NODE_SIZE];
    disk_node(&vm->status.spec, disk->disk, name);
    for (guint i = 0; i < json_array_get_length(nodes); i++) {
        JsonObject *node = json_array_get_object_element(nodes, i);
        JsonNode *image = json_object_get_member(node, "image");
        if (strcmp(model_text(node, "node-name"), name) != 0 || !image || !JSON_NODE_HOLDS_OBJECT(image))
            continue;
        disk->size_bytes = (uint64_t)model_int(json_node_get_object(image), "virtual-size", 0);
        disk->used_bytes = used_by(json_node_get_object(image));
    }
}

static void size_is_unknown(const struct vm *vm, uint32_t disk, struct err *err)
{
    (void)err_set(err, ERR_REFUSED, "disk-size-unknown",
                  "QEMU of VM '%s' does not say how large its disk %u is", vm->status.spec.name, disk);
    (void)err_arg(err, "vm", "%s", vm->status.spec.name);
    (void)err_arg(err, "disk", "%u", disk);
    (void)err_fix(err, "start the migration again");
}

static void measured(JsonNode *result, const struct err *err, void *user)
{
    struct measuring *measuring = user;
    struct err told = *err;
    JsonArray *nodes = !err_is_set(err) && JSON_NODE_HOLDS_ARRAY(result) ? json_node_get_array(result) : NULL;
    for (uint32_t i = 0; nodes && i < measuring->n_disks; i++) {
        take_size(measuring->vm, &measuring->disks[i], nodes);
        if (!measuring->disks[i].size_bytes)
            size_is_unknown(measuring->vm, measuring->disks[i].disk, &told);
    }
    vm_wait_end(&measuring->wait, measuring->vm, &told);
    g_free(measuring);
}

void disk_mirror_measure(struct vm *vm, struct move_disk *disks, uint32_t n_disks, vm_done done, void *user)
{
    struct measuring *measuring = g_new(struct measuring, 1);
    *measuring = (struct measuring){vm, disks, n_disks, {.done = done, .user = user}};
    vm_qmp(vm, "query-named-block-nodes", NULL, -1, measured, measuring);
}
