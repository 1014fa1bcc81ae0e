/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "store/query.h"

#include <assert.h>
#include <string.h>

void query_add(struct query *query, const char *sql)
{
    size_t used = strlen(query->sql);
    size_t length = strlen(sql);
    assert(used + length < sizeof query->sql);
    memcpy(query->sql + used, sql, length + 1);
}

static void add_value(struct query *query, const char *text, int64_t number)
{
    assert(query->n_values < QUERY_VALUES_MAX);
    query->values[query->n_values++] = (struct query_value){text, number};
}

void query_text(struct query *query, const char *sql, unsigned n, const char *text)
{
    if (!text[0])
        return;
    query_add(query, sql);
    for (unsigned i = 0; i < n; i++)
        add_value(query, text, 0);
}

void query_number(struct query *query, const char *sql, int64_t number)
{
    query_add(query, sql);
    add_value(query, NULL, number);
}

int query_start(struct db *db, const struct query *query, sqlite3_stmt **ret_statement, struct err *err)
{
    sqlite3 *connection = db_connection(db);
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(connection, query->sql, -1, &statement, NULL);
    for (unsigned i = 0; i < query->n_values && code == SQLITE_OK; i++) {
        const struct query_value *value = &query->values[i];
        int at = (int)i + 1;
        code = value->text ? sqlite3_bind_text(statement, at, value->text, -1, SQLITE_TRANSIENT)
                           : sqlite3_bind_int64(statement, at, value->number);
    }
    if (code != SQLITE_OK) {
        (void)db_fail(connection, err, "prepare a question");
        (void)sqlite3_finalize(statement);
        return -1;
    }
    *ret_statement = statement;
    return 0;
}

int query_step(struct db *db, sqlite3_stmt *statement, struct err *err)
{
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        return 1;
    int result = code == SQLITE_DONE ? 0 : db_fail(db_connection(db), err, "run a question");
    /* Repeats the error of the last step, which was reported. */
    (void)sqlite3_finalize(statement);
    return result;
}

int query_prune(struct db *db, const char *by_count, const char *by_age, const struct db_retention *retention,
                struct err *err)
{
    if (statement_run(db, by_count, err, "ii", (int64_t)retention->keep, (int64_t)retention->limit))
        return -1;
    int n_removed = sqlite3_changes(db_connection(db));
    if (statement_run(db, by_age, err, "ii", retention->oldest_ms, (int64_t)retention->limit - n_removed))
        return -1;
    return n_removed + sqlite3_changes(db_connection(db));
}
