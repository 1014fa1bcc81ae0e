/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images of disks: made, grown, removed, by qemu-img as QEMU's user, in a child that has a time limit. An
 * image is made under a name of its own (".godwit-UUID.part" beside its place) and gets its name when it is
 * whole, by a hard link, which never takes the place of a file. The other name stays until somebody has the
 * image in its config: while it is there, the next agent knows that nobody has, and removes both.
 * Main-loop thread.
 */
#ifndef AGENT_DISK_IMAGE_H
#define AGENT_DISK_IMAGE_H

#include "agent/vm.h"
#include "model/vm_disks.h"

/* Everything as this host has it. */
struct disk_image_wish {
    char path[MODEL_PATH_MAX];
    char label[DISK_LABEL_MAX]; /* as a config has it, wherever the datastore is mounted */
    char format[8];
    uint64_t size_bytes;          /* 0: that of what it is made from */
    char from[MODEL_PATH_MAX];    /* "": it is no copy */
    char backing[MODEL_PATH_MAX]; /* relative to the image's folder; "": none */
    char source_format[8];        /* of either */
    bool is_to_grow;              /* the copy is made larger than what it is made from */
};
/* `done` once it is whole and has its name, or with why not and nothing left. REFUSED "disk-exists",
 * INTERNAL "disk-image-failed" with what qemu-img said, TIMEOUT "disk-image-late". */
void disk_image_make(struct vm *vm, const struct disk_image_wish *wish, vm_done done, void *user);
/* What was made is the VM's from now on, or it is removed. */
void disk_image_settle(const struct agent *agent, const char *uuid, bool is_kept);
/* At the agent's start: what an agent that was killed left of this. */
void disk_image_recover(const struct vm *vm);
/* Of an image that no QEMU has open. */
void disk_image_grow(struct vm *vm, const char *path, const char *format, uint64_t bytes, vm_done done,
                     void *user);
/* -1: INTERNAL "disk-not-deleted". */
int disk_image_delete(const struct agent *agent, const char *path, struct err *err);
/* Something has that name. False as well if that cannot be known. */
bool disk_image_exists(const struct agent *agent, const char *path);

#endif
