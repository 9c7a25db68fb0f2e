//! Subscriptions. The first value is the current one, read from the same source as all the others;
//! changes that come while a value is being looked at are one change. A subscription ends when it is
//! dropped, and does not keep anybody waiting.

use super::{Store, hub::Subject};
use crate::{
    conflict::Conflict,
    drain::Status,
    error::{Error, Result},
    first_sync::FirstSyncProgress,
    notice::Notice,
    queue::QueueCounts,
    record::{Page, Query, Record},
    session::Session,
};
use std::{future::Future, pin::Pin};
use tokio::sync::watch::Receiver;

type Load<T> = Box<dyn Fn(Store) -> Pin<Box<dyn Future<Output = Result<T>> + Send>> + Send + Sync>;

/// What to follow.
pub struct Watch<T> {
    source: Source,
    load: Load<T>,
}

enum Source {
    Collection(String),
    Subject(Subject),
}

impl<T> Watch<T> {
    fn new<F>(source: Source, load: impl Fn(Store) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<T>> + Send + 'static,
    {
        Self {
            source,
            load: Box::new(move |store| Box::pin(load(store))),
        }
    }
}

impl Watch<Page> {
    /// A page of records.
    pub fn query(query: Query) -> Self {
        Self::new(Source::Collection(query.collection().to_owned()), move |store| {
            let query = query.clone();
            async move { store.query(query).await }
        })
    }
}

impl Watch<Option<Record>> {
    /// One record.
    pub fn record(collection: impl Into<String>, id: impl Into<String>) -> Self {
        let (collection, id) = (collection.into(), id.into());
        Self::new(Source::Collection(collection.clone()), move |store| {
            let (collection, id) = (collection.clone(), id.clone());
            async move { store.get(&collection, &id).await }
        })
    }
}

impl Watch<Status> {
    /// What is going on.
    pub fn status() -> Self {
        Self::new(
            Source::Subject(Subject::Status),
            |store| async move { store.status().await },
        )
    }
}

impl Watch<FirstSyncProgress> {
    /// How far the first sync has come.
    pub fn first_sync() -> Self {
        Self::new(Source::Subject(Subject::Status), |store| async move {
            store.first_sync().await
        })
    }
}

impl Watch<QueueCounts> {
    /// How many entries stand where.
    pub fn queue() -> Self {
        Self::new(Source::Subject(Subject::Queue), |store| async move {
            store.queue_counts().await
        })
    }
}

impl Watch<Vec<Conflict>> {
    /// Conflicts the user has to settle.
    pub fn conflicts() -> Self {
        Self::new(Source::Subject(Subject::Conflicts), |store| async move {
            store.conflicts().await
        })
    }
}

impl Watch<Vec<Notice>> {
    /// What the user should be told.
    pub fn notices() -> Self {
        Self::new(Source::Subject(Subject::Notices), |store| async move {
            store.notices().await
        })
    }
}

impl Watch<Vec<Session>> {
    /// Sessions in progress.
    pub fn sessions() -> Self {
        Self::new(Source::Subject(Subject::Sessions), |store| async move {
            store.active_sessions().await
        })
    }
}

/// Follows something until it is dropped.
pub struct Subscription<T> {
    store: Store,
    revisions: Receiver<u64>,
    load: Load<T>,
    /// Whether the last value read was given to the caller.
    told: bool,
}

impl<T> Subscription<T> {
    pub(super) fn new(store: Store, watch: Watch<T>) -> Result<Self> {
        let revisions = match &watch.source {
            Source::Collection(name) => store
                .inner
                .hub
                .collection(name)
                .ok_or_else(|| Error::UnknownCollection(name.clone()))?,
            Source::Subject(subject) => store
                .inner
                .hub
                .subject(*subject)
                .ok_or_else(|| Error::Internal("nothing to follow".to_owned()))?,
        };
        Ok(Self {
            store,
            revisions,
            load: watch.load,
            told: false,
        })
    }

    /// The current value at first, then each time it may have changed. Dropping the future loses
    /// nothing: the next call gives the current value at once.
    ///
    /// # Errors
    /// Those of the read; [`Error::Closed`] once the store is closed.
    pub async fn next(&mut self) -> Result<T> {
        if self.told {
            self.revisions.changed().await.map_err(|_| Error::Closed)?;
        }
        self.told = false;
        self.revisions.mark_unchanged();
        let value = (self.load)(self.store.clone()).await?;
        self.told = true;
        Ok(value)
    }
}
