//! Draining: when, how it stands, what came of it; and the first sync.

use crate::{
    Store,
    error::{Result, unsigned},
    mirror::{Out, names, record},
};
use keepsync::{drain, first_sync};

/// What is going on, always.
#[derive(Debug, Clone, PartialEq, uniffi::Enum)]
#[cfg_attr(
    test,
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", rename_all_fields = "camelCase")
)]
pub enum Status {
    /// Everything has arrived, or waits for the app's next move.
    Idle,
    /// The backend cannot be reached.
    Offline,
    /// A pass is under way.
    Syncing {
        /// Changes and entries done.
        done: i64,
        /// Known so far.
        total: i64,
    },
    /// The next attempt is at this moment.
    WaitingUntil {
        /// UTC milliseconds.
        at: i64,
    },
    /// The user has to sign in again; everything is kept.
    NeedsSignIn,
    /// The user has to look at something: parked entries, conflicts, schedules that are used up.
    NeedsAttention {
        /// How many.
        count: i64,
    },
    /// A collection the app needs has never been pulled whole.
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

impl Out<Status> for drain::Status {
    fn out(self) -> Status {
        match self {
            Self::Idle => Status::Idle,
            Self::Offline => Status::Offline,
            Self::Syncing { done, total } => Status::Syncing {
                done: done.out(),
                total: total.out(),
            },
            Self::WaitingUntil { at } => Status::WaitingUntil { at },
            Self::NeedsSignIn => Status::NeedsSignIn,
            Self::NeedsAttention { count } => Status::NeedsAttention { count: count.out() },
            Self::NeedsFirstSync { stalled } => Status::NeedsFirstSync { stalled },
            Self::StorageFull => Status::StorageFull,
            Self::LocalOnly => Status::LocalOnly,
            Self::Elsewhere => Status::Elsewhere,
        }
    }
}

/// How a half of a pass ended.
#[derive(Debug, Clone, PartialEq, uniffi::Enum)]
#[cfg_attr(
    test,
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", rename_all_fields = "camelCase")
)]
pub enum HalfResult {
    /// It was not its turn: backing off, cancelled, or not asked for.
    NotRun,
    /// It came to its end.
    Worked,
    /// It did not.
    Failed {
        /// Stable.
        code: String,
    },
}

impl Out<HalfResult> for drain::HalfResult {
    fn out(self) -> HalfResult {
        match self {
            Self::NotRun => HalfResult::NotRun,
            Self::Worked => HalfResult::Worked,
            Self::Failed(code) => HalfResult::Failed { code: code.out() },
        }
    }
}

record! {
    /// What a pass came to.
    Report from drain::Report {
        /// Entries the server has accepted.
        accepted: i64,
        /// Changes pulled.
        pulled: i64,
        /// Entries that met another version.
        conflicts: i64,
        /// Of those: settled by policy and sent again.
        rebased: i64,
        /// Entries parked.
        parked: i64,
        /// Entries that could not be sent as often as planned, and now need attention.
        gave_up: i64,
        /// Entries still waiting at its end.
        waiting: i64,
        /// How the pull went.
        pull: HalfResult,
        /// How the push went.
        push: HalfResult,
        /// Requests sent, without probes and refreshes.
        requests: i64,
    }
}

names! {
    /// How the first sync stands.
    FirstSyncState from first_sync::FirstSyncState {
        /// All that the app needs is here, or the user went on without it.
        Done,
        /// A drain is under way.
        Running,
        /// Nothing is under way; the status says why.
        Waiting,
        /// Nothing has come for as long as the settings allow.
        Stalled,
    }
}

record! {
    /// How far one collection is.
    CollectionProgress from first_sync::CollectionProgress {
        /// Its name.
        name: String,
        /// Changes that have come since it was last pulled from the start.
        done: i64,
        /// Changes there are; absent where the backend does not tell, or has not been asked.
        total: Option<i64>,
        /// Whether it was pulled whole once.
        complete: bool,
        /// Whether the app needs it and the user has not gone on without it.
        required: bool,
    }
}

record! {
    /// What a screen draws of the first sync.
    FirstSyncProgress from first_sync::FirstSyncProgress {
        /// How it stands.
        state: FirstSyncState,
        /// Whether the user may go on without it.
        may_continue: bool,
        /// Changes that have come, of all collections.
        done: i64,
        /// Changes there are, as far as they were counted; absent where the backend does not tell.
        total: Option<i64>,
        /// Each collection that is pulled, in the order in which they come.
        collections: Vec<CollectionProgress>,
    }
}

#[uniffi::export]
impl Store {
    /// Drains now, or joins the drain under way, and says what came of it. Waits for the network.
    pub async fn sync(&self) -> Result<Report> {
        self.call(|store| async move { store.sync().await }).await
    }

    /// Drains within a time budget, for the system's background task. Waits for the network, at most `budget_ms`
    /// milliseconds.
    pub async fn background(&self, budget_ms: i64) -> Result<Report> {
        let budget_ms = unsigned("budget_ms", budget_ms)?;
        self.call(move |store| async move { store.background(budget_ms).await })
            .await
    }

    /// Stops the drain under way. Unsent writes wait for the next.
    pub fn cancel(&self) -> Result<()> {
        self.tell(|store| store.cancel())
    }

    /// The platform says whether there is a network. A hint: only an answer of the backend is proof.
    pub fn network(&self, there: bool) -> Result<()> {
        self.tell(|store| store.network(there))
    }

    /// The app came to the foreground, or left it.
    pub fn foreground(&self, there: bool) -> Result<()> {
        self.tell(|store| store.foreground(there))
    }

    /// Another process may have written to the file.
    pub fn look(&self) -> Result<()> {
        self.tell(|store| store.look())
    }

    /// The user has signed in again: the account's queue goes on.
    pub fn signed_in(&self) -> Result<()> {
        self.tell(|store| store.signed_in())
    }

    /// What is going on.
    pub async fn status(&self) -> Result<Status> {
        self.call(|store| async move { store.status().await }).await
    }

    /// When the last drain ended whose halves both worked: UTC milliseconds, in this process life.
    pub async fn last_synced_at(&self) -> Result<Option<i64>> {
        self.call(|store| async move { Ok(store.last_synced_at()) }).await
    }

    /// How far the first sync has come.
    pub async fn first_sync(&self) -> Result<FirstSyncProgress> {
        self.call(|store| async move { store.first_sync().await }).await
    }

    /// Gives up a request that hangs and begins again, from the last page that came; for the retry button.
    pub async fn retry_first_sync(&self) -> Result<Report> {
        self.call(|store| async move { store.retry_first_sync().await }).await
    }

    /// Goes on without the first pull, where every missing collection allows it. The pull itself goes on.
    pub async fn continue_without_first_sync(&self) -> Result<()> {
        self.call(|store| async move { store.continue_without_first_sync().await })
            .await
    }
}
