/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/cgroup.h"
#include "agent/console.h"
#include "agent/cpu_baseline.h"
#include "agent/journal.h"
#include "agent/vm_check.h"
#include "agent/vm_process.h"
#include "base/log.h"
#include "model/overhead.h"
#include "model/ownership.h"
#include "qemu/qmp.h"

/* The kernel closes a dying process' sockets a moment before its end can be seen. */
#define END_MS 100

struct vm *vm_find(struct agent *agent, const char *uuid)
{
    return g_hash_table_lookup(agent->vms, uuid);
}

struct vm *vm_new(struct agent *agent, const struct vm_spec *spec)
{
    struct vm *vm = g_new0(struct vm, 1);
    vm->agent = agent;
    vm->status.spec = *spec;
    vm->status.state = VM_OFF;
    g_strlcpy(vm->status.host, agent->config.name, sizeof vm->status.host);
    vm->pidfd = -1;
    vm->ram_fd = -1;
    (void)g_hash_table_insert(agent->vms, g_strdup(spec->uuid), vm);
    return vm;
}

/* Frees what a switched-off VM holds; callers of verbs may still look at it until the main loop is reached.
 */
static gboolean free_vm(gpointer user)
{
    g_free(user);
    return G_SOURCE_REMOVE;
}

static void unregister(struct vm *vm)
{
    journal_close(vm->journal);
    vm->journal = NULL;
    (void)g_hash_table_remove(vm->agent->vms, vm->status.spec.uuid);
    (void)g_idle_add_full(G_PRIORITY_LOW, free_vm, vm, NULL);
}

void vm_set_state(struct vm *vm, enum vm_state state)
{
    if (vm->status.state == state)
        return;
    log_info("VM %s (%s): %s -> %s", vm->status.spec.name, vm->status.spec.uuid,
             vm_state_name(vm->status.state), vm_state_name(state));
    vm->status.state = state;
}

void vm_set_problem(struct vm *vm, const char *what, const struct err *why)
{
    const char *name = vm->status.spec.name;
    (void)err_set(&vm->problem, ERR_CORRUPT, "vm-damaged", "VM %s cannot be used on host %s: %s", name,
                  vm->agent->config.name, what);
    (void)err_arg(&vm->problem, "what", "%s", what);
    (void)err_cause(&vm->problem, "%.180s%s%.100s", why->message, why->cause[0] ? ": " : "", why->cause);
    (void)err_fix(&vm->problem, "%s", why->fix);
    (void)err_arg(&vm->problem, "vm", "%s", name);
    (void)err_arg(&vm->problem, "host", "%s", vm->agent->config.name);
    (void)snprintf(vm->status.problem, sizeof vm->status.problem, "%s: %s", what, vm->problem.cause);
    log_error(&vm->problem, "VM %s", vm->status.spec.uuid);
    vm_set_state(vm, VM_UNKNOWN);
}

void vm_refresh(struct vm *vm)
{
    struct journal_entry entry = {0};
    if (vm->journal)
        journal_read(vm->journal, &entry);
    vm->status.epoch = entry.epoch;
    g_strlcpy(vm->status.journal, vm->journal ? journal_step_name(entry.step) : OWNERSHIP_CORRUPT,
              sizeof vm->status.journal);
    const struct vm_spec *spec = &vm->status.spec;
    vm->status.overhead_mib =
        vm_overhead_mib(spec, vm->process ? vm->status.accel : vm_accel_here(vm->agent, spec));
    cpu_baseline_beyond(vm, vm->status.cpu_beyond_baseline);
}

void vm_explain(const struct vm *vm, struct err *err)
{
    if (err->code != ERR_PEER_LOST && err->code != ERR_CANCELLED)
        return;
    g_autofree char *tail = vm_log_tail(vm);
    if (tail[0])
        (void)err_cause(err, "%s", tail);
}

static void note_end(struct vm *vm, int status)
{
    vm->how_ended[0] = '\0';
    if (status != -1 && WIFSIGNALED(status))
        (void)snprintf(vm->how_ended, sizeof vm->how_ended, "signal %d (%s)", WTERMSIG(status),
                       strsignal(WTERMSIG(status)));
    else if (status != -1)
        (void)snprintf(vm->how_ended, sizeof vm->how_ended, "exit status %d", WEXITSTATUS(status));
}

void vm_ended(const struct vm *vm, struct err *err)
{
    const char *host = vm->agent->config.name;
    (void)err_set(err, ERR_PEER_LOST, "qemu-ended", "QEMU of VM %s ended on host %s", vm->status.spec.name,
                  host);
    (void)err_arg(err, "vm", "%s", vm->status.spec.name);
    (void)err_arg(err, "host", "%s", host);
    (void)err_fix(err, "put right on '%s' what QEMU says; its log there, and the agent's, say more", host);
}

static void guest_is_off(const struct vm *vm, struct err *err)
{
    const char *name = vm->status.spec.name;
    const char *host = vm->agent->config.name;
    (void)err_set(err, ERR_REFUSED, "guest-powered-off",
                  "the guest of VM %s switched itself off during the move; the VM is off on host %s", name,
                  host);
    (void)err_arg(err, "vm", "%s", name);
    (void)err_arg(err, "host", "%s", host);
    (void)err_fix(err, "start it (godwit vm start %s) and move it again, if it is to run", name);
}

void vm_panicked(const struct vm *vm, struct err *err)
{
    const char *name = vm->status.spec.name;
    const char *host = vm->agent->config.name;
    (void)err_set(err, ERR_REFUSED, "guest-panicked",
                  "the guest of VM %s has panicked; it stands on host %s, as it was then", name, host);
    (void)err_arg(err, "vm", "%s", name);
    (void)err_arg(err, "host", "%s", host);
    (void)err_fix(err,
                  "see what it says (godwit vm console %s --log), then switch it off and on: "
                  "godwit vm stop %s --force",
                  name, name);
}

void vm_died(const struct vm *vm, bool as_incoming, struct err *err)
{
    if (vm->is_guest_off && !as_incoming) {
        guest_is_off(vm, err);
        return;
    }
    const char *name = vm->status.spec.name;
    const char *host = vm->agent->config.name;
    g_autofree char *tail = vm->process ? vm_log_tail(vm) : g_strdup("");
    (void)err_set(err, ERR_PEER_LOST, "qemu-died", "QEMU of VM %s on host %s ended during the move%s%s", name,
                  host, vm->how_ended[0] ? ": " : "", vm->how_ended);
    (void)err_arg(err, "how_ended", "%s", vm->how_ended);
    (void)err_arg(err, "vm", "%s", name);
    (void)err_arg(err, "host", "%s", host);
    if (tail[0])
        (void)err_cause(err, "%s", tail);
    if (as_incoming)
        (void)err_fix(err, "start the migration again; the log of the agent on '%s' says more", host);
    else
        (void)err_fix(err, "start the VM again: godwit vm start %s; the log of the agent on '%s' says more",
                      name, host);
}

static bool has_ended(struct vm *vm)
{
    siginfo_t info = {0};
    struct pollfd exit = {.fd = vm->pidfd, .events = POLLIN};
    if (!vm->process || vm->process->dead || vm->pidfd < 0)
        return true;
    if (poll(&exit, 1, END_MS) != 1)
        return false;
    if (vm->qmp)
        qmp_take_rest(vm->qmp); /* it may say why */
    /* Another agent's child cannot be asked. Left for vm_exited. */
    if (waitid(P_PIDFD, (id_t)vm->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid)
        note_end(vm,
                 info.si_code == CLD_EXITED ? W_EXITCODE(info.si_status, 0) : W_EXITCODE(0, info.si_status));
    return true;
}

void vm_explain_loss(struct vm *vm, struct err *err)
{
    bool is_lost = !strcmp(err->id, "qmp-lost") || !strcmp(err->id, "qmp-closed") ||
                   !strcmp(err->id, "qemu-died") || !strcmp(err->id, "disk-copy-failed");
    if (is_lost && has_ended(vm))
        vm_died(vm, vm->incoming, err);
    else
        vm_explain(vm, err);
}

struct later {
    struct vm *vm;
    struct vm_wait wait;
};

static gboolean on_later(gpointer user)
{
    struct later *later = user;
    const struct err none = {0};
    vm_wait_end(&later->wait, later->vm, &none);
    g_free(later);
    return G_SOURCE_REMOVE;
}

void vm_done_later(struct vm *vm, vm_done done, void *user)
{
    struct later *later = g_new(struct later, 1);
    *later = (struct later){.vm = vm, .wait = {.done = done, .user = user}};
    (void)g_idle_add(on_later, later);
}

void vm_wait_end(struct vm_wait *wait, struct vm *vm, const struct err *err)
{
    struct vm_wait taken = *wait;
    *wait = (struct vm_wait){0};
    if (taken.done)
        taken.done(vm, err, taken.user);
}

/* A uuid comes back only to the host that owns it: else two hosts could run one VM. */
static int own(struct vm *vm, struct err *err)
{
    g_autofree char *path = vm_journal_path(vm->agent, vm->status.spec.uuid);
    struct journal_entry entry;
    if (journal_open(path, &vm->journal, err) < 0)
        return -1;
    journal_read(vm->journal, &entry);
    if (entry.step != JOURNAL_NONE && !journal_may_run(vm->journal)) {
        (void)err_set(err, ERR_REFUSED, "vm-owned-elsewhere",
                      "VM %s left this host or never was here (journal: %s); it cannot be created again",
                      vm->status.spec.uuid, journal_step_name(entry.step));
        (void)err_arg(err, "vm", "%s", vm->status.spec.uuid);
        (void)err_arg(err, "step", "%s", journal_step_name(entry.step));
        return err_fix(err, "see with 'godwit vm settle %s' which host owns it", vm->status.spec.uuid);
    }
    struct journal_entry owned = {.step = JOURNAL_OWNED, .epoch = entry.epoch + 1};
    journal_last_session(&entry, &owned.past);
    return journal_write_sync(vm->journal, &owned, err);
}

int vm_create(struct agent *agent, const struct vm_spec *spec, struct vm **ret_vm, struct err *err)
{
    struct vm *vm = vm_find(agent, spec->uuid);
    if (vm) {
        struct vm_spec same = *spec;
        /* The first start filled these in. */
        if (!same.machine[0])
            g_strlcpy(same.machine, vm->status.spec.machine, sizeof same.machine);
        if (!same.cpu_model[0])
            g_strlcpy(same.cpu_model, vm->status.spec.cpu_model, sizeof same.cpu_model);
        g_strlcpy(same.cpu_without, vm->status.spec.cpu_without, sizeof same.cpu_without);
        g_strlcpy(same.cpu_baseline, vm->status.spec.cpu_baseline, sizeof same.cpu_baseline);
        for (uint32_t i = 0; i < MIN(same.n_nics, vm->status.spec.n_nics); i++)
            same.nics[i].mtu = vm->status.spec.nics[i].mtu;
        g_autoptr(JsonObject) wanted = vm_spec_to_json(&same);
        g_autoptr(JsonObject) present = vm_spec_to_json(&vm->status.spec);
        g_autofree char *wanted_text = model_print(wanted, false);
        g_autofree char *present_text = model_print(present, false);
        *ret_vm = vm;
        if (err_is_set(&vm->problem))
            return vm_check_free(vm, err);
        if (!strcmp(wanted_text, present_text))
            return 0;
        if (vm_check_free(vm, err) < 0)
            return -1;
        (void)err_set(err, ERR_REFUSED, "vm-exists", "VM %s exists here with another specification",
                      spec->uuid);
        (void)err_arg(err, "vm", "%s", spec->uuid);
        return err_fix(err, "change it with 'godwit vm set %s', or remove it first", vm->status.spec.name);
    }
    if (!model_uuid_is_valid(spec->uuid))
        return err_set(err, ERR_BAD_REQUEST, "uuid-invalid", "uuid: a lower-case UUID is needed");
    if (cpu_baseline_check_model(agent, spec, vm_accel_here(agent, spec), err) < 0)
        return -1;
    vm = vm_new(agent, spec);
    if (own(vm, err) < 0 || vm_config_write(vm, spec, "", err) < 0) {
        unregister(vm);
        return -1;
    }
    *ret_vm = vm;
    return 0;
}

int vms_check_up(const struct agent *agent, struct err *err)
{
    if (!agent->shutdown)
        return 0;
    (void)err_set(err, ERR_REFUSED, "host-shutting-down",
                  "host %s is shutting down: no VM starts, arrives or leaves", agent->config.name);
    (void)err_arg(err, "host", "%s", agent->config.name);
    return err_fix(err, "use another host, or wait until it is up again");
}

static int refuse_unless_off(const struct vm *vm, const char *member, struct err *err)
{
    const char *name = vm->status.spec.name;
    if (vm->status.state == VM_OFF && !vm->process && !vm->n_conts)
        return 0;
    (void)err_set(err, ERR_REFUSED, "vm-not-off", "%s of VM %s cannot be changed while it is %s", member,
                  name, vm_state_name(vm->status.state));
    (void)err_arg(err, "state", "%s", vm_state_name(vm->status.state));
    (void)err_arg(err, "vm", "%s", name);
    (void)err_arg(err, "member", "%s", member);
    return err_fix(err,
                   "stop the VM (godwit vm stop %s), change it, and start it again; name and autostart "
                   "may change at any time",
                   name);
}

int vm_take_spec(struct vm *vm, const struct vm_spec *changed, struct err *err)
{
    struct err note = {0};
    if (vm_config_write(vm, changed, "", err) < 0)
        return -1;
    if (vm->process && vm_process_write(vm, &note) < 0)
        log_error(&note, "VM %s: the record of its QEMU has the old specification", changed->name);
    return 0;
}

int vm_set(struct vm *vm, JsonObject *changes, struct err *err)
{
    struct vm_spec changed = vm->status.spec;
    if (vm_check_free(vm, err) < 0 || vm_spec_change(&changed, changes, err) < 0)
        return -1;
    const char *member = vm_spec_needs_restart(&vm->status.spec, &changed);
    if (member && refuse_unless_off(vm, member, err) < 0)
        return -1;
    if (strcmp(changed.cpu_model, vm->status.spec.cpu_model) != 0 &&
        cpu_baseline_check_model(vm->agent, &changed, vm_accel_here(vm->agent, &changed), err) < 0)
        return -1;
    g_autofree char *text = model_print(changes, false);
    if (vm_take_spec(vm, &changed, err) < 0)
        return -1;
    log_info("VM %s (%s): changed: %s", changed.name, changed.uuid, text);
    return 0;
}

int vm_set_pool(struct vm *vm, const char *pool, struct err *err)
{
    struct vm_spec changed = vm->status.spec;
    if (!pool_path_is_valid(pool))
        return err_set(err, ERR_BAD_REQUEST, "field-invalid", "pool must be names joined by '/', or empty");
    (void)g_strlcpy(changed.pool, pool, sizeof changed.pool);
    if (vm_check_free(vm, err) < 0 || vm_take_spec(vm, &changed, err) < 0)
        return -1;
    if (vm->process)
        cgroup_place(vm);
    return 0;
}

static void remove_file(const char *path)
{
    if (unlink(path) < 0 && errno != ENOENT)
        log_warn("cannot remove %s: %s", path, g_strerror(errno));
}

void vm_forget(struct vm *vm)
{
    if (vm->is_forgotten)
        return; /* two waited for the end of its QEMU */
    vm->is_forgotten = true;
    g_autofree char *config = vm_config_path(vm->agent, vm->status.spec.uuid);
    g_autofree char *damaged = g_strdup_printf("%s" VM_CONFIG_DAMAGED, config);
    remove_file(config);
    remove_file(damaged);
    vm_lease_release(vm);
    unregister(vm);
}

/* From here on the VM is gone, also for the next agent, which completes what is left to do. The source of the
 * move that brought the VM here may not have heard the verdict yet: a journal that holds one stays, owning
 * nothing. */
static int leave_journal(struct vm *vm, bool *ret_stays, struct err *err)
{
    struct journal_entry last = {0};
    struct journal_entry left = {.step = JOURNAL_NONE};
    if (vm->journal)
        journal_read(vm->journal, &last);
    journal_last_session(&last, &left.past);
    left.epoch = last.epoch;
    *ret_stays = left.past.verdict != VERDICT_NONE;
    return vm->journal ? journal_write_sync(vm->journal, &left, err) : 0;
}

bool vm_is_half_removed(const struct vm *vm)
{
    struct journal_entry entry = {0};
    if (vm->journal)
        journal_read(vm->journal, &entry);
    /* One that was never written has no epoch. */
    return vm->journal && entry.step == JOURNAL_NONE && entry.epoch && !vm->process;
}

int vm_remove(struct vm *vm, struct err *err)
{
    bool journal_stays;
    if (vm_check_free(vm, err) < 0)
        return -1;
    if (vm->status.state != VM_OFF || vm->process || vm->n_conts) {
        (void)err_set(err, ERR_REFUSED, "vm-not-off", "VM %s is %s and cannot be removed",
                      vm->status.spec.name, vm_state_name(vm->status.state));
        (void)err_arg(err, "state", "%s", vm_state_name(vm->status.state));
        (void)err_arg(err, "vm", "%s", vm->status.spec.name);
        return err_fix(err, "stop it first: godwit vm stop %s", vm->status.spec.name);
    }
    if (leave_journal(vm, &journal_stays, err) < 0)
        return -1;
    log_info("VM %s (%s): removed", vm->status.spec.name, vm->status.spec.uuid);
    vm_run_folder_remove(vm->agent, vm->status.spec.uuid);
    g_autofree char *journal = vm_journal_path(vm->agent, vm->status.spec.uuid);
    vm_forget(vm);
    if (!journal_stays)
        remove_file(journal);
    return 0;
}

/* Of the VMs that are on, shells included. */
static uint64_t sum_of(struct agent *agent, uint64_t (*share)(const struct vm *vm))
{
    uint64_t sum = 0;
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, agent->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const struct vm *vm = value;
        if (vm->process)
            sum += share(vm);
    }
    return sum;
}

static uint64_t memory_of(const struct vm *vm)
{
    return vm_memory_mib(&vm->status.spec, vm->status.accel);
}

static uint64_t cpu_of(const struct vm *vm)
{
    return vm->status.spec.cpu_reservation_percent;
}

uint64_t vms_memory_mib(struct agent *agent)
{
    return sum_of(agent, memory_of);
}

uint64_t vms_cpu_percent(struct agent *agent)
{
    return sum_of(agent, cpu_of);
}

void vm_release(struct vm *vm)
{
    struct qmp *qmp = vm->qmp;
    console_close(vm);
    vm->qmp = NULL; /* those whose calls fail now find it gone */
    qmp_free(qmp);
    if (vm->ram_fd >= 0)
        (void)close(vm->ram_fd);
    if (vm->pidfd >= 0)
        (void)close(vm->pidfd);
    vm->ram_fd = -1;
    vm->pidfd = -1;
    vm->ram_size = 0;
    vm->status.pid = 0;
    vm->status.accel[0] = '\0';
    vm->status.qemu_version[0] = '\0';
    vm->status.balloon_mib = 0;
    if (!err_is_set(&vm->problem))
        vm->status.problem[0] = '\0';
    vm->incoming = false;
    vm_run_files_remove(vm);
    cgroup_sweep(vm->agent);
}

static void log_end(const struct vm *vm, int status)
{
    g_autofree char *tail = vm_log_tail(vm);
    const char *name = vm->status.spec.name;
    if (vm->ending)
        log_info("VM %s: QEMU %d ended", name, vm->status.pid);
    else if (vm->is_guest_off)
        log_info("VM %s: the guest switched itself off", name);
    else
        log_warn("VM %s: QEMU %d ended by itself (wait status 0x%x): %s", name, vm->status.pid,
                 (unsigned)status, tail[0] ? tail : "it said nothing");
}

void vm_exited(pid_t pid, int status, void *user)
{
    struct vm *vm = user;
    struct vm_process *process = vm->process;
    (void)pid;
    process->dead = true;
    if (vm->qmp)
        qmp_take_rest(vm->qmp);
    log_end(vm, status);
    note_end(vm, status);
    struct err err;
    struct err died;
    vm_ended(vm, &err);
    vm_explain(vm, &err);
    vm_died(vm, vm->incoming, &died);
    const guint timers[] = {process->kill_timer, process->reconnect_timer, process->settle_timer};
    for (unsigned i = 0; i < G_N_ELEMENTS(timers); i++)
        if (timers[i])
            (void)g_source_remove(timers[i]);
    vm_release(vm);
    if (process->ready)
        process->ready(vm, &err); /* the connection will never come; `ends` and `starts` are answered below */
    vm->process = NULL;
    vm->ending = false;
    vm_set_state(vm, VM_OFF);
    const struct err none = {0};
    vm_wait_end(&process->moves, vm, &died);
    vm_wait_end(&process->starts, vm, &err);
    for (GSList *at = process->ends; at; at = at->next)
        vm_wait_end(at->data, vm, &none);
    g_slist_free_full(process->ends, g_free);
    g_free(process);
    void (*ended)(struct vm *, void *) = vm->ended;
    vm->ended = NULL;
    if (ended)
        ended(vm, vm->ended_user);
}
