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
    NUMBER(struct reach_wish, pings, 0, REACH_PINGS_MAX, NEWER),
    FIELDS_END,
};

static const struct field pair_fields[] = {
    TEXT(struct reach_pair, from, &rule_address),
    TEXT(struct reach_pair, to, &rule_address),
    BOOL(struct reach_pair, connects),
    COUNT(struct reach_pair, mtu),
    COUNT(struct reach_pair, path_mtu),
    COUNT(struct reach_pair, n_sent),
    COUNT(struct reach_pair, n_received),
    COUNT(struct reach_pair, min_us),
    COUNT(struct reach_pair, average_us),
    COUNT(struct reach_pair, max_us),
    COUNT(struct reach_pair, jitter_us),
    TEXTS(struct reach_pair, macs, NULL),
    FIELDS_END,
};

static const struct field report_fields[] = {
    LIST(struct reach_report, pairs, pair_fields),
    FIELDS_END,
};

JsonObject *reach_wish_to_json(const struct reach_wish *wish)
{
    return fields_write_lean(wish_fields, wish);
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

JsonObject *reach_report_to_json(const struct reach_report *report)
{
    return fields_write(report_fields, report);
}

int reach_report_from_json(JsonObject *object, struct reach_report *ret_report, struct err *err)
{
    *ret_report = (struct reach_report){0};
    return fields_read(object, report_fields, ret_report, FIELDS_LENIENT, err) ||
                   fields_check(report_fields, ret_report, err)
               ? -1
               : 0;
}
