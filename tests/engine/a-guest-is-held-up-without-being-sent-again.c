/* SPDX-License-Identifier: Apache-2.0 */
/*
 * To be held up, a guest's memory goes from one userfaultfd to another, and for a moment nobody watches it.
 * What is written in that moment arrives, and what is not written is not sent a second time. The moment is
 * met by standing in for the call that it begins with (the linker's --wrap).
 */
#include "rig.h"

#include <string.h>

#include "base/clock.h"
#include "engine/uffd.h"

#define PIECE (2 * MIB)
#define N_PIECES 8
#define BUSY_PAGES 128 /* of each piece: its guest's */
#define HIDDEN_AT (300 * ENGINE_PAGE_SIZE)

/* One rig at a time: what the linker puts in has no argument for it. */
static struct rig *watched;
static unsigned n_hidden;

int __real_uffd_unregister(int uffd, struct uffd_range range, struct err *err);
int __wrap_uffd_unregister(int uffd, struct uffd_range range, struct err *err);

int __wrap_uffd_unregister(int uffd, struct uffd_range range, struct err *err)
{
    int result = __real_uffd_unregister(uffd, range, err);
    uint64_t begin = range.start - (uint64_t)(uintptr_t)watched->guest;
    if (result == 0 && begin < N_PIECES * PIECE) {
        memset(watched->guest + begin + HIDDEN_AT, 0x5a, 64);
        n_hidden++;
    }
    return result;
}

struct log {
    uint64_t most_throttled; /* pages of a throttled round */
    unsigned n_throttled;
};

static void note_round(const struct engine_round *round, void *user)
{
    struct log *log = user;
    if (!round->throttle_bytes_s)
        return;
    log->n_throttled++;
    if (round->pages > log->most_throttled)
        log->most_throttled = round->pages;
}

static void what_is_not_written_is_not_sent_again(void **state)
{
    (void)state;
    struct rig rig;
    struct log log = {0};
    struct rig_attempt attempt = {.n_channels = 1,
                                  .dirty = ENGINE_DIRTY_ASYNC,
                                  .goal_ns = 20 * NS_PER_MS,
                                  .bandwidth_bytes_s = 50000000,
                                  .verify = true,
                                  .is_kvm = true,
                                  .round_done = note_round,
                                  .user = &log};
    n_hidden = 0;
    watched = &rig;
    rig_init(&rig, 24 * MIB);
    rig_fill(&rig, 0, 24 * MIB, 31);
    for (unsigned i = 0; i < N_PIECES; i++)
        rig_start_guest(&rig, i * PIECE, (uint64_t)BUSY_PAGES * ENGINE_PAGE_SIZE, false);
    rig_wait_writes(&rig, 1000);
    rig_move(&rig, &attempt);
    assert_true(log.n_throttled > 0);
    assert_int_equal(n_hidden, N_PIECES);
    assert_in_range(log.most_throttled, 1, N_PIECES * (BUSY_PAGES + 1));
    rig_clear(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_written_is_not_sent_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
