-- SPDX-License-Identifier: Apache-2.0
-- Which pool a VM is in stands in the VM's own file on its host.
CREATE TABLE pools (
    path TEXT PRIMARY KEY,
    spec TEXT NOT NULL
) WITHOUT ROWID;
