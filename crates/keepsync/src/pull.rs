//! Pulled pages: one transaction each, with their cursors.
//!
//! 1. The request names a cursor per collection; none means from the start.
//! 2. A page of another epoch is not applied: the pull starts afresh (`epoch`).
//!    A collection without a cursor may come newest first; which of its records are missing is known only
//!    at its head, so nothing is concluded before.
//! 3. Each version goes to its record's base; where something is unsent, [`conflict`] decides about
//!    the visible body.
//! 4. The cursors are stored with the rows. Stopped before the commit: neither is there, and the page
//!    comes again.
//! 5. When a pull from the start reaches the head, records it has not seen are gone on the server. Clean
//!    ones go here; where something is unsent, [`conflict`] decides as it does about a deletion.

mod epoch;

use crate::{
    collection::{Collection, Collections},
    conflict,
    db::{Read, Write},
    diagnostics,
    error::Result,
    journal,
    notice::{self, NoticeKind},
    planted::{self, Bug},
    record,
    remote::{PullPage, PullRequest, RemoteChange, RemoteVersion},
    session,
};
use once_cell::sync::Lazy;
use rusqlite::{OptionalExtension, params};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
};
use uuid::Uuid;

/// The collections that are pulled, those that come first first.
pub(crate) fn in_order(collections: &Collections) -> Vec<&Collection> {
    let mut pulled: Vec<&Collection> = collections.iter().filter(|collection| collection.pulls()).collect();
    pulled.sort_by_key(|collection| Reverse(collection.priority));
    pulled
}

/// `None`: nothing is pulled.
pub(crate) fn prepare(read: &Read<'_>, limit: u32) -> Result<Option<PullRequest>> {
    let mut cursors = Vec::new();
    let mut priorities = BTreeMap::new();
    for collection in in_order(&read.shared.collections) {
        if collection.priority != 0 {
            priorities.insert(collection.name().to_owned(), collection.priority);
        }
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
        priorities,
        limit,
    }))
}

/// Applies a page. True: it belongs to another epoch, nothing of it was applied, and the pull starts
/// again from the beginning.
pub(crate) fn apply(write: &mut Write<'_>, page: &PullPage) -> Result<bool> {
    if let Some(epoch) = &page.epoch {
        let known: Option<String> = write.read().meta("epoch")?;
        match known {
            None => write.set_meta("epoch", epoch.as_str())?,
            Some(known) if known != *epoch && !planted::is(Bug::NoEpoch) => {
                epoch::begin(write, &known, epoch, page.branch.as_ref())?;
                return Ok(true);
            }
            Some(_) => {}
        }
    }
    if let Some(server_time) = page.server_time {
        diagnostics::time_told(write, server_time)?;
    }
    let mut generations = Generations::default();
    let mut announced = BTreeSet::new();
    for name in &page.whole {
        start_over(write, name)?;
    }
    if planted::is(Bug::CursorBeforeRows) {
        store_cursors(write, page, &mut generations)?;
        planted::seam(Bug::CursorBeforeRows, write.conn)?;
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
            record::warn_of_change(
                write,
                (&change.collection, &change.id),
                &change.version,
                page.server_time,
            )?;
            apply_one(write, change, generation)?;
            if before.is_some_and(|before| before != change.version.body) {
                announced.insert(change.collection.clone());
            }
        }
    }
    learn_devices(write, page)?;
    for name in &announced {
        notice::add(write, NoticeKind::DefinitionsChanged, (name, ""), "")?;
    }
    store_cursors(write, page, &mut generations)?;
    if !page.has_more {
        reach_head(write, &mut generations)?;
    }
    // A version may have been the answer to a write of this device.
    journal::store(write)?;
    Ok(false)
}

/// How far each collection has come with this page, and how much it brought on the way.
fn store_cursors(write: &mut Write<'_>, page: &PullPage, generations: &mut Generations) -> Result<()> {
    let mut moved: BTreeMap<&str, (i64, Option<&str>)> = BTreeMap::new();
    for change in &page.changes {
        moved.entry(&change.collection).or_default().0 += 1;
    }
    for (name, cursor) in &page.cursors {
        moved.entry(name).or_default().1 = Some(cursor);
    }
    let left: HashMap<&str, u64> = page.left.iter().map(|(name, left)| (name.as_str(), *left)).collect();
    for (name, (came, cursor)) in moved {
        let registered = write.shared.collections.get(name);
        if !registered.is_ok_and(|collection| collection.pulls()) {
            continue;
        }
        generations.of(write, name)?;
        let left = left.get(name).and_then(|left| i64::try_from(*left).ok());
        write
            .conn
            .prepare_cached(
                "UPDATE pull SET cursor = coalesce(?2, cursor), pulled = iif(complete, pulled, pulled + ?3),
                 remaining = iif(complete, 0, ?4) WHERE collection = ?1",
            )?
            .execute(params![name, cursor, came, left])?;
    }
    Ok(())
}

/// What people call the devices that wrote the page: few, whatever its length.
fn learn_devices(write: &mut Write<'_>, page: &PullPage) -> Result<()> {
    let labels: BTreeMap<&str, &str> = page
        .changes
        .iter()
        .filter_map(|change| {
            Some((
                change.version.device_id.as_str(),
                change.version.device_label.as_deref()?,
            ))
        })
        .collect();
    for (device_id, label) in labels {
        record::learn_device(write, device_id, Some(label))?;
    }
    Ok(())
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
fn apply_one(write: &mut Write<'_>, change: &RemoteChange, generation: i64) -> Result<()> {
    let mut version = change.version.clone();
    version.hlc = write.observe_hlc(version.hlc);
    diagnostics::clock_met(write, &version.device_id, change.version.hlc, version.hlc)?;
    if let Some(body) = &version.body {
        let parent = write.shared.collections.get(&change.collection)?.parent.as_ref();
        let path = parent.map(|parent| format!("$.{}", parent.field));
        static SQL: Lazy<&str> = Lazy::new(|| {
            "INSERT INTO record (collection, id, parent_id, body, hlc, device_id, base, version, state, server_id, created_at,
             updated_at, synced_at, seen, base_id, clocks, created_by)
             VALUES (?1, ?2, iif(?3 IS NULL, NULL, json_extract(?4, ?3)), ?4, ?5, ?6, 1, ?7, 0, ?8, ?9, ?10, ?11, ?12, ?13, ?14,
             iif(?7 = 1, ?6, NULL))
             ON CONFLICT (collection, id) DO UPDATE SET body = excluded.body, hlc = excluded.hlc, device_id = excluded.device_id,
             version = excluded.version, server_id = coalesce(excluded.server_id, server_id), updated_at = excluded.updated_at,
             synced_at = excluded.synced_at, seen = excluded.seen, base_id = excluded.base_id, clocks = excluded.clocks
             WHERE state = 0 AND (excluded.version > version OR seen < excluded.seen AND excluded.seen > 0)"
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
            version.op.as_ref().map(Uuid::as_bytes),
            version.kept_clocks(),
        ])?;
        if replaced > 0 {
            write.changes.record(&change.collection);
            return Ok(());
        }
    }
    conflict::meet(write, &change.collection, &change.id, &version, None, Some(generation))
}

/// This collection comes whole, although it had a cursor. Also where its last pull from the start did
/// not come to its end: what that one brought may be gone by now.
fn start_over(write: &mut Write<'_>, collection: &str) -> Result<()> {
    write
        .conn
        .prepare_cached(
            "UPDATE pull SET cursor = NULL, generation = generation + 1, complete = 0, pulled = 0, remaining = NULL
             WHERE collection = ?1 AND (complete = 1 OR cursor IS NOT NULL)",
        )?
        .execute([collection])?;
    Ok(())
}

/// Nothing is left to pull: what a pull from the start has not seen is gone.
fn reach_head(write: &mut Write<'_>, generations: &mut Generations) -> Result<()> {
    let lost_by_server = epoch::is_new(&write.read())?;
    let names: Vec<String> = write
        .shared
        .collections
        .iter()
        .filter(|collection| collection.pulls())
        .map(|c| c.name().to_owned())
        .collect();
    let mut from_the_start = Vec::new();
    for name in names {
        let generation = generations.of(write, &name)?;
        let was_complete: bool = write
            .conn
            .prepare_cached("SELECT complete FROM pull WHERE collection = ?1")?
            .query_row([&name], |row| row.get(0))?;
        if !was_complete {
            from_the_start.push((name, generation));
        }
    }
    let some_unseen = !from_the_start.is_empty() && has_unseen(write)?;
    for (name, generation) in from_the_start {
        if some_unseen {
            let_go_of_unseen(write, &name, generation, lost_by_server)?;
            meet_nothing(write, &name, generation)?;
        }
        write
            .conn
            .prepare_cached("UPDATE pull SET complete = 1, first_done = 1, remaining = 0 WHERE collection = ?1")?
            .execute([&name])?;
        // The gate may have opened.
        write.changes.record(&name);
    }
    if lost_by_server {
        epoch::all_pulled(write)?;
    }
    Ok(())
}

/// Whether there may be a record that a pull from the start should have seen and did not. One look at the whole file, in
/// the order in which it lies there, costs a sixth of two looks by collection and id; and on a first pull there is
/// nearly always none.
fn has_unseen(write: &Write<'_>) -> Result<bool> {
    let mut statement = write.conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM record NOT INDEXED
         WHERE seen < (SELECT max(generation) FROM pull) AND (state = 2 OR version > 0))",
    )?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// Confirmed records that a pull from the start has not seen. In the first generation too: what was pushed before it
/// may have been deleted since, and its tombstone forgotten.
fn let_go_of_unseen(write: &mut Write<'_>, collection: &str, generation: i64, lost_by_server: bool) -> Result<()> {
    if planted::is(Bug::LostStays) {
        return Ok(());
    }
    if lost_by_server {
        epoch::keep_lost(write, collection, generation)?;
    }
    let gone = write
        .conn
        .prepare_cached("DELETE FROM record WHERE collection = ?1 AND state = 0 AND version > 0 AND seen < ?2")?
        .execute(params![collection, generation])?;
    if gone > 0 {
        session::forget_gone(write)?;
        write.changes.record(collection);
    }
    Ok(())
}

/// Records with something unsent that the server does not have any more.
fn meet_nothing(write: &mut Write<'_>, collection: &str, generation: i64) -> Result<()> {
    let ids: Vec<String> = {
        let mut statement = write.conn.prepare_cached(
            "SELECT id FROM record WHERE collection = ?1 AND seen < ?2 AND (state = 2 OR state > 0 AND version > 0)",
        )?;
        let rows = statement.query_map(params![collection, generation], |row| row.get(0))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    for id in ids {
        conflict::meet(
            write,
            collection,
            &id,
            &RemoteVersion::default(),
            None,
            Some(generation),
        )?;
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

/// The user goes on without the first pull of a collection.
pub(crate) fn waive(write: &mut Write<'_>, collection: &str) -> Result<()> {
    Generations::default().of(write, collection)?;
    write
        .conn
        .prepare_cached("UPDATE pull SET waived = 1 WHERE collection = ?1")?
        .execute([collection])?;
    Ok(())
}
