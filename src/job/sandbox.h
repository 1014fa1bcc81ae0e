/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JOB_SANDBOX_H
#define JOB_SANDBOX_H

#include "base/err.h"

/*
 * Gives up all that a job does not need: capabilities, new privileges, core dumps, and every system call that
 * neither the story nor the engine nor the C library makes. A call outside of the list ends the process: it
 * is a stranger's, and a dead job costs one move and no VM. Opening files is answered by EACCES instead,
 * because the C library tries that by itself (time zone, memory settings) and copes. Before any thread is
 * made. Of `qemu_pid` (0: of nobody) it may ask whether a thread belongs to it.
 */
int sandbox_enter(int qemu_pid, struct err *err);

#endif
