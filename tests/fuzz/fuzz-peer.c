/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a job hears on a fresh connection and on its control connection: the proof of the key (nobody passes
 * who does not know it), HELLO, secrets, the device state, the other side's error. The first byte chooses
 * what is due; the rest is what comes (wire_stream.h; for the proof the bare bytes).
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "job/device_state.h"
#include "job/introduce.h"
#include "job/peer.h"
#include "wire/control.h"
#include "wire/data.h"
#include "wire_stream.h"

static struct cancel *never;
static struct watch watch = {.qemu_pidfd = -1};
static struct wire_stream heard;

static void greet(struct peer *peer)
{
    const struct peer_hello ours = {.move_id = "3f0c8a52-6b1d-4e7a-9c55-0d2f4b6a8c1e",
                                    .epoch = 7,
                                    .ram_size = 1 << 20,
                                    .n_channels = 4,
                                    .needs_verify = true};
    struct wire_choice choice;
    struct err err = {0};
    if (peer_greet(peer, &watch, &ours, &choice, &err) < 0) {
        must_be_sound(&err);
        return;
    }
    must(choice.version == WIRE_VERSION_MAX && !(choice.features & ~WIRE_FEATURES));
    must(choice.features & WIRE_FEATURE_RAM_ROUNDS && choice.features & WIRE_FEATURE_VERIFY);
    must(choice.n_channels && choice.n_channels <= WIRE_CHANNELS_MAX);
}

static void expect_secret(struct peer *peer)
{
    uint8_t secret[WIRE_SECRET_SIZE];
    struct err err = {0};
    if (peer_expect(peer, &watch, WIRE_READY, secret, sizeof secret, &err) < 0)
        must_be_sound(&err);
    else
        must(memmem(heard.bytes, heard.size, secret, sizeof secret) != NULL);
}

static void receive_state(struct peer *peer)
{
    struct device_state state;
    struct err err = {0};
    if (device_state_receive(&state, peer, &watch, &err) < 0)
        must_be_sound(&err);
    else
        must(!state.size || memmem(heard.bytes, heard.size, state.bytes, state.size));
    device_state_clear(&state);
}

/* Whatever comes is a reason, nonsense or the end. */
static void expect_nothing(struct peer *peer)
{
    struct err err = {0};
    must(peer_unexpected(peer, &watch, &err) < 0);
    must_be_sound(&err);
    if (peer_has_reason(peer, &watch, &err)) {
        must_be_sound(&err);
        must(!strcmp(err.side, peer->is_source ? "source" : "destination"));
    }
}

static void read_all(struct peer *peer)
{
    struct wire_record record;
    uint8_t payload[WIRE_HELLO_MAX];
    struct err err = {0};
    while (peer_next(peer, &watch, WATCH_FOREVER, &record, &err) == 0)
        if (record.length > sizeof payload ||
            peer_read(peer, &watch, payload, (size_t)record.length, &err) < 0)
            return;
    must_be_sound(&err);
}

/* All that comes is there already: an answer that is awaited will not come. */
static int hear_stranger(const struct introduction *us, uint32_t security, struct stream *stream,
                         struct err *err)
{
    struct introduction_heard so_far;
    short events;
    int ret = introduce_begin_hearing(us, security, stream, &so_far, err);
    if (ret == 0)
        ret = introduce_hear(us, &so_far, stream, &events, err);
    introduce_forget(&so_far);
    return ret;
}

/* A stranger: the key and the nonces are not in the input. */
static void introduce(struct input *input, bool is_source, bool encrypt)
{
    struct ctl_job_spec spec = {.version = CTL_VERSION,
                                .role = is_source ? CTL_ROLE_SOURCE : CTL_ROLE_DESTINATION,
                                .encrypt = encrypt,
                                .move_id = "3f0c8a52-6b1d-4e7a-9c55-0d2f4b6a8c1e"};
    memset(spec.key, 0x5a, sizeof spec.key);
    struct introduction us = {.spec = &spec, .role = WIRE_ROLE_CONTROL};
    uint32_t security = (uint32_t)input_number(input, 1) % 2;
    struct err err = {0};
    int ends[2];
    fuzz_socketpair(SOCK_STREAM, ends);
    struct stream stream = {.fd = ends[1]};
    struct input all = input_part(input, WIRE_STREAM_MAX);
    fuzz_say_all(ends[0], all.at, all.left);
    must((is_source ? introduce_as_source(&us, &watch, &stream, &err)
                    : hear_stranger(&us, security, &stream, &err)) < 0);
    must_be_sound(&err);
    stream_close(&stream);
    (void)close(ends[0]);
}

static void hear(struct input *input, void (*part)(struct peer *peer), bool is_source)
{
    int ends[2];
    fuzz_socketpair(SOCK_STREAM, ends);
    struct peer peer = {.stream = {.fd = ends[1]}, .is_source = is_source};
    wire_stream_read(&heard, input);
    fuzz_say_all(ends[0], heard.bytes, heard.size);
    part(&peer);
    peer_close(&peer);
    (void)close(ends[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const parts[])(struct peer * peer) = {greet, expect_secret, receive_state, expect_nothing,
                                                        read_all};
    const unsigned n_parts = sizeof parts / sizeof parts[0];
    struct input input = {data, size};
    if (!never) {
        never = cancel_new(NULL);
        must(never != NULL);
        watch.stop = never;
    }
    unsigned choice = (unsigned)input_number(&input, 1);
    bool is_source = choice & 0x80;
    unsigned which = (choice & 0x7f) % (n_parts + 2);
    if (which < n_parts)
        hear(&input, parts[which], is_source);
    else
        introduce(&input, is_source, which > n_parts);
    return 0;
}
