/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/statement.h"

#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

static char *make_path(void)
{
    g_autofree char *folder = g_dir_make_tmp("manager-store-XXXXXX", NULL);
    return g_build_filename(folder, "test.db", NULL);
}

static void remove_database(const char *path)
{
    g_autofree char *folder = g_path_get_dirname(path);
    g_autofree char *wal = g_strconcat(path, "-wal", NULL);
    g_autofree char *shm = g_strconcat(path, "-shm", NULL);
    (void)g_unlink(path);
    (void)g_unlink(wal);
    (void)g_unlink(shm);
    (void)g_rmdir(folder);
}

/* The real steps and one that a later version may bring. */
static struct schema later(const char *step)
{
    static const char *steps[64];
    assert_true((size_t)schema_current.n_steps < G_N_ELEMENTS(steps));
    for (int i = 0; i < schema_current.n_steps; i++)
        steps[i] = schema_current.steps[i];
    steps[schema_current.n_steps] = step;
    return (struct schema){steps, schema_current.n_steps + 1};
}

static void an_upgrade_keeps_what_was_stored(void **state)
{
    (void)state;
    g_autofree char *path = make_path();
    struct db *db;
    struct err err = {0};
    assert_int_equal(db_open(path, &db, &err), 0);
    assert_int_equal(db_host_add(db, "h1", "198.18.1.11", 8443, &err), 0);
    db_close(db);
    struct schema schema = later("ALTER TABLE hosts ADD COLUMN flavour TEXT NOT NULL DEFAULT 'sweet';"
                                 "UPDATE hosts SET address = address || '/' || flavour;");
    assert_int_equal(db_open_schema(path, &schema, &db, &err), 0);
    sqlite3_stmt *statement;
    assert_int_equal(statement_start(db, "SELECT address FROM hosts", &statement, &err, ""), 0);
    assert_int_equal(statement_step(db, statement, &err), 1);
    assert_string_equal(statement_text(statement, 0), "198.18.1.11/sweet");
    db_close(db);
    /* Once only. */
    assert_int_equal(db_open_schema(path, &schema, &db, &err), 0);
    db_close(db);
    remove_database(path);
}

static void an_upgrade_that_fails_changes_nothing(void **state)
{
    (void)state;
    g_autofree char *path = make_path();
    struct db *db;
    struct err err = {0};
    assert_int_equal(db_open(path, &db, &err), 0);
    assert_int_equal(db_host_add(db, "h1", "198.18.1.11", 8443, &err), 0);
    db_close(db);
    struct schema schema = later("DELETE FROM hosts; SELECT nothing FROM nowhere;");
    g_autofree char *which = g_strdup_printf("schema step %d", schema.n_steps);
    assert_int_equal(db_open_schema(path, &schema, &db, &err), -1);
    assert_non_null(strstr(err.message, which));
    err_clear(&err);
    assert_int_equal(db_open(path, &db, &err), 0);
    assert_int_equal(db_host_add(db, "h1", "198.18.1.11", 8443, &err), -1);
    assert_string_equal(err.id, "host-exists");
    db_close(db);
    remove_database(path);
}

static void a_newer_schema_is_refused_and_left_alone(void **state)
{
    (void)state;
    g_autofree char *path = make_path();
    struct db *db;
    struct err err = {0};
    struct schema schema = later("CREATE TABLE flavours (name TEXT);");
    assert_int_equal(db_open_schema(path, &schema, &db, &err), 0);
    db_close(db);
    assert_int_equal(db_open(path, &db, &err), -1);
    assert_int_equal(err.code, ERR_REFUSED);
    assert_string_equal(err.id, "schema-too-new");
    assert_true(err.fix[0]);
    err_clear(&err);
    assert_int_equal(db_open_schema(path, &schema, &db, &err), 0);
    db_close(db);
    remove_database(path);
}

struct found_hosts {
    unsigned n;
    unsigned n_enrolled;
};

static void note_host(const struct db_host *host, void *user)
{
    struct found_hosts *found = user;
    found->n++;
    found->n_enrolled += host->enrolled;
    /* Nothing is known of its certificate, so whatever the authority signed is good. */
    assert_null(host->certificate);
    assert_null(host->previous_certificate);
}

static void note_token(const struct db_token *token, void *user)
{
    assert_string_equal(token->name, "admin");
    (*(unsigned *)user)++;
}

static void a_database_of_the_first_version_is_upgraded_with_all_it_holds(void **state)
{
    (void)state;
    g_autofree char *path = make_path();
    g_autofree char *sql = NULL;
    sqlite3 *old = NULL;
    struct db *db;
    struct err err = {0};
    struct found_hosts found = {0};
    unsigned n_tokens = 0;
    assert_true(g_file_get_contents(SCHEMA_1, &sql, NULL, NULL));
    assert_int_equal(sqlite3_open(path, &old), SQLITE_OK);
    assert_int_equal(sqlite3_exec(old, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(old), SQLITE_OK);
    assert_int_equal(db_open(path, &db, &err), 0);
    assert_int_equal(db_host_list(db, note_host, &found, &err), 0);
    assert_int_equal(found.n, 2);
    assert_int_equal(found.n_enrolled, 1);
    assert_int_equal(db_token_list(db, note_token, &n_tokens, &err), 0);
    assert_int_equal(n_tokens, 1);
    assert_int_equal(db_host_set_certificates(db, "h1", "new", "old", &err), 0);
    db_close(db);
    remove_database(path);
}

static void the_file_is_for_its_owner_only(void **state)
{
    (void)state;
    g_autofree char *path = make_path();
    struct db *db;
    struct err err = {0};
    struct stat found;
    assert_int_equal(db_open(path, &db, &err), 0);
    assert_int_equal(stat(path, &found), 0);
    assert_int_equal(found.st_mode & 0777, 0600);
    db_close(db);
    remove_database(path);
}

static void an_enrolment_is_used_once(void **state)
{
    (void)state;
    g_autofree char *path = make_path();
    struct db *db;
    struct err err = {0};
    assert_int_equal(db_open(path, &db, &err), 0);
    assert_int_equal(db_host_add(db, "h1", "198.18.1.11", 8443, &err), 0);
    assert_int_equal(db_enrolment_add(db, "h1", "old", 1, &err), 0);
    assert_int_equal(db_enrolment_add(db, "h1", "new", 2, &err), 0);
    const struct db_enrolment old = {"h1", "old", "c1"};
    const struct db_enrolment of_another = {"h2", "new", "c2"};
    const struct db_enrolment good = {"h1", "new", "c3"};
    assert_int_equal(db_enrolment_use(db, &old, 3, &err), 0);
    assert_int_equal(db_enrolment_use(db, &of_another, 3, &err), 0);
    assert_int_equal(db_enrolment_use(db, &good, 3, &err), 1);
    assert_int_equal(db_enrolment_use(db, &good, 4, &err), 0);
    db_close(db);
    remove_database(path);
}

static void count_pool(const char *path, const char *spec, void *user)
{
    assert_string_equal(path, "prod");
    assert_string_equal(spec, "{\"n\":2}");
    (*(int *)user)++;
}

static void a_database_of_the_first_version_gets_pools(void **state)
{
    (void)state;
    g_autofree char *path = make_path();
    struct db *db;
    struct err err = {0};
    int n_rows = 0;
    const struct schema first = {schema_current.steps, 1};
    assert_int_equal(db_open_schema(path, &first, &db, &err), 0);
    assert_int_equal(db_host_add(db, "h1", "198.18.1.11", 8443, &err), 0);
    db_close(db);
    assert_int_equal(db_open(path, &db, &err), 0);
    assert_int_equal(db_pool_put(db, "prod", "{\"n\":1}", &err), 0);
    assert_int_equal(db_pool_put(db, "prod", "{\"n\":2}", &err), 0);
    assert_int_equal(db_pool_list(db, count_pool, &n_rows, &err), 0);
    assert_int_equal(n_rows, 1);
    assert_int_equal(db_pool_remove(db, "prod", &err), 0);
    assert_int_equal(db_pool_list(db, count_pool, &n_rows, &err), 0);
    assert_int_equal(n_rows, 1);
    assert_int_equal(db_host_add(db, "h1", "198.18.1.11", 8443, &err), -1);
    db_close(db);
    remove_database(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_upgrade_keeps_what_was_stored),
        cmocka_unit_test(an_upgrade_that_fails_changes_nothing),
        cmocka_unit_test(a_newer_schema_is_refused_and_left_alone),
        cmocka_unit_test(a_database_of_the_first_version_is_upgraded_with_all_it_holds),
        cmocka_unit_test(a_database_of_the_first_version_gets_pools),
        cmocka_unit_test(the_file_is_for_its_owner_only),
        cmocka_unit_test(an_enrolment_is_used_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
