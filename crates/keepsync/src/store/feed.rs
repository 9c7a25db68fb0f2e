//! What changed, for those who tell others: without reading any of it.

use super::{Store, hub::Subject};
use crate::{
    change::Changes,
    error::{Error, Result},
};
use tokio::sync::watch::Receiver;

/// Says what changed since it was made, or since it was last asked. However many commits that took is one answer.
pub struct Feed {
    store: Store,
    /// Touched last of all by every commit, and by everything else the status is made of.
    any: Receiver<u64>,
    collections: Vec<(String, Receiver<u64>)>,
    subjects: Vec<(Subject, Receiver<u64>)>,
}

impl Feed {
    pub(super) fn new(store: Store) -> Result<Self> {
        let hub = &store.inner.hub;
        let missing = || Error::Internal("nothing to follow".to_owned());
        let subject = |subject| Some((subject, hub.subject(subject)?));
        let subjects = [Subject::Queue, Subject::Conflicts, Subject::Notices, Subject::Sessions];
        Ok(Self {
            any: hub.subject(Subject::Status).ok_or_else(missing)?,
            collections: hub.collections(),
            subjects: subjects.into_iter().filter_map(subject).collect(),
            store,
        })
    }

    /// Waits for a change, and says what changed. Nothing of it: the status may be another. Dropping the future loses
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Closed`] once the store is closed.
    pub async fn next(&mut self) -> Result<Changes> {
        self.any.changed().await.map_err(|_| Error::Closed)?;
        if !self.store.is_open() {
            return Err(Error::Closed);
        }
        // What is touched while this looks is in this answer or in the next one, and never in none.
        self.any.mark_unchanged();
        let mut changes = Changes::default();
        for (name, revisions) in &mut self.collections {
            if moved(revisions) {
                changes.collections.insert(name.clone());
            }
        }
        for (subject, revisions) in &mut self.subjects {
            let said = match subject {
                Subject::Queue => &mut changes.queue,
                Subject::Conflicts => &mut changes.conflicts,
                Subject::Notices => &mut changes.notices,
                Subject::Sessions => &mut changes.sessions,
                Subject::Status | Subject::Sendable => continue,
            };
            *said = moved(revisions);
        }
        Ok(changes)
    }

    /// As if all of it had changed: for who has not looked for a while.
    pub fn everything(&self) -> Changes {
        Changes {
            collections: self.collections.iter().map(|(name, _)| name.clone()).collect(),
            queue: true,
            conflicts: true,
            notices: true,
            sessions: true,
            ..Changes::default()
        }
    }
}

fn moved(revisions: &mut Receiver<u64>) -> bool {
    let moved = revisions.has_changed().unwrap_or(false);
    revisions.mark_unchanged();
    moved
}

impl Store {
    /// Follows everything at once, without reading it.
    ///
    /// # Errors
    /// None today.
    pub fn feed(&self) -> Result<Feed> {
        Feed::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        OpenOptions, Place,
        collection::{Collection, Collections},
        conflict::Policy,
    };

    async fn store() -> Store {
        let collections = ["workout", "exercise"].map(|name| Collection::new(name, Policy::Ask));
        let options = OpenOptions {
            place: Place::Memory,
            ..OpenOptions::new("", "me", Collections::new(collections).unwrap())
        };
        Store::open(options, None).await.unwrap()
    }

    #[tokio::test]
    async fn many_commits_are_one_change_and_what_was_not_touched_is_not_named() {
        let store = store().await;
        let mut feed = store.feed().unwrap();
        for n in 0..20 {
            store.put("workout", &format!("w{n}"), "{}").await.unwrap();
        }
        let changes = feed.next().await.unwrap();
        assert_eq!(changes.collections, ["workout".to_owned()].into());
        assert_eq!(
            (changes.queue, changes.conflicts, changes.sessions),
            (true, false, false)
        );
        assert_eq!(feed.everything().collections.len(), 2);
        store.close().await.unwrap();
        assert_eq!(feed.next().await, Err(Error::Closed));
    }
}
