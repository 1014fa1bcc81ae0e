/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "store/query.h"

#include <string.h>

#define COLUMNS                                                                                              \
    "id, time_ms, kind, subject, type, severity, user, vm, vm_uuid, host, destination, task, text, error,"   \
    " figures, document"

int db_event_add(struct db *db, const struct db_event *event, uint64_t *ret_id, struct err *err)
{
    if (statement_run(db,
                      "INSERT INTO events (time_ms, kind, subject, type, severity, user, vm, vm_uuid, host,"
                      " destination, task, text, error, figures, document)"
                      " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                      err, "itttitttttttttt", event->time_ms, event->kind, event->subject, event->type,
                      (int64_t)event->severity, event->user, event->vm, event->vm_uuid, event->host,
                      event->destination, event->task, event->text, event->error, event->figures,
                      event->document))
        return -1;
    *ret_id = (uint64_t)sqlite3_last_insert_rowid(db_connection(db));
    return 0;
}

static bool is_one_of(const char *wanted, const char *one, const char *other)
{
    return !wanted[0] || (one && !strcmp(wanted, one)) || (other && !strcmp(wanted, other));
}

bool db_event_matches(const struct db_event_filter *filter, const struct db_event *event)
{
    return is_one_of(filter->vm, event->vm, event->vm_uuid) &&
           is_one_of(filter->host, event->host, event->destination) &&
           is_one_of(filter->task, event->task, NULL) && is_one_of(filter->type, event->type, NULL) &&
           is_one_of(filter->user, event->user, NULL) && event->severity >= filter->severity &&
           (!filter->since_ms || event->time_ms >= filter->since_ms) &&
           (!filter->until_ms || event->time_ms <= filter->until_ms);
}

/* The same as SQL. */
static void add_conditions(struct query *query, const struct db_event_filter *filter)
{
    query_number(query, " WHERE id > ?", (int64_t)filter->after);
    if (filter->before)
        query_number(query, " AND id < ?", (int64_t)filter->before);
    query_text(query, " AND (vm = ? OR vm_uuid = ?)", 2, filter->vm);
    query_text(query, " AND (host = ? OR destination = ?)", 2, filter->host);
    query_text(query, " AND task = ?", 1, filter->task);
    query_text(query, " AND type = ?", 1, filter->type);
    query_text(query, " AND user = ?", 1, filter->user);
    if (filter->severity)
        query_number(query, " AND severity >= ?", (int64_t)filter->severity);
    if (filter->since_ms)
        query_number(query, " AND time_ms >= ?", filter->since_ms);
    if (filter->until_ms)
        query_number(query, " AND time_ms <= ?", filter->until_ms);
}

static void give_row(sqlite3_stmt *statement, db_event_row row, void *user)
{
    struct db_event event = {
        .id = (uint64_t)sqlite3_column_int64(statement, 0),
        .time_ms = sqlite3_column_int64(statement, 1),
        .kind = statement_text(statement, 2),
        .subject = statement_text(statement, 3),
        .type = statement_text(statement, 4),
        .severity = (unsigned)sqlite3_column_int(statement, 5),
        .user = statement_text(statement, 6),
        .vm = statement_text(statement, 7),
        .vm_uuid = statement_text(statement, 8),
        .host = statement_text(statement, 9),
        .destination = statement_text(statement, 10),
        .task = statement_text(statement, 11),
        .text = statement_text(statement, 12),
        .error = statement_text(statement, 13),
        .figures = statement_text(statement, 14),
        .document = statement_text(statement, 15),
    };
    row(&event, user);
}

int db_event_list(struct db *db, const struct db_event_filter *filter, db_event_row row, void *user,
                  struct err *err)
{
    struct query query = {0};
    sqlite3_stmt *statement = NULL;
    query_add(&query, "SELECT " COLUMNS " FROM (SELECT " COLUMNS " FROM events");
    add_conditions(&query, filter);
    query_add(&query, filter->is_newest ? " ORDER BY id DESC" : " ORDER BY id");
    query_number(&query, " LIMIT ?) ORDER BY id", (int64_t)filter->limit);
    if (query_start(db, &query, &statement, err))
        return -1;
    int more;
    while ((more = query_step(db, statement, err)) == 1)
        give_row(statement, row, user);
    return more;
}

int db_event_prune(struct db *db, const struct db_retention *retention, struct err *err)
{
    if (statement_run(db,
                      "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE id <="
                      " (SELECT max(id) FROM events) - ? ORDER BY id LIMIT ?)",
                      err, "ii", (int64_t)retention->keep, (int64_t)retention->limit))
        return -1;
    int n_removed = sqlite3_changes(db_connection(db));
    if (statement_run(db,
                      "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE time_ms < ?"
                      " ORDER BY time_ms LIMIT ?)",
                      err, "ii", retention->oldest_ms, (int64_t)retention->limit - n_removed))
        return -1;
    return n_removed + sqlite3_changes(db_connection(db));
}
