/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "store/statement.h"

int db_event_add(struct db *db, const struct db_event *event, uint64_t *ret_id, struct err *err)
{
    if (statement_run(db, "INSERT INTO events (time_ms, kind, subject, document) VALUES (?,?,?,?)", err,
                      "ittt", event->time_ms, event->kind, event->subject, event->document))
        return -1;
    *ret_id = (uint64_t)sqlite3_last_insert_rowid(db_connection(db));
    return statement_run(db, "DELETE FROM events WHERE id <= ?", err, "i", (int64_t)*ret_id - DB_EVENTS_KEPT);
}

int db_event_list(struct db *db, uint64_t since, unsigned limit,
                  void (*row)(const struct db_event *event, void *user), void *user, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    if (statement_start(db,
                        "SELECT id, time_ms, kind, subject, document FROM events WHERE id > ? ORDER BY id"
                        " LIMIT ?",
                        &statement, err, "ii", (int64_t)since, (int64_t)limit))
        return -1;
    int more;
    while ((more = statement_step(db, statement, err)) == 1) {
        struct db_event event = {
            .id = (uint64_t)sqlite3_column_int64(statement, 0),
            .time_ms = sqlite3_column_int64(statement, 1),
            .kind = statement_text(statement, 2),
            .subject = statement_text(statement, 3),
            .document = statement_text(statement, 4),
        };
        row(&event, user);
    }
    return more;
}
