/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payloads of the data connections. Offsets and lengths are in bytes of guest RAM, always whole pages.
 *
 *   PAGES         head, extents, then the pages themselves in the order of the extents
 *   ZERO, HOLE    list head, extents: these pages read as zeros; HOLE: the source has no memory there
 *   PACKED        head, extents, then their pages in the order of the extents, as one block of a codec
 *   DELTA         head, extents, then what differs in each of these pages from what the destination holds
 *                 since an earlier round (engine/delta.h)
 *   SYNC          the end of a round on this connection, with the counts of what went over it
 *   ACK           (destination, connection 0) everything of this round is placed; or, after FINISH, the
 * verdict VERIFY_BEGIN  both sides now hash RAM in parts of this size VERIFY        (connection 0) hashes of
 * a run of parts FINISH        the source has no more to say
 *
 *   RESUME        (destination, connection 0) the first records on connections that replace lost ones: the
 * round it is in, and which pages of it are placed. Counts of SYNC and ACK begin anew after it
 *
 * An extent list is sorted, without overlap, inside RAM: a reader refuses any other. Thread: any.
 */
#ifndef WIRE_DATA_H
#define WIRE_DATA_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct wire_record;

#define WIRE_PAGE_SIZE 4096u
#define WIRE_BATCH_BYTES_MAX (1u << 20)
#define WIRE_EXTENTS_MAX 4096u
#define WIRE_EXTENT_SIZE 16u

struct wire_extent {
    uint64_t offset, length;
};

/* ZERO, HOLE */
struct wire_list {
    uint32_t round;
    uint32_t n_extents;
};
#define WIRE_LIST_SIZE 8u

struct wire_pages {
    uint32_t round;
    uint32_t n_extents;
    uint64_t n_bytes; /* of pages that follow the extents: the sum of their lengths */
    uint64_t xxh3;    /* XXH3_64bits of those bytes */
};
#define WIRE_PAGES_SIZE 24u

/* Numbers of a PACKED record; a DELTA record has WIRE_CODEC_NONE. */
enum wire_codec { WIRE_CODEC_NONE = 0, WIRE_CODEC_LZ4 = 1, WIRE_CODEC_ZSTD = 2 };

/* PACKED, DELTA. Never larger than the same pages in a PAGES record. */
struct wire_packed {
    uint32_t round;
    uint32_t codec; /* enum wire_codec */
    uint32_t n_extents;
    uint32_t n_packed; /* bytes that follow the extents; less than n_bytes */
    uint64_t n_bytes;  /* of pages: the sum of the extents' lengths */
    uint64_t xxh3;     /* XXH3_64bits of the pages as they shall be in the end */
};
#define WIRE_PACKED_SIZE 32u

struct wire_sync {
    uint32_t round;
    uint64_t n_records; /* sent on this connection in this round, SYNC not counted */
    uint64_t n_bytes;   /* of pages among them */
};
#define WIRE_SYNC_SIZE 24u

enum wire_verdict { WIRE_VERDICT_PLACED = 1, WIRE_VERDICT_SAME = 2, WIRE_VERDICT_DIFFERS = 3 };

struct wire_ack {
    uint32_t round;
    uint32_t verdict; /* PLACED for a round; after FINISH PLACED (not verified), SAME or DIFFERS */
    uint64_t n_bytes; /* of pages placed in this round, on all connections */
    uint64_t offset;  /* DIFFERS: the first differing range */
    uint64_t length;
};
#define WIRE_ACK_SIZE 32u

struct wire_verify_begin {
    uint64_t part_bytes;
};
#define WIRE_VERIFY_BEGIN_SIZE 8u
#define WIRE_PART_BYTES (2u << 20)

struct wire_verify {
    uint64_t first_part;
    uint32_t n_parts;
};
#define WIRE_VERIFY_SIZE 16u
#define WIRE_HASH_SIZE 8u
#define WIRE_HASHES_MAX 4096u

/* A part of the map of placed pages: this head, then one bit a page, the lowest first. Parts come in order
 * from page 0, each of WIRE_RESUME_PAGES_MAX pages but the last. */
struct wire_resume {
    uint32_t round;
    uint32_t n_pages; /* of this part */
    uint64_t first_page;
    uint64_t n_wasted; /* in the first part: bytes that arrived so far in records that did not arrive whole */
};
#define WIRE_RESUME_SIZE 24u
#define WIRE_RESUME_PAGES_MAX (1u << 19)

void wire_list_encode(const struct wire_list *list, uint8_t ret_bytes[WIRE_LIST_SIZE]);
/* Checks that exactly n_extents extents follow in a record of `record_length`. */
int wire_list_decode(const uint8_t bytes[WIRE_LIST_SIZE], uint64_t record_length, struct wire_list *ret_list,
                     struct err *err);
void wire_pages_encode(const struct wire_pages *pages, uint8_t ret_bytes[WIRE_PAGES_SIZE]);
/* Checks that the extents and n_bytes bytes of pages fill the record exactly. */
int wire_pages_decode(const uint8_t bytes[WIRE_PAGES_SIZE], uint64_t record_length,
                      struct wire_pages *ret_pages, struct err *err);
void wire_packed_encode(const struct wire_packed *packed, uint8_t ret_bytes[WIRE_PACKED_SIZE]);
/* Of a record of this type (PACKED or DELTA) and length: checks that the extents and n_packed bytes fill it
 * exactly, and that the codec is one of this type. */
int wire_packed_decode(const uint8_t bytes[WIRE_PACKED_SIZE], const struct wire_record *record,
                       struct wire_packed *ret_packed, struct err *err);

/* `bytes` has n_extents * WIRE_EXTENT_SIZE bytes. */
void wire_extents_encode(const struct wire_extent *extents, uint32_t n_extents, uint8_t *ret_bytes);
/* Every extent not empty, whole pages, inside [0, ram_size), after the one before it; *ret_total is their
 * sum. Else ERR_CORRUPT. */
int wire_extents_decode(const uint8_t *bytes, uint32_t n_extents, uint64_t ram_size,
                        struct wire_extent *ret_extents, uint64_t *ret_total, struct err *err)
    __attribute__((nonnull(1, 4, 5)));

void wire_sync_encode(const struct wire_sync *sync, uint8_t ret_bytes[WIRE_SYNC_SIZE]);
void wire_sync_decode(const uint8_t bytes[WIRE_SYNC_SIZE], struct wire_sync *ret_sync);
void wire_ack_encode(const struct wire_ack *ack, uint8_t ret_bytes[WIRE_ACK_SIZE]);
/* ERR_CORRUPT for an unknown verdict. */
int wire_ack_decode(const uint8_t bytes[WIRE_ACK_SIZE], struct wire_ack *ret_ack, struct err *err);
void wire_verify_begin_encode(const struct wire_verify_begin *begin,
                              uint8_t ret_bytes[WIRE_VERIFY_BEGIN_SIZE]);
/* ERR_CORRUPT for another part size than WIRE_PART_BYTES. */
int wire_verify_begin_decode(const uint8_t bytes[WIRE_VERIFY_BEGIN_SIZE], struct wire_verify_begin *ret_begin,
                             struct err *err);
void wire_verify_encode(const struct wire_verify *verify, uint8_t ret_bytes[WIRE_VERIFY_SIZE]);
/* Checks that n_parts hashes fill the record and lie within `total_parts`. */
int wire_verify_decode(const uint8_t bytes[WIRE_VERIFY_SIZE], uint64_t record_length, uint64_t total_parts,
                       struct wire_verify *ret_verify, struct err *err);
void wire_resume_encode(const struct wire_resume *resume, uint8_t ret_bytes[WIRE_RESUME_SIZE]);
/* Checks that the part begins at `first_page`, is as long as it must be with `total_pages` in all, and fills
 * the record. */
int wire_resume_decode(const uint8_t bytes[WIRE_RESUME_SIZE], uint64_t record_length, uint64_t first_page,
                       uint64_t total_pages, struct wire_resume *ret_resume, struct err *err);
/* The pages of one part that begins at first_page, a multiple of 64, from and to a map of all. */
void wire_resume_put_pages(const uint64_t *words, uint64_t first_page, uint32_t n_pages, uint8_t *ret_bytes);
void wire_resume_get_pages(const uint8_t *bytes, uint64_t first_page, uint32_t n_pages, uint64_t *ret_words);
void wire_hash_encode(uint64_t hash, uint8_t ret_bytes[WIRE_HASH_SIZE]);
uint64_t wire_hash_decode(const uint8_t bytes[WIRE_HASH_SIZE]);

#endif
