//! What the server's log says: doubled, out of order, child before parent, overwritten unseen.

use super::{Judged, Promise};
use crate::history::{Applied, Fact, History, Key, Outcome, Told};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn judge(history: &History, judged: &mut Judged) {
    once(history, judged);
    in_order(history, judged);
    parent_first(history, judged);
    overwritten(history, judged);
}

fn once(history: &History, judged: &mut Judged) {
    let mut ops = BTreeSet::new();
    // Under which operation, and after how many deletions of the record.
    let mut writes: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
    let mut deletions: BTreeMap<(&str, &Key), usize> = BTreeMap::new();
    let mut versions: BTreeMap<(&str, &Key), i64> = BTreeMap::new();
    for applied in history.applied() {
        let op = applied.op.as_str();
        if !ops.insert((applied.user.as_str(), op)) {
            judged.broken(
                Promise::Once,
                format!("the operation {op} was applied twice to {}", applied.key),
            );
        }
        if let Some(version) = applied.version {
            let before = versions.insert((&applied.user, &applied.key), version);
            let next = before.unwrap_or(0) + 1;
            if version != next && !history.restored {
                judged.broken(
                    Promise::Once,
                    format!("{} has version {version} where {next} should follow", applied.key),
                );
            }
        }
        let times = deletions.entry((&applied.user, &applied.key)).or_default();
        *times += usize::from(applied.deletes);
        let Some(write) = history
            .write_of(applied)
            .filter(|_| !history.merges.contains(&applied.key.0))
        else {
            continue;
        };
        match history.writes.get(write) {
            None => judged.broken(
                Promise::Once,
                format!("{write} was applied to {}, and nobody wrote it", applied.key),
            ),
            Some(written) if written.told == Told::Failed => judged.broken(
                Promise::Once,
                format!(
                    "{write} was applied to {}, and its author was told that it failed",
                    applied.key
                ),
            ),
            Some(written) => {
                if written.outcome == Some(Outcome::Discarded) {
                    judged.broken(
                        Promise::Once,
                        format!(
                            "{write} was applied to {}, and its author had thrown it away",
                            applied.key
                        ),
                    );
                }
                // What another device deleted may be brought back as it was.
                if let Some((before, deleted)) = writes.insert(write, (op, *times))
                    && before != op
                    && deleted == *times
                    && !history.restored
                {
                    judged.broken(
                        Promise::Once,
                        format!("{write} was applied to {} as {before} and as {op}", applied.key),
                    );
                }
            }
        }
    }
    for fact in &history.facts {
        if let Fact::Holds {
            user,
            key,
            version: Some(version),
            ..
        } = fact
            && let Some(last) = versions.get(&(user.as_str(), key))
            && last != version
            && !history.restored
        {
            judged.broken(
                Promise::Once,
                format!("{key} is at version {version}, its log ends with {last}"),
            );
        }
    }
}

fn in_order(history: &History, judged: &mut Judged) {
    let mut last: BTreeMap<(&str, &str, &Key), (usize, &str)> = BTreeMap::new();
    for applied in history
        .applied()
        .filter(|applied| !history.merges.contains(&applied.key.0))
    {
        if applied.deletes {
            // What was deleted may be brought back as somebody still had it, and begins anew.
            last.retain(|(user, _, key), _| *user != applied.user || **key != applied.key);
        }
        let Some((name, write)) = history
            .write_of(applied)
            .and_then(|name| Some((name, history.writes.get(name)?)))
        else {
            continue;
        };
        let place = (write.user.as_str(), write.device.as_str(), &write.key);
        if let Some((n, before)) = last.insert(place, (write.n, name))
            && n > write.n
            && !history.restored
        {
            judged.broken(
                Promise::InOrder,
                format!("{name} of {} by {} was applied after {before}", write.key, write.device),
            );
        }
    }
}

fn parent_first(history: &History, judged: &mut Judged) {
    // A restored server may have lost a parent that another device has to bring again.
    if history.restored {
        return;
    }
    let mut there: BTreeSet<(&str, Key)> = BTreeSet::new();
    for applied in history.applied() {
        if !applied.deletes
            && let (Some((collection, _)), Some(parent)) = (history.parents.get(&applied.key.0), &applied.parent)
            && !there.contains(&(applied.user.as_str(), Key::new(collection, parent)))
        {
            judged.broken(
                Promise::ParentFirst,
                format!("{} was applied before its parent {collection}/{parent}", applied.key),
            );
        }
        there.insert((&applied.user, applied.key.clone()));
    }
}

fn overwritten(history: &History, judged: &mut Judged) {
    let mut kept: BTreeSet<&str> = BTreeSet::new();
    for fact in &history.facts {
        match fact {
            Fact::History { write, .. } => kept.extend(write.as_deref()),
            Fact::Pruned { write } => drop(kept.insert(write)),
            Fact::Conflict { writes, .. } | Fact::ConflictShown { writes, .. } => {
                kept.extend(writes.iter().map(String::as_str));
            }
            Fact::Unsent { write, .. } => kept.extend(write.as_deref()),
            _ => {}
        }
    }
    let mut current: BTreeMap<(&str, &Key), &str> = BTreeMap::new();
    for applied in history
        .applied()
        .filter(|applied| !history.merges.contains(&applied.key.0))
    {
        let place = (applied.user.as_str(), &applied.key);
        let new = history.write_of(applied);
        let old = match new {
            Some(new) => current.insert(place, new),
            None => current.remove(&place),
        };
        let Some(old) = old.filter(|old| Some(*old) != new) else {
            continue;
        };
        // Of a write whose return nobody saw, and that was followed by another, only the operation id is left.
        let is_nobodys = new.is_none() && !applied.deletes;
        if is_nobodys || kept.contains(old) || knew(history, applied, new, old) {
            continue;
        }
        let new = new.unwrap_or("a deletion");
        judged.broken(
            Promise::NotOverwrittenUnseen,
            format!(
                "{new} took the place of {old} in {}; its author had not seen it, and nothing keeps it",
                applied.key
            ),
        );
    }
}

fn knew(history: &History, applied: &Applied, new: Option<&str>, old: &str) -> bool {
    match new {
        Some(new) => history.knew(new, old),
        // Which deletion it was is not known: one of this record, by anybody who knew.
        None => history.writes.iter().any(|(name, write)| {
            write.deletes && write.user == applied.user && write.key == applied.key && history.knew(name, old)
        }),
    }
}
