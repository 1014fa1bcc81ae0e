/* SPDX-License-Identifier: Apache-2.0 */
/* Waits of a job whose time is over: who waited, for what, how long, and what was heard until then. The other
 * side is a socket that says as much as the test lets it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "job/peer.h"

#define SHORT_NS (50 * NS_PER_MS)

struct line {
    struct cancel *stop;
    struct watch watch;
    struct peer peer;
    int other; /* the far end */
};

static int begin(void **state)
{
    struct line *line = calloc(1, sizeof *line);
    struct err none = {0};
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    line->stop = cancel_new(&none);
    line->watch = (struct watch){.stop = line->stop, .qemu_pidfd = -1, .us = "source"};
    line->peer.stream = (struct stream){.fd = ends[0]};
    line->other = ends[1];
    *state = line;
    return 0;
}

static int end(void **state)
{
    struct line *line = *state;
    peer_close(&line->peer);
    (void)close(line->other);
    cancel_free(line->stop);
    free(line);
    return 0;
}

static void assert_waited(const struct err *err, const char *id, const char *what, const char *cause)
{
    assert_int_equal(err->code, ERR_TIMEOUT);
    assert_string_equal(err->id, id);
    assert_non_null(strstr(err->message, "the source waited "));
    assert_non_null(strstr(err->message, what));
    assert_non_null(err_arg_find(err, "waited_ms"));
    assert_true(atoi(err_arg_find(err, "waited_ms")) >= 40);
    assert_non_null(strstr(err->cause, cause));
}

static void for_bytes_of_which_a_part_came(void **state)
{
    static const struct awaited greeting = {"no-greeting", "the destination's greeting"};
    struct line *line = *state;
    struct err err;
    char bytes[8];
    struct watch_input input = {bytes, sizeof bytes, clock_now_ns() + SHORT_NS, &greeting};
    assert_int_equal(watch_read(&line->watch, line->peer.stream.fd, &input, &err), -1);
    assert_waited(&err, "no-greeting", "the destination's greeting", "nothing of it had come");
    assert_int_equal(write(line->other, "abc", 3), 3);
    input.deadline_ns = clock_now_ns() + SHORT_NS;
    assert_int_equal(watch_read(&line->watch, line->peer.stream.fd, &input, &err), -1);
    assert_waited(&err, "no-greeting", "the destination's greeting", "3 of 8 bytes had come");
}

static void for_the_next_record(void **state)
{
    struct line *line = *state;
    struct wire_record record;
    struct err err;
    assert_int_equal(peer_next(&line->peer, &line->watch, clock_now_ns() + SHORT_NS, &record, &err), -1);
    assert_waited(&err, "no-record", "the next record", "nothing was heard of the destination");
    /* It says one thing, and no more. */
    struct peer far = {.stream = {.fd = line->other}, .is_source = true};
    uint8_t secret[32] = {0};
    struct peer_payload payload = {secret, sizeof secret, NULL, 0};
    assert_int_equal(peer_send(&far, &line->watch, WIRE_READY, &payload, &err), 0);
    assert_int_equal(peer_next(&line->peer, &line->watch, clock_now_ns() + SHORT_NS, &record, &err), 0);
    assert_int_equal(record.type, WIRE_READY);
    assert_int_equal(peer_read(&line->peer, &line->watch, secret, sizeof secret, &err), 0);
    assert_int_equal(peer_next(&line->peer, &line->watch, clock_now_ns() + SHORT_NS, &record, &err), -1);
    assert_waited(&err, "no-record", "the next record", "the last record of the destination");
    assert_non_null(strstr(err.cause, wire_type_name(WIRE_READY)));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(for_bytes_of_which_a_part_came),
        TEST(for_the_next_record),
    };
    return cmocka_run_group_tests_name("waits in vain", tests, NULL, NULL);
}
