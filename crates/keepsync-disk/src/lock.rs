//! SQLite's locks, in memory: those of a file, and those of the index of its write-ahead log. Pure.

use rusqlite::ffi;
use std::ffi::c_int;

/// An open file's number.
pub(crate) type Owner = u64;

/// Another connection holds it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Busy;

/// The locks of one file, as <https://sqlite.org/lockingv3.html> has them.
#[derive(Debug, Default)]
pub(crate) struct FileLock {
    shared: Vec<Owner>,
    reserved: Option<Owner>,
    pending: Option<Owner>,
    exclusive: Option<Owner>,
}

impl FileLock {
    /// Raises the lock of `who` to `level`.
    pub(crate) fn lock(&mut self, who: Owner, level: c_int) -> Result<(), Busy> {
        let others = |holder: Option<Owner>| holder.is_some_and(|holder| holder != who);
        if level >= ffi::SQLITE_LOCK_SHARED && !self.shared.contains(&who) {
            if others(self.pending) || others(self.exclusive) {
                return Err(Busy);
            }
            self.shared.push(who);
        }
        if level >= ffi::SQLITE_LOCK_RESERVED && (others(self.reserved) || others(self.pending)) {
            return Err(Busy);
        }
        if level == ffi::SQLITE_LOCK_RESERVED {
            self.reserved = Some(who);
        }
        if level >= ffi::SQLITE_LOCK_PENDING {
            self.pending = Some(who);
        }
        if level >= ffi::SQLITE_LOCK_EXCLUSIVE {
            if self.shared.iter().any(|&holder| holder != who) {
                return Err(Busy);
            }
            self.exclusive = Some(who);
        }
        Ok(())
    }

    /// Lowers the lock of `who` to `level`: shared, or none.
    pub(crate) fn unlock(&mut self, who: Owner, level: c_int) {
        for holder in [&mut self.reserved, &mut self.pending, &mut self.exclusive] {
            if *holder == Some(who) {
                *holder = None;
            }
        }
        if level < ffi::SQLITE_LOCK_SHARED {
            self.shared.retain(|&holder| holder != who);
        }
    }

    pub(crate) fn is_reserved(&self) -> bool {
        self.reserved.is_some() || self.pending.is_some() || self.exclusive.is_some()
    }
}

/// How many locks an index has.
const SLOTS: usize = ffi::SQLITE_SHM_NLOCK as usize;

/// The locks of the index of one write-ahead log: each shared by many or held by one.
#[derive(Debug, Default)]
pub(crate) struct IndexLock {
    shared: [Vec<Owner>; SLOTS],
    exclusive: [Option<Owner>; SLOTS],
}

impl IndexLock {
    /// All of `first..first + count`, or none.
    pub(crate) fn lock(&mut self, who: Owner, first: usize, count: usize, exclusive: bool) -> Result<(), Busy> {
        let slots = first..first.saturating_add(count).min(SLOTS);
        for slot in slots.clone() {
            let taken = self.exclusive[slot].is_some_and(|holder| holder != who);
            let read = self.shared[slot].iter().any(|&holder| holder != who);
            if taken || (exclusive && read) {
                return Err(Busy);
            }
        }
        for slot in slots {
            if exclusive {
                self.exclusive[slot] = Some(who);
            } else if !self.shared[slot].contains(&who) {
                self.shared[slot].push(who);
            }
        }
        Ok(())
    }

    pub(crate) fn unlock(&mut self, who: Owner, first: usize, count: usize) {
        for slot in first..first.saturating_add(count).min(SLOTS) {
            self.shared[slot].retain(|&holder| holder != who);
            if self.exclusive[slot] == Some(who) {
                self.exclusive[slot] = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: c_int = ffi::SQLITE_LOCK_SHARED;
    const RESERVED: c_int = ffi::SQLITE_LOCK_RESERVED;
    const EXCLUSIVE: c_int = ffi::SQLITE_LOCK_EXCLUSIVE;

    #[test]
    fn a_writer_waits_for_readers_and_keeps_new_ones_out() {
        let mut lock = FileLock::default();
        assert_eq!(lock.lock(1, SHARED), Ok(()));
        assert_eq!(lock.lock(2, SHARED), Ok(()));
        assert_eq!(lock.lock(1, RESERVED), Ok(()));
        assert_eq!(lock.lock(2, RESERVED), Err(Busy));
        assert_eq!(lock.lock(1, EXCLUSIVE), Err(Busy), "2 reads");
        assert_eq!(lock.lock(3, SHARED), Err(Busy), "1 waits");
        lock.unlock(2, 0);
        assert_eq!(lock.lock(1, EXCLUSIVE), Ok(()));
        lock.unlock(1, SHARED);
        assert!(!lock.is_reserved());
        assert_eq!(lock.lock(3, SHARED), Ok(()));
    }

    #[test]
    fn an_index_slot_is_shared_or_held_alone() {
        let mut lock = IndexLock::default();
        assert_eq!(lock.lock(1, 3, 1, false), Ok(()));
        assert_eq!(lock.lock(2, 3, 1, false), Ok(()));
        assert_eq!(lock.lock(1, 2, 3, true), Err(Busy));
        assert_eq!(lock.lock(3, 2, 1, false), Ok(()), "nothing was taken of it");
        lock.unlock(2, 3, 1);
        lock.unlock(3, 2, 1);
        assert_eq!(lock.lock(1, 2, 3, true), Ok(()));
        assert_eq!(lock.lock(2, 4, 1, false), Err(Busy));
    }
}
