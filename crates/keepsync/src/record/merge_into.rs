//! Two records that are one: the children of the one move to the other, and the one goes.
//!
//! A record's parent is fixed when it is made, so a child that moves is made anew under the other parent
//! and its old record is deleted; what hangs on the child moves with it. All of it is one transaction:
//! stopped before the commit, nothing has moved.

use super::{Written, delete, put, row::find};
use crate::{
    body::Body,
    collection::Sending,
    db::{Read, Write},
    error::{Error, Result},
    queue::Kind,
    record::{self, Local, write_local},
    session,
};
use serde_json::Value;
use std::collections::BTreeSet;

/// Moves the children of `drop` under `keep` and deletes `drop`; for [`twins`](crate::Read::twins). A child
/// in a slot that `keep` uses too gets a fresh one (`squat/1#2`): both are kept. The body of `keep` stays as
/// it is, that of `drop` goes into its history. Gives how many children moved.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Invalid`] if the two are one, or if anything of either is in conflict:
/// resolve that first; [`Error::SessionState`] if `drop` is a session in progress; [`Error::NoDeletes`].
pub fn merge_into(write: &mut Write<'_>, collection: &str, keep: &str, drop: &str) -> Result<u64> {
    if keep == drop {
        return Err(Error::invalid("drop", "the same record as the one that is kept"));
    }
    for id in [keep, drop] {
        let row = find(write.conn, collection, id)?.filter(|row| row.body.is_some());
        row.ok_or_else(|| Error::not_found("record", id))?;
        if write.read().conflict(collection, id)?.is_some() {
            return Err(Error::invalid(id, "in conflict: resolve the conflict"));
        }
    }
    session::refuse_delete(&write.read(), collection, drop)?;
    let moved = move_children(write, collection, keep, drop)?;
    if let Some(row) = find(write.conn, collection, drop)? {
        let author = (row.hlc, row.device_id.as_str());
        record::add_history(
            write,
            (collection, drop),
            row.body.as_deref(),
            row.version,
            author,
            "merged",
        )?;
    }
    delete(write, collection, drop)?;
    Ok(moved)
}

fn move_children(write: &mut Write<'_>, collection: &str, keep: &str, drop: &str) -> Result<u64> {
    let shared = write.shared;
    let held = shared.collections.get(collection)?.sending == Sending::OnComplete
        && write.read().session(collection, keep)?.is_some();
    let mut moved = 0;
    for children in shared.collections.iter() {
        let Some(parent) = children
            .parent
            .as_ref()
            .filter(|parent| parent.collection == collection)
        else {
            continue;
        };
        let mut used = slots(&write.read(), children.name(), keep)?;
        for old in ids(&write.read(), children.name(), drop)? {
            let Some(body) = find(write.conn, children.name(), &old)?.and_then(|row| row.body) else {
                continue;
            };
            let mut object = Body::stored(body).object()?;
            object.insert(parent.field.clone(), Value::from(keep));
            let id = match object.get("slot").and_then(Value::as_str) {
                Some(slot) => {
                    let slot = free_slot(&write.read(), children.name(), keep, &mut used, slot)?;
                    let id = session::set_id(keep, &slot);
                    object.insert("slot".to_owned(), Value::from(slot));
                    id
                }
                None => write.uuid_v7().to_string(),
            };
            let body = Body::complete(object, shared.settings.body_bytes)?;
            let Written { id, .. } = match held {
                false => put(write, children.name(), &id, body.as_str())?,
                true => {
                    let local = Local {
                        kind: Kind::Update,
                        body: Some(body),
                        parent: Some(keep.to_owned()),
                        held,
                    };
                    write_local(write, children, &id, local)?
                }
            };
            move_children(write, children.name(), &id, &old)?;
            delete(write, children.name(), &old)?;
            moved += 1;
        }
    }
    Ok(moved)
}

/// The slots that live children use.
fn slots(read: &Read<'_>, children: &str, parent: &str) -> Result<BTreeSet<String>> {
    let mut used = BTreeSet::new();
    for id in ids(read, children, parent)? {
        if let Some(body) = find(read.conn, children, &id)?.and_then(|row| row.body) {
            let object = Body::stored(body).object()?;
            used.extend(object.get("slot").and_then(Value::as_str).map(str::to_owned));
        }
    }
    Ok(used)
}

/// The slot, or the next one of its kind that is free; it is then used. An app may have given the record
/// in a slot's place another slot.
fn free_slot(read: &Read<'_>, children: &str, keep: &str, used: &mut BTreeSet<String>, slot: &str) -> Result<String> {
    let (mut free, mut n) = (slot.to_owned(), 1);
    loop {
        let there = find(read.conn, children, &session::set_id(keep, &free))?;
        if used.insert(free.clone()) && there.is_none_or(|row| row.body.is_none()) {
            return Ok(free);
        }
        n += 1;
        free = format!("{slot}#{n}");
    }
}

fn ids(read: &Read<'_>, children: &str, parent: &str) -> Result<Vec<String>> {
    let mut statement = read.conn.prepare_cached(
        "SELECT id FROM record WHERE parent_id = ?1 AND collection = ?2 AND body IS NOT NULL ORDER BY rid",
    )?;
    let rows = statement.query_map([parent, children], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
