//! A drain with every kind of answer.

use super::{
    deeds::{complete, log, start},
    scenario, three,
};
use crate::{
    act::{Scenario, pass},
    server::Net,
};

/// Three unsent writes, met by such an answer, and then by a good one.
fn answered(name: &'static str, net: Net) -> Scenario {
    scenario(name, three(), vec![pass(net), pass(Net::Well)])
}

pub(super) fn all() -> Vec<Scenario> {
    vec![
        answered("drain-accepted", Net::Well),
        answered("drain-offline", Net::Offline),
        answered("drain-lost-answer", Net::Lost),
        answered("drain-slow", Net::Slow),
        answered("drain-partly-answered", Net::Partly),
        answered("drain-partly-lost", Net::PartlyLost),
        answered("drain-later", Net::Later),
        answered("drain-throttled", Net::Throttled),
        answered("drain-server-down", Net::Down),
        answered("drain-token-expired", Net::TokenExpired),
        answered("drain-too-large", Net::TooLarge),
        answered("drain-rejected", Net::Rejected),
        answered("drain-raced", Net::Raced),
        scenario(
            "drain-gives-up",
            three(),
            (0..9).map(|_| pass(Net::Later)).chain([pass(Net::Well)]).collect(),
        ),
        scenario(
            "drain-children-of-a-refused-parent",
            vec![
                start("workout", "set_log", "s"),
                log("workout", "s", "a", "{}"),
                log("workout", "s", "b", "{}"),
            ],
            vec![pass(Net::CreationsRejected), complete("workout", "s"), pass(Net::Well)],
        ),
    ]
}
