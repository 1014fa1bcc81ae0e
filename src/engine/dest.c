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
    uint64_t begin_ns;
};

static void wake(void *user)
{
    struct engine_dest *dest = user;
    receiver_wake(&dest->receiver);
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

static void close_descriptors(const struct engine_dest_config *config)
{
    if (config->ram_fd >= 0)
        (void)close(config->ram_fd);
    for (unsigned i = 0; i < config->n_channels && i < ENGINE_CHANNELS_MAX; i++)
        stream_close(&(struct stream){config->channels[i], config->tls[i]});
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
    if (start(dest, err) < 0) {
        engine_dest_free(dest);
        return -1;
    }
    *ret_dest = dest;
    return 0;
}

int engine_dest_receive(struct engine_dest *dest, bool *ret_verified, struct err *err)
{
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
        .rate_bytes_s = (uint64_t)((unsigned __int128)bytes * NS_PER_S / (age_ns ? age_ns : 1)),
        .zero_pages = __atomic_load_n(&dest->receiver.place.zero_pages, __ATOMIC_RELAXED),
    };
}

void engine_dest_free(struct engine_dest *dest)
{
    if (!dest)
        return;
    halt_end(&dest->halt);
    receiver_clear(&dest->receiver);
    halt_clear(&dest->halt);
    close_descriptors(&dest->config);
    free(dest);
}
