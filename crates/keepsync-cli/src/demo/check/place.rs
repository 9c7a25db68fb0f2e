//! What a database file holds, read with plain SQL: nothing of the core or the server takes part.

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};
use uuid::Uuid;

pub(super) type Key = (String, String);

/// A record that is not deleted.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    pub(super) body: Value,
    pub(super) version: i64,
}

/// One of the three places.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) records: BTreeMap<Key, Record>,
    /// Unsent writes, open conflicts.
    pub(super) unsent: u64,
    pub(super) conflicts: u64,
    /// Operations this device knows to be on the server.
    pub(super) journal: BTreeSet<Uuid>,
}

/// An operation on the server.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) op: Uuid,
    pub(super) key: Key,
    pub(super) version: i64,
}

fn open(file: &Path) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
}

fn records(conn: &Connection, sql: &str, values: &[&dyn rusqlite::ToSql]) -> rusqlite::Result<BTreeMap<Key, Record>> {
    let mut statement = conn.prepare(sql)?;
    let rows = statement.query_map(values, |row| {
        let body: String = row.get(2)?;
        let record = Record {
            // A body that is no JSON equals nothing that is on paper.
            body: serde_json::from_str(&body).unwrap_or_default(),
            version: row.get(3)?,
        };
        Ok(((row.get(0)?, row.get(1)?), record))
    })?;
    rows.collect()
}

/// A device's file.
pub(super) fn device(file: &Path) -> rusqlite::Result<Place> {
    let conn = open(file)?;
    let count = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0));
    let mut journal = conn.prepare("SELECT op FROM journal")?;
    let journal = journal.query_map([], |row| Ok(Uuid::from_bytes(row.get(0)?)))?;
    Ok(Place {
        records: records(
            &conn,
            "SELECT collection, id, body, version FROM record WHERE body IS NOT NULL",
            &[],
        )?,
        unsent: u64::try_from(count("SELECT count(*) FROM entry")?).unwrap_or(0),
        conflicts: u64::try_from(count("SELECT count(*) FROM conflict")?).unwrap_or(0),
        journal: journal.collect::<rusqlite::Result<_>>()?,
    })
}

/// The server's file, as far as `user` is concerned: also while the server runs.
pub(super) fn server(file: &Path, user: &str) -> rusqlite::Result<(Place, Vec<Applied>)> {
    let conn = open(file)?;
    let records = records(
        &conn,
        "SELECT collection, id, body, version FROM record WHERE user = ?1 AND body IS NOT NULL",
        &[&user],
    )?;
    let mut applied = conn.prepare("SELECT op, collection, id, version FROM applied WHERE user = ?1")?;
    let applied = applied.query_map([user], |row| {
        Ok(Applied {
            op: Uuid::from_bytes(row.get(0)?),
            key: (row.get(1)?, row.get(2)?),
            version: row.get(3)?,
        })
    })?;
    let place = Place {
        records,
        ..Place::default()
    };
    Ok((place, applied.collect::<rusqlite::Result<_>>()?))
}
