/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine/tls.h"

#define SIZE (32 * MIB)
#define N_CHANNELS 2

/* A page that somebody on the way would know again. */
static const char marker[] = "these words of the guest must not be read on the way: 0123456789";

struct listener {
    bool has_seen_marker; /* the relay's thread; read once it ended */
    uint8_t tails[2 * N_CHANNELS][sizeof marker];
    uint64_t bytes;
    uint64_t flip_at; /* of channel 0; 0: never */
    uint64_t cut_at;
    struct rig_attempt *attempt;
};

static bool listen_in(struct relay_piece *piece, void *user)
{
    struct listener *listener = user;
    uint64_t end = piece->offset + piece->size;
    uint8_t *tail = listener->tails[2 * piece->connection + piece->from_source];
    listener->has_seen_marker |= relay_finds(piece, (const uint8_t *)marker, sizeof marker - 1, tail);
    listener->bytes += piece->size;
    if (!piece->from_source || piece->connection)
        return true;
    if (listener->flip_at >= piece->offset && listener->flip_at && listener->flip_at < end)
        piece->bytes[listener->flip_at - piece->offset] ^= 1;
    if (!listener->cut_at || end < listener->cut_at)
        return true;
    if (listener->cut_at >= piece->offset)
        piece->size = listener->cut_at - piece->offset;
    return false;
}

static void put_marker(struct rig *rig)
{
    rig_fill(rig, 0, SIZE, 3);
    for (uint64_t page = 0; page < SIZE; page += 64 * ENGINE_PAGE_SIZE)
        memcpy(rig->guest + page + 100, marker, sizeof marker);
}

static void moved_with(struct rig_attempt attempt, struct listener *listener)
{
    struct rig rig;
    rig_init(&rig, SIZE);
    put_marker(&rig);
    attempt.n_channels = N_CHANNELS;
    attempt.relay = listen_in;
    attempt.user = listener;
    listener->attempt = &attempt;
    rig_start_guest(&rig, SIZE / 2, SIZE / 4, true);
    rig_move(&rig, &attempt);
    /* What the relay saw is what both ends count; the handshake is the rest. */
    assert_true(listener->bytes >= attempt.snapshot.bytes_on_wire);
    rig_clear(&rig);
}

static void nothing_can_be_read_on_the_way(void **state)
{
    (void)state;
    struct listener clear = {0}, encrypted = {0};
    moved_with((struct rig_attempt){.verify = true}, &clear);
    assert_true(clear.has_seen_marker);
    moved_with((struct rig_attempt){.verify = true, .encrypt = true}, &encrypted);
    assert_false(encrypted.has_seen_marker);
}

static void renew_keys(const struct engine_round *round, void *user)
{
    const struct listener *listener = user;
    struct err err;
    (void)round;
    for (unsigned i = 0; i < N_CHANNELS; i++)
        assert_int_equal(tls_renew_key(listener->attempt->source_tls[i], &err), 0);
}

static void keys_change_between_rounds(void **state)
{
    (void)state;
    struct listener listener = {0};
    moved_with((struct rig_attempt){.verify = true, .encrypt = true, .round_done = renew_keys}, &listener);
    assert_false(listener.has_seen_marker);
}

static void a_capped_move_counts_what_tls_adds(void **state)
{
    (void)state;
    struct listener listener = {0};
    moved_with((struct rig_attempt){.encrypt = true, .bandwidth_bytes_s = 64 * MIB}, &listener);
}

/* Neither a bit that was changed nor an end that was cut off is taken for the guest's memory. */
static void ends_with(struct listener listener, enum err_code code, const char *id)
{
    struct rig rig;
    rig_init(&rig, SIZE);
    put_marker(&rig);
    struct rig_attempt attempt = {
        .n_channels = N_CHANNELS, .encrypt = true, .relay = listen_in, .user = &listener};
    rig_run(&rig, &attempt);
    assert_int_equal(attempt.source_result, -1);
    assert_int_equal(attempt.destination_result, -1);
    assert_int_equal(attempt.destination_err.code, code);
    assert_string_equal(attempt.destination_err.id, id);
    rig_clear(&rig);
}

static void changed_bytes_are_found(void **state)
{
    (void)state;
    ends_with((struct listener){.flip_at = MIB}, ERR_CORRUPT, "stream-damaged");
}

static void a_cut_is_no_end(void **state)
{
    (void)state;
    ends_with((struct listener){.cut_at = MIB}, ERR_PEER_LOST, "peer-lost");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_can_be_read_on_the_way), cmocka_unit_test(keys_change_between_rounds),
        cmocka_unit_test(a_capped_move_counts_what_tls_adds), cmocka_unit_test(changed_bytes_are_found),
        cmocka_unit_test(a_cut_is_no_end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
