/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/disk_flush.h"

#include <fcntl.h>
#include <unistd.h>

#include "agent/disks.h"
#include "agent/open_as.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/thread.h"

/* Of the main loop and of a flush that is under way; the second one that lets go frees it. */
struct disk_flush {
    struct agent_user user;
    uint32_t n;
    char paths[VM_DISKS_MAX][MODEL_PATH_MAX];
    GMutex lock;
    unsigned n_holders; /* lock */
    bool is_busy;       /* lock */
};

static void release(struct disk_flush *flush)
{
    g_mutex_lock(&flush->lock);
    bool is_last = --flush->n_holders == 0;
    g_mutex_unlock(&flush->lock);
    if (!is_last)
        return;
    g_mutex_clear(&flush->lock);
    g_free(flush);
}

static void *run(void *argument)
{
    struct disk_flush *flush = argument;
    for (uint32_t i = 0; i < flush->n; i++) {
        auto_fd fd = open_as(&flush->user, 0, flush->paths[i], O_RDONLY | O_NONBLOCK);
        /* What cannot be written is QEMU's to tell: it will try again. */
        if (fd >= 0 && fdatasync(fd) < 0)
            log_warn("disk %s is not flushed before the switch-over", flush->paths[i]);
    }
    g_mutex_lock(&flush->lock);
    flush->is_busy = false;
    g_mutex_unlock(&flush->lock);
    release(flush);
    return NULL;
}

struct disk_flush *disk_flush_new(const struct agent *agent, const struct vm_spec *spec)
{
    if (!spec->n_disks)
        return NULL;
    struct disk_flush *flush = g_new0(struct disk_flush, 1);
    g_mutex_init(&flush->lock);
    flush->n_holders = 1;
    flush->user = agent->config.qemu_user;
    for (uint32_t i = 0; i < spec->n_disks; i++)
        if (!vm_disk_is_cdrom(&spec->disks[i]) &&
            disks_path(agent, spec, &spec->disks[i], flush->paths[flush->n], NULL) == 0)
            flush->n++;
    return flush;
}

void disk_flush_begin(struct disk_flush *flush)
{
    struct err err;
    if (!flush || disk_flush_is_busy(flush))
        return;
    g_mutex_lock(&flush->lock);
    flush->is_busy = true;
    flush->n_holders++;
    g_mutex_unlock(&flush->lock);
    if (thread_leave("disk-flush", run, flush, &err) == 0)
        return;
    log_error(&err, "disks are not flushed before the switch-over");
    g_mutex_lock(&flush->lock);
    flush->is_busy = false;
    g_mutex_unlock(&flush->lock);
    release(flush);
}

bool disk_flush_is_busy(struct disk_flush *flush)
{
    g_mutex_lock(&flush->lock);
    bool is_busy = flush->is_busy;
    g_mutex_unlock(&flush->lock);
    return is_busy;
}

void disk_flush_free(struct disk_flush *flush)
{
    if (flush)
        release(flush);
}
