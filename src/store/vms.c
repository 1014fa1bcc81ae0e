/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "store/statement.h"

int db_vm_put(struct db *db, const struct db_vm *vm, struct err *err)
{
    return statement_run(db,
                         "INSERT INTO vms VALUES (?,?,?) ON CONFLICT DO UPDATE SET status=excluded.status",
                         err, "ttt", vm->uuid, vm->host, vm->status);
}

int db_vm_remove(struct db *db, const char *uuid, const char *host, struct err *err)
{
    return statement_run(db, "DELETE FROM vms WHERE uuid=? AND host=?", err, "tt", uuid, host);
}

int db_vm_list(struct db *db, void (*row)(const struct db_vm *vm, void *user), void *user, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    if (statement_start(db, "SELECT uuid, host, status FROM vms ORDER BY uuid, host", &statement, err, ""))
        return -1;
    int more;
    while ((more = statement_step(db, statement, err)) == 1) {
        struct db_vm vm = {statement_text(statement, 0), statement_text(statement, 1),
                           statement_text(statement, 2)};
        row(&vm, user);
    }
    return more;
}
