/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a move between datastores of one host, however it came to it: done, failed, cancelled, QEMU
 * dead, agent killed. There is one end for all, and it asks what is so instead of what was meant:
 *
 * - Without a QEMU the config file is right: it names, of each disk, the image that has all that the guest
 * was told to be written. For the guest stands (`stop`) before the first disk goes over to its new image, all
 * jobs have ended and flushed before the config file is written, and it is written before the guest goes on.
 * So while old and new could differ, the guest never ran on what the file does not name.
 * - With one, what each disk's device has inserted is right. Copies that still run are ended first, which
 * decides for those that were just going over. The config file is then made to say the same, and only then
 * the guest goes on, if it stands because of this.
 *
 * Each disk for itself: one may have gone over and another not. Then block nodes that no device uses go, and
 * images that the config file does not name (agent/disk_images.h). All of it may be broken off anywhere by
 * the agent's end, and is begun anew by the next agent before it lets the guest run (agent/adopt.c).
 *
 * Main-loop thread.
 */
#ifndef AGENT_STORAGE_SETTLE_H
#define AGENT_STORAGE_SETTLE_H

#include "agent/disk_images.h"
#include "agent/vm.h"

/* Names of a move's jobs begin with this. */
#define STORAGE_PREFIX_SIZE 24
void storage_prefix(const char *session, char ret_prefix[STORAGE_PREFIX_SIZE]);

struct storage_outcome {
    uint32_t n_disks, n_moved;
    uint64_t runs_ns; /* when the guest went on; 0: it had not been stopped, or does not run */
    struct err err;   /* an image is left, which the next agent tries to remove again */
};
typedef void (*storage_settled)(const struct storage_outcome *outcome, void *user);
/* `continues`: the guest stands because of the move. `done` follows once nothing is left to do but with
 * storage that does not answer; it may be called before this returns. */
void storage_settle(struct agent *agent, const char *uuid, const struct disk_images_here *here,
                    bool continues, storage_settled done, void *user);

#endif
