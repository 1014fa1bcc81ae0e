/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation. The first write to a protected page blocks the writer and puts an event into the
 * userfaultfd. The fault thread notes the page in `noted` and releases the writer; collect takes the notes
 * and protects those pages again. Both do their two steps under one lock: else collect could slip in between
 * note and release, and the page would stay unprotected with its note already gone, that is, a lost write.
 *
 *   fault thread:  lock { note page; release }      collect:  lock { take notes; protect }  ...later: read
 * page
 *
 * A note says that somebody was about to write. While the guest runs that is as good as a write. Once it
 * stands it is not: a vCPU was interrupted by the stop, or a kernel worker fetched a page for a vCPU (KVM's
 * asynchronous page faults) and comes late. Such pages are compared: their content is kept as a checksum
 * before the release, when it is still what was sent. collect protects again and looks until nobody is
 * released any more, so that a writer which is slow to go on is caught at its next try.
 *
 * The lock is held by collect for one step (config.step) at a time, so no writer waits longer than that.
 * The fault thread sleeps in poll only when no event waits, and never for long: from before the registration
 * until all is released it beats, so that a process that is stopped meanwhile can be noticed and ended from
 * outside.
 */
#include "engine/dirty_source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fdio.h"
#include "base/thread.h"
#include "engine/engine.h"
#include "engine/halt.h"
#include "engine/uffd.h"

#define EVENTS_AT_ONCE 64
/* Of one lock hold in collect, whatever config.step allows: a writer may be waiting for the lock. */
#define STEP_MAX (2ull << 20)

/* Pages that are compared, and how often they are looked at again; more are taken for written. */
#define SUSPECTS_MAX 256
#define LOOKS_MAX 50
#define LOOK_AGAIN_MS 2

struct suspect {
    uint64_t page;
    uint64_t checksum; /* of its content before its writer was released */
};

struct dirty_sync {
    struct dirty_source base;
    pthread_mutex_t lock; /* makes note + release, and take + protect, one step each */
    struct bitmap noted;
    bool guest_stands;   /* lock */
    unsigned n_suspects; /* lock */
    struct suspect suspects[SUSPECTS_MAX];
    uint64_t stun_ns; /* atomic */
    bool registered;
    int stop_fd;
    struct thread faults;
};

static int checksum(const struct dirty_sync *sync, uint64_t page, uint64_t *ret_checksum, struct err *err)
{
    uint8_t content[ENGINE_PAGE_SIZE];
    if (fdio_pread(sync->base.config.ram_fd, content, sizeof content, page * ENGINE_PAGE_SIZE, err) < 0)
        return -1;
    *ret_checksum = XXH3_64bits(content, sizeof content);
    return 0;
}

static const struct suspect *find_suspect(const struct dirty_sync *sync, uint64_t page)
{
    for (unsigned i = 0; i < sync->n_suspects; i++)
        if (sync->suspects[i].page == page)
            return &sync->suspects[i];
    return NULL;
}

/* Before the release: what is written later is compared with this. The first content counts. */
static int suspect_page(struct dirty_sync *sync, uint64_t page, struct err *err)
{
    if (!sync->guest_stands || bitmap_has(&sync->noted, page) || find_suspect(sync, page) ||
        sync->n_suspects == SUSPECTS_MAX)
        return 0;
    struct suspect *suspect = &sync->suspects[sync->n_suspects];
    suspect->page = page;
    if (checksum(sync, page, &suspect->checksum, err) < 0)
        return -1;
    sync->n_suspects++;
    return 0;
}

/* Notes one page and lets its writers go. */
static int handle_fault(struct dirty_sync *sync, uint64_t address, struct err *err)
{
    const struct dirty_source_config *config = &sync->base.config;
    address &= ~(uint64_t)(ENGINE_PAGE_SIZE - 1);
    if (address < config->ram_address || address - config->ram_address >= config->ram_size)
        return err_set(err, ERR_INTERNAL, "fault-address", "a fault outside guest RAM was reported");
    uint64_t page = (address - config->ram_address) / ENGINE_PAGE_SIZE;
    if (suspect_page(sync, page, err) < 0)
        return -1;
    bitmap_set(&sync->noted, page);
    return uffd_protect(config->uffd, (struct uffd_range){address, ENGINE_PAGE_SIZE}, false, err);
}

/* 1: handled some, 0: none waits, -1: failed. */
static int handle_events(struct dirty_sync *sync, struct err *err)
{
    struct uffd_msg events[EVENTS_AT_ONCE];
    ssize_t got = read(sync->base.config.uffd, events, sizeof events);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (got < 0)
        return halt_ioctl_error(errno, "uffd-read", "cannot read faults of the guest", err);
    uint64_t begin = clock_now_ns();
    int result = 1;
    (void)pthread_mutex_lock(&sync->lock);
    for (size_t i = 0; i < (size_t)got / sizeof events[0] && result == 1; i++)
        if (events[i].event == UFFD_EVENT_PAGEFAULT) {
            if (handle_fault(sync, events[i].arg.pagefault.address, err) < 0)
                result = -1;
            (void)__atomic_fetch_add(&sync->stun_ns, clock_now_ns() - begin, __ATOMIC_RELAXED);
        }
    (void)pthread_mutex_unlock(&sync->lock);
    return result;
}

static void beat(const struct dirty_sync *sync)
{
    if (sync->base.config.fault_beat)
        (void)__atomic_add_fetch(sync->base.config.fault_beat, 1, __ATOMIC_RELAXED);
}

/* Nobody can wait any more. */
static void beat_no_more(const struct dirty_sync *sync)
{
    if (sync->base.config.fault_beat)
        __atomic_store_n(sync->base.config.fault_beat, 0, __ATOMIC_RELAXED);
}

static void *serve_faults(void *argument)
{
    struct dirty_sync *sync = argument;
    struct pollfd fds[] = {{.fd = sync->base.config.uffd, .events = POLLIN},
                           {.fd = sync->stop_fd, .events = POLLIN}};
    for (;;) {
        struct err why = {0};
        beat(sync);
        int handled = handle_events(sync, &why);
        if (handled < 0) {
            /* Nobody may be left blocked behind a thread that ends. */
            uffd_unregister(sync->base.config.uffd,
                            (struct uffd_range){sync->base.config.ram_address, sync->base.config.ram_size});
            beat_no_more(sync);
            halt_set(sync->base.config.halt, &why);
            return NULL;
        }
        if (handled)
            continue;
        (void)poll(fds, 2, ENGINE_BEAT_MS);
        if (fds[1].revents)
            return NULL;
    }
}

static int start(struct dirty_source *source, struct err *err)
{
    struct dirty_sync *sync = (struct dirty_sync *)source;
    const struct dirty_source_config *config = &source->config;
    struct uffd_range all = {config->ram_address, config->ram_size};
    int flags = fcntl(config->uffd, F_GETFL);
    if (flags < 0 || fcntl(config->uffd, F_SETFL, flags | O_NONBLOCK) < 0)
        return err_sys(err, errno, "uffd-flags", "cannot make the userfaultfd non-blocking");
    if (uffd_enable(config->uffd, UFFD_FEATURES_SYNC, err) < 0)
        return -1;
    beat(sync);
    if (thread_start(&sync->faults, "faults", serve_faults, sync, err) < 0 ||
        uffd_register(config->uffd, all, err) < 0)
        return -1;
    sync->registered = true;
    return uffd_protect_in_steps(config->uffd, all, config->step < STEP_MAX ? config->step : STEP_MAX, err);
}

/* Takes the notes of pages [first, limit) and protects these pages again. */
static int take(struct dirty_sync *sync, uint64_t first, uint64_t limit, struct bitmap *dirty,
                struct err *err)
{
    const struct dirty_source_config *config = &sync->base.config;
    uint64_t at, count;
    while ((count = bitmap_next_run(&sync->noted, first, limit, &at))) {
        struct uffd_range range = {config->ram_address + at * ENGINE_PAGE_SIZE, count * ENGINE_PAGE_SIZE};
        bitmap_clear_range(&sync->noted, at, count);
        bitmap_set_range(dirty, at, count);
        if (uffd_protect(config->uffd, range, true, err) < 0)
            return -1;
        first = at + count;
    }
    return 0;
}

static int collect_notes(struct dirty_sync *sync, struct bitmap *dirty, struct err *err)
{
    struct dirty_source *source = &sync->base;
    uint64_t step = (source->config.step < STEP_MAX ? source->config.step : STEP_MAX) / ENGINE_PAGE_SIZE;
    uint64_t n_pages = sync->noted.n_bits;
    for (uint64_t first = 0; first < n_pages; first += step) {
        uint64_t limit = n_pages - first < step ? n_pages : first + step;
        uint64_t at;
        /* Without a note there is nothing to lock for: a note made from now on belongs to the next round. */
        if (!bitmap_next_run(&sync->noted, first, limit, &at))
            continue;
        (void)pthread_mutex_lock(&sync->lock);
        int result = take(sync, first, limit, dirty, err);
        (void)pthread_mutex_unlock(&sync->lock);
        if (result < 0 || halt_check(source->config.halt, err) < 0)
            return -1;
    }
    return halt_check(source->config.halt, err);
}

/* Takes out of `noted` what nobody wrote. */
static int compare(struct dirty_sync *sync, struct bitmap *noted, struct err *err)
{
    uint64_t now;
    int result = 0;
    (void)pthread_mutex_lock(&sync->lock);
    for (unsigned i = 0; i < sync->n_suspects && result == 0; i++) {
        const struct suspect *suspect = &sync->suspects[i];
        if (!bitmap_has(noted, suspect->page))
            continue;
        result = checksum(sync, suspect->page, &now, err);
        if (result == 0 && now == suspect->checksum)
            bitmap_clear_range(noted, suspect->page, 1);
    }
    (void)pthread_mutex_unlock(&sync->lock);
    return result;
}

/* `seen` holds the notes of one look. Who still tries to write at the last one is taken for a writer. */
static int collect_standing(struct dirty_sync *sync, struct bitmap *seen, struct bitmap *dirty,
                            struct err *err)
{
    for (unsigned look = 1; look <= LOOKS_MAX; look++) {
        bitmap_clear_range(seen, 0, seen->n_bits);
        if (collect_notes(sync, seen, err) < 0)
            return -1;
        uint64_t n_noted = bitmap_count(seen);
        if (look < LOOKS_MAX && compare(sync, seen, err) < 0)
            return -1;
        for (uint64_t word = 0; word < (seen->n_bits + 63) / 64; word++)
            dirty->words[word] |= seen->words[word];
        /* Nobody was released: who was before has written by now, or has gone. */
        if (!n_noted)
            return 0;
        (void)poll(NULL, 0, LOOK_AGAIN_MS);
    }
    return 0;
}

static int collect(struct dirty_source *source, struct bitmap *dirty, struct err *err)
{
    struct dirty_sync *sync = (struct dirty_sync *)source;
    struct bitmap seen = {0};
    if (!sync->guest_stands)
        return collect_notes(sync, dirty, err);
    if (bitmap_init(&seen, dirty->n_bits, err) < 0)
        return -1;
    int result = collect_standing(sync, &seen, dirty, err);
    bitmap_free_bits(&seen);
    return result;
}

static void guest_stopped(struct dirty_source *source)
{
    struct dirty_sync *sync = (struct dirty_sync *)source;
    (void)pthread_mutex_lock(&sync->lock);
    sync->guest_stands = true;
    (void)pthread_mutex_unlock(&sync->lock);
}

static uint64_t stun_ns(const struct dirty_source *source)
{
    return __atomic_load_n(&((const struct dirty_sync *)source)->stun_ns, __ATOMIC_RELAXED);
}

static void sync_free(struct dirty_source *source)
{
    struct dirty_sync *sync = (struct dirty_sync *)source;
    if (sync->registered)
        uffd_unregister(source->config.uffd,
                        (struct uffd_range){source->config.ram_address, source->config.ram_size});
    if (sync->faults.started)
        (void)eventfd_write(sync->stop_fd, 1);
    thread_join(&sync->faults);
    beat_no_more(sync);
    if (sync->stop_fd >= 0)
        (void)close(sync->stop_fd);
    (void)pthread_mutex_destroy(&sync->lock);
    bitmap_free_bits(&sync->noted);
    free(sync);
}

static const struct dirty_source_ops ops = {
    .name = "sync",
    .start = start,
    .collect = collect,
    .guest_stopped = guest_stopped,
    .stun_ns = stun_ns,
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
    (void)pthread_mutex_init(&sync->lock, NULL);
    sync->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (sync->stop_fd < 0) {
        (void)err_sys(err, errno, "eventfd-failed", "cannot make an eventfd");
        sync_free(&sync->base);
        return NULL;
    }
    if (bitmap_init(&sync->noted, config->ram_size / ENGINE_PAGE_SIZE, err) < 0) {
        sync_free(&sync->base);
        return NULL;
    }
    return &sync->base;
}
