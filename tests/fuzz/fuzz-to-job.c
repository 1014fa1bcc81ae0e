/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The job's end of its control socket: whatever messages come (ctl_message.h; the first byte says how many
 * requests the job makes before), its thread ends with a reason, answers that it kept are whole, and no
 * descriptor that came stays open.
 */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctl_message.h"
#include "job/control.h"

static void take_answers(struct control *control)
{
    struct control_answer answer;
    struct err err;
    for (unsigned n = 0;; n++) {
        answer.fd = -1;
        if (control_take(control, &answer, &err) == 0) {
            must(answer.length <= sizeof answer.body);
        } else if (err.code == ERR_RETRY && !strcmp(err.id, "no-answer")) {
            return;
        }
        must(n < 8);
        if (answer.fd >= 0)
            (void)close(answer.fd);
    }
}

/* Until the thread has heard all: it ends at the first message that breaks the rules, or at the end. */
static void wait_for_end(const struct cancel *cancel)
{
    struct pollfd end = {.fd = cancel_fd(cancel), .events = POLLIN};
    must(poll(&end, 1, -1) == 1 && cancel_requested(cancel));
}

static void must_be_closed_everywhere(int pipe_end)
{
    struct pollfd end = {.fd = pipe_end, .events = POLLIN};
    must(poll(&end, 1, 0) == 1 && end.revents & POLLHUP);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ctl_message message;
    struct input input = {data, size};
    struct control *control;
    int ends[2], witness[2];
    struct err err;
    unsigned n_requests = (unsigned)input_number(&input, 1) % 4;
    fuzz_socketpair(SOCK_SEQPACKET, ends);
    must(pipe2(witness, O_CLOEXEC) == 0);
    must(control_new(ends[1], &control, &err) == 0);
    for (unsigned i = 0; i < n_requests; i++)
        must(control_request(control, CTL_STOP, NULL, 0, &err) == 0);
    while (ctl_message_read(&input, &message))
        ctl_message_send(&message, ends[0], witness[1]);
    must(shutdown(ends[0], SHUT_WR) == 0);
    wait_for_end(control_lost(control));
    wait_for_end(control_cancel(control));
    must(cancel_check(control_lost(control), &err) < 0);
    must_be_sound(&err);
    take_answers(control);
    control_free(control);
    (void)close(ends[0]);
    (void)close(ends[1]);
    (void)close(witness[1]);
    must_be_closed_everywhere(witness[0]);
    (void)close(witness[0]);
    return 0;
}
