/* SPDX-License-Identifier: Apache-2.0 */
/* A host in a temporary folder, in this process: the agent's VM code with real QEMU, no HTTP. */
#ifndef TESTS_AGENT_VMS_FIXTURE_H
#define TESTS_AGENT_VMS_FIXTURE_H

#include "agent/agent.h"
#include "agent/vm.h"

#define HOST_UID 64101

struct host {
    struct agent agent;
    char folder[64];
};

/* Control group of the VMs of the hosts that come up from now on; NULL (as at first): their agents know of no
 * control groups. */
extern const char *host_cgroup;
/* Facts probed, VMs of `folder` loaded (adopted); folder NULL: a new one. QEMU and its firmware: $QEMU,
 * $QEMU_DATA, else the machine's. */
struct host *host_up(const char *folder);
/* The same; `configure` is called before the VMs are loaded. */
struct host *host_up_with(const char *folder, void (*configure)(struct host *host));
/* A new one with $QEMU_OTHER and $QEMU_OTHER_DATA, else as host_up. */
struct host *host_up_other(void);
/* Ends all VMs; the folder goes too. */
void host_down(struct host *host);
/* Group teardown: what failed tests left behind is ended and removed. */
int hosts_sweep(void **state);
/* The checker guest: 64 MiB working set in 128 MiB; its machine type is $MACHINE, else what the first start
 * gives it. */
struct vm_spec checker_spec(const char *name);
/* Iterates the main loop until *flag, or fails the test after `seconds`. */
void wait_until(const bool *flag, unsigned seconds, const char *what);
/* Waits until the console holds `text` at or after `offset`; returns the offset behind it. */
size_t wait_for_console(struct vm *vm, const char *text, size_t offset);
size_t console_size(struct vm *vm);
/* The whole console; g_free. */
char *console_text(struct vm *vm);

/* A shell's command, which must succeed. */
void run_command(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Shuts the agent's end of the VM's QMP connection. */
void cut_qmp(const struct vm *vm);

/* What an agent left that ran VM "left" and was killed. Its folder is for host_up. */
struct left {
    char folder[64];
    char uuid[MODEL_UUID_SIZE];
    int pid; /* of QEMU */
};
struct left host_of_killed_agent(void);
/* Ends its QEMU, whatever its pid, and removes the folder; for teardowns. */
void left_sweep(const struct left *left);
/* How many processes live that have the VM's UUID in their command line; each gets `signal` unless 0. */
unsigned processes_of(const char *uuid, int signal);

/* The answer of an asynchronous verb, and a vm_done that fills it. */
struct answer {
    bool there;
    struct vm *vm;
    struct err err;
};
void take_answer(struct vm *vm, const struct err *err, void *user);
/* Verbs that must succeed. */
struct vm *start_checker(struct host *host, const char *name);
struct vm *start_vm(struct host *host, const struct vm_spec *spec);
void wait_ok(struct answer *answer, const char *what);

#endif
