/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "manager/event_types.h"

#include <string.h>

static const struct event_words all_words = {.user = "USER",
                                             .vm = "VM",
                                             .host = "HOST",
                                             .destination = "DEST",
                                             .task = "TASK",
                                             .name = "NAME",
                                             .detail = "DETAIL",
                                             .error = "ERROR",
                                             .figures = "FIGURES",
                                             .datastore = "DATASTORE"};

static void every_type_has_a_name_and_a_whole_text(void **state)
{
    (void)state;
    for (enum event_type type = EVENT_NONE + 1; type < EVENT_TYPES; type++) {
        const struct event_type_row *row = event_type_row(type);
        g_autofree char *text = event_text(type, &all_words);
        assert_true(row->name && g_str_has_suffix(row->name, "Event") && row->kind && row->text);
        assert_int_equal(event_type_from_name(row->name), type);
        if (strpbrk(text, "{}[]?"))
            fail_msg("%s: %s", row->name, text);
    }
    assert_int_equal(event_type_from_name("VmFlewAwayEvent"), EVENT_NONE);
}

static void every_type_is_documented(void **state)
{
    (void)state;
    g_autofree char *document = NULL;
    assert_true(g_file_get_contents(API_DOCUMENT, &document, NULL, NULL));
    for (enum event_type type = EVENT_NONE + 1; type < EVENT_TYPES; type++) {
        g_autofree char *name = g_strdup_printf("`%s`", event_type_row(type)->name);
        if (!strstr(document, name))
            fail_msg("%s is not in docs/api.md", name);
    }
}

static void what_is_not_known_is_left_out(void **state)
{
    (void)state;
    const struct event_words known = {.vm = "web", .host = "h1", .user = "ann"};
    const struct event_words unknown = {.vm = "web", .host = "h1", .user = ""};
    g_autofree char *by = event_text(EVENT_VM_POWERED_ON, &known);
    g_autofree char *by_itself = event_text(EVENT_VM_POWERED_ON, &unknown);
    assert_string_equal(by, "VM 'web' runs on host 'h1' by 'ann'");
    assert_string_equal(by_itself, "VM 'web' runs on host 'h1'");
}

/* What a guest or a file is called must not be taken for the table's own marks. */
static void marks_in_a_word_are_text(void **state)
{
    (void)state;
    const struct event_words words = {.vm = "web", .host = "h1", .detail = "disk [{user}] is full"};
    g_autofree char *text = event_text(EVENT_VM_IO_ERROR, &words);
    assert_string_equal(text, "VM 'web' is paused on host 'h1': disk [{user}] is full");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_has_a_name_and_a_whole_text), cmocka_unit_test(every_type_is_documented),
        cmocka_unit_test(what_is_not_known_is_left_out), cmocka_unit_test(marks_in_a_word_are_text)};
    return cmocka_run_group_tests_name("event types", tests, NULL, NULL);
}
