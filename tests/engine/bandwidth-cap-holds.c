/* SPDX-License-Identifier: Apache-2.0 */
/* A relay stands in each channel and counts what comes out of the source: at no moment has more come than the
 * cap allows since the start. That needs no quiet machine: who is late can only have let less through. */
#include "rig.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine/rate.h"

#define SAMPLES_MAX (1u << 16)
#define WINDOW_NS (200 * NS_PER_MS)

struct meter {
    uint64_t bytes_s, begin_ns;
    uint64_t n_bytes; /* atomic, as the next three */
    uint64_t excess;  /* the first */
    uint32_t n_samples;
    struct sample {
        uint64_t at_ns, n_bytes;
    } samples[SAMPLES_MAX];
    unsigned n_relays;
    struct relay {
        struct thread thread;
        struct meter *meter;
        int from, to;
    } relays[ENGINE_CHANNELS_MAX];
};
static struct meter meter;

static void count(size_t bytes)
{
    /* The clock is read after the bytes have come, so that the allowance is never too small. */
    uint64_t n_bytes = __atomic_add_fetch(&meter.n_bytes, bytes, __ATOMIC_RELAXED);
    uint64_t age_ns = clock_now_ns() - meter.begin_ns;
    uint64_t allowed = (uint64_t)((unsigned __int128)meter.bytes_s * (age_ns + RATE_BURST_NS) / NS_PER_S);
    allowed += rate_piece(meter.bytes_s);
    if (n_bytes > allowed)
        __atomic_store_n(&meter.excess, n_bytes - allowed, __ATOMIC_RELAXED);
    uint32_t at = __atomic_fetch_add(&meter.n_samples, 1, __ATOMIC_RELAXED);
    if (at < SAMPLES_MAX)
        meter.samples[at] = (struct sample){age_ns, n_bytes};
}

static bool pass_on(int from, int to, bool is_counted)
{
    uint8_t buffer[65536];
    ssize_t got = recv(from, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got <= 0)
        return got < 0;
    if (is_counted)
        count((size_t)got);
    for (ssize_t done = 0; done < got;) {
        ssize_t sent = send(to, buffer + done, (size_t)(got - done), MSG_NOSIGNAL);
        if (sent < 0)
            return false;
        done += sent;
    }
    return true;
}

static void *run_relay(void *argument)
{
    struct relay *relay = argument;
    struct pollfd fds[2] = {{.fd = relay->from, .events = POLLIN}, {.fd = relay->to, .events = POLLIN}};
    bool goes_on = true;
    while (goes_on) {
        (void)poll(fds, 2, -1);
        if (fds[0].revents)
            goes_on = pass_on(relay->from, relay->to, true);
        if (goes_on && fds[1].revents)
            goes_on = pass_on(relay->to, relay->from, false);
    }
    (void)close(relay->from);
    (void)close(relay->to);
    return NULL;
}

static void put_relays(struct rig_attempt *attempt)
{
    struct err err;
    meter = (struct meter){.bytes_s = attempt->bandwidth_bytes_s, .begin_ns = clock_now_ns()};
    for (unsigned i = 0; i < attempt->n_channels; i++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        struct relay *relay = &meter.relays[meter.n_relays++];
        *relay = (struct relay){.meter = &meter, .from = attempt->destination_channels[i], .to = pair[0]};
        attempt->destination_channels[i] = pair[1];
        assert_int_equal(thread_start(&relay->thread, "relay", run_relay, relay, &err), 0);
    }
}

/* For the reader: of one relay's samples, of whole windows only. */
static double most_in_a_window(void)
{
    uint32_t n = meter.n_samples < SAMPLES_MAX ? meter.n_samples : SAMPLES_MAX, end = 0;
    uint64_t most = 0;
    for (uint32_t begin = 0; begin < n; begin++) {
        while (end + 1 < n && meter.samples[end + 1].at_ns < meter.samples[begin].at_ns + WINDOW_NS)
            end++;
        uint64_t bytes = meter.samples[end].n_bytes - meter.samples[begin].n_bytes;
        if (meter.samples[end].n_bytes > meter.samples[begin].n_bytes && bytes > most)
            most = bytes;
    }
    return (double)most / ((double)WINDOW_NS / NS_PER_S);
}

static void cap(uint64_t bytes_s, uint64_t size, unsigned n_channels)
{
    struct rig rig;
    rig_init(&rig, size);
    rig_fill(&rig, 0, size, 31);
    struct rig_attempt attempt = {
        .n_channels = n_channels, .bandwidth_bytes_s = bytes_s, .opened = put_relays};
    rig_move(&rig, &attempt);
    for (unsigned i = 0; i < meter.n_relays; i++)
        thread_join(&meter.relays[i].thread);
    print_message("cap %llu MB/s, %u channels: %.1f MB/s, the most in any 0.2 s %.1f MB/s\n",
                  (unsigned long long)(bytes_s / 1000000), n_channels,
                  (double)size * (double)NS_PER_S / (double)attempt.round_zero_ns / 1e6,
                  most_in_a_window() / 1e6);
    assert_true(meter.n_bytes > size);
    if (meter.excess)
        fail_msg("%llu bytes more came than the cap allows", (unsigned long long)meter.excess);
    rig_clear(&rig);
}

static void one_channel(void **state)
{
    (void)state;
    cap(5000000, 4 * MIB, 1);
    cap(100000000, 64 * MIB, 1);
}

static void two_channels(void **state)
{
    (void)state;
    cap(20000000, 16 * MIB, 2);
    cap(1000000000, 256 * MIB, 2);
}

static void eight_channels(void **state)
{
    (void)state;
    cap(5000000, 4 * MIB, 8);
    cap(100000000, 64 * MIB, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_channel), cmocka_unit_test(two_channels),
                                       cmocka_unit_test(eight_channels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
