/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bitmap.h"
#include "base/clock.h"
#include "base/err.h"
#include "engine/codec.h"
#include "engine/delta.h"
#include "engine/delta_cache.h"
#include "engine/engine.h"
#include "engine/unpack.h"

#define PAGE ENGINE_PAGE_SIZE
#define MIB (1u << 20)

static void fill_random(uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(rand() >> 7);
}

/* Changes n_changes runs of up to `longest` bytes. */
static void scribble(uint8_t *page, unsigned n_changes, unsigned longest)
{
    for (unsigned i = 0; i < n_changes; i++) {
        size_t at = (size_t)rand() % PAGE, length = 1 + (size_t)rand() % longest;
        fill_random(page + at, length < PAGE - at ? length : PAGE - at);
    }
}

/* Encodes, and applies to a copy of the old page; returns the size. */
static size_t round_trip(const uint8_t *old, const uint8_t *new)
{
    uint8_t base[PAGE], copy[PAGE], bytes[DELTA_PAGE_MAX + 1];
    bytes[DELTA_PAGE_MAX] = 0xa5;
    memcpy(base, old, PAGE);
    memcpy(copy, old, PAGE);
    size_t size = delta_encode(base, new, bytes);
    assert_int_equal(bytes[DELTA_PAGE_MAX], 0xa5);
    if (!size)
        return 0;
    assert_memory_equal(base, new, PAGE);
    assert_int_equal(delta_apply(bytes, size, copy), size);
    assert_memory_equal(copy, new, PAGE);
    /* Words are given, not differences. */
    assert_int_equal(delta_apply(bytes, size, copy), size);
    assert_memory_equal(copy, new, PAGE);
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(delta_apply(bytes, cut, copy), 0);
    return size;
}

static void a_delta_makes_the_new_page_of_the_old_one(void **state)
{
    (void)state;
    uint8_t old[PAGE], new[PAGE];
    srand(3);
    fill_random(old, PAGE);
    memcpy(new, old, PAGE);
    assert_int_equal(round_trip(old, new), 2); /* nothing changed: one skip */
    new[0] ^= 1;
    assert_true(round_trip(old, new) <= 12);
    new[PAGE - 1] ^= 1;
    assert_true(round_trip(old, new) <= 22);
    fill_random(new, PAGE);
    assert_int_equal(round_trip(old, new), 0);
    for (unsigned turn = 0; turn < 2000; turn++) {
        memcpy(new, old, PAGE);
        scribble(new, (unsigned)rand() % 40, 1 + (unsigned)rand() % 200);
        (void)round_trip(old, new);
    }
}

static void a_delta_larger_than_half_a_page_is_given_up(void **state)
{
    (void)state;
    uint8_t old[PAGE] = {0}, new[PAGE] = {0};
    /* Every second word: nothing of it is worth it. */
    for (size_t at = 0; at < PAGE; at += 16)
        new[at] = 1;
    assert_int_equal(round_trip(old, new), 0);
    memset(new, 0, PAGE);
    memset(new, 1, 2000);
    assert_in_range(round_trip(old, new), 2000, DELTA_PAGE_MAX);
}

static void damaged_deltas_do_no_harm(void **state)
{
    (void)state;
    uint8_t bytes[64], pages[2 * PAGE] = {0};
    srand(9);
    for (unsigned turn = 0; turn < 200000; turn++) {
        size_t size = (size_t)rand() % sizeof bytes;
        for (size_t i = 0; i < size; i++)
            bytes[i] = rand() % 2 ? (uint8_t)(rand() % 8) : (uint8_t)rand();
        size_t used = delta_apply(bytes, size, pages);
        assert_true(used <= size);
        struct err err;
        if (unpack_deltas(bytes, size, pages, 2, &err) < 0)
            assert_string_equal(err.id, "delta-data");
    }
    /* Left over bytes are no delta. */
    const uint8_t two_whole_skips[] = {0x80, 4, 0x80, 4, 7};
    assert_int_equal(unpack_deltas(two_whole_skips, 4, pages, 2, NULL), 0);
    assert_int_equal(unpack_deltas(two_whole_skips, 5, pages, 2, NULL), -1);
    assert_int_equal(unpack_deltas(two_whole_skips, 3, pages, 2, NULL), -1);
}

static void put(struct delta_cache *cache, uint64_t page, uint32_t round, uint8_t byte)
{
    struct delta_entry entry;
    assert_true(delta_cache_take(cache, page, round, true, &entry));
    memset(entry.content, byte, PAGE);
    delta_cache_keep(&entry, page, round);
}

/* 0..255: the base's content; -1: there is none. */
static int base_of(struct delta_cache *cache, uint64_t page, uint32_t round)
{
    struct delta_entry entry;
    if (!delta_cache_take(cache, page, round, false, &entry))
        return -1;
    int byte = entry.is_base ? entry.content[PAGE - 1] : -1;
    delta_cache_keep(&entry, page, round);
    return byte;
}

static void a_base_is_always_of_an_earlier_round(void **state)
{
    (void)state;
    struct delta_cache cache = {0};
    assert_int_equal(delta_cache_init(&cache, 64 * PAGE, 1000, NULL), 0);
    put(&cache, 7, 1, 'a');
    /* Sent again in the same round: nobody said that the first one was placed. */
    assert_int_equal(base_of(&cache, 7, 1), -1);
    assert_int_equal(base_of(&cache, 7, 2), 'a');
    assert_int_equal(base_of(&cache, 7, 2), -1);
    put(&cache, 7, 3, 'b');
    assert_int_equal(base_of(&cache, 7, 4), 'b');
    delta_cache_clear(&cache);
}

static void forgotten_pages_have_no_base(void **state)
{
    (void)state;
    struct delta_cache cache = {0};
    struct bitmap pages = {0};
    assert_int_equal(delta_cache_init(&cache, 64 * PAGE, 64, NULL), 0);
    assert_int_equal(bitmap_init(&pages, 64, NULL), 0);
    for (uint64_t page = 0; page < 64; page++)
        put(&cache, page, 1, (uint8_t)page);
    delta_cache_forget(&cache, 5);
    delta_cache_forget(&cache, 5000);
    bitmap_set_range(&pages, 10, 20);
    delta_cache_forget_pages(&cache, &pages);
    for (uint64_t page = 0; page < 64; page++) {
        bool is_gone = page == 5 || (page >= 10 && page < 30);
        assert_int_equal(base_of(&cache, page, 2), is_gone ? -1 : (int)page);
    }
    assert_int_equal(delta_cache_bytes(&cache), 43 * (PAGE + 8));
    delta_cache_forget_all(&cache);
    assert_int_equal(delta_cache_bytes(&cache), 0);
    for (uint64_t page = 0; page < 64; page++)
        assert_int_equal(base_of(&cache, page, 3), -1);
    bitmap_free_bits(&pages);
    delta_cache_clear(&cache);
}

static void more_hot_pages_than_room_leave_some_hits(void **state)
{
    (void)state;
    struct delta_cache cache = {0};
    struct delta_entry entry;
    assert_int_equal(delta_cache_init(&cache, 64 * PAGE, 1000, NULL), 0);
    for (uint32_t round = 1; round < 10; round++) {
        unsigned n_bases = 0;
        for (uint64_t page = 0; page < 256; page++)
            if (delta_cache_take(&cache, page, round, true, &entry)) {
                n_bases += entry.is_base;
                delta_cache_keep(&entry, page, round);
            }
        assert_int_equal(n_bases, round == 1 ? 0 : 64);
    }
    /* Others take their places when they have cooled. */
    assert_false(delta_cache_take(&cache, 999, 10, true, &entry));
    assert_true(delta_cache_take(&cache, 999, 13, true, &entry));
    delta_cache_keep(&entry, 999, 13);
    delta_cache_clear(&cache);
}

static void make_text(uint8_t *bytes, size_t size)
{
    static const char *const words[] = {"guest ", "host ", "memory ", "round ", "page\n", "of the "};
    for (size_t at = 0; at < size;) {
        const char *word = words[rand() % 6];
        size_t length = strlen(word) < size - at ? strlen(word) : size - at;
        memcpy(bytes + at, word, length);
        at += length;
    }
}

static void codecs_give_back_what_they_took(void **state)
{
    (void)state;
    static uint8_t plain[MIB], packed[MIB], got[MIB];
    struct codec_state source = {0}, destination = {0};
    srand(5);
    for (unsigned turn = 0; turn < 60; turn++) {
        enum codec codec = CODEC_LZ4 + turn % 3;
        size_t size = PAGE * (1 + (size_t)rand() % (MIB / PAGE));
        make_text(plain, size);
        if (turn % 2)
            scribble(plain, 5, 500);
        struct codec_block block = {plain, size, packed, size * 15 / 16};
        size_t n_packed = codec_pack(&source, codec, &block);
        assert_in_range(n_packed, 1, size * 15 / 16);
        struct codec_block back = {packed, n_packed, got, size};
        assert_int_equal(codec_unpack(&destination, codec_on_wire(codec), &back, NULL), 0);
        assert_memory_equal(got, plain, size);
        /* Less or more than agreed is damage. */
        back.room_size = size - 1;
        assert_int_equal(codec_unpack(&destination, codec_on_wire(codec), &back, NULL), -1);
        back = (struct codec_block){packed, n_packed - 1, got, size};
        assert_int_equal(codec_unpack(&destination, codec_on_wire(codec), &back, NULL), -1);
    }
    fill_random(plain, MIB);
    for (enum codec codec = CODEC_LZ4; codec < CODEC_COUNT; codec++)
        assert_int_equal(codec_pack(&source, codec, &(struct codec_block){plain, MIB, packed, MIB * 15 / 16}),
                         0);
    codec_clear(&source);
    codec_clear(&destination);
}

static void damaged_blocks_are_refused_within_bounds(void **state)
{
    (void)state;
    static uint8_t plain[16 * PAGE], packed[16 * PAGE], damaged[16 * PAGE], got[16 * PAGE + 1];
    struct codec_state codecs = {0};
    srand(6);
    make_text(plain, sizeof plain);
    got[16 * PAGE] = 0x5a;
    for (unsigned turn = 0; turn < 6000; turn++) {
        enum codec codec = turn % 2 ? CODEC_LZ4 : CODEC_ZSTD_1;
        struct err err;
        size_t size =
            codec_pack(&codecs, codec, &(struct codec_block){plain, sizeof plain, packed, sizeof packed});
        memcpy(damaged, packed, size);
        for (int i = rand() % 4; i >= 0; i--)
            damaged[(size_t)rand() % size] ^= (uint8_t)(1 + rand() % 255);
        struct codec_block block = {damaged, size, got, 16 * PAGE};
        if (codec_unpack(&codecs, codec_on_wire(codec), &block, &err) < 0)
            assert_string_equal(err.id, "packed-data");
        assert_int_equal(got[16 * PAGE], 0x5a);
    }
    /* Two frames in one block, or one of an older format. */
    size_t size = codec_pack(&codecs, CODEC_ZSTD_1, &(struct codec_block){plain, PAGE, packed, PAGE});
    memcpy(packed + size, packed, size);
    struct codec_block two = {packed, 2 * size, got, 2 * PAGE};
    assert_int_equal(codec_unpack(&codecs, WIRE_CODEC_ZSTD, &two, NULL), -1);
    packed[0] = 0x27;
    struct codec_block old = {packed, size, got, PAGE};
    assert_int_equal(codec_unpack(&codecs, WIRE_CODEC_ZSTD, &old, NULL), -1);
    codec_clear(&codecs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_delta_makes_the_new_page_of_the_old_one),
        cmocka_unit_test(a_delta_larger_than_half_a_page_is_given_up),
        cmocka_unit_test(damaged_deltas_do_no_harm),
        cmocka_unit_test(a_base_is_always_of_an_earlier_round),
        cmocka_unit_test(forgotten_pages_have_no_base),
        cmocka_unit_test(more_hot_pages_than_room_leave_some_hits),
        cmocka_unit_test(codecs_give_back_what_they_took),
        cmocka_unit_test(damaged_blocks_are_refused_within_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
