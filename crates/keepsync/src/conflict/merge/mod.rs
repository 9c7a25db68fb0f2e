//! Two bodies become one, part by part and unit by unit. Pure.
//!
//! Policies that compare clocks are joins: for every unit the version with the later clock stands, the
//! larger number, the sum of the changes. A join comes out the same in whatever order versions meet.
//! The others (`server_wins`, `client_wins`, `ask`) compare with the base.

mod instant;
mod numbers;
mod shapes;
mod units;

use super::{
    clocks::{Clock, Clocks, Times},
    policy::Policy,
};
use crate::collection::FieldGroup;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use units::{Cell, Part, Place, Rule, Unit, Units};

type Object = Map<String, Value>;

/// What both sides were made on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Base<'a> {
    /// Nothing, or a deletion: the two were made apart.
    Apart,
    /// This body.
    Body(&'a Map<String, Value>),
    /// Something that is not known any more.
    Unknown,
}

impl<'a> Base<'a> {
    pub(super) fn body(self) -> Option<&'a Object> {
        match self {
            Self::Body(body) => Some(body),
            Self::Apart | Self::Unknown => None,
        }
    }
}

/// A body and its clocks.
pub(super) struct Version<'a> {
    pub(super) body: &'a Object,
    pub(super) times: &'a Times,
}

/// What came of it.
pub(super) struct Merged {
    pub(super) body: Object,
    there: Vec<(String, Clock)>,
    gone: Vec<(String, Clock)>,
}

impl Merged {
    /// Whether the clocks are those of a version with the same body.
    pub(super) fn is_of(&self, times: &Times, record: &Clock) -> bool {
        times.record() == record
            && self.there.iter().all(|(unit, clock)| times.there(unit) == clock)
            && self.gone.iter().all(|(unit, clock)| times.gone(unit) == Some(clock))
    }

    /// The clocks of a version written at `own`.
    pub(super) fn clocks(self, own: &Clock, record: Clock) -> (Object, Clocks) {
        (self.body, Clocks::of(own, record, self.there, self.gone))
    }
}

/// Merges; `None`: the user is asked. With `told` the remote's clocks are known; without, a unit that is
/// as in the base counts as not written.
pub(super) fn merge(
    policy: &Policy,
    groups: &[FieldGroup],
    base: Base<'_>,
    local: &Version<'_>,
    remote: &Version<'_>,
    told: bool,
) -> Option<Merged> {
    let grouped = fields_of(groups);
    let empty = Object::new();
    let mut merged = Merged {
        body: Object::new(),
        there: Vec::new(),
        gone: Vec::new(),
    };
    for part in parts(policy, groups, &grouped) {
        let (mut ours, mut theirs) = (part.cut(local.body), part.cut(remote.body));
        let before = part.cut(base.body().unwrap_or(&empty));
        let rule = part.rule(&[&ours, &theirs]);
        if matches!(rule, Rule::ByVersion) {
            let from = if theirs == before || ours == theirs {
                ours
            } else if ours == before {
                theirs
            } else {
                match part.policy {
                    Policy::ServerWins => theirs,
                    Policy::ClientWins => ours,
                    _ => return None,
                }
            };
            merged.body.extend(from);
            continue;
        }
        let untold = base.body().filter(|_| !told).map(|_| &before);
        let known = untold.map(|before| part.units(&rule, before));
        let mut our_cells = part.cells(&rule, &ours, local.times);
        let mut their_cells = part.cells(&rule, &theirs, remote.times);
        shapes::settle(
            &rule,
            untold,
            (&mut ours, &mut our_cells),
            (&mut theirs, &mut their_cells),
        );
        let sides = [(&ours, local.times), (&theirs, remote.times)];
        let joined = join(&rule, known.as_ref(), our_cells, their_cells);
        let mut fields = render(&rule, &sides, joined, &mut merged);
        let numbers = match &rule {
            Rule::Max(path) => Some(numbers::larger(numbers::at(&ours, path), numbers::at(&theirs, path))),
            Rule::Sum => Some(added(base, [&before, &ours, &theirs], local.times, remote.times)),
            _ => None,
        };
        if let Some(numbers) = numbers {
            numbers::put_in(&mut fields, numbers);
        }
        merged.body.extend(fields);
    }
    Some(merged)
}

/// Where the base is not known, what was added cannot be told either: the later write's numbers stand.
fn added(base: Base<'_>, [before, ours, theirs]: [&Object; 3], local: &Times, remote: &Times) -> numbers::Numbers {
    let at = |body: &Object| numbers::at(body, &[]);
    match base {
        Base::Unknown if local.record() > remote.record() => at(ours),
        Base::Unknown => at(theirs),
        Base::Apart | Base::Body(_) => numbers::sum(&at(before), &at(ours), &at(theirs)),
    }
}

fn fields_of(groups: &[FieldGroup]) -> BTreeSet<&str> {
    groups
        .iter()
        .flat_map(|group| &group.fields)
        .map(String::as_str)
        .collect()
}

fn parts<'a>(
    policy: &'a Policy,
    groups: &'a [FieldGroup],
    grouped: &'a BTreeSet<&'a str>,
) -> impl Iterator<Item = Part<'a>> {
    let part = |policy, fields| Part {
        policy,
        fields,
        grouped,
    };
    let rest = part(policy, None);
    groups
        .iter()
        .map(move |group| part(&group.policy, Some(&group.fields)))
        .chain([rest])
}

/// For each unit of either side, there or removed: what stands, and since when.
type Joined = BTreeMap<String, (Option<Unit>, Clock)>;

fn join(
    rule: &Rule<'_>,
    base: Option<&Units>,
    mut ours: BTreeMap<String, Cell>,
    mut theirs: BTreeMap<String, Cell>,
) -> Joined {
    let names: BTreeSet<String> = ours.keys().chain(theirs.keys()).cloned().collect();
    let mut joined = Joined::new();
    for name in names {
        let cell = |cell: Option<Cell>| cell.map_or((None, None), |cell| (cell.unit, Some(cell.clock)));
        let ((our, at), (their, their_at)) = (cell(ours.remove(&name)), cell(theirs.remove(&name)));
        let (unit, clock) = if our == their {
            (our, at.max(their_at))
        } else if base.is_some_and(|base| base.get(&name) == their.as_ref()) {
            (our, at)
        } else if base.is_some_and(|base| base.get(&name) == our.as_ref()) {
            (their, their_at)
        } else if rank(rule, &our, &at) > rank(rule, &their, &their_at) {
            (our, at)
        } else {
            (their, their_at)
        };
        joined.extend(clock.map(|clock| (name, (unit, clock))));
    }
    joined
}

/// What is greater stands. The text decides only between versions that no clock tells apart.
fn rank<'u>(
    rule: &Rule<'_>,
    unit: &'u Option<Unit>,
    clock: &'u Option<Clock>,
) -> (Option<i128>, &'u Option<Clock>, Option<String>) {
    let at = match rule {
        Rule::Whole(Some(field)) => instant::instant(unit.as_ref().and_then(|unit| unit.value.get(field))),
        _ => None,
    };
    (at, clock, unit.as_ref().map(|unit| unit.value.to_string()))
}

/// Puts the units together again, and their clocks into `merged`.
fn render(rule: &Rule<'_>, sides: &[(&Object, &Times); 2], joined: Joined, merged: &mut Merged) -> Object {
    let mut fields = Object::new();
    let mut inside = Vec::new();
    for (name, (unit, clock)) in joined {
        match unit {
            None => merged.gone.push((name, clock)),
            Some(Unit { place, value }) => match place {
                Place::Together => {
                    fields.extend(value.as_object().cloned().unwrap_or_default());
                    merged.there.push((name, clock));
                }
                Place::Field(field) => {
                    fields.insert(field, value);
                    merged.there.push((name, clock));
                }
                Place::Inside(field, member) => inside.push((name, field, member, value, clock)),
            },
        }
    }
    for (name, field, member, value, clock) in inside {
        let container = units::field_name(&field);
        // What came after the removal of the whole brings back its place, and not the rest.
        for (removed, _) in merged.gone.iter_mut().filter(|(removed, _)| *removed == container) {
            *removed = units::emptied(&container);
        }
        let container = fields.entry(field);
        let kept = match member {
            Some(member) => container
                .or_insert_with(|| Value::Object(Map::new()))
                .as_object_mut()
                .map(|object| drop(object.insert(member, value))),
            None => container
                .or_insert_with(|| Value::Array(Vec::new()))
                .as_array_mut()
                .map(|array| array.push(value)),
        };
        match kept {
            Some(()) => merged.there.push((name, clock)),
            // The field became something else, later.
            None => merged.gone.push((name, clock)),
        }
    }
    if let Rule::PerKey(key) = rule {
        for (field, value) in &mut fields {
            if let Value::Array(elements) = value {
                arrange(field, elements, key, sides);
            }
        }
    }
    fields
}

/// Elements stand in the order in which both sides have them. Where the two differ they go by their key,
/// because any order that prefers one side would depend on which came first.
fn arrange(field: &str, elements: &mut [Value], key: &str, sides: &[(&Object, &Times); 2]) {
    let order = |(fields, times): &(&Object, &Times)| -> Option<Option<Vec<String>>> {
        match fields.get(field) {
            Some(Value::Array(all)) => {
                Some(units::keys(all, key).map(|keys| keys.iter().map(ToString::to_string).collect()))
            }
            _ if times.named().any(|(unit, _)| units::is_in(unit, field)) => Some(Some(Vec::new())),
            _ => None,
        }
    };
    let [ours, theirs] = [order(&sides[0]), order(&sides[1])];
    let agreed = match (ours, theirs) {
        (Some(ours), Some(theirs)) if ours == theirs => ours,
        (Some(one), None) | (None, Some(one)) => one,
        // Not by keys, or not in one order.
        _ => None,
    };
    let agreed = agreed.unwrap_or_default();
    if units::keys(elements, key).is_none() {
        return;
    }
    let place = |element: &Value| {
        let key = element[key].to_string();
        agreed.iter().position(|other| *other == key)
    };
    elements.sort_by(|a, b| match (place(a), place(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => units::compare_keys(&a[key], &b[key]),
    });
}

/// The clocks of a write at `own` of the body that was there, where the record is one unit.
pub(super) fn unchanged(old: &Times, own: &Clock) -> Clocks {
    let there = vec![(units::REST.to_owned(), old.there(units::REST).clone())];
    Clocks::of(own, old.record().clone(), there, Vec::new())
}

/// The clocks of a local write at `own` that makes `new` of `old`: units it does not change keep theirs.
pub(super) fn stamp(
    policy: &Policy,
    groups: &[FieldGroup],
    old: (&Object, &Times),
    new: &Object,
    own: &Clock,
) -> Clocks {
    let grouped = fields_of(groups);
    let (mut there, mut gone) = (Vec::new(), Vec::new());
    for part in parts(policy, groups, &grouped) {
        let (before, after) = (part.cut(old.0), part.cut(new));
        let rule = part.rule(&[&before, &after]);
        let (mut before, after) = (part.cells(&rule, &before, old.1), part.units(&rule, &after));
        let filled: BTreeSet<String> = after.values().filter_map(|unit| unit.place.container()).collect();
        for (name, unit) in after {
            match before.remove(&name) {
                Some(same) if same.unit.as_ref() == Some(&unit) => there.push((name, same.clock)),
                Some(removed) if removed.unit.is_none() && filled.contains(&name) => {
                    gone.push((units::emptied(&name), removed.clock));
                }
                _ => there.push((name, own.clone())),
            }
        }
        let left = before.into_iter().map(|(name, cell)| match cell.unit {
            Some(_) => (name, own.clone()),
            None => (name, cell.clock),
        });
        gone.extend(left);
    }
    let record = if old.0 == new { old.1.record() } else { own };
    Clocks::of(own, record.clone(), there, gone)
}

#[cfg(test)]
mod tests;
