/* SPDX-License-Identifier: Apache-2.0 */
#include "qemu/disk_device.h"

#include <glib.h>
#include <string.h>

/* Writes go through the page cache: pages written by direct I/O would be missed by write tracking. */
static void add_image_options(JsonObject *node, const struct block_image *image)
{
    JsonObject *cache = json_object_new();
    json_object_set_string_member(node, "discard", "unmap");
    if (image->is_read_only)
        json_object_set_boolean_member(node, "read-only", TRUE);
    json_object_set_boolean_member(cache, "direct", FALSE);
    json_object_set_boolean_member(cache, "no-flush", FALSE);
    json_object_set_object_member(node, "cache", cache);
}

static void name_file_node(const char *node, char ret[DISK_NODE_SIZE])
{
    (void)g_snprintf(ret, DISK_NODE_SIZE, "%s-file", node);
}

JsonObject *block_file_node(const struct block_image *image)
{
    JsonObject *node = json_object_new();
    char name[DISK_NODE_SIZE];
    name_file_node(image->node, name);
    json_object_set_string_member(node, "driver", "file");
    json_object_set_string_member(node, "node-name", name);
    json_object_set_string_member(node, "filename", image->path);
    json_object_set_string_member(node, "aio", "threads");
    json_object_set_string_member(node, "locking", "on");
    add_image_options(node, image);
    return node;
}

JsonObject *block_format_node(const struct block_image *image)
{
    JsonObject *node = json_object_new();
    char file[DISK_NODE_SIZE];
    name_file_node(image->node, file);
    json_object_set_string_member(node, "driver", image->format);
    json_object_set_string_member(node, "node-name", image->node);
    json_object_set_string_member(node, "file", file);
    add_image_options(node, image);
    return node;
}

void disk_node(const struct vm_spec *spec, uint32_t i, char ret_node[DISK_NODE_SIZE])
{
    uint32_t number = vm_disk_slot(spec, i) - 1, moves = spec->disks[i].moves;
    if (moves)
        (void)g_snprintf(ret_node, DISK_NODE_SIZE, "disk%u.%u", number, moves);
    else
        (void)g_snprintf(ret_node, DISK_NODE_SIZE, "disk%u", number);
}

void disk_file_node(const struct vm_spec *spec, uint32_t i, char ret_node[DISK_NODE_SIZE])
{
    char node[DISK_NODE_SIZE];
    disk_node(spec, i, node);
    name_file_node(node, ret_node);
}

void disk_device_id(const struct vm_spec *spec, uint32_t i, char ret_id[DISK_NODE_SIZE])
{
    (void)g_snprintf(ret_id, DISK_NODE_SIZE, "vdisk%u", vm_disk_slot(spec, i) - 1);
}

bool disk_device_is(const char *qdev, const char *id)
{
    g_autofree char *child = g_strdup_printf("/%s/", id);
    return !strcmp(qdev, id) || strstr(qdev, child);
}

bool disk_image_of(const struct vm_spec *spec, uint32_t i, const char *path, struct block_image *ret_image)
{
    const struct vm_disk *disk = &spec->disks[i];
    *ret_image =
        (struct block_image){.path = path, .format = disk->format, .is_read_only = vm_disk_is_cdrom(disk)};
    disk_node(spec, i, ret_image->node);
    return !vm_disk_is_empty(disk);
}

static void place(JsonObject *device, const struct vm_disk *disk, uint32_t number)
{
    if (vm_disk_is_scsi(disk)) {
        json_object_set_string_member(device, "bus", "scsi.0");
        json_object_set_int_member(device, "scsi-id", number);
    } else {
        g_autofree char *address = g_strdup_printf("0x%x", DISK_PCI_SLOT + number);
        json_object_set_string_member(device, "bus", "pcie.0");
        json_object_set_string_member(device, "addr", address);
    }
}

JsonObject *disk_device(const struct vm_spec *spec, uint32_t i)
{
    const struct vm_disk *disk = &spec->disks[i];
    JsonObject *device = json_object_new();
    uint32_t slot = vm_disk_slot(spec, i);
    char id[DISK_NODE_SIZE], node[DISK_NODE_SIZE];
    disk_device_id(spec, i, id);
    disk_node(spec, i, node);
    json_object_set_string_member(device, "driver",
                                  vm_disk_is_cdrom(disk)  ? "scsi-cd"
                                  : vm_disk_is_scsi(disk) ? "scsi-hd"
                                                          : "virtio-blk-pci");
    json_object_set_string_member(device, "id", id);
    if (!vm_disk_is_empty(disk))
        json_object_set_string_member(device, "drive", node);
    place(device, disk, slot - 1);
    json_object_set_int_member(device, "bootindex", slot);
    return device;
}

char *disk_device_option(const struct vm_spec *spec, uint32_t i)
{
    g_autoptr(JsonObject) device = disk_device(spec, i);
    g_autoptr(GList) members = json_object_get_members(device);
    GString *text = g_string_new(NULL);
    for (GList *at = members; at; at = at->next) {
        JsonNode *value = json_object_get_member(device, at->data);
        if (at != members)
            g_string_append_printf(text, ",%s=", (const char *)at->data);
        if (json_node_get_value_type(value) == G_TYPE_STRING)
            (void)g_string_append(text, json_node_get_string(value));
        else
            g_string_append_printf(text, "%d", (int)json_node_get_int(value));
    }
    return g_string_free(text, FALSE);
}
