/* SPDX-License-Identifier: Apache-2.0 */
#include "wire_stream.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "engine/codec.h"
#include "wire/control.h"
#include "wire/data.h"
#include "wire/record.h"

#define DATA_TYPES 16

uint32_t wire_stream_type(uint8_t number)
{
    uint8_t low = number % 32;
    if (low >= DATA_TYPES && low <= DATA_TYPES + (WIRE_RESUME - WIRE_PAGES))
        return WIRE_PAGES + (low - DATA_TYPES);
    if (low >= 1 && low <= WIRE_BYE)
        return low;
    return low ? low : WIRE_RECORD_OPTIONAL | 7;
}

/* Little-endian, as wire/ writes it. */
static void put_sum(uint8_t *at, uint64_t sum)
{
    for (unsigned i = 0; i < 8; i++)
        at[i] = (uint8_t)(sum >> (8 * i));
}

static void repair_state(uint8_t *payload, size_t size)
{
    if (size >= WIRE_DEVICE_STATE_SIZE)
        put_sum(payload + 8, XXH3_64bits(payload + WIRE_DEVICE_STATE_SIZE, size - WIRE_DEVICE_STATE_SIZE));
}

static void repair_pages(uint8_t *payload, size_t size)
{
    struct wire_pages pages;
    struct err err;
    if (size >= WIRE_PAGES_SIZE && wire_pages_decode(payload, size, &pages, &err) == 0)
        put_sum(payload + 16, XXH3_64bits(payload + (size - pages.n_bytes), pages.n_bytes));
}

/* Of the pages that come out. What a DELTA gives depends on the pages before it: its sum stays as it is. */
static void repair_packed(uint8_t *payload, size_t size)
{
    struct wire_record record = {.type = WIRE_PACKED, .length = size};
    struct wire_packed packed;
    struct codec_state state = {0};
    struct err err;
    if (size < WIRE_PACKED_SIZE || wire_packed_decode(payload, &record, &packed, &err) < 0)
        return;
    uint8_t *room = malloc(packed.n_bytes);
    must(room != NULL);
    struct codec_block block = {payload + (size - packed.n_packed), packed.n_packed, room, packed.n_bytes};
    if (codec_unpack(&state, packed.codec, &block, &err) == 0)
        put_sum(payload + 24, XXH3_64bits(room, packed.n_bytes));
    codec_clear(&state);
    free(room);
}

static void repair(uint32_t type, uint8_t *payload, size_t size)
{
    if (type == WIRE_DEVICE_STATE)
        repair_state(payload, size);
    else if (type == WIRE_PAGES)
        repair_pages(payload, size);
    else if (type == WIRE_PACKED)
        repair_packed(payload, size);
}

bool wire_stream_add(struct wire_stream *stream, struct input *input)
{
    if (!input->left)
        return false;
    uint64_t kind = input_number(input, 1) % WIRE_STREAM_KINDS;
    uint32_t type = wire_stream_type((uint8_t)input_number(input, 1));
    struct input payload = input_part(input, (size_t)input_number(input, 2));
    uint8_t *at = stream->bytes + stream->size;
    size_t header = kind == WIRE_STREAM_BYTES ? 0 : WIRE_RECORD_HEADER_SIZE;
    if (payload.left + header > WIRE_STREAM_MAX - stream->size)
        return false;
    if (payload.left)
        memcpy(at + header, payload.at, payload.left);
    if (kind == WIRE_STREAM_RIGHT_SUM)
        repair(type, at + header, payload.left);
    if (header) {
        struct wire_record record = {.type = type, .length = payload.left, .seq = stream->seq++};
        wire_record_encode(&record, at);
    }
    stream->size += header + payload.left;
    return true;
}

void wire_stream_read(struct wire_stream *stream, struct input *input)
{
    stream->size = 0;
    stream->seq = 0;
    while (wire_stream_add(stream, input))
        ;
}
