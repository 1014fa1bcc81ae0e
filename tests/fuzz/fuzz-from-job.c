/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a job says to its agent: a job reads hostile bytes, so it may say anything. The first byte chooses its
 * side; messages follow (ctl_message.h), each heard before the next is sent. Two bits of a message's flags
 * say how the agent answers a request in it: not at all, with a body, with a descriptor and more to come, or
 * with a failure.
 */
#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/job_control.h"
#include "ctl_message.h"
#include "model/move.h"

struct agent_side {
    struct job_control *job;
    unsigned role;
    unsigned flags; /* of the message that is heard */
    unsigned n_results;
    bool has_ended;
};

static bool is_number(uint64_t number)
{
    return number <= INT64_MAX;
}

static void must_be_printable(const char *text)
{
    for (; *text; text++)
        must((unsigned char)*text >= ' ' && (unsigned char)*text < 0x7f);
}

static void must_be_clean(const struct err *err)
{
    enum move_phase phase;
    must_be_sound(err);
    must(err->id[0] && err->message[0]);
    must_be_printable(err->id);
    must_be_printable(err->message);
    must_be_printable(err->cause);
    must_be_printable(err->fix);
    for (unsigned i = 0; i < err->n_args; i++) {
        must_be_printable(err->args[i].name);
        must_be_printable(err->args[i].value);
    }
    must(!err->phase[0] || move_phase_from_name(err->phase, &phase) == 0);
    must(!err->side[0] || !strcmp(err->side, "source") || !strcmp(err->side, "destination"));
}

static void on_request(enum ctl_type type, const uint8_t *body, void *user)
{
    struct agent_side *agent = user;
    const uint8_t secret[CTL_SECRET_SIZE] = {1};
    struct err why;
    bool is_destination = type == CTL_LOAD || type == CTL_READY || type == CTL_CONT;
    must(!agent->has_ended && !agent->n_results && body);
    must(type == CTL_DISK || is_destination == (agent->role == CTL_ROLE_DESTINATION));
    must(is_destination || type == CTL_DISK || type == CTL_DISKS || type == CTL_STOP || type == CTL_SAVE ||
         type == CTL_GIVE || type == CTL_QUIT);
    switch ((agent->flags & CTL_MESSAGE_ANSWER) / 8) {
    case 0:
        return;
    case 1:
        job_control_answer(agent->job, secret, sizeof secret, -1, false);
        return;
    case 2:
        job_control_answer(agent->job, NULL, 0, STDERR_FILENO, true);
        return;
    default:
        (void)err_set(&why, ERR_REFUSED, "no", "no");
        job_control_fail(agent->job, &why);
    }
}

static void on_progress(const struct ctl_progress *progress, void *user)
{
    must(!((struct agent_side *)user)->has_ended);
    must(progress->step <= CTL_STEP_END);
    must(is_number(progress->bytes_on_wire) && is_number(progress->bytes_left) &&
         is_number(progress->rate_bytes_s) && is_number(progress->dirty_bytes_s));
    must(is_number(progress->pages_zero) && is_number(progress->stun_ns) &&
         is_number(progress->throttle_bytes_s) && is_number(progress->bytes_resent));
    for (unsigned i = 0; i < CTL_CODECS; i++)
        must(is_number(progress->codecs[i].pages) && is_number(progress->codecs[i].raw_bytes) &&
             is_number(progress->codecs[i].wire_bytes));
}

static void on_round(const struct ctl_round *round, void *user)
{
    must(!((struct agent_side *)user)->has_ended);
    must(is_number(round->pages) && is_number(round->bytes) && is_number(round->duration_ns) &&
         is_number(round->dirty_pages) && is_number(round->stun_ns) && is_number(round->throttle_bytes_s));
}

static void on_result(const struct ctl_result *result, void *user)
{
    struct agent_side *agent = user;
    must(!agent->has_ended && !agent->n_results++);
    must(result->dirty <= CTL_DIRTY_SYNC && result->n_vcpus <= CTL_VCPUS_MAX);
    must(is_number(result->copy_ns) && is_number(result->downtime_ns) && is_number(result->bytes_on_wire) &&
         is_number(result->memory_bytes));
    for (unsigned i = 0; i < CTL_MARKS; i++)
        must(is_number(result->marks_ns[i]));
    for (unsigned i = 0; i < CTL_STUN_CLASSES; i++)
        must(is_number(result->stuns[i].up_to_us) && is_number(result->stuns[i].count));
    for (unsigned i = 0; i < CTL_VCPUS_MAX; i++)
        must(is_number(result->vcpu_stun_ns[i]));
    if (!result->ok)
        must_be_clean(&result->error);
    else
        must(!err_is_set(&result->error));
}

static void on_forecast(const struct ctl_forecast *forecast, void *user)
{
    must(!((struct agent_side *)user)->has_ended);
    must(forecast->zero_percent <= 100);
    must(is_number(forecast->duration_ns) && is_number(forecast->downtime_ns) &&
         is_number(forecast->used_bytes) && is_number(forecast->dirty_bytes_s));
    must(is_number(forecast->working_set_bytes) && is_number(forecast->link_bytes_s) &&
         is_number(forecast->first_bytes_s) && is_number(forecast->again_bytes_s) &&
         is_number(forecast->sync_ns));
}

static void on_ended(const struct err *why, void *user)
{
    struct agent_side *agent = user;
    must(!agent->has_ended);
    must_be_sound(why);
    agent->has_ended = true;
}

static int attach(struct agent_side *agent)
{
    static const struct job_handlers handlers = {on_request, on_progress, on_round,
                                                 on_result,  on_ended,    on_forecast};
    const int fds[CTL_SOURCE_FDS] = {STDERR_FILENO, STDERR_FILENO, STDERR_FILENO, STDERR_FILENO,
                                     STDERR_FILENO};
    struct ctl_job_spec spec = {.version = CTL_VERSION, .role = agent->role};
    struct ctl_msg msg;
    int ends[2], got[CTL_FDS_MAX];
    size_t n_got = CTL_FDS_MAX;
    struct err err;
    fuzz_socketpair(SOCK_SEQPACKET, ends);
    must(job_control_attach(ends[0], &spec, fds, &handlers, agent, &agent->job, &err) == 0);
    must(ctl_recv(ends[1], &msg, got, &n_got, &err) == 0 && msg.type == CTL_JOB_SPEC);
    for (size_t i = 0; i < n_got; i++)
        (void)close(got[i]);
    return ends[1];
}

static void iterate(void)
{
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ctl_message message;
    struct input input = {data, size};
    struct agent_side agent = {.role = input_number(&input, 1) & 1 ? CTL_ROLE_SOURCE : CTL_ROLE_DESTINATION};
    (void)g_log_set_always_fatal(G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_ERROR);
    int job = attach(&agent);
    while (!agent.has_ended && ctl_message_read(&input, &message)) {
        agent.flags = message.flags;
        ctl_message_send(&message, job, STDERR_FILENO);
        iterate();
    }
    (void)close(job);
    iterate();
    must(agent.has_ended);
    job_control_free(agent.job);
    iterate();
    return 0;
}
