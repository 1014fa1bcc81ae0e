/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "store/query.h"

#define COLUMNS "id, number, client_key, final, document, timeline, internals"
/* For lists: the timeline is most of a task. */
#define COLUMNS_BRIEF "id, number, client_key, final, document, NULL, NULL"

int db_task_next_number(struct db *db, uint64_t *ret_number, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    if (statement_start(db, "SELECT coalesce(max(number), 0) + 1 FROM tasks", &statement, err, ""))
        return -1;
    if (statement_step(db, statement, err) != 1)
        return -1;
    *ret_number = (uint64_t)sqlite3_column_int64(statement, 0);
    statement_end(statement);
    return 0;
}

int db_task_put(struct db *db, const struct db_task *task, struct err *err)
{
    return statement_run(db,
                         "INSERT INTO tasks (id, number, client_key, final, document, timeline, internals,"
                         " state, vm, vm_uuid, source, destination, user, created_ms, ended_ms)"
                         " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET"
                         " final=excluded.final, document=excluded.document, timeline=excluded.timeline,"
                         " internals=excluded.internals, state=excluded.state, ended_ms=excluded.ended_ms",
                         err, "tititttttttttii", task->id, (int64_t)task->number, task->client_key,
                         (int64_t)task->final, task->document, task->timeline, task->internals, task->state,
                         task->vm, task->vm_uuid, task->source, task->destination, task->user,
                         task->created_ms, task->ended_ms);
}

static void give_row(sqlite3_stmt *statement, db_task_row row, void *user)
{
    struct db_task task = {
        .id = statement_text(statement, 0),
        .number = (uint64_t)sqlite3_column_int64(statement, 1),
        .client_key = statement_text(statement, 2),
        .final = sqlite3_column_int(statement, 3) != 0,
        .document = statement_text(statement, 4),
        .timeline = statement_text(statement, 5),
        .internals = statement_text(statement, 6),
    };
    row(&task, user);
}

static int give_one(struct db *db, sqlite3_stmt *statement, db_task_row row, void *user, struct err *err)
{
    int found = statement_step(db, statement, err);
    if (found == 1) {
        give_row(statement, row, user);
        statement_end(statement);
    }
    return found;
}

int db_task_get(struct db *db, const char *id, db_task_row row, void *user, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    if (statement_start(db, "SELECT " COLUMNS " FROM tasks WHERE id=?", &statement, err, "t", id))
        return -1;
    return give_one(db, statement, row, user, err);
}

int db_task_get_by_key(struct db *db, const char *client_key, db_task_row row, void *user, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    if (statement_start(db, "SELECT " COLUMNS " FROM tasks WHERE client_key=?", &statement, err, "t",
                        client_key))
        return -1;
    return give_one(db, statement, row, user, err);
}

int db_task_list(struct db *db, const struct db_task_filter *filter, db_task_row row, void *user,
                 struct err *err)
{
    struct query query = {0};
    sqlite3_stmt *statement = NULL;
    /* The index holds all that is asked here: no task is read that is not given. */
    query_add(&query, "SELECT " COLUMNS_BRIEF " FROM tasks WHERE number IN"
                      " (SELECT number FROM tasks INDEXED BY tasks_history WHERE 1");
    query_text(&query, " AND number < (SELECT number FROM tasks WHERE id = ?)", 1, filter->before);
    query_text(&query, model_uuid_is_valid(filter->vm) ? " AND vm_uuid = ?" : " AND vm = ?", 1, filter->vm);
    query_text(&query, " AND (source = ? OR destination = ?)", 2, filter->host);
    query_text(&query, " AND state = ?", 1, filter->state);
    query_text(&query, " AND user = ?", 1, filter->user);
    if (filter->since_ms)
        query_number(&query, " AND created_ms >= ?", filter->since_ms);
    if (filter->until_ms)
        query_number(&query, " AND created_ms <= ?", filter->until_ms);
    query_number(&query, " ORDER BY number DESC LIMIT ?) ORDER BY number DESC", (int64_t)filter->limit);
    if (query_start(db, &query, &statement, err))
        return -1;
    int more;
    while ((more = query_step(db, statement, err)) == 1)
        give_row(statement, row, user);
    return more;
}

int db_task_list_open(struct db *db, db_task_row row, void *user, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    if (statement_start(db, "SELECT " COLUMNS " FROM tasks WHERE final=0 ORDER BY number", &statement, err,
                        ""))
        return -1;
    int more;
    while ((more = statement_step(db, statement, err)) == 1)
        give_row(statement, row, user);
    return more;
}

int db_task_prune(struct db *db, const struct db_retention *retention, struct err *err)
{
    return query_prune(db,
                       "DELETE FROM tasks WHERE id IN (SELECT id FROM tasks WHERE final = 1 AND number <="
                       " (SELECT max(number) FROM tasks) - ? ORDER BY number LIMIT ?)",
                       "DELETE FROM tasks WHERE id IN (SELECT id FROM tasks WHERE final = 1 AND ended_ms < ?"
                       " ORDER BY ended_ms LIMIT ?)",
                       retention, err);
}
