//! Lost: a write returned, and is nowhere.

use super::{Judged, Promise};
use crate::history::{Fact, History, Key, Outcome, Told, Written};
use std::collections::{BTreeMap, BTreeSet};

/// Where writes can be met again.
#[derive(Default)]
struct Places<'a> {
    writes: BTreeSet<&'a str>,
    /// Records of an account of which a deletion is known: arrived, unsent, or in a history.
    deletions: BTreeSet<(&'a str, &'a Key)>,
    /// Records that a device still shows.
    shown: BTreeSet<(&'a str, &'a str, &'a Key)>,
    /// The writes that stand where a device shows a record.
    shown_writes: BTreeMap<(&'a str, &'a Key), Vec<&'a str>>,
    /// The writes that arrived, by record.
    arrived: BTreeMap<(&'a str, &'a Key), Vec<&'a str>>,
}

pub(super) fn judge(history: &History, judged: &mut Judged) {
    let places = places(history);
    let found = found(history, &places);
    for (name, write) in &history.writes {
        if write.told != Told::Returned || found.contains(name.as_str()) || excused(write) {
            continue;
        }
        if write.deletes
            && (undone(history, name, write, &places)
                || deletion_stands(write, &places)
                || never_arrived(history, name, write, &places))
        {
            continue;
        }
        let what = if write.deletes { "the deletion" } else { "the write" };
        judged.broken(
            Promise::Kept,
            format!(
                "{what} {name} of {} by {} returned and is nowhere",
                write.key, write.device
            ),
        );
    }
    told_accepted(history, judged);
}

fn places(history: &History) -> Places<'_> {
    let mut places = Places::default();
    for fact in &history.facts {
        match fact {
            Fact::Applied(applied) => {
                places.writes.extend(history.write_of(applied));
                let arrived = places.arrived.entry((&applied.user, &applied.key)).or_default();
                arrived.extend(history.write_of(applied));
                // Everything made under this operation id went with it.
                places
                    .writes
                    .extend(history.ops.get(&applied.op).into_iter().flatten().map(String::as_str));
                if applied.deletes {
                    places.deletions.insert((&applied.user, &applied.key));
                }
            }
            Fact::Unsent { user, key, write, .. } | Fact::History { user, key, write, .. } => {
                match write {
                    Some(write) => drop(places.writes.insert(write)),
                    None => drop(places.deletions.insert((user, key))),
                };
            }
            Fact::Holds {
                user, key, write, body, ..
            } => {
                places.writes.extend(write.as_deref());
                if body.is_none() {
                    places.deletions.insert((user, key));
                }
            }
            Fact::Pruned { write } => drop(places.writes.insert(write)),
            Fact::PrunedDeletion { user, key } => drop(places.deletions.insert((user, key))),
            Fact::Conflict { writes, .. } => places.writes.extend(writes.iter().map(String::as_str)),
            Fact::Shows {
                user,
                device,
                key,
                write,
                body: Some(_),
            } => {
                places.shown.insert((user, device, key));
                places
                    .shown_writes
                    .entry((user, key))
                    .or_default()
                    .extend(write.as_deref());
                if history.local.contains(&key.0) {
                    places.writes.extend(write.as_deref());
                }
            }
            _ => {}
        }
    }
    places
}

/// All that is somewhere, or that the author of something knew that is somewhere.
fn found<'a>(history: &'a History, places: &Places<'a>) -> BTreeSet<&'a str> {
    let mut open: Vec<&str> = places.writes.iter().copied().collect();
    // A deletion that arrived, or was undone by a restore, stands for what its author knew.
    open.extend(history.writes.iter().filter_map(|(name, write)| {
        let place = (write.user.as_str(), &write.key);
        let stands = write.deletes && (places.deletions.contains(&place) || undone(history, name, write, places));
        stands.then_some(name.as_str())
    }));
    let mut found = BTreeSet::new();
    while let Some(name) = open.pop() {
        if found.insert(name)
            && let Some(write) = history.writes.get(name)
        {
            open.extend(write.saw.iter().map(String::as_str));
        }
    }
    found
}

/// The user threw it away or agreed to lose it.
fn excused(write: &Written) -> bool {
    let told = matches!(
        write.outcome,
        Some(Outcome::Discarded | Outcome::RolledBack | Outcome::Superseded)
    );
    told || write.wiped
}

/// What was deleted is not there, wherever the deletion went.
fn deletion_stands(write: &Written, places: &Places<'_>) -> bool {
    !places.shown.contains(&(&write.user, &write.device, &write.key))
}

/// A restored server that never heard of a record cannot keep its deletion, and who made the record gives it again.
/// So a restore after the deletion can undo it, and one before it where all that is shown goes back to what is
/// older, made by people who did not know of the deletion.
fn undone(history: &History, name: &str, write: &Written, places: &Places<'_>) -> bool {
    let is_older = |write: &Written| write.n < history.before_restore;
    let of_record = |other: &Written| other.user == write.user && other.key == write.key && !other.deletes;
    let goes_back = |shown: &str| {
        let mut given_again = history
            .writes
            .iter()
            .filter(|(_, other)| is_older(other) && of_record(other));
        given_again.any(|(older, _)| history.knew(shown, older)) && !history.knew(shown, name)
    };
    let shown = places.shown_writes.get(&(write.user.as_str(), &write.key));
    let mut shown = shown.into_iter().flatten();
    is_older(write) || (history.restored && shown.all(|shown| goes_back(shown)))
}

/// A deletion of what never arrived is complete where it was made: there is nothing that it would have to travel
/// for. What its author deleted must be met again like any write, and what is shown now must be by somebody whose
/// write he did not know. (After a restore nobody can tell what had arrived before.)
fn never_arrived(history: &History, name: &str, write: &Written, places: &Places<'_>) -> bool {
    let place = (write.user.as_str(), &write.key);
    let arrived = places.arrived.get(&place).into_iter().flatten();
    let shown = places.shown_writes.get(&place).into_iter().flatten();
    !arrived.chain(shown).any(|other| history.knew(name, other))
}

/// Who is told that the server has a write can rely on it.
fn told_accepted(history: &History, judged: &mut Judged) {
    if history.restored {
        return;
    }
    let arrived: BTreeSet<&str> = history
        .applied()
        .filter_map(|applied| history.write_of(applied))
        .collect();
    let under: BTreeSet<&str> = history.applied().map(|applied| applied.op.as_str()).collect();
    let under: BTreeSet<&str> = history
        .ops
        .iter()
        .filter(|(op, _)| under.contains(op.as_str()))
        .flat_map(|(_, writes)| writes.iter().map(String::as_str))
        .collect();
    for (name, write) in &history.writes {
        if write.outcome == Some(Outcome::Accepted)
            && !arrived.contains(name.as_str())
            && !under.contains(name.as_str())
        {
            // A deletion of what was not there has arrived.
            if write.deletes {
                continue;
            }
            judged.broken(
                Promise::Kept,
                format!(
                    "{name} of {} was told to be at the server, which never applied it",
                    write.key
                ),
            );
        }
    }
}
