/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest says on the port of its guest agent, and what a visit makes of it. The first byte holds bits:
 * 1: the guest answers the sync of each command honestly, 2: its clock is to be set, 4: it is to be told of
 * the move, 8: what it says of a command comes byte by byte. The rest is what it says, a line a command;
 * when there is no line left, it hangs up. A visit ends once, with a report that can be written and read.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/guest_agent.h"
#include "agent/vm_process.h"
#include "fuzz.h"
#include "model/json.h"

#define SYNCS 1u
#define SETS_CLOCK 2u
#define IS_TOLD 4u
#define IN_BYTES 8u
#define COMMAND_BYTES_MAX 4096
#define VM_UUID "3f0c8a52-6b1d-4e7a-9c55-0d2f4b6a8c1e"

struct guest {
    int port; /* -1: nobody asks */
    unsigned flags;
    bool is_synced;
    char command[COMMAND_BYTES_MAX]; /* the newest */
    struct input says;
};

static int listener = -1;
static struct agent agent;
static struct vm vm;

static void set_up(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)g_log_set_always_fatal(G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_ERROR);
    g_autofree char *here = g_get_current_dir();
    g_strlcpy(agent.config.run_dir, here, sizeof agent.config.run_dir);
    vm.agent = &agent;
    g_strlcpy(vm.status.spec.name, "vm", sizeof vm.status.spec.name);
    g_strlcpy(vm.status.spec.uuid, VM_UUID, sizeof vm.status.spec.uuid);
    g_autofree char *path = vm_path(&vm, VM_GUEST_AGENT_SOCKET);
    g_autofree char *folder = g_path_get_dirname(path);
    must(g_mkdir_with_parents(folder, 0700) == 0);
    must(g_strlcpy(address.sun_path, path, sizeof address.sun_path) < sizeof address.sun_path);
    (void)unlink(path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    must(listener >= 0 && bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
    must(listen(listener, 16) == 0);
}

static void on_report(const struct guest_report *report, void *user)
{
    bool *is_done = user;
    struct guest_report again = {0};
    struct err err = {0};
    g_autoptr(JsonObject) object = guest_report_to_json(report);
    must(!*is_done);
    must(g_utf8_validate(report->problem, -1, NULL));
    must(guest_report_from_json(object, &again, &err) == 0);
    must(again.notice == report->notice && again.has_clock == report->has_clock);
    *is_done = true;
}

static void say(const struct guest *guest, struct input text)
{
    size_t step = guest->flags & IN_BYTES ? 1 : text.left;
    for (; text.left; text = (struct input){text.at + step, text.left - step}) {
        ssize_t put = send(guest->port, text.at, step, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (put != (ssize_t)step) /* the agent has hung up, or what it can take at once is exceeded */
            return;
    }
}

static void hang_up(struct guest *guest)
{
    if (guest->port >= 0)
        (void)close(guest->port);
    guest->port = -1;
}

static void answer_sync(struct guest *guest)
{
    const char *id = strstr(guest->command, "\"id\":");
    char text[64];
    guest->is_synced = true;
    if (!(guest->flags & SYNCS))
        return;
    must(id != NULL);
    int length =
        snprintf(text, sizeof text, "\xff{\"return\":%lld}\n", strtoll(id + strlen("\"id\":"), NULL, 10));
    say(guest, (struct input){(const uint8_t *)text, (size_t)length});
}

static void answer(struct guest *guest)
{
    static const struct input newline = {(const uint8_t *)"\n", 1};
    if (!guest->is_synced)
        answer_sync(guest);
    if ((guest->flags & SYNCS) && strstr(guest->command, "guest-sync"))
        return;
    if (!guest->says.left) {
        hang_up(guest);
        return;
    }
    say(guest, input_until(&guest->says, "\n"));
    say(guest, newline);
}

static void listen_to_agent(struct guest *guest)
{
    int port = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (port >= 0) {
        hang_up(guest);
        guest->port = port;
        guest->is_synced = false;
    }
    if (guest->port < 0)
        return;
    ssize_t got = recv(guest->port, guest->command, sizeof guest->command - 1, MSG_DONTWAIT);
    if (got == 0) {
        hang_up(guest);
        return;
    }
    guest->command[got > 0 ? got : 0] = '\0';
    /* A dishonest one goes on talking though nobody asked. */
    if (got > 0 || !(guest->flags & SYNCS))
        answer(guest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input whole = {data, size}, input = input_part(&whole, 160 << 10);
    struct guest guest = {.port = -1};
    bool is_done = false;
    guest.flags = (unsigned)input_number(&input, 1);
    guest.says = input;
    if (listener < 0)
        set_up();
    struct guest_request request = {
        .when = GUEST_BEFORE, .task = VM_UUID, .source = "h1", .destination = "h2"};
    request.set_clock = guest.flags & SETS_CLOCK;
    request.notice_timeout_s = guest.flags & IS_TOLD ? 1 : 0;
    guest_agent_visit(&vm, &request, on_report, &is_done);
    while (!is_done) {
        listen_to_agent(&guest);
        (void)g_main_context_iteration(NULL, guest.port < 0);
    }
    hang_up(&guest);
    return 0;
}
