//! Stories: some seeds, the same seed twice, and planted bugs. The command line runs many more.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use keepsync_sim::{Bug, Plot, bug, run};

#[test]
fn every_promise_holds_in_a_handful_of_stories() {
    for seed in 0..25 {
        let outcome = run(seed, Plot::default(), false).unwrap();
        assert!(outcome.violation.is_none(), "seed {seed}: {:?}", outcome.violation);
        assert!(
            outcome.stats.steps > 0 && outcome.stats.writes > 0,
            "seed {seed} is no story"
        );
    }
}

#[test]
fn the_same_seed_is_the_same_story() {
    for seed in [0, 7, 11, 100] {
        let hashes = [(); 2].map(|()| run(seed, Plot::default(), false).unwrap().hash);
        assert_eq!(hashes[0], hashes[1], "seed {seed}");
    }
    assert_ne!(
        run(0, Plot::default(), false).unwrap().hash,
        run(1, Plot::default(), false).unwrap().hash
    );
}

/// Each must be caught within this many seeds. Those of the core and the server are planted by
/// `cargo run --release -p keepsync-sim --features planted -- --bugs`.
const MOST: u64 = 300;

#[test]
fn every_planted_bug_of_the_runner_is_caught() {
    let caught = |planted: Bug| {
        (0..MOST).find(|&seed| {
            let plot = Plot {
                bug: Some(planted),
                ..Plot::default()
            };
            run(seed, plot.clone(), false).unwrap().violation.is_some()
        })
    };
    for (planted, name) in bug::all() {
        assert!(caught(planted).is_some(), "{name} was not caught in {MOST} seeds");
    }
}
