//! What the user should be told, and what a bug report needs.

use crate::{
    Store,
    error::{Result, unsigned},
    mirror::{names, record},
};
use keepsync::{diagnostics, notice};
use std::collections::HashMap;

names! {
    /// What happened.
    NoticeKind from notice::NoticeKind {
        /// An edit was lost to a deletion. The record's history on this device has it.
        EditLostToDelete,
        /// Definitions the app follows changed on the server. About the whole collection.
        DefinitionsChanged,
        /// The record of a session in progress here was deleted elsewhere.
        SessionDeletedElsewhere,
        /// Another device has just synced a record that is being worked on here.
        ChangedElsewhere,
    }
}

record! {
    /// One thing the user should be told although nobody asked.
    Notice from notice::Notice {
        /// Names it to `dismiss_notice`; later notices have greater numbers.
        n: i64,
        /// What happened.
        kind: NoticeKind,
        /// The collection.
        collection: String,
        /// The record; absent where it is about the whole collection.
        id: Option<String>,
        /// The installation that caused it, where one did.
        device_id: Option<String>,
        /// How often it happened since it was last dismissed.
        times: i64,
        /// The last time: UTC milliseconds by this device's clock.
        at: i64,
    }
}

/// One event of the log.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct SyncEvent {
    /// When: UTC milliseconds.
    pub at: i64,
    /// What: `sync_attempt`, `sync_conflict`, `sync_success`, `sync_failure`, `retries_used_up`, `edit_lost`,
    /// `epoch_changed`, `clock_clamped`.
    pub event: String,
    /// JSON text of its fields.
    pub fields: String,
}

impl crate::mirror::Out<SyncEvent> for diagnostics::SyncEvent {
    fn out(self) -> SyncEvent {
        SyncEvent {
            at: self.at,
            event: self.event,
            fields: serde_json::Value::Object(self.fields).to_string(),
        }
    }
}

#[uniffi::export]
impl Store {
    /// What the user should be told, oldest first.
    pub async fn notices(&self) -> Result<Vec<Notice>> {
        self.call(|store| async move { store.notices().await }).await
    }

    /// The user has seen it. One that is not there any more, or has happened again since, is no error.
    pub async fn dismiss_notice(&self, n: i64) -> Result<()> {
        self.call(move |store| async move { store.dismiss_notice(n).await })
            .await
    }

    /// Counters since the file was made.
    pub async fn counters(&self) -> Result<HashMap<String, i64>> {
        self.call(|store| async move { Ok(store.counters().await?.into_iter().collect::<HashMap<_, _>>()) })
            .await
    }

    /// The last events, newest first.
    pub async fn events(&self, limit: i64) -> Result<Vec<SyncEvent>> {
        let limit = unsigned("limit", limit)?;
        self.call(move |store| async move { store.events(limit).await }).await
    }

    /// Everything a bug report needs, without anything the user wrote: JSON text.
    pub async fn bundle(&self) -> Result<String> {
        self.call(|store| async move { store.bundle().await }).await
    }

    /// All that the user sees, as a text that `import_records` of another device brings in. Not encrypted.
    pub async fn export_records(&self) -> Result<String> {
        self.call(|store| async move { Ok(store.export().await?.text) }).await
    }

    /// Brings in what `export_records` gave. Gives how many records were missing or different.
    pub async fn import_records(&self, text: String) -> Result<i64> {
        self.call(move |store| async move { Ok(store.import(text.into_bytes()).await?.written) })
            .await
    }
}

/// The version of this library.
#[uniffi::export]
pub fn version() -> Result<String> {
    Ok(env!("CARGO_PKG_VERSION").to_owned())
}
