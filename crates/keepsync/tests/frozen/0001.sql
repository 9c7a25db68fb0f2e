-- Schema 1. Frozen once released: later changes are later files.

-- What holds for the whole file.
--   account      the account the file belongs to            written once, on creation
--   device_id    the installation that wrote last            on opening
--   epoch        life of the server's data                   with a page or an answer
--   journal_bytes   bytes of bodies in the journal           whenever that changes
--   restored     1: not everything was pulled since it began  with a page that tells of a new epoch
--   hlc          latest hybrid clock seen                    whenever an entry leaves the queue
--   tick, tick_wall   monotone clock and its wall time       whenever a time on it is stored
--   throttled_until   tick before which nothing is sent      with a "not so fast"
--   synced_at    end of the last whole drain, UTC ms         at the end of a pass
CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value ANY NOT NULL
) STRICT, WITHOUT ROWID;

-- One document each: what the app sees, and what the server last confirmed.
CREATE TABLE record (
  rid         INTEGER PRIMARY KEY,
  collection  TEXT NOT NULL,
  id          TEXT NOT NULL,
  parent_id   TEXT,                        -- fixed when the record is made
  body        TEXT,                        -- visible; NULL: deleted
  hlc         INTEGER NOT NULL,            -- of the visible body
  device_id   TEXT NOT NULL,               -- that wrote the visible body
  clocks      TEXT,                        -- of its units, where they are not hlc and device_id
  base        INTEGER NOT NULL,            -- 0 never confirmed, 1 the visible body, 2 base_body, 3 deleted
  base_body   TEXT,                        -- only for base = 2
  base_hlc    INTEGER,                     -- only for base > 1
  base_device TEXT,                        -- only for base > 1
  base_clocks TEXT,                        -- only for base > 1
  base_at     INTEGER,                     -- only for base > 1: UTC ms by the server's clock
  version     INTEGER NOT NULL DEFAULT 0,  -- of the base; 0 never confirmed
  base_id     BLOB,                        -- operation that made that version, where known
  state       INTEGER NOT NULL,            -- 0 synced, 1 pending, 2 in conflict, 3 parked: the worst of its entries
  server_id   TEXT,
  created_by  TEXT,                        -- device that made the record; NULL: it was not told
  created_at  INTEGER NOT NULL,            -- UTC ms
  updated_at  INTEGER NOT NULL,            -- UTC ms, of the visible body
  synced_at   INTEGER,                     -- UTC ms, when the base was last confirmed
  seen        INTEGER NOT NULL DEFAULT -1  -- generation of the pull that last saw it; -1: none did
) STRICT;
CREATE UNIQUE INDEX record_key ON record (collection, id);
CREATE INDEX record_gone ON record (synced_at) WHERE body IS NULL;
CREATE INDEX record_parent ON record (parent_id) WHERE parent_id IS NOT NULL;

-- The queue: one row per unsent write, in the order of seq.
CREATE TABLE entry (
  seq            INTEGER PRIMARY KEY AUTOINCREMENT,
  op             BLOB NOT NULL,            -- operation id: the same on every attempt of this content
  replaces       BLOB,                     -- operation id that was refused and whose place this takes
  earlier        BLOB,                     -- operation ids of this content that earlier epochs may have applied
  collection     TEXT NOT NULL,
  id             TEXT NOT NULL,
  lane           TEXT NOT NULL,            -- the parent's id, or its own
  kind           TEXT NOT NULL,            -- create, update, delete, complete, skip; others belong to a newer app
  body           TEXT,                     -- whole; NULL for a delete
  base_version   INTEGER NOT NULL,         -- version it was made on; 0 none
  base           INTEGER NOT NULL,         -- frozen base: 0 none, 1 the record's base, 2 base_body, 3 deleted
  base_body      TEXT,
  base_op        BLOB,                     -- went out chained on this operation
  base_id        BLOB,                     -- operation that made base_version, where known
  hlc            INTEGER NOT NULL,
  clocks         TEXT,                     -- of units, where they are not hlc and this device
  priority       INTEGER NOT NULL,
  maybe_sent     INTEGER NOT NULL,         -- 1 once its first byte may have left; see flight
  attempts       INTEGER NOT NULL,
  next_tick      INTEGER NOT NULL,         -- not before this tick
  state          INTEGER NOT NULL,         -- 0 waiting, 1 held, 2 in conflict, 3 parked
  reason_code    TEXT,
  reason_message TEXT,
  created_at     INTEGER NOT NULL,         -- UTC ms
  rollback       INTEGER NOT NULL DEFAULT 0  -- once answered: -1 it is rolled back, n > 0 with what depends on it up to seq n
) STRICT;
-- Entries whose first byte may have left since their row was last written: a batch on its way is one page
-- here, and twenty there. Entered before the first byte, moved into those rows with the answer.
CREATE TABLE flight (
  seq     INTEGER PRIMARY KEY,             -- of the entry, whose maybe_sent this is
  base_op BLOB                             -- and whose base_op this is
) STRICT;
CREATE INDEX entry_lane ON entry (lane, id);
CREATE INDEX entry_later ON entry (next_tick) WHERE next_tick > 0;

-- Acknowledged operations, for a server that is restored from a backup. Bounded.
CREATE TABLE journal (
  n            INTEGER PRIMARY KEY,
  op           BLOB NOT NULL,
  replaces     BLOB,
  earlier      BLOB,
  collection   TEXT NOT NULL,
  id           TEXT NOT NULL,
  lane         TEXT NOT NULL,
  kind         TEXT NOT NULL,
  body         TEXT,
  base_version INTEGER NOT NULL,
  base_op      BLOB,
  base_id      BLOB,                       -- operation that made base_version, where known
  hlc          INTEGER NOT NULL,
  clocks       TEXT,
  created_at   INTEGER NOT NULL,
  version      INTEGER NOT NULL,           -- it produced
  change       INTEGER NOT NULL,           -- it was committed under
  epoch        TEXT NOT NULL,
  acked_at     INTEGER NOT NULL            -- UTC ms
) STRICT;

-- How operations ended that are not in the journal. As many as the journal may have.
CREATE TABLE outcome (
  n       INTEGER PRIMARY KEY,
  op      BLOB NOT NULL,
  kind    TEXT NOT NULL,                   -- superseded, in_effect, lost, discarded, rolled_back
  next    BLOB,                            -- superseded: the operation its content went into
  version INTEGER NOT NULL,                -- in_effect, lost: the server's version that stands; else 0
  at      INTEGER NOT NULL                 -- UTC ms
) STRICT;
CREATE INDEX outcome_op ON outcome (op);

-- Versions that lost, and unsent writes that were thrown away. Bounded.
CREATE TABLE history (
  n          INTEGER PRIMARY KEY,
  collection TEXT NOT NULL,
  id         TEXT NOT NULL,
  body       TEXT,                         -- NULL: a deletion
  version    INTEGER NOT NULL,             -- 0: never confirmed
  hlc        INTEGER NOT NULL,
  device_id  TEXT NOT NULL,
  reason     TEXT NOT NULL,
  at         INTEGER NOT NULL              -- UTC ms
) STRICT;
CREATE INDEX history_key ON history (collection, id);

-- What people call the devices whose versions were seen. This device's own label is a setting.
CREATE TABLE device (
  device_id TEXT PRIMARY KEY,
  label     TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Conflicts the user has to settle: one row per record. Rows of one root are one conflict.
CREATE TABLE conflict (
  n              INTEGER PRIMARY KEY,
  collection     TEXT NOT NULL,
  id             TEXT NOT NULL,
  root_collection TEXT NOT NULL,           -- whose conflict it is: its own, or that of its parent under `ask`
  root_id        TEXT NOT NULL,
  joined         INTEGER NOT NULL,         -- 1: only this device changed it; it takes part because others of the root differ
  turn           INTEGER NOT NULL,         -- grows with each change that remote_version does not tell
  base_body      TEXT,
  local_body     TEXT,
  local_hlc      INTEGER NOT NULL,
  local_at       INTEGER NOT NULL,
  remote_body    TEXT,
  remote_version INTEGER NOT NULL,
  remote_op      BLOB,                     -- operation that made it, where known
  remote_hlc     INTEGER NOT NULL,
  remote_device  TEXT NOT NULL,
  remote_label   TEXT,
  remote_at      INTEGER NOT NULL,
  opened_at      INTEGER NOT NULL,
  resolver       TEXT,                     -- the app's, that is to decide; NULL: the user
  UNIQUE (collection, id)
) STRICT;

-- What the user should be told, until the app dismisses it. Bounded.
CREATE TABLE notice (
  n          INTEGER PRIMARY KEY AUTOINCREMENT,
  kind       TEXT NOT NULL,
  collection TEXT NOT NULL,
  id         TEXT NOT NULL,                -- '' where it is about the whole collection
  device_id  TEXT NOT NULL,                -- that caused it; '' where none did
  times      INTEGER NOT NULL,             -- how often it happened since it was dismissed
  at         INTEGER NOT NULL,             -- UTC ms, the last time
  UNIQUE (kind, collection, id)
) STRICT;

-- Sessions in progress. A row goes when its session ends.
CREATE TABLE session (
  collection TEXT NOT NULL,
  id         TEXT NOT NULL,
  children   TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  scratch    TEXT,
  PRIMARY KEY (collection, id)
) STRICT, WITHOUT ROWID;

-- How far each collection has been pulled.
CREATE TABLE pull (
  collection TEXT PRIMARY KEY,
  cursor     TEXT,                         -- NULL: from the start
  generation INTEGER NOT NULL,             -- grows whenever the pull starts over; 0 the first
  complete   INTEGER NOT NULL,             -- 1: the head was reached in this generation
  first_done INTEGER NOT NULL,             -- 1: the head was reached once
  waived     INTEGER NOT NULL DEFAULT 0,   -- 1: the user went on without it
  pulled     INTEGER NOT NULL DEFAULT 0,   -- changes that came in this generation, until it was complete
  remaining  INTEGER                       -- changes still to come, where the backend tells
) STRICT, WITHOUT ROWID;

CREATE TABLE kv (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT;

CREATE TABLE counter (
  name  TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The last sync events, without record contents. Bounded.
CREATE TABLE event (
  n      INTEGER PRIMARY KEY,
  at     INTEGER NOT NULL,
  event  TEXT NOT NULL,
  fields TEXT NOT NULL
) STRICT;

PRAGMA application_id = 1263756406;
PRAGMA user_version = 1;

-- Rows as the first release wrote them: a lifter in the middle of a planned session, with one workout
-- whose answer never came and one that the server refused and another device changed.
INSERT INTO meta (key, value) VALUES
  ('account', 'lifter@example.org'),
  ('device_id', '0193487a-1c00-7a2b-8c3d-4e5f60718293'),
  ('epoch', '2025-11-01'),
  ('hlc', 115579604172800002),
  ('tick', 7205000),
  ('tick_wall', 1763604700000),
  ('throttled_until', 0),
  ('synced_at', 1763604000000);

INSERT INTO record (rid, collection, id, parent_id, body, hlc, device_id, base, base_body, base_hlc, base_device, version, state,
                    server_id, created_at, updated_at, synced_at, seen, base_at, created_by) VALUES
  (1, 'exercise', 'bench-press-barbell', NULL, '{"name":"Bench Press (Barbell)","muscle":"chest"}', 115579500000000000, 'server',
   1, NULL, NULL, NULL, 4, 0, '17', 1760000000000, 1760000000000, 1763600000000, 1, NULL, NULL),
  (2, 'workout', '0193487a-2000-7000-8000-000000000001', NULL,
   '{"date":"2025-11-18","name":"Mittwoch","notes":"Schulter zwickt"}', 115579604172800000, '0193487a-1c00-7a2b-8c3d-4e5f60718293',
   2, '{"date":"2025-11-18","name":"Mittwoch"}', 115579510000000000, '0193487a-1c00-7a2b-8c3d-4e5f60718293', 3, 3, '901',
   1763420000000, 1763604300000, 1763500000000, 1, 1763500000000, '0193487a-1c00-7a2b-8c3d-4e5f60718293'),
  (3, 'workout', '0193487a-2000-7000-8000-000000000002', NULL, '{"date":"2025-11-19","name":"Freitag"}', 115579604172800001,
   '0193487a-1c00-7a2b-8c3d-4e5f60718293', 0, NULL, NULL, NULL, 0, 1, NULL, 1763604400000, 1763604400000, NULL, 0, NULL,
   '0193487a-1c00-7a2b-8c3d-4e5f60718293'),
  (4, 'plan', '0193487a-2000-7000-8000-000000000003', NULL,
   '{"name":"Oberkörper","state":"active","started_at":"2025-11-20T02:10:00.000Z"}', 115579520000000000,
   '0193487a-1c00-7a2b-8c3d-4e5f60718293', 1, NULL, NULL, NULL, 2, 0, '902', 1763604600000, 1763604600000, 1763604610000, 0, NULL,
   '0193487a-1c00-7a2b-8c3d-4e5f60718293'),
  (5, 'plan_set', '7c3f1f0e-6a57-5d0b-9d5e-3c1f5b0e9a11', '0193487a-2000-7000-8000-000000000003',
   '{"plan_id":"0193487a-2000-7000-8000-000000000003","slot":"bench/1","weight":82.5,"reps":8}', 115579604172800002,
   '0193487a-1c00-7a2b-8c3d-4e5f60718293', 0, NULL, NULL, NULL, 0, 1, NULL, 1763604650000, 1763604650000, NULL, 0, NULL,
   '0193487a-1c00-7a2b-8c3d-4e5f60718293'),
  (6, 'draft', 'next-week', NULL, '{"text":"Deload"}', 115579530000000000, '0193487a-1c00-7a2b-8c3d-4e5f60718293',
   1, NULL, NULL, NULL, 0, 0, NULL, 1763604100000, 1763604100000, NULL, 0, NULL,
   '0193487a-1c00-7a2b-8c3d-4e5f60718293');

INSERT INTO entry (seq, op, replaces, collection, id, lane, kind, body, base_version, base, base_body, base_op, hlc, priority,
                   maybe_sent, attempts, next_tick, state, reason_code, reason_message, created_at) VALUES
  (7, x'0193487a3000700080000000000000a1', x'0193487a3000700080000000000000a0', 'workout', '0193487a-2000-7000-8000-000000000001',
   '0193487a-2000-7000-8000-000000000001', 'update', '{"date":"2025-11-18","name":"Mittwoch","notes":"Schulter zwickt"}', 3, 1,
   NULL, NULL, 115579604172800000, 10, 1, 1, 0, 3, 'validation', 'notes: not allowed', 1763604300000),
  (8, x'0193487a3000700080000000000000a2', NULL, 'workout', '0193487a-2000-7000-8000-000000000002',
   '0193487a-2000-7000-8000-000000000002', 'create', '{"date":"2025-11-19","name":"Freitag"}', 0, 1, NULL, NULL,
   115579604172800001, 10, 1, 2, 7265000, 0, 'retrying', 'the server could not take it yet', 1763604400000),
  (9, x'0193487a3000700080000000000000a3', NULL, 'plan_set', '7c3f1f0e-6a57-5d0b-9d5e-3c1f5b0e9a11',
   '0193487a-2000-7000-8000-000000000003', 'create',
   '{"plan_id":"0193487a-2000-7000-8000-000000000003","slot":"bench/1","weight":82.5,"reps":8}', 0, 1, NULL, NULL,
   115579604172800002, 0, 0, 0, 0, 1, NULL, NULL, 1763604650000);

INSERT INTO journal (n, op, replaces, collection, id, lane, kind, body, base_version, base_op, hlc, created_at, version, change, epoch,
                     acked_at) VALUES
  (3, x'0193487a3000700080000000000000a4', NULL, 'plan', '0193487a-2000-7000-8000-000000000003',
   '0193487a-2000-7000-8000-000000000003', 'create', '{"name":"Oberkörper"}', 0, NULL, 115579520000000000, 1763604600000, 2, 311,
   '2025-11-01', 1763604610000);

INSERT INTO outcome (n, op, kind, next, version, at) VALUES
  (1, x'0193487a3000700080000000000000a0', 'superseded', x'0193487a3000700080000000000000a1', 0, 1763604300000);

UPDATE entry SET rollback = -1 WHERE seq = 8;

INSERT INTO history (n, collection, id, body, version, hlc, device_id, reason, at) VALUES
  (1, 'workout', '0193487a-2000-7000-8000-000000000001', '{"date":"2025-11-18","name":"Mi"}', 2, 115579505000000000,
   '0193487a-0000-7000-8000-00000000beef', 'lost_to_device', 1763500000000);

INSERT INTO flight (seq, base_op) VALUES (99, x'0193487a3000700080000000000000a2');

INSERT INTO notice (n, kind, collection, id, device_id, times, at) VALUES
  (1, 'definitions_changed', 'exercise', '', '', 2, 1731999000000);

INSERT INTO device (device_id, label) VALUES ('0193487a-0000-7000-8000-00000000beef', 'Tablet');

INSERT INTO conflict (n, collection, id, root_collection, root_id, joined, turn, base_body, local_body, local_hlc, local_at,
                      remote_body, remote_version, remote_hlc, remote_device, remote_label, remote_at, opened_at) VALUES
  (1, 'workout', '0193487a-2000-7000-8000-000000000001', 'workout', '0193487a-2000-7000-8000-000000000001', 0, 0,
   '{"date":"2025-11-18","name":"Mittwoch"}',
   '{"date":"2025-11-18","name":"Mittwoch","notes":"Schulter zwickt"}', 115579604172800000, 1763604300000,
   '{"date":"2025-11-18","name":"Mittwoch","notes":"lief gut"}', 3, 115579510000000000, '0193487a-0000-7000-8000-00000000beef',
   'Tablet', 1763500000000, 1763604310000);

INSERT INTO session (collection, id, children, started_at, scratch) VALUES
  ('plan', '0193487a-2000-7000-8000-000000000003', 'plan_set', 1763604600000, '{"rest":90,"typed":"82,"}');

INSERT INTO pull (collection, cursor, generation, complete, first_done, waived, pulled, remaining) VALUES
  ('exercise', '288', 1, 1, 1, 0, 873, 0),
  ('workout', '311', 1, 1, 1, 0, 41, 0),
  ('plan', '311<120', 1, 0, 0, 1, 12, 30);

INSERT INTO kv (key, value) VALUES ('theme', '"dark"'), ('last-screen', '{"tab":"log"}');

INSERT INTO counter (name, value) VALUES ('syncs', 12), ('items_sent', 31), ('parked', 1);

INSERT INTO event (n, at, event, fields) VALUES
  (41, 1763604000000, 'sync_attempt', '{"device_id":"0193487a-1c00-7a2b-8c3d-4e5f60718293","items_count":2}'),
  (42, 1763604000000, 'sync_success', '{"duration_ms":180,"items_pulled":0,"items_synced":1}');

UPDATE record SET base_id = x'0193487a3000700080000000000000b1' WHERE id = '0193487a-2000-7000-8000-000000000001';
UPDATE entry SET base_id = x'0193487a3000700080000000000000b1', earlier = x'0193487a3000700080000000000000a0' WHERE seq = 7;
UPDATE journal SET base_id = x'0193487a3000700080000000000000b2', earlier = x'0193487a3000700080000000000000a9' WHERE n = 3;
UPDATE conflict SET remote_op = x'0193487a3000700080000000000000b1' WHERE n = 1;
-- Units that one write did not change, in every place that keeps their clocks.
UPDATE record SET clocks = '{"":["1763500000000-0","0193487a-0000-7000-8000-00000000beef"]}',
  base_clocks = '{"":["1763400000000-0","0193487a-1c00-7a2b-8c3d-4e5f60718293"]}' WHERE rid = 2;
UPDATE entry SET clocks = '{"":["1763500000000-0","0193487a-0000-7000-8000-00000000beef"]}' WHERE seq = 7;
UPDATE journal SET clocks = '{"":["1763400000000-0","0193487a-1c00-7a2b-8c3d-4e5f60718293"]}' WHERE n = 3;
