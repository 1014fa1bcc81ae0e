/* SPDX-License-Identifier: Apache-2.0 */
/* A statement that is put together for one call: conditions that the caller may leave out. Only literals
 * become SQL; what a client sent is bound. */
#ifndef STORE_QUERY_H
#define STORE_QUERY_H

#include "store/statement.h"

#define QUERY_SQL_MAX 1536
#define QUERY_VALUES_MAX 24

struct query {
    char sql[QUERY_SQL_MAX];
    unsigned n_values;
    struct query_value {
        const char *text; /* borrowed; NULL: the number */
        int64_t number;
    } values[QUERY_VALUES_MAX];
};

/* More SQL, without a value. */
void query_add(struct query *query, const char *sql);
/* SQL with one '?' for each of `n`, which all get the same value. An empty text adds nothing. */
void query_text(struct query *query, const char *sql, unsigned n, const char *text);
void query_number(struct query *query, const char *sql, int64_t number);
int query_start(struct db *db, const struct query *query, sqlite3_stmt **ret_statement, struct err *err);
/* As statement_step, and the statement is gone when it does not return 1. */
int query_step(struct db *db, sqlite3_stmt *statement, struct err *err);

/* Removes what is beyond the newest so many, then what is too old, both named by SQL that deletes at most so
 * many rows: `by_count` with two '?', the number kept and the limit, `by_age` with the oldest time that stays
 * and the limit. How many went; -1. */
int query_prune(struct db *db, const char *by_count, const char *by_age, const struct db_retention *retention,
                struct err *err);

#endif
