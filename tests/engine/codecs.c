/* SPDX-License-Identifier: Apache-2.0 */
/* Measurements, not tests: `codecs CASE`. What codecs and deltas do to time and bytes, each variant in turn,
 * over loopback without and with a cap. */
#include "rig.h"

#include <string.h>

#include "base/clock.h"

struct variant {
    const char *name;
    enum engine_compression compression;
    enum engine_delta delta;
};

static const struct variant variants[] = {
    {"off", ENGINE_COMPRESSION_OFF, ENGINE_DELTA_OFF},
    {"auto", ENGINE_COMPRESSION_AUTO, ENGINE_DELTA_AUTO},
    {"lz4", ENGINE_COMPRESSION_LZ4, ENGINE_DELTA_OFF},
    {"zstd", ENGINE_COMPRESSION_ZSTD, ENGINE_DELTA_OFF},
    {"delta", ENGINE_COMPRESSION_OFF, ENGINE_DELTA_AUTO},
};

struct setting {
    uint64_t size, cap;
    bool is_text;
    uint64_t patched; /* bytes of a range of which words are changed all the time */
    unsigned n_turns, n_variants;
    uint32_t max_rounds;
};

static void show(const struct variant *variant, const struct rig_attempt *attempt, const struct rig *rig)
{
    const struct engine_codec_counts *codecs = attempt->snapshot.codecs;
    print_message("%-6s %7.0f ms, round 0 %6.0f ms, wire/ram %.3f, %llu rounds; MB raw>wire: raw %llu lz4 "
                  "%llu>%llu zstd "
                  "%llu>%llu delta %llu>%llu\n",
                  variant->name, (double)attempt->total_ns / 1e6, (double)attempt->round_zero_ns / 1e6,
                  (double)attempt->snapshot.bytes_on_wire / (double)rig->size,
                  (unsigned long long)attempt->n_rounds, (unsigned long long)(codecs[0].raw_bytes / 1000000),
                  (unsigned long long)(codecs[1].raw_bytes / 1000000),
                  (unsigned long long)(codecs[1].wire_bytes / 1000000),
                  (unsigned long long)(codecs[2].raw_bytes / 1000000),
                  (unsigned long long)(codecs[2].wire_bytes / 1000000),
                  (unsigned long long)(codecs[3].raw_bytes / 1000000),
                  (unsigned long long)(codecs[3].wire_bytes / 1000000));
}

static void run(const struct setting *setting)
{
    struct rig rig;
    rig_init(&rig, setting->size);
    if (setting->is_text)
        rig_fill_text(&rig, 0, setting->size, 5);
    else
        rig_fill(&rig, 0, setting->size, 5);
    for (unsigned turn = 0; turn < setting->n_turns; turn++)
        for (unsigned i = 0; i < setting->n_variants; i++) {
            rig_fresh_destination(&rig);
            if (setting->patched)
                rig_start_patching_guest(&rig, 0, setting->patched);
            struct rig_attempt attempt = {.n_channels = 2,
                                          .bandwidth_bytes_s = setting->cap,
                                          .max_rounds = setting->max_rounds,
                                          .compression = variants[i].compression,
                                          .delta = variants[i].delta,
                                          .goal_ns = 100 * NS_PER_MS};
            rig_run(&rig, &attempt);
            rig_stop_guests(&rig);
            if (attempt.source_result < 0)
                print_message("%s: %s\n", variants[i].name, attempt.source_err.message);
            else
                assert_int_equal(rig_difference(&rig), rig.size);
            show(&variants[i], &attempt, &rig);
        }
    rig_clear(&rig);
}

static const struct {
    const char *name;
    struct setting setting;
} cases[] = {
    {"text-1gbit", {256 * MIB, 125000000, true, 0, 2, 4, 0}},
    {"random-1gbit", {128 * MIB, 125000000, false, 0, 2, 4, 0}},
    {"text-unshaped", {512 * MIB, 0, true, 0, 5, 2, 0}},
    {"random-unshaped", {512 * MIB, 0, false, 0, 5, 2, 0}},
    {"words-1gbit", {128 * MIB, 125000000, false, 128 * MIB, 2, 5, 12}},
    {"words-unshaped", {256 * MIB, 0, false, 128 * MIB, 3, 2, 12}},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (argc < 2 || strcmp(argv[1], cases[i].name) == 0) {
            print_message("== %s\n", cases[i].name);
            run(&cases[i].setting);
        }
    return 0;
}
