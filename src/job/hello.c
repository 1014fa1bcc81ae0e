/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine/engine.h"
#include "job/peer.h"
#include "wire/data.h"

#define HELLO_PATIENCE_NS (10 * NS_PER_S)

static void describe_ourselves(const struct peer_hello *ours, struct wire_hello *ret)
{
    struct utsname kernel;
    *ret = (struct wire_hello){.version_min = WIRE_VERSION_MIN,
                               .version_max = WIRE_VERSION_MAX,
                               .n_channels = ours->n_channels,
                               .features = WIRE_FEATURES & ~(ours->is_forecast ? WIRE_FEATURE_RESUME : 0),
                               .required =
                                   WIRE_FEATURE_RAM_ROUNDS | (ours->needs_verify ? WIRE_FEATURE_VERIFY : 0),
                               .ram_size = ours->ram_size,
                               .page_size = ENGINE_PAGE_SIZE,
                               .host_page_size = (uint32_t)sysconf(_SC_PAGESIZE),
                               .epoch = ours->epoch,
                               .wall_ms = clock_wall_ms(),
                               .batch_max = WIRE_BATCH_BYTES_MAX};
    (void)snprintf(ret->move_id, sizeof ret->move_id, "%s", ours->move_id);
    if (uname(&kernel) == 0)
        (void)snprintf(ret->kernel, sizeof ret->kernel, "%s", kernel.release);
}

static int receive(struct peer *peer, const struct watch *watch, struct wire_hello *ret, struct err *err)
{
    struct wire_record record;
    uint8_t bytes[WIRE_HELLO_MAX];
    if (peer_next(peer, watch, clock_now_ns() + HELLO_PATIENCE_NS, &record, err) < 0)
        return -1;
    if (record.type != WIRE_HELLO)
        return err_set(err, ERR_CORRUPT, "hello-missing", "the first record is no HELLO but %s",
                       wire_type_name(record.type));
    if (peer_read(peer, watch, bytes, (size_t)record.length, err) < 0)
        return -1;
    return wire_hello_decode(bytes, (size_t)record.length, ret, err);
}

int peer_greet(struct peer *peer, const struct watch *watch, const struct peer_hello *ours,
               struct wire_choice *ret_choice, struct err *err)
{
    struct wire_hello mine;
    struct wire_hello theirs;
    uint8_t bytes[WIRE_HELLO_MAX];
    describe_ourselves(ours, &mine);
    struct peer_payload payload = {.data = bytes, .size = wire_hello_encode(&mine, bytes, sizeof bytes)};
    if (peer_send(peer, watch, WIRE_HELLO, &payload, err) < 0 || receive(peer, watch, &theirs, err) < 0)
        return -1;
    return peer->is_source ? wire_hello_choose(&theirs, &mine, ret_choice, err)
                           : wire_hello_choose(&mine, &theirs, ret_choice, err);
}
