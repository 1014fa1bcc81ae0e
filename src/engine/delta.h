/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One page as changes against an older version of it: the new words of 8 bytes, and where they go.
 *
 *   page:  repeat { skip, count, count * 8 bytes } until skips and counts make 512 words
 *
 * skip (words that stay) and count (words that follow, at least 1) are numbers of one byte, or of two: below
 * 128 as they are, else 128 + low 7 bits, then the rest. A skip that reaches the end has no count behind it.
 * So 8 changed bytes cost 12 or so. Words are given, not differences: applying a change twice does no harm.
 *
 * Pure functions. Thread: any.
 */
#ifndef ENGINE_DELTA_H
#define ENGINE_DELTA_H

#include <stddef.h>
#include <stdint.h>

/* What a page may take; what is larger is better sent whole. */
#define DELTA_PAGE_MAX 2048u

/* How `page` differs from `base`, into DELTA_PAGE_MAX bytes at `ret_bytes`; base becomes what page is. The
 * length, or 0 if it is not worth it: then base may be partly changed. */
size_t delta_encode(uint8_t *base, const uint8_t *page, uint8_t *ret_bytes);
/* Applies one page's changes, read from at most `size` bytes, to `page`. The number of bytes used, or 0 if
 * they are no valid changes; then page may be partly changed. */
size_t delta_apply(const uint8_t *bytes, size_t size, uint8_t *page);

#endif
