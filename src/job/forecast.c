/* SPDX-License-Identifier: Apache-2.0 */
/* The stories of a forecast: the two jobs meet as for a move, a part of the memory crosses and is thrown
 * away, and the guest is watched while it runs. Nothing is stopped, saved or handed over. */
#include <string.h>

#include "base/clock.h"
#include "job/story.h"

static int sample(struct job *job, struct err *err)
{
    struct engine_forecast found;
    struct engine_costs costs = {.switch_ns = job->spec.switch_ns};
    job->ready_ns = clock_now_ns();
    if (source_start_engine(job, err) < 0)
        return -1;
    costs.begin_ns = clock_now_ns() - job->ready_ns;
    if (engine_source_forecast(job->source, &costs, &found, err) < 0)
        return -1;
    struct ctl_forecast report = {.duration_ns = found.duration_ns,
                                  .downtime_ns = found.downtime_ns,
                                  .n_rounds = found.n_rounds,
                                  .needs_sdps = found.needs_sdps,
                                  .converges = found.converges,
                                  .zero_percent = found.zero_percent,
                                  .wire_percent = found.wire_percent,
                                  .used_bytes = found.used_bytes,
                                  .dirty_bytes_s = found.dirty_bytes_s,
                                  .working_set_bytes = found.working_set_bytes,
                                  .link_bytes_s = found.link_bytes_s,
                                  .first_bytes_s = found.first_bytes_s,
                                  .again_bytes_s = found.again_bytes_s,
                                  .sync_ns = found.sync_ns};
    control_report(job->control, CTL_FORECAST, &report, sizeof report);
    return 0;
}

int forecast_source_story(struct job *job, struct err *err)
{
    static const struct story_phase phases[] = {{"copy", CTL_STEP_CONNECT, source_meet},
                                                {"copy", CTL_STEP_COPY, sample}};
    return story_run(job, phases, sizeof phases / sizeof *phases, err);
}

int forecast_dest_story(struct job *job, struct err *err)
{
    static const struct story_phase phases[] = {{"copy", CTL_STEP_CONNECT, dest_meet},
                                                {"copy", CTL_STEP_COPY, dest_receive}};
    return story_run(job, phases, sizeof phases / sizeof *phases, err);
}
