//! What would be gone with an account's file.

use super::exists;
use crate::{
    OpenOptions,
    collection::Collections,
    db::{Db, salvage, wipe},
    error::Result,
};
use rusqlite::Connection;
use std::path::Path;

/// What wiping an account would lose: all of it is only on this device. Two are equal only if nothing was
/// written in between.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Losses {
    /// Writes that have not reached the server.
    pub unsent: u64,
    /// Conflicts the user has not settled.
    pub conflicts: u64,
    /// Sessions in progress.
    pub sessions: u64,
    /// Records of collections that stay on the device, or that the app no longer registers and the
    /// server never confirmed.
    pub local_records: u64,
    /// Key-value pairs.
    pub pairs: u64,
    /// Damaged files that were set aside, which may hold what could not be read.
    pub damaged_files: u64,
    /// Which state of the file this was told of. Opaque.
    pub token: String,
}

impl Losses {
    /// Whether nothing would be lost that is not on the server.
    pub fn is_nothing(&self) -> bool {
        *self
            == Self {
                token: self.token.clone(),
                ..Self::default()
            }
    }
}

pub(super) fn of(file: &Path, options: &OpenOptions) -> Result<Losses> {
    // What was saved from a damaged file may not be in its place yet.
    salvage::resume(file)?;
    let damaged_files = u64::try_from(wipe::set_aside(file).len()).unwrap_or(u64::MAX);
    if !exists(file) {
        return Ok(Losses {
            damaged_files,
            ..Losses::default()
        });
    }
    let conn = Db::reader(file, options.key.as_ref())?;
    let seen = || look(&conn, &options.collections);
    let losses = seen().map_err(|error| Db::locate(error, file))?;
    Ok(Losses {
        damaged_files,
        ..losses
    })
}

fn look(conn: &Connection, collections: &Collections) -> Result<Losses> {
    // All of one moment.
    conn.execute_batch("BEGIN")?;
    let count = |sql: &str| -> Result<u64> {
        let count: i64 = conn.query_row(sql, [], |row| row.get(0))?;
        Ok(u64::try_from(count).unwrap_or(0))
    };
    let mut local_records = 0;
    let mut statement = conn.prepare(
        "SELECT collection, count(*), sum(version = 0) FROM record WHERE body IS NOT NULL GROUP BY collection",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let (all, unconfirmed): (i64, i64) = (row.get(1)?, row.get(2)?);
        let lost = match collections.get(&name) {
            Ok(collection) if collection.pushes() || collection.pulls() => 0,
            Ok(_) => all,
            Err(_) => unconfirmed,
        };
        local_records += u64::try_from(lost).unwrap_or(0);
    }
    drop(rows);
    let token = conn.query_row(
        "SELECT coalesce((SELECT max(hlc) FROM record), 0), coalesce((SELECT max(hlc) FROM entry), 0),
         coalesce((SELECT sum(length(key) + length(value)) FROM kv), 0)",
        [],
        |row| {
            let parts: [i64; 3] = [row.get(0)?, row.get(1)?, row.get(2)?];
            Ok(parts.map(|part| part.to_string()).join("-"))
        },
    )?;
    let losses = Losses {
        unsent: count("SELECT count(*) FROM entry")?,
        conflicts: count("SELECT count(*) FROM conflict")?,
        sessions: count("SELECT count(*) FROM session")?,
        local_records,
        pairs: count("SELECT count(*) FROM kv")?,
        damaged_files: 0,
        token,
    };
    drop(statement);
    conn.execute_batch("ROLLBACK")?;
    Ok(losses)
}
