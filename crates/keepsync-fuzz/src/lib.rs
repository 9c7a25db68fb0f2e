//! Everything that comes to Keepsync from outside, as bytes: answers of a backend, pages, cursors,
//! templates, tokens, exports, training logs, database files, bodies, and requests to the server.
//!
//! A [`Target`] takes any bytes and panics if what must hold does not. Each asks more than "no panic":
//! its module says what. The code under test is the shipped one. What is private in its crate is compiled
//! here once more from the same file (`remote`, `strong`, `cursor`), with a transport that answers from a
//! script instead of a network.
//!
//! `corpus/<target>/` holds the inputs to begin with: recorded answers, small files, and every input that
//! has failed once. `cargo test -p keepsync-fuzz` runs each target over its corpus and some thousand
//! seeded mutations of it; `scripts/proof fuzz` lets cargo-fuzz look for more, guided by coverage.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a target tells what it found by panicking"
)]

#[path = "../../keepsync/src/remote"]
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    clippy::wrong_self_convention,
    reason = "the core uses and publishes all of it"
)]
mod remote {
    //! The adapters of the core, over answers from a script.

    pub use keepsync::remote::{
        Accepted, Capabilities, Fault, Outcome, PullPage, PullRequest, PushAnswer, PushBatch, PushItem, Remote,
        RemoteChange, RemoteFuture, RemoteVersion, Token,
    };

    mod answer;
    mod classify;
    pub mod http;
    pub mod rest;
    #[path = "../../../keepsync-fuzz/src/script.rs"]
    pub(crate) mod transport;
    pub mod wire;
}
mod hlc {
    //! Where the adapters look for it.

    pub(crate) use keepsync::hlc::*;
}
#[path = "../../keepsync-cli/src/device/strong"]
#[allow(dead_code, unreachable_pub, reason = "the command uses all of it")]
mod strong {
    //! The command's reader of training logs.

    mod plan;
    mod table;

    /// A workout: its id and body, and those of its sets.
    pub(crate) type Workout = ((String, String), Vec<(String, String)>);

    /// The number of rows, and their workouts; what is wrong with it otherwise.
    pub(crate) fn read(bytes: &[u8]) -> Result<(usize, Vec<Workout>), String> {
        let rows = table::read(bytes).map_err(|wrong| wrong.to_string())?;
        let count = rows.len();
        let workouts = plan::workouts(rows).map_err(|failure| failure.to_string())?;
        let parts = |workout: plan::Workout| ((workout.id, workout.body), workout.sets);
        Ok((count, workouts.into_iter().map(parts).collect()))
    }
}
mod failure;
#[path = "../../keepsync-server/src/storage/sqlite"]
mod sqlite {
    //! The server's cursors.

    #[allow(dead_code, reason = "the server uses all of it")]
    mod cursor;

    /// A cursor as the server reads it: up to where, down to where, and written again.
    pub(crate) fn read(text: &str) -> Option<(i64, Option<i64>, String)> {
        let at = cursor::At::parse(text)?;
        Some((at.up, at.below, at.to_string()))
    }
}

mod input;
mod device;
mod backend;
pub mod mutate;
mod targets;
mod record;

pub use record::record;
pub use targets::{Target, all, named, run};
