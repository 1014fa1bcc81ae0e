/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/filters.h"

#include <string.h>

#include "manager/event_types.h"
#include "manager/routes.h"
#include "manager/task.h"

#define EVENTS_LIMIT_DEFAULT 1000
#define TASKS_LIMIT_DEFAULT 100
#define LIMIT_MAX 1000

static int check_names(struct http_request *request, const char *const *names, struct err *err)
{
    const char *unknown = http_query_other(request, names);
    if (!unknown)
        return 0;
    g_autofree char *known = g_strjoinv(", ", (char **)names);
    (void)err_set(err, ERR_BAD_REQUEST, "query", "%s= is no field of this request", unknown);
    (void)err_arg(err, "field", "%s", unknown);
    return err_fix(err, "fields: %s", known);
}

static int read_task(struct http_request *request, const char *name, char ret_id[MODEL_UUID_SIZE],
                     struct err *err)
{
    const char *value = http_query(request, name);
    ret_id[0] = '\0';
    if (!value)
        return 0;
    if (!model_uuid_is_valid(value)) {
        (void)routes_refuse_query(name, value, "the id of a task", err);
        return err_fix(err, "list them with 'godwit task ls'");
    }
    (void)g_strlcpy(ret_id, value, MODEL_UUID_SIZE);
    return 0;
}

static int read_number(struct http_request *request, const char *name, uint64_t highest, uint64_t *ret_number,
                       struct err *err)
{
    const char *value = http_query(request, name);
    guint64 number;
    if (!value)
        return 0;
    if (!g_ascii_string_to_unsigned(value, 10, 1, highest, &number, NULL)) {
        (void)routes_refuse_query(name, value, "a whole number", err);
        return err_fix(err, "give one from 1 to %llu", (unsigned long long)highest);
    }
    *ret_number = number;
    return 0;
}

static int read_limit(struct http_request *request, unsigned fallback, unsigned *ret_limit, struct err *err)
{
    uint64_t limit = fallback;
    if (read_number(request, "limit", LIMIT_MAX, &limit, err))
        return -1;
    *ret_limit = (unsigned)limit;
    return 0;
}

/* 0 if it is absent. A day alone begins at midnight, and without a zone it is UTC. */
static int read_time(struct http_request *request, const char *name, int64_t *ret_ms, struct err *err)
{
    const char *value = http_query(request, name);
    *ret_ms = 0;
    if (!value)
        return 0;
    g_autofree char *whole = g_strconcat(value, strchr(value, 'T') ? "" : "T00:00:00", NULL);
    g_autoptr(GTimeZone) utc = g_time_zone_new_utc();
    g_autoptr(GDateTime) time = g_date_time_new_from_iso8601(whole, utc);
    if (!time || g_date_time_to_unix(time) <= 0) {
        (void)routes_refuse_query(name, value, "a time", err);
        return err_fix(err, "write it like 2026-11-23, 2026-11-23T01:29:38Z or 2026-11-23T02:29:38+01:00");
    }
    *ret_ms = g_date_time_to_unix(time) * 1000 + g_date_time_get_microsecond(time) / 1000;
    return 0;
}

/* An event's id, or a time. */
static int read_since(struct http_request *request, struct db_event_filter *filter, struct err *err)
{
    const char *value = http_query(request, "since");
    guint64 id;
    if (value && g_ascii_string_to_unsigned(value, 10, 0, G_MAXINT64, &id, NULL)) {
        filter->after = id;
        return 0;
    }
    if (!read_time(request, "since", &filter->since_ms, err))
        return 0;
    (void)routes_refuse_query("since", value, "the id of an event, or a time", err);
    return err_fix(err, "write a time like 2026-11-23 or 2026-11-23T01:29:38Z");
}

static int read_type(struct http_request *request, char ret_type[MODEL_NAME_MAX], struct err *err)
{
    const char *value = http_query(request, "type");
    ret_type[0] = '\0';
    if (!value)
        return 0;
    if (event_type_from_name(value) == EVENT_NONE) {
        (void)routes_refuse_query("type", value, "the type of an event", err);
        return err_fix(err, "list them with 'godwit event types'");
    }
    (void)g_strlcpy(ret_type, value, MODEL_NAME_MAX);
    return 0;
}

static int read_severity(struct http_request *request, unsigned *ret_severity, struct err *err)
{
    const char *value = http_query(request, "severity");
    if (!value || !event_severity_from_name(value, ret_severity))
        return 0;
    (void)routes_refuse_query("severity", value, "info, warning or error", err);
    return err_fix(err, "give the least grave that is wanted");
}

static int read_state(struct http_request *request, char ret_state[MODEL_NAME_MAX], struct err *err)
{
    const char *value = http_query(request, "state");
    g_autoptr(GString) names = g_string_new(NULL);
    ret_state[0] = '\0';
    for (enum task_state state = TASK_QUEUED; value && state <= TASK_CANCELLED; state++) {
        const char *name = task_state_name(state);
        g_string_append_printf(names, "%s%s", state ? ", " : "", name);
        if (!strcmp(name, value))
            (void)g_strlcpy(ret_state, value, MODEL_NAME_MAX);
    }
    if (!value || ret_state[0])
        return 0;
    (void)routes_refuse_query("state", value, "the state of a task", err);
    return err_fix(err, "give one of %s", names->str);
}

int filters_read_events(struct http_request *request, bool is_stream, struct db_event_filter *ret_filter,
                        struct err *err)
{
    static const char *const listed[] = {"vm",    "host",  "task",  "type",   "severity", "user",
                                         "since", "until", "limit", "before", NULL};
    static const char *const streamed[] = {"vm", "host", "task", "type", "severity", "user", "since", NULL};
    *ret_filter = (struct db_event_filter){0};
    if (check_names(request, is_stream ? streamed : listed, err) ||
        routes_query_name(request, "vm", ret_filter->vm, err) ||
        routes_query_name(request, "host", ret_filter->host, err) ||
        read_task(request, "task", ret_filter->task, err) || read_type(request, ret_filter->type, err) ||
        read_severity(request, &ret_filter->severity, err) ||
        routes_query_name(request, "user", ret_filter->user, err) || read_since(request, ret_filter, err) ||
        read_time(request, "until", &ret_filter->until_ms, err) ||
        read_number(request, "before", G_MAXINT64, &ret_filter->before, err) ||
        read_limit(request, EVENTS_LIMIT_DEFAULT, &ret_filter->limit, err))
        return -1;
    ret_filter->is_newest = !is_stream && !http_query(request, "since");
    return 0;
}

int filters_read_tasks(struct http_request *request, struct db_task_filter *ret_filter, struct err *err)
{
    static const char *const names[] = {"vm",    "host",  "state",  "user", "since",
                                        "until", "limit", "before", NULL};
    *ret_filter = (struct db_task_filter){0};
    return check_names(request, names, err) || routes_query_name(request, "vm", ret_filter->vm, err) ||
                   routes_query_name(request, "host", ret_filter->host, err) ||
                   read_state(request, ret_filter->state, err) ||
                   routes_query_name(request, "user", ret_filter->user, err) ||
                   read_time(request, "since", &ret_filter->since_ms, err) ||
                   read_time(request, "until", &ret_filter->until_ms, err) ||
                   read_task(request, "before", ret_filter->before, err) ||
                   read_limit(request, TASKS_LIMIT_DEFAULT, &ret_filter->limit, err)
               ? -1
               : 0;
}
