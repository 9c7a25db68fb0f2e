//! Versions that lost, so that nothing is overwritten without a trace. Bounded per record and in
//! all; the oldest go first.

use crate::{
    db::Write,
    error::Result,
    hlc::Hlc,
    planted::{self, Bug},
};
use rusqlite::{Connection, params};

/// A superseded version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// JSON text; `None` for a deletion.
    pub body: Option<String>,
    /// The server's version; 0 for one it never confirmed.
    pub version: i64,
    /// When it was written.
    pub hlc: Hlc,
    /// The installation that wrote it.
    pub device_id: String,
    /// Why it is here: `lost_to_server`, `lost_to_device`, `merged`, `discarded`, `cancelled`; `lost_by_server`
    /// where a restored server had it no more.
    pub reason: String,
    /// When it was superseded: UTC milliseconds.
    pub at: i64,
}

pub(crate) fn add(
    write: &mut Write<'_>,
    (collection, id): (&str, &str),
    body: Option<&str>,
    version: i64,
    (hlc, device_id): (Hlc, &str),
    reason: &str,
) -> Result<()> {
    if reason == "lost_to_server" && planted::is(Bug::LossNotKept) {
        return Ok(());
    }
    write
        .conn
        .prepare_cached(
            "INSERT INTO history (collection, id, body, version, hlc, device_id, reason, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![collection, id, body, version, hlc.to_i64(), device_id, reason, write.now.wall_ms])?;
    let per_record = i64::try_from(write.shared.settings.history_per_record).unwrap_or(i64::MAX);
    write
        .conn
        .prepare_cached(
            "DELETE FROM history WHERE collection = ?1 AND id = ?2 AND n <= (SELECT n FROM history
             WHERE collection = ?1 AND id = ?2 ORDER BY n DESC LIMIT 1 OFFSET ?3)",
        )?
        .execute(params![collection, id, per_record])?;
    prune(write)
}

pub(crate) fn list(conn: &Connection, collection: &str, id: &str) -> Result<Vec<Version>> {
    let mut statement = conn.prepare_cached(
        "SELECT body, version, hlc, device_id, reason, at FROM history WHERE collection = ?1 AND id = ?2 ORDER BY n DESC",
    )?;
    let rows = statement.query_map([collection, id], |row| {
        Ok(Version {
            body: row.get(0)?,
            version: row.get(1)?,
            hlc: Hlc::from_i64(row.get(2)?),
            device_id: row.get(3)?,
            reason: row.get(4)?,
            at: row.get(5)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Keeps the whole within its bound.
pub(crate) fn prune(write: &mut Write<'_>) -> Result<()> {
    let bound = i64::try_from(write.shared.settings.history_count).unwrap_or(i64::MAX);
    write
        .conn
        .prepare_cached("DELETE FROM history WHERE n <= (SELECT max(n) FROM history) - ?1")?
        .execute([bound])?;
    Ok(())
}
