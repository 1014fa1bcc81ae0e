/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/door.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/spawn.h"
#include "base/address.h"
#include "base/cleanup.h"
#include "base/log.h"

#define RESTART_MS 200u
/* As many as the system allows: a source whose packet is thrown away because strangers fill the queue waits a
 * second before it sends the next. */
#define BACKLOG SOMAXCONN

struct expected {
    uint8_t ticket[CTL_SECRET_SIZE];
    int socket; /* the door's end; kept to tell a new door */
};

struct door {
    struct agent *agent;
    unsigned n_listeners;
    int listeners[HOST_ADDRESSES_MAX];
    int control; /* -1 while there is no door */
    int pidfd;
    guint watch;
    guint restart;
    bool is_child; /* its exit was not reported yet: that call still uses this object */
    bool is_freed;
    unsigned n_restarts;
    struct ctl_door_counts before; /* of the doors before this one */
    struct ctl_door_counts now;
    GSList *expected; /* struct expected */
    struct ctl_msg msg;
};

static int start_door(struct door *door, struct err *err);

static int listen_on(const char *text, uint16_t port, int *ret_fd, struct err *err)
{
    struct sockaddr_storage address;
    socklen_t size = address_parse(text, port, &address);
    int on = 1;
    if (!size) {
        (void)err_set(err, ERR_BAD_REQUEST, "migration-addresses",
                      "migration address \"%s\" is not a numeric IPv4 or IPv6 address", text);
        return err_arg(err, "address", "%s", text);
    }
    auto_fd fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        (address.ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0) ||
        bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, BACKLOG) < 0) {
        int errnum = errno;
        (void)err_sys(err, errnum, "migration-listen-failed", "cannot listen on migration address %s port %u",
                      text, port);
        (void)err_arg(err, "address", "%s", text);
        (void)err_arg(err, "port", "%u", port);
        if (errnum == EADDRNOTAVAIL)
            (void)err_fix(err, "give the host this address, or change addresses in [migration]");
        else if (errnum == EADDRINUSE)
            (void)err_fix(err, "end the program that uses the port, or change port in [migration]");
        return -1;
    }
    *ret_fd = steal_fd(&fd);
    return 0;
}

static int tell(struct door *door, uint32_t type, const struct expected *expected, struct err *err)
{
    struct ctl_door_ticket ticket;
    memcpy(ticket.ticket, expected->ticket, sizeof ticket.ticket);
    ctl_fill(&door->msg, type, 0, &ticket, sizeof ticket);
    return ctl_send(door->control, &door->msg, &expected->socket, type == CTL_DOOR_EXPECT ? 1 : 0, err);
}

static void release(struct door *door)
{
    if (!door->is_freed || door->is_child)
        return;
    explicit_bzero(&door->msg, sizeof door->msg);
    g_free(door);
}

/* The door is gone or of no use any more. */
static void hang_up(struct door *door)
{
    if (door->watch)
        (void)g_source_remove(door->watch);
    door->watch = 0;
    if (door->control >= 0)
        (void)close(door->control);
    door->control = -1;
    if (door->pidfd >= 0) {
        (void)syscall(SYS_pidfd_send_signal, door->pidfd, SIGKILL, NULL, 0);
        (void)close(door->pidfd);
    }
    door->pidfd = -1;
    door->before.handed += door->now.handed;
    door->before.strangers += door->now.strangers;
    door->now = (struct ctl_door_counts){0};
}

static gboolean restart_now(gpointer user)
{
    struct door *door = user;
    struct err err;
    door->restart = 0;
    if (start_door(door, &err) < 0) {
        log_error(&err, "the door cannot be started again");
        door->restart = g_timeout_add(10 * RESTART_MS, restart_now, door);
    }
    return G_SOURCE_REMOVE;
}

static void exited(pid_t pid, int status, void *user)
{
    struct door *door = user;
    door->is_child = false;
    if (!door->is_freed) {
        log_warn("door %d has ended (status 0x%x); starting it again", (int)pid, (unsigned)status);
        hang_up(door);
        door->n_restarts++;
        if (!door->restart)
            door->restart = g_timeout_add(RESTART_MS, restart_now, door);
    }
    release(door);
}

static void show_strangers(struct door *door)
{
    door->agent->facts.strangers = door->before.strangers + door->now.strangers;
}

void door_add_strangers(struct door *door, uint64_t n)
{
    door->before.strangers += n;
    show_strangers(door);
}

static gboolean readable(gint fd, GIOCondition condition, gpointer user)
{
    (void)condition;
    struct door *door = user;
    struct err err;
    struct ctl_door_counts counts;
    int got = ctl_recv(fd, &door->msg, NULL, NULL, &err);
    if (got < 0 && err.code == ERR_RETRY)
        return G_SOURCE_CONTINUE;
    if (got < 0 || door->msg.type != CTL_DOOR_COUNTS ||
        ctl_body(&door->msg, &counts, sizeof counts, &err) < 0) {
        hang_up(door); /* removes this watch and kills it; `exited` starts another */
        return G_SOURCE_CONTINUE;
    }
    door->now = counts;
    show_strangers(door);
    return G_SOURCE_CONTINUE;
}

static int spawn_door(struct door *door, int child_end, struct err *err)
{
    char program[MODEL_PATH_MAX + 16];
    char control[16];
    pid_t pid;
    GString *list = g_string_new(NULL);
    struct spawn_request request = {.user = door->agent->config.door_user, .survives = false};
    request.fds[request.n_fds++] = child_end;
    for (unsigned i = 0; i < door->n_listeners; i++) {
        g_string_append_printf(list, "%s%d", i ? "," : "", SPAWN_CHILD_FD((int)request.n_fds));
        request.fds[request.n_fds++] = door->listeners[i];
    }
    (void)snprintf(program, sizeof program, "%s/godwit-door", door->agent->config.libexec_dir);
    (void)snprintf(control, sizeof control, "%d", SPAWN_CHILD_FD(0));
    const char *argv[] = {"godwit-door", "--control", control, "--listen", list->str, NULL};
    request.program = program;
    request.argv = argv;
    int result = spawn(&request, &pid, &door->pidfd, exited, door, err);
    g_string_free(list, TRUE);
    door->is_child = result == 0;
    return result;
}

static int start_door(struct door *door, struct err *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
        return err_sys(err, errno, "socket-failed", "cannot make the control socket of the door");
    auto_fd child_end = ends[1];
    door->control = ends[0];
    /* Before it lives: a connection may wait already, and its ticket must be known when it is accepted. */
    for (GSList *at = door->expected; at; at = at->next) {
        struct err problem;
        if (tell(door, CTL_DOOR_EXPECT, at->data, &problem) < 0)
            log_error(&problem, "the new door does not take a ticket");
    }
    if (spawn_door(door, child_end, err) < 0) {
        hang_up(door);
        return -1;
    }
    door->watch = g_unix_fd_add(door->control, G_IO_IN | G_IO_HUP, readable, door);
    return 0;
}

int door_new(struct agent *agent, struct door **ret_door, struct err *err)
{
    const struct agent_config *config = &agent->config;
    struct door *door = g_new0(struct door, 1);
    door->agent = agent;
    door->control = -1;
    door->pidfd = -1;
    if (!config->n_migration_addresses) {
        (void)err_set(err, ERR_BAD_REQUEST, "migration-addresses",
                      "migration is enabled, but [migration] addresses is empty");
        door_free(door);
        return -1;
    }
    for (unsigned i = 0; i < config->n_migration_addresses; i++) {
        if (listen_on(config->migration_addresses[i], config->migration_port, &door->listeners[i], err) < 0) {
            door_free(door);
            return -1;
        }
        door->n_listeners++;
    }
    if (start_door(door, err) < 0) {
        door_free(door);
        return -1;
    }
    *ret_door = door;
    return 0;
}

static void expected_free(struct expected *expected)
{
    (void)close(expected->socket);
    explicit_bzero(expected, sizeof *expected);
    g_free(expected);
}

int door_expect(struct door *door, const uint8_t ticket[CTL_SECRET_SIZE], int *ret_socket, struct err *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return err_sys(err, errno, "socket-failed", "cannot make a socket for the door");
    struct expected *expected = g_new0(struct expected, 1);
    memcpy(expected->ticket, ticket, sizeof expected->ticket);
    expected->socket = ends[0];
    /* A door that has just died is told when it is started again. */
    struct err problem = {0};
    if (door->control >= 0 && tell(door, CTL_DOOR_EXPECT, expected, &problem) < 0 &&
        problem.code != ERR_PEER_LOST) {
        if (err)
            *err = problem;
        (void)close(ends[1]);
        expected_free(expected);
        return -1;
    }
    door->expected = g_slist_prepend(door->expected, expected);
    *ret_socket = ends[1];
    return 0;
}

void door_forget(struct door *door, const uint8_t ticket[CTL_SECRET_SIZE])
{
    for (GSList *at = door->expected; at; at = at->next) {
        struct expected *expected = at->data;
        struct err err;
        if (memcmp(expected->ticket, ticket, sizeof expected->ticket) != 0)
            continue;
        if (door->control >= 0 && tell(door, CTL_DOOR_FORGET, expected, &err) < 0 &&
            err.code != ERR_PEER_LOST)
            log_error(&err, "the door cannot be told to forget a ticket");
        door->expected = g_slist_delete_link(door->expected, at);
        expected_free(expected);
        return;
    }
}

void door_counts(const struct door *door, struct ctl_door_counts *ret_counts, unsigned *ret_restarts)
{
    ret_counts->handed = door->before.handed + door->now.handed;
    ret_counts->strangers = door->before.strangers + door->now.strangers;
    *ret_restarts = door->n_restarts;
}

void door_free(struct door *door)
{
    if (!door)
        return;
    if (door->restart)
        (void)g_source_remove(door->restart);
    door->restart = 0;
    hang_up(door);
    for (unsigned i = 0; i < door->n_listeners; i++)
        (void)close(door->listeners[i]);
    g_slist_free_full(g_steal_pointer(&door->expected), (GDestroyNotify)expected_free);
    door->is_freed = true;
    release(door);
}
