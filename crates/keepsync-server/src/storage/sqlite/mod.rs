//! One SQLite file.
//!
//! Writes go to one thread. It takes what waits, up to a bound, into one transaction, each request in
//! a savepoint of its own; the answers go out after the commit. So a request that fails takes nothing
//! of the others with it, many requests cost one sync of the disk, and what was answered is on it.
//! Reads have a few connections of their own and see whole commits only.
//!
//! Stopped before the commit: no request of the transaction happened, and none was answered. Stopped
//! after it, before the answers: all happened; the devices send again under the same operation ids and
//! get the answers that were remembered.

mod cursor;
mod epoch;
mod open;
mod pull;
mod purge;
mod push;
mod readers;
mod refresh;
mod rows;
mod writer;

use super::{Pull, Purged, Push, Storage, StorageError, StorageFuture, TokenHash, Trade};
use crate::config::Retention;
use keepsync_wire::{PullResponse, SyncResponse};
use readers::Readers;
use rusqlite::ErrorCode;
use std::{path::Path, sync::Arc};
use writer::Writer;

pub(crate) use epoch::{Epoch, mark};
pub(crate) use open::{check, open};

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
        let epoch = Arc::new(epoch::begin(&mut conn)?);
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
            .call(move |conn| push::push(conn, &epoch.name, &user, &push, now_ms))
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
            let before =
                |age: std::time::Duration| now_ms.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
            let before = purge::Before {
                tombstones: before(retention.tombstones),
                answers: before(retention.answers),
                tokens: now_ms,
            };
            let mut all = Purged::default();
            let mut place = purge::Place::start();
            loop {
                let step = self.writer.call(move |conn| purge::step(conn, before, place)).await?;
                all.tombstones += step.purged.tombstones;
                all.answers += step.purged.answers;
                all.tokens += step.purged.tokens;
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

/// What SQLite's errors mean to a caller. Its texts are left out: they may quote what was stored.
impl From<rusqlite::Error> for StorageError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error() {
            Some(failure) => match failure.code {
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy,
                ErrorCode::DiskFull | ErrorCode::SystemIoFailure | ErrorCode::ReadOnly | ErrorCode::CannotOpen => {
                    Self::Unwritable
                }
                ErrorCode::NotADatabase => Self::NotData,
                _ => Self::Failed(format!("sqlite {}", failure.extended_code)),
            },
            None => Self::Failed(
                match error {
                    rusqlite::Error::QueryReturnedNoRows => "a row is missing",
                    rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::FromSqlConversionFailure(..) => {
                        "a column has another type"
                    }
                    _ => "a statement was misused",
                }
                .to_owned(),
            ),
        }
    }
}

/// Adds the first token of a family, beside a running server or without one.
pub(crate) fn add_family(path: &Path, user: &str, token: &TokenHash, now_ms: i64) -> Result<(), StorageError> {
    let mut conn = open(path)?;
    let transaction = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    refresh::begin(&transaction, user, token, now_ms)?;
    transaction.commit()?;
    Ok(())
}
