-- SPDX-License-Identifier: Apache-2.0
-- The operator's word that a host takes no VM for a while. Not a cache.
ALTER TABLE hosts ADD COLUMN maintenance INTEGER NOT NULL DEFAULT 0;
