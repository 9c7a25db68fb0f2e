//! The queue of unsent writes, and what became of a write.

use crate::{
    Store,
    error::{Result, operation, unsigned},
    mirror::{Out, names, record},
};
use keepsync::{queue as core, store};

names! {
    /// What an entry does.
    Kind from core::Kind {
        /// Makes a record.
        Create,
        /// Gives a record a new body.
        Update,
        /// Deletes a record.
        Delete,
        /// Completes a session.
        Complete,
        /// Skips a session.
        Skip,
    }
}

names! {
    /// Where an entry stands.
    EntryState from core::EntryState {
        /// For its turn, its time, or an answer.
        Waiting,
        /// Until its session is done.
        Held,
        /// Until the user settles the conflict.
        Conflict,
        /// Refused, or impossible to send: until the user edits, retries or discards it.
        Parked,
    }
}

record! {
    /// What the backend said of a refusal.
    Reason from core::Reason {
        /// Machine-readable, stable.
        code: String,
        /// For a person.
        message: String,
    }
}

/// What keeps an unsent write where it is.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct Why {
    /// Machine-readable, stable: `ready`, `unanswered`, `waiting_until`, `retries_used_up`, `held`, `in_conflict`,
    /// `behind_parked`, `behind_conflict`, `behind_held`, `behind_waiting`, `behind_newer`, a status of the drain,
    /// or the code of a refusal.
    pub code: String,
    /// The operation it waits behind, if that is what keeps it.
    pub behind: Option<String>,
    /// For a person.
    pub text: String,
}

impl Out<Why> for core::Why {
    fn out(self) -> Why {
        Why {
            code: self.code().to_owned(),
            behind: self.behind().out(),
            text: self.message(),
        }
    }
}

record! {
    /// One unsent write.
    Entry from core::Entry {
        /// Its place in the order.
        seq: i64,
        /// Its operation id: the same on every attempt of the same content.
        op: String,
        /// The refused operation whose place it takes.
        replaces: Option<String>,
        /// The collection.
        collection: String,
        /// The record.
        id: String,
        /// The order it belongs to: the parent's id, or the record's own.
        lane: String,
        /// What it does.
        kind: Kind,
        /// JSON text, only where one entry was asked for; absent for a delete.
        body: Option<String>,
        /// The server version it was made on; 0 for none.
        base_version: i64,
        /// Whether a byte of it may have left the device.
        maybe_sent: bool,
        /// Attempts that counted.
        attempts: i64,
        /// Not before this moment, UTC milliseconds; absent for now, or for never by itself.
        next_attempt_at: Option<i64>,
        /// Whether the schedule is used up.
        exhausted: bool,
        /// Where it stands.
        state: EntryState,
        /// What the backend said, if it refused it.
        reason: Option<Reason>,
        /// When the user wrote it: UTC milliseconds.
        created_at: i64,
        /// What keeps it here, with what stands before it taken into account.
        why: Why,
        /// Operation ids of the unsent writes it must follow; only where one entry was asked for.
        after: Vec<String>,
    }
}

record! {
    /// How many entries stand where.
    QueueCounts from core::QueueCounts {
        /// For their turn, their time, or an answer.
        waiting: i64,
        /// Of those: with a schedule that is used up.
        exhausted: i64,
        /// Until their session is done.
        held: i64,
        /// Until the user settles a conflict.
        conflict: i64,
        /// Until the user does something about a refusal.
        parked: i64,
    }
}

/// What has become of a write.
#[derive(Debug, Clone, PartialEq, uniffi::Enum)]
#[cfg_attr(
    test,
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", rename_all_fields = "camelCase")
)]
pub enum WriteOutcome {
    /// On its way, or waiting.
    Pending {
        /// Where its entry stands.
        state: EntryState,
        /// What keeps it there.
        why: Why,
    },
    /// The server has it.
    Accepted {
        /// The version it produced, or that says the same.
        version: i64,
        /// When the server applied it: UTC milliseconds.
        at: i64,
    },
    /// Refused, and parked until the user edits, retries, rolls back or discards it.
    Rejected {
        /// What the backend said.
        reason: Reason,
    },
    /// It met another version, and the user decides.
    InConflict,
    /// Its content went into another operation.
    Superseded {
        /// The operation to ask about from now on.
        by: String,
    },
    /// Another device's version stands instead. This one is in the record's history.
    Lost {
        /// The server's version that stands.
        version: i64,
    },
    /// Thrown away by the user, or cancelled out before it left.
    Discarded,
    /// Rolled back because the app asked for it.
    RolledBack,
    /// Nothing is known of it: it never was an operation of this file, or ended too long ago.
    Unknown,
}

impl Out<WriteOutcome> for core::WriteOutcome {
    fn out(self) -> WriteOutcome {
        match self {
            Self::Pending { state, why } => WriteOutcome::Pending {
                state: state.out(),
                why: why.out(),
            },
            Self::Accepted { version, at } => WriteOutcome::Accepted { version, at },
            Self::Rejected { code, message } => WriteOutcome::Rejected {
                reason: Reason { code, message },
            },
            Self::Conflict => WriteOutcome::InConflict,
            Self::Superseded { by } => WriteOutcome::Superseded { by: by.out() },
            Self::Lost { version } => WriteOutcome::Lost { version },
            Self::Discarded => WriteOutcome::Discarded,
            Self::RolledBack => WriteOutcome::RolledBack,
            _ => WriteOutcome::Unknown,
        }
    }
}

/// What came of waiting for a write.
#[derive(Debug, Clone, PartialEq, uniffi::Enum)]
#[cfg_attr(
    test,
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", rename_all_fields = "camelCase")
)]
pub enum Confirmation {
    /// The backend has it.
    Confirmed,
    /// It is in the queue, and goes out when it can.
    Queued {
        /// Why it has not arrived: `time_limit`, `local_only`, `held`, `conflict`, `waiting`, the code of a refusal, or
        /// of what failed.
        why: String,
    },
    /// It does not travel any more.
    Gone,
}

impl Out<Confirmation> for store::Confirmation {
    fn out(self) -> Confirmation {
        match self {
            Self::Confirmed => Confirmation::Confirmed,
            Self::Queued { why } => Confirmation::Queued { why },
            Self::Gone => Confirmation::Gone,
        }
    }
}

#[uniffi::export]
impl Store {
    /// Unsent writes, oldest first, from after the place `after_seq` on (at first -1), without bodies.
    pub async fn entries(&self, after_seq: i64, limit: i64) -> Result<Vec<Entry>> {
        let limit = unsigned("limit", limit)?;
        self.call(move |store| async move { store.entries(after_seq, limit).await })
            .await
    }

    /// One unsent write, with its body and what it must follow.
    pub async fn entry(&self, op: String) -> Result<Entry> {
        let op = operation(&op)?;
        self.call(move |store| async move { store.entry(op).await }).await
    }

    /// How many entries stand where.
    pub async fn queue_counts(&self) -> Result<QueueCounts> {
        self.call(|store| async move { store.queue_counts().await }).await
    }

    /// Gives a refused or certainly unsent entry another body, and sets it free. Gives its operation id, which is a
    /// new one if the old one may have left the device.
    pub async fn edit_entry(&self, op: String, body: String) -> Result<String> {
        let op = operation(&op)?;
        self.call(move |store| async move { store.edit_entry(op, &body).await })
            .await
    }

    /// Sends an entry again as it is, now.
    pub async fn retry_entry(&self, op: String) -> Result<()> {
        let op = operation(&op)?;
        self.call(move |store| async move { store.retry_entry(op).await }).await
    }

    /// Sends everything again that is parked or waits for its time. Gives how many are to be sent.
    pub async fn retry_all(&self) -> Result<i64> {
        self.call(|store| async move { store.retry_all().await }).await
    }

    /// Throws an unsent write away, because the user says so. Gives how many went: with `cascade`, those that cannot
    /// go without it go too.
    pub async fn discard_entry(&self, op: String, cascade: bool) -> Result<i64> {
        let op = operation(&op)?;
        self.call(move |store| async move { store.discard_entry(op, cascade).await })
            .await
    }

    /// What has become of a write so far.
    pub async fn outcome(&self, op: String) -> Result<WriteOutcome> {
        let op = operation(&op)?;
        self.call(move |store| async move { store.read(move |read| read.outcome(op)).await })
            .await
    }

    /// Waits until it is known what became of a write, for as long as it takes, and says it. Giving up loses nothing.
    pub async fn settled(&self, op: String) -> Result<WriteOutcome> {
        let op = operation(&op)?;
        self.wait(move |store| async move { store.outcome(op).await }).await
    }

    /// Takes an unsent write back and says what became of it; waits for its answer if it may have been sent.
    pub async fn rollback(&self, op: String, cascade: bool) -> Result<WriteOutcome> {
        let op = operation(&op)?;
        self.wait(move |store| async move { store.rollback(op, cascade).await })
            .await
    }

    /// Sends a write at once and waits until the backend has it, at most `limit_ms` milliseconds. Whatever comes of
    /// it, the write is kept.
    pub async fn confirmed(&self, op: String, limit_ms: i64) -> Result<Confirmation> {
        let (op, limit_ms) = (operation(&op)?, unsigned("limit_ms", limit_ms)?);
        self.wait(move |store| async move { store.confirmed(op, limit_ms).await })
            .await
    }

    /// All unsent writes with their bodies, one JSON object a line, oldest first: for rescuing what cannot be sent.
    pub async fn export_queue(&self) -> Result<String> {
        self.call(|store| async move { store.export_queue().await }).await
    }
}
