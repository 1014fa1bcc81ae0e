/* SPDX-License-Identifier: Apache-2.0 */
/* The self-checking guest: see README.md for its parameters and its lines on the serial port. */
#include "machine.h"
#include "pages.h"
#include "params.h"
#include "report.h"
#include "worker.h"

enum { base_mib = 16 }; /* the guest's own code and data lie below */
static const uint64_t mib = 1 << 20;
static const uint64_t high_memory = (uint64_t)4 << 30;

static struct params params;
static struct pages pages;
static struct worker workers[max_vcpus];
static volatile bool may_fill;
static volatile uint32_t n_filled;
static volatile bool may_run;

void vcpu_main(uint64_t index, const struct multiboot_info *info);

static void finish_line(void)
{
    report_end();
    report_flush();
}

static void halt_forever(void)
{
    for (;;)
        machine_halt();
}

/* Places shadow table and working set, or refuses for lack of memory. */
static void place_pages(const struct multiboot_info *info)
{
    const struct extent low = params_memory_at(info, base_mib * mib);
    const struct extent high = params_memory_at(info, high_memory);
    const uint64_t shadow_bytes =
        ((params.mb << 8) * sizeof(uint32_t) + page_bytes - 1) & ~(uint64_t)(page_bytes - 1);
    const uint64_t need = params.mb * params.spread * mib + shadow_bytes;
    const uint64_t have =
        (low.bytes & ~(uint64_t)(page_bytes - 1)) + (high.bytes & ~(uint64_t)(page_bytes - 1));
    if (shadow_bytes > low.bytes || need > have ||
        !machine_map(0, (low.base + low.bytes + (1 << 30) - 1) >> 30) ||
        !machine_map(4, (high.bytes + (1 << 30) - 1) >> 30)) {
        report_text("CHK refuse");
        report_field("need_mb", base_mib + (need + mib - 1) / mib);
        report_field("have_mb", low.bytes ? base_mib + have / mib : 0);
        finish_line();
        halt_forever();
    }
    pages = (struct pages){
        .seed = params.seed,
        .n_pages = params.mb << 8,
        .n_low = (low.bytes - shadow_bytes) / page_bytes,
        .low_base = low.base + shadow_bytes,
        .high_base = high.base,
        .shadow = (volatile uint32_t *)(uintptr_t)low.base,
        .spread = params.spread,
        .whole_page = params.whole_page,
        .text = params.text,
    };
    pages_init(&pages);
}

static uint64_t find_tsc_hz(const char **ret_source)
{
    *ret_source = "parameter";
    const uint64_t hz = params.tsc_mhz ? params.tsc_mhz * 1000000 : machine_tsc_hz(ret_source);
    if (hz == 0) {
        report_text("CHK refuse need=tsc_mhz");
        finish_line();
        halt_forever();
    }
    return hz;
}

static void say_start(uint64_t tsc_hz, const char *tsc_source)
{
    report_text("CHK start");
    report_field("mb", params.mb);
    report_field("rate", params.rate);
    report_field("vcpus", params.vcpus);
    report_text(params.read_only ? " mode=read" : params.whole_page ? " mode=page" : " mode=word");
    report_text(params.text ? " fill=text" : " fill=random");
    report_field("spread", params.spread);
    report_field("intr", params.intr);
    report_field("hz", params.hz);
    report_field("seed", params.seed);
    report_field("sweep_ms", params.sweep_ms);
    report_field("tsc_mhz", tsc_hz / 1000000);
    report_text(" tsc_from=");
    report_text(tsc_source);
    finish_line();
}

static void wake_others(uint64_t tsc_hz)
{
    const unsigned n_others = machine_start_others((unsigned)params.vcpus - 1, tsc_hz);
    if (n_others + 1 < params.vcpus) {
        report_text("CHK refuse");
        report_field("need_vcpus", params.vcpus);
        report_field("have_vcpus", n_others + 1);
        finish_line();
        halt_forever();
    }
}

static void say_difference(uint64_t cpu)
{
    struct worker *worker = &workers[cpu];
    report_text("CHK bad");
    report_field("cpu", cpu);
    report_field("page", worker->difference.index);
    report_field("word", worker->difference.word);
    report_hex("want", worker->difference.want);
    report_hex("got", worker->difference.got);
    report_end();
    worker->has_difference = false;
}

static void say_figures(uint64_t t_ms, uint64_t tsc_hz)
{
    static uint64_t last_total;
    uint64_t total = 0, bad = 0, gap = 0, sweeps = UINT64_MAX;
    uint64_t done[max_vcpus];
    for (unsigned i = 0; i < params.vcpus; i++) {
        done[i] = workers[i].n_done;
        total += done[i];
        bad += workers[i].n_bad;
        gap = workers[i].max_gap > gap ? workers[i].max_gap : gap;
        workers[i].max_gap = 0;
        sweeps = workers[i].n_sweeps < sweeps ? workers[i].n_sweeps : sweeps;
        if (workers[i].has_difference)
            say_difference(i);
    }
    report_text("CHK");
    report_field("t_ms", t_ms);
    report_field("work", total - last_total);
    report_field("total", total);
    report_field("bad", bad);
    report_field("gap_us", gap / (tsc_hz / 1000000));
    report_field("sweeps", sweeps);
    report_field("ticks", machine_ticks());
    for (unsigned i = 0; i < params.vcpus; i++) {
        const char name[] = {'c', 'p', 'u', (char)('0' + i), 0};
        report_field(name, done[i]);
    }
    report_end();
    last_total = total;
}

static void run(uint64_t index, uint64_t tsc_hz)
{
    const uint64_t ticks_per_ms = tsc_hz / 1000;
    uint64_t clock = 0, next_line = params.interval_ms * ticks_per_ms;
    if (params.intr)
        machine_start_timer((unsigned)params.hz);
    for (;;) {
        bool busy;
        clock += worker_turn(&workers[index], &pages, &busy);
        if (index == 0) {
            if (clock >= next_line && !report_pending()) {
                say_figures(clock / ticks_per_ms, tsc_hz);
                next_line = clock + params.interval_ms * ticks_per_ms;
            }
            report_pump();
            busy |= report_pending();
        }
        if (busy)
            continue;
        if (params.intr)
            machine_halt();
        else
            machine_pause();
    }
}

/* Entered by every vCPU in ring 3; info only on the first one. */
void vcpu_main(uint64_t index, const struct multiboot_info *info)
{
    static uint64_t tsc_hz;
    if (index == 0) {
        const char *bad, *tsc_source;
        machine_init();
        if (!params_parse(&params, info, &bad)) {
            report_text("CHK refuse parameter=");
            report_word(bad);
            finish_line();
            halt_forever();
        }
        place_pages(info);
        tsc_hz = find_tsc_hz(&tsc_source);
        say_start(tsc_hz, tsc_source);
        wake_others(tsc_hz);
        for (unsigned i = 0; i < params.vcpus; i++)
            worker_init(&workers[i], &params, i, tsc_hz);
        may_fill = true;
    } else if (index >= params.vcpus) {
        halt_forever();
    }
    while (!may_fill)
        machine_pause();
    worker_fill(&workers[index], &pages);
    __atomic_add_fetch(&n_filled, 1, __ATOMIC_SEQ_CST);
    if (index == 0) {
        while (n_filled < params.vcpus)
            machine_pause();
        report_text("CHK filled");
        report_field("mb", params.mb);
        finish_line();
        may_run = true;
    }
    while (!may_run)
        machine_pause();
    workers[index].last_tsc = machine_tsc();
    run(index, tsc_hz);
}
