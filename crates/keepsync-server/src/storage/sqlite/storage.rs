//! The storage a server runs on: the writer's thread, and connections that read.

use super::{
    epoch::{self, Epoch},
    open::open,
    pull, purge, push,
    readers::Readers,
    refresh,
    writer::Writer,
};
use crate::{
    config::Retention,
    storage::{Pull, Purged, Push, Storage, StorageError, StorageFuture, TokenHash, Trade},
};
use keepsync_wire::{PullResponse, SyncResponse};
use std::{path::Path, sync::Arc};

/// A storage in one SQLite file.
pub struct SqliteStorage {
    writer: Writer,
    readers: Readers,
    epoch: Arc<Epoch>,
}

impl SqliteStorage {
    /// Opens the file, made if absent, and brings its tables up to this version. A file that was made
    /// by a backup begins a new epoch.
    ///
    /// # Errors
    ///
    /// [`StorageError::Newer`], [`StorageError::NotData`], or that the file cannot be opened.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        let mut conn = open(path)?;
        let epoch = Arc::new(epoch::begin(&mut conn, epoch::fresh)?);
        Ok(Self {
            readers: Readers::new(path.to_owned()),
            writer: Writer::start(conn)?,
            epoch,
        })
    }

    /// The name of this life of the data.
    pub fn epoch(&self) -> &str {
        &self.epoch.name
    }
}

impl Storage for SqliteStorage {
    fn push<'a>(&'a self, user: &'a str, push: Push, now_ms: i64) -> StorageFuture<'a, SyncResponse> {
        let epoch = Arc::clone(&self.epoch);
        let user = user.to_owned();
        self.writer
            .call(move |conn| push::push(conn, &epoch, &user, &push, now_ms))
    }

    fn pull<'a>(&'a self, user: &'a str, pull: Pull, now_ms: i64) -> StorageFuture<'a, PullResponse> {
        let epoch = Arc::clone(&self.epoch);
        let user = user.to_owned();
        self.readers
            .read(move |conn| pull::pull(conn, &epoch, &user, &pull, now_ms))
    }

    fn begin_family<'a>(&'a self, user: &'a str, token: TokenHash, now_ms: i64) -> StorageFuture<'a, ()> {
        let user = user.to_owned();
        self.writer
            .call(move |conn| refresh::begin(conn, &user, &token, now_ms))
    }

    fn trade(&self, token: TokenHash, next: TokenHash, now_ms: i64) -> StorageFuture<'_, Trade> {
        self.writer
            .call(move |conn| refresh::trade(conn, &token, &next, now_ms))
    }

    fn ready(&self, now_ms: i64) -> StorageFuture<'_, ()> {
        self.writer.call(move |conn| {
            let sql =
                "INSERT INTO meta (key, value) VALUES ('ready', ?1) ON CONFLICT DO UPDATE SET value = excluded.value";
            conn.prepare_cached(sql)?.execute([now_ms.to_string()])?;
            Ok(())
        })
    }

    fn purge<'a>(&'a self, retention: &'a Retention, now_ms: i64) -> StorageFuture<'a, Purged> {
        Box::pin(async move {
            let before = purge::Before::of(retention, now_ms);
            let mut all = Purged::default();
            let mut place = purge::Place::start();
            loop {
                let step = self.writer.call(move |conn| purge::step(conn, before, place)).await?;
                all.add(step.purged);
                if step.done {
                    return Ok(all);
                }
                place = step.place;
            }
        })
    }

    fn close(&self) -> StorageFuture<'_, ()> {
        Box::pin(async move {
            self.readers.close();
            self.writer.close().await
        })
    }
}
