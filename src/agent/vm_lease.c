/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/vm_lease.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/boot.h"
#include "agent/journal.h"
#include "agent/vm_process.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fdio.h"
#include "base/log.h"
#include "model/check_table.h"
#include "model/move.h"

#define LEASE_BYTES_MAX 4096
/* The file is written on the main loop: every ten seconds of ninety, not at each report of the job. */
#define WRITES_PER_TERM 9

static char *lease_path(const struct vm *vm)
{
    return g_strdup_printf("%s/vms/%s.lease", vm->agent->config.state_dir, vm->status.spec.uuid);
}

static uint64_t term_ns(const struct vm *vm)
{
    return vm->agent->config.lease_s * NS_PER_S;
}

static int lease_write(struct vm *vm, struct err *err)
{
    const struct vm_lease *lease = &vm->lease;
    g_autoptr(JsonObject) object = json_object_new();
    json_object_set_string_member(object, "task", lease->task);
    json_object_set_int_member(object, "epoch", (gint64)lease->epoch);
    json_object_set_string_member(object, "boot_id", lease->boot_id);
    json_object_set_int_member(object, "expires_ns", (gint64)lease->expires_ns);
    json_object_set_int_member(object, "renewals", (gint64)lease->renewals);
    g_autofree char *text = model_print(object, true);
    g_autofree char *path = lease_path(vm);
    vm->lease.written_ns = clock_boot_ns();
    return fdio_replace_file(path, text, strlen(text), 0600, err);
}

static int set_config_mode(const struct vm *vm, mode_t mode, struct err *err)
{
    g_autofree char *path = vm_config_path(vm->agent, vm->status.spec.uuid);
    if (chmod(path, mode) < 0 && errno != ENOENT) {
        (void)err_sys(err, errno, "lease-failed", "cannot change the mode of %s", path);
        return err_arg(err, "path", "%s", path);
    }
    return 0;
}

int vm_lease_take(struct vm *vm, const char *task, uint64_t epoch, struct err *err)
{
    struct vm_lease lease = {.epoch = epoch, .expires_ns = clock_boot_ns() + term_ns(vm)};
    if (boot_id_read(lease.boot_id, err) < 0)
        return -1;
    g_strlcpy(lease.task, task, sizeof lease.task);
    vm->lease = lease;
    if (lease_write(vm, err) == 0 && set_config_mode(vm, VM_CONFIG_MODE_HELD, err) == 0)
        return 0;
    vm_lease_release(vm);
    (void)err_prefix(err, "the configuration of VM %s cannot be locked", vm->status.spec.name);
    return err_fix(err, "see that the file system of %s on host '%s' can be written and is not full",
                   vm->agent->config.state_dir, vm->agent->config.name);
}

void vm_lease_renew(struct vm *vm)
{
    struct vm_lease *lease = &vm->lease;
    struct err err = {0};
    if (!vm_lease_is_live(vm))
        return; /* what has expired stays so */
    uint64_t now_ns = clock_boot_ns();
    lease->expires_ns = now_ns + term_ns(vm);
    if (now_ns - lease->written_ns < term_ns(vm) / WRITES_PER_TERM)
        return;
    lease->renewals++;
    if (lease_write(vm, &err) < 0)
        log_error(&err, "VM %s: the file of its lease is out of date", vm->status.spec.name);
}

void vm_lease_release(struct vm *vm)
{
    struct err err = {0};
    g_autofree char *path = lease_path(vm);
    /* In this order: a lease that is left is found and released by the next agent. */
    if (set_config_mode(vm, VM_CONFIG_MODE, &err) < 0)
        log_error(&err, "VM %s: the config file stays read-only", vm->status.spec.name);
    if (unlink(path) < 0 && errno != ENOENT)
        log_warn("VM %s: cannot remove %s: %s", vm->status.spec.name, path, g_strerror(errno));
    vm->lease = (struct vm_lease){0};
}

static int lease_read(struct vm *vm, struct err *err)
{
    g_autofree char *path = lease_path(vm);
    auto_mem char *text = NULL;
    g_autoptr(JsonObject) object = NULL;
    struct vm_lease *lease = &vm->lease;
    if (fdio_read_file(path, LEASE_BYTES_MAX, &text, err) < 0 || model_parse(text, -1, &object, err) < 0)
        return -1;
    g_strlcpy(lease->task, model_text(object, "task"), sizeof lease->task);
    g_strlcpy(lease->boot_id, model_text(object, "boot_id"), sizeof lease->boot_id);
    lease->epoch = (uint64_t)model_int(object, "epoch", 0);
    lease->expires_ns = (uint64_t)model_int(object, "expires_ns", 0);
    lease->renewals = (uint64_t)model_int(object, "renewals", 0);
    return 0;
}

/* An attempt that the journal does not know has not begun; one that it has settled is over. */
static bool is_in_journal(const struct vm *vm)
{
    struct journal_entry entry = {0};
    if (!vm->journal)
        return true; /* nobody knows: what is locked stays locked */
    journal_read(vm->journal, &entry);
    return (entry.step == JOURNAL_SENDING || entry.step == JOURNAL_GIVEN) &&
           !strcmp(entry.session, vm->lease.task);
}

void vm_lease_load(struct vm *vm)
{
    char boot_id[MODEL_UUID_SIZE] = "";
    struct err err = {0};
    if (lease_read(vm, &err) < 0 && err.code != ERR_NOT_FOUND)
        log_error(&err, "VM %s: its lease is released", vm->status.spec.name);
    if (vm->lease.task[0] && boot_id_read(boot_id, &err) < 0)
        log_error(&err, "VM %s: its lease is released", vm->status.spec.name);
    if (!vm->lease.task[0] || strcmp(boot_id, vm->lease.boot_id) != 0 || !is_in_journal(vm))
        vm_lease_release(vm);
    else
        log_info("VM %s is held by task %s, epoch %llu", vm->status.spec.name, vm->lease.task,
                 (unsigned long long)vm->lease.epoch);
}

bool vm_lease_is_live(const struct vm *vm)
{
    return vm->lease.task[0] && clock_boot_ns() < vm->lease.expires_ns;
}

uint64_t vm_lease_left_ms(const struct vm *vm)
{
    uint64_t now_ns = clock_boot_ns();
    if (!vm->lease.task[0] || now_ns >= vm->lease.expires_ns)
        return 0;
    return (vm->lease.expires_ns - now_ns) / NS_PER_MS + 1;
}

int vm_refuse_held(const struct agent *agent, const char *vm, const char *task, struct err *err)
{
    return check_say(err, CHECK_VM_MOVING,
                     CHECK_ARGS({"vm", vm}, {"task", task}, {"host", agent->config.name}));
}

const char *vm_holder(const struct vm *vm)
{
    return vm->status.move[0] ? vm->status.move : vm_lease_is_live(vm) ? vm->lease.task : "";
}

int vm_check_free(const struct vm *vm, struct err *err)
{
    const char *task = vm_holder(vm);
    if (err_is_set(&vm->problem)) {
        if (err)
            *err = vm->problem;
        return -1;
    }
    if (!task[0] && vm->disk_change[0])
        return check_say(err, CHECK_VM_DISKS_CHANGING,
                         CHECK_ARGS({"vm", vm->status.spec.name}, {"host", vm->agent->config.name},
                                    {"change", vm->disk_change}));
    if (!task[0])
        return 0;
    (void)vm_refuse_held(vm->agent, vm->status.spec.name, task, err);
    if (err)
        err_place(err, move_phase_name(vm->incoming ? PHASE_DESTINATION_SHELL : PHASE_SOURCE_CHECK),
                  vm->incoming ? "destination" : "source");
    return -1;
}
