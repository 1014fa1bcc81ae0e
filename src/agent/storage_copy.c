/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/storage_copy.h"

#include <stdio.h>
#include <string.h>

#include "agent/disk_copy_error.h"
#include "agent/disks.h"
#include "agent/storage_settle.h"
#include "agent/vm_process.h"
#include "base/log.h"
#include "model/json.h"
#include "qemu/disk_device.h"

#define NAME_MAX_SIZE 32
#define LOOK_MS 500
/* While it is waited for a good moment to stop the guest. */
#define LOOK_AGAIN_MS 100
/* That much takes no time to speak of. */
#define LITTLE_BYTES (4u << 20)

struct one {
    uint32_t place; /* in the VM's list */
    char job[NAME_MAX_SIZE];
    char device[DISK_NODE_SIZE]; /* node of the old image */
    char target[DISK_NODE_SIZE];
    struct vm_disk to;
    bool has_begun, is_ready, is_ended;
    uint64_t done, total; /* bytes */
};

struct storage_copy {
    struct storage_copy_config config;
    unsigned n_refs; /* the owner's, one for each call under way */
    bool is_freed, is_over;
    bool is_calm_awaited; /* all are ready */
    bool has_stopped;
    uint32_t n;
    struct one list[VM_DISKS_MAX];
    uint32_t beginning; /* the one under way */
    guint timer;
    unsigned timer_ms;
    uint64_t done_before; /* bytes, at the last look, */
    gint64 looked_us;     /* which was then */
};

static void unref(struct storage_copy *copy)
{
    if (!--copy->n_refs)
        g_free(copy);
}

static void end(struct storage_copy *copy, const struct err *err)
{
    struct err told = *err;
    if (copy->is_freed || copy->is_over)
        return;
    copy->is_over = true;
    copy->config.ended(&told, copy->config.user);
}

static bool is_live(const struct storage_copy *copy)
{
    return !copy->is_freed && !copy->is_over;
}

static void call(struct storage_copy *copy, const char *command, JsonObject *arguments,
                 void (*done)(JsonNode *result, const struct err *err, void *user))
{
    copy->n_refs++;
    vm_qmp(copy->config.vm, command, arguments, -1, done, copy);
}

static void fail_one(struct storage_copy *copy, const struct one *one, const struct err *why)
{
    const struct vm *vm = copy->config.vm;
    const struct vm_spec *spec = &vm->status.spec;
    g_autofree char *reason = g_strdup_printf("%s%s%s", why->message, why->cause[0] ? ": " : "", why->cause);
    struct err err;
    disk_copy_error(&(const struct disk_copying){spec->name, &spec->disks[one->place], vm->agent->config.name,
                                                 one->to.datastore},
                    reason, &err);
    end(copy, &err);
}

static struct one *find(struct storage_copy *copy, const char *job)
{
    for (uint32_t i = 0; i < copy->n; i++)
        if (!strcmp(copy->list[i].job, job))
            return &copy->list[i];
    return NULL;
}

/* ---- the guest stands, and its disks go over ---- */

static void on_completing(JsonNode *result, const struct err *err, void *user)
{
    struct storage_copy *copy = user;
    (void)result;
    if (is_live(copy) && err_is_set(err))
        fail_one(copy, &copy->list[0], err);
    unref(copy);
}

static void on_stopped(JsonNode *result, const struct err *err, void *user)
{
    struct storage_copy *copy = user;
    (void)result;
    if (is_live(copy) && err_is_set(err)) {
        end(copy, err);
    } else if (is_live(copy)) {
        for (uint32_t i = 0; i < copy->n; i++) {
            JsonObject *arguments = json_object_new();
            json_object_set_string_member(arguments, "device", copy->list[i].job);
            call(copy, "block-job-complete", arguments, on_completing);
        }
    }
    unref(copy);
}

static void stop_guest(struct storage_copy *copy)
{
    const struct vm *vm = copy->config.vm;
    struct err err;
    if (vm->status.state != VM_RUNNING || vm->ending) {
        (void)err_set(&err, ERR_REFUSED, "vm-not-running", "VM '%s' is %s", vm->status.spec.name,
                      vm->ending ? "being stopped" : vm_state_name(vm->status.state));
        (void)err_cause(&err, "%s", vm->status.problem);
        (void)err_arg(&err, "vm", "%s", vm->status.spec.name);
        (void)err_arg(&err, "state", "%s", vm_state_name(vm->status.state));
        (void)err_fix(&err, "see to the VM, and migrate again");
        end(copy, &err);
        return;
    }
    copy->has_stopped = true;
    copy->config.switches(copy->config.user);
    call(copy, "stop", NULL, on_stopped);
}

static void one_ended(struct storage_copy *copy, struct one *one, const char *error)
{
    struct err why = {0};
    if (error[0] || !copy->has_stopped) {
        (void)g_strlcpy(why.message, error, sizeof why.message);
        fail_one(copy, one, &why);
        return;
    }
    one->is_ended = true;
    for (uint32_t i = 0; i < copy->n; i++)
        if (!copy->list[i].is_ended)
            return;
    end(copy, &why);
}

/* ---- progress ---- */

static void look_every(struct storage_copy *copy, unsigned ms);

/* Everything that is left is written while the guest stands. */
static bool is_calm(struct storage_copy *copy)
{
    uint64_t done = 0, left = 0;
    gint64 now_us = g_get_monotonic_time(), passed_us = now_us - copy->looked_us;
    for (uint32_t i = 0; i < copy->n; i++) {
        done += copy->list[i].done;
        left += copy->list[i].total - MIN(copy->list[i].done, copy->list[i].total);
    }
    double bytes_ms = copy->looked_us && passed_us > 0 && done > copy->done_before
                          ? (double)(done - copy->done_before) * 1000 / (double)passed_us
                          : 0;
    copy->done_before = done;
    copy->looked_us = now_us;
    return (double)left <= MAX(LITTLE_BYTES, bytes_ms * copy->config.max_downtime_ms);
}

static void looked(JsonNode *result, const struct err *err, void *user)
{
    struct storage_copy *copy = user;
    JsonArray *jobs = !err_is_set(err) && JSON_NODE_HOLDS_ARRAY(result) ? json_node_get_array(result) : NULL;
    for (guint i = 0; jobs && i < json_array_get_length(jobs); i++) {
        JsonObject *job = json_array_get_object_element(jobs, i);
        struct one *one = find(copy, model_text(job, "device"));
        if (!one)
            continue;
        one->done = (uint64_t)model_int(job, "offset", 0);
        one->total = (uint64_t)model_int(job, "len", 0);
    }
    if (jobs && is_live(copy)) {
        copy->config.advanced(copy->config.user);
        if (copy->is_calm_awaited && !copy->has_stopped && is_live(copy) && is_calm(copy))
            stop_guest(copy);
    }
    unref(copy);
}

static gboolean look(gpointer user)
{
    struct storage_copy *copy = user;
    call(copy, "query-block-jobs", NULL, looked);
    return G_SOURCE_CONTINUE;
}

static void look_every(struct storage_copy *copy, unsigned ms)
{
    if (copy->timer)
        (void)g_source_remove(copy->timer);
    copy->timer = ms ? g_timeout_add(ms, look, copy) : 0;
}

/* ---- speed ---- */

static void on_speed(JsonNode *result, const struct err *err, void *user)
{
    struct storage_copy *copy = user;
    (void)result;
    if (is_live(copy) && err_is_set(err))
        log_error(err, "the copies of the disks of VM %s keep their speed",
                  copy->config.vm->status.spec.name);
    unref(copy);
}

/* Of each that has begun. QEMU takes 0 for no limit. */
static void set_speeds(struct storage_copy *copy, uint64_t bytes_s)
{
    for (uint32_t i = 0; i < copy->n; i++) {
        if (!copy->list[i].has_begun)
            continue;
        JsonObject *arguments = json_object_new();
        json_object_set_string_member(arguments, "device", copy->list[i].job);
        json_object_set_int_member(arguments, "speed", (gint64)bytes_s);
        call(copy, "block-job-set-speed", arguments, on_speed);
    }
}

/* ---- one after the other ---- */

static void begin(struct storage_copy *copy);

static void on_begun(JsonNode *result, const struct err *err, void *user)
{
    struct storage_copy *copy = user;
    (void)result;
    if (is_live(copy) && err_is_set(err))
        fail_one(copy, &copy->list[copy->beginning], err);
    unref(copy);
}

/* What the guest writes while the copy runs is copied again, and no write of the guest waits for it: see
 * disk_mirror.c for why. */
static void start_job(struct storage_copy *copy)
{
    struct one *one = &copy->list[copy->beginning];
    uint64_t share = copy->config.bytes_s / (copy->beginning + 1);
    JsonObject *arguments = json_object_new();
    json_object_set_string_member(arguments, "job-id", one->job);
    json_object_set_string_member(arguments, "device", one->device);
    json_object_set_string_member(arguments, "target", one->target);
    json_object_set_string_member(arguments, "sync", "full");
    json_object_set_string_member(arguments, "copy-mode", "background");
    json_object_set_int_member(arguments, "speed", (gint64)share);
    if (share)
        set_speeds(copy, share);
    one->has_begun = true;
    call(copy, "blockdev-mirror", arguments, on_begun);
}

static void on_format_node(JsonNode *result, const struct err *err, void *user)
{
    struct storage_copy *copy = user;
    (void)result;
    if (is_live(copy) && err_is_set(err))
        fail_one(copy, &copy->list[copy->beginning], err);
    else if (is_live(copy))
        start_job(copy);
    unref(copy);
}

static void on_file_node(JsonNode *result, const struct err *err, void *user)
{
    struct storage_copy *copy = user;
    (void)result;
    if (is_live(copy) && err_is_set(err))
        fail_one(copy, &copy->list[copy->beginning], err);
    unref(copy);
}

static void begin(struct storage_copy *copy)
{
    const struct one *one = &copy->list[copy->beginning];
    const struct vm *vm = copy->config.vm;
    struct block_image image = {.format = one->to.format};
    char path[MODEL_PATH_MAX];
    struct err err = {0};
    if (disks_path(vm->agent, &vm->status.spec, &one->to, path, &err) < 0) {
        end(copy, &err);
        return;
    }
    image.path = path;
    g_strlcpy(image.node, one->target, sizeof image.node);
    call(copy, "blockdev-add", block_file_node(&image), on_file_node);
    call(copy, "blockdev-add", block_format_node(&image), on_format_node);
}

static void one_is_ready(struct storage_copy *copy, struct one *one, uint64_t bytes)
{
    one->is_ready = true;
    one->done = one->total = bytes;
    copy->config.advanced(copy->config.user);
    if (copy->beginning + 1 < copy->n) {
        copy->beginning++;
        begin(copy);
        return;
    }
    /* What is left now is little, and is to be less. */
    set_speeds(copy, 0);
    copy->is_calm_awaited = true;
    look_every(copy, LOOK_AGAIN_MS);
    (void)look(copy);
}

static void on_job(struct vm *vm, const char *event, JsonObject *data, void *user)
{
    struct storage_copy *copy = user;
    struct one *one = find(copy, model_text(data, "device"));
    (void)vm;
    if (!one || !is_live(copy))
        return;
    if (!strcmp(event, "BLOCK_JOB_READY"))
        one_is_ready(copy, one, (uint64_t)model_int(data, "len", (gint64)one->total));
    else if (!strcmp(event, "BLOCK_JOB_COMPLETED") || !strcmp(event, "BLOCK_JOB_CANCELLED"))
        one_ended(copy, one, model_text(data, "error"));
}

/* ---- new, report, free ---- */

static void name_one(const struct storage_copy *copy, const struct disk_images_here *here, uint32_t i,
                     struct one *one)
{
    g_autofree struct vm_spec *spec = g_memdup2(&copy->config.vm->status.spec, sizeof *spec);
    char prefix[STORAGE_PREFIX_SIZE];
    one->to = here->disks[i].to;
    one->place = disk_images_place(here, i, spec);
    storage_prefix(here->session, prefix);
    (void)snprintf(one->job, sizeof one->job, "%s%u", prefix, here->disks[i].slot - 1);
    disk_node(spec, one->place, one->device);
    spec->disks[one->place] = one->to;
    disk_node(spec, one->place, one->target);
}

struct storage_copy *storage_copy_new(const struct storage_copy_config *config)
{
    struct storage_copy *copy = g_new0(struct storage_copy, 1);
    copy->config = *config;
    copy->n_refs = 1;
    copy->n = config->here->n;
    for (uint32_t i = 0; i < copy->n; i++) {
        name_one(copy, config->here, i, &copy->list[i]);
        copy->list[i].total = config->disks[i].size_bytes;
    }
    copy->config.here = NULL;
    copy->config.disks = NULL;
    config->vm->block_job = on_job;
    config->vm->block_job_user = copy;
    return copy;
}

void storage_copy_begin(struct storage_copy *copy)
{
    look_every(copy, LOOK_MS);
    begin(copy);
}

void storage_copy_report(const struct storage_copy *copy, struct move_status *status)
{
    for (uint32_t i = 0; i < copy->n && i < status->n_disks; i++) {
        status->disks[i].bytes_done = copy->list[i].done;
        status->disks[i].bytes_total = copy->list[i].total;
        status->disks[i].ready = copy->list[i].is_ready;
    }
}

bool storage_copy_has_stopped(const struct storage_copy *copy)
{
    return copy->has_stopped;
}

void storage_copy_free(struct storage_copy *copy)
{
    if (!copy)
        return;
    copy->is_freed = true;
    look_every(copy, 0);
    copy->config.vm->block_job = NULL;
    unref(copy);
}
