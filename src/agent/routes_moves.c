/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/routes_moves.h"

#include <string.h>

#include "agent/moves.h"
#include "agent/routes_vms.h"
#include "agent/site.h"
#include "model/finding.h"

#define WAIT_MS_MAX 60000

/* Body as a move_spec whose id is the path's. */
static int take_spec(struct http_request *request, JsonObject *object, struct move_spec *ret_spec,
                     struct err *err)
{
    const char *id = http_param(request, "id");
    if (move_spec_from_json(object, ret_spec, err) < 0)
        return -1;
    if (!strcmp(ret_spec->id, id))
        return 0;
    return err_set(err, ERR_BAD_REQUEST, "bad-id", "id: differs from the one in the path");
}

static int body_spec(struct http_request *request, struct move_spec *ret_spec, struct err *err)
{
    JsonObject *body;
    if (http_body(request, &body, err) < 0)
        return -1;
    return take_spec(request, body, ret_spec, err);
}

static int member_object(JsonObject *body, const char *name, JsonObject **ret_object, struct err *err)
{
    JsonNode *node = json_object_get_member(body, name);
    if (!node || !JSON_NODE_HOLDS_OBJECT(node)) {
        (void)err_set(err, ERR_BAD_REQUEST, "bad-field", "%s: an object is needed", name);
        return err_arg(err, "name", "%s", name);
    }
    *ret_object = json_node_get_object(node);
    return 0;
}

static int member_text(JsonObject *body, const char *name, const char **ret_text, struct err *err)
{
    JsonNode *node = json_object_get_member(body, name);
    *ret_text = node && JSON_NODE_HOLDS_VALUE(node) ? json_node_get_string(node) : NULL;
    if (!*ret_text) {
        (void)err_set(err, ERR_BAD_REQUEST, "bad-field", "%s: a text is needed", name);
        return err_arg(err, "name", "%s", name);
    }
    return 0;
}

static int member_secret(JsonObject *body, const char *name, uint8_t ret_secret[MOVE_SECRET_SIZE],
                         struct err *err)
{
    const char *text;
    if (member_text(body, name, &text, err) < 0)
        return -1;
    if (model_unhex(text, ret_secret, MOVE_SECRET_SIZE) < 0) {
        (void)err_set(err, ERR_BAD_REQUEST, "bad-field", "%s: 64 hexadecimal digits are needed", name);
        return err_arg(err, "name", "%s", name);
    }
    return 0;
}

/* For calls whose answer is {} or the error. */
static void reply(struct http_request *request, int status, const struct err *err)
{
    if (err_is_set(err))
        http_fail(request, err);
    else
        http_reply(request, status, NULL);
}

struct check_wish {
    struct move_spec spec;
    bool as_source;
    bool wants_all; /* the answer is what was found, else the first error: a manager that knows no more */
};

static int read_check(struct http_request *request, struct check_wish *ret_wish, struct err *err)
{
    JsonObject *body;
    JsonObject *object;
    const char *side;
    if (http_body(request, &body, err) < 0 || member_text(body, "side", &side, err) < 0 ||
        member_object(body, "spec", &object, err) < 0 || take_spec(request, object, &ret_wish->spec, err) < 0)
        return -1;
    ret_wish->as_source = !strcmp(side, "source");
    if (!ret_wish->as_source && strcmp(side, "destination") != 0)
        return err_set(err, ERR_BAD_REQUEST, "bad-field", "side: must be source or destination");
    ret_wish->wants_all = model_flag(body, "all");
    return 0;
}

static void add_site(JsonObject *answer, struct agent *agent, const struct move_spec *spec, bool as_source)
{
    g_autofree struct move_site *site = g_new(struct move_site, 1);
    site_describe(agent, spec, as_source, site);
    json_object_set_object_member(answer, "site", move_site_to_json(site));
}

void route_move_check(struct http_request *request, void *user)
{
    struct err err = {0};
    struct check_wish wish;
    if (!route_allowed(request))
        return;
    if (read_check(request, &wish, &err) < 0) {
        http_fail(request, &err);
        return;
    }
    g_autofree struct findings *findings = g_new0(struct findings, 1);
    moves_find_problems(user, &wish.spec, wish.as_source, findings);
    if (!wish.wants_all && findings_first(findings, &err)) {
        http_fail(request, &err);
    } else {
        if (wish.as_source)
            moves_measure_disks(user, &wish.spec);
        JsonObject *answer = move_disks_to_json(&wish.spec);
        add_site(answer, user, &wish.spec, wish.as_source);
        if (wish.wants_all)
            json_object_set_array_member(answer, "findings", findings_to_json(findings));
        http_reply(request, 200, answer);
    }
    explicit_bzero(&wish.spec, sizeof wish.spec);
}

static void answer_prepared(JsonObject *object, const struct move_answer *answer,
                            struct http_request *request)
{
    json_object_set_object_member(object, "spec", move_spec_to_json(&answer->spec));
    json_object_set_int_member(object, "ram_bytes", (gint64)answer->ram_bytes);
    http_reply(request, 200, object);
}

static void on_source_prepared(struct agent *agent, const struct move_answer *answer, const struct err *err,
                               void *user)
{
    if (err_is_set(err)) {
        http_fail(user, err);
        return;
    }
    JsonObject *object = json_object_new();
    add_site(object, agent, &answer->spec, true);
    answer_prepared(object, answer, user);
}

static void on_destination_prepared(struct agent *agent, const struct move_answer *answer,
                                    const struct err *err, void *user)
{
    (void)agent;
    if (err_is_set(err))
        http_fail(user, err);
    else
        answer_prepared(json_object_new(), answer, user);
}

static void on_started(struct agent *agent, const struct move_answer *answer, const struct err *err,
                       void *user)
{
    (void)agent;
    (void)answer;
    reply(user, 202, err);
}

static void on_relayed(struct agent *agent, const struct move_answer *answer, const struct err *err,
                       void *user)
{
    (void)agent;
    (void)answer;
    reply(user, 200, err);
}

typedef void (*prepare_call)(struct agent *agent, const struct move_spec *spec, move_done done, void *user);

static void with_spec(struct http_request *request, struct agent *agent, prepare_call call, move_done done)
{
    struct move_spec spec;
    struct err err = {0};
    if (!route_allowed(request))
        return;
    if (body_spec(request, &spec, &err) < 0)
        http_fail(request, &err);
    else
        call(agent, &spec, done, request);
}

void route_move_source(struct http_request *request, void *user)
{
    with_spec(request, user, moves_prepare_source, on_source_prepared);
}

void route_move_destination(struct http_request *request, void *user)
{
    with_spec(request, user, moves_prepare_destination, on_destination_prepared);
}

void route_move_start(struct http_request *request, void *user)
{
    with_spec(request, user, moves_start_source, on_started);
}

/* NULL: answered. */
static struct move *find_move(struct http_request *request, struct agent *agent)
{
    const char *id = http_param(request, "id");
    struct move *move = moves_find(agent, id);
    if (move)
        return move;
    struct err err;
    (void)err_set(&err, ERR_NOT_FOUND, "move-not-found", "host %s knows no move %s", agent->config.name, id);
    (void)err_arg(&err, "host", "%s", agent->config.name);
    (void)err_arg(&err, "task", "%s", id);
    http_fail(request, &err);
    return NULL;
}

static void reply_move(struct http_request *request, const struct move *move)
{
    struct move_status status;
    moves_status(move, &status);
    http_reply(request, 200, move_status_to_json(&status));
}

/* The move may have been forgotten while the request waited. */
static void on_changed(struct agent *agent, const char *id, void *user)
{
    (void)id;
    struct move *move = find_move(user, agent);
    if (move)
        reply_move(user, move);
}

static int query_number(struct http_request *request, const char *name, uint64_t max, uint64_t *ret_value,
                        struct err *err)
{
    const char *text = http_query(request, name);
    *ret_value = 0;
    if (!text || g_ascii_string_to_unsigned(text, 10, 0, max, ret_value, NULL))
        return 0;
    (void)err_set(err, ERR_BAD_REQUEST, "bad-query", "%s: must be a whole number from 0 to %llu", name,
                  (unsigned long long)max);
    (void)err_arg(err, "name", "%s", name);
    return err_arg(err, "max", "%llu", (unsigned long long)max);
}

void route_move_get(struct http_request *request, void *user)
{
    uint64_t version;
    uint64_t wait_ms;
    struct err err;
    struct move *move;
    if (!route_allowed(request) || !(move = find_move(request, user)))
        return;
    if (query_number(request, "version", G_MAXINT64, &version, &err) < 0 ||
        query_number(request, "wait_ms", WAIT_MS_MAX, &wait_ms, &err) < 0)
        http_fail(request, &err);
    else if (wait_ms)
        moves_watch(move, version, (unsigned)wait_ms, on_changed, request);
    else
        reply_move(request, move);
}

void route_move_cancel(struct http_request *request, void *user)
{
    struct err err = {0};
    struct err why = {0};
    JsonObject *body;
    JsonObject *object;
    if (!route_allowed(request))
        return;
    if (http_body(request, &body, &err) == 0 && member_object(body, "error", &object, &err) == 0) {
        model_error_from_json(object, &why);
        (void)moves_cancel(user, http_param(request, "id"), &why, &err);
    }
    reply(request, 200, &err);
}

static void on_verdict(enum move_verdict verdict, const uint8_t secret[MOVE_SECRET_SIZE],
                       const struct err *err, void *user)
{
    char hex[2 * MOVE_SECRET_SIZE + 1];
    if (err_is_set(err)) {
        http_fail(user, err);
        return;
    }
    model_hex(secret, MOVE_SECRET_SIZE, hex);
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "verdict", move_verdict_name(verdict));
    json_object_set_string_member(object, "secret", hex);
    http_reply(user, 200, object);
}

void route_move_commit(struct http_request *request, void *user)
{
    struct err err = {0};
    JsonObject *body;
    const char *vm;
    uint8_t commit[MOVE_SECRET_SIZE];
    if (!route_allowed(request))
        return;
    if (http_body(request, &body, &err) < 0 || member_text(body, "vm", &vm, &err) < 0 ||
        member_secret(body, "commit", commit, &err) < 0)
        http_fail(request, &err);
    else
        moves_commit(user, http_param(request, "id"), vm, commit, on_verdict, request);
}

void route_move_verdict(struct http_request *request, void *user)
{
    static const enum move_verdict verdicts[] = {VERDICT_RUNNING, VERDICT_ABORTED, VERDICT_RETURNED};
    struct err err = {0};
    JsonObject *body;
    const char *name;
    uint8_t secret[MOVE_SECRET_SIZE];
    if (!route_allowed(request))
        return;
    if (http_body(request, &body, &err) == 0 && member_text(body, "verdict", &name, &err) == 0 &&
        member_secret(body, "secret", secret, &err) == 0) {
        for (unsigned i = 0; i < G_N_ELEMENTS(verdicts); i++)
            if (!strcmp(name, move_verdict_name(verdicts[i]))) {
                moves_verdict(user, http_param(request, "id"), verdicts[i], secret, on_relayed, request);
                return;
            }
        (void)err_set(&err, ERR_BAD_REQUEST, "bad-field", "verdict: must be running, aborted or returned");
    }
    http_fail(request, &err);
}

static void add_move(const struct move_summary *summary, void *user)
{
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "id", summary->id);
    json_object_set_string_member(object, "vm", summary->vm_uuid);
    json_object_set_string_member(object, "peer", summary->peer);
    json_object_set_boolean_member(object, "is_source", summary->is_source);
    json_object_set_string_member(object, "state", move_state_name(summary->state));
    json_array_add_object_element(user, object);
}

JsonArray *route_moves_json(struct agent *agent)
{
    JsonArray *list = json_array_new();
    moves_each(agent, add_move, list);
    return list;
}

void route_move_delete(struct http_request *request, void *user)
{
    struct err err = {0};
    if (!route_allowed(request))
        return;
    (void)moves_forget(user, http_param(request, "id"), &err);
    reply(request, 200, &err);
}
