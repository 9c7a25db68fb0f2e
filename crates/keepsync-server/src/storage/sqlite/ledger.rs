//! The same tables without threads, sockets or a runtime: each call is done when it returns.
//!
//! What a call does is what [`SqliteStorage`](super)'s writer and readers do, in the same transactions and by the
//! same statements; there one call of many devices shares a commit, here each has its own. Chance is passed in,
//! so that one seed is one run.

use super::{
    epoch::{self, Epoch},
    open, pull, purge, push, refresh,
    transact::transact,
};
use crate::{
    config::Retention,
    storage::{Pull, Purged, Push, StorageError, TokenHash, Trade},
};
use keepsync_wire::{PullResponse, SyncResponse};
use rusqlite::{Connection, MAIN_DB};
use std::path::Path;
use uuid::Uuid;

/// A server's tables.
pub struct Ledger {
    conn: Connection,
    epoch: Epoch,
}

/// A copy of a ledger, marked as a backup: who opens it begins a new epoch.
#[derive(Debug, Clone)]
pub struct Backup(Vec<u8>);

impl Ledger {
    /// Opens the file, made if absent. `fresh` names the epoch, if it begins one.
    ///
    /// # Errors
    ///
    /// As of [`SqliteStorage::open`](super).
    pub fn open(path: &Path, fresh: Uuid) -> Result<Self, StorageError> {
        Self::with(open::open(path)?, fresh)
    }

    /// Empty tables in memory, in the epoch `fresh`.
    ///
    /// # Errors
    ///
    /// There is no memory.
    pub fn open_in_memory(fresh: Uuid) -> Result<Self, StorageError> {
        Self::with(open::in_memory(None)?, fresh)
    }

    /// The tables of a backup, in memory, in a new epoch named `fresh`.
    ///
    /// # Errors
    ///
    /// There is no memory.
    pub fn restore(backup: &Backup, fresh: Uuid) -> Result<Self, StorageError> {
        Self::with(open::in_memory(Some(&backup.0))?, fresh)
    }

    fn with(mut conn: Connection, fresh: Uuid) -> Result<Self, StorageError> {
        let epoch = epoch::begin(&mut conn, || Ok(fresh))?;
        Ok(Self { conn, epoch })
    }

    /// The name of this life of the data.
    pub fn epoch(&self) -> &str {
        &self.epoch.name
    }

    /// A backup made at `now_ms`.
    ///
    /// # Errors
    ///
    /// There is no memory.
    pub fn backup(&mut self, now_ms: i64) -> Result<Backup, StorageError> {
        let content = self.conn.serialize(MAIN_DB)?;
        let mut copy = open::in_memory(Some(&content))?;
        epoch::mark(&copy, now_ms)?;
        Ok(Backup(copy.serialize(MAIN_DB)?.to_vec()))
    }

    /// Applies a push.
    ///
    /// # Errors
    ///
    /// The tables cannot be read or written; nothing was applied.
    pub fn push(&self, user: &str, push: &Push, now_ms: i64) -> Result<SyncResponse, StorageError> {
        self.write(|conn| push::push(conn, &self.epoch, user, push, now_ms))
    }

    /// Reads a page.
    ///
    /// # Errors
    ///
    /// The tables cannot be read.
    pub fn pull(&self, user: &str, pull: &Pull, now_ms: i64) -> Result<PullResponse, StorageError> {
        let transaction = self.conn.unchecked_transaction()?;
        let page = pull::pull(&transaction, &self.epoch, user, pull, now_ms)?;
        transaction.commit()?;
        Ok(page)
    }

    /// Begins a family of refresh tokens with this one.
    ///
    /// # Errors
    ///
    /// The tables cannot be written.
    pub fn begin_family(&self, user: &str, token: &TokenHash, now_ms: i64) -> Result<(), StorageError> {
        self.write(|conn| refresh::begin(conn, user, token, now_ms))
    }

    /// Trades a refresh token for `next`, see [`crate::token::rotate`].
    ///
    /// # Errors
    ///
    /// The tables cannot be written; nothing was traded.
    pub fn trade(&self, token: &TokenHash, next: &TokenHash, now_ms: i64) -> Result<Trade, StorageError> {
        self.write(|conn| refresh::trade(conn, token, next, now_ms))
    }

    /// Forgets what is older than `retention`.
    ///
    /// # Errors
    ///
    /// The tables cannot be written; some of it may be forgotten.
    pub fn purge(&self, retention: &Retention, now_ms: i64) -> Result<Purged, StorageError> {
        let before = purge::Before::of(retention, now_ms);
        let (mut all, mut place) = (Purged::default(), purge::Place::start());
        loop {
            let step = self.write(|conn| purge::step(conn, before, place))?;
            all.add(step.purged);
            if step.done {
                return Ok(all);
            }
            place = step.place;
        }
    }

    /// The tables, for a look at them by SQL of one's own; see `0001.sql`.
    pub fn tables(&self) -> &Connection {
        &self.conn
    }

    fn write<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StorageError>) -> Result<T, StorageError> {
        let mut answer = Err(StorageError::Closed);
        let committed = transact(&self.conn, &mut [Some(work)], |work, conn| {
            if let Some(work) = work.take() {
                answer = work(conn);
            }
            answer.as_ref().map(|_| ()).map_err(Clone::clone)
        });
        committed.and(answer)
    }
}
