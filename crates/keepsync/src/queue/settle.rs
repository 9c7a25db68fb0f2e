//! What the backend said of a batch, in one transaction with everything it changes.
//!
//! 1. Each result is matched to its entry by operation id. An entry that was changed or discarded
//!    while it was away no longer matches, and is left alone.
//! 2. Accepted: the base moves, the entry goes into the journal, the record shows the base unless
//!    something later is unsent.
//! 3. Conflict: the base moves, and [`conflict`] decides.
//! 4. Rejected: reported, not parked yet. The drain parks at the end of its pass, when it can tell a
//!    bad write from a bad backend. Stopped before: the entry goes again and is refused again, and a
//!    refusal is not remembered by the backend.
//! 5. Everything else waits: a number of attempts and a time, both stored.

use super::{
    Content, Ended, EntryState, Flight, Head, Kind, NEVER, Reason,
    claim::predecessors,
    content_at,
    flight::{arrive, land},
    head_at, heads_of, rollback, uuids_to_sql, whole_at,
};
use crate::{
    conflict,
    db::Write,
    diagnostics,
    drain::retry_delay,
    error::Result,
    journal,
    planted::{self, Bug},
    record::{self, find},
    remote::{Accepted, Outcome, PushAnswer, RemoteVersion},
    settings::AfterLast,
};
use rusqlite::params;
use std::collections::HashMap;
use uuid::Uuid;

/// A refusal that has not been acted on yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The entry.
    pub seq: i64,
    /// The operation that was refused.
    pub op: Uuid,
    /// Machine-readable.
    pub code: String,
    /// For a person.
    pub message: String,
}

/// What settling a batch came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettleReport {
    /// Entries that arrived.
    pub accepted: u64,
    /// Entries that met another version.
    pub conflicts: u64,
    /// Entries whose conflict was settled by policy and that go again.
    pub rebased: Vec<i64>,
    /// Refusals, to be parked at the end of the pass.
    pub rejected: Vec<Rejection>,
    /// Entries that wait for a later pass.
    pub postponed: Vec<i64>,
    /// Of those: so many were tried for the last time planned.
    pub gave_up: u64,
    /// Whether an answer asked for a sign-in.
    pub sign_in: bool,
    /// Whether the backend counts in another epoch: before anything else goes, a pull is due.
    pub other_epoch: bool,
}

pub(crate) fn settle(write: &mut Write<'_>, flight: &Flight, answer: &PushAnswer) -> Result<SettleReport> {
    let mut report = SettleReport::default();
    let mut results: HashMap<Uuid, &Outcome> = HashMap::with_capacity(answer.results.len());
    for (at, (op, outcome)) in answer.results.iter().enumerate() {
        let asked = flight.items.get(at).filter(|_| planted::is(Bug::ResultsByPosition));
        results.entry(asked.map_or(*op, |(_, op)| *op)).or_insert(outcome);
    }
    if let Some(server_time) = answer.server_time {
        diagnostics::time_told(write, server_time)?;
    }
    if let Some(epoch) = &answer.epoch {
        match write.read().meta::<String>("epoch")? {
            None => {
                write.set_meta("epoch", epoch.as_str())?;
                // Asked for the epoch, as a restored backend asks who does not name one: nothing was applied.
                report.other_epoch = answer.results.is_empty() && !flight.items.is_empty();
            }
            Some(known) => report.other_epoch = known != *epoch && !planted::is(Bug::NoEpoch),
        }
    }
    let arrived = arrive(write, flight, &results, answer.epoch.as_deref())?;
    report.accepted += arrived.len() as u64;
    for &(seq, op) in flight.items.iter().filter(|(seq, _)| !arrived.contains(seq)) {
        // What has another id now was renewed by an earlier item of this very answer, whose conflict a policy has
        // settled: all else that renews refuses an entry whose fate is open. What follows an item in conflict was
        // not applied, so its own answer can say no more than "later", and would only put the renewed one off.
        let Some((head, content)) = whole_at(write.conn, seq)?.filter(|(head, _)| head.op == op) else {
            continue;
        };
        match results.get(&op) {
            Some(Outcome::Accepted(accepted)) => {
                accept_whole(write, &head, content, accepted, answer.epoch.as_deref())?;
                report.accepted += 1;
            }
            Some(Outcome::Conflict(remote)) => conflicted(write, head, remote, answer, &mut report)?,
            Some(Outcome::Rejected { code, message }) => rejected(write, head, code, message, answer, &mut report)?,
            Some(Outcome::TooLarge) => {
                let rejection = Rejection {
                    seq,
                    op,
                    code: "too_large".to_owned(),
                    message: "larger than the server takes".to_owned(),
                };
                report.rejected.push(rejection);
            }
            Some(Outcome::SignIn) if planted::is(Bug::DropOn401) => {
                head.remove(write, Ended::Discarded)?;
                record::settle_state(write, &head.collection, &head.id)?;
            }
            Some(Outcome::SignIn) => report.sign_in = true,
            Some(Outcome::Blocked) => blocked(write, head, &mut report)?,
            Some(Outcome::Retry { after_ms }) => {
                report.gave_up += u64::from(postpone(write, head, *after_ms)?);
                report.postponed.push(seq);
            }
            // Unanswered: it stays maybe sent and goes again under its id, but not at once, or a
            // backend that never answers it would be asked without end.
            None if report.other_epoch => {}
            None => {
                report.gave_up += u64::from(postpone(write, head, None)?);
                report.postponed.push(seq);
            }
        }
    }
    land(write, flight, &arrived)?;
    if planted::is(Bug::JournalNotWritten) {
        write.conn.execute("DELETE FROM journal", [])?;
    }
    journal::store(write)?;
    write.store_clocks()?;
    Ok(report)
}

/// An unknown change number may lie above any branch: the operation is given again, and a server that
/// still has it says so.
pub(super) fn journal_change(accepted: &Accepted) -> i64 {
    if accepted.change > 0 { accepted.change } else { i64::MAX }
}

/// It has arrived: base, journal, queue, visible body.
pub(crate) fn accept(write: &mut Write<'_>, head: &Head, accepted: &Accepted, epoch: Option<&str>) -> Result<()> {
    let content = content_at(write.conn, head.seq)?;
    accept_whole(write, head, content, accepted, epoch)
}

/// [`accept`] of an entry whose body is known.
fn accept_whole(
    write: &mut Write<'_>,
    head: &Head,
    (body, clocks): Content,
    accepted: &Accepted,
    epoch: Option<&str>,
) -> Result<()> {
    journal(write, head, (body.as_deref(), clocks.as_deref()), accepted, epoch)?;
    head.remove(write, Ended::Arrived)?;
    if head.state == EntryState::Conflict {
        // Refused once, and taken since: a request of then may arrive very late.
        conflict::close_if_idle(write, &head.collection, &head.id)?;
    }
    let Some(mut row) = find(write.conn, &head.collection, &head.id)? else {
        return Ok(());
    };
    let mut rest = heads_of(write.conn, &head.collection, &head.id, &head.lane)?;
    for overtaken in rest.extract_if(.., |other| other.seq < head.seq && other.state == EntryState::Parked) {
        // Refused, and passed over by this one, which was made on it. Sent once more it would undo this.
        overtaken.remove(write, Ended::Superseded(head.op))?;
    }
    let version = if accepted.version > 0 {
        accepted.version
    } else {
        row.version + 1
    };
    let body = if head.kind == Some(Kind::Delete) {
        None
    } else {
        accepted.body.clone().or(body)
    };
    // A newer version may have been pulled while this answer was on its way. What follows in the
    // lane was not made on that one, but on what was accepted here.
    let mut produced = record::Base::Visible;
    if version > row.version || row.base == record::Base::None {
        let confirmed = RemoteVersion {
            body,
            version,
            hlc: head.hlc,
            clocks,
            op: Some(head.op),
            device_id: write.shared.device_id.to_string(),
            device_label: None,
            server_id: accepted.server_id.clone(),
            created_at: row.created_at,
            updated_at: accepted.updated_at.unwrap_or(row.updated_at),
        };
        let seen = row.seen;
        row.take_base(write.now.wall_ms, &confirmed, !rest.is_empty(), seen);
    } else if version < row.version {
        produced = body.map_or(record::Base::Deleted, record::Base::Body);
    }
    if let Some(mut next) = rest.first().cloned() {
        next.base = produced;
        // What may have left is not changed: it goes again as it went.
        if !next.fate_open() {
            next.base_version = version;
            next.base_op = None;
            // Where an earlier epoch's id counts, the server may know the version by that.
            next.base_id = Some(head.op).filter(|_| head.earlier.is_empty());
        }
        next.store(write)?;
    }
    row.settle(write, rest.iter().map(|entry| entry.state))
}

fn journal(
    write: &mut Write<'_>,
    head: &Head,
    (body, clocks): (Option<&str>, Option<&str>),
    accepted: &Accepted,
    epoch: Option<&str>,
) -> Result<()> {
    let known: Option<String>;
    let epoch = match epoch {
        Some(epoch) => epoch,
        None => {
            known = write.read().meta("epoch")?;
            known.as_deref().unwrap_or("")
        }
    };
    write
        .conn
        .prepare_cached(
            "INSERT OR REPLACE INTO journal (n, op, replaces, collection, id, lane, kind, body, base_version, base_op, hlc,
             created_at, version, change, epoch, acked_at, base_id, earlier, clocks)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
        )?
        .execute(params![
            // The order of writing, not of arriving: answers may come in any.
            head.seq,
            head.op.as_bytes(),
            head.replaces.as_ref().map(Uuid::as_bytes),
            head.collection,
            head.id,
            head.lane,
            head.kind.map_or("", Kind::as_str),
            body,
            head.base_version,
            head.base_op.as_ref().map(Uuid::as_bytes),
            head.hlc.to_i64(),
            head.created_at,
            accepted.version,
            journal_change(accepted),
            epoch,
            accepted.updated_at.unwrap_or(write.now.wall_ms),
            head.base_id.as_ref().map(Uuid::as_bytes),
            uuids_to_sql(&head.earlier),
            clocks,
        ])?;
    write.journaled(body.map_or(0, |body| i64::try_from(body.len()).unwrap_or(i64::MAX)));
    Ok(())
}

fn conflicted(
    write: &mut Write<'_>,
    head: Head,
    remote: &RemoteVersion,
    answer: &PushAnswer,
    report: &mut SettleReport,
) -> Result<()> {
    if remote.op.is_some_and(|op| head.went_as(op)) {
        // Our own write, applied by an attempt whose answer was lost.
        let accepted = Accepted {
            version: remote.version,
            change: 0,
            server_id: remote.server_id.clone(),
            body: remote.body.clone(),
            updated_at: Some(remote.updated_at),
        };
        accept(write, &head, &accepted, answer.epoch.as_deref())?;
        report.accepted += 1;
        return Ok(());
    }
    let refused = if rollback::refused(write, &head)? {
        None
    } else {
        Some(head.seq)
    };
    report.conflicts += 1;
    diagnostics::conflict_met(write, &head, remote.version)?;
    let (collection, id) = (head.collection.clone(), head.id.clone());
    let mut remote = remote.clone();
    let said = remote.hlc;
    remote.hlc = write.observe_hlc(remote.hlc);
    diagnostics::clock_met(write, &remote.device_id, said, remote.hlc)?;
    record::learn_device(write, &remote.device_id, remote.device_label.as_deref())?;
    record::warn_of_change(write, (&collection, &id), &remote, answer.server_time)?;
    conflict::meet(write, &collection, &id, &remote, refused, None)?;
    for entry in find(write.conn, &collection, &id)?
        .map_or(Ok(Vec::new()), |row| heads_of(write.conn, &collection, &id, row.lane()))?
    {
        if entry.state == EntryState::Waiting {
            report.rebased.push(entry.seq);
        }
    }
    Ok(())
}

fn rejected(
    write: &mut Write<'_>,
    head: Head,
    code: &str,
    message: &str,
    answer: &PushAnswer,
    report: &mut SettleReport,
) -> Result<()> {
    if head.kind == Some(Kind::Delete) && code == "not_found" {
        // What is not there any more has been deleted.
        accept(write, &head, &Accepted::default(), answer.epoch.as_deref())?;
        report.accepted += 1;
        return Ok(());
    }
    report.rejected.push(Rejection {
        seq: head.seq,
        op: head.op,
        code: code.to_owned(),
        message: message.to_owned(),
    });
    Ok(())
}

/// The backend has not applied what it must follow. While that is unsent here too, it simply waits
/// for it; where it is not, the backend lost it, and the entry goes on from what the backend has.
fn blocked(write: &mut Write<'_>, mut head: Head, report: &mut SettleReport) -> Result<()> {
    if rollback::refused(write, &head)? {
        return Ok(());
    }
    if predecessors(&write.read(), &head)?.all.is_empty() {
        // A base that is frozen is what it was made on; a version pulled since was not seen.
        if head.base == record::Base::Visible {
            let row = find(write.conn, &head.collection, &head.id)?;
            (head.base_version, head.base_id) = row.map_or((0, None), |row| (row.version, row.base_id));
        }
        head.freshen_alike(write)?;
        // It stands on something else now, and begins its schedule anew.
        head.attempts = 0;
        report.gave_up += u64::from(postpone(write, head.clone(), None)?);
    }
    report.postponed.push(head.seq);
    Ok(())
}

/// One more attempt that did not get through: when is the next? Attempts and time are stored, so a
/// restart resets nothing. True: that was the last one planned, for the first time.
pub(crate) fn postpone(write: &mut Write<'_>, mut head: Head, after_ms: Option<u64>) -> Result<bool> {
    let settings = &write.shared.settings;
    let step = retry_delay(
        &settings.retry_schedule_ms,
        head.attempts,
        settings.jitter,
        write.unit(),
    );
    // A tap sends it once more and leaves it where it was: nobody is told twice.
    let gives_up = step.is_none() && head.attempts as usize == settings.retry_schedule_ms.len();
    head.attempts = head.attempts.saturating_add(1);
    let (code, message) = match step {
        Some(delay) => {
            let floor = after_ms.unwrap_or(0).min(settings.throttle_cap_ms);
            head.next_tick = write.now.tick_ms.saturating_add(delay.max(floor));
            ("retrying", "the server could not take it yet")
        }
        None => {
            head.next_tick = NEVER;
            match settings.after_last {
                AfterLast::Auto => (
                    "retries_used_up",
                    "tried as often as planned; goes out with the next network change or tap",
                ),
                AfterLast::Manual => ("retries_used_up", "tried as often as planned; waits for a tap"),
            }
        }
    };
    head.reason = Some(Reason {
        code: code.to_owned(),
        message: message.to_owned(),
    });
    if planted::is(Bug::NewIdOnRetry) {
        head.op = write.uuid_v7();
    }
    head.store(write)?;
    write.store_clocks()?;
    Ok(gives_up)
}

/// Parks a refused entry, if it is still what was refused and is not to be rolled back.
pub(crate) fn park(write: &mut Write<'_>, rejection: &Rejection) -> Result<bool> {
    let Some(mut head) = head_at(write.conn, rejection.seq)?.filter(|head| head.op == rejection.op) else {
        return Ok(false);
    };
    if rollback::refused(write, &head)? {
        return Ok(false);
    }
    head.state = EntryState::Parked;
    head.reason = Some(Reason {
        code: rejection.code.clone(),
        message: rejection.message.clone(),
    });
    head.store(write)?;
    record::settle_state(write, &head.collection, &head.id)?;
    Ok(true)
}

#[cfg(test)]
mod tests;
