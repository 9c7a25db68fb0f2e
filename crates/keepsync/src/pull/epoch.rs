//! The server's data began another life: it was restored from a backup, or begun anew.
//!
//! 1. Every cursor goes back to the start, and until all has been pulled the file remembers that it was so.
//! 2. Operations that were acknowledged above the branch go from the journal into the queue again, under
//!    their ids, oldest first. Unsent writes are kept.
//! 3. What may have been applied in the life that ended keeps the id it had there, beside any later one.
//! 4. At the head of the pull, what the server had and has no more is kept in the history.
//!
//! 1 to 3 are one transaction; stopped before its commit, the page that told of it comes again. 4 is part of
//! the last page's.

use crate::{
    db::{Read, Write},
    diagnostics,
    error::Result,
    journal,
    queue::{HEAD, Head, Kind, MAYBE_SENT, head_from_sql},
    record,
};
use once_cell::sync::Lazy;
use rusqlite::params;
use std::collections::BTreeSet;

/// Set from a new epoch on until everything has been pulled in it.
const RESTORED: &str = "restored";

/// Steps 1 to 3.
pub(super) fn begin(write: &mut Write<'_>, known: &str, epoch: &str, branch: Option<&(String, i64)>) -> Result<()> {
    write.set_meta("epoch", epoch)?;
    write.set_meta(RESTORED, &1)?;
    // What was pushed and never pulled was of the life that ended too.
    write
        .conn
        .prepare_cached(
            "INSERT INTO pull (collection, cursor, generation, complete, first_done)
             SELECT DISTINCT collection, NULL, 0, 0, 0 FROM record WHERE true ON CONFLICT DO NOTHING",
        )?
        .execute([])?;
    write
        .conn
        .prepare_cached(
            "UPDATE pull SET cursor = NULL, generation = generation + 1, complete = 0, pulled = 0, remaining = NULL",
        )?
        .execute([])?;
    // Without a branch, or with one of an epoch we never saw, nothing we were told can be relied on.
    // What was acknowledged in still earlier epochs is below their branches, and counts in this one
    // too; what the new epoch itself has acknowledged is there.
    let above = branch
        .filter(|(parent, _)| parent == known)
        .map_or(-1, |(_, change)| *change);
    let mut statement = write.conn.prepare_cached(
        "SELECT n, collection, id, lane, kind FROM journal WHERE epoch <> ?1 AND change > ?2 ORDER BY n",
    )?;
    let lost: Vec<(i64, String, String, String, String)> = statement
        .query_map(params![epoch, above], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    for (n, collection, _, _, kind) in &lost {
        let priority = write
            .shared
            .collections
            .get(collection)
            .map_or(0, |registered| registered.priority);
        if Kind::parse(kind).is_none() {
            continue;
        }
        // Under its old number: what was written later, here or already gone, stays later. Where the record is
        // in conflict it takes part in that.
        write
            .conn
            .prepare_cached(
                "INSERT INTO entry (seq, op, replaces, collection, id, lane, kind, body, base_version, base, base_op, base_id, hlc,
                 clocks, priority, maybe_sent, attempts, next_tick, state, created_at, earlier)
                 SELECT n, op, replaces, collection, id, lane, kind, body, base_version, 0, base_op, base_id, hlc, clocks, ?2, 1, 0,
                 0, iif(EXISTS (SELECT 1 FROM entry other WHERE other.lane = journal.lane AND other.id = journal.id AND
                 other.collection = journal.collection AND other.state = 2), 2, 0), created_at, earlier
                 FROM journal WHERE n = ?1",
            )?
            .execute(params![n, priority])?;
        journal::forget(
            write,
            "DELETE FROM journal WHERE n = ?1 RETURNING octet_length(body)",
            *n,
        )?;
    }
    journal::store(write)?;
    remember_earlier(write)?;
    let keys: BTreeSet<(&str, &str, &str)> = lost
        .iter()
        .map(|(_, collection, id, lane, _)| (collection.as_str(), id.as_str(), lane.as_str()))
        .collect();
    for (collection, id, lane) in keys {
        record::show_unsent(write, collection, id, lane)?;
    }
    write.changes.sendable |= !lost.is_empty();
    write.changes.queue |= !lost.is_empty();
    diagnostics::epoch_changed(write, lost.len())
}

/// What may have been applied in the epoch that ended goes on under other ids if it meets another version
/// now; the backend may be restored once more, to a state that has it under this one.
fn remember_earlier(write: &mut Write<'_>) -> Result<()> {
    static SQL: Lazy<String> = Lazy::new(|| format!("SELECT {HEAD} FROM entry WHERE {MAYBE_SENT}"));
    let sent: Vec<Head> = {
        let mut statement = write.conn.prepare_cached(&SQL)?;
        let rows = statement.query_map([], head_from_sql)?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    for mut head in sent.into_iter().filter(|head| !head.earlier.contains(&head.op)) {
        head.remember_id();
        head.store(write)?;
    }
    Ok(())
}

/// Whether not all has been pulled in this life yet.
pub(super) fn is_new(read: &Read<'_>) -> Result<bool> {
    Ok(read.meta::<i64>(RESTORED)?.is_some())
}

/// All has been pulled in it.
pub(super) fn all_pulled(write: &mut Write<'_>) -> Result<()> {
    write.conn.execute("DELETE FROM meta WHERE key = ?1", [RESTORED])?;
    record::prune_history(write)
}

/// What goes because a restored server has lost it was deleted by nobody: the history keeps the newest of it.
pub(super) fn keep_lost(write: &mut Write<'_>, collection: &str, generation: i64) -> Result<()> {
    let most = i64::try_from(write.shared.settings.history_count).unwrap_or(i64::MAX);
    write
        .conn
        .prepare_cached(
            "INSERT INTO history (collection, id, body, version, hlc, device_id, reason, at)
             SELECT collection, id, body, version, hlc, device_id, 'lost_by_server', ?3 FROM (SELECT * FROM record
             WHERE collection = ?1 AND state = 0 AND version > 0 AND seen < ?2 AND body IS NOT NULL
             ORDER BY updated_at DESC LIMIT ?4) ORDER BY updated_at",
        )?
        .execute(params![collection, generation, write.now.wall_ms, most])?;
    Ok(())
}
