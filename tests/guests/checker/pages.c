/* SPDX-License-Identifier: Apache-2.0 */
#include "pages.h"

enum { words_per_page = 512, vocabulary_bits = 12 };
static const uint64_t step = 0x9e3779b97f4a7c15u;

static uint64_t vocabulary[1 << vocabulary_bits]; /* eight letters each */

static volatile uint64_t *page_words(const struct pages *pages, uint64_t index)
{
    const uint64_t place = index * pages->spread;
    const uint64_t base = place < pages->n_low ? pages->low_base + place * 4096
                                               : pages->high_base + (place - pages->n_low) * 4096;
    return (volatile uint64_t *)(uintptr_t)base;
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static uint64_t body_start(const struct pages *pages, uint64_t index, uint32_t sequence)
{
    return mix(mix(pages->seed + index * step) + (pages->whole_page ? sequence : 0));
}

static uint64_t body_word(const struct pages *pages, uint64_t x)
{
    const uint64_t y = x ^ x >> 29, mask = (1 << vocabulary_bits) - 1;
    if (!pages->text)
        return y;
    /* The product of three: few words are frequent and many are rare, as in a text. */
    const uint64_t product = (y & mask) * (y >> vocabulary_bits & mask) * (y >> 2 * vocabulary_bits & mask);
    return vocabulary[product >> 2 * vocabulary_bits];
}

void pages_init(const struct pages *pages)
{
    static const char letters[33] = "etaoinshrdlucmfwygpbvk  eeaatt n";
    for (uint64_t i = 0; pages->text && i < 1 << vocabulary_bits; i++)
        for (unsigned letter = 0; letter < 8; letter++)
            vocabulary[i] |= (uint64_t)letters[mix(i + 1) >> 5 * letter & 31] << 8 * letter;
}

static void write_all(struct pages *pages, uint64_t index, uint32_t sequence)
{
    volatile uint64_t *words = page_words(pages, index);
    uint64_t x = body_start(pages, index, sequence);
    words[0] = index << 32 | sequence;
    for (unsigned i = 1; i < words_per_page; i++)
        words[i] = body_word(pages, x += step);
    pages->shadow[index] = sequence;
}

static bool differs(const volatile uint64_t *words, unsigned word, uint64_t want,
                    struct pages_difference *ret_difference)
{
    const uint64_t got = words[word];
    if (got == want)
        return false;
    ret_difference->word = word;
    ret_difference->want = want;
    ret_difference->got = got;
    return true;
}

void pages_fill(struct pages *pages, uint64_t index)
{
    write_all(pages, index, 0);
}

bool pages_check(const struct pages *pages, uint64_t index, bool quick,
                 struct pages_difference *ret_difference)
{
    const volatile uint64_t *words = page_words(pages, index);
    const uint32_t sequence = pages->shadow[index];
    uint64_t x = body_start(pages, index, sequence);
    ret_difference->index = index;
    if (differs(words, 0, index << 32 | sequence, ret_difference))
        return false;
    if (quick && !pages->whole_page)
        return !differs(words, words_per_page - 1, body_word(pages, x + (words_per_page - 1) * step),
                        ret_difference);
    for (unsigned i = 1; i < words_per_page; i++)
        if (differs(words, i, body_word(pages, x += step), ret_difference))
            return false;
    return true;
}

void pages_rewrite(struct pages *pages, uint64_t index)
{
    const uint32_t sequence = pages->shadow[index] + 1;
    if (pages->whole_page) {
        write_all(pages, index, sequence);
        return;
    }
    page_words(pages, index)[0] = index << 32 | sequence;
    pages->shadow[index] = sequence;
}

void pages_repair(struct pages *pages, uint64_t index)
{
    write_all(pages, index, pages->shadow[index] + 1);
}
