/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "model/move.h"

static void malformed_json_names_line_and_position(void **state)
{
    (void)state;
    struct err err = {0};
    JsonObject *object = NULL;
    assert_int_equal(model_parse("{\n  \"a\": 1,\n  \"b\" 2\n}", -1, &object, &err), -1);
    assert_int_equal(err.code, ERR_BAD_REQUEST);
    assert_string_equal(err.id, "json-malformed");
    if (!strstr(err.message, "near line 3, position 5"))
        fail_msg("%s", err.message);
}

static void a_document_that_is_no_object_is_refused(void **state)
{
    (void)state;
    const char *const texts[] = {"", "  ", "[1]", "3", "\"a\"", "null"};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        struct err err = {0};
        JsonObject *object = NULL;
        assert_int_equal(model_parse(texts[i], -1, &object, &err), -1);
        assert_int_equal(err.code, ERR_BAD_REQUEST);
        assert_null(object);
    }
}

static void endless_nesting_is_refused(void **state)
{
    (void)state;
    g_autofree char *text = g_malloc(1024 * 1024);
    memset(text, '[', 1024 * 1024);
    struct err err = {0};
    JsonObject *object = NULL;
    assert_int_equal(model_parse(text, 1024 * 1024, &object, &err), -1);
    assert_non_null(strstr(err.message, "nested deeper"));
    /* Brackets inside a string are no nesting. */
    g_autofree char *harmless = g_strdup_printf("{\"a\":\"\\\"%.200s\"}", text);
    assert_int_equal(model_parse(harmless, -1, &object, &err), 0);
    json_object_unref(object);
}

/* The parser would take these, and a quote in them hides the brackets behind it from whoever counts. */
static void nesting_hides_behind_no_comment(void **state)
{
    (void)state;
    g_autofree char *brackets = g_strnfill(1024 * 1024, '[');
    const char *const forms[] = {"/*\"*/{\"a\":%s", "//\"\n{\"a\":%s", "{'\"':%s", "{\"a\":'\"%s"};
    for (size_t i = 0; i < G_N_ELEMENTS(forms); i++) {
        struct err err = {0};
        JsonObject *object = NULL;
        char **parts = g_strsplit(forms[i], "%s", 2);
        g_autofree char *text = g_strjoinv(brackets, parts);
        g_strfreev(parts);
        assert_int_equal(model_parse(text, -1, &object, &err), -1);
        assert_string_equal(err.id, "json-malformed");
        assert_non_null(strstr(err.message, "no comments"));
    }
    JsonObject *object = NULL;
    assert_int_equal(model_parse("{\"a\":\"/* it's a text */\"}", -1, &object, NULL), 0);
    json_object_unref(object);
}

/* The parser forgets the beginning of a string that goes on like this. The sanitizers see it. */
static void half_a_surrogate_pair_is_refused(void **state)
{
    (void)state;
    const char *const wrong[] = {"\\ud800\\u0041", "\\ud800x",      "\\ud800",
                                 "\\udc00\\ud800", "\\ud80\\udc00", "\\u12"};
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        struct err err = {0};
        JsonObject *object = NULL;
        g_autofree char *text = g_strdup_printf("{\"a\":\"begun %s\"}", wrong[i]);
        assert_int_equal(model_parse(text, -1, &object, &err), -1);
        assert_non_null(strstr(err.message, "surrogates come in pairs"));
    }
    JsonObject *object = NULL;
    assert_int_equal(model_parse("{\"a\":\"\\ud83d\\ude00\\\\ud800\\u00e9\"}", -1, &object, NULL), 0);
    assert_string_equal(model_text(object, "a"), "\xf0\x9f\x98\x80\\ud800\xc3\xa9");
    json_object_unref(object);
}

static void an_error_survives_its_json_form(void **state)
{
    (void)state;
    struct err err = {0}, back;
    (void)err_set(&err, ERR_PEER_LOST, "peer-lost", "the peer went \"away\"\n%s", "ä");
    (void)err_cause(&err, "cable");
    (void)err_fix(&err, "plug it in");
    err_place(&err, "copy", "source");
    (void)err_arg(&err, "host", "h%d", 1);
    (void)err_arg(&err, "short_mib", "412");
    (void)err_arg(&err, "host", "h%d", 2);
    assert_int_equal(err.n_args, 2);
    g_autoptr(JsonObject) form = model_error_to_json(&err);
    g_autofree char *text = model_print(form, false);
    assert_non_null(strstr(text, "\"arguments\":{\"host\":\"h2\",\"short_mib\":\"412\"}"));
    JsonObject *read = NULL;
    assert_int_equal(model_parse(text, -1, &read, NULL), 0);
    model_error_from_json(json_object_get_object_member(read, "error"), &back);
    assert_memory_equal(&err, &back, sizeof err);
    json_object_unref(read);
}

static void an_error_with_foreign_bytes_is_still_utf_8(void **state)
{
    (void)state;
    struct err err = {0};
    (void)err_set(&err, ERR_INTERNAL, "x", "file \xff\xfe is odd");
    g_autoptr(JsonObject) form = model_error_to_json(&err);
    g_autofree char *text = model_print(form, false);
    assert_true(g_utf8_validate(text, -1, NULL));
}

static void an_incomplete_error_is_still_an_error(void **state)
{
    (void)state;
    JsonObject *object = NULL;
    struct err err;
    assert_int_equal(model_parse("{\"code\":\"NEWER_THAN_US\",\"message\":7}", -1, &object, NULL), 0);
    model_error_from_json(object, &err);
    assert_int_equal(err.code, ERR_INTERNAL);
    assert_string_equal(err.message, "");
    json_object_unref(object);
}

static void what_is_no_text_is_an_empty_one(void **state)
{
    (void)state;
    g_autoptr(JsonObject) object = NULL;
    assert_int_equal(
        model_parse("{\"a\":\"x\",\"b\":7,\"c\":[\"x\"],\"d\":{},\"e\":null,\"f\":true}", -1, &object, NULL),
        0);
    assert_string_equal(model_text(object, "a"), "x");
    for (const char *name = "bcdefg"; *name; name++)
        assert_string_equal(model_text(object, (char[]){*name, '\0'}), "");
}

static void a_foreign_type_in_the_place_of_a_number_is_no_complaint_to_the_log(void **state)
{
    (void)state;
    g_autoptr(JsonObject) object = NULL;
    assert_int_equal(model_parse("{\"i\":7,\"r\":1.5,\"t\":true,\"a\":\"7\",\"b\":[7],\"c\":{},\"d\":null}",
                                 -1, &object, NULL),
                     0);
    assert_int_equal(model_int(object, "i", -1), 7);
    assert_true(model_real(object, "r", -1) == 1.5);
    assert_true(model_flag(object, "t"));
    GLogLevelFlags before = g_log_set_always_fatal(G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_ERROR);
    for (const char *name = "abcdn"; *name; name++) {
        char member[] = {*name, '\0'};
        assert_int_equal(model_int(object, member, -1), -1);
        assert_true(model_real(object, member, -1) == -1);
        assert_false(model_flag(object, member));
    }
    (void)g_log_set_always_fatal(before);
    assert_false(model_flag(object, "i"));
    assert_int_equal(model_int(object, "t", -1), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_json_names_line_and_position),
        cmocka_unit_test(a_document_that_is_no_object_is_refused),
        cmocka_unit_test(endless_nesting_is_refused),
        cmocka_unit_test(nesting_hides_behind_no_comment),
        cmocka_unit_test(half_a_surrogate_pair_is_refused),
        cmocka_unit_test(what_is_no_text_is_an_empty_one),
        cmocka_unit_test(a_foreign_type_in_the_place_of_a_number_is_no_complaint_to_the_log),
        cmocka_unit_test(an_error_survives_its_json_form),
        cmocka_unit_test(an_error_with_foreign_bytes_is_still_utf_8),
        cmocka_unit_test(an_incomplete_error_is_still_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
