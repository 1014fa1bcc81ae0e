/* SPDX-License-Identifier: Apache-2.0 */
/* The destination's side of the public interface; the work is in receive.c. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "engine/engine.h"
#include "engine/halt.h"
#include "engine/receive.h"

struct engine_dest {
    struct engine_dest_config config;
    struct halt halt;
    struct receiver receiver;
    struct cancel *settled; /* a wait for new connections is pointless: all has arrived, or the halt is set */
    uint64_t begin_ns;
    uint64_t down_ns;
    bool is_down; /* atomic, as the next */
    uint32_t resumes;
};

static void wake(void *user)
{
    struct engine_dest *dest = user;
    struct err why = {0};
    receiver_wake(&dest->receiver);
    (void)halt_check(&dest->halt, &why);
    cancel_trigger(dest->settled, &why);
}

static int check_config(const struct engine_dest_config *config, struct err *err)
{
    struct stat status;
    if (!config->n_channels || config->n_channels > ENGINE_CHANNELS_MAX)
        return err_set(err, ERR_BAD_REQUEST, "channels", "%u channels are not possible", config->n_channels);
    if (!config->ram_size || config->ram_size % ENGINE_PAGE_SIZE)
        return err_set(err, ERR_BAD_REQUEST, "ram-size", "%llu bytes of RAM are not whole pages",
                       (unsigned long long)config->ram_size);
    if (fstat(config->ram_fd, &status) < 0)
        return err_sys(err, errno, "ram-file", "cannot look at the file of guest RAM");
    /* What is written behind the end would make it longer than QEMU's mapping. */
    if ((uint64_t)status.st_size != config->ram_size)
        return err_set(err, ERR_BAD_REQUEST, "ram-size", "the file of guest RAM has %llu bytes, not %llu",
                       (unsigned long long)status.st_size, (unsigned long long)config->ram_size);
    return 0;
}

static int start(struct engine_dest *dest, struct err *err)
{
    const struct engine_dest_config *config = &dest->config;
    struct receiver *receiver = &dest->receiver;
    if (check_config(config, err) < 0)
        return -1;
    receiver->place.ram = (struct ram){config->ram_fd, config->ram_size};
    receiver->halt = &dest->halt;
    receiver->is_resumable = config->reconnect != NULL;
    receiver->settled = dest->settled;
    receiver->before_verify = config->before_verify;
    receiver->user = config->user;
    receiver->n_channels = config->n_channels;
    for (unsigned i = 0; i < config->n_channels; i++) {
        receiver->links[i] =
            (struct link){.stream = {config->channels[i], config->tls[i]}, .number = i, .halt = &dest->halt};
        link_init(&receiver->links[i]);
    }
    if (receiver_init(receiver, err) < 0 || halt_start(&dest->halt, err) < 0)
        return -1;
    return receiver_start(receiver, err);
}

static void close_channels(const int channels[], struct tls *const tls[], unsigned n_channels)
{
    for (unsigned i = 0; i < n_channels && i < ENGINE_CHANNELS_MAX; i++)
        stream_close(&(struct stream){channels[i], tls[i]});
}

static void close_descriptors(const struct engine_dest_config *config)
{
    if (config->ram_fd >= 0)
        (void)close(config->ram_fd);
    close_channels(config->channels, config->tls, config->n_channels);
}

int engine_dest_new(const struct engine_dest_config *config, struct engine_dest **ret_dest, struct err *err)
{
    struct engine_dest *dest = calloc(1, sizeof *dest);
    if (!dest) {
        close_descriptors(config);
        return err_sys(err, ENOMEM, "no-memory", "no memory for the destination");
    }
    dest->config = *config;
    dest->begin_ns = clock_now_ns();
    dest->halt =
        (struct halt){.outer = config->cancel, .qemu_pidfd = -1, .stop_fd = -1, .wake = wake, .user = dest};
    dest->receiver.event_fd = -1;
    dest->settled = cancel_new(err);
    if (!dest->settled || start(dest, err) < 0) {
        engine_dest_free(dest);
        return -1;
    }
    *ret_dest = dest;
    return 0;
}

/* From the old connections to new ones. -1 only when it can never be. */
static int go_on(struct engine_dest *dest, const int channels[], struct tls *const tls[], struct err *err)
{
    struct engine_dest_config *config = &dest->config;
    receiver_stop(&dest->receiver);
    close_channels(config->channels, config->tls, config->n_channels);
    for (unsigned i = 0; i < config->n_channels; i++) {
        config->channels[i] = channels[i];
        config->tls[i] = tls[i];
        link_reopen(&dest->receiver.links[i], channels[i], tls[i]);
    }
    if (receiver_resume(&dest->receiver, err) == 0) {
        __atomic_store_n(&dest->is_down, false, __ATOMIC_RELAXED);
        (void)__atomic_fetch_add(&dest->resumes, 1, __ATOMIC_RELAXED);
        return 0;
    }
    /* Lost again already: that is what receiver_wait says next. */
    return err->code == ERR_PEER_LOST ? 0 : -1;
}

/* After bad news, or a knock. */
static int reconnect(struct engine_dest *dest, bool is_lost, const struct err *why, struct err *err)
{
    int channels[ENGINE_CHANNELS_MAX];
    struct tls *tls[ENGINE_CHANNELS_MAX] = {0};
    struct engine_outage outage = {
        .stop = dest->settled, .since_ns = dest->down_ns, .is_lost = is_lost, .why = why};
    int result = dest->config.reconnect(&outage, channels, tls, dest->config.user, err);
    return result ? (result < 0 ? -1 : 0) : go_on(dest, channels, tls, err);
}

static void follow(struct engine_dest *dest)
{
    struct err lost = {0}, err = {0};
    enum receiver_news news;
    while ((news = receiver_wait(&dest->receiver, dest->config.knock_fd, &lost)) != RECEIVER_OVER) {
        bool is_lost = news == RECEIVER_LOST;
        if (!is_lost || !__atomic_load_n(&dest->is_down, __ATOMIC_RELAXED))
            dest->down_ns = clock_now_ns();
        if (is_lost)
            __atomic_store_n(&dest->is_down, true, __ATOMIC_RELAXED);
        /* A wait that was ended because it is pointless is no failure. */
        if (reconnect(dest, is_lost, &lost, &err) < 0 && !cancel_requested(dest->settled))
            halt_set(&dest->halt, &err);
    }
}

int engine_dest_receive(struct engine_dest *dest, bool *ret_verified, struct err *err)
{
    follow(dest);
    receiver_join(&dest->receiver);
    *ret_verified = dest->receiver.is_verified;
    return halt_check(&dest->halt, err);
}

void engine_dest_snapshot(const struct engine_dest *dest, struct engine_snapshot *ret)
{
    uint64_t bytes = receiver_bytes(&dest->receiver);
    uint64_t age_ns = clock_now_ns() - dest->begin_ns;
    *ret = (struct engine_snapshot){
        .round = __atomic_load_n(&dest->receiver.published, __ATOMIC_RELAXED),
        .bytes_on_wire = bytes,
        .rate_bytes_s = clock_per_second(bytes, age_ns),
        .zero_pages = __atomic_load_n(&dest->receiver.place.zero_pages, __ATOMIC_RELAXED),
        .is_down = __atomic_load_n(&dest->is_down, __ATOMIC_RELAXED),
        .resumes = __atomic_load_n(&dest->resumes, __ATOMIC_RELAXED),
    };
}

void engine_dest_free(struct engine_dest *dest)
{
    if (!dest)
        return;
    halt_end(&dest->halt);
    receiver_clear(&dest->receiver);
    halt_clear(&dest->halt);
    cancel_free(dest->settled);
    close_descriptors(&dest->config);
    free(dest);
}
