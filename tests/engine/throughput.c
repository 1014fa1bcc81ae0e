/* SPDX-License-Identifier: Apache-2.0 */
/* A measurement, not a test: how fast round 0 of 1 GiB of random memory goes over loopback. `meson test
 * --benchmark`. */
#include "rig.h"

static void measure(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1024 * MIB);
    rig_fill(&rig, 0, 1024 * MIB, 71);
    for (unsigned n_channels = 1; n_channels <= 4; n_channels *= 2) {
        rig_fresh_destination(&rig);
        struct rig_attempt attempt = {.n_channels = n_channels};
        rig_move(&rig, &attempt);
        print_message("%u channels: %.2f GB/s\n", n_channels,
                      (double)rig.size / (double)attempt.round_zero_ns);
    }
    rig_clear(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(measure)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
