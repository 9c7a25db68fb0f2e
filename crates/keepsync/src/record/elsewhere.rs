//! "Tablet synced this workout two minutes ago": what another device has just changed.

use super::{RecordState, find, row::Base};
use crate::{
    body::Body,
    db::{Read, Write},
    error::Result,
    notice::{self, NoticeKind},
    remote::RemoteVersion,
};
use rusqlite::OptionalExtension;

/// The last confirmed version of a record, where another device made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// The device.
    pub device_id: String,
    /// What a person calls it, if it ever said so.
    pub device_label: Option<String>,
    /// When the server took the version: UTC milliseconds by the server's clock.
    pub at: i64,
}

/// Whether a version that another device made comes as a surprise to who works with the record here:
/// the server took it within `window_ms`, and the record is worked with, as part of a session in progress
/// or by a write within `window_ms`. All times are UTC milliseconds; `now_ms` is the server's, because
/// the version's is.
pub fn just_changed_elsewhere(
    changed_at: i64,
    in_session: bool,
    written_here_at: Option<i64>,
    now_ms: i64,
    window_ms: i64,
) -> bool {
    // A clock that is a little behind makes what is new look as if it were still to come.
    let lately = |at: i64| now_ms.saturating_sub(at) <= window_ms;
    lately(changed_at) && (in_session || written_here_at.is_some_and(lately))
}

impl Read<'_> {
    /// Who changed a record last, as far as the server has confirmed it, if that was another device:
    /// for a warning before the user edits it. Whether it is recent enough to be told is for
    /// [`Settings::elsewhere_window_ms`](crate::settings::Settings::elsewhere_window_ms) and the clock of
    /// the app.
    ///
    /// # Errors
    /// [`Error::UnknownCollection`](crate::Error::UnknownCollection).
    pub fn last_change_elsewhere(&self, collection: &str, id: &str) -> Result<Option<Elsewhere>> {
        self.shared.collections.get(collection)?;
        let Some(row) = find(self.conn, collection, id)? else {
            return Ok(None);
        };
        let (device_id, at) = match (&row.base, row.base_device, row.base_at) {
            (Base::Visible, ..) if row.version > 0 => (row.device_id, row.updated_at),
            (Base::Body(_) | Base::Deleted, Some(device), Some(at)) => (device, at),
            _ => return Ok(None),
        };
        if device_id.is_empty() || device_id == *self.shared.device_id {
            return Ok(None);
        }
        let device_label = self.device_label(&device_id)?;
        Ok(Some(Elsewhere {
            device_id,
            device_label,
            at,
        }))
    }
}

/// What is known of a record before another version of it comes in.
#[derive(Default)]
struct Before {
    version: i64,
    is_synced: bool,
    written_here: bool,
    updated_at: i64,
    parent_id: Option<String>,
}

/// Another version of a record is about to come in: the user is told, if it is a surprise. A change to a
/// set of a session in progress is told of the session.
pub(crate) fn warn(
    write: &mut Write<'_>,
    (collection, id): (&str, &str),
    version: &RemoteVersion,
    server_time: Option<i64>,
) -> Result<()> {
    let window_ms = write.shared.settings.elsewhere_window_ms;
    let now_ms = server_time.unwrap_or(write.now.wall_ms);
    // A deletion has notices of its own. Nearly all versions are old, or ours: nothing is looked up for them.
    let is_new = now_ms.saturating_sub(version.updated_at) <= window_ms;
    if !is_new || version.body.is_none() || version.device_id.is_empty() || version.device_id == *write.shared.device_id
    {
        return Ok(());
    }
    let Some(before) = before(write, collection, id, version)? else {
        return Ok(());
    };
    let session = session_of(write, (collection, id), version, &before)?;
    // What is not confirmed has the time of this device's clock.
    let age = match before.is_synced {
        true => now_ms.saturating_sub(before.updated_at),
        false => write.now.wall_ms.saturating_sub(before.updated_at),
    };
    let written_at = before.written_here.then(|| now_ms.saturating_sub(age));
    if just_changed_elsewhere(version.updated_at, session.is_some(), written_at, now_ms, window_ms) {
        let (collection, id) = session.unwrap_or_else(|| (collection.to_owned(), id.to_owned()));
        notice::add(
            write,
            NoticeKind::ChangedElsewhere,
            (&collection, &id),
            &version.device_id,
        )?;
    }
    Ok(())
}

/// `None`: the version is not news.
fn before(write: &Write<'_>, collection: &str, id: &str, version: &RemoteVersion) -> Result<Option<Before>> {
    let mut statement = write.conn.prepare_cached(
        "SELECT version, state, device_id = ?3, updated_at, parent_id FROM record WHERE collection = ?1 AND id = ?2",
    )?;
    let found = statement.query_row([collection, id, &*write.shared.device_id], |row| {
        Ok(Before {
            version: row.get(0)?,
            is_synced: RecordState::from_i64(row.get(1)?) == RecordState::Synced,
            written_here: row.get(2)?,
            updated_at: row.get(3)?,
            parent_id: row.get(4)?,
        })
    });
    let before = found.optional()?.unwrap_or_default();
    Ok((before.version < version.version).then_some(before))
}

/// The session in progress that the record is, or is a part of.
fn session_of(
    write: &Write<'_>,
    (collection, id): (&str, &str),
    version: &RemoteVersion,
    before: &Before,
) -> Result<Option<(String, String)>> {
    let is_session = |collection: &str, id: &str| -> Result<Option<(String, String)>> {
        let mut statement = write
            .conn
            .prepare_cached("SELECT collection, id FROM session WHERE collection = ?1 AND id = ?2")?;
        let found = statement.query_row([collection, id], |row| Ok((row.get(0)?, row.get(1)?)));
        Ok(found.optional()?)
    };
    if let Some(session) = is_session(collection, id)? {
        return Ok(Some(session));
    }
    let registered = write.shared.collections.get(collection).ok();
    let Some(parent) = registered.and_then(|it| it.parent.as_ref()) else {
        return Ok(None);
    };
    let any: bool = {
        let mut statement = write.conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM session)")?;
        statement.query_row([], |row| row.get(0))?
    };
    if !any {
        return Ok(None);
    }
    let named = || {
        let object = Body::stored(version.body.clone()?).object().ok()?;
        Some(object.get(&parent.field)?.as_str()?.to_owned())
    };
    match before.parent_id.clone().or_else(named) {
        Some(parent_id) => is_session(&parent.collection, &parent_id),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_needs_a_recent_change_and_work_under_way() {
        let (window, now) = (600, 10_000);
        let table = [
            // changed there, in a session, written here, warned
            (now - 100, true, None, true),
            (now - 600, true, None, true),
            (now - 601, true, None, false),
            (now + 50, true, None, true),
            (now - 100, false, None, false),
            (now - 100, false, Some(now - 600), true),
            (now - 100, false, Some(now - 601), false),
            (now - 601, false, Some(now), false),
        ];
        for (changed, session, written, warned) in table {
            let case = format!("{changed} {session} {written:?}");
            assert_eq!(
                just_changed_elsewhere(changed, session, written, now, window),
                warned,
                "{case}"
            );
        }
    }
}
