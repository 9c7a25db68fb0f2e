//! Planted bugs, for tests of the tests; see `keepsync-sim --bugs`. Without the feature `planted`, which nothing
//! that ships can have ([`PLANTED`]), there is none, and no code for one.

/// Whether this build can have planted bugs.
pub const PLANTED: bool = cfg!(feature = "planted");

/// What can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A record and its entry are two transactions.
    TwoTransactions,
    /// The user's writes are committed with NORMAL.
    NormalInsteadOfFull,
    /// A page's cursors are committed before its rows.
    CursorBeforeRows,
    /// A pulled version is skipped while something of its record is unsent.
    SkipPullWhilePending,
    /// The queue is ordered by the wall clock.
    OrderByWallClock,
    /// A server that begins another life is not noticed.
    NoEpoch,
    /// A further write goes into an entry that may have been sent.
    FoldAttempted,
    /// An attempt without a network counts.
    CountOfflineAttempts,
    /// What a 401 answers is dropped.
    DropOn401,
    /// Results belong to entries by their position.
    ResultsByPosition,
    /// What is sent counts as acknowledged.
    AcknowledgeBeforeAnswer,
    /// A repeat goes under another operation id.
    NewIdOnRetry,
    /// A pulled deletion takes unsent edits with it.
    TombstoneOverEdit,
    /// A conflict that is settled leaves the entry on the base it had.
    ResolveForgetsBase,
    /// A session that ends does not let go of what was held for it.
    HeldNotReleased,
    /// `Retry-After` is not looked at.
    IgnoresRetryAfter,
    /// A later write of a record does not wait for the one before it.
    FollowersBeforeHead,
    /// A session's end does not wait for its sets.
    EndBeforeChildren,
    /// A child does not wait for its parent's creation.
    ChildBeforeParent,
    /// What was on its way when the process died counts as never sent.
    FlightLostAtRestart,
    /// Acknowledged operations are not kept for a restored server.
    JournalNotWritten,
    /// What loses to the server goes without a trace.
    LossNotKept,
    /// What a restored server has lost stays on the device.
    LostStays,
    /// An older version that comes late takes the place of a newer one.
    StaleVersionWins,
    /// A parked entry does not hold up the writes after it.
    ParkedHoldsNobody,
}

#[cfg(feature = "planted")]
mod switch {
    use super::Bug;
    use crate::{
        db::Write,
        error::{Error, Result},
        queue::{Flight, settle},
        remote::{Accepted, Outcome, PushAnswer, PushBatch},
    };
    use rusqlite::Connection;
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
        static SEAMS: Cell<u32> = const { Cell::new(0) };
        static DIED: Cell<bool> = const { Cell::new(false) };
    }

    /// Of so many seams one is where the process dies.
    const DEADLY: u32 = 9;

    /// Plants a bug in what this thread does from here on; `None` pulls it out.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
        SEAMS.set(0);
        DIED.set(false);
    }

    /// Whether the process died in the middle of what was just done. Whoever asks has to kill it.
    pub fn died() -> bool {
        DIED.take()
    }

    pub(crate) fn is(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// Between two transactions that should be one.
    pub(crate) fn seam(bug: Bug, conn: &Connection) -> Result<()> {
        if !is(bug) {
            return Ok(());
        }
        conn.execute_batch("COMMIT; BEGIN IMMEDIATE")?;
        SEAMS.set(SEAMS.get() + 1);
        if SEAMS.get().is_multiple_of(DEADLY) {
            DIED.set(true);
            return Err(Error::invalid("planted", "the process died here"));
        }
        Ok(())
    }

    /// Settles a batch as if all of it had been taken.
    pub(crate) fn acknowledge(write: &mut Write<'_>, batch: &PushBatch, flight: &Flight) -> Result<()> {
        let taken = |version| {
            Outcome::Accepted(Accepted {
                version,
                ..Accepted::default()
            })
        };
        let results = batch.items.iter().map(|item| (item.op, taken(item.base_version + 1)));
        let answer = PushAnswer {
            results: results.collect(),
            server_time: None,
            epoch: None,
        };
        settle(write, flight, &answer).map(|_| ())
    }

    /// Every entry was answered with a 401.
    pub(crate) fn unauthorized(flight: &Flight) -> PushAnswer {
        PushAnswer {
            results: flight.items.iter().map(|(_, op)| (*op, Outcome::SignIn)).collect(),
            server_time: None,
            epoch: None,
        }
    }
}

#[cfg(feature = "planted")]
pub(crate) use switch::{acknowledge, is, seam, unauthorized};
#[cfg(feature = "planted")]
pub use switch::{died, plant};

#[cfg(not(feature = "planted"))]
mod none {
    use super::Bug;
    use crate::error::Result;

    pub(crate) const fn is(_: Bug) -> bool {
        false
    }

    pub(crate) const fn seam(_: Bug, _: &rusqlite::Connection) -> Result<()> {
        Ok(())
    }
}

#[cfg(not(feature = "planted"))]
pub(crate) use none::{is, seam};
