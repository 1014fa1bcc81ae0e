/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only listener on the migration port. It reads the fixed-size preamble of each connection, never a byte
 * more, and hands the socket to the job that waits for the ticket in it; all others are closed. One thread,
 * nothing blocks, all tables are fixed: a stranger can take a slot for three seconds and nothing else.
 */
#ifndef DOOR_DOOR_H
#define DOOR_DOOR_H

#include <stddef.h>

#include "base/err.h"

#define DOOR_LISTENERS_MAX 16

struct door;

/* control: SOCK_SEQPACKET from the agent (ctl/ctl.h, CTL_DOOR_*); listeners: bound and listening TCP sockets.
 * Makes them all non-blocking; they stay the caller's. NULL and *err on failure. */
struct door *door_new(int control, const int *listeners, size_t n_listeners, struct err *err);
/* Serves until the control socket ends: 0; -1 and *err if it cannot go on. */
int door_run(struct door *door, struct err *err);
/* Closes every connection and every way to a job. NULL ok. */
void door_free(struct door *door);

#endif
