/* SPDX-License-Identifier: Apache-2.0 */
#include "model/vm_disks.h"

#include <string.h>

#include "model/vm_fields.h"

#define BLOCK_BYTES 512

bool vm_disk_is_same(const struct vm_disk *one, const struct vm_disk *other)
{
    return !vm_disk_is_empty(one) && !strcmp(one->path, other->path) &&
           !strcmp(one->datastore, other->datastore) && !strcmp(one->file, other->file);
}

uint32_t vm_disk_slot(const struct vm_spec *spec, uint32_t i)
{
    return spec->disks[i].slot ? spec->disks[i].slot : i + 1;
}

void vm_disk_name(const struct vm_spec *spec, uint32_t i, char ret_name[VM_DISK_NAME_SIZE])
{
    (void)g_snprintf(ret_name, VM_DISK_NAME_SIZE, "disk%u", vm_disk_slot(spec, i) - 1);
}

/* "disk0 (shared:a.qcow2), disk1 (...)" or "none"; g_free. */
static char *names_of(const struct vm_spec *spec)
{
    GString *text = g_string_new(NULL);
    for (uint32_t i = 0; i < spec->n_disks; i++) {
        char name[VM_DISK_NAME_SIZE], label[DISK_LABEL_MAX];
        vm_disk_name(spec, i, name);
        vm_disk_label(&spec->disks[i], label);
        g_string_append_printf(text, "%s%s (%s)", text->len ? ", " : "", name, *label ? label : "empty");
    }
    return g_string_free(text->len ? text : g_string_append(text, "none"), FALSE);
}

int vm_disks_find(const struct vm_spec *spec, const char *name, uint32_t *ret_i, struct err *err)
{
    for (uint32_t i = 0; i < spec->n_disks; i++) {
        char its_name[VM_DISK_NAME_SIZE], label[DISK_LABEL_MAX];
        vm_disk_name(spec, i, its_name);
        vm_disk_label(&spec->disks[i], label);
        *ret_i = i;
        if (!strcmp(name, its_name) || (*label && !strcmp(name, label)))
            return 0;
    }
    g_autofree char *names = names_of(spec);
    (void)err_set(err, ERR_NOT_FOUND, "disk-not-found", "VM '%s' has no disk '%s'", spec->name, name);
    (void)err_cause(err, "it has %s", names);
    (void)err_arg(err, "vm", "%s", spec->name);
    (void)err_arg(err, "disk", "%s", name);
    return err_fix(err, "name it as 'godwit vm disk ls %s' does", spec->name);
}

uint32_t vm_disk_in_slot(const struct vm_spec *spec, uint32_t slot)
{
    uint32_t i = 0;
    while (i < spec->n_disks && vm_disk_slot(spec, i) != slot)
        i++;
    return i;
}

static bool is_free(const struct vm_spec *spec, uint32_t slot)
{
    return vm_disk_in_slot(spec, slot) == spec->n_disks;
}

/* A slot that is the one of its place is not written down: the version before knows none. */
static void set_slot(struct vm_spec *spec, uint32_t i, uint32_t slot)
{
    spec->disks[i].slot = slot == i + 1 ? 0 : slot;
}

int vm_disks_add(struct vm_spec *spec, const struct vm_disk *disk, uint32_t *ret_i, struct err *err)
{
    if (spec->n_disks == VM_DISKS_MAX) {
        (void)err_set(err, ERR_REFUSED, "disk-too-many", "VM '%s' has %d disks and can have no more",
                      spec->name, VM_DISKS_MAX);
        (void)err_arg(err, "vm", "%s", spec->name);
        (void)err_arg(err, "max", "%d", VM_DISKS_MAX);
        return err_fix(err, "detach one (godwit vm disk detach %s DISK), or make one larger", spec->name);
    }
    uint32_t slot = 1;
    while (!is_free(spec, slot))
        slot++;
    *ret_i = spec->n_disks++;
    spec->disks[*ret_i] = *disk;
    spec->disks[*ret_i].moves = 0;
    set_slot(spec, *ret_i, slot);
    return 0;
}

void vm_disks_remove(struct vm_spec *spec, uint32_t i)
{
    uint32_t slots[VM_DISKS_MAX];
    for (uint32_t j = 0; j < spec->n_disks; j++)
        slots[j] = vm_disk_slot(spec, j);
    spec->n_disks--;
    for (uint32_t j = i; j < spec->n_disks; j++) {
        spec->disks[j] = spec->disks[j + 1];
        set_slot(spec, j, slots[j + 1]);
    }
    spec->disks[spec->n_disks] = (struct vm_disk){0};
}

bool vm_disk_is_boot(const struct vm_spec *spec, uint32_t i)
{
    if (*spec->kernel || vm_disk_is_cdrom(&spec->disks[i]))
        return false;
    for (uint32_t j = 0; j < spec->n_disks; j++)
        if (!vm_disk_is_cdrom(&spec->disks[j]) && vm_disk_slot(spec, j) < vm_disk_slot(spec, i))
            return false;
    return true;
}

/* ---- JSON ---- */

int vm_disk_from_json(JsonObject *object, struct vm_disk *ret_disk, struct err *err)
{
    *ret_disk = (struct vm_disk){0};
    if (fields_read(object, vm_disk_fields, ret_disk, FIELDS_STRICT, err))
        return -1;
    return fields_check(vm_disk_fields, ret_disk, err);
}

JsonObject *vm_disk_to_json(const struct vm_disk *disk)
{
    return fields_write(vm_disk_fields, disk);
}

int vm_disk_check_size(const char *where, uint64_t bytes, struct err *err)
{
    if (bytes >= VM_DISK_SIZE_MIN && bytes <= VM_DISK_SIZE_MAX && bytes % BLOCK_BYTES == 0)
        return 0;
    return fields_refuse("field-out-of-range", where,
                         "a multiple of 512, from 1 MiB (1048576) to 64 TiB (70368744177664)", err);
}

/* -1 unless there is an object of that name; NULL if there is no such member and it may be absent. */
static int take_object(JsonObject *object, const char *member, bool is_needed, JsonObject **ret,
                       struct err *err)
{
    JsonNode *node = json_object_get_member(object, member);
    *ret = node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
    if (*ret || (!node && !is_needed))
        return 0;
    if (node) {
        (void)err_set(err, ERR_BAD_REQUEST, "member-type", "the member '%s' must be an object", member);
        (void)err_arg(err, "must", "an object");
    } else {
        (void)err_set(err, ERR_BAD_REQUEST, "member-missing", "the request needs the member '%s'", member);
    }
    return err_arg(err, "member", "%s", member);
}

static int refuse_others(JsonObject *object, const char *const *allowed, const char *where, struct err *err)
{
    g_autoptr(GList) members = json_object_get_members(object);
    for (GList *at = members; at; at = at->next) {
        if (g_strv_contains(allowed, at->data))
            continue;
        g_autofree char *names = g_strjoinv(", ", (char **)allowed);
        (void)err_set(err, ERR_BAD_REQUEST, "unknown-member", "%s has an unknown member '%s'", where,
                      (const char *)at->data);
        (void)err_arg(err, "where", "%s", where);
        (void)err_arg(err, "member", "%s", (const char *)at->data);
        return err_fix(err, "members known here: %s", names);
    }
    return 0;
}

/* An image of `object`, which is somewhere unless it may be nowhere yet. */
static int take_disk(JsonObject *object, const char *member, bool may_be_nowhere, struct vm_disk *ret_disk,
                     struct err *err)
{
    if (vm_disk_from_json(object, ret_disk, err))
        return err_prefix(err, "%s", member);
    if (*ret_disk->path && *ret_disk->datastore)
        return fields_refuse("field-invalid", "path", "empty where datastore and file say where it is", err);
    if (*ret_disk->file && !*ret_disk->datastore)
        return fields_refuse("field-invalid", "datastore", "the datastore that has the file", err);
    if (*ret_disk->datastore && !*ret_disk->file && !may_be_nowhere)
        return fields_refuse("field-invalid", "file", "the file on the datastore", err);
    return *ret_disk->path || *ret_disk->datastore
               ? 0
               : fields_refuse("field-invalid", "datastore", "a datastore (or path be that of a file)", err);
}

static int take_source(JsonObject *create, const char *member, struct vm_disk *ret_disk, struct err *err)
{
    JsonObject *object;
    if (take_object(create, member, false, &object, err))
        return -1;
    return object ? take_disk(object, member, false, ret_disk, err) : 0;
}

int vm_disk_medium_from_json(JsonObject *object, struct vm_disk *ret_medium, struct err *err)
{
    JsonObject *medium;
    if (take_object(object, "medium", true, &medium, err) ||
        take_disk(medium, "medium", false, ret_medium, err))
        return -1;
    g_strlcpy(ret_medium->media, "cdrom", sizeof ret_medium->media);
    g_strlcpy(ret_medium->bus, "", sizeof ret_medium->bus);
    ret_medium->slot = 0;
    ret_medium->moves = 0;
    return 0;
}

static int take_creation(JsonObject *create, struct vm_disk_wish *wish, struct err *err)
{
    static const char *const members[] = {"size_bytes", "from", "backing", NULL};
    JsonNode *size = json_object_get_member(create, "size_bytes");
    if (refuse_others(create, members, "create", err) || take_source(create, "from", &wish->from, err) ||
        take_source(create, "backing", &wish->backing, err))
        return -1;
    bool has_source = *wish->from.format || *wish->backing.format;
    if (*wish->from.format && *wish->backing.format)
        return fields_refuse("field-invalid", "backing", "left out where there is 'from'", err);
    if (!size && has_source)
        return 0;
    bool is_number = size && json_node_get_value_type(size) == G_TYPE_INT64;
    wish->size_bytes = is_number ? (uint64_t)MAX(json_node_get_int(size), 0) : 0;
    return vm_disk_check_size("size_bytes", wish->size_bytes, err);
}

int vm_disk_wish_from_json(JsonObject *object, struct vm_disk_wish *ret_wish, struct err *err)
{
    static const char *const members[] = {"disk", "create", NULL};
    JsonObject *disk, *create;
    *ret_wish = (struct vm_disk_wish){0};
    if (refuse_others(object, members, "the request", err) || take_object(object, "disk", true, &disk, err) ||
        take_object(object, "create", false, &create, err))
        return -1;
    ret_wish->is_new = create != NULL;
    if (take_disk(disk, "disk", create != NULL, &ret_wish->disk, err))
        return -1;
    if (ret_wish->disk.slot)
        return fields_refuse("field-invalid", "slot", "left out: the first free one is taken", err);
    if (!create)
        return 0;
    if (!*ret_wish->disk.datastore)
        return fields_refuse("field-invalid", "datastore", "given: a new image is made on a datastore", err);
    if (vm_disk_is_cdrom(&ret_wish->disk))
        return fields_refuse("field-invalid", "media", "\"disk\" or empty for a new image", err);
    return take_creation(create, ret_wish, err);
}

JsonObject *vm_disk_wish_to_json(const struct vm_disk_wish *wish)
{
    JsonObject *object = json_object_new();
    json_object_set_object_member(object, "disk", vm_disk_to_json(&wish->disk));
    if (!wish->is_new)
        return object;
    JsonObject *create = json_object_new();
    if (wish->size_bytes)
        json_object_set_int_member(create, "size_bytes", (gint64)wish->size_bytes);
    if (*wish->from.format)
        json_object_set_object_member(create, "from", vm_disk_to_json(&wish->from));
    if (*wish->backing.format)
        json_object_set_object_member(create, "backing", vm_disk_to_json(&wish->backing));
    json_object_set_object_member(object, "create", create);
    return object;
}
