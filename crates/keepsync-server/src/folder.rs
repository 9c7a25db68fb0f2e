//! The data folder: `server.db`, `signing-key` and `lock`, readable by their owner alone.

use crate::ServerError;
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};

/// Bytes of the signing key.
pub(crate) const KEY_BYTES: usize = 32;

/// The data folder.
#[derive(Debug, Clone)]
pub(crate) struct Folder(PathBuf);

/// Held by a server, and by a restore: as long as it lives no other has the folder. The system lets
/// go of it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock(#[allow(dead_code, reason = "held, not used")] File);

impl Folder {
    /// The folder, made if absent.
    pub(crate) fn make(path: &Path) -> Result<Self, ServerError> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::DirBuilderExt as _;
            builder.mode(0o700);
        }
        builder
            .create(path)
            .map_err(ServerError::io(format!("make {}", path.display())))?;
        Ok(Self(path.to_owned()))
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.0.join("server.db")
    }

    /// Takes the folder for this process.
    pub(crate) fn lock(&self) -> Result<Lock, ServerError> {
        let path = self.0.join("lock");
        let file = private()
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(ServerError::io(format!("open {}", path.display())))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => Err(ServerError::InUse(self.0.clone())),
            Err(TryLockError::Error(source)) => Err(ServerError::Io {
                what: format!("lock {}", path.display()),
                source,
            }),
        }
    }

    /// The signing key; made by whoever comes first. It is written under another name and linked into
    /// place, so nobody ever reads half of it and of two makers one wins.
    pub(crate) fn signing_key(&self) -> Result<[u8; KEY_BYTES], ServerError> {
        let path = self.0.join("signing-key");
        match fs::read(&path) {
            Ok(bytes) => return <[u8; KEY_BYTES]>::try_from(bytes).map_err(|_| ServerError::SigningKey(path)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(source) => {
                return Err(ServerError::Io {
                    what: format!("read {}", path.display()),
                    source,
                });
            }
        }
        let mut key = [0; KEY_BYTES];
        getrandom::fill(&mut key).map_err(|_| ServerError::Random)?;
        let mut name = [0; 8];
        getrandom::fill(&mut name).map_err(|_| ServerError::Random)?;
        let made = self.0.join(format!("signing-key.{:016x}", u64::from_le_bytes(name)));
        let written = private().create_new(true).open(&made).and_then(|mut file| {
            file.write_all(&key)?;
            file.sync_all()?;
            fs::hard_link(&made, &path)
        });
        let removed = fs::remove_file(&made);
        match written {
            Ok(()) => removed.map_err(ServerError::io(format!("remove {}", made.display())))?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return self.signing_key(),
            Err(source) => {
                return Err(ServerError::Io {
                    what: format!("make {}", path.display()),
                    source,
                });
            }
        }
        self.sync()?;
        Ok(key)
    }

    /// Makes what was created or renamed in the folder survive a loss of power.
    pub(crate) fn sync(&self) -> Result<(), ServerError> {
        sync_folder(&self.0)
    }
}

/// As [`Folder::sync`], of any folder.
pub(crate) fn sync_folder(path: &Path) -> Result<(), ServerError> {
    if cfg!(unix) {
        File::open(path)
            .and_then(|folder| folder.sync_all())
            .map_err(ServerError::io(format!("sync {}", path.display())))?;
    }
    Ok(())
}

/// To write a file that only its owner may read.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options
}
