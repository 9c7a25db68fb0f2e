//! The stories, each with something that a crash could break.

mod carried;
mod conflicts;
mod deeds;
mod drains;
mod files;
mod pulls;
mod queues;
mod registered;
mod room;
mod sessions;
mod writes;

pub(crate) use registered::{Larger, collections};

use crate::act::{Act, Scenario, close, open, settle};
use deeds::put;
use keepsync::Result;

/// All of them.
///
/// # Errors
/// A registration that is not accepted.
pub fn all() -> Result<Vec<Scenario>> {
    let all = [
        sessions::all(),
        writes::all(),
        drains::all(),
        pulls::all(),
        conflicts::all(),
        queues::all(),
        files::all(),
        carried::all()?,
        room::all(),
    ];
    Ok(all.into_iter().flatten().collect())
}

fn scenario(name: &'static str, base: Vec<Act>, acts: Vec<Act>) -> Scenario {
    let mut base = base;
    if !base.is_empty() {
        base.insert(0, open());
        base.push(close());
    }
    let mut acts = acts;
    acts.insert(0, open());
    Scenario {
        name,
        before: collections,
        collections,
        wal_bytes: 4 * 1024 * 1024,
        base,
        spoil: None,
        room: None,
        salvages: false,
        by_hand: false,
        grows: false,
        acts,
    }
}

/// Three unsent writes, one of them to a record that the server has.
fn three() -> Vec<Act> {
    vec![
        put("profile", "me", r#"{"n":1}"#),
        settle(),
        put("workout", "w1", r#"{"date":"1"}"#),
        put("weight", "today", r#"{"kg":80}"#),
        put("profile", "me", r#"{"n":2}"#),
    ]
}
