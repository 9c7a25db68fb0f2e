//! What changed, said after the commit.

use std::collections::BTreeSet;
use uuid::Uuid;

/// What one commit changed. Never the content, and once per collection however many rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Collections with changed records.
    pub collections: BTreeSet<String>,
    /// Whether the queue changed.
    pub queue: bool,
    /// Whether a conflict was opened, refreshed or settled.
    pub conflicts: bool,
    /// Whether there is something to tell, or less.
    pub notices: bool,
    /// Whether a session was started, changed or ended.
    pub sessions: bool,
    /// Whether an entry was made that can go out now.
    pub sendable: bool,
    /// Operations whose outcome is known now, or is another than before.
    pub outcomes: Vec<Uuid>,
    /// Whether another process wrote to the file since the commit before: anything may be another.
    pub elsewhere: bool,
}

impl Changes {
    /// Nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.collections.extend(other.collections);
        self.queue |= other.queue;
        self.conflicts |= other.conflicts;
        self.notices |= other.notices;
        self.sessions |= other.sessions;
        self.sendable |= other.sendable;
        self.outcomes.extend(other.outcomes);
        self.elsewhere |= other.elsewhere;
    }

    pub(crate) fn record(&mut self, collection: &str) {
        if !self.collections.contains(collection) {
            self.collections.insert(collection.to_owned());
        }
    }
}
