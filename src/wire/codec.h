/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Little-endian cursors over a caller's buffer. An access beyond the end sets `failed`, moves nothing and
 * reads as zero, so a whole struct is coded without a check per field and `failed` is looked at once.
 */
#ifndef WIRE_CODEC_H
#define WIRE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct wire_writer {
    uint8_t *at;
    size_t left;
    bool failed;
};

struct wire_reader {
    const uint8_t *at;
    size_t left;
    bool failed;
};

static inline void wire_put_bytes(struct wire_writer *writer, const void *bytes, size_t size)
{
    if (writer->failed || size > writer->left) {
        writer->failed = true;
        return;
    }
    if (size)
        memcpy(writer->at, bytes, size);
    writer->at += size;
    writer->left -= size;
}

static inline void wire_put_zeros(struct wire_writer *writer, size_t size)
{
    if (writer->failed || size > writer->left) {
        writer->failed = true;
        return;
    }
    memset(writer->at, 0, size);
    writer->at += size;
    writer->left -= size;
}

static inline void wire_put_number(struct wire_writer *writer, uint64_t value, size_t size)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    wire_put_bytes(writer, bytes, size);
}

static inline void wire_put_u8(struct wire_writer *writer, uint8_t value)
{
    wire_put_number(writer, value, 1);
}

static inline void wire_put_u16(struct wire_writer *writer, uint16_t value)
{
    wire_put_number(writer, value, 2);
}

static inline void wire_put_u32(struct wire_writer *writer, uint32_t value)
{
    wire_put_number(writer, value, 4);
}

static inline void wire_put_u64(struct wire_writer *writer, uint64_t value)
{
    wire_put_number(writer, value, 8);
}

static inline void wire_get_bytes(struct wire_reader *reader, void *ret_bytes, size_t size)
{
    if (reader->failed || size > reader->left) {
        reader->failed = true;
        memset(ret_bytes, 0, size);
        return;
    }
    if (size)
        memcpy(ret_bytes, reader->at, size);
    reader->at += size;
    reader->left -= size;
}

static inline uint64_t wire_get_number(struct wire_reader *reader, size_t size)
{
    uint8_t bytes[8] = {0};
    wire_get_bytes(reader, bytes, size);
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

static inline void wire_skip(struct wire_reader *reader, size_t size)
{
    if (reader->failed || size > reader->left) {
        reader->failed = true;
        return;
    }
    reader->at += size;
    reader->left -= size;
}

static inline uint8_t wire_get_u8(struct wire_reader *reader)
{
    return (uint8_t)wire_get_number(reader, 1);
}

static inline uint16_t wire_get_u16(struct wire_reader *reader)
{
    return (uint16_t)wire_get_number(reader, 2);
}

static inline uint32_t wire_get_u32(struct wire_reader *reader)
{
    return (uint32_t)wire_get_number(reader, 4);
}

static inline uint64_t wire_get_u64(struct wire_reader *reader)
{
    return wire_get_number(reader, 8);
}

#endif
