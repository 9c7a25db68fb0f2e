//! Deleting an account's file with all that stands beside it.
//!
//! 1. What an interrupted salvage left goes first: it would take the place of the file.
//! 2. The file is renamed to `<name>.wiped`. From here on the account is gone.
//! 3. Log, index, marks and damaged files that were set aside are deleted, and last what was renamed.
//!
//! Stopped in 1: the account is there as it was. Stopped after 2: [`resume`] goes on.

use super::harden::io_error;
use crate::error::Result;
use std::{
    ffi::OsStr,
    io::ErrorKind,
    path::{Path, PathBuf},
};

const WIPED: &str = ".wiped";
#[cfg(feature = "runtime")]
const EXTENSION: &str = "keepsync";

/// Deletes it for good.
#[cfg(feature = "runtime")]
pub(crate) fn wipe(file: &Path) -> Result<()> {
    for suffix in [".salvage", ".salvage-wal", ".salvage-shm"] {
        remove(&super::beside(file, suffix))?;
    }
    match std::fs::rename(file, super::beside(file, WIPED)) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(io_error(&error)),
        _ => {}
    }
    finish(file)
}

/// Goes on with a wipe that was stopped; before anything is opened in its place.
pub(crate) fn resume(file: &Path) -> Result<()> {
    if super::beside(file, WIPED).exists() {
        finish(file)?;
    }
    Ok(())
}

/// [`resume`] for every account of a folder.
#[cfg(feature = "runtime")]
pub(crate) fn resume_all(folder: &Path) -> Result<()> {
    for path in files(folder)? {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        if let Some(file) = name.strip_suffix(WIPED) {
            finish(&folder.join(file))?;
        }
    }
    Ok(())
}

fn finish(file: &Path) -> Result<()> {
    for suffix in ["-wal", "-shm", "-journal", ".suspect", ".reserve", ".drain"] {
        remove(&super::beside(file, suffix))?;
    }
    for path in companions(file, ".damaged-")? {
        remove(&path)?;
    }
    remove(&super::beside(file, WIPED))
}

/// Damaged files that were set aside, without their logs.
#[cfg(feature = "runtime")]
pub(crate) fn set_aside(file: &Path) -> Vec<PathBuf> {
    let is_file = |path: &PathBuf| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        !name.ends_with("-wal") && !name.ends_with("-shm")
    };
    let found = companions(file, ".damaged-").unwrap_or_default();
    found.into_iter().filter(is_file).collect()
}

/// The files of accounts in a folder.
#[cfg(feature = "runtime")]
pub(crate) fn account_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let is_account = |path: &PathBuf| path.extension() == Some(OsStr::new(EXTENSION));
    Ok(files(folder)?.into_iter().filter(is_account).collect())
}

/// What stands beside a file under its name with something after it.
fn companions(file: &Path, begins: &str) -> Result<Vec<PathBuf>> {
    let (Some(folder), Some(name)) = (file.parent(), file.file_name().and_then(OsStr::to_str)) else {
        return Ok(Vec::new());
    };
    let prefix = format!("{name}{begins}");
    let is_companion = |path: &PathBuf| {
        let name = path.file_name().and_then(OsStr::to_str);
        name.is_some_and(|name| name.starts_with(&prefix))
    };
    Ok(files(folder)?.into_iter().filter(is_companion).collect())
}

/// A folder that is not there is empty.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error(&error)),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()).map_err(|error| io_error(&error)));
    paths.collect()
}

/// One that is not there is no error.
fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io_error(&error)),
        _ => Ok(()),
    }
}
