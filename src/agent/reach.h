/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does this host reach the migration port of another one, from each of its addresses, and do the largest
 * packets pass that both interfaces allow? If it is wished: how long do pings take, and does one machine
 * alone have the other's address? Nothing is moved. At the other's door the connection counts as a
 * stranger's, for it says nothing. Main-loop thread.
 */
#ifndef AGENT_REACH_H
#define AGENT_REACH_H

#include "agent/agent.h"
#include "model/finding.h"
#include "model/reach.h"

/* `done` once, from the main loop, after 5 s at the latest, with pings after 12 s. What is wrong with one
 * pair of addresses forbids nothing as long as another one is good: a move leaves it out. */
void reach_check(const struct reach_wish *wish,
                 void (*done)(const struct findings *findings, const struct reach_report *report, void *user),
                 void *user);

#endif
