/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An input as what a peer sends on a connection of records. It consists of items:
 *
 *   kind (1), type (1), length (2), then so many bytes
 *
 * Kinds: a record with these bytes as its payload and the right header; the same with the checksum in the
 * payload put right, as far as it has one; the bytes as they are. So the input decides what is said, and not
 * only that a checksum is wrong.
 */
#ifndef TESTS_FUZZ_WIRE_STREAM_H
#define TESTS_FUZZ_WIRE_STREAM_H

#include "fuzz.h"

#define WIRE_STREAM_MAX (96u << 10) /* fits the buffer of a unix socket */

enum wire_stream_kind { WIRE_STREAM_RECORD, WIRE_STREAM_RIGHT_SUM, WIRE_STREAM_BYTES, WIRE_STREAM_KINDS };

struct wire_stream {
    uint8_t bytes[WIRE_STREAM_MAX];
    size_t size;
    uint64_t seq; /* of the next record */
};

/* The type that an item's byte stands for: the control connection's from 0, the data connections' from 16,
 * an optional one that nobody knows, an unknown one. */
uint32_t wire_stream_type(uint8_t number);
/* Appends the next item; false at the input's end, or when no more fits. */
bool wire_stream_add(struct wire_stream *stream, struct input *input);
/* All of the input. */
void wire_stream_read(struct wire_stream *stream, struct input *input);

#endif
