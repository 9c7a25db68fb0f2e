//! Sessions: a record in the making, with ordered children.
//!
//! 1. [`start`] makes the session's record (`state: "active"`, `started_at`) and remembers that it is
//!    in progress.
//! 2. [`log_set`] upserts one child by its slot. Its id is a UUIDv5 of session and slot, so the same
//!    slot is the same record on every device and after every crash. Each set is its own small
//!    write: the 500th costs what the first did.
//! 3. [`note`] keeps scratch state (a rest timer, a half-typed weight) that is never sent.
//! 4. [`complete`] or [`skip`] end it: the body gets its final state, held entries are released, all
//!    in one transaction. [`discard`] throws it away: what has certainly not left is cancelled, and
//!    deletes are queued for the rest.
//!
//! Stopped after any of these: [`Read::active_sessions`](crate::Read::active_sessions) gives the
//! session back with its sets, start time and scratch state.
//!
//! A session's body has the fields `state` (`active`, `completed`, `skipped`), `started_at` and
//! `ended_at` (RFC 3339, UTC), which Keepsync writes; a child's body has its parent's id in the
//! registered field, and `slot`.

mod machine;

pub use machine::{SessionEvent, SessionState};

use crate::{
    body::{Body, merge_patch},
    collection::{Collection, Sending},
    db::{NAMESPACE, Read, Write},
    error::{Error, Result},
    notice::{self, NoticeKind},
    planted::{self, Bug},
    queue::{self, Append, Kind},
    record::{self, Local, Mutation, Record, RecordState, Row, Written, find, write_local},
};
use machine::transition;
use rusqlite::{OptionalExtension, params};
use serde_json::{Map, Value};
use std::time::{Duration, UNIX_EPOCH};
use uuid::Uuid;

/// A session in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its collection.
    pub collection: String,
    /// Its id.
    pub id: String,
    /// The collection of its children.
    pub children: String,
    /// Where it stands.
    pub state: SessionState,
    /// When it was started: UTC milliseconds.
    pub started_at: i64,
    /// What the app noted, as it gave it.
    pub scratch: Option<String>,
    /// Its record.
    pub record: Record,
    /// Its children, in the order in which they were first logged.
    pub sets: Vec<Record>,
}

/// The id of the set in a slot of a session.
pub fn set_id(session: &str, slot: &str) -> String {
    Uuid::new_v5(&NAMESPACE, format!("{session}\n{slot}").as_bytes()).to_string()
}

struct Stored {
    children: String,
    started_at: i64,
    scratch: Option<String>,
}

fn stored(read: &Read<'_>, collection: &str, id: &str) -> Result<Option<Stored>> {
    let mut statement = read
        .conn
        .prepare_cached("SELECT children, started_at, scratch FROM session WHERE collection = ?1 AND id = ?2")?;
    let row = statement.query_row([collection, id], |row| {
        Ok(Stored {
            children: row.get(0)?,
            started_at: row.get(1)?,
            scratch: row.get(2)?,
        })
    });
    Ok(row.optional()?)
}

/// Where a session stands, from what is stored of it.
fn state_of(read: &Read<'_>, collection: &str, id: &str, stored: Option<&Stored>) -> Result<SessionState> {
    if stored.is_some() {
        return Ok(SessionState::Active);
    }
    let Some(body) = find(read.conn, collection, id)?.and_then(|row| row.body) else {
        return Ok(SessionState::Absent);
    };
    let object = Body::stored(body).object()?;
    Ok(match object.get("state").and_then(Value::as_str) {
        Some("skipped") => SessionState::Skipped,
        _ => SessionState::Completed,
    })
}

/// The session in progress, checked against what is asked of it.
fn in_progress(write: &Write<'_>, collection: &str, id: &str, event: SessionEvent) -> Result<Stored> {
    let found = stored(&write.read(), collection, id)?;
    let state = state_of(&write.read(), collection, id, found.as_ref())?;
    if state == SessionState::Absent {
        return Err(Error::not_found("session", id));
    }
    transition(state, event)?;
    found.ok_or_else(|| Error::not_found("session", id))
}

/// Starts a session. An empty `id` makes a UUIDv7. `children` is the collection of its sets, whose
/// registration names this collection as its parent.
///
/// # Errors
/// [`Error::SessionState`] if there is such a session already; [`Error::Invalid`] for the body;
/// [`Error::BadCollection`] if `children` is not a child of `collection`.
pub fn start(write: &mut Write<'_>, collection: &str, children: &str, id: &str, body: &str) -> Result<Written> {
    let now = write.now.wall_ms;
    start_at(write, collection, children, id, body, now)
}

/// As [`start`], for a session that was started elsewhere or earlier, at `started_at` (UTC
/// milliseconds): one that is brought over from an export.
///
/// # Errors
/// As [`start`].
pub fn start_at(
    write: &mut Write<'_>,
    collection: &str,
    children: &str,
    id: &str,
    body: &str,
    started_at: i64,
) -> Result<Written> {
    let shared = write.shared;
    let registered = shared.collections.get(collection)?;
    child_field(write, collection, children)?;
    let id = if id.is_empty() {
        write.uuid_v7().to_string()
    } else {
        id.to_owned()
    };
    let found = stored(&write.read(), collection, &id)?;
    transition(
        state_of(&write.read(), collection, &id, found.as_ref())?,
        SessionEvent::Start,
    )?;
    let mut object = Body::parse_object(body, shared.settings.body_bytes, shared.settings.body_depth)?;
    object.insert("state".to_owned(), Value::from(SessionState::Active.as_str()));
    object.insert("started_at".to_owned(), Value::from(rfc3339(started_at)));
    let written = store(write, registered, &id, Kind::Update, object, None)?;
    write
        .conn
        .prepare_cached("INSERT INTO session (collection, id, children, started_at) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![collection, id, children, started_at])?;
    write.changes.sessions = true;
    Ok(written)
}

fn child_field<'a>(write: &Write<'a>, collection: &str, children: &str) -> Result<&'a str> {
    let registered = write.shared.collections.get(children)?;
    match &registered.parent {
        Some(parent) if parent.collection == collection => Ok(&parent.field),
        _ => Err(Error::BadCollection {
            collection: children.to_owned(),
            problem: format!("its parent is not {collection:?}"),
        }),
    }
}

/// Checks a body that Keepsync completed, and writes it.
fn store(
    write: &mut Write<'_>,
    collection: &Collection,
    id: &str,
    kind: Kind,
    object: Map<String, Value>,
    parent: Option<String>,
) -> Result<Written> {
    let settings = &write.shared.settings;
    let body = Body::complete(object, settings.body_bytes)?;
    let held = collection.sending == Sending::OnComplete && !kind.changes_state();
    write_local(
        write,
        collection,
        id,
        Local {
            kind,
            body: Some(body),
            parent,
            held,
        },
    )
}

/// Logs a set: makes it, or gives it a new body. `slot` is the app's name for its place ("bench/1").
///
/// # Errors
/// [`Error::NotFound`], [`Error::SessionState`] once the session has ended, [`Error::Invalid`] for
/// slot and body.
pub fn log_set(write: &mut Write<'_>, collection: &str, id: &str, slot: &str, body: &str) -> Result<Written> {
    if slot.is_empty() || slot.len() > 256 || slot.chars().any(char::is_control) {
        return Err(Error::invalid("slot", "1 to 256 bytes without control characters"));
    }
    let session = in_progress(write, collection, id, SessionEvent::LogSet)?;
    let shared = write.shared;
    let field = child_field(write, collection, &session.children)?;
    let mut object = Body::parse_object(body, shared.settings.body_bytes, shared.settings.body_depth)?;
    object.insert(field.to_owned(), Value::from(id));
    object.insert("slot".to_owned(), Value::from(slot));
    let body = Body::complete(object, shared.settings.body_bytes)?;
    let children = shared.collections.get(&session.children)?;
    let held = shared.collections.get(collection)?.sending == Sending::OnComplete;
    let local = Local {
        kind: Kind::Update,
        body: Some(body),
        parent: Some(id.to_owned()),
        held,
    };
    write.changes.sessions = true;
    write_local(write, children, &set_id(id, slot), local)
}

/// Removes a set.
///
/// # Errors
/// [`Error::NotFound`] for session and set, [`Error::SessionState`].
pub fn remove_set(write: &mut Write<'_>, collection: &str, id: &str, slot: &str) -> Result<Written> {
    let session = in_progress(write, collection, id, SessionEvent::RemoveSet)?;
    let children = write.shared.collections.get(&session.children)?;
    let held = write.shared.collections.get(collection)?.sending == Sending::OnComplete;
    let local = Local {
        kind: Kind::Delete,
        body: None,
        parent: Some(id.to_owned()),
        held,
    };
    write.changes.sessions = true;
    write_local(write, children, &set_id(id, slot), local)
}

/// Keeps scratch state with the session; `None` clears it. Durable, never sent.
///
/// # Errors
/// [`Error::NotFound`], [`Error::SessionState`], [`Error::Invalid`] beyond the body limit.
pub fn note(write: &mut Write<'_>, collection: &str, id: &str, scratch: Option<&str>) -> Result<()> {
    in_progress(write, collection, id, SessionEvent::Note)?;
    let limit = write.shared.settings.body_bytes;
    if let Some(scratch) = scratch.filter(|scratch| scratch.len() > limit) {
        return Err(Error::invalid(
            "scratch",
            format!("{} bytes, the limit is {limit}", scratch.len()),
        ));
    }
    write
        .conn
        .prepare_cached("UPDATE session SET scratch = ?3 WHERE collection = ?1 AND id = ?2")?
        .execute(params![collection, id, scratch])?;
    write.changes.sessions = true;
    Ok(())
}

/// Completes a session. `patch` is merged into its body (RFC 7386); `{}` for nothing.
///
/// # Errors
/// [`Error::NotFound`], [`Error::SessionState`], [`Error::Invalid`] for the patch.
pub fn complete(write: &mut Write<'_>, collection: &str, id: &str, patch: &str) -> Result<Written> {
    end(write, collection, id, patch, SessionEvent::Complete, Kind::Complete)
}

/// Skips a session: as [`complete`], with another state.
///
/// # Errors
/// As [`complete`].
pub fn skip(write: &mut Write<'_>, collection: &str, id: &str, patch: &str) -> Result<Written> {
    end(write, collection, id, patch, SessionEvent::Skip, Kind::Skip)
}

fn end(
    write: &mut Write<'_>,
    collection: &str,
    id: &str,
    patch: &str,
    event: SessionEvent,
    kind: Kind,
) -> Result<Written> {
    in_progress(write, collection, id, event)?;
    let state = transition(SessionState::Active, event)?;
    let shared = write.shared;
    let patch = Body::parse_object(patch, shared.settings.body_bytes, shared.settings.body_depth)?;
    let row = find(write.conn, collection, id)?.ok_or_else(|| Error::not_found("record", id))?;
    let body = row.body.clone().ok_or_else(|| Error::not_found("record", id))?;
    let mut object = Body::stored(body).object()?;
    merge_patch(&mut object, patch);
    object.insert("state".to_owned(), Value::from(state.as_str()));
    object.insert("ended_at".to_owned(), Value::from(rfc3339(write.now.wall_ms)));
    release(write, id, row.lane())?;
    let written = store(write, shared.collections.get(collection)?, id, kind, object, None)?;
    forget(write, collection, id)?;
    Ok(written)
}

/// Sets free what was held for the end of the session: its own entries and its children's.
fn release(write: &mut Write<'_>, id: &str, lane: &str) -> Result<()> {
    let mut freed = 0;
    if planted::is(Bug::HeldNotReleased) {
        return Ok(());
    }
    for (sql, values) in [
        ("UPDATE entry SET state = 0 WHERE lane = ?1 AND state = 1", vec![id]),
        (
            "UPDATE entry SET state = 0 WHERE lane = ?1 AND id = ?2 AND state = 1",
            vec![lane, id],
        ),
    ] {
        freed += write
            .conn
            .prepare_cached(sql)?
            .execute(rusqlite::params_from_iter(values))?;
    }
    write.changes.queue |= freed > 0;
    write.changes.sendable |= freed > 0;
    Ok(())
}

/// The session is in progress no longer, if it was.
pub(crate) fn forget(write: &mut Write<'_>, collection: &str, id: &str) -> Result<()> {
    let gone = write
        .conn
        .prepare_cached("DELETE FROM session WHERE collection = ?1 AND id = ?2")?
        .execute([collection, id])?;
    write.changes.sessions |= gone > 0;
    Ok(())
}

/// Sessions whose records are gone for good, deleted elsewhere, are over here too: a set logged into one
/// would have no parent.
pub(crate) fn forget_gone(write: &mut Write<'_>) -> Result<()> {
    let gone: Vec<(String, String)> = {
        let mut statement = write.conn.prepare_cached(
            "SELECT collection, id FROM session AS s
             WHERE NOT EXISTS (SELECT 1 FROM record AS r WHERE r.collection = s.collection AND r.id = s.id)",
        )?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    for (collection, id) in gone {
        notice::add(write, NoticeKind::SessionDeletedElsewhere, (&collection, &id), "")?;
        forget(write, &collection, &id)?;
    }
    Ok(())
}

/// A session in progress whose record another device deleted counts as an edit made here and now, so that
/// the policy decides and nothing that is being lifted goes unseen. False: it is no session in progress.
pub(crate) fn defend(write: &mut Write<'_>, row: &mut Row, device_id: &str) -> Result<bool> {
    if row.body.is_none() || stored(&write.read(), &row.collection, &row.id)?.is_none() {
        return Ok(false);
    }
    let key = (row.collection.as_str(), row.id.as_str());
    notice::add(write, NoticeKind::SessionDeletedElsewhere, key, device_id)?;
    stand_by(write, row)
}

/// What is shown of a record counts as an edit made here and now. False: the app does not write it.
pub(crate) fn stand_by(write: &mut Write<'_>, row: &mut Row) -> Result<bool> {
    let shared = write.shared;
    let Some(collection) = shared.collections.get(&row.collection).ok().filter(|c| c.pushes()) else {
        return Ok(false);
    };
    row.base = row.frozen_base();
    row.hlc = write.tick_hlc_after(Some(row.hlc));
    row.base_clocks = row.clocks.take();
    row.state = RecordState::Pending;
    let edit = Append {
        collection: row.collection.clone(),
        id: row.id.clone(),
        lane: row.lane().to_owned(),
        kind: Kind::Update,
        body: row.body.clone(),
        base_version: row.version,
        base_id: row.base_id,
        hlc: row.hlc,
        // All of it counts as written now.
        clocks: None,
        priority: collection.priority,
        held: false,
    };
    queue::append_first(write, edit)?;
    row.store(write)?;
    Ok(true)
}

/// Throws a session away, because the user says so. What has certainly not left is cancelled (its
/// body goes into the history); deletes are queued for the rest, children first.
///
/// # Errors
/// [`Error::NotFound`], [`Error::SessionState`].
pub fn discard(write: &mut Write<'_>, collection: &str, id: &str) -> Result<()> {
    let session = in_progress(write, collection, id, SessionEvent::Discard)?;
    let lane = find(write.conn, collection, id)?.map_or_else(|| id.to_owned(), |row| row.lane().to_owned());
    release(write, id, &lane)?;
    let sets = children_ids(&write.read(), &session.children, id)?;
    let gone = |collection: &str, id: String| Mutation::Delete {
        collection: collection.to_owned(),
        id,
    };
    let mut deletes: Vec<Mutation> = sets.into_iter().map(|set| gone(&session.children, set)).collect();
    // Another device may have deleted it, or a restored server may have lost it.
    if find(write.conn, collection, id)?.is_some_and(|row| row.body.is_some()) {
        deletes.push(gone(collection, id.to_owned()));
    }
    forget(write, collection, id)?;
    record::write(write, &deletes)?;
    Ok(())
}

/// A session in progress is discarded, not deleted: its held sets would wait for its end for ever.
pub(crate) fn refuse_delete(read: &Read<'_>, collection: &str, id: &str) -> Result<()> {
    match stored(read, collection, id)? {
        None => Ok(()),
        Some(_) => Err(Error::SessionState {
            state: SessionState::Active.as_str(),
            event: "be deleted",
        }),
    }
}

fn children_ids(read: &Read<'_>, children: &str, id: &str) -> Result<Vec<String>> {
    let mut statement = read.conn.prepare_cached(
        "SELECT id FROM record WHERE parent_id = ?1 AND collection = ?2 AND body IS NOT NULL ORDER BY rid",
    )?;
    let rows = statement.query_map([id, children], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

impl Read<'_> {
    /// Sessions in progress, as they were left, oldest first.
    ///
    /// # Errors
    /// Only those of the file.
    pub fn active_sessions(&self) -> Result<Vec<Session>> {
        self.together(|| self.all_sessions())
    }

    fn all_sessions(&self) -> Result<Vec<Session>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT collection, id FROM session ORDER BY started_at, id")?;
        let keys: Vec<(String, String)> = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let mut sessions = Vec::new();
        for (collection, id) in keys {
            sessions.extend(self.one_session(&collection, &id)?);
        }
        Ok(sessions)
    }

    /// One session in progress.
    ///
    /// # Errors
    /// Only those of the file.
    pub fn session(&self, collection: &str, id: &str) -> Result<Option<Session>> {
        self.together(|| self.one_session(collection, id))
    }

    fn one_session(&self, collection: &str, id: &str) -> Result<Option<Session>> {
        let Some(stored) = stored(self, collection, id)? else {
            return Ok(None);
        };
        let Some(row) = find(self.conn, collection, id)? else {
            return Ok(None);
        };
        let mut sets = Vec::new();
        for set in children_ids(self, &stored.children, id)? {
            sets.extend(find(self.conn, &stored.children, &set)?.map(Record::from));
        }
        record::name_devices(self, &mut sets)?;
        let mut record = Record::from(row);
        record::name_devices(self, std::slice::from_mut(&mut record))?;
        Ok(Some(Session {
            collection: collection.to_owned(),
            id: id.to_owned(),
            children: stored.children,
            state: SessionState::Active,
            started_at: stored.started_at,
            scratch: stored.scratch,
            record,
            sets,
        }))
    }
}

/// UTC milliseconds as RFC 3339.
fn rfc3339(wall_ms: i64) -> String {
    // The format ends with the year 9999.
    let millis = u64::try_from(wall_ms).unwrap_or(0).min(253_402_300_799_999);
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(millis)).to_string()
}
