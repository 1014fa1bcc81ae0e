/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/control.h"

#include <string.h>

#include "wire/codec.h"

void wire_device_state_encode(const struct wire_device_state *state,
                              uint8_t ret_bytes[WIRE_DEVICE_STATE_SIZE])
{
    struct wire_writer writer = {.at = ret_bytes, .left = WIRE_DEVICE_STATE_SIZE};
    wire_put_u64(&writer, state->length);
    wire_put_u64(&writer, state->xxh3);
}

int wire_device_state_decode(const uint8_t bytes[WIRE_DEVICE_STATE_SIZE], uint64_t record_length,
                             struct wire_device_state *ret_state, struct err *err)
{
    struct wire_reader reader = {.at = bytes, .left = WIRE_DEVICE_STATE_SIZE};
    ret_state->length = wire_get_u64(&reader);
    ret_state->xxh3 = wire_get_u64(&reader);
    if (record_length < WIRE_DEVICE_STATE_SIZE || ret_state->length > WIRE_DEVICE_STATE_MAX ||
        ret_state->length != record_length - WIRE_DEVICE_STATE_SIZE)
        return err_set(err, ERR_CORRUPT, "device-state-length",
                       "a device state of %llu bytes arrived in a record of %llu",
                       (unsigned long long)ret_state->length, (unsigned long long)record_length);
    return 0;
}

static void put_text(struct wire_writer *writer, const char *text, size_t room)
{
    size_t length = strnlen(text, room - 1);
    wire_put_u16(writer, (uint16_t)length);
    wire_put_bytes(writer, text, length);
}

size_t wire_error_encode(const struct err *what, uint8_t *ret_bytes, size_t size)
{
    struct wire_writer writer = {.at = ret_bytes, .left = size};
    wire_put_u32(&writer, what->code);
    wire_put_u32(&writer, (uint32_t)what->sys_errno);
    put_text(&writer, what->id, sizeof what->id);
    put_text(&writer, what->phase, sizeof what->phase);
    put_text(&writer, what->side, sizeof what->side);
    put_text(&writer, what->message, sizeof what->message);
    put_text(&writer, what->cause, sizeof what->cause);
    put_text(&writer, what->fix, sizeof what->fix);
    unsigned n_args = what->n_args < ERR_ARGS_MAX ? what->n_args : ERR_ARGS_MAX;
    wire_put_u16(&writer, (uint16_t)n_args);
    for (unsigned i = 0; i < n_args; i++) {
        put_text(&writer, what->args[i].name, sizeof what->args[i].name);
        put_text(&writer, what->args[i].value, sizeof what->args[i].value);
    }
    return writer.failed ? 0 : size - writer.left;
}

static void get_text(struct wire_reader *reader, char *ret_text, size_t room)
{
    size_t length = wire_get_u16(reader);
    size_t kept = length < room ? length : room - 1;
    wire_get_bytes(reader, ret_text, kept);
    wire_skip(reader, length - kept);
    ret_text[kept] = '\0';
    for (size_t i = 0; i < kept; i++)
        if ((unsigned char)ret_text[i] < ' ' || ret_text[i] == 0x7f)
            ret_text[i] = '?';
}

/* More than we can keep are read over. */
static void get_args(struct wire_reader *reader, struct err *ret_what)
{
    unsigned n_args = wire_get_u16(reader);
    for (unsigned i = 0; i < n_args && !reader->failed; i++) {
        struct err_arg arg;
        get_text(reader, arg.name, sizeof arg.name);
        get_text(reader, arg.value, sizeof arg.value);
        (void)err_arg(ret_what, arg.name, "%s", arg.value);
    }
}

int wire_error_decode(const uint8_t *bytes, size_t size, struct err *ret_what, struct err *err)
{
    struct wire_reader reader = {.at = bytes, .left = size};
    err_clear(ret_what);
    uint32_t code = wire_get_u32(&reader);
    ret_what->code = code > ERR_NONE && code < ERR_CODE_COUNT ? (enum err_code)code : ERR_INTERNAL;
    ret_what->sys_errno = (int)wire_get_u32(&reader);
    get_text(&reader, ret_what->id, sizeof ret_what->id);
    get_text(&reader, ret_what->phase, sizeof ret_what->phase);
    get_text(&reader, ret_what->side, sizeof ret_what->side);
    get_text(&reader, ret_what->message, sizeof ret_what->message);
    get_text(&reader, ret_what->cause, sizeof ret_what->cause);
    get_text(&reader, ret_what->fix, sizeof ret_what->fix);
    if (reader.left)
        get_args(&reader, ret_what);
    if (reader.failed)
        return err_set(err, ERR_CORRUPT, "error-record", "a malformed ERROR of %zu bytes arrived", size);
    return 0;
}
