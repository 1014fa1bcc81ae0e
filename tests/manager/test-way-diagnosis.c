/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <glib.h>
#include <string.h>

#include "manager/way_diagnosis.h"

struct scene {
    struct findings there_found, back_found;
    struct reach_report there_report, back_report;
    struct way_seen there, back;
    struct diagnoses *lines;
};

static void good_report(struct reach_report *report, const char *from, const char *to)
{
    *report = (struct reach_report){.n_pairs = 1,
                                    .pairs = {{.connects = true,
                                               .mtu = 1500,
                                               .path_mtu = 1500,
                                               .n_sent = 40,
                                               .n_received = 40,
                                               .min_us = 40,
                                               .average_us = 60,
                                               .max_us = 120,
                                               .n_macs = 1,
                                               .macs = {"52:54:00:12:34:56"}}}};
    (void)g_strlcpy(report->pairs[0].from, from, sizeof report->pairs[0].from);
    (void)g_strlcpy(report->pairs[0].to, to, sizeof report->pairs[0].to);
}

static int set_up(void **state)
{
    struct scene *scene = g_new0(struct scene, 1);
    good_report(&scene->there_report, "198.18.2.11", "198.18.2.12");
    good_report(&scene->back_report, "198.18.2.12", "198.18.2.11");
    scene->there = (struct way_seen){"h1", "h2", 8000, &scene->there_found, &scene->there_report};
    scene->back = (struct way_seen){"h2", "h1", 8000, &scene->back_found, &scene->back_report};
    scene->lines = diagnoses_new();
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    diagnoses_free(scene->lines);
    g_free(scene);
    return 0;
}

static const struct diagnosis *find(const struct scene *scene, const char *id)
{
    for (unsigned i = 0; i < diagnoses_count(scene->lines); i++)
        if (!strcmp(diagnoses_get(scene->lines, i)->err.id, id))
            return diagnoses_get(scene->lines, i);
    fail_msg("there is no line %s", id);
    return NULL;
}

static void expect(struct scene *scene, const char *id, enum diagnosis_verdict verdict)
{
    way_diagnose(&scene->there, scene->lines);
    way_compare(&scene->there, &scene->back, scene->lines);
    const struct diagnosis *line = find(scene, id);
    if (line->verdict != verdict)
        fail_msg("%s: %s: %s", id, diagnosis_verdict_name(line->verdict), line->err.message);
    assert_true(line->err.message[0]);
    if (verdict == DIAGNOSIS_PROBLEM || verdict == DIAGNOSIS_WARNING)
        assert_true(line->err.cause[0] && line->err.fix[0]);
}

static void a_good_way_has_no_fault(void **state)
{
    struct scene *scene = *state;
    expect(scene, "symmetry", DIAGNOSIS_OK);
    assert_int_equal(diagnoses_count_of(scene->lines, DIAGNOSIS_OK), diagnoses_count(scene->lines));
    assert_int_equal(diagnoses_count(scene->lines), 5);
}

static void lost_pings_are_judged_by_their_share(void **state)
{
    struct scene *scene = *state;
    scene->there_report.pairs[0].n_received = 39;
    expect(scene, "round-trip", DIAGNOSIS_WARNING);
    scene->there_report.pairs[0].n_received = 30;
    diagnoses_free(scene->lines);
    scene->lines = diagnoses_new();
    expect(scene, "round-trip", DIAGNOSIS_PROBLEM);
    assert_string_equal(err_arg_find(&find(scene, "round-trip")->err, "lost"), "10");
}

static void a_long_way_is_a_warning(void **state)
{
    struct scene *scene = *state;
    scene->there_report.pairs[0].average_us = 200000;
    expect(scene, "round-trip", DIAGNOSIS_WARNING);
}

static void a_host_that_answers_no_ping_is_not_blamed_for_it(void **state)
{
    struct scene *scene = *state;
    scene->there_report.pairs[0].n_received = scene->there_report.pairs[0].path_mtu = 0;
    expect(scene, "round-trip", DIAGNOSIS_NOT_HERE);
    assert_int_equal(find(scene, "path-mtu")->verdict, DIAGNOSIS_NOT_HERE);
}

static void what_a_host_found_is_a_problem(void **state)
{
    struct scene *scene = *state;
    struct err *err = findings_add(&scene->there_found, FINDING_WARNING);
    (void)err_set(err, ERR_REFUSED, "path-mtu", "cut down");
    (void)err_cause(err, "why");
    (void)err_fix(err, "how");
    scene->there_report.pairs[0].path_mtu = 1300;
    expect(scene, "path-mtu", DIAGNOSIS_PROBLEM);
    assert_int_equal(find(scene, "symmetry")->verdict, DIAGNOSIS_WARNING);
}

static void one_way_is_said(void **state)
{
    struct scene *scene = *state;
    scene->there_report.pairs[0].connects = false;
    expect(scene, "symmetry", DIAGNOSIS_WARNING);
    assert_non_null(strstr(find(scene, "symmetry")->err.message, "only 'h2' gets a connection to 'h1'"));
}

static void without_an_answer_nothing_is_compared(void **state)
{
    struct scene *scene = *state;
    scene->back_report.n_pairs = 0;
    expect(scene, "symmetry", DIAGNOSIS_NOT_HERE);
}

static void a_host_that_lies_breaks_nothing(void **state)
{
    struct scene *scene = *state;
    scene->there_report.pairs[0].n_received = UINT32_MAX;
    expect(scene, "round-trip", DIAGNOSIS_OK);
}

#define PROMISE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROMISE(a_good_way_has_no_fault),
        PROMISE(lost_pings_are_judged_by_their_share),
        PROMISE(a_long_way_is_a_warning),
        PROMISE(a_host_that_answers_no_ping_is_not_blamed_for_it),
        PROMISE(what_a_host_found_is_a_problem),
        PROMISE(one_way_is_said),
        PROMISE(without_an_answer_nothing_is_compared),
        PROMISE(a_host_that_lies_breaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
