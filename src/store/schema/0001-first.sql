-- SPDX-License-Identifier: Apache-2.0
-- Times are milliseconds since 1970 UTC. JSON documents are compact text.
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE hosts (
    name TEXT PRIMARY KEY,
    address TEXT NOT NULL,
    port INTEGER NOT NULL CHECK (port BETWEEN 1 AND 65535),
    enrolled INTEGER NOT NULL DEFAULT 0,
    facts TEXT,
    last_seen_ms INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

-- A cache: the agents' journals are the truth.
CREATE TABLE vms (
    uuid TEXT NOT NULL,
    host TEXT NOT NULL REFERENCES hosts (name) ON DELETE CASCADE,
    status TEXT NOT NULL,
    PRIMARY KEY (uuid, host)
) WITHOUT ROWID;

CREATE TABLE tasks (
    id TEXT PRIMARY KEY,
    number INTEGER NOT NULL UNIQUE,
    client_key TEXT UNIQUE,
    final INTEGER NOT NULL,
    document TEXT NOT NULL,
    internals TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX tasks_open ON tasks (number) WHERE final = 0;

CREATE TABLE tokens (
    name TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE enrolments (
    hash TEXT PRIMARY KEY,
    host TEXT NOT NULL REFERENCES hosts (name) ON DELETE CASCADE,
    created_ms INTEGER NOT NULL,
    used_ms INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    document TEXT NOT NULL
);
