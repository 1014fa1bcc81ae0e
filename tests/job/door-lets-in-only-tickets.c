/* SPDX-License-Identifier: Apache-2.0 */
/* The real door, with the test as agent, as job and as everybody who knocks. Argument: the door. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctl/ctl.h"
#include "wire/preamble.h"

#define HALF_OPEN_MANY 100 /* more than the door's table holds */
#define PATIENCE_MS 30000

static const char *door_path;
static struct {
    pid_t pid;
    int control;
    struct sockaddr_in address;
    struct ctl_door_counts counts;
} door;

static int begin(void **state)
{
    (void)state;
    int ends[2];
    socklen_t size = sizeof door.address;
    door.address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    door.counts = (struct ctl_door_counts){0};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&door.address, sizeof door.address), 0);
    assert_int_equal(listen(listener, 256), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&door.address, &size), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    door.pid = fork();
    assert_true(door.pid >= 0);
    if (!door.pid) {
        int control = fcntl(ends[1], F_DUPFD, 20);
        int listening = fcntl(listener, F_DUPFD, 20);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(control, 3);
        (void)dup2(listening, 4);
        closefrom(5);
        execl(door_path, "door", "--control", "3", "--listen", "4", NULL);
        _exit(90);
    }
    (void)close(listener);
    (void)close(ends[1]);
    door.control = ends[0];
    return 0;
}

/* The door ends by itself, without an error, when its agent is gone. */
static int end(void **state)
{
    (void)state;
    int status = -1;
    (void)close(door.control);
    assert_int_equal(waitpid(door.pid, &status, 0), door.pid);
    assert_int_equal(status, 0);
    return 0;
}

static void fill_secret(uint8_t secret[CTL_SECRET_SIZE], uint8_t value)
{
    memset(secret, value, CTL_SECRET_SIZE);
}

/* Returns the job's end. */
static int expect_ticket(uint8_t value)
{
    int ends[2];
    struct ctl_msg msg;
    struct ctl_door_ticket ticket;
    fill_secret(ticket.ticket, value);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    ctl_fill(&msg, CTL_DOOR_EXPECT, 0, &ticket, sizeof ticket);
    assert_int_equal(ctl_send(door.control, &msg, &ends[1], 1, NULL), 0);
    (void)close(ends[1]);
    return ends[0];
}

static void forget_ticket(uint8_t value)
{
    struct ctl_msg msg;
    struct ctl_door_ticket ticket;
    fill_secret(ticket.ticket, value);
    ctl_fill(&msg, CTL_DOOR_FORGET, 0, &ticket, sizeof ticket);
    assert_int_equal(ctl_send(door.control, &msg, NULL, 0, NULL), 0);
}

static int knock(const void *data, size_t size)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&door.address, sizeof door.address), 0);
    if (size)
        assert_int_equal(send(fd, data, size, MSG_NOSIGNAL), (ssize_t)size);
    return fd;
}

static int knock_with_ticket(uint8_t value)
{
    uint8_t bytes[WIRE_PREAMBLE_SIZE + 3];
    struct wire_preamble preamble = {.role = WIRE_ROLE_DATA, .channel = 5};
    fill_secret(preamble.ticket, value);
    wire_preamble_encode(&preamble, bytes);
    memcpy(bytes + WIRE_PREAMBLE_SIZE, "abc", 3); /* not for the door to read */
    return knock(bytes, sizeof bytes);
}

static void await_input(int fd)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&one, 1, PATIENCE_MS), 1);
}

static void assert_closed(int fd)
{
    char byte;
    await_input(fd);
    assert_true(recv(fd, &byte, 1, 0) <= 0);
    (void)close(fd);
}

static void await_strangers(uint64_t n)
{
    while (door.counts.strangers < n) {
        struct ctl_msg msg;
        await_input(door.control);
        assert_int_equal(ctl_recv(door.control, &msg, NULL, NULL, NULL), 0);
        assert_int_equal(msg.type, CTL_DOOR_COUNTS);
        assert_int_equal(ctl_body(&msg, &door.counts, sizeof door.counts, NULL), 0);
    }
    assert_int_equal(door.counts.strangers, n);
}

/* The job receives the knocker's connection, with every byte after the preamble. */
static void assert_handed(int job, int knocker)
{
    struct ctl_msg msg;
    struct ctl_door_socket about;
    int fd = -1;
    size_t n_fds = 1;
    char rest[8] = "";
    await_input(job);
    assert_int_equal(ctl_recv(job, &msg, &fd, &n_fds, NULL), 0);
    assert_int_equal(msg.type, CTL_DOOR_SOCKET);
    assert_int_equal(n_fds, 1);
    assert_int_equal(ctl_body(&msg, &about, sizeof about, NULL), 0);
    assert_int_equal(about.role, WIRE_ROLE_DATA);
    assert_int_equal(about.channel, 5);
    await_input(fd);
    assert_int_equal(recv(fd, rest, sizeof rest, 0), 3);
    assert_string_equal(rest, "abc");
    (void)close(fd);
    assert_closed(knocker); /* the door kept no copy */
}

static void assert_nothing_handed(int job)
{
    struct pollfd one = {.fd = job, .events = POLLIN};
    assert_int_equal(poll(&one, 1, 0), 0);
}

static void strangers_are_counted_and_closed(void **state)
{
    (void)state;
    int job = expect_ticket(1);
    uint8_t garbage[WIRE_PREAMBLE_SIZE];
    memset(garbage, 'G', sizeof garbage);
    assert_closed(knock(garbage, sizeof garbage));
    assert_closed(knock_with_ticket(2));
    int leaver = knock("GET / HTTP/1.0\r\n", 16);
    assert_int_equal(shutdown(leaver, SHUT_WR), 0);
    assert_closed(leaver);
    await_strangers(3);
    assert_nothing_handed(job);
    assert_handed(job, knock_with_ticket(1));
    (void)close(job);
}

static void silent_connections_are_closed_by_their_deadline(void **state)
{
    (void)state;
    int silent = knock(NULL, 0);
    int slow = knock("RAM", 3);
    assert_closed(silent);
    assert_closed(slow);
    await_strangers(2);
}

static void half_open_connections_do_not_block_a_right_one(void **state)
{
    (void)state;
    int half_open[HALF_OPEN_MANY];
    int job = expect_ticket(3);
    for (int i = 0; i < HALF_OPEN_MANY; i++)
        half_open[i] = knock("RAM", 3);
    assert_handed(job, knock_with_ticket(3));
    for (int i = 0; i < HALF_OPEN_MANY; i++)
        assert_closed(half_open[i]);
    await_strangers(HALF_OPEN_MANY);
    (void)close(job);
}

static void a_forgotten_ticket_is_refused(void **state)
{
    (void)state;
    int job = expect_ticket(4);
    assert_handed(job, knock_with_ticket(4));
    forget_ticket(4);
    /* The door lets go of the job, which therefore sees the end of its socket. */
    struct ctl_msg msg;
    struct err err;
    await_input(job);
    assert_int_equal(ctl_recv(job, &msg, NULL, NULL, &err), -1);
    assert_int_equal(err.code, ERR_PEER_LOST);
    assert_closed(knock_with_ticket(4));
    await_strangers(1);
    (void)close(job);
}

static void a_ticket_of_a_dead_job_is_refused(void **state)
{
    (void)state;
    (void)close(expect_ticket(5));
    int other = expect_ticket(6);
    assert_handed(other, knock_with_ticket(6));
    assert_closed(knock_with_ticket(5));
    await_strangers(1);
    (void)close(other);
}

/* The end of the one and the next one's descriptor, which may get the same number, are seen in one turn. */
static void a_ticket_that_comes_while_another_ends_is_kept(void **state)
{
    (void)state;
    int status;
    int ending = expect_ticket(6);
    assert_handed(ending, knock_with_ticket(6));
    assert_int_equal(kill(door.pid, SIGSTOP), 0);
    assert_int_equal(waitpid(door.pid, &status, WUNTRACED), door.pid);
    (void)close(ending);
    forget_ticket(6);
    int job = expect_ticket(7);
    assert_int_equal(kill(door.pid, SIGCONT), 0);
    assert_handed(job, knock_with_ticket(7));
    (void)close(job);
}

#define DOOR_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    door_path = argv[1];
    const struct CMUnitTest tests[] = {
        DOOR_TEST(strangers_are_counted_and_closed),
        DOOR_TEST(silent_connections_are_closed_by_their_deadline),
        DOOR_TEST(half_open_connections_do_not_block_a_right_one),
        DOOR_TEST(a_forgotten_ticket_is_refused),
        DOOR_TEST(a_ticket_that_comes_while_another_ends_is_kept),
        DOOR_TEST(a_ticket_of_a_dead_job_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
