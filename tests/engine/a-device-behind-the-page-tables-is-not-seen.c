/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a disk of a VM that moves is never used with O_DIRECT. The device then writes into the guest's memory
 * by its own, and no page table tells of it: what arrives after the page was protected is lost in a move. It
 * is lost also if all I/O has ended before the last round (drained), because no later scan finds it. Through
 * the page cache the same read arrives.
 */
#include "rig.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "slow_file.h"

#define RAM_BYTES (16 * MIB)
#define AT (8 * MIB)

struct disk {
    struct rig rig;
    struct slow_file *file;
    int fd;
    pthread_t reader;
    bool is_drained;
};

/* As QEMU's thread that reads for the guest. */
static void *read_block(void *user)
{
    struct disk *disk = user;
    assert_int_equal(pread(disk->fd, disk->rig.guest + AT, SLOW_FILE_BYTES, 0), SLOW_FILE_BYTES);
    return NULL;
}

static void drain(struct disk *disk)
{
    slow_file_answer(disk->file);
    assert_int_equal(pthread_join(disk->reader, NULL), 0);
    assert_int_equal(disk->rig.guest[AT], SLOW_FILE_BYTE);
    assert_int_equal(disk->rig.guest[AT + SLOW_FILE_BYTES - 1], SLOW_FILE_BYTE);
    disk->is_drained = true;
}

static void drain_before_last_round(const struct engine_round *round, void *user)
{
    if (round->n == 0)
        drain(user);
}

static void drain_after_stop(void *user)
{
    drain(user);
}

/* Where source and destination differ after a move in which a block of the disk arrived; RAM_BYTES: nowhere.
 */
static uint64_t lost_at(int flags, struct rig_attempt attempt)
{
    struct disk disk = {.file = slow_file_new()};
    if (!disk.file)
        skip(); /* no FUSE */
    rig_init(&disk.rig, RAM_BYTES);
    rig_fill(&disk.rig, 0, RAM_BYTES, 5);
    disk.fd = open(SLOW_FILE_PATH, O_RDONLY | O_CLOEXEC | flags);
    assert_true(disk.fd >= 0);
    assert_int_equal(pthread_create(&disk.reader, NULL, read_block, &disk), 0);
    slow_file_wait_asked(disk.file);
    attempt.n_channels = 2;
    attempt.dirty = ENGINE_DIRTY_ASYNC;
    attempt.user = &disk;
    rig_run(&disk.rig, &attempt);
    assert_true(disk.is_drained);
    assert_int_equal(attempt.source_result, 0);
    uint64_t at = rig_difference(&disk.rig);
    (void)close(disk.fd);
    slow_file_free(disk.file);
    rig_clear(&disk.rig);
    return at;
}

static void direct_reads_are_lost(void **state)
{
    (void)state;
    assert_int_equal(lost_at(O_DIRECT, (struct rig_attempt){.before_finish = drain_after_stop}), AT);
}

static void direct_reads_are_lost_if_drained_before_the_last_round(void **state)
{
    (void)state;
    assert_int_equal(lost_at(O_DIRECT, (struct rig_attempt){.round_done = drain_before_last_round}), AT);
}

static void reads_through_the_page_cache_arrive(void **state)
{
    (void)state;
    assert_int_equal(lost_at(0, (struct rig_attempt){.before_finish = drain_after_stop}), RAM_BYTES);
    assert_int_equal(lost_at(0, (struct rig_attempt){.round_done = drain_before_last_round}), RAM_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(direct_reads_are_lost),
        cmocka_unit_test(direct_reads_are_lost_if_drained_before_the_last_round),
        cmocka_unit_test(reads_through_the_page_cache_arrive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
