/* SPDX-License-Identifier: Apache-2.0 */
/* The QMP connection of a VM: made, kept, and what QEMU says over it without being asked. */
#include "agent/vm_process.h"

#include <stdio.h>
#include <string.h>

#include "agent/journal.h"
#include "agent/vm_disks.h"
#include "base/log.h"
#include "model/move.h"
#include "qemu/disk_device.h"
#include "qemu/qmp.h"

#define ANSWER_MS 10000 /* a disk that hangs holds QEMU up; longer is a verb that was lost */
#define RECONNECT_MS 10000
#define RECONNECT_PAUSE_MS 200
#define CONT_MS 5000

struct lost {
    qmp_done done;
    void *user;
};

static gboolean on_lost(gpointer user)
{
    struct lost *lost = user;
    struct err err;
    (void)err_set(&err, ERR_PEER_LOST, "qmp-lost", "there is no control connection to QEMU");
    lost->done(NULL, &err, lost->user);
    g_free(lost);
    return G_SOURCE_REMOVE;
}

void vm_qmp(struct vm *vm, const char *command, JsonObject *arguments, int fd, qmp_done done, void *user)
{
    if (vm->qmp) {
        qmp_call(vm->qmp, &(struct qmp_command){command, arguments, fd, ANSWER_MS}, done, user);
        return;
    }
    if (arguments)
        json_object_unref(arguments);
    struct lost *lost = g_new(struct lost, 1);
    *lost = (struct lost){.done = done, .user = user};
    (void)g_idle_add(on_lost, lost);
}

const char *vm_result_text(JsonNode *result, const char *member)
{
    if (!result || !JSON_NODE_HOLDS_OBJECT(result))
        return "";
    return model_text(json_node_get_object(result), member);
}

bool vm_runstate_is_stopped(const char *runstate)
{
    static const char *const stopped[] = {"prelaunch",      "paused",  "inmigrate",  "postmigrate",
                                          "finish-migrate", "save-vm", "restore-vm", "suspended"};
    for (unsigned i = 0; i < G_N_ELEMENTS(stopped); i++)
        if (!strcmp(runstate, stopped[i]))
            return true;
    return false;
}

bool vm_runstate_needs_reset(const char *runstate)
{
    return !strcmp(runstate, "guest-panicked") || !strcmp(runstate, "internal-error") ||
           !strcmp(runstate, "shutdown");
}

static void set_problem(struct vm *vm, const char *problem)
{
    if (!err_is_set(&vm->problem))
        g_strlcpy(vm->status.problem, problem, sizeof vm->status.problem);
}

/* Of a block node; "" if it is no disk's. */
static void disk_of_node(const struct vm *vm, const char *node, char ret_label[DISK_LABEL_MAX])
{
    const struct vm_spec *spec = &vm->status.spec;
    ret_label[0] = '\0';
    for (uint32_t i = 0; i < spec->n_disks; i++) {
        char its_node[DISK_NODE_SIZE], its_file[DISK_NODE_SIZE];
        disk_node(spec, i, its_node);
        disk_file_node(spec, i, its_file);
        if (!strcmp(node, its_node) || !strcmp(node, its_file))
            vm_disk_label(&spec->disks[i], ret_label);
    }
}

/* A disk that a host cannot write (a full datastore, a lost one): QEMU stops the guest, which finds the write
 * made when it goes on. `data` NULL: nobody heard which it was. */
static void note_io_error(struct vm *vm, JsonObject *data)
{
    struct vm_status *status = &vm->status;
    char disk[DISK_LABEL_MAX];
    disk_of_node(vm, data ? model_text(data, "node-name") : "", disk);
    const char *reason = data ? model_text(data, "reason") : "";
    (void)snprintf(status->problem, sizeof status->problem,
                   "stopped by an I/O error of a disk%s%.300s%s%.100s", disk[0] ? ", " : "", disk,
                   reason[0] ? ": " : "", reason);
    log_warn("VM %s is %s", status->spec.name, status->problem);
}

static void tell(struct vm *vm, enum vm_news news)
{
    if (vm->told)
        vm->told(vm, news, vm->ended_user);
}

/* What its guest did to the machine. */
static void on_guest_event(struct vm *vm, const char *name, JsonObject *data)
{
    if (!strcmp(name, "SHUTDOWN")) {
        vm->is_guest_off = data && model_flag(data, "guest");
    } else if (!strcmp(name, "RESET")) {
        log_info("VM %s: the guest was reset", vm->status.spec.name);
        vm->process->has_panicked = false;
        tell(vm, VM_NEWS_RESET);
    } else if (!strcmp(name, "GUEST_PANICKED")) {
        log_warn("VM %s: the guest has panicked", vm->status.spec.name);
        vm->process->has_panicked = true;
        set_problem(vm, VM_PROBLEM_PANICKED);
        tell(vm, VM_NEWS_PANIC);
    }
}

static void on_event(const char *name, JsonObject *data, void *user)
{
    struct vm *vm = user;
    if (!strcmp(name, "STOP")) {
        if (vm->status.state == VM_RUNNING)
            vm_set_state(vm, VM_PAUSED);
    } else if (!strcmp(name, "RESUME")) {
        vm_has_resumed(vm);
        set_problem(vm, "");
        if (!vm->incoming && vm->status.state == VM_PAUSED)
            vm_set_state(vm, VM_RUNNING);
    } else if (!strcmp(name, "MIGRATION") && data) {
        vm_save_event(vm, model_text(data, "status"));
    } else if (!strcmp(name, "BLOCK_IO_ERROR")) {
        if (data && !strcmp(model_text(data, "action"), "stop"))
            note_io_error(vm, data);
        else
            log_warn("VM %s: a disk reports an error to the guest", vm->status.spec.name);
    } else if (g_str_has_prefix(name, "BLOCK_JOB_") && data && vm->block_job) {
        vm->block_job(vm, name, data, vm->block_job_user);
    } else if (!strcmp(name, "DEVICE_DELETED") && data) {
        vm_disks_deleted(vm, model_text(data, "device"));
    } else if (!strcmp(name, "BALLOON_CHANGE") && data) {
        vm_balloon_note(vm, (uint64_t)model_int(data, "actual", 0));
    } else {
        on_guest_event(vm, name, data);
    }
}

void vm_take_runstate(struct vm *vm, const char *runstate)
{
    bool has_io_error = !strcmp(runstate, "io-error");
    bool needs_reset = vm_runstate_needs_reset(runstate);
    bool is_stopped = has_io_error || needs_reset || vm_runstate_is_stopped(runstate);
    if (vm->status.state == VM_STARTING)
        return; /* the start itself says how it ended */
    if (has_io_error && !vm->status.problem[0])
        note_io_error(vm, NULL);
    vm->process->has_panicked = !strcmp(runstate, "guest-panicked");
    if (needs_reset)
        set_problem(vm, vm->process->has_panicked ? VM_PROBLEM_PANICKED : VM_PROBLEM_BROKEN);
    if (!is_stopped)
        vm->incoming = false;
    vm_set_state(vm, !is_stopped ? VM_RUNNING : vm->incoming ? VM_INCOMING : VM_PAUSED);
}

void vm_status_lost(struct vm *vm, const struct err *err)
{
    if (!vm->process || vm->process->dead || err->code == ERR_CANCELLED)
        return; /* QEMU has ended, or another connection is made already */
    log_error(err, "VM %s: QEMU %d does not tell its state", vm->status.spec.name, vm->status.pid);
    vm_set_state(vm, VM_UNKNOWN);
    vm_reconnect(vm);
}

static void on_cont(struct vm *vm, enum vm_cont_result result, const struct err *err, void *user)
{
    (void)user;
    if (result != VM_CONT_RUNS)
        log_error(err, "VM %s belongs to this host and does not run", vm->status.spec.name);
}

/* A guest of ours that stood when nobody could reach it: what would have continued it has given up. */
static bool must_go_on(const struct vm *vm, const char *runstate)
{
    struct journal_entry entry = {0};
    if (vm->journal)
        journal_read(vm->journal, &entry);
    bool is_ours = entry.step == JOURNAL_OWNED || entry.step == JOURNAL_RESUMED;
    return is_ours && vm_runstate_is_stopped(runstate) && strcmp(runstate, "inmigrate") != 0 &&
           !vm_holder(vm)[0] && !vm->n_conts && !vm->ending;
}

static void on_asked_again(JsonNode *result, const struct err *err, void *user);

static void on_free(struct vm *vm, const struct err *err, void *user)
{
    (void)err;
    (void)user;
    if (vm && vm->process)
        vm_qmp(vm, "query-status", NULL, -1, on_asked_again, vm);
}

static void on_asked_again(JsonNode *result, const struct err *err, void *user)
{
    struct vm *vm = user;
    if (!vm->process || err_is_set(err)) {
        vm_status_lost(vm, err);
        return;
    }
    const char *runstate = vm_result_text(result, "status");
    bool is_stopped = vm_runstate_is_stopped(runstate) && strcmp(runstate, "inmigrate") != 0;
    if (vm->agent->adopting && vm->agent->adopting(vm, is_stopped, on_free, NULL))
        return;
    log_info("VM %s: QEMU %d answers again, %s", vm->status.spec.name, vm->status.pid, runstate);
    bool was_unknown = vm->status.state == VM_UNKNOWN;
    vm_take_runstate(vm, runstate);
    vm_disks_reconcile(vm, NULL, NULL);
    if (was_unknown && must_go_on(vm, runstate))
        vm_cont(vm, CONT_MS, on_cont, NULL);
}

/* The events in between are lost. */
static void reconnected(struct vm *vm, const struct err *err)
{
    /* On a slow host QEMU's process may outlive its control connection for so long that this was tried: its
     * end is reported by vm_exited. */
    if (vm->process->dead)
        return;
    if (!err_is_set(err)) {
        vm_qmp(vm, "query-status", NULL, -1, on_asked_again, vm);
        return;
    }
    if (vm->status.state != VM_UNKNOWN)
        log_error(err, "VM %s: QEMU %d runs and does not answer", vm->status.spec.name, vm->status.pid);
    vm_set_state(vm, VM_UNKNOWN);
    vm_reconnect(vm);
}

static gboolean on_reconnect(gpointer user)
{
    struct vm *vm = user;
    vm->process->reconnect_timer = 0;
    qmp_free(vm->qmp);
    vm->qmp = NULL;
    vm_connect(vm, RECONNECT_MS, reconnected);
    return G_SOURCE_REMOVE;
}

void vm_reconnect(struct vm *vm)
{
    if (vm->process && !vm->process->dead && !vm->process->reconnect_timer)
        vm->process->reconnect_timer = g_timeout_add(RECONNECT_PAUSE_MS, on_reconnect, vm);
}

/* Mostly this is QEMU's end, which vm_exited reports when the process is gone. */
static void on_closed(void *user)
{
    struct vm *vm = user;
    struct err err;
    (void)err_set(&err, ERR_PEER_LOST, "qmp-lost", "QEMU of VM %s closed its control connection",
                  vm->status.spec.name);
    (void)err_arg(&err, "vm", "%s", vm->status.spec.name);
    vm_explain_loss(vm, &err);
    vm_wait_end(&vm->process->moves, vm, &err);
    vm_reconnect(vm);
}

static void on_ready(const struct err *err, void *user)
{
    struct vm *vm = user;
    void (*ready)(struct vm *, const struct err *) = vm->process->ready;
    vm->process->ready = NULL;
    if (ready)
        ready(vm, err);
}

void vm_connect(struct vm *vm, unsigned deadline_ms, void (*ready)(struct vm *vm, const struct err *err))
{
    g_autofree char *path = vm_path(vm, "qmp.sock");
    const struct qmp_config config = {.path = path,
                                      .deadline_ms = deadline_ms,
                                      .ready = on_ready,
                                      .event = on_event,
                                      .closed = on_closed,
                                      .user = vm};
    vm->process->ready = ready;
    vm->qmp = qmp_new(&config);
}
