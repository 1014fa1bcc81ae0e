/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "qemu/cpu_features.h"

static JsonNode *answer(const char *props)
{
    g_autofree char *text = g_strdup_printf("{\"model\":{\"name\":\"x\",\"props\":%s}}", props);
    JsonNode *node = json_from_string(text, NULL);
    assert_non_null(node);
    return node;
}

static void only_what_is_on_and_no_switch_of_qemus_own_counts(void **state)
{
    (void)state;
    char features[CPU_FEATURES_MAX];
    struct err err = {0};
    g_autoptr(JsonNode) base = answer("{\"kvm\":true,\"check\":true,\"avx2\":false}");
    g_autoptr(JsonNode) model =
        answer("{\"sse2\":true,\"kvm\":true,\"avx2\":true,\"check\":true,\"mpx\":false,"
               "\"level\":13,\"vendor\":\"GenuineIntel\",\"aes\":true}");
    assert_int_equal(cpu_features_take(base, model, features, &err), 0);
    assert_string_equal(features, "aes avx2 sse2");
}

static void a_feature_with_two_names_is_there_once(void **state)
{
    (void)state;
    char features[CPU_FEATURES_MAX];
    struct err err = {0};
    g_autoptr(JsonNode) base = answer("{}");
    g_autoptr(JsonNode) model =
        answer("{\"sse4.1\":true,\"sse4-1\":true,\"sse4_1\":true,\"nx\":true,\"xd\":true,"
               "\"sse3\":true,\"pni\":true,\"lahf-lm\":true,\"lahf_lm\":true}");
    assert_int_equal(cpu_features_take(base, model, features, &err), 0);
    assert_string_equal(features, "lahf-lm nx sse3 sse4.1");
}

static void an_answer_of_another_form_is_an_error(void **state)
{
    (void)state;
    static const char *const texts[] = {"[]", "{}", "{\"model\":7}", "{\"model\":{\"props\":[]}}"};
    g_autoptr(JsonNode) good = answer("{\"avx\":true}");
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        char features[CPU_FEATURES_MAX] = "x";
        struct err err = {0};
        g_autoptr(JsonNode) bad = json_from_string(texts[i], NULL);
        assert_int_equal(cpu_features_take(good, bad, features, &err), -1);
        assert_string_equal(err.id, "qemu-cpu-unknown");
        assert_string_equal(features, "");
        assert_int_equal(cpu_features_take(bad, good, features, &err), -1);
    }
    struct err err = {0};
    char features[CPU_FEATURES_MAX];
    assert_int_equal(cpu_features_take(NULL, NULL, features, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_on_and_no_switch_of_qemus_own_counts),
        cmocka_unit_test(a_feature_with_two_names_is_there_once),
        cmocka_unit_test(an_answer_of_another_form_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
