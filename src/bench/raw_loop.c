/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/raw_loop.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

const char *const raw_read_names[RAW_READ_N] = {"pread", "mapping", "sendfile"};
const char *const raw_place_names[RAW_PLACE_N] = {"populated", "faults", "pwrite"};

/* One channel's share of the memory, on either side. */
struct share {
    const struct raw_loop *loop;
    pthread_t thread;
    int fd;
    uint64_t begin, end;
    uint8_t *mapping, *buffer; /* of the whole memory; piece bytes */
    bool is_done;
};

static bool complain(const char *what)
{
    perror(what);
    return false;
}

static bool send_all(int fd, const uint8_t *data, size_t size)
{
    while (size) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return complain("send");
        data += sent;
        size -= (size_t)sent;
    }
    return true;
}

static bool send_file(int fd, int ram_fd, uint64_t offset, size_t size)
{
    off_t at = (off_t)offset;
    while (size) {
        ssize_t sent = sendfile(fd, ram_fd, &at, size);
        if (sent <= 0)
            return complain("sendfile");
        size -= (size_t)sent;
    }
    return true;
}

static bool send_one(const struct share *share, uint64_t offset, size_t size)
{
    const struct raw_loop *loop = share->loop;
    if (loop->read == RAW_READ_SENDFILE)
        return send_file(share->fd, loop->ram_fd, offset, size);
    if (loop->read == RAW_READ_MAPPING)
        return send_all(share->fd, share->mapping + offset, size);
    if (pread(loop->ram_fd, share->buffer, size, (off_t)offset) != (ssize_t)size)
        return complain("pread");
    return send_all(share->fd, share->buffer, size);
}

static bool receive_one(const struct share *share, uint64_t offset, size_t size)
{
    const struct raw_loop *loop = share->loop;
    uint8_t *target = loop->place == RAW_PLACE_PWRITE ? share->buffer : share->mapping + offset;
    if (loop->place == RAW_PLACE_POPULATED && madvise(target, size, MADV_POPULATE_WRITE) < 0)
        return complain("populate");
    if (recv(share->fd, target, size, MSG_WAITALL) != (ssize_t)size)
        return complain("recv");
    if (loop->place == RAW_PLACE_PWRITE && pwrite(loop->ram_fd, target, size, (off_t)offset) != (ssize_t)size)
        return complain("pwrite");
    return true;
}

static size_t next_piece(const struct share *share, uint64_t at)
{
    uint64_t left = share->end - at;
    return left < share->loop->piece ? (size_t)left : share->loop->piece;
}

static void *send_share(void *argument)
{
    struct share *share = argument;
    uint8_t answer;
    bool is_fine = true;
    for (uint64_t at = share->begin; is_fine && at < share->end; at += next_piece(share, at))
        is_fine = send_one(share, at, next_piece(share, at));
    share->is_done = is_fine && recv(share->fd, &answer, 1, 0) == 1;
    return NULL;
}

static void *receive_share(void *argument)
{
    struct share *share = argument;
    const uint8_t answer = 1;
    bool is_fine = true;
    for (uint64_t at = share->begin; is_fine && at < share->end; at += next_piece(share, at))
        is_fine = receive_one(share, at, next_piece(share, at));
    share->is_done = is_fine && send_all(share->fd, &answer, 1);
    return NULL;
}

static int run(const struct raw_loop *loop, void *(*work)(void *share), int protection)
{
    struct share shares[RAW_LOOP_CHANNELS_MAX] = {0};
    uint64_t n_pieces = (loop->size + loop->piece - 1) / loop->piece;
    bool is_done = true;
    uint8_t *mapping = mmap(NULL, loop->size, protection, MAP_SHARED | MAP_NORESERVE, loop->ram_fd, 0);
    if (mapping == MAP_FAILED)
        return complain("mmap") ? 0 : -1;
    for (unsigned i = 0; i < loop->n_channels; i++) {
        struct share *share = &shares[i];
        uint64_t end = n_pieces * (i + 1) / loop->n_channels * loop->piece;
        *share = (struct share){.loop = loop,
                                .fd = loop->channels[i],
                                .begin = n_pieces * i / loop->n_channels * loop->piece,
                                .end = end < loop->size ? end : loop->size,
                                .mapping = mapping,
                                .buffer = aligned_alloc(4096, loop->piece)};
        if (!share->buffer || pthread_create(&share->thread, NULL, work, share) != 0)
            abort();
    }
    for (unsigned i = 0; i < loop->n_channels; i++) {
        (void)pthread_join(shares[i].thread, NULL);
        free(shares[i].buffer);
        is_done = is_done && shares[i].is_done;
    }
    (void)munmap(mapping, loop->size);
    return is_done ? 0 : -1;
}

int raw_loop_send(const struct raw_loop *loop)
{
    return run(loop, send_share, PROT_READ);
}

int raw_loop_receive(const struct raw_loop *loop)
{
    return run(loop, receive_share, PROT_READ | PROT_WRITE);
}
