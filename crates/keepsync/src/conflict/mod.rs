//! What happens when the server has another version than a local write was made on.
//!
//! # In the order it happens
//! 1. Versions detect, the server assigns them: a pulled version, or an answer to a push, is newer
//!    than the base of something unsent.
//! 2. The pulled version always becomes the record's base, also while a local change is pending.
//! 3. [`plan`] decides, from base, local, remote and policy alone.
//! 4. `apply` carries it out in the same transaction: base, entries, visible body, history,
//!    and, under `ask`, a row in `conflict` with both bodies and their base. Rows of a parent and its
//!    children are one conflict of the parent (`family`).
//! 5. [`Read::conflicts`](crate::Read::conflicts) shows both sides, what differs ([`difference`]) and what
//!    a merge would make ([`propose`]). A further version, or a further write here, refreshes it.
//! 6. The user resolves it ([`resolve`]); the resolution is a write whose base is the remote
//!    version that was shown, and it can meet another version again.
//!
//! What the app decides itself waits as such a row too, for the app's resolver instead of the user
//! (`resolver.rs`). What each policy does with which versions: `docs/conflicts.md`.
//!
//! Stopped anywhere before the commit: nothing of it happened, and the same page or answer comes
//! again. An entry whose fate is open (it may have been applied without our knowing) is not planned
//! on: its base is frozen, and its answer settles it.

mod policy;
mod clocks;
mod merge;
mod plan;
mod stamp;
mod family;
mod apply;
mod member;
mod difference;
mod proposal;
mod shown;
mod list;
mod resolve;
mod resolver;

pub use clocks::{Clock, Clocks};
pub use difference::{Changed, Difference, difference};
pub use merge::Base;
pub use plan::{Action, Merge, Side, plan};
pub use policy::Policy;
pub use proposal::{Proposed, Units, propose};
pub use resolve::{Merged, Resolution, resolve};
pub use resolver::{Answer, ConflictResolver, Resolvers, Unresolved, Verdict, consult};
pub use shown::{ChildBody, Conflict, ConflictChild, Contested, Proposal};

pub(crate) use policy::check as check_policies;
pub(crate) use resolver::decided;
pub(crate) use stamp::{Stored, clocks_after};

pub(crate) use apply::{close_if_idle, meet, refresh_local};

#[cfg(test)]
mod tests;
