/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* `godwitd VERB FILE`; its exit status. What it said on standard error goes to *ret_said (g_free). */
static int manager_verb(struct harness *harness, const char *verb, const char *file, char **ret_said)
{
    g_autofree char *config = g_build_filename(harness->folder, "manager.conf", NULL);
    const char *const argv[] = {MANAGER_PROGRAM, verb, file, "--config", config, NULL};
    int status = -1;
    assert_true(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL,
                             ret_said, &status, NULL));
    return WEXITSTATUS(status);
}

static char *file_of(struct harness *harness, const char *name)
{
    return g_build_filename(harness->folder, name, NULL);
}

static void move_state_away(struct harness *harness)
{
    g_autofree char *state = file_of(harness, "state");
    g_autofree char *away = file_of(harness, "state-before");
    assert_int_equal(g_rename(state, away), 0);
}

static char *migrate(struct harness *harness, const char *vm)
{
    g_autofree char *body = g_strdup_printf("{\"vm\":\"%s\",\"destination\":\"h2\"}", vm);
    struct answer answer = harness_call(harness, "POST", "/v1/migrations", body);
    assert_string_equal(answer.err.message, "");
    char *task = g_strdup(text_of(answer.object, "task"));
    answer_clear(&answer);
    return task;
}

static bool vm_is_listed(void *user)
{
    struct answer answer = harness_call(user, "GET", "/v1/vms/third", NULL);
    bool is_so = answer.object != NULL;
    answer_clear(&answer);
    return is_so;
}

static void ends_as_restored(struct harness *harness, const char *task)
{
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_string_equal(error_id_of(document), "manager-restored");
}

static void a_restored_manager_knows_its_hosts_and_moves_nothing_again(void **test)
{
    struct harness *harness = *test;
    g_autofree char *file = file_of(harness, "backup");
    g_autofree char *said = NULL;
    struct stat its;
    (void)fake_agent_add_vm(&harness->source, "second", VM_RUNNING);
    (void)fake_agent_add_vm(&harness->source, "third", VM_RUNNING);
    harness_wait(vm_is_listed, harness, "the third VM to be listed");
    /* Two that run and one that waits for them. */
    harness->destination.hold = "POST check";
    g_autofree char *first = migrate(harness, "web");
    g_autofree char *second = migrate(harness, "second");
    g_autofree char *third = migrate(harness, "third");
    JsonObject *running = harness_wait_phase(harness, second, "destination check");
    json_object_unref(running);
    assert_int_equal(manager_verb(harness, "backup", file, &said), 0);
    assert_int_equal(stat(file, &its), 0);
    assert_int_equal(its.st_mode & 0777, 0600);
    /* The old manager goes on: the move ends before the restoring. */
    harness_kill(harness);
    move_state_away(harness);
    g_autofree char *said_again = NULL;
    assert_int_equal(manager_verb(harness, "restore", file, &said_again), 0);
    harness->destination.hold = NULL;
    g_ptr_array_set_size(harness->source.calls, 0);
    harness_start(harness);
    ends_as_restored(harness, first);
    ends_as_restored(harness, second);
    ends_as_restored(harness, third);
    harness_wait_connected(harness, "h1"); /* by the certificates they have */
    harness_wait_connected(harness, "h2");
    assert_false(fake_agent_was_called(&harness->source, "PUT source"));
    /* Once only: a later start takes its tasks as they are. */
    g_autofree char *next = migrate(harness, "web");
    harness_kill(harness);
    harness_start(harness);
    g_autoptr(JsonObject) document = harness_wait_final(harness, next);
    assert_string_not_equal(error_id_of(document), "manager-restored");
}

static void what_is_there_is_never_overwritten(void **test)
{
    struct harness *harness = *test;
    g_autofree char *file = file_of(harness, "backup");
    g_autofree char *first = NULL;
    g_autofree char *second = NULL;
    g_autofree char *third = NULL;
    assert_int_equal(manager_verb(harness, "backup", file, &first), 0);
    assert_int_equal(manager_verb(harness, "backup", file, &second), 1);
    assert_non_null(strstr(second, "backup-exists"));
    assert_int_equal(manager_verb(harness, "restore", file, &third), 1);
    assert_non_null(strstr(third, "state-not-empty"));
    struct answer answer = harness_call(harness, "GET", "/v1/hosts", NULL); /* and it runs on */
    assert_string_equal(answer.err.message, "");
    answer_clear(&answer);
    g_autofree char *left = file_of(harness, "state.restoring");
    assert_false(g_file_test(left, G_FILE_TEST_EXISTS));
}

static void what_is_no_backup_leaves_nothing(void **test)
{
    struct harness *harness = *test;
    g_autofree char *file = file_of(harness, "backup");
    g_autofree char *state = file_of(harness, "state");
    harness_kill(harness);
    move_state_away(harness);
    g_autofree char *database = file_of(harness, "state-before/manager.db");
    g_autofree char *garbage = g_strnfill(20000, 'x');
    assert_true(g_file_set_contents(file, garbage, -1, NULL));
    const char *const bad[] = {file, database, "/nonexistent/backup"};
    const char *const ids[] = {"backup-invalid", "backup-invalid", "backup-unreadable"};
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *said = NULL;
        assert_int_equal(manager_verb(harness, "restore", bad[i], &said), 1);
        assert_non_null(strstr(said, ids[i]));
        assert_false(g_file_test(state, G_FILE_TEST_EXISTS));
    }
    g_autofree char *usage = NULL;
    assert_int_equal(manager_verb(harness, "backup", NULL, &usage), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_restored_manager_knows_its_hosts_and_moves_nothing_again),
        cmocka_unit_test_setup_teardown(what_is_there_is_never_overwritten, harness_setup_bare,
                                        harness_teardown),
        cmocka_unit_test_setup_teardown(what_is_no_backup_leaves_nothing, harness_setup_bare,
                                        harness_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
