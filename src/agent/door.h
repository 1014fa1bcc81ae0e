/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's end of godwit-door. The listening sockets are the agent's, so that none is lost when the door
 * dies: it is started again and told again which tickets are waited for. Main-loop thread.
 */
#ifndef AGENT_DOOR_H
#define AGENT_DOOR_H

#include "agent/agent.h"
#include "base/err.h"
#include "ctl/ctl.h"

struct door;

/* Binds migration_port on all migration_addresses and starts the door. An address that cannot be bound is an
 * error that names address and port. */
int door_new(struct agent *agent, struct door **ret_door, struct err *err);
/* From now on, sockets that present this ticket go to *ret_socket (SOCK_SEQPACKET; the caller's). */
int door_expect(struct door *door, const uint8_t ticket[CTL_SECRET_SIZE], int *ret_socket, struct err *err);
/* Unknown tickets are ignored. */
void door_forget(struct door *door, const uint8_t ticket[CTL_SECRET_SIZE]);
/* Connections that had a ticket and were turned away by its job. */
void door_add_strangers(struct door *door, uint64_t n);
/* Since the agent started, whatever became of the door meanwhile. */
void door_counts(const struct door *door, struct ctl_door_counts *ret_counts, unsigned *ret_restarts);
/* Ends the door and closes the listening sockets. NULL ok. */
void door_free(struct door *door);

#endif
