//! The user's decision.
//!
//! 1. It names the conflict as it was shown ([`Conflict::token`](super::Conflict::token)). If anything of
//!    it has changed since, nothing happens.
//! 2. Each record of the conflict is settled: this device's version goes out on top of the server's, or
//!    the server's stands here too, or another body goes out on top of it. What loses goes into the history.
//! 3. The rows go. The resolution is an unsent write like any other, made on the server's version that was
//!    shown and holding this device's; it can meet yet another version, and then asks again.
//!
//! All of it is one transaction: stopped before the commit, the conflict stands as it was. This is the only
//! way to send a write over another device's under `ask`.

use super::{
    apply::{clocks_of_choice, rebase, replace},
    family,
    member::{Member, of_root},
    shown::{ChildBody, Conflict},
};
use crate::{
    body::Body,
    collection::Collections,
    db::Write,
    error::{Error, Result},
    queue::{Ended, heads_of},
    record::{self, Row, find},
    settings::Settings,
};
use serde_json::Value;

/// What the user decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// This device's version goes to the server, over the one that was shown.
    KeepLocal,
    /// The server's version stands here too.
    KeepRemote,
    /// Another body, made from both: JSON text. Children in conflict become as proposed.
    Merge(String),
    /// As proposed, except for what is given.
    MergeWith(Merged),
}

/// What is not as [`Conflict::proposal`](super::Conflict::proposal) has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// JSON text of the record's body; `None`: as proposed.
    pub body: Option<String>,
    /// Bodies of children, also of such that are not in conflict. The others become as proposed.
    pub children: Vec<ChildBody>,
}

/// What becomes of one record.
enum Verdict {
    Local,
    Remote,
    Body(Option<String>),
}

/// Settles a conflict as the user decided. `shown` is the [`Conflict::token`](super::Conflict::token) the
/// user saw.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::ConflictChanged`] if anything of it has changed since it was shown;
/// [`Error::Invalid`] for a merged body. Then the conflict stands as it was.
pub fn resolve(write: &mut Write<'_>, collection: &str, id: &str, shown: &str, resolution: &Resolution) -> Result<()> {
    let conflict = write.read().conflict(collection, id)?;
    let conflict = conflict.ok_or_else(|| Error::not_found("conflict", format!("{collection}/{id}")))?;
    if conflict.token != shown {
        return Err(Error::ConflictChanged);
    }
    if conflict.in_conflict && conflict.remote.is_none() {
        // What was made below a deleted record since the two met goes or stays with it.
        family::join(write, &(collection.to_owned(), id.to_owned()))?;
    }
    let members = of_root(write.conn, collection, id)?;
    write
        .conn
        .prepare_cached("DELETE FROM conflict WHERE root_collection = ?1 AND root_id = ?2")?
        .execute([collection, id])?;
    write.changes.conflicts = true;
    let plain;
    let merged = match resolution {
        Resolution::MergeWith(merged) => Some(merged),
        Resolution::Merge(body) => {
            plain = Merged {
                body: Some(body.clone()),
                children: Vec::new(),
            };
            Some(&plain)
        }
        Resolution::KeepLocal | Resolution::KeepRemote => None,
    };
    for member in &members {
        let verdict = match (resolution, merged) {
            (Resolution::KeepRemote, _) => Verdict::Remote,
            (_, None) => Verdict::Local,
            (_, Some(merged)) => verdict(&conflict, member, merged)?,
        };
        settle(write, member, verdict)?;
    }
    if let Some(merged) = merged {
        write_others(write, &conflict, &members, merged)?;
    }
    write.changes.sendable = true;
    write.store_clocks()
}

/// What a merge makes of a member: one of its two versions, or something else.
fn verdict(conflict: &Conflict, member: &Member, merged: &Merged) -> Result<Verdict> {
    let own = (&member.collection, &member.id) == (&conflict.collection, &conflict.id);
    let is_member = |child: &&ChildBody| (&child.collection, &child.id) == (&member.collection, &member.id);
    let given = if own {
        merged.body.as_ref().map(|body| Some(body.clone()))
    } else {
        merged.children.iter().find(is_member).map(|child| child.body.clone())
    };
    let body = match given {
        Some(body) => body,
        None if own => conflict.proposal.body.clone(),
        None => {
            let proposed = conflict.proposal.children.iter().find(is_member);
            proposed.and_then(|child| child.body.clone())
        }
    };
    if same(body.as_deref(), member.remote.as_deref())? {
        Ok(Verdict::Remote)
    } else if same(body.as_deref(), member.local.as_deref())? {
        Ok(Verdict::Local)
    } else {
        Ok(Verdict::Body(body))
    }
}

/// Whether two bodies say the same, however they are written.
fn same(one: Option<&str>, other: Option<&str>) -> Result<bool> {
    if one == other {
        return Ok(true);
    }
    let (Some(one), Some(other)) = (one, other) else {
        return Ok(false);
    };
    let parse = |text: &str| serde_json::from_str::<Value>(text).ok();
    Ok(parse(one).is_some_and(|one| parse(other).is_some_and(|other| one == other)))
}

fn settle(write: &mut Write<'_>, member: &Member, verdict: Verdict) -> Result<()> {
    let (collection, id) = (member.collection.as_str(), member.id.as_str());
    let mut row = find(write.conn, collection, id)?.ok_or_else(|| Error::not_found("record", id))?;
    let entries = heads_of(write.conn, collection, id, row.lane())?;
    let key = (collection, id);
    let remote = member.remote_version(&row);
    let device = write.shared.device_id.to_string();
    let keep_local_version = |write: &mut Write<'_>, reason| {
        record::add_history(write, key, member.local.as_deref(), 0, (row.hlc, &device), reason)
    };
    let keep_remote_version = |write: &mut Write<'_>, reason| {
        let author = (remote.hlc, remote.device_id.as_str());
        record::add_history(write, key, member.remote.as_deref(), remote.version, author, reason)
    };
    match verdict {
        Verdict::Local if member.joined => return family::release(write, collection, id),
        Verdict::Local => {
            keep_remote_version(write, "lost_to_device")?;
            rebase(write, &entries, &remote)?;
        }
        Verdict::Remote => {
            keep_local_version(write, "lost_to_server")?;
            for entry in &entries {
                entry.remove(write, Ended::Lost(member.remote_version))?;
            }
            // The record's base is that version since the two met: without an entry it is shown. One that
            // the server never had goes with its last entry.
        }
        Verdict::Body(body) => {
            let body = match body {
                Some(body) => Some(checked(&write.shared.settings, &write.shared.collections, &row, &body)?),
                None => None,
            };
            keep_local_version(write, "merged")?;
            keep_remote_version(write, "merged")?;
            let hlc = write.tick_hlc_after(Some(remote.hlc.max(row.hlc)));
            let clocks = body
                .as_deref()
                .and_then(|body| clocks_of_choice(write, collection, &remote, body, hlc));
            replace(write, &entries, &remote, (body.as_deref(), clocks.as_deref()), hlc)?;
            row.body = body;
            row.clocks = clocks;
            row.hlc = hlc;
            row.device_id = device;
            row.updated_at = write.now.wall_ms;
            row.store(write)?;
        }
    }
    record::settle_state(write, collection, id)
}

fn checked(settings: &Settings, collections: &Collections, row: &Row, body: &str) -> Result<String> {
    let body = Body::parse(body, settings.body_bytes, settings.body_depth)?;
    if let (Some(parent), Some(parent_id)) = (
        collections.get(&row.collection).ok().and_then(|it| it.parent.as_ref()),
        &row.parent_id,
    ) && body.object()?.get(&parent.field).and_then(Value::as_str) != Some(parent_id)
    {
        return Err(Error::invalid(
            format!("body.{}", parent.field),
            "the parent of a record is fixed when it is made",
        ));
    }
    Ok(body.into_string())
}

/// What was given for records that are not in conflict is written as any other write.
fn write_others(write: &mut Write<'_>, conflict: &Conflict, members: &[Member], merged: &Merged) -> Result<()> {
    let key = (&conflict.collection, &conflict.id);
    let own = merged.body.as_ref().map(|body| (key, Some(body)));
    let children = merged
        .children
        .iter()
        .map(|child| ((&child.collection, &child.id), child.body.as_ref()));
    for ((collection, id), body) in own.into_iter().chain(children) {
        if members
            .iter()
            .any(|member| (&member.collection, &member.id) == (collection, id))
        {
            continue;
        }
        let belongs = (collection, id) == key
            || conflict
                .children
                .iter()
                .any(|child| (&child.collection, &child.id) == (collection, id));
        if !belongs {
            return Err(Error::invalid("children", "not a child of the record in conflict"));
        }
        let visible = find(write.conn, collection, id)?.and_then(|row| row.body);
        match body {
            _ if same(body.map(String::as_str), visible.as_deref())? => {}
            Some(body) => {
                record::put(write, collection, id, body)?;
            }
            None => {
                record::delete(write, collection, id)?;
            }
        }
    }
    Ok(())
}
