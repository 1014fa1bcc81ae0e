/* SPDX-License-Identifier: Apache-2.0 */
/* The source's story: connect, copy while the guest runs, stop it, hand over. */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "job/connect.h"
#include "job/device_state.h"
#include "job/introduce.h"
#include "job/story.h"
#include "wire/control.h"

#define RETRY_NS (500 * NS_PER_MS)
#define REFUSALS_MAX 5

static int introduce(struct job *job, uint16_t role, uint32_t channel, struct stream *stream, struct err *err)
{
    struct introduction us = {.spec = &job->spec, .role = role, .channel = channel};
    return introduce_as_source(&us, &job->watch, stream, err);
}

/* Spread over all pairs of addresses that answer. */
static int open_channels(struct job *job, struct connect_routes *routes, struct err *err)
{
    for (uint32_t i = 0; i < job->spec.n_channels; i++)
        if (connect_over(&job->spec, routes, i, &job->watch, &job->channels[i].fd, err) < 0 ||
            introduce(job, WIRE_ROLE_DATA, i, &job->channels[i], err) < 0)
            return err_prefix(err, "data channel %u", i);
    return 0;
}

static int connect_over_all(struct job *job, struct connect_routes *routes, struct wire_choice *ret_choice,
                            struct err *err)
{
    if (job->spec.n_channels < routes->n)
        job->spec.n_channels = routes->n; /* one for each, at least */
    struct peer_hello ours = {.move_id = job->spec.move_id,
                              .epoch = job->spec.epoch,
                              .ram_size = job->spec.ram_size,
                              .n_channels = job->spec.n_channels,
                              .needs_verify = job->spec.verify,
                              .is_forecast = job->spec.is_forecast};
    if (connect_over(&job->spec, routes, 0, &job->watch, &job->peer.stream.fd, err) < 0 ||
        introduce(job, WIRE_ROLE_CONTROL, 0, &job->peer.stream, err) < 0 ||
        peer_greet(&job->peer, &job->watch, &ours, ret_choice, err) < 0 ||
        open_channels(job, routes, err) < 0)
        return -1;
    log_info("connected over %u pairs of addresses, the first to %s", routes->n,
             job->spec.addresses[routes->all[0].destination]);
    return 0;
}

/* All connections, made from the first word on. */
static int connect_all(struct job *job, struct wire_choice *ret_choice, struct err *err)
{
    struct connect_routes routes;
    connect_find_routes(&job->spec, &routes);
    int result = connect_over_all(job, &routes, ret_choice, err);
    control_set_addresses_out(job->control, routes.addresses_out);
    return result;
}

/* After all others, so that the destination hears nobody else meanwhile. */
static int open_disks(struct job *job, struct err *err)
{
    struct connect_routes routes;
    connect_find_routes(&job->spec, &routes);
    for (uint32_t i = 0; i < job->spec.n_disks; i++)
        if (connect_over(&job->spec, &routes, i, &job->watch, &job->disks[i].fd, err) < 0 ||
            introduce(job, WIRE_ROLE_DISK, i, &job->disks[i], err) < 0)
            return err_prefix(err, "disk connection %u", i);
    return 0;
}

int source_meet(struct job *job, struct err *err)
{
    if (connect_all(job, &job->choice, err) < 0)
        return -1;
    story_note_cipher(job);
    if (open_disks(job, err) < 0)
        return -1;
    if (!(job->choice.features & WIRE_FEATURE_RESUME))
        story_wipe_secrets(job);
    return 0;
}

/* 0: connected; 1: not now; -1: never. */
static int try_again(struct job *job, unsigned *n_refused, struct err *err)
{
    struct wire_choice choice;
    story_drop_connections(job);
    if (connect_all(job, &choice, err) == 0) {
        if (choice.features == job->choice.features && choice.n_channels == job->choice.n_channels)
            return 0;
        return err_set(err, ERR_CORRUPT, "hello-changed",
                       "the destination does not offer what it did before");
    }
    if (cancel_requested(job->watch.stop) || !strcmp(err->id, "qemu-died"))
        return -1;
    /* The door has no job for the ticket any more, or there is no door. Asked again, because a network that
     * breaks can look so, and a door that died is started anew. */
    bool is_refused = err->code == ERR_UNAUTHORIZED || err->code == ERR_REFUSED;
    *n_refused = is_refused ? *n_refused + 1 : 0;
    return *n_refused == REFUSALS_MAX ? -1 : 1;
}

static const struct awaited awaited_attempt = {"attempt-awaited", "the next attempt"};

static int connect_again(struct job *job, const struct engine_outage *outage, struct err *err)
{
    unsigned n_refused = 0;
    struct err lost = *outage->why, pause;
    if (peer_has_reason(&job->peer, &job->watch, &lost)) {
        *err = lost;
        return -1;
    }
    log_error(&lost, "connections lost, the copy waits for new ones");
    control_report_now(job->control);
    for (;;) {
        int result = try_again(job, &n_refused, err);
        if (result < 0 && n_refused == REFUSALS_MAX)
            *err = lost;
        if (result <= 0)
            return result;
        uint64_t now_ns = clock_now_ns();
        if (now_ns >= job->watch.limit_ns)
            return story_resume_limit(job, err);
        if (watch_wait(&job->watch, -1, 0, now_ns + RETRY_NS, &awaited_attempt, &pause) < 0 &&
            pause.code != ERR_TIMEOUT) {
            *err = pause;
            return -1;
        }
    }
}

static int reconnect(const struct engine_outage *outage, int ret_channels[], struct tls *ret_tls[],
                     void *user, struct err *err)
{
    struct job *job = user;
    const struct watch before = job->watch;
    job->watch.stop = outage->stop;
    job->watch.limit_ns = outage->since_ns + job->spec.resume_limit_s * NS_PER_S;
    bool is_over =
        clock_now_ns() >= job->watch.limit_ns; /* they came back again and again, and carried nothing */
    if (is_over)
        *err = *outage->why;
    int ret = is_over ? story_resume_limit(job, err) : connect_again(job, outage, err);
    job->watch = before;
    if (ret < 0)
        return -1;
    story_hand_over_channels(job, ret_channels, ret_tls);
    log_info("the copy goes on after %llu ms",
             (unsigned long long)((clock_now_ns() - outage->since_ns) / NS_PER_MS));
    return 0;
}

/* While the copy goes on nothing is read from the control connection, and an outage that the channels outlive
 * can end it: it is idle, so it is tested sooner. */
static int check_control(void *user, struct err *err)
{
    const struct job *job = user;
    struct pollfd control = {.fd = job->peer.stream.fd};
    int failure = 0;
    socklen_t size = sizeof failure;
    if (poll(&control, 1, 0) <= 0 || !(control.revents & POLLERR))
        return 0;
    (void)getsockopt(control.fd, SOL_SOCKET, SO_ERROR, &failure, &size);
    (void)err_sys(err, failure, "connection-lost", "the control connection broke");
    err->code = ERR_PEER_LOST;
    return -1;
}

static void report_round(const struct engine_round *round, void *user)
{
    struct job *job = user;
    struct ctl_round report = {.n = round->n,
                               .pages = round->pages,
                               .bytes = round->bytes,
                               .duration_ns = round->duration_ns,
                               .dirty_pages = round->dirty_pages,
                               .stun_ns = round->stun_ns,
                               .throttle_bytes_s = round->throttle_bytes_s};
    control_report(job->control, CTL_ROUND, &report, sizeof report);
}

/* What was asked for, as far as the destination takes it. */
static enum engine_compression compression(const struct job *job)
{
    static const enum engine_compression choices[] = {[CTL_COMPRESSION_AUTO] = ENGINE_COMPRESSION_AUTO,
                                                      [CTL_COMPRESSION_OFF] = ENGINE_COMPRESSION_OFF,
                                                      [CTL_COMPRESSION_LZ4] = ENGINE_COMPRESSION_LZ4,
                                                      [CTL_COMPRESSION_ZSTD] = ENGINE_COMPRESSION_ZSTD};
    return job->choice.features & WIRE_FEATURE_PACKED ? choices[job->spec.compression]
                                                      : ENGINE_COMPRESSION_OFF;
}

static enum engine_delta delta(const struct job *job)
{
    static const enum engine_delta choices[] = {[CTL_DELTA_AUTO] = ENGINE_DELTA_AUTO,
                                                [CTL_DELTA_OFF] = ENGINE_DELTA_OFF,
                                                [CTL_DELTA_ON] = ENGINE_DELTA_ON};
    return job->choice.features & WIRE_FEATURE_DELTA ? choices[job->spec.delta] : ENGINE_DELTA_OFF;
}

int source_start_engine(struct job *job, struct err *err)
{
    struct engine_source_config config = {.ram_fd = job->fds[CTL_FD_RAM],
                                          .ram_size = job->spec.ram_size,
                                          .ram_address = job->spec.ram_address,
                                          .uffd_async = job->fds[CTL_FD_UFFD_ASYNC],
                                          .uffd_sync = job->fds[CTL_FD_UFFD_SYNC],
                                          .pagemap_fd = job->fds[CTL_FD_PAGEMAP],
                                          .qemu_pidfd = job->fds[CTL_FD_QEMU_PID],
                                          .qemu_pid = (int)job->spec.qemu_pid,
                                          .n_vcpus = job->spec.n_vcpus,
                                          .stun_limit_percent = job->spec.stun_limit_percent,
                                          .is_kvm = job->spec.is_kvm,
                                          .dirty = (enum engine_dirty)job->spec.dirty,
                                          .n_channels = job->spec.n_channels,
                                          .downtime_goal_ns = job->spec.max_downtime_ms * NS_PER_MS,
                                          .fixed_downtime_ns = job->spec.fixed_downtime_ns,
                                          .rate = &job->rate,
                                          .compression = compression(job),
                                          .delta = delta(job),
                                          .cancel = control_cancel(job->control),
                                          .fault_beat = &job->beat->faults,
                                          .round_done = report_round,
                                          .reconnect =
                                              job->choice.features & WIRE_FEATURE_RESUME ? reconnect : NULL,
                                          .check_own = check_control,
                                          .user = job};
    story_hand_over_channels(job, config.channels, config.tls);
    for (unsigned i = 0; i < job->spec.n_vcpus; i++)
        config.vcpu_tids[i] = job->spec.vcpu_tids[i];
    memset(job->fds, -1, sizeof job->fds);
    if (engine_source_new(&config, &job->source, err) < 0)
        return -1;
    control_set_engine(job->control, job->source, NULL);
    job->result.dirty = (uint32_t)engine_source_dirty(job->source);
    return 0;
}

/* Before the memory, which changes faster. What the guest writes meanwhile follows until it stands. */
static int copy_disks(struct job *job, struct err *err)
{
    struct control_answer answer;
    if (!job->spec.n_disks)
        return 0;
    for (unsigned i = 0; i < job->spec.n_disks; i++)
        if (story_start_disk(job, i, err) < 0 || story_answer(job, &answer, err) < 0 ||
            story_answer_body(&answer, NULL, 0, err) < 0)
            return -1;
    if (story_ask(job, CTL_DISKS, NULL, 0, &answer, err) < 0)
        return -1;
    return story_answer_body(&answer, NULL, 0, err);
}

static int copy(struct job *job, struct err *err)
{
    job->ready_ns = clock_now_ns();
    if (copy_disks(job, err) < 0)
        return -1;
    if (source_start_engine(job, err) < 0)
        return -1;
    int ret = engine_source_copy(job->source, err);
    story_wipe_secrets(job);
    return ret;
}

static int save_device_state(struct job *job, struct device_state *ret_state, struct err *err)
{
    struct control_answer answer;
    int stream;
    if (story_ask(job, CTL_SAVE, NULL, 0, &answer, err) < 0 || story_answer_fd(&answer, &stream, err) < 0)
        return -1;
    int ret = device_state_read(ret_state, &job->watch, stream, err);
    (void)close(stream);
    if (ret < 0 || story_answer(job, &answer, err) < 0)
        return -1;
    return story_answer_body(&answer, NULL, 0, err);
}

static int await_placed(struct job *job, struct err *err)
{
    if (engine_source_await_placed(job->source, err) < 0)
        return -1;
    story_mark(job, CTL_MARK_PLACED);
    job->result.verified = job->spec.verify;
    return 0;
}

/* The guest stands. While QEMU saves its devices, the rest of its memory goes. */
static int send_rest(struct job *job, struct err *err)
{
    if (engine_source_find_rest(job->source, err) < 0)
        return -1;
    story_mark(job, CTL_MARK_SCANNED);
    if (engine_source_send_rest(job->source, job->spec.verify, err) < 0)
        return -1;
    story_mark(job, CTL_MARK_SENT);
    /* Without checksums READY says it as well: the destination loads nothing before its memory is complete.
     */
    return job->spec.verify ? await_placed(job, err) : 0;
}

static int pass_device_state(struct job *job, struct device_state *state, struct err *err)
{
    if (save_device_state(job, state, err) < 0)
        return -1;
    story_mark(job, CTL_MARK_SAVED);
    if (engine_source_check_quiet(job->source, err) < 0)
        return -1;
    story_mark(job, CTL_MARK_QUIET);
    if (device_state_send(state, &job->peer, &job->watch, err) < 0)
        return -1;
    story_mark(job, CTL_MARK_STATE_SENT);
    return job->spec.verify ? 0 : await_placed(job, err);
}

/* Everything from the stop to READY: until here the guest may resume on this side at any time. */
static int stop_and_send_rest(struct job *job, uint8_t ret_ready[CTL_SECRET_SIZE], struct err *err)
{
    struct control_answer answer;
    struct device_state state = {0};
    job->switch_ns = clock_now_ns();
    if (story_ask(job, CTL_STOP, NULL, 0, &answer, err) < 0 || story_answer_body(&answer, NULL, 0, err) < 0)
        return -1;
    story_mark(job, CTL_MARK_STOPPED);
    if (send_rest(job, err) < 0)
        return -1;
    int ret = pass_device_state(job, &state, err);
    device_state_clear(&state);
    if (ret < 0 || peer_expect(&job->peer, &job->watch, WIRE_READY, ret_ready, CTL_SECRET_SIZE, err) < 0)
        return -1;
    story_mark(job, CTL_MARK_READY);
    return 0;
}

static int in_doubt(struct err *err)
{
    struct err why = *err;
    (void)err_set(err, ERR_IN_DOUBT, "verdict-unknown",
                  "ownership was given to the destination and its verdict did not arrive");
    (void)err_cause(err, "%s", why.message);
    return err_fix(err, "wait while both agents can reach the manager: it asks the destination");
}

/* The agent decides whether ownership is given: its answer, or its silence, is final. */
static int give(struct job *job, uint8_t ready[CTL_SECRET_SIZE], struct err *err)
{
    struct control_answer answer;
    uint8_t commit[CTL_SECRET_SIZE];
    control_set_limit(job->control, 0, NULL);
    if (cancel_check(control_cancel(job->control), err) < 0)
        return -1;
    story_commit(job);
    int ret = story_ask(job, CTL_GIVE, ready, CTL_SECRET_SIZE, &answer, err);
    if (ret == 0 && story_answer_body(&answer, commit, sizeof commit, err) < 0)
        ret = in_doubt(err);
    explicit_bzero(&answer, sizeof answer);
    if (ret < 0)
        return -1;
    story_mark(job, CTL_MARK_GIVEN);
    struct peer_payload payload = {.data = commit, .size = sizeof commit};
    ret = peer_send(&job->peer, &job->watch, WIRE_COMMIT, &payload, err);
    explicit_bzero(commit, sizeof commit);
    return ret < 0 ? in_doubt(err) : 0;
}

static int await_verdict(struct job *job, struct ctl_verdict *ret_verdict, struct err *err)
{
    struct wire_record record;
    if (peer_next(&job->peer, &job->watch, WATCH_FOREVER, &record, err) < 0)
        return in_doubt(err);
    if (record.type == WIRE_RUNNING)
        ret_verdict->kind = CTL_VERDICT_RUNNING;
    else if (record.type == WIRE_ABORTED)
        ret_verdict->kind = CTL_VERDICT_ABORTED;
    else if (record.type == WIRE_RETURNED)
        ret_verdict->kind = CTL_VERDICT_RETURNED;
    else {
        (void)err_set(err, ERR_CORRUPT, "record-out-of-turn", "a %s record came instead of the verdict",
                      wire_type_name(record.type));
        return in_doubt(err);
    }
    if (peer_read(&job->peer, &job->watch, ret_verdict->secret, CTL_SECRET_SIZE, err) < 0)
        return in_doubt(err);
    return 0;
}

/* Tells the agent the verdict; an error if it says that the guest stays here. */
static int conclude(struct job *job, const struct ctl_verdict *verdict, struct err *err)
{
    struct control_answer answer;
    uint64_t now_ns = clock_now_ns();
    if (verdict->kind == CTL_VERDICT_RUNNING) {
        story_mark(job, CTL_MARK_RUNNING);
        job->result.downtime_ns = job->result.marks_ns[CTL_MARK_RUNNING];
        job->result.copy_ns = now_ns - job->ready_ns;
    }
    if (story_ask(job, CTL_QUIT, verdict, sizeof *verdict, &answer, err) < 0 ||
        story_answer_body(&answer, NULL, 0, err) < 0)
        return -1;
    if (verdict->kind == CTL_VERDICT_RUNNING)
        return 0;
    (void)err_set(err, ERR_REFUSED, "destination-did-not-resume",
                  "the destination could not run the VM and gave it back");
    err_place(err, "switch-over", "destination");
    return -1;
}

static int switch_over(struct job *job, struct err *err)
{
    struct err late;
    uint8_t ready[CTL_SECRET_SIZE];
    struct ctl_verdict verdict;
    (void)err_set(&late, ERR_TIMEOUT, "switchover-limit",
                  "the source waited in vain for the switch-over to end within its limit of %u s",
                  job->spec.switchover_limit_s);
    (void)err_arg(&late, "limit_s", "%u", job->spec.switchover_limit_s);
    (void)err_fix(&late, "raise the switch-over limit, or find out what the destination waited for");
    control_set_limit(job->control, clock_now_ns() + job->spec.switchover_limit_s * NS_PER_S, &late);
    int ret = stop_and_send_rest(job, ready, err);
    if (ret == 0)
        ret = give(job, ready, err);
    explicit_bzero(ready, sizeof ready);
    if (ret == 0)
        ret = await_verdict(job, &verdict, err);
    if (ret == 0)
        ret = conclude(job, &verdict, err);
    explicit_bzero(&verdict, sizeof verdict);
    return ret;
}

int source_story(struct job *job, struct err *err)
{
    static const struct story_phase phases[] = {{"copy", CTL_STEP_CONNECT, source_meet},
                                                {"copy", CTL_STEP_COPY, copy},
                                                {"switch-over", CTL_STEP_SWITCH, switch_over}};
    return story_run(job, phases, sizeof phases / sizeof *phases, err);
}
