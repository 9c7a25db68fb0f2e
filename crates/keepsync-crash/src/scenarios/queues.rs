//! What a user does to the queue.

use super::{
    deeds::{entry_of, put},
    scenario, three,
};
use crate::{
    act::{Scenario, pass, settle, write},
    server::Net,
};
use keepsync::{Result, Write, queue};
use uuid::Uuid;

pub(super) fn all() -> Vec<Scenario> {
    let refused = || {
        let mut acts = three();
        acts.push(pass(Net::Rejected));
        acts
    };
    let of = |collection: &'static str, id: &'static str, name: &str, what: fn(&mut Write<'_>, Uuid) -> Result<()>| {
        write(name, move |write| {
            let op = entry_of(write, collection, id)?;
            what(write, op).map(|()| None)
        })
    };
    vec![
        scenario(
            "tend-refused",
            refused(),
            vec![
                of("workout", "w1", "edit", |write, op| {
                    queue::edit(write, op, r#"{"date":"5"}"#).map(|_| ())
                }),
                of("weight", "today", "retry", queue::retry),
                of("profile", "me", "discard", |write, op| {
                    queue::discard(write, op, false).map(|_| ())
                }),
                pass(Net::Well),
            ],
        ),
        scenario(
            "discard-with-children",
            vec![
                put("workout", "w", "{}"),
                put("set_log", "x", r#"{"workout_id":"w"}"#),
                pass(Net::CreationsRejected),
            ],
            vec![
                of("workout", "w", "discard", |write, op| {
                    queue::discard(write, op, true).map(|_| ())
                }),
                pass(Net::Well),
            ],
        ),
        scenario(
            "rollback",
            three(),
            vec![
                of("profile", "me", "roll back", |write, op| {
                    queue::rollback(write, op, false).map(|_| ())
                }),
                pass(Net::Well),
            ],
        ),
        scenario(
            "rollback-when-answered",
            vec![
                put("profile", "me", r#"{"n":1}"#),
                settle(),
                put("profile", "me", r#"{"n":2}"#),
                pass(Net::Lost),
            ],
            vec![
                of("profile", "me", "roll back", |write, op| {
                    queue::rollback(write, op, false).map(|_| ())
                }),
                pass(Net::Offline),
                pass(Net::Well),
            ],
        ),
    ]
}
