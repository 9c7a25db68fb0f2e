//! What of a body is settled on its own. Pure.

use super::numbers;
use crate::conflict::{
    clocks::{Clock, Times},
    policy::Policy,
};
use serde_json::{Map, Value};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

/// Fields that one policy settles: a group's, or all that is in none.
pub(super) struct Part<'a> {
    pub(super) policy: &'a Policy,
    /// `None`: all that is in no group.
    pub(super) fields: Option<&'a BTreeSet<String>>,
    /// The fields of all groups.
    pub(super) grouped: &'a BTreeSet<&'a str>,
}

/// How a part is cut into units.
pub(super) enum Rule<'a> {
    /// Not at all: versions decide, not clocks.
    ByVersion,
    /// One unit. With a field: its instant goes before the clock.
    Whole(Option<&'a str>),
    /// One unit for each element with the key, each member, each other field.
    PerKey(&'a str),
    /// One unit for each of these groups, and each other field.
    Fields(&'a [BTreeSet<String>]),
    /// One unit without the numbers, which need no clock: the larger one stands.
    Max(Vec<&'a str>),
    /// The same; they are added up.
    Sum,
}

/// A unit: where it is, and what is there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unit {
    pub(super) place: Place,
    pub(super) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Place {
    /// These fields together.
    Together,
    /// A top-level field as it is; empty if it holds units of its own: that it is there, and of which kind.
    Field(String),
    /// In such a field: the member of this name, or an element, whose value has the key.
    Inside(String, Option<String>),
}

impl Place {
    /// The unit that says whether what this one is inside of is there.
    pub(super) fn container(&self) -> Option<String> {
        match self {
            Self::Inside(field, _) => Some(field_name(field)),
            Self::Together | Self::Field(_) => None,
        }
    }
}

/// A unit that is there, or was removed, and since when.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cell {
    pub(super) unit: Option<Unit>,
    pub(super) clock: Clock,
}

/// The name of a top-level field as a unit.
pub(super) fn field_name(field: &str) -> String {
    format!("/{}", escape(field))
}

/// The name under which a container is remembered as removed while units in it, which came later, keep
/// it there.
pub(super) fn emptied(container: &str) -> String {
    format!("-{container}")
}

pub(super) type Units = BTreeMap<String, Unit>;

/// Of all that is in no group, as a unit.
pub(super) const REST: &str = ".";

impl<'a> Part<'a> {
    /// The fields of a body that are the part's.
    pub(super) fn cut(&self, body: &Map<String, Value>) -> Map<String, Value> {
        if self.fields.is_none() && self.grouped.is_empty() {
            return body.clone();
        }
        let own = body.iter().filter(|(field, _)| self.has(field));
        own.map(|(field, value)| (field.clone(), value.clone())).collect()
    }

    fn has(&self, field: &str) -> bool {
        match self.fields {
            Some(fields) => fields.contains(field),
            None => !self.grouped.contains(field),
        }
    }

    /// Whether a unit of this name is the part's.
    fn owns(&self, unit: &str) -> bool {
        match unit.strip_prefix('-').unwrap_or(unit).strip_prefix('/') {
            None => false,
            Some(rest) => {
                let end = rest.find(['/', '=', ',']).unwrap_or(rest.len());
                self.has(&unescape(rest.get(..end).unwrap_or_default()))
            }
        }
    }

    fn name(&self) -> String {
        self.fields.map_or_else(|| REST.to_owned(), together)
    }

    /// `sides` are the part's fields of every version that is compared.
    pub(super) fn rule(&self, sides: &[&Map<String, Value>]) -> Rule<'a> {
        match self.policy {
            Policy::ServerWins | Policy::ClientWins | Policy::Ask | Policy::Custom(_) => Rule::ByVersion,
            Policy::LastWriteWins => Rule::Whole(None),
            Policy::LatestOf(field) => Rule::Whole(Some(field)),
            Policy::LwwPer(key) if sides.iter().any(|side| side.get(key).is_some_and(is_key)) => Rule::Whole(None),
            Policy::LwwPer(key) => Rule::PerKey(key),
            Policy::MergeMax(path) if path.is_empty() => Rule::Max(Vec::new()),
            Policy::MergeMax(path) => Rule::Max(path.split('.').collect()),
            Policy::Counter => Rule::Sum,
            Policy::MergeFields(groups) => Rule::Fields(groups),
        }
    }

    /// The units of the part's fields of a version, removed ones too.
    pub(super) fn cells(&self, rule: &Rule<'_>, fields: &Map<String, Value>, times: &Times) -> BTreeMap<String, Cell> {
        let there = self.units(rule, fields).into_iter().map(|(name, unit)| {
            let clock = times.there(&name).clone();
            let unit = Some(unit);
            (name, Cell { unit, clock })
        });
        let mut cells: BTreeMap<String, Cell> = there.collect();
        let whole = matches!(rule, Rule::Whole(_) | Rule::Max(_) | Rule::Sum).then(|| self.name());
        // Of another policy, which an earlier version of the app had, nothing is taken over.
        let is_ours = |name: &str| match &whole {
            Some(whole) => whole == name,
            None => self.owns(name),
        };
        for (name, clock) in times.named().filter(|(name, _)| is_ours(name)) {
            let clock = clock.clone();
            let removed = Cell { unit: None, clock };
            match name.strip_prefix('-') {
                Some(container) => drop(cells.insert(container.to_owned(), removed)),
                None => drop(cells.entry(name.to_owned()).or_insert(removed)),
            }
        }
        cells
    }

    /// The units of the part's fields of a body.
    pub(super) fn units(&self, rule: &Rule<'_>, fields: &Map<String, Value>) -> Units {
        let whole = |value: Map<String, Value>| {
            let unit = Unit {
                place: Place::Together,
                value: Value::Object(value),
            };
            // Without its fields a group is not there; a record always is.
            let there = self.fields.is_none() || !fields.is_empty();
            there.then(|| (self.name(), unit)).into_iter().collect()
        };
        match rule {
            Rule::ByVersion => Units::new(),
            Rule::Whole(_) => whole(fields.clone()),
            Rule::Max(path) => whole(numbers::without(fields, path)),
            Rule::Sum => whole(numbers::without(fields, &[])),
            Rule::PerKey(key) => fields
                .iter()
                .flat_map(|(field, value)| keyed(field, value, key))
                .collect(),
            Rule::Fields(groups) => by_field(fields, groups),
        }
    }
}

fn by_field(fields: &Map<String, Value>, groups: &[BTreeSet<String>]) -> Units {
    let mut units = Units::new();
    for (field, value) in fields {
        let (name, place) = match groups.iter().find(|group| group.contains(field)) {
            Some(group) => (together(group), Place::Together),
            None => (field_name(field), Place::Field(field.clone())),
        };
        if place == Place::Together {
            let unit = units.entry(name).or_insert_with(|| Unit {
                place,
                value: Value::Object(Map::new()),
            });
            unit.value[field.as_str()] = value.clone();
        } else {
            let value = value.clone();
            units.insert(name, Unit { place, value });
        }
    }
    units
}

/// The units of a field whose elements or members go by a key.
fn keyed(field: &str, value: &Value, key: &str) -> Vec<(String, Unit)> {
    let name = field_name(field);
    let unit = |place, value: &Value| Unit {
        place,
        value: value.clone(),
    };
    let container = |empty: Value| (name.clone(), unit(Place::Field(field.to_owned()), &empty));
    match value {
        Value::Object(members) => {
            let one = |(member, value): (&String, &Value)| {
                let place = Place::Inside(field.to_owned(), Some(member.clone()));
                (format!("{name}/{member}"), unit(place, value))
            };
            let members = members.iter().map(one);
            members.chain([container(Value::Object(Map::new()))]).collect()
        }
        Value::Array(elements) => {
            let Some(keys) = keys(elements, key) else {
                return vec![(name, unit(Place::Field(field.to_owned()), value))];
            };
            let one = |(key, value): (&Value, &Value)| {
                let place = Place::Inside(field.to_owned(), None);
                (format!("{name}={key}"), unit(place, value))
            };
            let elements = keys.into_iter().zip(elements).map(one);
            elements.chain([container(Value::Array(Vec::new()))]).collect()
        }
        _ => vec![(name, unit(Place::Field(field.to_owned()), value))],
    }
}

/// The keys of an array's elements, if all have one and no two the same.
pub(super) fn keys<'v>(elements: &'v [Value], key: &str) -> Option<Vec<&'v Value>> {
    let keys: Option<Vec<&Value>> = elements
        .iter()
        .map(|element| element.as_object()?.get(key).filter(|key| is_key(key)))
        .collect();
    let keys = keys?;
    let distinct: BTreeSet<String> = keys.iter().map(ToString::to_string).collect();
    (distinct.len() == keys.len()).then_some(keys)
}

/// Whether a unit is of this field.
pub(super) fn is_in(unit: &str, field: &str) -> bool {
    let rest = unit
        .strip_prefix('-')
        .unwrap_or(unit)
        .strip_prefix('/')
        .and_then(|unit| unit.strip_prefix(&escape(field)));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '=']))
}

fn is_key(value: &Value) -> bool {
    matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_))
}

/// The order of elements that two devices arranged differently.
pub(super) fn compare_keys(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => numbers::compare(a, b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        _ => a.to_string().cmp(&b.to_string()),
    }
}

fn together(fields: &BTreeSet<String>) -> String {
    let names: Vec<String> = fields.iter().map(|field| escape(field)).collect();
    format!("/{}", names.join(","))
}

fn escape(field: &str) -> String {
    field
        .replace('~', "~0")
        .replace('/', "~1")
        .replace('=', "~2")
        .replace(',', "~3")
}

fn unescape(field: &str) -> String {
    field
        .replace("~3", ",")
        .replace("~2", "=")
        .replace("~1", "/")
        .replace("~0", "~")
}
