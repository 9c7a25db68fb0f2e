//! What a session may do where it stands. Pure.

use crate::error::{Error, Result};

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// There is none.
    Absent,
    /// In progress.
    Active,
    /// Done.
    Completed,
    /// Left out.
    Skipped,
}

impl SessionState {
    /// As it stands in a body's `state`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Skipped => "skipped",
        }
    }
}

/// What is asked of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionEvent {
    /// Begin.
    Start,
    /// Log or change a set.
    LogSet,
    /// Remove a set.
    RemoveSet,
    /// Keep scratch state.
    Note,
    /// Finish.
    Complete,
    /// Leave out.
    Skip,
    /// Throw away.
    Discard,
}

impl SessionEvent {
    fn as_str(self) -> &'static str {
        match self {
            Self::Start => "be started",
            Self::LogSet => "log a set",
            Self::RemoveSet => "remove a set",
            Self::Note => "take a note",
            Self::Complete => "be completed",
            Self::Skip => "be skipped",
            Self::Discard => "be discarded",
        }
    }
}

/// The state that follows. An invalid pair is an error and changes nothing.
pub(super) fn transition(state: SessionState, event: SessionEvent) -> Result<SessionState> {
    use SessionEvent::{Complete, Discard, LogSet, Note, RemoveSet, Skip, Start};
    use SessionState::{Absent, Active, Completed, Skipped};
    match (state, event) {
        (Absent, Start) | (Active, LogSet | RemoveSet | Note) => Ok(Active),
        (Active, Complete) => Ok(Completed),
        (Active, Skip) => Ok(Skipped),
        (Active, Discard) => Ok(Absent),
        (state, event) => Err(Error::SessionState {
            state: state.as_str(),
            event: event.as_str(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_state_and_event_is_decided() {
        use SessionEvent::{Complete, Discard, LogSet, Note, RemoveSet, Skip, Start};
        use SessionState::{Absent, Active, Completed, Skipped};
        let valid = [
            (Absent, Start, Active),
            (Active, LogSet, Active),
            (Active, RemoveSet, Active),
            (Active, Note, Active),
            (Active, Complete, Completed),
            (Active, Skip, Skipped),
            (Active, Discard, Absent),
        ];
        for state in [Absent, Active, Completed, Skipped] {
            for event in [Start, LogSet, RemoveSet, Note, Complete, Skip, Discard] {
                let expected = valid
                    .iter()
                    .find(|(s, e, _)| (*s, *e) == (state, event))
                    .map(|(.., to)| *to);
                assert_eq!(transition(state, event).ok(), expected, "{state:?} {event:?}");
            }
        }
    }
}
