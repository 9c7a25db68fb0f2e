//! What the play says to a device, and what it hears: JSON, one object a line.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;

/// The first line a device reads: who and where it is. Tokens are not for a command line, where every
/// process on the machine can read them.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) file: PathBuf,
    pub(super) user: String,
    pub(super) label: String,
    pub(super) server: String,
    pub(super) access_token: String,
    pub(super) refresh_token: String,
}

/// One thing to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(super) enum Order {
    /// Starts a workout.
    Start { id: String, body: String },
    /// Logs a set.
    Log { id: String, slot: String, body: String },
    /// Completes a workout.
    Complete { id: String },
    /// Puts several records, as one write.
    PutAll {
        collection: String,
        records: Vec<(String, String)>,
    },
    /// Changes fields of a record.
    Patch {
        collection: String,
        id: String,
        patch: String,
    },
    /// Deletes a record.
    Delete { collection: String, id: String },
    /// Answers with a [`Shown`], or null.
    Get { collection: String, id: String },
    /// Answers how many records a collection has.
    Count { collection: String },
    /// Answers with a [`State`].
    State,
    /// Changes fields of an unsent write that was refused.
    Edit { op: String, patch: String },
    /// Settles a conflict; answers with the body that stands now.
    Resolve {
        collection: String,
        id: String,
        token: String,
        how: How,
    },
    /// The system says that the network is there, or gone.
    Network { there: bool },
    /// Drains, and answers whether both halves worked.
    Sync,
}

/// How the user settles a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum How {
    /// This device's version.
    KeepLocal,
    /// The remote version with both notes.
    BothNotes,
}

/// What became of an order, once the call has returned.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    Ok(Value),
    Error { code: String, message: String },
}

/// A record as a screen shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Shown {
    pub(super) body: Value,
    pub(super) version: i64,
}

/// Where a device stands.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) status: String,
    /// Unsent writes, of every kind.
    pub(super) unsent: u64,
    pub(super) sessions: Vec<Session>,
    pub(super) parked: Vec<Parked>,
    pub(super) conflicts: Vec<Conflict>,
}

/// A workout in progress.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) slots: Vec<String>,
}

/// A refused write.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Parked {
    pub(super) op: String,
    pub(super) id: String,
    pub(super) code: String,
}

/// Two versions that met.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Conflict {
    pub(super) id: String,
    pub(super) version: i64,
    /// Names it as it is shown.
    pub(super) token: String,
}
