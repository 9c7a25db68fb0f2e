//! The comparison itself, as a function over what was read.
//!
//! * **Lost**: on paper, and missing in at least one of the three places; or an operation of which a
//!   device was told that it arrived, and that the server does not have.
//! * **Doubled**: more often in a place than on paper; or applied more than once.
//! * **Overwritten**: there, but not as it was written; or a version over one that another device made
//!   and that nobody had seen when they wrote.

use super::place::{Applied, Key, Place};
use crate::demo::tally::Edit;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

pub(super) struct Evidence<'a> {
    pub(super) rows: Vec<Vec<String>>,
    pub(super) library: Vec<Value>,
    pub(super) phone: Place,
    pub(super) tablet: Place,
    pub(super) server: Place,
    pub(super) applied: Vec<Applied>,
    pub(super) edits: &'a [Edit],
    pub(super) resolved: &'a BTreeMap<String, String>,
}

/// How many of one kind there are.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) paper: usize,
    pub(crate) phone: usize,
    pub(crate) tablet: usize,
    pub(crate) server: usize,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) sets: Column,
    pub(crate) workouts: Column,
    pub(crate) exercises: Column,
    pub(crate) lost: usize,
    pub(crate) doubled: usize,
    pub(crate) overwritten: usize,
    /// Records that are not the same on the phone, the tablet and the server.
    pub(crate) unequal: usize,
    /// Unsent writes and open conflicts that are left.
    pub(crate) left: u64,
    /// The first things that are wrong, named without their contents.
    pub(crate) wrong: Vec<String>,
}

const MOST_NAMED: usize = 20;

impl Findings {
    pub(crate) fn good(&self) -> bool {
        (self.lost, self.doubled, self.overwritten, self.unequal, self.left) == (0, 0, 0, 0, 0)
    }

    fn name(&mut self, what: String) {
        if self.wrong.len() < MOST_NAMED {
            self.wrong.push(what);
        }
    }
}

/// What tells one thing from another, and what must be as it was written.
type Things = BTreeMap<Vec<String>, Vec<Vec<String>>>;

/// 75.0 and 75 are the same weight; text that is no number equals only itself.
fn number(text: &str) -> String {
    text.parse::<f64>()
        .map_or_else(|_| text.to_owned(), |value| value.to_string())
}

fn field(body: &Value, name: &str) -> String {
    match &body[name] {
        Value::String(text) => text.clone(),
        Value::Number(value) => number(&value.to_string()),
        other => other.to_string(),
    }
}

fn id_of(date: &str) -> String {
    date.replace(' ', "T")
}

fn sets_on_paper(rows: &[Vec<String>]) -> Things {
    let mut things = Things::new();
    for row in rows {
        let cell = |at: usize| row.get(at).cloned().unwrap_or_default();
        let what = vec![id_of(&cell(0)), cell(3), number(&cell(4))];
        let values = (5..=8).map(|at| number(&cell(at))).chain([cell(9)]);
        things.entry(what).or_default().push(values.collect());
    }
    things
}

fn workouts_on_paper(rows: &[Vec<String>], resolved: &BTreeMap<String, String>) -> Things {
    let mut things = Things::new();
    for row in rows {
        let cell = |at: usize| row.get(at).cloned().unwrap_or_default();
        let id = id_of(&cell(0));
        let values = vec![cell(1), cell(0), cell(2), String::new(), "completed".to_owned()];
        let workout = things.entry(vec![id.clone()]).or_insert_with(|| vec![values]);
        if let (Some(notes), false) = (workout[0].get_mut(3), cell(10).is_empty()) {
            *notes = cell(10);
        }
        if let (Some(notes), Some(decided)) = (workout[0].get_mut(3), resolved.get(&id)) {
            notes.clone_from(decided);
        }
    }
    things
}

fn library_on_paper(library: &[Value]) -> Things {
    let entry = |exercise: &Value| (vec![field(exercise, "id")], vec![vec![exercise.to_string()]]);
    library.iter().map(entry).collect()
}

/// The records of a collection, in the same form. What a record says counts, not its id.
fn in_place(place: &Place, collection: &str) -> Things {
    let mut things = Things::new();
    for ((_, id), record) in place.records.iter().filter(|((of, _), _)| of == collection) {
        let body = &record.body;
        let fields = |names: &[&str]| names.iter().map(|name| field(body, name)).collect::<Vec<_>>();
        let (what, values) = match collection {
            "set_log" => (
                fields(&["workout_id", "exercise", "order"]),
                fields(&["weight", "reps", "distance", "seconds", "notes"]),
            ),
            "workout" => (
                vec![id.clone()],
                fields(&["name", "date", "duration", "notes", "state"]),
            ),
            _ => (fields(&["id"]), vec![body.to_string()]),
        };
        things.entry(what).or_default().push(values);
    }
    things
}

fn count(things: &Things) -> usize {
    things.values().map(Vec::len).sum()
}

/// Of `wanted`, how many are in `found` too, each counted once.
fn matching(wanted: &[Vec<String>], found: &[Vec<String>]) -> usize {
    let mut left: Vec<&Vec<String>> = found.iter().collect();
    let take = |value: &&Vec<String>| match left.iter().position(|other| other == value) {
        Some(at) => {
            left.swap_remove(at);
            true
        }
        None => false,
    };
    wanted.iter().filter(take).count()
}

fn against_paper(findings: &mut Findings, kind: &str, paper: &Things, places: [&Things; 3]) -> Column {
    let keys: BTreeSet<&Vec<String>> = paper
        .keys()
        .chain(places.iter().flat_map(|place| place.keys()))
        .collect();
    let none = Vec::new();
    for key in keys {
        let wanted = paper.get(key).unwrap_or(&none);
        let (mut lost, mut doubled, mut overwritten) = (0, 0, 0);
        for place in places {
            let found = place.get(key).unwrap_or(&none);
            lost = lost.max(wanted.len().saturating_sub(found.len()));
            doubled = doubled.max(found.len().saturating_sub(wanted.len()));
            let both = wanted.len().min(found.len());
            overwritten = overwritten.max(both - matching(wanted, found).min(both));
        }
        for (count, what) in [(lost, "lost"), (doubled, "doubled"), (overwritten, "overwritten")] {
            if count > 0 {
                findings.name(format!("{kind} {} is {what}", key.join(", ")));
            }
        }
        findings.lost += lost;
        findings.doubled += doubled;
        findings.overwritten += overwritten;
    }
    let [phone, tablet, server] = places.map(count);
    Column {
        paper: count(paper),
        phone,
        tablet,
        server,
    }
}

pub(super) fn compare(evidence: &Evidence<'_>) -> Findings {
    let mut findings = Findings::default();
    let places = [&evidence.phone, &evidence.tablet, &evidence.server];
    let of = |collection: &str| places.map(|place| in_place(place, collection));
    let column = |findings: &mut Findings, collection: &str, paper: &Things| {
        let there = of(collection);
        against_paper(findings, collection, paper, there.each_ref())
    };
    findings.sets = column(&mut findings, "set_log", &sets_on_paper(&evidence.rows));
    let workouts = workouts_on_paper(&evidence.rows, evidence.resolved);
    findings.workouts = column(&mut findings, "workout", &workouts);
    findings.exercises = column(&mut findings, "exercise", &library_on_paper(&evidence.library));
    equal(&mut findings, evidence);
    operations(&mut findings, evidence);
    findings.left = [&evidence.phone, &evidence.tablet]
        .iter()
        .map(|place| place.unsent + place.conflicts)
        .sum();
    findings
}

fn equal(findings: &mut Findings, evidence: &Evidence<'_>) {
    let places = [&evidence.phone, &evidence.tablet, &evidence.server];
    let keys: BTreeSet<&Key> = places.iter().flat_map(|place| place.records.keys()).collect();
    for key in keys {
        let server = evidence.server.records.get(key);
        if places.iter().any(|place| place.records.get(key) != server) {
            findings.unequal += 1;
            findings.name(format!("{}/{} is not the same everywhere", key.0, key.1));
        }
    }
}

/// The server's list of what it applied, against what the devices were told and who had seen what.
fn operations(findings: &mut Findings, evidence: &Evidence<'_>) {
    let mut chains: BTreeMap<&Key, BTreeMap<i64, Vec<Uuid>>> = BTreeMap::new();
    for applied in &evidence.applied {
        let versions = chains.entry(&applied.key).or_default();
        versions.entry(applied.version).or_default().push(applied.op);
    }
    let on_server: BTreeSet<Uuid> = evidence.applied.iter().map(|applied| applied.op).collect();
    let told = evidence.phone.journal.union(&evidence.tablet.journal);
    for op in told.filter(|op| !on_server.contains(op)) {
        findings.lost += 1;
        findings.name(format!("operation {op} arrived, and the server does not have it"));
    }
    let writer = |op: Uuid| match (
        evidence.phone.journal.contains(&op),
        evidence.tablet.journal.contains(&op),
    ) {
        (true, false) => Some("phone"),
        (false, true) => Some("tablet"),
        _ => None,
    };
    for (key, versions) in &chains {
        let once = versions.values().all(|ops| ops.len() == 1);
        // A set is logged once; what was corrected before it arrived has arrived once too.
        let first = key.0 != "set_log" || versions.keys().eq([&1]);
        if !once || !first {
            findings.doubled += 1;
            findings.name(format!("{}/{} was applied more than once", key.0, key.1));
        }
        let mut before = None;
        for (&version, ops) in versions {
            let by = ops.first().and_then(|&op| writer(op));
            let seen = |edit: &Edit| {
                edit.collection == key.0 && edit.id == key.1 && edit.seen == version - 1 && Some(edit.device) == by
            };
            if by.is_none() || (before.is_some() && before != Some(by) && !evidence.edits.iter().any(seen)) {
                findings.overwritten += 1;
                findings.name(format!(
                    "{}/{} version {version} replaced one that nobody saw",
                    key.0, key.1
                ));
            }
            before = Some(by);
        }
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
