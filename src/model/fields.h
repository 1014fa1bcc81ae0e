/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to model/: one table of fields describes a struct, and reading, writing and checking follow it. A
 * JSON member has the name of the struct's field; lists are arrays, enums their names, binary hexadecimal.
 */
#ifndef MODEL_FIELDS_H
#define MODEL_FIELDS_H

#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "model/rules.h"

enum field_kind {
    FIELD_TEXT,   /* char[size] */
    FIELD_BOOL,   /* bool */
    FIELD_NUMBER, /* unsigned or signed integer of `size` bytes */
    FIELD_ENUM,   /* enum, `names` holds n_names strings */
    FIELD_HEX,    /* uint8_t[size]; all-zero is left out of the JSON */
    FIELD_OBJECT, /* a struct described by `fields` */
    FIELD_LIST,   /* array of at most `max` structs of `size` bytes, described by `fields` */
    FIELD_TEXTS,  /* array of at most `max` texts char[size] */
    FIELD_ERROR,  /* struct err; left out of the JSON when not set */
};

struct field {
    const char *name;
    enum field_kind kind;
    bool is_signed; /* FIELD_NUMBER */
    bool required;  /* FIELD_HEX: all-zero is not allowed */
    bool is_newer;  /* the version before does not know it: see fields_write_lean */
    size_t offset;
    size_t size;
    size_t count_offset;          /* lists: of the uint32_t count */
    int64_t min, max;             /* numbers: what a check allows; lists: max */
    const struct text_rule *rule; /* texts: NULL = any */
    const char *const *names;
    unsigned n_names;
    const struct field *fields; /* ends with name == NULL */
};

#define FIELD_AT(type, member) .name = #member, .offset = offsetof(type, member)
#define FIELD_SIZE(type, member) sizeof(((type *)NULL)->member)
/* After the other arguments of TEXT, BOOL, NUMBER, ENUM or LIST: a member of a specification that came with
 * this version; zero must mean what it was without it. */
#define NEWER .is_newer = true
#define TEXT(type, member, text_rule, ...)                                                                   \
    {                                                                                                        \
        FIELD_AT(type, member), .kind = FIELD_TEXT, .size = FIELD_SIZE(type, member), .rule = (text_rule),   \
                                ##__VA_ARGS__                                                                \
    }
#define BOOL(type, member, ...)                                                                              \
    {                                                                                                        \
        FIELD_AT(type, member), .kind = FIELD_BOOL, ##__VA_ARGS__                                            \
    }
#define NUMBER(type, member, lowest, highest, ...)                                                           \
    {                                                                                                        \
        FIELD_AT(type, member), .kind = FIELD_NUMBER, .size = FIELD_SIZE(type, member), .min = (lowest),     \
                                .max = (highest), ##__VA_ARGS__                                              \
    }
#define SIGNED(type, member)                                                                                 \
    {                                                                                                        \
        FIELD_AT(type, member), .kind = FIELD_NUMBER, .is_signed = true, .size = FIELD_SIZE(type, member),   \
                                .min = INT64_MIN, .max = INT64_MAX                                           \
    }
/* Any value the type can hold. */
#define COUNT(type, member) NUMBER(type, member, 0, INT64_MAX)
#define ENUM(type, member, strings, ...)                                                                     \
    {                                                                                                        \
        FIELD_AT(type, member), .kind = FIELD_ENUM, .names = (strings),                                      \
                                .n_names = sizeof(strings) / sizeof *(strings), ##__VA_ARGS__                \
    }
#define HEX(type, member, is_required)                                                                       \
    {                                                                                                        \
        FIELD_AT(type, member), .kind = FIELD_HEX, .size = FIELD_SIZE(type, member),                         \
                                .required = (is_required)                                                    \
    }
#define OBJECT(type, member, table)                                                                          \
    {                                                                                                        \
        FIELD_AT(type, member), .kind = FIELD_OBJECT, .fields = (table)                                      \
    }
#define LIST(type, member, table, ...)                                                                       \
    {                                                                                                        \
        FIELD_AT(type, member), .kind = FIELD_LIST, .size = FIELD_SIZE(type, member[0]),                     \
                                .max = FIELD_SIZE(type, member) / FIELD_SIZE(type, member[0]),               \
                                .count_offset = offsetof(type, n_##member), .fields = (table), ##__VA_ARGS__ \
    }
#define TEXTS(type, member, text_rule)                                                                       \
    {                                                                                                        \
        FIELD_AT(type, member), .kind = FIELD_TEXTS, .size = FIELD_SIZE(type, member[0]),                    \
                                .max = FIELD_SIZE(type, member) / FIELD_SIZE(type, member[0]),               \
                                .count_offset = offsetof(type, n_##member), .rule = (text_rule)              \
    }
#define ERROR_FIELD(type, member)                                                                            \
    {                                                                                                        \
        FIELD_AT(type, member), .kind = FIELD_ERROR                                                          \
    }
#define FIELDS_END                                                                                           \
    {                                                                                                        \
        .name = NULL                                                                                         \
    }

/* Room for the full name of a field, "vm.disks[3].path". */
#define FIELD_WHERE_MAX 128

/* A document we were told to obey, or one that only informs. */
enum fields_mode {
    FIELDS_STRICT,  /* unknown members and numbers outside min..max are refused */
    FIELDS_LENIENT, /* unknown members are ignored; numbers may have any value that fits the type */
};

/* Sets what the object has and leaves the rest of *record as it is; the caller fills in the defaults before.
 * On failure the record is partly written. */
int fields_read(JsonObject *object, const struct field *fields, void *record, enum fields_mode mode,
                struct err *err);
/* Transfer full. */
JsonObject *fields_write(const struct field *fields, const void *record);
/* The same without newer members that are zero: specifications are read strictly, and so the version before
 * understands each that does not need what it lacks. For what goes to another host's program or outlives a
 * program. Transfer full. */
JsonObject *fields_write_lean(const struct field *fields, const void *record);
/* Numbers, texts, enums, list lengths and required secrets against the table. */
int fields_check(const struct field *fields, const void *record, struct err *err);

/* ERR_BAD_REQUEST, "WHERE must be ...", with the field and what it must be as arguments. Shared by reading
 * and checking so that both give one text. */
int fields_refuse(const char *id, const char *where, const char *must, struct err *err);
int fields_refuse_number(const char *where, const struct field *field, struct err *err);
int fields_refuse_enum(const char *where, const struct field *field, struct err *err);
int fields_refuse_hex(const char *where, const struct field *field, struct err *err);
/* "WHERE must be at most `max` UNIT long". */
int fields_refuse_length(const char *where, size_t max, const char *unit, struct err *err);
/* "WHERE.member" or "member" into `ret_where`. */
void fields_where(const char *parent, const char *member, char ret_where[FIELD_WHERE_MAX]);
void fields_where_index(const char *list, uint32_t index, char ret_where[FIELD_WHERE_MAX]);

#endif
