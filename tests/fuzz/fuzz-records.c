/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The destination's workers on real data connections, one or two (the first byte), into the memory of a
 * guest. Each further item of the input is one byte that says on which connection, and an item of
 * wire_stream.h. Whatever comes: the memory keeps its size, pages that nobody placed have none, and what is
 * said back are ACKs.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bitmap.h"
#include "base/cancel.h"
#include "engine/engine.h"
#include "engine/halt.h"
#include "engine/receive.h"
#include "fuzz.h"
#include "wire_stream.h"

#define CHANNELS 2
#define RAM_SIZE (3u << 20) /* one part of a verification, and half of another */

static struct wire_stream heard[CHANNELS];

struct rig {
    struct receiver receiver;
    struct halt halt;
    struct cancel *outer, *settled;
    int peers[CHANNELS];
};

static void wake(void *user)
{
    receiver_wake(&((struct rig *)user)->receiver);
}

static void open_rig(struct rig *rig, unsigned n_channels)
{
    struct err err;
    *rig = (struct rig){.outer = cancel_new(&err), .settled = cancel_new(&err)};
    must(rig->outer && rig->settled);
    rig->halt =
        (struct halt){.outer = rig->outer, .qemu_pidfd = -1, .stop_fd = -1, .wake = wake, .user = rig};
    struct receiver *receiver = &rig->receiver;
    *receiver = (struct receiver){.place.ram = {memfd_create("ram", MFD_CLOEXEC), RAM_SIZE},
                                  .halt = &rig->halt,
                                  .settled = rig->settled,
                                  .n_channels = n_channels,
                                  .event_fd = -1};
    must(ftruncate(receiver->place.ram.fd, RAM_SIZE) == 0);
    for (unsigned i = 0; i < n_channels; i++) {
        int ends[2];
        fuzz_socketpair(SOCK_STREAM, ends);
        rig->peers[i] = ends[0];
        receiver->links[i] = (struct link){.stream = {.fd = ends[1]}, .number = i, .halt = &rig->halt};
        fuzz_say_all(ends[0], heard[i].bytes, heard[i].size);
    }
    must(receiver_init(receiver, &err) == 0 && halt_start(&rig->halt, &err) == 0);
}

static void close_rig(struct rig *rig)
{
    struct receiver *receiver = &rig->receiver;
    halt_end(&rig->halt);
    receiver_clear(receiver);
    halt_clear(&rig->halt);
    for (unsigned i = 0; i < receiver->n_channels; i++) {
        stream_close(&receiver->links[i].stream);
        (void)close(rig->peers[i]);
    }
    (void)close(receiver->place.ram.fd);
    cancel_free(rig->outer);
    cancel_free(rig->settled);
}

static void must_hold_only_what_was_placed(const struct receiver *receiver)
{
    struct stat status;
    struct bitmap data;
    struct err err;
    const struct ram *ram = &receiver->place.ram;
    must(fstat(ram->fd, &status) == 0 && status.st_size == RAM_SIZE);
    must(bitmap_init(&data, RAM_SIZE / ENGINE_PAGE_SIZE, &err) == 0);
    must(ram_find_data(ram, &data, &err) == 0);
    bitmap_remove(&data, &receiver->place.populated);
    must(bitmap_count(&data) == 0);
    bitmap_free_bits(&data);
}

static void must_answer_with_acks(int peer)
{
    uint8_t header[WIRE_RECORD_HEADER_SIZE], payload[WIRE_ACK_SIZE];
    struct wire_record record;
    struct wire_ack ack;
    struct err err;
    for (uint64_t n = 0; recv(peer, header, sizeof header, MSG_DONTWAIT) == sizeof header; n++) {
        must(wire_record_decode(header, n, &record, &err) == 0 && record.type == WIRE_ACK);
        must(recv(peer, payload, sizeof payload, MSG_DONTWAIT) == sizeof payload);
        must(wire_ack_decode(payload, &ack, &err) == 0);
        must(ack.offset <= RAM_SIZE && ack.length <= RAM_SIZE - ack.offset);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rig rig;
    struct input input = {data, size};
    struct err err = {0};
    unsigned n_channels = 1 + (unsigned)input_number(&input, 1) % CHANNELS;
    for (unsigned i = 0; i < CHANNELS; i++)
        heard[i].size = heard[i].seq = 0;
    while (input.left && wire_stream_add(&heard[input_number(&input, 1) % n_channels], &input))
        ;
    open_rig(&rig, n_channels);
    must(receiver_start(&rig.receiver, &err) == 0);
    must(receiver_wait(&rig.receiver, -1, &err) == RECEIVER_OVER);
    receiver_join(&rig.receiver);
    if (halt_check(&rig.halt, &err) < 0)
        must_be_sound(&err);
    must(!rig.receiver.is_verified || rig.receiver.n_compared == ram_n_parts(&rig.receiver.place.ram));
    must_hold_only_what_was_placed(&rig.receiver);
    must_answer_with_acks(rig.peers[0]);
    close_rig(&rig);
    return 0;
}
