//! What the model knows: two devices, a server, the messages between them, and what only the checker sees.
//!
//! All of it is small numbers without pointers, because millions of these are made. A *content* is the number
//! of the user's operation that wrote it; an *operation id* is that number and how often it was given anew.
//! A place in the queue is the number alone: the queue's order is the order of writing.

use arrayvec::ArrayVec;

/// Nothing: no content, no operation, no epoch, no bound.
pub const NONE: u8 = u8::MAX;
/// The key of the record that is made first.
pub const PARENT: u8 = 0;
/// The key of its child.
pub const CHILD: u8 = 1;
/// Writes of the user, at most.
pub const MOST: usize = 4;
/// Applied operations, at most: more than a right protocol ever needs.
pub const LOG: usize = 8;

/// An operation id.
pub type Op = u8;
/// A body: the number of the write that made it.
pub type Content = u8;
/// A short list.
pub type List<T, const N: usize = MOST> = ArrayVec<T, N>;

/// The write that an operation id was first given to.
pub fn origin(op: Op) -> u8 {
    op >> 4
}

/// An id of a write: its `turn`-th.
pub fn id(origin: u8, turn: u8) -> Op {
    origin << 4 | turn
}

/// The bit of an id's turn in a set of ids of one write.
pub fn turn_bit(op: Op) -> u16 {
    1 << (op & 15)
}

/// What an entry does to its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Makes it.
    Create,
    /// Changes it.
    Update,
    /// Changes the parent's state: never folds, waits for the children.
    Complete,
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// For its turn, or an answer.
    Waiting,
    /// For the user.
    Conflict,
    /// Refused for good; never, in a right protocol.
    Parked,
}

/// What something was made on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Base {
    /// Nothing was ever confirmed.
    None,
    /// What the record shows, or has as its base.
    Visible,
    /// Another body.
    Body(Content),
    /// Nothing is there any more.
    Gone,
}

/// One unsent write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Its operation id, and so its place.
    pub op: Op,
    /// Its record.
    pub key: u8,
    /// What it does.
    pub kind: Kind,
    /// The body it carries.
    pub content: Content,
    /// The version it was made on.
    pub base_version: u8,
    /// The body it was made on.
    pub base: Base,
    /// The operation whose version it was made on, where that travels before it.
    pub base_op: Op,
    /// The operation that made `base_version`.
    pub base_id: Op,
    /// Turns under which an earlier epoch may have applied it.
    pub earlier: u16,
    /// Whether a byte of it may have left.
    pub maybe_sent: bool,
    /// Where it stands.
    pub standing: Standing,
}

/// An acknowledged operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kept {
    /// The entry as it was.
    pub entry: Entry,
    /// The change number it was committed under; [`NONE`] where that was not told.
    pub change: u8,
    /// The epoch that told it.
    pub epoch: u8,
}

/// A version of a record, as a server tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    /// Its number; 0 for nothing.
    pub version: u8,
    /// The operation that made it.
    pub op: Op,
    /// Its body.
    pub content: Content,
}

impl Version {
    /// Nothing is there.
    pub const NOTHING: Self = Self {
        version: 0,
        op: NONE,
        content: NONE,
    };
}

/// A record on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Record {
    /// What the app sees.
    pub visible: Content,
    /// What the server confirmed.
    pub base: Base,
    /// Its number.
    pub version: u8,
    /// The operation that made it.
    pub base_id: Op,
    /// The pull from the start in which it was last seen.
    pub seen: u8,
}

/// How far a device has pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cursor {
    /// Upwards, to here.
    pub up: u8,
    /// Downwards from the head of the beginning, to here; [`NONE`] when that is done.
    pub below: u8,
}

/// A device's file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Disk {
    /// The epoch it counts in.
    pub epoch: u8,
    /// How far it has pulled.
    pub cursor: Option<Cursor>,
    /// Pulls from the start.
    pub generation: u8,
    /// Whether the last one came to its end.
    pub complete: bool,
    /// The records, by key.
    pub records: [Option<Record>; 2],
    /// The other side of each conflict, as it was shown.
    pub conflicts: [Option<Version>; 2],
    /// Unsent writes, by place.
    pub entries: List<Entry>,
    /// Acknowledged writes, by place.
    pub journal: List<Kept>,
}

/// A device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Device {
    /// What a kill leaves.
    pub disk: Disk,
    /// What it does not: the operations whose answers it waits for.
    pub flight: Option<List<Op>>,
    /// What a loss of power may go back to, where that is not `disk`.
    pub synced: Option<Box<Disk>>,
}

/// One unsent write on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Item {
    /// Its operation id.
    pub op: Op,
    /// Its record.
    pub key: u8,
    /// What it does.
    pub kind: Kind,
    /// Its body.
    pub content: Content,
    /// The version it was made on.
    pub version: u8,
    /// Or the operation that made that.
    pub base_op: Op,
    /// Which version of that number is meant.
    pub base_id: Op,
    /// Which of the items before it must have been applied.
    pub after: u8,
    /// Turns it may have been applied under.
    pub earlier: u16,
}

/// What a server says of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Said {
    /// Applied, now or before.
    Accepted {
        /// The version it produced.
        version: u8,
        /// Its change number.
        change: u8,
    },
    /// Not applied: this is there.
    Conflict(Version),
    /// Not applied: what it follows was not.
    Blocked,
    /// Not applied: this id was, with another content.
    Reused,
}

/// One page of changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Page {
    /// The life of the server's data it comes from.
    pub epoch: u8,
    /// Where that branched off the one before.
    pub branch: u8,
    /// Record and version.
    pub changes: List<(u8, Version), 2>,
    /// The cursor after it.
    pub cursor: Option<Cursor>,
    /// Whether another is ready.
    pub has_more: bool,
}

/// A batch on its way.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Push {
    /// Who sent it.
    pub device: u8,
    /// Whether anybody still waits for the answer.
    pub live: bool,
    /// The epoch it counts in.
    pub epoch: u8,
    /// What it carries.
    pub items: List<Item>,
}

/// An operation that the server applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Applied {
    /// Its id.
    pub op: Op,
    /// Its record.
    pub key: u8,
    /// What it did.
    pub kind: Kind,
    /// The body it left.
    pub content: Content,
    /// What it was made on, as it was sent: a version,
    pub base_version: u8,
    /// or an operation.
    pub base_op: Op,
    /// The version it produced.
    pub version: u8,
}

/// The server. Everything it knows follows from what it has applied, so a backup is a length.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Server {
    /// Which life of its data this is.
    pub epoch: u8,
    /// How much of the last one it has.
    pub branch: u8,
    /// What was applied, in order: change n is at n - 1.
    pub log: List<Applied, LOG>,
}

/// A write of the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Written {
    /// On which device.
    pub device: u8,
    /// To which record.
    pub key: u8,
    /// What it did.
    pub kind: Kind,
    /// How many ids its content has had.
    pub turns: u8,
    /// Contents that whoever made it had seen, or that went into a history before it was sent on top.
    pub knows: u8,
}

/// What only the checker sees.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ghost {
    /// All writes; each was told to the user to be kept.
    pub writes: List<Written>,
    /// Contents that the user has written over before they left.
    pub folded: u8,
    /// Contents in the history of a device.
    pub history: u8,
    /// A version was replaced by somebody who had not seen it.
    pub overwrote: bool,
    /// An operation id came with another content.
    pub reused: bool,
    /// A cursor went back within an epoch.
    pub went_back: bool,
    /// Crashes left.
    pub crashes: u8,
    /// Restores left.
    pub restores: u8,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// Both devices.
    pub devices: [Device; 2],
    /// The server.
    pub server: Server,
    /// What is on its way, in no order.
    pub net: List<Push>,
    /// The device whose step is next, if somebody has just used it.
    pub must: u8,
    /// What only the checker sees.
    pub ghost: Ghost,
}

/// Whether a set of contents has one.
pub fn has(set: u8, content: Content) -> bool {
    content != NONE && set >> content & 1 == 1
}

/// A set of one content, or of none.
pub fn only(content: Content) -> u8 {
    if content == NONE { 0 } else { 1 << content }
}

impl Disk {
    /// A new file.
    pub fn new() -> Self {
        Self {
            epoch: NONE,
            cursor: None,
            generation: 0,
            complete: false,
            records: [None; 2],
            conflicts: [None; 2],
            entries: List::new(),
            journal: List::new(),
        }
    }

    /// The unsent writes of a record, oldest first.
    pub fn heads(&self, key: u8) -> List<Entry> {
        self.entries.iter().filter(|entry| entry.key == key).copied().collect()
    }

    /// The entry at a place.
    pub fn at(&self, place: u8) -> Option<Entry> {
        self.entries.iter().find(|entry| origin(entry.op) == place).copied()
    }

    /// Writes an entry at its place.
    pub fn store(&mut self, entry: Entry) {
        let place = origin(entry.op);
        match self.entries.iter_mut().find(|other| origin(other.op) == place) {
            Some(other) => *other = entry,
            None => {
                let before = self.entries.iter().filter(|other| origin(other.op) < place).count();
                // What has no room shows in the property about bounds.
                let _ = self.entries.try_insert(before, entry);
            }
        }
    }

    /// Takes the entry at a place away.
    pub fn remove(&mut self, place: u8) {
        self.entries.retain(|entry| origin(entry.op) != place);
    }

    /// A record.
    pub fn record(&self, key: u8) -> Option<Record> {
        self.records[usize::from(key)]
    }

    /// Writes a record.
    pub fn set_record(&mut self, key: u8, record: Option<Record>) {
        self.records[usize::from(key)] = record;
    }
}

impl Default for Disk {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// The current version of a record.
    pub fn current(&self, key: u8) -> Version {
        let last = self.log.iter().rev().find(|applied| applied.key == key);
        last.map_or(Version::NOTHING, |applied| Version {
            version: applied.version,
            op: applied.op,
            content: applied.content,
        })
    }

    /// Where an operation stands in the log.
    pub fn find(&self, op: Op) -> Option<usize> {
        self.log.iter().position(|applied| applied.op == op)
    }

    /// The number of the last change.
    pub fn head(&self) -> u8 {
        u8::try_from(self.log.len()).unwrap_or(NONE)
    }
}
