//! The first sync: what an app that needs its data before it can be used has to know.
//!
//! 1. Each collection that is pulled starts at its newest records and goes back from there, as far as the
//!    backend can; what has come can be used at once. How far it has come is stored with every page, so
//!    a process that ends in the middle goes on where it was.
//! 2. While a collection that is [`Required`](FirstSync::Required) has never been pulled whole, the status
//!    says `needs first sync`, and [`FirstSyncProgress`] what there is to draw. Nothing is locked: reads
//!    and writes work, and what is written waits its turn. Whether to block is the app's choice.
//! 3. When no page has come for [`Settings::first_sync_limit_ms`](crate::settings::Settings), by the clock
//!    that never runs backwards, it is *stalled*: the app shows a retry button, and, where every missing
//!    collection allows it, another to go on without. A page that comes all the same ends it.
//!
//! A collection that a later version of the app adds has a first sync of its own.

use crate::{
    collection::{Collection, FirstSync},
    db::{Read, Write},
    drain::Snapshot,
    error::{Error, Result},
    pull,
};
use rusqlite::OptionalExtension;

/// How the first sync stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstSyncState {
    /// All that the app needs is here, or the user went on without it.
    Done,
    /// A drain is under way.
    Running,
    /// Nothing is under way; the status says why.
    Waiting,
    /// Nothing has come for as long as the settings allow.
    Stalled,
}

impl FirstSyncState {
    /// Stable, as the command line and the bindings spell it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Stalled => "stalled",
        }
    }
}

/// What a screen draws of the first sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstSyncProgress {
    /// How it stands.
    pub state: FirstSyncState,
    /// Whether the user may go on without it: every missing collection allows it.
    pub may_continue: bool,
    /// Changes that have come, of all collections.
    pub done: u64,
    /// Changes there are, as far as they were counted; `None` where the backend does not tell.
    pub total: Option<u64>,
    /// Each collection that is pulled, in the order in which they come.
    pub collections: Vec<CollectionProgress>,
}

/// How far one collection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionProgress {
    /// Its name.
    pub name: String,
    /// Changes that have come since it was last pulled from the start.
    pub done: u64,
    /// Changes there are; `None` where the backend does not tell, or has not been asked.
    pub total: Option<u64>,
    /// Whether it was pulled whole once.
    pub complete: bool,
    /// Whether the app needs it and the user has not gone on without it.
    pub required: bool,
}

impl FirstSyncProgress {
    /// With what the drain knows of what is going on.
    #[must_use]
    pub fn with(mut self, snapshot: &Snapshot) -> Self {
        if self.state != FirstSyncState::Done {
            self.state = if snapshot.is_stalled() {
                FirstSyncState::Stalled
            } else if snapshot.is_syncing() {
                FirstSyncState::Running
            } else {
                FirstSyncState::Waiting
            };
        }
        self
    }
}

/// What is stored of a collection's pull.
struct Stored {
    done: u64,
    remaining: Option<u64>,
    complete: bool,
    waived: bool,
}

fn stored(read: &Read<'_>, collection: &str) -> Result<Stored> {
    let mut statement = read
        .conn
        .prepare_cached("SELECT pulled, remaining, first_done, waived FROM pull WHERE collection = ?1")?;
    let row = statement.query_row([collection], |row| {
        Ok(Stored {
            done: row.get::<_, i64>(0)?.try_into().unwrap_or(0),
            remaining: row.get::<_, Option<i64>>(1)?.and_then(|left| left.try_into().ok()),
            complete: row.get(2)?,
            waived: row.get(3)?,
        })
    });
    Ok(row.optional()?.unwrap_or(Stored {
        done: 0,
        remaining: None,
        complete: false,
        waived: false,
    }))
}

fn may_continue(collection: &Collection) -> bool {
    collection.first_sync == FirstSync::Required { may_continue: true }
}

impl Read<'_> {
    /// Collections the app needs and that have never been pulled whole.
    ///
    /// # Errors
    /// Only those of the file.
    pub fn needs_first_sync(&self) -> Result<Vec<String>> {
        let mut missing = Vec::new();
        for collection in self.shared.collections.iter() {
            if collection.first_sync == FirstSync::NotRequired {
                continue;
            }
            let stored = stored(self, collection.name())?;
            if !stored.complete && !stored.waived {
                missing.push(collection.name().to_owned());
            }
        }
        Ok(missing)
    }

    /// How far the first sync has come, as the file knows: whether a drain is under way, it does not.
    ///
    /// # Errors
    /// Only those of the file.
    pub fn first_sync(&self) -> Result<FirstSyncProgress> {
        let mut progress = FirstSyncProgress {
            state: FirstSyncState::Done,
            may_continue: true,
            done: 0,
            total: Some(0),
            collections: Vec::new(),
        };
        for collection in pull::in_order(&self.shared.collections) {
            let stored = stored(self, collection.name())?;
            let required = collection.first_sync != FirstSync::NotRequired && !stored.waived;
            let total = stored.remaining.map(|remaining| stored.done + remaining);
            if required && !stored.complete {
                progress.state = FirstSyncState::Waiting;
                progress.may_continue &= may_continue(collection);
            }
            progress.done += stored.done;
            progress.total = progress.total.zip(total).map(|(all, one)| all + one);
            progress.collections.push(CollectionProgress {
                name: collection.name().to_owned(),
                done: stored.done,
                total,
                complete: stored.complete,
                required,
            });
        }
        Ok(progress)
    }
}

/// The user goes on without the first pull, where every missing collection allows it.
///
/// # Errors
/// [`Error::Invalid`] naming a collection that does not allow it.
pub fn continue_without_first_sync(write: &mut Write<'_>) -> Result<()> {
    for name in write.read().needs_first_sync()? {
        if !may_continue(write.shared.collections.get(&name)?) {
            return Err(Error::invalid(name, "cannot be used before its first sync"));
        }
        pull::waive(write, &name)?;
        write.changes.record(&name);
    }
    Ok(())
}
