//! Whose conflict it is: a record's own, or its parent's.
//!
//! Where a parent's collection asks, what two devices did to the same child is one conflict of the parent,
//! so that the user sees two workouts side by side and not twenty sets one after the other:
//!
//! 1. A child whose own policy would have to settle something asks instead, and its row names the parent
//!    as its root. What only one side made or changed opens no conflict.
//! 2. What else is unsent of the parent and its children, and has certainly not left, joins: the user
//!    decides about what both sides show. It leaves again when no other row is left. Children that were
//!    made here go on, unless the parent was deleted elsewhere.
//! 3. Rows of one root are listed and resolved as one.
//!
//! Stopped before the commit of the page or the answer that did one of these: it did not happen.

use super::apply::{New, insert};
use crate::{
    collection::{Collection, Collections, FieldGroup},
    conflict::Policy,
    db::Write,
    error::Result,
    hlc::Hlc,
    queue::{Ended, EntryState, Head, Kind, heads_of},
    record::{self, Base, Row, find},
    session,
};

/// The parent's collection, if that decides about conflicts of this one.
fn asking<'c>(collections: &'c Collections, collection: &str) -> Option<&'c Collection> {
    let registered = collections.get(collection).ok().filter(|it| !it.settles_itself)?;
    let parent = collections.get(&registered.parent.as_ref()?.collection).ok()?;
    (parent.policy == Policy::Ask).then_some(parent)
}

/// The policies that hold for a record: those of its collection, unless an `ask` parent has the say. Its
/// groups still tell what belongs together.
pub(super) fn policies(collections: &Collections, row: &Row) -> (Policy, Vec<FieldGroup>) {
    // What the app no longer registers is not decided by any policy.
    let Ok(registered) = collections.get(&row.collection) else {
        return (Policy::Ask, Vec::new());
    };
    if row.parent_id.is_none() || asking(collections, &row.collection).is_none() {
        return (registered.policy.clone(), registered.groups.clone());
    }
    let ask = |group: &FieldGroup| FieldGroup {
        policy: Policy::Ask,
        ..group.clone()
    };
    (Policy::Ask, registered.groups.iter().map(ask).collect())
}

/// The record whose conflict a conflict of this one is.
pub(super) fn root_of(write: &Write<'_>, row: &Row) -> Result<(String, String)> {
    let mut root = (row.collection.clone(), row.id.clone());
    let mut parent = row.parent_id.clone();
    // No deeper than there are collections: registrations may go in a circle.
    for _ in write.shared.collections.iter() {
        let (Some(id), Some(of)) = (parent, asking(&write.shared.collections, &root.0)) else {
            break;
        };
        // Nobody could look at a conflict of a record that is not here.
        let Some(found) = find(write.conn, of.name(), &id)? else {
            break;
        };
        root = (of.name().to_owned(), id);
        parent = found.parent_id;
    }
    Ok(root)
}

/// What is unsent of the root and of its children takes part, where it certainly has not left and the
/// server has a version of it: the user decides about what both sides show. Children made here go on,
/// unless the root was deleted elsewhere.
pub(super) fn join(write: &mut Write<'_>, root: &(String, String)) -> Result<()> {
    let is_open = |write: &Write<'_>, collection: &str, id: &str| -> Result<bool> {
        let mut statement = write
            .conn
            .prepare_cached("SELECT 1 FROM conflict WHERE collection = ?1 AND id = ?2")?;
        Ok(statement.exists([collection, id])?)
    };
    let gone: bool = {
        let mut statement = write
            .conn
            .prepare_cached("SELECT 1 FROM conflict WHERE collection = ?1 AND id = ?2 AND remote_body IS NULL")?;
        statement.exists([&root.0, &root.1])?
    };
    for (collection, id) in std::iter::once(root.clone()).chain(children(write, root)?) {
        if !is_open(write, &collection, &id)?
            && let Some(row) = find(write.conn, &collection, &id)?
        {
            join_one(write, root, &row, gone)?;
        }
    }
    Ok(())
}

/// The records right below the root that it decides about, as far as anything of them is unsent.
pub(super) fn children(write: &Write<'_>, root: &(String, String)) -> Result<Vec<(String, String)>> {
    let mut statement = write
        .conn
        .prepare_cached("SELECT DISTINCT collection, id FROM entry WHERE lane = ?1 AND id <> ?1")?;
    let rows = statement.query_map([&root.1], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let found: Vec<(String, String)> = rows.collect::<rusqlite::Result<_>>()?;
    let of_root = |(collection, _): &(String, String)| {
        asking(&write.shared.collections, collection).is_some_and(|parent| parent.name() == root.0)
    };
    Ok(found.into_iter().filter(of_root).collect())
}

/// A record that asks and was deleted elsewhere, while writes to its children are unsent here, was edited
/// here: the user decides, and no set goes with a workout unseen. False: it was not.
pub(super) fn defend(write: &mut Write<'_>, row: &mut Row) -> Result<bool> {
    if row.body.is_none() {
        return Ok(false);
    }
    // Only of a record that asks there are any.
    for (collection, id) in children(write, &(row.collection.clone(), row.id.clone()))? {
        let entries = heads_of(write.conn, &collection, &id, &row.id)?;
        if entries.last().is_some_and(|last| last.kind != Some(Kind::Delete)) {
            return session::stand_by(write, row);
        }
    }
    Ok(false)
}

/// Whether it can still be taken back: it waits, and has certainly not left.
pub(super) fn is_certain(entries: &[Head]) -> bool {
    let goes = |entry: &Head| entry.state == EntryState::Waiting && !entry.maybe_sent && entry.kind.is_some();
    !entries.is_empty() && entries.iter().all(goes)
}

fn join_one(write: &mut Write<'_>, root: &(String, String), row: &Row, creations: bool) -> Result<()> {
    let entries = heads_of(write.conn, &row.collection, &row.id, row.lane())?;
    if !is_certain(&entries) || (row.base == Base::None && !creations) {
        return Ok(());
    }
    let remote_device = row.base_device.clone().unwrap_or_default();
    let remote_label = write.read().device_label(&remote_device)?;
    let (base, remote) = (entries.first().map(|entry| entry.base.clone()), row.base_body());
    let base = match &base {
        Some(Base::Body(body)) => Some(body.as_str()),
        Some(Base::Visible) => remote,
        _ => None,
    };
    insert(
        write,
        &New {
            local: row,
            root,
            joined: true,
            base,
            remote,
            remote_version: row.version,
            remote_hlc: row.base_hlc.map_or(row.hlc, Hlc::from_i64),
            remote_op: row.base_id,
            remote_device: &remote_device,
            remote_label: remote_label.as_deref(),
            remote_at: row.base_at.unwrap_or(row.updated_at),
            resolver: None,
        },
    )?;
    for mut entry in entries {
        entry.state = EntryState::Conflict;
        entry.store(write)?;
    }
    record::settle_state(write, &row.collection, &row.id)
}

/// Those that only joined go their way when no other row of the conflict is left: the server has what
/// their writes were made on.
pub(super) fn leave(write: &mut Write<'_>, root: &(String, String)) -> Result<()> {
    let rows: Vec<(String, String, bool)> = {
        let mut statement = write.conn.prepare_cached(
            "SELECT collection, id, joined FROM conflict WHERE root_collection = ?1 AND root_id = ?2",
        )?;
        let rows = statement.query_map([&root.0, &root.1], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    if rows.iter().any(|(.., joined)| !joined) {
        return Ok(());
    }
    for (collection, id, _) in rows {
        write
            .conn
            .prepare_cached("DELETE FROM conflict WHERE collection = ?1 AND id = ?2")?
            .execute([&collection, &id])?;
        release(write, &collection, &id)?;
    }
    Ok(())
}

/// The unsent writes of a record that joined go on as they are.
pub(super) fn release(write: &mut Write<'_>, collection: &str, id: &str) -> Result<()> {
    let Some(row) = find(write.conn, collection, id)? else {
        return Ok(());
    };
    let never_made = row.base == Base::None && row.body.is_none();
    for mut entry in heads_of(write.conn, collection, id, row.lane())? {
        if never_made {
            entry.remove(write, Ended::Discarded)?;
        } else if entry.state == EntryState::Conflict {
            entry.state = EntryState::Waiting;
            entry.store(write)?;
        }
    }
    write.changes.sendable = true;
    record::settle_state(write, collection, id)
}
