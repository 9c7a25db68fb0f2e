//! Carries a plan out, in the transaction of the page or the answer that brought the version.

use super::{
    clocks::Clocks,
    family,
    merge::Base as MadeOn,
    plan::{Action, Side, plan},
    policy::{Keeping, Policy, keeping},
    stamp::{Stored, clocks_after},
};
use crate::{
    body::Body,
    db::Write,
    diagnostics,
    error::{Error, Result},
    hlc::Hlc,
    notice::{self, NoticeKind},
    planted::{self, Bug},
    queue::{self, Ended, EntryState, Head, Kind, heads_of},
    record::{self, Base, Row, find, insert_confirmed},
    remote::{Accepted, RemoteVersion},
    session,
};
use rusqlite::params;
use uuid::Uuid;

/// A version of a record came from the server. `refused` is the entry whose answer it was, if it
/// was one: that entry, and those chained on it, were certainly not applied. `generation` is the
/// pull from the start in whose course it came, if it was pulled: the first sighting in a generation after
/// the first is believed whatever its number, because a restored server counts from an earlier one.
pub(crate) fn meet(
    write: &mut Write<'_>,
    collection: &str,
    id: &str,
    remote: &RemoteVersion,
    refused: Option<i64>,
    generation: Option<i64>,
) -> Result<()> {
    let Some(mut row) = find(write.conn, collection, id)? else {
        if remote.body.is_some() {
            let parent = parent_of(write, collection, remote);
            insert_confirmed(
                write,
                collection,
                id,
                parent.as_deref(),
                remote,
                generation.unwrap_or(record::UNSEEN),
            )?;
        }
        return Ok(());
    };
    let seen = generation.unwrap_or(row.seen);
    let unseen = generation.is_some_and(|generation| row.seen < generation);
    let first_sighting = unseen && generation != Some(0);
    if remote.version <= row.version && !first_sighting && refused.is_none() && !planted::is(Bug::StaleVersionWins) {
        if unseen {
            write
                .conn
                .prepare_cached("UPDATE record SET seen = ?2 WHERE rid = ?1")?
                .execute(params![row.rid, seen])?;
        }
        return Ok(());
    }
    let mut entries = heads_of(write.conn, collection, id, row.lane())?;
    if planted::is(Bug::SkipPullWhilePending) && !entries.is_empty() && refused.is_none() {
        return Ok(());
    }
    if let Some(position) = entries
        .iter()
        .position(|entry| remote.op.is_some_and(|op| entry.went_as(op)))
    {
        // Our own write: its answer was lost, but here is its version. What came before it in the
        // lane was applied too, or it could not have been; unless it was refused, and passed over.
        for (at, entry) in entries.drain(..=position).enumerate() {
            if at < position && entry.state == EntryState::Parked {
                continue;
            }
            let accepted = Accepted {
                version: remote.version,
                body: remote.body.clone(),
                // The server's clock: this device's may be years away, and the journal's age with it.
                updated_at: Some(remote.updated_at),
                ..Accepted::default()
            };
            queue::accept(write, &entry, &accepted, None)?;
        }
        let Some(current) = find(write.conn, collection, id)? else {
            return Ok(());
        };
        row = current;
    }
    let defended = entries.is_empty()
        && remote.body.is_none()
        && (session::defend(write, &mut row, &remote.device_id)? || family::defend(write, &mut row)?);
    if defended {
        entries = heads_of(write.conn, collection, id, row.lane())?;
    }
    if entries.is_empty() {
        row.confirm(write, remote, false, seen)?;
        return record::settle_state(write, collection, id);
    }
    let fate_open = entries
        .iter()
        .any(|entry| entry.fate_open() && refused.is_none_or(|refused| entry.seq < refused));
    let known_base = freeze(write, &row, &mut entries)?;
    let local = row.clone();
    row.confirm(write, remote, true, seen)?;
    if fate_open {
        return record::settle_state(write, collection, id);
    }
    // What is defended equals its base, and is an edit all the same.
    let planned_on = if defended { &Base::None } else { &known_base };
    let base_version = entries.first().map_or(0, |entry| entry.base_version);
    let action = match (&known_base, remote.version) {
        // The server has nothing of this id and never told us of anything: nobody wrote against us.
        (Base::None, 0) if remote.body.is_none() => Action::KeepLocal,
        _ if remote.body.is_none() && planted::is(Bug::TombstoneOverEdit) => Action::TakeRemote,
        _ => decide(write, (planned_on, base_version), &local, remote)?,
    };
    carry_out(write, action, local, row, entries, known_base, remote)?;
    record::settle_state(write, collection, id)
}

/// The parent a version names; none where that cannot be told, which must not stop a pull.
fn parent_of(write: &Write<'_>, collection: &str, remote: &RemoteVersion) -> Option<String> {
    let parent = write.shared.collections.get(collection).ok()?.parent.as_ref()?;
    let object = Body::stored(remote.body.clone()?).object().ok()?;
    Some(object.get(&parent.field)?.as_str()?.to_owned())
}

/// Keeps, in each entry, the base it was made on, before the record's base moves away from it. Gives
/// the base of the first.
fn freeze(write: &mut Write<'_>, row: &Row, entries: &mut [Head]) -> Result<Base> {
    let frozen = row.frozen_base();
    for entry in entries.iter_mut().filter(|entry| entry.base == Base::Visible) {
        entry.base = frozen.clone();
        entry.store(write)?;
    }
    Ok(entries.first().map_or(frozen, |entry| entry.base.clone()))
}

fn decide(
    write: &Write<'_>,
    (base, base_version): (&Base, i64),
    local: &Row,
    remote: &RemoteVersion,
) -> Result<Action> {
    let parse = |text: Option<&str>| text.map(|text| Body::stored(text.to_owned()).object()).transpose();
    let (Ok(base_body), Ok(local_body), Ok(remote_body)) = (
        parse(if let Base::Body(body) = base { Some(body) } else { None }),
        parse(local.body.as_deref()),
        parse(remote.body.as_deref()),
    ) else {
        // JSON that no value can hold (a lone surrogate, a number out of range) is not compared, and
        // must not stop the pull. Both versions stay in sight and the user decides; parked, a retry would
        // only meet the same version again, with nobody asked which of the two it should be.
        return Ok(Action::Ask);
    };
    let (policy, groups) = family::policies(&write.shared.collections, local);
    let base = match (&base_body, base) {
        (Some(body), _) => MadeOn::Body(body),
        // Given again to a restored server: the journal keeps no bases.
        (None, Base::None) if base_version > 0 => MadeOn::Unknown,
        (None, _) => MadeOn::Apart,
    };
    let clocks = |text: &Option<String>, own| text.as_ref().map(|text| Clocks::parse(text, own));
    let (our_clocks, their_clocks) = (clocks(&local.clocks, local.hlc), clocks(&remote.clocks, remote.hlc));
    let local = Side {
        body: local_body.as_ref(),
        hlc: local.hlc,
        device_id: &local.device_id,
        clocks: our_clocks.as_ref(),
    };
    let remote = Side {
        body: remote_body.as_ref(),
        hlc: remote.hlc,
        device_id: &remote.device_id,
        clocks: their_clocks.as_ref(),
    };
    Ok(plan(&policy, &groups, base, local, remote))
}

/// The clocks of a body that somebody chose over `remote`.
pub(super) fn clocks_of_choice(
    write: &Write<'_>,
    collection: &str,
    remote: &RemoteVersion,
    body: &str,
    hlc: Hlc,
) -> Option<String> {
    let before = Stored {
        body: remote.body.as_deref(),
        hlc: remote.hlc,
        device_id: &remote.device_id,
        clocks: remote.clocks.as_deref(),
    };
    let registered = write.shared.collections.get(collection).ok()?;
    clocks_after(registered, &before, Some(body), (hlc, &write.shared.device_id))
}

fn carry_out(
    write: &mut Write<'_>,
    action: Action,
    local: Row,
    mut row: Row,
    entries: Vec<Head>,
    base: Base,
    remote: &RemoteVersion,
) -> Result<()> {
    let key = (row.collection.clone(), row.id.clone());
    let key = (key.0.as_str(), key.1.as_str());
    let lose_local = |write: &mut Write<'_>| {
        record::add_history(
            write,
            key,
            local.body.as_deref(),
            0,
            (local.hlc, &local.device_id),
            "lost_to_server",
        )
    };
    let lose_remote = |write: &mut Write<'_>, reason| {
        let author = (remote.hlc, remote.device_id.as_str());
        record::add_history(write, key, remote.body.as_deref(), remote.version, author, reason)
    };
    match action {
        Action::Same | Action::TakeRemote => drop_entries(write, &entries, Ended::InEffect(remote.version))?,
        Action::LoseLocal => {
            lose_local(write)?;
            diagnostics::lost(write, &row, remote.body.is_none())?;
            if remote.body.is_none() {
                notice::add(write, NoticeKind::EditLostToDelete, key, &remote.device_id)?;
            }
            drop_entries(write, &entries, Ended::Lost(remote.version))?;
        }
        Action::KeepLocal => rebase(write, &entries, remote)?,
        Action::LoseRemote => {
            lose_remote(write, "lost_to_device")?;
            if local.body.is_none() && remote.body.is_some() {
                notice::add(write, NoticeKind::EditLostToDelete, key, &remote.device_id)?;
            }
            rebase(write, &entries, remote)?;
        }
        Action::Merge(merged) => {
            let same = |text: Option<&str>| {
                let body = text.and_then(|text| Body::stored(text.to_owned()).object().ok());
                body.as_ref() == Some(&merged.body)
            };
            // Where only clocks were merged, nothing is lost.
            match (same(local.body.as_deref()), same(remote.body.as_deref())) {
                (true, true) => {}
                (true, false) => lose_remote(write, "lost_to_device")?,
                (false, true) => lose_local(write)?,
                (false, false) => {
                    lose_local(write)?;
                    lose_remote(write, "merged")?;
                }
            }
            let body = Body::from(merged.body).into_string();
            let hlc = write.tick_hlc_after(Some(remote.hlc.max(local.hlc)));
            let registered = write.shared.collections.get(key.0)?;
            let keeps = keeping(&registered.policy, &registered.groups) != Keeping::Nothing;
            let clocks = merged.clocks.to_text().filter(|_| keeps);
            replace(write, &entries, remote, (Some(&body), clocks.as_deref()), hlc)?;
            row.body = Some(body);
            row.clocks = clocks;
            row.hlc = hlc;
            row.device_id = write.shared.device_id.to_string();
            row.updated_at = write.now.wall_ms;
            row.store(write)?;
        }
        Action::Ask => return open(write, &local, entries, &base, remote, None),
        Action::AskResolver => {
            let resolver = match &write.shared.collections.get(key.0)?.policy {
                Policy::Custom(name) => Some(name.as_str()),
                _ => None,
            };
            return open(write, &local, entries, &base, remote, resolver);
        }
    }
    close(write, key.0, key.1)
}

fn drop_entries(write: &mut Write<'_>, entries: &[Head], ended: Ended) -> Result<()> {
    for entry in entries {
        entry.remove(write, ended)?;
    }
    write.store_clocks()
}

/// The chain goes on, on top of `remote`: its first entry takes it as base, the others stay chained.
pub(super) fn rebase(write: &mut Write<'_>, entries: &[Head], remote: &RemoteVersion) -> Result<()> {
    for (position, entry) in entries.iter().enumerate() {
        let mut entry = entry.clone();
        // Children wait for their parent's creation: what goes to a server that has nothing is one.
        let is_there = remote.version > 0 || remote.body.is_some();
        match entry.kind {
            Some(Kind::Create) if position == 0 && is_there => entry.kind = Some(Kind::Update),
            Some(Kind::Update) if position == 0 && !is_there => entry.kind = Some(Kind::Create),
            _ => {}
        }
        if !planted::is(Bug::ResolveForgetsBase) {
            entry.base_version = remote.version;
        }
        entry.base_id = remote.op;
        entry.base = Base::Visible;
        if entry.state == EntryState::Conflict {
            entry.state = EntryState::Waiting;
        }
        entry.reason = entry.reason.filter(|_| entry.state == EntryState::Parked);
        entry.freshen_alike(write)?;
        write.changes.sendable |= entry.state == EntryState::Waiting;
    }
    Ok(())
}

/// One entry stands for the whole chain, with another body, on top of `remote`. A change of state in
/// the chain is what it then is.
pub(super) fn replace(
    write: &mut Write<'_>,
    entries: &[Head],
    remote: &RemoteVersion,
    (body, clocks): (Option<&str>, Option<&str>),
    hlc: Hlc,
) -> Result<()> {
    let keep = entries
        .iter()
        .find(|entry| entry.kind.is_some_and(Kind::changes_state))
        .or(entries.last());
    let Some(keep) = keep.cloned() else { return Ok(()) };
    let mut keep = keep;
    // Under its final operation id, which the others are superseded by.
    keep.freshen(write)?;
    for entry in entries.iter().filter(|entry| entry.seq != keep.seq) {
        entry.remove(write, Ended::Superseded(keep.op))?;
    }
    if body.is_none() {
        keep.kind = Some(Kind::Delete);
    } else if !keep.kind.is_some_and(Kind::changes_state) {
        keep.kind = Some(Kind::Update);
    }
    keep.hlc = hlc;
    rebase(write, &[keep.clone()], remote)?;
    queue::set_content(write, keep.seq, body, clocks)?;
    write
        .conn
        .prepare_cached("UPDATE entry SET hlc = ?2 WHERE seq = ?1")?
        .execute(params![keep.seq, hlc.to_i64()])?;
    Ok(())
}

fn open(
    write: &mut Write<'_>,
    local: &Row,
    entries: Vec<Head>,
    base: &Base,
    remote: &RemoteVersion,
    resolver: Option<&str>,
) -> Result<()> {
    let base_body = if let Base::Body(body) = base {
        Some(body.as_str())
    } else {
        None
    };
    let root = family::root_of(write, local)?;
    insert(
        write,
        &New {
            local,
            root: &root,
            joined: false,
            base: base_body,
            remote: remote.body.as_deref(),
            remote_version: remote.version,
            remote_hlc: remote.hlc,
            remote_op: remote.op,
            remote_device: &remote.device_id,
            remote_label: remote.device_label.as_deref(),
            remote_at: remote.updated_at,
            resolver,
        },
    )?;
    for mut entry in entries {
        entry.state = EntryState::Conflict;
        entry.reason = entry.reason.filter(|reason| reason.code != "policy_failed");
        entry.store(write)?;
    }
    if resolver.is_none() {
        family::join(write, &root)?;
    }
    diagnostics::conflict_opened(write)
}

/// A row to be: two versions of one record.
pub(super) struct New<'a> {
    pub(super) local: &'a Row,
    pub(super) root: &'a (String, String),
    pub(super) joined: bool,
    pub(super) base: Option<&'a str>,
    pub(super) remote: Option<&'a str>,
    pub(super) remote_version: i64,
    pub(super) remote_hlc: Hlc,
    pub(super) remote_op: Option<Uuid>,
    pub(super) remote_device: &'a str,
    pub(super) remote_label: Option<&'a str>,
    pub(super) remote_at: i64,
    /// The app's resolver that is to decide, instead of the user.
    pub(super) resolver: Option<&'a str>,
}

/// Opens the conflict of a record, or refreshes it: what both were made on stays. The server's version
/// number tells a later version of it; `turn` tells what that does not (the local side, and a restored
/// server that counts from an earlier number).
pub(super) fn insert(write: &mut Write<'_>, new: &New<'_>) -> Result<()> {
    write
        .conn
        .prepare_cached(
            "INSERT INTO conflict (collection, id, root_collection, root_id, joined, turn, base_body, local_body, local_hlc, local_at,
             remote_body, remote_version, remote_hlc, remote_device, remote_label, remote_at, opened_at, remote_op, resolver)
             VALUES (?1, ?2, ?3, ?4, ?16, 0, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?17, ?18)
             ON CONFLICT (collection, id) DO UPDATE SET turn = turn + (excluded.local_hlc <> local_hlc OR
             (excluded.remote_version <= remote_version AND
              (excluded.remote_version <> remote_version OR excluded.remote_hlc <> remote_hlc))),
             root_collection = excluded.root_collection, root_id = excluded.root_id, joined = excluded.joined,
             local_body = excluded.local_body, local_hlc = excluded.local_hlc,
             local_at = excluded.local_at, remote_body = excluded.remote_body, remote_version = excluded.remote_version,
             remote_hlc = excluded.remote_hlc, remote_device = excluded.remote_device, remote_label = excluded.remote_label,
             remote_at = excluded.remote_at, remote_op = excluded.remote_op, resolver = excluded.resolver",
        )?
        .execute(params![
            new.local.collection,
            new.local.id,
            new.root.0,
            new.root.1,
            new.base,
            new.local.body,
            new.local.hlc.to_i64(),
            new.local.updated_at,
            new.remote,
            new.remote_version,
            new.remote_hlc.to_i64(),
            new.remote_device,
            new.remote_label,
            new.remote_at,
            write.now.wall_ms,
            new.joined,
            new.remote_op.as_ref().map(Uuid::as_bytes),
            new.resolver,
        ])?;
    write.changes.conflicts = true;
    Ok(())
}

/// A further local write while the conflict is open takes part in it.
pub(crate) fn refresh_local(
    write: &mut Write<'_>,
    collection: &str,
    id: &str,
    body: Option<&str>,
    hlc: Hlc,
) -> Result<()> {
    write
        .conn
        .prepare_cached(
            "UPDATE conflict SET local_body = ?3, local_hlc = ?4, local_at = ?5, turn = turn + 1
             WHERE collection = ?1 AND id = ?2",
        )?
        .execute(params![collection, id, body, hlc.to_i64(), write.now.wall_ms])?;
    write.changes.conflicts = true;
    Ok(())
}

pub(super) fn close(write: &mut Write<'_>, collection: &str, id: &str) -> Result<()> {
    let root: Option<(String, String)> = {
        let mut statement = write.conn.prepare_cached(
            "DELETE FROM conflict WHERE collection = ?1 AND id = ?2 RETURNING root_collection, root_id",
        )?;
        let mut gone = statement.query(params![collection, id])?;
        gone.next()?
            .map(|row| Ok::<_, Error>((row.get(0)?, row.get(1)?)))
            .transpose()?
    };
    write.changes.conflicts |= root.is_some();
    match root {
        Some(root) => family::leave(write, &root),
        None => Ok(()),
    }
}

/// A conflict whose entries the user has thrown away is settled.
pub(crate) fn close_if_idle(write: &mut Write<'_>, collection: &str, id: &str) -> Result<()> {
    let Some(row) = find(write.conn, collection, id)? else {
        return close(write, collection, id);
    };
    let entries = heads_of(write.conn, collection, id, row.lane())?;
    if entries.iter().any(|entry| entry.state == EntryState::Conflict) {
        Ok(())
    } else {
        close(write, collection, id)
    }
}
