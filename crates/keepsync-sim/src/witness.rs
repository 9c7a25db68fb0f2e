//! Writes a story down for the second oracle: `keepsync-oracle`, which shares no code with the core or with
//! [`oracle`](crate::oracle), and judges from what the app was told and what server and devices hold in the end.
//!
//! What is told here is what a user could have told: which writes returned, what he saw when he made them, what he
//! decided about conflicts, what he wiped. That a full disk took something from a history is told of the rows that
//! are gone from the file, each by itself.

use crate::{
    app::{self, MERGED, NEW},
    backend::Account,
    device::{App, Device},
    inspect::Inspector,
    oracle::{Fate, Note, Violation, broken, marker},
};
use keepsync_oracle::{Applied, Fact, History, Key, check};
use keepsync_wire::Operation;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What was written down so far.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    facts: Vec<Fact>,
    known: BTreeSet<String>,
    /// What stood in histories and journals when it was last looked at, of devices whose disk is full.
    stood: BTreeMap<(String, usize), Standing>,
    judged: Option<History>,
}

/// What can be met in histories, journals and conflicts of a file.
#[derive(Debug, Default)]
struct Standing {
    writes: BTreeSet<String>,
    deletions: BTreeSet<(String, String)>,
}

fn device_name(index: usize) -> String {
    format!("device-{index}")
}

fn key_of(collection: &str, id: &str) -> Key {
    Key::new(collection, id)
}

fn body_of(body: Option<&str>) -> Option<Value> {
    serde_json::from_str(body?).ok()
}

fn write_in(body: Option<&str>) -> Option<String> {
    body.and_then(marker).map(str::to_owned)
}

impl Witness {
    /// A write was tried, and returned, or nobody knows.
    pub(crate) fn wrote(&mut self, user: &str, device: usize, note: &Note, fate: Fate) {
        self.facts.push(Fact::Tried {
            write: note.marker.clone(),
            user: user.to_owned(),
            device: device_name(device),
            key: key_of(&note.key.0, &note.key.1),
            deletes: note.deletes,
            saw: note.saw.clone(),
        });
        if fate == Fate::Returned {
            self.facts.push(Fact::Returned {
                write: note.marker.clone(),
                op: None,
            });
        }
        // What a user deletes before it has left goes into the history, where there may be no room for it.
        if let Some(stood) = self.stood.get_mut(&(user.to_owned(), device)).filter(|_| note.deletes) {
            stood.writes.extend(note.saw.iter().cloned());
            stood.deletions.insert(note.key.clone());
        }
        self.known.insert(note.marker.clone());
    }

    /// A conflict was settled in favour of a write.
    pub(crate) fn settled(&mut self, kept: &str, dropped: &str) {
        if self.known.contains(kept) {
            self.facts.push(Fact::Resolved {
                kept: kept.to_owned(),
                dropped: vec![dropped.to_owned()],
            });
        }
    }

    pub(crate) fn wiped(&mut self, user: &str, device: usize, file: &Inspector) -> Result<(), Violation> {
        let gone = standing(file)?;
        self.gone(user, gone.writes, gone.deletions);
        self.stood.remove(&(user.to_owned(), device));
        self.facts.push(Fact::Wiped {
            user: user.to_owned(),
            device: device_name(device),
        });
        Ok(())
    }

    /// The disk is full: what stood here when it was last looked at, and does not any more, was pruned.
    pub(crate) fn look(&mut self, user: &str, device: usize, file: &Inspector) -> Result<(), Violation> {
        let stands = standing(file)?;
        let place = (user.to_owned(), device);
        if let Some(before) = self.stood.remove(&place) {
            let writes = before.writes.difference(&stands.writes).cloned().collect();
            let deletions = before.deletions.difference(&stands.deletions).cloned().collect();
            self.gone(user, writes, deletions);
        }
        self.stood.insert(place, stands);
        Ok(())
    }

    fn gone(&mut self, user: &str, writes: BTreeSet<String>, deletions: BTreeSet<(String, String)>) {
        let deletion = |(collection, id): (String, String)| Fact::PrunedDeletion {
            user: user.to_owned(),
            key: key_of(&collection, &id),
        };
        self.facts
            .extend(writes.into_iter().map(|write| Fact::Pruned { write }));
        self.facts.extend(deletions.into_iter().map(deletion));
    }

    /// The disk has room. Of a file that is not open just now it is seen when it is opened what went meanwhile.
    pub(crate) fn look_away(&mut self, user: &str, device: usize) {
        self.stood.remove(&(user.to_owned(), device));
    }

    /// A file was opened. What went from it before its process died, or as it was opened, while the disk was full?
    pub(crate) fn look_again(
        &mut self,
        (user, device): (&str, usize),
        file: &Inspector,
        full: bool,
    ) -> Result<(), Violation> {
        if self.stood.contains_key(&(user.to_owned(), device)) {
            self.look(user, device, file)?;
            if !full {
                self.look_away(user, device);
            }
        }
        Ok(())
    }

    pub(crate) fn restored(&mut self) {
        self.facts.push(Fact::Restored);
    }

    /// In the end: what a device shows and keeps.
    pub(crate) fn device(&mut self, device: &Device, app: &App) -> Result<(), Violation> {
        let (user, name) = (device.user().to_owned(), device_name(device.index));
        if device.version < app::LATEST {
            self.facts.push(Fact::Unregistered {
                user: user.clone(),
                device: name.clone(),
                collection: NEW.to_owned(),
            });
        }
        for record in app.inspect.records()?.iter().filter(|record| record.body.is_some()) {
            self.facts.push(Fact::Shows {
                user: user.clone(),
                device: name.clone(),
                key: key_of(&record.collection, &record.id),
                write: write_in(record.body.as_deref()),
                body: body_of(record.body.as_deref()),
            });
        }
        for entry in app.inspect.entries()? {
            self.facts.push(Fact::Unsent {
                user: user.clone(),
                device: name.clone(),
                key: key_of(&entry.collection, &entry.id),
                write: write_in(entry.body.as_deref()),
                why: ["ready", "held", "conflict", "parked"][usize::try_from(entry.state).unwrap_or(0).min(3)]
                    .to_owned(),
            });
        }
        for (collection, id, body) in app.inspect.history()? {
            self.facts.push(Fact::History {
                user: user.clone(),
                device: name.clone(),
                key: key_of(&collection, &id),
                write: write_in(body.as_deref()),
            });
        }
        Ok(())
    }

    /// In the end: what the server has applied, and holds.
    pub(crate) fn server(&mut self, user: &str, account: &Account) {
        for applied in account.log() {
            let body = applied.body.as_deref();
            let parent = match applied.key.0.as_str() {
                "set_log" => "workout_id",
                "lap" => "run_id",
                _ => "",
            };
            let parent = body_of(body).and_then(|body| Some(body.get(parent)?.as_str()?.to_owned()));
            self.facts.push(Fact::Applied(Applied {
                user: user.to_owned(),
                key: key_of(&applied.key.0, &applied.key.1),
                op: applied.op.to_string(),
                version: None,
                write: write_in(body),
                deletes: applied.operation == Operation::Delete,
                parent,
            }));
        }
        for (key, stored) in account.records() {
            let body = stored.version.data.as_ref().map(|data| data.get());
            self.facts.push(Fact::Holds {
                user: user.to_owned(),
                key: key_of(&key.0, &key.1),
                version: Some(stored.version.version),
                write: write_in(body),
                body: body_of(body),
            });
        }
    }

    /// What the second oracle says of all that.
    ///
    /// # Errors
    /// The first promise that was broken.
    pub(crate) fn judge(&mut self) -> Result<(), Violation> {
        let mut facts = collections();
        facts.append(&mut self.facts);
        facts.push(Fact::Quiet);
        let history = match History::of(facts) {
            Ok(history) => history,
            Err(error) => return broken("simulation", format!("the history makes no sense: {error}")),
        };
        let violations = check(&history);
        self.judged = Some(history);
        match violations.first() {
            None => Ok(()),
            Some(first) => broken(
                first.promise.broken(),
                format!("the second oracle: {} ({} in all)", first.what, violations.len()),
            ),
        }
    }
}

impl Witness {
    /// What was judged, one fact a line.
    pub(crate) fn told(&self) -> Option<String> {
        self.judged.as_ref().map(History::to_lines)
    }
}

fn standing(file: &Inspector) -> Result<Standing, Violation> {
    let mut standing = Standing::default();
    for (collection, id, body) in file.history()?.into_iter().chain(file.other_bodies()?) {
        match body {
            Some(body) => standing.writes.extend(write_in(Some(&body))),
            None => drop(standing.deletions.insert((collection, id))),
        }
    }
    Ok(standing)
}

fn collections() -> Vec<Fact> {
    let fact = |name: &str| (name.to_owned(), MERGED.contains(&name));
    let parents = [("set_log", "workout", "workout_id"), ("lap", "run", "run_id")];
    let children = parents.map(|(name, parent, field)| Fact::Collection {
        name: name.to_owned(),
        parent: Some((parent.to_owned(), field.to_owned())),
        merges: false,
        sent: true,
        pulled: true,
    });
    let merged = MERGED
        .iter()
        .map(|name| fact(name))
        .map(|(name, merges)| Fact::Collection {
            name,
            parent: None,
            merges,
            sent: true,
            pulled: true,
        });
    let aside = [("stat", true), ("draft", false)].map(|(name, sent)| Fact::Collection {
        name: name.to_owned(),
        parent: None,
        merges: false,
        sent,
        pulled: false,
    });
    children.into_iter().chain(merged).chain(aside).collect()
}
