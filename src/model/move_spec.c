/* SPDX-License-Identifier: Apache-2.0 */
#include "model/move.h"

#include <string.h>

#include "model/move_fields.h"
#include "model/vm_fields.h"

static const struct field disk_fields[] = {
    NUMBER(struct move_disk, disk, 0, VM_DISKS_MAX - 1),
    COUNT(struct move_disk, size_bytes),
    COUNT(struct move_disk, used_bytes),
    FIELDS_END,
};

static const struct field disks_only[] = {
    LIST(struct move_spec, disks, disk_fields),
    FIELDS_END,
};

static const struct field spec_fields[] = {
    TEXT(struct move_spec, id, &rule_uuid),
    OBJECT(struct move_spec, vm, vm_fields),
    LIST(struct move_spec, disks, disk_fields, NEWER),
    TEXT(struct move_spec, accel, &rule_accel_or_empty),
    TEXT(struct move_spec, source, &rule_name),
    TEXT(struct move_spec, destination, &rule_name),
    COUNT(struct move_spec, epoch),
    NUMBER(struct move_spec, n_channels, 0, MOVE_CHANNELS_MAX),
    TEXTS(struct move_spec, addresses, &rule_address),
    NUMBER(struct move_spec, port, 1, 65535),
    TEXTS(struct move_spec, source_addresses, &rule_address),
    HEX(struct move_spec, key, true),
    BOOL(struct move_spec, encrypt, NEWER),
    OBJECT(struct move_spec, options, move_options_fields),
    HEX(struct move_spec, commit_hash, false),
    HEX(struct move_spec, ready_hash, false),
    HEX(struct move_spec, running_hash, false),
    HEX(struct move_spec, aborted_hash, false),
    HEX(struct move_spec, returned_hash, false),
    HEX(struct move_spec, ticket, false),
    FIELDS_END,
};

JsonObject *move_spec_to_json(const struct move_spec *spec)
{
    return fields_write_lean(spec_fields, spec);
}

int move_spec_from_json(JsonObject *object, struct move_spec *ret_spec, struct err *err)
{
    *ret_spec = (struct move_spec){0};
    vm_spec_init(&ret_spec->vm);
    move_options_init(&ret_spec->options);
    if (fields_read(object, spec_fields, ret_spec, FIELDS_STRICT, err))
        return -1;
    vm_spec_normalize(&ret_spec->vm);
    if (fields_check(spec_fields, ret_spec, err))
        return -1;
    for (uint32_t i = 0; i < ret_spec->n_disks; i++)
        if (ret_spec->disks[i].disk >= ret_spec->vm.n_disks ||
            (i && ret_spec->disks[i].disk <= ret_spec->disks[i - 1].disk))
            return fields_refuse("move-disk", "disks", "be numbers of disks that the VM has, in their order",
                                 err);
    if (vm_spec_check(&ret_spec->vm, err))
        return err_prefix(err, "vm");
    return 0;
}

JsonObject *move_disks_to_json(const struct move_spec *spec)
{
    return fields_write(disks_only, spec);
}

int move_disks_from_json(JsonObject *object, struct move_spec *spec, struct err *err)
{
    g_autofree struct move_spec *said = g_new0(struct move_spec, 1);
    bool is_same = true;
    if (fields_read(object, disks_only, said, FIELDS_LENIENT, err))
        return -1;
    for (uint32_t i = 0; i < spec->n_disks && i < said->n_disks; i++)
        is_same = is_same && spec->disks[i].disk == said->disks[i].disk;
    if (!is_same || spec->n_disks != said->n_disks)
        return fields_refuse("move-disk", "disks", "be those of the question", err);
    memcpy(spec->disks, said->disks, sizeof spec->disks);
    return 0;
}

bool move_is_here(const struct move_spec *spec)
{
    return spec->source[0] && !strcmp(spec->source, spec->destination);
}
