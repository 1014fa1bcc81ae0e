/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "store/statement.h"

static int add(struct db *db, const struct db_host *host, struct err *err)
{
    if (statement_run(
            db, "INSERT INTO hosts (name, address, port, enrolled) VALUES (?,?,?,?) ON CONFLICT DO NOTHING",
            err, "ttii", host->name, host->address, (int64_t)host->port, (int64_t)host->enrolled))
        return -1;
    if (sqlite3_changes(db_connection(db)) == 1)
        return 0;
    err_set(err, ERR_REFUSED, "host-exists", "there is a host with the name '%s' already", host->name);
    (void)err_arg(err, "host", "%s", host->name);
    return err_fix(err, "choose another name, or remove that host first");
}

int db_host_add(struct db *db, const char *name, const char *address, uint16_t port, struct err *err)
{
    return add(db, &(struct db_host){.name = name, .address = address, .port = port}, err);
}

int db_host_adopt(struct db *db, const struct db_host *host, struct err *err)
{
    struct db_host row = *host;
    row.enrolled = true;
    if (db_begin(db, err))
        return -1;
    if (add(db, &row, err) || db_host_set_certificates(db, row.name, row.certificate, NULL, err) ||
        db_commit(db, err)) {
        db_rollback(db);
        return -1;
    }
    return 0;
}

int db_host_set_facts(struct db *db, const char *name, const char *facts, int64_t last_seen_ms,
                      struct err *err)
{
    return statement_run(db, "UPDATE hosts SET facts=?, last_seen_ms=? WHERE name=?", err, "tit", facts,
                         last_seen_ms, name);
}

int db_host_set_certificates(struct db *db, const char *name, const char *certificate, const char *previous,
                             struct err *err)
{
    return statement_run(db, "UPDATE hosts SET certificate=?, previous_certificate=? WHERE name=?", err,
                         "ttt", certificate, previous, name);
}

int db_host_set_maintenance(struct db *db, const char *name, bool in_maintenance, struct err *err)
{
    return statement_run(db, "UPDATE hosts SET maintenance=? WHERE name=?", err, "it",
                         (int64_t)in_maintenance, name);
}

int db_host_remove(struct db *db, const char *name, struct err *err)
{
    return statement_run(db, "DELETE FROM hosts WHERE name=?", err, "t", name);
}

int db_host_list(struct db *db, void (*row)(const struct db_host *host, void *user), void *user,
                 struct err *err)
{
    sqlite3_stmt *statement = NULL;
    if (statement_start(db,
                        "SELECT name, address, port, enrolled, facts, last_seen_ms, certificate,"
                        " previous_certificate, maintenance FROM hosts ORDER BY name",
                        &statement, err, ""))
        return -1;
    int more;
    while ((more = statement_step(db, statement, err)) == 1) {
        struct db_host host = {
            .name = statement_text(statement, 0),
            .address = statement_text(statement, 1),
            .port = (uint16_t)sqlite3_column_int(statement, 2),
            .enrolled = sqlite3_column_int(statement, 3) != 0,
            .facts = statement_text(statement, 4),
            .last_seen_ms = sqlite3_column_int64(statement, 5),
            .certificate = statement_text(statement, 6),
            .previous_certificate = statement_text(statement, 7),
            .in_maintenance = sqlite3_column_int(statement, 8) != 0,
        };
        row(&host, user);
    }
    return more;
}
