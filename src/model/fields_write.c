/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "model/fields.h"
#include "model/move.h"

static int64_t number_of(const struct field *field, const void *source)
{
    if (field->size == 8) {
        int64_t value;
        memcpy(&value, source, sizeof value);
        /* JSON integers are signed here; no count of ours comes near 2^63. */
        return !field->is_signed && value < 0 ? INT64_MAX : value;
    }
    if (field->is_signed) {
        int32_t value;
        g_assert(field->size == sizeof value);
        memcpy(&value, source, sizeof value);
        return value;
    }
    uint64_t value = 0;
    memcpy(&value, source, field->size);
    return (int64_t)value;
}

static void write_hex(JsonObject *object, const struct field *field, const uint8_t *source)
{
    static const uint8_t zero[MOVE_SECRET_SIZE];
    char text[2 * MOVE_SECRET_SIZE + 1];
    g_assert(field->size <= sizeof zero);
    if (!memcmp(source, zero, field->size))
        return;
    model_hex(source, field->size, text);
    json_object_set_string_member(object, field->name, text);
}

static JsonObject *write_record(const struct field *fields, const void *record, bool lean);

static uint32_t count_of(const struct field *field, const void *record)
{
    uint32_t count;
    memcpy(&count, (const char *)record + field->count_offset, sizeof count);
    return count;
}

static JsonArray *write_list(const struct field *field, const void *record, bool lean)
{
    JsonArray *array = json_array_new();
    uint32_t count = count_of(field, record);
    for (uint32_t i = 0; i < count && i < field->max; i++) {
        const char *element = (const char *)record + field->offset + i * field->size;
        if (field->kind == FIELD_TEXTS)
            json_array_add_string_element(array, element);
        else
            json_array_add_object_element(array, write_record(field->fields, element, lean));
    }
    return array;
}

static void write_error(JsonObject *object, const char *name, const struct err *error)
{
    if (!err_is_set(error))
        return;
    g_autoptr(JsonObject) form = model_error_to_json(error);
    json_object_set_member(object, name, json_object_dup_member(form, "error"));
}

static bool is_zero(const struct field *field, const void *record)
{
    const void *source = (const char *)record + field->offset;
    switch (field->kind) {
    case FIELD_TEXT:
        return !*(const char *)source;
    case FIELD_BOOL:
        return !*(const bool *)source;
    case FIELD_NUMBER:
        return number_of(field, source) == 0;
    case FIELD_ENUM:
        return *(const unsigned *)source == 0;
    case FIELD_LIST:
        return count_of(field, record) == 0;
    default:
        return false;
    }
}

static JsonObject *write_record(const struct field *fields, const void *record, bool lean)
{
    JsonObject *object = json_object_new();
    for (const struct field *field = fields; field->name; field++) {
        const void *source = (const char *)record + field->offset;
        unsigned index;
        if (lean && field->is_newer && is_zero(field, record))
            continue;
        switch (field->kind) {
        case FIELD_TEXT:
            json_object_set_string_member(object, field->name, source);
            break;
        case FIELD_BOOL:
            json_object_set_boolean_member(object, field->name, *(const bool *)source);
            break;
        case FIELD_NUMBER:
            json_object_set_int_member(object, field->name, number_of(field, source));
            break;
        case FIELD_ENUM:
            memcpy(&index, source, sizeof index);
            g_assert(index < field->n_names);
            json_object_set_string_member(object, field->name, field->names[index]);
            break;
        case FIELD_HEX:
            write_hex(object, field, source);
            break;
        case FIELD_OBJECT:
            json_object_set_object_member(object, field->name, write_record(field->fields, source, lean));
            break;
        case FIELD_LIST:
        case FIELD_TEXTS:
            json_object_set_array_member(object, field->name, write_list(field, record, lean));
            break;
        case FIELD_ERROR:
            write_error(object, field->name, source);
            break;
        }
    }
    return object;
}

JsonObject *fields_write(const struct field *fields, const void *record)
{
    return write_record(fields, record, false);
}

JsonObject *fields_write_lean(const struct field *fields, const void *record)
{
    return write_record(fields, record, true);
}
