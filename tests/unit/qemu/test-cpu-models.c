/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "qemu/cpu_models.h"

static int take(const char *text, struct cpu_models *models, struct err *err)
{
    g_autoptr(JsonNode) node = json_from_string(text, NULL);
    assert_non_null(node);
    return cpu_models_take(node, models, err);
}

static void a_model_has_one_entry_and_is_found_by_both_names(void **state)
{
    (void)state;
    g_autofree struct cpu_models *models = g_new0(struct cpu_models, 1);
    struct err err = {0};
    assert_int_equal(
        take("[{\"name\":\"max\",\"unavailable-features\":[]},{\"name\":\"host\"},{\"name\":\"base\"},"
             "{\"name\":\"Haswell-v1\",\"unavailable-features\":[\"pni\",\"avx2\"]},"
             "{\"name\":\"Haswell\",\"alias-of\":\"Haswell-v1\",\"unavailable-features\":[\"pni\",\"avx2\"]},"
             "{\"name\":\"EPYC-v4\",\"unavailable-features\":[]}]",
             models, &err),
        0);
    assert_int_equal(models->n, 2);
    /* Nothing is known of what it has. */
    assert_null(cpu_models_find(models, "Haswell"));
    models->list[0].features = g_strdup("");
    models->list[1].features = g_strdup("aes avx2 sse3");
    const struct cpu_model *haswell = cpu_models_find(models, "Haswell");
    assert_non_null(haswell);
    assert_ptr_equal(cpu_models_find(models, "Haswell-v1"), haswell);
    assert_string_equal(haswell->missing, "sse3 avx2");
    assert_string_equal(cpu_models_find(models, "EPYC-v4")->missing, "");
    assert_null(cpu_models_find(models, "max"));
    assert_null(cpu_models_find(models, ""));
    assert_null(cpu_models_find(NULL, "Haswell"));
    assert_int_equal(cpu_features_count(haswell->features), 3);
    assert_int_equal(cpu_features_count(""), 0);
    cpu_models_clear(models);
    assert_int_equal(models->n, 0);
}

static void an_answer_without_end_is_cut(void **state)
{
    (void)state;
    g_autofree struct cpu_models *models = g_new0(struct cpu_models, 1);
    g_autoptr(GString) text =
        g_string_new("[7,{\"name\":9},{\"name\":\"\"},{\"name\":\"n\",\"unavailable-features\":{}},");
    struct err err = {0};
    g_string_append_printf(text, "{\"name\":\"%0100d\"},{\"name\":\"long\",\"unavailable-features\":[3", 1);
    for (unsigned i = 0; i < 2000; i++)
        g_string_append_printf(text, ",\"feature-%u\"", i);
    g_string_append(text, "]}");
    for (unsigned i = 0; i < 2 * CPU_MODELS_MAX; i++)
        g_string_append_printf(text, ",{\"name\":\"m%u\"}", i);
    g_string_append(text, "]");
    assert_int_equal(take(text->str, models, &err), 0);
    assert_int_equal(models->n, CPU_MODELS_MAX);
    for (unsigned i = 0; i < models->n; i++)
        assert_true(strlen(models->list[i].missing) < CPU_FEATURES_MAX);
    cpu_models_clear(models);
    assert_int_equal(take("{}", models, &err), -1);
    assert_string_equal(err.id, "qemu-cpu-unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_has_one_entry_and_is_found_by_both_names),
        cmocka_unit_test(an_answer_without_end_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
