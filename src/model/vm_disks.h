/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single disks of a VM's specification: which one is meant, and one more or less. A disk has a slot, which is
 * its name ("disk0" has slot 1), its address on its bus and its place in the order of boot: so it keeps all
 * three while others come and go. Pure; any thread.
 */
#ifndef MODEL_VM_DISKS_H
#define MODEL_VM_DISKS_H

#include "base/err.h"
#include "model/vm.h"

#define VM_DISK_NAME_SIZE 16

/* Both name the same image. Two empty drives do not. */
bool vm_disk_is_same(const struct vm_disk *one, const struct vm_disk *other);
/* Of the i-th disk of the list, from 1. */
uint32_t vm_disk_slot(const struct vm_spec *spec, uint32_t i);
/* The place in the list of the disk in that slot; n_disks: none is. */
uint32_t vm_disk_in_slot(const struct vm_spec *spec, uint32_t slot);
void vm_disk_name(const struct vm_spec *spec, uint32_t i, char ret_name[VM_DISK_NAME_SIZE]);
/* By its name ("disk1"), or by what vm_disk_label says. NOT_FOUND "disk-not-found" with all that there are.
 */
int vm_disks_find(const struct vm_spec *spec, const char *name, uint32_t *ret_i, struct err *err);
/* At the end of the list, in the first free slot; the spec is not checked (vm_spec_check). REFUSED
 * "disk-too-many". */
int vm_disks_add(struct vm_spec *spec, const struct vm_disk *disk, uint32_t *ret_i, struct err *err);
/* The others keep their slots. */
void vm_disks_remove(struct vm_spec *spec, uint32_t i);
/* The first one that is no CD, if there is no kernel: what the firmware boots. */
bool vm_disk_is_boot(const struct vm_spec *spec, uint32_t i);

/* What is asked of a VM that is to get one disk more. */
struct vm_disk_wish {
    struct vm_disk disk;
    bool is_new;            /* the image is made: */
    uint64_t size_bytes;    /* 0: that of what it is made from */
    struct vm_disk from;    /* it begins as a copy of that image; else empty */
    struct vm_disk backing; /* it begins as that image, which it goes on needing; else empty */
};
#define VM_DISK_SIZE_MIN (1ull << 20)
#define VM_DISK_SIZE_MAX (1ull << 46)
/* {"disk": {...}, "create": {"size_bytes", "from": {...}, "backing": {...}}}; without `create` the image is
 * there. ERR_BAD_REQUEST that names the member. A new disk may leave its file out. */
int vm_disk_wish_from_json(JsonObject *object, struct vm_disk_wish *ret_wish, struct err *err);
JsonObject *vm_disk_wish_to_json(const struct vm_disk_wish *wish); /* transfer full */
/* A whole number of blocks of 512 bytes within the limits above, else BAD_REQUEST "field-out-of-range". */
int vm_disk_check_size(const char *where, uint64_t bytes, struct err *err);
/* The member `medium` of a request: an image for a CD drive. */
int vm_disk_medium_from_json(JsonObject *object, struct vm_disk *ret_medium, struct err *err);
/* Where an image is and what it is, alone: {"datastore", "file", "format", ...}. */
int vm_disk_from_json(JsonObject *object, struct vm_disk *ret_disk, struct err *err);
JsonObject *vm_disk_to_json(const struct vm_disk *disk); /* transfer full */

#endif
