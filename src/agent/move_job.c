/* SPDX-License-Identifier: Apache-2.0 */
/* What a job is told and what it reports, alike for both sides. */
#include <errno.h>
#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/disk_flush.h"
#include "agent/door.h"
#include "agent/move.h"
#include "agent/premap.h"
#include "agent/switch_cost.h"
#include "agent/vm_process.h"
#include "base/cleanup.h"
#include "base/clock.h"

_Static_assert(MOVE_RESUME_LIMIT_MAX_S == CTL_RESUME_LIMIT_MAX_S, "one limit");

/* Those that were used. */
static void take_codecs(struct move_status *status, const struct ctl_progress *progress)
{
    static const char *const names[CTL_CODECS] = {"raw", "lz4", "zstd", "delta"};
    status->n_codecs = 0;
    for (unsigned i = 0; i < CTL_CODECS; i++) {
        const struct ctl_codec *used = &progress->codecs[i];
        if (!used->pages)
            continue;
        struct move_codec *codec = &status->codecs[status->n_codecs++];
        *codec = (struct move_codec){
            .pages = used->pages, .raw_bytes = used->raw_bytes, .wire_bytes = used->wire_bytes};
        g_strlcpy(codec->name, names[i], sizeof codec->name);
    }
}

#define PROBE_EVERY_US G_USEC_PER_SEC
/* A whole device state fits in, so that QEMU need not wait until the job reads. */
#define STREAM_ROOM (4 << 20)

/* A rate that only follows that of the link is no news. */
static void note_throttle(struct move *move, uint64_t bytes_s)
{
    uint64_t *noted = &move->noted_throttle;
    move->status.throttle_bytes_s = bytes_s;
    if (bytes_s ? bytes_s >= *noted / 4 * 3 && *noted && bytes_s <= *noted / 3 * 4 : !*noted)
        return;
    if (bytes_s)
        move_note(move, "guest throttled", "to %.1f MB/s of new dirty pages", (double)bytes_s / 1e6);
    else if (!move->status.switch_start_ms)
        move_note(move, "guest not throttled", NULL);
    *noted = bytes_s;
}

/* A job's word is taken only if it is one that is known. */
static void note_cipher(struct move_status *status, const struct ctl_progress *progress)
{
    static const char *const known[] = {"AES-128-GCM", "CHACHA20-POLY1305"};
    for (size_t i = 0; i < G_N_ELEMENTS(known); i++)
        if (!strncmp(progress->cipher, known[i], sizeof progress->cipher)) {
            g_strlcpy(status->encryption, "tls13-psk", sizeof status->encryption);
            g_strlcpy(status->encryption_cipher, known[i], sizeof status->encryption_cipher);
        }
}

/* On a network that comes and goes they would push everything else out of the timeline. */
#define OUTAGE_NOTES_MAX 16

static bool may_note_outage(struct move *move)
{
    return move->n_outage_notes++ < OUTAGE_NOTES_MAX;
}

static void note_addresses(struct move *move, uint32_t addresses_out)
{
    for (unsigned i = 0; i < move->spec.n_addresses; i++)
        if ((addresses_out & ~move->addresses_out) >> i & 1 && may_note_outage(move))
            move_note(move, "address left out", "no connection to %s", move->spec.addresses[i]);
    move->addresses_out = addresses_out;
}

/* In the order in which it happened: an outage may end and the next begin between two reports. */
static void note_outages(struct move *move, const struct ctl_progress *progress)
{
    struct move_status *status = &move->status;
    bool has_resumed = progress->resumes > status->resumes, is_down = progress->is_down != 0;
    int64_t now_ms = clock_wall_ms();
    note_addresses(move, progress->addresses_out);
    if (has_resumed && may_note_outage(move))
        move_note(move, "copy resumed", status->is_down ? "after %.1f s" : NULL,
                  (double)(now_ms - move->down_ms) / 1e3);
    if (is_down && (has_resumed || !status->is_down)) {
        move->down_ms = now_ms;
        if (may_note_outage(move))
            move_note(move, "connections lost", NULL);
    }
    status->is_down = is_down;
    status->resumes = progress->resumes;
    status->bytes_resent = progress->bytes_resent;
}

static void count_strangers(struct move *move, uint32_t n)
{
    if (n > move->n_strangers && move->agent->door)
        door_add_strangers(move->agent->door, n - move->n_strangers);
    move->n_strangers = MAX(n, move->n_strangers);
}

static void probed(const struct err *err, void *user)
{
    struct move *move = user;
    if (err_is_set(err)) {
        struct err why = *err;
        (void)err_prefix(&why, "who owns the VM cannot be written down, so the guest is not stopped");
        (void)err_fix(&why, "see that the file system of %s on host '%s' can be written",
                      move->agent->config.state_dir, move->agent->config.name);
        handover_doubt(move, &why);
    }
    move_unref(move);
}

/* A journal that cannot be written is found while the guest runs: once GIVEN was tried here, or is durable at
 * the source and OWNED was tried here, the guest would stand until the disk is well again. */
static void probe_journal(struct move *move)
{
    int64_t now_us = g_get_monotonic_time();
    bool is_copying = move->status.is_source
                          ? move->entry.step == JOURNAL_SENDING && !move->is_stopped
                          : move->entry.step == JOURNAL_INCOMING && move->status.copy_start_ms &&
                                !move->status.switch_start_ms;
    if (!is_copying || now_us < move->probe_us)
        return;
    move->probe_us = now_us + PROBE_EVERY_US;
    journal_probe(move->journal, probed, move_ref(move));
}

void move_job_progress(const struct ctl_progress *progress, void *user)
{
    struct move *move = user;
    struct move_status *status = &move->status;
    status->bytes_on_wire = progress->bytes_on_wire;
    status->bytes_left = progress->bytes_left;
    status->rate_bytes_s = progress->rate_bytes_s;
    status->dirty_bytes_s = progress->dirty_bytes_s;
    status->pages_zero = progress->pages_zero;
    status->stun_ns = progress->stun_ns;
    take_codecs(status, progress);
    note_throttle(move, progress->throttle_bytes_s);
    if (progress->step >= CTL_STEP_COPY && !status->copy_start_ms) {
        status->copy_start_ms = clock_wall_ms();
        note_cipher(status, progress);
        move_note(move, status->is_source ? "connected" : "source connected", "%s%s",
                  *status->encryption_cipher ? "TLS 1.3, " : "not encrypted", status->encryption_cipher);
        move_set_state(move, MOVE_COPYING);
    }
    if (progress->step == CTL_STEP_SWITCH && !status->is_source && !status->switch_start_ms) {
        status->switch_start_ms = clock_wall_ms();
        move_note(move, "memory complete", NULL);
        move_set_state(move, MOVE_SWITCHING);
        premap_stop(move->premap);
        move_take_precedence(move);
    }
    note_outages(move, progress);
    count_strangers(move, progress->strangers);
    source_progress(move);
    probe_journal(move);
    move_changed(move);
}

void move_job_round(const struct ctl_round *round, void *user)
{
    struct move *move = user;
    struct move_status *status = &move->status;
    unsigned at = MIN(status->n_rounds, MOVE_ROUNDS_MAX - 1);
    status->rounds[at] = (struct move_round){.n = round->n,
                                             .pages = round->pages,
                                             .bytes = round->bytes,
                                             .duration_ns = round->duration_ns,
                                             .dirty_pages = round->dirty_pages,
                                             .stun_ns = round->stun_ns,
                                             .throttle_bytes_s = round->throttle_bytes_s};
    status->n_rounds = at + 1;
    source_progress(move);
    disk_flush_begin(move->disk_flush);
    move_changed(move);
}

/* Only what was reached, in the order in which it was. */
static void take_marks(struct move_status *status, const uint64_t marks_ns[CTL_MARKS])
{
    static const char *const names[CTL_MARKS] = {
        [CTL_MARK_STOPPED] = "guest stopped",        [CTL_MARK_SCANNED] = "last pages found",
        [CTL_MARK_SENT] = "last pages sent",         [CTL_MARK_SAVED] = "device state saved",
        [CTL_MARK_PLACED] = "memory acknowledged",   [CTL_MARK_QUIET] = "nothing written since",
        [CTL_MARK_STATE_SENT] = "device state sent", [CTL_MARK_READY] = "READY received",
        [CTL_MARK_GIVEN] = "GIVEN durable",          [CTL_MARK_RUNNING] = "RUNNING received",
        [CTL_MARK_MEMORY] = "memory complete",       [CTL_MARK_STATE_RECEIVED] = "device state received",
        [CTL_MARK_LOADED] = "device state loaded",   [CTL_MARK_READY_SENT] = "READY sent",
        [CTL_MARK_COMMIT] = "COMMIT received",       [CTL_MARK_RUNS] = "guest runs",
    };
    for (unsigned i = 0; i < CTL_MARKS; i++) {
        unsigned at = status->n_switch_over;
        if (!marks_ns[i])
            continue;
        for (; at && status->switch_over[at - 1].us > marks_ns[i] / 1000; at--)
            status->switch_over[at] = status->switch_over[at - 1];
        status->switch_over[at].us = marks_ns[i] / 1000;
        g_strlcpy(status->switch_over[at].step, names[i], sizeof status->switch_over[at].step);
        status->n_switch_over++;
    }
}

static void take_stuns(struct move_status *status, const struct ctl_result *result)
{
    for (unsigned i = 0; i < CTL_STUN_CLASSES; i++)
        status->stuns[i] = (struct move_stuns){result->stuns[i].up_to_us, result->stuns[i].count};
    status->n_stuns = CTL_STUN_CLASSES;
    for (unsigned i = 0; i < result->n_vcpus; i++)
        status->vcpu_stuns[i].stun_ns = result->vcpu_stun_ns[i];
    status->n_vcpu_stuns = result->n_vcpus;
}

void move_job_result(const struct ctl_result *result, void *user)
{
    static const char *const dirty[] = {
        [CTL_DIRTY_AUTO] = "", [CTL_DIRTY_ASYNC] = "async", [CTL_DIRTY_SYNC] = "sync"};
    struct move *move = user;
    struct move_status *status = &move->status;
    status->bytes_on_wire = result->bytes_on_wire;
    status->job_memory_bytes = result->memory_bytes;
    status->verified = result->verified != 0;
    status->is_down = false;
    take_marks(status, result->marks_ns);
    take_stuns(status, result);
    g_strlcpy(status->dirty_source, dirty[result->dirty], sizeof status->dirty_source);
    if (result->ok) {
        status->copy_ns = result->copy_ns;
        status->downtime_ns = result->downtime_ns;
        if (status->is_source)
            switch_cost_learn(move->agent, &move->spec, result);
        status->bytes_left = 0;
    }
    move_changed(move);
    if (move->is_settled || !err_is_set(&result->error))
        return;
    struct err why = result->error;
    if (move->status.is_source && move->vm && !strcmp(why.id, "qemu-died"))
        vm_explain_loss(move->vm, &why); /* this side knows more of its QEMU */
    else if (move->status.is_source && !strcmp(why.id, "disk-copy-stalled"))
        move_explain_stall(move, &why);
    else if (!move->status.is_source && move->vm && !strcmp(why.id, "disk-copy-failed"))
        vm_explain_loss(move->vm, &why); /* it may be its QEMU that the source's has lost */
    handover_doubt(move, &why);
}

void move_job_ended(const struct err *why, void *user)
{
    struct move *move = user;
    move_ref(move);
    job_control_free(g_steal_pointer(&move->job));
    if (move->is_settled)
        move_close(move);
    else
        handover_doubt(move, why);
    move_unref(move);
}

void move_refuse_job(struct move *move, enum err_code code, const char *id, const char *what)
{
    struct err err;
    (void)err_set(&err, code, id, "%s", what);
    (void)err_arg(&err, "what", "%s", what);
    move_job_failed(move, &err);
}

void move_job_failed(struct move *move, const struct err *err)
{
    struct err why = *err; /* *err may belong to what ends here */
    err_place(&why, move_phase_now(move), move_side(move));
    job_control_fail(move->job, &why);
    handover_doubt(move, &why);
}

int move_new_stream(struct move *move, struct err *err)
{
    int ends[2];
    int room = STREAM_ROOM;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return err_sys(err, errno, "socket-failed", "cannot make a socket for the device state");
    /* Without it the writer waits for the reader now and then, and that is all. */
    for (unsigned i = 0; i < 2; i++)
        (void)setsockopt(ends[i], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    move->stream = ends[0];
    return ends[1];
}

void move_hand_stream(struct move *move)
{
    move->is_stream_open = true;
    job_control_answer(move->job, NULL, 0, move->stream, true);
}

void move_close_stream(struct move *move)
{
    if (move->stream >= 0)
        (void)close(move->stream);
    move->stream = -1;
}

void move_pass_secret(struct move *move, const struct handover_answer *answer, const struct err *err,
                      void *user)
{
    (void)user;
    if (err_is_set(err))
        move_job_failed(move, err);
    else
        job_control_answer(move->job, answer->secret, sizeof answer->secret, -1, false);
}

void moves_fill_job_spec(const struct move_spec *spec, bool as_source, uint64_t ram_size,
                         struct ctl_job_spec *ret_spec)
{
    memset(ret_spec, 0, sizeof *ret_spec);
    ret_spec->version = CTL_VERSION;
    ret_spec->role = as_source ? CTL_ROLE_SOURCE : CTL_ROLE_DESTINATION;
    g_strlcpy(ret_spec->move_id, spec->id, sizeof ret_spec->move_id);
    g_strlcpy(ret_spec->vm_uuid, spec->vm.uuid, sizeof ret_spec->vm_uuid);
    ret_spec->epoch = spec->epoch;
    memcpy(ret_spec->ticket, spec->ticket, sizeof ret_spec->ticket);
    memcpy(ret_spec->key, spec->key, sizeof ret_spec->key);
    ret_spec->encrypt = spec->encrypt;
    ret_spec->ram_size = ram_size;
    ret_spec->n_channels = spec->n_channels;
    ret_spec->is_kvm = !strcmp(spec->accel, "kvm");
    ret_spec->verify = spec->options.verify;
    ret_spec->stun_limit_percent = spec->options.stun_limit_percent;
    ret_spec->max_downtime_ms = spec->options.max_downtime_ms;
    ret_spec->switchover_limit_s = spec->options.switchover_limit_s;
    ret_spec->resume_limit_s =
        spec->options.resume_limit_s ? spec->options.resume_limit_s : MOVE_RESUME_LIMIT_S;
    ret_spec->bandwidth_bytes_s = (uint64_t)spec->options.bandwidth_mb_s * 1000000u;
    ret_spec->is_urgent = move_is_urgent(&spec->options);
    ret_spec->dirty = !strcmp(spec->options.dirty_source, "async")  ? CTL_DIRTY_ASYNC
                      : !strcmp(spec->options.dirty_source, "sync") ? CTL_DIRTY_SYNC
                                                                    : CTL_DIRTY_AUTO;
    ret_spec->compression = !strcmp(spec->options.compression, "off")    ? CTL_COMPRESSION_OFF
                            : !strcmp(spec->options.compression, "lz4")  ? CTL_COMPRESSION_LZ4
                            : !strcmp(spec->options.compression, "zstd") ? CTL_COMPRESSION_ZSTD
                                                                         : CTL_COMPRESSION_AUTO;
    ret_spec->delta = !strcmp(spec->options.delta, "off")  ? CTL_DELTA_OFF
                      : !strcmp(spec->options.delta, "on") ? CTL_DELTA_ON
                                                           : CTL_DELTA_AUTO;
    ret_spec->port = spec->port;
    ret_spec->n_addresses = MIN(spec->n_addresses, CTL_ADDRESSES_MAX);
    for (unsigned i = 0; i < ret_spec->n_addresses; i++)
        g_strlcpy(ret_spec->addresses[i], spec->addresses[i], CTL_ADDRESS_MAX);
    ret_spec->n_source_addresses = MIN(spec->n_source_addresses, CTL_ADDRESSES_MAX);
    for (unsigned i = 0; i < ret_spec->n_source_addresses; i++)
        g_strlcpy(ret_spec->source_addresses[i], spec->source_addresses[i], CTL_ADDRESS_MAX);
}

void moves_fill_job_trace(const struct vm *vm, const struct vm_trace *trace, struct ctl_job_spec *spec)
{
    spec->ram_address = trace->ram_address;
    spec->qemu_pid = (uint32_t)vm->status.pid;
    spec->n_vcpus = trace->n_vcpus;
    for (unsigned i = 0; i < trace->n_vcpus; i++)
        spec->vcpu_tids[i] = trace->vcpu_tids[i];
}
