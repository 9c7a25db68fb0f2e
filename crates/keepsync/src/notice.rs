//! What the user should be told although nobody asked: kept until the app dismisses it.
//!
//! A notice is written in the transaction that causes it, so neither is there without the other. The same
//! thing happening again before it was dismissed is the same notice, counted. None of it holds what the
//! user wrote: the record's history does.

use crate::{
    db::{Read, Write},
    error::Result,
};
use rusqlite::params;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    /// An edit was lost to a deletion: one made here to a deletion made elsewhere, or one made elsewhere, which
    /// was met only now, to a deletion made here. The record's history on this device has it.
    EditLostToDelete,
    /// Definitions the app follows ([`Collection::announce_changes`](crate::collection::Collection::announce_changes))
    /// changed on the server. About the whole collection.
    DefinitionsChanged,
    /// The record of a session in progress here was deleted elsewhere.
    SessionDeletedElsewhere,
    /// Another device has just synced a record that is being worked on here.
    ChangedElsewhere,
}

impl NoticeKind {
    /// As it is stored, and as the command line and the bindings spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EditLostToDelete => "edit_lost_to_delete",
            Self::DefinitionsChanged => "definitions_changed",
            Self::SessionDeletedElsewhere => "session_deleted_elsewhere",
            Self::ChangedElsewhere => "changed_elsewhere",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [
            Self::EditLostToDelete,
            Self::DefinitionsChanged,
            Self::SessionDeletedElsewhere,
            Self::ChangedElsewhere,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == text)
    }
}

/// One thing to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Names it to [`dismiss`]; later notices have greater numbers.
    pub n: i64,
    /// What happened.
    pub kind: NoticeKind,
    /// The collection.
    pub collection: String,
    /// The record; `None` where it is about the whole collection.
    pub id: Option<String>,
    /// The installation that caused it, where one did.
    pub device_id: Option<String>,
    /// How often it happened since it was last dismissed.
    pub times: u64,
    /// The last time: UTC milliseconds by this device's clock.
    pub at: i64,
}

/// Notices kept, at most; the oldest go first.
const MOST: i64 = 1_000;

/// Tells something. `id` is empty where it is about the whole collection, `device_id` where no device
/// caused it.
pub(crate) fn add(
    write: &mut Write<'_>,
    kind: NoticeKind,
    (collection, id): (&str, &str),
    device_id: &str,
) -> Result<()> {
    // Under a new number: what has just happened again is not swept away by an old number.
    let mut statement = write.conn.prepare_cached(
        "INSERT OR REPLACE INTO notice (kind, collection, id, device_id, times, at) VALUES (?1, ?2, ?3, ?4,
         coalesce((SELECT times FROM notice WHERE kind = ?1 AND collection = ?2 AND id = ?3), 0) + 1, ?5)",
    )?;
    statement.execute(params![kind.as_str(), collection, id, device_id, write.now.wall_ms])?;
    write
        .conn
        .prepare_cached("DELETE FROM notice WHERE n <= (SELECT max(n) FROM notice) - ?1")?
        .execute([MOST])?;
    write.changes.notices = true;
    Ok(())
}

/// The user has seen it. One that is not there any more, or has happened again since, is no error.
///
/// # Errors
/// Only those of the file.
pub fn dismiss(write: &mut Write<'_>, n: i64) -> Result<()> {
    let gone = write
        .conn
        .prepare_cached("DELETE FROM notice WHERE n = ?1")?
        .execute([n])?;
    write.changes.notices |= gone > 0;
    Ok(())
}

impl Read<'_> {
    /// What the user should be told, oldest first. Kinds that only a newer app knows are left out.
    ///
    /// # Errors
    /// Only those of the file.
    pub fn notices(&self) -> Result<Vec<Notice>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT n, kind, collection, id, device_id, times, at FROM notice ORDER BY n")?;
        let mut rows = statement.query([])?;
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let mut notices = Vec::new();
        while let Some(row) = rows.next()? {
            let Some(kind) = NoticeKind::parse(&row.get::<_, String>(1)?) else {
                continue;
            };
            notices.push(Notice {
                n: row.get(0)?,
                kind,
                collection: row.get(2)?,
                id: some(row.get(3)?),
                device_id: some(row.get(4)?),
                times: u64::try_from(row.get::<_, i64>(5)?).unwrap_or(0),
                at: row.get(6)?,
            });
        }
        Ok(notices)
    }
}
