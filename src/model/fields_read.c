/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "model/fields.h"
#include "model/move.h"

struct reader {
    enum fields_mode mode;
    struct err *err;
};

static int read_object(const struct reader *reader, JsonObject *object, const struct field *fields,
                       void *record, const char *where);

void fields_where(const char *parent, const char *member, char ret_where[FIELD_WHERE_MAX])
{
    (void)snprintf(ret_where, FIELD_WHERE_MAX, "%s%s%s", parent, *parent ? "." : "", member);
}

void fields_where_index(const char *list, uint32_t index, char ret_where[FIELD_WHERE_MAX])
{
    (void)snprintf(ret_where, FIELD_WHERE_MAX, "%s[%u]", list, index);
}

static int refuse(const struct reader *reader, const char *where, const char *must)
{
    return fields_refuse("field-wrong-type", where, must, reader->err);
}

static int read_text(const struct reader *reader, JsonNode *node, char *target, size_t size,
                     const char *where)
{
    if (json_node_get_value_type(node) != G_TYPE_STRING)
        return refuse(reader, where, "a string");
    const char *text = json_node_get_string(node);
    if (strlen(text) >= size)
        return fields_refuse_length(where, size - 1, "bytes", reader->err);
    memset(target, 0, size);
    memcpy(target, text, strlen(text));
    return 0;
}

/* What the C type can hold, when that is less than min..max of the table. */
static void type_bounds(const struct field *field, int64_t *ret_min, int64_t *ret_max)
{
    unsigned bits = (unsigned)field->size * 8 - (field->is_signed || field->size == 8);
    *ret_max = (int64_t)(UINT64_MAX >> (64 - bits));
    *ret_min = field->is_signed ? -*ret_max - 1 : 0;
}

static int read_number(const struct reader *reader, JsonNode *node, const struct field *field, void *target,
                       const char *where)
{
    int64_t min, max;
    type_bounds(field, &min, &max);
    if (reader->mode == FIELDS_STRICT) {
        min = MAX(min, field->min);
        max = MIN(max, field->max);
    }
    if (json_node_get_value_type(node) != G_TYPE_INT64)
        return fields_refuse_number(where, field, reader->err);
    int64_t value = json_node_get_int(node);
    if (value < min || value > max)
        return fields_refuse_number(where, field, reader->err);
    /* Little-endian hosts only (x86-64, arm64): the low bytes come first. */
    G_STATIC_ASSERT(G_BYTE_ORDER == G_LITTLE_ENDIAN);
    memcpy(target, &value, field->size);
    return 0;
}

static int read_enum(const struct reader *reader, JsonNode *node, const struct field *field, void *target,
                     const char *where)
{
    if (json_node_get_value_type(node) == G_TYPE_STRING)
        for (unsigned i = 0; i < field->n_names; i++)
            if (!strcmp(json_node_get_string(node), field->names[i])) {
                memcpy(target, &i, sizeof i);
                return 0;
            }
    return fields_refuse_enum(where, field, reader->err);
}

static int read_list(const struct reader *reader, JsonNode *node, const struct field *field, void *record,
                     const char *where)
{
    if (!JSON_NODE_HOLDS_ARRAY(node))
        return refuse(reader, where, "an array");
    JsonArray *array = json_node_get_array(node);
    uint32_t count = json_array_get_length(array);
    if (count > field->max)
        return fields_refuse_length(where, (size_t)field->max, "elements", reader->err);
    for (uint32_t i = 0; i < count; i++) {
        char *target = (char *)record + field->offset + i * field->size;
        JsonNode *element = json_array_get_element(array, i);
        char element_where[FIELD_WHERE_MAX];
        fields_where_index(where, i, element_where);
        if (field->kind == FIELD_TEXTS) {
            if (read_text(reader, element, target, field->size, element_where))
                return -1;
            continue;
        }
        if (!JSON_NODE_HOLDS_OBJECT(element))
            return refuse(reader, element_where, "an object");
        memset(target, 0, field->size);
        if (read_object(reader, json_node_get_object(element), field->fields, target, element_where))
            return -1;
    }
    memcpy((char *)record + field->count_offset, &count, sizeof count);
    return 0;
}

static int read_field(const struct reader *reader, JsonNode *node, const struct field *field, void *record,
                      const char *where)
{
    void *target = (char *)record + field->offset;
    switch (field->kind) {
    case FIELD_TEXT:
        return read_text(reader, node, target, field->size, where);
    case FIELD_BOOL:
        if (json_node_get_value_type(node) != G_TYPE_BOOLEAN)
            return refuse(reader, where, "true or false");
        *(bool *)target = json_node_get_boolean(node);
        return 0;
    case FIELD_NUMBER:
        return read_number(reader, node, field, target, where);
    case FIELD_ENUM:
        return read_enum(reader, node, field, target, where);
    case FIELD_HEX:
        if (json_node_get_value_type(node) != G_TYPE_STRING ||
            model_unhex(json_node_get_string(node), target, field->size))
            return fields_refuse_hex(where, field, reader->err);
        return 0;
    case FIELD_OBJECT:
    case FIELD_ERROR:
        if (!JSON_NODE_HOLDS_OBJECT(node))
            return refuse(reader, where, "an object");
        if (field->kind == FIELD_OBJECT)
            return read_object(reader, json_node_get_object(node), field->fields, target, where);
        model_error_from_json(json_node_get_object(node), target);
        return 0;
    case FIELD_LIST:
    case FIELD_TEXTS:
        return read_list(reader, node, field, record, where);
    }
    g_assert_not_reached();
}

static const struct field *find_field(const struct field *fields, const char *name)
{
    for (; fields->name; fields++)
        if (!strcmp(fields->name, name))
            return fields;
    return NULL;
}

static int refuse_unknown(const struct reader *reader, const struct field *fields, const char *where)
{
    g_autoptr(GString) known = g_string_new(NULL);
    for (; fields->name; fields++)
        g_string_append_printf(known, "%s%s", known->len ? ", " : "", fields->name);
    (void)err_set(reader->err, ERR_BAD_REQUEST, "field-unknown", "there is no field \"%s\"", where);
    (void)err_arg(reader->err, "field", "%s", where);
    return err_fix(reader->err, "remove it or correct its name; known here: %s", known->str);
}

static int read_object(const struct reader *reader, JsonObject *object, const struct field *fields,
                       void *record, const char *where)
{
    JsonObjectIter iter;
    const char *name;
    JsonNode *node;
    json_object_iter_init(&iter, object);
    while (json_object_iter_next(&iter, &name, &node)) {
        char field_where[FIELD_WHERE_MAX];
        fields_where(where, name, field_where);
        const struct field *field = find_field(fields, name);
        if (!field && reader->mode == FIELDS_STRICT)
            return refuse_unknown(reader, fields, field_where);
        if (field && read_field(reader, node, field, record, field_where))
            return -1;
    }
    return 0;
}

int fields_read(JsonObject *object, const struct field *fields, void *record, enum fields_mode mode,
                struct err *err)
{
    const struct reader reader = {mode, err};
    return read_object(&reader, object, fields, record, "");
}
