/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel calls behind the dirty sources. The numbers are user-space ABI that the headers of Debian 12
 * (Linux 6.1) lack: UFFD_FEATURE_WP_UNPOPULATED from include/uapi/linux/userfaultfd.h of Linux 6.4,
 * UFFD_FEATURE_WP_ASYNC from the same file of 6.7, PAGEMAP_SCAN and its structs from
 * include/uapi/linux/fs.h of 6.7 (described in Documentation/admin-guide/mm/pagemap.rst).
 *
 * All addresses are of QEMU's address space. Each call fails with ERR_PEER_LOST "qemu-died" when that is
 * gone. Thread: any.
 */
#ifndef ENGINE_UFFD_H
#define ENGINE_UFFD_H

#include <linux/userfaultfd.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>

struct err;

#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif
#ifndef PAGEMAP_SCAN
#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#define PAGE_IS_WRITTEN (1 << 1)
#define PM_SCAN_WP_MATCHING (1 << 0)
#define PM_SCAN_CHECK_WPASYNC (1 << 1)
struct page_region {
    uint64_t start, end;
    uint64_t categories;
};
struct pm_scan_arg {
    uint64_t size;
    uint64_t flags;
    uint64_t start, end;
    uint64_t walk_end;
    uint64_t vec, vec_len;
    uint64_t max_pages;
    uint64_t category_inverted, category_mask, category_anyof_mask;
    uint64_t return_mask;
};
#endif

#define UFFD_FEATURES_ASYNC                                                                                  \
    (UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_WP_UNPOPULATED |        \
     UFFD_FEATURE_WP_ASYNC)
/* No more than it needs: Linux 6.1 has no WP_UNPOPULATED, and shared memory does not need it (its page tables
 * keep markers since 5.19). */
#define UFFD_FEATURES_SYNC                                                                                   \
    (UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_THREAD_ID)

struct uffd_range {
    uint64_t start, length; /* whole pages */
};

/* ERR_REFUSED "dirty-source-missing" if the kernel lacks one of the features. */
int uffd_enable(int uffd, uint64_t features, struct err *err);
int uffd_register(int uffd, struct uffd_range range, struct err *err);
/* With `on`, the next write to each page is caught; without, writers are released. */
int uffd_protect(int uffd, struct uffd_range range, bool on, struct err *err);
/* As above, at most `step` bytes a call, so that a running guest is not held up for long. */
int uffd_protect_in_steps(int uffd, struct uffd_range range, uint64_t step, struct err *err);
/* Releases protection and every blocked writer. The range must belong to this userfaultfd alone. */
int uffd_unregister(int uffd, struct uffd_range range, struct err *err);
/* As above for what a clean-up has to let go of, at most `step` bytes a call. A QEMU that is gone needs no
 * release, and what fails is released when the last copy of the descriptor is closed. */
void uffd_let_go(int uffd, struct uffd_range range, uint64_t step);

#endif
