/* SPDX-License-Identifier: Apache-2.0 */
#include "machine.h"

enum {
    com1 = 0x3f8,
    com1_fifo_bytes = 16,
    pit_hz = 1193182,
    pit_measure_ticks = 59659, /* 50 ms */
    timer_vector = 0x40,
    spurious_vector = 0xff,
    trampoline_address = 0x7000,
    n_page_directories = 64,
};

extern uint64_t idt[2 * 256];
extern uint64_t pdpt[512];
extern volatile uint64_t n_ticks;
extern volatile uint32_t n_others_started;
extern const uint8_t trampoline[], trampoline_end[], fault_entries[];
void timer_entry(void);
void spurious_entry(void);
void protection_entry(void);
void fault_report(const uint64_t *frame);

static uint64_t page_directories[n_page_directories][512] __attribute__((aligned(4096)));
static unsigned n_page_directories_used;
static unsigned serial_room;

static void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static uint8_t in8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static volatile uint32_t *lapic(unsigned offset)
{
    return (volatile uint32_t *)(uintptr_t)(0xfee00000u + offset);
}

static void set_gate(unsigned vector, uintptr_t entry)
{
    const uint64_t ring0_code = 0x08, interrupt_gate = 0x8e;
    idt[2 * vector] =
        (entry & 0xffff) | ring0_code << 16 | interrupt_gate << 40 | (uint64_t)(entry >> 16 & 0xffff) << 48;
    idt[2 * vector + 1] = entry >> 32;
}

void machine_init(void)
{
    for (unsigned vector = 0; vector < 32; vector++)
        set_gate(vector, (uintptr_t)fault_entries + 8 * vector);
    set_gate(13, (uintptr_t)protection_entry);
    set_gate(timer_vector, (uintptr_t)timer_entry);
    set_gate(spurious_vector, (uintptr_t)spurious_entry);
    machine_serial_init();
}

static void put_text(const char *text)
{
    for (; *text; text++)
        while (!machine_serial_put(*text))
            machine_pause();
}

static void put_hex(uint64_t value)
{
    char text[17] = {0};
    for (unsigned i = 0; i < 16; i++)
        text[i] = "0123456789abcdef"[value >> (60 - 4 * i) & 15];
    put_text(text);
}

/* Called from boot.S in ring 0 with the vector and the words that the processor pushed. */
void fault_report(const uint64_t *frame)
{
    put_text("\nCHK fault vector=0x");
    put_hex(frame[0]);
    for (unsigned i = 1; i < 5; i++) {
        put_text(" 0x");
        put_hex(frame[i]);
    }
    put_text("\n");
}

static void wait_us(uint64_t us, uint64_t tsc_hz)
{
    const uint64_t start = machine_tsc();
    while (machine_tsc() - start < tsc_hz / 1000000 * us)
        machine_pause();
}

unsigned machine_start_others(unsigned n, uint64_t tsc_hz)
{
    if (n == 0)
        return 0;
    volatile uint8_t *to = (volatile uint8_t *)(uintptr_t)trampoline_address;
    for (const uint8_t *from = trampoline; from < trampoline_end; from++)
        *to++ = *from;
    *lapic(0xf0) = 0x100 | spurious_vector;
    *lapic(0x300) = 0x000c4500; /* INIT to all but self */
    wait_us(10000, tsc_hz);
    *lapic(0x300) = 0x000c4600 | trampoline_address >> 12;
    for (unsigned ms = 0; ms < 5000 && n_others_started < n; ms++)
        wait_us(1000, tsc_hz);
    return n_others_started;
}

void machine_start_timer(unsigned hz)
{
    const uint32_t lapic_hz = 1000000000; /* QEMU's and KVM's LAPIC */
    *lapic(0xf0) = 0x100 | spurious_vector;
    *lapic(0x80) = 0;
    *lapic(0x3e0) = 0xb;                    /* divide by 1 */
    *lapic(0x320) = 0x20000 | timer_vector; /* periodic */
    *lapic(0x380) = lapic_hz / hz;
    __asm__ volatile("sti" ::: "memory");
}

uint64_t machine_ticks(void)
{
    return n_ticks;
}

bool machine_map(uint64_t first, uint64_t n)
{
    for (uint64_t gigabyte = first; gigabyte < first + n; gigabyte++) {
        if (gigabyte >= 512)
            return false;
        if (pdpt[gigabyte])
            continue;
        if (n_page_directories_used == n_page_directories)
            return false;
        uint64_t *directory = page_directories[n_page_directories_used++];
        for (uint64_t i = 0; i < 512; i++)
            directory[i] = (gigabyte << 30) + (i << 21) + 0x87;
        pdpt[gigabyte] = (uintptr_t)directory + 7;
    }
    return true;
}

static void cpuid(uint32_t leaf, uint32_t *ret_a, uint32_t *ret_b)
{
    uint32_t c = 0, d;
    __asm__ volatile("cpuid" : "=a"(*ret_a), "=b"(*ret_b), "+c"(c), "=d"(d) : "0"(leaf));
}

/* TSC ticks during pit_measure_ticks of PIT channel 2; 0 without a PIT. */
static uint64_t measure_by_pit(void)
{
    out8(0x61, (in8(0x61) & ~2u) | 1);
    out8(0x43, 0xb0);
    out8(0x42, pit_measure_ticks & 0xff);
    out8(0x42, pit_measure_ticks >> 8);
    const uint64_t start = machine_tsc();
    for (unsigned polls = 0; polls < 1000000; polls++)
        if (in8(0x61) & 0x20)
            return machine_tsc() - start;
    return 0;
}

uint64_t machine_tsc_hz(const char **ret_source)
{
    uint32_t a, b;
    cpuid(0x40000000, &a, &b);
    if (a >= 0x40000010 && a < 0x40001000) {
        cpuid(0x40000010, &a, &b);
        if (a) {
            *ret_source = "cpuid";
            return (uint64_t)a * 1000;
        }
    }
    uint64_t t[3];
    for (unsigned i = 0; i < 3; i++)
        t[i] = measure_by_pit();
    const uint64_t low = t[0] < t[1] ? t[0] : t[1], high = t[0] < t[1] ? t[1] : t[0];
    const uint64_t median = t[2] < low ? low : t[2] > high ? high : t[2];
    *ret_source = "pit";
    return median * pit_hz / pit_measure_ticks;
}

void machine_serial_init(void)
{
    out8(com1 + 1, 0);
    out8(com1 + 3, 3);
    out8(com1 + 2, 7); /* FIFO on and empty */
}

bool machine_serial_put(char c)
{
    if (serial_room == 0) {
        if (!(in8(com1 + 5) & 0x20))
            return false;
        serial_room = com1_fifo_bytes;
    }
    serial_room--;
    out8(com1, (uint8_t)c);
    return true;
}
