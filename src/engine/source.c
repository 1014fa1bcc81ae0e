/* SPDX-License-Identifier: Apache-2.0 */
/* The source's story: protect all, rounds while the guest runs, the rest when it is stopped. */
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "engine/dirty_source.h"
#include "engine/engine.h"
#include "engine/halt.h"
#include "engine/policy.h"
#include "engine/send.h"
#include "engine/source.h"
#include "wire/preamble.h"

_Static_assert(ENGINE_PAGE_SIZE == WIRE_PAGE_SIZE, "one page size");
_Static_assert(ENGINE_CHANNELS_MAX == WIRE_CHANNELS_MAX, "one limit");

#define STEP_KVM (2ull << 20)
#define STEP_TCG (64ull << 20)
/* A round younger than this says nothing about its rate. */
#define DRAIN_NS (2 * NS_PER_S)
#define DRAIN_LOOK_MS 5
#define RATE_SETTLE_NS (100 * NS_PER_MS)

/* The counters when a round began. */
struct round_begin {
    uint64_t ns, bytes, zero_pages, stun_ns, n_pages, throttle_bytes_s;
};

struct engine_source {
    struct engine_source_config config;
    struct halt halt;
    struct sender sender;
    struct dirty_source *dirty_source;
    enum engine_dirty kind;
    struct policy policy;
    struct bitmap dirty;     /* what the next round has to send */
    struct bitmap released;  /* what an outage adds to the next round: its throttle was let go */
    struct round_begin last; /* of the last round, as is */
    bool verify;
    /* for snapshots; atomic */
    uint32_t round;
    uint64_t round_begin_ns, round_begin_bytes;
    uint64_t rate_bytes_s, dirty_bytes_s, throttle_bytes_s;
    uint64_t collect_ns; /* the latest scan; the story's */
};

static void publish(uint64_t *field, uint64_t value)
{
    __atomic_store_n(field, value, __ATOMIC_RELAXED);
}

static uint64_t published(const uint64_t *field)
{
    return __atomic_load_n(field, __ATOMIC_RELAXED);
}

static void wake(void *user)
{
    struct engine_source *source = user;
    sender_wake(&source->sender);
}

static int check_config(const struct engine_source_config *config, struct err *err)
{
    if (!config->n_channels || config->n_channels > ENGINE_CHANNELS_MAX)
        return err_set(err, ERR_BAD_REQUEST, "channels", "%u channels are not possible", config->n_channels);
    if (!config->ram_size || config->ram_size % ENGINE_PAGE_SIZE || config->ram_address % ENGINE_PAGE_SIZE)
        return err_set(err, ERR_BAD_REQUEST, "ram-size", "%llu bytes of RAM at 0x%llx are not whole pages",
                       (unsigned long long)config->ram_size, (unsigned long long)config->ram_address);
    return 0;
}

/* Makes and starts one kind of dirty source. */
static int start_kind(struct engine_source *source, enum engine_dirty kind, struct err *err)
{
    const struct engine_source_config *config = &source->config;
    struct dirty_source_config dirty = {.uffd_async = config->uffd_async,
                                        .uffd_sync = config->uffd_sync,
                                        .pagemap_fd = config->pagemap_fd,
                                        .ram_fd = config->ram_fd,
                                        .ram_address = config->ram_address,
                                        .ram_size = config->ram_size,
                                        .step = config->is_kvm ? STEP_KVM : STEP_TCG,
                                        .halt = &source->halt,
                                        .fault_beat = config->fault_beat,
                                        .qemu_pid = config->qemu_pid,
                                        .n_vcpus = config->n_vcpus,
                                        .vcpu_tids = source->config.vcpu_tids,
                                        .stun_limit_percent = config->stun_limit_percent};
    source->kind = kind;
    source->dirty_source =
        kind == ENGINE_DIRTY_ASYNC ? dirty_async_new(&dirty, err) : dirty_sync_new(&dirty, err);
    if (!source->dirty_source)
        return -1;
    return source->dirty_source->ops->start(source->dirty_source, err);
}

static int start_dirty_source(struct engine_source *source, struct err *err)
{
    if (source->config.dirty != ENGINE_DIRTY_AUTO)
        return start_kind(source, source->config.dirty, err);
    struct err missing = {0};
    if (start_kind(source, ENGINE_DIRTY_ASYNC, &missing) == 0)
        return 0;
    if (missing.code != ERR_REFUSED) {
        if (err)
            *err = missing;
        return -1;
    }
    if (source->dirty_source)
        source->dirty_source->ops->free(source->dirty_source);
    source->dirty_source = NULL;
    return start_kind(source, ENGINE_DIRTY_SYNC, err);
}

static void close_channels(struct engine_source_config *config)
{
    for (unsigned i = 0; i < config->n_channels && i < ENGINE_CHANNELS_MAX; i++) {
        stream_close(&(struct stream){config->channels[i], config->tls[i]});
        config->channels[i] = -1;
        config->tls[i] = NULL;
    }
}

/* What is on its way over links that still work would otherwise be for nothing. Bounded: a link may break
 * while we wait. */
static void drain(const struct engine_source *source)
{
    uint64_t end_ns = clock_now_ns() + DRAIN_NS;
    for (unsigned i = 0; i < source->config.n_channels; i++) {
        int unsent = 0;
        const struct sender_worker *worker = &source->sender.workers[i];
        /* Of the connection only its end is waited for: one that was reset never sends what it has. */
        struct pollfd ends[] = {{.fd = halt_fd(&source->halt), .events = POLLIN},
                                {.fd = source->config.channels[i]}};
        while (!worker->is_lost && ioctl(source->config.channels[i], SIOCOUTQ, &unsent) == 0 && unsent &&
               clock_now_ns() < end_ns && poll(ends, 2, DRAIN_LOOK_MS) == 0)
            ;
    }
}

/* Nobody is held back for a network that is down. What is freed counts as written in the next round. */
static int release_guest(struct engine_source *source, struct err *err)
{
    if (!published(&source->throttle_bytes_s))
        return 0;
    publish(&source->throttle_bytes_s, 0);
    return source->dirty_source->ops->throttle(source->dirty_source, 0, &source->released, err);
}

/* Not a word of the old connections is believed any more, and they end for the destination too, if they
 * still lead to it. */
static int reconnect(const struct err *why, void *user, struct err *err)
{
    struct engine_source *source = user;
    struct engine_source_config *config = &source->config;
    struct engine_outage outage = {
        .stop = source->halt.inner, .since_ns = source->sender.down_ns, .is_lost = true, .why = why};
    drain(source);
    close_channels(config);
    if (release_guest(source, err) < 0 ||
        config->reconnect(&outage, config->channels, config->tls, config->user, err) < 0)
        return -1;
    for (unsigned i = 0; i < config->n_channels; i++)
        link_reopen(&source->sender.links[i], config->channels[i], config->tls[i]);
    return 0;
}

static int check_own(void *user, struct err *err)
{
    const struct engine_source_config *config = &((struct engine_source *)user)->config;
    return config->check_own ? config->check_own(config->user, err) : 0;
}

static void init_sender(struct engine_source *source)
{
    struct sender *sender = &source->sender;
    sender->reconnect = source->config.reconnect ? reconnect : NULL;
    sender->check_own = check_own;
    sender->user = source;
    sender->ram = (struct ram){source->config.ram_fd, source->config.ram_size};
    sender->halt = &source->halt;
    sender->n_channels = source->config.n_channels;
    sender->packing.compression = source->config.compression;
    sender->packing.delta = source->config.delta;
    sender->packing.cache_bytes = source->config.delta_cache_bytes;
    sender->packing.n_workers = source->config.n_channels;
    sender->packing.n_pages = source->config.ram_size / ENGINE_PAGE_SIZE;
    sender->packing.hot = (struct hot_pages){.pagemap_fd = source->config.pagemap_fd,
                                             .ram_address = source->config.ram_address};
    rate_init(&sender->rate, source->config.bandwidth_bytes_s);
    for (unsigned i = 0; i < sender->n_channels; i++) {
        sender->links[i] = (struct link){.stream = {source->config.channels[i], source->config.tls[i]},
                                         .number = i,
                                         .halt = &source->halt,
                                         .rate = source->config.rate ? source->config.rate : &sender->rate};
        link_init(&sender->links[i]);
    }
}

static int start(struct engine_source *source, struct err *err)
{
    if (check_config(&source->config, err) < 0)
        return -1;
    init_sender(source);
    if (bitmap_init(&source->dirty, source->config.ram_size / ENGINE_PAGE_SIZE, err) < 0 ||
        bitmap_init(&source->released, source->dirty.n_bits, err) < 0 ||
        sender_start(&source->sender, err) < 0 || halt_start(&source->halt, err) < 0)
        return -1;
    return start_dirty_source(source, err);
}

static void close_descriptors(struct engine_source_config *config)
{
    cleanup_fd(&config->ram_fd);
    cleanup_fd(&config->uffd_async);
    cleanup_fd(&config->uffd_sync);
    cleanup_fd(&config->pagemap_fd);
    cleanup_fd(&config->qemu_pidfd);
    close_channels(config);
}

int engine_source_new(const struct engine_source_config *config, struct engine_source **ret_source,
                      struct err *err)
{
    struct engine_source *source = calloc(1, sizeof *source);
    if (!source) {
        struct engine_source_config own = *config;
        close_descriptors(&own);
        return err_sys(err, ENOMEM, "no-memory", "no memory for the source");
    }
    source->config = *config;
    source->halt = (struct halt){.outer = config->cancel,
                                 .qemu_pidfd = config->qemu_pidfd,
                                 .stop_fd = -1,
                                 .wake = wake,
                                 .user = source};
    policy_init(&source->policy, config->downtime_goal_ns, config->fixed_downtime_ns, config->max_rounds);
    if (start(source, err) < 0) {
        engine_source_free(source);
        return -1;
    }
    *ret_source = source;
    return 0;
}

void engine_source_free(struct engine_source *source)
{
    if (!source)
        return;
    /* First of all the guest runs at full speed again. */
    if (source->dirty_source)
        source->dirty_source->ops->free(source->dirty_source);
    halt_end(&source->halt);
    sender_clear(&source->sender);
    halt_clear(&source->halt);
    rate_clear(&source->sender.rate);
    bitmap_free_bits(&source->dirty);
    bitmap_free_bits(&source->released);
    close_descriptors(&source->config);
    free(source);
}

/* The reason that was stored first is the true one: what a thread sees afterwards is its consequence. */
static int fail(struct engine_source *source, struct err *err)
{
    struct err first = {0};
    if (halt_check(&source->halt, &first) < 0) {
        if (err)
            *err = first;
    } else if (err) {
        halt_set(&source->halt, err);
    }
    return -1;
}

static struct round_begin begin_round(struct engine_source *source, uint32_t n)
{
    struct round_begin begin = {.ns = clock_now_ns(),
                                .bytes = sender_bytes(&source->sender),
                                .zero_pages = published(&source->sender.zero_pages),
                                .stun_ns = source->dirty_source->ops->stun_ns(source->dirty_source),
                                .n_pages = bitmap_count(&source->dirty),
                                .throttle_bytes_s = published(&source->throttle_bytes_s)};
    __atomic_store_n(&source->round, n, __ATOMIC_RELAXED);
    publish(&source->round_begin_bytes, begin.bytes);
    publish(&source->round_begin_ns, begin.ns);
    return begin;
}

/* All of it is placed. */
static struct engine_round round_sent(const struct engine_source *source, const struct round_begin *begin)
{
    return (struct engine_round){.n = __atomic_load_n(&source->round, __ATOMIC_RELAXED),
                                 .pages = begin->n_pages,
                                 .duration_ns = clock_now_ns() - begin->ns - source->sender.outage_ns,
                                 .bytes = sender_bytes(&source->sender) - begin->bytes,
                                 .zero_pages = published(&source->sender.zero_pages) - begin->zero_pages};
}

/* `dirty` holds what was written meanwhile. */
static void end_round(struct engine_source *source, const struct round_begin *begin, struct engine_round *ret)
{
    ret->dirty_pages = bitmap_count(&source->dirty);
    ret->stun_ns = source->dirty_source->ops->stun_ns(source->dirty_source) - begin->stun_ns;
    ret->throttle_bytes_s = begin->throttle_bytes_s;
    publish(&source->rate_bytes_s, clock_per_second(ret->bytes, ret->duration_ns));
    publish(&source->dirty_bytes_s,
            clock_per_second(ret->dirty_pages * ENGINE_PAGE_SIZE, clock_now_ns() - begin->ns));
    __atomic_store_n(&source->sender.pages_left, ret->dirty_pages, __ATOMIC_RELAXED);
    if (source->config.round_done)
        source->config.round_done(ret, source->config.user);
}

/* Sends what is dirty, then finds out what became dirty meanwhile. */
static int run_round(struct engine_source *source, uint32_t n, struct engine_round *ret, struct err *err)
{
    struct round_begin begin = begin_round(source, n);
    if (sender_round(&source->sender, n, &source->dirty, err) < 0)
        return -1;
    *ret = round_sent(source, &begin);
    bitmap_clear(&source->dirty);
    uint64_t scan_ns = clock_now_ns();
    if (source->dirty_source->ops->collect(source->dirty_source, &source->dirty, err) < 0)
        return -1;
    source->collect_ns = clock_now_ns() - scan_ns;
    if (source->sender.outage_ns) {
        bitmap_add(&source->dirty, &source->released);
        bitmap_clear(&source->released);
    }
    end_round(source, &begin, ret);
    return 0;
}

static enum policy_answer judge(struct engine_source *source, const struct engine_round *round)
{
    struct policy_round measured = {.content_bytes = (round->pages - round->zero_pages) * ENGINE_PAGE_SIZE,
                                    .duration_ns = round->duration_ns,
                                    .dirty_bytes = round->dirty_pages * ENGINE_PAGE_SIZE,
                                    .collect_ns = source->collect_ns};
    return policy_decide(&source->policy, &measured);
}

static int refuse(struct engine_source *source, const struct engine_round *round, struct err *err)
{
    (void)err_set(err, ERR_REFUSED, "not-converging",
                  "the guest writes memory faster than it can be sent: after %u rounds %llu MB are left",
                  round->n + 1, (unsigned long long)(round->dirty_pages * ENGINE_PAGE_SIZE >> 20));
    (void)err_cause(
        err, "sending the rest takes about %llu ms at %llu MB/s, the downtime goal is %llu ms",
        (unsigned long long)(policy_estimate_ns(&source->policy, round->dirty_pages * ENGINE_PAGE_SIZE) /
                             NS_PER_MS),
        (unsigned long long)(source->policy.rate_bytes_s / 1000000),
        (unsigned long long)(source->policy.goal_ns / NS_PER_MS));
    if (source->config.stun_limit_percent && source->config.stun_limit_percent < 100)
        return err_fix(err,
                       "raise the stun limit (%u %%), allow a longer downtime or more bandwidth, or try when "
                       "the guest is less busy",
                       source->config.stun_limit_percent);
    return err_fix(err, "allow a longer downtime or more bandwidth, or try when the guest is less busy");
}

/* Before the next round. What is dirty may become more. */
static int throttle(struct engine_source *source, uint64_t bytes_s, struct err *err)
{
    if (!bytes_s && !published(&source->throttle_bytes_s))
        return 0;
    publish(&source->throttle_bytes_s, bytes_s);
    return source->dirty_source->ops->throttle(source->dirty_source, bytes_s, &source->dirty, err);
}

int engine_source_copy(struct engine_source *source, struct err *err)
{
    struct err local;
    err = err ? err : &local;
    /* After all was protected: what has memory now and is not in this map was written later and is in the
     * first collection. */
    if (ram_find_data(&source->sender.ram, &source->dirty, err) < 0)
        return fail(source, err);
    for (uint32_t n = 0;; n++) {
        struct engine_round round;
        if (run_round(source, n, &round, err) < 0)
            return fail(source, err);
        enum policy_answer answer = judge(source, &round);
        int result = 0;
        if (answer == POLICY_GIVE_UP)
            result = refuse(source, &round, err);
        else if (answer == POLICY_STOP)
            result = source->dirty_source->ops->ease(source->dirty_source, err);
        else
            result = throttle(source, answer == POLICY_THROTTLE ? source->policy.throttle_bytes_s : 0, err);
        if (result < 0)
            return fail(source, err);
        if (answer == POLICY_STOP)
            return 0;
    }
}

int engine_source_find_rest(struct engine_source *source, struct err *err)
{
    struct err local;
    err = err ? err : &local;
    /* The guest stands: rather than wait for a network it goes on where it is. */
    source->sender.reconnect = NULL;
    publish(&source->throttle_bytes_s, 0);
    if (source->dirty_source->ops->guest_stopped(source->dirty_source, err) < 0 ||
        source->dirty_source->ops->collect(source->dirty_source, &source->dirty, err) < 0)
        return fail(source, err);
    return 0;
}

int engine_source_send_rest(struct engine_source *source, bool verify, struct err *err)
{
    struct err local;
    err = err ? err : &local;
    uint32_t n = __atomic_load_n(&source->round, __ATOMIC_RELAXED) + 1;
    source->verify = verify;
    source->last = begin_round(source, n);
    if (sender_last_round(&source->sender, n, &source->dirty, verify, err) < 0)
        return fail(source, err);
    return 0;
}

int engine_source_await_placed(struct engine_source *source, struct err *err)
{
    struct err local;
    err = err ? err : &local;
    if (sender_await_end(&source->sender, source->verify, err) < 0)
        return fail(source, err);
    struct engine_round last = round_sent(source, &source->last);
    bitmap_clear(&source->dirty);
    end_round(source, &source->last, &last);
    return 0;
}

int engine_source_check_quiet(struct engine_source *source, struct err *err)
{
    struct err local;
    err = err ? err : &local;
    bitmap_clear(&source->dirty);
    if (source->dirty_source->ops->collect(source->dirty_source, &source->dirty, err) < 0)
        return fail(source, err);
    uint64_t first, count = bitmap_count(&source->dirty);
    (void)bitmap_next_run(&source->dirty, 0, source->dirty.n_bits, &first);
    if (count)
        return err_set(
            err, ERR_INTERNAL, "written-after-stop",
            "%llu pages of guest RAM were written after the guest was stopped, the first at 0x%llx",
            (unsigned long long)count, (unsigned long long)(first * ENGINE_PAGE_SIZE));
    return 0;
}

/* ---- a forecast in place of a copy ---- */

const struct engine_source_config *source_config(const struct engine_source *source)
{
    return &source->config;
}

const struct ram *source_ram(const struct engine_source *source)
{
    return &source->sender.ram;
}

const struct halt *source_halt(const struct engine_source *source)
{
    return &source->halt;
}

int source_send(struct engine_source *source, const struct bitmap *pages, struct engine_round *ret,
                struct err *err)
{
    bitmap_clear(&source->dirty);
    bitmap_add(&source->dirty, pages);
    struct round_begin begin = begin_round(source, ret->n);
    if (sender_round(&source->sender, ret->n, &source->dirty, err) < 0)
        return -1;
    *ret = round_sent(source, &begin);
    return 0;
}

int source_scan(struct engine_source *source, struct bitmap *dirty, struct err *err)
{
    return source->dirty_source->ops->collect(source->dirty_source, dirty, err);
}

int source_end(struct engine_source *source, struct err *err)
{
    uint32_t n = __atomic_load_n(&source->round, __ATOMIC_RELAXED) + 1;
    bitmap_clear(&source->dirty);
    if (sender_last_round(&source->sender, n, &source->dirty, false, err) < 0)
        return -1;
    return sender_await_end(&source->sender, false, err);
}

int source_fail(struct engine_source *source, struct err *err)
{
    return fail(source, err);
}

enum engine_dirty engine_source_dirty(const struct engine_source *source)
{
    return source->kind;
}

void engine_source_snapshot(const struct engine_source *source, struct engine_snapshot *ret)
{
    uint64_t bytes = sender_bytes(&source->sender);
    uint64_t begin_ns = published(&source->round_begin_ns);
    uint64_t begin_bytes = published(&source->round_begin_bytes);
    uint64_t age_ns = clock_now_ns() - begin_ns;
    uint64_t pages_left = published(&source->sender.pages_left);
    *ret = (struct engine_snapshot){
        .round = __atomic_load_n(&source->round, __ATOMIC_RELAXED),
        .bytes_on_wire = bytes,
        .bytes_left = pages_left * ENGINE_PAGE_SIZE,
        .rate_bytes_s = published(&source->rate_bytes_s),
        .dirty_bytes_s = published(&source->dirty_bytes_s),
        .zero_pages = published(&source->sender.zero_pages),
        .stun_ns = source->dirty_source->ops->stun_ns(source->dirty_source),
        .throttle_bytes_s = published(&source->throttle_bytes_s),
        .is_down = __atomic_load_n(&source->sender.is_down, __ATOMIC_RELAXED),
        .resumes = __atomic_load_n(&source->sender.resumes, __ATOMIC_RELAXED),
        .bytes_resent = published(&source->sender.bytes_resent),
    };
    packing_counts(&source->sender.packing, ret->codecs);
    /* Within a long round its own rate is the news. */
    if (begin_ns && pages_left && age_ns > RATE_SETTLE_NS && bytes > begin_bytes)
        ret->rate_bytes_s = clock_per_second(bytes - begin_bytes, age_ns);
}

void engine_source_stuns(const struct engine_source *source, struct engine_stuns *ret_stuns)
{
    *ret_stuns = (struct engine_stuns){0};
    source->dirty_source->ops->stuns(source->dirty_source, ret_stuns);
}
