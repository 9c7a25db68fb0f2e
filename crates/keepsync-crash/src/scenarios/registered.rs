//! What the app registers.

use keepsync::{
    Result,
    collection::{Collection, Collections, Direction, Sending},
    conflict::{Conflict, ConflictResolver, Policy, Verdict},
};

pub(crate) fn collections() -> Result<Collections> {
    Collections::new([
        Collection::new("workout", Policy::Ask)
            .priority(10)
            .index("date")
            .same_when(["date", "time"]),
        Collection::new("set_log", Policy::ClientWins)
            .child_of("workout", "workout_id")
            .priority(10),
        Collection::new("plan", Policy::Ask).sending(Sending::OnComplete),
        Collection::new("plan_set", Policy::ClientWins).child_of("plan", "plan_id"),
        Collection::new("profile", Policy::LastWriteWins),
        Collection::new("exercise", Policy::ServerWins).announce_changes(),
        Collection::new("weight", Policy::ClientWins),
        Collection::new("best", Policy::custom("larger")),
        Collection::new("tally", Policy::merge_max("n")),
        Collection::new("session", Policy::Ask)
            .group(["schedule"], Policy::ServerWins)
            .group(["weight", "reps"], Policy::ClientWins),
        Collection::new("draft", Policy::ClientWins).direction(Direction::Local),
    ])
}

/// What an earlier version of the app registered.
pub(super) fn earlier() -> Result<Collections> {
    Collections::new([
        Collection::new("workout", Policy::Ask).priority(10).index("name"),
        Collection::new("set_log", Policy::ClientWins)
            .child_of("workout", "workout_id")
            .priority(10),
        Collection::new("profile", Policy::LastWriteWins),
    ])
}

/// The app's resolver: this device's version.
pub(crate) struct Larger;

impl ConflictResolver for Larger {
    fn resolve(&self, _: &Conflict) -> std::result::Result<Verdict, String> {
        Ok(Verdict::KeepLocal)
    }
}
