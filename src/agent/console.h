/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The serial console of a VM: a log that QEMU writes, and a socket that takes what somebody types. What comes
 * out of the socket is in the log too, so it is only emptied. The log begins with the first start on this
 * host and goes on with each; bytes keep their number, also when the oldest were given back to the host.
 * Main-loop thread.
 */
#ifndef AGENT_CONSOLE_H
#define AGENT_CONSOLE_H

#include "agent/vm.h"

#define CONSOLE_PIECE_MAX 65536
#define CONSOLE_INPUT_MAX 4096    /* bytes that wait to be typed into one VM */
#define CONSOLE_KEPT (4ull << 20) /* bytes of the log; a mebibyte more until somebody looks */

struct console_piece {
    uint64_t offset; /* of the first byte of `text`: later than asked for where nothing is left */
    uint64_t next;
    uint64_t start; /* of the run that is on, or was the last one */
    uint64_t size;  /* of the whole log */
    char *text;     /* UTF-8; g_free */
    bool is_here;   /* the VM is on this host, and not only its shell: more may follow */
};

/* False: no VM of that uuid has run here since the host was booted. */
bool console_has_log(const struct agent *agent, const char *uuid);
/* Also of a VM that has left this host, as long as its log is kept. A uuid without a log: an empty piece. */
int console_read(struct agent *agent, const char *uuid, uint64_t offset, struct console_piece *ret_piece,
                 struct err *err);
/* Calls `done` once, from the main loop, when there is something at `offset`, the VM is not here (any more),
 * or after wait_ms. */
void console_wait(struct agent *agent, const char *uuid, uint64_t offset, unsigned wait_ms,
                  void (*done)(struct agent *agent, const char *uuid, uint64_t offset, void *user),
                  void *user);

enum console_outcome {
    CONSOLE_TAKEN,    /* all of it */
    CONSOLE_STOPPED,  /* the guest stands, or has left */
    CONSOLE_NOT_READ, /* the guest does not read */
};
struct console_taken {
    enum console_outcome outcome;
    size_t n_taken;  /* bytes that the guest's serial port has */
    size_t n_unsure; /* bytes behind these that it may have, or not */
};
/* Types. `done` once, maybe from inside: an error if nothing was typed because this VM has no input here
 * ("console-read-only"), is off ("vm-is-off"), or others type already more than waits ("console-full"). */
void console_type(struct vm *vm, const char *bytes, size_t n,
                  void (*done)(const struct console_taken *taken, const struct err *err, void *user),
                  void *user);
/* QEMU has ended: whoever types is answered. */
void console_close(struct vm *vm);
/* Now and then from now on: gives back what the logs hold beyond CONSOLE_KEPT. */
void console_keep_short(struct agent *agent);
const char *console_outcome_name(enum console_outcome outcome);

#endif
