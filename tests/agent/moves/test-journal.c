/* SPDX-License-Identifier: Apache-2.0 */
/* The ownership journal survives what a crash can do to a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/journal.h"

#define FILE_SIZE 8192

struct fixture {
    char *folder;
    char *path;
};

static int set_up(void **state)
{
    struct fixture *fixture = g_new0(struct fixture, 1);
    fixture->folder = g_dir_make_tmp("agentmove-journal-XXXXXX", NULL);
    fixture->path = g_build_filename(fixture->folder, "vm.journal", NULL);
    *state = fixture;
    return fixture->folder ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    (void)g_unlink(fixture->path);
    int result = g_rmdir(fixture->folder);
    g_free(fixture->path);
    g_free(fixture->folder);
    g_free(fixture);
    return result;
}

static struct journal_entry entry_of(enum journal_step step, uint64_t epoch)
{
    struct journal_entry entry = {.step = step, .epoch = epoch, .is_destination = step == JOURNAL_INCOMING};
    (void)snprintf(entry.session, sizeof entry.session, "00000000-0000-4000-8000-%012u", (unsigned)epoch);
    memset(entry.commit, (int)epoch, sizeof entry.commit);
    memset(entry.returned, (int)step, sizeof entry.returned);
    entry.past.verdict = VERDICT_RUNNING;
    memset(entry.past.secret, 7, sizeof entry.past.secret);
    return entry;
}

static void read_image(const char *path, uint8_t image[FILE_SIZE])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, image, FILE_SIZE, 0), FILE_SIZE);
    close(fd);
}

static void write_image(const char *path, const uint8_t image[FILE_SIZE])
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, image, FILE_SIZE, 0), FILE_SIZE);
    close(fd);
}

/* A limit for files stands in for the disk: whoever writes gets EFBIG. */
static void let_nobody_write(bool nobody)
{
    static struct rlimit usual;
    struct rlimit limit = usual;
    if (nobody) {
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &usual), 0);
        assert_ptr_not_equal(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
        limit = usual;
        limit.rlim_cur = 0;
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static struct journal *open_or_fail(const char *path)
{
    struct journal *journal = NULL;
    struct err err = {0};
    if (journal_open(path, &journal, &err) < 0)
        fail_msg("%s", err.message);
    return journal;
}

static void new_file_is_private_and_owns_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct journal *journal = open_or_fail(fixture->path);
    struct journal_entry entry;
    struct stat info;
    journal_read(journal, &entry);
    assert_int_equal(entry.step, JOURNAL_NONE);
    assert_false(journal_may_run(journal));
    journal_close(journal);
    assert_int_equal(stat(fixture->path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(info.st_size, FILE_SIZE);
}

static void reopened_journal_says_the_same(void **state)
{
    struct fixture *fixture = *state;
    for (unsigned step = JOURNAL_OWNED; step <= JOURNAL_RETURNED; step++) {
        struct journal *journal = open_or_fail(fixture->path);
        struct journal_entry written = entry_of((enum journal_step)step, step + 10);
        struct journal_entry got;
        assert_int_equal(journal_write_sync(journal, &written, NULL), 0);
        journal_close(journal);
        journal = open_or_fail(fixture->path);
        journal_read(journal, &got);
        assert_int_equal(got.step, written.step);
        assert_int_equal(got.epoch, written.epoch);
        assert_int_equal(got.is_destination, written.is_destination);
        assert_string_equal(got.session, written.session);
        assert_memory_equal(got.commit, written.commit, sizeof got.commit);
        assert_memory_equal(got.returned, written.returned, sizeof got.returned);
        assert_memory_equal(&got.past, &written.past, sizeof got.past);
        assert_int_equal(journal_may_run(journal),
                         step == JOURNAL_OWNED || step == JOURNAL_SENDING || step == JOURNAL_RESUMED);
        journal_close(journal);
    }
}

/* Every prefix of the newer write over the older content: either the older or the whole newer entry. */
static void torn_write_at_every_byte_leaves_a_whole_entry(void **state)
{
    struct fixture *fixture = *state;
    uint8_t before[FILE_SIZE], after[FILE_SIZE], torn[FILE_SIZE];
    struct journal *journal = open_or_fail(fixture->path);
    struct journal_entry older = entry_of(JOURNAL_SENDING, 2), newer = entry_of(JOURNAL_GIVEN, 3);
    struct journal_entry filler = entry_of(JOURNAL_OWNED, 1);
    assert_int_equal(journal_write_sync(journal, &filler, NULL), 0);
    assert_int_equal(journal_write_sync(journal, &older, NULL), 0);
    read_image(fixture->path, before);
    assert_int_equal(journal_write_sync(journal, &newer, NULL), 0);
    read_image(fixture->path, after);
    journal_close(journal);
    unsigned n_older = 0, n_newer = 0;
    for (size_t cut = 0; cut <= FILE_SIZE; cut++) {
        if (cut && cut < FILE_SIZE && before[cut - 1] == after[cut - 1])
            continue; /* the same file as one byte before */
        memcpy(torn, after, cut);
        memcpy(torn + cut, before + cut, FILE_SIZE - cut);
        write_image(fixture->path, torn);
        journal = open_or_fail(fixture->path);
        struct journal_entry got;
        journal_read(journal, &got);
        journal_close(journal);
        bool whole = memcmp(torn, after, FILE_SIZE) == 0;
        assert_int_equal(got.step, whole ? JOURNAL_GIVEN : JOURNAL_SENDING);
        assert_int_equal(got.epoch, whole ? 3 : 2);
        n_newer += whole;
        n_older += !whole;
    }
    assert_true(n_older > 30);
    assert_true(n_newer >= 1);
}

/* Whichever slot holds the newer entry. */
static void file_cut_off_at_any_byte_is_refused(void **state)
{
    struct fixture *fixture = *state;
    uint8_t image[FILE_SIZE];
    for (uint64_t epoch = 1; epoch <= 2; epoch++) {
        struct journal *journal = open_or_fail(fixture->path);
        struct journal_entry entry = entry_of(JOURNAL_SENDING, epoch);
        assert_int_equal(journal_write_sync(journal, &entry, NULL), 0);
        journal_close(journal);
        read_image(fixture->path, image);
        for (off_t cut = 0; cut < FILE_SIZE; cut++) {
            struct err err = {0};
            assert_int_equal(truncate(fixture->path, cut), 0);
            assert_int_equal(journal_open(fixture->path, &journal, &err), -1);
            assert_string_equal(err.id, "journal-corrupt");
            write_image(fixture->path, image);
        }
    }
}

static void flipped_bit_anywhere_in_an_entry_is_noticed(void **state)
{
    struct fixture *fixture = *state;
    uint8_t image[FILE_SIZE];
    struct journal *journal = open_or_fail(fixture->path);
    struct journal_entry older = entry_of(JOURNAL_OWNED, 1), newer = entry_of(JOURNAL_SENDING, 2);
    struct journal_entry got;
    assert_int_equal(journal_write_sync(journal, &older, NULL), 0); /* second slot */
    assert_int_equal(journal_write_sync(journal, &newer, NULL), 0); /* first slot */
    journal_close(journal);
    read_image(fixture->path, image);
    size_t used = FILE_SIZE / 2;
    while (used && !image[used - 1])
        used--;
    for (size_t at = 0; at < used; at++) {
        image[at] ^= 0x10;
        write_image(fixture->path, image);
        image[at] ^= 0x10;
        journal = open_or_fail(fixture->path);
        journal_read(journal, &got);
        journal_close(journal);
        assert_int_equal(got.step, JOURNAL_OWNED);
    }
}

static void be_the_earlier_process(const char *path, const struct journal_entry *entry)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct journal *journal;
        _exit(journal_open(path, &journal, NULL) == 0 && journal_write_sync(journal, entry, NULL) == 0 ? 0
                                                                                                       : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* The disk as a sync leaves it that follows one which failed: it has what was written since, and the page
 * that was lost before is clean. */
static void a_found_entry_that_was_only_in_the_page_cache_is_durable_before_it_counts(void **state)
{
    struct fixture *fixture = *state;
    uint8_t disk[FILE_SIZE], cache[FILE_SIZE], after[FILE_SIZE];
    const struct journal_entry sending = entry_of(JOURNAL_SENDING, 2), given = entry_of(JOURNAL_GIVEN, 2);
    struct journal_entry got;
    struct stat its[2];
    be_the_earlier_process(fixture->path, &sending);
    read_image(fixture->path, disk);
    be_the_earlier_process(fixture->path, &given);
    read_image(fixture->path, cache);
    assert_int_equal(stat(fixture->path, &its[0]), 0);
    struct journal *journal = open_or_fail(fixture->path);
    journal_read(journal, &got);
    journal_close(journal);
    assert_int_equal(got.step, JOURNAL_GIVEN);
    read_image(fixture->path, after);
    assert_int_equal(stat(fixture->path, &its[1]), 0);
    /* A file that took the place of the old one was written whole. */
    if (its[0].st_ino != its[1].st_ino)
        memcpy(disk, after, sizeof disk);
    for (size_t block = 0; block < FILE_SIZE; block += FILE_SIZE / 2)
        if (memcmp(cache + block, after + block, FILE_SIZE / 2) != 0)
            memcpy(disk + block, after + block, FILE_SIZE / 2);
    /* And the power fails. */
    write_image(fixture->path, disk);
    journal = open_or_fail(fixture->path);
    journal_read(journal, &got);
    journal_close(journal);
    assert_int_equal(got.step, JOURNAL_GIVEN);
    assert_memory_equal(got.commit, given.commit, sizeof got.commit);
}

/* Each slot may hold the only whole entry that the disk has. */
static void writing_anew_touches_no_slot_of_the_old_file(void **state)
{
    struct fixture *fixture = *state;
    const struct journal_entry given = entry_of(JOURNAL_GIVEN, 2);
    uint8_t before[FILE_SIZE], after[FILE_SIZE];
    be_the_earlier_process(fixture->path, &given);
    int old = open(fixture->path, O_RDONLY | O_CLOEXEC);
    assert_true(old >= 0);
    read_image(fixture->path, before);
    struct journal *journal = open_or_fail(fixture->path);
    struct journal_entry next = entry_of(JOURNAL_GONE, 2), got;
    assert_int_equal(pread(old, after, sizeof after, 0), sizeof after);
    assert_memory_equal(before, after, FILE_SIZE);
    /* What is written from then on is in the new one. */
    assert_int_equal(journal_write_sync(journal, &next, NULL), 0);
    journal_close(journal);
    assert_int_equal(pread(old, after, sizeof after, 0), sizeof after);
    assert_memory_equal(before, after, FILE_SIZE);
    (void)close(old);
    journal = open_or_fail(fixture->path);
    journal_read(journal, &got);
    journal_close(journal);
    assert_int_equal(got.step, JOURNAL_GONE);
}

static void an_entry_that_cannot_be_made_durable_does_not_count(void **state)
{
    struct fixture *fixture = *state;
    uint8_t before[FILE_SIZE], after[FILE_SIZE];
    const struct journal_entry given = entry_of(JOURNAL_GIVEN, 2);
    struct journal *journal = NULL;
    struct journal_entry got;
    struct err err = {0};
    be_the_earlier_process(fixture->path, &given);
    read_image(fixture->path, before);
    let_nobody_write(true);
    int result = journal_open(fixture->path, &journal, &err);
    let_nobody_write(false);
    assert_int_equal(result, -1);
    assert_string_not_equal(err.id, "journal-corrupt");
    read_image(fixture->path, after);
    assert_memory_equal(before, after, FILE_SIZE);
    journal = open_or_fail(fixture->path);
    journal_read(journal, &got);
    journal_close(journal);
    assert_int_equal(got.step, JOURNAL_GIVEN);
}

static void file_without_a_valid_entry_is_refused(void **state)
{
    struct fixture *fixture = *state;
    uint8_t image[FILE_SIZE] = {0};
    struct journal *journal = open_or_fail(fixture->path);
    journal_close(journal);
    write_image(fixture->path, image);
    struct err err = {0};
    journal = NULL;
    assert_int_equal(journal_open(fixture->path, &journal, &err), -1);
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_string_equal(err.id, "journal-corrupt");
    assert_int_equal(truncate(fixture->path, 0), 0);
    assert_int_equal(journal_open(fixture->path, &journal, &err), -1);
    assert_string_equal(err.id, "journal-corrupt");
}

static void count_done(const struct err *err, void *user)
{
    assert_false(err_is_set(err));
    GArray *seen = user;
    unsigned n = seen->len;
    g_array_append_val(seen, n);
}

static void writes_end_with_the_last_one_and_outlive_a_close(void **state)
{
    struct fixture *fixture = *state;
    struct journal *journal = open_or_fail(fixture->path);
    struct journal *same = open_or_fail(fixture->path);
    assert_ptr_equal(journal, same);
    GArray *seen = g_array_new(FALSE, FALSE, sizeof(unsigned));
    for (uint64_t epoch = 1; epoch <= 20; epoch++) {
        struct journal_entry entry = entry_of(JOURNAL_SENDING, epoch);
        journal_write(epoch % 2 ? journal : same, &entry, count_done, seen);
    }
    journal_close(same);
    journal_close(journal); /* the writes under way keep it */
    while (seen->len < 20)
        (void)g_main_context_iteration(NULL, TRUE);
    struct journal_entry got;
    journal = open_or_fail(fixture->path);
    journal_read(journal, &got);
    assert_int_equal(got.epoch, 20);
    journal_close(journal);
    g_array_free(seen, TRUE);
}

static void note_probe(const struct err *err, void *user)
{
    *(int *)user = err_is_set(err) ? -1 : 1;
}

static int probe(struct journal *journal)
{
    int result = 0;
    journal_probe(journal, note_probe, &result);
    while (!result)
        (void)g_main_context_iteration(NULL, TRUE);
    return result;
}

static void a_blocking_write_does_not_wait_in_the_queue_for_a_probe(void **state)
{
    struct fixture *fixture = *state;
    struct journal *journal = open_or_fail(fixture->path);
    struct journal_entry got;
    for (uint64_t epoch = 1; epoch <= 50; epoch++) {
        int result = 0;
        struct journal_entry entry = entry_of(JOURNAL_OWNED, epoch);
        journal_probe(journal, note_probe, &result);
        assert_int_equal(journal_write_sync(journal, &entry, NULL), 0);
        while (!result)
            (void)g_main_context_iteration(NULL, TRUE);
        assert_int_equal(result, 1);
    }
    journal_close(journal);
    journal = open_or_fail(fixture->path);
    journal_read(journal, &got);
    assert_int_equal(got.epoch, 50);
    journal_close(journal);
}

static void a_probe_changes_nothing_and_fails_where_a_write_would(void **state)
{
    struct fixture *fixture = *state;
    uint8_t before[FILE_SIZE], after[FILE_SIZE];
    struct journal_entry written = entry_of(JOURNAL_OWNED, 1), got;
    struct journal *journal = open_or_fail(fixture->path);
    assert_int_equal(journal_write_sync(journal, &written, NULL), 0);
    read_image(fixture->path, before);
    assert_int_equal(probe(journal), 1);
    read_image(fixture->path, after);
    assert_memory_equal(before, after, FILE_SIZE);
    let_nobody_write(true);
    int result = probe(journal);
    let_nobody_write(false);
    assert_int_equal(result, -1);
    read_image(fixture->path, after);
    assert_memory_equal(before, after, FILE_SIZE);
    written.epoch = 2;
    assert_int_equal(journal_write_sync(journal, &written, NULL), 0);
    journal_close(journal);
    journal = open_or_fail(fixture->path);
    journal_read(journal, &got);
    assert_int_equal(got.epoch, 2);
    journal_close(journal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(new_file_is_private_and_owns_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reopened_journal_says_the_same, set_up, tear_down),
        cmocka_unit_test_setup_teardown(torn_write_at_every_byte_leaves_a_whole_entry, set_up, tear_down),
        cmocka_unit_test_setup_teardown(file_cut_off_at_any_byte_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(flipped_bit_anywhere_in_an_entry_is_noticed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_found_entry_that_was_only_in_the_page_cache_is_durable_before_it_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(writing_anew_touches_no_slot_of_the_old_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_entry_that_cannot_be_made_durable_does_not_count, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(file_without_a_valid_entry_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_blocking_write_does_not_wait_in_the_queue_for_a_probe, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_probe_changes_nothing_and_fails_where_a_write_would, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(writes_end_with_the_last_one_and_outlive_a_close, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
