/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At the agent's start: config files and journals are read, and QEMUs that an earlier agent started are taken
 * over where process.json still names the same process.
 */
#include "agent/vm.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/cgroup.h"
#include "agent/disk_image.h"
#include "agent/journal.h"
#include "agent/precedence.h"
#include "agent/site.h"
#include "agent/spawn.h"
#include "agent/vm_disks.h"
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

/* In a move they are what they were when it began. */
static void settle_disks(struct vm *vm)
{
    vm_disks_reconcile(vm, on_end, NULL);
}

static void on_cont(struct vm *vm, enum vm_cont_result result, const struct err *err, void *user)
{
    (void)user;
    if (result != VM_CONT_RUNS)
        log_error(err, "VM %s belongs to this host and does not run", vm->status.spec.name);
    settle_disks(vm);
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

static void on_status(JsonNode *result, const struct err *err, void *user);

/* Nothing of before is left to do. */
static void on_free(struct vm *vm, const struct err *err, void *user)
{
    (void)err;
    (void)user;
    if (vm && vm->process)
        vm_qmp(vm, "query-status", NULL, -1, on_status, vm);
    else
        settled();
}

static void on_status(JsonNode *result, const struct err *err, void *user)
{
    struct vm *vm = user;
    const char *runstate = vm_result_text(result, "status");
    if (!vm->process || err_is_set(err)) {
        vm_status_lost(vm, err);
        settled();
        return;
    }
    bool is_stopped = vm_runstate_is_stopped(runstate) && strcmp(runstate, "inmigrate") != 0;
    if (vm->agent->adopting && vm->agent->adopting(vm, is_stopped, on_free, NULL))
        return;
    log_info("VM %s: adopted QEMU %d, %s", vm->status.spec.name, vm->status.pid, runstate);
    if (should_run(vm, runstate)) {
        vm_set_state(vm, VM_PAUSED);
        vm_cont(vm, CONT_MS, on_cont, NULL);
        return;
    }
    vm_take_runstate(vm, runstate);
    vm_balloon_ask(vm);
    settle_disks(vm);
}

/* True if this host will never run it. What is GIVEN may come back; a QEMU without any word of its journal is
 * one whose journal was lost, and perhaps the only one that has the guest. */
static bool is_foreign(const struct vm *vm)
{
    struct journal_entry entry;
    if (!vm->journal || journal_may_run(vm->journal))
        return false;
    journal_read(vm->journal, &entry);
    return entry.step != JOURNAL_GIVEN && entry.step != JOURNAL_NONE;
}

static void on_ready(struct vm *vm, const struct err *err)
{
    if (!err_is_set(err)) {
        site_learn_cpu(vm);
        vm_qmp(vm, "query-status", NULL, -1, on_status, vm);
        return;
    }
    log_error(err, "VM %s: QEMU %d runs and cannot be adopted", vm->status.spec.name, vm->status.pid);
    vm_set_state(vm, VM_UNKNOWN);
    if (is_foreign(vm)) {
        vm_end(vm, on_end, NULL);
        return;
    }
    vm_reconnect(vm);
    settled();
}

static bool has_ended(int pidfd)
{
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    return pidfd < 0 || poll(&ended, 1, 0) != 0;
}

static int say_ended(const struct vm *vm, struct err *err)
{
    (void)err_set(err, ERR_NOT_FOUND, "qemu-ended", "QEMU %d of VM %s ended while no agent ran",
                  vm->status.pid, vm->status.spec.name);
    (void)err_arg(err, "pid", "%d", vm->status.pid);
    return err_arg(err, "vm", "%s", vm->status.spec.name);
}

/* The process of process.json, if it still is that one; vm->pidfd is set. */
static int find_process(struct vm *vm, struct err *err)
{
    vm->pidfd = (int)syscall(SYS_pidfd_open, vm->status.pid, 0);
    if (vm->pidfd < 0 && errno != ESRCH) {
        (void)err_sys(err, errno, "watch-failed", "cannot watch process %d", vm->status.pid);
        return err_arg(err, "pid", "%d", vm->status.pid);
    }
    /* Compared after the descriptor is held: from now on the number cannot change its meaning. A dead process
     * that nobody has collected yet still has its number and start time. */
    uint64_t start_time = vm->pidfd < 0 ? 0 : process_start_time(vm->status.pid);
    bool lives = !has_ended(vm->pidfd);
    if (lives && !start_time) {
        (void)err_set(err, ERR_INTERNAL, "proc-unreadable", "cannot read /proc/%d/stat", vm->status.pid);
        return err_arg(err, "pid", "%d", vm->status.pid);
    }
    if (!lives || start_time != vm->process->start_time)
        return say_ended(vm, err);
    return 0;
}

static void drop_process(struct vm *vm)
{
    vm_release(vm);
    g_free(vm->process);
    vm->process = NULL;
}

static int adopt(struct vm *vm, struct err *err)
{
    if (vm_process_read(vm, err) < 0)
        return -1;
    if (!vm->status.pid) {
        if (orphan_end(vm, err) < 0)
            return -1;
        drop_process(vm);
        return err_set(err, ERR_NOT_FOUND, "start-interrupted", "its start was interrupted");
    }
    if (find_process(vm, err) == 0 && ram_adopt(vm, err) == 0 &&
        spawn_watch(vm->status.pid, vm->pidfd, vm_exited, vm, err) == 0)
        return 0;
    if (vm->pidfd >= 0 && has_ended(vm->pidfd))
        (void)say_ended(vm, err);
    if (err->code == ERR_NOT_FOUND) /* else it lives, or may: nothing of it may be removed */
        drop_process(vm);
    return -1;
}

/* Takes over the QEMU that process.json names. Anything but "there is none" and "it has ended" is a problem:
 * one may run, and a second must not be started. */
static void load_process(struct vm *vm)
{
    struct err err = {0};
    const char *name = vm->status.spec.name;
    if (adopt(vm, &err) == 0) {
        loading->n_open++;
        precedence_withdraw((pid_t)vm->status.pid);
        cgroup_place(vm);
        vm_connect(vm, ADOPT_MS, on_ready);
        return;
    }
    if (err.code == ERR_NOT_FOUND) {
        vm_run_files_remove(vm); /* sockets of a start that came to no record, of an end that had begun */
        if (strcmp(err.id, "open-failed") != 0)
            log_info("VM %s is off: %s", name, err.message);
        return;
    }
    (void)err_fix(&err,
                  "end the QEMU of this VM if there is one (its command line holds %s), remove %s/vms/%s "
                  "and restart the agent",
                  vm->status.spec.uuid, vm->agent->config.run_dir, vm->status.spec.uuid);
    vm_set_problem(vm, "its QEMU may run and cannot be taken over", &err);
}

static int read_config(const struct agent *agent, const char *uuid, struct vm_spec *ret_spec, struct err *err)
{
    g_autofree char *path = vm_config_path(agent, uuid);
    if (vm_config_read(path, ret_spec, err) < 0)
        return -1;
    if (strcmp(ret_spec->uuid, uuid) != 0) {
        (void)err_set(err, ERR_CORRUPT, "config-damaged", "%s is the configuration of VM %s", path,
                      ret_spec->uuid);
        (void)err_arg(err, "path", "%s", path);
        return err_arg(err, "vm", "%s", ret_spec->uuid);
    }
    return 0;
}

/* The record of its QEMU has a copy. What cannot be read stays beside it. */
static void rebuild_config(struct vm *vm)
{
    struct err err = {0};
    g_autofree char *path = vm_config_path(vm->agent, vm->status.spec.uuid);
    g_autofree char *damaged = g_strdup_printf("%s" VM_CONFIG_DAMAGED, path);
    if (rename(path, damaged) < 0 && errno != ENOENT)
        log_warn("cannot rename %s: %s", path, g_strerror(errno));
    if (vm_config_write(vm, &vm->status.spec, vm_holder(vm), &err) < 0)
        log_error(&err, "VM %s goes on without its config file", vm->status.spec.name);
    else
        log_warn("VM %s: its config file was written again from the record of its QEMU",
                 vm->status.spec.name);
}

/* False if there is nothing to rebuild it from. `why` the config file cannot be read is logged. */
static bool spec_from_record(struct agent *agent, const char *uuid, struct vm_spec *ret_spec,
                             const struct err *why)
{
    struct err err = {0};
    log_error(why, "VM %s: its config file cannot be read", uuid);
    return vm_process_read_spec(agent, uuid, ret_spec, &err) == 0;
}

static void load_vm(struct agent *agent, const char *uuid)
{
    struct err err = {0};
    struct err config_err = {0};
    struct vm_spec spec;
    bool is_damaged = read_config(agent, uuid, &spec, &config_err) < 0;
    bool is_rebuilt = is_damaged && spec_from_record(agent, uuid, &spec, &config_err);
    if (is_damaged && !is_rebuilt) {
        spec = (struct vm_spec){0};
        g_strlcpy(spec.uuid, uuid, sizeof spec.uuid);
        g_strlcpy(spec.name, uuid, sizeof spec.name);
    }
    struct vm *vm = vm_new(agent, &spec);
    g_autofree char *journal = vm_journal_path(agent, uuid);
    if (journal_open(journal, &vm->journal, &err) < 0)
        log_error(&err, "VM %s cannot be started or moved", spec.name);
    vm_refresh(vm);
    if (is_damaged && !is_rebuilt) {
        g_autofree char *path = vm_config_path(agent, uuid);
        (void)err_fix(&config_err, "restore %s, and restart the agent", path);
        vm_set_problem(vm, "its config file cannot be read", &config_err);
        return;
    }
    vm_lease_load(vm);
    if (is_rebuilt)
        rebuild_config(vm);
    load_process(vm);
    disk_image_recover(vm);
    if (!is_rebuilt && vm_is_half_removed(vm) && vm_remove(vm, &err) < 0)
        log_error(&err, "VM %s: its removal was interrupted", spec.name);
}

static void load_configured(struct agent *agent)
{
    g_autofree char *folder = g_strdup_printf("%s/vms", agent->config.state_dir);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        if (!g_str_has_suffix(name, ".json"))
            continue;
        g_autofree char *uuid = g_strndup(name, strlen(name) - strlen(".json"));
        if (model_uuid_is_valid(uuid))
            load_vm(agent, uuid);
        else
            log_warn("%s/%s is no VM's config file", folder, name);
    }
}

/* A VM that has lost its config file, while its QEMU lives or may live. A start that was interrupted is
 * undone first. */
static bool is_lost(struct agent *agent, const char *uuid)
{
    struct err err = {0};
    struct vm vm = {.agent = agent, .pidfd = -1, .ram_fd = -1};
    g_strlcpy(vm.status.spec.uuid, uuid, sizeof vm.status.spec.uuid);
    g_strlcpy(vm.status.spec.name, uuid, sizeof vm.status.spec.name);
    if (vm_process_read(&vm, &err) < 0)
        return err.code != ERR_NOT_FOUND;
    bool is_alive =
        vm.status.pid ? find_process(&vm, &err) == 0 || err.code != ERR_NOT_FOUND : orphan_end(&vm, &err) < 0;
    if (vm.pidfd >= 0)
        (void)close(vm.pidfd);
    g_free(vm.process);
    return is_alive;
}

static void load_lost(struct agent *agent)
{
    g_autofree char *folder = g_strdup_printf("%s/vms", agent->config.run_dir);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *uuid;
    while (dir && (uuid = g_dir_read_name(dir)))
        if (model_uuid_is_valid(uuid) && !vm_find(agent, uuid) && is_lost(agent, uuid))
            load_vm(agent, uuid);
}

void vms_load(struct agent *agent, void (*done)(struct agent *agent))
{
    loading = g_new0(struct loading, 1);
    *loading = (struct loading){.agent = agent, .n_open = 1, .done = done};
    load_configured(agent);
    load_lost(agent);
    orphan_files_remove(agent);
    settled();
}
