/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device state by QEMU's own migration with x-ignore-shared: guest memory is not in the stream, because it is
 * a shared named file. Capabilities are set once per QEMU, so that a save costs two commands.
 */
#include "agent/vm.h"

#include <string.h>

#include "agent/vm_process.h"
#include "base/clock.h"
#include "base/log.h"
#include "qemu/caps.h"
#include "qemu/qmp.h"

#define STREAM_NAME "s" /* QEMU takes its time for each byte of a command, see qemu/qmp.c */
#define SETTLE_MS 5000
#define SETTLE_POLL_MS 1
#define SAVE_DOWNTIME_MS 100000           /* never a second round: the guest stands still */
#define SAVE_BANDWIDTH (100ll << 30)      /* bytes per second: no limit */
#define LATE_BLOCK_ACTIVATE_IS_DEFAULT 10 /* QEMU's major version */

/* ---- once per QEMU ---- */
struct prepare {
    struct vm *vm;
    struct vm_wait wait;
};

static void prepare_end(struct prepare *prepare, const struct err *err)
{
    vm_wait_end(&prepare->wait, prepare->vm, err);
    g_free(prepare);
}

static void on_parameters(JsonNode *result, const struct err *err, void *user)
{
    (void)result;
    prepare_end(user, err);
}

static void on_capabilities(JsonNode *result, const struct err *err, void *user)
{
    (void)result;
    struct prepare *prepare = user;
    if (err_is_set(err)) {
        prepare_end(prepare, err);
        return;
    }
    JsonObject *arguments = json_object_new();
    json_object_set_int_member(arguments, "max-bandwidth", SAVE_BANDWIDTH);
    json_object_set_int_member(arguments, "downtime-limit", SAVE_DOWNTIME_MS);
    /* What QEMU announces while it loads is lost at a port that is down (vm_cont announces when it is up).
     * But without a round virtio-net throws away the timer of its announcements as it is loaded, and QEMU
     * dies of that when the guest resets the device: when it boots again. */
    json_object_set_int_member(arguments, "announce-rounds", 1);
    vm_qmp(prepare->vm, "migrate-set-parameters", arguments, -1, on_parameters, prepare);
}

static void add_capability(JsonArray *list, const char *name)
{
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "capability", name);
    json_object_set_boolean_member(object, "state", TRUE);
    json_array_add_object_element(list, object);
}

/* Asked of this process: the program may have been replaced since the agent looked at it. */
static void on_version(JsonNode *result, const struct err *failed, void *user)
{
    struct prepare *prepare = user;
    struct vm *vm = prepare->vm;
    struct err err = *failed;
    struct qemu_caps caps;
    if (err_is_set(&err) || caps_take_version(&caps, result, &err) < 0) {
        prepare_end(prepare, &err);
        return;
    }
    vm->process->qemu_major = caps.major;
    g_strlcpy(vm->status.qemu_version, caps.version, sizeof vm->status.qemu_version);
    if (vm_process_write(vm, &err) < 0)
        log_error(&err, "VM %s: an agent started later may not know its QEMU's version",
                  vm->status.spec.name);
    JsonArray *list = json_array_new();
    add_capability(list, "x-ignore-shared");
    add_capability(list, "events");
    if (vm->process->qemu_major < LATE_BLOCK_ACTIVATE_IS_DEFAULT)
        add_capability(list, "late-block-activate");
    JsonObject *arguments = json_object_new();
    json_object_set_array_member(arguments, "capabilities", list);
    vm_qmp(vm, "migrate-set-capabilities", arguments, -1, on_capabilities, prepare);
}

void vm_save_prepare(struct vm *vm, vm_done done, void *user)
{
    struct prepare *prepare = g_new(struct prepare, 1);
    *prepare = (struct prepare){.vm = vm, .wait = {.done = done, .user = user}};
    vm_qmp(vm, "query-version", NULL, -1, on_version, prepare);
}

/* ---- one stream ---- */
static void stream_end(struct vm *vm, const struct err *err)
{
    if (!vm->process)
        return;
    struct err told = *err;
    vm_explain_loss(vm, &told);
    vm_wait_end(&vm->process->moves, vm, &told);
}

static void on_command(JsonNode *result, const struct err *err, void *user)
{
    (void)result;
    if (err_is_set(err))
        stream_end(user, err);
}

static void on_stream(JsonNode *result, const struct err *err, void *user)
{
    const struct vm *vm = user;
    (void)result;
    /* Who uses the stream then hears of it again. */
    if (err_is_set(err) && err->code == ERR_REFUSED)
        log_error(err, "VM %s: the stream for its device state", vm->status.spec.name);
}

static void call_with_stream(struct vm *vm, const char *command, int stream_fd)
{
    JsonObject *name = json_object_new();
    json_object_set_string_member(name, "fdname", STREAM_NAME);
    vm_qmp(vm, command, name, stream_fd, on_stream, vm);
}

void vm_pass_stream(struct vm *vm, int stream_fd)
{
    call_with_stream(vm, "getfd", stream_fd);
}

void vm_withdraw_stream(struct vm *vm)
{
    call_with_stream(vm, "closefd", -1);
}

static void start_stream(struct vm *vm, const char *command, vm_done done, void *user)
{
    struct err err = {0};
    if (!vm->process || vm->process->moves.done) {
        (void)err_set(&err, ERR_REFUSED, "device-state-busy",
                      "VM %s has no QEMU, or its device state is on the way already", vm->status.spec.name);
        (void)err_arg(&err, "vm", "%s", vm->status.spec.name);
        (void)err_fix(&err, "see with 'godwit vm show %s' what it does; then move it again",
                      vm->status.spec.name);
        done(vm, &err, user);
        return;
    }
    vm->process->moves = (struct vm_wait){.done = done, .user = user};
    vm->n_streams++;
    vm->process->settle_deadline_ns = 0;
    JsonObject *uri = json_object_new();
    json_object_set_string_member(uri, "uri", "fd:" STREAM_NAME);
    vm_qmp(vm, command, uri, -1, on_command, vm);
}

void vm_save(struct vm *vm, vm_done done, void *user)
{
    start_stream(vm, "migrate", done, user);
}

void vm_load(struct vm *vm, vm_done done, void *user)
{
    start_stream(vm, "migrate-incoming", done, user);
}

/* Asked of the wait that was on when it was asked: an answer that comes after its end tells nothing. */
struct question {
    struct vm *vm;
    unsigned n_streams;
};

static void ask(struct vm *vm, const char *command, void (*done)(JsonNode *, const struct err *, void *))
{
    struct question *question = g_new(struct question, 1);
    *question = (struct question){.vm = vm, .n_streams = vm->n_streams};
    vm_qmp(vm, command, NULL, -1, done, question);
}

/* NULL: nobody waits for this answer any more. */
static struct vm *asker(struct question *question)
{
    struct vm *vm = question->vm;
    bool is_waiting = vm->process && vm->process->moves.done && vm->n_streams == question->n_streams;
    g_free(question);
    return is_waiting ? vm : NULL;
}

static void on_status(JsonNode *result, const struct err *err, void *user);

static gboolean on_settle_timer(gpointer user)
{
    struct vm *vm = user;
    vm->process->settle_timer = 0;
    ask(vm, "query-status", on_status);
    return G_SOURCE_REMOVE;
}

/* The event may come a moment before QEMU enters the state that counts. */
static void on_status(JsonNode *result, const struct err *err, void *user)
{
    struct vm *vm = asker(user);
    struct err told = *err;
    if (!vm)
        return;
    if (err_is_set(err)) {
        stream_end(vm, err);
        return;
    }
    const char *status = vm_result_text(result, "status");
    bool settled = vm->incoming ? strcmp(status, "inmigrate") != 0 : !strcmp(status, "postmigrate");
    if (settled) {
        stream_end(vm, &told);
    } else if (!vm->incoming && !strcmp(status, "running")) {
        /* It was through when it was to be cancelled: postmigrate will not come any more. */
        (void)err_set(&told, ERR_REFUSED, "device-state-failed",
                      "VM %s went on when its device state was saved", vm->status.spec.name);
        (void)err_arg(&told, "vm", "%s", vm->status.spec.name);
        stream_end(vm, &told);
    } else if (clock_now_ns() > vm->process->settle_deadline_ns) {
        (void)err_set(
            &told, ERR_TIMEOUT, "qemu-not-settled",
            "QEMU of VM '%s' says that the device state is through, and stays in state %s for %u ms",
            vm->status.spec.name, status, (unsigned)SETTLE_MS);
        (void)err_arg(&told, "vm", "%s", vm->status.spec.name);
        (void)err_arg(&told, "status", "%s", status);
        (void)err_arg(&told, "waited_ms", "%u", (unsigned)SETTLE_MS);
        stream_end(vm, &told);
    } else if (!vm->process->settle_timer) {
        vm->process->settle_timer = g_timeout_add(SETTLE_POLL_MS, on_settle_timer, vm);
    }
}

static void on_migrate(JsonNode *result, const struct err *err, void *user)
{
    struct vm *vm = asker(user);
    struct err told = *err;
    if (!vm)
        return;
    /* A QEMU that dies of it tells why on stderr: vm_exited ends the wait. */
    if (err->code == ERR_PEER_LOST || err->code == ERR_CANCELLED)
        return;
    if (err_is_set(err)) {
        stream_end(vm, err);
        return;
    }
    if (!strcmp(vm_result_text(result, "status"), "completed"))
        return;
    (void)err_set(&told, ERR_REFUSED, "device-state-failed", "QEMU could not %s the device state of VM %s",
                  vm->incoming ? "load" : "save", vm->status.spec.name);
    (void)err_arg(&told, "what", "%s", vm->incoming ? "load" : "save");
    (void)err_arg(&told, "vm", "%s", vm->status.spec.name);
    const char *why = vm_result_text(result, "error-desc");
    (void)err_cause(&told, "%s", why[0] ? why : vm_result_text(result, "status"));
    stream_end(vm, &told);
}

void vm_save_event(struct vm *vm, const char *status)
{
    log_debug("VM %s: QEMU's migration is %s", vm->status.spec.name, status);
    bool is_through = !strcmp(status, "completed");
    if (!vm->process->moves.done || (!is_through && strcmp(status, "failed") && strcmp(status, "cancelled")))
        return;
    /* A load that is through shows in QEMU's state; a save has two words for it. */
    if (!is_through || !vm->incoming)
        ask(vm, "query-migrate", on_migrate);
    if (!is_through)
        return;
    /* In one go: they are answered in this order, and what the first one says ends the wait before. */
    vm->process->settle_deadline_ns = clock_now_ns() + SETTLE_MS * NS_PER_MS;
    ask(vm, "query-status", on_status);
}
