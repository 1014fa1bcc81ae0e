/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/task_log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TASK "0a458e21-7b7b-4dc9-bc2c-ffd05fdd76bb"
#define VM "45ae2c17-d0d6-4ff3-b08f-e91e988a9fc1"

static char folder[] = "/tmp/test-log-XXXXXX";

static char *read_all(const char *path)
{
    static char text[8192];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t length = fread(text, 1, sizeof text - 1, file);
    text[length] = '\0';
    (void)fclose(file);
    return text;
}

/* What `write_lines` writes to standard error, which is a file; in the journal's eyes its own stream. */
static char *stderr_of(void (*write_lines)(void), bool is_journal)
{
    char path[64];
    char stream[64];
    struct stat its;
    (void)snprintf(path, sizeof path, "%s/stderr", folder);
    int kept = dup(STDERR_FILENO);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(kept >= 0 && fd >= 0 && fstat(fd, &its) == 0);
    (void)snprintf(stream, sizeof stream, "%lu:%lu", (unsigned long)its.st_dev,
                   (unsigned long)its.st_ino + !is_journal);
    (void)setenv("JOURNAL_STREAM", stream, 1);
    assert_true(dup2(fd, STDERR_FILENO) >= 0);
    log_init("tester");
    write_lines();
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    (void)close(kept);
    (void)close(fd);
    char *text = read_all(path);
    (void)unlink(path);
    return text;
}

static void two_lines(void)
{
    log_warn("careful");
    log_info("fine");
}

static void the_journal_gets_priorities_and_nobody_else(void **state)
{
    (void)state;
    char *text = stderr_of(two_lines, true);
    assert_true(!strncmp(text, "<4>2", 4));
    assert_non_null(strstr(text, " WARN tester["));
    assert_non_null(strstr(text, "\n<6>2"));
    text = stderr_of(two_lines, false);
    assert_null(strstr(text, "<"));
}

static void about_several(void)
{
    log_info("move " TASK ": begins");
    log_info("journal of VM " VM ": GIVEN");
    log_info("something else");
    log_set_move(TASK);
    log_info("from its thread");
    log_set_move("");
}

static bool exists(const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

static void a_task_has_the_lines_that_name_it_its_vm_or_its_thread(void **state)
{
    (void)state;
    struct task_log_config config = {.keep_files = 10, .keep_days = 1};
    (void)snprintf(config.folder, sizeof config.folder, "%s", folder);
    task_logs_init(&config);
    task_log_open(TASK, VM, "source");
    (void)stderr_of(about_several, false);
    task_log_close(TASK);
    (void)stderr_of(about_several, false); /* after its end: to no file */
    char path[128];
    (void)snprintf(path, sizeof path, "%s/" TASK ".source.log", folder);
    char *text = read_all(path);
    assert_non_null(strstr(text, "move=" TASK " move " TASK ": begins\n"));
    assert_non_null(strstr(text, "move=" TASK " journal of VM"));
    assert_non_null(strstr(text, "move=" TASK " from its thread\n"));
    assert_null(strstr(text, "something else"));
    unsigned n = 0;
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        n++;
    assert_int_equal(n, 3);
    (void)unlink(path);
}

static void make(const char *name, time_t age_s)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    const struct timespec times[2] = {{.tv_sec = time(NULL) - age_s}, {.tv_sec = time(NULL) - age_s}};
    assert_true(fd >= 0 && futimens(fd, times) == 0);
    (void)close(fd);
}

static void old_files_and_too_many_go(void **state)
{
    (void)state;
    struct task_log_config config = {.keep_files = 2, .keep_days = 10};
    (void)snprintf(config.folder, sizeof config.folder, "%s", folder);
    task_logs_init(&config);
    make("a.source.log", 100);
    make("b.source.log", 200);
    make("c.source.log", 300);            /* the third newest */
    make("d.source.log", 11 * 24 * 3600); /* too old */
    make("notes.txt", 20 * 24 * 3600);    /* none of ours */
    task_log_open(TASK, VM, "source");
    assert_true(exists("a.source.log") && exists("b.source.log") && exists("notes.txt"));
    assert_true(exists(TASK ".source.log"));
    assert_false(exists("c.source.log") || exists("d.source.log"));
    task_log_close(TASK);
    static const char *const made[] = {"a.source.log", "b.source.log", "notes.txt", TASK ".source.log"};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%s", folder, made[i]);
        (void)unlink(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_journal_gets_priorities_and_nobody_else),
        cmocka_unit_test(a_task_has_the_lines_that_name_it_its_vm_or_its_thread),
        cmocka_unit_test(old_files_and_too_many_go),
    };
    if (!mkdtemp(folder))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)rmdir(folder);
    return failed;
}
