/* SPDX-License-Identifier: Apache-2.0 */
#include "job/story.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "engine/tls.h"

static const struct awaited awaited_agent = {"no-agent-answer", "the agent's answer"};

const char *story_side(const struct job *job)
{
    return job->spec.role == CTL_ROLE_SOURCE ? "source" : "destination";
}

int story_run(struct job *job, const struct story_phase *phases, size_t n_phases, struct err *err)
{
    for (size_t i = 0; i < n_phases; i++) {
        if (!i || strcmp(phases[i].name, phases[i - 1].name))
            log_info("%s", phases[i].name);
        story_guest_waits(job, phases[i].step == CTL_STEP_SWITCH);
        control_step(job->control, phases[i].step);
        if (phases[i].run(job, err) < 0) {
            err_place(err, phases[i].name, story_side(job));
            return -1;
        }
    }
    return 0;
}

void story_mark(struct job *job, enum ctl_mark mark)
{
    uint64_t passed_ns = clock_now_ns() - job->switch_ns;
    job->result.marks_ns[mark] = passed_ns ? passed_ns : 1;
}

int story_answer(struct job *job, struct control_answer *ret_answer, struct err *err)
{
    int fds[2] = {control_answer_fd(job->control), job->is_committed ? -1 : job->peer.stream.fd};
    *ret_answer = (struct control_answer){.fd = -1};
    for (;;) {
        if (fds[1] >= 0 && stream_has_pending(&job->peer.stream))
            return peer_unexpected(&job->peer, &job->watch, err);
        int which = watch_wait_either(&job->watch, fds, WATCH_FOREVER, &awaited_agent, err);
        if (which < 0)
            return -1;
        if (which == 1)
            return peer_unexpected(&job->peer, &job->watch, err);
        if (control_take(job->control, ret_answer, err) == 0)
            return 0;
        if (err->code != ERR_RETRY || strcmp(err->id, "no-answer"))
            return -1;
    }
}

int story_ask(struct job *job, uint32_t type, const void *body, size_t size,
              struct control_answer *ret_answer, struct err *err)
{
    if (control_request(job->control, type, body, size, err) < 0)
        return -1;
    return story_answer(job, ret_answer, err);
}

int story_answer_body(const struct control_answer *answer, void *ret_body, size_t size, struct err *err)
{
    if (answer->fd >= 0)
        (void)close(answer->fd);
    if (answer->length != size)
        return err_set(err, ERR_CORRUPT, "control-message-size", "the agent answered %u bytes instead of %zu",
                       answer->length, size);
    if (size)
        memcpy(ret_body, answer->body, size);
    return 0;
}

int story_answer_fd(const struct control_answer *answer, int *ret_fd, struct err *err)
{
    if (answer->fd < 0)
        return err_set(err, ERR_CORRUPT, "control-descriptors", "the agent's answer has no descriptor");
    *ret_fd = answer->fd;
    return 0;
}

void story_guest_waits(struct job *job, bool waits)
{
    if (job->beat)
        __atomic_store_n(&job->beat->guest_waits, waits, __ATOMIC_RELAXED);
}

void story_note_cipher(struct job *job)
{
    const char *cipher = job->peer.stream.tls ? tls_cipher(job->peer.stream.tls) : "";
    control_set_cipher(job->control, cipher);
    log_info("the connections are %s%s", *cipher ? "under TLS 1.3, " : "not encrypted", cipher);
}

void story_hand_over_channels(struct job *job, int ret_fds[ENGINE_CHANNELS_MAX],
                              struct tls *ret_tls[ENGINE_CHANNELS_MAX])
{
    for (unsigned i = 0; i < ENGINE_CHANNELS_MAX; i++) {
        ret_fds[i] = job->channels[i].fd;
        ret_tls[i] = job->channels[i].tls;
        job->channels[i] = (struct stream){.fd = -1};
    }
}

void story_drop_connections(struct job *job)
{
    peer_renew(&job->peer, (struct stream){.fd = -1});
    for (unsigned i = 0; i < ENGINE_CHANNELS_MAX; i++)
        stream_close(&job->channels[i]);
}

int story_resume_limit(const struct job *job, struct err *err)
{
    const char *other = job->peer.is_source ? "source" : "destination";
    struct err last = *err;
    (void)err_set(err, ERR_PEER_LOST, "resume-limit",
                  "the connections to the %s broke, and no memory crossed over new ones within %u s", other,
                  job->spec.resume_limit_s);
    (void)err_arg(err, "limit_s", "%u", job->spec.resume_limit_s);
    (void)err_arg(err, "other", "%s", other);
    (void)err_cause(err, "%s%s%s", last.message, last.cause[0] ? ": " : "", last.cause);
    return err_fix(
        err,
        "look at the migration network between the hosts, then migrate again; a resume limit of up "
        "to %u s bears longer outages",
        CTL_RESUME_LIMIT_MAX_S);
}

/* The copy of the disk has failed, and with it the move. */
static void disk_is_lost(const struct err *why, void *user)
{
    struct job *job = user;
    cancel_trigger(control_cancel(job->control), why);
}

int story_start_disk(struct job *job, unsigned number, struct err *err)
{
    struct control_answer answer;
    uint32_t body = number;
    int local;
    bool is_source = job->spec.role == CTL_ROLE_SOURCE;
    if (story_ask(job, CTL_DISK, &body, sizeof body, &answer, err) < 0 ||
        story_answer_fd(&answer, &local, err) < 0)
        return -1;
    struct relay_config config = {.stream = job->disks[number],
                                  .local = local,
                                  .number = number,
                                  .rate = is_source ? &job->rate : NULL,
                                  .lost = is_source ? disk_is_lost : NULL,
                                  .user = job};
    job->disks[number] = (struct stream){.fd = -1};
    return relay_start(&job->relays[number], &config, err);
}

void story_wipe_secrets(struct job *job)
{
    explicit_bzero(job->spec.key, sizeof job->spec.key);
    explicit_bzero(job->spec.ticket, sizeof job->spec.ticket);
}

void story_commit(struct job *job)
{
    job->is_committed = true;
    job->watch.stop = control_lost(job->control);
    job->watch.qemu_pidfd = -1;
}
