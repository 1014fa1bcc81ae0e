/* SPDX-License-Identifier: Apache-2.0 */
/* What no-write-is-lost-while-copying promises, with every codec and with deltas; and that these were used.
 */
#include "rig.h"

#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"

#define SIZE (96 * MIB)
#define TEXT (48 * MIB)
#define SLOW 60000000

struct choice {
    enum engine_compression compression;
    enum engine_delta delta;
    enum engine_dirty dirty;
    unsigned n_channels;
    uint64_t cache_bytes, bandwidth_bytes_s;
};

/* Text, random data and zeros, and guests that rewrite pages, clear them and change words. */
static void start(struct rig *rig)
{
    rig_init(rig, SIZE);
    rig_fill_text(rig, 0, TEXT, 3);
    rig_fill(rig, TEXT, 16 * MIB, 7);
    rig_start_guest(rig, 0, 8 * MIB, true);
    rig_start_guest(rig, 40 * MIB, 40 * MIB, true);
    rig_start_patching_guest(rig, 4 * MIB, 12 * MIB);
    rig_wait_writes(rig, 10);
}

static void move(struct choice choice, struct engine_codec_counts ret_counts[ENGINE_CODECS])
{
    struct rig rig;
    start(&rig);
    struct rig_attempt attempt = {.n_channels = choice.n_channels,
                                  .dirty = choice.dirty,
                                  .compression = choice.compression,
                                  .delta = choice.delta,
                                  .delta_cache_bytes = choice.cache_bytes,
                                  .bandwidth_bytes_s = choice.bandwidth_bytes_s,
                                  .goal_ns = choice.bandwidth_bytes_s ? 400 * NS_PER_MS : 0,
                                  .verify = true};
    rig_move(&rig, &attempt);
    memcpy(ret_counts, attempt.snapshot.codecs, sizeof attempt.snapshot.codecs);
    for (unsigned i = 0; i < ENGINE_CODECS; i++)
        print_message("codec %u: %llu pages, %llu bytes in %llu\n", i,
                      (unsigned long long)ret_counts[i].pages, (unsigned long long)ret_counts[i].raw_bytes,
                      (unsigned long long)ret_counts[i].wire_bytes);
    rig_clear(&rig);
}

static void with_lz4_and_deltas(void **state)
{
    (void)state;
    struct engine_codec_counts counts[ENGINE_CODECS];
    move((struct choice){ENGINE_COMPRESSION_LZ4, ENGINE_DELTA_ON, ENGINE_DIRTY_ASYNC, 3, SIZE, SLOW}, counts);
    assert_true(counts[ENGINE_CODEC_LZ4].raw_bytes > TEXT / 2);
    assert_true(counts[ENGINE_CODEC_LZ4].wire_bytes < counts[ENGINE_CODEC_LZ4].raw_bytes * 8 / 10);
    assert_true(counts[ENGINE_CODEC_DELTA].pages > 0);
    assert_true(counts[ENGINE_CODEC_DELTA].wire_bytes < counts[ENGINE_CODEC_DELTA].raw_bytes / 4);
    assert_int_equal(counts[ENGINE_CODEC_ZSTD].pages, 0);
}

static void with_zstd_and_a_cache_that_is_too_small(void **state)
{
    (void)state;
    struct engine_codec_counts counts[ENGINE_CODECS];
    move((struct choice){ENGINE_COMPRESSION_ZSTD, ENGINE_DELTA_ON, ENGINE_DIRTY_ASYNC, 2, MIB, SLOW}, counts);
    assert_true(counts[ENGINE_CODEC_ZSTD].raw_bytes > TEXT / 2);
    assert_true(counts[ENGINE_CODEC_ZSTD].wire_bytes < counts[ENGINE_CODEC_ZSTD].raw_bytes / 2);
}

static void with_deltas_behind_a_synchronous_source(void **state)
{
    (void)state;
    struct engine_codec_counts counts[ENGINE_CODECS];
    move((struct choice){ENGINE_COMPRESSION_OFF, ENGINE_DELTA_ON, ENGINE_DIRTY_SYNC, 4, SIZE, SLOW}, counts);
    assert_true(counts[ENGINE_CODEC_DELTA].pages > 0);
    assert_int_equal(counts[ENGINE_CODEC_LZ4].pages + counts[ENGINE_CODEC_ZSTD].pages, 0);
}

static void with_what_is_measured(void **state)
{
    (void)state;
    struct engine_codec_counts counts[ENGINE_CODECS];
    move((struct choice){ENGINE_COMPRESSION_AUTO, ENGINE_DELTA_AUTO, ENGINE_DIRTY_ASYNC, 2, 0, SLOW}, counts);
    assert_true(counts[ENGINE_CODEC_LZ4].pages + counts[ENGINE_CODEC_ZSTD].pages > 0);
    move((struct choice){ENGINE_COMPRESSION_AUTO, ENGINE_DELTA_AUTO, ENGINE_DIRTY_ASYNC, 2, 0, 0}, counts);
}

static void with_sixteen_channels(void **state)
{
    (void)state;
    struct engine_codec_counts counts[ENGINE_CODECS];
    move((struct choice){ENGINE_COMPRESSION_LZ4, ENGINE_DELTA_ON, ENGINE_DIRTY_ASYNC, 16, SIZE, 0}, counts);
    assert_true(counts[ENGINE_CODEC_LZ4].pages > 0);
}

static void off_sends_pages_as_they_are(void **state)
{
    (void)state;
    struct engine_codec_counts counts[ENGINE_CODECS];
    move((struct choice){ENGINE_COMPRESSION_OFF, ENGINE_DELTA_OFF, ENGINE_DIRTY_ASYNC, 2, 0, 0}, counts);
    assert_true(counts[ENGINE_CODEC_RAW].pages > 0);
    for (unsigned i = ENGINE_CODEC_LZ4; i < ENGINE_CODECS; i++)
        assert_int_equal(counts[i].pages, 0);
}

/* Pages that were sent are punched and written again: as changes against what was there before they would be
 * damage. */
static void punch(const struct engine_round *round, void *user)
{
    struct rig *rig = user;
    /* The last round is one without guests. */
    if (rig->n_guests && round->n < 8)
        assert_int_equal(madvise(rig->guest + 4 * MIB, 4 * MIB, MADV_REMOVE), 0);
}

static void punched_pages_are_no_base(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 32 * MIB);
    rig_fill(&rig, 0, 24 * MIB, 9);
    rig_start_patching_guest(&rig, 0, 6 * MIB);
    rig_wait_writes(&rig, 1000);
    struct rig_attempt attempt = {.n_channels = 2,
                                  .compression = ENGINE_COMPRESSION_LZ4,
                                  .delta = ENGINE_DELTA_ON,
                                  .delta_cache_bytes = 32 * MIB,
                                  .bandwidth_bytes_s = SLOW,
                                  .round_done = punch,
                                  .user = &rig,
                                  .verify = true};
    rig_move(&rig, &attempt);
    assert_true(attempt.snapshot.codecs[ENGINE_CODEC_DELTA].pages > 0);
    rig_clear(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_lz4_and_deltas),
        cmocka_unit_test(with_zstd_and_a_cache_that_is_too_small),
        cmocka_unit_test(with_deltas_behind_a_synchronous_source),
        cmocka_unit_test(with_what_is_measured),
        cmocka_unit_test(with_sixteen_channels),
        cmocka_unit_test(off_sends_pages_as_they_are),
        cmocka_unit_test(punched_pages_are_no_base),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
