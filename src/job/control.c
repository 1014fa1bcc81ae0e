/* SPDX-License-Identifier: Apache-2.0 */
#include "job/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"

#define PROGRESS_INTERVAL_MS 200
#define ANSWERS_MAX 4 /* a request has two at most */
#define SEND_PATIENCE_MS 5000

struct control {
    int fd;
    int answer_event;
    int end_event; /* tells the thread to end */
    struct cancel *cancel;
    struct cancel *lost;
    struct thread thread;

    pthread_mutex_t send_lock; /* one message at a time; taken after `lock` never */
    struct ctl_msg outgoing;

    pthread_mutex_t lock; /* protects all below */
    uint32_t serial;      /* of the last request */
    size_t n_answers;
    struct control_entry {
        uint32_t type;
        struct control_answer answer;
        struct err err;
    } answers[ANSWERS_MAX];
    enum ctl_step step;
    char cipher[CTL_CIPHER_MAX];
    uint32_t addresses_out;
    uint32_t n_strangers;
    const struct engine_source *source;
    const struct engine_dest *dest;
    struct engine_snapshot snapshot;
    const struct relay *relays;
    unsigned n_relays;
    uint64_t limit_ns; /* 0: none */
    struct err limit_error;

    struct ctl_msg incoming; /* the thread's */
};

static int send_locked(struct control *control, struct err *err)
{
    for (;;) {
        if (ctl_send(control->fd, &control->outgoing, NULL, 0, err) == 0)
            return 0;
        struct pollfd room = {.fd = control->fd, .events = POLLOUT};
        if (err->code != ERR_RETRY || poll(&room, 1, SEND_PATIENCE_MS) <= 0)
            return -1;
    }
}

static int send_message(struct control *control, uint32_t type, uint32_t serial, const void *body,
                        size_t size, struct err *err)
{
    (void)pthread_mutex_lock(&control->send_lock);
    ctl_fill(&control->outgoing, type, serial, body, size);
    int ret = send_locked(control, err);
    explicit_bzero(control->outgoing.body, size);
    (void)pthread_mutex_unlock(&control->send_lock);
    return ret;
}

void control_report(struct control *control, uint32_t type, const void *body, size_t size)
{
    struct err err;
    if (send_message(control, type, 0, body, size, &err) < 0 && err.code != ERR_PEER_LOST)
        log_error(&err, "report %u to the agent", type);
}

static void refresh_snapshot_locked(struct control *control)
{
    if (control->source)
        engine_source_snapshot(control->source, &control->snapshot);
    else if (control->dest)
        engine_dest_snapshot(control->dest, &control->snapshot);
}

static void report_progress(struct control *control)
{
    (void)pthread_mutex_lock(&control->lock);
    refresh_snapshot_locked(control);
    const struct engine_snapshot *now = &control->snapshot;
    struct ctl_progress progress = {.step = control->step,
                                    .round = now->round,
                                    .bytes_on_wire = now->bytes_on_wire,
                                    .bytes_left = now->bytes_left,
                                    .rate_bytes_s = now->rate_bytes_s,
                                    .dirty_bytes_s = now->dirty_bytes_s,
                                    .pages_zero = now->zero_pages,
                                    .stun_ns = now->stun_ns,
                                    .throttle_bytes_s = now->throttle_bytes_s,
                                    .bytes_resent = now->bytes_resent,
                                    .resumes = now->resumes,
                                    .is_down = now->is_down,
                                    .addresses_out = control->addresses_out,
                                    .strangers = control->n_strangers};
    for (unsigned i = 0; i < control->n_relays; i++)
        progress.bytes_on_wire += relay_bytes(&control->relays[i]);
    for (unsigned i = 0; i < CTL_CODECS; i++)
        progress.codecs[i] = (struct ctl_codec){.pages = now->codecs[i].pages,
                                                .raw_bytes = now->codecs[i].raw_bytes,
                                                .wire_bytes = now->codecs[i].wire_bytes};
    memcpy(progress.cipher, control->cipher, sizeof progress.cipher);
    (void)pthread_mutex_unlock(&control->lock);
    control_report(control, CTL_PROGRESS, &progress, sizeof progress);
}

void control_step(struct control *control, enum ctl_step step)
{
    (void)pthread_mutex_lock(&control->lock);
    control->step = step;
    (void)pthread_mutex_unlock(&control->lock);
    report_progress(control);
}

void control_set_cipher(struct control *control, const char *cipher)
{
    (void)pthread_mutex_lock(&control->lock);
    (void)snprintf(control->cipher, sizeof control->cipher, "%s", cipher);
    (void)pthread_mutex_unlock(&control->lock);
}

void control_set_addresses_out(struct control *control, uint32_t addresses)
{
    (void)pthread_mutex_lock(&control->lock);
    control->addresses_out = addresses;
    (void)pthread_mutex_unlock(&control->lock);
}

void control_set_strangers(struct control *control, uint32_t n)
{
    (void)pthread_mutex_lock(&control->lock);
    control->n_strangers = n;
    (void)pthread_mutex_unlock(&control->lock);
}

void control_report_now(struct control *control)
{
    report_progress(control);
}

void control_set_engine(struct control *control, const struct engine_source *source,
                        const struct engine_dest *dest)
{
    (void)pthread_mutex_lock(&control->lock);
    refresh_snapshot_locked(control);
    control->source = source;
    control->dest = dest;
    (void)pthread_mutex_unlock(&control->lock);
}

void control_set_relays(struct control *control, const struct relay *relays, unsigned n)
{
    (void)pthread_mutex_lock(&control->lock);
    control->relays = relays;
    control->n_relays = n;
    (void)pthread_mutex_unlock(&control->lock);
}

void control_snapshot(struct control *control, struct engine_snapshot *ret_snapshot)
{
    (void)pthread_mutex_lock(&control->lock);
    refresh_snapshot_locked(control);
    *ret_snapshot = control->snapshot;
    (void)pthread_mutex_unlock(&control->lock);
}

static int keep_answer(struct control *control, int fd, struct err *err)
{
    int ret = 0;
    const struct ctl_msg *msg = &control->incoming;
    (void)pthread_mutex_lock(&control->lock);
    struct control_entry entry = {.type = msg->type, .answer = {.fd = fd, .length = msg->length}};
    if (msg->serial != control->serial)
        ret = err_set(err, ERR_CORRUPT, "control-serial", "the agent answered request %u instead of %u",
                      msg->serial, control->serial);
    else if (control->n_answers == ANSWERS_MAX)
        ret = err_set(err, ERR_CORRUPT, "control-answers", "the agent answers without being asked");
    else if (msg->type == CTL_FAILED)
        ret = ctl_body(msg, &entry.err, sizeof entry.err, err);
    else if (msg->length > sizeof entry.answer.body)
        ret = err_set(err, ERR_CORRUPT, "control-message-size", "an answer has %u bytes", msg->length);
    else
        memcpy(entry.answer.body, msg->body, msg->length);
    if (ret == 0) {
        control->answers[control->n_answers++] = entry;
        (void)eventfd_write(control->answer_event, 1);
    }
    (void)pthread_mutex_unlock(&control->lock);
    explicit_bzero(&entry, sizeof entry);
    return ret;
}

/* One message of the agent. -1: it cannot be understood, or the socket ended. */
static int receive(struct control *control, struct err *err)
{
    int fds[1] = {-1};
    size_t n_fds = 1;
    if (ctl_recv(control->fd, &control->incoming, fds, &n_fds, err) < 0)
        return err->code == ERR_RETRY ? 0 : -1;
    int fd = n_fds ? fds[0] : -1;
    int ret = 0;
    struct err why;
    switch (control->incoming.type) {
    case CTL_DONE:
    case CTL_FAILED:
        ret = keep_answer(control, fd, err);
        if (ret == 0)
            fd = -1;
        break;
    case CTL_CANCEL:
        ret = ctl_body(&control->incoming, &why, sizeof why, err);
        if (ret == 0)
            cancel_trigger(control->cancel, &why);
        break;
    default:
        ret = err_set(err, ERR_CORRUPT, "control-type", "the job does not know message %u",
                      control->incoming.type);
    }
    if (fd >= 0)
        (void)close(fd);
    explicit_bzero(control->incoming.body, control->incoming.length);
    return ret;
}

void control_set_limit(struct control *control, uint64_t limit_ns, const struct err *why)
{
    (void)pthread_mutex_lock(&control->lock);
    control->limit_ns = limit_ns;
    if (why)
        control->limit_error = *why;
    (void)pthread_mutex_unlock(&control->lock);
}

/* Milliseconds until the thread has something to do; cancels when the limit is reached. */
static int enforce_limit(struct control *control)
{
    int left_ms = PROGRESS_INTERVAL_MS;
    (void)pthread_mutex_lock(&control->lock);
    uint64_t now_ns = clock_now_ns();
    if (control->limit_ns && now_ns >= control->limit_ns) {
        cancel_trigger(control->cancel, &control->limit_error);
        control->limit_ns = 0;
    } else if (control->limit_ns && control->limit_ns - now_ns < PROGRESS_INTERVAL_MS * NS_PER_MS) {
        left_ms = (int)((control->limit_ns - now_ns) / NS_PER_MS) + 1;
    }
    (void)pthread_mutex_unlock(&control->lock);
    return left_ms;
}

static void *control_loop(void *user)
{
    struct control *control = user;
    for (;;) {
        struct pollfd fds[] = {{.fd = control->end_event, .events = POLLIN},
                               {.fd = control->fd, .events = POLLIN}};
        int ready = poll(fds, 2, enforce_limit(control));
        struct err err;
        if (ready == 0)
            report_progress(control);
        if (ready <= 0)
            continue;
        if (fds[0].revents)
            return NULL;
        if (receive(control, &err) < 0) {
            cancel_trigger(control->lost, &err);
            cancel_trigger(control->cancel, &err);
            return NULL;
        }
    }
}

static int start(struct control *control, struct err *err)
{
    int flags = fcntl(control->fd, F_GETFL);
    if (flags < 0 || fcntl(control->fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return err_sys(err, errno, "descriptor-unusable", "cannot use the control socket");
    control->answer_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    control->end_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (control->answer_event < 0 || control->end_event < 0)
        return err_sys(err, errno, "eventfd-failed", "cannot make an eventfd");
    control->cancel = cancel_new(err);
    control->lost = control->cancel ? cancel_new(err) : NULL;
    if (!control->lost)
        return -1;
    return thread_start(&control->thread, "control", control_loop, control, err);
}

int control_new(int fd, struct control **ret_control, struct err *err)
{
    struct control *control = calloc(1, sizeof *control);
    if (!control)
        return err_sys(err, ENOMEM, "no-memory", "no memory for the control socket");
    control->fd = fd;
    control->answer_event = -1;
    control->end_event = -1;
    control->step = CTL_STEP_CONNECT;
    (void)pthread_mutex_init(&control->send_lock, NULL);
    (void)pthread_mutex_init(&control->lock, NULL);
    if (start(control, err) < 0) {
        control_free(control);
        return -1;
    }
    *ret_control = control;
    return 0;
}

struct cancel *control_cancel(struct control *control)
{
    return control->cancel;
}

struct cancel *control_lost(struct control *control)
{
    return control->lost;
}

int control_answer_fd(const struct control *control)
{
    return control->answer_event;
}

int control_request(struct control *control, uint32_t type, const void *body, size_t size, struct err *err)
{
    (void)pthread_mutex_lock(&control->lock);
    uint32_t serial = ++control->serial;
    (void)pthread_mutex_unlock(&control->lock);
    return send_message(control, type, serial, body, size, err);
}

int control_take(struct control *control, struct control_answer *ret_answer, struct err *err)
{
    int ret = 0;
    (void)pthread_mutex_lock(&control->lock);
    if (!control->n_answers) {
        ret = err_set(err, ERR_RETRY, "no-answer", "the agent has not answered yet");
    } else {
        *ret_answer = control->answers[0].answer;
        if (control->answers[0].type == CTL_FAILED) {
            *err = control->answers[0].err;
            ret = -1;
        }
        control->n_answers--;
        memmove(control->answers, control->answers + 1, control->n_answers * sizeof *control->answers);
        struct control_entry *vacated = &control->answers[control->n_answers];
        explicit_bzero(vacated, sizeof *vacated);
    }
    if (!control->n_answers) {
        eventfd_t ignored;
        (void)eventfd_read(control->answer_event, &ignored);
    }
    (void)pthread_mutex_unlock(&control->lock);
    return ret;
}

void control_free(struct control *control)
{
    if (!control)
        return;
    if (control->end_event >= 0)
        (void)eventfd_write(control->end_event, 1);
    thread_join(&control->thread);
    for (size_t i = 0; i < control->n_answers; i++)
        if (control->answers[i].answer.fd >= 0)
            (void)close(control->answers[i].answer.fd);
    if (control->answer_event >= 0)
        (void)close(control->answer_event);
    if (control->end_event >= 0)
        (void)close(control->end_event);
    cancel_free(control->cancel);
    cancel_free(control->lost);
    (void)pthread_mutex_destroy(&control->send_lock);
    (void)pthread_mutex_destroy(&control->lock);
    explicit_bzero(control, sizeof *control);
    free(control);
}
