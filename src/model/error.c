/* SPDX-License-Identifier: Apache-2.0 */
#include "model/move.h"

#include <stdio.h>

static const struct {
    const char *name;
    size_t offset;
    size_t size;
} texts[] = {
    {"id", offsetof(struct err, id), sizeof(((struct err *)NULL)->id)},
    {"phase", offsetof(struct err, phase), sizeof(((struct err *)NULL)->phase)},
    {"side", offsetof(struct err, side), sizeof(((struct err *)NULL)->side)},
    {"message", offsetof(struct err, message), sizeof(((struct err *)NULL)->message)},
    {"cause", offsetof(struct err, cause), sizeof(((struct err *)NULL)->cause)},
    {"fix", offsetof(struct err, fix), sizeof(((struct err *)NULL)->fix)},
};

static const char *text_of(JsonObject *object, const char *name)
{
    JsonNode *node = json_object_get_member(object, name);
    return node && json_node_get_value_type(node) == G_TYPE_STRING ? json_node_get_string(node) : NULL;
}

JsonObject *model_error_to_json(const struct err *err)
{
    JsonObject *inner = json_object_new();
    json_object_set_string_member(inner, "code", err_code_name(err->code));
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        /* The texts may hold foreign bytes (file names, a truncated character); JSON is UTF-8. */
        g_autofree char *text = g_utf8_make_valid((const char *)err + texts[i].offset, -1);
        json_object_set_string_member(inner, texts[i].name, text);
    }
    JsonObject *arguments = json_object_new();
    for (unsigned i = 0; i < err->n_args; i++) {
        g_autofree char *name = g_utf8_make_valid(err->args[i].name, -1);
        g_autofree char *value = g_utf8_make_valid(err->args[i].value, -1);
        json_object_set_string_member(arguments, name, value);
    }
    json_object_set_object_member(inner, "arguments", arguments);
    JsonObject *outer = json_object_new();
    json_object_set_object_member(outer, "error", inner);
    return outer;
}

static void take_arguments(JsonObject *object, struct err *ret_error)
{
    JsonNode *node = json_object_get_member(object, "arguments");
    if (!node || !JSON_NODE_HOLDS_OBJECT(node))
        return;
    JsonObjectIter iter;
    const char *name;
    json_object_iter_init_ordered(&iter, json_node_get_object(node));
    while (json_object_iter_next_ordered(&iter, &name, &node))
        if (json_node_get_value_type(node) == G_TYPE_STRING)
            (void)err_arg(ret_error, name, "%s", json_node_get_string(node));
}

void model_error_from_json(JsonObject *object, struct err *ret_error)
{
    err_clear(ret_error);
    /* An error without a known code is still an error. */
    ret_error->code = err_code_from_name(text_of(object, "code"));
    if (ret_error->code == ERR_NONE)
        ret_error->code = ERR_INTERNAL;
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        const char *text = text_of(object, texts[i].name);
        if (text)
            (void)snprintf((char *)ret_error + texts[i].offset, texts[i].size, "%s", text);
    }
    take_arguments(object, ret_error);
}
