/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <gio/gunixsocketaddress.h>
#include <stdio.h>

#include "base/clock.h"
#include "http/attempts.h"

#define WINDOW_NS (ATTEMPTS_WINDOW_S * NS_PER_S)
#define BEGIN_NS (7 * NS_PER_S)

static void note(struct attempts *attempts, const char *from, unsigned n, uint64_t now_ns)
{
    g_autoptr(GSocketAddress) address = g_inet_socket_address_new_from_string(from, 1234);
    for (unsigned i = 0; i < n; i++)
        (void)attempts_note(attempts, address, now_ns);
}

static unsigned wait_s(const struct attempts *attempts, const char *from, uint64_t now_ns)
{
    g_autoptr(GSocketAddress) address = g_inet_socket_address_new_from_string(from, 4321);
    return attempts_wait_s(attempts, address, now_ns);
}

static void the_last_of_too_many_begins_the_wait(void **state)
{
    (void)state;
    struct attempts attempts = {0};
    g_autoptr(GSocketAddress) from = g_inet_socket_address_new_from_string("10.0.0.1", 5);
    for (unsigned i = 1; i <= ATTEMPTS_MAX; i++) {
        assert_int_equal(attempts_wait_s(&attempts, from, BEGIN_NS), 0);
        assert_int_equal(attempts_note(&attempts, from, BEGIN_NS), i == ATTEMPTS_MAX);
    }
    assert_int_equal(attempts_wait_s(&attempts, from, BEGIN_NS), ATTEMPTS_WINDOW_S);
    assert_false(attempts_note(&attempts, from, BEGIN_NS));
    assert_int_equal(attempts_wait_s(&attempts, from, BEGIN_NS + WINDOW_NS - 1), 1);
    assert_int_equal(attempts_wait_s(&attempts, from, BEGIN_NS + WINDOW_NS), 0);
    assert_int_equal(wait_s(&attempts, "10.0.0.2", BEGIN_NS), 0);
}

static void few_in_each_minute_never_wait(void **state)
{
    (void)state;
    struct attempts attempts = {0};
    for (unsigned i = 0; i < 10; i++) {
        note(&attempts, "10.0.0.1", ATTEMPTS_MAX - 1, BEGIN_NS + i * WINDOW_NS);
        assert_int_equal(wait_s(&attempts, "10.0.0.1", BEGIN_NS + i * WINDOW_NS), 0);
    }
}

static void a_network_of_ipv6_counts_as_one(void **state)
{
    (void)state;
    struct attempts attempts = {0};
    note(&attempts, "fd00:1::1", ATTEMPTS_MAX / 2, BEGIN_NS);
    note(&attempts, "fd00:1::2", ATTEMPTS_MAX / 2, BEGIN_NS);
    assert_true(wait_s(&attempts, "fd00:1::77", BEGIN_NS) > 0);
    assert_int_equal(wait_s(&attempts, "fd00:2::1", BEGIN_NS), 0);
    /* An IPv4 address is the same however the socket shows it, and its neighbour is another. */
    note(&attempts, "::ffff:10.0.0.9", ATTEMPTS_MAX, BEGIN_NS);
    assert_true(wait_s(&attempts, "10.0.0.9", BEGIN_NS) > 0);
    assert_int_equal(wait_s(&attempts, "10.0.0.8", BEGIN_NS), 0);
}

static void local_sockets_never_wait(void **state)
{
    (void)state;
    struct attempts attempts = {0};
    g_autoptr(GSocketAddress) local = g_unix_socket_address_new("/run/x");
    for (unsigned i = 0; i < 2 * ATTEMPTS_MAX; i++)
        assert_false(attempts_note(&attempts, local, BEGIN_NS));
    assert_int_equal(attempts_wait_s(&attempts, local, BEGIN_NS), 0);
    assert_int_equal(attempts_wait_s(&attempts, NULL, BEGIN_NS), 0);
}

/* The table is full: the one whose window is the oldest is forgotten. */
static void more_addresses_than_there_is_room_for(void **state)
{
    (void)state;
    struct attempts attempts = {0};
    char from[32];
    for (unsigned i = 0; i < ATTEMPTS_PLACES_MAX + 1; i++) {
        (void)snprintf(from, sizeof from, "10.1.%u.%u", i / 256, i % 256);
        note(&attempts, from, ATTEMPTS_MAX, BEGIN_NS + i);
    }
    assert_int_equal(wait_s(&attempts, "10.1.0.0", BEGIN_NS + 1000), 0);
    assert_true(wait_s(&attempts, "10.1.0.1", BEGIN_NS + 1000) > 0);
    assert_true(wait_s(&attempts, from, BEGIN_NS + 1000) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_of_too_many_begins_the_wait),
        cmocka_unit_test(few_in_each_minute_never_wait),
        cmocka_unit_test(a_network_of_ipv6_counts_as_one),
        cmocka_unit_test(local_sockets_never_wait),
        cmocka_unit_test(more_addresses_than_there_is_room_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
