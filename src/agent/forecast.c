/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/forecast.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/door.h"
#include "agent/job_control.h"
#include "agent/moves.h"
#include "agent/switch_cost.h"
#include "agent/vm.h"
#include "base/cleanup.h"
#include "base/fdio.h"
#include "base/log.h"
#include "model/check_table.h"

/* For all of it, from its job's start. */
#define PATIENCE_S 20u
/* More than a source ever sends: the memory for it is not reserved. */
#define BYTES_MAX (256ull << 20)

struct forecast {
    struct agent *agent;
    char id[MODEL_UUID_SIZE];
    char vm_uuid[MODEL_UUID_SIZE];
    char vm_name[MODEL_NAME_MAX];
    bool is_source;
    uint8_t ticket[MOVE_SECRET_SIZE];
    struct job_control *job;
    guint timer;
    uint64_t n_bytes; /* that the job has reported */
    bool has_found;
    struct ctl_forecast found;
    uint32_t dirty; /* enum ctl_dirty */
    struct err why; /* of a job that failed */
    forecast_done done;
    void *user;
};

static GHashTable *table(struct agent *agent)
{
    if (!agent->forecasts)
        agent->forecasts = g_hash_table_new(g_str_hash, g_str_equal);
    return agent->forecasts;
}

/* The job has gone, or is killed here. */
static void finish(struct forecast *forecast, const struct err *why)
{
    static const char *const names[] = {
        [CTL_DIRTY_AUTO] = "", [CTL_DIRTY_ASYNC] = "async", [CTL_DIRTY_SYNC] = "sync"};
    struct err err = err_is_set(&forecast->why) ? forecast->why : *why;
    if (forecast->timer)
        (void)g_source_remove(forecast->timer);
    job_control_free(forecast->job);
    if (!forecast->is_source && forecast->agent->door)
        door_forget(forecast->agent->door, forecast->ticket);
    (void)g_hash_table_remove(table(forecast->agent), forecast->id);
    if (forecast->has_found)
        err_clear(&err);
    else
        err_place(&err, move_phase_name(PHASE_COPY), forecast->is_source ? "source" : "destination");
    if (forecast->done)
        forecast->done(forecast->has_found ? &forecast->found : NULL, names[forecast->dirty], &err,
                       forecast->user);
    explicit_bzero(forecast, sizeof *forecast);
    g_free(forecast);
}

static gboolean patience_is_over(gpointer user)
{
    struct forecast *forecast = user;
    struct err err;
    forecast->timer = 0;
    (void)err_set(
        &err, ERR_TIMEOUT, "forecast-timeout",
        "the agent on host '%s' waited %u s in vain for the jobs of both hosts to make the forecast",
        forecast->agent->config.name, PATIENCE_S);
    if (forecast->n_bytes)
        (void)err_cause(&err, "they met, and %llu bytes of memory crossed",
                        (unsigned long long)forecast->n_bytes);
    else
        (void)err_cause(&err, "no memory crossed the migration network");
    (void)err_arg(&err, "host", "%s", forecast->agent->config.name);
    (void)err_arg(&err, "waited_s", "%u", PATIENCE_S);
    (void)err_arg(&err, "bytes", "%llu", (unsigned long long)forecast->n_bytes);
    (void)err_fix(&err, "look at the migration network between the hosts, and ask again");
    finish(forecast, &err);
    return G_SOURCE_REMOVE;
}

static void on_progress(const struct ctl_progress *progress, void *user)
{
    struct forecast *forecast = user;
    forecast->n_bytes = progress->bytes_on_wire;
    if (forecast->is_source || progress->bytes_on_wire <= BYTES_MAX)
        return;
    struct err err;
    (void)err_set(&err, ERR_CORRUPT, "forecast-flood", "the source sends more than a forecast needs");
    log_error(&err, "forecast %s", forecast->id);
    finish(forecast, &err);
}

static void on_round(const struct ctl_round *round, void *user)
{
    (void)round;
    (void)user;
}

static void on_result(const struct ctl_result *result, void *user)
{
    struct forecast *forecast = user;
    forecast->dirty = result->dirty;
    if (!result->ok)
        forecast->why = result->error;
}

static void on_forecast(const struct ctl_forecast *found, void *user)
{
    struct forecast *forecast = user;
    forecast->found = *found;
    forecast->has_found = true;
}

static void on_ended(const struct err *why, void *user)
{
    finish(user, why);
}

static const struct job_handlers handlers = {.progress = on_progress,
                                             .round = on_round,
                                             .result = on_result,
                                             .ended = on_ended,
                                             .forecast = on_forecast};

static struct forecast *new_forecast(struct agent *agent, const struct move_spec *spec, bool is_source)
{
    struct forecast *forecast = g_new0(struct forecast, 1);
    forecast->agent = agent;
    forecast->is_source = is_source;
    (void)g_strlcpy(forecast->id, spec->id, sizeof forecast->id);
    (void)g_strlcpy(forecast->vm_uuid, spec->vm.uuid, sizeof forecast->vm_uuid);
    (void)g_strlcpy(forecast->vm_name, spec->vm.name, sizeof forecast->vm_name);
    memcpy(forecast->ticket, spec->ticket, sizeof forecast->ticket);
    g_hash_table_insert(table(agent), forecast->id, forecast);
    forecast->timer = g_timeout_add_seconds(PATIENCE_S, patience_is_over, forecast);
    return forecast;
}

/* Takes `spec` as it is told to the job; the descriptors stay the caller's. */
static int start_job(struct agent *agent, const struct move_spec *spec, struct ctl_job_spec *job_spec,
                     const int *fds, struct forecast **ret_forecast, struct err *err)
{
    struct forecast *forecast = new_forecast(agent, spec, job_spec->role == CTL_ROLE_SOURCE);
    job_spec->is_forecast = 1;
    int result = job_control_start(&agent->config, job_spec, fds, &handlers, forecast, &forecast->job, err);
    explicit_bzero(job_spec, sizeof *job_spec);
    if (result < 0) {
        forecast->job = NULL;
        finish(forecast, err);
        return -1;
    }
    if (ret_forecast)
        *ret_forecast = forecast;
    return 0;
}

static int check_new(struct agent *agent, const struct move_spec *spec, bool as_source, struct err *err)
{
    if (moves_check(agent, spec, as_source, err) < 0)
        return -1;
    if (!g_hash_table_contains(table(agent), spec->id))
        return 0;
    return err_set(err, ERR_BAD_REQUEST, "forecast-id", "there is a forecast %s already", spec->id);
}

static uint64_t memory_of(const struct vm_spec *vm)
{
    return (uint64_t)vm->memory_mib << 20;
}

int forecast_destination(struct agent *agent, struct move_spec *spec, struct err *err)
{
    struct ctl_job_spec job_spec;
    int socket;
    if (check_new(agent, spec, false, err) < 0)
        return -1;
    auto_fd scratch = memfd_create("forecast", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (scratch < 0 || ftruncate(scratch, (off_t)memory_of(&spec->vm)) < 0 ||
        fcntl(scratch, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return err_sys(err, errno, "memory-failed", "cannot make a file for what a forecast receives");
    fdio_random(spec->ticket, sizeof spec->ticket);
    spec->port = agent->config.migration_port;
    if (door_expect(agent->door, spec->ticket, &socket, err) < 0)
        return -1;
    auto_fd door_socket = socket;
    const int fds[CTL_DESTINATION_FDS] = {[CTL_FD_RAM] = scratch, [CTL_FD_DOOR] = door_socket};
    moves_fill_job_spec(spec, false, memory_of(&spec->vm), &job_spec);
    return start_job(agent, spec, &job_spec, fds, NULL, err);
}

static int begin_at_source(struct agent *agent, const struct move_spec *spec, struct forecast **ret_forecast,
                           struct err *err)
{
    struct vm_trace trace;
    struct ctl_job_spec job_spec;
    if (check_new(agent, spec, true, err) < 0)
        return -1;
    struct vm *vm = vm_find(agent, spec->vm.uuid);
    if (vm_open_trace(vm, &trace, err) < 0)
        return -1;
    const int fds[CTL_SOURCE_FDS] = {[CTL_FD_RAM] = trace.ram_fd,
                                     [CTL_FD_UFFD_ASYNC] = trace.uffd_async,
                                     [CTL_FD_UFFD_SYNC] = trace.uffd_sync,
                                     [CTL_FD_PAGEMAP] = trace.pagemap_fd,
                                     [CTL_FD_QEMU_PID] = trace.pidfd};
    moves_fill_job_spec(spec, true, vm->ram_size, &job_spec);
    moves_fill_job_trace(vm, &trace, &job_spec);
    struct switch_cost cost = switch_cost_expect(agent, spec);
    job_spec.fixed_downtime_ns = cost.besides_ns;
    job_spec.switch_ns = cost.besides_ns + cost.save_ns;
    int result = start_job(agent, spec, &job_spec, fds, ret_forecast, err);
    for (unsigned i = 0; i < CTL_SOURCE_FDS; i++)
        (void)close(fds[i]);
    return result;
}

void forecast_source(struct agent *agent, const struct move_spec *spec, forecast_done done, void *user)
{
    struct forecast *forecast;
    struct err err = {0};
    if (begin_at_source(agent, spec, &forecast, &err) < 0) {
        err_place(&err, move_phase_name(PHASE_SOURCE_CHECK), "source");
        done(NULL, "", &err, user);
        return;
    }
    log_info("forecast %s: samples VM %s", spec->id, spec->vm.uuid);
    forecast->done = done;
    forecast->user = user;
}

int forecast_check_free(struct agent *agent, const char *uuid, struct err *err)
{
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, table(agent));
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const struct forecast *forecast = value;
        if (!forecast->is_source || strcmp(forecast->vm_uuid, uuid) != 0)
            continue;
        return check_say(err, CHECK_FORECAST_RUNNING,
                         CHECK_ARGS({"host", agent->config.name}, {"vm", forecast->vm_name}));
    }
    return 0;
}
