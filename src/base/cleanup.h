/* SPDX-License-Identifier: Apache-2.0 */
/* Scope clean-up for descriptors, files and heap memory of code without GLib. */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

static inline void cleanup_mem(void *pointer)
{
    free(*(void **)pointer);
}

static inline void cleanup_file(FILE **file)
{
    if (*file)
        (void)fclose(*file);
}

#define auto_fd __attribute__((cleanup(cleanup_fd))) int
#define auto_mem __attribute__((cleanup(cleanup_mem)))
/* Calls function(&variable) at the end of the scope. */
#define auto_call(function) __attribute__((cleanup(function)))
#define auto_file __attribute__((cleanup(cleanup_file))) FILE *

/* Takes the descriptor out of an auto_fd variable. */
static inline int steal_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

#endif
