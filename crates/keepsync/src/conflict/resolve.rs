//! Conflicts as the user sees them, and the user's decision.

use super::apply::{clocks_of_choice, close, rebase, replace};
use crate::{
    body::Body,
    db::{Read, Write},
    error::{Error, Result},
    hlc::Hlc,
    queue::{self, heads_of},
    record::{self, find},
    remote::RemoteVersion,
};
use once_cell::sync::Lazy;
use rusqlite::{Connection, params};
use uuid::Uuid;

/// Two versions that met, until the user decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The collection.
    pub collection: String,
    /// The record.
    pub id: String,
    /// JSON text of what both were made on; `None` if they were made apart.
    pub base: Option<String>,
    /// JSON text of this device's version; `None` for a deletion.
    pub local: Option<String>,
    /// When it was written: UTC milliseconds by this device's clock.
    pub local_at: i64,
    /// JSON text of the server's version; `None` for a deletion.
    pub remote: Option<String>,
    /// Its version: a resolution names it.
    pub remote_version: i64,
    /// The installation that wrote it.
    pub remote_device: String,
    /// What a person calls that device.
    pub remote_label: Option<String>,
    /// When it was written: UTC milliseconds by the server's clock.
    pub remote_at: i64,
    /// When the two met: UTC milliseconds.
    pub opened_at: i64,
}

/// What the user decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// This device's version goes to the server, over the one that was shown.
    KeepLocal,
    /// The server's version stands here too.
    KeepRemote,
    /// Another body, made from both: JSON text.
    Merge(String),
}

pub(super) const COLUMNS: &str = "collection, id, base_body, local_body, local_at, remote_body, remote_version, remote_device, remote_label, \
                       remote_at, opened_at, remote_hlc, remote_op";

/// A conflict, and the clock and the operation of its remote version.
pub(super) fn from_sql(row: &rusqlite::Row<'_>) -> rusqlite::Result<(Conflict, i64, Option<Uuid>)> {
    let conflict = Conflict {
        collection: row.get(0)?,
        id: row.get(1)?,
        base: row.get(2)?,
        local: row.get(3)?,
        local_at: row.get(4)?,
        remote: row.get(5)?,
        remote_version: row.get(6)?,
        remote_device: row.get(7)?,
        remote_label: row.get(8)?,
        remote_at: row.get(9)?,
        opened_at: row.get(10)?,
    };
    Ok((conflict, row.get(11)?, queue::uuid_from_sql(row, 12)?))
}

fn list(conn: &Connection) -> Result<Vec<Conflict>> {
    static SQL: Lazy<String> =
        Lazy::new(|| format!("SELECT {COLUMNS} FROM conflict WHERE resolver IS NULL ORDER BY n"));
    let mut statement = conn.prepare_cached(&SQL)?;
    let rows = statement.query_map([], from_sql)?;
    rows.map(|row| Ok(row?.0)).collect()
}

impl Read<'_> {
    /// Conflicts the user has to settle, oldest first.
    ///
    /// # Errors
    /// Only those of the file.
    pub fn conflicts(&self) -> Result<Vec<Conflict>> {
        list(self.conn)
    }
}

/// Settles a conflict as the user decided. `shown` is the [`Conflict::remote_version`] the user saw.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::ConflictChanged`] if the server has moved on since it was shown;
/// [`Error::Invalid`] for the merged body. Then the conflict stands as it was.
pub fn resolve(write: &mut Write<'_>, collection: &str, id: &str, shown: i64, resolution: &Resolution) -> Result<()> {
    static SQL: Lazy<String> =
        Lazy::new(|| format!("SELECT {COLUMNS} FROM conflict WHERE collection = ?1 AND id = ?2"));
    let found = {
        let mut statement = write.conn.prepare_cached(&SQL)?;
        let mut rows = statement.query_map(params![collection, id], from_sql)?;
        rows.next().transpose()?
    };
    let (conflict, remote_hlc, remote_op) =
        found.ok_or_else(|| Error::not_found("conflict", format!("{collection}/{id}")))?;
    if conflict.remote_version != shown {
        return Err(Error::ConflictChanged);
    }
    let mut row = find(write.conn, collection, id)?.ok_or_else(|| Error::not_found("record", id))?;
    let entries = heads_of(write.conn, collection, id, row.lane())?;
    let key = (collection, id);
    let remote = RemoteVersion {
        body: conflict.remote.clone(),
        version: conflict.remote_version,
        hlc: Hlc::from_i64(remote_hlc),
        clocks: row.base_clocks.clone(),
        op: remote_op,
        device_id: conflict.remote_device.clone(),
        device_label: conflict.remote_label.clone(),
        server_id: row.server_id.clone(),
        created_at: row.created_at,
        updated_at: conflict.remote_at,
    };
    let device = write.shared.device_id.to_string();
    let keep_local_version = |write: &mut Write<'_>, reason| {
        record::add_history(write, key, conflict.local.as_deref(), 0, (row.hlc, &device), reason)
    };
    let keep_remote_version = |write: &mut Write<'_>, reason| {
        let author = (remote.hlc, remote.device_id.as_str());
        record::add_history(write, key, conflict.remote.as_deref(), remote.version, author, reason)
    };
    match resolution {
        Resolution::KeepLocal => {
            keep_remote_version(write, "lost_to_device")?;
            rebase(write, &entries, &remote)?;
        }
        Resolution::KeepRemote => {
            keep_local_version(write, "lost_to_server")?;
            for entry in &entries {
                entry.remove(write)?;
            }
            let seen = row.seen;
            row.confirm(write, &remote, false, seen)?;
        }
        Resolution::Merge(body) => {
            let settings = &write.shared.settings;
            let body = Body::parse(body.as_str(), settings.body_bytes, settings.body_depth)?.into_string();
            keep_local_version(write, "merged")?;
            keep_remote_version(write, "merged")?;
            let hlc = write.tick_hlc_after(Some(remote.hlc.max(row.hlc)));
            let clocks = clocks_of_choice(write, collection, &remote, &body, hlc);
            replace(write, &entries, &remote, (&body, clocks.as_deref()), hlc)?;
            row.body = Some(body);
            row.clocks = clocks;
            row.hlc = hlc;
            row.device_id = device;
            row.updated_at = write.now.wall_ms;
            row.store(write)?;
        }
    }
    close(write, collection, id)?;
    write.changes.sendable = true;
    write.store_clocks()?;
    record::settle_state(write, collection, id)
}
