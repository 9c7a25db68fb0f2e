//! A write that is waited for until the backend has it: the seeds' "online write".
//!
//! 1. The write itself is an ordinary one: when it returned, it is on the disk and in the queue.
//! 2. A drain that only sends starts at once, without the delay that lets other writes join, and without
//!    waiting for a retry's time; one under way takes the write along.
//! 3. When the backend has it, the caller is told so; when the drain fails, the entry is refused or the
//!    time is up, the caller is told that it is queued, and why.
//!
//! Stopped anywhere after 1: the write is in the queue and goes out by itself, under the same operation
//! id. Nothing is waited for that could not be left.

use super::Store;
use crate::{
    drain::{HalfResult, Trigger},
    error::Result,
    queue::{self, EntryState, WriteOutcome},
};
use std::time::Duration;
use uuid::Uuid;

/// What came of waiting for a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Confirmation {
    /// The backend has it.
    Confirmed,
    /// It is in the queue, and goes out when it can.
    Queued {
        /// Why it has not arrived: `time_limit`, `local_only`, `held`, `conflict`, `waiting` (for its turn
        /// or its time), the code of a refusal, or of what failed (`offline`, `throttled`, `sign_in`, …).
        why: String,
    },
    /// It does not travel any more: it was discarded or rolled back, or lost to another version.
    Gone,
}

impl Store {
    /// Sends the write that was made under `op` at once, and waits until the backend has it, at most
    /// `limit_ms` milliseconds. Whatever comes of it, the write is kept.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::Error::NotFound) where nothing travels under `op`;
    /// [`Error::Closed`](crate::Error::Closed).
    pub async fn confirmed(&self, op: Uuid, limit_ms: u64) -> Result<Confirmation> {
        if self.read(move |read| read.outcome(op)).await? == WriteOutcome::Unknown {
            return Err(queue::no_entry(op));
        }
        if self.inner.remote.is_none() {
            return self.stands(op, "local_only").await;
        }
        let limit = Duration::from_millis(limit_ms);
        match tokio::time::timeout(limit, self.send_now(op)).await {
            Ok(confirmation) => confirmation,
            Err(_) => self.stands(op, "time_limit").await,
        }
    }

    /// A pass that was under way may have been past this write, so there may be a second one.
    async fn send_now(&self, op: Uuid) -> Result<Confirmation> {
        for _ in 0..2 {
            let before = self.stands(op, "waiting").await?;
            if before != queued("waiting") {
                return Ok(before);
            }
            let report = self.drain(Trigger::Confirm).await?;
            if let HalfResult::Failed(code) = report.push {
                return self.stands(op, code).await;
            }
        }
        self.stands(op, "waiting").await
    }

    /// Where the write is now, also where its content goes on under another operation; `why` if it waits.
    async fn stands(&self, mut op: Uuid, why: &str) -> Result<Confirmation> {
        loop {
            return Ok(match self.read(move |read| read.outcome(op)).await? {
                WriteOutcome::Superseded { by } => {
                    op = by;
                    continue;
                }
                WriteOutcome::Accepted { .. } => Confirmation::Confirmed,
                WriteOutcome::Pending {
                    state: EntryState::Held,
                    ..
                } => queued("held"),
                WriteOutcome::Pending { .. } => queued(why),
                WriteOutcome::Conflict => queued("conflict"),
                WriteOutcome::Rejected { code, .. } => queued(&code),
                WriteOutcome::Lost { .. }
                | WriteOutcome::Discarded
                | WriteOutcome::RolledBack
                | WriteOutcome::Unknown => Confirmation::Gone,
            });
        }
    }
}

fn queued(why: &str) -> Confirmation {
    Confirmation::Queued { why: why.to_owned() }
}
