/* SPDX-License-Identifier: Apache-2.0 */
/* One look at a disk image, which may never come back: for bounded_call. Uses nothing but its argument. */
#ifndef AGENT_DISK_LOOK_H
#define AGENT_DISK_LOOK_H

#include "agent/agent.h"
#include "qemu/image_header.h"

#define DISK_CHAIN_MAX 2048

enum disk_trouble {
    DISK_FINE,
    DISK_MISSING,
    DISK_NOT_ACCESSIBLE,
    DISK_FORMAT_DIFFERS,
    DISK_BACKING_MISSING, /* backing says which */
    DISK_LOCKED,
};

struct disk_look {
    /* in */
    struct agent_user user; /* QEMU's */
    char path[MODEL_PATH_MAX];
    char format[8];
    bool is_read_only;
    bool is_open_elsewhere; /* by the QEMU that hands it over: its locks say nothing */
    /* out */
    enum disk_trouble trouble;
    char reason[160]; /* "" if there is none */
    char backing[IMAGE_BACKING_MAX];
    uint64_t virtual_bytes;     /* what the guest sees */
    uint64_t allocated_bytes;   /* what the file takes of its file system */
    uint64_t growth_bytes;      /* what it may still take of it */
    uint64_t data_bytes;        /* at most so much a whole copy takes, with what it is built on */
    char chain[DISK_CHAIN_MAX]; /* the files on which it is built, the next first, one a line */
};

/* `look` is a struct disk_look. */
void disk_look(void *look);

#endif
