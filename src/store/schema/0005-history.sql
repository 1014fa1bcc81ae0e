-- SPDX-License-Identifier: Apache-2.0
-- An event says by itself what happened, and has columns for what it can be asked by. Severity: 0 info, 1 warning, 2 error.
ALTER TABLE events ADD COLUMN type TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN severity INTEGER NOT NULL DEFAULT 0;
ALTER TABLE events ADD COLUMN user TEXT;
ALTER TABLE events ADD COLUMN vm TEXT;
ALTER TABLE events ADD COLUMN vm_uuid TEXT;
ALTER TABLE events ADD COLUMN host TEXT;
ALTER TABLE events ADD COLUMN destination TEXT;
ALTER TABLE events ADD COLUMN task TEXT;
ALTER TABLE events ADD COLUMN text TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN error TEXT;
ALTER TABLE events ADD COLUMN figures TEXT;
UPDATE events SET document = '{}' WHERE NOT json_valid(document);
-- The task keeps its document; its events need not repeat it.
UPDATE events SET task = subject, user = json_extract(document, '$.user'), vm = json_extract(document, '$.vm'),
    vm_uuid = json_extract(document, '$.vm_uuid'), host = json_extract(document, '$.source'),
    destination = json_extract(document, '$.destination'),
    type = CASE json_extract(document, '$.state') WHEN 'queued' THEN 'VmMigrationRequestedEvent'
        WHEN 'success' THEN 'VmMigratedEvent' WHEN 'error' THEN 'VmFailedMigrateEvent'
        WHEN 'cancelled' THEN 'VmMigrationCancelledEvent' ELSE 'VmMigrationPhaseEvent' END,
    severity = CASE json_extract(document, '$.state') WHEN 'error' THEN 2 WHEN 'cancelled' THEN 1 ELSE 0 END,
    error = CASE json_type(document, '$.error') WHEN 'object' THEN json_extract(document, '$.error') END,
    text = printf('VM ''%s'' from host ''%s'' to host ''%s'': %s, %s', json_extract(document, '$.vm'),
        json_extract(document, '$.source'), json_extract(document, '$.destination'), json_extract(document, '$.state'),
        coalesce(json_extract(document, '$.error.message'), json_extract(document, '$.phase'))),
    document = json_object('state', json_extract(document, '$.state'), 'phase', json_extract(document, '$.phase'))
    WHERE kind = 'task';
UPDATE events SET vm = json_extract(document, '$.spec.name'), vm_uuid = subject, host = json_extract(document, '$.host'),
    type = CASE json_extract(document, '$.state') WHEN 'running' THEN 'VmPoweredOnEvent' WHEN 'off' THEN 'VmPoweredOffEvent'
        WHEN 'starting' THEN 'VmStartingEvent' WHEN 'paused' THEN 'VmPausedEvent' WHEN 'incoming' THEN 'VmShellCreatedEvent'
        WHEN 'gone' THEN 'VmEmigratedEvent' ELSE 'VmDisconnectedEvent' END,
    text = printf('VM ''%s'' is %s on host ''%s''', coalesce(json_extract(document, '$.spec.name'), subject),
        json_extract(document, '$.state'), json_extract(document, '$.host'))
    WHERE kind = 'vm';
UPDATE events SET host = subject,
    type = CASE json_extract(document, '$.state') WHEN 'connected' THEN 'HostConnectedEvent' WHEN 'removed' THEN 'HostRemovedEvent'
        WHEN 'enrolling' THEN 'HostAddedEvent' ELSE 'HostConnectionLostEvent' END,
    text = printf('host ''%s'' is %s', subject, json_extract(document, '$.state'))
    WHERE kind = 'host';
UPDATE events SET type = CASE json_extract(document, '$.state') WHEN 'removed' THEN 'ResourcePoolDestroyedEvent'
        ELSE 'ResourcePoolReconfiguredEvent' END,
    text = printf('pool ''%s'' is %s', subject, coalesce(json_extract(document, '$.state'), 'changed'))
    WHERE kind = 'pool';
UPDATE events SET vm_uuid = subject, vm = json_extract(document, '$.vm'), task = json_extract(document, '$.move'),
    user = json_extract(document, '$.user'),
    host = coalesce(json_extract(document, '$.host'), json_extract(document, '$.owner'), json_extract(document, '$.source')),
    destination = json_extract(document, '$.destination'),
    type = CASE kind WHEN 'audit' THEN 'VmOwnershipSettledEvent' WHEN 'forecast' THEN 'VmMigrationForecastEvent'
        ELSE CASE json_extract(document, '$.action') WHEN 'cancelled' THEN 'OrphanedMigrationCancelledEvent'
            WHEN 'waits' THEN 'OrphanedMigrationWaitsEvent' WHEN 'settled' THEN 'OrphanedMigrationSettledEvent'
            WHEN 'owns' THEN 'VmOwnershipTakenEvent' WHEN 'gave up' THEN 'VmOwnershipGivenUpEvent' ELSE 'VmNotStartedEvent' END END,
    text = printf('VM ''%s'': %s', coalesce(json_extract(document, '$.vm'), subject),
        coalesce(json_extract(document, '$.text'), kind))
    WHERE kind IN ('audit', 'recovery', 'forecast');
CREATE INDEX events_time ON events (time_ms);
CREATE INDEX events_type ON events (type);
CREATE INDEX events_severity ON events (severity);
CREATE INDEX events_user ON events (user) WHERE user IS NOT NULL;
CREATE INDEX events_vm ON events (vm) WHERE vm IS NOT NULL;
CREATE INDEX events_vm_uuid ON events (vm_uuid) WHERE vm_uuid IS NOT NULL;
CREATE INDEX events_host ON events (host) WHERE host IS NOT NULL;
CREATE INDEX events_destination ON events (destination) WHERE destination IS NOT NULL;
CREATE INDEX events_task ON events (task) WHERE task IS NOT NULL;
-- Of a task: what a list is made by. Its timeline is most of it, and no list shows it. What only a restarted manager needs
-- goes with the end of the task.
ALTER TABLE tasks ADD COLUMN timeline TEXT NOT NULL DEFAULT '[]';
ALTER TABLE tasks ADD COLUMN state TEXT NOT NULL DEFAULT '';
ALTER TABLE tasks ADD COLUMN vm TEXT NOT NULL DEFAULT '';
ALTER TABLE tasks ADD COLUMN vm_uuid TEXT NOT NULL DEFAULT '';
ALTER TABLE tasks ADD COLUMN source TEXT NOT NULL DEFAULT '';
ALTER TABLE tasks ADD COLUMN destination TEXT NOT NULL DEFAULT '';
ALTER TABLE tasks ADD COLUMN user TEXT NOT NULL DEFAULT '';
ALTER TABLE tasks ADD COLUMN created_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN ended_ms INTEGER NOT NULL DEFAULT 0;
UPDATE tasks SET timeline = coalesce(json_extract(document, '$.timeline'), '[]'), document = json_remove(document, '$.timeline'),
    state = coalesce(json_extract(document, '$.state'), ''), vm = coalesce(json_extract(document, '$.vm'), ''),
    vm_uuid = coalesce(json_extract(document, '$.vm_uuid'), ''), source = coalesce(json_extract(document, '$.source'), ''),
    destination = coalesce(json_extract(document, '$.destination'), ''), user = coalesce(json_extract(document, '$.user'), ''),
    created_ms = coalesce(strftime('%s', json_extract(document, '$.created')) * 1000
        + substr(json_extract(document, '$.created'), 21, 3), 0),
    ended_ms = coalesce(strftime('%s', json_extract(document, '$.ended')) * 1000
        + substr(json_extract(document, '$.ended'), 21, 3), 0)
    WHERE json_valid(document);
UPDATE tasks SET internals = '{}' WHERE final = 1;
CREATE INDEX tasks_history ON tasks (number, state, vm, vm_uuid, source, destination, user, created_ms);
CREATE INDEX tasks_ended ON tasks (ended_ms) WHERE final = 1;
