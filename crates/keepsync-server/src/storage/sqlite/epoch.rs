//! Which life of the data this is.
//!
//! A backup carries a mark. Who opens a file with the mark begins a new epoch, in one transaction: its
//! parent is the epoch of the backup, its branch is each account's head, the mark is gone. Stopped
//! before the commit: the mark is still there. So a file that is copied into place by hand does as well
//! as one that was restored by command. A snapshot of the file system has no mark and cannot be told
//! from the original: after going back to one, run a backup and a restore of it.

use crate::{
    planted::{self, Bug},
    storage::StorageError,
};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use uuid::Uuid;

/// The epoch, and the one it branched off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Epoch {
    pub(crate) name: String,
    pub(crate) parent: Option<String>,
}

/// A name that no epoch has had.
pub(super) fn fresh() -> Result<Uuid, StorageError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| StorageError::Failed("no random numbers".to_owned()))?;
    Ok(Uuid::from_bytes(bytes))
}

/// The epoch of an opened file; a new one where there is none, or the file is a backup.
pub(super) fn begin(
    conn: &mut Connection,
    fresh: impl FnOnce() -> Result<Uuid, StorageError>,
) -> Result<Epoch, StorageError> {
    let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let known = get(&transaction, "epoch")?;
    let marked = get(&transaction, "backup")?.is_some();
    let epoch = match known {
        Some(name) if !marked => Epoch {
            name,
            parent: get(&transaction, "parent")?,
        },
        parent => {
            let name = fresh()?.simple().to_string();
            set(&transaction, "epoch", &name)?;
            if let Some(parent) = &parent {
                set(&transaction, "parent", parent)?;
            }
            transaction.execute("UPDATE account SET branch = head", [])?;
            transaction.execute("DELETE FROM meta WHERE key = 'backup'", [])?;
            Epoch { name, parent }
        }
    };
    transaction.commit()?;
    Ok(epoch)
}

/// Marks a file as a backup made at `now_ms`; gives its epoch.
pub(crate) fn mark(conn: &Connection, now_ms: i64) -> Result<String, StorageError> {
    if !planted::is(Bug::NoEpoch) {
        set(conn, "backup", &now_ms.to_string())?;
    }
    get(conn, "epoch")?.ok_or(StorageError::NotData)
}

fn get(conn: &Connection, key: &str) -> Result<Option<String>, StorageError> {
    let value = conn.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0));
    Ok(value.optional()?)
}

fn set(conn: &Connection, key: &str, value: &str) -> Result<(), StorageError> {
    let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value";
    conn.execute(sql, [key, value])?;
    Ok(())
}
