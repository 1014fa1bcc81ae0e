/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

/* What a balloon does: the memory behind a range goes away, and no page table tells of a write. */
static void punch(struct rig *rig, uint64_t offset, uint64_t length)
{
    assert_int_equal(
        fallocate(rig->source_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length),
        0);
    assert_int_equal(madvise(rig->guest + offset, length, MADV_DONTNEED), 0);
}

struct balloon {
    struct rig *rig;
    bool done;
};

/* After round 0 has sent everything. */
static void inflate_and_deflate(const struct engine_round *round, void *user)
{
    struct balloon *balloon = user;
    struct rig *rig = balloon->rig;
    if (round->n != 0)
        return;
    punch(rig, 0, 4 * MIB);       /* stays away */
    punch(rig, 8 * MIB, 4 * MIB); /* comes back with other data */
    rig_fill(rig, 8 * MIB, MIB, 99);
    rig_fill(rig, 16 * MIB, MIB, 98); /* written, then goes away */
    punch(rig, 16 * MIB, MIB);
    balloon->done = true;
}

static void inflate_late(void *user)
{
    struct balloon *balloon = user;
    punch(balloon->rig, 24 * MIB, 2 * MIB);
    rig_fill(balloon->rig, 25 * MIB, 3 * ENGINE_PAGE_SIZE, 97);
}

static void balloon_moves_along(enum engine_dirty dirty)
{
    struct rig rig;
    rig_init(&rig, 48 * MIB);
    rig_fill(&rig, 0, 48 * MIB, 5);
    struct balloon balloon = {&rig, false};
    struct rig_attempt attempt = {.n_channels = 2,
                                  .dirty = dirty,
                                  .verify = true,
                                  .round_done = inflate_and_deflate,
                                  .after_copy = inflate_late,
                                  .user = &balloon};
    rig_run(&rig, &attempt);
    assert_true(balloon.done);
    assert_int_equal(attempt.source_result, 0);
    assert_true(attempt.verified);
    /* Before the comparison, which itself populates what it reads. */
    assert_int_equal(rig_allocated(rig.source_fd), rig_allocated(rig.destination_fd));
    assert_int_equal(rig_difference(&rig), rig.size);
    rig_clear(&rig);
}

static void async_source(void **state)
{
    (void)state;
    balloon_moves_along(ENGINE_DIRTY_ASYNC);
}

static void sync_source(void **state)
{
    (void)state;
    balloon_moves_along(ENGINE_DIRTY_SYNC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(async_source), cmocka_unit_test(sync_source)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
