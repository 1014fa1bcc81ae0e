/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation. The first write to a protected page blocks the writer and puts an event into the
 * userfaultfd. The fault thread notes the page in `noted` and releases the writer, at once or when the
 * throttle says so; collect takes the notes and protects those pages again. Both do their two steps under one
 * lock: else collect could slip in between note and release, and the page would stay unprotected with its
 * note already gone, that is, a lost write.
 *
 *   fault thread:  lock { note page; release }    collect:  lock { take notes; protect }  ...later: read page
 *
 * So a page that is not noted is protected, and to protect such a page again changes nothing: collect
 * protects everything between the first and the last note of a step by one call.
 *
 * A note says that somebody was about to write. While the guest runs that is as good as a write. Once it
 * stands it is not: a vCPU was interrupted by the stop, or a kernel worker fetched a page for a vCPU (KVM's
 * asynchronous page faults) and comes late. Such pages are compared: their content is kept as a checksum
 * before the release, when it is still what was sent. collect protects again and looks until nobody is
 * released any more, so that a writer which is slow to go on is caught at its next try.
 *
 * The lock is held by collect for one step at a time, so no writer waits longer than that. The fault thread
 * sleeps only when no event waits, until the next deadline or beat: from before the first registration until
 * all is released it beats, so that a process that is stopped meanwhile can be noticed and ended from
 * outside.
 */
#include "engine/fault_server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fdio.h"
#include "base/thread.h"
#include "engine/engine.h"
#include "engine/halt.h"
#include "engine/stuns.h"
#include "engine/throttle.h"

#define EVENTS_AT_ONCE 64
/* Of one lock hold, whatever config.step allows: a writer may be waiting for the lock. */
#define STEP_MAX (2ull << 20)

/* Pages that are compared, and how often they are looked at again; more are taken for written. */
#define SUSPECTS_MAX 256
#define LOOKS_MAX 50
#define LOOK_AGAIN_MS 2

struct suspect {
    uint64_t page;
    uint64_t checksum; /* of its content before its writer was released */
};

struct fault_server {
    struct dirty_source_config config; /* its step is at most STEP_MAX */
    struct bitmap registered;          /* pages; set by the story, cleared by nobody */
    pthread_mutex_t lock;              /* makes note + release, and take + protect, one step each */
    struct bitmap noted;
    struct throttle throttle; /* lock */
    bool guest_stands;        /* lock */
    unsigned n_suspects;      /* lock */
    struct suspect suspects[SUSPECTS_MAX];
    struct engine_stuns stuns;
    int stop_fd;
    struct thread thread;
};

static int checksum(const struct fault_server *server, uint64_t page, uint64_t *ret_checksum, struct err *err)
{
    uint8_t content[ENGINE_PAGE_SIZE];
    if (fdio_pread(server->config.ram_fd, content, sizeof content, page * ENGINE_PAGE_SIZE, err) < 0)
        return -1;
    *ret_checksum = XXH3_64bits(content, sizeof content);
    return 0;
}

static const struct suspect *find_suspect(const struct fault_server *server, uint64_t page)
{
    for (unsigned i = 0; i < server->n_suspects; i++)
        if (server->suspects[i].page == page)
            return &server->suspects[i];
    return NULL;
}

/* Before the release: what is written later is compared with this. The first content counts. */
static int suspect_page(struct fault_server *server, uint64_t page, struct err *err)
{
    if (!server->guest_stands || bitmap_has(&server->noted, page) || find_suspect(server, page) ||
        server->n_suspects == SUSPECTS_MAX)
        return 0;
    struct suspect *suspect = &server->suspects[server->n_suspects];
    suspect->page = page;
    if (checksum(server, page, &suspect->checksum, err) < 0)
        return -1;
    server->n_suspects++;
    return 0;
}

static struct uffd_range pages(const struct fault_server *server, uint64_t first, uint64_t count)
{
    return (struct uffd_range){server->config.ram_address + first * ENGINE_PAGE_SIZE,
                               count * ENGINE_PAGE_SIZE};
}

/* Notes one page and lets all go that wait for it. Under the lock. */
static int release(struct fault_server *server, const struct throttle_waiter *waiter, struct err *err)
{
    struct throttle_waiter other;
    if (suspect_page(server, waiter->page, err) < 0)
        return -1;
    bitmap_set(&server->noted, waiter->page);
    if (uffd_protect(server->config.uffd_sync, pages(server, waiter->page, 1), false, err) < 0)
        return -1;
    uint64_t now_ns = clock_now_ns();
    stuns_add(&server->stuns, now_ns - waiter->since_ns, waiter->vcpu);
    while (throttle_take(&server->throttle, waiter->page, &other))
        stuns_add(&server->stuns, now_ns - other.since_ns, other.vcpu);
    return 0;
}

/* Those whose time has come. Under the lock. */
static int release_until(struct fault_server *server, uint64_t now_ns, struct err *err)
{
    const struct throttle_waiter *first;
    struct throttle_waiter waiter;
    while ((first = throttle_first(&server->throttle)) && first->deadline_ns <= now_ns)
        if (!throttle_take(&server->throttle, first->page, &waiter) || release(server, &waiter, err) < 0)
            return -1;
    return 0;
}

static int find_vcpu(const struct fault_server *server, uint32_t tid)
{
    for (unsigned i = 0; i < server->config.n_vcpus; i++)
        if (server->config.vcpu_tids[i] == (int)tid)
            return (int)i;
    return -1;
}

/* Signal 0 does nothing but say whether there is such a thread in that process: EPERM if there is. */
static bool is_thread_of_qemu(const struct fault_server *server, uint32_t tid)
{
    return server->config.qemu_pid &&
           (syscall(SYS_tgkill, server->config.qemu_pid, (int)tid, 0) == 0 || errno == EPERM);
}

/* Under the lock. */
static int handle_fault(struct fault_server *server, const struct uffd_msg *event, uint64_t since_ns,
                        struct err *err)
{
    const struct dirty_source_config *config = &server->config;
    uint64_t address = event->arg.pagefault.address & ~(uint64_t)(ENGINE_PAGE_SIZE - 1);
    if (address < config->ram_address || address - config->ram_address >= config->ram_size)
        return err_set(err, ERR_INTERNAL, "fault-address", "a fault outside guest RAM was reported");
    uint32_t tid = event->arg.pagefault.feat.ptid;
    struct throttle_waiter waiter = {.page = (address - config->ram_address) / ENGINE_PAGE_SIZE,
                                     .since_ns = since_ns,
                                     .deadline_ns = since_ns,
                                     .vcpu = find_vcpu(server, tid)};
    /* It came in between, and somebody else's write has let it go already. */
    if (bitmap_has(&server->noted, waiter.page))
        return release(server, &waiter, err);
    if (server->throttle.page_ns && waiter.vcpu < 0 && is_thread_of_qemu(server, tid))
        throttle_charge(&server->throttle, since_ns);
    else
        waiter.deadline_ns = throttle_reserve(&server->throttle, since_ns);
    if (waiter.deadline_ns <= since_ns || !throttle_push(&server->throttle, &waiter))
        return release(server, &waiter, err);
    return 0;
}

/* 1: handled some, 0: none waits, -1: failed. */
static int handle_events(struct fault_server *server, struct err *err)
{
    struct uffd_msg events[EVENTS_AT_ONCE];
    ssize_t got = read(server->config.uffd_sync, events, sizeof events);
    if (got < 0 && errno != EAGAIN && errno != EINTR)
        return halt_ioctl_error(errno, "uffd-read", "cannot read faults of the guest", err);
    uint64_t since_ns = clock_now_ns();
    size_t n_events = got < 0 ? 0 : (size_t)got / sizeof events[0];
    int result = 0;
    (void)pthread_mutex_lock(&server->lock);
    for (size_t i = 0; i < n_events && result == 0; i++)
        if (events[i].event == UFFD_EVENT_PAGEFAULT)
            result = handle_fault(server, &events[i], since_ns, err);
    if (result == 0)
        result = release_until(server, clock_now_ns(), err);
    (void)pthread_mutex_unlock(&server->lock);
    return result < 0 ? -1 : n_events > 0;
}

static void beat(const struct fault_server *server)
{
    if (server->config.fault_beat)
        (void)__atomic_add_fetch(server->config.fault_beat, 1, __ATOMIC_RELAXED);
}

/* Nobody can wait any more. */
static void beat_no_more(const struct fault_server *server)
{
    if (server->config.fault_beat)
        __atomic_store_n(server->config.fault_beat, 0, __ATOMIC_RELAXED);
}

static void let_all_go(const struct fault_server *server)
{
    uint64_t first, count;
    for (uint64_t at = 0;
         (count = bitmap_next_run(&server->registered, at, server->registered.n_bits, &first));
         at = first + count)
        uffd_let_go(server->config.uffd_sync, pages(server, first, count), server->config.step);
}

static struct timespec time_to_sleep(struct fault_server *server)
{
    uint64_t sleep_ns = ENGINE_BEAT_MS * NS_PER_MS, now_ns = clock_now_ns();
    (void)pthread_mutex_lock(&server->lock);
    const struct throttle_waiter *first = throttle_first(&server->throttle);
    if (first && first->deadline_ns < now_ns + sleep_ns)
        sleep_ns = first->deadline_ns > now_ns ? first->deadline_ns - now_ns : 0;
    (void)pthread_mutex_unlock(&server->lock);
    return (struct timespec){.tv_nsec = (long)sleep_ns};
}

static void *serve(void *argument)
{
    struct fault_server *server = argument;
    struct pollfd fds[] = {{.fd = server->config.uffd_sync, .events = POLLIN},
                           {.fd = server->stop_fd, .events = POLLIN}};
    /* The usual slack of timers is as long as a stun. */
    (void)prctl(PR_SET_TIMERSLACK, 1);
    for (;;) {
        struct err why = {0};
        beat(server);
        int handled = handle_events(server, &why);
        if (handled < 0) {
            /* Nobody may be left blocked behind a thread that ends. */
            let_all_go(server);
            beat_no_more(server);
            halt_set(server->config.halt, &why);
            return NULL;
        }
        if (handled)
            continue;
        struct timespec limit = time_to_sleep(server);
        (void)ppoll(fds, 2, &limit, NULL);
        if (fds[1].revents)
            return NULL;
    }
}

/* Takes the notes of pages [first, limit) and protects these pages again. Under the lock. */
static int take(struct fault_server *server, uint64_t first, uint64_t limit, struct bitmap *dirty,
                struct err *err)
{
    uint64_t at, count, begin = limit, end = first;
    while ((count = bitmap_next_run(&server->noted, first, limit, &at))) {
        bitmap_clear_range(&server->noted, at, count);
        bitmap_set_range(dirty, at, count);
        begin = at < begin ? at : begin;
        first = end = at + count;
    }
    /* A step lies within one chunk, so all of it is ours. */
    return begin < end ? uffd_protect(server->config.uffd_sync, pages(server, begin, end - begin), true, err)
                       : 0;
}

static int collect_notes(struct fault_server *server, struct bitmap *dirty, struct err *err)
{
    uint64_t step = server->config.step / ENGINE_PAGE_SIZE;
    uint64_t n_pages = server->noted.n_bits;
    for (uint64_t first = 0; first < n_pages; first += step) {
        uint64_t limit = n_pages - first < step ? n_pages : first + step;
        uint64_t at;
        /* Without a note there is nothing to lock for: a note made from now on belongs to the next round. */
        if (!bitmap_next_run(&server->noted, first, limit, &at))
            continue;
        (void)pthread_mutex_lock(&server->lock);
        int result = take(server, first, limit, dirty, err);
        (void)pthread_mutex_unlock(&server->lock);
        if (result < 0 || halt_check(server->config.halt, err) < 0)
            return -1;
    }
    return halt_check(server->config.halt, err);
}

/* Takes out of `noted` what nobody wrote. */
static int compare(struct fault_server *server, struct bitmap *noted, struct err *err)
{
    uint64_t now;
    int result = 0;
    (void)pthread_mutex_lock(&server->lock);
    for (unsigned i = 0; i < server->n_suspects && result == 0; i++) {
        const struct suspect *suspect = &server->suspects[i];
        if (!bitmap_has(noted, suspect->page))
            continue;
        result = checksum(server, suspect->page, &now, err);
        if (result == 0 && now == suspect->checksum)
            bitmap_clear_range(noted, suspect->page, 1);
    }
    (void)pthread_mutex_unlock(&server->lock);
    return result;
}

/* `seen` holds the notes of one look. Who still tries to write at the last one is taken for a writer. */
static int collect_standing(struct fault_server *server, struct bitmap *seen, struct bitmap *dirty,
                            struct err *err)
{
    for (unsigned look = 1; look <= LOOKS_MAX; look++) {
        bitmap_clear(seen);
        if (collect_notes(server, seen, err) < 0)
            return -1;
        uint64_t n_noted = bitmap_count(seen);
        if (look < LOOKS_MAX && compare(server, seen, err) < 0)
            return -1;
        bitmap_add(dirty, seen);
        /* Nobody was released: who was before has written by now, or has gone. */
        if (!n_noted)
            return 0;
        (void)poll(NULL, 0, LOOK_AGAIN_MS);
    }
    return 0;
}

int fault_server_collect(struct fault_server *server, struct bitmap *dirty, struct err *err)
{
    struct bitmap seen = {0};
    if (!server->guest_stands)
        return collect_notes(server, dirty, err);
    if (bitmap_init(&seen, dirty->n_bits, err) < 0)
        return -1;
    int result = collect_standing(server, &seen, dirty, err);
    bitmap_free_bits(&seen);
    return result;
}

int fault_server_add(struct fault_server *server, struct uffd_range range, struct err *err)
{
    uint64_t first = (range.start - server->config.ram_address) / ENGINE_PAGE_SIZE;
    if (uffd_register(server->config.uffd_sync, range, err) < 0)
        return -1;
    bitmap_set_range(&server->registered, first, range.length / ENGINE_PAGE_SIZE);
    return uffd_protect_in_steps(server->config.uffd_sync, range, server->config.step, err);
}

void fault_server_throttle(struct fault_server *server, uint64_t bytes_s)
{
    (void)pthread_mutex_lock(&server->lock);
    throttle_set_rate(&server->throttle, bytes_s);
    (void)pthread_mutex_unlock(&server->lock);
}

int fault_server_ease(struct fault_server *server, struct err *err)
{
    (void)pthread_mutex_lock(&server->lock);
    server->throttle.wait_max_ns = THROTTLE_EASY_NS;
    int result = release_until(server, UINT64_MAX, err);
    (void)pthread_mutex_unlock(&server->lock);
    return result;
}

int fault_server_guest_stopped(struct fault_server *server, struct err *err)
{
    (void)pthread_mutex_lock(&server->lock);
    throttle_set_rate(&server->throttle, 0);
    server->guest_stands = true;
    int result = release_until(server, UINT64_MAX, err);
    (void)pthread_mutex_unlock(&server->lock);
    return result;
}

uint64_t fault_server_stun_ns(const struct fault_server *server)
{
    return __atomic_load_n(&server->stuns.total_ns, __ATOMIC_RELAXED);
}

void fault_server_stuns(const struct fault_server *server, struct engine_stuns *ret_stuns)
{
    stuns_copy(&server->stuns, ret_stuns);
}

void fault_server_free(struct fault_server *server)
{
    if (!server)
        return;
    let_all_go(server);
    if (server->thread.started)
        (void)eventfd_write(server->stop_fd, 1);
    thread_join(&server->thread);
    beat_no_more(server);
    if (server->stop_fd >= 0)
        (void)close(server->stop_fd);
    (void)pthread_mutex_destroy(&server->lock);
    bitmap_free_bits(&server->noted);
    bitmap_free_bits(&server->registered);
    free(server);
}

static int begin(struct fault_server *server, struct err *err)
{
    const struct dirty_source_config *config = &server->config;
    uint64_t n_pages = config->ram_size / ENGINE_PAGE_SIZE;
    server->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->stop_fd < 0)
        return err_sys(err, errno, "eventfd-failed", "cannot make an eventfd");
    int flags = fcntl(config->uffd_sync, F_GETFL);
    if (flags < 0 || fcntl(config->uffd_sync, F_SETFL, flags | O_NONBLOCK) < 0)
        return err_sys(err, errno, "uffd-flags", "cannot make the userfaultfd non-blocking");
    if (uffd_enable(config->uffd_sync, UFFD_FEATURES_SYNC, err) < 0 ||
        bitmap_init(&server->noted, n_pages, err) < 0 || bitmap_init(&server->registered, n_pages, err) < 0)
        return -1;
    beat(server);
    return thread_start(&server->thread, "faults", serve, server, err);
}

struct fault_server *fault_server_new(const struct dirty_source_config *config, struct err *err)
{
    struct fault_server *server = calloc(1, sizeof *server);
    if (!server) {
        (void)err_sys(err, ENOMEM, "no-memory", "no memory to track writes");
        return NULL;
    }
    server->config = *config;
    server->stop_fd = -1;
    if (server->config.step > STEP_MAX)
        server->config.step = STEP_MAX;
    (void)pthread_mutex_init(&server->lock, NULL);
    throttle_init(&server->throttle, config->stun_limit_percent, config->n_vcpus);
    if (begin(server, err) < 0) {
        fault_server_free(server);
        return NULL;
    }
    return server;
}
