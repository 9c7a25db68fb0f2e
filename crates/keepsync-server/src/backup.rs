//! Backup and restore of the data.
//!
//! A backup is one file, a copy of one state of the database: what was answered before it began is in
//! it. It is made under another name, marked as a backup, synced, and then given its name, so a file of
//! that name is always whole. The signing key is not in it: whoever has it can be anybody, and a backup
//! travels. Keep it apart.
//!
//! A restore makes a copy of the backup beside the database, gives the old database a second name, moves
//! its log aside if there is one left, and puts the copy in its place. The mark makes the next server begin
//! a new epoch; by that devices know, and send again what the server lost. Stopped anywhere before the last
//! step: the old database is in its place, with what its log held in it or beside its second name. There is
//! no moment without a database: a server would begin with an empty one.
//!
//! Copying a backup into place by hand, with no server running and without the old `server.db-wal` and
//! `server.db-shm`, does the same. A snapshot of the file system carries no mark and cannot be told from the
//! data itself: after going back to one, make a backup and restore it.

use crate::{
    ServerError, clock,
    folder::{self, Folder},
    storage::{StorageError, sqlite},
};
use rusqlite::{Connection, OpenFlags};
use std::{
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupReport {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// The epoch of the data.
    pub epoch: String,
    /// Accounts in it.
    pub accounts: i64,
    /// Records in it, tombstones too.
    pub records: i64,
}

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreReport {
    /// Where the database is that was in its place, if there was one.
    pub kept: Option<PathBuf>,
    /// The epoch of the backup; the next server begins one that branches off it.
    pub epoch: String,
    /// Accounts in it.
    pub accounts: i64,
    /// Records in it, tombstones too.
    pub records: i64,
}

/// Copies the data to a file, also while a server runs. What was answered before it began is in it. The
/// signing key is not.
///
/// # Errors
///
/// There is no data, the file exists already, or it cannot be written.
pub fn backup(data: &Path, to: &Path) -> Result<BackupReport, ServerError> {
    let database = data.join("server.db");
    if to.exists() {
        return Err(ServerError::Exists(to.to_owned()));
    }
    let part = beside(to, &format!(".part-{}", std::process::id()));
    let made = copy(&database, &part).and_then(|report| {
        // A link, unlike a rename, does not take the place of a file that came meanwhile.
        fs::hard_link(&part, to).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => ServerError::Exists(to.to_owned()),
            _ => ServerError::io(format!("make {}", to.display()))(error),
        })?;
        Ok(BackupReport {
            path: to.to_owned(),
            ..report
        })
    });
    let removed = remove(&part);
    let report = made?;
    removed?;
    folder::sync_folder(parent(to))?;
    Ok(report)
}

/// Puts a backup in the place of the data, while no server runs; the old data is kept beside it. The next
/// server begins a new epoch, by which devices know that they must send again what it lost. It does so as
/// well where a backup is copied into place by hand. Going back to a snapshot of the file system cannot be
/// noticed: make a backup afterwards and restore it.
///
/// # Errors
///
/// A server runs, the file is not a backup of this program's data, or a file cannot be written.
pub fn restore(data: &Path, from: &Path) -> Result<RestoreReport, ServerError> {
    let folder = Folder::make(data)?;
    let _lock = folder.lock()?;
    let database = folder.database();
    let part = beside(&database, ".restore");
    remove(&part)?;
    // Through SQLite, so that a backup with a log beside it comes over whole.
    let report = match copy(from, &part) {
        Ok(report) => report,
        Err(error) => {
            remove(&part)?;
            return Err(error);
        }
    };
    let kept = if database.exists() {
        Some(put_aside(&folder)?)
    } else {
        None
    };
    fs::rename(&part, &database).map_err(ServerError::io(format!("make {}", database.display())))?;
    folder.sync()?;
    Ok(RestoreReport {
        kept,
        epoch: report.epoch,
        accounts: report.accounts,
        records: report.records,
    })
}

/// A marked and synced copy of a database in one file.
fn copy(from: &Path, to: &Path) -> Result<BackupReport, ServerError> {
    // SQLite's own words for a file that is not there would be of no use.
    drop(File::open(from).map_err(ServerError::io(format!("open {}", from.display())))?);
    let file = folder::private()
        .create_new(true)
        .open(to)
        .map_err(ServerError::io(format!("make {}", to.display())))?;
    drop(file);
    let read = || -> Result<(), StorageError> {
        let conn = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        conn.busy_timeout(std::time::Duration::from_secs(5))?;
        if sqlite::check(&conn)? == 0 {
            return Err(StorageError::NotData);
        }
        conn.execute("VACUUM INTO ?1", [to.to_str().ok_or(StorageError::Unwritable)?])?;
        Ok(())
    };
    read().map_err(|error| match error {
        StorageError::NotData => ServerError::NotData(from.to_owned()),
        other => other.into(),
    })?;
    let conn = Connection::open(to).map_err(StorageError::from)?;
    let count = |sql: &str| {
        conn.query_row(sql, [], |row| row.get::<_, i64>(0))
            .map_err(StorageError::from)
    };
    let (accounts, records) = (
        count("SELECT count(*) FROM account")?,
        count("SELECT count(*) FROM record")?,
    );
    let epoch = sqlite::mark(&conn, clock::now_ms())?;
    conn.close().map_err(|(_, error)| StorageError::from(error))?;
    let file = File::open(to).map_err(ServerError::io(format!("open {}", to.display())))?;
    file.sync_all()
        .map_err(ServerError::io(format!("sync {}", to.display())))?;
    let bytes = file.metadata().map_or(0, |metadata| metadata.len());
    Ok(BackupReport {
        path: to.to_owned(),
        bytes,
        epoch,
        accounts,
        records,
    })
}

/// Gives the database a second name, and moves its log aside: over another database it would damage it.
fn put_aside(folder: &Folder) -> Result<PathBuf, ServerError> {
    let database = folder.database();
    // Whatever is in the log goes into the file, if it can still be read; then there is no log left.
    if let Ok(conn) = Connection::open(&database) {
        let _ = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        let _ = conn.close();
    }
    let kept = beside(&database, &format!(".before-{}", clock::now_ms()));
    fs::hard_link(&database, &kept).map_err(ServerError::io(format!("make {}", kept.display())))?;
    for suffix in ["-wal", "-shm"] {
        let (from, to) = (beside(&database, suffix), beside(&kept, suffix));
        match fs::rename(&from, &to) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            moved => moved.map_err(ServerError::io(format!("move {}", from.display())))?,
        }
    }
    Ok(kept)
}

fn remove(path: &Path) -> Result<(), ServerError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(ServerError::io(format!("remove {}", path.display()))(error))
        }
        _ => Ok(()),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
