/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/clock.h"
#include "manager/auth.h"
#include "manager/ca.h"
#include "manager/events.h"
#include "manager/filters.h"
#include "manager/routes.h"
#include "model/protocol.h"

/* Each call's token is compared with all of them. */
#define TOKENS_MAX 256

void route_about(struct http_request *request, void *user)
{
    struct manager *manager = user;
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "version", MANAGER_VERSION);
    json_object_set_int_member(object, "protocol", PROTOCOL);
    json_object_set_string_member(object, "name", MANAGER_NAME);
    json_object_set_string_member(object, "ca_fingerprint", manager->authority->fingerprint);
    http_reply(request, 200, object);
}

void route_events(struct http_request *request, void *user)
{
    struct manager *manager = user;
    struct err err = {0};
    struct db_event_filter filter;
    JsonArray *events;
    bool more;
    const char *accept = http_header(request, "Accept");
    bool is_stream = !accept || !strstr(accept, "application/json");
    if (filters_read_events(request, is_stream, &filter, &err)) {
        http_fail(request, &err);
        return;
    }
    if (is_stream) {
        events_follow(manager->events, request, &filter);
        return;
    }
    if (events_list(manager->events, &filter, &events, &more, &err)) {
        http_fail(request, &err);
        return;
    }
    JsonObject *object = json_object_new();
    json_object_set_array_member(object, "events", events);
    json_object_set_boolean_member(object, "more", more);
    http_reply(request, 200, object);
}

void route_event_types(struct http_request *request, void *user)
{
    (void)user;
    JsonObject *object = json_object_new();
    json_object_set_array_member(object, "types", events_types_to_json());
    http_reply(request, 200, object);
}

static void tell_token(struct manager *manager, enum event_type type, struct http_request *request,
                       const char *name)
{
    events_emit(manager->events, type, &(struct event){.user = http_user(request), .name = name});
}

static void add_token(const struct db_token *token, void *user)
{
    JsonObject *object = json_object_new();
    char time_text[CLOCK_TEXT_SIZE];
    json_object_set_string_member(object, "name", token->name);
    json_object_set_string_member(object, "created", clock_format(token->created_ms, time_text));
    json_array_add_object_element(user, object);
}

void route_tokens_list(struct http_request *request, void *user)
{
    struct manager *manager = user;
    struct err err = {0};
    g_autoptr(JsonArray) tokens = json_array_new();
    if (db_token_list(manager->db, add_token, tokens, &err)) {
        http_fail(request, &err);
        return;
    }
    JsonObject *object = json_object_new();
    json_object_set_array_member(object, "tokens", json_array_ref(tokens));
    http_reply(request, 200, object);
}

struct token_count {
    const char *name;
    unsigned n_others;
};

static void count_token(const struct db_token *token, void *user)
{
    struct token_count *count = user;
    count->n_others += strcmp(token->name, count->name) != 0;
}

static int check_room(struct manager *manager, const char *name, struct err *err)
{
    struct token_count count = {.name = name};
    if (db_token_list(manager->db, count_token, &count, err))
        return -1;
    if (count.n_others < TOKENS_MAX)
        return 0;
    (void)err_set(err, ERR_REFUSED, "too-many-tokens",
                  "there are %d tokens already, and no more are possible", TOKENS_MAX);
    (void)err_arg(err, "max", "%d", TOKENS_MAX);
    return err_fix(err, "remove one that is not needed: godwit token rm NAME");
}

static int add(struct manager *manager, struct http_request *request, JsonObject **ret_object,
               struct err *err)
{
    static const char *const members[] = {"name", NULL};
    JsonObject *body;
    const char *name;
    char token[AUTH_TOKEN_SIZE];
    if (routes_body(request, members, &body, err) || routes_text(body, "name", NULL, &name, err))
        return -1;
    if (routes_name(name, err) || check_room(manager, name, err) ||
        auth_token_new(manager->db, name, token, err))
        return -1;
    tell_token(manager, EVENT_TOKEN_CREATED, request, name);
    *ret_object = json_object_new();
    json_object_set_string_member(*ret_object, "name", name);
    json_object_set_string_member(*ret_object, "token", token);
    return 0;
}

void route_token_add(struct http_request *request, void *user)
{
    struct err err = {0};
    JsonObject *object = NULL;
    if (add(user, request, &object, &err))
        http_fail(request, &err);
    else
        http_reply(request, 201, object);
}

void route_token_remove(struct http_request *request, void *user)
{
    struct manager *manager = user;
    struct err err = {0};
    const char *name = http_param(request, "name");
    int found = db_token_remove(manager->db, name, &err);
    if (!found) {
        err_set(&err, ERR_NOT_FOUND, "token-not-found", "there is no token '%s'", name);
        err_arg(&err, "token", "%s", name);
        err_fix(&err, "list them with 'godwit token ls'");
    }
    if (err_is_set(&err)) {
        http_fail(request, &err);
        return;
    }
    tell_token(manager, EVENT_TOKEN_REMOVED, request, name);
    http_reply(request, 200, NULL);
}
