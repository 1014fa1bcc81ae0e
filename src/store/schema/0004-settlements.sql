-- SPDX-License-Identifier: Apache-2.0
-- What the operator decided by hand about the owner of a VM, until every host has heard of it. Not a cache.
CREATE TABLE settlements (
    uuid TEXT PRIMARY KEY,
    document TEXT NOT NULL
) WITHOUT ROWID;
