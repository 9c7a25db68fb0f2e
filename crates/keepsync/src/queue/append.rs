//! A write's entry, in the write's own transaction.

use super::{
    Ended, EntryState, Head, Kind,
    fold::{Fold, Last, fold},
    heads_of, rollback,
};
use crate::{
    conflict,
    db::{Read, Write},
    error::Result,
    hlc::Hlc,
    planted::{self, Bug},
    record::{Base, find},
};
use rusqlite::params;
use uuid::Uuid;

/// A write that wants an entry.
pub(crate) struct Append {
    pub(crate) collection: String,
    pub(crate) id: String,
    pub(crate) lane: String,
    pub(crate) kind: Kind,
    pub(crate) body: Option<String>,
    pub(crate) base_version: i64,
    pub(crate) base_id: Option<Uuid>,
    pub(crate) hlc: Hlc,
    /// Of the units it does not change.
    pub(crate) clocks: Option<String>,
    pub(crate) priority: i32,
    pub(crate) held: bool,
}

/// What became of it.
pub(crate) enum Appended {
    /// An entry carries it.
    Entry {
        /// The entry's operation id.
        op: Uuid,
        /// Whether a parked entry was set free, so that the record's state has to be looked at.
        released: bool,
    },
    /// It and the last entry cancelled out.
    Cancelled,
}

/// For a record that certainly has no entry.
pub(crate) fn append_first(write: &mut Write<'_>, new: Append) -> Result<Uuid> {
    let kind = new.kind;
    insert(write, new, kind, None)
}

pub(crate) fn append(write: &mut Write<'_>, new: Append) -> Result<Appended> {
    let last = heads_of(write.conn, &new.collection, &new.id, &new.lane)?.pop();
    // An entry of a kind that a newer app wrote is as good as none: nothing is folded into it.
    let known = last.as_ref().and_then(Last::of);
    if let Some(last) = &last {
        rollback::unwant(write, last)?;
    }
    match (last, fold(known, new.kind)) {
        (Some(head), Fold::Into(kind)) => into(write, head, kind, new),
        (Some(head), Fold::Cancel) => {
            head.remove(write, Ended::Discarded)?;
            Ok(Appended::Cancelled)
        }
        (before, Fold::Append(kind) | Fold::Into(kind)) => Ok(Appended::Entry {
            op: insert(write, new, kind, before.as_ref())?,
            released: false,
        }),
        (None, Fold::Cancel) => Ok(Appended::Cancelled),
    }
}

/// Whether a deletion of the record would cancel out with its creation.
pub(crate) fn would_cancel(read: &Read<'_>, collection: &str, id: &str) -> Result<bool> {
    let Some(row) = find(read.conn, collection, id)? else {
        return Ok(false);
    };
    let entries = heads_of(read.conn, collection, id, row.lane())?;
    Ok(entries.len() == 1 && fold(entries.last().and_then(Last::of), Kind::Delete) == Fold::Cancel)
}

fn into(write: &mut Write<'_>, mut head: Head, kind: Kind, new: Append) -> Result<Appended> {
    let released = head.state == EntryState::Parked;
    if released {
        head.state = EntryState::Waiting;
        head.attempts = 0;
        head.next_tick = 0;
        head.reason = None;
    }
    head.kind = Some(kind);
    head.hlc = new.hlc;
    if planted::is(Bug::FoldAttempted) {
        head.earlier.clear();
        head.store(write)?;
    } else {
        head.freshen(write)?;
    }
    set_content(write, head.seq, new.body.as_deref(), new.clocks.as_deref())?;
    if head.state == EntryState::Conflict {
        conflict::refresh_local(write, &new.collection, &new.id, new.body.as_deref(), new.hlc)?;
    }
    write.changes.sendable |= head.state == EntryState::Waiting;
    Ok(Appended::Entry { op: head.op, released })
}

pub(crate) fn set_content(write: &mut Write<'_>, seq: i64, body: Option<&str>, clocks: Option<&str>) -> Result<()> {
    write
        .conn
        .prepare_cached("UPDATE entry SET body = ?2, clocks = ?3 WHERE seq = ?1")?
        .execute(params![seq, body, clocks])?;
    write.changes.queue = true;
    Ok(())
}

/// `before` is the record's last entry. The new one was made on what stands before it, whatever has
/// been pulled since, and takes part in its conflict.
fn insert(write: &mut Write<'_>, new: Append, kind: Kind, before: Option<&Head>) -> Result<Uuid> {
    let op = write.uuid_v7();
    let (base_version, base_id, (base, base_body)) = before
        .map_or((new.base_version, new.base_id, Base::Visible.to_columns()), |before| {
            (before.base_version, before.base_id, before.base.to_columns())
        });
    let state = match before {
        Some(before) if before.state == EntryState::Conflict => EntryState::Conflict,
        _ if new.held => EntryState::Held,
        _ => EntryState::Waiting,
    };
    write
        .conn
        .prepare_cached(
            "INSERT INTO entry (op, collection, id, lane, kind, body, base_version, base, base_body, hlc, priority, maybe_sent,
             attempts, next_tick, state, created_at, base_id, clocks)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 0, 0, 0, ?12, ?13, ?14, ?15)",
        )?
        .execute(params![
            op.as_bytes(),
            new.collection,
            new.id,
            new.lane,
            kind.as_str(),
            new.body,
            base_version,
            base,
            base_body,
            new.hlc.to_i64(),
            new.priority,
            state as i64,
            write.now.wall_ms,
            base_id.as_ref().map(Uuid::as_bytes),
            new.clocks,
        ])?;
    if planted::is(Bug::OrderByWallClock) {
        let sql = "UPDATE entry SET seq = ?2 * 1000 + seq % 1000 WHERE op = ?1";
        write.conn.execute(sql, params![op.as_bytes(), write.now.wall_ms])?;
    }
    write.changes.queue = true;
    write.changes.sendable |= state == EntryState::Waiting;
    if state == EntryState::Conflict {
        conflict::refresh_local(write, &new.collection, &new.id, new.body.as_deref(), new.hlc)?;
    }
    Ok(op)
}
