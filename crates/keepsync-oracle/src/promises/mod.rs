//! The promises, each judged by itself.

mod alone;
mod arrival;
mod end;
mod kept;

use crate::history::History;
use std::fmt;

/// What was promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// A write that returned is somewhere: at the server, unsent, in a conflict, in a history, or in a later
    /// write whose author knew it.
    Kept,
    /// The server applied it once, and nothing that nobody wrote.
    Once,
    /// The writes of one device to one record arrived in the order they were made.
    InOrder,
    /// A child arrived after its parent.
    ParentFirst,
    /// Where a write took the place of another's, its author knew that one, or a history or a conflict has it.
    NotOverwrittenUnseen,
    /// Nothing of one account is shown to, or sent as, another.
    MineOnly,
    /// In a quiet end all devices show what the server holds, but for what is unsent or in conflict there.
    Converged,
    /// In a quiet end each unsent write says what it waits for.
    NeverStuckInSilence,
}

impl Promise {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Kept,
        Self::Once,
        Self::InOrder,
        Self::ParentFirst,
        Self::NotOverwrittenUnseen,
        Self::MineOnly,
        Self::Converged,
        Self::NeverStuckInSilence,
    ];

    /// What it is called if it is broken.
    pub fn broken(self) -> &'static str {
        match self {
            Self::Kept => "lost",
            Self::Once => "doubled",
            Self::InOrder => "out of order",
            Self::ParentFirst => "child before parent",
            Self::NotOverwrittenUnseen => "overwritten unseen",
            Self::MineOnly => "leaked",
            Self::Converged => "not converged",
            Self::NeverStuckInSilence => "unsent without a reason",
        }
    }
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Which.
    pub promise: Promise,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise.broken(), self.what)
    }
}

/// Judges a history. Nothing: every promise was kept.
pub fn check(history: &History) -> Vec<Violation> {
    let mut judged = Judged::default();
    kept::judge(history, &mut judged);
    arrival::judge(history, &mut judged);
    alone::judge(history, &mut judged);
    end::judge(history, &mut judged);
    judged.violations.sort();
    judged.violations
}

#[derive(Default)]
struct Judged {
    violations: Vec<Violation>,
}

impl Judged {
    fn broken(&mut self, promise: Promise, what: String) {
        self.violations.push(Violation { promise, what });
    }
}
