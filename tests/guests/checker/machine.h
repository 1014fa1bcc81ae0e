/* SPDX-License-Identifier: Apache-2.0 */
/* The few devices of the machine that the guest uses. Everything here runs in ring 3. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { max_vcpus = 4, page_bytes = 4096 };

static inline uint64_t machine_tsc(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

static inline void machine_pause(void)
{
    __asm__ volatile("pause" ::: "memory");
}

/* Sleeps until the next interrupt; forever on a vCPU without interrupts. */
static inline void machine_halt(void)
{
    __asm__ volatile("hlt" ::: "memory");
}

/* Fills the interrupt table; first vCPU only, before anything can fault. */
void machine_init(void);

/* Starts all other vCPUs and waits until n of them have arrived, at most a few seconds. Returns how many
 * came. */
unsigned machine_start_others(unsigned n, uint64_t tsc_hz);

/* Starts a periodic interrupt on the calling vCPU and lets interrupts in. */
void machine_start_timer(unsigned hz);

/* Timer interrupts handled since boot, all vCPUs. */
uint64_t machine_ticks(void);

/* Maps n GiB starting at gigabyte number first, one to one. False if there are no page tables left. */
bool machine_map(uint64_t first, uint64_t n);

/* Ticks of the TSC per second, told by the hypervisor or measured against the PIT; 0 if neither exists. */
uint64_t machine_tsc_hz(const char **ret_source);

/* COM1. machine_serial_put sends one byte if the port has room and says whether it did; it never waits. */
void machine_serial_init(void);
bool machine_serial_put(char c);
