/* SPDX-License-Identifier: Apache-2.0 */
/* All of RAM belongs to the fault server, from the beginning. */
#include "engine/dirty_source.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "engine/engine.h"
#include "engine/fault_server.h"

struct dirty_sync {
    struct dirty_source base;
    struct fault_server *faults; /* NULL until started */
};

static struct fault_server *faults_of(const struct dirty_source *source)
{
    return ((const struct dirty_sync *)source)->faults;
}

static int start(struct dirty_source *source, struct err *err)
{
    struct fault_server *faults = fault_server_new(&source->config, err);
    ((struct dirty_sync *)source)->faults = faults;
    return faults ? fault_server_add(
                        faults, (struct uffd_range){source->config.ram_address, source->config.ram_size}, err)
                  : -1;
}

static int collect(struct dirty_source *source, struct bitmap *dirty, struct err *err)
{
    return fault_server_collect(faults_of(source), dirty, err);
}

static int throttle(struct dirty_source *source, uint64_t bytes_s, struct bitmap *dirty, struct err *err)
{
    (void)dirty;
    (void)err;
    fault_server_throttle(faults_of(source), bytes_s);
    return 0;
}

static int ease(struct dirty_source *source, struct err *err)
{
    return fault_server_ease(faults_of(source), err);
}

static int guest_stopped(struct dirty_source *source, struct err *err)
{
    return fault_server_guest_stopped(faults_of(source), err);
}

static uint64_t stun_ns(const struct dirty_source *source)
{
    return fault_server_stun_ns(faults_of(source));
}

static void stuns(const struct dirty_source *source, struct engine_stuns *ret_stuns)
{
    fault_server_stuns(faults_of(source), ret_stuns);
}

static void sync_free(struct dirty_source *source)
{
    fault_server_free(faults_of(source));
    free(source);
}

static const struct dirty_source_ops ops = {
    .name = "sync",
    .start = start,
    .collect = collect,
    .throttle = throttle,
    .ease = ease,
    .guest_stopped = guest_stopped,
    .stun_ns = stun_ns,
    .stuns = stuns,
    .free = sync_free,
};

struct dirty_source *dirty_sync_new(const struct dirty_source_config *config, struct err *err)
{
    struct dirty_sync *sync = calloc(1, sizeof *sync);
    if (!sync) {
        (void)err_sys(err, ENOMEM, "no-memory", "no memory to track writes");
        return NULL;
    }
    sync->base.ops = &ops;
    sync->base.config = *config;
    return &sync->base;
}
