/* SPDX-License-Identifier: Apache-2.0 */
#include "model/overhead.h"

#include <string.h>

/* MiB. The program and its libraries (22 to 25), the heap (14 to 18 without TCG), and room for device state.
 */
#define BASE_MIB 52
/* Stacks, and buffers of a thread. */
#define CPU_MIB 2
#define NIC_MIB 2
/* A qcow2's cache of its tables grows to 32 MiB, as its disk is used. */
#define QCOW2_MIB 34
#define RAW_MIB 2
/* Page tables of QEMU's mapping have 2 MiB for each GiB; the kernel's second ones, of a guest of KVM, as
 * much. */
#define MEMORY_PER_TABLES 512
/* Under TCG each CPU has translated addresses besides: tables that grow as the guest uses its memory at
 * random. */
#define TCG_CPU_MIB 16

uint32_t vm_overhead_mib(const struct vm_spec *spec, const char *accel)
{
    uint32_t mib = BASE_MIB + CPU_MIB * spec->cpus + NIC_MIB * spec->n_nics;
    for (uint32_t i = 0; i < spec->n_disks; i++)
        mib += strcmp(spec->disks[i].format, "raw") != 0 ? QCOW2_MIB : RAW_MIB;
    mib += 2 * (spec->memory_mib / MEMORY_PER_TABLES + 1);
    if (!strcmp(accel, "tcg"))
        mib += TCG_CACHE_MIB + TCG_CPU_MIB * spec->cpus;
    return mib;
}

uint64_t vm_memory_mib(const struct vm_spec *spec, const char *accel)
{
    return (uint64_t)spec->memory_mib + vm_overhead_mib(spec, accel);
}
