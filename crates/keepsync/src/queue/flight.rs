//! What is on its way, and what of it arrived as it was sent.

use super::{seq_list, settle::journal_change};
use crate::{db::Write, error::Result, hlc::Hlc, remote::Outcome};
use rusqlite::params;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// What is on its way, without bodies: those are frozen in the queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flight {
    /// Place in the queue and operation id of each entry.
    pub items: Vec<(i64, Uuid)>,
    /// Records all of whose entries are in it.
    pub(super) whole: Vec<Whole>,
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

/// [`accept`](super::accept) of whole records that show what was sent, where the backend has stored just that: each is
/// confirmed as it is, without touching its body or the indexes on it, by statements that are looked up once
/// for a batch. Gives the places of the entries; what stays to be done is to take them out of the queue. All
/// others are left to the long way, which does all of it.
pub(super) fn arrive(
    write: &mut Write<'_>,
    flight: &Flight,
    results: &HashMap<Uuid, &Outcome>,
    epoch: Option<&str>,
) -> Result<HashSet<i64>> {
    let mut arrived = HashSet::with_capacity(flight.items.len());
    let Some(epoch) = epoch else { return Ok(arrived) };
    let conn = write.conn;
    let mut journal = conn.prepare_cached(
        "INSERT OR REPLACE INTO journal (n, op, replaces, collection, id, lane, kind, body, base_version, base_op,
         base_id, hlc, clocks, created_at, version, change, epoch, acked_at, earlier)
         SELECT seq, op, replaces, collection, id, lane, kind, body, base_version, base_op, base_id, hlc, clocks,
         created_at, ?2, ?3, ?4, ?5, earlier FROM entry WHERE seq = ?1 AND op = ?6 AND state = 0",
    )?;
    let mut confirm = conn.prepare_cached(
        // The clock says whose body the record shows: a further write, made meanwhile, has a later one.
        "UPDATE record SET device_id = ?4, base = 1, base_body = NULL, base_hlc = NULL, base_device = NULL,
         base_clocks = NULL, base_at = NULL, version = ?5, state = 0, server_id = coalesce(?6, server_id),
         updated_at = coalesce(?7, updated_at), synced_at = ?8, base_id = ?9
         WHERE collection = ?1 AND id = ?2 AND hlc = ?3 AND (version < ?5 OR base = 0)",
    )?;
    let ops: HashMap<i64, Uuid> = flight.items.iter().copied().collect();
    let simply = |seq: &i64| {
        let op = *ops.get(seq)?;
        match results.get(&op) {
            Some(Outcome::Accepted(accepted)) if accepted.body.is_none() && accepted.version > 0 => {
                Some((op, accepted))
            }
            _ => None,
        }
    };
    for whole in &flight.whole {
        let Some(answers) = whole.seqs.iter().map(simply).collect::<Option<Vec<_>>>() else {
            continue;
        };
        let Some(&(last_op, last)) = answers.last() else {
            continue;
        };
        let mut journaled = 0;
        for (seq, (op, accepted)) in whole.seqs.iter().zip(&answers) {
            let acked_at = accepted.updated_at.unwrap_or(write.now.wall_ms);
            journaled += journal.execute(params![
                seq,
                accepted.version,
                journal_change(accepted),
                epoch,
                acked_at,
                op.as_bytes()
            ])?;
        }
        // One is not there any more, or the record does not show the last: the long way journals the others
        // again, in the same rows.
        if journaled < whole.seqs.len() {
            continue;
        }
        let confirmed = confirm.execute(params![
            whole.collection,
            whole.id,
            whole.hlc.to_i64(),
            &*write.shared.device_id,
            last.version,
            answers.iter().find_map(|(_, accepted)| accepted.server_id.as_deref()),
            last.updated_at,
            write.now.wall_ms,
            last_op.as_bytes(),
        ])?;
        if confirmed > 0 {
            write.changes.record(&whole.collection);
            write.changes.outcomes.extend(answers.iter().map(|(op, _)| *op));
            write.journaled(whole.bytes);
            arrived.extend(&whole.seqs);
        }
    }
    Ok(arrived)
}

/// What was on its way is answered: entries that stay keep the mark in their own rows. What an earlier flight
/// left is not touched: a disk that is full has room for a small one's pages only.
pub(super) fn land(write: &mut Write<'_>, flight: &Flight, arrived: &HashSet<i64>) -> Result<()> {
    let seqs = || flight.items.iter().map(|(seq, _)| *seq);
    let stay: Vec<i64> = seqs().filter(|seq| !arrived.contains(seq)).collect();
    if !stay.is_empty() {
        write
            .conn
            .prepare_cached(
                "UPDATE entry SET maybe_sent = 1 WHERE seq IN (SELECT seq FROM flight WHERE seq IN (SELECT value FROM
                 json_each(?1))) AND maybe_sent = 0",
            )?
            .execute([seq_list(stay)])?;
    }
    write
        .conn
        .prepare_cached("DELETE FROM flight WHERE seq IN (SELECT value FROM json_each(?1))")?
        .execute([seq_list(seqs())])?;
    Ok(())
}
