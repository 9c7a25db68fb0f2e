//! The rows of conflicts: one per record, those of one root together.

use crate::{error::Result, hlc::Hlc, queue, record::Row, remote::RemoteVersion};
use once_cell::sync::Lazy;
use rusqlite::{Connection, params};
use uuid::Uuid;

/// Two versions of one record.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) collection: String,
    pub(super) id: String,
    pub(super) root: (String, String),
    pub(super) turn: i64,
    pub(super) joined: bool,
    pub(super) base: Option<String>,
    pub(super) local: Option<String>,
    pub(super) local_hlc: Hlc,
    pub(super) local_at: i64,
    pub(super) remote: Option<String>,
    pub(super) remote_version: i64,
    pub(super) remote_hlc: Hlc,
    pub(super) remote_op: Option<Uuid>,
    pub(super) remote_device: String,
    pub(super) remote_label: Option<String>,
    pub(super) remote_at: i64,
    pub(super) opened_at: i64,
    /// The app's resolver that is to decide, instead of the user.
    pub(super) resolver: Option<String>,
}

const COLUMNS: &str = "collection, id, root_collection, root_id, turn, base_body, local_body, local_hlc, local_at, remote_body, \
                       remote_version, remote_hlc, remote_device, remote_label, remote_at, opened_at, joined, \
                       remote_op, resolver";

fn from_sql(row: &rusqlite::Row<'_>) -> rusqlite::Result<Member> {
    Ok(Member {
        collection: row.get(0)?,
        id: row.get(1)?,
        root: (row.get(2)?, row.get(3)?),
        turn: row.get(4)?,
        base: row.get(5)?,
        local: row.get(6)?,
        local_hlc: Hlc::from_i64(row.get(7)?),
        local_at: row.get(8)?,
        remote: row.get(9)?,
        remote_version: row.get(10)?,
        remote_hlc: Hlc::from_i64(row.get(11)?),
        remote_device: row.get(12)?,
        remote_label: row.get(13)?,
        remote_at: row.get(14)?,
        opened_at: row.get(15)?,
        joined: row.get(16)?,
        remote_op: queue::uuid_from_sql(row, 17)?,
        resolver: row.get(18)?,
    })
}

/// All of them, oldest first.
pub(super) fn all(conn: &Connection) -> Result<Vec<Member>> {
    static SQL: Lazy<String> = Lazy::new(|| format!("SELECT {COLUMNS} FROM conflict ORDER BY n"));
    let mut statement = conn.prepare_cached(&SQL)?;
    let rows = statement.query_map([], from_sql)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Those of one conflict, oldest first.
pub(super) fn of_root(conn: &Connection, collection: &str, id: &str) -> Result<Vec<Member>> {
    static SQL: Lazy<String> =
        Lazy::new(|| format!("SELECT {COLUMNS} FROM conflict WHERE root_collection = ?1 AND root_id = ?2 ORDER BY n"));
    let mut statement = conn.prepare_cached(&SQL)?;
    let rows = statement.query_map(params![collection, id], from_sql)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

impl Member {
    /// The server's side, as it came.
    pub(super) fn remote_version(&self, row: &Row) -> RemoteVersion {
        RemoteVersion {
            body: self.remote.clone(),
            version: self.remote_version,
            hlc: self.remote_hlc,
            clocks: row.base_clocks.clone(),
            op: self.remote_op,
            device_id: self.remote_device.clone(),
            device_label: self.remote_label.clone(),
            server_id: row.server_id.clone(),
            created_at: row.created_at,
            updated_at: self.remote_at,
        }
    }
}
