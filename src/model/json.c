/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "model/move.h"

/* The parser recurses once a level; our documents have fewer than ten. */
#define DEPTH_MAX 64

struct fault {
    unsigned line;
    unsigned position;
};

/* The parser stands at the token before or at the fault, hence "near" in our message. */
static void note_fault(JsonParser *parser, const GError *error, struct fault *fault)
{
    (void)error;
    fault->line = json_parser_get_current_line(parser);
    fault->position = json_parser_get_current_pos(parser);
}

/* NULL, or why the parser must not get the text: it recurses once a level. It also takes comments and texts
 * in single quotes, which are no JSON and in which a bracket or a double quote would make us lose count. */
static const char *unfit(const char *text, size_t length)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (in_string)
            continue;
        else if (c == '/' || c == '\'')
            return "JSON has no comments, and no texts in single quotes";
        else if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']')
            depth--;
        if (depth > DEPTH_MAX)
            return "JSON is nested deeper than " G_STRINGIFY(DEPTH_MAX) " levels";
    }
    return NULL;
}

/* The parser's text begins with "<data>:LINE:POSITION: Parse error: ", which we say in words. */
static const char *parser_text(const GError *error)
{
    static const char intro[] = "Parse error: ";
    const char *text = strstr(error->message, intro);
    return text ? text + strlen(intro) : error->message;
}

int model_parse(const char *text, gssize length, JsonObject **ret_object, struct err *err)
{
    size_t size = length < 0 ? strlen(text) : (size_t)length;
    const char *why = unfit(text, size);
    if (why)
        return err_set(err, ERR_BAD_REQUEST, "json-malformed", "%s: send one object as the API describes it",
                       why);
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) error = NULL;
    struct fault fault = {0};
    (void)g_signal_connect(parser, "error", G_CALLBACK(note_fault), &fault);
    if (!json_parser_load_from_data(parser, text, (gssize)size, &error)) {
        if (!fault.line)
            return err_set(err, ERR_BAD_REQUEST, "json-malformed", "malformed JSON: %s", parser_text(error));
        return err_set(err, ERR_BAD_REQUEST, "json-malformed", "malformed JSON near line %u, position %u: %s",
                       fault.line, fault.position, parser_text(error));
    }
    JsonNode *root = json_parser_get_root(parser);
    if (!root || !JSON_NODE_HOLDS_OBJECT(root))
        return err_set(err, ERR_BAD_REQUEST, "json-not-an-object",
                       "the JSON document must be an object, like {\"name\":\"value\"}");
    *ret_object = json_object_ref(json_node_get_object(root));
    return 0;
}

const char *model_text(JsonObject *object, const char *member)
{
    JsonNode *node = json_object_get_member(object, member);
    return node && json_node_get_value_type(node) == G_TYPE_STRING ? json_node_get_string(node) : "";
}

char *model_print(JsonObject *object, bool pretty)
{
    g_autoptr(JsonNode) root = json_node_new(JSON_NODE_OBJECT);
    json_node_set_object(root, object);
    return json_to_string(root, pretty);
}
