/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers are those of QEMU's docs/interop/qcow2.txt; all are big-endian. */
#include "qemu/image_header.h"

#include <string.h>

#define MAGIC 0x514649fbu
#define V2_BYTES 72u
#define V3_BYTES 104u
#define INCOMPATIBLE_DATA_FILE (1u << 2)
#define EXTENSION_END 0u
#define EXTENSION_BACKING_FORMAT 0xe2792acau

static uint64_t number(const uint8_t *bytes, size_t at, unsigned length)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < length; i++)
        value = value << 8 | bytes[at + i];
    return value;
}

static void take_text(const uint8_t *bytes, size_t length, char *ret, size_t size)
{
    if (length >= size)
        length = size - 1;
    memcpy(ret, bytes, length);
    ret[length] = '\0';
}

static void read_extensions(const uint8_t *bytes, size_t size, size_t at, struct image_header *ret)
{
    while (at + 8 <= size) {
        uint32_t type = (uint32_t)number(bytes, at, 4);
        uint64_t length = number(bytes, at + 4, 4);
        at += 8;
        if (type == EXTENSION_END)
            return;
        if (length > size - at) {
            ret->is_damaged = true;
            return;
        }
        if (type == EXTENSION_BACKING_FORMAT)
            take_text(bytes + at, length, ret->backing_format, sizeof ret->backing_format);
        at += (length + 7) & ~7ull;
    }
}

void image_header_read(const uint8_t *bytes, size_t size, struct image_header *ret_header)
{
    *ret_header = (struct image_header){0};
    if (size < 4 || number(bytes, 0, 4) != MAGIC)
        return;
    ret_header->is_qcow2 = true;
    uint32_t version = size < V2_BYTES ? 0 : (uint32_t)number(bytes, 4, 4);
    if ((version != 2 && version != 3) || (version == 3 && size < V3_BYTES)) {
        ret_header->is_damaged = true;
        return;
    }
    uint64_t backing_at = number(bytes, 8, 8);
    uint64_t backing_length = number(bytes, 16, 4);
    ret_header->size = number(bytes, 24, 8);
    ret_header->has_data_file = version == 3 && (number(bytes, 72, 8) & INCOMPATIBLE_DATA_FILE);
    read_extensions(bytes, size, version == 2 ? V2_BYTES : (size_t)number(bytes, 100, 4), ret_header);
    if (!backing_at)
        return;
    if (backing_length >= IMAGE_BACKING_MAX || backing_at > size || backing_length > size - backing_at)
        ret_header->is_damaged = true;
    else
        take_text(bytes + backing_at, backing_length, ret_header->backing, sizeof ret_header->backing);
}
