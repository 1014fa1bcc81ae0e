/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/vm.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/network.h"
#include "agent/vm_process.h"
#include "base/clock.h"
#include "base/log.h"
#include "qemu/qmp.h"

#define QUIT_MS 3000 /* then SIGKILL */
#define CONT_RETRY_MS 20

struct verb {
    struct vm *vm;
    struct vm_wait wait;
    guint timer; /* vm_stop */
};

static struct verb *verb_new(struct vm *vm, vm_done done, void *user)
{
    struct verb *verb = g_new0(struct verb, 1);
    *verb = (struct verb){.vm = vm, .wait = {.done = done, .user = user}};
    return verb;
}

static void verb_end(struct verb *verb, const struct err *err)
{
    struct err told = *err;
    vm_explain_loss(verb->vm, &told);
    vm_wait_end(&verb->wait, verb->vm, &told);
    g_free(verb);
}

/* ---- pause ---- */
static void on_paused(JsonNode *result, const struct err *err, void *user)
{
    (void)result;
    struct verb *verb = user;
    if (!err_is_set(err) && verb->vm->status.state == VM_RUNNING)
        vm_set_state(verb->vm, VM_PAUSED);
    verb_end(verb, err);
}

void vm_pause(struct vm *vm, vm_done done, void *user)
{
    vm_qmp(vm, "stop", NULL, -1, on_paused, verb_new(vm, done, user));
}

/* ---- cont ---- */
struct cont {
    struct vm *vm;
    uint64_t deadline_ns;
    bool is_asked;     /* QEMU owes the answer to `cont` */
    bool is_over;      /* `done` was called */
    bool was_accepted; /* QEMU once said yes: vCPUs may have run, whatever it says later */
    struct err last;   /* why the last try failed */
    void (*done)(struct vm *vm, enum vm_cont_result result, const struct err *err, void *user);
    void *user;
};

static void cont_try(struct cont *cont);

static int set_taps(struct vm *vm, bool up, struct err *err)
{
    for (unsigned i = 0; i < vm->process->n_taps; i++)
        if (network_tap_set_up(vm->process->taps[i], up, err) < 0) {
            const char *host = vm->agent->config.name;
            (void)err_prefix(err, "network port %u of VM %s on host %s", i + 1, vm->status.spec.name, host);
            (void)err_arg(err, "vm", "%s", vm->status.spec.name);
            (void)err_arg(err, "host", "%s", host);
            return err_fix(err, "find what takes ports of VMs away on '%s' (ip link), and try again", host);
        }
    return 0;
}

static void ignore_answer(JsonNode *result, const struct err *err, void *user)
{
    (void)result;
    (void)user;
    if (err_is_set(err))
        log_error(err, "the network was not told where the VM is");
}

static void announce(struct vm *vm)
{
    if (!vm->process->n_taps)
        return;
    JsonObject *arguments = json_object_new();
    json_object_set_int_member(arguments, "initial", 50);
    json_object_set_int_member(arguments, "max", 550);
    json_object_set_int_member(arguments, "rounds", 5);
    json_object_set_int_member(arguments, "step", 100);
    vm_qmp(vm, "announce-self", arguments, -1, ignore_answer, NULL);
}

static void cont_end(struct cont *cont, enum vm_cont_result result, const struct err *err)
{
    struct vm *vm = cont->vm;
    struct err told = *err;
    struct err note = {0};
    vm_explain_loss(vm, &told);
    if (result == VM_CONT_RUNS) {
        vm->incoming = false;
        vm_set_state(vm, VM_RUNNING);
        vm_balloon_ask(vm);
    } else if (result == VM_CONT_FAILED && vm->process && set_taps(vm, false, &note) < 0) {
        log_error(&note, "VM %s does not run and its network port stays up", vm->status.spec.name);
    }
    vm->n_conts--;
    vm->first_cont = NULL;
    cont->is_over = true;
    cont->done(vm, result, &told, cont->user);
    if (!cont->is_asked)
        g_free(cont);
    /* The other side waits for the word, which has left by now; what follows may take its time. */
    if (result == VM_CONT_RUNS && vm->process) {
        announce(vm);
        if (vm_process_write(vm, &note) < 0)
            log_error(&note, "VM %s: an agent started later may not adopt it", vm->status.spec.name);
    }
}

static gboolean on_cont_retry(gpointer user)
{
    cont_try(user);
    return G_SOURCE_REMOVE;
}

static bool is_lost(const struct err *err)
{
    return err->code == ERR_PEER_LOST || err->code == ERR_TIMEOUT || err->code == ERR_CANCELLED;
}

static void on_cont_status(JsonNode *result, const struct err *err, void *user)
{
    struct cont *cont = user;
    const struct err none = {0};
    if (err_is_set(err)) {
        cont_end(cont, VM_CONT_UNKNOWN, err);
    } else if (!cont->was_accepted && vm_runstate_needs_reset(vm_result_text(result, "status"))) {
        cont_end(cont, VM_CONT_FAILED, &cont->last);
    } else if (!vm_runstate_is_stopped(vm_result_text(result, "status"))) {
        cont_end(cont, VM_CONT_RUNS, &none);
    } else if (clock_now_ns() < cont->deadline_ns) {
        (void)g_timeout_add(CONT_RETRY_MS, on_cont_retry, cont);
    } else {
        if (!err_is_set(&cont->last)) {
            (void)err_set(&cont->last, ERR_REFUSED, "vm-not-running", "VM %s was continued and does not run",
                          cont->vm->status.spec.name);
            (void)err_arg(&cont->last, "vm", "%s", cont->vm->status.spec.name);
            (void)err_cause(&cont->last, "QEMU is in state %s", vm_result_text(result, "status"));
        }
        cont_end(cont, cont->was_accepted ? VM_CONT_UNKNOWN : VM_CONT_FAILED, &cont->last);
    }
}

static void on_cont(JsonNode *result, const struct err *err, void *user)
{
    (void)result;
    struct cont *cont = user;
    cont->is_asked = false;
    cont->last = *err;
    cont->was_accepted |= !err_is_set(err);
    if (cont->is_over)
        g_free(cont);
    else if (is_lost(err))
        cont_end(cont, VM_CONT_UNKNOWN, err);
    else
        vm_qmp(cont->vm, "query-status", NULL, -1, on_cont_status, cont);
}

static void cont_try(struct cont *cont)
{
    struct err err = {0};
    struct vm *vm = cont->vm;
    if (!vm->process) {
        /* It died before `cont` was sent: no vCPU ran since it was last stopped. */
        vm_ended(vm, &err);
        cont_end(cont, cont->was_accepted ? VM_CONT_UNKNOWN : VM_CONT_FAILED, &err);
    } else if (vm->process->has_panicked) {
        /* Not even one that the panic found paused already. */
        vm_panicked(vm, &err);
        cont_end(cont, cont->was_accepted ? VM_CONT_UNKNOWN : VM_CONT_FAILED, &err);
    } else if (set_taps(vm, true, &err) < 0) {
        cont_end(cont, cont->was_accepted ? VM_CONT_UNKNOWN : VM_CONT_FAILED, &err);
    } else {
        vm->first_cont = vm->incoming ? cont : NULL;
        cont->is_asked = true;
        vm_qmp(vm, "cont", NULL, -1, on_cont, cont);
    }
}

/* After this event QEMU lets the vCPUs go and nothing can refuse it any more; its answer follows when they
 * run, and the more they do the later it comes. Before its first `cont` nothing else resumes a shell's guest.
 */
void vm_has_resumed(struct vm *vm)
{
    const struct err none = {0};
    if (vm->first_cont)
        cont_end(vm->first_cont, VM_CONT_RUNS, &none);
}

static void on_save_cancelled(JsonNode *result, const struct err *err, void *user)
{
    (void)result;
    const struct vm *vm = user;
    if (err_is_set(err))
        log_error(err, "VM %s: saving the device state could not be cancelled", vm->status.spec.name);
}

void vm_cont(struct vm *vm, unsigned deadline_ms,
             void (*done)(struct vm *vm, enum vm_cont_result result, const struct err *err, void *user),
             void *user)
{
    struct cont *cont = g_new0(struct cont, 1);
    *cont = (struct cont){
        .vm = vm, .deadline_ns = clock_now_ns() + deadline_ms * NS_PER_MS, .done = done, .user = user};
    vm->n_conts++;
    /* A save that was given up must not stop the guest again when it ends by itself; also one that a QEMU
     * which hung, and did not answer, is only about to begin. */
    if (vm->process && !vm->incoming)
        vm_qmp(vm, "migrate_cancel", NULL, -1, on_save_cancelled, vm);
    cont_try(cont);
}

/* ---- end ---- */
static void kill_qemu(struct vm *vm)
{
    if (syscall(SYS_pidfd_send_signal, vm->pidfd, SIGKILL, NULL, 0) < 0)
        log_warn("VM %s: cannot kill QEMU %d: %s", vm->status.spec.name, vm->status.pid, g_strerror(errno));
}

static gboolean on_quit_late(gpointer user)
{
    struct vm *vm = user;
    vm->process->kill_timer = 0;
    log_warn("VM %s: QEMU %d did not quit when asked: killed", vm->status.spec.name, vm->status.pid);
    kill_qemu(vm);
    return G_SOURCE_REMOVE;
}

static void on_quit(JsonNode *result, const struct err *err, void *user)
{
    (void)result;
    struct vm *vm = user;
    if (err_is_set(err) && vm->process && !vm->process->dead)
        kill_qemu(vm);
}

void vm_end(struct vm *vm, vm_done done, void *user)
{
    if (!vm->process) {
        vm_done_later(vm, done, user);
        return;
    }
    struct vm_wait *wait = g_new(struct vm_wait, 1);
    *wait = (struct vm_wait){.done = done, .user = user};
    vm->process->ends = g_slist_append(vm->process->ends, wait);
    if (vm->process->dead || vm->process->kill_timer)
        return;
    vm->ending = true;
    vm->process->kill_timer = g_timeout_add(QUIT_MS, on_quit_late, vm);
    vm_qmp(vm, "quit", NULL, -1, on_quit, vm);
}

/* ---- stop ---- */
static gboolean on_stop_late(gpointer user)
{
    struct verb *verb = user;
    verb->timer = 0;
    log_info("VM %s: the guest did not switch itself off in time", verb->vm->status.spec.name);
    vm_end(verb->vm, NULL, NULL);
    return G_SOURCE_REMOVE;
}

static void on_stopped(struct vm *vm, const struct err *err, void *user)
{
    (void)vm;
    struct verb *verb = user;
    if (verb->timer)
        (void)g_source_remove(verb->timer);
    verb_end(verb, err);
}

static void on_powerdown(JsonNode *result, const struct err *err, void *user)
{
    (void)result;
    struct vm *vm = user;
    if (err_is_set(err) && vm->process && !vm->process->dead)
        vm_end(vm, NULL, NULL);
}

void vm_stop(struct vm *vm, bool force, unsigned timeout_s, vm_done done, void *user)
{
    struct err err = {0};
    if (vm_check_free(vm, &err) < 0) {
        done(vm, &err, user);
        return;
    }
    if (!vm->process || force || vm->status.state != VM_RUNNING) {
        vm_end(vm, done, user);
        return;
    }
    struct verb *verb = verb_new(vm, done, user);
    struct vm_wait *wait = g_new(struct vm_wait, 1);
    *wait = (struct vm_wait){.done = on_stopped, .user = verb};
    vm->process->ends = g_slist_append(vm->process->ends, wait);
    vm->ending = true;
    verb->timer = g_timeout_add_seconds(timeout_s, on_stop_late, verb);
    vm_qmp(vm, "system_powerdown", NULL, -1, on_powerdown, vm);
}
