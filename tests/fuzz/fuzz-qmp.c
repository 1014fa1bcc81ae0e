/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What QEMU says on its control connection, and what is made of it: QEMU may have been taken over by its
 * guest. The first byte holds bits: 1: the greeting has been exchanged before, 2: all comes at once and not
 * line by line, 4: the agent closes the connection before QEMU does. The rest is what QEMU sends. Each call
 * is answered once, and nothing is told after the client is gone.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/vm_process.h"
#include "fuzz.h"
#include "model/move.h"
#include "qemu/caps.h"
#include "qemu/qmp.h"

#define IS_GREETED 1u
#define AT_ONCE 2u
#define AGENT_CLOSES 4u
#define PATH "qmp.sock" /* in the folder of this run */
#define CALL_MS 60000
#define TURNS_MAX 1000

struct agent_side {
    struct qmp *qmp;
    struct qemu_caps caps;
    unsigned n_ready, n_closed, n_asked, n_answered;
    bool is_gone;
};

static int listener = -1;

static void set_up(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = PATH};
    (void)g_log_set_always_fatal(G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_ERROR);
    (void)unlink(PATH);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    must(listener >= 0 && bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
    must(listen(listener, 16) == 0);
}

static void iterate(void)
{
    for (unsigned n = 0; n < TURNS_MAX && g_main_context_iteration(NULL, FALSE); n++)
        ;
}

static void on_status(JsonNode *result, const struct err *err, void *user)
{
    struct agent_side *agent = user;
    must(!agent->is_gone);
    agent->n_answered++;
    if (err_is_set(err))
        must_be_sound(err);
    else
        (void)vm_runstate_is_stopped(vm_result_text(result, "status"));
}

static void on_caps(const struct err *err, void *user)
{
    struct agent_side *agent = user;
    struct err too_old = {0};
    must(!agent->is_gone);
    agent->n_answered++;
    if (err_is_set(err)) {
        must_be_sound(err);
        return;
    }
    must(agent->caps.n_machines <= CAPS_MACHINES_MAX && caps_has_machine(&agent->caps, agent->caps.machine));
    must(memchr(agent->caps.version, '\0', sizeof agent->caps.version) != NULL);
    (void)caps_check_version(&agent->caps, &too_old);
}

static void on_ready(const struct err *err, void *user)
{
    struct agent_side *agent = user;
    must(!agent->is_gone && !agent->n_ready++);
    if (err_is_set(err))
        return;
    agent->n_asked = 2;
    caps_query(agent->qmp, &agent->caps, on_caps, agent);
    qmp_call(agent->qmp, &(struct qmp_command){"query-status", NULL, -1, CALL_MS}, on_status, agent);
}

static void on_event(const char *name, JsonObject *data, void *user)
{
    must(!((struct agent_side *)user)->is_gone && name);
    if (data)
        (void)model_text(data, "status");
}

static void on_closed(void *user)
{
    struct agent_side *agent = user;
    must(!agent->is_gone && agent->n_ready == 1 && !agent->n_closed++);
    must(agent->n_answered == agent->n_asked);
}

/* The newest connection; those before it are of clients that are gone. */
static int accept_newest(void)
{
    int newest = -1, fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        if (newest >= 0)
            (void)close(newest);
        newest = fd;
    }
    must(newest >= 0);
    return newest;
}

static void say(int qemu, const void *bytes, size_t size)
{
    /* A client that has hung up hears nothing more. */
    ssize_t put = send(qemu, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    must(put == (ssize_t)size || (put < 0 && errno == EPIPE));
    iterate();
}

static void say_input(int qemu, struct input *input, bool at_once)
{
    while (input->left) {
        const uint8_t *end = at_once ? NULL : memchr(input->at, '\n', input->left);
        struct input line = input_part(input, end ? (size_t)(end + 1 - input->at) : input->left);
        say(qemu, line.at, line.left);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char greeting[] =
        "{\"QMP\":{\"version\":{},\"capabilities\":[]}}\n{\"return\":{},\"id\":1}\n";
    struct input whole = {data, size}, input = input_part(&whole, 64 << 10);
    struct agent_side agent = {0};
    unsigned flags = (unsigned)input_number(&input, 1);
    if (listener < 0)
        set_up();
    const struct qmp_config config = {.path = PATH,
                                      .deadline_ms = CALL_MS,
                                      .ready = on_ready,
                                      .event = on_event,
                                      .closed = on_closed,
                                      .user = &agent};
    agent.qmp = qmp_new(&config);
    iterate();
    int qemu = accept_newest();
    if (flags & IS_GREETED)
        say(qemu, greeting, strlen(greeting));
    must(!(flags & IS_GREETED) || agent.n_ready == 1);
    say_input(qemu, &input, flags & AT_ONCE);
    if (!(flags & AGENT_CLOSES)) {
        (void)shutdown(qemu, SHUT_RDWR);
        iterate();
    }
    qmp_free(agent.qmp);
    must(agent.n_answered == agent.n_asked);
    agent.is_gone = true;
    (void)close(qemu);
    iterate();
    return 0;
}
