//! The yardstick: what an expert would write by hand with plain rusqlite, and no more.
//!
//! One table of documents, one queue, each write one transaction, the same durability, statements
//! prepared once. It does not check bodies, know sessions, fold, keep bases or clocks. Documents
//! are JSON with an expression index on the field that pages are ordered by, as ours are.

use crate::Outcome;
use rusqlite::{Connection, OptionalExtension, params};
use std::{
    path::Path,
    sync::LazyLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use uuid::Uuid;

const SCHEMA: &str = "
    CREATE TABLE record (
      id         TEXT PRIMARY KEY,
      collection TEXT NOT NULL,
      session_id TEXT,
      body       TEXT NOT NULL,
      version    INTEGER NOT NULL,
      state      INTEGER NOT NULL,
      created_at INTEGER NOT NULL,
      updated_at INTEGER NOT NULL,
      synced_at  INTEGER,
      device_id  TEXT,
      server_id  TEXT
    ) STRICT;
    CREATE INDEX record_session ON record (session_id);
    CREATE TABLE queue (
      seq        INTEGER PRIMARY KEY AUTOINCREMENT,
      op         BLOB NOT NULL,
      record     TEXT NOT NULL,
      kind       TEXT NOT NULL,
      body       TEXT,
      created_at INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX queue_record ON queue (record);
    CREATE TABLE cursor (collection TEXT PRIMARY KEY, position TEXT NOT NULL) STRICT, WITHOUT ROWID;";

/// For pages by date. Not there where sets are logged: ours has no such index there either.
const BY_DATE_INDEX: &str =
    "CREATE INDEX record_date ON record (json_extract(body, '$.date'), id) WHERE collection = 'set_log'";

const BY_DATE_FIRST: &str = "collection = 'set_log' ORDER BY json_extract(body, '$.date'), id LIMIT 50";
const BY_DATE_FROM: &str = "collection = 'set_log' AND json_extract(body, '$.date') >= ?1
    ORDER BY json_extract(body, '$.date'), id LIMIT 50";

/// What an app is told of a document: what [`keepsync::record::Record`] tells.
#[expect(dead_code, reason = "read as an app reads them, not looked at")]
pub(crate) struct Document {
    pub(crate) id: String,
    pub(crate) body: String,
    session_id: Option<String>,
    version: i64,
    state: i64,
    created_at: i64,
    updated_at: i64,
    synced_at: Option<i64>,
    device_id: Option<String>,
    server_id: Option<String>,
}

const COLUMNS: &str = "id, body, session_id, version, state, created_at, updated_at, synced_at, device_id, server_id";

/// A row of a pull.
pub(crate) struct Pulled<'a> {
    pub(crate) id: &'a str,
    pub(crate) session: &'a str,
    pub(crate) body: &'a str,
    pub(crate) version: i64,
    pub(crate) at: i64,
    pub(crate) device: &'a str,
}

/// A row of the queue.
pub(crate) struct Queued {
    pub(crate) seq: i64,
    pub(crate) op: Uuid,
    pub(crate) collection: String,
    pub(crate) record: String,
    pub(crate) kind: String,
    pub(crate) body: String,
    pub(crate) created_at: i64,
}

/// A row of the queue that the server took.
pub(crate) struct Taken {
    pub(crate) seq: i64,
    pub(crate) record: String,
    pub(crate) version: i64,
}

pub(crate) struct Yardstick(Connection);

impl Yardstick {
    /// A new file.
    pub(crate) fn create(path: &Path, by_date: bool) -> Outcome<Self> {
        let yardstick = Self::open(path)?;
        yardstick.0.execute_batch(SCHEMA)?;
        if by_date {
            yardstick.0.execute_batch(BY_DATE_INDEX)?;
        }
        Ok(yardstick)
    }

    pub(crate) fn open(path: &Path) -> Outcome<Self> {
        let conn = Connection::open(path)?;
        conn.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")?;
        Ok(Self(conn))
    }

    fn begin(&self) -> Outcome<()> {
        self.0.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(())
    }

    fn commit(&self) -> Outcome<()> {
        self.0.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    /// Both tables, one transaction, one fsync.
    pub(crate) fn log_set(&self, session: &str, id: &str, body: &str) -> Outcome<()> {
        self.begin()?;
        self.upsert_and_enqueue(session, id, body)?;
        self.commit()
    }

    /// Many sets in one transaction, to fill a file.
    pub(crate) fn log_many<'a>(&self, sets: impl Iterator<Item = (&'a str, String, String)>) -> Outcome<()> {
        self.begin()?;
        for (session, id, body) in sets {
            self.upsert_and_enqueue(session, &id, &body)?;
        }
        self.commit()
    }

    fn upsert_and_enqueue(&self, session: &str, id: &str, body: &str) -> Outcome<()> {
        let now = now_ms();
        self.0
            .prepare_cached(
                "INSERT INTO record (id, collection, session_id, body, version, state, created_at, updated_at)
                 VALUES (?1, 'set_log', ?2, ?3, 0, 1, ?4, ?4)
                 ON CONFLICT (id) DO UPDATE SET body = excluded.body, state = 1, updated_at = excluded.updated_at",
            )?
            .execute(params![id, session, body, now])?;
        self.0
            .prepare_cached("INSERT INTO queue (op, record, kind, body, created_at) VALUES (?1, ?2, 'upsert', ?3, ?4)")?
            .execute(params![operation_id(now)?, id, body, now])?;
        Ok(())
    }

    /// A change of a session itself, as `log_set` is one of a set.
    pub(crate) fn enqueue_session(&self, session: &str, body: &str, kind: &str) -> Outcome<()> {
        let now = now_ms();
        self.begin()?;
        self.0
            .prepare_cached(
                "INSERT INTO record (id, collection, body, version, state, created_at, updated_at)
                 VALUES (?1, 'workout', ?2, 0, 1, ?3, ?3)
                 ON CONFLICT (id) DO UPDATE SET body = excluded.body, state = 1, updated_at = excluded.updated_at",
            )?
            .execute(params![session, body, now])?;
        self.0
            .prepare_cached("INSERT INTO queue (op, record, kind, body, created_at) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![operation_id(now)?, session, kind, body, now])?;
        self.commit()
    }

    /// The oldest of the queue.
    pub(crate) fn queued(&self, count: usize) -> Outcome<Vec<Queued>> {
        let mut statement = self
            .0
            .prepare_cached("SELECT seq, op, record, kind, body, created_at FROM queue ORDER BY seq LIMIT ?1")?;
        let rows = statement.query_map([count as i64], |row| {
            let kind: String = row.get(3)?;
            Ok(Queued {
                seq: row.get(0)?,
                op: Uuid::from_bytes(row.get(1)?),
                collection: if kind == "upsert" { "set_log" } else { "workout" }.to_owned(),
                record: row.get(2)?,
                kind,
                body: row.get(4)?,
                created_at: row.get(5)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// They have arrived. `marked`: the documents are told so too; without it they stay unsent in the
    /// app's eyes, and a pull leaves them alone for ever.
    pub(crate) fn arrived(&self, taken: &[Taken], marked: bool) -> Outcome<()> {
        self.begin()?;
        {
            let mut delete = self.0.prepare_cached("DELETE FROM queue WHERE seq = ?1")?;
            let mut mark = self
                .0
                .prepare_cached("UPDATE record SET version = ?2, state = 0, synced_at = ?3 WHERE id = ?1")?;
            let now = now_ms();
            for taken in taken {
                delete.execute([taken.seq])?;
                if marked {
                    mark.execute(params![taken.record, taken.version, now])?;
                }
            }
        }
        self.commit()
    }

    /// One page of a pull, with its cursor. Rows with unsent changes are left alone.
    pub(crate) fn apply<'a>(&self, rows: impl Iterator<Item = Pulled<'a>>, position: &str) -> Outcome<()> {
        self.0.execute_batch("PRAGMA synchronous=NORMAL")?;
        self.begin()?;
        {
            let mut upsert = self.0.prepare_cached(
                "INSERT INTO record (id, collection, session_id, body, version, state, created_at, updated_at,
                   synced_at, device_id)
                 VALUES (?1, 'set_log', ?2, ?3, ?4, 0, ?5, ?5, ?6, ?7)
                 ON CONFLICT (id) DO UPDATE SET body = excluded.body, version = excluded.version,
                   updated_at = excluded.updated_at, synced_at = excluded.synced_at, device_id = excluded.device_id
                 WHERE state = 0 AND excluded.version > version",
            )?;
            let now = now_ms();
            for row in rows {
                upsert.execute(params![
                    row.id,
                    row.session,
                    row.body,
                    row.version,
                    row.at,
                    now,
                    row.device
                ])?;
            }
        }
        self.0
            .prepare_cached(
                "INSERT INTO cursor VALUES ('set_log', ?1) ON CONFLICT DO UPDATE SET position = excluded.position",
            )?
            .execute([position])?;
        self.commit()?;
        self.0.execute_batch("PRAGMA synchronous=FULL")?;
        Ok(())
    }

    pub(crate) fn get(&self, id: &str) -> Outcome<Option<Document>> {
        static SQL: LazyLock<String> = LazyLock::new(|| format!("SELECT {COLUMNS} FROM record WHERE id = ?1"));
        let mut statement = self.0.prepare_cached(&SQL)?;
        Ok(statement.query_row([id], document).optional()?)
    }

    /// Fifty by date, from a date on if one is given.
    pub(crate) fn page(&self, from: Option<&str>) -> Outcome<Vec<Document>> {
        static FIRST: LazyLock<String> =
            LazyLock::new(|| format!("SELECT {COLUMNS} FROM record WHERE {BY_DATE_FIRST}"));
        static FROM: LazyLock<String> = LazyLock::new(|| format!("SELECT {COLUMNS} FROM record WHERE {BY_DATE_FROM}"));
        self.fifty((&FIRST, &FROM), from, document)
    }

    /// The same, with nothing told but id and body.
    pub(crate) fn bare_page(&self, from: Option<&str>) -> Outcome<Vec<(String, String)>> {
        static FIRST: LazyLock<String> = LazyLock::new(|| format!("SELECT id, body FROM record WHERE {BY_DATE_FIRST}"));
        static FROM: LazyLock<String> = LazyLock::new(|| format!("SELECT id, body FROM record WHERE {BY_DATE_FROM}"));
        self.fifty((&FIRST, &FROM), from, |row| Ok((row.get(0)?, row.get(1)?)))
    }

    fn fifty<T>(
        &self,
        (first, after): (&str, &str),
        from: Option<&str>,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Outcome<Vec<T>> {
        let mut statement = self.0.prepare_cached(if from.is_some() { after } else { first })?;
        let rows = statement.query_map(rusqlite::params_from_iter(from), read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many rows a table has.
    pub(crate) fn count(&self, table: &str) -> Outcome<i64> {
        Ok(self
            .0
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?)
    }
}

fn document(row: &rusqlite::Row<'_>) -> rusqlite::Result<Document> {
    Ok(Document {
        id: row.get(0)?,
        body: row.get(1)?,
        session_id: row.get(2)?,
        version: row.get(3)?,
        state: row.get(4)?,
        created_at: row.get(5)?,
        updated_at: row.get(6)?,
        synced_at: row.get(7)?,
        device_id: row.get(8)?,
        server_id: row.get(9)?,
    })
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Sixteen bytes: the time, then chance.
fn operation_id(now: i64) -> Outcome<[u8; 16]> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| error.to_string())?;
    id[..6].copy_from_slice(&now.to_be_bytes()[2..]);
    Ok(id)
}
