/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: diskd DEVICE [MB]
 * Writes numbered records round and round over the first MB MiB (default 16, at most the device) with
 * O_DSYNC, each followed by reading an older record back and proving it, and reports once a second. The page
 * cache is dropped before a record is read, so that the answer comes from the disk.
 */
#include "figures.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { record_bytes = 4096, record_words = 512, pace_ns = 5000000 };

struct diskd {
    int fd;
    uint64_t n_slots;
    uint64_t sequence; /* last one written; record s stands in slot s % n_slots */
    uint64_t n_verified, n_bad, n_errors;
};

static uint64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Word 0 is the sequence, the last word a checksum of all others. */
static uint64_t checksum(const uint64_t *words)
{
    uint64_t sum = 0xcbf29ce484222325u;
    for (unsigned i = 0; i < record_words - 1; i++)
        sum = (sum ^ words[i]) * 0x100000001b3u;
    return sum;
}

static off_t slot_of(const struct diskd *diskd, uint64_t sequence)
{
    return (off_t)(sequence % diskd->n_slots) * record_bytes;
}

static void count_error(struct diskd *diskd, const char *what)
{
    printf("DISK error seq=%llu %s: %s\n", (unsigned long long)diskd->sequence, what, strerror(errno));
    diskd->n_errors++;
}

static bool write_next(struct diskd *diskd)
{
    uint64_t words[record_words];
    const uint64_t sequence = diskd->sequence + 1;
    words[0] = sequence;
    for (unsigned i = 1; i < record_words - 1; i++)
        words[i] = (sequence + i) * 0x9e3779b97f4a7c15u;
    words[record_words - 1] = checksum(words);
    errno = EIO; /* for a short write */
    if (pwrite(diskd->fd, words, sizeof words, slot_of(diskd, sequence)) != sizeof words) {
        count_error(diskd, "write");
        return false;
    }
    diskd->sequence = sequence;
    return true;
}

static void verify(struct diskd *diskd, uint64_t sequence)
{
    uint64_t words[record_words];
    const off_t at = slot_of(diskd, sequence);
    const int advice = posix_fadvise(diskd->fd, at, record_bytes, POSIX_FADV_DONTNEED);
    errno = advice ? advice : EIO;
    if (advice || pread(diskd->fd, words, sizeof words, at) != sizeof words) {
        count_error(diskd, "read");
        return;
    }
    diskd->n_verified++;
    if (words[0] == sequence && words[record_words - 1] == checksum(words))
        return;
    printf("DISK bad expected=%llu found=%llu\n", (unsigned long long)sequence, (unsigned long long)words[0]);
    diskd->n_bad++;
}

static void report(const struct diskd *diskd)
{
    char text[256];
    printf("DISK seq=%llu bad=%llu errors=%llu verified=%llu\n", (unsigned long long)diskd->sequence,
           (unsigned long long)diskd->n_bad, (unsigned long long)diskd->n_errors,
           (unsigned long long)diskd->n_verified);
    (void)snprintf(text, sizeof text, "{\"seq\":%llu,\"bad\":%llu,\"errors\":%llu,\"verified\":%llu}\n",
                   (unsigned long long)diskd->sequence, (unsigned long long)diskd->n_bad,
                   (unsigned long long)diskd->n_errors, (unsigned long long)diskd->n_verified);
    if (figures_publish("/run/disk.json", text))
        printf("DISK error publish %s\n", strerror(errno));
}

int main(int argc, char **argv)
{
    const struct timespec pace = {.tv_nsec = pace_ns};
    const long mb = argc == 3 ? strtol(argv[2], NULL, 10) : 16;
    if (argc < 2 || argc > 3 || mb < 1 || mb > 1 << 20) {
        fprintf(stderr, "usage: diskd DEVICE [MB]\n");
        return 2;
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    struct diskd diskd = {.fd = open(argv[1], O_RDWR | O_DSYNC | O_CLOEXEC)};
    const off_t size = diskd.fd < 0 ? -1 : lseek(diskd.fd, 0, SEEK_END);
    if (size < record_bytes) {
        printf("DISK error open %s: %s\n", argv[1], size < 0 ? strerror(errno) : "too small");
        return 1;
    }
    const uint64_t wanted = (uint64_t)mb << 20;
    diskd.n_slots = (wanted < (uint64_t)size ? wanted : (uint64_t)size) / record_bytes;
    report(&diskd);
    uint64_t last_report = now_ms();
    for (;;) {
        if (write_next(&diskd)) {
            const uint64_t n_kept = diskd.sequence < diskd.n_slots ? diskd.sequence : diskd.n_slots;
            verify(&diskd, diskd.sequence);
            verify(&diskd, diskd.sequence - diskd.sequence * 2654435761u % n_kept);
        }
        if (now_ms() - last_report >= 1000) {
            report(&diskd);
            last_report = now_ms();
        }
        (void)nanosleep(&pace, NULL);
    }
}
