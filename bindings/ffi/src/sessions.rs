//! Sessions: a record in the making, with ordered children.

use crate::{
    Store,
    error::Result,
    mirror::Out,
    records::{Record, Written},
};
use keepsync::session as core;

/// A session in progress.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct Session {
    /// Its collection.
    pub collection: String,
    /// Its id.
    pub id: String,
    /// The collection of its children.
    pub children: String,
    /// When it was started: UTC milliseconds.
    pub started_at: i64,
    /// What the app noted, as it gave it.
    pub scratch: Option<String>,
    /// Its record.
    pub record: Record,
    /// Its children, in the order in which they were first logged.
    pub sets: Vec<Record>,
}

/// A set to log. As one value, because each argument of its own costs a crossing or two from Kotlin.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct LoggedSet {
    /// The session's collection.
    pub collection: String,
    /// The session.
    pub id: String,
    /// Which set it is: exercise and set number, say.
    pub slot: String,
    /// A JSON object.
    pub body: String,
}

impl Out<Session> for core::Session {
    fn out(self) -> Session {
        Session {
            collection: self.collection,
            id: self.id,
            children: self.children,
            started_at: self.started_at,
            scratch: self.scratch,
            record: self.record.out(),
            sets: self.sets.out(),
        }
    }
}

#[uniffi::export]
impl Store {
    /// Starts a session. An empty `id` makes one. `children` is the collection of its sets.
    pub async fn start_session(
        &self,
        collection: String,
        children: String,
        id: String,
        body: String,
    ) -> Result<Written> {
        self.call(move |store| async move { store.start_session(&collection, &children, &id, &body).await })
            .await
    }

    /// Logs the set of a slot, or changes it. Costs the same for the 500th as for the first.
    pub async fn log_set(&self, set: LoggedSet) -> Result<Written> {
        self.call(move |store| log(store, set)).await
    }

    /// [`Store::log_set`] for a thread of the app's own that may wait for the disk, never one that draws: it is the
    /// cheaper way.
    pub fn log_set_blocking(&self, set: LoggedSet) -> Result<Written> {
        self.call_here(move |store| log(store, set))
    }

    /// Removes the set of a slot.
    pub async fn remove_set(&self, collection: String, id: String, slot: String) -> Result<Written> {
        self.call(move |store| async move { store.remove_set(&collection, &id, &slot).await })
            .await
    }

    /// Keeps what is not sent: a rest timer, a half-typed weight. Absent removes it.
    pub async fn note(&self, collection: String, id: String, scratch: Option<String>) -> Result<()> {
        self.call(move |store| async move { store.note(&collection, &id, scratch.as_deref()).await })
            .await
    }

    /// Completes a session; `patch` changes its body once more. A drain starts at once.
    pub async fn complete_session(&self, collection: String, id: String, patch: String) -> Result<Written> {
        self.call(move |store| async move { store.complete_session(&collection, &id, &patch).await })
            .await
    }

    /// Skips a session; `patch` changes its body once more. A drain starts at once.
    pub async fn skip_session(&self, collection: String, id: String, patch: String) -> Result<Written> {
        self.call(move |store| async move { store.skip_session(&collection, &id, &patch).await })
            .await
    }

    /// Throws a session away: what has certainly not left is cancelled, the rest is deleted.
    pub async fn discard_session(&self, collection: String, id: String) -> Result<()> {
        self.call(move |store| async move { store.discard_session(&collection, &id).await })
            .await
    }

    /// Sessions in progress, as they were left.
    pub async fn active_sessions(&self) -> Result<Vec<Session>> {
        self.call(|store| async move { store.active_sessions().await }).await
    }
}

async fn log(store: keepsync::Store, set: LoggedSet) -> keepsync::Result<keepsync::record::Written> {
    store.log_set(&set.collection, &set.id, &set.slot, &set.body).await
}
