/* SPDX-License-Identifier: Apache-2.0 */
/* Schema versions: user_version of the file is the number of the last step that was applied. */
#include <stddef.h>

#include "store/statement.h"

static const char first[] =
#include "0001-first.inc"
    ;

static const char pools[] =
#include "0002-pools.inc"
    ;

static const char certificates[] =
#include "0003-certificates.inc"
    ;

static const char settlements[] =
#include "0004-settlements.inc"
    ;

static const char history[] =
#include "0005-history.inc"
    ;

static const char maintenance[] =
#include "0006-maintenance.inc"
    ;

static const char *const steps[] = {first, pools, certificates, settlements, history, maintenance};
const struct schema schema_current = {steps, sizeof steps / sizeof steps[0]};

static int read_version(sqlite3 *connection, int *ret_version, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(connection, "PRAGMA user_version", -1, &statement, NULL) != SQLITE_OK)
        return db_fail(connection, err, "read its version");
    int code = sqlite3_step(statement);
    *ret_version = sqlite3_column_int(statement, 0);
    (void)sqlite3_finalize(statement);
    return code == SQLITE_ROW ? 0 : db_fail(connection, err, "read its version");
}

static int apply(sqlite3 *connection, const struct schema *schema, int version, struct err *err)
{
    for (int i = version; i < schema->n_steps; i++) {
        char set_version[48];
        (void)sqlite3_snprintf(sizeof set_version, set_version, "PRAGMA user_version = %d", i + 1);
        if (sqlite3_exec(connection, schema->steps[i], NULL, NULL, NULL) != SQLITE_OK ||
            sqlite3_exec(connection, set_version, NULL, NULL, NULL) != SQLITE_OK) {
            (void)db_fail(connection, err, "upgrade its schema");
            return err_prefix(err, "schema step %d", i + 1);
        }
    }
    return 0;
}

int schema_too_new(const char *path, int version, int newest, struct err *err)
{
    err_set(err, ERR_REFUSED, "schema-too-new",
            "the database %s has schema version %d, this program knows versions up to %d", path, version,
            newest);
    err_cause(err, "a later version of the program has used it");
    return err_fix(err, "start that version again, or restore a backup from before ('godwitd restore')");
}

int schema_upgrade(sqlite3 *connection, const char *path, const struct schema *schema, struct err *err)
{
    if (sqlite3_exec(connection, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
        return db_fail(connection, err, "begin the upgrade of its schema");
    int version = 0;
    int result = read_version(connection, &version, err);
    if (!result && version > schema->n_steps)
        result = schema_too_new(path, version, schema->n_steps, err);
    if (!result)
        result = apply(connection, schema, version, err);
    if (!result && sqlite3_exec(connection, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        result = db_fail(connection, err, "finish the upgrade of its schema");
    if (result)
        (void)sqlite3_exec(connection, "ROLLBACK", NULL, NULL, NULL);
    return result;
}
