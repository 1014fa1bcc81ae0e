/* SPDX-License-Identifier: Apache-2.0 */
/* A hostile job (a fake one: the other end of its control socket) is ended at its first lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/job_control.h"

struct fixture {
    int fake;
    struct job_control *job;
    unsigned n_requests, n_progress, n_rounds, n_results, n_ended;
    enum ctl_type type;
    uint8_t body[64];
    struct ctl_progress progress;
    struct ctl_result result;
    struct err ended;
};

static void on_request(enum ctl_type type, const uint8_t *body, void *user)
{
    struct fixture *fixture = user;
    fixture->n_requests++;
    fixture->type = type;
    memcpy(fixture->body, body, CTL_SECRET_SIZE);
}

static void on_progress(const struct ctl_progress *progress, void *user)
{
    struct fixture *fixture = user;
    fixture->n_progress++;
    fixture->progress = *progress;
}

static void on_round(const struct ctl_round *round, void *user)
{
    (void)round;
    ((struct fixture *)user)->n_rounds++;
}

static void on_result(const struct ctl_result *result, void *user)
{
    struct fixture *fixture = user;
    fixture->n_results++;
    fixture->result = *result;
}

static void on_ended(const struct err *why, void *user)
{
    struct fixture *fixture = user;
    fixture->n_ended++;
    fixture->ended = *why;
}

static const struct job_handlers handlers = {on_request, on_progress, on_round, on_result, on_ended};

static void attach(struct fixture *fixture, uint32_t role)
{
    int ends[2];
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int fds[CTL_SOURCE_FDS] = {null, null, null, null, null};
    struct ctl_job_spec spec = {.version = CTL_VERSION, .role = role};
    struct ctl_msg msg;
    int got[CTL_FDS_MAX];
    size_t n_got = CTL_FDS_MAX;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(job_control_attach(ends[0], &spec, fds, &handlers, fixture, &fixture->job, NULL), 0);
    close(null);
    fixture->fake = ends[1];
    assert_int_equal(ctl_recv(fixture->fake, &msg, got, &n_got, NULL), 0);
    assert_int_equal(msg.type, CTL_JOB_SPEC);
    assert_int_equal(n_got, role == CTL_ROLE_SOURCE ? CTL_SOURCE_FDS : CTL_DESTINATION_FDS);
    for (size_t i = 0; i < n_got; i++)
        close(got[i]);
}

static void detach(struct fixture *fixture)
{
    job_control_free(fixture->job);
    close(fixture->fake);
}

static void say(struct fixture *fixture, uint32_t type, uint32_t serial, const void *body, size_t size)
{
    struct ctl_msg msg;
    ctl_fill(&msg, type, serial, body, size);
    assert_int_equal(ctl_send(fixture->fake, &msg, NULL, 0, NULL), 0);
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

static void assert_ended_for_lying(struct fixture *fixture)
{
    assert_int_equal(fixture->n_ended, 1);
    assert_string_equal(fixture->ended.id, "job-broke-rules");
    detach(fixture);
}

static void honest_requests_are_answered(void **state)
{
    (void)state;
    struct fixture fixture = {0};
    struct ctl_msg msg;
    uint8_t secret[CTL_SECRET_SIZE] = {1, 2, 3};
    int fd = -1;
    size_t n_fds = 1;
    attach(&fixture, CTL_ROLE_SOURCE);
    say(&fixture, CTL_SAVE, 9, NULL, 0);
    assert_int_equal(fixture.n_requests, 1);
    job_control_answer(fixture.job, NULL, 0, STDERR_FILENO, true);
    assert_int_equal(ctl_recv(fixture.fake, &msg, &fd, &n_fds, NULL), 0);
    assert_int_equal(msg.type, CTL_DONE);
    assert_int_equal(msg.serial, 9);
    assert_int_equal(n_fds, 1);
    close(fd);
    job_control_answer(fixture.job, NULL, 0, -1, false);
    n_fds = 1;
    assert_int_equal(ctl_recv(fixture.fake, &msg, &fd, &n_fds, NULL), 0);
    assert_int_equal(msg.serial, 9);
    assert_int_equal(n_fds, 0);
    say(&fixture, CTL_GIVE, 10, secret, sizeof secret);
    assert_int_equal(fixture.type, CTL_GIVE);
    assert_memory_equal(fixture.body, secret, sizeof secret);
    struct err why = {0};
    (void)err_set(&why, ERR_REFUSED, "secret-forged", "no");
    job_control_fail(fixture.job, &why);
    assert_int_equal(ctl_recv(fixture.fake, &msg, NULL, NULL, NULL), 0);
    assert_int_equal(msg.type, CTL_FAILED);
    assert_int_equal(msg.length, sizeof why);
    assert_int_equal(fixture.n_ended, 0);
    detach(&fixture);
}

static void wrong_sizes_end_the_job(void **state)
{
    (void)state;
    static const uint32_t types[] = {CTL_STOP,     CTL_SAVE,  CTL_GIVE,  CTL_QUIT,
                                     CTL_PROGRESS, CTL_ROUND, CTL_RESULT};
    for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
        struct fixture fixture = {0};
        uint8_t body[17] = {0};
        attach(&fixture, CTL_ROLE_SOURCE);
        say(&fixture, types[i], 1, body, sizeof body);
        assert_int_equal(fixture.n_requests + fixture.n_progress + fixture.n_rounds + fixture.n_results, 0);
        assert_ended_for_lying(&fixture);
    }
}

static void requests_of_the_other_side_end_the_job(void **state)
{
    (void)state;
    uint8_t body[CTL_SECRET_SIZE] = {0};
    static const uint32_t of_destination[] = {CTL_LOAD, CTL_READY, CTL_CONT};
    for (size_t i = 0; i < G_N_ELEMENTS(of_destination); i++) {
        struct fixture fixture = {0};
        attach(&fixture, CTL_ROLE_SOURCE);
        say(&fixture, of_destination[i], 1, body, of_destination[i] == CTL_CONT ? sizeof body : 0);
        assert_ended_for_lying(&fixture);
    }
    struct fixture fixture = {0};
    attach(&fixture, CTL_ROLE_DESTINATION);
    say(&fixture, CTL_GIVE, 1, body, sizeof body);
    assert_ended_for_lying(&fixture);
    struct fixture other = {0};
    attach(&other, CTL_ROLE_DESTINATION);
    say(&other, CTL_DISKS, 1, NULL, 0);
    assert_ended_for_lying(&other);
}

static void second_request_before_the_answer_ends_the_job(void **state)
{
    (void)state;
    struct fixture fixture = {0};
    attach(&fixture, CTL_ROLE_SOURCE);
    say(&fixture, CTL_STOP, 1, NULL, 0);
    say(&fixture, CTL_SAVE, 2, NULL, 0);
    assert_int_equal(fixture.n_requests, 1);
    assert_ended_for_lying(&fixture);
}

static void unknown_and_malformed_messages_end_the_job(void **state)
{
    (void)state;
    static const uint32_t types[] = {0, CTL_JOB_SPEC, CTL_DONE, CTL_CANCEL, CTL_DOOR_EXPECT, 4000000000u};
    for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
        struct fixture fixture = {0};
        attach(&fixture, CTL_ROLE_SOURCE);
        say(&fixture, types[i], 1, NULL, 0);
        assert_ended_for_lying(&fixture);
    }
    struct fixture fixture = {0};
    attach(&fixture, CTL_ROLE_SOURCE);
    assert_int_equal(send(fixture.fake, "abc", 3, 0), 3);
    while (g_main_context_iteration(NULL, FALSE))
        ;
    assert_ended_for_lying(&fixture);
}

static void errors_and_numbers_of_a_job_are_cleaned(void **state)
{
    (void)state;
    struct fixture fixture = {0};
    attach(&fixture, CTL_ROLE_SOURCE);
    struct ctl_progress progress = {.step = CTL_STEP_COPY, .bytes_on_wire = UINT64_MAX};
    say(&fixture, CTL_PROGRESS, 0, &progress, sizeof progress);
    assert_true(fixture.progress.bytes_on_wire == INT64_MAX);
    struct ctl_result result = {.ok = 0, .downtime_ns = UINT64_MAX};
    memset(&result.error, 0xff, sizeof result.error);
    memcpy(result.error.side, "manager", 8);
    say(&fixture, CTL_RESULT, 0, &result, sizeof result);
    assert_int_equal(fixture.n_results, 1);
    assert_int_equal(fixture.result.error.code, ERR_INTERNAL);
    assert_true(strlen(fixture.result.error.message) < ERR_TEXT_MAX);
    assert_true(g_utf8_validate(fixture.result.error.message, -1, NULL));
    assert_string_equal(fixture.result.error.phase, "");
    assert_true(fixture.result.error.n_args <= ERR_ARGS_MAX);
    assert_true(strlen(fixture.result.error.args[0].value) < sizeof fixture.result.error.args[0].value);
    assert_string_equal(fixture.result.error.side, "");
    assert_true(fixture.result.downtime_ns == INT64_MAX);
    say(&fixture, CTL_STOP, 3, NULL, 0); /* after its last message */
    assert_int_equal(fixture.n_requests, 0);
    assert_ended_for_lying(&fixture);
}

static void last_words_are_heard_before_the_end(void **state)
{
    (void)state;
    struct fixture fixture = {0};
    struct ctl_result result = {.ok = 1, .copy_ns = 5};
    struct ctl_msg msg;
    attach(&fixture, CTL_ROLE_SOURCE);
    ctl_fill(&msg, CTL_RESULT, 0, &result, sizeof result);
    assert_int_equal(ctl_send(fixture.fake, &msg, NULL, 0, NULL), 0);
    close(fixture.fake);
    while (g_main_context_iteration(NULL, FALSE))
        ;
    assert_int_equal(fixture.n_results, 1);
    assert_int_equal(fixture.n_ended, 1);
    assert_int_equal(fixture.ended.code, ERR_PEER_LOST);
    fixture.fake = -1;
    job_control_free(fixture.job);
}

static void cancelled_job_that_stays_is_ended(void **state)
{
    (void)state;
    struct fixture fixture = {0};
    struct err why = {0};
    struct ctl_msg msg;
    (void)err_set(&why, ERR_CANCELLED, "cancelled", "the operator asked for it");
    attach(&fixture, CTL_ROLE_DESTINATION);
    job_control_cancel(fixture.job, &why, 20);
    assert_int_equal(ctl_recv(fixture.fake, &msg, NULL, NULL, NULL), 0);
    assert_int_equal(msg.type, CTL_CANCEL);
    while (!fixture.n_ended)
        (void)g_main_context_iteration(NULL, TRUE);
    assert_string_equal(fixture.ended.id, "job-did-not-end");
    detach(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(honest_requests_are_answered),
        cmocka_unit_test(wrong_sizes_end_the_job),
        cmocka_unit_test(requests_of_the_other_side_end_the_job),
        cmocka_unit_test(second_request_before_the_answer_ends_the_job),
        cmocka_unit_test(unknown_and_malformed_messages_end_the_job),
        cmocka_unit_test(errors_and_numbers_of_a_job_are_cleaned),
        cmocka_unit_test(last_words_are_heard_before_the_end),
        cmocka_unit_test(cancelled_job_that_stays_is_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
