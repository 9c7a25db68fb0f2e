//! Two versions of a record and what both were made on: a line with a policy, then base, local and remote,
//! with their clocks.
//!
//! 1. Settling ends, whatever the bodies are, and what it makes is made of both.
//! 2. Where clocks decide, it does not matter which side is here and which is there, and settling what came
//!    out once more changes nothing.

use crate::input::lines;
use keepsync::{
    collection::Collection,
    conflict::{Action, Base, Clocks, Policy, Side, Units, difference, plan, propose},
    hlc::Hlc,
};
use serde_json::{Map, Value};

type Object = Map<String, Value>;

struct Version {
    body: Option<Object>,
    hlc: Hlc,
    clocks: Clocks,
    device_id: &'static str,
}

impl Version {
    fn read(body: &str, clocks: &str, device_id: &'static str) -> Self {
        let (at, units) = clocks.split_once(' ').unwrap_or((clocks, ""));
        let hlc = at.parse().unwrap_or_else(|_| Hlc::at(5));
        Self {
            body: serde_json::from_str(body).ok(),
            hlc,
            clocks: Clocks::parse(units, hlc),
            device_id,
        }
    }

    fn side(&self) -> Side<'_> {
        Side {
            body: self.body.as_ref(),
            hlc: self.hlc,
            device_id: self.device_id,
            clocks: Some(&self.clocks),
        }
    }
}

fn policy(word: &str) -> (Policy, bool) {
    match word {
        "server_wins" => (Policy::ServerWins, false),
        "client_wins" => (Policy::ClientWins, false),
        "ask" => (Policy::Ask, false),
        "custom" => (Policy::custom("own"), false),
        "latest_of" => (Policy::latest_of("at"), true),
        "lww_per" => (Policy::lww_per("day"), true),
        "merge_max" => (Policy::merge_max("m"), true),
        "merge_max_all" => (Policy::merge_max(""), true),
        // What is added up is told by the base, which is not the same seen from the other side.
        "counter" => (Policy::Counter, false),
        "merge_fields" => (Policy::merge_fields([["w", "r"]]), true),
        _ => (Policy::LastWriteWins, true),
    }
}

pub(crate) fn run(data: &[u8]) {
    let [word, base, ours, our_clocks, theirs, their_clocks] = lines(data);
    let (policy, by_clocks) = policy(&word);
    let base: Option<Object> = serde_json::from_str(&base).ok();
    let base = base.as_ref().map_or(Base::Apart, Base::Body);
    let ours = Version::read(&ours, &our_clocks, "phone");
    let theirs = Version::read(&theirs, &their_clocks, "tablet");
    let settled = plan(&policy, &[], base, ours.side(), theirs.side());
    let _ = plan(
        &policy,
        &[],
        Base::Unknown,
        ours.side(),
        Side {
            clocks: None,
            ..theirs.side()
        },
    );
    let _ = Collection::new("c", policy.clone());
    let known = match base {
        Base::Body(body) => Some(body),
        _ => None,
    };
    let _ = difference(("c", "r"), known, ours.body.as_ref(), theirs.body.as_ref());
    if ours.body.is_some() && theirs.body.is_some() {
        let _ = propose(Units::Fields(&[]), known, ours.side(), theirs.side());
    }
    if !by_clocks {
        return;
    }
    let mirrored = plan(&policy, &[], base, theirs.side(), ours.side());
    let (one, other) = (outcome(settled, &ours, &theirs), outcome(mirrored, &theirs, &ours));
    assert_eq!(one.body, other.body, "it matters which side is here");
    // Once more with either side: as it is.
    for again in [&ours, &theirs] {
        let settled = plan(&policy, &[], base, one.side(), again.side());
        assert_eq!(
            outcome(settled, &one, again).body,
            one.body,
            "settling it again changes it"
        );
    }
}

/// What stands afterwards.
fn outcome(action: Action, ours: &Version, theirs: &Version) -> Version {
    let like = |side: &Version| Version {
        body: side.body.clone(),
        hlc: side.hlc,
        clocks: side.clocks.clone(),
        device_id: side.device_id,
    };
    match action {
        Action::Same | Action::TakeRemote | Action::LoseLocal => like(theirs),
        Action::KeepLocal | Action::LoseRemote => like(ours),
        Action::Merge(merge) => Version {
            body: Some(merge.body),
            hlc: ours.hlc.max(theirs.hlc),
            clocks: merge.clocks,
            device_id: ours.device_id,
        },
        Action::Ask | Action::AskResolver => panic!("clocks decide"),
    }
}
