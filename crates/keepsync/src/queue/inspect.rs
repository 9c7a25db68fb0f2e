//! What the user can see of, and do to, what is not sent.

use super::{
    Ended, Entry, EntryState, HEAD, Head, Kind, NEVER, Why, body_at, claim::predecessors, content_at, head_at,
    head_from_sql, heads_of, no_entry, rollback, why,
};
use crate::{
    body::Body,
    collection::OnRejected,
    conflict::{Stored, clocks_after},
    db::{Read, Write},
    error::{Error, Result},
    record::{self, RecordState, find},
};
use once_cell::sync::Lazy;
use rusqlite::{Connection, params};
use serde_json::json;
use uuid::Uuid;

pub(super) fn list(read: &Read<'_>, after_seq: i64, limit: usize) -> Result<Vec<Entry>> {
    // Kinds that only a newer app knows are not shown, and take no place in a page.
    static SQL: Lazy<String> = Lazy::new(|| {
        format!(
            "SELECT {HEAD} FROM entry WHERE seq > ?1 AND kind IN ('create', 'update', 'delete', 'complete', 'skip')
             ORDER BY seq LIMIT ?2"
        )
    });
    let mut statement = read.conn.prepare_cached(&SQL)?;
    let rows = statement.query_map(
        params![after_seq, i64::try_from(limit).unwrap_or(i64::MAX)],
        head_from_sql,
    )?;
    let heads: Vec<Head> = rows.collect::<rusqlite::Result<_>>()?;
    let (clock, whys) = (why::Clock::read(read)?, why::all(read, &heads)?);
    Ok(heads
        .into_iter()
        .zip(whys)
        .filter_map(|(head, why)| shown(&clock, head, why))
        .collect())
}

pub(super) fn look_at(read: &Read<'_>, op: Uuid) -> Result<Entry> {
    let head = find_op(read.conn, op)?;
    let body = body_at(read.conn, head.seq)?;
    let mut after = Vec::new();
    for seq in predecessors(read, &head)?.all {
        after.extend(head_at(read.conn, seq)?.map(|head| head.op));
    }
    let (clock, why) = (why::Clock::read(read)?, why::of(read, &head)?);
    let mut entry = shown(&clock, head, why).ok_or_else(|| no_entry(op))?;
    entry.body = body;
    entry.after = after;
    Ok(entry)
}

/// Entries of kinds that only a newer app knows are not shown.
fn shown(clock: &why::Clock, head: Head, why: Why) -> Option<Entry> {
    let kind = head.kind?;
    let exhausted = head.next_tick == NEVER;
    let later = Some(head.next_tick).filter(|&next| next > 0 && !exhausted);
    Some(Entry {
        seq: head.seq,
        op: head.op,
        replaces: head.replaces,
        collection: head.collection,
        id: head.id,
        lane: head.lane,
        kind,
        body: None,
        base_version: head.base_version,
        maybe_sent: head.maybe_sent,
        attempts: head.attempts,
        next_attempt_at: later.map(|next| clock.wall_ms(next)),
        exhausted,
        state: head.state,
        reason: head.reason,
        created_at: head.created_at,
        why,
        after: Vec::new(),
    })
}

/// By operation id. There is no index on it: one would cost every logged set a page, and people look
/// an entry up seldom.
pub(super) fn find_op(conn: &Connection, op: Uuid) -> Result<Head> {
    static SQL: Lazy<String> = Lazy::new(|| format!("SELECT {HEAD} FROM entry WHERE op = ?1"));
    let mut statement = conn.prepare_cached(&SQL)?;
    let mut rows = statement.query_map([op.as_bytes()], head_from_sql)?;
    rows.next().transpose()?.ok_or_else(|| no_entry(op))
}

/// Gives a refused or certainly unsent entry another body, and sets it free. Gives its operation id,
/// which is a new one if the old one may have left the device.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::MaybeSent`] while its fate is open: write to the record instead,
/// which makes a new entry; [`Error::Invalid`] for the body, for a delete, and for an entry in
/// conflict (resolve the conflict instead).
pub fn edit(write: &mut Write<'_>, op: Uuid, body: &str) -> Result<Uuid> {
    let mut head = find_op(write.conn, op)?;
    let settings = &write.shared.settings;
    let body = Body::parse(body, settings.body_bytes, settings.body_depth)?;
    if head.state == EntryState::Conflict {
        return Err(Error::invalid("entry", "in conflict: resolve the conflict"));
    }
    if head.kind == Some(Kind::Delete) {
        return Err(Error::invalid("entry", "a delete has no body"));
    }
    if head.fate_open() {
        return Err(Error::MaybeSent);
    }
    if head.state == EntryState::Parked {
        head.state = EntryState::Waiting;
    }
    head.attempts = 0;
    head.next_tick = 0;
    head.reason = None;
    let hlc = write.tick_hlc_after(Some(head.hlc));
    let clocks = match write.shared.collections.get(&head.collection) {
        Err(_) => None,
        Ok(collection) => {
            let (before, clocks) = content_at(write.conn, head.seq)?;
            let before = Stored {
                body: before.as_deref(),
                hlc: head.hlc,
                device_id: &write.shared.device_id,
                clocks: clocks.as_deref(),
            };
            clocks_after(collection, &before, Some(body.as_str()), (hlc, &write.shared.device_id))
        }
    };
    head.hlc = hlc;
    head.freshen(write)?;
    super::append::set_content(write, head.seq, Some(body.as_str()), clocks.as_deref())?;
    let last = heads_of(write.conn, &head.collection, &head.id, &head.lane)?.pop();
    if last.is_some_and(|last| last.seq == head.seq)
        && let Some(mut row) = find(write.conn, &head.collection, &head.id)?
    {
        row.body = Some(body.into_string());
        row.hlc = head.hlc;
        row.clocks = clocks;
        row.updated_at = write.now.wall_ms;
        row.store(write)?;
    }
    freshen_followers(write, &head)?;
    rollback::unwant(write, &head)?;
    record::settle_state(write, &head.collection, &head.id)?;
    write.changes.sendable = true;
    Ok(head.op)
}

/// Entries that went out chained on one that was refused were refused with it.
fn freshen_followers(write: &mut Write<'_>, head: &Head) -> Result<()> {
    for mut later in heads_of(write.conn, &head.collection, &head.id, &head.lane)? {
        if later.seq > head.seq && later.maybe_sent {
            later.freshen_alike(write)?;
        }
    }
    Ok(())
}

/// Sends an entry again as it is, now: a parked one, or one that waits for its time. A refused write that later
/// ones have passed by, of which one may be on the server, stays as it is: the answer to that one decides.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Invalid`] for an entry in conflict or held.
pub fn retry(write: &mut Write<'_>, op: Uuid) -> Result<()> {
    let head = find_op(write.conn, op)?;
    match head.state {
        EntryState::Waiting | EntryState::Parked => release(write, head).map(drop),
        EntryState::Held => Err(Error::invalid("entry", "held until its session is done")),
        EntryState::Conflict => Err(Error::invalid("entry", "in conflict: resolve the conflict")),
    }
}

/// Sends everything again that is parked or waits for its time, as [`retry`] does. Gives how many are to be sent.
///
/// # Errors
/// Only those of the file.
pub fn retry_all(write: &mut Write<'_>) -> Result<u64> {
    static SQL: Lazy<String> =
        Lazy::new(|| format!("SELECT {HEAD} FROM entry WHERE state = 3 OR (state = 0 AND next_tick > 0) ORDER BY seq"));
    let heads: Vec<Head> = {
        let mut statement = write.conn.prepare_cached(&SQL)?;
        let rows = statement.query_map([], head_from_sql)?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    let mut count = 0;
    for head in heads {
        count += u64::from(release(write, head)?);
    }
    Ok(count)
}

/// Gives whether it is to be sent.
fn release(write: &mut Write<'_>, mut head: Head) -> Result<bool> {
    let parked = head.state == EntryState::Parked;
    if parked && is_being_overtaken(write, &head)? {
        return Ok(false);
    }
    head.state = EntryState::Waiting;
    head.attempts = 0;
    head.next_tick = 0;
    head.reason = None;
    head.store(write)?;
    write.changes.sendable = true;
    if parked {
        record::settle_state(write, &head.collection, &head.id)?;
    }
    Ok(true)
}

/// One that passed it by may be on the server, and was made on it: the answer to that one decides.
fn is_being_overtaken(write: &Write<'_>, head: &Head) -> Result<bool> {
    let collection = write.shared.collections.get(&head.collection);
    if !collection.is_ok_and(|collection| collection.on_rejected == OnRejected::ParkEntry) {
        return Ok(false);
    }
    let entries = heads_of(write.conn, &head.collection, &head.id, &head.lane)?;
    Ok(entries.iter().any(|later| later.seq > head.seq && later.fate_open()))
}

/// Throws an unsent write away, because the user says so; it goes into the record's history. Gives
/// how many entries went: with `cascade`, those that cannot go without it go too. One that may have
/// left the device may still have arrived; the next pull tells.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Invalid`] if others depend on it and `cascade` is not set.
pub fn discard(write: &mut Write<'_>, op: Uuid, cascade: bool) -> Result<u64> {
    let head = find_op(write.conn, op)?;
    let mut doomed = vec![head.clone()];
    if head.kind == Some(Kind::Create) {
        let row = find(write.conn, &head.collection, &head.id)?;
        let kept = row.is_some_and(|row| row.state == RecordState::Synced || row.version > 0);
        if !kept {
            doomed.extend(
                heads_of(write.conn, &head.collection, &head.id, &head.lane)?
                    .into_iter()
                    .filter(|other| other.seq != head.seq),
            );
            doomed.extend(children_of(&write.read(), &head.collection, &head.id)?);
        }
    }
    if doomed.len() > 1 && !cascade {
        let problem = format!("{} other unsent writes cannot go without it", doomed.len() - 1);
        return Err(Error::invalid("entry", problem));
    }
    throw_away(write, &doomed, "discarded", Ended::Discarded)?;
    Ok(doomed.len() as u64)
}

/// Entries go into the history of their records, which show what is left of them.
pub(super) fn throw_away(write: &mut Write<'_>, doomed: &[Head], reason: &str, ended: Ended) -> Result<()> {
    for head in doomed {
        let body = body_at(write.conn, head.seq)?;
        let device = write.shared.device_id.clone();
        record::add_history(
            write,
            (&head.collection, &head.id),
            body.as_deref(),
            0,
            (head.hlc, &device),
            reason,
        )?;
        head.remove(write, ended)?;
    }
    for head in doomed.iter().rev() {
        if let Some(last) = heads_of(write.conn, &head.collection, &head.id, &head.lane)?.last() {
            let (body, clocks) = content_at(write.conn, last.seq)?;
            if let Some(mut row) = find(write.conn, &head.collection, &head.id)? {
                row.body = body;
                row.hlc = last.hlc;
                row.clocks = clocks;
                row.store(write)?;
            }
        }
        crate::conflict::close_if_idle(write, &head.collection, &head.id)?;
        record::settle_state(write, &head.collection, &head.id)?;
    }
    write.store_clocks()
}

/// A record that certainly never reached the server is gone: its children cannot have arrived either,
/// whatever left the device, and do not go without it.
pub(crate) fn cancel_children(write: &mut Write<'_>, collection: &str, id: &str) -> Result<()> {
    let children = children_of(&write.read(), collection, id)?;
    let device = write.shared.device_id.clone();
    for head in &children {
        let body = body_at(write.conn, head.seq)?;
        let key = (head.collection.as_str(), head.id.as_str());
        record::add_history(write, key, body.as_deref(), 0, (head.hlc, &device), "cancelled")?;
        head.remove(write, Ended::Discarded)?;
    }
    for head in &children {
        crate::conflict::close_if_idle(write, &head.collection, &head.id)?;
        record::settle_state(write, &head.collection, &head.id)?;
    }
    Ok(())
}

/// A lane is named by an id alone: records of other collections may share it.
pub(super) fn children_of(read: &Read<'_>, collection: &str, id: &str) -> Result<Vec<Head>> {
    static SQL: Lazy<String> =
        Lazy::new(|| format!("SELECT {HEAD} FROM entry WHERE lane = ?1 AND id <> ?1 ORDER BY seq"));
    let mut statement = read.conn.prepare_cached(&SQL)?;
    let rows = statement.query_map([id], head_from_sql)?;
    let mut children: Vec<Head> = rows.collect::<rusqlite::Result<_>>()?;
    children.retain(|child| {
        let registered = read.shared.collections.get(&child.collection).ok();
        let parent = registered.and_then(|registered| registered.parent.as_ref());
        parent.is_some_and(|parent| parent.collection == collection)
    });
    Ok(children)
}

/// All unsent writes with their bodies: one JSON object a line, oldest first. For rescuing what the
/// app cannot send; it holds what the user wrote, in clear, also where the file is encrypted.
///
/// # Errors
/// Only those of the file.
pub fn export(read: &Read<'_>) -> Result<String> {
    read.together(|| lines(read))
}

fn lines(read: &Read<'_>) -> Result<String> {
    let mut lines = String::new();
    let mut after = i64::MIN;
    loop {
        let entries = list(read, after, 500)?;
        for entry in &entries {
            let body = body_at(read.conn, entry.seq)?;
            let body: Option<&serde_json::value::RawValue> = body.as_deref().map(serde_json::from_str).transpose()?;
            let reason = entry
                .reason
                .as_ref()
                .map(|reason| json!({ "code": reason.code, "message": reason.message }));
            let line = json!({
                "op": entry.op, "seq": entry.seq, "collection": entry.collection, "id": entry.id, "kind": entry.kind.as_str(),
                "state": entry.state.as_str(), "base_version": entry.base_version, "attempts": entry.attempts,
                "created_at": entry.created_at, "maybe_sent": entry.maybe_sent, "reason": reason, "body": body,
            });
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
        match entries.last() {
            Some(last) => after = last.seq,
            None => return Ok(lines),
        }
    }
}
