/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One disk of a VM as QEMU knows it: block nodes and device. The command line and a running QEMU get the
 * same, so that a VM whose disk came while it ran has the same device tree as one that was started with it,
 * and can move to it. N is the slot less one (model/vm_disks.h). Pure.
 */
#ifndef QEMU_DISK_DEVICE_H
#define QEMU_DISK_DEVICE_H

#include <json-glib/json-glib.h>
#include <stdbool.h>

#include "model/vm.h"
#include "model/vm_disks.h"

#define DISK_NODE_SIZE 24
/* A virtio-blk disk is at this slot of the root bus, plus N: no disk can be plugged in there while QEMU runs.
 */
#define DISK_PCI_SLOT 0x10

/* A file with its format: two block nodes, "NODE" on "NODE-file". */
struct block_image {
    char node[DISK_NODE_SIZE];
    const char *path;
    const char *format;
    bool is_read_only;
};
/* Arguments of blockdev-add, and of -blockdev. Transfer full. */
JsonObject *block_file_node(const struct block_image *image);
JsonObject *block_format_node(const struct block_image *image);

/* "diskN", "diskN-file" and "vdiskN" of the i-th disk. Nodes of one that has moved M times to another
 * datastore under its QEMU are "diskN.M": the old image and the new one are in one QEMU for a while, and a
 * node keeps its name as long as it lives. */
void disk_node(const struct vm_spec *spec, uint32_t i, char ret_node[DISK_NODE_SIZE]);
void disk_file_node(const struct vm_spec *spec, uint32_t i, char ret_node[DISK_NODE_SIZE]);
void disk_device_id(const struct vm_spec *spec, uint32_t i, char ret_id[DISK_NODE_SIZE]);
/* Whether a member "qdev" of query-block means that device: a virtio-blk disk is the child of its PCI device.
 */
bool disk_device_is(const char *qdev, const char *id);
/* False: an empty drive has no image. Borrows both paths and spec. */
bool disk_image_of(const struct vm_spec *spec, uint32_t i, const char *path, struct block_image *ret_image);
/* Arguments of device_add; transfer full. The same as an option of -device; g_free. */
JsonObject *disk_device(const struct vm_spec *spec, uint32_t i);
char *disk_device_option(const struct vm_spec *spec, uint32_t i);

#endif
