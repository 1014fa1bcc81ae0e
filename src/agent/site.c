/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/site.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "agent/bounded.h"
#include "agent/disks.h"
#include "agent/kvm.h"
#include "agent/nvram.h"
#include "agent/open_as.h"
#include "agent/vm_check.h"
#include "agent/vm_process.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fdio.h"
#include "base/log.h"
#include "qemu/caps.h"
#include "qemu/cpu_features.h"

#define SERIAL_BYTES_MAX 4096

/* ---- CPU ---- */

static const char *offered_by(const struct agent *agent, const char *accel)
{
    if (!agent->qemu)
        return "";
    return strcmp(accel, "kvm") != 0 ? agent->qemu->cpu_features : agent->qemu->kvm_cpu_features;
}

/* QEMU leaves out what the machine lacks. */
static void keep_offered(struct vm *vm)
{
    const char *offered = offered_by(vm->agent, vm->status.accel);
    if (vm->process && offered[0])
        cpu_features_common(vm->process->cpu_named, offered, vm->process->cpu_features);
}

struct question {
    struct vm *vm;
    char features[CPU_FEATURES_MAX];
};

static void on_features(const struct err *err, void *user)
{
    g_autofree struct question *question = user;
    struct vm *vm = question->vm;
    if (err_is_set(err) && err->code != ERR_CANCELLED && err->code != ERR_PEER_LOST)
        log_error(err, "VM %s: the features of its CPU are not known", vm->status.spec.name);
    if (err_is_set(err) || !vm->process)
        return;
    cpu_features_missing(question->features, vm->status.spec.cpu_without, vm->process->cpu_named);
    keep_offered(vm);
}

void site_learn_cpu(struct vm *vm)
{
    struct question *question = g_new0(struct question, 1);
    question->vm = vm;
    cpu_features_query(vm->qmp, vm_spec_cpu(&vm->status.spec), question->features, on_features, question);
}

void site_know_offered(struct agent *agent)
{
    GHashTableIter iter;
    gpointer vm;
    g_hash_table_iter_init(&iter, agent->vms);
    while (g_hash_table_iter_next(&iter, NULL, &vm))
        keep_offered(vm);
}

/* ---- disks ---- */

/* Where each host makes up numbers of its own. */
static bool has_own_numbers(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) < 0 || fs.f_type == FUSE_SUPER_MAGIC || fs.f_type == SMB_SUPER_MAGIC ||
           fs.f_type == SMB2_SUPER_MAGIC || fs.f_type == CIFS_SUPER_MAGIC;
}

static void read_serial(dev_t device, struct site_disk *disk)
{
    static const char *const names[] = {"wwid", "device/wwid", "dm/uuid", "device/serial", "serial"};
    for (unsigned i = 0; i < G_N_ELEMENTS(names) && !disk->serial[0]; i++) {
        g_autofree char *path =
            g_strdup_printf("/sys/dev/block/%u:%u/%s", major(device), minor(device), names[i]);
        auto_mem char *text = NULL;
        if (fdio_read_file(path, SERIAL_BYTES_MAX, &text, NULL) < 0)
            continue;
        g_autofree char *valid = g_utf8_make_valid(text, -1);
        g_strlcpy(disk->serial, g_strstrip(valid), sizeof disk->serial);
    }
}

struct disk_question {
    struct agent_user user;
    char path[MODEL_PATH_MAX];
    struct site_disk disk;
};

/* On a thread that may never come back. */
static void describe_disk(void *argument)
{
    struct disk_question *question = argument;
    struct site_disk *disk = &question->disk;
    struct statx facts;
    auto_fd fd = open_as(&question->user, 0, question->path, O_RDONLY | O_NONBLOCK);
    if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &facts) < 0)
        return;
    if (S_ISBLK(facts.stx_mode)) {
        g_strlcpy(disk->kind, "block", sizeof disk->kind);
        (void)ioctl(fd, BLKGETSIZE64, &disk->size);
        read_serial(makedev(facts.stx_rdev_major, facts.stx_rdev_minor), disk);
    } else if (S_ISREG(facts.stx_mode)) {
        g_strlcpy(disk->kind, "file", sizeof disk->kind);
        if (has_own_numbers(fd))
            return;
        disk->inode = facts.stx_ino;
        if (facts.stx_mask & STATX_BTIME)
            disk->born_ns = facts.stx_btime.tv_sec * (int64_t)NS_PER_S + (int64_t)facts.stx_btime.tv_nsec;
    }
}

/* What does not answer is not known; the checks say so. */
static void describe_disks(const struct agent *agent, const struct vm_spec *spec, struct move_site *ret_site)
{
    bool is_answered = true;
    for (uint32_t i = 0; i < spec->n_disks; i++) {
        struct disk_question question = {.user = agent->config.qemu_user};
        if (vm_disk_is_empty(&spec->disks[i]))
            continue;
        struct site_disk *disk = &ret_site->disks[ret_site->n_disks++];
        vm_disk_label(&spec->disks[i], disk->path);
        if (!is_answered || disks_path(agent, spec, &spec->disks[i], question.path, NULL) < 0 ||
            disks_is_stale(agent, question.path))
            continue;
        question.disk = *disk;
        is_answered = bounded_call(describe_disk, &question, sizeof question, BOUNDED_MS);
        if (is_answered)
            *disk = question.disk;
    }
}

static void describe_firmware(const struct agent *agent, const struct vm_spec *spec,
                              struct move_site *ret_site)
{
    struct disk_question question = {.user = agent->config.qemu_user};
    g_strlcpy(ret_site->nvram.path, spec->nvram, sizeof ret_site->nvram.path);
    g_strlcpy(question.path, spec->nvram, sizeof question.path);
    question.disk = ret_site->nvram;
    if (!disks_is_stale(agent, question.path) &&
        bounded_call(describe_disk, &question, sizeof question, BOUNDED_MS))
        ret_site->nvram = question.disk;
    ret_site->firmware_bytes = nvram_firmware_bytes(agent);
}

void site_describe(struct agent *agent, const struct move_spec *spec, bool as_source,
                   struct move_site *ret_site)
{
    const struct vm *vm = as_source ? vm_find(agent, spec->vm.uuid) : NULL;
    const char *accel = spec->accel[0] ? spec->accel : vm_accel_here(agent, &spec->vm);
    memset(ret_site, 0, sizeof *ret_site);
    if (!as_source)
        g_strlcpy(ret_site->cpu_features, offered_by(agent, accel), sizeof ret_site->cpu_features);
    else if (vm && vm->process)
        g_strlcpy(ret_site->cpu_features, vm->process->cpu_features, sizeof ret_site->cpu_features);
    if (!strcmp(accel, "kvm"))
        kvm_cpu_vendor(ret_site->cpu_vendor);
    if (spec->vm.firmware == VM_FIRMWARE_UEFI)
        describe_firmware(agent, &spec->vm, ret_site);
    describe_disks(agent, &spec->vm, ret_site);
}
