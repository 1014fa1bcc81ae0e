/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forecasts: what a move would be like. Two jobs meet as for a move, the source's samples the guest and the
 * way to the destination, whose job throws away what arrives. Nothing is journaled, held or kept, and the
 * guest runs on; whatever dies ends it. It takes about two seconds, and while it lasts the VM cannot be
 * moved. Main-loop thread.
 */
#ifndef AGENT_FORECAST_H
#define AGENT_FORECAST_H

#include "agent/agent.h"
#include "base/err.h"
#include "ctl/ctl.h"
#include "model/move.h"

/* `found` is NULL exactly if err is set. */
typedef void (*forecast_done)(const struct ctl_forecast *found, const char *dirty_source,
                              const struct err *err, void *user);

/* After the check of this side: a job waits for the source. Fills the ticket and the port. */
int forecast_destination(struct agent *agent, struct move_spec *spec, struct err *err);
/* The same at the source, whose job knows destination, ticket and key. `done` is called once, when the job
 * has gone and the guest is free of it; not from inside unless it cannot start. */
void forecast_source(struct agent *agent, const struct move_spec *spec, forecast_done done, void *user);
/* REFUSED "forecast-running" while the VM is sampled. */
int forecast_check_free(struct agent *agent, const char *uuid, struct err *err);

#endif
