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
    const char *vm = model_uuid_is_valid(filter->vm) ? event->vm_uuid : event->vm;
    return is_one_of(filter->vm, vm, NULL) && is_one_of(filter->host, event->host, event->destination) &&
           is_one_of(filter->task, event->task, NULL) && is_one_of(filter->type, event->type, NULL) &&
           is_one_of(filter->user, event->user, NULL) && event->severity >= filter->severity &&
           (!filter->since_ms || event->time_ms >= filter->since_ms) &&
           (!filter->until_ms || event->time_ms <= filter->until_ms);
}

/* A time is a bound of ids too: of the smallest that is late enough, and the index of times has it. */
static void add_bounds(struct query *query, const struct db_event_filter *filter)
{
    query_add(query, " WHERE 1");
    if (filter->after)
        query_number(query, " AND id > ?", (int64_t)filter->after);
    if (filter->before)
        query_number(query, " AND id < ?", (int64_t)filter->before);
    if (filter->since_ms) {
        query_number(query,
                     " AND id >= (SELECT min(id) FROM events INDEXED BY events_time WHERE time_ms >= ?)",
                     filter->since_ms);
        query_number(query, " AND +time_ms >= ?", filter->since_ms);
    }
    if (filter->until_ms) {
        query_number(query,
                     " AND id <= (SELECT max(id) FROM events INDEXED BY events_time WHERE time_ms <= ?)",
                     filter->until_ms);
        query_number(query, " AND +time_ms <= ?", filter->until_ms);
    }
}

/*
 * db_event_matches as SQL. The table is large, and the thread that reads it has other things to do: the
 * condition that leaves the fewest rows is the one whose index is used, and a '+' keeps the others out of the
 * choice. What an index holds comes in the order of ids, so that the search ends with the page. True if a
 * host is what is left to search by.
 */
static bool add_conditions(struct query *query, const struct db_event_filter *filter)
{
    bool is_uuid = model_uuid_is_valid(filter->vm);
    const struct {
        const char *indexed, *other;
        const char *value;
    } conditions[] = {
        {" AND type = ?", " AND +type = ?", filter->type},
        {is_uuid ? " AND vm_uuid = ?" : " AND vm = ?", is_uuid ? " AND +vm_uuid = ?" : " AND +vm = ?",
         filter->vm},
        {" AND user = ?", " AND +user = ?", filter->user},
    };
    bool has_index = filter->task[0] || filter->severity;
    query_text(query, " AND task = ?", 1, filter->task);
    if (filter->severity)
        query_number(query, filter->task[0] ? " AND +severity >= ?" : " AND severity BETWEEN ? AND 2",
                     (int64_t)filter->severity);
    for (unsigned i = 0; i < sizeof conditions / sizeof conditions[0]; i++) {
        query_text(query, has_index ? conditions[i].other : conditions[i].indexed, 1, conditions[i].value);
        has_index = has_index || conditions[i].value[0];
    }
    if (has_index)
        query_text(query, " AND (+host = ? OR +destination = ?)", 2, filter->host);
    return !has_index && filter->host[0];
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
    query_add(&query, "SELECT " COLUMNS " FROM events WHERE id IN (SELECT id FROM events");
    add_bounds(&query, filter);
    if (add_conditions(&query, filter)) {
        query_text(&query, " AND host = ? UNION SELECT id FROM events", 1, filter->host);
        add_bounds(&query, filter);
        query_text(&query, " AND destination = ?", 1, filter->host);
    }
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
    return query_prune(db,
                       "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE id <="
                       " (SELECT max(id) FROM events) - ? ORDER BY id LIMIT ?)",
                       "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE time_ms < ?"
                       " ORDER BY time_ms LIMIT ?)",
                       retention, err);
}
