/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/routes_forecasts.h"

#include <string.h>

#include "agent/forecast.h"
#include "agent/routes_vms.h"

/* Body as a move_spec whose id is the path's. */
static int take_spec(struct http_request *request, struct move_spec *ret_spec, struct err *err)
{
    JsonObject *body;
    if (http_body(request, &body, err) < 0 || move_spec_from_json(body, ret_spec, err) < 0)
        return -1;
    if (strcmp(ret_spec->id, http_param(request, "id")) != 0)
        return err_set(err, ERR_BAD_REQUEST, "bad-id", "id: differs from the one in the path");
    if (!ret_spec->n_channels)
        return err_set(err, ERR_BAD_REQUEST, "bad-field", "n_channels: must be chosen");
    return 0;
}

void route_forecast_destination(struct http_request *request, void *user)
{
    struct move_spec spec;
    struct err err = {0};
    if (!route_allowed(request))
        return;
    if (take_spec(request, &spec, &err) < 0 || forecast_destination(user, &spec, &err) < 0) {
        http_fail(request, &err);
        return;
    }
    JsonObject *object = json_object_new();
    json_object_set_object_member(object, "spec", move_spec_to_json(&spec));
    explicit_bzero(&spec, sizeof spec);
    http_reply(request, 200, object);
}

static void set_number(JsonObject *object, const char *name, uint64_t value)
{
    json_object_set_int_member(object, name, (gint64)value);
}

/* Whole microseconds are enough. */
static void set_ms(JsonObject *object, const char *name, uint64_t ns)
{
    json_object_set_double_member(object, name, (double)(ns / 1000) / 1e3);
}

static void set_mb_s(JsonObject *object, const char *name, uint64_t bytes_s)
{
    json_object_set_double_member(object, name, (double)(bytes_s / 100000) / 10);
}

static JsonObject *forecast_to_json(const struct ctl_forecast *found, const char *dirty_source)
{
    JsonObject *object = json_object_new();
    set_ms(object, "duration_ms", found->duration_ns);
    set_ms(object, "downtime_ms", found->downtime_ns);
    json_object_set_boolean_member(object, "needs_sdps", found->needs_sdps != 0);
    json_object_set_boolean_member(object, "converges", found->converges != 0);
    set_number(object, "rounds", found->n_rounds);
    set_number(object, "ram_used_bytes", found->used_bytes);
    set_number(object, "zero_percent", found->zero_percent);
    set_number(object, "wire_percent", found->wire_percent);
    set_mb_s(object, "dirty_mb_s", found->dirty_bytes_s);
    set_number(object, "working_set_bytes", found->working_set_bytes);
    set_mb_s(object, "link_mb_s", found->link_bytes_s);
    set_mb_s(object, "first_mb_s", found->first_bytes_s);
    set_mb_s(object, "again_mb_s", found->again_bytes_s);
    set_ms(object, "rtt_ms", found->sync_ns);
    json_object_set_string_member(object, "dirty_source", dirty_source);
    return object;
}

static void on_found(const struct ctl_forecast *found, const char *dirty_source, const struct err *err,
                     void *user)
{
    if (!found) {
        http_fail(user, err);
        return;
    }
    JsonObject *object = json_object_new();
    json_object_set_object_member(object, "forecast", forecast_to_json(found, dirty_source));
    http_reply(user, 200, object);
}

void route_forecast_source(struct http_request *request, void *user)
{
    struct move_spec spec;
    struct err err = {0};
    if (!route_allowed(request))
        return;
    if (take_spec(request, &spec, &err) < 0) {
        http_fail(request, &err);
        return;
    }
    forecast_source(user, &spec, on_found, request);
    explicit_bzero(&spec, sizeof spec);
}
