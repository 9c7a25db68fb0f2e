//! Whether a further write joins the record's last entry. Pure.

use super::{EntryState, Head, Kind};
use crate::planted::{self, Bug};

/// What is known of the record's last entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Last {
    pub(super) kind: Kind,
    pub(super) state: EntryState,
    pub(super) maybe_sent: bool,
}

impl Last {
    /// `None` for a kind that only a newer app knows.
    pub(super) fn of(head: &Head) -> Option<Self> {
        head.kind.map(|kind| Self {
            kind,
            state: head.state,
            maybe_sent: head.maybe_sent,
        })
    }
}

/// What becomes of a further write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fold {
    /// An entry of its own, of this kind.
    Append(Kind),
    /// The last entry takes the new body and this kind.
    Into(Kind),
    /// The two cancel out: a creation that never left, and its deletion.
    Cancel,
}

/// An entry's body changes only while it has certainly never left the device, or was certainly
/// refused; changes of state never fold.
pub(super) fn fold(last: Option<Last>, kind: Kind) -> Fold {
    let Some(last) = last else { return Fold::Append(kind) };
    // A record that already has an entry is not created again.
    let kind = if kind == Kind::Create { Kind::Update } else { kind };
    let refused = matches!(last.state, EntryState::Conflict | EntryState::Parked);
    if last.kind.changes_state()
        || kind.changes_state()
        || (last.maybe_sent && !refused && !planted::is(Bug::FoldAttempted))
    {
        return Fold::Append(kind);
    }
    match (last.kind, kind) {
        // A conflict is about a version the server has: the deletion takes part in it.
        (Kind::Create, Kind::Delete) if last.state != EntryState::Conflict => Fold::Cancel,
        (Kind::Create, Kind::Update) => Fold::Into(Kind::Create),
        (_, kind) => Fold::Into(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use EntryState::{Conflict, Held, Parked, Waiting};
    use Kind::{Complete, Create, Delete, Skip, Update};

    #[test]
    fn folding_table() {
        let last = |kind, state, maybe_sent| {
            Some(Last {
                kind,
                state,
                maybe_sent,
            })
        };
        let table = [
            // no entry yet
            (None, Create, Fold::Append(Create)),
            (None, Update, Fold::Append(Update)),
            (None, Delete, Fold::Append(Delete)),
            // never left
            (last(Create, Waiting, false), Update, Fold::Into(Create)),
            (last(Create, Held, false), Update, Fold::Into(Create)),
            (last(Create, Waiting, false), Delete, Fold::Cancel),
            (last(Create, Held, false), Delete, Fold::Cancel),
            (last(Update, Waiting, false), Update, Fold::Into(Update)),
            (last(Update, Waiting, false), Delete, Fold::Into(Delete)),
            (last(Delete, Waiting, false), Update, Fold::Into(Update)),
            (last(Delete, Waiting, false), Create, Fold::Into(Update)),
            // may have left
            (last(Create, Waiting, true), Update, Fold::Append(Update)),
            (last(Create, Waiting, true), Create, Fold::Append(Update)),
            (last(Create, Waiting, true), Delete, Fold::Append(Delete)),
            (last(Update, Held, true), Update, Fold::Append(Update)),
            // certainly refused
            (last(Create, Parked, true), Update, Fold::Into(Create)),
            (last(Create, Parked, true), Delete, Fold::Cancel),
            (last(Update, Parked, true), Update, Fold::Into(Update)),
            (last(Update, Conflict, true), Update, Fold::Into(Update)),
            (last(Create, Conflict, true), Delete, Fold::Into(Delete)),
            // changes of state never fold
            (last(Create, Waiting, false), Complete, Fold::Append(Complete)),
            (last(Update, Waiting, false), Skip, Fold::Append(Skip)),
            (last(Complete, Waiting, false), Update, Fold::Append(Update)),
            (last(Complete, Parked, true), Update, Fold::Append(Update)),
        ];
        for (last, kind, expected) in table {
            assert_eq!(fold(last, kind), expected, "{last:?} then {kind:?}");
        }
    }
}
