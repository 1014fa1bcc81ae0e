/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A measurement, not a test (`meson test --benchmark`): how fast 1 GiB of random memory goes into fresh
 * memory, beside a raw loop without a protocol in the same run, and where the time goes. Over loopback, or,
 * as root, between two network namespaces that have a link:
 *
 *   throughput [RUNS [NAMESPACE_A NAMESPACE_B ADDRESS_IN_B [MIB]]]
 *
 * One line a variant: medians over RUNS alternating runs (after one that is dropped: memory that the machine
 * touches for the first time is slow), seconds of CPU a side, and the parts of a move.
 */
#include "rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/raw_loop.h"

#define RUNS_MAX 32
#define GIB (1024 * MIB)

struct variant {
    const char *name;
    bool is_raw;
    unsigned n_channels;
    bool encrypt;                                 /* engine */
    size_t piece;                                 /* raw */
    enum raw_place place;                         /* raw */
    double gb_s[RUNS_MAX];                        /* of round 0, or of the raw loop */
    double total_ms[RUNS_MAX];                    /* engine: protect to quiet */
    double finish_ms[RUNS_MAX];                   /* engine: the part with the guest stopped */
    double send_s[RUNS_MAX], receive_s[RUNS_MAX]; /* CPU of the workers a GiB */
};

static struct rig_network network;
static const struct rig_network *used_network;
static uint64_t ram_size = GIB;

/* CPU time of the threads of this process with that name. */
static double cpu_of(const char *name)
{
    double sum = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (const struct dirent *task; tasks && (task = readdir(tasks));) {
        char path[300], comm[32] = "";
        unsigned long long ns = 0;
        (void)snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
        FILE *file = fopen(path, "re");
        if (file && fscanf(file, "%31s", comm) != 1)
            comm[0] = '\0';
        if (file)
            (void)fclose(file);
        (void)snprintf(path, sizeof path, "/proc/self/task/%s/schedstat", task->d_name);
        file = strcmp(comm, name) == 0 ? fopen(path, "re") : NULL;
        if (file && fscanf(file, "%llu", &ns) == 1)
            sum += (double)ns / NS_PER_S;
        if (file)
            (void)fclose(file);
    }
    if (tasks)
        (void)closedir(tasks);
    return sum;
}

struct observed {
    double send_s, receive_s;
    uint64_t stopped_ns, end_ns;
};

static void first_round_done(const struct engine_round *round, void *user)
{
    struct observed *observed = user;
    if (round->n != 0)
        return;
    observed->send_s = cpu_of("send");
    observed->receive_s = cpu_of("receive");
}

static void note_stopped(void *user)
{
    ((struct observed *)user)->stopped_ns = clock_now_ns();
}

static void note_end(void *user)
{
    ((struct observed *)user)->end_ns = clock_now_ns();
}

static void run_engine(struct rig *rig, struct variant *variant, unsigned run)
{
    struct observed observed = {0};
    struct rig_attempt attempt = {.n_channels = variant->n_channels,
                                  .encrypt = variant->encrypt,
                                  .network = used_network,
                                  .round_done = first_round_done,
                                  .before_finish = note_stopped,
                                  .before_quiet = note_end,
                                  .user = &observed};
    uint64_t begin_ns = clock_now_ns();
    rig_run(rig, &attempt);
    assert_int_equal(attempt.source_result, 0);
    assert_int_equal(attempt.destination_result, 0);
    double gib = (double)rig->size / GIB;
    variant->gb_s[run] = (double)rig->size / (double)attempt.round_zero_ns;
    variant->total_ms[run] = (double)(observed.end_ns - begin_ns) / NS_PER_MS;
    variant->finish_ms[run] = (double)(observed.end_ns - observed.stopped_ns) / NS_PER_MS;
    variant->send_s[run] = observed.send_s / gib;
    variant->receive_s[run] = observed.receive_s / gib;
}

static void *receive_raw(void *loop)
{
    assert_int_equal(raw_loop_receive(loop), 0);
    return NULL;
}

static void run_raw(struct rig *rig, struct variant *variant, unsigned run)
{
    struct rig_attempt sockets = {.n_channels = variant->n_channels, .network = used_network};
    struct raw_loop source = {.ram_fd = rig->source_fd,
                              .size = rig->size,
                              .piece = variant->piece,
                              .n_channels = variant->n_channels};
    struct raw_loop destination = source;
    struct thread receiver = {0};
    struct err err;
    rig_open(&sockets);
    destination.ram_fd = rig->destination_fd;
    destination.place = variant->place;
    memcpy(source.channels, sockets.source_channels, sizeof source.channels);
    memcpy(destination.channels, sockets.destination_channels, sizeof destination.channels);
    assert_int_equal(thread_start(&receiver, "raw", receive_raw, &destination, &err), 0);
    uint64_t begin_ns = clock_now_ns();
    assert_int_equal(raw_loop_send(&source), 0);
    variant->gb_s[run] = (double)rig->size / (double)(clock_now_ns() - begin_ns);
    thread_join(&receiver);
    for (unsigned i = 0; i < variant->n_channels; i++) {
        (void)close(sockets.source_channels[i]);
        (void)close(sockets.destination_channels[i]);
    }
    rig_close(&sockets);
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

static double median(const double *values, unsigned n)
{
    double sorted[RUNS_MAX];
    memcpy(sorted, values, n * sizeof sorted[0]);
    qsort(sorted, n, sizeof sorted[0], compare);
    return sorted[n / 2];
}

static double extreme(const double *values, unsigned n, double sign)
{
    double found = values[0];
    for (unsigned i = 1; i < n; i++)
        found = sign * values[i] > sign * found ? values[i] : found;
    return found;
}

static void report(const struct variant *variants, size_t n_variants, unsigned n_runs)
{
    double best = 0;
    for (size_t i = 0; i < n_variants; i++)
        if (variants[i].is_raw && median(variants[i].gb_s, n_runs) > best)
            best = median(variants[i].gb_s, n_runs);
    for (size_t i = 0; i < n_variants; i++) {
        const struct variant *variant = &variants[i];
        double gb_s = median(variant->gb_s, n_runs);
        (void)printf("%-14s %u channels %5.2f GB/s (%.2f..%.2f)  %4.2f of the best raw loop", variant->name,
                     variant->n_channels, gb_s, extreme(variant->gb_s, n_runs, -1),
                     extreme(variant->gb_s, n_runs, 1), gb_s / best);
        if (!variant->is_raw)
            (void)printf("  CPU s/GiB: send %.3f receive %.3f  total %.0f ms, stopped part %.2f ms",
                         median(variant->send_s, n_runs), median(variant->receive_s, n_runs),
                         median(variant->total_ms, n_runs), median(variant->finish_ms, n_runs));
        (void)printf("\n");
    }
}

static void measure(unsigned n_runs)
{
    struct variant variants[] = {
        {.name = "raw", .is_raw = true, .n_channels = 1, .piece = 256u << 10},
        {.name = "engine", .n_channels = 1},
        {.name = "raw", .is_raw = true, .n_channels = 2, .piece = 256u << 10},
        {.name = "engine", .n_channels = 2},
        {.name = "engine TLS", .n_channels = 1, .encrypt = true},
        {.name = "engine TLS", .n_channels = 2, .encrypt = true},
        {.name = "raw pwrite", .is_raw = true, .n_channels = 1, .piece = 1u << 20, .place = RAW_PLACE_PWRITE},
    };
    const size_t n_variants = sizeof variants / sizeof variants[0];
    struct rig rig;
    rig_init(&rig, ram_size);
    rig_fill(&rig, 0, ram_size, 71);
    rig_fresh_destination(&rig);
    run_engine(&rig, &variants[1], 0); /* dropped */
    for (unsigned run = 0; run < n_runs; run++)
        for (size_t i = 0; i < n_variants; i++) {
            rig_fresh_destination(&rig);
            (variants[i].is_raw ? run_raw : run_engine)(&rig, &variants[i], run);
        }
    rig_clear(&rig);
    report(variants, n_variants, n_runs);
}

int main(int n_arguments, char **arguments)
{
    unsigned n_runs = n_arguments > 1 ? (unsigned)atoi(arguments[1]) : 3;
    if (n_arguments > 4) {
        char path[300];
        (void)snprintf(path, sizeof path, "/run/netns/%s", arguments[2]);
        network.source_namespace = open(path, O_RDONLY | O_CLOEXEC);
        (void)snprintf(path, sizeof path, "/run/netns/%s", arguments[3]);
        network.destination_namespace = open(path, O_RDONLY | O_CLOEXEC);
        network.address = arguments[4];
        used_network = &network;
    }
    if (n_arguments > 5)
        ram_size = strtoull(arguments[5], NULL, 10) * MIB;
    if (!n_runs || n_runs > RUNS_MAX || !ram_size)
        return 2;
    measure(n_runs);
    return 0;
}
