/* SPDX-License-Identifier: Apache-2.0 */
#include "job/job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "job/memory.h"
#include "job/pulse.h"
#include "job/sandbox.h"

_Static_assert(CTL_STUN_CLASSES == ENGINE_STUN_CLASSES && CTL_VCPUS_MAX == ENGINE_VCPUS_MAX, "one limit");

#define LINGER_NS (5 * NS_PER_S)
#define LINGER_FAILED_NS (500 * NS_PER_MS)

static int has_end(const char *text, size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

static int check_spec(const struct ctl_job_spec *spec, size_t n_fds, struct err *err)
{
    size_t expected_fds = spec->role == CTL_ROLE_SOURCE ? CTL_SOURCE_FDS : CTL_DESTINATION_FDS;
    const char *field = NULL;
    if (spec->version != CTL_VERSION)
        field = "version";
    else if (spec->role != CTL_ROLE_SOURCE && spec->role != CTL_ROLE_DESTINATION)
        field = "role";
    else if (n_fds != expected_fds)
        field = "descriptors";
    else if (!has_end(spec->move_id, sizeof spec->move_id) || !has_end(spec->vm_uuid, sizeof spec->vm_uuid))
        field = "move_id";
    else if (!spec->ram_size || spec->ram_size % ENGINE_PAGE_SIZE)
        field = "ram_size";
    else if (!spec->n_channels || spec->n_channels > CTL_CHANNELS_MAX)
        field = "n_channels";
    else if (spec->n_disks > CTL_DISKS_MAX)
        field = "n_disks";
    else if (spec->dirty > CTL_DIRTY_SYNC)
        field = "dirty";
    else if (spec->compression > CTL_COMPRESSION_ZSTD || spec->delta > CTL_DELTA_ON)
        field = "compression";
    else if (spec->n_vcpus > CTL_VCPUS_MAX || spec->qemu_pid > INT32_MAX)
        field = "n_vcpus";
    else if (spec->stun_limit_percent > 100)
        field = "stun_limit_percent";
    else if (!spec->resume_limit_s || spec->resume_limit_s > CTL_RESUME_LIMIT_MAX_S)
        field = "resume_limit_s";
    else if (spec->n_addresses > CTL_ADDRESSES_MAX || spec->n_source_addresses > CTL_ADDRESSES_MAX)
        field = "n_addresses";
    else if (spec->role == CTL_ROLE_SOURCE && (!spec->n_addresses || !spec->port || spec->port > UINT16_MAX))
        field = "addresses";
    for (unsigned i = 0; !field && i < CTL_ADDRESSES_MAX; i++)
        if (!has_end(spec->addresses[i], CTL_ADDRESS_MAX) ||
            !has_end(spec->source_addresses[i], CTL_ADDRESS_MAX))
            field = "addresses";
    if (!field)
        return 0;
    return err_set(err, ERR_BAD_REQUEST, "job-spec", "the job's spec has a wrong \"%s\"", field);
}

static int receive_spec(struct job *job, int control_fd, struct err *err)
{
    struct ctl_msg msg;
    size_t n_fds = CTL_SOURCE_FDS;
    if (ctl_recv(control_fd, &msg, job->fds, &n_fds, err) < 0)
        return -1;
    int ret = msg.type == CTL_JOB_SPEC ? ctl_body(&msg, &job->spec, sizeof job->spec, err)
                                       : err_set(err, ERR_CORRUPT, "control-type",
                                                 "the first message is %u, not the spec", msg.type);
    explicit_bzero(&msg, sizeof msg);
    if (ret < 0 || check_spec(&job->spec, n_fds, err) < 0)
        return -1;
    log_set_move(job->spec.move_id);
    return 0;
}

static int set_up(struct job *job, int control_fd, int beat_fd, struct err *err)
{
    if (beat_map(beat_fd, &job->beat, err) < 0 || receive_spec(job, control_fd, err) < 0)
        return -1;
    bool is_source = job->spec.role == CTL_ROLE_SOURCE;
    job->peer.is_source = !is_source;
    if (is_source) {
        job->qemu_pidfd = fcntl(job->fds[CTL_FD_QEMU_PID], F_DUPFD_CLOEXEC, 3);
        if (job->qemu_pidfd < 0)
            return err_sys(err, errno, "descriptor-unusable", "cannot use QEMU's pidfd");
    } else {
        int flags = fcntl(job->fds[CTL_FD_DOOR], F_GETFL);
        if (flags < 0 || fcntl(job->fds[CTL_FD_DOOR], F_SETFL, flags | O_NONBLOCK) < 0)
            return err_sys(err, errno, "descriptor-unusable", "cannot use the door's socket");
    }
    /* Before the sandbox: the first line makes the C library read the time zone. */
    log_info("%s of vm %s, epoch %llu", is_source ? "source" : "destination", job->spec.vm_uuid,
             (unsigned long long)job->spec.epoch);
    job->memory_fd = memory_open();
    const struct sandbox_needs needs = {.qemu_pid = (int)job->spec.qemu_pid, .connects = is_source};
    if (sandbox_enter(&needs, err) < 0 || pulse_start(&job->pulse, job->beat, err) < 0 ||
        control_new(control_fd, &job->control, err) < 0)
        return -1;
    control_set_relays(job->control, job->relays, job->spec.n_disks);
    job->watch = (struct watch){
        .stop = control_cancel(job->control), .qemu_pidfd = job->qemu_pidfd, .us = story_side(job)};
    return 0;
}

/* Single vCPUs are named only if nearly all of the time is known to be theirs. */
static void keep_stuns(struct job *job)
{
    struct engine_stuns stuns;
    uint64_t known_ns = 0;
    engine_source_stuns(job->source, &stuns);
    for (unsigned i = 0; i < CTL_STUN_CLASSES; i++)
        job->result.stuns[i] = (struct ctl_stun_class){engine_stun_up_to_us[i], stuns.counts[i]};
    for (unsigned i = 0; i < job->spec.n_vcpus; i++)
        known_ns += job->result.vcpu_stun_ns[i] = stuns.vcpu_ns[i];
    if (stuns.total_ns && known_ns >= stuns.total_ns - stuns.total_ns / 100)
        job->result.n_vcpus = job->spec.n_vcpus;
}

/* Lets the guest's threads go and keeps the last numbers. */
static void end_engine(struct job *job)
{
    if (job->source)
        keep_stuns(job);
    if (job->control)
        control_set_engine(job->control, NULL, NULL);
    engine_source_free(job->source);
    engine_dest_free(job->dest);
    job->source = NULL;
    job->dest = NULL;
    for (unsigned i = 0; i < CTL_DISKS_MAX; i++) {
        relay_end(&job->relays[i]);
        stream_close(&job->disks[i]);
    }
    story_guest_waits(job, false);
    for (unsigned i = 0; i < ENGINE_CHANNELS_MAX; i++)
        stream_close(&job->channels[i]);
    reception_clear(&job->reception);
    if (job->reception.n_strangers > 1)
        log_warn("refused %u connections with this move's ticket", job->reception.n_strangers);
}

/* Finds the true reason of a failure and tells the peer, unless it was the peer who told us. */
static void settle_failure(struct job *job, struct err *err)
{
    const char *peer_side = job->peer.is_source ? "source" : "destination";
    if (err->code == ERR_PEER_LOST && strcmp(err->id, "qemu-died") && !job->is_committed)
        peer_explain(&job->peer, err);
    err_place(err, "copy", job->peer.is_source ? "destination" : "source");
    if (strcmp(err->side, peer_side))
        peer_tell(&job->peer, err);
    log_error(err, "%s failed on the %s", err->phase, err->side);
}

static void report_result(struct job *job, int control_fd, const struct err *error)
{
    struct engine_snapshot last = {0};
    struct ctl_msg msg;
    struct err err;
    if (job->control)
        control_snapshot(job->control, &last);
    job->result.ok = !err_is_set(error);
    job->result.bytes_on_wire = last.bytes_on_wire + stream_bytes(&job->peer.stream);
    for (unsigned i = 0; i < CTL_DISKS_MAX; i++)
        job->result.bytes_on_wire += relay_bytes(&job->relays[i]);
    job->result.memory_bytes = memory_peak_bytes(job->memory_fd);
    job->result.error = *error;
    if (job->control) {
        control_step(job->control, CTL_STEP_END);
        control_report(job->control, CTL_RESULT, &job->result, sizeof job->result);
        return;
    }
    ctl_fill(&msg, CTL_RESULT, 0, &job->result, sizeof job->result);
    if (ctl_send(control_fd, &msg, NULL, 0, &err) < 0)
        log_error(&err, "result");
}

static void tear_down(struct job *job)
{
    peer_close(&job->peer);
    control_free(job->control);
    for (unsigned i = 0; i < CTL_SOURCE_FDS; i++)
        if (job->fds[i] >= 0)
            (void)close(job->fds[i]);
    if (job->qemu_pidfd >= 0)
        (void)close(job->qemu_pidfd);
    if (job->state_stream >= 0)
        (void)close(job->state_stream);
    if (job->memory_fd >= 0)
        (void)close(job->memory_fd);
    rate_clear(&job->rate);
    pulse_end(&job->pulse);
    beat_unmap(job->beat);
    explicit_bzero(&job->spec, sizeof job->spec);
}

static int (*story_of(const struct ctl_job_spec *spec))(struct job *job, struct err *err)
{
    if (spec->role == CTL_ROLE_SOURCE)
        return spec->is_forecast ? forecast_source_story : source_story;
    return spec->is_forecast ? forecast_dest_story : dest_story;
}

int job_run(int control_fd, int beat_fd, const struct job_hooks *hooks)
{
    struct job job = {.hooks = hooks,
                      .qemu_pidfd = -1,
                      .state_stream = -1,
                      .memory_fd = -1,
                      .peer = {.stream = {.fd = -1}},
                      .pulse = {.stop_fd = -1}};
    struct err err = {0};
    memset(job.fds, -1, sizeof job.fds);
    for (unsigned i = 0; i < ENGINE_CHANNELS_MAX; i++)
        job.channels[i].fd = -1;
    for (unsigned i = 0; i < CTL_DISKS_MAX; i++)
        job.disks[i].fd = -1;
    reception_init(&job.reception);
    int ret = set_up(&job, control_fd, beat_fd, &err);
    rate_init(&job.rate, job.spec.bandwidth_bytes_s);
    if (ret == 0)
        ret = story_of(&job.spec)(&job, &err);
    /* The guest is let go first, then the agent may resume it; the peer comes last. */
    end_engine(&job);
    if (ret < 0)
        settle_failure(&job, &err);
    else
        err_clear(&err);
    report_result(&job, control_fd, &err);
    if (job.control) {
        job.watch =
            (struct watch){.stop = control_lost(job.control), .qemu_pidfd = -1, .us = story_side(&job)};
        peer_linger(&job.peer, &job.watch, ret < 0 ? LINGER_FAILED_NS : LINGER_NS);
    }
    tear_down(&job);
    return ret < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void print_json_text(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ')
            (void)printf("\\u%04x", (unsigned)*text);
        else
            (void)printf(*text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
}

int job_probe(void)
{
    static const char *const names[] = {
        [ENGINE_DIRTY_AUTO] = "auto", [ENGINE_DIRTY_ASYNC] = "async", [ENGINE_DIRTY_SYNC] = "sync"};
    char detail[512] = "";
    int best = engine_probe(detail, sizeof detail);
    (void)printf("{\"dirty_source\":\"%s\",\"detail\":\"", best < 0 ? "none" : names[best]);
    print_json_text(detail);
    (void)printf("\"}\n");
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
