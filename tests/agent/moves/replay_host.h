/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One host of a replay: a process with the agent's real code for moves (prepare, handover, rules, journal,
 * recovery, relay) on a FAKE QEMU and a FAKE job, which stand where the linker puts them (--wrap,
 * meson.build). It acts only when it is told to, one order at a time, and answers when it has nothing more to
 * do by itself. What the agent wants to do next (write its journal, send `cont`, end QEMU, start a shell)
 * waits for an order. SIGKILL is the crash of the agent.
 */
#ifndef TESTS_AGENT_MOVES_REPLAY_HOST_H
#define TESTS_AGENT_MOVES_REPLAY_HOST_H

#include "agent/journal.h"
#include "model/move.h"

enum replay_qemu { QEMU_NONE, QEMU_WAITS, QEMU_PAUSED, QEMU_RUNS };

enum replay_verb {
    REPLAY_LOOK,                /* spec.id: the move whose status is wanted */
    REPLAY_PREPARE_SOURCE,      /* spec */
    REPLAY_PREPARE_DESTINATION, /* spec */
    REPLAY_START,               /* spec: the source's job */
    REPLAY_JOB,                 /* the job asks: kind is its enum ctl_type, secret and verdict its body */
    REPLAY_JOB_ENDS,
    REPLAY_CANCEL,        /* spec.id */
    REPLAY_COMMIT,        /* through the manager: spec.id, secret */
    REPLAY_VERDICT,       /* through the manager: spec.id, verdict, secret */
    REPLAY_WRITE,         /* what waits goes to the page cache */
    REPLAY_REFUSE,        /* or it cannot be written */
    REPLAY_SYNC,          /* what is in the page cache is durable; kind 1: the sync fails */
    REPLAY_SHELL,         /* QEMU waits for a guest; kind 1: it could not be started */
    REPLAY_CONT,          /* kind: its enum vm_cont_result */
    REPLAY_END,           /* QEMU has ended, as it was asked to */
    REPLAY_QEMU_DIES,     /* nobody has noticed yet */
    REPLAY_QEMU_ENDED,    /* the agent has */
    REPLAY_QEMU_RUNS,     /* a `cont` that nobody waits for any more took effect */
    REPLAY_SETTLE,        /* by hand: spec.vm, spec.epoch; kind 1: this host is the owner */
    REPLAY_OPERATOR_RUNS, /* the operator starts the VM, which stands or is off */
};

struct replay_order {
    enum replay_verb verb;
    unsigned kind;
    enum move_verdict verdict;
    uint8_t secret[MOVE_SECRET_SIZE];
    struct move_spec spec;
};

struct replay_answer {
    /* To the order, or to an earlier one whose answer took until now. */
    bool is_answered;
    struct err err;
    enum move_verdict verdict;
    uint8_t secret[MOVE_SECRET_SIZE];
    bool has_spec, is_source; /* of a prepare */
    struct move_spec spec;
    /* Of the move in the order. */
    bool is_known;
    uint8_t commit[MOVE_SECRET_SIZE]; /* zero unless it was released */
    enum move_verdict said;
    uint8_t said_secret[MOVE_SECRET_SIZE];
    /* What the agent wants. */
    bool wants_write, is_writing, wants_shell, wants_cont, wants_end;
    enum journal_step step;
    uint64_t epoch;
    char job[MODEL_UUID_SIZE]; /* the move whose job lives, or "" */
    bool may_run;              /* vm_check_owned */
};

/* `folder` holds the state; what it prints goes to the file "log" there. Returns the process, ended by its
 * parent's end. The socket takes orders. */
pid_t replay_host_start(const char *folder, const char *uuid, enum replay_qemu qemu, int *ret_socket);

#endif
