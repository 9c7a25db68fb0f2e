//! What an automatic merge may do to what users wrote, and what it may not.
//!
//! * A **counter**: at the end the server's number is the sum of all increments that were told to be
//!   written. (Of one of which nobody knows whether it was written, either holds.)
//! * **The larger number** and **the later instant**: at the end the largest that was written stands.
//!   (Users here only raise them: a smaller one written on top of what is there is no conflict.)
//! * **Units** (a day, a field, a group of fields): each shows what somebody wrote to that unit, and nothing
//!   that another write which arrived had seen and replaced. Which of two that knew nothing of each other
//!   stands is the clocks' business. The fields of a group always come from one write.
//!
//! None of these can be told, and none is checked,
//! * after a restore or a reset of the server: what a device gives it again meets versions that others made
//!   since, without the base they had in common (README, known gaps: a counter keeps the later number);
//! * for a record whose unsent writes a user threw away, rolled back or wiped: he took them out of the sum;
//! * units only: where clocks are more than a day apart, because then they are clamped.

use crate::{
    app::{COUNTED, DAYS, FIELDS, INSTANT, LARGEST},
    oracle::{Fate, Oracle, Violation, broken},
    server::Key,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// A number that a user wrote.
#[derive(Debug, Clone, Copy)]
pub struct Sum {
    /// By how much it grew in his sight.
    pub by: i64,
    /// What he wrote.
    pub to: i64,
}

/// The notes of merged collections.
#[derive(Debug, Default)]
pub(crate) struct Merges {
    numbers: BTreeMap<(String, Key, String), Vec<(Sum, Fate)>>,
    units: BTreeMap<(String, Key, String), Vec<String>>,
    thrown: BTreeSet<(String, Key)>,
    ops: BTreeMap<(String, usize), BTreeSet<Uuid>>,
}

impl Oracle {
    /// A number was written.
    pub fn counted(&mut self, user: &str, key: Key, member: &str, sum: Sum, fate: Fate) {
        let place = (user.to_owned(), key, member.to_owned());
        self.merges.numbers.entry(place).or_default().push((sum, fate));
    }

    /// A unit was written, by someone who saw the one before it.
    pub fn wrote_unit(&mut self, user: &str, key: Key, unit: &str, marker: &str, before: Option<String>, fate: Fate) {
        let place = (user.to_owned(), key, unit.to_owned());
        if fate == Fate::Returned {
            self.merges.units.entry(place).or_default().push(marker.to_owned());
        }
        self.knew(marker, before);
    }

    /// A user threw unsent writes of a record away.
    pub fn thrown(&mut self, user: &str, key: Key) {
        self.merges.thrown.insert((user.to_owned(), key));
    }

    /// Somebody will ask about this operation.
    pub fn remember(&mut self, user: &str, device: usize, op: Uuid) {
        self.merges.ops.entry((user.to_owned(), device)).or_default().insert(op);
    }

    /// What somebody may ask about.
    pub fn remembered(&self, user: &str, device: usize) -> Vec<Uuid> {
        let ops = self.merges.ops.get(&(user.to_owned(), device));
        ops.into_iter().flatten().copied().collect()
    }

    /// Nobody asks about what is wiped.
    pub(crate) fn forget_ops(&mut self, user: &str, device: usize) {
        self.merges.ops.remove(&(user.to_owned(), device));
    }

    /// Any record as it is visible: the fields of a group come from one write.
    pub(crate) fn check_group(collection: &str, body: &str) -> Result<(), Violation> {
        if collection != FIELDS {
            return Ok(());
        }
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        match (body.get("w"), body.get("u")) {
            (w, u) if w == u => Ok(()),
            (w, u) => broken(
                "converging",
                format!("a {FIELDS} is of two writes: its w is {w:?}, its u is {u:?}"),
            ),
        }
    }

    /// A record as the server has it at the end.
    pub(crate) fn check_merged(&self, user: &str, key: &Key, body: &str, sane: bool) -> Result<(), Violation> {
        Self::check_group(&key.0, body)?;
        if self.restores > 0 || self.merges.thrown.contains(&(user.to_owned(), key.clone())) {
            return Ok(());
        }
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let of = |member: &str| (user.to_owned(), key.clone(), member.to_owned());
        match key.0.as_str() {
            COUNTED => {
                let found = body.get("n").and_then(Value::as_i64).unwrap_or(0);
                self.check_sum(&of("n"), found)
            }
            INSTANT => self.check_largest(&of("at"), &body["at"]),
            LARGEST => ["a", "b"]
                .iter()
                .try_for_each(|member| self.check_largest(&of(member), &body["v"][member])),
            DAYS if sane => (0..3).try_for_each(|day| {
                let days = body["days"].as_array().map(Vec::as_slice).unwrap_or_default();
                let found = days.iter().find(|it| it["day"] == day).and_then(|it| it["u"].as_str());
                self.check_unit(&of(&format!("day {day}")), found)
            }),
            FIELDS if sane => ["w", "a"]
                .iter()
                .try_for_each(|unit| self.check_unit(&of(unit), body[unit].as_str())),
            _ => Ok(()),
        }
    }

    fn check_sum(&self, place: &(String, Key, String), found: i64) -> Result<(), Violation> {
        let Some(sums) = self.merges.numbers.get(place) else {
            return Ok(());
        };
        let mut possible = BTreeSet::from([0]);
        for (sum, fate) in sums {
            let with: BTreeSet<i64> = possible.iter().map(|so_far| so_far + sum.by).collect();
            match fate {
                Fate::Returned => possible = with,
                Fate::Unknown => possible.extend(with),
            }
        }
        if possible.contains(&found) {
            return Ok(());
        }
        broken(
            "once",
            format!(
                "{:?} counts {found}, and what was added makes {possible:?}: {sums:?}",
                place.1
            ),
        )
    }

    fn check_largest(&self, place: &(String, Key, String), found: &Value) -> Result<(), Violation> {
        let Some(sums) = self.merges.numbers.get(place) else {
            return Ok(());
        };
        let told = sums.iter().filter(|(_, fate)| *fate == Fate::Returned);
        let least = told.map(|(sum, _)| sum.to).max().unwrap_or(0);
        let most = sums.iter().map(|(sum, _)| sum.to).max().unwrap_or(0);
        let found = found.as_i64().unwrap_or(0);
        if (least..=most).contains(&found) {
            return Ok(());
        }
        broken(
            "converging",
            format!(
                "{} of {:?} is {found}, the largest that was written {least}",
                place.2, place.1
            ),
        )
    }

    fn check_unit(&self, place: &(String, Key, String), found: Option<&str>) -> Result<(), Violation> {
        let Some(writes) = self.merges.units.get(place) else {
            return Ok(());
        };
        let Some(found) = found else {
            return broken(
                "nothing silently overwritten",
                format!("{} of {:?} is gone; {writes:?} were written", place.2, place.1),
            );
        };
        let replaced = |later: &&String| *later != found && self.had_seen(later, found);
        match writes.iter().find(replaced) {
            Some(later) => broken(
                "nothing silently overwritten",
                format!(
                    "{} of {:?} is {found}, although {later} was written by someone who saw it",
                    place.2, place.1
                ),
            ),
            None => Ok(()),
        }
    }
}
