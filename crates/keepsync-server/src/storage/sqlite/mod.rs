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
mod ledger;
mod open;
mod pull;
mod purge;
mod push;
#[cfg(feature = "http")]
mod readers;
mod refresh;
mod rows;
#[cfg(feature = "http")]
mod storage;
mod transact;
#[cfg(feature = "http")]
mod writer;

use super::{StorageError, TokenHash};
use rusqlite::ErrorCode;
use std::path::Path;

pub(crate) use epoch::mark;
pub use ledger::{Backup, Ledger};
pub(crate) use open::{check, open};
#[cfg(feature = "http")]
pub use storage::SqliteStorage;

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
