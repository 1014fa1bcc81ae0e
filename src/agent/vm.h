/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VMs of this host: config files, QEMU processes, QMP. No other file speaks QMP. Who owns a VM and
 * whether its vCPUs may run is decided by handover.c; vm_start and vm_cont ask the journal first.
 */
#ifndef AGENT_VM_H
#define AGENT_VM_H

#include "agent/agent.h"
#include "agent/vm_lease.h"
#include "base/err.h"
#include "model/finding.h"

struct qmp;
struct journal;
struct vm_process;
struct disk_plug;

enum vm_news { VM_NEWS_RESET, VM_NEWS_PANIC };

struct vm {
    struct agent *agent;
    struct vm_status status;
    struct journal *journal; /* agent/journal.h; open as long as the VM is registered */
    struct vm_lease lease;   /* while it is sent */
    struct err problem;      /* set: its files are damaged; it is listed, and neither started nor removed */
    struct qmp *qmp;         /* NULL when off */
    int pidfd;               /* of QEMU, or -1 */
    int ram_fd;              /* memfd, or -1; the agent's own reference */
    uint64_t ram_size;       /* bytes */
    bool incoming;           /* started with -incoming, not yet running here */
    unsigned n_streams;      /* how often vm_save or vm_load was begun */
    struct cont *first_cont; /* a shell's, under way; else NULL */
    unsigned n_conts;        /* calls of vm_cont under way: they hold the VM */
    /* What is done to its disks, which holds the VM (agent/vm_disks.h): "attaching shared:a"; "": nothing */
    char disk_change[VM_PROBLEM_MAX];
    struct disk_plug *plug;     /* QEMU's part of that, under way (agent/disk_plug.h); else NULL */
    bool ending;                /* its end was asked for: not a crash */
    char how_ended[64];         /* the last QEMU here, in words; "" if that is not known */
    bool is_guest_off;          /* the last QEMU here: it ended because its guest switched itself off */
    bool is_forgotten;          /* vm_forget was called: only those who wait for a verb still see it */
    struct vm_process *process; /* of the running QEMU (agent/vm_process.h), NULL when off */
    /* Called once, after QEMU has ended for whatever reason and its resources are released, then cleared. A
     * move sets it to learn of a crash. May be NULL. */
    void (*ended)(struct vm *vm, void *user);
    /* What its guest does by itself, while somebody wants to know; NULL: nobody. */
    void (*told)(struct vm *vm, enum vm_news news, void *user);
    void *ended_user; /* of both */
    /* QEMU's events of its block jobs, while somebody wants to know; NULL: nobody. */
    void (*block_job)(struct vm *vm, const char *event, JsonObject *data, void *user);
    void *block_job_user;
};

/* The answer to an asynchronous verb: err is not set on success. Called exactly once, from the main loop. */
typedef void (*vm_done)(struct vm *vm, const struct err *err, void *user);

/* ---- registry ---- */
struct vm *vm_find(struct agent *agent, const char *uuid);
/* Reads all config files and journals, re-adopts running QEMU processes (pid, start time, QMP); `done` when
 * all are settled. A QEMU that cannot be adopted (QMP dead) is ended only if its journal says that this host
 * does not own the VM; one that was lost says nothing. A config file that is damaged or lost is written again
 * from the record of its QEMU; without one the VM is listed with its problem. What an agent that was killed
 * left half done is completed or undone: a QEMU that was started and not recorded (it never ran) is ended, a
 * removal goes on, files of no VM are removed. */
void vms_load(struct agent *agent, void (*done)(struct agent *agent));
/* Registers a powered-off VM (config file written atomically) and its journal with OWNED. REFUSED if the uuid
 * exists with another spec ("vm-is-moving" while a move holds it); same spec: fine. */
int vm_create(struct agent *agent, const struct vm_spec *spec, struct vm **ret_vm, struct err *err);
/* Changes the config file and with it the VM (vm_spec_change): while it is not off only what takes effect
 * without the guest, else REFUSED "vm-not-off". */
int vm_set(struct vm *vm, JsonObject *changes, struct err *err);
/* REFUSED unless off and not held by a move. The journal stays if a source may still ask it for a verdict. */
int vm_remove(struct vm *vm, struct err *err);
/* Memory promised to running VMs and shells, with what their QEMUs need, MiB. */
uint64_t vms_memory_mib(struct agent *agent);
/* CPU promised to the same, percent of one core. */
uint64_t vms_cpu_percent(struct agent *agent);
/* Puts the VM into another pool, which is durable when it returns 0; a running QEMU changes its control
 * group. REFUSED while a move holds it, or its files are damaged. */
int vm_set_pool(struct vm *vm, const char *pool, struct err *err);

/* ---- life ---- */
/* A VM that stands (its QEMU is there, paused) is continued. */
void vm_start(struct vm *vm, vm_done done, void *user);
/* ACPI power button; with force, or after timeout_s, QEMU is ended. */
void vm_stop(struct vm *vm, bool force, unsigned timeout_s, vm_done done, void *user);
#define VM_BALLOON_MIN_MIB 32u
/* Asks the guest to do with so much memory; done when it was asked. How much it has is in its status, and
 * follows. REFUSED while a move holds it, "balloon-missing", "vm-not-running"; BAD_REQUEST "balloon-target".
 */
void vm_balloon(struct vm *vm, uint64_t target_mib, vm_done done, void *user);
/* The host goes down (shutdown.c): moves that are not GIVEN are cancelled, guests are asked to switch
 * themselves off (ACPI) and switched off after timeout_s. From the call on no VM is started, received or sent
 * ("host-shutting-down"), until vms_power_on or a new agent. `done` once, from the main loop, when no VM of
 * ours runs, or soon after timeout_s if one does not end; what a move has GIVEN away is not waited for any
 * longer. A second call joins the first. */
void vms_shutdown(struct agent *agent, unsigned timeout_s, void (*done)(struct agent *agent, void *user),
                  void *user);
/* Takes a shutdown back, also one under way, whose `done` is called: VMs start here again, and those with
 * autostart do now (agent/autostart.h), unless they wait for the manager's word after a boot. With `now` they
 * do not wait. Without a shutdown, and nothing that waits, nothing happens. `done` once, when each was tried.
 */
void vms_power_on(struct agent *agent, bool now, void (*done)(struct agent *agent, void *user), void *user);
/* REFUSED "host-shutting-down" between the two. */
int vms_check_up(const struct agent *agent, struct err *err);
/* Everything that can be said before a VM is started or received here: QEMU, machine version, accel, memory,
 * CPU, networks, files. `accel` "": what it would get here. */
void vm_find_problems(struct agent *agent, const struct vm_spec *spec, const char *accel, bool as_incoming,
                      struct findings *findings);
/* The first of them. */
int vm_check_fits(struct agent *agent, const struct vm_spec *spec, const char *accel, bool as_incoming,
                  struct err *err);

/* PEER_LOST "qemu-ended": names VM and host. */
void vm_ended(const struct vm *vm, struct err *err);
/* PEER_LOST "qemu-died": QEMU ended while a move needed it, at the source or as_incoming. Names VM and host,
 * and says how it ended. REFUSED "guest-powered-off" if the guest wanted it. */
void vm_died(const struct vm *vm, bool as_incoming, struct err *err);
/* REFUSED "guest-panicked": it stands, as it was when it panicked. */
void vm_panicked(const struct vm *vm, struct err *err);
/* REFUSED "vm-not-owned" unless the journal lets it run here; CORRUPT "journal-corrupt" if there is none. */
int vm_check_owned(const struct vm *vm, struct err *err);

/* ---- verbs of a move (called by moves.c and handover.c only) ---- */
/* Destination: registers the VM as a shell and starts QEMU with -S -incoming defer, empty memfd,
 * x-ignore-shared, late-block-activate, announce-rounds 1. The journal is already INCOMING; it becomes the
 * VM's. On failure nothing is left: `done` gets vm == NULL and the journal is still the caller's. */
void vm_shell(struct agent *agent, const struct vm_spec *spec, const char *accel, struct journal *journal,
              vm_done done, void *user);
/* Source: QMP stop; done when the guest stands still. */
void vm_pause(struct vm *vm, vm_done done, void *user);
/* QEMU keeps its end of a stream (duplicated, the caller closes its own) for the next vm_save or vm_load,
 * which fails if that did not work. */
void vm_pass_stream(struct vm *vm, int stream_fd);
/* It will not be used. */
void vm_withdraw_stream(struct vm *vm);
/* Source: makes QEMU write its device state into the stream; done when query-migrate says completed and
 * query-status postmigrate. May be asked for behind vm_pause, at once: QEMU begins when the guest stands. */
void vm_save(struct vm *vm, vm_done done, void *user);
/* Destination: QEMU reads its device state from the stream, whenever it comes; done when it is loaded
 * (query-status no longer inmigrate). */
void vm_load(struct vm *vm, vm_done done, void *user);
enum vm_cont_result { VM_CONT_RUNS, VM_CONT_FAILED, VM_CONT_UNKNOWN };
/* `cont` and what came of it: RUNS; FAILED: it was refused and query-status says not running, after retries
 * until deadline_ms (an image lock may take a moment to be released); UNKNOWN: the answer was lost: counts as
 * having run. On RUNS the network port is brought up before and the MAC addresses are announced after
 * (announce-self). Source and destination alike. */
void vm_cont(struct vm *vm, unsigned deadline_ms,
             void (*done)(struct vm *vm, enum vm_cont_result result, const struct err *err, void *user),
             void *user);
/* Ends QEMU (QMP quit, then SIGKILL by pidfd) without asking the guest; done when the process is gone and
 * tap, memfd and sockets are released. */
void vm_end(struct vm *vm, vm_done done, void *user);
/* Forgets a VM that this host no longer owns (GONE, ABORTED, RETURNED): config file away; the journal is
 * closed, its file stays. Frees vm once the main loop is reached again; until then a second call is fine. */
void vm_forget(struct vm *vm);
/* Source: what a job needs. Asks the trace object for a fresh pair (blocking at most 1 s on a local socket),
 * finds where QEMU maps the memfd, opens /proc/PID/pagemap. The caller closes all five descriptors. */
struct vm_trace {
    int ram_fd;
    int uffd_async;
    int uffd_sync;
    int pagemap_fd;
    int pidfd;
    uint64_t ram_address;
    unsigned n_vcpus;
    int vcpu_tids[VM_CPUS_MAX]; /* 0: QEMU has not named it */
};
int vm_open_trace(struct vm *vm, struct vm_trace *ret_trace, struct err *err);

#endif
