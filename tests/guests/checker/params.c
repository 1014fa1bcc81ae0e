/* SPDX-License-Identifier: Apache-2.0 */
#include "params.h"
#include <stddef.h>

struct multiboot_info {
    uint32_t flags;
    uint32_t mem_lower, mem_upper;
    uint32_t boot_device;
    uint32_t cmdline;
    uint32_t mods_count, mods_addr;
    uint32_t syms[4];
    uint32_t mmap_length, mmap_addr;
};

struct multiboot_range {
    uint32_t size;
    uint64_t base, length;
    uint32_t type;
} __attribute__((packed));

enum { has_cmdline = 1 << 2, has_mmap = 1 << 6, usable_memory = 1 };

struct number_parameter {
    const char *name;
    size_t offset;
    uint64_t fallback, min, max;
};

static const struct number_parameter numbers[] = {
    {"mb", offsetof(struct params, mb), 64, 1, 60 << 10},
    {"rate", offsetof(struct params, rate), 0, 0, 50000},
    {"vcpus", offsetof(struct params, vcpus), 1, 1, 4},
    {"intr", offsetof(struct params, intr), 1, 0, 1},
    {"hz", offsetof(struct params, hz), 500, 1, 10000},
    {"seed", offsetof(struct params, seed), 1, 0, UINT64_MAX},
    {"sweep_ms", offsetof(struct params, sweep_ms), 5000, 1, 3600000},
    {"interval_ms", offsetof(struct params, interval_ms), 100, 10, 60000},
    {"spread", offsetof(struct params, spread), 1, 1, 1024},
    {"tsc_mhz", offsetof(struct params, tsc_mhz), 0, 0, 10000},
};
enum { n_numbers = sizeof numbers / sizeof numbers[0] };

static uint64_t *number_field(struct params *params, unsigned i)
{
    return (uint64_t *)((char *)params + numbers[i].offset);
}

/* The text behind "name=" if the word starts so, else NULL. */
static const char *value_of(const char *word, const char *name)
{
    while (*name)
        if (*word++ != *name++)
            return NULL;
    return *word == '=' ? word + 1 : NULL;
}

static bool ends_word(char c)
{
    return c == ' ' || c == 0;
}

static bool parse_number(const char *text, uint64_t max, uint64_t *ret)
{
    uint64_t value = 0;
    if (ends_word(*text))
        return false;
    for (; !ends_word(*text); text++) {
        if (*text < '0' || *text > '9' || value > (max - (uint64_t)(*text - '0')) / 10)
            return false;
        value = value * 10 + (uint64_t)(*text - '0');
    }
    *ret = value;
    return true;
}

static bool is_word(const char *text, const char *word)
{
    while (*word)
        if (*text++ != *word++)
            return false;
    return ends_word(*text);
}

static bool parse_word(struct params *params, const char *word)
{
    const char *mode = value_of(word, "mode");
    if (mode) {
        params->read_only = is_word(mode, "read");
        params->whole_page = is_word(mode, "page") || params->read_only;
        return params->whole_page || is_word(mode, "word");
    }
    const char *fill = value_of(word, "fill");
    if (fill) {
        params->text = is_word(fill, "text");
        return params->text || is_word(fill, "random");
    }
    for (unsigned i = 0; i < n_numbers; i++) {
        const char *text = value_of(word, numbers[i].name);
        uint64_t *field = number_field(params, i);
        if (text)
            return parse_number(text, numbers[i].max, field) && *field >= numbers[i].min;
    }
    return false;
}

bool params_parse(struct params *params, const struct multiboot_info *info, const char **ret_bad)
{
    for (unsigned i = 0; i < n_numbers; i++)
        *number_field(params, i) = numbers[i].fallback;
    params->whole_page = true;
    params->read_only = params->text = false;
    if (!(info->flags & has_cmdline))
        return true;
    const char *text = (const char *)(uintptr_t)info->cmdline;
    while (!ends_word(*text)) /* QEMU puts the kernel's file name in front */
        text++;
    for (;;) {
        while (*text == ' ')
            text++;
        if (!*text)
            return true;
        *ret_bad = text;
        if (!parse_word(params, text))
            return false;
        while (!ends_word(*text))
            text++;
    }
}

struct extent params_memory_at(const struct multiboot_info *info, uint64_t address)
{
    struct extent none = {0};
    if (!(info->flags & has_mmap))
        return none;
    uint64_t at = info->mmap_addr;
    while (at < (uint64_t)info->mmap_addr + info->mmap_length) {
        const struct multiboot_range *range = (const struct multiboot_range *)(uintptr_t)at;
        if (range->type == usable_memory && range->base <= address && address - range->base < range->length)
            return (struct extent){address, range->length - (address - range->base)};
        at += range->size + sizeof range->size;
    }
    return none;
}
