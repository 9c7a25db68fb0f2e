//! What is on its way, and what of it arrived as it was sent.

use super::{seq_list, settle::journal_change};
use crate::{
    db::Write,
    error::Result,
    hlc::Hlc,
    remote::{Accepted, Outcome},
};
use rusqlite::params;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};
use uuid::Uuid;

/// What is on its way, without bodies: those are frozen in the queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flight {
    /// Place in the queue and operation id of each entry.
    pub items: Vec<(i64, Uuid)>,
    /// Records all of whose entries are in it.
    pub(super) whole: Arc<Vec<Whole>>,
}

/// A record all of whose entries are in the flight and make or change it, as nearly all are: what becomes
/// of the others does not touch it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Whole {
    /// Oldest first.
    pub(super) seqs: Vec<i64>,
    pub(super) collection: String,
    pub(super) id: String,
    /// Of the last.
    pub(super) hlc: Hlc,
    /// Of all their bodies.
    pub(super) bytes: i64,
}

impl Whole {
    /// A later entry of the same record.
    pub(super) fn then(&mut self, later: Self) {
        self.seqs.extend(later.seqs);
        self.hlc = later.hlc;
        self.bytes = self.bytes.saturating_add(later.bytes);
    }
}

/// How many records are settled before their entries are deleted. The pages that those were on go to the
/// journal's next rows: of a whole batch at once, each would be written to the log twice.
const AT_ONCE: usize = 50;

/// An entry and what was said of it.
struct Taken<'a> {
    seq: i64,
    op: Uuid,
    accepted: &'a Accepted,
}

/// [`accept`](super::accept) of whole records that show what was sent, where the backend has stored just that: each is
/// confirmed as it is, without touching its body or the indexes on it, and taken out of the queue, by
/// statements for many where that can be. Gives the places of the entries. All others are left to the long way,
/// which does all of it.
pub(super) fn arrive(
    write: &mut Write<'_>,
    flight: &Flight,
    results: &HashMap<Uuid, &Outcome>,
    epoch: Option<&str>,
) -> Result<HashSet<i64>> {
    let mut arrived = HashSet::with_capacity(flight.items.len());
    let Some(epoch) = epoch else { return Ok(arrived) };
    let conn = write.conn;
    let mut confirm = conn.prepare_cached(
        // The clock says whose body the record shows: a further write, made meanwhile, has a later one.
        "UPDATE record SET device_id = ?4, base = 1, base_body = NULL, base_hlc = NULL, base_device = NULL,
         base_clocks = NULL, base_at = NULL, version = ?5, state = 0, server_id = coalesce(?6, server_id),
         updated_at = coalesce(?7, updated_at), synced_at = ?8, base_id = ?9
         WHERE collection = ?1 AND id = ?2 AND hlc = ?3 AND (version < ?5 OR base = 0)",
    )?;
    confirm.raw_bind_parameter(4, &*write.shared.device_id)?;
    confirm.raw_bind_parameter(8, write.now.wall_ms)?;
    let ops: HashMap<i64, Uuid> = flight.items.iter().copied().collect();
    let simply = |&seq: &i64| {
        let op = *ops.get(&seq)?;
        match results.get(&op) {
            Some(Outcome::Accepted(accepted)) if accepted.body.is_none() && accepted.version > 0 => {
                Some(Taken { seq, op, accepted })
            }
            _ => None,
        }
    };
    let simple: Vec<(&Whole, Vec<Taken<'_>>)> = flight
        .whole
        .iter()
        .filter_map(|whole| Some((whole, whole.seqs.iter().map(simply).collect::<Option<_>>()?)))
        .collect();
    let mut collection = None;
    for some in simple.chunks(AT_ONCE) {
        // One is not there any more: the long way journals the others again, in the same rows.
        if !journal(write, some.iter().flat_map(|(_, taken)| taken).collect(), epoch)? {
            continue;
        }
        let mut gone = Vec::with_capacity(some.len());
        for (whole, taken) in some {
            let Some(last) = taken.last() else { continue };
            if collection != Some(&whole.collection) {
                collection = Some(&whole.collection);
                confirm.raw_bind_parameter(1, &whole.collection)?;
            }
            confirm.raw_bind_parameter(2, &whole.id)?;
            confirm.raw_bind_parameter(3, whole.hlc.to_i64())?;
            confirm.raw_bind_parameter(5, last.accepted.version)?;
            confirm.raw_bind_parameter(6, taken.iter().find_map(|one| one.accepted.server_id.as_deref()))?;
            confirm.raw_bind_parameter(7, last.accepted.updated_at)?;
            confirm.raw_bind_parameter(9, last.op.as_bytes())?;
            // Where the record does not show the last, the long way journals too.
            if confirm.raw_execute()? > 0 {
                write.changes.record(&whole.collection);
                write.changes.outcomes.extend(taken.iter().map(|one| one.op));
                write.journaled(whole.bytes);
                gone.extend(&whole.seqs);
            }
        }
        arrived.extend(&gone);
        write.changes.queue |= !gone.is_empty();
        take_out(write, "DELETE FROM entry WHERE seq BETWEEN ?1 AND ?2", gone)?;
    }
    Ok(arrived)
}

/// Deletes them from the queue or the flight, neighbours by one statement.
fn take_out(write: &Write<'_>, sql: &'static str, mut seqs: Vec<i64>) -> Result<()> {
    seqs.sort_unstable();
    let mut delete = write.conn.prepare_cached(sql)?;
    for neighbours in seqs.chunk_by(|seq, next| next.checked_sub(*seq) == Some(1)) {
        delete.execute([neighbours.first(), neighbours.last()])?;
    }
    Ok(())
}

/// Puts them into the journal as they stand in the queue, those that differ in nothing but their content by one
/// statement. False: not all of them are there as they were sent.
fn journal(write: &Write<'_>, mut taken: Vec<&Taken<'_>>, epoch: &str) -> Result<bool> {
    // Of a batch that was committed as one, the changes are numbered in the order of the queue.
    let told = |one: &&Taken<'_>| {
        let change = journal_change(one.accepted);
        let (change, is_counted) = match change.checked_sub(one.seq) {
            Some(from) if change < i64::MAX => (from, true),
            _ => (change, false),
        };
        let acked_at = one.accepted.updated_at.unwrap_or(write.now.wall_ms);
        (one.accepted.version, change, is_counted, acked_at)
    };
    let mut insert = write.conn.prepare_cached(
        "INSERT OR REPLACE INTO journal (n, op, replaces, collection, id, lane, kind, body, base_version, base_op,
         base_id, hlc, clocks, created_at, version, change, epoch, acked_at, earlier)
         SELECT entry.seq, op, replaces, collection, entry.id, lane, kind, body, base_version,
         coalesce(flight.base_op, entry.base_op), base_id, hlc, clocks, created_at, ?3, ?4 + iif(?5, entry.seq, 0), ?6, ?7,
         earlier
         FROM json_each(?1) asked CROSS JOIN entry ON entry.seq = asked.value LEFT JOIN flight ON flight.seq = entry.seq
         WHERE op = substr(?2, 1 + 16 * asked.key, 16) AND state = 0",
    )?;
    taken.sort_by_key(told);
    let mut all = true;
    for alike in taken.chunk_by(|one, next| told(one) == told(next)) {
        let Some((version, change, is_counted, acked_at)) = alike.first().map(told) else {
            continue;
        };
        let ops: Vec<u8> = alike.iter().flat_map(|one| *one.op.as_bytes()).collect();
        let seqs = seq_list(alike.iter().map(|one| one.seq));
        let journaled = insert.execute(params![seqs, ops, version, change, is_counted, epoch, acked_at])?;
        all &= journaled == alike.len();
    }
    Ok(all)
}

/// What was on its way is answered: entries that stay keep the mark, and what they were chained on, in their own
/// rows. What an earlier flight left is not touched: a disk that is full has room for a small one's pages only.
pub(super) fn land(write: &mut Write<'_>, flight: &Flight, arrived: &HashSet<i64>) -> Result<()> {
    let seqs = || flight.items.iter().map(|(seq, _)| *seq);
    let stay: Vec<i64> = seqs().filter(|seq| !arrived.contains(seq)).collect();
    if !stay.is_empty() {
        write
            .conn
            .prepare_cached(
                "UPDATE entry SET maybe_sent = 1, base_op = (SELECT base_op FROM flight WHERE flight.seq = entry.seq)
                 WHERE seq IN (SELECT seq FROM flight WHERE seq IN (SELECT value FROM json_each(?1))) AND maybe_sent = 0",
            )?
            .execute([seq_list(stay)])?;
    }
    take_out(
        write,
        "DELETE FROM flight WHERE seq BETWEEN ?1 AND ?2",
        seqs().collect(),
    )
}
