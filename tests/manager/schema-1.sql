-- SPDX-License-Identifier: Apache-2.0
-- A database as the program wrote it when its schema had version 1 (dumped from one that had two hosts, one of them enrolled, and a token).
BEGIN TRANSACTION;
CREATE TABLE enrolments (
    hash TEXT PRIMARY KEY,
    host TEXT NOT NULL REFERENCES hosts (name) ON DELETE CASCADE,
    created_ms INTEGER NOT NULL,
    used_ms INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
INSERT INTO "enrolments" VALUES('4b044ac84cb5f69cc267ed9bf341bb23741d79257315e456226d864e85bcc4f1','h1',1795734221271,1795734221746);
INSERT INTO "enrolments" VALUES('87de5eb59676c8e0fd6c37e41185e4fd3886f7f93e9bb1c1fd31a839296435ce','h2',1795734221351,0);
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    document TEXT NOT NULL
);
INSERT INTO "events" VALUES(1,1795734221271,'host','h1','{"name":"h1","address":"198.18.1.11","port":8443,"state":"enrolling","facts":null,"last_seen":null}');
INSERT INTO "events" VALUES(2,1795734221345,'host','h2','{"name":"h2","address":"fd00::12","port":9443,"state":"enrolling","facts":null,"last_seen":null}');
INSERT INTO "events" VALUES(3,1795734221761,'host','h1','{"name":"h1","address":"198.18.1.11","port":8443,"state":"disconnected","facts":null,"last_seen":null}');
CREATE TABLE hosts (
    name TEXT PRIMARY KEY,
    address TEXT NOT NULL,
    port INTEGER NOT NULL CHECK (port BETWEEN 1 AND 65535),
    enrolled INTEGER NOT NULL DEFAULT 0,
    facts TEXT,
    last_seen_ms INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
INSERT INTO "hosts" VALUES('h1','198.18.1.11',8443,1,NULL,0);
INSERT INTO "hosts" VALUES('h2','fd00::12',9443,0,NULL,0);
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "meta" VALUES('version','0.1.0');
CREATE TABLE tasks (
    id TEXT PRIMARY KEY,
    number INTEGER NOT NULL UNIQUE,
    client_key TEXT UNIQUE,
    final INTEGER NOT NULL,
    document TEXT NOT NULL,
    internals TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE tokens (
    name TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO "tokens" VALUES('admin','27466cc0c71748545cf2cdeba3dc0a5c314d537c52189494f28b0cdf331e9306',1795734219574);
CREATE TABLE vms (
    uuid TEXT NOT NULL,
    host TEXT NOT NULL REFERENCES hosts (name) ON DELETE CASCADE,
    status TEXT NOT NULL,
    PRIMARY KEY (uuid, host)
) WITHOUT ROWID;
CREATE INDEX tasks_open ON tasks (number) WHERE final = 0;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('events',3);
COMMIT;
PRAGMA user_version = 1;
