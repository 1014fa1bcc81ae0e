/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "model/fields.h"
#include "model/move.h"

static int check_object(const struct field *fields, const void *record, const char *where, struct err *err);

int fields_refuse(const char *id, const char *where, const char *must, struct err *err)
{
    (void)err_set(err, ERR_BAD_REQUEST, id, "%s must be %s", where, must);
    (void)err_arg(err, "field", "%s", where);
    return err_arg(err, "must", "%s", must);
}

int fields_refuse_number(const char *where, const struct field *field, struct err *err)
{
    char must[80] = "a whole number";
    if (field->min == 0 && field->max == INT64_MAX)
        (void)g_strlcpy(must, "a whole number, 0 or more", sizeof must);
    else if (!field->is_signed)
        (void)g_snprintf(must, sizeof must, "a whole number from %" PRId64 " to %" PRId64, field->min,
                         field->max);
    return fields_refuse("field-out-of-range", where, must, err);
}

int fields_refuse_enum(const char *where, const struct field *field, struct err *err)
{
    g_autoptr(GString) must = g_string_new("one of ");
    for (unsigned i = 0; i < field->n_names; i++)
        g_string_append_printf(must, "%s\"%s\"", i ? ", " : "", field->names[i]);
    return fields_refuse("field-unknown-value", where, must->str, err);
}

int fields_refuse_hex(const char *where, const struct field *field, struct err *err)
{
    char must[80];
    (void)g_snprintf(must, sizeof must, "%zu hexadecimal digits%s", 2 * field->size,
                     field->required ? ", not all zero" : "");
    return fields_refuse("field-not-hexadecimal", where, must, err);
}

int fields_refuse_length(const char *where, size_t max, const char *unit, struct err *err)
{
    (void)err_set(err, ERR_BAD_REQUEST, "field-too-long", "%s must be at most %zu %s long", where, max, unit);
    (void)err_arg(err, "field", "%s", where);
    return err_arg(err, "max", "%zu", max);
}

static int check_text(const struct text_rule *rule, const char *text, const char *where, struct err *err)
{
    if (!rule || (!*text && rule->may_be_empty) || (*text && rule->is_valid(text)))
        return 0;
    return fields_refuse("field-invalid", where, rule->must, err);
}

static int check_number(const struct field *field, const void *source, const char *where, struct err *err)
{
    uint64_t value = 0;
    if (field->is_signed)
        return 0;
    memcpy(&value, source, field->size);
    if (value < (uint64_t)field->min || value > (uint64_t)field->max)
        return fields_refuse_number(where, field, err);
    return 0;
}

static int check_hex(const struct field *field, const uint8_t *source, const char *where, struct err *err)
{
    uint8_t any = 0;
    for (size_t i = 0; i < field->size; i++)
        any |= source[i];
    return field->required && !any ? fields_refuse_hex(where, field, err) : 0;
}

static int check_list(const struct field *field, const void *record, const char *where, struct err *err)
{
    uint32_t count;
    memcpy(&count, (const char *)record + field->count_offset, sizeof count);
    if (count > field->max)
        return fields_refuse_length(where, (size_t)field->max, "elements", err);
    for (uint32_t i = 0; i < count; i++) {
        const char *element = (const char *)record + field->offset + i * field->size;
        char element_where[FIELD_WHERE_MAX];
        fields_where_index(where, i, element_where);
        if (field->kind == FIELD_TEXTS ? check_text(field->rule, element, element_where, err)
                                       : check_object(field->fields, element, element_where, err))
            return -1;
    }
    return 0;
}

static int check_field(const struct field *field, const void *record, const char *where, struct err *err)
{
    const void *source = (const char *)record + field->offset;
    unsigned index;
    switch (field->kind) {
    case FIELD_TEXT:
        return check_text(field->rule, source, where, err);
    case FIELD_NUMBER:
        return check_number(field, source, where, err);
    case FIELD_ENUM:
        memcpy(&index, source, sizeof index);
        return index < field->n_names ? 0 : fields_refuse_enum(where, field, err);
    case FIELD_HEX:
        return check_hex(field, source, where, err);
    case FIELD_OBJECT:
        return check_object(field->fields, source, where, err);
    case FIELD_LIST:
    case FIELD_TEXTS:
        return check_list(field, record, where, err);
    case FIELD_BOOL:
    case FIELD_ERROR:
        return 0;
    }
    g_assert_not_reached();
}

static int check_object(const struct field *fields, const void *record, const char *where, struct err *err)
{
    for (const struct field *field = fields; field->name; field++) {
        char field_where[FIELD_WHERE_MAX];
        fields_where(where, field->name, field_where);
        if (check_field(field, record, field_where, err))
            return -1;
    }
    return 0;
}

int fields_check(const struct field *fields, const void *record, struct err *err)
{
    return check_object(fields, record, "", err);
}
