/* SPDX-License-Identifier: Apache-2.0 */
#include "job/device_state.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "wire/control.h"

#define FIRST_ROOM (1u << 20)

static const struct awaited awaited_state = {"no-device-state", "device state from QEMU"};

static int make_nonblocking(int fd, struct err *err)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return err_sys(err, errno, "descriptor-unusable", "cannot use the device state's stream");
    return 0;
}

static int make_room(struct device_state *state, size_t *room, struct err *err)
{
    if (state->size < *room)
        return 0;
    /* One byte above the cap, so that a stream of exactly the cap can show its end. */
    size_t wanted = *room ? 2 * *room : FIRST_ROOM;
    if (wanted > WIRE_DEVICE_STATE_MAX + 1)
        wanted = WIRE_DEVICE_STATE_MAX + 1;
    uint8_t *bytes = wanted > state->size ? realloc(state->bytes, wanted) : NULL;
    if (!bytes)
        return err_sys(err, ENOMEM, "no-memory", "no memory for the device state");
    state->bytes = bytes;
    *room = wanted;
    return 0;
}

int device_state_read(struct device_state *state, const struct watch *watch, int stream, struct err *err)
{
    size_t room = 0;
    *state = (struct device_state){0};
    if (make_nonblocking(stream, err) < 0)
        return -1;
    for (;;) {
        if (make_room(state, &room, err) < 0)
            return -1;
        ssize_t got = read(stream, state->bytes + state->size, room - state->size);
        if (got < 0 && errno == EAGAIN) {
            if (watch_wait(watch, stream, POLLIN, WATCH_FOREVER, &awaited_state, err) < 0)
                return -1;
            continue;
        }
        if (got < 0 && errno != EINTR)
            return err_sys(err, errno, "device-state-read", "cannot read the device state");
        if (got == 0)
            break;
        if (got > 0)
            state->size += (size_t)got;
        if (state->size > WIRE_DEVICE_STATE_MAX)
            return err_set(err, ERR_REFUSED, "device-state-too-large",
                           "the device state has more than %llu bytes", WIRE_DEVICE_STATE_MAX);
    }
    if (!state->size)
        return err_set(err, ERR_CORRUPT, "device-state-empty", "QEMU saved no device state");
    return 0;
}

int device_state_send(const struct device_state *state, struct peer *peer, const struct watch *watch,
                      struct err *err)
{
    uint8_t head[WIRE_DEVICE_STATE_SIZE];
    struct wire_device_state about = {.length = state->size, .xxh3 = XXH3_64bits(state->bytes, state->size)};
    wire_device_state_encode(&about, head);
    struct peer_payload payload = {
        .data = head, .size = sizeof head, .tail = state->bytes, .tail_size = state->size};
    return peer_send(peer, watch, WIRE_DEVICE_STATE, &payload, err);
}

int device_state_receive(struct device_state *state, struct peer *peer, const struct watch *watch,
                         struct err *err)
{
    struct wire_record record;
    struct wire_device_state about;
    uint8_t head[WIRE_DEVICE_STATE_SIZE];
    *state = (struct device_state){0};
    if (peer_next(peer, watch, WATCH_FOREVER, &record, err) < 0)
        return -1;
    if (record.type != WIRE_DEVICE_STATE)
        return err_set(err, ERR_CORRUPT, "record-out-of-turn", "a %s record came instead of the device state",
                       wire_type_name(record.type));
    if (peer_read(peer, watch, head, sizeof head, err) < 0 ||
        wire_device_state_decode(head, record.length, &about, err) < 0)
        return -1;
    state->bytes = malloc(about.length ? about.length : 1);
    if (!state->bytes)
        return err_sys(err, ENOMEM, "no-memory", "no memory for %llu bytes of device state",
                       (unsigned long long)about.length);
    state->size = about.length;
    if (peer_read(peer, watch, state->bytes, state->size, err) < 0)
        return -1;
    if (XXH3_64bits(state->bytes, state->size) != about.xxh3)
        return err_set(err, ERR_CORRUPT, "device-state-corrupt", "the device state arrived damaged");
    return 0;
}

int device_state_write(const struct device_state *state, const struct watch *watch, int stream,
                       struct err *err)
{
    if (make_nonblocking(stream, err) < 0 || watch_write(watch, stream, state->bytes, state->size, err) < 0)
        return err_prefix(err, "loading the device state");
    return 0;
}

void device_state_clear(struct device_state *state)
{
    free(state->bytes);
    *state = (struct device_state){0};
}
