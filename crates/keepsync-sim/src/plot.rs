//! What the one who asks for a story may choose: most of all, what to leave out of it.

use crate::{
    bug::Bug,
    chance::Act,
    faults::{Faults, KINDS},
};
use std::collections::BTreeSet;

/// The choice. The default leaves a story as its seed makes it.
#[derive(Debug, Clone)]
pub struct Plot {
    /// A planted bug.
    pub bug: Option<Bug>,
    /// Whether the server may be restored from a backup, or reset.
    pub restores: bool,
    /// Only the second oracle judges: the simulator's own checks say nothing.
    pub oracle_only: bool,
    /// Kinds of faults that do not happen, by their names in [`KINDS`].
    pub without: BTreeSet<&'static str>,
    /// At most this many devices.
    pub devices: usize,
    /// Faults and users stop at this moment at the latest, in virtual milliseconds.
    pub end: u64,
    /// The only acts of users, if not all.
    pub only: Option<BTreeSet<Act>>,
}

impl Default for Plot {
    fn default() -> Self {
        Self {
            bug: None,
            restores: true,
            oracle_only: false,
            without: BTreeSet::new(),
            devices: usize::MAX,
            end: u64::MAX,
            only: None,
        }
    }
}

impl Plot {
    /// A mixture of faults without those that are left out.
    pub(crate) fn thin(&self, mut faults: Faults) -> Faults {
        for (name, off) in KINDS {
            if self.without.contains(name) {
                off(&mut faults);
            }
        }
        if !self.restores {
            faults.restore_every_ms = 0.0;
        }
        faults
    }

    /// Whether an act is part of it.
    pub(crate) fn has(&self, act: Act) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(&act))
    }

    /// What to add to the command line to choose the same again.
    pub fn arguments(&self) -> String {
        let mut text = String::new();
        let mut add = |word: &str, value: String| {
            text.push(' ');
            text.push_str(word);
            if !value.is_empty() {
                text.push(' ');
                text.push_str(&value);
            }
        };
        if let Some(bug) = self.bug {
            add("--bug", bug.name().to_owned());
        }
        if !self.restores {
            add("--no-restores", String::new());
        }
        if self.oracle_only {
            add("--oracle-only", String::new());
        }
        if self.devices != usize::MAX {
            add("--devices", self.devices.to_string());
        }
        if self.end != u64::MAX {
            add("--end", self.end.to_string());
        }
        if !self.without.is_empty() {
            add("--without", self.without.iter().copied().collect::<Vec<_>>().join(","));
        }
        if let Some(only) = &self.only {
            let acts: Vec<String> = only.iter().map(Act::to_string).collect();
            add(
                "--only",
                if acts.is_empty() {
                    "none".to_owned()
                } else {
                    acts.join(",")
                },
            );
        }
        text
    }
}
