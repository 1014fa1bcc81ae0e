/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The working set: pages that can be proved.
 *
 * Word 0 of a page is its index (high half) and its sequence number (low half). Words 1 to 511 follow from
 * (seed, index, sequence of the last full rewrite). The expected sequence stands in a shadow table elsewhere,
 * so a page that went back, came from another place or changed in any byte is found. A page belongs to one
 * vCPU.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct pages {
    uint64_t seed;
    uint64_t n_pages;
    uint64_t n_low;            /* places [0, n_low) start at low_base, the others at high_base */
    uint64_t low_base;         /* bytes */
    uint64_t high_base;        /* bytes */
    volatile uint32_t *shadow; /* expected sequence of each page */
    uint64_t spread;           /* page i takes the place of page i * spread of a dense working set */
    bool whole_page;           /* a rewrite renews every word; else only word 0 */
    bool text;                 /* words are of a small vocabulary; else they look random */
};

struct pages_difference {
    uint64_t index, word, want, got;
};

/* Makes the vocabulary of a working set of text; before anything else. */
void pages_init(const struct pages *pages);

/* First content of one page. */
void pages_fill(struct pages *pages, uint64_t index);

/* True if the page is as expected; quick looks only at the words that a rewrite touches or proves place with.
 */
bool pages_check(const struct pages *pages, uint64_t index, bool quick,
                 struct pages_difference *ret_difference);

/* Next sequence number and the content that belongs to it. */
void pages_rewrite(struct pages *pages, uint64_t index);

/* After a failed check: like a rewrite, but of every word, so that one loss counts once. */
void pages_repair(struct pages *pages, uint64_t index);
