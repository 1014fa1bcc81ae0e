/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "engine/codec_policy.h"

#define MB 1000000ull
#define BATCH (1u << 20)
#define ALL (1u << CODEC_RAW | 1u << CODEC_LZ4 | 1u << CODEC_ZSTD_1 | 1u << CODEC_ZSTD_3)

/* A world in which batches pass: two workers, a link, data, and what codecs make of it. */
struct world {
    struct codec_policy policy;
    uint64_t now_ns;
    double link_bytes_s;    /* wire bytes */
    double cpu_ns_per_byte; /* of a worker, without packing */
    double crowding;        /* how much longer than its CPU time a worker takes */
    double ratios[CODEC_COUNT], bytes_s[CODEC_COUNT];
    double broken; /* what a codec takes more than its samples say: other hosts, other threads */
    bool is_peer_slow, is_packable;
    uint64_t raw_bytes, packed_bytes;
    unsigned n_samples;
};

static struct world text_over(double link_bytes_s)
{
    struct world world = {.link_bytes_s = link_bytes_s,
                          .cpu_ns_per_byte = 0.5,
                          .crowding = 1,
                          .broken = 1,
                          .is_packable = true,
                          .ratios = {1, 0.66, 0.38, 0.36},
                          .bytes_s = {1, 600e6, 350e6, 200e6}};
    codec_policy_init(&world.policy, 2, ALL);
    return world;
}

static void take_sample(struct world *world)
{
    enum codec codec = codec_policy_sample(&world->policy);
    if (codec == CODEC_RAW)
        return;
    world->n_samples++;
    double ratio = world->is_packable ? world->ratios[codec] : 1;
    codec_policy_learn(&world->policy, codec, 65536, (uint64_t)(65536 * ratio),
                       (uint64_t)(65536 / world->bytes_s[codec] * 1e9));
}

/* One batch through the two workers. */
static void pass_batch(struct world *world)
{
    enum codec codec = world->policy.now;
    bool is_packed = codec != CODEC_RAW && world->is_packable;
    double ratio = is_packed ? world->ratios[codec] : 1;
    double pack_ns = is_packed ? BATCH / world->bytes_s[codec] * 1e9 * world->broken : 0;
    double cpu_ns = world->cpu_ns_per_byte * BATCH;
    take_sample(world);
    double worker_ns = (cpu_ns + pack_ns) * world->crowding / 2,
           link_ns = BATCH * ratio / world->link_bytes_s * 1e9;
    double took_ns = worker_ns > link_ns ? worker_ns : link_ns;
    world->now_ns += (uint64_t)took_ns;
    world->raw_bytes += BATCH;
    world->packed_bytes += is_packed ? BATCH : 0;
    if (is_packed)
        codec_policy_learn(&world->policy, codec, BATCH, (uint64_t)(BATCH * ratio),
                           (uint64_t)(BATCH / world->bytes_s[codec] * 1e9));
    struct codec_batch batch = {.codec = codec,
                                .raw_bytes = BATCH,
                                .packed_raw = is_packed ? BATCH : 0,
                                .wire_bytes = (uint64_t)(BATCH * ratio),
                                .busy_ns = (uint64_t)cpu_ns,
                                .wait_ns = (uint64_t)(2 * (took_ns - worker_ns)),
                                .read_ns = (uint64_t)(1000 * world->crowding),
                                .read_cpu_ns = 1000,
                                .link_us = 1000,
                                .peer_us = world->is_peer_slow ? 900 : 0,
                                .now_ns = world->now_ns};
    codec_policy_note(&world->policy, &batch);
}

static void pass(struct world *world, unsigned n_batches)
{
    for (unsigned i = 0; i < n_batches; i++)
        pass_batch(world);
}

static void a_slow_link_gets_the_codec_that_moves_most_pages(void **state)
{
    (void)state;
    struct world world = text_over(125e6);
    pass(&world, 64);
    assert_int_equal(world.policy.now, CODEC_ZSTD_1);
    /* A third level that packs a tenth better and keeps up is worth it; one twentieth is not. */
    world = text_over(40e6);
    world.ratios[CODEC_ZSTD_3] = 0.3;
    pass(&world, 64);
    assert_int_equal(world.policy.now, CODEC_ZSTD_3);
    /* On a link that zstd cannot fill, lz4 moves more. */
    world = text_over(500e6);
    world.bytes_s[CODEC_LZ4] = 900e6;
    pass(&world, 200);
    assert_int_equal(world.policy.now, CODEC_LZ4);
}

static void nothing_is_packed_when_the_cpu_is_the_bottleneck(void **state)
{
    (void)state;
    struct world world = text_over(3e9);
    pass(&world, 2000);
    assert_int_equal(world.policy.now, CODEC_RAW);
    assert_int_equal(world.packed_bytes, 0);
    /* The samples are all it costs: 64 kB of every 32 MB. */
    assert_true(world.n_samples <= 3 + 2000 / CODEC_SAMPLE_EVERY);
    /* A CPU that is shared with others is slower for codecs, too. */
    world = text_over(600e6);
    world.crowding = 4;
    pass(&world, 500);
    assert_int_equal(world.packed_bytes, 0);
}

static void nothing_is_packed_for_a_host_that_cannot_keep_up(void **state)
{
    (void)state;
    struct world world = text_over(300e6);
    world.is_peer_slow = true;
    pass(&world, 500);
    assert_int_equal(world.packed_bytes, 0);
}

static void random_data_is_left_alone(void **state)
{
    (void)state;
    struct world world = text_over(125e6);
    world.is_packable = false;
    pass(&world, 1000);
    assert_int_equal(world.policy.now, CODEC_RAW);
    /* And text that comes later is found. */
    world.is_packable = true;
    pass(&world, 200);
    assert_int_equal(world.policy.now, CODEC_ZSTD_1);
    /* Random data in between says nothing about the codec. */
    world.is_packable = false;
    pass(&world, 500);
    assert_int_equal(world.policy.now, CODEC_ZSTD_1);
}

static void a_broken_promise_is_tried_ever_more_seldom(void **state)
{
    (void)state;
    struct world world = text_over(800e6);
    world.bytes_s[CODEC_LZ4] = 1500e6;
    world.broken = 4;
    pass(&world, 4000);
    assert_int_equal(world.policy.now, CODEC_RAW);
    assert_true(world.packed_bytes > 0);
    assert_true(world.packed_bytes * 10 < world.raw_bytes);
}

static void a_link_that_becomes_fast_is_noticed(void **state)
{
    (void)state;
    struct world world = text_over(125e6);
    pass(&world, 100);
    assert_int_equal(world.policy.now, CODEC_ZSTD_1);
    world.link_bytes_s = 5e9;
    pass(&world, 600);
    assert_int_not_equal(world.policy.now, CODEC_ZSTD_3);
    world.link_bytes_s = 20e6;
    pass(&world, 600);
    assert_int_not_equal(world.policy.now, CODEC_RAW);
}

static void a_codec_that_was_asked_for_is_used(void **state)
{
    (void)state;
    struct world world = text_over(5e9);
    codec_policy_init(&world.policy, 2, 1u << CODEC_LZ4);
    pass(&world, 500);
    assert_int_equal(world.policy.now, CODEC_LZ4);
    codec_policy_init(&world.policy, 2, 1u << CODEC_RAW);
    pass(&world, 500);
    assert_int_equal(world.policy.now, CODEC_RAW);
}

static void a_pause_between_rounds_is_no_measurement(void **state)
{
    (void)state;
    struct world world = text_over(125e6);
    pass(&world, 100);
    for (unsigned round = 0; round < 50; round++) {
        pass(&world, 20);
        codec_policy_pause(&world.policy);
        world.now_ns += NS_PER_S;
    }
    assert_true(world.policy.codecs[CODEC_ZSTD_1].measured > 200e6);
    assert_int_equal(world.policy.now, CODEC_ZSTD_1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_link_gets_the_codec_that_moves_most_pages),
        cmocka_unit_test(nothing_is_packed_when_the_cpu_is_the_bottleneck),
        cmocka_unit_test(nothing_is_packed_for_a_host_that_cannot_keep_up),
        cmocka_unit_test(random_data_is_left_alone),
        cmocka_unit_test(a_broken_promise_is_tried_ever_more_seldom),
        cmocka_unit_test(a_link_that_becomes_fast_is_noticed),
        cmocka_unit_test(a_codec_that_was_asked_for_is_used),
        cmocka_unit_test(a_pause_between_rounds_is_no_measurement),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
