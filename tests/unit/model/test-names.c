/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "model/move.h"

static void names_are_words_of_at_most_63_characters(void **state)
{
    (void)state;
    char longest[65];
    memset(longest, 'a', sizeof longest);
    longest[64] = '\0';
    assert_false(model_name_is_valid(longest));
    longest[63] = '\0';
    assert_true(model_name_is_valid(longest));
    const char *const good[] = {"a", "_x", "9.b-c_D"};
    const char *const bad[] = {"", ".a", "-a", "a b", "a/b", "a,b", "a\n", "\xc3\xa4"};
    for (size_t i = 0; i < G_N_ELEMENTS(good); i++)
        assert_true(model_name_is_valid(good[i]));
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
        assert_false(model_name_is_valid(bad[i]));
}

static void new_uuids_are_valid_and_differ(void **state)
{
    (void)state;
    char a[MODEL_UUID_SIZE], b[MODEL_UUID_SIZE];
    model_uuid_new(a);
    model_uuid_new(b);
    assert_true(model_uuid_is_valid(a));
    assert_int_equal(a[14], '4');
    assert_non_null(strchr("89ab", a[19]));
    assert_string_not_equal(a, b);
    assert_false(model_uuid_is_valid("3F0C8A52-6b1d-4e7a-9c55-0d2f4b6a8c1e"));
    assert_false(model_uuid_is_valid("3f0c8a52-6b1d-4e7a-9c55-0d2f4b6a8c1"));
    assert_false(model_uuid_is_valid("3f0c8a52x6b1d-4e7a-9c55-0d2f4b6a8c1e"));
}

static void hexadecimal_takes_exactly_the_size_asked_for(void **state)
{
    (void)state;
    const uint8_t data[3] = {0x00, 0xab, 0xff};
    uint8_t back[3];
    char text[7];
    model_hex(data, sizeof data, text);
    assert_string_equal(text, "00abff");
    assert_int_equal(model_unhex("00ABff", back, 3), 0);
    assert_memory_equal(data, back, 3);
    assert_int_equal(model_unhex("00abf", back, 3), -1);
    assert_int_equal(model_unhex("00abff00", back, 3), -1);
    assert_int_equal(model_unhex("00abfg", back, 3), -1);
}

static void every_phase_is_found_by_its_name(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MOVE_PHASES; i++) {
        enum move_phase phase;
        assert_int_equal(move_phase_from_name(move_phase_name((enum move_phase)i), &phase), 0);
        assert_int_equal(phase, i);
    }
    enum move_phase phase;
    assert_int_equal(move_phase_from_name("stage", &phase), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_words_of_at_most_63_characters),
        cmocka_unit_test(new_uuids_are_valid_and_differ),
        cmocka_unit_test(hexadecimal_takes_exactly_the_size_asked_for),
        cmocka_unit_test(every_phase_is_found_by_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
