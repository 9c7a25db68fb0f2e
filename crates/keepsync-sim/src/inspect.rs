//! Looks into a device's file behind the core's back, with its own connection and its own SQL.

use rusqlite::{Connection, OpenFlags, OptionalExtension, Result};
use std::path::Path;
use uuid::Uuid;

/// The state of an entry that was refused.
pub const PARKED: i64 = 3;

/// A second, reading connection to a device's file.
#[derive(Debug)]
pub struct Inspector(Connection);

/// Collection, id and body of something that is not the record itself.
pub type Lost = (String, String, Option<String>);

/// A row of `record`.
#[derive(Debug, Clone)]
pub struct RecordRow {
    /// Its collection.
    pub collection: String,
    /// Its id.
    pub id: String,
    /// What the app sees.
    pub body: Option<String>,
    /// 0 none, 1 the visible body, 2 `base_body`, 3 deleted.
    pub base: i64,
    /// Only for base 2.
    pub base_body: Option<String>,
    /// Of the base.
    pub version: i64,
    /// 0 synced, 1 pending, 2 in conflict, 3 parked.
    pub state: i64,
}

/// A row of `entry`.
#[derive(Debug, Clone)]
pub struct EntryRow {
    /// Its place.
    pub seq: i64,
    /// Its operation id.
    pub op: Uuid,
    /// Its collection.
    pub collection: String,
    /// Its record.
    pub id: String,
    /// The parent's id, or its own.
    pub lane: String,
    /// What it does.
    pub kind: String,
    /// What it sends.
    pub body: Option<String>,
    /// Whether a byte of it may have left.
    pub maybe_sent: bool,
    /// 0 waiting, 1 held, 2 in conflict, 3 parked.
    pub state: i64,
    /// Whether its record is there.
    pub has_record: bool,
}

impl RecordRow {
    /// The last body the server confirmed.
    pub fn base_body(&self) -> Option<&str> {
        match self.base {
            1 => self.body.as_deref(),
            2 => self.base_body.as_deref(),
            _ => None,
        }
    }
}

impl Inspector {
    /// Looks into a file that is open already.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags)?;
        conn.set_prepared_statement_cache_capacity(32);
        Ok(Self(conn))
    }

    /// All records, by key.
    pub fn records(&self) -> Result<Vec<RecordRow>> {
        let mut statement = self.0.prepare_cached(
            "SELECT collection, id, body, base, base_body, version, state FROM record ORDER BY collection, id",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(RecordRow {
                collection: row.get(0)?,
                id: row.get(1)?,
                body: row.get(2)?,
                base: row.get(3)?,
                base_body: row.get(4)?,
                version: row.get(5)?,
                state: row.get(6)?,
            })
        })?;
        rows.collect()
    }

    /// The queue, in order.
    pub fn entries(&self) -> Result<Vec<EntryRow>> {
        let mut statement = self.0.prepare_cached(
            "SELECT seq, op, collection, id, lane, kind, body, maybe_sent OR seq IN (SELECT seq FROM flight), state, EXISTS (SELECT 1 FROM record r WHERE
             r.collection = e.collection AND r.id = e.id) FROM entry e ORDER BY seq",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(EntryRow {
                seq: row.get(0)?,
                op: Uuid::from_bytes(row.get(1)?),
                collection: row.get(2)?,
                id: row.get(3)?,
                lane: row.get(4)?,
                kind: row.get(5)?,
                body: row.get(6)?,
                maybe_sent: row.get(7)?,
                state: row.get(8)?,
                has_record: row.get(9)?,
            })
        })?;
        rows.collect()
    }

    /// Keys with a conflict row.
    pub fn conflicts(&self) -> Result<Vec<(String, String)>> {
        self.pairs("SELECT collection, id FROM conflict ORDER BY collection, id")
    }

    /// Sessions in progress without a record, which must not be.
    pub fn orphaned_sessions(&self) -> Result<Vec<(String, String)>> {
        self.pairs(
            "SELECT collection, id FROM session s WHERE NOT EXISTS (SELECT 1 FROM record r WHERE
             r.collection = s.collection AND r.id = s.id)",
        )
    }

    fn pairs(&self, sql: &str) -> Result<Vec<(String, String)>> {
        let mut statement = self.0.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect()
    }

    /// Every superseded version and discarded write: collection, id, body.
    pub fn history(&self) -> Result<Vec<Lost>> {
        let mut statement = self.0.prepare_cached("SELECT collection, id, body FROM history")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rows.collect()
    }

    /// Bodies of conflict rows and of the journal: collection, id, body.
    pub fn other_bodies(&self) -> Result<Vec<Lost>> {
        let mut statement = self.0.prepare_cached(
            "SELECT collection, id, local_body FROM conflict UNION ALL SELECT collection, id, remote_body FROM conflict
             UNION ALL SELECT collection, id, body FROM journal",
        )?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rows.collect()
    }

    /// The version of a record's base.
    pub fn version(&self, collection: &str, id: &str) -> Result<Option<i64>> {
        let mut statement = self
            .0
            .prepare_cached("SELECT version FROM record WHERE collection = ?1 AND id = ?2")?;
        statement.query_row([collection, id], |row| row.get(0)).optional()
    }

    /// All attempts of all entries.
    pub fn attempts(&self) -> Result<i64> {
        let mut statement = self.0.prepare_cached("SELECT coalesce(sum(attempts), 0) FROM entry")?;
        statement.query_row([], |row| row.get(0))
    }

    /// The stored floor of an earlier life, on the device's ticks.
    pub fn throttled_until(&self) -> Result<u64> {
        let mut statement = self
            .0
            .prepare_cached("SELECT value FROM meta WHERE key = 'throttled_until'")?;
        let mut rows = statement.query([])?;
        let stored: i64 = rows.next()?.map_or(Ok(0), |row| row.get(0))?;
        Ok(u64::try_from(stored).unwrap_or(0))
    }

    /// Another number after every commit that changed the file.
    pub fn data_version(&self) -> Result<i64> {
        self.0.query_row("PRAGMA data_version", [], |row| row.get(0))
    }

    /// SQLite's own opinion of the file.
    pub fn is_sound(&self) -> Result<bool> {
        let text: String = self.0.query_row("PRAGMA quick_check", [], |row| row.get(0))?;
        Ok(text == "ok")
    }
}
