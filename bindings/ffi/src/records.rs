//! Records: writing and reading them.

use crate::{
    Store,
    error::{KeepsyncError, Result, unsigned},
    mirror::{Out, names, record},
};
use keepsync::record as core;

record! {
    /// What a local write did.
    Written from core::Written {
        /// The record.
        id: String,
        /// The operation it travels under; absent where nothing travels (a local collection, or a record that was
        /// deleted before its creation left).
        op: Option<String>,
    }
}

names! {
    /// Where a record stands with the server.
    RecordState from core::RecordState {
        /// The server has what the app sees.
        Synced,
        /// Something is unsent, or not answered yet.
        Pending,
        /// The user has to settle a conflict.
        Conflict,
        /// The server refused something.
        Parked,
    }
}

record! {
    /// A record as the app sees it.
    Record from core::Record {
        /// Its collection.
        collection: String,
        /// Its id, made on the device that created it.
        id: String,
        /// JSON text; absent when it is deleted.
        body: Option<String>,
        /// The id of its parent, if its collection has one.
        parent_id: Option<String>,
        /// The last version the server confirmed; 0 for none.
        version: i64,
        /// Where it stands with the server.
        state: RecordState,
        /// UTC milliseconds.
        created_at: i64,
        /// UTC milliseconds, of the visible body.
        updated_at: i64,
        /// UTC milliseconds; when the server last confirmed anything of it.
        synced_at: Option<i64>,
        /// The installation that wrote the visible body.
        device_id: String,
        /// What a person calls that device, if it ever said so.
        device_label: Option<String>,
        /// The id the backend gave it, if it has its own.
        server_id: Option<String>,
    }
}

record! {
    /// A page of records.
    Page from core::Page {
        /// In order.
        records: Vec<Record>,
        /// Where the next page starts, for `Query.after`; absent at the end. Opaque.
        next: Option<String>,
    }
}

names! {
    /// How a field is compared.
    Compare from core::Compare {
        /// Equal; null matches an absent field.
        Eq,
        /// Not equal.
        Ne,
        /// Less.
        Lt,
        /// Less or equal.
        Le,
        /// Greater.
        Gt,
        /// Greater or equal.
        Ge,
    }
}

/// What a field is compared with.
#[derive(Debug, Clone, PartialEq, uniffi::Enum)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub enum FieldValue {
    /// Absent or null.
    Null,
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// A whole number.
    Whole {
        /// The number.
        number: i64,
    },
    /// Any number.
    Number {
        /// The number.
        number: f64,
    },
    /// True or false.
    Truth {
        /// Which.
        truth: bool,
    },
}

/// A condition on a top-level field of the body.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct Filter {
    /// The field.
    pub field: String,
    /// How it is compared.
    pub compare: Compare,
    /// With what.
    pub value: FieldValue,
}

/// What to read: all of a collection that is not deleted, by id, in pages, unless narrowed.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct Query {
    /// The collection.
    pub collection: String,
    /// All of them hold.
    #[uniffi(default = [])]
    #[cfg_attr(test, serde(default))]
    pub filters: Vec<Filter>,
    /// A field to order by, then by id; records without it come first. Without one: by id.
    #[uniffi(default = None)]
    pub order_by: Option<String>,
    /// The other way round.
    #[uniffi(default = false)]
    #[cfg_attr(test, serde(default))]
    pub descending: bool,
    /// At most this many records: 1 to 1,000.
    #[uniffi(default = 100)]
    #[cfg_attr(test, serde(default = "hundred"))]
    pub limit: i64,
    /// Goes on where a page ended: its `next`.
    #[uniffi(default = None)]
    pub after: Option<String>,
}

#[cfg(test)]
fn hundred() -> i64 {
    100
}

impl TryFrom<Query> for core::Query {
    type Error = KeepsyncError;

    fn try_from(asked: Query) -> Result<Self> {
        let mut query = Self::new(asked.collection).limit(unsigned("limit", asked.limit)?);
        for filter in asked.filters {
            let value = match filter.value {
                FieldValue::Null => serde_json::Value::Null,
                FieldValue::Text { text } => text.into(),
                FieldValue::Whole { number } => number.into(),
                FieldValue::Number { number } => number.into(),
                FieldValue::Truth { truth } => truth.into(),
            };
            query = query.filter(filter.field, filter.compare.into(), value);
        }
        if let Some(field) = asked.order_by {
            query = query.order_by(field);
        }
        if asked.descending {
            query = query.descending();
        }
        Ok(match asked.after {
            Some(next) => query.after(next),
            None => query,
        })
    }
}

/// One of several writes that happen together.
#[derive(Debug, Clone, PartialEq, uniffi::Enum)]
#[cfg_attr(
    test,
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", rename_all_fields = "camelCase")
)]
pub enum Mutation {
    /// A whole body.
    Put {
        /// The collection.
        collection: String,
        /// The record; empty makes an id.
        id: String,
        /// JSON text.
        body: String,
    },
    /// A merge patch (RFC 7386).
    Patch {
        /// The collection.
        collection: String,
        /// The record.
        id: String,
        /// JSON text.
        patch: String,
    },
    /// Away with it.
    Delete {
        /// The collection.
        collection: String,
        /// The record.
        id: String,
    },
}

impl From<Mutation> for core::Mutation {
    fn from(mutation: Mutation) -> Self {
        match mutation {
            Mutation::Put { collection, id, body } => Self::Put { collection, id, body },
            Mutation::Patch { collection, id, patch } => Self::Patch { collection, id, patch },
            Mutation::Delete { collection, id } => Self::Delete { collection, id },
        }
    }
}

/// A version of a record that lost, or a write to it that was thrown away.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct Version {
    /// JSON text; absent for a deletion.
    pub body: Option<String>,
    /// The server's version; 0 for one it never confirmed.
    pub version: i64,
    /// When it was written: UTC milliseconds.
    pub written_at: i64,
    /// The installation that wrote it.
    pub device_id: String,
    /// Why it is here: `lost_to_server`, `lost_to_device`, `merged`, `discarded`, `cancelled`; `lost_by_server`
    /// where a restored server had it no more.
    pub reason: String,
    /// When it was superseded: UTC milliseconds.
    pub at: i64,
}

impl Out<Version> for core::Version {
    fn out(self) -> Version {
        Version {
            body: self.body,
            version: self.version,
            written_at: self.hlc.wall_ms(),
            device_id: self.device_id,
            reason: self.reason,
            at: self.at,
        }
    }
}

#[uniffi::export]
impl Store {
    /// Stores a whole body. An empty `id` makes one (UUIDv7). When this returns, it is on the disk.
    pub async fn put(&self, collection: String, id: String, body: String) -> Result<Written> {
        self.call(move |store| async move { store.put(&collection, &id, &body).await })
            .await
    }

    /// [`Store::put`] for a thread of the app's own that may wait for the disk, never one that draws: it is the
    /// cheaper way.
    pub fn put_blocking(&self, collection: String, id: String, body: String) -> Result<Written> {
        self.call_here(move |store| async move { store.put(&collection, &id, &body).await })
    }

    /// Changes some fields of a body: a merge patch (RFC 7386), in which null removes a field.
    pub async fn patch(&self, collection: String, id: String, patch: String) -> Result<Written> {
        self.call(move |store| async move { store.patch(&collection, &id, &patch).await })
            .await
    }

    /// Deletes a record.
    pub async fn delete(&self, collection: String, id: String) -> Result<Written> {
        self.call(move |store| async move { store.delete(&collection, &id).await })
            .await
    }

    /// Several writes as one: all of them, or none.
    pub async fn write_all(&self, mutations: Vec<Mutation>) -> Result<Vec<Written>> {
        let mutations = mutations.into_iter().map(Into::into).collect();
        self.call(move |store| async move { store.write_all(mutations).await })
            .await
    }

    /// The record, unless it is not there or deleted.
    pub async fn get(&self, collection: String, id: String) -> Result<Option<Record>> {
        self.call(move |store| async move { store.get(&collection, &id).await })
            .await
    }

    /// [`Store::get`] for a thread of the app's own that may wait for the disk, never one that draws.
    pub fn get_blocking(&self, collection: String, id: String) -> Result<Option<Record>> {
        self.call_here(move |store| async move { store.get(&collection, &id).await })
    }

    /// A page of records.
    pub async fn query(&self, query: Query) -> Result<Page> {
        let query = query.try_into()?;
        self.call(move |store| async move { store.query(query).await }).await
    }

    /// [`Store::query`] for a thread of the app's own that may wait for the disk, never one that draws.
    pub fn query_blocking(&self, query: Query) -> Result<Page> {
        let query = query.try_into()?;
        self.call_here(move |store| async move { store.query(query).await })
    }

    /// Versions of a record that lost, and writes to it that were thrown away; newest first.
    pub async fn history(&self, collection: String, id: String) -> Result<Vec<Version>> {
        self.call(move |store| async move { store.history(&collection, &id).await })
            .await
    }
}
