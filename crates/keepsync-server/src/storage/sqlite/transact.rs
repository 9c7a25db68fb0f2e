//! A transaction for what waits, each call in a savepoint of its own.

use crate::storage::StorageError;
use rusqlite::Connection;

/// One transaction for all of them. An error of one takes back that one; an error of the transaction
/// takes back all.
pub(super) fn transact<C>(
    conn: &Connection,
    calls: &mut [C],
    work: impl FnMut(&mut C, &Connection) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let done = each(conn, calls, work).and_then(|()| Ok(conn.execute_batch("COMMIT")?));
    if done.is_err() && !conn.is_autocommit() {
        conn.execute_batch("ROLLBACK")?;
    }
    done
}

fn each<C>(
    conn: &Connection,
    calls: &mut [C],
    mut work: impl FnMut(&mut C, &Connection) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    for call in calls {
        conn.execute_batch("SAVEPOINT one")?;
        if let Err(error) = work(call, conn) {
            // SQLite itself takes the whole transaction back where the disk is full or broken.
            if conn.is_autocommit() {
                return Err(error);
            }
            conn.execute_batch("ROLLBACK TO one")?;
        }
        conn.execute_batch("RELEASE one")?;
    }
    Ok(())
}
