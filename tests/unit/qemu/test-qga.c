/* SPDX-License-Identifier: Apache-2.0 */
/* Guests that do not behave. What a real guest agent says is seen in
 * tests/e2e/a-guest-hears-of-its-move-and-has-no-veto.sh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "qemu/qga.h"

#define PATIENCE_MS 20000
#define SHORT_MS 200

static char folder[64];
static char path[96];

/* What a guest does on the one connection it gets. */
struct guest {
    int listener;
    const char *before; /* sent before the answer to the sync; NULL: it says nothing at all */
    const char *answer; /* to the command; NULL: none */
    unsigned repeats;   /* of the answer */
    bool saw_command;
    pthread_t thread;
};

struct seen {
    bool is_over;
    gint64 number;
    struct err err;
};

static void say(int fd, const char *text)
{
    size_t length = strlen(text);
    /* The agent may have closed it. */
    (void)!send(fd, text, length, MSG_NOSIGNAL);
}

/* Until a line has come; its length. */
static size_t hear(int fd, char *buffer, size_t size)
{
    size_t length = 0;
    while (length + 1 < size && !memchr(buffer, '\n', length)) {
        ssize_t got = recv(fd, buffer + length, size - 1 - length, 0);
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    buffer[length] = '\0';
    return length;
}

static void *be_guest(void *user)
{
    struct guest *guest = user;
    char buffer[1024];
    int fd = accept(guest->listener, NULL, NULL);
    size_t length = hear(fd, buffer, sizeof buffer);
    const char *id = strstr(buffer, "\"id\":");
    if (guest->before && length && buffer[0] == '\xff' && id) {
        char sync[64];
        (void)snprintf(sync, sizeof sync, "\xff{\"return\": %lld}\n", strtoll(id + 5, NULL, 10));
        say(fd, guest->before);
        say(fd, sync);
        guest->saw_command = hear(fd, buffer, sizeof buffer) > 0;
        for (unsigned i = 0; guest->answer && i < guest->repeats; i++)
            say(fd, guest->answer);
    }
    /* Until the agent closes. */
    while (recv(fd, buffer, sizeof buffer, 0) > 0)
        ;
    (void)close(fd);
    return NULL;
}

static int set_up(void **state)
{
    (void)state;
    g_strlcpy(folder, "/tmp/agentvm-qga-XXXXXX", sizeof folder);
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(path, sizeof path, "%s/guest-agent", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(folder);
}

static void on_done(JsonNode *result, uint64_t round_trip_ns, const struct err *err, void *user)
{
    struct seen *seen = user;
    (void)round_trip_ns;
    assert_false(seen->is_over);
    seen->is_over = true;
    seen->err = *err;
    seen->number = result && JSON_NODE_HOLDS_VALUE(result) ? json_node_get_int(result) : -1;
}

static struct seen ask(unsigned timeout_ms)
{
    struct seen seen = {0};
    const struct qga_command command = {path, "guest-get-time", NULL, timeout_ms};
    (void)qga_call(&command, on_done, &seen);
    assert_false(seen.is_over);
    while (!seen.is_over)
        (void)g_main_context_iteration(NULL, TRUE);
    return seen;
}

static struct seen ask_guest(struct guest *guest, unsigned timeout_ms)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    guest->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(guest->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(guest->listener, 1), 0);
    assert_int_equal(pthread_create(&guest->thread, NULL, be_guest, guest), 0);
    struct seen seen = ask(timeout_ms);
    assert_int_equal(pthread_join(guest->thread, NULL), 0);
    (void)close(guest->listener);
    return seen;
}

static void what_was_left_from_before_is_not_the_answer(void **state)
{
    (void)state;
    struct guest guest = {.before =
                              "{\"return\": 1}\n\xff{\"return\": 2}\nhalf a line, \xff\xff{\"error\": {}}\n",
                          .answer = "{\"return\": 42}\n",
                          .repeats = 1};
    struct seen seen = ask_guest(&guest, PATIENCE_MS);
    assert_false(err_is_set(&seen.err));
    assert_int_equal(seen.number, 42);
}

static void a_refusal_comes_with_the_words_of_the_guest(void **state)
{
    (void)state;
    struct guest guest = {
        .before = "", .answer = "{\"error\": {\"desc\": \"not today\", \"class\": 7}}\n", .repeats = 1};
    struct seen seen = ask_guest(&guest, PATIENCE_MS);
    assert_string_equal(seen.err.id, "guest-agent-refused");
    assert_string_equal(seen.err.cause, "not today");
}

static void a_guest_that_says_nothing_gets_no_command(void **state)
{
    (void)state;
    struct guest guest = {0};
    struct seen seen = ask_guest(&guest, SHORT_MS);
    assert_string_equal(seen.err.id, "guest-agent-silent");
    assert_non_null(strstr(seen.err.cause, "no guest agent runs"));
    assert_false(guest.saw_command);
}

static void a_guest_that_takes_the_command_and_is_silent_is_told_from_one_that_is_not_there(void **state)
{
    (void)state;
    struct guest guest = {.before = ""};
    struct seen seen = ask_guest(&guest, SHORT_MS);
    assert_string_equal(seen.err.id, "guest-agent-silent");
    assert_non_null(strstr(seen.err.cause, "took the command"));
    assert_true(guest.saw_command);
}

static void nonsense_ends_the_call(void **state)
{
    (void)state;
    static const char *const answers[] = {"nonsense\n", "[1]\n", "{\"return\": 1\n", "\n",
                                          "{\"error\": [7]}\n"};
    for (unsigned i = 0; i < sizeof answers / sizeof *answers; i++) {
        struct guest guest = {.before = "", .answer = answers[i], .repeats = 1};
        struct seen seen = ask_guest(&guest, PATIENCE_MS);
        assert_true(err_is_set(&seen.err));
        assert_int_not_equal(seen.err.code, ERR_TIMEOUT);
        (void)unlink(path);
    }
}

static void a_line_without_end_is_not_kept(void **state)
{
    (void)state;
    struct guest guest = {.before = "", .answer = "0123456789abcdef0123456789abcdef", .repeats = 100000};
    struct seen seen = ask_guest(&guest, PATIENCE_MS);
    assert_string_equal(seen.err.id, "guest-agent-lost");
    assert_non_null(strstr(seen.err.cause, "more than an answer"));
}

static void where_nobody_listens_the_call_fails_at_once(void **state)
{
    (void)state;
    struct seen seen = ask(PATIENCE_MS);
    assert_string_equal(seen.err.id, "guest-agent-lost");
}

static void a_cancelled_call_says_nothing(void **state)
{
    (void)state;
    struct seen seen = {0};
    const struct qga_command command = {path, "guest-get-time", NULL, SHORT_MS};
    qga_cancel(qga_call(&command, on_done, &seen));
    gint64 until = g_get_monotonic_time() + 2 * SHORT_MS * 1000;
    while (g_get_monotonic_time() < until)
        (void)g_main_context_iteration(NULL, FALSE);
    assert_false(seen.is_over);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_left_from_before_is_not_the_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_refusal_comes_with_the_words_of_the_guest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_guest_that_says_nothing_gets_no_command, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_guest_that_takes_the_command_and_is_silent_is_told_from_one_that_is_not_there, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(nonsense_ends_the_call, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_line_without_end_is_not_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(where_nobody_listens_the_call_fails_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cancelled_call_says_nothing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
