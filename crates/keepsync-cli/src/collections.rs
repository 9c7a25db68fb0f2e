//! The collections this command knows: those of a training app.

use keepsync::{
    Result,
    collection::{Collection, Collections},
    conflict::Policy,
};

/// Their names, in the order in which a reader meets them.
pub(crate) const NAMES: [&str; 11] = [
    WORKOUT,
    SET_LOG,
    "body_metric",
    "exercise",
    "progression",
    "recovery",
    "session_log",
    "tally",
    "task",
    "user_profile",
    "volume",
];
/// Sessions.
pub(crate) const WORKOUT: &str = "workout";
/// The children of a workout.
pub(crate) const SET_LOG: &str = "set_log";

/// The collections of children: their parents, and the field that holds the parent's id.
pub(crate) const PARENTS: [(&str, &str, &str); 1] = [(SET_LOG, WORKOUT, "workout_id")];
/// The kinds of session: a collection and that of its children.
pub(crate) const SESSIONS: [(&str, &str); 1] = [(WORKOUT, SET_LOG)];

pub(crate) fn collections() -> Result<Collections> {
    let [(set_log, parent, field)] = PARENTS;
    Collections::new([
        Collection::new(WORKOUT, Policy::Ask).priority(10).same_when(["date"]),
        Collection::new(set_log, Policy::ClientWins)
            .child_of(parent, field)
            .priority(10),
        // A weight and its unit are of one device; so are a record's weight and reps.
        Collection::new(
            "body_metric",
            Policy::merge_fields([["weight", "unit"], ["max_weight", "max_reps"]]),
        ),
        // Pulled by all, and written by whoever fills the library.
        Collection::new("exercise", Policy::ServerWins).announce_changes(),
        Collection::new("progression", Policy::Ask),
        Collection::new("recovery", Policy::lww_per("day")),
        Collection::new("session_log", Policy::latest_of("logged_at")),
        Collection::new("tally", Policy::Counter),
        // Field work: what was captured here stands.
        Collection::new("task", Policy::ClientWins),
        Collection::new("user_profile", Policy::LastWriteWins),
        // Every number in it: sets per muscle, however they are arranged.
        Collection::new("volume", Policy::merge_max("")),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_collections_is_what_is_registered() {
        let registered = collections().unwrap();
        let mut names = NAMES;
        names.sort_unstable();
        assert!(registered.iter().map(Collection::name).eq(names));
    }
}
