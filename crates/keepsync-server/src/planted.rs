//! Planted bugs, for tests of the tests; see `keepsync-sim --bugs`. Without the feature `planted`, which nothing
//! that ships can have ([`PLANTED`]), there is none, and no code for one.

/// Whether this build can have planted bugs.
pub const PLANTED: bool = cfg!(feature = "planted");

/// What can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// What was applied under an operation id is not remembered.
    NoDedup,
    /// Any base is good.
    NoVersionCheck,
    /// `after` is not looked at.
    IgnoresAfter,
    /// `base_id` is not looked at: a version's number says which one is meant.
    ForgetsBaseId,
    /// What was applied under an id of an earlier epoch is applied again.
    ForgetsEarlierIds,
    /// The cursors after a page stand at the head, also when there is more.
    CursorRunsAhead,
    /// A change number is handed out before its transaction is committed, so that a page can end above a
    /// change that is not there yet.
    LateCommits,
    /// A restored server goes on in the epoch it was in.
    NoEpoch,
    /// A forgotten tombstone leaves no trace: old cursors go on, and versions begin at 1 again.
    PurgeForgetsItself,
    /// The answer of a record's current version is forgotten with the others.
    PurgeForgetsCurrent,
}

#[cfg(feature = "planted")]
mod switch {
    use super::Bug;
    use std::cell::Cell;

    thread_local!(static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) });

    /// Plants a bug in what this thread does from here on; `None` pulls it out.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    pub(crate) fn is(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}

#[cfg(feature = "planted")]
pub(crate) use switch::is;
#[cfg(feature = "planted")]
pub use switch::plant;

#[cfg(not(feature = "planted"))]
pub(crate) const fn is(_: Bug) -> bool {
    false
}
