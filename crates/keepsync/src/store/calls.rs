//! What an app asks of records, sessions, pairs, entries and conflicts: each call is one function of the
//! core, on the writer's thread or on a reader.

use super::Store;
use crate::{
    conflict::{self, Conflict, Resolution},
    drain::{Event, Trigger},
    error::{Error, Result},
    kv,
    notice::{self, Notice},
    queue::{self, Entry, QueueCounts, Rollback, WriteOutcome},
    record::{self, Elsewhere, Mutation, Page, Query, Record, Twins, Written},
    session::{self, Session},
};
use uuid::Uuid;

impl Store {
    // Records.

    /// See [`record::put`].
    ///
    /// # Errors
    /// As there.
    pub async fn put(&self, collection: &str, id: &str, body: &str) -> Result<Written> {
        let (collection, id, body) = (collection.to_owned(), id.to_owned(), body.to_owned());
        self.write(move |write| record::put(write, &collection, &id, &body))
            .await
    }

    /// See [`record::patch`].
    ///
    /// # Errors
    /// As there.
    pub async fn patch(&self, collection: &str, id: &str, patch: &str) -> Result<Written> {
        let (collection, id, patch) = (collection.to_owned(), id.to_owned(), patch.to_owned());
        self.write(move |write| record::patch(write, &collection, &id, &patch))
            .await
    }

    /// See [`record::delete`].
    ///
    /// # Errors
    /// As there.
    pub async fn delete(&self, collection: &str, id: &str) -> Result<Written> {
        let (collection, id) = (collection.to_owned(), id.to_owned());
        self.write(move |write| record::delete(write, &collection, &id)).await
    }

    /// Several writes as one. See [`record::write`].
    ///
    /// # Errors
    /// As there.
    pub async fn write_all(&self, mutations: Vec<Mutation>) -> Result<Vec<Written>> {
        self.write(move |write| record::write(write, &mutations)).await
    }

    /// The record, unless it is not there or deleted.
    ///
    /// # Errors
    /// As [`Read::get`](crate::Read::get).
    pub async fn get(&self, collection: &str, id: &str) -> Result<Option<Record>> {
        let (collection, id) = (collection.to_owned(), id.to_owned());
        self.read(move |read| read.get(&collection, &id)).await
    }

    /// A page of records.
    ///
    /// # Errors
    /// As [`Read::query`](crate::Read::query).
    pub async fn query(&self, query: Query) -> Result<Page> {
        self.read(move |read| read.query(&query)).await
    }

    /// Versions of a record that lost, newest first.
    ///
    /// # Errors
    /// As [`Read::history`](crate::Read::history).
    pub async fn history(&self, collection: &str, id: &str) -> Result<Vec<record::Version>> {
        let (collection, id) = (collection.to_owned(), id.to_owned());
        self.read(move |read| read.history(&collection, &id)).await
    }

    // Sessions.

    /// See [`session::start`].
    ///
    /// # Errors
    /// As there.
    pub async fn start_session(&self, collection: &str, children: &str, id: &str, body: &str) -> Result<Written> {
        let (collection, children) = (collection.to_owned(), children.to_owned());
        let (id, body) = (id.to_owned(), body.to_owned());
        self.write(move |write| session::start(write, &collection, &children, &id, &body))
            .await
    }

    /// See [`session::log_set`].
    ///
    /// # Errors
    /// As there.
    pub async fn log_set(&self, collection: &str, id: &str, slot: &str, body: &str) -> Result<Written> {
        let (collection, id) = (collection.to_owned(), id.to_owned());
        let (slot, body) = (slot.to_owned(), body.to_owned());
        self.write(move |write| session::log_set(write, &collection, &id, &slot, &body))
            .await
    }

    /// See [`session::remove_set`].
    ///
    /// # Errors
    /// As there.
    pub async fn remove_set(&self, collection: &str, id: &str, slot: &str) -> Result<Written> {
        let (collection, id, slot) = (collection.to_owned(), id.to_owned(), slot.to_owned());
        self.write(move |write| session::remove_set(write, &collection, &id, &slot))
            .await
    }

    /// See [`session::note`].
    ///
    /// # Errors
    /// As there.
    pub async fn note(&self, collection: &str, id: &str, scratch: Option<&str>) -> Result<()> {
        let (collection, id) = (collection.to_owned(), id.to_owned());
        let scratch = scratch.map(str::to_owned);
        self.write(move |write| session::note(write, &collection, &id, scratch.as_deref()))
            .await
    }

    /// See [`session::complete`]. A drain starts at once.
    ///
    /// # Errors
    /// As there.
    pub async fn complete_session(&self, collection: &str, id: &str, patch: &str) -> Result<Written> {
        let (collection, id, patch) = (collection.to_owned(), id.to_owned(), patch.to_owned());
        let written = self
            .write(move |write| session::complete(write, &collection, &id, &patch))
            .await?;
        self.wake(Event::Wake(Trigger::SessionCompleted));
        Ok(written)
    }

    /// See [`session::skip`]. A drain starts at once.
    ///
    /// # Errors
    /// As there.
    pub async fn skip_session(&self, collection: &str, id: &str, patch: &str) -> Result<Written> {
        let (collection, id, patch) = (collection.to_owned(), id.to_owned(), patch.to_owned());
        let written = self
            .write(move |write| session::skip(write, &collection, &id, &patch))
            .await?;
        self.wake(Event::Wake(Trigger::SessionCompleted));
        Ok(written)
    }

    /// See [`session::discard`].
    ///
    /// # Errors
    /// As there.
    pub async fn discard_session(&self, collection: &str, id: &str) -> Result<()> {
        let (collection, id) = (collection.to_owned(), id.to_owned());
        self.write(move |write| session::discard(write, &collection, &id)).await
    }

    /// Sessions in progress, as they were left.
    ///
    /// # Errors
    /// As [`Read::active_sessions`](crate::Read::active_sessions).
    pub async fn active_sessions(&self) -> Result<Vec<Session>> {
        self.read(|read| read.active_sessions()).await
    }

    // Key-value storage.

    /// The value of a key.
    ///
    /// # Errors
    /// As [`Read::kv_get`](crate::Read::kv_get).
    pub async fn kv_get(&self, key: &str) -> Result<Option<String>> {
        let key = key.to_owned();
        self.read(move |read| read.kv_get(&key)).await
    }

    /// Sets a key.
    ///
    /// # Errors
    /// As [`kv::set`].
    pub async fn kv_set(&self, key: &str, value: &str) -> Result<()> {
        let (key, value) = (key.to_owned(), value.to_owned());
        self.write(move |write| kv::set(write, &key, &value)).await
    }

    /// Removes a key.
    ///
    /// # Errors
    /// As [`kv::remove`].
    pub async fn kv_remove(&self, key: &str) -> Result<()> {
        let key = key.to_owned();
        self.write(move |write| kv::remove(write, &key)).await
    }

    /// Merges a JSON object into a key's.
    ///
    /// # Errors
    /// As [`kv::merge`].
    pub async fn kv_merge(&self, key: &str, value: &str) -> Result<()> {
        let (key, value) = (key.to_owned(), value.to_owned());
        self.write(move |write| kv::merge(write, &key, &value)).await
    }

    /// The values of keys, in the order asked.
    ///
    /// # Errors
    /// As [`Read::kv_multi_get`](crate::Read::kv_multi_get).
    pub async fn kv_multi_get(&self, keys: Vec<String>) -> Result<Vec<(String, Option<String>)>> {
        self.read(move |read| read.kv_multi_get(&keys)).await
    }

    /// Sets several keys as one.
    ///
    /// # Errors
    /// As [`kv::multi_set`].
    pub async fn kv_multi_set(&self, pairs: Vec<(String, String)>) -> Result<()> {
        self.write(move |write| kv::multi_set(write, &pairs)).await
    }

    /// Removes several keys as one.
    ///
    /// # Errors
    /// As [`kv::multi_remove`].
    pub async fn kv_multi_remove(&self, keys: Vec<String>) -> Result<()> {
        self.write(move |write| kv::multi_remove(write, &keys)).await
    }

    /// All keys.
    ///
    /// # Errors
    /// As [`Read::kv_keys`](crate::Read::kv_keys).
    pub async fn kv_keys(&self) -> Result<Vec<String>> {
        self.read(|read| read.kv_keys()).await
    }

    /// Removes every key.
    ///
    /// # Errors
    /// As [`kv::clear`].
    pub async fn kv_clear(&self) -> Result<()> {
        self.write(kv::clear).await
    }

    // The queue.

    /// Unsent writes, oldest first, from after `after_seq` on, without bodies.
    ///
    /// # Errors
    /// As [`Read::entries`](crate::Read::entries).
    pub async fn entries(&self, after_seq: i64, limit: usize) -> Result<Vec<Entry>> {
        let mut entries = self.read(move |read| read.entries(after_seq, limit)).await?;
        let status = self.drain_status();
        for entry in &mut entries {
            entry.why = entry.why.clone().under(status);
        }
        Ok(entries)
    }

    /// One unsent write, with its body and what it must follow.
    ///
    /// # Errors
    /// As [`Read::entry`](crate::Read::entry).
    pub async fn entry(&self, op: Uuid) -> Result<Entry> {
        let mut entry = self.read(move |read| read.entry(op)).await?;
        entry.why = entry.why.under(self.drain_status());
        Ok(entry)
    }

    /// How many entries stand where.
    ///
    /// # Errors
    /// As [`Read::queue_counts`](crate::Read::queue_counts).
    pub async fn queue_counts(&self) -> Result<QueueCounts> {
        self.read(|read| read.queue_counts()).await
    }

    /// See [`queue::edit`].
    ///
    /// # Errors
    /// As there.
    pub async fn edit_entry(&self, op: Uuid, body: &str) -> Result<Uuid> {
        let body = body.to_owned();
        self.write(move |write| queue::edit(write, op, &body)).await
    }

    /// See [`queue::retry`].
    ///
    /// # Errors
    /// As there.
    pub async fn retry_entry(&self, op: Uuid) -> Result<()> {
        self.write(move |write| queue::retry(write, op)).await
    }

    /// See [`queue::retry_all`].
    ///
    /// # Errors
    /// As there.
    pub async fn retry_all(&self) -> Result<u64> {
        self.write(queue::retry_all).await
    }

    /// See [`queue::discard`].
    ///
    /// # Errors
    /// As there.
    pub async fn discard_entry(&self, op: Uuid, cascade: bool) -> Result<u64> {
        self.write(move |write| queue::discard(write, op, cascade)).await
    }

    /// What has become of a write ([`Written::op`]), once it is no longer pending: accepted, refused, in
    /// conflict, superseded, thrown away. Waits for that, for as long as it takes and however often the app
    /// is started in between; the answer of a refused one is there at once, before the user has settled it.
    /// Dropping the future loses nothing. [`Read::outcome`](crate::Read::outcome) looks without waiting.
    ///
    /// # Errors
    /// [`Error::Closed`] once the store is closed.
    pub async fn outcome(&self, op: Uuid) -> Result<WriteOutcome> {
        let mut told = self.inner.hub.outcome(op);
        loop {
            told.mark_seen();
            let outcome = self.read(move |read| read.outcome(op)).await?;
            if outcome.is_settled() {
                return Ok(outcome);
            }
            told.changed().await?;
        }
    }

    /// See [`queue::rollback`]. Where the entry may have been sent, waits for its answer; gives the outcome:
    /// [`WriteOutcome::RolledBack`], or what came instead ([`WriteOutcome::Accepted`]: there is nothing to
    /// roll back). Then the record is pulled again.
    ///
    /// # Errors
    /// As there.
    pub async fn rollback(&self, op: Uuid, cascade: bool) -> Result<WriteOutcome> {
        let outcome = match self.write(move |write| queue::rollback(write, op, cascade)).await {
            Ok(Rollback::Done(_)) => WriteOutcome::RolledBack,
            Ok(Rollback::WhenAnswered) => self.outcome(op).await?,
            Err(error @ Error::NotFound { .. }) => match self.read(move |read| read.outcome(op)).await? {
                WriteOutcome::Unknown => return Err(error),
                outcome => outcome,
            },
            Err(error) => return Err(error),
        };
        if outcome == WriteOutcome::RolledBack {
            self.wake(Event::Wake(Trigger::RolledBack));
        }
        Ok(outcome)
    }

    /// See [`queue::export`].
    ///
    /// # Errors
    /// As there.
    pub async fn export_queue(&self) -> Result<String> {
        self.read(queue::export).await
    }

    // Conflicts.

    /// Conflicts the user has to settle.
    ///
    /// # Errors
    /// As [`Read::conflicts`](crate::Read::conflicts).
    pub async fn conflicts(&self) -> Result<Vec<Conflict>> {
        self.read(|read| read.conflicts()).await
    }

    /// See [`conflict::resolve`].
    ///
    /// # Errors
    /// As there.
    pub async fn resolve(&self, collection: &str, id: &str, shown: &str, resolution: Resolution) -> Result<()> {
        let (collection, id, shown) = (collection.to_owned(), id.to_owned(), shown.to_owned());
        self.write(move |write| conflict::resolve(write, &collection, &id, &shown, &resolution))
            .await
    }

    /// Groups of records that look like one and were made on different devices.
    ///
    /// # Errors
    /// As [`Read::twins`](crate::Read::twins).
    pub async fn twins(&self, collection: &str) -> Result<Vec<Twins>> {
        let collection = collection.to_owned();
        self.read(move |read| read.twins(&collection)).await
    }

    /// See [`record::merge_into`].
    ///
    /// # Errors
    /// As there.
    pub async fn merge_into(&self, collection: &str, keep: &str, drop: &str) -> Result<u64> {
        let (collection, keep, drop) = (collection.to_owned(), keep.to_owned(), drop.to_owned());
        self.write(move |write| record::merge_into(write, &collection, &keep, &drop))
            .await
    }

    /// Who changed a record last, if another device did.
    ///
    /// # Errors
    /// As [`Read::last_change_elsewhere`](crate::Read::last_change_elsewhere).
    pub async fn last_change_elsewhere(&self, collection: &str, id: &str) -> Result<Option<Elsewhere>> {
        let (collection, id) = (collection.to_owned(), id.to_owned());
        self.read(move |read| read.last_change_elsewhere(&collection, &id))
            .await
    }

    // Notices.

    /// What the user should be told, oldest first.
    ///
    /// # Errors
    /// As [`Read::notices`](crate::Read::notices).
    pub async fn notices(&self) -> Result<Vec<Notice>> {
        self.read(|read| read.notices()).await
    }

    /// See [`notice::dismiss`].
    ///
    /// # Errors
    /// As there.
    pub async fn dismiss_notice(&self, n: i64) -> Result<()> {
        self.write(move |write| notice::dismiss(write, n)).await
    }
}
