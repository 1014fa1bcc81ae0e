/* SPDX-License-Identifier: Apache-2.0 */
/* Which steps of a task are worth a line of their own, where there is no terminal to draw on. */
#ifndef CLI_STEPS_H
#define CLI_STEPS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* A wait that comes and goes, or lasts, is said again only so long after. */
#define STEPS_AGAIN_S 30

struct steps {
    char *phase;
    GHashTable *waits; /* of this phase: what was said -> when */
};

void steps_init(struct steps *steps);
void steps_clear(struct steps *steps);
/* True: this is to be said now, and counts as said. `waiting` is "" while nothing is waited for. */
bool steps_say(struct steps *steps, const char *phase, const char *waiting, uint64_t now_ns);

#endif
