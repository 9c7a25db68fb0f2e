//! Who is told what changed. One revision number per subject: a subscriber that was slow sees one
//! change, not a backlog, and reads what is there now.

use crate::{
    change::Changes,
    error::{Error, Result},
    sync::{Mutex, MutexGuard, PoisonError},
};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};
use tokio::sync::watch;
use uuid::Uuid;

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
    /// Only those that somebody waits for.
    outcomes: Mutex<HashMap<Uuid, watch::Sender<u64>>>,
    /// Whether another process was seen to write.
    others: AtomicBool,
}

/// Waits for news of one operation. Any number may wait for the same.
pub(super) struct Awaited {
    hub: Arc<Hub>,
    op: Uuid,
    news: watch::Receiver<u64>,
}

impl Awaited {
    pub(super) fn mark_seen(&mut self) {
        self.news.mark_unchanged();
    }

    pub(super) async fn changed(&mut self) -> Result<()> {
        self.news.changed().await.map_err(|_| Error::Closed)
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        let mut outcomes = self.hub.outcomes();
        // This one still counts.
        if outcomes
            .get(&self.op)
            .is_some_and(|sender| sender.receiver_count() <= 1)
        {
            outcomes.remove(&self.op);
        }
    }
}

impl Hub {
    fn outcomes(&self) -> MutexGuard<'_, HashMap<Uuid, watch::Sender<u64>>> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn outcome(self: &Arc<Self>, op: Uuid) -> Awaited {
        let mut outcomes = self.outcomes();
        let news = outcomes.entry(op).or_insert_with(|| watch::Sender::new(0)).subscribe();
        Awaited {
            hub: Arc::clone(self),
            op,
            news,
        }
    }

    pub(super) fn new(collections: impl Iterator<Item = String>) -> Self {
        use Subject::{Conflicts, Notices, Queue, Sendable, Sessions, Status};
        Self {
            collections: collections.map(|name| (name, watch::Sender::new(0))).collect(),
            subjects: [Queue, Conflicts, Notices, Sessions, Status, Sendable]
                .map(|subject| (subject, watch::Sender::new(0)))
                .into(),
            outcomes: Mutex::default(),
            others: AtomicBool::new(false),
        }
    }

    /// Whether there are other processes that write to the file.
    pub(super) fn has_others(&self) -> bool {
        self.others.load(Relaxed)
    }

    /// After a commit.
    pub(super) fn publish(&self, changes: &Changes) {
        if changes.elsewhere {
            self.others.store(true, Relaxed);
            return self.touch_all();
        }
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
        if changes.outcomes.is_empty() {
            return;
        }
        let outcomes = self.outcomes();
        if outcomes.is_empty() {
            return;
        }
        for sender in changes.outcomes.iter().filter_map(|op| outcomes.get(op)) {
            sender.send_modify(|revision| *revision += 1);
        }
    }

    pub(super) fn touch(&self, subject: Subject) {
        if let Some(sender) = self.subjects.get(&subject) {
            sender.send_modify(|revision| *revision += 1);
        }
    }

    /// The store is closed, or another process wrote: everyone who waits looks again, and is told.
    pub(super) fn touch_all(&self) {
        for sender in self.collections.values().chain(self.subjects.values()) {
            sender.send_modify(|revision| *revision += 1);
        }
        for sender in self.outcomes().values() {
            sender.send_modify(|revision| *revision += 1);
        }
    }

    pub(super) fn collections(&self) -> Vec<(String, watch::Receiver<u64>)> {
        let all = self.collections.iter();
        all.map(|(name, sender)| (name.clone(), sender.subscribe())).collect()
    }

    pub(super) fn collection(&self, name: &str) -> Option<watch::Receiver<u64>> {
        self.collections.get(name).map(watch::Sender::subscribe)
    }

    pub(super) fn subject(&self, subject: Subject) -> Option<watch::Receiver<u64>> {
        self.subjects.get(&subject).map(watch::Sender::subscribe)
    }
}
