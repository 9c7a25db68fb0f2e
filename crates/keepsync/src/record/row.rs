//! A record as it is stored.

use super::add_history;
use crate::{
    db::{Read, Write},
    error::Result,
    hlc::Hlc,
    queue::{self, EntryState},
    remote::RemoteVersion,
};
use once_cell::sync::Lazy;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

/// Where a record stands with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordState {
    /// The server has what the app sees.
    Synced,
    /// Something is unsent, or not answered yet.
    Pending,
    /// The user has to settle a conflict.
    Conflict,
    /// The server refused something.
    Parked,
}

impl RecordState {
    /// As the command line and the bindings spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Pending => "pending",
            Self::Conflict => "conflict",
            Self::Parked => "parked",
        }
    }

    pub(crate) fn from_i64(raw: i64) -> Self {
        match raw {
            0 => Self::Synced,
            2 => Self::Conflict,
            3 => Self::Parked,
            _ => Self::Pending,
        }
    }
}

/// A record as the app sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its collection.
    pub collection: String,
    /// Its id, made on the device that created it.
    pub id: String,
    /// JSON text; `None` when it is deleted.
    pub body: Option<String>,
    /// The id of its parent, if its collection has one.
    pub parent_id: Option<String>,
    /// The last version the server confirmed; 0 for none.
    pub version: i64,
    /// Where it stands with the server.
    pub state: RecordState,
    /// UTC milliseconds.
    pub created_at: i64,
    /// UTC milliseconds, of the visible body.
    pub updated_at: i64,
    /// UTC milliseconds; when the server last confirmed anything of it.
    pub synced_at: Option<i64>,
    /// The installation that wrote the visible body.
    pub device_id: String,
    /// What a person calls that device, if it ever said so.
    pub device_label: Option<String>,
    /// The id the backend gave it, if it has its own.
    pub server_id: Option<String>,
}

impl From<Row> for Record {
    fn from(row: Row) -> Self {
        Self {
            collection: row.collection,
            id: row.id,
            body: row.body,
            parent_id: row.parent_id,
            version: row.version,
            state: row.state,
            created_at: row.created_at,
            updated_at: row.updated_at,
            synced_at: row.synced_at,
            device_id: row.device_id,
            device_label: None,
            server_id: row.server_id,
        }
    }
}

/// The last body the server confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Base {
    /// Never confirmed.
    None,
    /// The visible body, whatever it is.
    Visible,
    /// Another body.
    Body(String),
    /// A deletion, while the visible body is not.
    Deleted,
}

impl Base {
    pub(crate) fn to_columns(&self) -> (i64, Option<&str>) {
        match self {
            Self::None => (0, None),
            Self::Visible => (1, None),
            Self::Body(body) => (2, Some(body)),
            Self::Deleted => (3, None),
        }
    }

    pub(crate) fn from_columns(base: i64, body: Option<String>) -> Self {
        match (base, body) {
            (1, _) => Self::Visible,
            (2, Some(body)) => Self::Body(body),
            (3, _) => Self::Deleted,
            _ => Self::None,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) rid: i64,
    pub(crate) collection: String,
    pub(crate) id: String,
    pub(crate) parent_id: Option<String>,
    pub(crate) body: Option<String>,
    pub(crate) hlc: Hlc,
    pub(crate) device_id: String,
    pub(crate) clocks: Option<String>,
    pub(crate) base: Base,
    pub(crate) base_hlc: Option<i64>,
    pub(crate) base_device: Option<String>,
    pub(crate) base_clocks: Option<String>,
    pub(crate) base_at: Option<i64>,
    pub(crate) version: i64,
    /// The operation that made `version`, where it is known.
    pub(crate) base_id: Option<Uuid>,
    pub(crate) state: RecordState,
    pub(crate) server_id: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) synced_at: Option<i64>,
    pub(crate) seen: i64,
}

/// What was made here, or came with an answer, and no pull has brought yet.
pub(crate) const UNSEEN: i64 = -1;

const COLUMNS: &str = "rid, collection, id, parent_id, body, hlc, device_id, base, base_body, base_hlc, base_device, \
                                  version, state, server_id, created_at, updated_at, synced_at, seen, clocks, base_clocks, base_id, \
                                  base_at";

/// What an app sees, without the base.
pub(super) const RECORD: &str =
    "id, body, parent_id, version, state, created_at, updated_at, synced_at, device_id, server_id";

/// How many [`RECORD`] names.
pub(super) const RECORD_COLUMNS: usize = 10;

pub(super) fn record_from_sql(collection: &str, row: &rusqlite::Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record {
        collection: collection.to_owned(),
        id: row.get(0)?,
        body: row.get(1)?,
        parent_id: row.get(2)?,
        version: row.get(3)?,
        state: RecordState::from_i64(row.get(4)?),
        created_at: row.get(5)?,
        updated_at: row.get(6)?,
        synced_at: row.get(7)?,
        device_id: row.get(8)?,
        server_id: row.get(9)?,
        device_label: None,
    })
}

/// A record as the app sees it, with its device's label: one statement, as records are mostly asked for one
/// by one.
pub(super) fn shown(read: &Read<'_>, collection: &str, id: &str) -> Result<Option<Record>> {
    static SQL: Lazy<String> = Lazy::new(|| {
        format!(
            "SELECT {RECORD}, (SELECT label FROM device WHERE device.device_id = record.device_id)
             FROM record WHERE collection = ?1 AND id = ?2"
        )
    });
    let mut statement = read.conn.prepare_cached(&SQL)?;
    let mut rows = statement.query([collection, id])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let mut record = record_from_sql(collection, row)?;
    record.device_label = if *record.device_id == *read.shared.device_id {
        read.shared.settings.device_label.clone()
    } else {
        row.get(RECORD_COLUMNS)?
    };
    Ok(Some(record))
}

fn from_sql(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        rid: row.get(0)?,
        collection: row.get(1)?,
        id: row.get(2)?,
        parent_id: row.get(3)?,
        body: row.get(4)?,
        hlc: Hlc::from_i64(row.get(5)?),
        device_id: row.get(6)?,
        clocks: row.get(18)?,
        base: Base::from_columns(row.get(7)?, row.get(8)?),
        base_hlc: row.get(9)?,
        base_device: row.get(10)?,
        base_clocks: row.get(19)?,
        version: row.get(11)?,
        state: RecordState::from_i64(row.get(12)?),
        server_id: row.get(13)?,
        created_at: row.get(14)?,
        updated_at: row.get(15)?,
        synced_at: row.get(16)?,
        seen: row.get(17)?,
        base_id: queue::uuid_from_sql(row, 20)?,
        base_at: row.get(21)?,
    })
}

pub(crate) fn find(conn: &Connection, collection: &str, id: &str) -> Result<Option<Row>> {
    static SQL: Lazy<String> = Lazy::new(|| format!("SELECT {COLUMNS} FROM record WHERE collection = ?1 AND id = ?2"));
    let mut statement = conn.prepare_cached(&SQL)?;
    Ok(statement.query_row(params![collection, id], from_sql).optional()?)
}

impl Row {
    /// The base's body; `None` for none and for a deletion.
    pub(crate) fn base_body(&self) -> Option<&str> {
        match &self.base {
            Base::Visible => self.body.as_deref(),
            Base::Body(body) => Some(body),
            Base::None | Base::Deleted => None,
        }
    }

    /// The base as something that no longer changes with the visible body.
    pub(crate) fn frozen_base(&self) -> Base {
        match (&self.base, &self.body) {
            (Base::Visible, Some(body)) => Base::Body(body.clone()),
            (Base::Visible, None) => Base::Deleted,
            (base, _) => base.clone(),
        }
    }

    /// The lane its entries belong to.
    pub(crate) fn lane(&self) -> &str {
        self.parent_id.as_deref().unwrap_or(&self.id)
    }

    /// Takes a version the server confirmed as the base, and, if nothing is unsent any more, as the
    /// visible body too. Leaves the state to [`settle_state`].
    pub(crate) fn confirm(
        &mut self,
        write: &mut Write<'_>,
        version: &RemoteVersion,
        unsent: bool,
        seen: i64,
    ) -> Result<()> {
        self.take_base(write.now.wall_ms, version, unsent, seen);
        self.store(write)
    }

    /// [`Row::confirm`] without writing it.
    pub(crate) fn take_base(&mut self, wall_ms: i64, version: &RemoteVersion, unsent: bool, seen: i64) {
        if unsent {
            self.base = version.body.clone().map_or(Base::Deleted, Base::Body);
            self.base_hlc = Some(version.hlc.to_i64());
            self.base_device = Some(version.device_id.clone());
            self.base_clocks = version.kept_clocks().map(str::to_owned);
            self.base_at = Some(version.updated_at);
        } else {
            self.body.clone_from(&version.body);
            self.hlc = version.hlc;
            self.device_id.clone_from(&version.device_id);
            self.clocks = version.kept_clocks().map(str::to_owned);
            self.base = Base::Visible;
            self.base_hlc = None;
            self.base_device = None;
            self.base_clocks = None;
            self.base_at = None;
            self.updated_at = version.updated_at;
        }
        self.version = version.version;
        self.base_id = version.op;
        self.seen = seen;
        self.synced_at = Some(wall_ms);
        if version.server_id.is_some() {
            self.server_id.clone_from(&version.server_id);
        }
    }

    /// [`settle_state`] of a record that is at hand, with the states of all its entries. Writes it.
    pub(crate) fn settle(mut self, write: &mut Write<'_>, entries: impl Iterator<Item = EntryState>) -> Result<()> {
        let worst = entries
            .map(|state| match state {
                EntryState::Waiting | EntryState::Held => RecordState::Pending,
                EntryState::Conflict => RecordState::Conflict,
                EntryState::Parked => RecordState::Parked,
            })
            .max();
        if worst.is_none() && self.base != Base::Visible {
            if self.base == Base::None {
                return self.remove(write);
            }
            self.body = self.base_body().map(str::to_owned);
            self.hlc = self.base_hlc.map_or(self.hlc, Hlc::from_i64);
            if let Some(device) = self.base_device.take() {
                self.device_id = device;
            }
            self.clocks = self.base_clocks.take();
            self.updated_at = self.base_at.take().unwrap_or(self.updated_at);
            self.base = Base::Visible;
            self.base_hlc = None;
        }
        // A deletion of version 0 is no tombstone: the server has nothing of this id.
        if worst.is_none() && self.version == 0 && self.body.is_none() {
            return self.remove(write);
        }
        self.state = worst.unwrap_or(RecordState::Synced);
        self.store(write)?;
        match self.body {
            None if worst.is_none() => crate::session::forget(write, &self.collection, &self.id),
            _ => Ok(()),
        }
    }

    /// Writes all that can change.
    pub(crate) fn store(&self, write: &mut Write<'_>) -> Result<()> {
        let (base, base_body) = self.base.to_columns();
        let mut statement = write.conn.prepare_cached(
            "UPDATE record SET body = ?2, hlc = ?3, device_id = ?4, base = ?5, base_body = ?6, base_hlc = ?7, base_device = ?8,
             version = ?9, state = ?10, server_id = ?11, updated_at = ?12, synced_at = ?13, seen = ?14, clocks = ?15,
             base_clocks = ?16, base_id = ?17, base_at = ?18 WHERE rid = ?1",
        )?;
        statement.execute(params![
            self.rid,
            self.body,
            self.hlc.to_i64(),
            self.device_id,
            base,
            base_body,
            self.base_hlc,
            self.base_device,
            self.version,
            self.state as i64,
            self.server_id,
            self.updated_at,
            self.synced_at,
            self.seen,
            self.clocks,
            self.base_clocks,
            self.base_id.as_ref().map(Uuid::as_bytes),
            self.base_at,
        ])?;
        write.changes.record(&self.collection);
        Ok(())
    }

    /// Removes a record that the server never had.
    pub(crate) fn remove(&self, write: &mut Write<'_>) -> Result<()> {
        write
            .conn
            .prepare_cached("DELETE FROM record WHERE rid = ?1")?
            .execute([self.rid])?;
        write.changes.record(&self.collection);
        // A session in progress whose making was thrown away is over: nobody could see it, log into it or
        // end it any more.
        crate::session::forget(write, &self.collection, &self.id)
    }
}

/// A record that came from the server and was not here.
pub(crate) fn insert_confirmed(
    write: &mut Write<'_>,
    collection: &str,
    id: &str,
    parent_id: Option<&str>,
    version: &RemoteVersion,
    seen: i64,
) -> Result<()> {
    let mut statement = write.conn.prepare_cached(
        "INSERT INTO record (collection, id, parent_id, body, hlc, device_id, base, version, state, server_id, created_at,
         updated_at, synced_at, seen, base_id, clocks, created_by)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, 0, ?8, ?9, ?10, ?11, ?12, ?13, ?14, iif(?7 = 1, ?6, NULL))",
    )?;
    statement.execute(params![
        collection,
        id,
        parent_id,
        version.body,
        version.hlc.to_i64(),
        version.device_id,
        version.version,
        version.server_id,
        version.created_at,
        version.updated_at,
        write.now.wall_ms,
        seen,
        version.op.as_ref().map(Uuid::as_bytes),
        version.kept_clocks(),
    ])?;
    write.changes.record(collection);
    Ok(())
}

/// Makes the record's state the worst of its entries'. A record without entries whose visible body
/// is not the base (its last entry went) shows the base again; one the server never had goes.
pub(crate) fn settle_state(write: &mut Write<'_>, collection: &str, id: &str) -> Result<()> {
    let Some(row) = find(write.conn, collection, id)? else {
        return Ok(());
    };
    let entries = queue::heads_of(write.conn, collection, id, row.lane())?;
    row.settle(write, entries.into_iter().map(|entry| entry.state))
}

/// Shows the last of a record's unsent writes, which the server may have lost, and forgets what the
/// server confirmed: until the record is pulled again, nobody knows what it has. What was shown goes
/// into the history.
pub(crate) fn show_unsent(write: &mut Write<'_>, collection: &str, id: &str, lane: &str) -> Result<()> {
    let Some(last) = queue::heads_of(write.conn, collection, id, lane)?.pop() else {
        return Ok(());
    };
    let (body, clocks) = queue::content_at(write.conn, last.seq)?;
    match find(write.conn, collection, id)? {
        Some(row) if row.body != body => {
            let author = (row.hlc, row.device_id.as_str());
            add_history(
                write,
                (collection, id),
                row.body.as_deref(),
                row.version,
                author,
                "lost_by_server",
            )?;
        }
        _ => {}
    }
    let mut statement = write.conn.prepare_cached(
        "INSERT INTO record (collection, id, parent_id, body, hlc, device_id, base, version, state, created_at, updated_at,
         clocks) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, 1, ?7, ?7, ?8)
         ON CONFLICT (collection, id) DO UPDATE SET body = excluded.body, hlc = excluded.hlc, device_id = excluded.device_id,
         clocks = excluded.clocks, base = 0, base_body = NULL, base_hlc = NULL, base_device = NULL, base_clocks = NULL,
         base_at = NULL, version = 0, base_id = NULL",
    )?;
    let parent = (lane != id).then_some(lane);
    let device: &str = &write.shared.device_id;
    let hlc = last.hlc.to_i64();
    statement.execute(params![
        collection,
        id,
        parent,
        body,
        hlc,
        device,
        last.created_at,
        clocks
    ])?;
    write.changes.record(collection);
    settle_state(write, collection, id)
}
