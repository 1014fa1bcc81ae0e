/* SPDX-License-Identifier: Apache-2.0 */
/* Two agents in one process: real QEMU, the real door, a fake job (fake-job.c). The test plays the manager.
 */
#ifndef TESTS_AGENT_MOVES_LAB_H
#define TESTS_AGENT_MOVES_LAB_H

#include <stdio.h>
#include <stdlib.h>

#include "agent/moves.h"
#include "tests/agent/vms/fixture.h"

struct lab {
    struct host *host[2];
    char uuid[MODEL_UUID_SIZE];
    unsigned source;         /* where the guest runs */
    const char *priority;    /* option of the moves; NULL: none */
    char why[2][ERR_ID_MAX]; /* the errors of the last attempt: its source's, its destination's; "": none */
};

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            (void)fprintf(stderr, "FAILED: %s:%d: %s\n", __FILE__, __LINE__, #condition);                    \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

struct agent *agent_of(struct lab *lab, bool is_source);
struct vm *vm_on(struct lab *lab, unsigned host);
/* What the fake jobs do wrong from now on: "source after-give", "" for nothing. */
void set_fault(struct lab *lab, const char *fault);
/* Both hosts, on 127.0.0.1 and .2, in new folders, or in those of an earlier agent (moves are recovered). A
 * test that fails leaves no process and no file behind. */
void lab_up(struct lab *lab, const char *folder0, const char *folder1);
void lab_down(struct lab *lab);
/* Starts the checker guest on host 0. */
void lab_start_guest(struct lab *lab);

struct prepared {
    bool there;
    struct move_answer answer;
    struct err err;
};
void take_prepared(struct agent *agent, const struct move_answer *answer, const struct err *err, void *user);
struct verdict {
    bool there;
    enum move_verdict kind;
    uint8_t secret[MOVE_SECRET_SIZE];
    struct err err;
};
void take_verdict(enum move_verdict kind, const uint8_t secret[MOVE_SECRET_SIZE], const struct err *err,
                  void *user);

struct move_status status_of(struct agent *agent, const char *id);
/* The manager's part: both sides prepared (phases 4 and 5); then the copy is started, after preparing if
 * spec->id is still empty. */
void prepare_move(struct lab *lab, struct move_spec *spec);
void start_move(struct lab *lab, struct move_spec *spec);
/* The manager's relay: COMMIT to the destination, its verdict to the source. */
void relay(struct lab *lab, const char *id);
void wait_for_state(struct agent *agent, const char *id, enum move_state state);
/* What lies in state/vms of a host: mode of UUID.json (0: none), UUID.lease (NULL: none; json_object_unref).
 */
unsigned config_mode(struct lab *lab, unsigned host);
JsonObject *lease_file(struct lab *lab, unsigned host);
/* Calls `call` for each of this process' children of that name, with what follows the parent in its stat; how
 * many there are. */
unsigned lab_children(const char *program, void (*call)(pid_t pid, const char *rest, void *user), void *user);
/* Exactly one host runs it, and says so, and nobody holds it; the other has nothing of it; the guest makes
 * progress and its proofs hold. */
void check_one_runner(struct lab *lab);
/* One move with a fault to its end; afterwards lab->source is where the guest is. */
enum move_state attempt(struct lab *lab, const char *fault, bool relays);

#endif
