/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "agent/open_as.h"
#include "base/cleanup.h"

#define CPUINFO_LINE_MAX 8192

/* What the first CPU has under this label, a static buffer; "": nothing. */
static const char *cpuinfo(const char *label)
{
    static char line[CPUINFO_LINE_MAX];
    auto_file file = fopen("/proc/cpuinfo", "re");
    while (file && fgets(line, sizeof line, file))
        if (g_str_has_prefix(line, label)) {
            char *colon = strchr(line, ':');
            return colon ? g_strchomp(colon + 1) : "";
        }
    return "";
}

bool kvm_cpu_is_able(void)
{
    const char *flags = cpuinfo("flags");
    return strstr(flags, " vmx") || strstr(flags, " svm");
}

void kvm_cpu_vendor(char ret_vendor[SITE_VENDOR_MAX])
{
    const char *vendor = cpuinfo("vendor_id");
    (void)g_strlcpy(ret_vendor, vendor + strspn(vendor, " \t"), SITE_VENDOR_MAX);
}

int kvm_try(const struct agent_user *qemu_user, gid_t *ret_group, struct err *err)
{
    struct stat device;
    *ret_group = 0;
    auto_fd fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, errno, "kvm-missing", "/dev/kvm cannot be opened");
    auto_fd vm = ioctl(fd, KVM_CREATE_VM, 0);
    if (vm < 0 || ioctl(fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION || fstat(fd, &device) < 0)
        return err_sys(err, errno, "kvm-missing", "/dev/kvm does not work");
    bool by_group = (device.st_mode & S_IRGRP) && (device.st_mode & S_IWGRP);
    *ret_group = by_group ? device.st_gid : 0;
    auto_fd theirs = open_as(qemu_user, *ret_group, "/dev/kvm", O_RDWR);
    if (theirs < 0) {
        (void)err_sys(err, errno, "kvm-missing", "the QEMU user (uid %u) may not open /dev/kvm",
                      qemu_user->uid);
        return err_arg(err, "uid", "%u", qemu_user->uid);
    }
    return 0;
}
