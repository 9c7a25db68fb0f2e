//! The drain: one pass that pulls and pushes until nothing can move.
//!
//! # One pass
//! 1. **Wake.** The network is back, the app comes to the foreground, a write was made, a timer
//!    fired, a session was completed, the user tapped, the system gave the app a moment in the
//!    background. A pass under way is joined, not doubled.
//! 2. **Pull** (or push first, as set): pages until the head is reached; each page is one transaction
//!    with its cursors. Stopped before its commit: the page comes again.
//! 3. **Push.** The whole queue is put in order ([`schedule`]); a batch is claimed (`maybe_sent` is
//!    committed), sent, settled; again until nothing can move. Stopped after the claim: the entries
//!    wait, and go again under their operation ids. Stopped before the settling is committed: the
//!    same.
//! 4. **Finish.** Refusals are parked, unless so many are alike that the backend must be at fault;
//!    events and counters are written; the timer is set for what waits. Stopped before: refused
//!    entries go again and are refused again.
//!
//! If the pull fails, the push still runs, and the report says of each half whether it worked.
//!
//! # What may go wrong
//! | what | costs the entries | what follows |
//! |---|---|---|
//! | no network, captive portal, a timeout whose probe fails | nothing | `offline`; a probe on an interval, on every hint and tap; the first answer starts a pass |
//! | no answer for one probe interval | nothing | a probe; if it answers, the same once more at once, if not, `offline` |
//! | a timeout although the probe answers | an attempt each | smaller batches, the entries' schedule |
//! | "not so fast" | nothing | nothing is sent before `Retry-After`, whoever taps |
//! | the token is refused | nothing | one refresh; if that does not help, `needs sign-in` |
//! | too large as a whole | nothing | half the batch, at once |
//! | the backend fails as a whole | nothing, an attempt once it is down to one entry | half the batch, later |
//! | anything not certainly the backend's | nothing | the remote backs off |
//! | the disk fails | nothing | the pass ends, the remote is left alone for a while |

mod backoff;
mod machine;
pub mod schedule;
mod status;
mod step;

pub use backoff::{Backoff, retry_delay};
pub use machine::{Answer, Drain, Event, Instruction, Request};
pub use status::{Snapshot, Status};
pub use step::{Release, Step, StepDone, carry_out};

/// Why a drain starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// The platform says the network is back.
    NetworkBack,
    /// The app came to the foreground.
    Foreground,
    /// Something was written.
    Write,
    /// A timer fired.
    Timer,
    /// A session was completed or skipped.
    SessionCompleted,
    /// The user asked for it.
    User,
    /// The system gave the app a moment in the background.
    Background {
        /// The pass ends by itself after this many milliseconds.
        budget_ms: u64,
    },
    /// The user has signed in again.
    SignedIn,
    /// Somebody waits for a write to arrive: it goes out at once.
    Confirm,
    /// An unsent write was rolled back: what the server has is wanted.
    RolledBack,
}

impl Trigger {
    /// What was just written goes out; what others wrote can wait for the next whole pass.
    pub(crate) fn only_pushes(self) -> bool {
        matches!(self, Self::Write | Self::Confirm)
    }
}

/// One of the two halves of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// Changes come in.
    Pull,
    /// Unsent writes go out.
    Push,
}

/// How a half of a pass ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HalfResult {
    /// It was not its turn: backing off, cancelled, or not asked for.
    #[default]
    NotRun,
    /// It came to its end.
    Worked,
    /// It did not; a stable code says why.
    Failed(&'static str),
}

impl HalfResult {
    /// Whether it failed.
    pub fn failed(self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

/// Who stopped a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// The caller.
    Caller,
    /// The time budget was used up.
    Budget,
}

/// What a pass came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What started it.
    pub trigger: Option<Trigger>,
    /// Entries the server has accepted.
    pub accepted: u64,
    /// Changes pulled.
    pub pulled: u64,
    /// Entries that met another version.
    pub conflicts: u64,
    /// Of those: settled by policy and sent again.
    pub rebased: u64,
    /// Entries parked.
    pub parked: u64,
    /// Entries that could not be sent as often as planned, and now need attention: told once of each.
    pub gave_up: u64,
    /// Entries still waiting at its end.
    pub waiting: u64,
    /// How the pull went.
    pub pull: HalfResult,
    /// How the push went.
    pub push: HalfResult,
    /// Requests sent, without probes and refreshes.
    pub requests: u64,
    /// Who stopped it, if anyone.
    pub cancelled: Option<Cancelled>,
}
