//! Opening the file, and bringing its tables up to this version.

use crate::{folder, storage::StorageError};
use rusqlite::{Connection, OpenFlags, TransactionBehavior, config::DbConfig};
use std::{path::Path, time::Duration};

/// Marks a file as a Keepsync server's, in SQLite's header ("KSsv").
const APPLICATION_ID: i64 = 0x4b53_7376;

/// Each brings the tables one version further; the file's `user_version` counts them.
const MIGRATIONS: [&str; 1] = [include_str!("0001.sql")];

/// Opens the file, made if absent, for writing.
pub(crate) fn open(path: &Path) -> Result<Connection, StorageError> {
    // SQLite gives its log the rights of the file.
    folder::private()
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|_| StorageError::Unwritable)?;
    let mut conn = Connection::open_with_flags(path, OpenFlags::default() | OpenFlags::SQLITE_OPEN_NOFOLLOW)?;
    harden(&conn)?;
    let version = check(&conn)?;
    let mode: String = conn.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(StorageError::Failed("the journal mode is not wal".to_owned()));
    }
    conn.execute_batch("PRAGMA synchronous=FULL; PRAGMA journal_size_limit=67108864;")?;
    if cfg!(target_vendor = "apple") {
        conn.execute_batch("PRAGMA fullfsync=ON; PRAGMA checkpoint_fullfsync=ON")?;
    }
    if version < known() {
        migrate(&mut conn)?;
    }
    Ok(conn)
}

/// Tables in memory: what a file holds, or empty ones.
pub(super) fn in_memory(content: Option<&[u8]>) -> Result<Connection, StorageError> {
    let mut conn = Connection::open_in_memory()?;
    if let Some(content) = content {
        conn.deserialize_read_exact(rusqlite::MAIN_DB, content, content.len(), false)?;
    }
    harden(&conn)?;
    if check(&conn)? < known() {
        migrate(&mut conn)?;
    }
    Ok(conn)
}

/// Opens a file that is there, for reading.
#[cfg(feature = "http")]
pub(super) fn reader(path: &Path) -> Result<Connection, StorageError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    harden(&conn)?;
    Ok(conn)
}

fn known() -> i64 {
    MIGRATIONS.len() as i64
}

/// A file is untrusted input (<https://sqlite.org/security.html>).
fn harden(conn: &Connection) -> Result<(), StorageError> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.set_prepared_statement_cache_capacity(64);
    // Otherwise SQLite looks at values while it plans, and parses such a statement again whenever another
    // value is bound: at every pull.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.execute_batch("PRAGMA cell_size_check=ON; PRAGMA temp_store=MEMORY; PRAGMA foreign_keys=ON;")?;
    Ok(())
}

/// The version of the file's tables; 0 for an empty file.
pub(crate) fn check(conn: &Connection) -> Result<i64, StorageError> {
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0));
    let version = number("PRAGMA user_version")?;
    let ours = number("PRAGMA application_id")? == APPLICATION_ID;
    if !ours && (version != 0 || number("SELECT count(*) FROM sqlite_schema")? > 0) {
        return Err(StorageError::NotData);
    }
    if version > known() {
        return Err(StorageError::Newer {
            found: version,
            known: known(),
        });
    }
    Ok(version)
}

/// One transaction: stopped anywhere, the file is as it was. Of two processes that come at once the
/// second finds nothing left to do.
fn migrate(conn: &mut Connection) -> Result<(), StorageError> {
    let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version = check(&transaction)?;
    let done = usize::try_from(version).unwrap_or(0);
    for migration in MIGRATIONS.iter().skip(done) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", known())?;
    transaction.commit()?;
    Ok(())
}
