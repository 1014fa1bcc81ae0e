/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "store/db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/statement.h"

#define STATEMENTS_MAX 64
#define BUSY_TIMEOUT_MS 5000
/* Of the database in memory, for its hot tables. SQLite's own choice, 2000, is 130 finished tasks that nobody
 * asks for. */
#define CACHE_KIB "512"

struct db {
    sqlite3 *connection;
    unsigned n_statements;
    struct {
        const char *sql;
        sqlite3_stmt *statement;
    } statements[STATEMENTS_MAX];
};

int db_fail(sqlite3 *connection, struct err *err, const char *what)
{
    int code = connection ? sqlite3_extended_errcode(connection) : SQLITE_NOMEM;
    bool busy = (code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_FULL;
    err_set(err, busy ? ERR_RETRY : ERR_INTERNAL, "database", "the database refused to %s", what);
    err_cause(err, "%s (SQLite code %d)", connection ? sqlite3_errmsg(connection) : "out of memory", code);
    if ((code & 0xff) == SQLITE_FULL)
        err_fix(err, "make room on the file system of the manager's state folder");
    return -1;
}

sqlite3 *db_connection(struct db *db)
{
    return db->connection;
}

static int configure(struct db *db, struct err *err)
{
    if (sqlite3_busy_timeout(db->connection, BUSY_TIMEOUT_MS) != SQLITE_OK ||
        sqlite3_exec(db->connection,
                     "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
                     "PRAGMA cache_size=-" CACHE_KIB ";",
                     NULL, NULL, NULL) != SQLITE_OK)
        return db_fail(db->connection, err, "open");
    return 0;
}

int db_open_schema(const char *path, const struct schema *schema, struct db **ret_db, struct err *err)
{
    /* SQLite would make it readable for everyone. */
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(err, errno, "database", "cannot open the database %s", path);
    (void)close(fd);
    struct db *db = calloc(1, sizeof *db);
    if (!db)
        return err_sys(err, ENOMEM, "database", "cannot open the database %s", path);
    int result = 0;
    if (sqlite3_open_v2(path, &db->connection, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
        result = db_fail(db->connection, err, "open");
    if (!result)
        result = configure(db, err);
    if (!result)
        result = schema_upgrade(db->connection, path, schema, err);
    if (result) {
        db_close(db);
        return -1;
    }
    *ret_db = db;
    return 0;
}

int db_open(const char *path, struct db **ret_db, struct err *err)
{
    return db_open_schema(path, &schema_current, ret_db, err);
}

void db_close(struct db *db)
{
    if (!db)
        return;
    for (unsigned i = 0; i < db->n_statements; i++)
        (void)sqlite3_finalize(db->statements[i].statement);
    (void)sqlite3_close(db->connection);
    free(db);
}

int db_begin(struct db *db, struct err *err)
{
    return statement_run(db, "BEGIN IMMEDIATE", err, "");
}

int db_commit(struct db *db, struct err *err)
{
    return statement_run(db, "COMMIT", err, "");
}

void db_rollback(struct db *db)
{
    /* Fails only when SQLite has rolled back by itself. */
    (void)sqlite3_exec(db->connection, "ROLLBACK", NULL, NULL, NULL);
}

static int prepare(struct db *db, const char *sql, sqlite3_stmt **ret_statement, struct err *err)
{
    for (unsigned i = 0; i < db->n_statements; i++)
        if (db->statements[i].sql == sql) {
            *ret_statement = db->statements[i].statement;
            return 0;
        }
    if (db->n_statements == STATEMENTS_MAX)
        return err_set(err, ERR_INTERNAL, "database", "more than %d prepared statements", STATEMENTS_MAX);
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v3(db->connection, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) != SQLITE_OK)
        return db_fail(db->connection, err, "prepare a statement");
    db->statements[db->n_statements].sql = sql;
    db->statements[db->n_statements++].statement = statement;
    *ret_statement = statement;
    return 0;
}

static int start(struct db *db, const char *sql, sqlite3_stmt **ret_statement, struct err *err,
                 const char *types, va_list args)
{
    sqlite3_stmt *statement = NULL;
    if (prepare(db, sql, &statement, err))
        return -1;
    statement_end(statement);
    int code = SQLITE_OK;
    for (int i = 1; *types && code == SQLITE_OK; types++, i++) {
        if (*types == 't') {
            const char *text = va_arg(args, const char *);
            code = text ? sqlite3_bind_text(statement, i, text, -1, SQLITE_TRANSIENT)
                        : sqlite3_bind_null(statement, i);
        } else {
            code = sqlite3_bind_int64(statement, i, va_arg(args, int64_t));
        }
    }
    if (code != SQLITE_OK)
        return db_fail(db->connection, err, "bind a value");
    *ret_statement = statement;
    return 0;
}

int statement_start(struct db *db, const char *sql, sqlite3_stmt **ret_statement, struct err *err,
                    const char *types, ...)
{
    va_list args;
    va_start(args, types);
    int result = start(db, sql, ret_statement, err, types, args);
    va_end(args);
    return result;
}

int statement_step(struct db *db, sqlite3_stmt *statement, struct err *err)
{
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        return 1;
    int result = code == SQLITE_DONE ? 0 : db_fail(db->connection, err, "run a statement");
    statement_end(statement);
    return result;
}

void statement_end(sqlite3_stmt *statement)
{
    /* Repeats the error of the last step, which was reported. */
    (void)sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement);
}

int statement_run(struct db *db, const char *sql, struct err *err, const char *types, ...)
{
    sqlite3_stmt *statement = NULL;
    va_list args;
    va_start(args, types);
    int result = start(db, sql, &statement, err, types, args);
    va_end(args);
    if (result)
        return -1;
    return statement_step(db, statement, err) < 0 ? -1 : 0;
}

const char *statement_text(sqlite3_stmt *statement, int column)
{
    return (const char *)sqlite3_column_text(statement, column);
}
