/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "wire/control.h"
#include "wire/data.h"
#include "wire/hello.h"
#include "wire/preamble.h"
#include "wire/record.h"

static void preamble_survives_the_wire(void **state)
{
    (void)state;
    uint8_t bytes[WIRE_PREAMBLE_SIZE];
    struct wire_preamble sent = {.role = WIRE_ROLE_DATA, .channel = 3}, got;
    struct err err;
    memset(sent.ticket, 0xa5, sizeof sent.ticket);
    wire_preamble_encode(&sent, bytes);
    bytes[60] = 9; /* reserved: ignored */
    assert_int_equal(wire_preamble_decode(bytes, &got, &err), 0);
    assert_int_equal(got.role, WIRE_ROLE_DATA);
    assert_int_equal(got.channel, 3);
    assert_memory_equal(got.ticket, sent.ticket, sizeof got.ticket);
    const struct {
        unsigned offset;
        const char *id;
    } damages[] = {
        {0, "preamble-magic"}, {8, "preamble-version"}, {11, "preamble-role"}, {13, "preamble-channel"}};
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        wire_preamble_encode(&sent, bytes);
        bytes[damages[i].offset] ^= 0x80;
        assert_int_equal(wire_preamble_decode(bytes, &got, &err), -1);
        assert_string_equal(err.id, damages[i].id);
    }
    sent.channel = WIRE_CHANNELS_MAX;
    wire_preamble_encode(&sent, bytes);
    assert_int_equal(wire_preamble_decode(bytes, &got, &err), -1);
}

static void authentication_binds_everything(void **state)
{
    (void)state;
    uint8_t nonces[2][WIRE_NONCE_SIZE] = {{1}, {2}};
    uint8_t base[WIRE_AUTH_INPUT_SIZE], other[WIRE_AUTH_INPUT_SIZE];
    const struct wire_auth auth = {WIRE_AUTH_SOURCE, "move-1", WIRE_ROLE_DATA, 2, nonces[0], nonces[1]};
    struct wire_auth variants[6] = {auth, auth, auth, auth, auth, auth};
    variants[0].side = WIRE_AUTH_DESTINATION;
    variants[1].move_id = "move-2";
    variants[2].role = WIRE_ROLE_CONTROL;
    variants[3].channel = 1;
    variants[4].destination_nonce = nonces[1];
    variants[5].source_nonce = nonces[0];
    assert_int_equal(wire_auth_input(&auth, base, NULL), 0);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(wire_auth_input(&variants[i], other, NULL), 0);
        assert_memory_not_equal(base, other, sizeof base);
    }
    variants[0].move_id = "123456789012345678901234567890123456789012345678";
    assert_int_equal(wire_auth_input(&variants[0], other, NULL), -1);
}

static struct wire_hello good_hello(void)
{
    return (struct wire_hello){.version_min = 1,
                               .version_max = 1,
                               .n_channels = 2,
                               .features = WIRE_FEATURES,
                               .required = WIRE_FEATURE_RAM_ROUNDS,
                               .ram_size = 1 << 30,
                               .page_size = 4096,
                               .host_page_size = 4096,
                               .epoch = 7,
                               .wall_ms = 1700000000000,
                               .batch_max = WIRE_BATCH_BYTES_MAX,
                               .move_id = "m",
                               .kernel = "6.18"};
}

static void hello_survives_the_wire_and_may_grow(void **state)
{
    (void)state;
    uint8_t bytes[WIRE_HELLO_MAX] = {0};
    struct wire_hello sent = good_hello(), got;
    struct err err;
    assert_int_equal(wire_hello_encode(&sent, bytes, sizeof bytes), WIRE_HELLO_SIZE);
    assert_int_equal(wire_hello_decode(bytes, WIRE_HELLO_SIZE + 100, &got, &err), 0);
    assert_int_equal(got.wall_ms, sent.wall_ms);
    assert_int_equal(got.ram_size, sent.ram_size);
    assert_string_equal(got.kernel, "6.18");
    assert_int_equal(wire_hello_decode(bytes, WIRE_HELLO_SIZE - 1, &got, &err), -1);
    memset(bytes + WIRE_HELLO_SIZE - WIRE_KERNEL_MAX, 'x', WIRE_KERNEL_MAX);
    assert_int_equal(wire_hello_decode(bytes, WIRE_HELLO_SIZE, &got, &err), -1);
    assert_string_equal(err.id, "hello-text");
    assert_int_equal(wire_hello_encode(&sent, bytes, WIRE_HELLO_SIZE - 1), 0);
}

static void hello_says_why_not(void **state)
{
    (void)state;
    struct wire_choice choice;
    struct err err;
    struct wire_hello source = good_hello(), destination = good_hello();
    source.version_max = 3;
    destination.version_max = 2;
    destination.features = WIRE_FEATURE_RAM_ROUNDS | 1ull << 40;
    assert_int_equal(wire_hello_choose(&source, &destination, &choice, &err), 0);
    assert_int_equal(choice.version, 2);
    assert_int_equal(choice.features, WIRE_FEATURE_RAM_ROUNDS);
    assert_int_equal(choice.n_channels, 2);

    struct wire_hello wrong[8];
    for (size_t i = 0; i < 8; i++)
        wrong[i] = good_hello();
    const char *ids[8] = {"hello-version",  "hello-features",  "hello-move",     "hello-epoch",
                          "hello-ram-size", "hello-page-size", "hello-channels", "hello-batch"};
    wrong[0].version_min = wrong[0].version_max = 4;
    wrong[1].required = 1ull << 40;
    (void)strcpy(wrong[2].move_id, "n");
    wrong[3].epoch = 8;
    wrong[4].ram_size *= 2;
    wrong[5].page_size = 16384;
    wrong[6].n_channels = WIRE_CHANNELS_MAX + 1;
    wrong[7].batch_max = 1000;
    for (size_t i = 0; i < 8; i++) {
        struct wire_hello good = good_hello();
        bool by_source = i == 6;
        assert_int_equal(
            wire_hello_choose(by_source ? &wrong[i] : &good, by_source ? &good : &wrong[i], &choice, &err),
            -1);
        assert_int_equal(err.code, ERR_REFUSED);
        assert_string_equal(err.id, ids[i]);
    }
}

static void error_survives_the_wire_without_control_characters(void **state)
{
    (void)state;
    uint8_t bytes[WIRE_ERROR_MAX];
    struct err sent = {0}, got, err;
    (void)err_set(&sent, ERR_REFUSED, "some-id", "line one\nline \x1b[31mtwo");
    (void)err_cause(&sent, "because");
    (void)err_arg(&sent, "host", "h\n2");
    (void)err_arg(&sent, "short_mib", "12");
    size_t size = wire_error_encode(&sent, bytes, sizeof bytes);
    assert_true(size >= WIRE_ERROR_MIN && size <= WIRE_ERROR_MAX);
    assert_int_equal(wire_error_decode(bytes, size, &got, &err), 0);
    assert_int_equal(got.code, ERR_REFUSED);
    assert_string_equal(got.id, "some-id");
    assert_string_equal(got.message, "line one?line ?[31mtwo");
    assert_string_equal(got.cause, "because");
    assert_int_equal(got.n_args, 2);
    assert_string_equal(err_arg_find(&got, "host"), "h?2");
    assert_string_equal(err_arg_find(&got, "short_mib"), "12");
    /* One without arguments may end before their number. */
    size_t without = size - 5 * sizeof(uint16_t) - strlen("hosth?2short_mib12");
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(wire_error_decode(bytes, cut, &got, &err), cut == without ? 0 : -1);
    bytes[0] = 200; /* a code from the future */
    assert_int_equal(wire_error_decode(bytes, size, &got, &err), 0);
    assert_int_equal(got.code, ERR_INTERNAL);
    bytes[9] = 0xff; /* a text longer than the record */
    assert_int_equal(wire_error_decode(bytes, size, &got, &err), -1);
}

static void longest_error_fits(void **state)
{
    (void)state;
    uint8_t bytes[WIRE_ERROR_MAX];
    struct err sent, got, err;
    memset(&sent, 'x', sizeof sent);
    sent.code = ERR_TIMEOUT;
    size_t size = wire_error_encode(&sent, bytes, sizeof bytes);
    assert_true(size > 0);
    assert_int_equal(wire_error_decode(bytes, size, &got, &err), 0);
    assert_int_equal(strlen(got.message), ERR_TEXT_MAX - 1);
}

static void device_state_length_must_match_the_record(void **state)
{
    (void)state;
    uint8_t bytes[WIRE_DEVICE_STATE_SIZE];
    struct wire_device_state got;
    wire_device_state_encode(&(struct wire_device_state){.length = 1000, .xxh3 = 5}, bytes);
    assert_int_equal(wire_device_state_decode(bytes, 1016, &got, NULL), 0);
    assert_int_equal(got.xxh3, 5);
    assert_int_equal(wire_device_state_decode(bytes, 1017, &got, NULL), -1);
    assert_int_equal(wire_device_state_decode(bytes, 8, &got, NULL), -1);
}

/* From a map to a map, in the parts that cross the wire; bits of neither end are touched. */
static void map_of_placed_pages_survives_the_wire(void **state)
{
    (void)state;
    enum { PAGES = WIRE_RESUME_PAGES_MAX + 77, WORDS = (PAGES + 63) / 64 };
    static uint64_t ours[WORDS], theirs[WORDS + 1];
    static uint8_t bytes[WIRE_RESUME_PAGES_MAX / 8];
    srand(5);
    for (unsigned word = 0; word < WORDS; word++)
        ours[word] = (uint64_t)rand() << 33 ^ (uint64_t)rand() << 11 ^ (uint64_t)rand();
    memset(theirs, 0xff, sizeof theirs);
    for (uint64_t first = 0; first < PAGES; first += WIRE_RESUME_PAGES_MAX) {
        uint8_t head[WIRE_RESUME_SIZE];
        struct wire_resume got, part = {.round = 9, .first_page = first, .n_wasted = 1ull << 40};
        part.n_pages = first ? 77 : WIRE_RESUME_PAGES_MAX;
        uint64_t length = sizeof head + (part.n_pages + 7) / 8;
        wire_resume_encode(&part, head);
        wire_resume_put_pages(ours, first, part.n_pages, bytes);
        assert_int_equal(wire_resume_decode(head, length, first, PAGES, &got, NULL), 0);
        assert_int_equal(got.round, 9);
        assert_int_equal(got.n_pages, part.n_pages);
        assert_true(got.first_page == first && got.n_wasted == 1ull << 40);
        wire_resume_get_pages(bytes, first, got.n_pages, theirs);
    }
    ours[WORDS - 1] &= (1ull << PAGES % 64) - 1;
    /* Up to the end of the last byte nothing is set that is no page. */
    assert_true((theirs[WORDS - 1] & 0xffff) == ours[WORDS - 1]);
    theirs[WORDS - 1] = ours[WORDS - 1];
    assert_memory_equal(theirs, ours, sizeof ours);
    assert_true(theirs[WORDS] == UINT64_MAX);
}

static void parts_of_the_map_come_in_order_and_whole(void **state)
{
    (void)state;
    static const struct {
        struct wire_resume part;
        uint64_t length;
    } wrong[] = {
        {{.n_pages = 100, .first_page = 64}, WIRE_RESUME_SIZE + 13}, /* not the first one */
        {{.n_pages = 99}, WIRE_RESUME_SIZE + 13},                    /* too few pages */
        {{.n_pages = 101}, WIRE_RESUME_SIZE + 13},                   /* more than there are */
        {{.n_pages = UINT32_MAX}, WIRE_RESUME_SIZE + (1ull << 29)},  /* more than a part has */
        {{.n_pages = 100}, WIRE_RESUME_SIZE + 12},                   /* cut off */
        {{.n_pages = 100}, WIRE_RESUME_SIZE + 14},                   /* with something behind it */
        {{.n_pages = 100}, 13},                                      /* no head */
    };
    struct wire_resume got;
    struct err err;
    uint8_t bytes[WIRE_RESUME_SIZE];
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        wire_resume_encode(&wrong[i].part, bytes);
        assert_int_equal(wire_resume_decode(bytes, wrong[i].length, 0, 100, &got, &err), -1);
        assert_int_equal(err.code, ERR_CORRUPT);
        assert_string_equal(err.id, "resume-part");
    }
}

static void header_of_a_record_survives_the_wire(void **state)
{
    (void)state;
    const struct wire_record record = {.type = WIRE_ZERO, .length = 24, .seq = 7, .sum = 0x89abcdef};
    uint8_t bytes[WIRE_RECORD_HEADER_SIZE];
    struct wire_record got;
    struct err err;
    wire_record_encode(&record, bytes);
    assert_int_equal(wire_record_decode(bytes, 7, &got, &err), 0);
    assert_int_equal(got.type, record.type);
    assert_int_equal(got.length, record.length);
    assert_int_equal(got.sum, record.sum);
    assert_true(got.known);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(wire_record_decode(bytes, 7, &got, &err), -1);
        assert_string_equal(err.id, "record-crc");
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* Whatever bytes arrive, decoding ends with a value within its bounds or with an error. The sanitizers watch.
 */
static void random_bytes_do_no_harm(void **state)
{
    (void)state;
    srand(11);
    for (int turn = 0; turn < 200000; turn++) {
        uint8_t bytes[256];
        struct wire_extent extents[16];
        uint64_t total;
        union {
            struct wire_record record;
            struct wire_pages pages;
            struct wire_list list;
            struct wire_ack ack;
            struct wire_verify verify;
            struct wire_hello hello;
            struct wire_resume resume;
            struct err err;
        } got;
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = rand() % 3 ? 0 : (uint8_t)rand();
        uint64_t length = (uint64_t)rand() % 5000;
        (void)wire_record_decode(bytes, 0, &got.record, NULL);
        if (wire_pages_decode(bytes, length, &got.pages, NULL) == 0)
            assert_true(got.pages.n_bytes <= WIRE_BATCH_BYTES_MAX);
        if (wire_list_decode(bytes, length, &got.list, NULL) == 0)
            assert_true(got.list.n_extents <= WIRE_EXTENTS_MAX);
        (void)wire_ack_decode(bytes, &got.ack, NULL);
        if (wire_verify_decode(bytes, length, 77, &got.verify, NULL) == 0)
            assert_true(got.verify.first_part + got.verify.n_parts <= 77);
        if (wire_resume_decode(bytes, length, 0, 77, &got.resume, NULL) == 0)
            assert_int_equal(got.resume.n_pages, 77);
        (void)wire_hello_decode(bytes, sizeof bytes, &got.hello, NULL);
        (void)wire_error_decode(bytes, sizeof bytes, &got.err, NULL);
        if (wire_extents_decode(bytes, 16, 1 << 20, extents, &total, NULL) == 0)
            assert_true(total <= 1 << 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(preamble_survives_the_wire),
        cmocka_unit_test(authentication_binds_everything),
        cmocka_unit_test(hello_survives_the_wire_and_may_grow),
        cmocka_unit_test(hello_says_why_not),
        cmocka_unit_test(error_survives_the_wire_without_control_characters),
        cmocka_unit_test(longest_error_fits),
        cmocka_unit_test(header_of_a_record_survives_the_wire),
        cmocka_unit_test(device_state_length_must_match_the_record),
        cmocka_unit_test(map_of_placed_pages_survives_the_wire),
        cmocka_unit_test(parts_of_the_map_come_in_order_and_whole),
        cmocka_unit_test(random_bytes_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
