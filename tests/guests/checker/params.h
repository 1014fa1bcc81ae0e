/* SPDX-License-Identifier: Apache-2.0 */
/* What the loader says: the command line and the memory map. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct params {
    uint64_t mb;    /* working set, MiB */
    uint64_t rate;  /* 10^6 bytes/s dirtied over all vCPUs, 4096 per page; 0: as fast as possible */
    uint64_t vcpus; /* 1 to 4 */
    uint64_t intr;  /* 1: periodic timer interrupt, vCPUs sleep when idle */
    uint64_t hz;    /* of that timer */
    uint64_t seed;
    uint64_t sweep_ms;    /* aim: every page checked once in this time */
    uint64_t interval_ms; /* between two report lines */
    uint64_t tsc_mhz;     /* 0: find out */
    uint64_t spread;      /* the working set takes only every n-th page of its memory */
    bool whole_page;
    bool read_only; /* pages are proved and never rewritten */
    bool text;      /* contents compress as text does; else not at all */
};

struct extent {
    uint64_t base, bytes;
};

struct multiboot_info;

/* Fills in defaults and the command line. On bad input false, and the word at fault. */
bool params_parse(struct params *params, const struct multiboot_info *info, const char **ret_bad);

/* The memory that holds address, from address on; empty if there is none. */
struct extent params_memory_at(const struct multiboot_info *info, uint64_t address);
