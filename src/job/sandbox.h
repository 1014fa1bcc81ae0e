/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JOB_SANDBOX_H
#define JOB_SANDBOX_H

#include <stdbool.h>

#include "base/err.h"

/* What not every job needs. */
struct sandbox_needs {
    int qemu_pid;  /* may be asked which threads are its own; 0: nobody */
    bool connects; /* makes TCP connections of its own: a source */
};

/*
 * Gives up all that a job does not need: capabilities, new privileges, core dumps, and every system call that
 * neither the story nor the engine nor the C library makes. A call outside of the list ends the process: it
 * is a stranger's, and a dead job costs one move and no VM. Opening files is answered by EACCES instead,
 * because the C library tries that by itself (time zone, memory settings) and copes. Before any thread is
 * made.
 */
int sandbox_enter(const struct sandbox_needs *needs, struct err *err);

#endif
