//! Which process drains: an app and its extension, or an app that was reloaded while its old handle still
//! drains, share one file and one queue, and only one of them may send.
//!
//! 1. Before a pass the drainer locks `<file>.drain`, a file of its own beside the database. Whoever has the
//!    lock is the owner.
//! 2. The owner keeps it while a pass runs, and while the app is active (in the foreground, where passes
//!    start by themselves). It lets go when neither holds, so that no lock is held by a process that is
//!    suspended. An app that may be suspended in the middle of a pass ends the pass before
//!    ([`Store::cancel`](super::Store::cancel), or a time budget).
//! 3. Who finds it taken does not drain. Its status says so, and it asks again: soon at first, then every
//!    second.
//! 4. Who gets it after somebody else has written begins its drain anew, from the file: what the other
//!    learnt (a pause the backend asked for, what arrived) is there, and what was on its way counts as maybe
//!    sent.
//!
//! Killed anywhere: the system lets go of the lock, and the next to ask is the owner. What was on its way
//! goes again under its operation ids, as after any crash.
//!
//! On a file system without locks everybody is the owner. The server applies an operation once all the same;
//! but then SQLite has no locks either.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
    time::Duration,
};

/// How soon to ask again for a lock that was taken; doubled each time.
const SOON: Duration = Duration::from_millis(5);
/// And at the latest.
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// What is added to the file's name. The file is empty, and stays.
const SUFFIX: &str = ".drain";

/// One store's claim to the drain.
#[derive(Debug)]
pub(super) struct Owner {
    /// `None`: a file in memory, which nobody shares.
    path: Option<PathBuf>,
    lock: Option<File>,
    is_owner: bool,
    refused: u32,
}

impl Owner {
    pub(super) fn new(file: Option<&Path>) -> Self {
        let path = file.map(|file| {
            let mut name = file.to_owned().into_os_string();
            name.push(SUFFIX);
            PathBuf::from(name)
        });
        Self {
            path,
            lock: None,
            is_owner: false,
            refused: 0,
        }
    }

    pub(super) fn is_owner(&self) -> bool {
        self.is_owner
    }

    /// Whether it was taken when it was last asked for.
    pub(super) fn was_refused(&self) -> bool {
        self.refused > 0
    }

    /// Becomes the owner unless somebody else is.
    pub(super) fn take(&mut self) -> bool {
        if self.is_owner {
            return true;
        }
        let Some(path) = &self.path else {
            self.is_owner = true;
            return true;
        };
        // Opened each time: it may have been wiped and made again meanwhile.
        let locked = open(path).map(|file| file.try_lock().map(|()| file));
        self.lock = match locked {
            Ok(Ok(file)) => Some(file),
            Ok(Err(TryLockError::WouldBlock)) => {
                self.refused = self.refused.saturating_add(1);
                return false;
            }
            Ok(Err(TryLockError::Error(_))) | Err(_) => None,
        };
        self.refused = 0;
        self.is_owner = true;
        true
    }

    /// Lets somebody else be the owner.
    pub(super) fn let_go(&mut self) {
        self.is_owner = false;
        // Closing it ends the lock, on every system.
        self.lock = None;
    }

    /// When to ask again.
    pub(super) fn again_in(&self) -> Duration {
        let doubled = SOON.saturating_mul(1 << self.refused.saturating_sub(1).min(16));
        doubled.min(SECOND)
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_two_is_the_owner_until_it_lets_go_or_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("device.keepsync");
        let (mut app, mut extension) = (Owner::new(Some(&file)), Owner::new(Some(&file)));
        assert!(app.take() && app.take());
        assert!(!extension.take() && extension.was_refused() && !extension.is_owner());
        app.let_go();
        assert!(extension.take() && !extension.was_refused());
        assert!(!app.take());
        drop(extension);
        assert!(app.take());
    }

    #[test]
    fn who_is_refused_asks_again_soon_and_then_every_second() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("device.keepsync");
        let (mut app, mut extension) = (Owner::new(Some(&file)), Owner::new(Some(&file)));
        assert!(app.take());
        let mut waits = Vec::new();
        for _ in 0..40 {
            assert!(!extension.take());
            waits.push(extension.again_in());
        }
        assert_eq!(waits[..3], [SOON, SOON * 2, SOON * 4]);
        assert!(waits.is_sorted() && waits[39] == SECOND);
    }

    #[test]
    fn in_memory_everybody_is_alone() {
        let mut owner = Owner::new(None);
        assert!(owner.take() && owner.is_owner());
    }
}
