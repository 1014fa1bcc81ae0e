/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio.h"

enum {
    pci_address = 0xcf8,
    pci_data = 0xcfc,
    n_slots = 32,
    vendor = 0x1af4,
    net_device = 0x1000,
    disk_device = 0x1001,
    /* registers of a device */
    features_wanted = 4,
    queue_page = 8,
    queue_size = 12,
    queue_select = 14,
    queue_notify = 16,
    status = 18,
    config = 20,
    status_works = 7, /* seen, has a driver, which is ready */
    queue_entries_max = 1024,
    sector_bytes = 512,
    net_transmits = 1,
    local_experiment = 0x88b5, /* the type of our frames, which nobody else has */
};

struct descriptor {
    uint64_t address;
    uint32_t bytes;
    uint16_t flags, next;
};
enum { has_next = 1, device_writes = 2 };

struct queue {
    uint16_t port; /* of the device */
    uint16_t index, n;
    struct descriptor *descriptors;
    volatile uint16_t *available; /* flags, how many ever, entries */
    volatile uint16_t *used;      /* flags, how many ever, entries */
    uint16_t n_begun;
};

/* Descriptors, what is available, and from a page of its own what is used. */
static uint8_t disk_memory[queue_entries_max * 32] __attribute__((aligned(4096)));
static uint8_t net_memory[queue_entries_max * 32] __attribute__((aligned(4096)));
static struct queue disk, net;
static struct {
    uint32_t type, priority;
    uint64_t sector;
} disk_header;
static volatile uint8_t disk_status;
static struct {
    uint8_t header[10], to[6], from[6];
    uint16_t type;
    uint64_t number;
    uint8_t rest[38];
} __attribute__((packed)) frame;

static void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}
static void out16(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}
static void out32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}
static uint8_t in8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static uint16_t in16(uint16_t port)
{
    uint16_t value;
    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static uint32_t in32(uint16_t port)
{
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* The ports of the first such device on the first bus, which the firmware has chosen; 0: there is none. */
static uint16_t find_device(uint16_t device)
{
    for (uint32_t slot = 0; slot < n_slots; slot++) {
        const uint32_t at = 0x80000000u | slot << 11;
        out32(pci_address, at);
        if (in32(pci_data) != ((uint32_t)device << 16 | vendor))
            continue;
        out32(pci_address, at | 4);
        out32(pci_data, in32(pci_data) | 7); /* ports, memory, reads and writes by the device */
        out32(pci_address, at | 0x10);
        return (uint16_t)(in32(pci_data) & 0xfffc);
    }
    return 0;
}

static bool open_queue(struct queue *queue, uint16_t device, uint16_t index, uint8_t *memory)
{
    *queue = (struct queue){.port = find_device(device), .index = index};
    if (!queue->port)
        return false;
    out8(queue->port + status, 0);
    out8(queue->port + status, status_works & 3);
    out32(queue->port + features_wanted, 0);
    out16(queue->port + queue_select, index);
    queue->n = in16(queue->port + queue_size);
    if (!queue->n || queue->n > queue_entries_max)
        return false;
    queue->descriptors = (struct descriptor *)memory;
    queue->available = (volatile uint16_t *)(memory + queue->n * sizeof(struct descriptor));
    const uintptr_t end = (uintptr_t)(queue->available + 3 + queue->n);
    queue->used = (volatile uint16_t *)((end + 4095) & ~(uintptr_t)4095);
    out32(queue->port + queue_page, (uint32_t)((uintptr_t)memory / 4096));
    out8(queue->port + status, status_works);
    return true;
}

static void begin(struct queue *queue)
{
    queue->available[2 + queue->n_begun % queue->n] = 0; /* always the first chain */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    queue->available[1] = ++queue->n_begun;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    out16(queue->port + queue_notify, queue->index);
}

static bool is_over(const struct queue *queue)
{
    return queue->used[1] == queue->n_begun;
}

bool virtio_disk_find(uint64_t *ret_bytes)
{
    if (!open_queue(&disk, disk_device, 0, disk_memory))
        return false;
    *ret_bytes = (in32(disk.port + config) | (uint64_t)in32(disk.port + config + 4) << 32) * sector_bytes;
    return true;
}

void virtio_disk_begin(enum virtio_disk_request request, uint64_t place, void *record)
{
    const uint16_t last = request == disk_flush ? 1 : 2;
    disk_header.type = request;
    disk_header.sector = request == disk_flush ? 0 : place * (record_bytes / sector_bytes);
    disk.descriptors[0] = (struct descriptor){(uintptr_t)&disk_header, sizeof disk_header, has_next, 1};
    if (last == 2)
        disk.descriptors[1] = (struct descriptor){(uintptr_t)record, record_bytes,
                                                  has_next | (request == disk_read ? device_writes : 0), 2};
    disk.descriptors[last] = (struct descriptor){(uintptr_t)&disk_status, 1, device_writes, 0};
    disk_status = 0xff;
    begin(&disk);
}

bool virtio_disk_poll(bool *ret_is_good)
{
    if (!is_over(&disk))
        return false;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    *ret_is_good = disk_status == 0;
    return true;
}

bool virtio_net_find(void)
{
    if (!open_queue(&net, net_device, net_transmits, net_memory))
        return false;
    for (unsigned i = 0; i < sizeof frame.from; i++) {
        frame.to[i] = 0xff;
        frame.from[i] = in8(net.port + config + (uint16_t)i);
    }
    frame.type = __builtin_bswap16(local_experiment);
    net.descriptors[0] = (struct descriptor){(uintptr_t)&frame, sizeof frame, 0, 0};
    return true;
}

bool virtio_net_send(uint64_t number)
{
    if (!is_over(&net))
        return false;
    frame.number = number;
    begin(&net);
    return true;
}
