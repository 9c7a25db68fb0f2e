//! What a caller can be told. Rich inside, few outside: a variant exists where a caller would act
//! on it. Messages name fields and limits, never the content of a record.

use std::path::PathBuf;

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// When the same call may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryClass {
    /// Never as it is: the caller has to change something.
    Never,
    /// By itself, a little later.
    Later,
    /// After the user or the system has made room, unlocked the device, or signed in.
    AfterUser,
}

/// Why a call failed. A failed write has changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No collection of this name was registered. Not retryable.
    #[error("no collection is registered as {0:?}")]
    UnknownCollection(String),
    /// The registration of a collection contradicts itself. Not retryable.
    #[error("collection {collection:?}: {problem}")]
    BadCollection {
        /// The collection.
        collection: String,
        /// What is wrong.
        problem: String,
    },
    /// The collection only comes from the server. Not retryable.
    #[error("collection {0:?} is pulled only; the app does not write to it")]
    PulledOnly(String),
    /// The app may not delete in this collection. Not retryable.
    #[error("collection {0:?} does not allow deletes")]
    NoDeletes(String),
    /// A body, key, id or query is not acceptable. Not retryable.
    #[error("{field}: {problem}")]
    Invalid {
        /// The field, as a path from the body's root, or the argument's name.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no such record, session, entry or conflict. Not retryable.
    #[error("no {what} {id:?}")]
    NotFound {
        /// `record`, `session`, `entry` or `conflict`.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// The session's state does not allow this. Not retryable.
    #[error("a session that is {state} cannot {event}")]
    SessionState {
        /// Where the session stands.
        state: &'static str,
        /// What was asked.
        event: &'static str,
    },
    /// The entry may be on its way, so its fate must be known before it can be changed. Retryable.
    #[error("the entry may be on its way; wait for its answer")]
    MaybeSent,
    /// The remote version shown when the user decided is no longer the current one. Not retryable:
    /// show the conflict again.
    #[error("the conflict has changed since it was shown")]
    ConflictChanged,
    /// No room on the disk. Retryable after room was made.
    #[error("no room on the disk")]
    StorageFull,
    /// The file or its folder cannot be written. Retryable after the device is unlocked.
    #[error("the file cannot be written")]
    ReadOnlyFile,
    /// Another process holds the file. Retryable.
    #[error("the file is locked by another process")]
    Locked,
    /// The file cannot be read now, as before the first unlock of a phone. Retryable.
    #[error("the file cannot be opened")]
    Unavailable,
    /// The file was written by a newer version of Keepsync; it was left untouched. Not retryable.
    #[error("the file has schema {found}, this version knows {known}")]
    NewerFile {
        /// Schema of the file.
        found: i64,
        /// Newest schema this version knows.
        known: i64,
    },
    /// The file is another program's database; it was left untouched. Not retryable.
    #[error("the file is another program's database")]
    ForeignFile,
    /// The file cannot be read with this key, or not without one, or is not encrypted at all. It was left untouched:
    /// with the right key everything is there. Retryable once the system gives the right key.
    #[error("the file cannot be read with this key")]
    WrongKey,
    /// The file belongs to another account. Not retryable.
    #[error("the file belongs to another account")]
    OtherAccount,
    /// The file is damaged. Closing it and opening it again sets it aside and saves what can be read.
    /// Retryable.
    #[error("the file is damaged")]
    Damaged {
        /// Where it is.
        path: PathBuf,
    },
    /// What would be lost is not what was agreed to lose. Nothing was wiped. Not retryable: ask again.
    #[error("more, or other, would be lost than was agreed to")]
    WouldLose,
    /// The store was closed. Not retryable.
    #[error("the store is closed")]
    Closed,
    /// Something that should not happen. The message is for the bug report. Retryable.
    #[error("internal error: {0}")]
    Internal(String),
}

impl Error {
    pub(crate) fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid {
            field: field.into(),
            problem: problem.into(),
        }
    }

    pub(crate) fn not_found(what: &'static str, id: impl Into<String>) -> Self {
        Self::NotFound { what, id: id.into() }
    }

    /// Stable; does not change when a variant is renamed.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownCollection(_) => "unknown_collection",
            Self::BadCollection { .. } => "bad_collection",
            Self::PulledOnly(_) => "pulled_only",
            Self::NoDeletes(_) => "no_deletes",
            Self::Invalid { .. } => "invalid",
            Self::NotFound { .. } => "not_found",
            Self::SessionState { .. } => "session_state",
            Self::MaybeSent => "maybe_sent",
            Self::ConflictChanged => "conflict_changed",
            Self::StorageFull => "storage_full",
            Self::ReadOnlyFile => "read_only_file",
            Self::Locked => "locked",
            Self::Unavailable => "unavailable",
            Self::NewerFile { .. } => "newer_file",
            Self::ForeignFile => "foreign_file",
            Self::WrongKey => "wrong_key",
            Self::OtherAccount => "other_account",
            Self::Damaged { .. } => "damaged",
            Self::WouldLose => "would_lose",
            Self::Closed => "closed",
            Self::Internal(_) => "internal",
        }
    }

    /// When the same call may be tried again.
    pub fn retry_class(&self) -> RetryClass {
        match self {
            Self::Locked | Self::MaybeSent | Self::Damaged { .. } | Self::Internal(_) => RetryClass::Later,
            Self::StorageFull | Self::ReadOnlyFile | Self::Unavailable | Self::WrongKey => RetryClass::AfterUser,
            _ => RetryClass::Never,
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        let Some(code) = error.sqlite_error_code() else {
            // Their texts could hold values; what they are is enough for a report.
            return match error {
                // Columns have types, and texts are UTF-8 when they are written.
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::Utf8Error(..) => Self::Damaged { path: PathBuf::new() },
                // Our statements fit our tables: these are others now.
                rusqlite::Error::SqlInputError { .. } => Self::Damaged { path: PathBuf::new() },
                rusqlite::Error::QueryReturnedNoRows => Self::Internal("a row that must exist is missing".to_owned()),
                _ => Self::Internal("unexpected answer from SQLite".to_owned()),
            };
        };
        // The index of the log could not grow; SQLite counts this among the I/O errors.
        const SHM_SIZE: i32 = 4874;
        let extended = error.sqlite_error().map_or(0, |e| e.extended_code);
        match code {
            ErrorCode::DiskFull => Self::StorageFull,
            ErrorCode::SystemIoFailure if extended == SHM_SIZE => Self::StorageFull,
            ErrorCode::ReadOnly => Self::ReadOnlyFile,
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Locked,
            ErrorCode::CannotOpen | ErrorCode::PermissionDenied => Self::Unavailable,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Damaged { path: PathBuf::new() },
            // Bodies are checked before they are stored, our statements fit our tables, and the format is ours.
            ErrorCode::Unknown
                if ["malformed JSON", "no such ", "unsupported file format"]
                    .iter()
                    .any(|it| error.to_string().contains(it)) =>
            {
                Self::Damaged { path: PathBuf::new() }
            }
            ErrorCode::TooBig => Self::invalid("body", "larger than SQLite takes"),
            other => Self::Internal(format!("SQLite: {other:?} ({extended})")),
        }
    }
}

impl From<serde_json::Error> for Error {
    /// Of stored JSON, which was checked before it was stored.
    fn from(_: serde_json::Error) -> Self {
        Self::Damaged { path: PathBuf::new() }
    }
}
