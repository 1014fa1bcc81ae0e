/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At the agent's start: config files and journals are read, and QEMUs that an earlier agent started are taken
 * over where process.json still names the same process.
 */
#include "agent/vm.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/cgroup.h"
#include "agent/journal.h"
#include "agent/spawn.h"
#include "agent/vm_process.h"
#include "base/log.h"
#include "qemu/qmp.h"

#define ADOPT_MS 5000
#define CONT_MS 5000

struct loading {
    struct agent *agent;
    unsigned n_open; /* VMs not settled yet, plus one while the folder is read */
    void (*done)(struct agent *agent);
};

/* One at a time per agent start: vm_connect's callback has no argument of its own. */
static struct loading *loading;

static void settled(void)
{
    if (--loading->n_open)
        return;
    struct loading *finished = loading;
    loading = NULL;
    finished->done(finished->agent);
    g_free(finished);
}

static void on_end(struct vm *vm, const struct err *err, void *user)
{
    (void)vm;
    (void)err;
    (void)user;
    settled();
}

static void on_cont(struct vm *vm, enum vm_cont_result result, const struct err *err, void *user)
{
    (void)user;
    if (result != VM_CONT_RUNS)
        log_error(err, "VM %s belongs to this host and does not run", vm->status.spec.name);
    settled();
}

/* Whoever owns a VM outright and finds it stopped was interrupted between the journal and `cont`. What a move
 * left behind is settled by moves_recover. */
static bool should_run(const struct vm *vm, const char *runstate)
{
    struct journal_entry entry = {0};
    if (!vm->journal)
        return false;
    journal_read(vm->journal, &entry);
    return entry.step == JOURNAL_OWNED && !entry.session[0] && strcmp(runstate, "inmigrate") != 0 &&
           vm_runstate_is_stopped(runstate);
}

static void on_status(JsonNode *result, const struct err *err, void *user)
{
    struct vm *vm = user;
    const char *runstate = vm_result_text(result, "status");
    if (!vm->process || err_is_set(err)) {
        settled();
        return;
    }
    log_info("VM %s: adopted QEMU %d, %s", vm->status.spec.name, vm->status.pid, runstate);
    if (should_run(vm, runstate)) {
        vm_set_state(vm, VM_PAUSED);
        vm_cont(vm, CONT_MS, on_cont, NULL);
        return;
    }
    if (vm->incoming)
        vm_set_state(vm, VM_INCOMING);
    else
        vm_set_state(vm, vm_runstate_is_stopped(runstate) ? VM_PAUSED : VM_RUNNING);
    settled();
}

/* True if this host will never run it. What is GIVEN may come back. */
static bool is_foreign(const struct vm *vm)
{
    struct journal_entry entry;
    if (!vm->journal || journal_may_run(vm->journal))
        return false;
    journal_read(vm->journal, &entry);
    return entry.step != JOURNAL_GIVEN;
}

static void on_ready(struct vm *vm, const struct err *err)
{
    if (!err_is_set(err)) {
        vm_qmp(vm, "query-status", NULL, -1, on_status, vm);
        return;
    }
    log_error(err, "VM %s: QEMU %d runs and cannot be adopted", vm->status.spec.name, vm->status.pid);
    vm_set_state(vm, VM_UNKNOWN);
    if (is_foreign(vm))
        vm_end(vm, on_end, NULL);
    else
        settled();
}

/* The process of process.json, if it still is that one; vm->pidfd is set. */
static int find_process(struct vm *vm, struct err *err)
{
    vm->pidfd = (int)syscall(SYS_pidfd_open, vm->status.pid, 0);
    struct pollfd ended = {.fd = vm->pidfd, .events = POLLIN};
    /* Compared after the descriptor is held: from now on the number cannot change its meaning. A dead process
     * that nobody has collected yet still has its number and start time. */
    if (vm->pidfd < 0 || process_start_time(vm->status.pid) != vm->process->start_time ||
        poll(&ended, 1, 0) != 0)
        return err_set(err, ERR_NOT_FOUND, "qemu-ended", "QEMU %d of VM %s ended while no agent ran",
                       vm->status.pid, vm->status.spec.name);
    return 0;
}

static int adopt(struct vm *vm, struct err *err)
{
    if (vm_process_read(vm, err) < 0)
        return -1;
    if (find_process(vm, err) == 0 && ram_adopt(vm, err) == 0 &&
        spawn_watch(vm->status.pid, vm->pidfd, vm_exited, vm, err) == 0)
        return 0;
    if (vm->pidfd >= 0 && err->code != ERR_NOT_FOUND)
        return -1; /* it lives: nothing of it may be removed */
    vm_release(vm);
    g_free(vm->process);
    vm->process = NULL;
    return -1;
}

static void load_vm(struct agent *agent, const char *path)
{
    struct err err = {0};
    struct vm_spec spec;
    if (vm_config_read(path, &spec, &err) < 0) {
        log_error(&err, "a VM is left out");
        return;
    }
    struct vm *vm = vm_new(agent, &spec);
    g_autofree char *journal = vm_journal_path(agent, spec.uuid);
    if (journal_open(journal, &vm->journal, &err) < 0)
        log_error(&err, "VM %s cannot be started or moved", spec.name);
    vm_refresh(vm);
    vm_lease_load(vm);
    err_clear(&err);
    if (adopt(vm, &err) == 0) {
        loading->n_open++;
        cgroup_place(vm);
        vm_connect(vm, ADOPT_MS, on_ready);
    } else if (vm->process) {
        log_error(&err, "VM %s: QEMU %d runs and cannot be adopted", spec.name, vm->status.pid);
        vm_set_state(vm, VM_UNKNOWN);
    } else if (strcmp(err.id, "open-failed") != 0) {
        log_error(&err, "VM %s is off", spec.name);
    }
}

void vms_load(struct agent *agent, void (*done)(struct agent *agent))
{
    g_autofree char *folder = g_strdup_printf("%s/vms", agent->config.state_dir);
    loading = g_new0(struct loading, 1);
    *loading = (struct loading){.agent = agent, .n_open = 1, .done = done};
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        if (g_str_has_suffix(name, ".json"))
            load_vm(agent, path);
    }
    settled();
}
