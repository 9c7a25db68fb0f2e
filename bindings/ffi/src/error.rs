//! What a call can say instead of its answer.

use crate::mirror::{Out, names};

names! {
    /// When the same call may be tried again.
    RetryClass from keepsync::RetryClass {
        /// Never as it is: the caller has to change something.
        Never,
        /// By itself, a little later.
        Later,
        /// After the user or the system has made room, unlocked the device, or signed in.
        AfterUser,
    }
}

/// Why a call failed. A write that failed has changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum KeepsyncError {
    /// What it is, when to try again, and more for a person.
    #[error("{code}: {detail}")]
    Failed {
        /// Stable: `unknown_collection`, `bad_collection`, `pulled_only`, `no_deletes`, `invalid`, `not_found`,
        /// `session_state`, `maybe_sent`, `conflict_changed`, `storage_full`, `read_only_file`, `locked`,
        /// `unavailable`, `newer_file`, `foreign_file`, `other_account`, `wrong_key`, `damaged`, `would_lose`,
        /// `closed`, `internal`.
        code: String,
        /// When the same call may be tried again.
        retry: RetryClass,
        /// Names fields, limits and ids, never what is in a record.
        detail: String,
    },
}

pub(crate) type Result<T> = std::result::Result<T, KeepsyncError>;

impl From<keepsync::Error> for KeepsyncError {
    fn from(error: keepsync::Error) -> Self {
        Self::Failed {
            code: error.code().to_owned(),
            retry: error.retry_class().out(),
            detail: error.to_string(),
        }
    }
}

impl KeepsyncError {
    pub(crate) fn invalid(field: &str, problem: impl Into<String>) -> Self {
        keepsync::Error::Invalid {
            field: field.to_owned(),
            problem: problem.into(),
        }
        .into()
    }

    pub(crate) fn closed() -> Self {
        keepsync::Error::Closed.into()
    }
}

/// A limit or a count as the core has it.
pub(crate) fn unsigned<T: TryFrom<i64>>(field: &str, number: i64) -> Result<T> {
    T::try_from(number).map_err(|_| KeepsyncError::invalid(field, "out of range"))
}

/// An operation id.
pub(crate) fn operation(op: &str) -> Result<uuid::Uuid> {
    op.parse()
        .map_err(|_| KeepsyncError::invalid("op", "not an operation id"))
}
