/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The version of the API between manager and agents. Neighbours work together, in either order, so that a
 * cluster can be upgraded host by host: the newer one leaves out what the older one does not know. All other
 * pairs are refused. Raise it with the first change that the version before does not understand.
 */
#ifndef MODEL_PROTOCOL_H
#define MODEL_PROTOCOL_H

#include <json-glib/json-glib.h>
#include <stdint.h>

#include "base/err.h"

#define PROTOCOL 2
/* Header of every call to an agent; without it the caller speaks version 1. */
#define PROTOCOL_HEADER "Protocol-Version"

/* REFUSED "protocol-mismatch", which names both versions and the side to upgrade, unless they are neighbours.
 */
int protocol_check(uint32_t manager, uint32_t agent, const char *host, struct err *err);
/* Takes out, at any depth, the members that came after `protocol` and have their default. One that has not
 * stays: the receiver refuses it, because it cannot do what is asked. */
void protocol_downgrade(JsonObject *object, uint32_t protocol);

#endif
