//! Collections: what an app registers in code before it opens a store. Twenty and more are normal;
//! nothing has to be written per collection but its registration.

use crate::{
    conflict::{Policy, check_policies},
    error::{Error, Result},
};
use std::collections::{BTreeMap, BTreeSet};

/// Which way records travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Written here and pulled.
    Both,
    /// Reference data: pulled only; the app does not write to it.
    PullOnly,
    /// Written here, never pulled.
    PushOnly,
    /// Stays on the device.
    Local,
}

/// When the children of a session go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    /// Each when it is logged.
    Live,
    /// Session and children are held until the session is completed or skipped.
    OnComplete,
}

/// Whether the app can be used before the first pull of a collection is through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstSync {
    /// Yes.
    NotRequired,
    /// No: the status says `needs first sync`.
    Required {
        /// Whether the user may go on without it.
        may_continue: bool,
    },
}

/// What a rejected entry holds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnRejected {
    /// Its lane: later writes of the record, and its dependants.
    ParkLane,
    /// Only itself: a later write of the same record still goes out. When that has arrived, the refused one is
    /// superseded: the later one was made on it. A refused change of state (complete, skip) holds its lane all the
    /// same, because nothing later says it.
    ParkEntry,
}

/// The registration of one collection.
#[derive(Debug, Clone)]
pub struct Collection {
    pub(crate) name: String,
    pub(crate) policy: Policy,
    pub(crate) groups: Vec<FieldGroup>,
    pub(crate) direction: Direction,
    pub(crate) priority: i32,
    pub(crate) indexes: BTreeSet<String>,
    pub(crate) parent: Option<Parent>,
    pub(crate) sending: Sending,
    pub(crate) first_sync: FirstSync,
    pub(crate) on_rejected: OnRejected,
    pub(crate) deletes: bool,
    pub(crate) settles_itself: bool,
    pub(crate) same_when: Vec<String>,
    pub(crate) announces: bool,
}

/// Fields that belong together, with a policy of their own.
#[derive(Debug, Clone)]
pub struct FieldGroup {
    pub(crate) fields: BTreeSet<String>,
    pub(crate) policy: Policy,
}

/// The collection of a record's parent, and the field that holds the parent's id.
#[derive(Debug, Clone)]
pub struct Parent {
    pub(crate) collection: String,
    pub(crate) field: String,
}

impl Collection {
    /// A collection whose conflicts are settled by `policy`; everything else has its default:
    /// both directions, priority 0, no index, no parent, no first sync, deletes allowed, a
    /// rejection parks the lane.
    pub fn new(name: impl Into<String>, policy: Policy) -> Self {
        Self {
            name: name.into(),
            policy,
            groups: Vec::new(),
            direction: Direction::Both,
            priority: 0,
            indexes: BTreeSet::new(),
            parent: None,
            sending: Sending::Live,
            first_sync: FirstSync::NotRequired,
            on_rejected: OnRejected::ParkLane,
            deletes: true,
            settles_itself: false,
            same_when: Vec::new(),
            announces: false,
        }
    }

    /// A table of an app that captures data in the field: what the device wrote always wins, it creates and
    /// updates but never deletes, and the app needs the table whole before it is used offline. See
    /// [`Settings::field_mode`](crate::settings::Settings::field_mode).
    pub fn field(name: impl Into<String>) -> Self {
        Self::new(name, Policy::ClientWins)
            .without_deletes()
            .first_sync(FirstSync::Required { may_continue: false })
    }

    /// These top-level fields are settled together by a policy of their own.
    #[must_use]
    pub fn group<F: Into<String>>(mut self, fields: impl IntoIterator<Item = F>, policy: Policy) -> Self {
        self.groups.push(FieldGroup {
            fields: fields.into_iter().map(Into::into).collect(),
            policy,
        });
        self
    }

    /// Which way records travel.
    #[must_use]
    pub fn direction(mut self, direction: Direction) -> Self {
        self.direction = direction;
        self
    }

    /// Higher goes out first (workouts before statistics). Never overrides `after`.
    #[must_use]
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// An index on a top-level field of the body, for filters and orders.
    #[must_use]
    pub fn index(mut self, field: impl Into<String>) -> Self {
        self.indexes.insert(field.into());
        self
    }

    /// Records have a parent in `collection`, whose id is in the body's `field`. The parent is
    /// fixed when the record is made.
    #[must_use]
    pub fn child_of(mut self, collection: impl Into<String>, field: impl Into<String>) -> Self {
        self.parent = Some(Parent {
            collection: collection.into(),
            field: field.into(),
        });
        self
    }

    /// For sessions: when they and their children go out.
    #[must_use]
    pub fn sending(mut self, sending: Sending) -> Self {
        self.sending = sending;
        self
    }

    /// Whether the app needs this collection before it can be used.
    #[must_use]
    pub fn first_sync(mut self, first_sync: FirstSync) -> Self {
        self.first_sync = first_sync;
        self
    }

    /// What a rejected entry holds up.
    #[must_use]
    pub fn on_rejected(mut self, on_rejected: OnRejected) -> Self {
        self.on_rejected = on_rejected;
        self
    }

    /// The app creates and updates, but never deletes here.
    #[must_use]
    pub fn without_deletes(mut self) -> Self {
        self.deletes = false;
        self
    }

    /// Conflicts of these records are settled by their own policy, also where their parent's collection
    /// asks. Without it, what an `ask` parent's children say on two devices is one conflict of the parent:
    /// the user decides about a workout with its sets.
    #[must_use]
    pub fn settles_itself(mut self) -> Self {
        self.settles_itself = true;
        self
    }

    /// Records that are equal in all of these top-level fields, and were made on different devices, are
    /// twins: two workouts of one date and time. Both are kept; [`Read::twins`](crate::Read::twins) lists
    /// them, so that the user can merge them or delete one.
    #[must_use]
    pub fn same_when<F: Into<String>>(mut self, fields: impl IntoIterator<Item = F>) -> Self {
        self.same_when = fields.into_iter().map(Into::into).collect();
        self
    }

    /// The user is told when the server changes these: definitions the app is built on, such as an exercise
    /// library. One notice however many changed; the first pull tells nothing.
    #[must_use]
    pub fn announce_changes(mut self) -> Self {
        self.announces = true;
        self
    }

    /// The name it was registered under.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn pulls(&self) -> bool {
        matches!(self.direction, Direction::Both | Direction::PullOnly)
    }

    pub(crate) fn pushes(&self) -> bool {
        matches!(self.direction, Direction::Both | Direction::PushOnly)
    }
}

/// All registered collections.
#[derive(Debug, Clone, Default)]
pub struct Collections {
    by_name: BTreeMap<String, Collection>,
}

impl Collections {
    /// Checks the registrations against each other.
    ///
    /// # Errors
    /// [`Error::BadCollection`] names the collection and what is wrong.
    pub fn new(collections: impl IntoIterator<Item = Collection>) -> Result<Self> {
        let mut by_name = BTreeMap::new();
        for collection in collections {
            let name = collection.name.clone();
            let bad = |problem: String| Error::BadCollection {
                collection: name.clone(),
                problem,
            };
            if !is_name(&name) {
                return Err(bad(
                    "a name is 1 to 64 of a-z, 0-9 and _, and starts with a letter".to_owned()
                ));
            }
            for field in collection
                .indexes
                .iter()
                .chain(collection.parent.iter().map(|parent| &parent.field))
                .chain(&collection.same_when)
            {
                check_field(field).map_err(|problem| bad(format!("field {field:?}: {problem}")))?;
            }
            if collection.first_sync != FirstSync::NotRequired && !collection.pulls() {
                return Err(bad("it is never pulled, so a first sync would never end".to_owned()));
            }
            check_policies(&collection.policy, &collection.groups).map_err(bad)?;
            if by_name.insert(name.clone(), collection).is_some() {
                return Err(bad("registered twice".to_owned()));
            }
        }
        for collection in by_name.values() {
            if let Some(parent) = &collection.parent {
                let problem = match by_name.get(&parent.collection) {
                    None => format!("its parent {:?} is not registered", parent.collection),
                    Some(_) if parent.collection == collection.name => "it is its own parent".to_owned(),
                    Some(_) => continue,
                };
                return Err(Error::BadCollection {
                    collection: collection.name.clone(),
                    problem,
                });
            }
        }
        Ok(Self { by_name })
    }

    /// Tables of an app that captures data in the field, each as [`Collection::field`].
    ///
    /// # Errors
    /// As [`Collections::new`].
    pub fn field<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Result<Self> {
        Self::new(names.into_iter().map(Collection::field))
    }

    /// The registration of `name`.
    ///
    /// # Errors
    /// [`Error::UnknownCollection`].
    pub fn get(&self, name: &str) -> Result<&Collection> {
        self.by_name
            .get(name)
            .ok_or_else(|| Error::UnknownCollection(name.to_owned()))
    }

    /// In the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Collection> {
        self.by_name.values()
    }
}

/// Names become part of SQL text (index names, partial index conditions), so they are narrow.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Field names become part of a JSON path in SQL text, so they are narrow too.
pub(crate) fn check_field(field: &str) -> std::result::Result<(), &'static str> {
    let fits = (1..=64).contains(&field.len()) && field.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if fits {
        Ok(())
    } else {
        Err("a field name is 1 to 64 letters, digits and _")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_named() {
        let one = |c: Collection| Collections::new([c]).unwrap_err().to_string();
        assert!(one(Collection::new("A b", Policy::Ask)).contains("a name is"));
        assert!(one(Collection::new("a", Policy::Ask).index("x'y")).contains("field \"x'y\""));
        assert!(one(Collection::new("a", Policy::Ask).child_of("b", "b_id")).contains("\"b\" is not registered"));
        assert!(one(Collection::new("a", Policy::Ask).child_of("a", "a_id")).contains("own parent"));
        let required = FirstSync::Required { may_continue: true };
        let local = Collection::new("a", Policy::Ask).direction(Direction::Local);
        assert!(one(local.first_sync(required)).contains("never pulled"));
        let twice = Collection::new("a", Policy::Ask)
            .group(["x"], Policy::ServerWins)
            .group(["x"], Policy::Ask);
        assert!(one(twice).contains("in two groups"));
        let same = [Collection::new("a", Policy::Ask), Collection::new("a", Policy::Ask)];
        assert!(Collections::new(same).unwrap_err().to_string().contains("twice"));
    }

    #[test]
    fn twenty_and_more_collections_register_the_same_way() {
        let many = (0..40).map(|n| Collection::new(format!("table_{n}"), Policy::ClientWins));
        assert_eq!(Collections::new(many).unwrap().iter().count(), 40);
    }
}
