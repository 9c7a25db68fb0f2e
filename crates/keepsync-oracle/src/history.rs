//! What happened, as it was seen from outside.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// A record of an account: collection and id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key(pub String, pub String);

impl Key {
    /// Of a collection, with an id.
    pub fn new(collection: impl Into<String>, id: impl Into<String>) -> Self {
        Self(collection.into(), id.into())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, self.1)
    }
}

/// What the app was told of a write in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The server has it.
    Accepted,
    /// The server refused it; it waits for the user.
    Rejected,
    /// The user threw it away.
    Discarded,
    /// It went into a later write.
    Superseded,
    /// Another version stands by the collection's policy.
    Lost,
    /// It was taken back.
    RolledBack,
}

/// One line of a history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fact {
    /// A collection, where there is more to say than its name.
    Collection {
        /// Its name.
        name: String,
        /// Collection of the parents, and the field of a child's body with the parent's id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<(String, String)>,
        /// Whether a body may be put together from two writes, so that a write's name may travel with
        /// another's.
        #[serde(default)]
        merges: bool,
        /// Whether its records go to the server. Of one that stays on its device, what is shown there is kept.
        #[serde(default = "yes")]
        sent: bool,
        /// Whether what other devices wrote to it comes here; where it does not, devices need not agree.
        #[serde(default = "yes")]
        pulled: bool,
    },
    /// A write was tried. Without [`Fact::Returned`] or [`Fact::Failed`] nobody knows what became of it.
    Tried {
        /// Its name, which no other write has.
        write: String,
        /// Who was signed in.
        user: String,
        /// Where.
        device: String,
        /// What it writes to.
        key: Key,
        /// Whether it deletes.
        #[serde(default)]
        deletes: bool,
        /// The writes that the user saw in the record when making it.
        #[serde(default)]
        saw: Vec<String>,
    },
    /// It returned: from here on it is kept. `op` is the operation id the app was given.
    Returned {
        /// The write.
        write: String,
        /// As text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        op: Option<String>,
    },
    /// It gave an error: it did not happen.
    Failed {
        /// The write.
        write: String,
    },
    /// What became of it was told.
    Told {
        /// The write.
        write: String,
        /// What.
        outcome: Outcome,
    },
    /// A conflict was shown with these writes; what the user does then, he does knowing them.
    ConflictShown {
        /// Where.
        device: String,
        /// Of which record.
        key: Key,
        /// The versions.
        writes: Vec<String>,
    },
    /// The user settled a conflict: `kept` stands, he saw `dropped`.
    Resolved {
        /// The write that stands.
        kept: String,
        /// What it stands in place of.
        dropped: Vec<String>,
    },
    /// A version stood in a history or a journal, and is gone from there because it was wiped, or pruned as the disk
    /// was full. Told of each by itself; that a disk was full excuses nothing else.
    Pruned {
        /// The write.
        write: String,
    },
    /// The same of a deletion.
    PrunedDeletion {
        /// Whose.
        user: String,
        /// Of which record.
        key: Key,
    },
    /// An account's file was wiped on a device, after the user was told what would be lost.
    Wiped {
        /// Whose.
        user: String,
        /// Where.
        device: String,
    },
    /// Another account was opened on a device, or it was signed out (`user` is absent).
    Switched {
        /// Where.
        device: String,
        /// Who is signed in from here on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
    },
    /// The server's data was restored from a backup, or began anew.
    Restored,
    /// In the end: the version of the app that is installed on a device does not know this collection. It cannot show
    /// what others write there.
    Unregistered {
        /// Whose.
        user: String,
        /// Where.
        device: String,
        /// Which.
        collection: String,
    },
    /// In the end: what a device shows of a record. Without a body it is not there.
    Shows {
        /// Whose.
        user: String,
        /// Where.
        device: String,
        /// Of which record.
        key: Key,
        /// The write whose content it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        write: Option<String>,
        /// The whole content.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<Value>,
    },
    /// In the end: a write that was not sent, or not answered.
    Unsent {
        /// Whose.
        user: String,
        /// Where.
        device: String,
        /// Of which record.
        key: Key,
        /// The write; absent for one that deletes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        write: Option<String>,
        /// The code that says why.
        why: String,
    },
    /// In the end: a version that can be found in a device's history.
    History {
        /// Whose.
        user: String,
        /// Where.
        device: String,
        /// Of which record.
        key: Key,
        /// The write; absent for a deletion.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        write: Option<String>,
    },
    /// In the end: a conflict that waits for the user, with the writes of both versions.
    Conflict {
        /// Whose.
        user: String,
        /// Where.
        device: String,
        /// Of which record.
        key: Key,
        /// The versions.
        writes: Vec<String>,
    },
    /// In the end: a line of the server's log, in the order of the log.
    Applied(Applied),
    /// In the end: a record on the server. Without a body it is deleted.
    Holds {
        /// Whose.
        user: String,
        /// Which.
        key: Key,
        /// The version, where it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<i64>,
        /// The write whose content it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        write: Option<String>,
        /// The whole content.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<Value>,
    },
    /// The end was quiet: faults had stopped, and everybody had had the time to drain and to pull. Without it
    /// nothing is said about convergence and about what is unsent.
    Quiet,
}

fn yes() -> bool {
    true
}

/// A line of the server's log.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Applied {
    /// Whose.
    pub user: String,
    /// To which record.
    pub key: Key,
    /// The operation id, as text.
    pub op: String,
    /// The version it made, where it is known; the first is 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// The write whose content it has; if absent, the one the app was given this operation id for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write: Option<String>,
    /// Whether it deletes.
    #[serde(default)]
    pub deletes: bool,
    /// The id of the parent its body names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
}

impl Default for Key {
    fn default() -> Self {
        Self::new("", "")
    }
}

/// A write, and what was told of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// Who was signed in.
    pub user: String,
    /// Where.
    pub device: String,
    /// To which record.
    pub key: Key,
    /// Whether it deletes.
    pub deletes: bool,
    /// Its place among all writes.
    pub n: usize,
    /// The writes its author knew.
    pub saw: Vec<String>,
    /// Whether it returned, or failed; nobody may know.
    pub told: Told,
    /// What became of it, if that was told.
    pub outcome: Option<Outcome>,
    /// Whether its file was wiped since.
    pub wiped: bool,
}

/// Whether a write returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The process died.
    Unknown,
    /// It returned.
    Returned,
    /// It gave an error.
    Failed,
}

/// Why a history cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A line is not a fact.
    #[error("line {line} is not a fact: {problem}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What the reader says.
        problem: String,
    },
    /// A fact names a write that was never tried, or tries one twice.
    #[error("fact {fact}: the write {write:?} {problem}")]
    Write {
        /// Counted from 1.
        fact: usize,
        /// The write.
        write: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// Facts, and what is looked up in them.
#[derive(Debug, Default)]
pub struct History {
    /// As they came.
    pub facts: Vec<Fact>,
    /// By name.
    pub writes: BTreeMap<String, Written>,
    /// The writes that an operation id was given for, in the order they returned.
    pub ops: BTreeMap<String, Vec<String>>,
    /// Child collection to parent collection and field.
    pub parents: BTreeMap<String, (String, String)>,
    /// Collections whose bodies are put together.
    pub merges: BTreeSet<String>,
    /// Collections that stay on their device.
    pub local: BTreeSet<String>,
    /// Collections in which nothing of others comes.
    pub apart: BTreeSet<String>,
    /// Whether the server lost what it had.
    pub restored: bool,
    /// So many writes had been tried when it last did.
    pub before_restore: usize,
    /// Whether the end was quiet.
    pub quiet: bool,
    last: BTreeMap<(String, String, Key), String>,
}

impl History {
    /// Reads facts, one a line; empty lines are none.
    ///
    /// # Errors
    /// A line is not a fact, or names a write that there is not.
    pub fn parse(text: &str) -> Result<Self, ReadError> {
        let mut history = Self::default();
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let fact = serde_json::from_str(line).map_err(|error| ReadError::Line {
                line: at + 1,
                problem: error.to_string(),
            })?;
            history.add(fact)?;
        }
        Ok(history)
    }

    /// Of facts.
    ///
    /// # Errors
    /// A fact names a write that there is not.
    pub fn of(facts: impl IntoIterator<Item = Fact>) -> Result<Self, ReadError> {
        let mut history = Self::default();
        for fact in facts {
            history.add(fact)?;
        }
        Ok(history)
    }

    /// The facts, one a line.
    pub fn to_lines(&self) -> String {
        let lines = self
            .facts
            .iter()
            .map(|fact| serde_json::to_string(fact).unwrap_or_default() + "\n");
        lines.collect()
    }

    /// One more.
    ///
    /// # Errors
    /// It names a write that there is not.
    pub fn add(&mut self, fact: Fact) -> Result<(), ReadError> {
        match &fact {
            Fact::Collection {
                name,
                parent,
                merges,
                sent,
                pulled,
            } => {
                if let Some(parent) = parent {
                    self.parents.insert(name.clone(), parent.clone());
                }
                if *merges {
                    self.merges.insert(name.clone());
                }
                if !sent {
                    self.local.insert(name.clone());
                }
                if !(*sent && *pulled) {
                    self.apart.insert(name.clone());
                }
            }
            Fact::Tried {
                write,
                user,
                device,
                key,
                deletes,
                saw,
            } => {
                let mut saw = saw.clone();
                // People know what they wrote themselves, also after they deleted it.
                saw.extend(
                    self.last
                        .insert((user.clone(), device.clone(), key.clone()), write.clone()),
                );
                let written = Written {
                    user: user.clone(),
                    device: device.clone(),
                    key: key.clone(),
                    deletes: *deletes,
                    n: self.writes.len(),
                    saw,
                    told: Told::Unknown,
                    outcome: None,
                    wiped: false,
                };
                if self.writes.insert(write.clone(), written).is_some() {
                    return Err(self.wrong(write, "was tried before"));
                }
            }
            Fact::Returned { write, op } => {
                self.written(write)?.told = Told::Returned;
                if let Some(op) = op {
                    self.ops.entry(op.clone()).or_default().push(write.clone());
                }
            }
            Fact::Failed { write } => self.written(write)?.told = Told::Failed,
            Fact::Told { write, outcome } => self.written(write)?.outcome = Some(*outcome),
            Fact::Resolved { kept, dropped } => {
                let dropped = dropped.clone();
                self.written(kept)?.saw.extend(dropped);
            }
            Fact::Wiped { user, device } => {
                let there = self.writes.values_mut();
                let there = there.filter(|write| write.user == *user && write.device == *device);
                there.for_each(|write| write.wiped = true);
                // What is written there from now on knows nothing of it.
                self.last.retain(|(of, at, _), _| (of, at) != (user, device));
            }
            Fact::Restored => {
                self.restored = true;
                self.before_restore = self.writes.len();
            }
            Fact::Quiet => self.quiet = true,
            _ => {}
        }
        self.facts.push(fact);
        Ok(())
    }

    fn wrong(&self, write: &str, problem: &'static str) -> ReadError {
        ReadError::Write {
            fact: self.facts.len() + 1,
            write: write.to_owned(),
            problem,
        }
    }

    fn written(&mut self, write: &str) -> Result<&mut Written, ReadError> {
        let error = self.wrong(write, "was never tried");
        self.writes.get_mut(write).ok_or(error)
    }

    /// Whether the author of `later` knew `earlier`, himself or through what he knew.
    pub fn knew(&self, later: &str, earlier: &str) -> bool {
        let mut open = vec![later];
        let mut done = BTreeSet::new();
        while let Some(write) = open.pop() {
            if write == earlier {
                return true;
            }
            if done.insert(write)
                && let Some(written) = self.writes.get(write)
            {
                open.extend(written.saw.iter().map(String::as_str));
            }
        }
        false
    }

    /// The server's log.
    pub fn applied(&self) -> impl Iterator<Item = &Applied> {
        self.facts.iter().filter_map(|fact| match fact {
            Fact::Applied(applied) => Some(applied),
            _ => None,
        })
    }

    /// The write a line of the log has the content of: the last that was made under its operation id, unless
    /// it says so itself.
    pub fn write_of<'a>(&'a self, applied: &'a Applied) -> Option<&'a str> {
        let by_op = || self.ops.get(&applied.op)?.last().map(String::as_str);
        applied.write.as_deref().or_else(by_op)
    }
}
