/* SPDX-License-Identifier: Apache-2.0 */
/* Against a real QEMU without a machine, and against a socket of the test's own where QEMU would not
 * misbehave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "qemu/qmp.h"

#include "qemu/caps.h"

#define WAIT_S 30
#define CALLS 200

extern char **environ;

static char folder[64];
static char path[96];
static pid_t child;
static struct qmp *qmp;

struct seen {
    bool is_ready, is_closed;
    struct err ready_err;
    unsigned n_answers, n_failed;
    struct err last;
    int order_broken;
};

static void wait_for(const bool *flag)
{
    gint64 deadline = g_get_monotonic_time() + WAIT_S * G_USEC_PER_SEC;
    while (!*flag) {
        assert_true(g_get_monotonic_time() < deadline);
        (void)g_main_context_iteration(NULL, FALSE);
        (void)usleep(500);
    }
}

static void on_ready(const struct err *err, void *user)
{
    struct seen *seen = user;
    seen->is_ready = true;
    seen->ready_err = *err;
}

static void on_closed(void *user)
{
    ((struct seen *)user)->is_closed = true;
}

static int set_up(void **state)
{
    (void)state;
    g_strlcpy(folder, "/tmp/agentvm-qmp-XXXXXX", sizeof folder);
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(path, sizeof path, "%s/qmp", folder);
    child = 0;
    qmp = NULL;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    qmp_free(qmp);
    if (child > 0) {
        (void)kill(child, SIGKILL);
        (void)waitpid(child, NULL, 0);
    }
    (void)unlink(path);
    return rmdir(folder);
}

static void start_qemu(void)
{
    char listen[128];
    (void)snprintf(listen, sizeof listen, "unix:%s,server=on,wait=off", path);
    char *argv[] = {(char *)"qemu-system-x86_64",
                    (char *)"-machine",
                    (char *)"none",
                    (char *)"-nodefaults",
                    (char *)"-display",
                    (char *)"none",
                    (char *)"-qmp",
                    listen,
                    NULL};
    assert_int_equal(posix_spawnp(&child, argv[0], NULL, NULL, argv, environ), 0);
}

static void connect_qmp(struct seen *seen)
{
    const struct qmp_config config = {
        .path = path, .deadline_ms = WAIT_S * 1000, .ready = on_ready, .closed = on_closed, .user = seen};
    qmp = qmp_new(&config);
}

struct numbered {
    struct seen *seen;
    unsigned n;
};

static void on_answer(JsonNode *result, const struct err *err, void *user)
{
    (void)result;
    struct numbered *call = user;
    if (call->n != call->seen->n_answers)
        call->seen->order_broken = 1;
    call->seen->n_answers++;
    call->seen->n_failed += err_is_set(err);
    call->seen->last = *err;
    g_free(call);
}

static void ask(struct seen *seen, unsigned n, const char *command, JsonObject *arguments, int fd)
{
    struct numbered *call = g_new(struct numbered, 1);
    *call = (struct numbered){.seen = seen, .n = n};
    qmp_call(qmp, &(struct qmp_command){command, arguments, fd, WAIT_S * 1000}, on_answer, call);
}

static void wait_answers(struct seen *seen, unsigned n)
{
    gint64 deadline = g_get_monotonic_time() + WAIT_S * G_USEC_PER_SEC;
    while (seen->n_answers < n) {
        assert_true(g_get_monotonic_time() < deadline);
        (void)g_main_context_iteration(NULL, FALSE);
    }
}

static void answers_come_in_order_and_errors_carry_qemus_words(void **state)
{
    (void)state;
    struct seen seen = {0};
    start_qemu();
    connect_qmp(&seen);
    wait_for(&seen.is_ready);
    assert_false(err_is_set(&seen.ready_err));
    for (unsigned i = 0; i < CALLS; i++)
        ask(&seen, i, "query-status", NULL, -1);
    ask(&seen, CALLS, "no-such-command", NULL, -1);
    wait_answers(&seen, CALLS + 1);
    assert_false(seen.order_broken);
    assert_int_equal(seen.n_failed, 1);
    assert_int_equal(seen.last.code, ERR_REFUSED);
    assert_non_null(strstr(seen.last.cause, "no-such-command"));
}

static void a_descriptor_travels_with_its_command(void **state)
{
    (void)state;
    struct seen seen = {0};
    int ends[2];
    start_qemu();
    connect_qmp(&seen);
    wait_for(&seen.is_ready);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    for (unsigned i = 0; i < 2; i++) {
        JsonObject *arguments = json_object_new();
        json_object_set_string_member(arguments, "fdname", i ? "none" : "one");
        ask(&seen, i, "getfd", arguments, i ? -1 : ends[1]);
    }
    wait_answers(&seen, 2);
    /* Only the second was refused: it came without. */
    assert_int_equal(seen.n_failed, 1);
    /* QEMU holds its copy: the pipe ends only with it. */
    char byte;
    (void)close(ends[1]);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(read(ends[0], &byte, 1), -1);
    JsonObject *arguments = json_object_new();
    json_object_set_string_member(arguments, "fdname", "one");
    ask(&seen, 2, "closefd", arguments, -1);
    wait_answers(&seen, 3);
    assert_int_equal(read(ends[0], &byte, 1), 0);
    (void)close(ends[0]);
}

static void a_dead_qemu_fails_what_waits_and_then_closes(void **state)
{
    (void)state;
    struct seen seen = {0};
    start_qemu();
    connect_qmp(&seen);
    wait_for(&seen.is_ready);
    assert_int_equal(kill(child, SIGSTOP), 0);
    ask(&seen, 0, "query-status", NULL, -1);
    assert_int_equal(kill(child, SIGKILL), 0);
    wait_for(&seen.is_closed);
    assert_int_equal(seen.n_answers, 1);
    assert_int_equal(seen.last.code, ERR_PEER_LOST);
    ask(&seen, 1, "query-status", NULL, -1);
    wait_answers(&seen, 2);
    assert_int_equal(seen.last.code, ERR_PEER_LOST);
}

static void a_freed_client_cancels_what_waits(void **state)
{
    (void)state;
    struct seen seen = {0};
    start_qemu();
    connect_qmp(&seen);
    wait_for(&seen.is_ready);
    ask(&seen, 0, "query-status", NULL, -1);
    qmp_free(qmp);
    qmp = NULL;
    assert_int_equal(seen.n_answers, 1);
    assert_int_equal(seen.last.code, ERR_CANCELLED);
    assert_false(seen.is_closed);
}

static void nobody_there_is_told_in_time(void **state)
{
    (void)state;
    struct seen seen = {0};
    const struct qmp_config config = {.path = path, .deadline_ms = 50, .ready = on_ready, .user = &seen};
    qmp = qmp_new(&config);
    wait_for(&seen.is_ready);
    assert_int_equal(seen.ready_err.code, ERR_TIMEOUT);
    assert_string_equal(err_arg_find(&seen.ready_err, "socket"), path);
    assert_non_null(strstr(seen.ready_err.message, "the agent waited 0."));
    assert_non_null(strstr(seen.ready_err.cause, "nothing was heard"));
}

static void a_qemu_that_hangs_is_named_with_the_command_and_its_last_word(void **state)
{
    (void)state;
    struct seen seen = {0};
    start_qemu();
    connect_qmp(&seen);
    wait_for(&seen.is_ready);
    assert_int_equal(kill(child, SIGSTOP), 0);
    struct numbered *call = g_new0(struct numbered, 1);
    call->seen = &seen;
    qmp_call(qmp, &(struct qmp_command){"query-status", NULL, -1, 100}, on_answer, call);
    wait_answers(&seen, 1);
    assert_int_equal(kill(child, SIGCONT), 0);
    assert_string_equal(seen.last.id, "qmp-timeout");
    assert_string_equal(err_arg_find(&seen.last, "command"), "query-status");
    assert_non_null(err_arg_find(&seen.last, "waited_s"));
    assert_non_null(strstr(seen.last.cause, "for the last time"));
}

static int listen_here(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    return listener;
}

static int connect_and_accept(int listener, struct seen *seen)
{
    connect_qmp(seen);
    while (g_main_context_iteration(NULL, FALSE))
        ;
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Bytes arrive in any pieces, events may come between a command and its answer, and garbage ends it. */
static void lines_may_come_in_pieces_and_garbage_ends_it(void **state)
{
    (void)state;
    struct seen seen = {0};
    int listener = listen_here(), fd = connect_and_accept(listener, &seen);
    const char greeting[] = "{\"QMP\":{\"version\":{}}}\r\n{\"event\":\"X\"}\r\n{\"return\":{},\"id\":1}\r\n";
    for (unsigned i = 0; i < sizeof greeting - 1; i++) {
        assert_int_equal(send(fd, greeting + i, 1, MSG_NOSIGNAL), 1);
        while (g_main_context_iteration(NULL, FALSE))
            ;
    }
    wait_for(&seen.is_ready);
    assert_false(err_is_set(&seen.ready_err));
    ask(&seen, 0, "query-status", NULL, -1);
    say(fd, "{\"event\":\"Y\",\"data\":3}\n[1,2]\n");
    wait_for(&seen.is_closed);
    assert_int_equal(seen.n_answers, 1);
    assert_int_equal(seen.last.code, ERR_PEER_LOST);
    (void)close(fd);
    (void)close(listener);
}

/* A line that the parser would follow into the depth, one call a bracket. */
static void a_line_nested_without_end_ends_it(void **state)
{
    (void)state;
    struct seen seen = {0};
    int listener = listen_here(), fd = connect_and_accept(listener, &seen);
    say(fd, "{\"QMP\":{}}\n{\"return\":{},\"id\":1}\n");
    wait_for(&seen.is_ready);
    g_autofree char *brackets = g_strnfill(128 * 1024, '[');
    say(fd, "{\"event\":\"X\",\"data\":");
    say(fd, brackets);
    say(fd, "\n");
    wait_for(&seen.is_closed);
    (void)close(fd);
    (void)close(listener);
}

static int accept_here(int listener)
{
    int fd = -1;
    gint64 deadline = g_get_monotonic_time() + WAIT_S * G_USEC_PER_SEC;
    assert_int_equal(fcntl(listener, F_SETFL, O_NONBLOCK), 0);
    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) < 0) {
        assert_true(g_get_monotonic_time() < deadline);
        (void)g_main_context_iteration(NULL, FALSE);
        (void)usleep(500);
    }
    return fd;
}

static void a_connection_that_is_not_greeted_is_given_up_for_another(void **state)
{
    (void)state;
    struct seen seen = {0};
    int listener = listen_here();
    connect_qmp(&seen);
    int mute = accept_here(listener);
    int fd = accept_here(listener);
    say(fd, "{\"QMP\":{\"version\":{}}}\n{\"return\":{},\"id\":1}\n");
    wait_for(&seen.is_ready);
    assert_false(err_is_set(&seen.ready_err));
    (void)close(mute);
    (void)close(fd);
    (void)close(listener);
}

static void on_any_event(const char *name, JsonObject *data, void *user)
{
    struct seen *seen = user;
    assert_string_equal(name, "");
    assert_null(data);
    seen->n_answers++;
}

/* A guest that broke out of its QEMU says what it likes; the agent has the rights of root. */
static void words_of_a_wrong_type_are_empty(void **state)
{
    (void)state;
    struct seen seen = {0};
    int listener = listen_here();
    const struct qmp_config config = {.path = path,
                                      .deadline_ms = WAIT_S * 1000,
                                      .ready = on_ready,
                                      .event = on_any_event,
                                      .closed = on_closed,
                                      .user = &seen};
    qmp = qmp_new(&config);
    int fd = accept_here(listener);
    say(fd,
        "{\"QMP\":{}}\n{\"event\":7}\n{\"event\":[],\"data\":\"x\"}\n{\"error\":{\"desc\":7},\"id\":1}\n");
    wait_for(&seen.is_ready);
    assert_int_equal(seen.n_answers, 2);
    assert_string_equal(seen.ready_err.id, "qemu-refused");
    (void)close(fd);
    (void)close(listener);
}

static void on_caps(const struct err *err, void *user)
{
    struct seen *seen = user;
    seen->last = *err;
    seen->is_closed = true;
}

static void qemu_tells_what_it_can_do(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct qemu_caps caps;
    start_qemu();
    connect_qmp(&seen);
    wait_for(&seen.is_ready);
    caps_query(qmp, &caps, on_caps, &seen);
    wait_for(&seen.is_closed);
    assert_false(err_is_set(&seen.last));
    assert_true(caps.major >= 7);
    assert_true(g_str_has_prefix(caps.machine, "pc-q35-"));
    assert_true(caps_has_machine(&caps, caps.machine));
    assert_true(caps_has_machine(&caps, "pc-q35-7.2"));
    assert_false(caps_has_machine(&caps, "pc-q35-99.0"));
}

static void a_qemu_below_the_minimum_is_named(void **state)
{
    (void)state;
    static const struct {
        int major, minor;
        bool is_good;
    } rows[] = {{6, 9, false}, {7, 1, false}, {7, 2, true}, {8, 0, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct qemu_caps caps = {.major = rows[i].major, .minor = rows[i].minor};
        struct err err = {0};
        (void)snprintf(caps.version, sizeof caps.version, "%d.%d.0", caps.major, caps.minor);
        assert_int_equal(caps_check_version(&caps, &err), rows[i].is_good ? 0 : -1);
        if (!rows[i].is_good)
            assert_non_null(strstr(err.message, caps.version));
        assert_string_equal(err.id, rows[i].is_good ? "" : "qemu-too-old");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_qemu_below_the_minimum_is_named),
        cmocka_unit_test_setup_teardown(a_connection_that_is_not_greeted_is_given_up_for_another, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(answers_come_in_order_and_errors_carry_qemus_words, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_descriptor_travels_with_its_command, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_dead_qemu_fails_what_waits_and_then_closes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_freed_client_cancels_what_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_there_is_told_in_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_qemu_that_hangs_is_named_with_the_command_and_its_last_word, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(lines_may_come_in_pieces_and_garbage_ends_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_line_nested_without_end_ends_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(words_of_a_wrong_type_are_empty, set_up, tear_down),
        cmocka_unit_test_setup_teardown(qemu_tells_what_it_can_do, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
