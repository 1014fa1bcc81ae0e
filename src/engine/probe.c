/* SPDX-License-Identifier: Apache-2.0 */
/* What this kernel can do, found by doing it on a page of our own. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "engine/engine.h"
#include "engine/uffd.h"

/* /dev/userfaultfd, else the system call: one of them is open to us. */
static int open_userfaultfd(void)
{
    auto_fd device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
    int uffd = device < 0 ? -1 : ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
    return uffd >= 0 ? uffd : (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
}

/* Protects the page, writes to it, and asks the kernel which pages were written. */
static int try_async(int uffd, volatile uint8_t *page, struct err *err)
{
    struct uffd_range range = {(uintptr_t)page, ENGINE_PAGE_SIZE};
    auto_fd pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (pagemap < 0)
        return err_sys(err, errno, "pagemap", "cannot open the page map");
    if (uffd_enable(uffd, UFFD_FEATURES_ASYNC, err) < 0 || uffd_register(uffd, range, err) < 0 ||
        uffd_protect(uffd, range, true, err) < 0)
        return -1;
    *page = 1;
    struct page_region region;
    struct pm_scan_arg scan = {.size = sizeof scan,
                               .flags = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
                               .start = range.start,
                               .end = range.start + range.length,
                               .vec = (uintptr_t)&region,
                               .vec_len = 1,
                               .category_mask = PAGE_IS_WRITTEN,
                               .return_mask = PAGE_IS_WRITTEN};
    int n_found = ioctl(pagemap, PAGEMAP_SCAN, &scan);
    if (n_found < 0)
        return err_sys(err, errno, "pagemap-scan", "PAGEMAP_SCAN does not work");
    if (n_found != 1)
        return err_set(err, ERR_REFUSED, "pagemap-scan", "PAGEMAP_SCAN did not report a write");
    return 0;
}

/* Protects and releases. The write itself would need a second thread and adds nothing: the kernel refuses to
 * register what it cannot track. */
static int try_sync(int uffd, volatile uint8_t *page, struct err *err)
{
    struct uffd_range range = {(uintptr_t)page, ENGINE_PAGE_SIZE};
    if (uffd_enable(uffd, UFFD_FEATURES_SYNC, err) < 0 || uffd_register(uffd, range, err) < 0 ||
        uffd_protect(uffd, range, true, err) < 0 || uffd_protect(uffd, range, false, err) < 0)
        return -1;
    *page = 1;
    return 0;
}

static int try_kind(int (*attempt)(int uffd, volatile uint8_t *page, struct err *err), struct err *err)
{
    auto_fd memory = memfd_create("probe", MFD_CLOEXEC);
    if (memory < 0 || ftruncate(memory, ENGINE_PAGE_SIZE) < 0)
        return err_sys(err, errno, "probe-memory", "cannot make a page to try on");
    auto_fd uffd = open_userfaultfd();
    if (uffd < 0)
        return err_sys(err, errno, "userfaultfd", "userfaultfd is not available");
    void *page = mmap(NULL, ENGINE_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    if (page == MAP_FAILED)
        return err_sys(err, errno, "probe-memory", "cannot map a page to try on");
    int result = attempt(uffd, page, err);
    (void)munmap(page, ENGINE_PAGE_SIZE);
    return result;
}

int engine_probe(char *ret_detail, size_t size)
{
    struct err why_not_async = {0}, why_not_sync = {0};
    ret_detail[0] = '\0';
    if (try_kind(try_async, &why_not_async) == 0)
        return ENGINE_DIRTY_ASYNC;
    if (try_kind(try_sync, &why_not_sync) == 0) {
        (void)snprintf(ret_detail, size, "async: %s", why_not_async.message);
        return ENGINE_DIRTY_SYNC;
    }
    (void)snprintf(ret_detail, size, "async: %s; sync: %s", why_not_async.message, why_not_sync.message);
    return -1;
}
