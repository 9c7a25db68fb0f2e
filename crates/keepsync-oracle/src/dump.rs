//! What a server's file holds, as facts. Tables and columns are public (the server's `0001.sql` says so).

use crate::history::{Applied, Fact, Key};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use std::path::Path;

/// Why a file cannot be dumped.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// SQLite says no.
    #[error("the server's file cannot be read: {0}")]
    File(#[from] rusqlite::Error),
    /// A body is not JSON.
    #[error("the body of {0} is not JSON")]
    Body(Key),
}

/// The applied log in the order of changes, and the records. A body names its write in the text field `m`, and
/// its parent in the field `parents` gives for its collection.
///
/// # Errors
/// The file cannot be read, or is not a server's.
pub fn dump(file: &Path, parents: &[(&str, &str)]) -> Result<Vec<Fact>, DumpError> {
    dump_named(file, parents, |_, body| body.get("m")?.as_str().map(str::to_owned))
}

/// The same, for bodies that name their write otherwise.
///
/// # Errors
/// As [`dump`].
pub fn dump_named(
    file: &Path,
    parents: &[(&str, &str)],
    name: impl Fn(&Key, &Value) -> Option<String>,
) -> Result<Vec<Fact>, DumpError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(file, flags)?;
    let mut facts = Vec::new();
    let mut log = conn.prepare(
        "SELECT a.user, a.collection, a.id, a.op, a.version, r.body, r.version FROM applied a
         LEFT JOIN record r ON r.user = a.user AND r.collection = a.collection AND r.id = a.id
         ORDER BY a.user, a.change, a.version",
    )?;
    let mut rows = log.query([])?;
    while let Some(row) = rows.next()? {
        let key = Key(row.get(1)?, row.get(2)?);
        let (version, current): (i64, Option<i64>) = (row.get(4)?, row.get(6)?);
        let body: Option<String> = row.get(5)?;
        let is_current = current == Some(version);
        let value = body.as_deref().map(|body| parse(&key, body)).transpose()?;
        // The parent is fixed, so that of the current body is that of each before.
        let field = parents
            .iter()
            .find(|(collection, _)| *collection == key.0)
            .map(|(_, field)| *field);
        let parent = value
            .as_ref()
            .zip(field)
            .and_then(|(body, field)| body.get(field)?.as_str().map(str::to_owned));
        facts.push(Fact::Applied(Applied {
            user: row.get(0)?,
            op: hex(&row.get::<_, Vec<u8>>(3)?),
            version: Some(version),
            write: value.as_ref().filter(|_| is_current).and_then(|body| name(&key, body)),
            deletes: is_current && value.is_none(),
            parent,
            key,
        }));
    }
    let mut records = conn.prepare("SELECT user, collection, id, body, version FROM record ORDER BY user, change")?;
    let mut rows = records.query([])?;
    while let Some(row) = rows.next()? {
        let key = Key(row.get(1)?, row.get(2)?);
        let body: Option<String> = row.get(3)?;
        let body = body.map(|body| parse(&key, &body)).transpose()?;
        facts.push(Fact::Holds {
            user: row.get(0)?,
            version: Some(row.get(4)?),
            write: body.as_ref().and_then(|body| name(&key, body)),
            body,
            key,
        });
    }
    Ok(facts)
}

fn parse(key: &Key, body: &str) -> Result<Value, DumpError> {
    serde_json::from_str(body).map_err(|_| DumpError::Body(key.clone()))
}

/// As operation ids are written: groups of 8, 4, 4, 4 and 12 digits.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}
