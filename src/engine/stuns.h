/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of stuns. Written by one thread, read by any: members are atomic, each for itself. */
#ifndef ENGINE_STUNS_H
#define ENGINE_STUNS_H

#include "engine/engine.h"

/* `vcpu`: whose, or -1 if the fault did not say. */
void stuns_add(struct engine_stuns *stuns, uint64_t ns, int vcpu);
void stuns_copy(const struct engine_stuns *stuns, struct engine_stuns *ret_stuns);

#endif
