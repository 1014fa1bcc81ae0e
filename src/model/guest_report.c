/* SPDX-License-Identifier: Apache-2.0 */
#include "model/guest_report.h"

#include "model/fields.h"

static const char *const notices[] = {
    [NOTICE_OFF] = "off",
    [NOTICE_ACKNOWLEDGED] = "acknowledged",
    [NOTICE_FAILED] = "failed",
    [NOTICE_UNANSWERED] = "unanswered",
};

static const struct field report_fields[] = {
    BOOL(struct guest_report, has_clock),       SIGNED(struct guest_report, clock_offset_us),
    COUNT(struct guest_report, round_trip_us),  BOOL(struct guest_report, clock_was_set),
    ENUM(struct guest_report, notice, notices), COUNT(struct guest_report, notice_ms),
    TEXT(struct guest_report, problem, NULL),   FIELDS_END,
};

static const char *const whens[] = {
    [GUEST_BEFORE] = "before",
    [GUEST_AFTER] = "after",
    [GUEST_ABORTED] = "aborted",
};

static const struct field request_fields[] = {
    ENUM(struct guest_request, when, whens),
    TEXT(struct guest_request, task, &rule_uuid),
    TEXT(struct guest_request, source, &rule_name),
    TEXT(struct guest_request, destination, &rule_name),
    NUMBER(struct guest_request, notice_timeout_s, 0, GUEST_NOTICE_MAX_S),
    BOOL(struct guest_request, set_clock),
    FIELDS_END,
};

const char *guest_when_name(enum guest_when when)
{
    return whens[when];
}

const char *guest_notice_name(enum guest_notice notice)
{
    return notices[notice];
}

JsonObject *guest_report_to_json(const struct guest_report *report)
{
    return fields_write(report_fields, report);
}

int guest_report_from_json(JsonObject *object, struct guest_report *ret_report, struct err *err)
{
    *ret_report = (struct guest_report){0};
    return fields_read(object, report_fields, ret_report, FIELDS_LENIENT, err);
}

JsonObject *guest_request_to_json(const struct guest_request *request)
{
    return fields_write(request_fields, request);
}

int guest_request_from_json(JsonObject *object, struct guest_request *ret_request, struct err *err)
{
    *ret_request = (struct guest_request){0};
    if (fields_read(object, request_fields, ret_request, FIELDS_STRICT, err))
        return -1;
    return fields_check(request_fields, ret_request, err);
}
