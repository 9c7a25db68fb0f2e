//! What every connection is set to before its first use, and what SQLite's errors mean at opening.

use crate::{
    error::{Error, Result},
    settings::Settings,
};
use rusqlite::{Connection, config::DbConfig};
use std::{
    io::{ErrorKind, Read as _},
    path::Path,
    time::Duration,
};

/// How long a write waits for another process that holds the file.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// A file is untrusted input (<https://sqlite.org/security.html>): schemas may not call functions
/// with side effects, SQL may not corrupt the file, extensions are never loaded (SQLite's default,
/// never switched on here; a test holds it), quoted words are never strings.
pub(super) fn harden(conn: &Connection) -> Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    conn.busy_timeout(BUSY)?;
    conn.set_prepared_statement_cache_capacity(128);
    // Otherwise SQLite looks at values while it plans, and parses such a statement again whenever another
    // value is bound: in a drain that was most of its CPU (2026-11-20, SQLite 3.53).
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.execute_batch("PRAGMA cell_size_check=ON; PRAGMA temp_store=MEMORY; PRAGMA recursive_triggers=OFF;")?;
    Ok(())
}

/// Whether the log is moved into the file when the last connection closes.
pub(super) fn checkpoint_on_close(conn: &Connection, checkpoint: bool) -> Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !checkpoint)?;
    Ok(())
}

/// A page in the write-ahead log, with its header.
const FRAME_BYTES: u64 = 4_096 + 24;

/// WAL, and commits that are on the disk when they return. Apple's `fsync` leaves data in the
/// drive's cache; `F_FULLFSYNC` does not.
pub(super) fn write_ahead(conn: &Connection, settings: &Settings) -> Result<()> {
    let mode: String = conn.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(Error::Internal(format!("journal mode is {mode}, not wal")));
    }
    conn.execute_batch("PRAGMA synchronous=FULL")?;
    if cfg!(target_vendor = "apple") {
        conn.execute_batch("PRAGMA fullfsync=ON; PRAGMA checkpoint_fullfsync=ON")?;
    }
    // SQLite's own checkpoints come shortly before the bound, not at half of it: the longer the log,
    // the more writes to one page of an index are moved into the file as one.
    let frames = settings.wal_bytes / 8 * 7 / FRAME_BYTES;
    conn.execute_batch(&format!(
        "PRAGMA journal_size_limit={}; PRAGMA wal_autocheckpoint={}",
        settings.wal_bytes,
        frames.max(1)
    ))?;
    Ok(())
}

/// Makes an empty file that only its owner can read, if there is none, and its folder.
pub(super) fn create_private(path: &Path) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(folder).map_err(|error| io_error(&error))?;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    match options.open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        // A folder that can be looked into is there, and closed to writing only.
        Err(error) if error.kind() == ErrorKind::PermissionDenied && folder.read_dir().is_ok() => {
            Err(Error::ReadOnlyFile)
        }
        Err(error) => Err(io_error(&error)),
        Ok(_) => Ok(()),
    }
}

/// What a file system's error means to a caller.
pub(super) fn io_error(error: &std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Error::StorageFull,
        ErrorKind::ReadOnlyFilesystem => Error::ReadOnlyFile,
        ErrorKind::PermissionDenied
        | ErrorKind::NotFound
        | ErrorKind::AlreadyExists
        | ErrorKind::NotADirectory
        | ErrorKind::IsADirectory => Error::Unavailable,
        kind => Error::Internal(format!("file system: {kind}")),
    }
}

/// SQLite says "cannot open" or "I/O error" both for a file it may not write and for one it may
/// not even read; the file system knows which.
pub(super) fn explain(error: Error, path: &Path) -> Error {
    match error {
        Error::Damaged { .. } => Error::Damaged { path: path.to_owned() },
        Error::ReadOnlyFile if says_read_only(path) => Error::Damaged { path: path.to_owned() },
        Error::Unavailable | Error::ReadOnlyFile | Error::Internal(_)
            if path.is_dir() || std::fs::File::open(path).is_err() =>
        {
            Error::Unavailable
        }
        Error::Unavailable | Error::Internal(_) if std::fs::OpenOptions::new().append(true).open(path).is_err() => {
            Error::ReadOnlyFile
        }
        other => other,
    }
}

/// Whether the file itself says that this SQLite may not write it: its header names a later format for
/// writers, which none has ever had.
fn says_read_only(path: &Path) -> bool {
    let mut header = [0; 19];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut header));
    read.is_ok() && header[18] > 2
}
