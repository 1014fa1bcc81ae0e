/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/uffd.h"

#include <errno.h>

#include "base/err.h"
#include "engine/halt.h"

/* EAGAIN: QEMU is changing its mappings at this moment; the kernel asks for another try. */
static int retry_ioctl(int fd, unsigned long request, void *argument)
{
    int result;
    do
        result = ioctl(fd, request, argument);
    while (result < 0 && (errno == EAGAIN || errno == EINTR));
    return result;
}

int uffd_enable(int uffd, uint64_t features, struct err *err)
{
    struct uffdio_api api = {.api = UFFD_API, .features = features};
    if (ioctl(uffd, UFFDIO_API, &api) == 0)
        return 0;
    if (errno != EINVAL)
        return err_sys(err, errno, "uffd-api", "cannot enable the userfaultfd");
    (void)err_set(err, ERR_REFUSED, "dirty-source-missing",
                  "the kernel lacks userfaultfd features (0x%llx wanted)", (unsigned long long)features);
    return err_fix(err,
                   "use Linux 6.7 or later for both dirty sources, 6.1 or later for the synchronous one");
}

int uffd_register(int uffd, struct uffd_range range, struct err *err)
{
    struct uffdio_register argument = {.range = {range.start, range.length}, .mode = UFFDIO_REGISTER_MODE_WP};
    if (retry_ioctl(uffd, UFFDIO_REGISTER, &argument) < 0)
        return halt_ioctl_error(errno, "uffd-register", "cannot register guest RAM for tracking", err);
    return 0;
}

int uffd_protect(int uffd, struct uffd_range range, bool on, struct err *err)
{
    struct uffdio_writeprotect argument = {.range = {range.start, range.length},
                                           .mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0};
    if (retry_ioctl(uffd, UFFDIO_WRITEPROTECT, &argument) < 0)
        return halt_ioctl_error(errno, "uffd-protect", "cannot write-protect guest RAM", err);
    return 0;
}

int uffd_protect_in_steps(int uffd, struct uffd_range range, uint64_t step, struct err *err)
{
    while (range.length) {
        struct uffd_range part = {range.start, range.length < step ? range.length : step};
        if (uffd_protect(uffd, part, true, err) < 0)
            return -1;
        range.start += part.length;
        range.length -= part.length;
    }
    return 0;
}

int uffd_unregister(int uffd, struct uffd_range range, struct err *err)
{
    struct uffdio_range argument = {range.start, range.length};
    if (retry_ioctl(uffd, UFFDIO_UNREGISTER, &argument) < 0)
        return halt_ioctl_error(errno, "uffd-unregister", "cannot end the tracking of guest RAM", err);
    return 0;
}

void uffd_let_go(int uffd, struct uffd_range range, uint64_t step)
{
    while (range.length) {
        struct uffd_range part = {range.start, range.length < step ? range.length : step};
        (void)uffd_unregister(uffd, part, NULL);
        range.start += part.length;
        range.length -= part.length;
    }
}
