/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The version of the API between manager and agents. Neighbours work together, in either order, so that a
 * cluster can be upgraded host by host: what is written for the other side leaves out what the version before
 * does not know (NEWER in model/fields.h). All other pairs are refused. Raise it with the first change that
 * the version before does not understand.
 */
#ifndef MODEL_PROTOCOL_H
#define MODEL_PROTOCOL_H

#include <stdint.h>

#include "base/err.h"

#define PROTOCOL 3
/* Header of every call to an agent; without it the caller speaks version 1. */
#define PROTOCOL_HEADER "Protocol-Version"

/* REFUSED "protocol-mismatch", which names both versions and the side to upgrade, unless they are neighbours.
 */
int protocol_check(uint32_t manager, uint32_t agent, const char *host, struct err *err);

#endif
