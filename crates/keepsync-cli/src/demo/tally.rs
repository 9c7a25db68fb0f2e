//! What happened, and what the people were told: kept by the play, used by the check and the report.

use std::collections::BTreeMap;

/// A write over a version that another device made, by somebody who saw that version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Edit {
    pub(super) device: &'static str,
    pub(super) collection: &'static str,
    pub(super) id: String,
    /// The version that was shown, and may be replaced.
    pub(super) seen: i64,
}

impl Edit {
    pub(super) fn new(device: &'static str, collection: &'static str, id: &str, seen: i64) -> Self {
        Self {
            device,
            collection,
            id: id.to_owned(),
            seen,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) phone_kills: u64,
    /// Of those in a set: how often the write was in the file all the same.
    pub(super) found_after_kill: u64,
    pub(super) server_kills: u64,
    pub(super) flights: u64,
    pub(super) expired_tokens: u64,
    pub(super) lost_refreshes: u64,
    pub(super) refused: u64,
    pub(super) conflicts: u64,
    pub(super) edits: Vec<Edit>,
    /// Notes of the workouts that were edited on both devices, as the user decided, by id.
    pub(super) resolved: BTreeMap<String, String>,
}
