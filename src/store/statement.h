/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this folder share: prepared statements, kept for the life of the connection. */
#ifndef STORE_STATEMENT_H
#define STORE_STATEMENT_H

#include <sqlite3.h>

#include "store/db.h"

/* Key in the table meta: the database came out of a backup at that time, and nobody has dealt with it. */
#define META_RESTORED "restored_ms"

/* The numbered schema files, first to last. Step N brings version N-1 to N. */
struct schema {
    const char *const *steps;
    int n_steps;
};
extern const struct schema schema_current;

/* As db_open with another list of steps, for tests of upgrades. */
int db_open_schema(const char *path, const struct schema *schema, struct db **ret_db, struct err *err);
/* REFUSED "schema-too-new". */
int schema_too_new(const char *path, int version, int newest, struct err *err);
/* Brings an open connection up to date. */
int schema_upgrade(sqlite3 *connection, const char *path, const struct schema *schema, struct err *err);

sqlite3 *db_connection(struct db *db);
/* The code and the text of the last SQLite error. */
int db_fail(sqlite3 *connection, struct err *err, const char *what);

/* `types` has a letter per argument: 't' const char * (NULL allowed), 'i' int64_t. `sql` must be a literal:
 * its address is the key of the cache. */
int statement_start(struct db *db, const char *sql, sqlite3_stmt **ret_statement, struct err *err,
                    const char *types, ...);
/* 1: a row is there, 0: no more (the statement is reset), -1: error (reset as well). */
int statement_step(struct db *db, sqlite3_stmt *statement, struct err *err);
/* Ends a statement that was not stepped to its end. */
void statement_end(sqlite3_stmt *statement);
/* Runs a statement that gives no rows. */
int statement_run(struct db *db, const char *sql, struct err *err, const char *types, ...);
const char *statement_text(sqlite3_stmt *statement, int column);

#endif
