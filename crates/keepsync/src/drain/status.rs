//! What the app can always be told. Pure.

use crate::{env::Now, queue::QueueCounts};

/// What is going on, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Everything has arrived, or waits for the app's next move.
    Idle,
    /// The backend cannot be reached.
    Offline,
    /// A pass is under way.
    Syncing {
        /// Changes and entries done.
        done: u64,
        /// Known so far.
        total: u64,
    },
    /// The next attempt is at this moment, UTC milliseconds.
    WaitingUntil {
        /// UTC milliseconds.
        at: i64,
    },
    /// The user has to sign in again; everything is kept.
    NeedsSignIn,
    /// The user has to look at something: parked entries, conflicts, schedules that are used up.
    NeedsAttention {
        /// How many.
        count: u64,
    },
    /// A collection the app needs has never been pulled whole; see
    /// [`FirstSyncProgress`](crate::first_sync::FirstSyncProgress).
    NeedsFirstSync {
        /// Nothing has come for as long as the settings allow.
        stalled: bool,
    },
    /// No room on the disk.
    StorageFull,
    /// No backend is configured; everything local works.
    LocalOnly,
    /// Another process of this device drains this file.
    Elsewhere,
}

impl Status {
    /// Stable, as the command line and the bindings spell it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Offline => "offline",
            Self::Syncing { .. } => "syncing",
            Self::WaitingUntil { .. } => "waiting",
            Self::NeedsSignIn => "needs_sign_in",
            Self::NeedsAttention { .. } => "needs_attention",
            Self::NeedsFirstSync { .. } => "needs_first_sync",
            Self::StorageFull => "storage_full",
            Self::LocalOnly => "local_only",
            Self::Elsewhere => "elsewhere",
        }
    }
}

/// What the drain itself knows of what is going on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub(super) storage_full: bool,
    pub(super) sign_in_needed: bool,
    pub(super) progress: Option<(u64, u64)>,
    pub(super) offline: bool,
    pub(super) backend_suspect: bool,
    pub(super) nothing_before: u64,
    pub(super) next_due: Option<u64>,
    pub(super) stalled: bool,
    pub(super) last_synced_at: Option<i64>,
    pub(super) elsewhere: bool,
}

impl Snapshot {
    /// The one thing to tell, the most pressing first.
    pub fn status(&self, counts: &QueueCounts, needs_first_sync: bool, now: Now) -> Status {
        let at = |tick: u64| {
            now.wall_ms
                .saturating_add(i64::try_from(tick.saturating_sub(now.tick_ms)).unwrap_or(0))
        };
        let attention = counts.parked + counts.conflict + counts.exhausted + u64::from(self.backend_suspect);
        let due = self.next_due.filter(|&due| counts.waiting > 0 && due > now.tick_ms);
        if self.storage_full {
            Status::StorageFull
        } else if self.sign_in_needed {
            Status::NeedsSignIn
        } else if needs_first_sync && self.stalled {
            Status::NeedsFirstSync { stalled: true }
        } else if let Some((done, total)) = self.progress {
            Status::Syncing { done, total }
        } else if needs_first_sync {
            Status::NeedsFirstSync { stalled: false }
        } else if self.offline && !self.elsewhere {
            Status::Offline
        } else if attention > 0 {
            Status::NeedsAttention { count: attention }
        } else if self.elsewhere {
            Status::Elsewhere
        } else if self.nothing_before > now.tick_ms {
            Status::WaitingUntil {
                at: at(self.nothing_before),
            }
        } else if let Some(due) = due {
            Status::WaitingUntil { at: at(due) }
        } else {
            Status::Idle
        }
    }

    /// The code under which a half fails that another process would not let this one run.
    #[cfg(feature = "runtime")]
    pub(crate) const ELSEWHERE: &'static str = "elsewhere";

    /// Whether another process is the one that drains: what this one knows of the network is old.
    #[cfg(feature = "runtime")]
    pub(crate) fn elsewhere(self, elsewhere: bool) -> Self {
        Self { elsewhere, ..self }
    }

    /// Whether a first sync that the app needs has brought nothing for as long as the settings allow.
    pub fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// Whether a pass is under way.
    pub fn is_syncing(&self) -> bool {
        self.progress.is_some()
    }

    /// When the last pass ended whose halves both worked: UTC milliseconds, in this process life.
    pub fn last_synced_at(&self) -> Option<i64> {
        self.last_synced_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_pressing_is_told_first() {
        let now = Now {
            wall_ms: 1_000_000,
            tick_ms: 5_000,
        };
        let none = QueueCounts::default();
        let parked = QueueCounts {
            parked: 2,
            exhausted: 1,
            waiting: 1,
            ..none
        };
        let waiting = QueueCounts { waiting: 1, ..none };
        let base = Snapshot::default();
        let table = [
            (base, none, false, Status::Idle),
            (
                Snapshot {
                    next_due: Some(6_000),
                    ..base
                },
                none,
                false,
                Status::Idle,
            ),
            (
                Snapshot {
                    next_due: Some(6_000),
                    ..base
                },
                waiting,
                false,
                Status::WaitingUntil { at: 1_001_000 },
            ),
            (
                Snapshot {
                    nothing_before: 9_000,
                    ..base
                },
                none,
                false,
                Status::WaitingUntil { at: 1_004_000 },
            ),
            (
                Snapshot {
                    nothing_before: 9_000,
                    ..base
                },
                parked,
                false,
                Status::NeedsAttention { count: 3 },
            ),
            (
                Snapshot {
                    backend_suspect: true,
                    ..base
                },
                none,
                false,
                Status::NeedsAttention { count: 1 },
            ),
            (Snapshot { offline: true, ..base }, parked, false, Status::Offline),
            (
                Snapshot {
                    elsewhere: true,
                    offline: true,
                    nothing_before: 9_000,
                    ..base
                },
                waiting,
                false,
                Status::Elsewhere,
            ),
            (
                Snapshot {
                    elsewhere: true,
                    ..base
                },
                parked,
                false,
                Status::NeedsAttention { count: 3 },
            ),
            (
                Snapshot { offline: true, ..base },
                parked,
                true,
                Status::NeedsFirstSync { stalled: false },
            ),
            (
                Snapshot {
                    stalled: true,
                    progress: Some((1, 3)),
                    ..base
                },
                parked,
                true,
                Status::NeedsFirstSync { stalled: true },
            ),
            (
                Snapshot {
                    stalled: true,
                    progress: Some((1, 3)),
                    ..base
                },
                parked,
                false,
                Status::Syncing { done: 1, total: 3 },
            ),
            (
                Snapshot {
                    progress: Some((1, 3)),
                    offline: true,
                    ..base
                },
                parked,
                true,
                Status::Syncing { done: 1, total: 3 },
            ),
            (
                Snapshot {
                    sign_in_needed: true,
                    progress: Some((1, 3)),
                    ..base
                },
                parked,
                true,
                Status::NeedsSignIn,
            ),
            (
                Snapshot {
                    storage_full: true,
                    sign_in_needed: true,
                    ..base
                },
                parked,
                true,
                Status::StorageFull,
            ),
        ];
        for (snapshot, counts, first, expected) in table {
            assert_eq!(snapshot.status(&counts, first, now), expected, "{snapshot:?}");
        }
    }

    #[test]
    fn words_of_the_status_are_stable() {
        let table = [
            (Status::Idle, "idle"),
            (Status::Offline, "offline"),
            (Status::Syncing { done: 1, total: 2 }, "syncing"),
            (Status::WaitingUntil { at: 1 }, "waiting"),
            (Status::NeedsSignIn, "needs_sign_in"),
            (Status::NeedsAttention { count: 1 }, "needs_attention"),
            (Status::NeedsFirstSync { stalled: true }, "needs_first_sync"),
            (Status::StorageFull, "storage_full"),
            (Status::LocalOnly, "local_only"),
        ];
        for (status, code) in table {
            assert_eq!(status.code(), code);
        }
    }

    #[test]
    fn what_is_due_now_is_not_waited_for() {
        let now = Now {
            wall_ms: 1_000_000,
            tick_ms: 5_000,
        };
        let waiting = QueueCounts {
            waiting: 1,
            ..QueueCounts::default()
        };
        for (tick, expected) in [
            (4_999, Status::Idle),
            (5_000, Status::Idle),
            (5_001, Status::WaitingUntil { at: 1_000_001 }),
        ] {
            let due = Snapshot {
                next_due: Some(tick),
                ..Snapshot::default()
            };
            assert_eq!(due.status(&waiting, false, now), expected);
            let floor = Snapshot {
                nothing_before: tick,
                ..Snapshot::default()
            };
            assert_eq!(floor.status(&waiting, false, now), expected);
        }
    }

    #[test]
    fn everything_that_needs_the_user_is_counted() {
        let counts = QueueCounts {
            parked: 1,
            conflict: 10,
            exhausted: 100,
            waiting: 100,
            held: 1_000,
        };
        let suspect = Snapshot {
            backend_suspect: true,
            ..Snapshot::default()
        };
        let now = Now { wall_ms: 0, tick_ms: 0 };
        assert_eq!(
            suspect.status(&counts, false, now),
            Status::NeedsAttention { count: 112 }
        );
    }

    #[test]
    fn a_snapshot_tells_what_the_drain_knows() {
        let none = Snapshot::default();
        assert_eq!(
            (none.is_stalled(), none.is_syncing(), none.last_synced_at()),
            (false, false, None)
        );
        let all = Snapshot {
            stalled: true,
            progress: Some((0, 0)),
            last_synced_at: Some(7),
            ..none
        };
        assert_eq!(
            (all.is_stalled(), all.is_syncing(), all.last_synced_at()),
            (true, true, Some(7))
        );
    }
}
