/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image files of a move of disks: those that the destination makes, which go if it does not become the
 * owner, and those that the source leaves behind, which go if it has let go of the VM. Which files these are
 * is durable before there is anything to remove (state_dir/vms/UUID.SESSION.images), and what becomes of them
 * follows from the journal, also after a restart. Where host and VM stay and only the datastore is another
 * one (agent/storage_move.h) both are of one host, and what becomes of them follows from the VM's config
 * file: what it names stays.
 *
 * Main-loop thread. Storage is asked on other threads or by qemu-img, and waited for only so long.
 */
#ifndef AGENT_DISK_IMAGES_H
#define AGENT_DISK_IMAGES_H

#include "agent/agent.h"
#include "model/finding.h"
#include "model/move.h"

/* Of the destination: a datastore without room for the disks that come ("datastore-no-room"), a file of that
 * name ("image-exists"). Sizes of 0 are not known yet. */
void disk_images_find_problems(const struct agent *agent, const struct move_spec *spec,
                               struct findings *findings);

/* Of the source: an image that would go, and on which a disk of another VM of this host is built
 * ("disk-is-backing"). */
void disk_images_find_clones(const struct agent *agent, const struct vm_spec *vm,
                             const struct move_spec *spec, struct findings *findings);

typedef void (*disk_images_done)(const struct err *err, void *user);
/* Makes the destination's images, thin, of the sizes in `spec`, and empty but durable. What was made when it
 * fails is removed by disk_images_settle. REFUSED "image-exists", "image-not-made". */
void disk_images_make(struct agent *agent, const struct move_spec *spec, disk_images_done done, void *user);
/* Source: its images of the disks that move are to go once the VM is given away. */
int disk_images_leave(struct agent *agent, const struct vm_spec *vm, const struct move_spec *spec,
                      struct err *err);
/* The move has ended on this side: removes its files, or only the record of them, as the journal says. -1:
 * some are still there, and it is tried again by the next agent. */
int disk_images_settle(struct agent *agent, const char *uuid, const char *session, struct err *err);
/* A move between datastores of this host, as its record says. */
struct disk_images_here {
    char session[MODEL_UUID_SIZE];
    uint32_t n;
    struct {
        uint32_t slot;
        struct vm_disk from, to;
    } disks[VM_DISKS_MAX];
};
/* False: this VM has no such record. */
bool disk_images_find_here(const struct agent *agent, const char *uuid, struct disk_images_here *ret_here);
/* The place of its i-th disk in the list of the VM's; n_disks: it is not there any more. */
uint32_t disk_images_place(const struct disk_images_here *here, uint32_t i, const struct vm_spec *spec);

/* After a restart: of all moves between hosts that are not under way. */
void disk_images_recover(struct agent *agent);

#endif
