/* SPDX-License-Identifier: Apache-2.0 */
/* Two relays with a network between them: what one QEMU says comes out at the other, in both directions; the
 * end of one is the end of the other; a network that breaks is told where it was asked, and QEMU hears of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/thread.h"
#include "engine/rate.h"
#include "engine/tls.h"
#include "job/relay.h"

#define BYTES (8u << 20)
#define PATIENCE_MS 20000

static struct relay relays[2];
static int qemu[2], network[2];
static struct rate rate;
static unsigned n_lost;

static void is_lost(const struct err *why, void *user)
{
    assert_ptr_equal(user, &n_lost);
    assert_int_equal(why->code, ERR_PEER_LOST);
    (void)__atomic_add_fetch(&n_lost, 1, __ATOMIC_SEQ_CST);
}

static void make_pair(int ret_ends[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ret_ends), 0);
}

static void start(unsigned at, struct stream stream, int local)
{
    struct err err = {0};
    assert_int_equal(fcntl(stream.fd, F_SETFL, O_NONBLOCK), 0);
    struct relay_config config = {.stream = stream,
                                  .local = local,
                                  .rate = at == 0 ? &rate : NULL,
                                  .lost = at == 0 ? is_lost : NULL,
                                  .user = &n_lost};
    assert_int_equal(relay_start(&relays[at], &config, &err), 0);
}

/* The two ends of the network become those of one TLS session. */
static void encrypt(struct tls *ret_tls[2])
{
    static const uint8_t key[TLS_KEY_SIZE] = "for this test";
    struct err err = {0};
    bool is_done[2] = {false, false};
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(fcntl(network[i], F_SETFL, O_NONBLOCK), 0);
        assert_int_equal(tls_new(i == 0, key, network[i], &ret_tls[i], &err), 0);
    }
    for (unsigned i = 0; !is_done[0] || !is_done[1]; i = !i) {
        short events;
        int ret = is_done[i] ? 0 : tls_handshake(ret_tls[i], &events, &err);
        assert_true(ret == 0 || err.code == ERR_RETRY);
        is_done[i] = ret == 0;
    }
}

/* qemu[0] > relay > network > relay > qemu[1] */
static void start_both_over(uint64_t bytes_s, bool is_encrypted)
{
    int ends[2];
    struct tls *tls[2] = {NULL, NULL};
    n_lost = 0;
    rate_init(&rate, bytes_s);
    make_pair(network);
    if (is_encrypted)
        encrypt(tls);
    for (unsigned i = 0; i < 2; i++) {
        make_pair(ends);
        qemu[i] = ends[0];
        start(i, (struct stream){.fd = network[i], .tls = tls[i]}, ends[1]);
    }
}

static void start_both(uint64_t bytes_s)
{
    start_both_over(bytes_s, false);
}

static void end_both(void)
{
    relay_end(&relays[0]);
    relay_end(&relays[1]);
    rate_clear(&rate);
}

static uint8_t byte_at(size_t at)
{
    return (uint8_t)(at * 2654435761u >> 13);
}

struct speaker {
    int fd;
    struct thread thread;
};

static void *speak(void *argument)
{
    const struct speaker *speaker = argument;
    uint8_t bytes[65536];
    for (size_t said = 0; said < BYTES; said += sizeof bytes) {
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = byte_at(said + i);
        for (size_t sent = 0; sent < sizeof bytes;)
            sent += (size_t)write(speaker->fd, bytes + sent, sizeof bytes - sent);
    }
    return NULL;
}

static ssize_t read_soon(int fd, void *bytes, size_t size)
{
    struct pollfd input = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&input, 1, PATIENCE_MS), 1);
    return read(fd, bytes, size);
}

static void hear(int fd)
{
    uint8_t bytes[65536];
    for (size_t heard = 0; heard < BYTES;) {
        ssize_t got = read_soon(fd, bytes, sizeof bytes);
        assert_true(got > 0);
        for (ssize_t i = 0; i < got; i++)
            assert_int_equal(bytes[i], byte_at(heard + (size_t)i));
        heard += (size_t)got;
    }
}

static void both_directions_at_once(void **state)
{
    (void)state;
    char byte;
    struct err err = {0};
    start_both(0);
    struct speaker speakers[2] = {{.fd = qemu[0]}, {.fd = qemu[1]}};
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(thread_start(&speakers[i].thread, "speaker", speak, &speakers[i], &err), 0);
    hear(qemu[1]);
    hear(qemu[0]);
    for (unsigned i = 0; i < 2; i++)
        thread_join(&speakers[i].thread);
    for (unsigned ms = 0; ms < PATIENCE_MS && relay_bytes(&relays[0]) != 2 * BYTES; ms++)
        (void)poll(NULL, 0, 1);
    assert_true(relay_bytes(&relays[0]) == 2 * BYTES);
    (void)close(qemu[0]);
    assert_int_equal(read_soon(qemu[1], &byte, 1), 0);
    (void)close(qemu[1]);
    end_both();
    assert_int_equal(n_lost, 0);
}

static void what_was_said_before_the_end_arrives(void **state)
{
    (void)state;
    char text[64];
    start_both(100000); /* slowly */
    assert_int_equal(write(qemu[0], "last words", 10), 10);
    (void)close(qemu[0]);
    assert_int_equal(read_soon(qemu[1], text, sizeof text), 10);
    assert_memory_equal(text, "last words", 10);
    assert_int_equal(read_soon(qemu[1], text, sizeof text), 0);
    (void)close(qemu[1]);
    end_both();
    assert_int_equal(n_lost, 0);
}

/* Of two that part the one that was told so closes its end, and the other one may be slower. */
static void the_end_of_the_others_qemu_is_no_broken_network(void **state)
{
    (void)state;
    char byte = 'x';
    for (unsigned is_encrypted = 0; is_encrypted < 2; is_encrypted++) {
        start_both_over(0, is_encrypted);
        assert_int_equal(write(qemu[0], &byte, 1), 1);
        assert_int_equal(read_soon(qemu[1], &byte, 1), 1);
        (void)close(qemu[1]);
        assert_int_equal(read_soon(qemu[0], &byte, 1), 0);
        (void)close(qemu[0]);
        end_both();
        assert_int_equal(n_lost, 0);
    }
}

static void a_broken_network_is_told_and_closes_qemus_end(void **state)
{
    (void)state;
    int ends[2];
    char byte = 'x';
    n_lost = 0;
    rate_init(&rate, 0);
    make_pair(network);
    make_pair(ends);
    start(0, (struct stream){.fd = network[0]}, ends[1]);
    assert_int_equal(write(ends[0], &byte, 1), 1);
    struct pollfd input = {.fd = network[1], .events = POLLIN};
    assert_int_equal(poll(&input, 1, PATIENCE_MS), 1);
    /* With a byte that nobody has read: a reset, not an end. */
    (void)close(network[1]);
    assert_int_equal(read_soon(ends[0], &byte, 1), 0);
    relay_end(&relays[0]);
    assert_int_equal(n_lost, 1);
    (void)close(ends[0]);
    rate_clear(&rate);
}

static void the_end_of_the_move_ends_every_wait(void **state)
{
    (void)state;
    char byte;
    start_both(1); /* it waits for its turn */
    assert_int_equal(write(qemu[0], "xxxxxxxx", 8), 8);
    end_both();
    for (unsigned i = 0; i < 2; i++) {
        while (read_soon(qemu[i], &byte, 1) > 0)
            ;
        (void)close(qemu[i]);
    }
    assert_int_equal(n_lost, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_directions_at_once),
        cmocka_unit_test(what_was_said_before_the_end_arrives),
        cmocka_unit_test(the_end_of_the_others_qemu_is_no_broken_network),
        cmocka_unit_test(a_broken_network_is_told_and_closes_qemus_end),
        cmocka_unit_test(the_end_of_the_move_ends_every_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
