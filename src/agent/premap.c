/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/premap.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdbool.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/thread.h"

/* The kernel maps what it has in a window of this size around a page that is read (fault_around_bytes). */
#define WINDOW (64ull << 10)
/* Reads in one call: so long does an end take at most. */
#define BATCH 64u
/* Memory arrives in ascending order, but over several connections: so much behind the last that is there,
 * nothing is missing any more. */
#define MARGIN (16ull << 20)
#define PAUSE_US 20000

struct premap {
    struct premap_memory memory;
    struct thread thread;
    bool ends;     /* atomic */
    uint64_t done; /* up to here */
};

static bool ends(const struct premap *premap)
{
    return __atomic_load_n(&premap->ends, __ATOMIC_ACQUIRE);
}

/* One byte of each window of [from, to). False if QEMU cannot be read. */
static bool read_windows(const struct premap *premap, uint64_t from, uint64_t to)
{
    uint8_t bytes[BATCH];
    struct iovec remote[BATCH];
    while (from < to && !ends(premap)) {
        unsigned n = 0;
        for (; n < BATCH && from < to; from = (from / WINDOW + 1) * WINDOW)
            remote[n++] = (struct iovec){(void *)(uintptr_t)(premap->memory.address + from), 1};
        struct iovec local = {bytes, n};
        if (process_vm_readv(premap->memory.qemu, &local, 1, remote, n, 0) != (ssize_t)n)
            return false;
    }
    return true;
}

/* Where the last piece of memory ends that is there; 0: there is none after `from`. */
static uint64_t end_of_data(const struct premap *premap, uint64_t from)
{
    uint64_t end = 0;
    off_t data;
    while ((data = lseek(premap->memory.ram_fd, (off_t)from, SEEK_DATA)) >= 0) {
        off_t hole = lseek(premap->memory.ram_fd, data, SEEK_HOLE);
        if (hole < 0)
            break;
        end = from = (uint64_t)hole;
    }
    return end;
}

/* What has arrived since the last time. */
static bool advance(struct premap *premap)
{
    uint64_t end = end_of_data(premap, premap->done);
    uint64_t limit = end > MARGIN ? end - MARGIN : 0;
    while (premap->done < limit && !ends(premap)) {
        off_t data = lseek(premap->memory.ram_fd, (off_t)premap->done, SEEK_DATA);
        off_t hole = data < 0 ? -1 : lseek(premap->memory.ram_fd, data, SEEK_HOLE);
        if (hole < 0 || (uint64_t)data >= limit)
            return true;
        uint64_t to = MIN((uint64_t)hole, limit);
        if (!read_windows(premap, (uint64_t)data, to))
            return false;
        premap->done = to;
    }
    return true;
}

static void *run(void *argument)
{
    struct premap *premap = argument;
    while (!ends(premap)) {
        if (!advance(premap)) {
            log_info("the memory of QEMU %d cannot be mapped in advance: %s", (int)premap->memory.qemu,
                     g_strerror(errno));
            break;
        }
        (void)usleep(PAUSE_US);
    }
    return NULL;
}

static void premap_free(struct premap *premap)
{
    if (premap->memory.ram_fd >= 0)
        (void)close(premap->memory.ram_fd);
    g_free(premap);
}

struct premap *premap_begin(const struct premap_memory *memory, struct err *err)
{
    struct premap *premap = g_new0(struct premap, 1);
    premap->memory = *memory;
    premap->memory.ram_fd = fcntl(memory->ram_fd, F_DUPFD_CLOEXEC, 0);
    if (premap->memory.ram_fd < 0)
        (void)err_sys(err, errno, "out-of-descriptors", "cannot copy a descriptor");
    else if (thread_start(&premap->thread, "premap", run, premap, err) == 0)
        return premap;
    premap_free(premap);
    return NULL;
}

void premap_stop(struct premap *premap)
{
    if (premap)
        __atomic_store_n(&premap->ends, true, __ATOMIC_RELEASE);
}

void premap_end(struct premap *premap)
{
    if (!premap)
        return;
    premap_stop(premap);
    thread_join(&premap->thread);
    premap_free(premap);
}
