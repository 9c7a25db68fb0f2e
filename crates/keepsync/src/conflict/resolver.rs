//! Conflicts that the app's own code decides.
//!
//! 1. Two versions meet in a collection whose policy is `custom`: the conflict is stored as a row that
//!    names the resolver, its entries wait. Nothing of the app's runs in that transaction.
//! 2. The drain reads these rows before it puts the queue in order, and asks for each
//!    ([`Request::Resolve`](crate::drain::Request::Resolve)). The runner calls the resolver on a thread
//!    of its own, within [`Settings::resolver_ms`](crate::settings::Settings::resolver_ms). Stopped here:
//!    the row is there, and the next pass asks again.
//! 3. The answer is applied as a user's decision would be, if the row still shows what was asked about.
//!    If another version came, or the user wrote on, the answer is thrown away and the resolver asked
//!    again, a few times in a pass. What it decided goes out in the same pass.
//! 4. A resolver that fails, panics, takes too long or is not registered: the entries are parked with
//!    `policy_failed`, and the row goes. Ours stays in sight, theirs is the base. A retry sends ours, meets
//!    theirs again, and so asks again.

use super::{
    apply,
    member::of_root,
    resolve::{Resolution, resolve},
    shown::Conflict,
};
use crate::{
    db::Write,
    error::{Error, Result},
    queue::{EntryState, Reason, heads_of},
    record::{self, find},
};
use rusqlite::params;
use std::{
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// Decides conflicts of a collection whose policy is [`Policy::Custom`](super::Policy::Custom). It is
/// called outside of any transaction, never on the writer's thread, and may take its time within the
/// limit that is set.
pub trait ConflictResolver: Send + Sync {
    /// Decides between the two versions, which are shown with their base, device and times.
    ///
    /// # Errors
    /// Whatever keeps it from deciding: the write is parked with `policy_failed` and this message, which
    /// must not tell what is in the bodies.
    fn resolve(&self, conflict: &Conflict) -> std::result::Result<Verdict, String>;
}

impl<F> ConflictResolver for F
where
    F: Fn(&Conflict) -> std::result::Result<Verdict, String> + Send + Sync,
{
    fn resolve(&self, conflict: &Conflict) -> std::result::Result<Verdict, String> {
        self(conflict)
    }
}

/// What a resolver decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// This body, made from both: JSON text.
    Merge(String),
    /// This device's version stands.
    KeepLocal,
    /// The server's version stands.
    KeepRemote,
    /// The user is to decide.
    Ask,
}

/// The app's resolvers by the name that policies give.
#[derive(Clone, Default)]
pub struct Resolvers(BTreeMap<String, Arc<dyn ConflictResolver>>);

impl Resolvers {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, resolver: impl ConflictResolver + 'static) -> Self {
        self.0.insert(name.into(), Arc::new(resolver));
        self
    }

    /// The one of this name.
    pub fn get(&self, name: &str) -> Option<Arc<dyn ConflictResolver>> {
        self.0.get(name).cloned()
    }
}

impl fmt::Debug for Resolvers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A conflict that waits for a resolver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// The resolver's name.
    pub resolver: String,
    /// What it is to decide.
    pub conflict: Conflict,
}

/// What came of asking; a message for a person if it failed.
pub type Answer = std::result::Result<Verdict, String>;

/// Asks the resolver. One that panics has failed.
///
/// # Errors
/// What the resolver says, or that it is not registered, or that it panicked.
pub fn consult(resolvers: &Resolvers, unresolved: &Unresolved) -> Answer {
    let name = &unresolved.resolver;
    let Some(resolver) = resolvers.get(name) else {
        return Err(format!("no resolver {name:?} is registered"));
    };
    match catch_unwind(AssertUnwindSafe(|| resolver.resolve(&unresolved.conflict))) {
        Ok(verdict) => verdict,
        Err(_) => Err(format!("the resolver {name:?} panicked")),
    }
}

/// Applies what a resolver said, unless what it was asked about is no longer so.
pub(crate) fn decided(write: &mut Write<'_>, asked: &Unresolved, answer: &Answer) -> Result<()> {
    let Conflict {
        collection, id, token, ..
    } = &asked.conflict;
    let now = of_root(write.conn, collection, id)?;
    if now.iter().all(|member| member.resolver.is_none()) {
        return Ok(());
    }
    let resolution = match answer {
        Ok(Verdict::KeepLocal) => Resolution::KeepLocal,
        Ok(Verdict::KeepRemote) => Resolution::KeepRemote,
        Ok(Verdict::Merge(body)) => Resolution::Merge(body.clone()),
        Ok(Verdict::Ask) => {
            write
                .conn
                .prepare_cached("UPDATE conflict SET resolver = NULL WHERE collection = ?1 AND id = ?2")?
                .execute(params![collection, id])?;
            write.changes.conflicts = true;
            return Ok(());
        }
        Err(problem) => return fail(write, collection, id, problem),
    };
    match resolve(write, collection, id, token, &resolution) {
        Err(Error::ConflictChanged) => Ok(()),
        // A body that cannot be is no decision.
        Err(Error::Invalid { field, problem }) => fail(write, collection, id, &format!("{field}: {problem}")),
        other => other,
    }
}

/// It cannot be decided: what is unsent is parked.
fn fail(write: &mut Write<'_>, collection: &str, id: &str, problem: &str) -> Result<()> {
    if let Some(row) = find(write.conn, collection, id)? {
        for mut entry in heads_of(write.conn, collection, id, row.lane())? {
            if entry.state == EntryState::Conflict {
                entry.state = EntryState::Parked;
                entry.reason = Some(Reason {
                    code: "policy_failed".to_owned(),
                    message: problem.to_owned(),
                });
                entry.store(write)?;
            }
        }
    }
    apply::close(write, collection, id)?;
    record::settle_state(write, collection, id)
}
