/* SPDX-License-Identifier: Apache-2.0 */
#include "model/json.h"

#include <string.h>

#include "base/err.h"

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

/* What the escape of a code unit (u and four digits) at the beginning of a text says, -1 if it is none. */
static int code_unit(const char *text, size_t left)
{
    int unit = 0;
    if (left < 6 || text[0] != '\\' || text[1] != 'u')
        return -1;
    for (int i = 2; i < 6; i++) {
        int digit = g_ascii_xdigit_value(text[i]);
        if (digit < 0)
            return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

/* Of the escape that the text begins with, 0 if the parser must not see it: half a pair of surrogates makes
 * it forget to free what it has read of the string. */
static size_t escape_length(const char *text, size_t left)
{
    if (left < 2 || text[1] != 'u')
        return 2;
    int unit = code_unit(text, left);
    if (unit < 0 || (unit >= 0xdc00 && unit <= 0xdfff))
        return 0;
    if (unit < 0xd800 || unit > 0xdbff)
        return 6;
    int second = code_unit(text + 6, left - 6);
    return second >= 0xdc00 && second <= 0xdfff ? 12 : 0;
}

/* NULL, or why the parser must not get the text: it recurses once a level. It also takes comments and texts
 * in single quotes, which are no JSON and in which a bracket or a double quote would make us lose count. */
static const char *unfit(const char *text, size_t length)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (in_string && c == '\\') {
            size_t escape = escape_length(text + i, length - i);
            if (!escape)
                return "an escape in JSON is \\u and four hexadecimal digits, and surrogates come in pairs";
            i += escape - 1;
        } else if (c == '"')
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
    if (why) {
        (void)err_set(err, ERR_BAD_REQUEST, "json-malformed", "%s: send one object as the API describes it",
                      why);
        return err_arg(err, "what", "%s", why);
    }
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) error = NULL;
    struct fault fault = {0};
    (void)g_signal_connect(parser, "error", G_CALLBACK(note_fault), &fault);
    if (!json_parser_load_from_data(parser, text, (gssize)size, &error)) {
        if (!fault.line) {
            (void)err_set(err, ERR_BAD_REQUEST, "json-malformed", "malformed JSON: %s", parser_text(error));
            return err_arg(err, "reason", "%s", parser_text(error));
        }
        (void)err_set(err, ERR_BAD_REQUEST, "json-malformed", "malformed JSON near line %u, position %u: %s",
                      fault.line, fault.position, parser_text(error));
        (void)err_arg(err, "line", "%u", fault.line);
        (void)err_arg(err, "position", "%u", fault.position);
        return err_arg(err, "reason", "%s", parser_text(error));
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

static bool is_number(JsonNode *node)
{
    GType type = node ? json_node_get_value_type(node) : G_TYPE_INVALID;
    return type == G_TYPE_INT64 || type == G_TYPE_DOUBLE;
}

gint64 model_int(JsonObject *object, const char *member, gint64 otherwise)
{
    JsonNode *node = json_object_get_member(object, member);
    return is_number(node) ? json_node_get_int(node) : otherwise;
}

double model_real(JsonObject *object, const char *member, double otherwise)
{
    JsonNode *node = json_object_get_member(object, member);
    return is_number(node) ? json_node_get_double(node) : otherwise;
}

bool model_flag(JsonObject *object, const char *member)
{
    JsonNode *node = json_object_get_member(object, member);
    return node && json_node_get_value_type(node) == G_TYPE_BOOLEAN && json_node_get_boolean(node);
}

char *model_print(JsonObject *object, bool pretty)
{
    g_autoptr(JsonNode) root = json_node_new(JSON_NODE_OBJECT);
    json_node_set_object(root, object);
    return json_to_string(root, pretty);
}
