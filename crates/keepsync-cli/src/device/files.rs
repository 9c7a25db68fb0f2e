//! Files a command reads, and files it writes: whole or not at all.

use crate::failure::Failure;
use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    path::Path,
};

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|problem| Failure::file(path, &problem))
}

/// Puts `bytes` in the place of a file, readable by its owner alone: written beside it, synced,
/// renamed, and the folder synced. Stopped at any point, the old file or the new one is there, whole.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut beside = path.to_owned().into_os_string();
    beside.push(format!(".new-{}", std::process::id()));
    let beside = Path::new(&beside);
    let written = fill(beside, bytes).and_then(|()| std::fs::rename(beside, path));
    if written.is_err() {
        // The first problem is the one to tell.
        let _ = std::fs::remove_file(beside);
    }
    written?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn fill(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
