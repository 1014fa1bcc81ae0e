/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/delta.h"

#include <string.h>

#include "engine/engine.h"

#define WORD sizeof(uint64_t)
#define PAGE_WORDS (ENGINE_PAGE_SIZE / WORD)
#define LINE_WORDS 8u
/* Two numbers of two bytes, and a word. */
#define TOKEN_MAX (4 + WORD)

static uint64_t word_at(const uint8_t *page, size_t index)
{
    uint64_t word;
    memcpy(&word, page + index * WORD, WORD);
    return word;
}

static size_t put_number(uint8_t *at, size_t number)
{
    if (number < 128) {
        at[0] = (uint8_t)number;
        return 1;
    }
    at[0] = (uint8_t)(128 | (number & 127));
    at[1] = (uint8_t)(number >> 7);
    return 2;
}

/* The bytes used; 0 if they do not suffice or say more than a page has words. */
static size_t get_number(const uint8_t *at, size_t size, size_t *ret_number)
{
    if (!size)
        return 0;
    *ret_number = at[0];
    if (at[0] < 128)
        return 1;
    if (size < 2)
        return 0;
    *ret_number = (at[0] & 127) | (size_t)at[1] << 7;
    return *ret_number <= PAGE_WORDS ? 2 : 0;
}

/* The first word at or after `index` that differs; PAGE_WORDS if none does. Eight at a time: most are alike.
 */
static size_t next_difference(const uint8_t *base, const uint8_t *page, size_t index)
{
    while (index < PAGE_WORDS && index % LINE_WORDS) {
        if (word_at(base, index) != word_at(page, index))
            return index;
        index++;
    }
    for (; index < PAGE_WORDS; index += LINE_WORDS) {
        uint64_t difference = 0;
        for (size_t i = 0; i < LINE_WORDS; i++)
            difference |= word_at(base, index + i) ^ word_at(page, index + i);
        if (difference)
            break;
    }
    while (index < PAGE_WORDS && word_at(base, index) == word_at(page, index))
        index++;
    return index;
}

static size_t end_of_difference(const uint8_t *base, const uint8_t *page, size_t index)
{
    while (index < PAGE_WORDS && word_at(base, index) != word_at(page, index))
        index++;
    return index;
}

size_t delta_encode(uint8_t *base, const uint8_t *page, uint8_t *ret_bytes)
{
    size_t at = 0, used = 0;
    while (at < PAGE_WORDS) {
        size_t begin = next_difference(base, page, at);
        size_t end = end_of_difference(base, page, begin);
        if (used + TOKEN_MAX + (end - begin) * WORD > DELTA_PAGE_MAX)
            return 0;
        used += put_number(ret_bytes + used, begin - at);
        at = end;
        if (begin == PAGE_WORDS)
            break;
        used += put_number(ret_bytes + used, end - begin);
        memcpy(ret_bytes + used, page + begin * WORD, (end - begin) * WORD);
        memcpy(base + begin * WORD, page + begin * WORD, (end - begin) * WORD);
        used += (end - begin) * WORD;
    }
    return used;
}

size_t delta_apply(const uint8_t *bytes, size_t size, uint8_t *page)
{
    size_t at = 0, used = 0;
    while (at < PAGE_WORDS) {
        size_t skip, count, taken = get_number(bytes + used, size - used, &skip);
        if (!taken || skip > PAGE_WORDS - at)
            return 0;
        used += taken;
        at += skip;
        if (at == PAGE_WORDS)
            break;
        taken = get_number(bytes + used, size - used, &count);
        if (!taken || !count || count > PAGE_WORDS - at || count * WORD > size - used - taken)
            return 0;
        used += taken;
        memcpy(page + at * WORD, bytes + used, count * WORD);
        used += count * WORD;
        at += count;
    }
    return used;
}
