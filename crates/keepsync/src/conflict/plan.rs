//! How a conflict is settled. Pure.
//!
//! 1. `server_wins`, `client_wins`, `ask` and `custom` compare with what both were made on: who changed
//!    nothing has no say.
//! 2. The others compare clocks, unit by unit ([`merge`](super::merge)). What they come to is the same
//!    in whatever order versions meet, because the clocks of what stands travel with it.
//! 3. A deletion is a matter of the whole record: the later of deletion and edit stands, except where
//!    the policy says whose word counts. Whether the record is there does not depend on the order; what
//!    is in one that an edit brought back may, because a deletion says nothing of units.
//!
//! A backend that tells no clocks of units is compared with the base too: what is as in the base was not
//! written there.

use super::{
    clocks::{Clock, Clocks, Times},
    merge::{self, Base, Version},
    policy::{Keeping, Policy, keeping},
};
use crate::{collection::FieldGroup, hlc::Hlc};
use serde_json::{Map, Value};

/// One of the two versions that met.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// The body; `None` for a deletion.
    pub body: Option<&'a Map<String, Value>>,
    /// When it was written.
    pub hlc: Hlc,
    /// The installation that wrote it; decides between equal clocks.
    pub device_id: &'a str,
    /// The clocks of its units. `None`: not told, which only a remote version can be.
    pub clocks: Option<&'a Clocks>,
}

impl Side<'_> {
    fn times(&self) -> Times {
        let own = Clock {
            hlc: self.hlc,
            device_id: self.device_id.to_owned(),
        };
        Times::new(own, self.clocks.cloned().unwrap_or_default())
    }
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Both sides say the same: what is unsent has arrived in effect.
    Same,
    /// The remote version stands, and the local one changed nothing against the base.
    TakeRemote,
    /// The remote version stands, and a local change is lost to it.
    LoseLocal,
    /// The local version stands on top of the remote one, which changed nothing against the base.
    KeepLocal,
    /// The local version stands on top of the remote one, whose change is lost to it.
    LoseRemote,
    /// This body stands on top of the remote one; both sides have a part in it.
    Merge(Merge),
    /// The user decides.
    Ask,
    /// The app's resolver decides.
    AskResolver,
}

/// A body that both sides have a part in.
#[derive(Debug, Clone, PartialEq)]
pub struct Merge {
    /// The body.
    pub body: Map<String, Value>,
    /// The clocks of all its units, so that it does not matter when and where it was put together.
    pub clocks: Clocks,
}

/// Settles `local` against `remote`, which were both made on `base`.
///
/// With field groups each group is settled by its own policy and what is left over by the
/// collection's; a group that would ask makes the whole record ask. A deletion on either side is a
/// matter of the whole record.
pub fn plan(policy: &Policy, groups: &[FieldGroup], base: Base<'_>, local: Side<'_>, remote: Side<'_>) -> Action {
    // Told the clocks, nothing else is needed: equal bodies too are not the same if ours is the later
    // write, because a third one in between has to lose to it.
    let told = remote.clocks.is_some() && keeping(policy, groups) != Keeping::Nothing;
    let unchanged = |side: &Side<'_>| base.body().is_some() && base.body() == side.body;
    if !told {
        if local.body == remote.body {
            return Action::Same;
        }
        if unchanged(&remote) {
            return Action::KeepLocal;
        }
        if unchanged(&local) {
            return Action::TakeRemote;
        }
    }
    let (at, their_at) = (local.times(), remote.times());
    let later = at.record() > their_at.record();
    let (Some(local_body), Some(remote_body)) = (local.body, remote.body) else {
        return match (local.body, remote.body) {
            // Unless nothing is there at all, the later deletion is told: an edit in between loses to it.
            (None, None) if later && policy.goes_by_clocks() && remote.hlc > Hlc::default() => Action::KeepLocal,
            (None, None) => Action::Same,
            _ if !policy.goes_by_clocks() && unchanged(&remote) => Action::KeepLocal,
            _ if !policy.goes_by_clocks() && unchanged(&local) => Action::TakeRemote,
            _ => settle_delete(policy, local.body.is_some(), later),
        };
    };
    if let Policy::Custom(_) = policy {
        return Action::AskResolver;
    }
    let ours = Version {
        body: local_body,
        times: &at,
    };
    let theirs = Version {
        body: remote_body,
        times: &their_at,
    };
    let Some(merged) = merge::merge(policy, groups, base, &ours, &theirs, told) else {
        return Action::Ask;
    };
    let record = at.record().max(their_at.record()).clone();
    let by_clocks = |times: &Times| !told || merged.is_of(times, &record);
    if merged.body == *remote_body && by_clocks(&their_at) {
        return if local_body == remote_body {
            Action::Same
        } else if unchanged(&local) {
            Action::TakeRemote
        } else {
            Action::LoseLocal
        };
    }
    if merged.body == *local_body && by_clocks(&at) {
        return if unchanged(&remote) || local_body == remote_body {
            Action::KeepLocal
        } else {
            Action::LoseRemote
        };
    }
    // At no moment of its own: it says of everything when it was written.
    let never = Clock {
        hlc: Hlc::default(),
        device_id: String::new(),
    };
    let (body, clocks) = merged.clocks(&never, record);
    Action::Merge(Merge { body, clocks })
}

/// Delete against edit. The later one stands, except where the policy says whose word counts.
fn settle_delete(policy: &Policy, local_edit: bool, later: bool) -> Action {
    let local_wins = match policy {
        Policy::Ask => return Action::Ask,
        Policy::Custom(_) => return Action::AskResolver,
        Policy::ServerWins => false,
        Policy::ClientWins if local_edit => true,
        _ => later,
    };
    if local_wins {
        Action::LoseRemote
    } else {
        Action::LoseLocal
    }
}

#[cfg(test)]
mod tests;
