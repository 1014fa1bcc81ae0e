/* SPDX-License-Identifier: Apache-2.0 */
/* What the files about VMs (vm*.c, adopt.c, orphan.c, ram.c, trace_client.c) share, with settle.c, which
 * makes and ends them. */
#ifndef AGENT_VM_PROCESS_H
#define AGENT_VM_PROCESS_H

#include <json-glib/json-glib.h>

#include "agent/vm.h"
#include "model/site.h"

#define TAP_NAME_SIZE 16

/* A verb that waits for something other than the answer of one QMP call. */
struct console;

struct vm_wait {
    vm_done done; /* NULL: nobody waits */
    void *user;
};

/* A running QEMU. Kept in run_dir/vms/UUID/process.json where it says so, with a copy of the VM's spec. It is
 * written before QEMU is started, with pid 0, and again when the pid is known, before QEMU may run. */
struct vm_process {
    uint64_t ram_device; /* file: with */
    uint64_t ram_inode;  /* file: of the memfd: what finds the process before its pid is written */
    uint64_t start_time; /* file: field 22 of /proc/PID/stat: a reused pid differs */
    int qemu_ram_fd;     /* file: QEMU's own number of the memfd */
    bool has_trace;      /* file: the trace object was preloaded */
    unsigned n_taps;     /* file */
    char taps[VM_NICS_MAX][TAP_NAME_SIZE];
    uint64_t log_start;                  /* file: where this run begins in qemu.log */
    uint64_t console_start;              /* file: the same in console.log */
    struct console *console;             /* agent/console.h; NULL until somebody types */
    int qemu_major;                      /* file, as qemu_version */
    char cpu_named[CPU_FEATURES_MAX];    /* what its QEMU says of its CPU; the machine may lack some */
    char cpu_features[CPU_FEATURES_MAX]; /* what the guest sees (agent/site.h); "": not known */
    bool dead;                           /* being cleaned up */
    bool has_panicked;                   /* the guest; until it is reset */
    struct vm_wait starts;               /* vm_start or vm_shell in progress */
    struct vm_wait moves;                /* vm_save or vm_load in progress */
    GSList *ends;                        /* struct vm_wait, owned: those who wait for the end */
    void (*ready)(struct vm *vm, const struct err *err); /* of vm_connect */
    guint kill_timer;
    guint reconnect_timer;
    guint settle_timer; /* vm_save, vm_load: QEMU's state is asked again */
    uint64_t settle_deadline_ns;
};

/* ---- vm_files.c ---- */
char *vm_path(const struct vm *vm, const char *file);               /* below run_dir; g_free */
char *vm_config_path(const struct agent *agent, const char *uuid);  /* g_free */
char *vm_journal_path(const struct agent *agent, const char *uuid); /* g_free */
/* Beside a config file: what it was when it could not be read. */
#define VM_CONFIG_DAMAGED ".damaged"
/* The same, while a new disk is made (agent/disk_image.c). */
#define VM_MAKING ".making"
/* In the VM's folder, while qemu-img works for it. */
#define VM_IMAGE_LOG "qemu-img.log"
#define VM_CONFIG_MODE 0600
#define VM_CONFIG_MODE_HELD 0400
/* The only function that writes a config file: checks that nobody else holds the VM, writes `spec`
 * atomically, and only then makes it the VM's. `task`: on whose behalf, "" for an operator. REFUSED
 * "vm-is-moving" if another one holds it. */
int vm_config_write(struct vm *vm, const struct vm_spec *spec, const char *task, struct err *err);
int vm_config_read(const char *path, struct vm_spec *ret_spec, struct err *err);
/* Removes the logs too, and the folder. */
void vm_run_folder_remove(const struct agent *agent, const char *uuid);
int vm_run_folder(const struct vm *vm, struct err *err);
/* A bound and listening unix socket; a stale one is replaced. */
int vm_listen(const struct vm *vm, const char *file, int type, int *ret_fd, struct err *err);
int vm_process_write(const struct vm *vm, struct err *err);
/* Fills status.pid, accel, qemu_version, move, vm->incoming and a new vm->process. ERR_NOT_FOUND if there is
 * none; any other error: a QEMU may run. */
int vm_process_read(struct vm *vm, struct err *err);
/* The copy of the spec in the record of a VM that has none yet. */
int vm_process_read_spec(const struct agent *agent, const char *uuid, struct vm_spec *ret_spec,
                         struct err *err);
/* In the VM's folder, while it has a guest agent's port. */
#define VM_GUEST_AGENT_SOCKET "guest-agent.sock"
#define VM_DISKS_SOCKET "disks.sock"
/* Removes everything in run_dir that belongs to one run; console.log and qemu.log stay. */
void vm_run_files_remove(const struct vm *vm);
/* Field 22 of /proc/PID/stat, 0 if there is no such process. */
uint64_t process_start_time(int pid);
uint64_t vm_log_size(const struct vm *vm);
/* The last lines that QEMU wrote in this run, in one line; "" if none. g_free. */
char *vm_log_tail(const struct vm *vm);

/* ---- vm.c ---- */
struct vm *vm_new(struct agent *agent, const struct vm_spec *spec); /* registers it */
void vm_set_state(struct vm *vm, enum vm_state state);
/* The process is there (pid, pidfd, process): watch its end. */
void vm_exited(pid_t pid, int status, void *user);
/* Closes and removes what one run of QEMU used. */
void vm_release(struct vm *vm);
/* Puts QEMU's last words into an error that says that QEMU was lost. */
void vm_explain(const struct vm *vm, struct err *err);
/* The same for a verb of a move, where a connection that QEMU's end has closed, or a copy of a disk from or
 * to it, becomes "qemu-died". Waits for that end, which follows at once, for 100 ms at most. */
void vm_explain_loss(struct vm *vm, struct err *err);
/* Calls done(vm, no error) from the main loop. */
void vm_done_later(struct vm *vm, vm_done done, void *user);
/* A removal made its first step durable and was interrupted: vm_remove completes it. */
bool vm_is_half_removed(const struct vm *vm);
/* Writes the config file, and the record of its QEMU, from which a lost config file is written again. */
int vm_take_spec(struct vm *vm, const struct vm_spec *changed, struct err *err);
/* Listed with `what` is wrong and *why (its fix is the operator's), and not used: "vm-damaged". */
void vm_set_problem(struct vm *vm, const char *what, const struct err *why);
/* status.epoch and status.journal from the journal. */
void vm_refresh(struct vm *vm);
void vm_wait_end(struct vm_wait *wait, struct vm *vm, const struct err *err);

/* ---- vm_verbs.c ---- */
/* The event RESUME. */
void vm_has_resumed(struct vm *vm);

/* ---- vm_events.c ---- */
/* Connects QMP and calls `ready` once it answers; a lost connection is made again as long as QEMU lives, and
 * the run state asked again. */
void vm_connect(struct vm *vm, unsigned deadline_ms, void (*ready)(struct vm *vm, const struct err *err));
/* Goes on trying after `ready` had an error. */
void vm_reconnect(struct vm *vm);
/* QEMU did not answer when its run state was asked: unknown, and asked again over a new connection. */
void vm_status_lost(struct vm *vm, const struct err *err);
/* Sets the state to what QEMU says of itself. */
void vm_take_runstate(struct vm *vm, const char *runstate);
/* qmp_call on the VM's connection; ERR_PEER_LOST from the main loop if there is none. */
void vm_qmp(struct vm *vm, const char *command, JsonObject *arguments, int fd,
            void (*done)(JsonNode *result, const struct err *err, void *user), void *user);
/* The string member of a result object, "" if absent. */
const char *vm_result_text(JsonNode *result, const char *member);
/* True for the run states of QEMU in which no vCPU runs and `cont` would start them. Not after an I/O error:
 * there the operator says when. */
bool vm_runstate_is_stopped(const char *runstate);
/* True for those that only a reset ends: nothing runs, and `cont` is refused. */
bool vm_runstate_needs_reset(const char *runstate);

/* ---- vm_balloon.c ---- */
/* The event BALLOON_CHANGE. */
void vm_balloon_note(struct vm *vm, uint64_t bytes);
/* Of a guest that was not heard from the beginning. */
void vm_balloon_ask(struct vm *vm);

/* ---- vm_save.c ---- */
/* The event MIGRATION with its new status. */
void vm_save_event(struct vm *vm, const char *status);
/* Version, capabilities and parameters of every QEMU, asked and set once when it starts. */
void vm_save_prepare(struct vm *vm, vm_done done, void *user);

/* ---- orphan.c ---- */
/* Ends what was started for a record without a pid; blocks until it is gone (seconds at most). */
int orphan_end(const struct vm *vm, struct err *err);
/* Removes what belongs to no VM: run folders, leases, journals that say nothing. */
void orphan_files_remove(struct agent *agent);

/* ---- ram.c ---- */
int ram_new(struct vm *vm, struct err *err);   /* vm->ram_fd, ram_size */
int ram_adopt(struct vm *vm, struct err *err); /* from /proc/PID/fd */
int ram_find(const struct vm *vm, uint64_t *ret_address, struct err *err);

/* ---- trace_client.c ---- */
int trace_ask(const struct vm *vm, int *ret_async, int *ret_sync, struct err *err);

#endif
