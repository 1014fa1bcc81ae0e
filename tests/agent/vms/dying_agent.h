/* SPDX-License-Identifier: Apache-2.0 */
/* An agent that is killed in the middle of a verb: a child that is traced and dies after its k-th system call
 * that changes what others can see (files, processes, words to QEMU). */
#ifndef TESTS_AGENT_VMS_DYING_AGENT_H
#define TESTS_AGENT_VMS_DYING_AGENT_H

#include "fixture.h"

/* The one at hand: of its VM and its host, what a test that failed has left goes at the end of the group. */
extern struct left dying_scene;
int dying_scene_sweep(void **state);

struct dying_verb {
    const char *name;
    struct host *(*up)(const char *folder);
    void (*prepare)(struct host *host); /* not yet traced; may be NULL */
    void (*run)(struct host *host);
};

/* In a folder of its own, dying_scene's. False: the verb was done before the k-th call. */
bool dies_after_change(const struct dying_verb *verb, unsigned k);

#endif
