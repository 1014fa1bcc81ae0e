/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps the host's certificate good: asks the manager for the next one when less than a third of its life is
 * left, and again until it has it. Main-loop thread. */
#ifndef AGENT_RENEW_H
#define AGENT_RENEW_H

#include "agent/agent.h"
#include "agent/identity.h"

struct renewal;

/* `identity` stays the caller's; renewal_start reads it at once and whenever it looks. `renewed` is called
 * after a new identity was stored: the caller loads it. */
struct renewal *renewal_start(struct agent *agent, const struct identity *identity,
                              void (*renewed)(void *user), void *user);
/* Asks now, whatever the certificate's age. `done` is called once; REFUSED "renewal-runs" if it asks already.
 */
void renewal_ask(struct renewal *renewal, void (*done)(const struct err *err, void *user), void *user);
/* Looks at the certificate soon: the identity is another one. */
void renewal_look(struct renewal *renewal);
void renewal_free(struct renewal *renewal); /* NULL ok; a call under way ends with ERR_CANCELLED */
/* When a certificate of that life is due. Pure. */
int64_t renewal_due_s(int64_t from_s, int64_t until_s);
/* How long to wait before looking at it again, in seconds. Pure. */
unsigned renewal_wait_s(int64_t from_s, int64_t until_s, int64_t now_s);

#endif
