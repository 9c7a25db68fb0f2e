//! The installation's id: made once, outliving accounts and wiping.

use super::{beside, harden};
use crate::{
    env::{self, Env},
    error::Result,
};
use std::path::Path;
use uuid::Uuid;

/// Reads the installation's id, or makes it: written beside and renamed, so that it is whole or
/// not there. Who makes it holds a lock, so that all who race for it get the same. (A hard link that
/// must not exist yet would need no lock, but Android allows apps no hard links.)
pub(super) fn id(path: &Path, env: &dyn Env) -> Result<String> {
    use std::io::Write as _;
    if let Some(id) = read_id(path)? {
        return Ok(id);
    }
    let make = || -> std::io::Result<String> {
        let lock = std::fs::File::create(beside(path, ".lock"))?;
        // Released when the file is closed, whatever happens here.
        lock.lock()?;
        if let Ok(Some(id)) = read_id(path) {
            return Ok(id);
        }
        let id = env::uuid_v7(env.wall_ms(), env.random()).to_string();
        let new = beside(path, ".new");
        let mut file = std::fs::File::create(&new)?;
        file.write_all(id.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        Ok(id)
    };
    make().map_err(|error| harden::io_error(&error))
}

/// `None`: there is none, or nothing that could be one.
fn read_id(path: &Path) -> Result<Option<String>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(harden::io_error(&error)),
    };
    let text = String::from_utf8_lossy(&bytes);
    Ok(Uuid::try_parse(text.trim()).ok().map(|id| id.to_string()))
}
