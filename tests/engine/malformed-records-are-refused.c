/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "raw.h"
#include "wire/data.h"
#include "wire/record.h"

#define RAM (8 * MIB)
#define P ((uint64_t)ENGINE_PAGE_SIZE)

static void one_zero_extent(struct raw *raw, uint64_t offset, uint64_t length)
{
    const uint64_t extents[1][2] = {{offset, length}};
    raw_send_zero(raw, 0, extents, 1);
}

static void header_checksum(struct raw *raw)
{
    uint8_t header[WIRE_RECORD_HEADER_SIZE];
    wire_record_encode(&(struct wire_record){.type = WIRE_FINISH}, header);
    header[5] ^= 1;
    (void)!write(raw->fd, header, sizeof header);
}

static void repeated_record(struct raw *raw)
{
    one_zero_extent(raw, 0, P);
    raw->seq = 0;
    one_zero_extent(raw, P, P);
}

static void unknown_mandatory(struct raw *raw)
{
    raw_send(raw, 0x7123, "x", 1);
}

static void endless_optional(struct raw *raw)
{
    uint8_t header[WIRE_RECORD_HEADER_SIZE];
    wire_record_encode(&(struct wire_record){.type = 0x123 | WIRE_RECORD_OPTIONAL, .length = 1ull << 60},
                       header);
    (void)!write(raw->fd, header, sizeof header);
}

static void endless_pages(struct raw *raw)
{
    uint8_t header[WIRE_RECORD_HEADER_SIZE];
    wire_record_encode(&(struct wire_record){.type = WIRE_PAGES, .length = UINT64_MAX}, header);
    (void)!write(raw->fd, header, sizeof header);
}

static void control_record(struct raw *raw)
{
    raw_send(raw, WIRE_BYE, NULL, 0);
}

static void answer_of_a_destination(struct raw *raw)
{
    uint8_t ack[WIRE_ACK_SIZE];
    wire_ack_encode(&(struct wire_ack){.verdict = WIRE_VERDICT_PLACED}, ack);
    raw_send(raw, WIRE_ACK, ack, sizeof ack);
}

static void beyond_ram(struct raw *raw)
{
    one_zero_extent(raw, RAM - P, 2 * P);
}

static void wrapping_extent(struct raw *raw)
{
    one_zero_extent(raw, UINT64_MAX - P + 1, 2 * P);
}

static void empty_extent(struct raw *raw)
{
    one_zero_extent(raw, P, 0);
}

static void half_a_page(struct raw *raw)
{
    one_zero_extent(raw, P, P / 2);
}

static void crooked_offset(struct raw *raw)
{
    one_zero_extent(raw, 7, P);
}

static void overlapping_extents(struct raw *raw)
{
    const uint64_t extents[2][2] = {{0, 2 * P}, {P, P}};
    raw_send_zero(raw, 0, extents, 2);
}

static void pages_beyond_ram(struct raw *raw)
{
    raw_send_pages(raw, (struct raw_pages){.offset = RAM, .length = P});
}

static void round_of_tomorrow(struct raw *raw)
{
    raw_send_pages(raw, (struct raw_pages){.round = 1, .length = P});
}

static void damaged_batch(struct raw *raw)
{
    raw_send_pages(raw, (struct raw_pages){.length = 4 * P, .byte = 3, .checksum_error = 1});
}

static void extents_unlike_length(struct raw *raw)
{
    uint8_t payload[WIRE_PAGES_SIZE + WIRE_EXTENT_SIZE + ENGINE_PAGE_SIZE] = {0};
    wire_pages_encode(&(struct wire_pages){.n_extents = 1, .n_bytes = P}, payload);
    wire_extents_encode(&(struct wire_extent){0, 2 * P}, 1, payload + WIRE_PAGES_SIZE);
    raw_send(raw, WIRE_PAGES, payload, sizeof payload);
}

static void list_unlike_length(struct raw *raw)
{
    uint8_t payload[WIRE_LIST_SIZE];
    wire_list_encode(&(struct wire_list){.n_extents = 2}, payload);
    raw_send(raw, WIRE_ZERO, payload, sizeof payload);
}

static void zeros_in_another_place(struct raw *raw)
{
    raw->sum = 1;
    one_zero_extent(raw, 0, P);
}

static void pages_in_another_place(struct raw *raw)
{
    raw->sum = 1;
    raw_send_pages(raw, (struct raw_pages){.length = P, .byte = 1});
}

static void another_round_ends(struct raw *raw)
{
    raw->sum = 1;
    raw_send_sync(raw, 0, 0, 0);
}

static void miscounted_round(struct raw *raw)
{
    raw_send_pages(raw, (struct raw_pages){.length = P, .byte = 1});
    raw_send_sync(raw, 0, 2, P);
}

static void repeated_round(struct raw *raw)
{
    raw_send_sync(raw, 0, 0, 0);
    raw_send_sync(raw, 0, 0, 0);
}

static void finish_before_any_round(struct raw *raw)
{
    raw_send(raw, WIRE_FINISH, NULL, 0);
}

static void hashes_unasked(struct raw *raw)
{
    uint8_t payload[WIRE_VERIFY_SIZE + WIRE_HASH_SIZE] = {0};
    wire_verify_encode(&(struct wire_verify){.n_parts = 1}, payload);
    raw_send_sync(raw, 0, 0, 0);
    raw_send(raw, WIRE_VERIFY, payload, sizeof payload);
}

static void begin_verification(struct raw *raw)
{
    uint8_t payload[WIRE_VERIFY_BEGIN_SIZE];
    wire_verify_begin_encode(&(struct wire_verify_begin){.part_bytes = WIRE_PART_BYTES}, payload);
    raw_send_sync(raw, 0, 0, 0);
    raw_send(raw, WIRE_VERIFY_BEGIN, payload, sizeof payload);
}

static void pages_after_verification(struct raw *raw)
{
    begin_verification(raw);
    raw_send_pages(raw, (struct raw_pages){.round = 1, .length = P});
}

static void finish_amid_verification(struct raw *raw)
{
    begin_verification(raw);
    raw_send(raw, WIRE_FINISH, NULL, 0);
}

static void hashes_of_too_many_parts(struct raw *raw)
{
    uint8_t payload[WIRE_VERIFY_SIZE + 8 * WIRE_HASH_SIZE] = {0};
    begin_verification(raw);
    wire_verify_encode(&(struct wire_verify){.n_parts = 8}, payload);
    raw_send(raw, WIRE_VERIFY, payload, sizeof payload);
}

/* A PACKED or DELTA record of `n_pages` pages at `offset` with these bytes behind its extents. */
struct packed_words {
    uint32_t type, codec, n_pages;
    uint64_t offset, xxh3;
    uint32_t n_packed_error;
    const uint8_t *bytes;
    uint32_t size;
};

static void say_packed(struct raw *raw, struct packed_words words)
{
    uint8_t payload[WIRE_PACKED_SIZE + WIRE_EXTENT_SIZE + 4096] = {0};
    struct wire_packed packed = {.codec = words.codec,
                                 .n_extents = 1,
                                 .n_packed = words.size + words.n_packed_error,
                                 .n_bytes = words.n_pages * P,
                                 .xxh3 = words.xxh3};
    wire_packed_encode(&packed, payload);
    wire_extents_encode(&(struct wire_extent){words.offset, words.n_pages * P}, 1,
                        payload + WIRE_PACKED_SIZE);
    memcpy(payload + WIRE_PACKED_SIZE + WIRE_EXTENT_SIZE, words.bytes, words.size);
    raw_send(raw, words.type, payload, WIRE_PACKED_SIZE + WIRE_EXTENT_SIZE + words.size);
}

static const uint8_t junk[64] = {0x28, 0xb5, 0x2f, 0xfd, 0xff, 0xff, 0xff, 0xff};
/* A page of zeros in lz4: a literal zero, a match of 4090 back by one, five literals at the end. */
static const uint8_t lz4_zeros[] = {0x1f, 0,    1,    0,    0xff, 0xff, 0xff, 0xff, 0xff,
                                    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                    0xff, 246,  0x50, 0,    0,    0,    0,    0};
/* Nothing changed, and one word changed. */
static const uint8_t no_change[] = {0x80, 4};
static const uint8_t one_change[] = {0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 0xff, 3};

static void packed_by_nobody(struct raw *raw)
{
    say_packed(
        raw, (struct packed_words){.type = WIRE_PACKED, .codec = 3, .n_pages = 1, .bytes = junk, .size = 64});
}

static void packed_by_no_codec(struct raw *raw)
{
    say_packed(raw, (struct packed_words){.type = WIRE_PACKED, .n_pages = 1, .bytes = junk, .size = 64});
}

static void delta_by_a_codec(struct raw *raw)
{
    say_packed(raw,
               (struct packed_words){
                   .type = WIRE_DELTA, .codec = WIRE_CODEC_LZ4, .n_pages = 1, .bytes = junk, .size = 64});
}

static void packed_junk(struct raw *raw)
{
    say_packed(raw,
               (struct packed_words){
                   .type = WIRE_PACKED, .codec = WIRE_CODEC_LZ4, .n_pages = 1, .bytes = junk, .size = 64});
}

static void zstd_junk(struct raw *raw)
{
    say_packed(raw,
               (struct packed_words){
                   .type = WIRE_PACKED, .codec = WIRE_CODEC_ZSTD, .n_pages = 1, .bytes = junk, .size = 64});
}

static void packed_bomb(struct raw *raw)
{
    /* Unpacks into a page where half a MiB was announced, or the other way round. */
    say_packed(raw, (struct packed_words){.type = WIRE_PACKED,
                                          .codec = WIRE_CODEC_LZ4,
                                          .n_pages = 128,
                                          .bytes = lz4_zeros,
                                          .size = sizeof lz4_zeros});
}

static void packed_damage(struct raw *raw)
{
    say_packed(raw, (struct packed_words){.type = WIRE_PACKED,
                                          .codec = WIRE_CODEC_LZ4,
                                          .n_pages = 1,
                                          .xxh3 = 5,
                                          .bytes = lz4_zeros,
                                          .size = sizeof lz4_zeros});
}

static void packed_for_another_place(struct raw *raw)
{
    raw->sum = 1;
    packed_damage(raw);
}

static void packed_beyond_ram(struct raw *raw)
{
    say_packed(raw, (struct packed_words){.type = WIRE_PACKED,
                                          .codec = WIRE_CODEC_LZ4,
                                          .n_pages = 2,
                                          .offset = RAM - P,
                                          .bytes = junk,
                                          .size = 64});
}

static void packed_into_more(struct raw *raw)
{
    uint8_t payload[WIRE_PACKED_SIZE + WIRE_EXTENT_SIZE + 4096] = {0};
    wire_packed_encode(
        &(struct wire_packed){.codec = WIRE_CODEC_LZ4, .n_extents = 1, .n_packed = P, .n_bytes = P}, payload);
    wire_extents_encode(&(struct wire_extent){0, P}, 1, payload + WIRE_PACKED_SIZE);
    raw_send(raw, WIRE_PACKED, payload, sizeof payload);
}

static void packed_unlike_length(struct raw *raw)
{
    say_packed(raw, (struct packed_words){.type = WIRE_PACKED,
                                          .codec = WIRE_CODEC_LZ4,
                                          .n_pages = 1,
                                          .n_packed_error = 1,
                                          .bytes = lz4_zeros,
                                          .size = sizeof lz4_zeros});
}

static void packed_too_much(struct raw *raw)
{
    say_packed(raw, (struct packed_words){.type = WIRE_PACKED,
                                          .codec = WIRE_CODEC_LZ4,
                                          .n_pages = 257,
                                          .bytes = lz4_zeros,
                                          .size = sizeof lz4_zeros});
}

static void change_of_nothing(struct raw *raw)
{
    say_packed(raw, (struct packed_words){.type = WIRE_DELTA, .n_pages = 1, .bytes = no_change, .size = 2});
}

static void a_page_first(struct raw *raw)
{
    raw_send_pages(raw, (struct raw_pages){.length = 2 * P, .byte = 3});
}

static void change_with_a_rest(struct raw *raw)
{
    a_page_first(raw);
    say_packed(raw, (struct packed_words){.type = WIRE_DELTA, .n_pages = 1, .bytes = one_change, .size = 11});
}

static void change_of_more_than_a_page(struct raw *raw)
{
    static const uint8_t bytes[] = {0x81, 4};
    a_page_first(raw);
    say_packed(raw, (struct packed_words){.type = WIRE_DELTA, .n_pages = 1, .bytes = bytes, .size = 2});
}

static void change_of_half_the_pages(struct raw *raw)
{
    a_page_first(raw);
    say_packed(raw, (struct packed_words){
                        .type = WIRE_DELTA, .n_pages = 2, .bytes = one_change, .size = sizeof one_change});
}

/* Its result is not what the checksum says: and the page is as it was. */
static void change_of_another_base(struct raw *raw)
{
    a_page_first(raw);
    say_packed(
        raw,
        (struct packed_words){
            .type = WIRE_DELTA, .n_pages = 1, .xxh3 = 5, .bytes = one_change, .size = sizeof one_change});
}

static const struct {
    const char *name;
    void (*say)(struct raw *raw);
    const char *error_id;
} cases[] = {
    {"header checksum", header_checksum, "record-crc"},
    {"repeated record", repeated_record, "record-order"},
    {"unknown mandatory record", unknown_mandatory, "unknown-record"},
    {"endless optional record", endless_optional, "record-length"},
    {"endless pages", endless_pages, "record-length"},
    {"control record", control_record, "unexpected-record"},
    {"answer of a destination", answer_of_a_destination, "unexpected-record"},
    {"beyond RAM", beyond_ram, "extent-range"},
    {"wrapping extent", wrapping_extent, "extent-range"},
    {"empty extent", empty_extent, "extent-range"},
    {"half a page", half_a_page, "extent-range"},
    {"crooked offset", crooked_offset, "extent-range"},
    {"overlapping extents", overlapping_extents, "extent-range"},
    {"pages beyond RAM", pages_beyond_ram, "extent-range"},
    {"round of tomorrow", round_of_tomorrow, "round-order"},
    {"damaged batch", damaged_batch, "batch-checksum"},
    {"extents unlike length", extents_unlike_length, "batch-length"},
    {"packed by nobody", packed_by_nobody, "packed-codec"},
    {"packed by no codec", packed_by_no_codec, "packed-codec"},
    {"delta by a codec", delta_by_a_codec, "packed-codec"},
    {"packed junk", packed_junk, "packed-data"},
    {"junk for zstd", zstd_junk, "packed-data"},
    {"packed bomb", packed_bomb, "packed-data"},
    {"packed damage", packed_damage, "batch-checksum"},
    {"packed for another place", packed_for_another_place, "record-sum"},
    {"packed beyond RAM", packed_beyond_ram, "extent-range"},
    {"packed into more", packed_into_more, "batch-length"},
    {"packed unlike length", packed_unlike_length, "batch-length"},
    {"packed too much", packed_too_much, "batch-length"},
    {"change of nothing", change_of_nothing, "delta-base"},
    {"change with a rest", change_with_a_rest, "delta-data"},
    {"change of more than a page", change_of_more_than_a_page, "delta-data"},
    {"change of half the pages", change_of_half_the_pages, "delta-data"},
    {"change of another base", change_of_another_base, "batch-checksum"},
    {"list unlike length", list_unlike_length, "extent-count"},
    {"zeros in another place", zeros_in_another_place, "record-sum"},
    {"pages in another place", pages_in_another_place, "record-sum"},
    {"another round ends", another_round_ends, "record-sum"},
    {"miscounted round", miscounted_round, "sync-counts"},
    {"repeated round", repeated_round, "round-order"},
    {"finish before any round", finish_before_any_round, "unexpected-record"},
    {"hashes unasked", hashes_unasked, "verify-order"},
    {"pages after verification", pages_after_verification, "unexpected-record"},
    {"finish amid verification", finish_amid_verification, "verify-order"},
    {"hashes of too many parts", hashes_of_too_many_parts, "verify-range"},
};

static void say_to_destination(struct rig *rig, void (*say)(struct raw *raw), struct err *ret_err)
{
    struct rig_attempt attempt = {.n_channels = 1};
    struct engine_dest *dest;
    bool verified;
    rig_open(&attempt);
    struct engine_dest_config config = rig_dest_config(rig, &attempt);
    assert_int_equal(engine_dest_new(&config, &dest, ret_err), 0);
    struct raw raw = {.fd = attempt.source_channels[0]};
    say(&raw);
    err_clear(ret_err);
    (void)engine_dest_receive(dest, &verified, ret_err);
    engine_dest_free(dest);
    (void)close(raw.fd);
    rig_close(&attempt);
}

static void by_the_destination(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, RAM);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err;
        say_to_destination(&rig, cases[i].say, &err);
        print_message("%s: %s\n", cases[i].name, err.message);
        assert_int_equal(err.code, ERR_CORRUPT);
        assert_string_equal(err.id, cases[i].error_id);
        /* What is damaged is never placed: the page is as it came before. */
        if (cases[i].say == change_of_another_base)
            for (unsigned byte = 0; byte < 8; byte++)
                assert_int_equal(rig.destination[byte], 3);
    }
    assert_true(rig_allocated(rig.destination_fd) < MIB);
    rig_clear(&rig);
}

static void good_words_with_an_unknown_optional(struct raw *raw)
{
    uint8_t novelty[5000] = {0};
    raw_send(raw, 0x9999 | WIRE_RECORD_OPTIONAL, novelty, sizeof novelty);
    raw_send_pages(raw, (struct raw_pages){.offset = 2 * P, .length = P, .byte = 0x5a});
    raw_send_sync(raw, 0, 1, P);
    raw_send(raw, 0x9999 | WIRE_RECORD_OPTIONAL, NULL, 0);
    raw_send(raw, WIRE_FINISH, NULL, 0);
}

static void but_unknown_optional_ones_are_skipped(void **state)
{
    (void)state;
    struct rig rig;
    struct err err;
    rig_init(&rig, RAM);
    say_to_destination(&rig, good_words_with_an_unknown_optional, &err);
    assert_int_equal(err.code, ERR_NONE);
    assert_int_equal(rig.destination[2 * P + 17], 0x5a);
    rig_clear(&rig);
}

static void answer_source(struct wire_ack ack, const char *error_id)
{
    struct rig rig;
    struct err err = {0};
    struct engine_source *source;
    uint8_t bytes[WIRE_ACK_SIZE];
    rig_init(&rig, MIB);
    struct rig_attempt attempt = {.n_channels = 1};
    rig_open(&attempt);
    struct engine_source_config config = rig_source_config(&rig, &attempt);
    assert_int_equal(engine_source_new(&config, &source, &err), 0);
    struct raw raw = {.fd = attempt.destination_channels[0]};
    wire_ack_encode(&ack, bytes);
    raw_send(&raw, WIRE_ACK, bytes, sizeof bytes);
    assert_int_equal(engine_source_copy(source, &err), -1);
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_string_equal(err.id, error_id);
    engine_source_free(source);
    (void)close(raw.fd);
    rig_close(&attempt);
    rig_clear(&rig);
}

static void by_the_source(void **state)
{
    (void)state;
    answer_source((struct wire_ack){.round = 1, .verdict = WIRE_VERDICT_PLACED}, "ack-round");
    answer_source((struct wire_ack){.round = 0, .verdict = 9}, "ack-verdict");
    answer_source((struct wire_ack){.round = 0, .verdict = WIRE_VERDICT_PLACED, .n_bytes = 4096},
                  "ack-counts");
    answer_source((struct wire_ack){.round = 0, .verdict = WIRE_VERDICT_SAME}, "ack-counts");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_the_destination),
        cmocka_unit_test(but_unknown_optional_ones_are_skipped),
        cmocka_unit_test(by_the_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
