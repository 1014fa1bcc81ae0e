/* SPDX-License-Identifier: Apache-2.0 */
/* The guest that writes to its disk: see ../README.md for what it does and says. */
#include "machine.h"
#include "report.h"
#include "virtio.h"

struct multiboot_info;
void vcpu_main(uint64_t index, const struct multiboot_info *info);

enum { record_words = record_bytes / 8, hz = 100 };

/* A record is written, made durable, read again, and then an older one. */
enum step { step_write, step_flush, step_read_it, step_read_older };

static uint64_t record[record_words] __attribute__((aligned(4096)));
static uint64_t n_places;
static uint64_t sequence; /* the last one that is durable; record s stands in place s % n_places */
static uint64_t wanted;   /* that is being read */
static uint64_t n_bad, n_errors, n_verified, n_sent;
static enum step step;

/* Word 0 is the sequence, the last word a checksum of all others: as diskd.c of the Linux guest has them. */
static uint64_t checksum(void)
{
    uint64_t sum = 0xcbf29ce484222325u;
    for (unsigned i = 0; i < record_words - 1; i++)
        sum = (sum ^ record[i]) * 0x100000001b3u;
    return sum;
}

static void begin(void)
{
    const uint64_t next = sequence + 1;
    const uint64_t n_kept = sequence < n_places ? sequence : n_places;
    switch (step) {
    case step_write:
        record[0] = next;
        for (unsigned i = 1; i < record_words - 1; i++)
            record[i] = (next + i) * 0x9e3779b97f4a7c15u;
        record[record_words - 1] = checksum();
        virtio_disk_begin(disk_write, next % n_places, record);
        break;
    case step_flush:
        virtio_disk_begin(disk_flush, 0, 0);
        break;
    case step_read_it:
    case step_read_older:
        wanted = step == step_read_it ? sequence : sequence - sequence * 2654435761u % n_kept;
        record[0] = 0;
        virtio_disk_begin(disk_read, wanted % n_places, record);
        break;
    }
}

static void prove(void)
{
    n_verified++;
    if (record[0] == wanted && record[record_words - 1] == checksum())
        return;
    n_bad++;
    report_text("DISK bad");
    report_field("expected", wanted);
    report_field("found", record[0]);
    report_end();
}

/* What failed is written again. */
static void end(bool is_good)
{
    n_errors += !is_good;
    switch (step) {
    case step_write:
        step = is_good ? step_flush : step_write;
        break;
    case step_flush:
        sequence += is_good;
        step = is_good ? step_read_it : step_write;
        break;
    case step_read_it:
    case step_read_older:
        if (is_good)
            prove();
        step = step == step_read_it ? step_read_older : step_write;
        break;
    }
}

static void say_figures(void)
{
    report_text("DISK");
    report_field("seq", sequence);
    report_field("bad", n_bad);
    report_field("errors", n_errors);
    report_field("verified", n_verified);
    report_field("sent", n_sent);
    report_end();
}

void vcpu_main(uint64_t index, const struct multiboot_info *info)
{
    uint64_t bytes, next_line = 0;
    (void)index;
    (void)info;
    machine_init();
    const bool has_net = virtio_net_find();
    if (!virtio_disk_find(&bytes) || bytes < record_bytes) {
        report_text("DISK error: there is none");
        report_end();
        report_flush();
        for (;;)
            machine_halt();
    }
    n_places = bytes / record_bytes;
    machine_start_timer(hz);
    begin();
    for (;;) {
        bool is_good;
        if (virtio_disk_poll(&is_good)) {
            end(is_good);
            begin();
        }
        if (machine_ticks() >= next_line && !report_pending()) {
            n_sent += has_net && virtio_net_send(sequence);
            say_figures();
            next_line = machine_ticks() + hz;
        }
        report_flush();
        machine_halt();
    }
}
