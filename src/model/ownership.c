/* SPDX-License-Identifier: Apache-2.0 */
#include "model/ownership.h"

#include <string.h>

#include "model/vm_fields.h"

static const struct field ownership_fields[] = {
    TEXT(struct ownership, uuid, NULL),
    TEXT(struct ownership, journal, NULL),
    COUNT(struct ownership, epoch),
    TEXT(struct ownership, session, NULL),
    BOOL(struct ownership, is_destination),
    BOOL(struct ownership, is_registered),
    TEXT(struct ownership, state, NULL),
    SIGNED(struct ownership, pid),
    BOOL(struct ownership, has_guest),
    OBJECT(struct ownership, spec, vm_fields),
    FIELDS_END,
};

static const struct field order_fields[] = {
    BOOL(struct settle_order, is_owner),
    NUMBER(struct settle_order, epoch, 1, INT64_MAX),
    BOOL(struct settle_order, has_spec),
    OBJECT(struct settle_order, spec, vm_fields),
    FIELDS_END,
};

JsonObject *ownership_to_json(const struct ownership *ownership)
{
    JsonObject *object = fields_write(ownership_fields, ownership);
    if (!ownership->is_registered)
        json_object_remove_member(object, "spec");
    return object;
}

int ownership_from_json(JsonObject *object, struct ownership *ret_ownership, struct err *err)
{
    *ret_ownership = (struct ownership){0};
    return fields_read(object, ownership_fields, ret_ownership, FIELDS_LENIENT, err);
}

bool ownership_claims(const char *journal)
{
    static const char *const claims[] = {"OWNED", "SENDING", "RESUMED", NULL};
    return g_strv_contains(claims, journal);
}

JsonObject *settle_order_to_json(const struct settle_order *order)
{
    JsonObject *object = fields_write(order_fields, order);
    if (!order->has_spec)
        json_object_remove_member(object, "spec");
    return object;
}

int settle_order_from_json(JsonObject *object, struct settle_order *ret_order, struct err *err)
{
    *ret_order = (struct settle_order){0};
    vm_spec_init(&ret_order->spec);
    if (fields_read(object, order_fields, ret_order, FIELDS_STRICT, err))
        return -1;
    if (!ret_order->epoch)
        return err_set(err, ERR_BAD_REQUEST, "field-out-of-range", "epoch must be at least 1");
    if (!ret_order->has_spec)
        return 0;
    vm_spec_normalize(&ret_order->spec);
    if (vm_spec_check(&ret_order->spec, err))
        return err_prefix(err, "spec");
    return 0;
}
