//! What the app was told, kept apart from the core, and what follows from it.
//!
//! Every write has a marker of its own in its body (`"m": "ann/0/17"`: account, device, number), and
//! the oracle notes which marker the user saw when making it. From the markers in files and in the
//! server's log it can tell what was lost, doubled, turned around, silently overwritten, or shown to
//! another account.

use crate::{
    app::MERGED,
    backend::Account,
    chance::Act,
    inspect::{EntryRow, Inspector, RecordRow},
    merges::Merges,
    server::{Applied, Key},
    witness::Witness,
};

pub use crate::merges::Sum;

use keepsync_wire::Operation;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use uuid::Uuid;

/// A broken promise.
#[derive(Debug, Clone)]
pub struct Violation {
    /// Which promise, in the design's word for it.
    pub promise: &'static str,
    /// What was seen.
    pub what: String,
}

/// A violation, to be returned as an error.
pub fn broken<T>(promise: &'static str, what: String) -> Result<T, Violation> {
    Err(Violation { promise, what })
}

impl From<rusqlite::Error> for Violation {
    fn from(error: rusqlite::Error) -> Self {
        Self {
            promise: "simulation",
            what: format!("a device's file could not be looked into: {error}"),
        }
    }
}

impl From<crate::device::Broken> for Violation {
    fn from(error: crate::device::Broken) -> Self {
        Self {
            promise: "simulation",
            what: error.to_string(),
        }
    }
}

impl From<keepsync::Error> for Violation {
    fn from(error: keepsync::Error) -> Self {
        Self {
            promise: "simulation",
            what: format!("the store gave an error where none can be: {error}"),
        }
    }
}

/// What there is to note of a write.
#[derive(Debug, Clone)]
pub struct Note {
    /// The record.
    pub key: Key,
    /// The marker in its body, or a fresh one for a delete.
    pub marker: String,
    /// Whether it deletes.
    pub deletes: bool,
    /// Markers the user saw when making it.
    pub saw: Vec<String>,
}

/// What the app was told of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It returned.
    Returned,
    /// It failed, or the process died before it returned: it is there, or it is not.
    Unknown,
}

impl Fate {
    /// Of a write that returned well, or did not. (One that was refused is not noted at all.)
    pub fn of(returned: bool) -> Self {
        if returned { Self::Returned } else { Self::Unknown }
    }
}

/// A write that was made.
#[derive(Debug, Clone)]
struct Write {
    marker: String,
    deletes: bool,
    /// Markers the user saw when making it.
    saw: Vec<String>,
}

/// User and device, then collection and id.
type Place = (String, usize, Key);

/// What one user's data on the server shows.
#[derive(Debug, Default)]
struct Seen {
    read: usize,
    markers: HashSet<String>,
    last: HashMap<(usize, Key), u64>,
    deleted: HashSet<Key>,
}

/// The log of what the app was told.
#[derive(Debug, Default)]
pub struct Oracle {
    numbers: u64,
    writes: HashMap<String, Write>,
    latest: BTreeMap<Place, String>,
    deletes: HashMap<Place, Vec<String>>,
    servers: BTreeMap<String, Seen>,
    frozen: HashMap<(usize, Uuid), Option<String>>,
    unexplained: Vec<(String, Key, Option<String>, String)>,
    /// How many times the server's data began another life.
    pub restores: u32,
    /// The acts of users that took place.
    pub acts: BTreeSet<Act>,
    /// Markers that stood in a history that was wiped since, or that may have been pruned for room on a full disk.
    gone: HashSet<String>,
    /// The same for records of which something stood there.
    gone_traces: HashSet<Place>,
    pub(crate) merges: Merges,
    /// The same story, written down for the second oracle.
    pub(crate) witness: Witness,
}

/// Whether bodies are merged from two there, so that a marker can travel with another write.
fn is_merged(collection: &str) -> bool {
    MERGED.contains(&collection)
}

/// The marker in a body.
pub fn marker(body: &str) -> Option<&str> {
    let (_, rest) = body.split_once("\"m\":\"")?;
    rest.split_once('"').map(|(marker, _)| marker)
}

fn number(marker: &str) -> u64 {
    marker
        .rsplit('/')
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

fn device_of(marker: &str) -> Option<usize> {
    marker.split('/').nth(1)?.parse().ok()
}

impl Oracle {
    /// A marker that was never used.
    pub fn new_marker(&mut self, user: &str, device: usize) -> String {
        self.numbers += 1;
        format!("{user}/{device}/{}", self.numbers)
    }

    /// The app was told of a write. Its marker is the one in its body, or a fresh one for a delete.
    pub fn wrote(&mut self, user: &str, device: usize, note: Note, fate: Fate) {
        self.witness.wrote(user, device, &note, fate);
        let place = (user.to_owned(), device, note.key.clone());
        // People know what they wrote themselves, also after they deleted it.
        let mut saw = note.saw;
        saw.extend(self.latest.get(&place).cloned());
        if note.deletes {
            self.deletes.entry(place.clone()).or_default().push(note.marker.clone());
        }
        match fate {
            Fate::Returned => {
                self.latest.insert(place, note.marker.clone());
            }
            // It need not be anywhere, but it may be, and then in the place of the one before it.
            Fate::Unknown => {
                self.latest.remove(&place);
            }
        }
        let write = Write {
            marker: note.marker.clone(),
            deletes: note.deletes,
            saw,
        };
        self.writes.insert(note.marker, write);
    }

    /// Whoever wrote a marker had seen another.
    pub(crate) fn knew(&mut self, marker: &str, other: Option<String>) {
        let write = Write {
            marker: marker.to_owned(),
            deletes: false,
            saw: other.into_iter().collect(),
        };
        self.writes.insert(marker.to_owned(), write);
    }

    /// The user decided for a version although the other was shown.
    pub fn saw_too(&mut self, marker: &str, other: &str) {
        self.witness.settled(marker, other);
        if let Some(write) = self.writes.get_mut(marker) {
            write.saw.push(other.to_owned());
        }
    }

    /// How many writes returned.
    pub fn count(&self) -> usize {
        self.writes.len()
    }

    /// Whether whoever wrote `later` had seen `earlier`, at first or at third hand.
    pub(crate) fn had_seen(&self, later: &str, earlier: &str) -> bool {
        let mut open = vec![later];
        let mut done = HashSet::new();
        while let Some(marker) = open.pop() {
            if marker == earlier {
                return true;
            }
            if done.insert(marker)
                && let Some(write) = self.writes.get(marker)
            {
                open.extend(write.saw.iter().map(String::as_str));
            }
        }
        false
    }

    /// The disk is full: what is in the history and the journal may go before a write is refused.
    pub fn may_be_pruned(&mut self, user: &str, device: usize, file: &Inspector) -> Result<(), Violation> {
        self.witness.look(user, device, file)?;
        self.note_gone(user, device, file)
    }

    fn note_gone(&mut self, user: &str, device: usize, file: &Inspector) -> Result<(), Violation> {
        let history = file.history()?.into_iter().map(|row| (row, true));
        let others = file.other_bodies()?.into_iter().map(|row| (row, false));
        for ((collection, id, body), in_history) in history.chain(others) {
            self.gone.extend(body.as_deref().and_then(marker).map(str::to_owned));
            if in_history || body.is_none() {
                self.gone_traces.insert((user.to_owned(), device, (collection, id)));
            }
        }
        self.forget_ops(user, device);
        Ok(())
    }

    /// A user wiped his account on a device, and agreed to lose what had not arrived.
    pub fn wiped(&mut self, user: &str, device: usize, file: &Inspector) -> Result<(), Violation> {
        self.note_gone(user, device, file)?;
        self.witness.wiped(user, device, file)?;
        self.latest.retain(|(owner, at, _), _| owner != user || *at != device);
        for entry in file.entries()? {
            self.thrown(user, (entry.collection, entry.id));
        }
        Ok(())
    }

    /// The server's data began another life: what it shows is read again from the start.
    pub fn server_restored(&mut self) {
        self.servers.clear();
        self.witness.restored();
        self.restores += 1;
    }

    /// Reads what the server has applied since the last look.
    pub fn read_server(&mut self, user: &str, account: &Account) -> Result<(), Violation> {
        let from = self.servers.get(user).map_or(0, |seen| seen.read);
        for applied in account.log().get(from..).unwrap_or_default() {
            self.read_applied(user, account, applied)?;
        }
        self.servers.entry(user.to_owned()).or_default().read = account.log().len();
        Ok(())
    }

    fn read_applied(&mut self, user: &str, account: &Account, applied: &Applied) -> Result<(), Violation> {
        let key = &applied.key;
        let device: usize = applied
            .device
            .rsplit('-')
            .next()
            .and_then(|text| text.parse().ok())
            .unwrap_or(usize::MAX);
        let new = applied.body.as_deref().and_then(marker);
        let old = applied.replaced.as_deref().and_then(marker);
        if let Some(new) = new
            && !new.starts_with(&format!("{user}/"))
        {
            return broken("mine only", format!("the server took {new} for {user}"));
        }
        let merged = is_merged(&key.0);
        let seen = self.servers.entry(user.to_owned()).or_default();
        if applied.operation == Operation::Delete {
            seen.deleted.insert(key.clone());
        }
        if let Some(new) = new.filter(|_| !merged) {
            // A session in progress that another device deleted may be brought back as it was, by each device that
            // is at it, and where a restored server has lost the deletion it is written as it stands.
            let is_session = matches!(key.0.as_str(), "workout" | "run");
            let as_it_stands = self.restores > 0 && old == Some(new);
            let brought_back = is_session && (seen.deleted.contains(key) || as_it_stands);
            if !seen.markers.insert(new.to_owned()) && !brought_back {
                return broken(
                    "once",
                    format!("{new} was applied twice, the second time as {}", applied.op),
                );
            }
            let last = seen.last.entry((device, key.clone())).or_insert(0);
            if device_of(new) == Some(device) && number(new) < *last {
                return broken(
                    "in order",
                    format!("{new} of {key:?} was applied after number {last} of the same device"),
                );
            }
            *last = number(new);
        } else if let Some(new) = new {
            seen.markers.insert(new.to_owned());
        }
        self.check_parent(account, applied)?;
        if let Some(old) = old.filter(|old| !merged && device_of(old) != Some(device)) {
            let knew = match new {
                Some(new) => self.had_seen(new, old),
                None => self
                    .deletes
                    .get(&(user.to_owned(), device, key.clone()))
                    .is_some_and(|deletes| deletes.iter().any(|delete| self.had_seen(delete, old))),
            };
            if !knew {
                let entry = (user.to_owned(), key.clone(), new.map(str::to_owned), old.to_owned());
                self.unexplained.push(entry);
            }
        }
        Ok(())
    }

    /// A child never arrives before its parent.
    fn check_parent(&self, account: &Account, applied: &Applied) -> Result<(), Violation> {
        let parent = match applied.key.0.as_str() {
            "set_log" => ("workout", "workout_id"),
            "lap" => ("run", "run_id"),
            _ => return Ok(()),
        };
        // A restored server may have lost a parent that another device has to bring again.
        if self.restores > 0 {
            return Ok(());
        }
        let id = applied.body.as_deref().and_then(|body| field(body, parent.1));
        let there = id
            .as_ref()
            .is_none_or(|id| account.was_made(&(parent.0.to_owned(), id.clone())));
        if there {
            Ok(())
        } else {
            broken(
                "in order",
                format!("{:?} arrived before its parent {id:?}", applied.key),
            )
        }
    }

    /// Each write that returned is somewhere: as a record, in the queue, at the server, or in the
    /// history. `finally`, what only the journal has is lost.
    pub fn check_kept(&self, user: &str, device: usize, file: &Inspector, finally: bool) -> Result<(), Violation> {
        let nothing = Seen::default();
        let server = self.servers.get(user).unwrap_or(&nothing);
        let mut markers: HashSet<String> = HashSet::new();
        let mut traces: HashSet<Key> = HashSet::new();
        let records = file.records()?;
        let entries = file.entries()?;
        let add = |markers: &mut HashSet<String>, body: Option<&str>| {
            if let Some(marker) = body.and_then(marker) {
                markers.insert(marker.to_owned());
            }
        };
        for record in &records {
            // A body without an entry counts only where the server is not meant to have it.
            if record.state != 0 || record.collection == "draft" || !finally {
                add(&mut markers, record.body.as_deref());
            }
        }
        for entry in &entries {
            add(&mut markers, entry.body.as_deref());
            if entry.kind == "delete" {
                traces.insert((entry.collection.clone(), entry.id.clone()));
            }
        }
        for (collection, id, body) in file.history()? {
            add(&mut markers, body.as_deref());
            traces.insert((collection, id));
        }
        if !finally {
            for (collection, id, body) in file.other_bodies()? {
                add(&mut markers, body.as_deref());
                if body.is_none() {
                    traces.insert((collection, id));
                }
            }
        }
        let visible: HashSet<Key> = records
            .iter()
            .filter(|record| record.body.is_some())
            .map(|record| (record.collection.clone(), record.id.clone()))
            .collect();
        let from = (user.to_owned(), device, (String::new(), String::new()));
        for ((owner, at, key), latest) in self.latest.range(from..) {
            if owner != user || *at != device {
                break;
            }
            let Some(write) = self.writes.get(latest) else { continue };
            let kept = if write.deletes {
                !visible.contains(key)
                    || traces.contains(key)
                    || self
                        .gone_traces
                        .contains(&(user.to_owned(), device, key.clone()))
                    || server.deleted.contains(key)
                    // A restored server that never heard of a record cannot keep its deletion, and
                    // the record may come again from a device that made it.
                    || self.restores > 0
            } else {
                markers.contains(&write.marker)
                    || self.gone.contains(&write.marker)
                    || server.markers.contains(&write.marker)
                    || self.was_replaced(&write.marker, server.markers.iter().chain(&markers))
            };
            if !kept {
                let what = if write.deletes { "the delete" } else { "the write" };
                return broken("kept", format!("{what} {} of {key:?} is nowhere", write.marker));
            }
        }
        Ok(())
    }

    /// Somebody who had seen it wrote over it: what a restored server lost need not come again below
    /// what has taken its place.
    fn was_replaced<'a>(&self, marker: &str, by: impl Iterator<Item = &'a String>) -> bool {
        self.restores > 0 && by.into_iter().any(|later| self.had_seen(later, marker))
    }

    /// Records, entries, conflicts and sessions agree with each other.
    pub fn check_together(&mut self, user: &str, device: usize, file: &Inspector) -> Result<(), Violation> {
        let entries = file.entries()?;
        let records = file.records()?;
        let mut worst: HashMap<(&str, &str), i64> = HashMap::new();
        for entry in &entries {
            self.check_entry(user, device, entry)?;
            // Held entries leave the record pending.
            let state = if entry.state < 2 { 1 } else { entry.state };
            let so_far = worst.entry((&entry.collection, &entry.id)).or_insert(0);
            *so_far = state.max(*so_far);
        }
        for record in &records {
            if let Some(body) = &record.body {
                Self::check_group(&record.collection, body)?;
            }
            check_record(
                user,
                record,
                worst.get(&(record.collection.as_str(), record.id.as_str())).copied(),
            )?;
        }
        let open: BTreeSet<(String, String)> = entries
            .iter()
            .filter(|entry| entry.state == 2)
            .map(|entry| (entry.collection.clone(), entry.id.clone()))
            .collect();
        let rows: BTreeSet<(String, String)> = file.conflicts()?.into_iter().collect();
        if open != rows {
            let lone: Vec<_> = open.symmetric_difference(&rows).collect();
            return broken(
                "together",
                format!("entries in conflict and conflict rows differ: {lone:?}"),
            );
        }
        Ok(())
    }

    fn check_entry(&mut self, user: &str, device: usize, entry: &EntryRow) -> Result<(), Violation> {
        let name = format!("{}/{} ({})", entry.collection, entry.id, entry.op);
        if !entry.has_record {
            return broken("together", format!("an entry without a record: {name}"));
        }
        if let Some(found) = entry.body.as_deref().and_then(marker)
            && !found.starts_with(&format!("{user}/"))
        {
            return broken("mine only", format!("{found} is in the queue of {user}"));
        }
        if entry.maybe_sent && entry.state < 2 {
            let before = self
                .frozen
                .entry((device, entry.op))
                .or_insert_with(|| entry.body.clone());
            if *before != entry.body {
                return broken(
                    "edits in flight",
                    format!("the body of {name} changed after it may have been sent"),
                );
            }
        }
        Ok(())
    }

    /// The status of overwritten versions, once all histories can be read.
    pub fn check_overwritten(&self, user: &str, histories: &HashSet<String>) -> Result<(), Violation> {
        for (owner, key, winner, loser) in &self.unexplained {
            if owner == user && !histories.contains(loser) && !self.gone.contains(loser) {
                let winner = winner.as_deref().unwrap_or("a delete");
                return broken(
                    "nothing silently overwritten",
                    format!("{winner} replaced {loser} of {key:?}; its author had not seen it, and no history has it"),
                );
            }
        }
        Ok(())
    }
}

fn check_record(user: &str, record: &RecordRow, worst: Option<i64>) -> Result<(), Violation> {
    let name = format!("{}/{}", record.collection, record.id);
    if record.state != worst.unwrap_or(0) {
        return broken(
            "together",
            format!("{name} is in state {}, its entries in {worst:?}", record.state),
        );
    }
    if worst.is_none() && record.base != 1 {
        return broken(
            "together",
            format!("{name} has nothing unsent, but shows something else than its base"),
        );
    }
    for body in [record.body.as_deref(), record.base_body()].into_iter().flatten() {
        if let Some(found) = marker(body)
            && !found.starts_with(&format!("{user}/"))
        {
            return broken("mine only", format!("{found} is in the file of {user}, as {name}"));
        }
    }
    Ok(())
}

/// A text field at the top of a body.
fn field(body: &str, name: &str) -> Option<String> {
    let object: serde_json::Value = serde_json::from_str(body).ok()?;
    object.get(name)?.as_str().map(str::to_owned)
}
