//! The core's locks under shuttle, which runs the same scene again and again and switches between its threads
//! at another place each time.
//!
//! The files under test are the core's own, compiled here once more: they take their locks from `crate::sync`,
//! which is std's in the core and shuttle's here. So nothing of shuttle is in the core, and no build of it needs
//! another flag. What a scene asks is in its comment; that nobody waits for ever, shuttle finds by itself.
//!
//! Not here: the registry of open stores (one lock, held over the whole of opening and closing's last step, with
//! files in its hands), and the readers' gate (its lock guards SQLite connections; `tests/store.rs` of the core
//! has it under load). tokio's own locks are no places to switch at.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "all of this is tests; the core uses what is not used here"
)]

mod sync {
    pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard};
    pub(crate) use std::sync::PoisonError;
}

mod change {
    pub(crate) use keepsync::change::Changes;
}

mod error {
    pub(crate) use keepsync::{Error, Result};
}

mod remote;
mod store;

/// A scene: its name, and what happens in it.
pub type Scene = (&'static str, fn());

/// All of them.
pub const SCENES: [Scene; 7] = [
    ("refused together, one trade", remote::single_flight::refused_together),
    ("asked together, one trade", remote::single_flight::asked_together),
    ("the first to ask goes away", remote::single_flight::the_first_goes_away),
    ("jobs, steps and the end", store::inbox_scenes::jobs_steps_and_the_end),
    ("many jobs share a commit", store::inbox_scenes::many_share),
    ("news of a write", store::hub_scenes::news_of_a_write),
    (
        "one waiter goes as another comes",
        store::hub_scenes::one_goes_as_another_comes,
    ),
];

/// Runs a scene so often, half by random switching, half with few switches at the worst places (PCT).
pub fn run(scene: fn(), schedules: usize) {
    let random = schedules / 2;
    shuttle::check_random(scene, random);
    shuttle::check_pct(scene, schedules - random, 3);
}
