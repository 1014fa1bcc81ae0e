/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The doorman: strangers' connections at its listener. Each connection sends a part of the input: one byte
 * that says how much, then so many bytes. Who is let in is exactly who has a good preamble with the ticket,
 * and what came behind the preamble is still unread then.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "door/door.h"
#include "fuzz.h"
#include "wire/preamble.h"

#define CONNECTIONS_MAX 12 /* the door accepts so many, and more, before it looks at its agent again */

static const uint8_t ticket[CTL_SECRET_SIZE] = "the ticket of the only move here";

static int listener = -1;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static socklen_t address_size = sizeof(sa_family_t);

/* The kernel chooses a name that is no file. */
static void set_up(void)
{
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    must(listener >= 0 && bind(listener, (struct sockaddr *)&address, address_size) == 0);
    address_size = sizeof address;
    must(getsockname(listener, (struct sockaddr *)&address, &address_size) == 0);
    must(listen(listener, CONNECTIONS_MAX) == 0);
}

static int knock(const struct input *words)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    must(fd >= 0 && connect(fd, (struct sockaddr *)&address, address_size) == 0);
    fuzz_say_all(fd, words->at, words->left);
    return fd;
}

static bool is_welcome(const struct input *words, struct wire_preamble *ret_preamble)
{
    struct err err;
    return words->left >= WIRE_PREAMBLE_SIZE && wire_preamble_decode(words->at, ret_preamble, &err) == 0 &&
           !memcmp(ret_preamble->ticket, ticket, sizeof ticket);
}

static void must_hand_over(int job, const struct input *words, const struct wire_preamble *preamble)
{
    struct ctl_msg msg;
    struct ctl_door_socket about;
    uint8_t rest[256];
    int fd;
    size_t n_fds = 1;
    struct err err;
    must(ctl_recv(job, &msg, &fd, &n_fds, &err) == 0 && n_fds == 1 && msg.type == CTL_DOOR_SOCKET);
    must(ctl_body(&msg, &about, sizeof about, &err) == 0);
    must(about.role == preamble->role && about.channel == preamble->channel &&
         about.security == preamble->security);
    ssize_t got = recv(fd, rest, sizeof rest, MSG_DONTWAIT);
    must(got == (ssize_t)(words->left - WIRE_PREAMBLE_SIZE));
    must(!memcmp(rest, words->at + WIRE_PREAMBLE_SIZE, (size_t)got));
    (void)close(fd);
}

static struct door *open_door(int agent[2], int job[2])
{
    struct ctl_msg msg;
    struct err err;
    fuzz_socketpair(SOCK_SEQPACKET, agent);
    fuzz_socketpair(SOCK_SEQPACKET, job);
    struct door *door = door_new(agent[1], &listener, 1, &err);
    must(door != NULL);
    ctl_fill(&msg, CTL_DOOR_EXPECT, 0, ticket, sizeof ticket);
    must(ctl_send(agent[0], &msg, &job[1], 1, &err) == 0);
    must(shutdown(agent[0], SHUT_WR) == 0); /* the door serves who knocks now, and ends */
    return door;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size}, words[CONNECTIONS_MAX];
    struct wire_preamble preamble;
    struct ctl_msg msg;
    struct err err;
    int agent[2], job[2], fds[CONNECTIONS_MAX];
    unsigned n = 0;
    if (listener < 0)
        set_up();
    for (; n < CONNECTIONS_MAX && input.left; n++) {
        words[n] = input_part(&input, (size_t)input_number(&input, 1));
        fds[n] = knock(&words[n]);
    }
    struct door *door = open_door(agent, job);
    must(door_run(door, &err) == 0);
    for (unsigned i = 0; i < n; i++)
        if (is_welcome(&words[i], &preamble))
            must_hand_over(job[0], &words[i], &preamble);
    door_free(door);
    must(ctl_recv(job[0], &msg, NULL, NULL, &err) < 0 && err.code == ERR_RETRY); /* nobody else */
    for (unsigned i = 0; i < n; i++)
        (void)close(fds[i]);
    for (unsigned i = 0; i < 2; i++) {
        (void)close(agent[i]);
        (void)close(job[i]);
    }
    return 0;
}
