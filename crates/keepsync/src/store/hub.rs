//! Who is told what changed. One revision number per subject: a subscriber that was slow sees one
//! change, not a backlog, and reads what is there now.

use crate::change::Changes;
use std::collections::HashMap;
use tokio::sync::watch;

/// Told about beside the collections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Queue,
    Conflicts,
    Notices,
    Sessions,
    /// Anything the status is made of.
    Status,
    /// A write that can go out.
    Sendable,
}

pub(super) struct Hub {
    collections: HashMap<String, watch::Sender<u64>>,
    subjects: HashMap<Subject, watch::Sender<u64>>,
}

impl Hub {
    pub(super) fn new(collections: impl Iterator<Item = String>) -> Self {
        use Subject::{Conflicts, Notices, Queue, Sendable, Sessions, Status};
        Self {
            collections: collections.map(|name| (name, watch::Sender::new(0))).collect(),
            subjects: [Queue, Conflicts, Notices, Sessions, Status, Sendable]
                .map(|subject| (subject, watch::Sender::new(0)))
                .into(),
        }
    }

    /// After a commit.
    pub(super) fn publish(&self, changes: &Changes) {
        for name in &changes.collections {
            if let Some(sender) = self.collections.get(name) {
                sender.send_modify(|revision| *revision += 1);
            }
        }
        let said = [
            (Subject::Queue, changes.queue),
            (Subject::Conflicts, changes.conflicts),
            (Subject::Notices, changes.notices),
            (Subject::Sessions, changes.sessions),
            (Subject::Status, !changes.is_empty()),
            (Subject::Sendable, changes.sendable),
        ];
        for (subject, _) in said.into_iter().filter(|(_, changed)| *changed) {
            self.touch(subject);
        }
    }

    pub(super) fn touch(&self, subject: Subject) {
        if let Some(sender) = self.subjects.get(&subject) {
            sender.send_modify(|revision| *revision += 1);
        }
    }

    /// The store is closed: everyone who waits looks again, and is told.
    pub(super) fn touch_all(&self) {
        for sender in self.collections.values().chain(self.subjects.values()) {
            sender.send_modify(|revision| *revision += 1);
        }
    }

    pub(super) fn collection(&self, name: &str) -> Option<watch::Receiver<u64>> {
        self.collections.get(name).map(watch::Sender::subscribe)
    }

    pub(super) fn subject(&self, subject: Subject) -> Option<watch::Receiver<u64>> {
        self.subjects.get(&subject).map(watch::Sender::subscribe)
    }
}
