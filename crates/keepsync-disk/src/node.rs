//! A file: its content, and what of it was not synced yet.
//!
//! What is written goes to the real file at once, so that everybody else meets it. Reads are answered from a copy in
//! memory, made when the first connection opens the file: a simulator reads ten times as often as it writes.

use crate::{
    lock::{FileLock, IndexLock, Owner},
    rng::Tear,
};
use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
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
    file: File,
    /// What it holds.
    content: Vec<u8>,
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
            content: read_all(&file)?,
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

    /// Another connection opens it; one that may write, through a file that can.
    pub(crate) fn open(&mut self, file: File, writable: bool, who: Owner) -> io::Result<()> {
        if self.open.is_empty() {
            // While nobody had it open, others may have changed it.
            self.content = read_all(&file)?;
        }
        // The first to open it may only have read.
        if writable {
            self.file = file;
        }
        self.open.push(who);
        Ok(())
    }

    pub(crate) fn len(&self) -> u64 {
        self.content.len() as u64
    }

    /// Reads as much as there is; gives how much.
    pub(crate) fn read(&self, at: u64, into: &mut [u8]) -> usize {
        let there = &self.content[place(at).min(self.content.len())..];
        let count = there.len().min(into.len());
        into[..count].copy_from_slice(&there[..count]);
        count
    }

    pub(crate) fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let (from, to) = (
            place(at).min(self.content.len()),
            (place(at) + bytes.len()).min(self.content.len()),
        );
        let old = self.content[from..to].to_vec();
        let (len, old_len) = (bytes.len() as u64, self.len());
        self.put(at, bytes)?;
        self.changes.push(Change::Written { at, len, old, old_len });
        Ok(())
    }

    fn put(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.file.write_all_at(bytes, at)?;
        let end = place(at) + bytes.len();
        if end > self.content.len() {
            self.content.resize(end, 0);
        }
        self.content[place(at)..end].copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.content.resize(place(len), 0);
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
        let old_len = self.len();
        let tail = self.content[place(len).min(self.content.len())..].to_vec();
        self.set_len(len)?;
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
        self.content = read_all(&self.file)?;
        let mut again = Vec::new();
        for change in std::mem::take(&mut self.changes).into_iter().rev() {
            match change {
                Change::Written { at, len, old, old_len } => {
                    if tear.is_some() {
                        // All later ones are undone: what is there now is what this one wrote.
                        let mut new = vec![0; usize::try_from(len).unwrap_or(0)];
                        self.read(at, &mut new);
                        again.push(Torn::Write(at, new));
                    }
                    self.put(at, &old)?;
                    self.set_len(old_len)?;
                }
                Change::Resized { len, old_len, tail } => {
                    again.push(Torn::Resize(len));
                    self.set_len(old_len)?;
                    self.put(len, &tail)?;
                }
                Change::Begun { at, new } => again.push(Torn::Write(at, new)),
            }
        }
        let Some(tear) = tear else { return Ok(()) };
        for part in again.into_iter().rev() {
            match part {
                Torn::Resize(len) if tear.arrives() => self.set_len(len)?,
                Torn::Resize(_) => {}
                Torn::Write(at, new) => self.write_some(at, &new, tear)?,
            }
        }
        Ok(())
    }

    fn write_some(&mut self, at: u64, new: &[u8], tear: &mut Tear) -> io::Result<()> {
        let end = at + new.len() as u64;
        let mut from = at;
        while from < end {
            let to = ((from / SECTOR + 1) * SECTOR).min(end);
            if tear.arrives() {
                let part = |place: u64| usize::try_from(place - at).unwrap_or(0);
                self.put(from, &new[part(from)..part(to)])?;
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

fn read_all(mut file: &File) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut content)?;
    Ok(content)
}

fn place(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}
