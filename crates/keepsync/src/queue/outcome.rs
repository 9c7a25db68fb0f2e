//! What becomes of a write, by its operation id.
//!
//! 1. While its entry is in the queue, the entry tells: pending, refused, in conflict.
//! 2. When it has arrived, the journal tells. Nothing is written for it here: an entry that arrives costs
//!    what it costs without outcomes.
//! 3. Everything else (its content went into another operation, another version stands, the user threw
//!    it away) is a row of `outcome`, written in the transaction that causes it.
//!
//! Stopped before that commit: the entry is still there, and tells. What is older than journal and rows
//! are kept is [`WriteOutcome::Unknown`].

use super::{EntryState, Why, head_from_sql, why};
use crate::{
    db::{Read, Write},
    error::Result,
};
use once_cell::sync::Lazy;
use rusqlite::{OptionalExtension, params};
use uuid::Uuid;

/// What has become of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
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
        /// When the server applied it: UTC milliseconds, by the server's clock where that is known.
        at: i64,
    },
    /// Refused, and parked until the user edits, retries, rolls back or discards it.
    Rejected {
        /// Machine-readable.
        code: String,
        /// For a person.
        message: String,
    },
    /// It met another version, and the user decides.
    Conflict,
    /// Its content went into another operation: an edit after a refusal, a policy's or the user's way out
    /// of a conflict.
    Superseded {
        /// The operation to ask about from now on.
        by: Uuid,
    },
    /// Another device's version stands instead, by the collection's policy or the user's decision. This
    /// one is in the record's history.
    Lost {
        /// The server's version that stands.
        version: i64,
    },
    /// Thrown away by the user, or cancelled out before it left.
    Discarded,
    /// Rolled back because the app asked for it.
    RolledBack,
    /// Nothing is known of it: it never was an operation of this file, or ended so long ago that it is
    /// kept no more.
    Unknown,
}

impl WriteOutcome {
    /// Stable, as the command line and the bindings spell it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Accepted { .. } => "accepted",
            Self::Rejected { .. } => "rejected",
            Self::Conflict => "conflict",
            Self::Superseded { .. } => "superseded",
            Self::Lost { .. } => "lost",
            Self::Discarded => "discarded",
            Self::RolledBack => "rolled_back",
            Self::Unknown => "unknown",
        }
    }

    /// Whether there is nothing to wait for: the next move is the user's, or nobody's.
    pub fn is_settled(&self) -> bool {
        !matches!(self, Self::Pending { .. })
    }
}

/// Why an entry, or an operation id, is no longer in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It arrived; the journal has it.
    Arrived,
    /// Its content goes on under this operation.
    Superseded(Uuid),
    /// The server has the same, in this version.
    InEffect(i64),
    /// This version of the server stands instead.
    Lost(i64),
    /// Thrown away.
    Discarded,
    /// Thrown away because the app took it back.
    RolledBack,
}

pub(super) fn note(write: &mut Write<'_>, op: Uuid, ended: Ended) -> Result<()> {
    write.changes.outcomes.push(op);
    let (kind, next, version) = match ended {
        Ended::Arrived => return Ok(()),
        Ended::Superseded(by) => ("superseded", Some(by), 0),
        Ended::InEffect(version) => ("in_effect", None, version),
        Ended::Lost(version) => ("lost", None, version),
        Ended::Discarded => ("discarded", None, 0),
        Ended::RolledBack => ("rolled_back", None, 0),
    };
    let at = write.now.wall_ms;
    write
        .conn
        .prepare_cached("INSERT INTO outcome (op, kind, next, version, at) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            op.as_bytes(),
            kind,
            next.as_ref().map(Uuid::as_bytes),
            version,
            at
        ])?;
    // By number alone: a clock that jumps must not make young rows old, and they are small.
    let bound = i64::try_from(write.shared.settings.journal_count).unwrap_or(i64::MAX);
    write
        .conn
        .prepare_cached("DELETE FROM outcome WHERE n <= (SELECT max(n) FROM outcome) - ?1")?
        .execute([bound])?;
    Ok(())
}

/// There is no index on the operation ids of queue and journal: one would cost every logged set a page.
/// Who asks mostly asks about a write just made, so the search begins at the end.
pub(super) fn look(read: &Read<'_>, op: Uuid) -> Result<WriteOutcome> {
    static ENTRY: Lazy<String> = Lazy::new(|| {
        format!(
            "SELECT {} FROM entry WHERE op = ?1 ORDER BY seq DESC LIMIT 1",
            super::HEAD
        )
    });
    let mut statement = read.conn.prepare_cached(&ENTRY)?;
    if let Some(head) = statement.query_row([op.as_bytes()], head_from_sql).optional()? {
        return Ok(match head.state {
            EntryState::Parked => {
                let (code, message) = head
                    .reason
                    .map(|reason| (reason.code, reason.message))
                    .unwrap_or_default();
                WriteOutcome::Rejected { code, message }
            }
            EntryState::Conflict => WriteOutcome::Conflict,
            state => WriteOutcome::Pending {
                state,
                why: why::of(read, &head)?,
            },
        });
    }
    let mut statement = read
        .conn
        .prepare_cached("SELECT kind, next, version, at FROM outcome WHERE op = ?1 ORDER BY n DESC LIMIT 1")?;
    let row = |row: &rusqlite::Row<'_>| {
        let next: Option<[u8; 16]> = row.get(1)?;
        let (version, at) = (row.get(2)?, row.get(3)?);
        Ok(match (row.get_ref(0)?.as_str()?, next) {
            ("superseded", Some(next)) => WriteOutcome::Superseded {
                by: Uuid::from_bytes(next),
            },
            ("in_effect", _) => WriteOutcome::Accepted { version, at },
            ("lost", _) => WriteOutcome::Lost { version },
            ("rolled_back", _) => WriteOutcome::RolledBack,
            ("discarded", _) => WriteOutcome::Discarded,
            // Of a newer app.
            _ => WriteOutcome::Unknown,
        })
    };
    if let Some(ended) = statement.query_row([op.as_bytes()], row).optional()? {
        return Ok(ended);
    }
    let mut statement = read
        .conn
        .prepare_cached("SELECT version, acked_at FROM journal WHERE op = ?1 ORDER BY n DESC LIMIT 1")?;
    let accepted = statement
        .query_row([op.as_bytes()], |row| {
            Ok(WriteOutcome::Accepted {
                version: row.get(0)?,
                at: row.get(1)?,
            })
        })
        .optional()?;
    Ok(accepted.unwrap_or(WriteOutcome::Unknown))
}
