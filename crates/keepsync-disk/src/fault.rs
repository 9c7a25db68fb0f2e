//! What can go wrong, and where.

use std::path::PathBuf;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The process dies: this operation and every later one fails, and nothing more reaches the files, until
    /// [`Disk::crash`](crate::Disk::crash).
    Stop,
    /// The operation fails as a whole with an I/O error.
    IoError,
    /// There is no room. Once: the operation fails. For ever: the files of the folder together cannot grow
    /// beyond what they are now; what is there can be overwritten, and what is removed gives room.
    Full,
}

/// Which operations are counted towards a fault, and can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counts {
    /// Everything that changes the disk: writes, syncs, cuts, deletions, new files. (Of those, only what takes
    /// room counts towards [`Fault::Full`].)
    Changes,
    /// Reads.
    Reads,
}

/// A fault to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Plan {
    /// What goes wrong.
    pub fault: Fault,
    /// At which.
    pub counts: Counts,
    /// At the how many-th from now on: 1 is the next.
    pub at: u64,
    /// Whether all later ones fail too, until [`Disk::heal`](crate::Disk::heal).
    pub lasting: bool,
}

/// What is done to a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// A file is made.
    Create,
    /// Bytes are written.
    Write,
    /// A file is cut or extended.
    Resize,
    /// A file is synced.
    Sync,
    /// A file is deleted.
    Delete,
    /// Bytes are read.
    Read,
}

/// A place in a run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Point {
    /// What was done.
    pub op: Op,
    /// To which file.
    pub file: PathBuf,
    /// Where in it, for reads and writes; the new length, for a cut.
    pub at: u64,
    /// How many bytes.
    pub len: u64,
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        let op = match self.op {
            Op::Create => "creates",
            Op::Write => "writes",
            Op::Resize => "cuts",
            Op::Sync => "syncs",
            Op::Delete => "deletes",
            Op::Read => "reads",
        };
        match self.op {
            Op::Read | Op::Write => write!(f, "{op} {} bytes at {} of {name}", self.len, self.at),
            Op::Resize => write!(f, "{op} {name} to {} bytes", self.at),
            _ => write!(f, "{op} {name}"),
        }
    }
}

/// How many of each were done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Counted {
    /// Files made.
    pub creates: u64,
    /// Writes.
    pub writes: u64,
    /// Cuts and extensions.
    pub resizes: u64,
    /// Syncs.
    pub syncs: u64,
    /// Deletions.
    pub deletes: u64,
    /// Reads.
    pub reads: u64,
}

impl Counted {
    pub(crate) fn add(&mut self, op: Op) {
        *match op {
            Op::Create => &mut self.creates,
            Op::Write => &mut self.writes,
            Op::Resize => &mut self.resizes,
            Op::Sync => &mut self.syncs,
            Op::Delete => &mut self.deletes,
            Op::Read => &mut self.reads,
        } += 1;
    }

    /// All that changed the disk.
    pub fn changes(&self) -> u64 {
        self.creates + self.writes + self.resizes + self.syncs + self.deletes
    }
}

/// What a crash leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Crash {
    /// The process was killed: all that was written is there. (What was not synced can still be lost by a
    /// later one.)
    Kill,
    /// The power failed: everything since the last sync is gone, also files made and deleted where the folder
    /// was not synced.
    LoseUnsynced,
    /// The power failed: of what was not synced some arrived, sector by sector of 512 bytes.
    Torn,
}
