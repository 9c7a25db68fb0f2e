//! Pulled pages: one transaction each, with their cursors.
//!
//! 1. The request names a cursor per collection; none means from the start.
//! 2. A page of another epoch is not applied: every cursor goes back to the start, operations that
//!    were acknowledged above the branch go into the queue again under their ids, oldest first, and
//!    the pull starts afresh. Unsent writes are kept.
//! 3. Each version goes to its record's base; where something is unsent, [`conflict`] decides about
//!    the visible body.
//! 4. The cursors are stored with the rows. Stopped before the commit: neither is there, and the page
//!    comes again.
//! 5. When a pull from the start reaches the head, clean records it has not seen are gone on the
//!    server, and go here.

use crate::{
    conflict,
    db::{Read, Write},
    diagnostics,
    error::{Error, Result},
    notice::{self, NoticeKind},
    queue::Kind,
    record,
    remote::{PullPage, PullRequest, RemoteChange},
    session,
};
use once_cell::sync::Lazy;
use rusqlite::{OptionalExtension, params};
use std::collections::{BTreeSet, HashMap};

/// `None`: nothing is pulled.
pub(crate) fn prepare(read: &Read<'_>, limit: u32) -> Result<Option<PullRequest>> {
    let mut cursors = Vec::new();
    for collection in read.shared.collections.iter().filter(|collection| collection.pulls()) {
        let mut statement = read
            .conn
            .prepare_cached("SELECT cursor FROM pull WHERE collection = ?1")?;
        let cursor: Option<Option<String>> = statement.query_row([collection.name()], |row| row.get(0)).optional()?;
        cursors.push((collection.name().to_owned(), cursor.flatten()));
    }
    if cursors.is_empty() {
        return Ok(None);
    }
    Ok(Some(PullRequest {
        account: read.shared.account.to_string(),
        device_id: read.shared.device_id.to_string(),
        epoch: read.meta("epoch")?,
        cursors,
        limit,
    }))
}

/// Applies a page. True: it belongs to another epoch, nothing of it was applied, and the pull starts
/// again from the beginning.
pub(crate) fn apply(write: &mut Write<'_>, page: PullPage) -> Result<bool> {
    if let Some(epoch) = &page.epoch {
        let known: Option<String> = write.read().meta("epoch")?;
        match known {
            None => write.set_meta("epoch", epoch.as_str())?,
            Some(known) if known != *epoch => {
                new_epoch(write, &known, epoch, page.branch.as_ref())?;
                return Ok(true);
            }
            Some(_) => {}
        }
    }
    let mut generations = Generations::default();
    let mut announced = BTreeSet::new();
    for name in &page.whole {
        start_over(write, name)?;
    }
    for change in &page.changes {
        let Ok(collection) = write.shared.collections.get(&change.collection) else {
            continue;
        };
        if collection.pulls() {
            let generation = generations.of(write, &change.collection)?;
            let before = match collection.announces && !announced.contains(&change.collection) {
                true => shown(write, change)?,
                false => None,
            };
            apply_one(write, change, generation, page.server_time)?;
            if before.is_some_and(|before| before != change.version.body) {
                announced.insert(change.collection.clone());
            }
        }
    }
    for name in &announced {
        notice::add(write, NoticeKind::DefinitionsChanged, (name, ""), "")?;
    }
    for (name, cursor) in &page.cursors {
        if write
            .shared
            .collections
            .get(name)
            .is_ok_and(|collection| collection.pulls())
        {
            generations.of(write, name)?;
            write
                .conn
                .prepare_cached("UPDATE pull SET cursor = ?2 WHERE collection = ?1")?
                .execute([name, cursor])?;
        }
    }
    if !page.has_more {
        reach_head(write, &mut generations)?;
    }
    Ok(false)
}

/// The generation each collection is in, read once a page.
#[derive(Default)]
struct Generations(HashMap<String, i64>);

impl Generations {
    fn of(&mut self, write: &mut Write<'_>, collection: &str) -> Result<i64> {
        if let Some(generation) = self.0.get(collection) {
            return Ok(*generation);
        }
        write
            .conn
            .prepare_cached(
                "INSERT INTO pull (collection, cursor, generation, complete, first_done) VALUES (?1, NULL, 0, 0, 0) ON CONFLICT DO NOTHING",
            )?
            .execute([collection])?;
        let mut statement = write
            .conn
            .prepare_cached("SELECT generation FROM pull WHERE collection = ?1")?;
        let generation = statement.query_row([collection], |row| row.get(0))?;
        self.0.insert(collection.to_owned(), generation);
        Ok(generation)
    }
}

/// What the app shows of a record whose collection has been pulled whole before: what differs from it is
/// news. `None`: nothing is.
fn shown(write: &Write<'_>, change: &RemoteChange) -> Result<Option<Option<String>>> {
    let mut statement = write
        .conn
        .prepare_cached("SELECT (SELECT body FROM record WHERE collection = ?1 AND id = ?2) FROM pull WHERE collection = ?1 AND first_done = 1")?;
    Ok(statement
        .query_row([&change.collection, &change.id], |row| row.get(0))
        .optional()?)
}

/// A record that is clean here is replaced in one statement; all else is [`conflict::meet`]'s.
fn apply_one(write: &mut Write<'_>, change: &RemoteChange, generation: i64, server_time: Option<i64>) -> Result<()> {
    let mut version = change.version.clone();
    version.hlc = write.observe_hlc(version.hlc, server_time);
    if let Some(body) = &version.body {
        let parent = write.shared.collections.get(&change.collection)?.parent.as_ref();
        let path = parent.map(|parent| format!("$.{}", parent.field));
        static SQL: Lazy<&str> = Lazy::new(|| {
            "INSERT INTO record (collection, id, parent_id, body, hlc, device_id, base, version, state, server_id, created_at,
             updated_at, synced_at, seen) VALUES (?1, ?2, iif(?3 IS NULL, NULL, json_extract(?4, ?3)), ?4, ?5, ?6, 1, ?7, 0, ?8,
             ?9, ?10, ?11, ?12)
             ON CONFLICT (collection, id) DO UPDATE SET body = excluded.body, hlc = excluded.hlc, device_id = excluded.device_id,
             version = excluded.version, server_id = coalesce(excluded.server_id, server_id), updated_at = excluded.updated_at,
             synced_at = excluded.synced_at, seen = excluded.seen
             WHERE state = 0 AND (excluded.version > version OR seen < excluded.seen)"
        });
        let replaced = write.conn.prepare_cached(&SQL)?.execute(params![
            change.collection,
            change.id,
            path,
            body,
            version.hlc.to_i64(),
            version.device_id,
            version.version,
            version.server_id,
            version.created_at,
            version.updated_at,
            write.now.wall_ms,
            generation,
        ])?;
        if replaced > 0 {
            write.changes.record(&change.collection);
            return Ok(());
        }
    }
    conflict::meet(write, &change.collection, &change.id, &version, None, Some(generation))
}

/// The server's data began another life.
fn new_epoch(write: &mut Write<'_>, known: &str, epoch: &str, branch: Option<&(String, i64)>) -> Result<()> {
    write.set_meta("epoch", epoch)?;
    write
        .conn
        .prepare_cached("UPDATE pull SET cursor = NULL, generation = generation + 1, complete = 0")?
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
        // Under its old number: what was written later, here or already gone, stays later.
        write
            .conn
            .prepare_cached(
                "INSERT INTO entry (seq, op, replaces, collection, id, lane, kind, body, base_version, base, base_op, hlc, priority,
                 maybe_sent, attempts, next_tick, state, created_at)
                 SELECT n, op, replaces, collection, id, lane, kind, body, base_version, 0, base_op, hlc, ?2, 1, 0, 0, 0, created_at
                 FROM journal WHERE n = ?1",
            )?
            .execute(params![n, priority])?;
        write
            .conn
            .prepare_cached("DELETE FROM journal WHERE n = ?1")?
            .execute([n])?;
    }
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

/// This collection comes whole, although it had a cursor.
fn start_over(write: &mut Write<'_>, collection: &str) -> Result<()> {
    write
        .conn
        .prepare_cached("UPDATE pull SET cursor = NULL, generation = generation + 1, complete = 0 WHERE collection = ?1 AND complete = 1")?
        .execute([collection])?;
    Ok(())
}

/// Nothing is left to pull: what a pull from the start has not seen is gone.
fn reach_head(write: &mut Write<'_>, generations: &mut Generations) -> Result<()> {
    let names: Vec<String> = write
        .shared
        .collections
        .iter()
        .filter(|collection| collection.pulls())
        .map(|c| c.name().to_owned())
        .collect();
    for name in names {
        let generation = generations.of(write, &name)?;
        let was_complete: bool = write
            .conn
            .prepare_cached("SELECT complete FROM pull WHERE collection = ?1")?
            .query_row([&name], |row| row.get(0))?;
        if was_complete {
            continue;
        }
        // In the first generation there is none before it that a record could have been seen in.
        let gone = match generation {
            0 => 0,
            _ => write
                .conn
                .prepare_cached("DELETE FROM record WHERE collection = ?1 AND state = 0 AND version > 0 AND seen < ?2")?
                .execute(params![name, generation])?,
        };
        if gone > 0 {
            session::forget_gone(write)?;
            write.changes.record(&name);
        }
        write
            .conn
            .prepare_cached("UPDATE pull SET complete = 1, first_done = 1 WHERE collection = ?1")?
            .execute([&name])?;
        // The gate may have opened.
        write.changes.record(&name);
    }
    Ok(())
}

/// Tombstones guard against versions older than the deletion; after the time a journal is kept,
/// nothing older can come any more.
pub(crate) fn prune_tombstones(write: &mut Write<'_>) -> Result<()> {
    let oldest = write.now.wall_ms.saturating_sub(write.shared.settings.journal_ms);
    let gone = write
        .conn
        .prepare_cached("DELETE FROM record WHERE body IS NULL AND state = 0 AND synced_at < ?1")?
        .execute([oldest])?;
    if gone > 0 {
        session::forget_gone(write)?;
    }
    Ok(())
}

/// Keeps the journal within its age and its number.
pub(crate) fn prune_journal(write: &mut Write<'_>) -> Result<()> {
    let settings = &write.shared.settings;
    let count = i64::try_from(settings.journal_count).unwrap_or(i64::MAX);
    write
        .conn
        .prepare_cached("DELETE FROM journal WHERE n <= (SELECT max(n) FROM journal) - ?1")?
        .execute([count])?;
    // By the server's clock, against the newest of them: this device's may have jumped by years. Only
    // from the front, so that no later write is kept without an earlier one.
    write
        .conn
        .prepare_cached(
            "DELETE FROM journal WHERE n < coalesce((SELECT min(n) FROM journal WHERE acked_at >=
             (SELECT acked_at FROM journal ORDER BY n DESC LIMIT 1) - ?1), 0)",
        )?
        .execute([settings.journal_ms])?;
    Ok(())
}

impl Read<'_> {
    /// Collections the app needs and that have never been pulled whole.
    ///
    /// # Errors
    /// Only those of the file.
    pub fn needs_first_sync(&self) -> Result<Vec<String>> {
        use crate::collection::FirstSync;
        let mut missing = Vec::new();
        for collection in self
            .shared
            .collections
            .iter()
            .filter(|c| c.first_sync != FirstSync::NotRequired)
        {
            let mut statement = self
                .conn
                .prepare_cached("SELECT first_done = 1 OR waived = 1 FROM pull WHERE collection = ?1")?;
            let done: Option<bool> = statement.query_row([collection.name()], |row| row.get(0)).optional()?;
            if done != Some(true) {
                missing.push(collection.name().to_owned());
            }
        }
        Ok(missing)
    }
}

/// The user goes on without the first pull, where every missing collection allows it.
///
/// # Errors
/// [`Error::Invalid`] naming a collection that does not allow it.
pub fn continue_without_first_sync(write: &mut Write<'_>) -> Result<()> {
    use crate::collection::FirstSync;
    let mut generations = Generations::default();
    for name in write.read().needs_first_sync()? {
        if write.shared.collections.get(&name)?.first_sync != (FirstSync::Required { may_continue: true }) {
            return Err(Error::invalid(name, "cannot be used before its first sync"));
        }
        generations.of(write, &name)?;
        write
            .conn
            .prepare_cached("UPDATE pull SET waived = 1 WHERE collection = ?1")?
            .execute([&name])?;
        write.changes.record(&name);
    }
    Ok(())
}
