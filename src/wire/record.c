/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/record.h"

#include "base/err.h"
#include "wire/codec.h"
#include "wire/control.h"
#include "wire/data.h"
#include "wire/hello.h"

#define CRC_OFFSET 28

static const struct {
    uint32_t type;
    const char *name;
    uint64_t min_length, max_length;
} types[] = {
    {WIRE_HELLO, "HELLO", WIRE_HELLO_SIZE, WIRE_HELLO_MAX},
    {WIRE_DEVICE_STATE, "DEVICE_STATE", WIRE_DEVICE_STATE_SIZE,
     WIRE_DEVICE_STATE_SIZE + WIRE_DEVICE_STATE_MAX},
    {WIRE_READY, "READY", WIRE_SECRET_SIZE, WIRE_SECRET_SIZE},
    {WIRE_COMMIT, "COMMIT", WIRE_SECRET_SIZE, WIRE_SECRET_SIZE},
    {WIRE_RUNNING, "RUNNING", WIRE_SECRET_SIZE, WIRE_SECRET_SIZE},
    {WIRE_ABORTED, "ABORTED", WIRE_SECRET_SIZE, WIRE_SECRET_SIZE},
    {WIRE_RETURNED, "RETURNED", WIRE_SECRET_SIZE, WIRE_SECRET_SIZE},
    {WIRE_ERROR, "ERROR", WIRE_ERROR_MIN, WIRE_ERROR_MAX},
    {WIRE_BYE, "BYE", 0, 0},
    {WIRE_PAGES, "PAGES", WIRE_PAGES_SIZE,
     WIRE_PAGES_SIZE + WIRE_EXTENTS_MAX *WIRE_EXTENT_SIZE + WIRE_BATCH_BYTES_MAX},
    {WIRE_ZERO, "ZERO", WIRE_LIST_SIZE, WIRE_LIST_SIZE + WIRE_EXTENTS_MAX *WIRE_EXTENT_SIZE},
    {WIRE_HOLE, "HOLE", WIRE_LIST_SIZE, WIRE_LIST_SIZE + WIRE_EXTENTS_MAX *WIRE_EXTENT_SIZE},
    {WIRE_SYNC, "SYNC", WIRE_SYNC_SIZE, WIRE_SYNC_SIZE},
    {WIRE_ACK, "ACK", WIRE_ACK_SIZE, WIRE_ACK_SIZE},
    {WIRE_VERIFY_BEGIN, "VERIFY_BEGIN", WIRE_VERIFY_BEGIN_SIZE, WIRE_VERIFY_BEGIN_SIZE},
    {WIRE_VERIFY, "VERIFY", WIRE_VERIFY_SIZE, WIRE_VERIFY_SIZE + WIRE_HASHES_MAX *WIRE_HASH_SIZE},
    {WIRE_FINISH, "FINISH", 0, 0},
    {WIRE_PACKED, "PACKED", WIRE_PACKED_SIZE,
     WIRE_PACKED_SIZE + WIRE_EXTENTS_MAX *WIRE_EXTENT_SIZE + WIRE_BATCH_BYTES_MAX},
    {WIRE_DELTA, "DELTA", WIRE_PACKED_SIZE,
     WIRE_PACKED_SIZE + WIRE_EXTENTS_MAX *WIRE_EXTENT_SIZE + WIRE_BATCH_BYTES_MAX},
    {WIRE_RESUME, "RESUME", WIRE_RESUME_SIZE, WIRE_RESUME_SIZE + WIRE_RESUME_PAGES_MAX / 8},
};
#define N_TYPES (sizeof types / sizeof types[0])

/* Bit by bit: 28 bytes a record are not worth a table. */
static uint32_t crc32c(const uint8_t *bytes, size_t size)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82f63b78u & -(crc & 1));
    }
    return ~crc;
}

void wire_record_encode(const struct wire_record *record, uint8_t ret_bytes[WIRE_RECORD_HEADER_SIZE])
{
    struct wire_writer writer = {.at = ret_bytes, .left = WIRE_RECORD_HEADER_SIZE};
    wire_put_u32(&writer, record->type);
    wire_put_u32(&writer, record->flags);
    wire_put_u64(&writer, record->length);
    wire_put_u64(&writer, record->seq);
    wire_put_u32(&writer, record->sum);
    wire_put_u32(&writer, crc32c(ret_bytes, CRC_OFFSET));
}

static int check_length(struct wire_record *record, struct err *err)
{
    for (size_t i = 0; i < N_TYPES; i++) {
        if (types[i].type != record->type)
            continue;
        record->known = true;
        if (record->length < types[i].min_length || record->length > types[i].max_length)
            return err_set(err, ERR_CORRUPT, "record-length", "a %s record of %llu bytes arrived",
                           types[i].name, (unsigned long long)record->length);
        return 0;
    }
    record->known = false;
    if (!(record->type & WIRE_RECORD_OPTIONAL))
        return err_set(err, ERR_CORRUPT, "unknown-record", "the mandatory record type 0x%x is not known here",
                       record->type);
    if (record->length > WIRE_SKIP_MAX)
        return err_set(err, ERR_CORRUPT, "record-length",
                       "the optional record 0x%x of %llu bytes is too long to skip", record->type,
                       (unsigned long long)record->length);
    return 0;
}

int wire_record_decode(const uint8_t bytes[WIRE_RECORD_HEADER_SIZE], uint64_t expected_seq,
                       struct wire_record *ret_record, struct err *err)
{
    struct wire_reader reader = {.at = bytes, .left = WIRE_RECORD_HEADER_SIZE};
    ret_record->type = wire_get_u32(&reader);
    ret_record->flags = wire_get_u32(&reader);
    ret_record->length = wire_get_u64(&reader);
    ret_record->seq = wire_get_u64(&reader);
    ret_record->sum = wire_get_u32(&reader);
    if (wire_get_u32(&reader) != crc32c(bytes, CRC_OFFSET))
        return err_set(err, ERR_CORRUPT, "record-crc", "a record header with a wrong checksum arrived");
    if (ret_record->seq != expected_seq)
        return err_set(err, ERR_CORRUPT, "record-order", "record %llu arrived where %llu was due",
                       (unsigned long long)ret_record->seq, (unsigned long long)expected_seq);
    return check_length(ret_record, err);
}

const char *wire_type_name(uint32_t type)
{
    for (size_t i = 0; i < N_TYPES; i++)
        if (types[i].type == type)
            return types[i].name;
    return "unknown";
}
