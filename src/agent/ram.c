/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory: a memfd that the agent makes and QEMU maps as a shared "named file". */
#include "agent/vm_process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"

int ram_new(struct vm *vm, struct err *err)
{
    const struct agent_user *user = &vm->agent->config.qemu_user;
    char name[MODEL_NAME_MAX + 8];
    (void)snprintf(name, sizeof name, "ram-%s", vm->status.spec.name);
    auto_fd fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return err_sys(err, errno, "memory-failed", "cannot create guest memory");
    uint64_t size = (uint64_t)vm->status.spec.memory_mib << 20;
    /* Sealed: QEMU cannot shrink it below the job that maps it. */
    if (ftruncate(fd, (off_t)size) < 0 || fchmod(fd, 0600) < 0 || fchown(fd, user->uid, user->gid) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        (void)err_sys(err, errno, "memory-failed", "cannot size guest memory to %u MiB",
                      vm->status.spec.memory_mib);
        return err_arg(err, "memory_mib", "%u", vm->status.spec.memory_mib);
    }
    struct stat facts;
    if (fstat(fd, &facts) < 0)
        return err_sys(err, errno, "memory-failed", "cannot ask for guest memory");
    vm->process->ram_device = facts.st_dev;
    vm->process->ram_inode = facts.st_ino;
    vm->ram_fd = steal_fd(&fd);
    vm->ram_size = size;
    return 0;
}

int ram_adopt(struct vm *vm, struct err *err)
{
    char path[64];
    struct stat facts;
    (void)snprintf(path, sizeof path, "/proc/%d/fd/%d", vm->status.pid, vm->process->qemu_ram_fd);
    auto_fd fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &facts) < 0) {
        (void)err_sys(err, errno, "memory-not-found", "cannot open guest memory at %s", path);
        return err_arg(err, "path", "%s", path);
    }
    uint64_t size = (uint64_t)vm->status.spec.memory_mib << 20;
    if (!S_ISREG(facts.st_mode) || (uint64_t)facts.st_size != size) {
        (void)err_set(err, ERR_CORRUPT, "memory-not-found", "%s is not the guest memory of VM %s", path,
                      vm->status.spec.name);
        (void)err_arg(err, "path", "%s", path);
        return err_arg(err, "vm", "%s", vm->status.spec.name);
    }
    vm->ram_fd = steal_fd(&fd);
    vm->ram_size = size;
    return 0;
}

/* The mapping may be split by registrations of an earlier attempt: the pieces must follow each other. */
int ram_find(const struct vm *vm, uint64_t *ret_address, struct err *err)
{
    struct stat facts;
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/maps", vm->status.pid);
    auto_file maps = fopen(path, "re");
    if (!maps || fstat(vm->ram_fd, &facts) < 0) {
        (void)err_sys(err, errno, "memory-not-found", "cannot read %s", path);
        return err_arg(err, "path", "%s", path);
    }
    uint64_t covered = 0;
    char line[1024];
    while (covered < vm->ram_size && fgets(line, sizeof line, maps)) {
        uint64_t from = 0;
        uint64_t to = 0;
        uint64_t offset = 0;
        uint64_t inode = 0;
        unsigned device_major = 0;
        unsigned device_minor = 0;
        char rights[5];
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64, &from, &to, rights,
                   &offset, &device_major, &device_minor, &inode) != 7 ||
            inode != facts.st_ino || makedev(device_major, device_minor) != facts.st_dev || rights[3] != 's')
            continue;
        if (offset == 0)
            *ret_address = from;
        else if (offset != covered || from != *ret_address + covered)
            continue;
        covered = offset + (to - from);
    }
    if (covered < vm->ram_size) {
        (void)err_set(err, ERR_INTERNAL, "memory-not-found", "QEMU %d does not map the memory of VM %s",
                      vm->status.pid, vm->status.spec.name);
        (void)err_arg(err, "pid", "%d", vm->status.pid);
        return err_arg(err, "vm", "%s", vm->status.spec.name);
    }
    return 0;
}
