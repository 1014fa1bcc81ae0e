/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an agent that was killed left of no VM. A QEMU that was started and whose pid was not recorded is
 * found by the guest memory it holds: the record names the memfd, which is this agent's and no other's, while
 * UUIDs are on both hosts of a move. It stands since its start (-S), so ending it loses nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/journal.h"
#include "agent/vm_process.h"
#include "base/cleanup.h"
#include "base/log.h"

#define GONE_MS 10000
#define CMDLINE_BYTES_MAX 65536

/* The launcher before it executes and QEMU after it have the UUID as a word of its own; a job has not. */
static bool has_word(int pid, const char *word)
{
    char path[64];
    g_autofree char *text = g_malloc(CMDLINE_BYTES_MAX);
    (void)snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
    auto_fd fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, text, CMDLINE_BYTES_MAX - 1);
    if (got <= 0)
        return false;
    text[got] = '\0';
    for (const char *at = text; at < text + got; at += strlen(at) + 1)
        if (!strcmp(at, word))
            return true;
    return false;
}

static bool holds_file(int pid, uint64_t device, uint64_t inode)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/fd", pid);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        struct stat facts;
        g_autofree char *file = g_build_filename(path, name, NULL);
        if (stat(file, &facts) == 0 && facts.st_dev == device && facts.st_ino == inode)
            return true;
    }
    return false;
}

static bool is_orphan(const struct vm *vm, int pid)
{
    return has_word(pid, vm->status.spec.uuid) &&
           holds_file(pid, vm->process->ram_device, vm->process->ram_inode);
}

static int end_process(const struct vm *vm, int pid, struct err *err)
{
    auto_fd pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    /* Asked again now that the number cannot change its meaning. */
    if (pidfd < 0 || !is_orphan(vm, pid))
        return 0;
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    if (syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0 || poll(&ended, 1, GONE_MS) != 1) {
        (void)err_sys(err, errno, "qemu-not-ended", "process %d of VM %s does not end", pid,
                      vm->status.spec.name);
        (void)err_arg(err, "pid", "%d", pid);
        return err_arg(err, "vm", "%s", vm->status.spec.name);
    }
    log_info("VM %s: process %d, whose start was interrupted, was ended", vm->status.spec.name, pid);
    return 0;
}

int orphan_end(const struct vm *vm, struct err *err)
{
    g_autoptr(GDir) dir = g_dir_open("/proc", 0, NULL);
    const char *name;
    if (!dir)
        return err_set(err, ERR_INTERNAL, "proc-unreadable", "cannot read /proc");
    while ((name = g_dir_read_name(dir))) {
        int pid = (int)g_ascii_strtoll(name, NULL, 10);
        if (pid > 0 && is_orphan(vm, pid) && end_process(vm, pid, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- files ---- */

static void remove_journal(const struct agent *agent, const char *uuid)
{
    g_autofree char *path = vm_journal_path(agent, uuid);
    struct journal *journal;
    struct journal_entry entry;
    if (journal_open(path, &journal, NULL) < 0)
        return; /* damaged: it may say who owns the VM */
    journal_read(journal, &entry);
    journal_close(journal);
    if (entry.step == JOURNAL_NONE && entry.past.verdict == VERDICT_NONE)
        (void)unlink(path);
    explicit_bzero(&entry, sizeof entry);
}

static void remove_state(struct agent *agent, const char *folder, const char *name)
{
    if (strlen(name) < MODEL_UUID_SIZE)
        return;
    g_autofree char *uuid = g_strndup(name, MODEL_UUID_SIZE - 1);
    g_autofree char *path = g_build_filename(folder, name, NULL);
    const char *suffix = name + MODEL_UUID_SIZE - 1;
    if (!model_uuid_is_valid(uuid))
        return;
    /* What was not renamed yet was never true. */
    bool is_of_vm = !strcmp(suffix, ".lease") || !strcmp(suffix, VM_MAKING);
    if (g_str_has_suffix(name, ".new") || (is_of_vm && !vm_find(agent, uuid)))
        (void)unlink(path);
    else if (!strcmp(suffix, ".journal") && !vm_find(agent, uuid))
        remove_journal(agent, uuid);
}

static void each_name(struct agent *agent, const char *folder,
                      void (*call)(struct agent *agent, const char *folder, const char *name))
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir)))
        call(agent, folder, name);
}

static void remove_run(struct agent *agent, const char *folder, const char *name)
{
    (void)folder;
    if (model_uuid_is_valid(name) && !vm_find(agent, name))
        vm_run_folder_remove(agent, name);
}

void orphan_files_remove(struct agent *agent)
{
    g_autofree char *state = g_strdup_printf("%s/vms", agent->config.state_dir);
    g_autofree char *run = g_strdup_printf("%s/vms", agent->config.run_dir);
    each_name(agent, state, remove_state);
    each_name(agent, run, remove_run);
}
