//! Where a server keeps what devices send. [`Storage`] is the port; [`sqlite`] is one file.
//!
//! Every call is for one user, whom a verified token names, and touches nothing of another. The
//! request's own `user_id` is compared before a storage is asked.

use crate::{config::Retention, decide::Refusal};
use keepsync_wire::{PullRequest, PullResponse, SyncRequest, SyncResponse};
use std::{future::Future, pin::Pin};

pub mod sqlite;

/// The future of a storage's call.
pub type StorageFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StorageError>> + Send + 'a>>;

/// A push whose items were looked at.
#[derive(Debug, Clone)]
pub struct Push {
    /// The request.
    pub request: SyncRequest,
    /// For each item, what its shape or its schema has against it.
    pub refusals: Vec<Option<Refusal>>,
    /// Once the versions that conflicts carry go past this many bytes, further conflicts are put off: a
    /// device does not take an answer of any size.
    pub answer_bytes: usize,
}

/// A pull with the bounds of its page.
#[derive(Debug, Clone)]
pub struct Pull {
    /// The request; its `limit` is within the server's.
    pub request: PullRequest,
    /// A page ends with the change that goes past this many bytes of bodies.
    pub page_bytes: usize,
}

/// What a refresh token was traded for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trade {
    /// The next token is stored; these are its user's.
    Traded {
        /// Whose token it was.
        user: String,
    },
    /// Unknown, void, expired, or of a family that was revoked.
    Refused,
    /// It was spent: somebody else has it too. Its family is revoked.
    Reused {
        /// Whose token it was.
        user: String,
    },
}

/// SHA-256 of a refresh token; the token itself is stored nowhere.
pub type TokenHash = [u8; 32];

/// What a purge forgot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// Tombstones.
    pub tombstones: u64,
    /// Remembered answers.
    pub answers: u64,
    /// Refresh tokens.
    pub tokens: u64,
}

impl Purged {
    pub(crate) fn add(&mut self, step: Self) {
        self.tombstones += step.tombstones;
        self.answers += step.answers;
        self.tokens += step.tokens;
    }
}

/// Where a server keeps what devices send.
pub trait Storage: Send + Sync {
    /// Applies a push; when it answers, what it says is on the disk.
    fn push<'a>(&'a self, user: &'a str, push: Push, now_ms: i64) -> StorageFuture<'a, SyncResponse>;
    /// Reads a page.
    fn pull<'a>(&'a self, user: &'a str, pull: Pull, now_ms: i64) -> StorageFuture<'a, PullResponse>;
    /// Begins a family of refresh tokens with this one.
    fn begin_family<'a>(&'a self, user: &'a str, token: TokenHash, now_ms: i64) -> StorageFuture<'a, ()>;
    /// Trades a refresh token for `next`, see [`crate::token::rotate`].
    fn trade(&self, token: TokenHash, next: TokenHash, now_ms: i64) -> StorageFuture<'_, Trade>;
    /// Writes something to the disk, to see whether it can be done.
    fn ready(&self, now_ms: i64) -> StorageFuture<'_, ()>;
    /// Forgets what is older than `retention`, in steps between which others get their turn.
    fn purge<'a>(&'a self, retention: &'a Retention, now_ms: i64) -> StorageFuture<'a, Purged>;
    /// Finishes what was asked for, and closes.
    fn close(&self) -> StorageFuture<'_, ()>;
}

/// Why a storage could not answer. Nothing was applied, except after [`StorageError::Closed`], where
/// it is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// Too much is waiting, or another process holds the file. Retryable.
    #[error("the storage is busy")]
    Busy,
    /// The disk is full or cannot be written. Retryable once that is mended.
    #[error("the disk cannot be written")]
    Unwritable,
    /// It was closed, or its writer ended. Not retryable.
    #[error("the storage is closed")]
    Closed,
    /// The file was made by a later version. Not retryable.
    #[error("the data has version {found}; this program reads up to {known}")]
    Newer {
        /// In the file.
        found: i64,
        /// In this program.
        known: i64,
    },
    /// The file is not a Keepsync server's. Not retryable.
    #[error("the file is not a server's data")]
    NotData,
    /// Anything else; the text holds codes, no contents. Not retryable.
    #[error("the storage failed: {0}")]
    Failed(String),
}

impl StorageError {
    /// Stable, for programs and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Unwritable => "unwritable",
            Self::Closed => "closed",
            Self::Newer { .. } => "newer_data",
            Self::NotData => "not_data",
            Self::Failed(_) => "storage_failed",
        }
    }

    /// Whether the same request may go through later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Busy | Self::Unwritable)
    }
}
