//! A quiet end: everybody shows the same, and what is unsent says why.

use super::{Judged, Promise};
use crate::history::{Fact, History, Key};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Codes that say nothing of why a write is still unsent when there was time to send it.
const SILENT: [&str; 5] = ["", "ready", "unanswered", "waiting_until", "syncing"];

pub(super) fn judge(history: &History, judged: &mut Judged) {
    if !history.quiet {
        return;
    }
    silent(history, judged);
    converged(history, judged);
}

fn silent(history: &History, judged: &mut Judged) {
    for fact in &history.facts {
        if let Fact::Unsent { device, key, why, .. } = fact
            && SILENT.contains(&why.as_str())
        {
            let why = if why.is_empty() { "nothing" } else { why };
            judged.broken(
                Promise::NeverStuckInSilence,
                format!("a write of {key} is unsent on {device}, and says {why}"),
            );
        }
    }
}

fn converged(history: &History, judged: &mut Judged) {
    let mut held: BTreeMap<(&str, &Key), &Value> = BTreeMap::new();
    let mut shown: BTreeMap<(&str, &str), BTreeMap<&Key, &Value>> = BTreeMap::new();
    let mut unknown: BTreeSet<(&str, &str, &str)> = BTreeSet::new();
    let mut differs: BTreeSet<(&str, &str, &Key)> = BTreeSet::new();
    for fact in &history.facts {
        match fact {
            Fact::Holds {
                user,
                key,
                body: Some(body),
                ..
            } => drop(held.insert((user, key), body)),
            Fact::Shows {
                user,
                device,
                key,
                body,
                ..
            } => {
                let device = shown.entry((user, device)).or_default();
                if let Some(body) = body {
                    device.insert(key, body);
                }
            }
            Fact::Unregistered {
                user,
                device,
                collection,
            } => drop(unknown.insert((user, device, collection))),
            Fact::Unsent { user, device, key, .. } | Fact::Conflict { user, device, key, .. } => {
                differs.insert((user, device, key));
            }
            _ => {}
        }
    }
    let first = Key::default();
    for ((user, device), records) in &shown {
        let may_differ = |key: &Key| {
            history.apart.contains(&key.0)
                || unknown.contains(&(*user, *device, key.0.as_str()))
                || differs.contains(&(*user, *device, key))
        };
        let of_user = held
            .range((*user, &first)..)
            .take_while(|((owner, _), _)| owner == user);
        for ((_, key), body) in of_user.filter(|((_, key), _)| !may_differ(key)) {
            match records.get(key) {
                None => judged.broken(Promise::Converged, format!("{device} does not show {key}")),
                Some(other) if other != body => {
                    judged.broken(
                        Promise::Converged,
                        format!("{device} shows another {key} than the server holds"),
                    );
                }
                Some(_) => {}
            }
        }
        for key in records
            .keys()
            .filter(|key| !may_differ(key) && !held.contains_key(&(*user, **key)))
        {
            judged.broken(
                Promise::Converged,
                format!("{device} shows {key}, which the server does not hold"),
            );
        }
    }
}
