//! What a story is made of.

use crate::server::{Net, Server};
use keepsync::{Db, Result, Write, collection::Collections};
use uuid::Uuid;

type Writes = dyn Fn(&mut Write<'_>) -> Result<Option<Uuid>> + Send + Sync;
type Happens = dyn Fn(&mut Server) + Send + Sync;
type Works = dyn Fn(&mut Db, &mut dyn FnMut()) -> Result<()> + Send + Sync;

/// One thing that happens.
pub struct Act {
    /// For people.
    pub name: String,
    pub(crate) what: What,
}

pub(crate) enum What {
    /// The app starts.
    Open,
    /// One transaction; gives the operation that it travels under.
    Write(Box<Writes>),
    /// Several transactions; it says after each that it is done.
    Work(Box<Works>),
    /// A pass of the drain.
    Pass(Net),
    /// Passes until nothing moves, with time in between.
    Settle,
    /// Something beyond this device; no disk takes part.
    World(Box<Happens>),
    /// The app ends in good order.
    Close,
}

impl Act {
    fn new(name: impl Into<String>, what: What) -> Self {
        Self {
            name: name.into(),
            what,
        }
    }
}

/// A write of the user.
pub(crate) fn write(name: &str, write: impl Fn(&mut Write<'_>) -> Result<Option<Uuid>> + Send + Sync + 'static) -> Act {
    Act::new(name, What::Write(Box::new(write)))
}

/// Several transactions.
pub(crate) fn work(name: &str, work: impl Fn(&mut Db, &mut dyn FnMut()) -> Result<()> + Send + Sync + 'static) -> Act {
    Act::new(name, What::Work(Box::new(work)))
}

pub(crate) fn pass(net: Net) -> Act {
    Act::new(format!("sync, {net:?}"), What::Pass(net))
}

pub(crate) fn settle() -> Act {
    Act::new("sync until nothing moves", What::Settle)
}

pub(crate) fn world(name: &str, happens: impl Fn(&mut Server) + Send + Sync + 'static) -> Act {
    Act::new(name, What::World(Box::new(happens)))
}

pub(crate) fn open() -> Act {
    Act::new("open", What::Open)
}

pub(crate) fn close() -> Act {
    Act::new("close", What::Close)
}

/// A story: how it begins, and the acts during which things go wrong.
pub struct Scenario {
    /// For the command line.
    pub name: &'static str,
    /// What was registered when it began.
    pub(crate) before: fn() -> Result<Collections>,
    /// What the app registers now.
    pub(crate) collections: fn() -> Result<Collections>,
    /// Bytes of the log.
    pub(crate) wal_bytes: u64,
    /// What happened before: nothing fails. Empty: there is no file.
    pub(crate) base: Vec<Act>,
    /// Something is done to the closed files.
    pub(crate) spoil: Option<fn(&std::path::Path) -> std::io::Result<()>>,
    /// Room beyond what the files have at the beginning, on a disk that is small.
    pub(crate) room: Option<u64>,
    /// Opening saves what can be saved of a damaged file.
    pub(crate) salvages: bool,
    /// Its file was written by hand, with rows that the core would not write.
    pub(crate) by_hand: bool,
    /// Opening writes more than a full disk may have room for.
    pub(crate) grows: bool,
    /// What happens while things go wrong.
    pub(crate) acts: Vec<Act>,
}

impl std::fmt::Debug for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scenario")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
