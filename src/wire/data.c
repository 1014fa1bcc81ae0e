/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/data.h"

#include "base/checked.h"
#include "base/err.h"
#include "wire/codec.h"
#include "wire/record.h"

void wire_list_encode(const struct wire_list *list, uint8_t ret_bytes[WIRE_LIST_SIZE])
{
    struct wire_writer writer = {.at = ret_bytes, .left = WIRE_LIST_SIZE};
    wire_put_u32(&writer, list->round);
    wire_put_u32(&writer, list->n_extents);
}

int wire_list_decode(const uint8_t bytes[WIRE_LIST_SIZE], uint64_t record_length, struct wire_list *ret_list,
                     struct err *err)
{
    struct wire_reader reader = {.at = bytes, .left = WIRE_LIST_SIZE};
    ret_list->round = wire_get_u32(&reader);
    ret_list->n_extents = wire_get_u32(&reader);
    if (ret_list->n_extents > WIRE_EXTENTS_MAX ||
        record_length != WIRE_LIST_SIZE + (uint64_t)ret_list->n_extents * WIRE_EXTENT_SIZE)
        return err_set(err, ERR_CORRUPT, "extent-count", "a list of %u extents arrived in %llu bytes",
                       ret_list->n_extents, (unsigned long long)record_length);
    return 0;
}

void wire_pages_encode(const struct wire_pages *pages, uint8_t ret_bytes[WIRE_PAGES_SIZE])
{
    struct wire_writer writer = {.at = ret_bytes, .left = WIRE_PAGES_SIZE};
    wire_put_u32(&writer, pages->round);
    wire_put_u32(&writer, pages->n_extents);
    wire_put_u64(&writer, pages->n_bytes);
    wire_put_u64(&writer, pages->xxh3);
}

int wire_pages_decode(const uint8_t bytes[WIRE_PAGES_SIZE], uint64_t record_length,
                      struct wire_pages *ret_pages, struct err *err)
{
    struct wire_reader reader = {.at = bytes, .left = WIRE_PAGES_SIZE};
    ret_pages->round = wire_get_u32(&reader);
    ret_pages->n_extents = wire_get_u32(&reader);
    ret_pages->n_bytes = wire_get_u64(&reader);
    ret_pages->xxh3 = wire_get_u64(&reader);
    if (!ret_pages->n_extents || ret_pages->n_extents > WIRE_BATCH_BYTES_MAX / WIRE_PAGE_SIZE ||
        !ret_pages->n_bytes || ret_pages->n_bytes > WIRE_BATCH_BYTES_MAX ||
        record_length !=
            WIRE_PAGES_SIZE + (uint64_t)ret_pages->n_extents * WIRE_EXTENT_SIZE + ret_pages->n_bytes)
        return err_set(err, ERR_CORRUPT, "batch-length",
                       "a batch of %u extents and %llu bytes arrived in %llu bytes", ret_pages->n_extents,
                       (unsigned long long)ret_pages->n_bytes, (unsigned long long)record_length);
    return 0;
}

void wire_packed_encode(const struct wire_packed *packed, uint8_t ret_bytes[WIRE_PACKED_SIZE])
{
    struct wire_writer writer = {.at = ret_bytes, .left = WIRE_PACKED_SIZE};
    wire_put_u32(&writer, packed->round);
    wire_put_u32(&writer, packed->codec);
    wire_put_u32(&writer, packed->n_extents);
    wire_put_u32(&writer, packed->n_packed);
    wire_put_u64(&writer, packed->n_bytes);
    wire_put_u64(&writer, packed->xxh3);
}

int wire_packed_decode(const uint8_t bytes[WIRE_PACKED_SIZE], const struct wire_record *record,
                       struct wire_packed *ret_packed, struct err *err)
{
    struct wire_reader reader = {.at = bytes, .left = WIRE_PACKED_SIZE};
    ret_packed->round = wire_get_u32(&reader);
    ret_packed->codec = wire_get_u32(&reader);
    ret_packed->n_extents = wire_get_u32(&reader);
    ret_packed->n_packed = wire_get_u32(&reader);
    ret_packed->n_bytes = wire_get_u64(&reader);
    ret_packed->xxh3 = wire_get_u64(&reader);
    bool is_codec = record->type == WIRE_DELTA
                        ? ret_packed->codec == WIRE_CODEC_NONE
                        : ret_packed->codec == WIRE_CODEC_LZ4 || ret_packed->codec == WIRE_CODEC_ZSTD;
    if (!is_codec)
        return err_set(err, ERR_CORRUPT, "packed-codec", "a %s record of the codec %u arrived",
                       wire_type_name(record->type), ret_packed->codec);
    if (!ret_packed->n_extents || ret_packed->n_extents > WIRE_BATCH_BYTES_MAX / WIRE_PAGE_SIZE ||
        !ret_packed->n_bytes || ret_packed->n_bytes > WIRE_BATCH_BYTES_MAX || !ret_packed->n_packed ||
        ret_packed->n_packed >= ret_packed->n_bytes ||
        record->length !=
            WIRE_PACKED_SIZE + (uint64_t)ret_packed->n_extents * WIRE_EXTENT_SIZE + ret_packed->n_packed)
        return err_set(err, ERR_CORRUPT, "batch-length",
                       "a batch of %u extents and %llu bytes, packed into %u, arrived in %llu bytes",
                       ret_packed->n_extents, (unsigned long long)ret_packed->n_bytes, ret_packed->n_packed,
                       (unsigned long long)record->length);
    return 0;
}

void wire_extents_encode(const struct wire_extent *extents, uint32_t n_extents, uint8_t *ret_bytes)
{
    struct wire_writer writer = {.at = ret_bytes, .left = (size_t)n_extents * WIRE_EXTENT_SIZE};
    for (uint32_t i = 0; i < n_extents; i++) {
        wire_put_u64(&writer, extents[i].offset);
        wire_put_u64(&writer, extents[i].length);
    }
}

int wire_extents_decode(const uint8_t *bytes, uint32_t n_extents, uint64_t ram_size,
                        struct wire_extent *ret_extents, uint64_t *ret_total, struct err *err)
{
    struct wire_reader reader = {.at = bytes, .left = (size_t)n_extents * WIRE_EXTENT_SIZE};
    uint64_t end = 0;
    *ret_total = 0;
    for (uint32_t i = 0; i < n_extents; i++) {
        struct wire_extent extent;
        extent.offset = wire_get_u64(&reader);
        extent.length = wire_get_u64(&reader);
        if (!extent.length || extent.length % WIRE_PAGE_SIZE || extent.offset % WIRE_PAGE_SIZE ||
            extent.offset < end || !checked_range(extent.offset, extent.length, ram_size))
            return err_set(err, ERR_CORRUPT, "extent-range",
                           "the extent of %llu bytes at %llu is not allowed in %llu bytes of RAM",
                           (unsigned long long)extent.length, (unsigned long long)extent.offset,
                           (unsigned long long)ram_size);
        end = extent.offset + extent.length;
        *ret_total += extent.length;
        ret_extents[i] = extent;
    }
    return 0;
}

void wire_sync_encode(const struct wire_sync *sync, uint8_t ret_bytes[WIRE_SYNC_SIZE])
{
    struct wire_writer writer = {.at = ret_bytes, .left = WIRE_SYNC_SIZE};
    wire_put_u32(&writer, sync->round);
    wire_put_u32(&writer, 0);
    wire_put_u64(&writer, sync->n_records);
    wire_put_u64(&writer, sync->n_bytes);
}

void wire_sync_decode(const uint8_t bytes[WIRE_SYNC_SIZE], struct wire_sync *ret_sync)
{
    struct wire_reader reader = {.at = bytes, .left = WIRE_SYNC_SIZE};
    ret_sync->round = wire_get_u32(&reader);
    wire_skip(&reader, 4);
    ret_sync->n_records = wire_get_u64(&reader);
    ret_sync->n_bytes = wire_get_u64(&reader);
}

void wire_ack_encode(const struct wire_ack *ack, uint8_t ret_bytes[WIRE_ACK_SIZE])
{
    struct wire_writer writer = {.at = ret_bytes, .left = WIRE_ACK_SIZE};
    wire_put_u32(&writer, ack->round);
    wire_put_u32(&writer, ack->verdict);
    wire_put_u64(&writer, ack->n_bytes);
    wire_put_u64(&writer, ack->offset);
    wire_put_u64(&writer, ack->length);
}

int wire_ack_decode(const uint8_t bytes[WIRE_ACK_SIZE], struct wire_ack *ret_ack, struct err *err)
{
    struct wire_reader reader = {.at = bytes, .left = WIRE_ACK_SIZE};
    ret_ack->round = wire_get_u32(&reader);
    ret_ack->verdict = wire_get_u32(&reader);
    ret_ack->n_bytes = wire_get_u64(&reader);
    ret_ack->offset = wire_get_u64(&reader);
    ret_ack->length = wire_get_u64(&reader);
    if (ret_ack->verdict < WIRE_VERDICT_PLACED || ret_ack->verdict > WIRE_VERDICT_DIFFERS)
        return err_set(err, ERR_CORRUPT, "ack-verdict", "an ACK with the unknown verdict %u arrived",
                       ret_ack->verdict);
    return 0;
}

void wire_verify_begin_encode(const struct wire_verify_begin *begin,
                              uint8_t ret_bytes[WIRE_VERIFY_BEGIN_SIZE])
{
    struct wire_writer writer = {.at = ret_bytes, .left = WIRE_VERIFY_BEGIN_SIZE};
    wire_put_u64(&writer, begin->part_bytes);
}

int wire_verify_begin_decode(const uint8_t bytes[WIRE_VERIFY_BEGIN_SIZE], struct wire_verify_begin *ret_begin,
                             struct err *err)
{
    struct wire_reader reader = {.at = bytes, .left = WIRE_VERIFY_BEGIN_SIZE};
    ret_begin->part_bytes = wire_get_u64(&reader);
    if (ret_begin->part_bytes != WIRE_PART_BYTES)
        return err_set(err, ERR_CORRUPT, "verify-part", "verification in parts of %llu bytes was asked for",
                       (unsigned long long)ret_begin->part_bytes);
    return 0;
}

void wire_verify_encode(const struct wire_verify *verify, uint8_t ret_bytes[WIRE_VERIFY_SIZE])
{
    struct wire_writer writer = {.at = ret_bytes, .left = WIRE_VERIFY_SIZE};
    wire_put_u64(&writer, verify->first_part);
    wire_put_u32(&writer, verify->n_parts);
    wire_put_u32(&writer, 0);
}

int wire_verify_decode(const uint8_t bytes[WIRE_VERIFY_SIZE], uint64_t record_length, uint64_t total_parts,
                       struct wire_verify *ret_verify, struct err *err)
{
    struct wire_reader reader = {.at = bytes, .left = WIRE_VERIFY_SIZE};
    ret_verify->first_part = wire_get_u64(&reader);
    ret_verify->n_parts = wire_get_u32(&reader);
    if (!ret_verify->n_parts || ret_verify->n_parts > WIRE_HASHES_MAX ||
        record_length != WIRE_VERIFY_SIZE + (uint64_t)ret_verify->n_parts * WIRE_HASH_SIZE ||
        !checked_range(ret_verify->first_part, ret_verify->n_parts, total_parts))
        return err_set(err, ERR_CORRUPT, "verify-range", "hashes of the parts %llu + %u of %llu arrived",
                       (unsigned long long)ret_verify->first_part, ret_verify->n_parts,
                       (unsigned long long)total_parts);
    return 0;
}

void wire_resume_encode(const struct wire_resume *resume, uint8_t ret_bytes[WIRE_RESUME_SIZE])
{
    struct wire_writer writer = {.at = ret_bytes, .left = WIRE_RESUME_SIZE};
    wire_put_u32(&writer, resume->round);
    wire_put_u32(&writer, resume->n_pages);
    wire_put_u64(&writer, resume->first_page);
    wire_put_u64(&writer, resume->n_wasted);
}

int wire_resume_decode(const uint8_t bytes[WIRE_RESUME_SIZE], uint64_t record_length, uint64_t first_page,
                       uint64_t total_pages, struct wire_resume *ret_resume, struct err *err)
{
    struct wire_reader reader = {.at = bytes, .left = WIRE_RESUME_SIZE};
    ret_resume->round = wire_get_u32(&reader);
    ret_resume->n_pages = wire_get_u32(&reader);
    ret_resume->first_page = wire_get_u64(&reader);
    ret_resume->n_wasted = wire_get_u64(&reader);
    uint64_t left = total_pages - first_page;
    uint64_t due = left < WIRE_RESUME_PAGES_MAX ? left : WIRE_RESUME_PAGES_MAX;
    if (ret_resume->first_page != first_page || ret_resume->n_pages != due ||
        record_length != WIRE_RESUME_SIZE + (due + 7) / 8)
        return err_set(err, ERR_CORRUPT, "resume-part",
                       "a RESUME of %u pages at %llu arrived in %llu bytes, %llu pages at %llu were due",
                       ret_resume->n_pages, (unsigned long long)ret_resume->first_page,
                       (unsigned long long)record_length, (unsigned long long)due,
                       (unsigned long long)first_page);
    return 0;
}

void wire_resume_put_pages(const uint64_t *words, uint64_t first_page, uint32_t n_pages, uint8_t *ret_bytes)
{
    for (uint32_t i = 0; i < (n_pages + 7) / 8; i++) {
        uint64_t page = first_page + i * 8ull;
        ret_bytes[i] = (uint8_t)(words[page / 64] >> (page % 64));
    }
}

void wire_resume_get_pages(const uint8_t *bytes, uint64_t first_page, uint32_t n_pages, uint64_t *ret_words)
{
    for (uint32_t i = 0; i < (n_pages + 7) / 8; i++) {
        uint64_t page = first_page + i * 8ull;
        uint8_t byte = bytes[i];
        /* Bits behind the last page say nothing. */
        if (n_pages - i * 8 < 8)
            byte = (uint8_t)(byte & ((1u << (n_pages - i * 8)) - 1));
        ret_words[page / 64] = (ret_words[page / 64] & ~(0xffull << (page % 64))) | (uint64_t)byte
                                                                                        << (page % 64);
    }
}

void wire_hash_encode(uint64_t hash, uint8_t ret_bytes[WIRE_HASH_SIZE])
{
    struct wire_writer writer = {.at = ret_bytes, .left = WIRE_HASH_SIZE};
    wire_put_u64(&writer, hash);
}

uint64_t wire_hash_decode(const uint8_t bytes[WIRE_HASH_SIZE])
{
    struct wire_reader reader = {.at = bytes, .left = WIRE_HASH_SIZE};
    return wire_get_u64(&reader);
}
