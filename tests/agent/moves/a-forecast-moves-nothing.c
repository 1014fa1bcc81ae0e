/* SPDX-License-Identifier: Apache-2.0 */
/* Two agents, the real door and the real jobs: a forecast says what a move would be like and leaves nothing,
 * neither in QEMU nor in a journal, also when a job of it is killed while the guest's writes are tracked. */
#include <glib.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "agent/forecast.h"
#include "agent/journal.h"
#include "base/fdio.h"
#include "tests/agent/moves/lab.h"

struct found {
    bool there;
    bool has_figures;
    struct ctl_forecast figures;
    struct err err;
};

static void take_found(const struct ctl_forecast *figures, const char *dirty_source, const struct err *err,
                       void *user)
{
    struct found *found = user;
    found->there = true;
    found->err = *err;
    found->has_figures = figures != NULL;
    if (figures) {
        found->figures = *figures;
        CHECK(dirty_source[0]);
    }
}

/* As the manager fills it. */
static void plan(struct lab *lab, struct move_spec *spec)
{
    struct vm *vm = vm_on(lab, lab->source);
    memset(spec, 0, sizeof *spec);
    model_uuid_new(spec->id);
    move_options_init(&spec->options);
    spec->vm = vm->status.spec;
    (void)g_strlcpy(spec->accel, vm->status.accel, sizeof spec->accel);
    spec->n_addresses = 1;
    (void)snprintf(spec->addresses[0], MODEL_ADDRESS_MAX, "127.0.0.%u", 2 - lab->source);
    spec->n_channels = 2;
    fdio_random(spec->key, sizeof spec->key);
}

static gboolean on_tick(gpointer user)
{
    (void)user;
    return G_SOURCE_CONTINUE;
}

/* Runs the main loop until the condition holds. */
static void wait_for(bool (*condition)(struct lab *lab, void *user), struct lab *lab, void *user)
{
    guint tick = g_timeout_add(2, on_tick, NULL);
    while (!condition(lab, user))
        (void)g_main_context_iteration(NULL, TRUE);
    (void)g_source_remove(tick);
}

/* The kernel marks memory whose writes are tracked. */
static bool is_tracked(struct lab *lab, void *user)
{
    (void)user;
    g_autofree char *path = g_strdup_printf("/proc/%d/smaps", vm_on(lab, lab->source)->status.pid);
    g_autofree char *text = NULL;
    CHECK(g_file_get_contents(path, &text, NULL, NULL));
    return strstr(text, " uw ") != NULL;
}

static bool is_there(struct lab *lab, void *user)
{
    (void)lab;
    return ((struct found *)user)->there;
}

static void ignore(pid_t pid, const char *rest, void *user)
{
    (void)pid;
    (void)rest;
    (void)user;
}

static bool has_no_job(struct lab *lab, void *user)
{
    (void)lab;
    (void)user;
    return lab_children("godwit-job", ignore, NULL) == 0;
}

static void begin(struct lab *lab, struct move_spec *spec, struct found *found)
{
    struct err err = {0};
    plan(lab, spec);
    memset(found, 0, sizeof *found);
    int result = forecast_destination(agent_of(lab, false), spec, &err);
    if (result < 0)
        (void)fprintf(stderr, "%s: %s\n", err.id, err.message);
    CHECK(result == 0);
    CHECK(lab_children("godwit-job", ignore, NULL) <= 1);
    forecast_source(agent_of(lab, true), spec, take_found, found);
    CHECK(!found->there);
}

/* Nothing is different from before. */
static void end(struct lab *lab, const struct journal_entry *before)
{
    struct journal_entry after;
    CHECK(!is_tracked(lab, NULL));
    wait_for(has_no_job, lab, NULL);
    journal_read(vm_on(lab, lab->source)->journal, &after);
    CHECK(!memcmp(before, &after, sizeof after));
    check_one_runner(lab);
}

static void a_forecast_has_figures_and_leaves_nothing(struct lab *lab)
{
    struct journal_entry before;
    struct move_spec spec, second;
    struct found found, other = {0};
    struct err err = {0};
    journal_read(vm_on(lab, lab->source)->journal, &before);
    begin(lab, &spec, &found);
    wait_for(is_tracked, lab, NULL);
    /* Meanwhile it cannot be moved, nor sampled twice. */
    plan(lab, &second);
    CHECK(moves_check(agent_of(lab, true), &second, true, &err) < 0 && !strcmp(err.id, "forecast-running"));
    forecast_source(agent_of(lab, true), &second, take_found, &other);
    CHECK(other.there && !strcmp(other.err.id, "forecast-running"));
    wait_for(is_there, lab, &found);
    CHECK(found.has_figures && !err_is_set(&found.err));
    const struct ctl_forecast *figures = &found.figures;
    (void)fprintf(stderr, "%.0f ms, downtime %.1f ms, %u rounds, %.1f MB used\n",
                  (double)figures->duration_ns / 1e6, (double)figures->downtime_ns / 1e6, figures->n_rounds,
                  (double)figures->used_bytes / 1e6);
    CHECK(figures->converges && figures->n_rounds >= 2);
    CHECK(figures->used_bytes > 0 && figures->used_bytes <= 128u << 20 && figures->link_bytes_s > 0);
    CHECK(figures->duration_ns > figures->downtime_ns && figures->downtime_ns > 0);
    end(lab, &before);
}

static void kill_one(pid_t pid, const char *rest, void *user)
{
    pid_t *spared = user;
    (void)rest;
    if (pid != *spared)
        CHECK(kill(pid, SIGKILL) == 0);
}

static void keep_pid(pid_t pid, const char *rest, void *user)
{
    (void)rest;
    *(pid_t *)user = pid;
}

static bool has_one_job(struct lab *lab, void *user)
{
    (void)lab;
    return lab_children("godwit-job", keep_pid, user) == 1;
}

static void a_killed_job_lets_the_guest_go(struct lab *lab, bool kills_source)
{
    struct journal_entry before;
    struct move_spec spec;
    struct found found = {0};
    struct err err = {0};
    pid_t destination = 0, spared = 0;
    journal_read(vm_on(lab, lab->source)->journal, &before);
    plan(lab, &spec);
    CHECK(forecast_destination(agent_of(lab, false), &spec, &err) == 0);
    wait_for(has_one_job, lab, &destination);
    forecast_source(agent_of(lab, true), &spec, take_found, &found);
    wait_for(is_tracked, lab, NULL);
    if (kills_source) {
        spared = destination;
        (void)lab_children("godwit-job", kill_one, &spared);
    } else {
        CHECK(kill(destination, SIGKILL) == 0);
    }
    wait_for(is_there, lab, &found);
    (void)fprintf(stderr, "%s killed: %s: %s\n", kills_source ? "source" : "destination", found.err.id,
                  found.err.message);
    CHECK(!found.has_figures && err_is_set(&found.err) && found.err.phase[0] && found.err.side[0]);
    end(lab, &before);
}

static void a_vm_that_is_moved_is_not_sampled(struct lab *lab)
{
    struct move_spec move = {0}, spec;
    struct found found = {0};
    struct err none = {0};
    prepare_move(lab, &move);
    plan(lab, &spec);
    forecast_source(agent_of(lab, true), &spec, take_found, &found);
    CHECK(found.there && !strcmp(found.err.id, "vm-is-moving"));
    start_move(lab, &move);
    wait_for_state(agent_of(lab, true), move.id, MOVE_DONE);
    wait_for_state(agent_of(lab, false), move.id, MOVE_DONE);
    CHECK(status_of(agent_of(lab, true), move.id).state == MOVE_DONE);
    lab->source = 1 - lab->source;
    CHECK(moves_forget(agent_of(lab, true), move.id, &none) == 0 &&
          moves_forget(agent_of(lab, false), move.id, &none) == 0);
    check_one_runner(lab);
}

int main(void)
{
    struct lab lab = {0};
    if (geteuid() != 0)
        return 77;
    lab_up(&lab, NULL, NULL);
    for (unsigned i = 0; i < 2; i++)
        lab.host[i]->agent.config.job_user = (struct agent_user){HOST_UID + 1, HOST_UID + 1};
    lab_start_guest(&lab);
    a_forecast_has_figures_and_leaves_nothing(&lab);
    a_killed_job_lets_the_guest_go(&lab, true);
    a_vm_that_is_moved_is_not_sampled(&lab);
    a_killed_job_lets_the_guest_go(&lab, false);
    a_vm_that_is_moved_is_not_sampled(&lab);
    lab_down(&lab);
    return 0;
}
