/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/finding.h"

#include <string.h>

#include "model/move.h"

static void add(struct findings *findings, enum finding_severity severity, const char *id, const char *side,
                const char *message)
{
    struct err *err = findings_add(findings, severity);
    (void)err_set(err, ERR_REFUSED, id, "%s", message);
    (void)err_fix(err, "do something about %s", id);
    (void)err_arg(err, "host", "h2");
    err_place(err, "", side);
}

static void warnings_forbid_nothing(void **state)
{
    (void)state;
    struct findings found = {0};
    struct err err = {0};
    assert_int_equal(findings_first(&found, &err), 0);
    add(&found, FINDING_WARNING, "mtu-differs", "destination", "slow");
    assert_int_equal(findings_first(&found, &err), 0);
    assert_false(err_is_set(&err));
    add(&found, FINDING_ERROR, "disk-missing", "destination", "no disk");
    add(&found, FINDING_ERROR, "memory-short", "destination", "no memory");
    assert_int_equal(findings_first(&found, &err), -1);
    assert_string_equal(err.id, "disk-missing");
}

static void what_a_host_says_takes_the_place_of_what_was_known_of_it(void **state)
{
    (void)state;
    struct findings known = {0}, said = {0};
    add(&known, FINDING_ERROR, "memory-short", "destination", "12 MiB");
    add(&known, FINDING_ERROR, "network-missing", "destination", "a");
    add(&known, FINDING_ERROR, "memory-short", "source", "another thing");
    add(&said, FINDING_ERROR, "memory-short", "destination", "13 MiB");
    add(&said, FINDING_ERROR, "disk-missing", "destination", "x");
    add(&said, FINDING_ERROR, "disk-missing", "destination", "y");
    findings_merge(&known, &said);
    static const char *const messages[] = {"a", "another thing", "13 MiB", "x", "y"};
    assert_int_equal(known.n, sizeof messages / sizeof *messages);
    for (unsigned i = 0; i < known.n; i++)
        assert_string_equal(known.list[i].err.message, messages[i]);
}

/* The manager has seen the source too. */
static void who_knows_more_about_a_thing_is_heard(void **state)
{
    (void)state;
    struct findings known = {0}, said = {0};
    add(&known, FINDING_ERROR, "machine-unknown", "destination", "known");
    (void)err_arg(&known.list[0].err, "source", "h1");
    add(&known, FINDING_ERROR, "disk-missing", "destination", "x");
    add(&known, FINDING_ERROR, "machine-unknown", "destination", "known too");
    add(&said, FINDING_ERROR, "machine-unknown", "destination", "said");
    (void)err_arg(&said.list[0].err, "source", "%s", "");
    add(&said, FINDING_ERROR, "disk-missing", "destination", "y");
    (void)err_arg(&said.list[1].err, "path", "/y");
    add(&said, FINDING_ERROR, "disk-missing", "destination", "z");
    findings_merge(&known, &said);
    static const char *const messages[] = {"known", "known too", "y", "z"};
    assert_int_equal(known.n, sizeof messages / sizeof *messages);
    for (unsigned i = 0; i < known.n; i++)
        assert_string_equal(known.list[i].err.message, messages[i]);
}

static void findings_cross_hosts_whole(void **state)
{
    (void)state;
    struct findings found = {0}, read = {0};
    struct err err = {0};
    add(&found, FINDING_WARNING, "mtu-differs", "destination", "slow");
    add(&found, FINDING_ERROR, "disk-missing", "destination", "no disk");
    JsonNode *node = json_node_new(JSON_NODE_ARRAY);
    json_node_take_array(node, findings_to_json(&found));
    assert_int_equal(findings_from_json(node, &read, &err), 0);
    json_node_unref(node);
    assert_int_equal(read.n, 2);
    for (unsigned i = 0; i < read.n; i++) {
        assert_int_equal(read.list[i].severity, found.list[i].severity);
        assert_int_equal(read.list[i].err.code, found.list[i].err.code);
        assert_string_equal(read.list[i].err.id, found.list[i].err.id);
        assert_string_equal(read.list[i].err.side, found.list[i].err.side);
        assert_string_equal(read.list[i].err.message, found.list[i].err.message);
        assert_string_equal(read.list[i].err.fix, found.list[i].err.fix);
        assert_string_equal(err_arg_find(&read.list[i].err, "host"), "h2");
    }
}

static void assert_refused(const char *text)
{
    struct findings read;
    struct err err = {0};
    JsonObject *object;
    assert_int_equal(model_parse(text, -1, &object, &err), 0);
    assert_int_equal(findings_from_json(json_object_get_member(object, "findings"), &read, &err), -1);
    assert_string_equal(err.id, "agent-answer");
    json_object_unref(object);
}

static void what_are_no_findings_is_refused(void **state)
{
    (void)state;
    assert_refused("{}");
    assert_refused("{\"findings\":7}");
    assert_refused("{\"findings\":[7]}");
    assert_refused("{\"findings\":[null]}");
}

static void too_many_lose_no_room(void **state)
{
    (void)state;
    struct findings found = {0};
    for (unsigned i = 0; i < FINDINGS_MAX + 5; i++)
        add(&found, FINDING_ERROR, "network-missing", "destination", "one more");
    assert_int_equal(found.n, FINDINGS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(warnings_forbid_nothing),
        cmocka_unit_test(what_a_host_says_takes_the_place_of_what_was_known_of_it),
        cmocka_unit_test(who_knows_more_about_a_thing_is_heard),
        cmocka_unit_test(findings_cross_hosts_whole),
        cmocka_unit_test(what_are_no_findings_is_refused),
        cmocka_unit_test(too_many_lose_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
