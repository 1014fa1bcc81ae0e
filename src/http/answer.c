/* SPDX-License-Identifier: Apache-2.0 */
#include "http/client.h"
#include "model/move.h"

static enum err_code code_of(unsigned status)
{
    switch (status) {
    case SOUP_STATUS_BAD_REQUEST:
        return ERR_BAD_REQUEST;
    case SOUP_STATUS_UNAUTHORIZED:
        return ERR_UNAUTHORIZED;
    case SOUP_STATUS_NOT_FOUND:
        return ERR_NOT_FOUND;
    case SOUP_STATUS_SERVICE_UNAVAILABLE:
        return ERR_RETRY;
    default:
        return ERR_INTERNAL;
    }
}

/* The "error" member of an answer, or NULL. */
static JsonObject *error_of(JsonObject *object)
{
    JsonNode *node = object ? json_object_get_member(object, "error") : NULL;
    return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

int answer_read(const struct http_client *client, unsigned status, GBytes *body, JsonObject **ret_object,
                struct err *err)
{
    gsize size = 0;
    const char *text = g_bytes_get_data(body, &size);
    g_autoptr(JsonObject) object = NULL;
    struct err malformed = {0};
    *ret_object = NULL;
    if (size && model_parse(text, (gssize)size, &object, &malformed) && SOUP_STATUS_IS_SUCCESSFUL(status)) {
        (void)err_set(err, ERR_CORRUPT, "answer-malformed", "%s sent an answer that is not ours",
                      client->peer);
        return err_cause(err, "%s", malformed.message);
    }
    if (SOUP_STATUS_IS_SUCCESSFUL(status)) {
        *ret_object = g_steal_pointer(&object);
        return 0;
    }
    if (!error_of(object))
        return err_set(err, code_of(status), "http-status", "%s answered with HTTP status %u (%s)",
                       client->peer, status, soup_status_get_phrase(status));
    struct err sent;
    model_error_from_json(error_of(object), &sent);
    if (err)
        *err = sent;
    if (json_object_get_size(object) > 1)
        *ret_object = g_steal_pointer(&object);
    return -1;
}

int answer_too_large(const struct http_client *client, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "answer-too-large", "%s sent an answer of more than %d bytes",
                   client->peer, CLIENT_ANSWER_MAX);
}
