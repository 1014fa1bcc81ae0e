/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "model/overhead.h"

/* Of tests/tools/vm-overhead: the most that was seen of QEMU 7.2 and 10.0, with page tables. */
static void no_measurement_is_above_the_formula(void **state)
{
    (void)state;
    static const struct {
        const char *accel;
        uint32_t memory_mib, cpus, n_disks, n_nics, seen_mib;
    } rows[] = {
        {"kvm", 64, 1, 1, 1, 35},    {"kvm", 1024, 4, 1, 1, 35},  {"kvm", 4096, 8, 1, 1, 36},
        {"tcg", 256, 1, 1, 1, 88},   {"tcg", 256, 4, 1, 1, 121},  {"tcg", 512, 8, 8, 8, 137},
        {"tcg", 4096, 2, 2, 2, 105}, {"tcg", 1024, 1, 2, 2, 102}, {"tcg", 1024, 4, 2, 2, 121},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct vm_spec spec = {.memory_mib = rows[i].memory_mib,
                               .cpus = rows[i].cpus,
                               .n_disks = rows[i].n_disks,
                               .n_nics = rows[i].n_nics};
        for (uint32_t d = 0; d < spec.n_disks; d++)
            (void)snprintf(spec.disks[d].format, sizeof spec.disks[d].format, "raw");
        uint32_t mib = vm_overhead_mib(&spec, rows[i].accel);
        assert_true(mib >= rows[i].seen_mib);
        assert_int_equal(vm_memory_mib(&spec, rows[i].accel), spec.memory_mib + mib);
    }
}

static void all_that_costs_memory_counts(void **state)
{
    (void)state;
    const struct vm_spec small = {.memory_mib = 512, .cpus = 1};
    struct vm_spec more = small;
    uint32_t least = vm_overhead_mib(&small, "kvm");
    assert_true(vm_overhead_mib(&small, "tcg") >= least + TCG_CACHE_MIB);
    more.cpus = 2;
    assert_true(vm_overhead_mib(&more, "kvm") > least);
    more = small;
    more.memory_mib = 1024 * 1024;
    /* Two kinds of page tables, 8 bytes for each 4 KiB. */
    assert_true(vm_overhead_mib(&more, "kvm") >= least + 4000);
    more = small;
    more.n_nics = 1;
    assert_true(vm_overhead_mib(&more, "kvm") > least);
    more.n_disks = 1;
    (void)snprintf(more.disks[0].format, sizeof more.disks[0].format, "raw");
    uint32_t raw = vm_overhead_mib(&more, "kvm");
    (void)snprintf(more.disks[0].format, sizeof more.disks[0].format, "qcow2");
    /* Its cache of tables. */
    assert_true(vm_overhead_mib(&more, "kvm") >= raw + 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_measurement_is_above_the_formula),
        cmocka_unit_test(all_that_costs_memory_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
