/* SPDX-License-Identifier: Apache-2.0 */
/* Real jobs under TLS, real door, real TCP, and people who listen in, change bytes, or knock themselves. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fdio.h"
#include "fake_agent.h"
#include "relay.h"
#include "wire/preamble.h"

#define PAGE 4096
#define KEPT_MAX 4096
#define CONNECTIONS_MAX 8

/* In a page of RAM, and at the beginning of the device state. */
static const char marker[] = "these words of the guest must not be read on the way: 0123456789";

static struct fake_world world;
static uint8_t key[CTL_SECRET_SIZE];

/* Who sits on the way. */
static struct {
    unsigned n_markers;
    uint8_t tails[2 * CONNECTIONS_MAX][sizeof marker];
    uint8_t kept[KEPT_MAX]; /* what the source said first on the control connection */
    size_t n_kept;
    int flips_connection; /* -1: none */
    uint64_t flips_at;
    bool cuts; /* there, instead */
} spy;

static bool look(struct relay_piece *piece, void *user)
{
    (void)user;
    uint64_t end = piece->offset + piece->size;
    uint8_t *tail = spy.tails[2 * piece->connection + piece->from_source];
    spy.n_markers += relay_finds(piece, (const uint8_t *)marker, sizeof marker - 1, tail);
    if (!piece->connection && piece->from_source && piece->offset < KEPT_MAX) {
        size_t room = KEPT_MAX - (size_t)piece->offset;
        size_t n = piece->size < room ? piece->size : room;
        memcpy(spy.kept + piece->offset, piece->bytes, n);
        spy.n_kept = (size_t)piece->offset + n;
    }
    if ((int)piece->connection != spy.flips_connection || !piece->from_source || end <= spy.flips_at ||
        piece->offset > spy.flips_at)
        return true;
    if (!spy.cuts)
        piece->bytes[spy.flips_at - piece->offset] ^= 1;
    else
        piece->size = spy.flips_at - piece->offset;
    return !spy.cuts;
}

static int begin(void **state)
{
    (void)state;
    fake_world_start(&world);
    fdio_random(key, sizeof key);
    memcpy(world.device_state, marker, sizeof marker);
    assert_int_equal(pwrite(world.guest.ram, marker, sizeof marker, 77 * PAGE + 100), sizeof marker);
    memset(&spy, 0, sizeof spy);
    spy.flips_connection = -1;
    return 0;
}

static int end(void **state)
{
    (void)state;
    fake_world_end(&world);
    return 0;
}

static bool both_ended(const struct fake_world *now)
{
    return now->source.has_result && now->destination.has_result;
}

static bool source_ended(const struct fake_world *now)
{
    return now->source.has_result;
}

static bool both_send(const struct fake_world *now)
{
    return both_ended(now) || (now->source.is_sending && now->destination.is_copying);
}

static struct ctl_job_spec spec_of(enum ctl_role role, bool encrypt)
{
    struct ctl_job_spec spec;
    fake_spec(&world, role, &spec);
    memcpy(spec.key, key, sizeof key);
    spec.encrypt = encrypt;
    return spec;
}

static void start_destination(bool encrypt)
{
    struct ctl_job_spec spec = spec_of(CTL_ROLE_DESTINATION, encrypt);
    fake_start_destination(&world, &spec, fake_programs.job);
}

static void start_source(bool encrypt, struct relay *through)
{
    struct ctl_job_spec spec = spec_of(CTL_ROLE_SOURCE, encrypt);
    if (through)
        spec.port = relay_port(through);
    fake_start_source(&world, &spec);
}

static void assert_moved(bool encrypt)
{
    fake_serve_until(&world, both_ended);
    if (!world.source.result.ok)
        fail_msg("%s: %s", world.source.result.error.id, world.source.result.error.message);
    assert_true(world.destination.result.ok);
    assert_true(fake_ram_is_equal(&world));
    assert_int_equal(world.destination.n_state, FAKE_DEVICE_STATE_SIZE);
    assert_memory_equal(world.destination.state, world.device_state, FAKE_DEVICE_STATE_SIZE);
    assert_string_equal(world.source.cipher, encrypt ? "AES-128-GCM" : "");
    assert_string_equal(world.destination.cipher, world.source.cipher);
    fake_reap_job(&world.source);
    fake_reap_job(&world.destination);
    fake_resume_guest(&world);
}

static void move_through_the_spy(bool encrypt)
{
    struct relay *relay = relay_start(world.port, look, NULL);
    start_destination(encrypt);
    start_source(encrypt, relay);
    assert_moved(encrypt);
    relay_end(relay);
}

static void who_listens_in_reads_nothing(void **state)
{
    (void)state;
    move_through_the_spy(false);
    assert_true(spy.n_markers >= 2); /* RAM and device state: the spy can read */
    memset(&spy, 0, sizeof spy);
    spy.flips_connection = -1;
    move_through_the_spy(true);
    assert_int_equal(spy.n_markers, 0);
}

/* Connections in the order in which they are made: control, data 0, data 1. */
static void a_changed_byte_ends_the_move(void **state)
{
    (void)state;
    static const struct {
        int connection;
        uint64_t at; /* in the records, not in the handshake */
    } changes[] = {{0, 700}, {1, 300000}};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        spy.flips_connection = changes[i].connection;
        spy.flips_at = changes[i].at;
        struct relay *relay = relay_start(world.port, look, NULL);
        start_destination(true);
        start_source(true, relay);
        fake_serve_until(&world, both_ended);
        assert_false(world.source.result.ok);
        assert_false(world.destination.result.ok);
        const struct err *found = &world.destination.result.error;
        assert_int_equal(found->code, ERR_CORRUPT);
        if (changes[i].connection) {
            /* Over the connection that is whole the source learns it too. */
            assert_string_equal(found->id, "stream-damaged");
            assert_string_equal(world.source.result.error.id, "stream-damaged");
            assert_string_equal(world.source.result.error.side, "destination");
        }
        fake_reap_job(&world.source);
        fake_reap_job(&world.destination);
        relay_end(relay);
        fake_resume_guest(&world);
        fake_guest_must_run(&world);
    }
    start_destination(true);
    start_source(true, NULL);
    assert_moved(true);
}

static void a_copy_whose_connection_is_cut_goes_on(void **state)
{
    (void)state;
    spy.flips_connection = 2;
    spy.flips_at = 300000;
    spy.cuts = true;
    struct relay *relay = relay_start(world.port, look, NULL);
    start_destination(true);
    start_source(true, relay);
    assert_moved(true);
    relay_end(relay);
}

static void another_key_is_refused_on_both_sides(void **state)
{
    (void)state;
    start_destination(true);
    struct ctl_job_spec spec = spec_of(CTL_ROLE_SOURCE, true);
    spec.key[31] ^= 1;
    fake_start_source(&world, &spec);
    fake_serve_until(&world, source_ended);
    assert_string_equal(world.source.result.error.id, "key-refused");
    assert_int_equal(world.source.result.error.code, ERR_UNAUTHORIZED);
    fake_reap_job(&world.source);
    /* Nor does the key of this move open another one. */
    spec = spec_of(CTL_ROLE_SOURCE, true);
    spec.move_id[0] ^= 1;
    fake_start_source(&world, &spec);
    fake_serve_until(&world, source_ended);
    assert_string_equal(world.source.result.error.id, "key-refused");
    fake_reap_job(&world.source);
    assert_false(world.destination.has_result);
    start_source(true, NULL);
    assert_moved(true);
}

static void sides_that_were_told_different_things_say_so(void **state)
{
    (void)state;
    start_destination(true);
    start_source(false, NULL);
    fake_serve_until(&world, source_ended);
    assert_string_equal(world.source.result.error.id, "encryption-required");
    fake_reap_job(&world.source);
    start_source(true, NULL);
    assert_moved(true);
    start_destination(false);
    start_source(true, NULL);
    fake_serve_until(&world, source_ended);
    assert_string_equal(world.source.result.error.id, "encryption-refused");
    fake_reap_job(&world.source);
    start_source(false, NULL);
    assert_moved(false);
}

/* A connection with the ticket that goes in the clear, as somebody on the way can read it. */
static int knock(uint16_t security, const void *data, size_t size)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(world.port)};
    uint8_t bytes[WIRE_PREAMBLE_SIZE];
    struct wire_preamble preamble = {.role = WIRE_ROLE_CONTROL, .security = security};
    struct ctl_job_spec spec = spec_of(CTL_ROLE_SOURCE, true);
    memcpy(preamble.ticket, spec.ticket, sizeof preamble.ticket);
    wire_preamble_encode(&preamble, bytes);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(send(fd, bytes, sizeof bytes, MSG_NOSIGNAL), sizeof bytes);
    (void)!send(fd, data, size, MSG_NOSIGNAL); /* it may be refused amid it */
    return fd;
}

/* Returns when the other side has closed it. */
static void must_be_closed(int fd)
{
    uint8_t sink[512];
    struct timeval limit = {.tv_sec = 60};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ssize_t got;
    do
        got = recv(fd, sink, sizeof sink, 0);
    while (got > 0);
    if (got < 0 && errno == EAGAIN)
        fail_msg("a stranger is not turned away");
    (void)close(fd);
}

static void strangers_are_turned_away_and_the_source_comes_in(void **state)
{
    (void)state;
    static uint8_t junk[1 << 20];
    static const uint8_t too_long_a_record[5] = {22, 3, 1, 0xff, 0xff};
    static const uint8_t too_long_a_hello[9] = {22, 3, 1, 0x3f, 0xff, 1, 0xff, 0xff, 0xff};
    static const uint8_t half_a_record[8] = {22, 3, 1, 2, 0, 1, 0, 0};
    static const uint8_t old_hello[] = {22, 3, 1, 0, 47, 1, 0, 0, 43, 3, 3, 7, 7, 7, 7, 7, 7, 7};
    memset(junk, 0x5a, sizeof junk);
    start_destination(true);
    must_be_closed(knock(WIRE_SECURITY_TLS, junk, sizeof junk));
    memcpy(junk, too_long_a_record, sizeof too_long_a_record);
    must_be_closed(knock(WIRE_SECURITY_TLS, junk, sizeof junk));
    memcpy(junk, too_long_a_hello, sizeof too_long_a_hello);
    must_be_closed(knock(WIRE_SECURITY_TLS, junk, sizeof junk));
    memset(junk, 0, sizeof junk);
    memcpy(junk, old_hello, sizeof old_hello);
    must_be_closed(knock(WIRE_SECURITY_TLS, junk, 52));
    int fd = knock(WIRE_SECURITY_TLS, half_a_record, sizeof half_a_record);
    (void)shutdown(fd, SHUT_WR);
    must_be_closed(fd);
    must_be_closed(knock(WIRE_SECURITY_TLS, half_a_record, sizeof half_a_record)); /* and then nothing more */
    must_be_closed(knock(WIRE_SECURITY_NONE, junk, 64));
    start_source(true, NULL);
    assert_moved(true);
}

/* One after the other they would outlast the source's patience; a shut door with all places taken would, too.
 */
static void strangers_who_say_nothing_hold_nobody_up(void **state)
{
    (void)state;
    int strangers[100];
    for (int encrypt = 0; encrypt < 2; encrypt++) {
        start_destination(encrypt);
        for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++)
            strangers[i] = knock(encrypt ? WIRE_SECURITY_TLS : WIRE_SECURITY_NONE, NULL, 0);
        start_source(encrypt, NULL);
        assert_moved(encrypt);
        for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++)
            must_be_closed(strangers[i]);
    }
}

static void what_was_recorded_opens_nothing(void **state)
{
    (void)state;
    move_through_the_spy(true);
    start_destination(true);
    int fd = knock(WIRE_SECURITY_TLS, spy.kept + WIRE_PREAMBLE_SIZE, spy.n_kept - WIRE_PREAMBLE_SIZE);
    must_be_closed(fd);
    start_source(true, NULL);
    assert_moved(true);
}

/* True if the key is in the text, as bytes or in hexadecimal. */
static bool holds_key(const char *text, size_t size)
{
    char hex[2 * sizeof key + 1];
    for (size_t i = 0; i < sizeof key; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", key[i]);
    /* A part would be too much, too. */
    return memmem(text, size, key, 8) || memmem(text, size, hex, 16);
}

static bool file_holds_key(const char *path)
{
    static char text[1 << 20];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t size = pread(fd, text, sizeof text, 0);
    assert_true(size >= 0);
    (void)close(fd);
    return holds_key(text, (size_t)size);
}

static void assert_process_shows_no_key(pid_t pid)
{
    static const char *const files[] = {"cmdline", "environ", "comm", "status"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, files[i]);
        assert_false(file_holds_key(path));
    }
}

static void the_key_shows_nowhere(void **state)
{
    (void)state;
    char path[64];
    int log = memfd_create("log", MFD_CLOEXEC);
    int stderr_copy = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 20);
    assert_true(log >= 0 && stderr_copy >= 0 && dup2(log, STDERR_FILENO) >= 0);
    start_destination(true);
    struct ctl_job_spec spec = spec_of(CTL_ROLE_SOURCE, true);
    spec.key[0] ^= 1;
    fake_start_source(&world, &spec); /* errors are logged as well */
    fake_serve_until(&world, source_ended);
    fake_reap_job(&world.source);
    start_source(true, NULL);
    fake_serve_until(&world, both_send);
    assert_process_shows_no_key(world.source.job);
    assert_process_shows_no_key(world.destination.job);
    assert_moved(true);
    assert_true(dup2(stderr_copy, STDERR_FILENO) >= 0);
    (void)close(stderr_copy);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", log);
    assert_false(file_holds_key(path));
    assert_true(lseek(log, 0, SEEK_END) > 100); /* they did log */
    (void)close(log);
}

static void strangers_do_not_disturb_a_move_that_runs(void **state)
{
    (void)state;
    static const char junk[300] = "GET / HTTP/1.1\r\n";
    int strangers[8];
    start_destination(true);
    struct ctl_job_spec spec = spec_of(CTL_ROLE_SOURCE, true);
    spec.bandwidth_bytes_s = 16000000;
    fake_start_source(&world, &spec);
    fake_serve_until(&world, both_send);
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++)
        strangers[i] = knock(i % 2 ? WIRE_SECURITY_TLS : WIRE_SECURITY_NONE, junk, sizeof junk);
    assert_moved(true);
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++)
        (void)close(strangers[i]);
}

/* They are heard for 3 s, in which the copy ends and the device state comes. */
static void strangers_who_say_nothing_disturb_no_end_of_a_copy(void **state)
{
    (void)state;
    int strangers[8];
    for (unsigned n = 0; n < 6; n++) {
        start_destination(true);
        struct ctl_job_spec spec = spec_of(CTL_ROLE_SOURCE, true);
        spec.bandwidth_bytes_s = 32000000;
        fake_start_source(&world, &spec);
        fake_serve_until(&world, both_send);
        for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++)
            strangers[i] = knock(WIRE_SECURITY_TLS, NULL, 0);
        assert_moved(true);
        for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++)
            (void)close(strangers[i]);
    }
}

static bool is_connected(const struct fake_world *now)
{
    (void)now;
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    int *listener = &world.source.state_in; /* free for this at the source */
    int fd = accept4(*listener, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return false;
    (void)close(*listener);
    *listener = fd;
    return true;
}

static void cancel_ends_a_handshake_that_nobody_answers(void **state)
{
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    struct ctl_job_spec spec = spec_of(CTL_ROLE_SOURCE, true);
    spec.port = ntohs(address.sin_port);
    fake_start_source(&world, &spec);
    world.source.state_in = listener;
    fake_serve_until(&world, is_connected);
    fake_cancel(&world.source, "enough");
    fake_serve_until(&world, source_ended);
    assert_string_equal(world.source.result.error.id, "cancelled");
    fake_reap_job(&world.source);
    fake_guest_must_run(&world);
}

#define MOVE_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    if (getuid() != 0) {
        print_message("needs root\n");
        return 77;
    }
    fake_programs = (struct fake_programs){.job = argv[1], .door = argv[2]};
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        MOVE_TEST(who_listens_in_reads_nothing),
        MOVE_TEST(a_changed_byte_ends_the_move),
        MOVE_TEST(a_copy_whose_connection_is_cut_goes_on),
        MOVE_TEST(another_key_is_refused_on_both_sides),
        MOVE_TEST(sides_that_were_told_different_things_say_so),
        MOVE_TEST(strangers_are_turned_away_and_the_source_comes_in),
        MOVE_TEST(strangers_who_say_nothing_hold_nobody_up),
        MOVE_TEST(what_was_recorded_opens_nothing),
        MOVE_TEST(the_key_shows_nowhere),
        MOVE_TEST(strangers_do_not_disturb_a_move_that_runs),
        MOVE_TEST(strangers_who_say_nothing_disturb_no_end_of_a_copy),
        MOVE_TEST(cancel_ends_a_handshake_that_nobody_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
