/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "store/statement.h"

int db_enrolment_add(struct db *db, const char *host, const char *hash, int64_t now_ms, struct err *err)
{
    if (db_begin(db, err))
        return -1;
    if (statement_run(db, "DELETE FROM enrolments WHERE host=?", err, "t", host) ||
        statement_run(db, "INSERT INTO enrolments (hash, host, created_ms) VALUES (?,?,?)", err, "tti", hash,
                      host, now_ms) ||
        db_commit(db, err)) {
        db_rollback(db);
        return -1;
    }
    return 0;
}

int db_enrolment_use(struct db *db, const struct db_enrolment *enrolment, int64_t now_ms, struct err *err)
{
    if (db_begin(db, err))
        return -1;
    int used = -1;
    if (!statement_run(db, "UPDATE enrolments SET used_ms=? WHERE host=? AND hash=? AND used_ms=0", err,
                       "itt", now_ms, enrolment->host, enrolment->hash))
        used = sqlite3_changes(db_connection(db)) == 1;
    if (used == 1 && statement_run(db,
                                   "UPDATE hosts SET enrolled=1, certificate=?, previous_certificate=NULL"
                                   " WHERE name=?",
                                   err, "tt", enrolment->certificate, enrolment->host))
        used = -1;
    if (used == 1 && db_commit(db, err))
        used = -1;
    if (used != 1)
        db_rollback(db);
    return used;
}
