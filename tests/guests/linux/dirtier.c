/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: dirtier MB RATE [page|word]
 * Rewrites random pages of MB MiB of its memory at RATE * 10^6 bytes/s (0: as fast as possible; a page counts
 * as 4096 bytes), proves each page before it rewrites it and all pages in turn, and reports once a second.
 */
#include "figures.h"
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum {
    page_bytes = 4096,
    words_per_page = 512,
    batch_pages = 16,
    idle_ns = 2000000,
    max_catch_up_ns = 50000000
};

struct dirtier {
    uint64_t *memory;
    uint32_t *shadow; /* expected sequence of each page */
    uint64_t n_pages;
    uint64_t rate; /* bytes/s, 0: unlimited */
    bool whole_page;
    uint64_t random, sweep_next;
    uint64_t n_done, n_bad, n_sweeps;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t body_word(uint64_t page, uint32_t sequence, unsigned word)
{
    const uint64_t x = (page << 32 ^ sequence) * 0x9e3779b97f4a7c15u + word * 0xbf58476d1ce4e5b9u;
    return x ^ x >> 29;
}

static void write_all(struct dirtier *dirtier, uint64_t page, uint32_t sequence)
{
    uint64_t *words = dirtier->memory + page * words_per_page;
    words[0] = page << 32 | sequence;
    for (unsigned i = 1; i < words_per_page; i++)
        words[i] = body_word(page, dirtier->whole_page ? sequence : 0, i);
    dirtier->shadow[page] = sequence;
}

static bool is_as_expected(const struct dirtier *dirtier, uint64_t page, bool quick)
{
    const volatile uint64_t *words = dirtier->memory + page * words_per_page;
    const uint32_t sequence = dirtier->shadow[page], body = dirtier->whole_page ? sequence : 0;
    if (words[0] != (page << 32 | sequence))
        return false;
    if (quick && !dirtier->whole_page)
        return words[words_per_page - 1] == body_word(page, body, words_per_page - 1);
    for (unsigned i = 1; i < words_per_page; i++)
        if (words[i] != body_word(page, body, i))
            return false;
    return true;
}

static void prove(struct dirtier *dirtier, uint64_t page, bool quick)
{
    if (is_as_expected(dirtier, page, quick))
        return;
    printf("WORK bad page=%llu expected_sequence=%u\n", (unsigned long long)page, dirtier->shadow[page]);
    dirtier->n_bad++;
    write_all(dirtier, page, dirtier->shadow[page] + 1);
}

static void rewrite_random(struct dirtier *dirtier)
{
    dirtier->random ^= dirtier->random << 13;
    dirtier->random ^= dirtier->random >> 7;
    dirtier->random ^= dirtier->random << 17;
    const uint64_t page = dirtier->random % dirtier->n_pages;
    prove(dirtier, page, true);
    if (dirtier->whole_page)
        write_all(dirtier, page, dirtier->shadow[page] + 1);
    else
        dirtier->memory[page * words_per_page] = page << 32 | ++dirtier->shadow[page];
    dirtier->n_done++;
}

static void sweep_one(struct dirtier *dirtier)
{
    prove(dirtier, dirtier->sweep_next, false);
    if (++dirtier->sweep_next < dirtier->n_pages)
        return;
    dirtier->sweep_next = 0;
    dirtier->n_sweeps++;
}

static void report(const struct dirtier *dirtier, double rate_mb_s, double gap_ms)
{
    char text[256];
    printf("WORK done=%llu rate_mb_s=%.1f bad=%llu gap_ms=%.1f sweeps=%llu\n",
           (unsigned long long)dirtier->n_done, rate_mb_s, (unsigned long long)dirtier->n_bad, gap_ms,
           (unsigned long long)dirtier->n_sweeps);
    (void)snprintf(text, sizeof text,
                   "{\"work\":%llu,\"rate_mb_s\":%.1f,\"bad\":%llu,\"gap_ms\":%.1f,\"sweeps\":%llu}\n",
                   (unsigned long long)dirtier->n_done, rate_mb_s, (unsigned long long)dirtier->n_bad, gap_ms,
                   (unsigned long long)dirtier->n_sweeps);
    if (figures_publish("/run/work.json", text))
        printf("WORK error publish %s\n", strerror(errno));
}

/* The gap is the longest time between two looks at the clock, naps included. */
static void run(struct dirtier *dirtier)
{
    const struct timespec nap = {.tv_nsec = idle_ns};
    uint64_t last = now_ns(), last_report = last, last_done = 0, max_gap = 0, credit = 0;
    for (;;) {
        const uint64_t now = now_ns(), elapsed = now - last;
        last = now;
        max_gap = elapsed > max_gap ? elapsed : max_gap;
        unsigned n = batch_pages;
        if (dirtier->rate) {
            credit += (elapsed < max_catch_up_ns ? elapsed : max_catch_up_ns) * dirtier->rate / 1000;
            n = credit / (page_bytes * 1000000ull) < batch_pages
                    ? (unsigned)(credit / (page_bytes * 1000000ull))
                    : batch_pages;
            credit -= n * (page_bytes * 1000000ull);
        }
        for (unsigned i = 0; i < n; i++) {
            rewrite_random(dirtier);
            sweep_one(dirtier);
        }
        if (now - last_report >= 1000000000) {
            report(dirtier,
                   (double)(dirtier->n_done - last_done) * page_bytes * 1e3 / (double)(now - last_report),
                   (double)max_gap / 1e6);
            last_report = now;
            last_done = dirtier->n_done;
            max_gap = 0;
        }
        if (n == 0)
            (void)nanosleep(&nap, NULL);
    }
}

static bool parse(const char *text, uint64_t max, uint64_t *ret)
{
    char *end;
    errno = 0;
    *ret = strtoull(text, &end, 10);
    return !errno && end != text && !*end && *text != '-' && *ret <= max;
}

int main(int argc, char **argv)
{
    struct dirtier dirtier = {.random = 88172645463325252u, .whole_page = true};
    uint64_t mb;
    if (argc < 3 || argc > 4 || !parse(argv[1], 1 << 20, &mb) || mb == 0 ||
        !parse(argv[2], 10000, &dirtier.rate) ||
        (argc == 4 && strcmp(argv[3], "page") && strcmp(argv[3], "word"))) {
        fprintf(stderr, "usage: dirtier MB RATE [page|word]\n");
        return 2;
    }
    dirtier.rate *= 1000000;
    dirtier.whole_page = argc < 4 || !strcmp(argv[3], "page");
    dirtier.n_pages = mb << 8;
    dirtier.memory = mmap(NULL, mb << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    dirtier.shadow = calloc(dirtier.n_pages, sizeof *dirtier.shadow);
    if (dirtier.memory == MAP_FAILED || !dirtier.shadow) {
        fprintf(stderr, "dirtier: no memory for %llu MiB\n", (unsigned long long)mb);
        return 1;
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    for (uint64_t page = 0; page < dirtier.n_pages; page++)
        write_all(&dirtier, page, 0);
    printf("WORK filled mb=%llu\n", (unsigned long long)mb);
    run(&dirtier);
}
