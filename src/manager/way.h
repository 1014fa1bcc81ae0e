/* SPDX-License-Identifier: Apache-2.0 */
/* The migration network between two hosts, as one of them finds it (agent/reach.h). Main-loop thread. */
#ifndef MANAGER_WAY_H
#define MANAGER_WAY_H

#include "manager/task.h"
#include "model/finding.h"

/* Asks the source, or with is_back the destination. `done` as of agent_call; ERR_NOT_FOUND if there is nobody
 * to ask or nothing to ask for: what is in the way of that is said elsewhere. */
void way_ask(const struct task *plan, bool is_back, http_done done, void *user);
struct way_wish {
    const struct move_spec *spec; /* its hosts, and its pairs of addresses */
    bool is_back;                 /* the destination is asked, not the source */
    uint32_t pings;               /* 0: the way is tried, and not measured */
};
/* way_ask for hosts of which no task is. */
void way_measure(struct manager *manager, const struct way_wish *question, http_done done, void *user);
/* The answer; a call that failed is a finding too, but for ERR_NOT_FOUND (an agent of a version that does not
 * look): then there is none. Placed in the phase of the source's check. */
void way_take(JsonObject *answer, const struct err *call_err, bool is_back, struct findings *ret_findings);

#endif
