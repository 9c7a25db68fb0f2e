//! Sessions in progress.

use super::{
    deeds::{complete, log, start},
    scenario,
};
use crate::{
    act::{Act, Scenario, pass, settle, write},
    server::Net,
};
use keepsync::session;

/// A session in progress with two sets, sent as far as it goes.
fn in_progress() -> Vec<Act> {
    vec![
        start("workout", "set_log", "s"),
        log("workout", "s", "bench/1", r#"{"kg":60}"#),
        log("workout", "s", "bench/2", r#"{"kg":70}"#),
        settle(),
    ]
}

pub(super) fn all() -> Vec<Scenario> {
    vec![
        scenario(
            "log-set",
            in_progress(),
            vec![
                log("workout", "s", "squat/1", r#"{"kg":100}"#),
                log("workout", "s", "squat/1", r#"{"kg":101}"#),
                write("note", |write| {
                    session::note(write, "workout", "s", Some("rest")).map(|()| None)
                }),
                write("remove a set", |write| {
                    session::remove_set(write, "workout", "s", "bench/2").map(|written| written.op)
                }),
            ],
        ),
        scenario(
            "complete-session",
            in_progress(),
            vec![
                log("workout", "s", "squat/1", "{}"),
                complete("workout", "s"),
                pass(Net::Well),
            ],
        ),
        scenario(
            "session-sent-when-complete",
            vec![start("plan", "plan_set", "p"), log("plan", "p", "a", "{}")],
            vec![
                log("plan", "p", "b", "{}"),
                pass(Net::Well),
                complete("plan", "p"),
                pass(Net::Lost),
                pass(Net::Well),
            ],
        ),
        scenario(
            "skip-session",
            in_progress(),
            vec![
                write("skip", |write| {
                    session::skip(write, "workout", "s", "{}").map(|written| written.op)
                }),
                pass(Net::Well),
            ],
        ),
        scenario(
            "discard-session",
            vec![start("workout", "set_log", "s"), log("workout", "s", "bench/1", "{}")],
            vec![
                write("discard", |write| {
                    session::discard(write, "workout", "s").map(|()| None)
                }),
                pass(Net::Well),
            ],
        ),
    ]
}
