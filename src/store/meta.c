/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "store/statement.h"

int db_meta_set(struct db *db, const char *key, const char *value, struct err *err)
{
    return statement_run(db, "INSERT INTO meta VALUES (?,?) ON CONFLICT DO UPDATE SET value=excluded.value",
                         err, "tt", key, value);
}
