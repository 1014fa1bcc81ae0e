/* SPDX-License-Identifier: Apache-2.0 */
#include "model/reach.h"

#include "model/fields.h"

static const struct field wish_fields[] = {
    TEXT(struct reach_wish, host, &rule_name),
    TEXT(struct reach_wish, peer, &rule_name),
    TEXTS(struct reach_wish, from, &rule_address),
    TEXTS(struct reach_wish, to, &rule_address),
    NUMBER(struct reach_wish, port, 1, 65535),
    COUNT(struct reach_wish, peer_mtu),
    FIELDS_END,
};

JsonObject *reach_wish_to_json(const struct reach_wish *wish)
{
    return fields_write(wish_fields, wish);
}

int reach_wish_from_json(JsonObject *object, struct reach_wish *ret_wish, struct err *err)
{
    *ret_wish = (struct reach_wish){0};
    if (fields_read(object, wish_fields, ret_wish, FIELDS_STRICT, err) ||
        fields_check(wish_fields, ret_wish, err))
        return -1;
    if (ret_wish->n_from && ret_wish->n_from == ret_wish->n_to)
        return 0;
    return err_set(err, ERR_BAD_REQUEST, "bad-field", "from, to: must be as many addresses, at least one");
}
