//! Taking an unsent write back, because the app asks for it.
//!
//! 1. What certainly was not applied (never sent, refused, in conflict) goes into the record's history,
//!    with what depends on it where the caller says so, and the record shows what the server confirmed.
//!    The base is always kept current by the pull's cursor and the wire has no pull of one record, so
//!    "pulling it again" is a pull: the store starts one.
//! 2. What may have been sent waits for its answer: the entry is marked, and the drain sends it again
//!    under its operation id.
//! 3. The answer: *accepted* leaves nothing to roll back. *Refused*, *conflict* and *blocked* say that it
//!    was certainly not applied: step 1 happens in the transaction that settles the answer. Anything else
//!    is no answer, and the entry goes on waiting for one.
//!
//! A further write of the record, or an edit of the entry, takes the mark away: the user went on.
//!
//! Stopped before the commit of 1: the entry is as it was. Stopped after 2: the mark is in the file, and
//! the entry goes again under its id. Stopped between the answer and its commit: it goes again too, and
//! is answered as before.

use super::{
    Ended, EntryState, Head, Kind, heads_of,
    inspect::{children_of, find_op, throw_away},
};
use crate::{
    collection::OnRejected,
    db::Write,
    error::{Error, Result},
    record::{RecordState, find},
};
use rusqlite::{OptionalExtension, params};
use uuid::Uuid;

/// What came of asking for a rollback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rollback {
    /// It is rolled back, with as many entries as this.
    Done(u64),
    /// It may have been sent: its answer decides.
    WhenAnswered,
}

/// Puts back what the server confirmed, or what was unsent before this write. With `cascade`, what
/// depends on it goes too: the later writes of the record, and the children of a record that was never
/// created on the server. A completion that is rolled back leaves the record as it was before it; its
/// session does not come back.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Invalid`] if others depend on it and `cascade` is not set;
/// [`Error::MaybeSent`] if one that passed it by may have been sent.
pub fn rollback(write: &mut Write<'_>, op: Uuid, cascade: bool) -> Result<Rollback> {
    let head = find_op(write.conn, op)?;
    let doomed = dependants(write, &head)?;
    if doomed.len() > 1 && !cascade {
        let problem = format!("{} other unsent writes cannot stay without it", doomed.len() - 1);
        return Err(Error::invalid("entry", problem));
    }
    if head.fate_open() {
        write
            .conn
            .prepare_cached(
                "UPDATE entry SET rollback = iif(?2, (SELECT max(seq) FROM entry), -1), next_tick = 0 WHERE seq = ?1",
            )?
            .execute(params![head.seq, cascade])?;
        write.changes.queue = true;
        write.changes.sendable = true;
        return Ok(Rollback::WhenAnswered);
    }
    let passed_by = |other: &Head| other.fate_open() && !head.maybe_sent;
    if doomed.iter().any(passed_by) {
        return Err(Error::MaybeSent);
    }
    throw_away(write, &doomed, "rolled_back", Ended::RolledBack)?;
    Ok(Rollback::Done(doomed.len() as u64))
}

/// An entry was certainly not applied. True: it was to be rolled back, and is.
pub(super) fn refused(write: &mut Write<'_>, head: &Head) -> Result<bool> {
    let wanted: Option<i64> = write
        .conn
        .prepare_cached("SELECT rollback FROM entry WHERE seq = ?1")?
        .query_row([head.seq], |row| row.get(0))
        .optional()?;
    let wanted = wanted.unwrap_or(0);
    if wanted == 0 {
        return Ok(false);
    }
    let doomed = dependants(write, head)?;
    if doomed.iter().any(|other| other.seq != head.seq && other.seq > wanted) {
        // Something was hung on it since: nobody agreed to lose that.
        unwant(write, head)?;
        return Ok(false);
    }
    throw_away(write, &doomed, "rolled_back", Ended::RolledBack)?;
    Ok(true)
}

/// The user went on with the record.
pub(super) fn unwant(write: &mut Write<'_>, head: &Head) -> Result<()> {
    write
        .conn
        .prepare_cached(
            "UPDATE entry SET rollback = 0 WHERE lane = ?1 AND id = ?2 AND collection = ?3 AND rollback > 0",
        )?
        .execute([&head.lane, &head.id, &head.collection])?;
    Ok(())
}

/// The entry, and what cannot stay without it.
fn dependants(write: &Write<'_>, head: &Head) -> Result<Vec<Head>> {
    let passed_over = head.state == EntryState::Parked
        && head.kind.is_some_and(Kind::can_be_overtaken)
        && write
            .shared
            .collections
            .get(&head.collection)
            .is_ok_and(|collection| collection.on_rejected == OnRejected::ParkEntry);
    let mut doomed = vec![head.clone()];
    let row = find(write.conn, &head.collection, &head.id)?;
    let creates =
        head.kind == Some(Kind::Create) && !row.is_some_and(|row| row.state == RecordState::Synced || row.version > 0);
    if creates || !passed_over {
        doomed.extend(
            heads_of(write.conn, &head.collection, &head.id, &head.lane)?
                .into_iter()
                .filter(|other| other.seq > head.seq),
        );
    }
    if creates {
        doomed.extend(children_of(&write.read(), &head.collection, &head.id)?);
    }
    Ok(doomed)
}
