-- The names of tables and columns are public: checkers read them. Times are UTC milliseconds by the
-- server's clock; operation ids are 16 bytes.

-- epoch: the name of this life of the data. parent: the epoch before, after a restore. backup: the file
-- is a backup; who opens it next begins a new epoch. ready: when it was last seen to be writable.
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE account (
    user TEXT PRIMARY KEY,
    -- The last change number.
    head INTEGER NOT NULL DEFAULT 0,
    -- The last change number this epoch has in common with its parent.
    branch INTEGER NOT NULL DEFAULT 0,
    -- The highest change number of a tombstone that was forgotten.
    purged INTEGER NOT NULL DEFAULT 0,
    -- The highest version of a tombstone that was forgotten.
    version_floor INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE record (
    user TEXT NOT NULL,
    collection TEXT NOT NULL,
    id TEXT NOT NULL,
    -- JSON text exactly as it came; NULL: a tombstone.
    body TEXT,
    version INTEGER NOT NULL,
    -- The change number of that version; each record has the latest of its own.
    change INTEGER NOT NULL,
    hlc INTEGER NOT NULL,
    -- JSON text exactly as it came; opaque.
    clocks TEXT,
    op BLOB NOT NULL,
    device_id TEXT NOT NULL,
    device_label TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (user, collection, id)
) STRICT;
-- A pull walks over this without touching the rows.
CREATE INDEX record_change ON record (user, change, collection, body IS NULL);
CREATE INDEX record_tombstone ON record (updated_at) WHERE body IS NULL;
-- Finds the record whose current version an operation made.
CREATE INDEX record_op ON record (user, op);

-- Who wrote any version of a record: a first pull brings its tombstone to those alone.
CREATE TABLE writer (
    user TEXT NOT NULL,
    collection TEXT NOT NULL,
    id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    PRIMARY KEY (user, collection, id, device_id)
) STRICT, WITHOUT ROWID;

-- The answers to applied operations.
CREATE TABLE applied (
    user TEXT NOT NULL,
    op BLOB NOT NULL,
    collection TEXT NOT NULL,
    id TEXT NOT NULL,
    -- SHA-256 of what must be the same when the operation id comes again.
    fingerprint BLOB NOT NULL,
    version INTEGER NOT NULL,
    change INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    -- When it was remembered, which decides when it is forgotten.
    at INTEGER NOT NULL,
    PRIMARY KEY (user, op)
) STRICT, WITHOUT ROWID;
CREATE INDEX applied_at ON applied (at);

-- Refresh tokens, by their SHA-256.
CREATE TABLE refresh (
    hash BLOB PRIMARY KEY,
    user TEXT NOT NULL,
    family BLOB NOT NULL,
    -- The token this one was traded for.
    before BLOB,
    -- The token this one was last traded for; it is void if this one is traded again.
    next BLOB,
    -- Whether `next` was used; this one then must not come again.
    spent INTEGER NOT NULL DEFAULT 0,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_family ON refresh (family);
CREATE INDEX refresh_expires ON refresh (expires_at);
