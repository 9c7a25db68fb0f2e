//! A file: its content, and what of it was not synced yet.

use crate::{
    lock::{FileLock, IndexLock, Owner},
    rng::Tear,
};
use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::PathBuf,
    sync::atomic::AtomicU64,
};

/// What a disk writes as a whole, in bytes.
const SECTOR: u64 = 512;

/// Something that was done to a file and not synced.
#[derive(Debug)]
enum Change {
    /// `old` is what was there: shorter than what was written where the file grew.
    Written {
        at: u64,
        len: u64,
        old: Vec<u8>,
        old_len: u64,
    },
    /// Cut off, or extended with zeros.
    Resized { len: u64, old_len: u64, tail: Vec<u8> },
    /// What the process was about to write when it died: a power cut may have let a part of it through.
    Begun { at: u64, new: Vec<u8> },
}

/// A part of the write-ahead log's index.
pub(crate) type Region = Box<[AtomicU64]>;

/// A file of a disk.
#[derive(Debug)]
pub(crate) struct Node {
    /// Its name when it was opened.
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    pub(crate) inode: u64,
    /// Who has it open.
    pub(crate) open: Vec<Owner>,
    /// Its name is not on the disk yet.
    pub(crate) is_new: bool,
    pub(crate) lock: FileLock,
    pub(crate) index_lock: IndexLock,
    pub(crate) index: Vec<Region>,
    /// Who has mapped the index.
    pub(crate) mapped: Vec<Owner>,
    changes: Vec<Change>,
}

impl Node {
    pub(crate) fn new(path: PathBuf, file: File, is_new: bool) -> io::Result<Self> {
        Ok(Self {
            inode: file.metadata()?.ino(),
            path,
            file,
            open: Vec::new(),
            is_new,
            lock: FileLock::default(),
            index_lock: IndexLock::default(),
            index: Vec::new(),
            mapped: Vec::new(),
            changes: Vec::new(),
        })
    }

    pub(crate) fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Reads as much as there is; gives how much.
    pub(crate) fn read(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < into.len() {
            match self.file.read_at(&mut into[done..], at + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    pub(crate) fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut old = vec![0; bytes.len()];
        let there = self.read(at, &mut old)?;
        old.truncate(there);
        let end = at + bytes.len() as u64;
        let old_len = match there {
            all if all == bytes.len() => u64::MAX,
            0 => self.len()?,
            some => at + some as u64,
        };
        self.file.write_all_at(bytes, at)?;
        let len = end - at;
        self.changes.push(Change::Written { at, len, old, old_len });
        Ok(())
    }

    /// The process dies while it writes this.
    pub(crate) fn begin(&mut self, at: u64, bytes: &[u8]) {
        self.changes.push(Change::Begun {
            at,
            new: bytes.to_vec(),
        });
    }

    pub(crate) fn resize(&mut self, len: u64) -> io::Result<()> {
        let old_len = self.len()?;
        let mut tail = vec![0; usize::try_from(old_len.saturating_sub(len)).unwrap_or(0)];
        self.read(len, &mut tail)?;
        self.file.set_len(len)?;
        self.changes.push(Change::Resized { len, old_len, tail });
        Ok(())
    }

    /// What it holds is on the disk.
    pub(crate) fn sync(&mut self) {
        self.changes.clear();
    }

    pub(crate) fn is_synced(&self) -> bool {
        self.changes.is_empty()
    }

    /// What was only begun never happened.
    pub(crate) fn kill(&mut self) {
        self.changes.retain(|change| !matches!(change, Change::Begun { .. }));
    }

    /// Takes back all that was not synced; with `tear` a part of it arrived all the same: of each write some
    /// sectors.
    pub(crate) fn lose(&mut self, tear: Option<&mut Tear>) -> io::Result<()> {
        let mut again = Vec::new();
        for change in std::mem::take(&mut self.changes).into_iter().rev() {
            match change {
                Change::Written { at, len, old, old_len } => {
                    if tear.is_some() {
                        // All later ones are undone: what is there now is what this one wrote.
                        let mut new = vec![0; usize::try_from(len).unwrap_or(0)];
                        self.read(at, &mut new)?;
                        again.push(Torn::Write(at, new));
                    }
                    self.file.write_all_at(&old, at)?;
                    if old_len != u64::MAX {
                        self.file.set_len(old_len)?;
                    }
                }
                Change::Resized { len, old_len, tail } => {
                    again.push(Torn::Resize(len));
                    self.file.set_len(old_len)?;
                    self.file.write_all_at(&tail, len)?;
                }
                Change::Begun { at, new } => again.push(Torn::Write(at, new)),
            }
        }
        let Some(tear) = tear else { return Ok(()) };
        for part in again.into_iter().rev() {
            match part {
                Torn::Resize(len) if tear.arrives() => self.file.set_len(len)?,
                Torn::Resize(_) => {}
                Torn::Write(at, new) => self.write_some(at, &new, tear)?,
            }
        }
        Ok(())
    }

    fn write_some(&self, at: u64, new: &[u8], tear: &mut Tear) -> io::Result<()> {
        let end = at + new.len() as u64;
        let mut from = at;
        while from < end {
            let to = ((from / SECTOR + 1) * SECTOR).min(end);
            if tear.arrives() {
                let part = |place: u64| usize::try_from(place - at).unwrap_or(0);
                self.file.write_all_at(&new[part(from)..part(to)], from)?;
            }
            from = to;
        }
        Ok(())
    }
}

enum Torn {
    Write(u64, Vec<u8>),
    Resize(u64),
}
