/* SPDX-License-Identifier: Apache-2.0 */
/* A move by hand between two hosts of fixture.h in one process: the steps that job and handover take. Each
 * fails the test if it fails, but for load and cont, which tell. */
#ifndef TESTS_AGENT_VMS_TWO_HOSTS_H
#define TESTS_AGENT_VMS_TWO_HOSTS_H

#include "fixture.h"

/* What vm_cont answered. */
struct ran {
    bool there;
    enum vm_cont_result result;
    struct err err;
};

/* A shell of the VM on `host`, its journal INCOMING. */
struct vm *shell(struct host *host, const struct vm_spec *spec);
void pause_vm(struct vm *vm);
void copy_ram(const struct vm *from, const struct vm *to);
/* The device state is kept in memory between save and load, as the job does it; g_free. */
char *save(struct vm *vm, size_t *ret_size);
void load(struct vm *vm, const char *data, size_t size, struct answer *answer);
/* All of these but `cont`: the guest stopped, memory and device state over; the shell stands loaded. */
struct vm *bring_over(struct vm *vm, struct host *destination);
struct ran cont(struct vm *vm, unsigned deadline_ms);
/* The checker reports from console offset `from` on, and neither starts anew nor finds a bad page. */
void check_goes_on(struct vm *vm, size_t from);

#endif
