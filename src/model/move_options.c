/* SPDX-License-Identifier: Apache-2.0 */
#include "model/move.h"
#include "model/move_fields.h"

#include <string.h>

/* 1 TB/s: more than any link, less than an overflow of bytes per second. */
#define BANDWIDTH_MAX_MB_S 1000000

const struct field move_options_fields[] = {
    NUMBER(struct move_options, max_downtime_ms, 1, 10000),
    NUMBER(struct move_options, switchover_limit_s, 1, 3600),
    NUMBER(struct move_options, bandwidth_mb_s, 0, BANDWIDTH_MAX_MB_S),
    NUMBER(struct move_options, channels, 0, MOVE_CHANNELS_MAX),
    NUMBER(struct move_options, stun_limit_percent, 0, 100, NEWER),
    NUMBER(struct move_options, resume_limit_s, 0, MOVE_RESUME_LIMIT_MAX_S, NEWER),
    BOOL(struct move_options, sync_clock, NEWER),
    BOOL(struct move_options, verify),
    TEXT(struct move_options, pool, &rule_pool_choice),
    TEXT(struct move_options, datastore, &rule_name_or_empty, NEWER),
    TEXT(struct move_options, compression, &rule_compression_choice, NEWER),
    TEXT(struct move_options, delta, &rule_delta_choice, NEWER),
    TEXT(struct move_options, dirty_source, &rule_dirty_choice),
    TEXT(struct move_options, encryption, &rule_encryption_choice, NEWER),
    TEXT(struct move_options, priority, &rule_priority, NEWER),
    FIELDS_END,
};

void move_options_init(struct move_options *options)
{
    *options =
        (struct move_options){.max_downtime_ms = 100, .switchover_limit_s = 100, .dirty_source = "auto"};
}

JsonObject *move_options_to_json(const struct move_options *options)
{
    return fields_write(move_options_fields, options);
}

int move_options_from_json(JsonObject *object, struct move_options *ret_options, struct err *err)
{
    move_options_init(ret_options);
    if (fields_read(object, move_options_fields, ret_options, FIELDS_STRICT, err))
        return -1;
    /* One form of it, which the version before understands. */
    if (!strcmp(ret_options->priority, "normal"))
        ret_options->priority[0] = '\0';
    return fields_check(move_options_fields, ret_options, err);
}

bool move_is_urgent(const struct move_options *options)
{
    return !strcmp(options->priority, "high");
}
