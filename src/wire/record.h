/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records: everything that passes on a connection once both ends have proved who they are.
 *
 *   0        4        8                 16                24       28      32
 *   | type   | flags  | length          | seq             | sum    | crc   | payload (length bytes) ...
 *
 * - Bit 31 of the type marks a record as optional. A reader skips an optional record it does not know and
 *   fails on a mandatory one, naming its type: so a newer sender may add optional ones without a new version.
 * - Each type has a cap on its length, checked before anything of the payload is read.
 * - seq counts the records of one direction of one connection from 0: a lost, repeated or inserted record
 *   shows.
 * - crc is the CRC-32C of the 28 bytes before it. Pages and device state carry checksums of their own (xxh3,
 *   data.h and control.h).
 * - sum is of what a record on a data connection says beside its data, its head and the list behind that: a
 *   page in a wrong place is as bad as a wrong page. It is the lower half of XXH3_64bits of the head, and of
 *   the list with that as its seed; 1 instead of 0. A record without a sum has 0: those on the control
 *   connection, and those of senders of before.
 *
 * Which records go where:
 *   control connection:  HELLO both ways, then DEVICE_STATE, secrets, ERROR, BYE (hello.h, control.h)
 *   data connections:    rounds of ZERO, PAGES, PACKED, DELTA, HOLE records, each round ended by SYNC on
 * every connection and acknowledged by one ACK on connection 0; then VERIFY, FINISH. On connections that
 * replace lost ones the destination speaks first: RESUME (data.h)
 *
 * The folder knows numbers and bounds only: no socket, no thread, no allocation. Thread: any.
 */
#ifndef WIRE_RECORD_H
#define WIRE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define WIRE_RECORD_HEADER_SIZE 32u
#define WIRE_RECORD_OPTIONAL 0x80000000u
/* The most that is skipped of an unknown optional record. */
#define WIRE_SKIP_MAX (1u << 20)

enum wire_type {
    WIRE_HELLO = 0x01,
    WIRE_DEVICE_STATE = 0x02,
    WIRE_READY = 0x03,
    WIRE_COMMIT = 0x04,
    WIRE_RUNNING = 0x05,
    WIRE_ABORTED = 0x06,
    WIRE_RETURNED = 0x07,
    WIRE_ERROR = 0x08,
    WIRE_BYE = 0x09,

    WIRE_PAGES = 0x101,
    WIRE_ZERO = 0x102,
    WIRE_HOLE = 0x103,
    WIRE_SYNC = 0x104,
    WIRE_ACK = 0x105,
    WIRE_VERIFY_BEGIN = 0x106,
    WIRE_VERIFY = 0x107,
    WIRE_FINISH = 0x108,
    WIRE_PACKED = 0x109, /* WIRE_FEATURE_PACKED */
    WIRE_DELTA = 0x10a,  /* WIRE_FEATURE_DELTA */
    WIRE_RESUME = 0x10b,
};

struct wire_record {
    uint32_t type; /* as on the wire, with the optional bit */
    uint32_t flags;
    uint64_t length; /* of the payload, in bytes, within the cap of its type */
    uint64_t seq;
    uint32_t sum; /* 0: none */
    bool known;   /* false: optional and unknown, its payload is to be skipped */
};

/* `known` is not used. */
void wire_record_encode(const struct wire_record *record, uint8_t ret_bytes[WIRE_RECORD_HEADER_SIZE]);
/* ERR_CORRUPT for a wrong crc, an unexpected seq, an unknown mandatory type or a length out of bounds. */
int wire_record_decode(const uint8_t bytes[WIRE_RECORD_HEADER_SIZE], uint64_t expected_seq,
                       struct wire_record *ret_record, struct err *err);
/* "PAGES", ...; "unknown" for others. */
const char *wire_type_name(uint32_t type);

#endif
