//! Planted bugs: a simulator that finds nothing may only be blind. Each of these is a fault of a kind that a real
//! one could have, and each must be caught: in the simulator's own runner, clock, disk or keychain, and, where they
//! are built in (feature `planted`, which nothing that ships can have), in the core and the server themselves.

use keepsync::planted::Bug as Core;
use keepsync_server::planted::Bug as Server;

/// A planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The runner takes a timeout of a push for success.
    SettlesOnTimeout,
    /// The runner gives an answer to whoever is signed in when it comes.
    AnswersCrossAccounts,
    /// The runner hardly ever sets the timer: the next event makes up for one that was forgotten.
    DropsTimers,
    /// The runner now and then loses a page's changes and keeps its cursors.
    CursorWithoutPage,
    /// The disk loses the last commit when the power goes (`synchronous=NORMAL`).
    NotDurable,
    /// The monotonic clock runs backwards.
    ClockBackwards,
    /// The runner takes everything that was acknowledged to be in the restored data.
    IgnoresBranch,
    /// The runner refreshes for each of two who wait, with the same token.
    RefreshesTwice,
    /// In the core.
    Core(Core),
    /// In the server.
    Server(Server),
}

/// Those of the simulator's own.
const OWN: [(Bug, &str); 8] = [
    (Bug::SettlesOnTimeout, "settles-on-timeout"),
    (Bug::AnswersCrossAccounts, "answers-cross-accounts"),
    (Bug::DropsTimers, "drops-timers"),
    (Bug::CursorWithoutPage, "cursor-without-page"),
    (Bug::NotDurable, "not-durable"),
    (Bug::ClockBackwards, "clock-backwards"),
    (Bug::IgnoresBranch, "ignores-branch"),
    (Bug::RefreshesTwice, "refreshes-twice"),
];

const CORE: [(Core, &str); 25] = [
    (Core::TwoTransactions, "two-transactions"),
    (Core::NormalInsteadOfFull, "normal-instead-of-full"),
    (Core::CursorBeforeRows, "cursor-before-rows"),
    (Core::SkipPullWhilePending, "skip-pull-while-pending"),
    (Core::OrderByWallClock, "order-by-wall-clock"),
    (Core::NoEpoch, "no-epoch"),
    (Core::FoldAttempted, "fold-attempted"),
    (Core::CountOfflineAttempts, "count-offline-attempts"),
    (Core::DropOn401, "drop-on-401"),
    (Core::ResultsByPosition, "results-by-position"),
    (Core::AcknowledgeBeforeAnswer, "acknowledge-before-answer"),
    (Core::NewIdOnRetry, "new-id-on-retry"),
    (Core::TombstoneOverEdit, "tombstone-over-edit"),
    (Core::ResolveForgetsBase, "resolve-forgets-base"),
    (Core::HeldNotReleased, "held-not-released"),
    (Core::IgnoresRetryAfter, "ignores-retry-after"),
    (Core::FollowersBeforeHead, "followers-before-head"),
    (Core::EndBeforeChildren, "end-before-children"),
    (Core::ChildBeforeParent, "child-before-parent"),
    (Core::FlightLostAtRestart, "flight-lost-at-restart"),
    (Core::JournalNotWritten, "journal-not-written"),
    (Core::LossNotKept, "loss-not-kept"),
    (Core::LostStays, "lost-stays"),
    (Core::StaleVersionWins, "stale-version-wins"),
    (Core::ParkedHoldsNobody, "parked-holds-nobody"),
];

const SERVER: [(Server, &str); 10] = [
    (Server::NoDedup, "server-no-dedup"),
    (Server::NoVersionCheck, "server-no-version-check"),
    (Server::IgnoresAfter, "server-ignores-after"),
    (Server::ForgetsBaseId, "server-forgets-base-id"),
    (Server::ForgetsEarlierIds, "server-forgets-earlier-ids"),
    (Server::CursorRunsAhead, "server-cursor-runs-ahead"),
    (Server::LateCommits, "server-late-commits"),
    (Server::NoEpoch, "server-no-epoch"),
    (Server::PurgeForgetsItself, "server-purge-forgets-itself"),
    (Server::PurgeForgetsCurrent, "server-purge-forgets-current"),
];

/// All that this build can plant, with the names the command line knows them by.
pub fn all() -> Vec<(Bug, &'static str)> {
    let core = CORE.map(|(bug, name)| (Bug::Core(bug), name));
    let server = SERVER.map(|(bug, name)| (Bug::Server(bug), name));
    let built_in = core.into_iter().chain(server).filter(|_| keepsync::planted::PLANTED);
    OWN.into_iter().chain(built_in).collect()
}

impl Bug {
    /// The bug of this name, if this build can plant it.
    pub fn named(name: &str) -> Option<Self> {
        all().iter().find(|(_, known)| *known == name).map(|(bug, _)| *bug)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        all().iter().find(|(bug, _)| *bug == self).map_or("", |(_, name)| name)
    }

    /// Whether it is in the server.
    pub fn is_of_server(bug: Option<Self>) -> bool {
        matches!(bug, Some(Self::Server(_)))
    }
}

/// A bug is planted in the core or the server, for what this thread does until the value is gone.
#[derive(Debug)]
pub(crate) struct Planted;

#[cfg(feature = "planted")]
impl Planted {
    pub(crate) fn new(bug: Option<Bug>) -> Self {
        keepsync::planted::plant(if let Some(Bug::Core(bug)) = bug {
            Some(bug)
        } else {
            None
        });
        keepsync_server::planted::plant(if let Some(Bug::Server(bug)) = bug {
            Some(bug)
        } else {
            None
        });
        Self
    }

    /// Whether the device's process died in the middle of what it just did.
    pub(crate) fn died() -> bool {
        keepsync::planted::died()
    }
}

#[cfg(not(feature = "planted"))]
impl Planted {
    pub(crate) fn new(_: Option<Bug>) -> Self {
        Self
    }

    pub(crate) fn died() -> bool {
        false
    }
}

#[cfg(feature = "planted")]
impl Drop for Planted {
    fn drop(&mut self) {
        keepsync::planted::plant(None);
        keepsync_server::planted::plant(None);
    }
}
