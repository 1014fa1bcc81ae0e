/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <string.h>
#include <unistd.h>

struct flip {
    uint64_t offset;
    unsigned n_calls;
};

static void flip_one_bit(int ram_fd, void *user)
{
    struct flip *flip = user;
    uint8_t byte;
    flip->n_calls++;
    assert_int_equal(pread(ram_fd, &byte, 1, (off_t)flip->offset), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(ram_fd, &byte, 1, (off_t)flip->offset), 1);
}

static void flip_at(uint64_t offset, const char *expected)
{
    struct rig rig;
    rig_init(&rig, 33 * MIB);
    rig_fill(&rig, 0, 20 * MIB, 11);
    struct flip flip = {offset, 0};
    struct rig_attempt attempt = {
        .n_channels = 2, .verify = true, .before_verify = flip_one_bit, .user = &flip};
    rig_run(&rig, &attempt);
    assert_int_equal(flip.n_calls, 1);
    assert_false(attempt.verified);
    assert_int_equal(attempt.source_result, -1);
    assert_int_equal(attempt.destination_result, -1);
    assert_int_equal(attempt.source_err.code, ERR_CORRUPT);
    assert_string_equal(attempt.source_err.id, "ram-differs");
    assert_string_equal(attempt.destination_err.id, "ram-differs");
    assert_non_null(strstr(attempt.source_err.message, expected));
    rig_clear(&rig);
}

static void in_data(void **state)
{
    (void)state;
    flip_at(5 * MIB + 12345, "first within 2097152 bytes at 4194304");
}

static void in_a_hole(void **state)
{
    (void)state;
    flip_at(30 * MIB, "first within 2097152 bytes at 31457280");
}

static void in_the_short_last_part(void **state)
{
    (void)state;
    flip_at(33 * MIB - 1, "first within 1048576 bytes at 33554432");
}

static void no_hook_without_verification(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 4 * MIB);
    rig_fill(&rig, 0, MIB, 1);
    struct flip flip = {0, 0};
    struct rig_attempt attempt = {.n_channels = 1, .before_verify = flip_one_bit, .user = &flip};
    rig_move(&rig, &attempt);
    assert_int_equal(flip.n_calls, 0);
    rig_clear(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_data),
        cmocka_unit_test(in_a_hole),
        cmocka_unit_test(in_the_short_last_part),
        cmocka_unit_test(no_hook_without_verification),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
