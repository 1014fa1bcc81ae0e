/* SPDX-License-Identifier: Apache-2.0 */
/* The destination's story: let the source in, receive its memory, load its device state, run. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "job/connect.h"
#include "job/device_state.h"
#include "job/introduce.h"
#include "job/story.h"
#include "wire/control.h"

#define SOURCE_PATIENCE_NS (60 * NS_PER_S)  /* for the control connection */
#define CHANNEL_PATIENCE_NS (30 * NS_PER_S) /* for all data connections after it */
#define KNOCK_PATIENCE_NS (3 * NS_PER_S)    /* so long the copy's news can wait */
#define SOURCE_LAG_S 15                     /* the source gives up first */

static int turn_away_undue(struct job *job, const struct ctl_door_socket *about, struct stream *stream)
{
    struct err why;
    (void)err_set(&why, ERR_REFUSED, "connection-not-due", "no connection %u of kind %u is due",
                  about->channel, about->role);
    reception_turn_away(job, stream, &why);
    return 0;
}

/* The source has begun anew: nothing of its last attempt counts. */
static int take_control(struct job *job, struct stream stream)
{
    story_drop_connections(job);
    peer_renew(&job->peer, stream);
    return 1;
}

/* 1: the peer is there; 0: only others came. */
static int admit_control(struct job *job, enum reception_peer peer, uint64_t deadline_ns, struct err *err)
{
    struct ctl_door_socket about;
    struct stream stream;
    int got = reception_next(job, peer, deadline_ns, &about, &stream, err);
    if (got <= 0)
        return got;
    if (about.role != WIRE_ROLE_CONTROL)
        return turn_away_undue(job, &about, &stream);
    return take_control(job, stream);
}

static int admit_first(struct job *job, struct err *err)
{
    uint64_t deadline_ns = clock_now_ns() + SOURCE_PATIENCE_NS;
    int got;
    while ((got = admit_control(job, PEER_IS_SILENT, deadline_ns, err)) == 0)
        ;
    return got < 0 ? -1 : 0;
}

/* All connections of one kind, in any order. 1: instead of its data the source has begun anew, with a control
 * connection that has taken the place of the old one. */
static int admit_all(struct job *job, uint8_t role, struct stream *streams, uint32_t n_streams,
                     struct err *err)
{
    uint64_t deadline_ns = clock_now_ns() + CHANNEL_PATIENCE_NS;
    for (uint32_t n = 0; n < n_streams;) {
        struct ctl_door_socket about;
        struct stream stream;
        int got = reception_next(job, PEER_IS_SILENT, deadline_ns, &about, &stream, err);
        if (got < 0)
            return -1;
        if (got == 0)
            continue;
        if (about.role == WIRE_ROLE_CONTROL && role == WIRE_ROLE_DATA)
            return take_control(job, stream);
        if (about.role == role && about.channel < n_streams && streams[about.channel].fd < 0) {
            streams[about.channel] = stream;
            n++;
        } else {
            (void)turn_away_undue(job, &about, &stream);
        }
    }
    return 0;
}

/* After the control connection. */
static int admit_rest(struct job *job, struct wire_choice *ret_choice, struct err *err)
{
    struct peer_hello ours = {.move_id = job->spec.move_id,
                              .epoch = job->spec.epoch,
                              .ram_size = job->spec.ram_size,
                              .n_channels = job->spec.n_channels,
                              .needs_verify = job->spec.verify,
                              .is_forecast = job->spec.is_forecast};
    int result;
    do {
        if (peer_greet(&job->peer, &job->watch, &ours, ret_choice, err) < 0)
            return -1;
        result = admit_all(job, WIRE_ROLE_DATA, job->channels, ret_choice->n_channels, err);
    } while (result > 0);
    return result;
}

int dest_meet(struct job *job, struct err *err)
{
    int ret = admit_first(job, err);
    if (ret == 0)
        ret = admit_rest(job, &job->choice, err);
    if (ret == 0)
        /* The source makes these when all others are made. */
        ret = admit_all(job, WIRE_ROLE_DISK, job->disks, job->spec.n_disks, err);
    reception_clear(&job->reception);
    if (ret < 0)
        return -1;
    job->spec.n_channels = job->choice.n_channels;
    story_note_cipher(job);
    if (!(job->choice.features & WIRE_FEATURE_RESUME))
        story_wipe_secrets(job);
    return 0;
}

/* The source's next control connection: 1. 0: there was a stranger, or news of the old one; -1: none will
 * come. */
static int readmit_control(struct job *job, uint64_t deadline_ns, struct err *err)
{
    int got = admit_control(job, PEER_IS_SILENT, deadline_ns, err);
    if (got >= 0)
        return got;
    /* The end of the old connection is no news; a reason on it is. */
    bool is_end = err->code == ERR_PEER_LOST && !err->side[0] && strcmp(err->id, "door-lost");
    if (!is_end || job->peer.stream.fd < 0 || cancel_requested(job->watch.stop))
        return -1;
    peer_close(&job->peer);
    return 0;
}

/* Somebody knocks while the copy runs: 1, it is the source; 0, it is not, as far as could be heard. The copy
 * may end meanwhile, and the source go on with the device state. */
static int hear_knock(struct job *job, struct err *err)
{
    int got = admit_control(job, PEER_IS_BUSY, clock_now_ns() + KNOCK_PATIENCE_NS, err);
    return got < 0 && err->code == ERR_TIMEOUT ? 0 : got;
}

static int await_control(struct job *job, uint64_t deadline_ns, struct err *err)
{
    int got;
    while ((got = readmit_control(job, deadline_ns, err)) == 0)
        ;
    if (got > 0)
        return 0;
    return err->code == ERR_TIMEOUT && !err->side[0] ? story_resume_limit(job, err) : -1;
}

/* Over and over, because what has come back may break again. */
static int come_back(struct job *job, uint64_t deadline_ns, bool has_control, struct err *err)
{
    struct wire_choice choice;
    for (;;) {
        if (!has_control && await_control(job, deadline_ns, err) < 0)
            return -1;
        has_control = false;
        if (admit_rest(job, &choice, err) == 0) {
            if (choice.features == job->choice.features && choice.n_channels == job->choice.n_channels)
                return 0;
            return err_set(err, ERR_CORRUPT, "hello-changed", "the source does not offer what it did before");
        }
        if (cancel_requested(job->watch.stop) || err->side[0])
            return -1;
        log_error(err, "the source did not come back whole");
        story_drop_connections(job);
    }
}

static int admit_again(struct job *job, const struct engine_outage *outage, struct err *err)
{
    uint64_t deadline_ns = outage->since_ns + (job->spec.resume_limit_s + SOURCE_LAG_S) * NS_PER_S;
    int knocked = 0;
    if (outage->is_lost)
        log_error(outage->why, "connections lost, the copy waits for new ones");
    else if ((knocked = hear_knock(job, err)) <= 0)
        return knocked < 0 ? -1 : 1;
    /* From here on it is the source's word, if not ours, that the old connections are lost. */
    int ret = come_back(job, deadline_ns, knocked > 0, err);
    reception_clear(&job->reception);
    return ret;
}

static int reconnect(const struct engine_outage *outage, int ret_channels[], struct tls *ret_tls[],
                     void *user, struct err *err)
{
    struct job *job = user;
    const struct cancel *stop = job->watch.stop;
    job->watch.stop = outage->stop;
    int ret = admit_again(job, outage, err);
    job->watch.stop = stop;
    if (ret == 0)
        story_hand_over_channels(job, ret_channels, ret_tls);
    return ret;
}

static void before_verify(int ram_fd, void *user)
{
    const struct job *job = user;
    job->hooks->before_verify(ram_fd, job->hooks->user);
}

/* QEMU waits for its device state long before it comes; not a byte of it is written before the memory is
 * complete. The second answer to this request follows when it is loaded. */
static int prepare_load(struct job *job, struct err *err)
{
    struct control_answer answer;
    if (story_ask(job, CTL_LOAD, NULL, 0, &answer, err) < 0)
        return -1;
    return story_answer_fd(&answer, &job->state_stream, err);
}

int dest_receive(struct job *job, struct err *err)
{
    bool verified = false;
    struct engine_dest_config config = {.ram_fd = job->fds[CTL_FD_RAM],
                                        .ram_size = job->spec.ram_size,
                                        .n_channels = job->spec.n_channels,
                                        .cancel = control_cancel(job->control),
                                        .before_verify = job->hooks->before_verify ? before_verify : NULL,
                                        .reconnect =
                                            job->choice.features & WIRE_FEATURE_RESUME ? reconnect : NULL,
                                        .knock_fd = job->fds[CTL_FD_DOOR],
                                        .user = job};
    story_hand_over_channels(job, config.channels, config.tls);
    job->fds[CTL_FD_RAM] = -1;
    job->ready_ns = clock_now_ns();
    if (engine_dest_new(&config, &job->dest, err) < 0)
        return -1;
    control_set_engine(job->control, NULL, job->dest);
    int ret = engine_dest_receive(job->dest, &verified, err);
    story_wipe_secrets(job);
    if (ret < 0)
        return -1;
    if (job->spec.verify && !verified)
        return err_set(err, ERR_CORRUPT, "ram-not-verified",
                       "the source did not compare the memory as agreed");
    job->result.verified = verified;
    return 0;
}

static int open_disks(struct job *job, struct err *err)
{
    for (unsigned i = 0; i < job->spec.n_disks; i++)
        if (story_start_disk(job, i, err) < 0)
            return -1;
    return 0;
}

static int copy(struct job *job, struct err *err)
{
    if (open_disks(job, err) < 0 || prepare_load(job, err) < 0)
        return -1;
    return dest_receive(job, err);
}

static int load(struct job *job, struct err *err)
{
    struct device_state state;
    struct control_answer answer;
    job->switch_ns = clock_now_ns();
    story_mark(job, CTL_MARK_MEMORY);
    int ret = device_state_receive(&state, &job->peer, &job->watch, err);
    if (ret == 0)
        story_mark(job, CTL_MARK_STATE_RECEIVED);
    if (ret == 0)
        ret = device_state_write(&state, &job->watch, job->state_stream, err);
    (void)close(job->state_stream);
    job->state_stream = -1;
    device_state_clear(&state);
    if (ret < 0 || story_answer(job, &answer, err) < 0)
        return -1;
    story_mark(job, CTL_MARK_LOADED);
    return story_answer_body(&answer, NULL, 0, err);
}

static int offer_ready(struct job *job, struct err *err)
{
    struct control_answer answer;
    uint8_t ready[CTL_SECRET_SIZE];
    if (story_ask(job, CTL_READY, NULL, 0, &answer, err) < 0 ||
        story_answer_body(&answer, ready, sizeof ready, err) < 0)
        return -1;
    struct peer_payload payload = {.data = ready, .size = sizeof ready};
    int ret = peer_send(&job->peer, &job->watch, WIRE_READY, &payload, err);
    if (ret == 0)
        story_mark(job, CTL_MARK_READY_SENT);
    explicit_bzero(&answer, sizeof answer);
    explicit_bzero(ready, sizeof ready);
    return ret;
}

static int tell_verdict(struct job *job, const struct ctl_verdict *verdict, struct err *err)
{
    static const uint32_t types[] = {[CTL_VERDICT_RUNNING] = WIRE_RUNNING,
                                     [CTL_VERDICT_ABORTED] = WIRE_ABORTED,
                                     [CTL_VERDICT_RETURNED] = WIRE_RETURNED};
    if (verdict->kind < CTL_VERDICT_RUNNING || verdict->kind > CTL_VERDICT_RETURNED)
        return err_set(err, ERR_CORRUPT, "verdict-kind", "the agent's verdict has the kind %u",
                       verdict->kind);
    struct peer_payload payload = {.data = verdict->secret, .size = sizeof verdict->secret};
    if (peer_send(&job->peer, &job->watch, types[verdict->kind], &payload, err) < 0)
        /* The VM is where the agent says; the source learns it through the manager. */
        log_error(err, "the verdict did not reach the source");
    if (verdict->kind == CTL_VERDICT_RUNNING)
        return 0;
    return err_set(err, ERR_REFUSED, "destination-did-not-resume",
                   "the destination could not run the VM and gave it back");
}

static int take_over(struct job *job, struct err *err)
{
    struct control_answer answer;
    struct ctl_verdict verdict;
    uint8_t commit[CTL_SECRET_SIZE];
    if (peer_expect(&job->peer, &job->watch, WIRE_COMMIT, commit, sizeof commit, err) < 0)
        return -1;
    story_mark(job, CTL_MARK_COMMIT);
    story_commit(job);
    int ret = story_ask(job, CTL_CONT, commit, sizeof commit, &answer, err);
    explicit_bzero(commit, sizeof commit);
    if (ret < 0 || story_answer_body(&answer, &verdict, sizeof verdict, err) < 0)
        return -1;
    if (verdict.kind == CTL_VERDICT_RUNNING)
        story_mark(job, CTL_MARK_RUNS);
    ret = tell_verdict(job, &verdict, err);
    explicit_bzero(&answer, sizeof answer);
    explicit_bzero(&verdict, sizeof verdict);
    return ret;
}

static int switch_over(struct job *job, struct err *err)
{
    if (load(job, err) < 0 || offer_ready(job, err) < 0)
        return -1;
    return take_over(job, err);
}

int dest_story(struct job *job, struct err *err)
{
    static const struct story_phase phases[] = {{"copy", CTL_STEP_CONNECT, dest_meet},
                                                {"copy", CTL_STEP_COPY, copy},
                                                {"switch-over", CTL_STEP_SWITCH, switch_over}};
    return story_run(job, phases, sizeof phases / sizeof *phases, err);
}
