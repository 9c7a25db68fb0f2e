//! Planted bugs: a simulator that finds nothing may only be blind. Each of these is a fault in the
//! simulator's own runner, clock, disk or server, of a kind that a real one could have; each must be
//! caught.

use crate::server::Breach;

/// A planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The runner takes a timeout of a push for success.
    SettlesOnTimeout,
    /// The runner matches results to entries by position.
    ResultsByPosition,
    /// The runner sends a retry under a new operation id.
    NewIdsOnRetry,
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
    /// The server does not remember applied answers.
    NoDedup,
    /// The server takes any base.
    NoVersionCheck,
    /// The server does not look at `after`.
    IgnoresAfter,
    /// The server's cursors run ahead of the page.
    CursorRunsAhead,
    /// The server is restored without a new epoch.
    NoEpoch,
    /// The server does not look at which version of a number is meant.
    ForgetsBaseId,
    /// The server does not look for what it applied under an item's earlier ids.
    ForgetsEarlierIds,
    /// The runner takes everything that was acknowledged to be in the restored data.
    IgnoresBranch,
}

/// All of them, with the names the command line knows them by.
pub const ALL: [(Bug, &str); 16] = [
    (Bug::SettlesOnTimeout, "settles-on-timeout"),
    (Bug::ResultsByPosition, "results-by-position"),
    (Bug::NewIdsOnRetry, "new-ids-on-retry"),
    (Bug::AnswersCrossAccounts, "answers-cross-accounts"),
    (Bug::DropsTimers, "drops-timers"),
    (Bug::CursorWithoutPage, "cursor-without-page"),
    (Bug::NotDurable, "not-durable"),
    (Bug::ClockBackwards, "clock-backwards"),
    (Bug::NoDedup, "no-dedup"),
    (Bug::NoVersionCheck, "no-version-check"),
    (Bug::IgnoresAfter, "ignores-after"),
    (Bug::CursorRunsAhead, "cursor-runs-ahead"),
    (Bug::NoEpoch, "no-epoch"),
    (Bug::ForgetsBaseId, "forgets-base-id"),
    (Bug::ForgetsEarlierIds, "forgets-earlier-ids"),
    (Bug::IgnoresBranch, "ignores-branch"),
];

impl Bug {
    /// The bug of this name.
    pub fn named(name: &str) -> Option<Self> {
        ALL.iter().find(|(_, known)| *known == name).map(|(bug, _)| *bug)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        ALL.iter().find(|(bug, _)| *bug == self).map_or("", |(_, name)| name)
    }

    /// What a server with this bug does wrong.
    pub fn breach(bug: Option<Self>) -> Breach {
        Breach {
            forgets_answers: bug == Some(Self::NoDedup),
            ignores_versions: bug == Some(Self::NoVersionCheck),
            ignores_after: bug == Some(Self::IgnoresAfter),
            cursor_runs_ahead: bug == Some(Self::CursorRunsAhead),
            keeps_epoch: bug == Some(Self::NoEpoch),
            forgets_base_id: bug == Some(Self::ForgetsBaseId),
            forgets_earlier_ids: bug == Some(Self::ForgetsEarlierIds),
        }
    }
}
