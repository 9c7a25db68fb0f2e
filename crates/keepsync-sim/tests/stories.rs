//! Stories: some seeds, the same seed twice and on more threads, a story made short, a run of the partition
//! matrix, and planted bugs. The command line runs many more.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use keepsync_sim::{
    Bug, Plot, bug,
    many::{cores, many},
    partition, run,
    shrink::shrink,
};

#[test]
fn every_promise_holds_in_a_handful_of_stories() {
    let total = many(0..25, cores(), &Plot::default(), true).unwrap();
    for outcome in &total.broken {
        eprintln!("seed {}: {:?}", outcome.seed, outcome.violation);
    }
    assert!(total.broken.is_empty());
    assert_eq!(total.seeds, 25);
    assert!(total.stats.steps > 25 && total.stats.writes > 25 && total.stats.devices >= 75);
}

#[test]
fn the_same_seeds_are_the_same_stories_however_many_threads_run_them() {
    let hashes = [1, 1, 3].map(|jobs| many(3..9, jobs, &Plot::default(), true).unwrap().hash);
    assert_eq!(hashes[0], hashes[1]);
    assert_eq!(hashes[0], hashes[2]);
    let other = many(4..10, 1, &Plot::default(), true).unwrap().hash;
    assert_ne!(hashes[0], other);
}

fn planted(bug: Bug) -> Plot {
    Plot {
        bug: Some(bug),
        ..Plot::default()
    }
}

#[test]
fn a_story_that_breaks_a_promise_shrinks_to_a_shorter_one_that_breaks_the_same() {
    let plot = planted(Bug::SettlesOnTimeout);
    let total = many(0..300, 1, &plot, false).unwrap();
    let long = total.broken.first().unwrap();
    let promise = long.violation.as_ref().unwrap().promise;
    let short = shrink(long.seed, plot.clone(), 80).unwrap().unwrap();
    assert_eq!(short.outcome.violation.as_ref().unwrap().promise, promise);
    assert!(
        short.outcome.acts.len() * 2 < long.acts.len() && short.outcome.kinds.len() < long.kinds.len(),
        "{} acts of {}, {:?} of {:?}",
        short.outcome.acts.len(),
        long.acts.len(),
        short.outcome.kinds,
        long.kinds
    );
    let again = run(long.seed, short.plot.clone(), false).unwrap();
    assert_eq!(again.hash, short.outcome.hash, "the command line it prints replays it");
    let twice = shrink(long.seed, plot, 80).unwrap().unwrap();
    assert_eq!(
        twice.plot.arguments(),
        short.plot.arguments(),
        "and is the same each time"
    );
}

#[test]
fn after_partitions_every_queue_is_empty_in_time() {
    for (seed, swallow) in [(0, false), (1, false), (0, true)] {
        let outcome = partition::run(seed, swallow, false).unwrap();
        assert!(outcome.violation.is_none(), "{outcome}");
        assert!(outcome.cuts > 50 && outcome.writes > 500, "{outcome}");
    }
}

/// Each must be caught within this many seeds. Those of the core and the server are planted by
/// `cargo run --release -p keepsync-sim --features planted -- --bugs`.
const MOST: u64 = 300;

#[test]
fn every_planted_bug_of_the_runner_is_caught() {
    for (bug, name) in bug::all() {
        let total = many(0..MOST, cores(), &planted(bug), false).unwrap();
        assert_eq!(total.broken.len(), 1, "{name} was not caught in {MOST} seeds");
    }
}

/// The second oracle sees these by itself, within [`FEW`] seeds: they lose, double, overwrite, turn around or leak. Those
/// below the line are in the core and the server (feature `planted`).
const SEEN_BY_HISTORY: [&str; 14] = [
    "settles-on-timeout",
    "answers-cross-accounts",
    "cursor-without-page",
    "not-durable",
    "ignores-branch",
    // -----
    "order-by-wall-clock",
    "fold-attempted",
    "drop-on-401",
    "new-id-on-retry",
    "tombstone-over-edit",
    "child-before-parent",
    "loss-not-kept",
    "server-no-version-check",
    "server-forgets-base-id",
];
const FEW: u64 = 16;

#[test]
fn the_second_oracle_alone_sees_bugs_that_lose_double_overwrite_or_leak() {
    let alone = |bug| Plot {
        bug,
        oracle_only: true,
        ..Plot::default()
    };
    let clean = many(0..FEW, cores(), &alone(None), true).unwrap();
    assert!(clean.broken.is_empty(), "{:?}", clean.broken[0].violation);
    let known: Vec<_> = SEEN_BY_HISTORY
        .iter()
        .filter_map(|name| Some((name, Bug::named(name)?)))
        .collect();
    assert!(known.len() >= 5);
    for (name, bug) in known {
        let total = many(0..FEW, cores(), &alone(Some(bug)), false).unwrap();
        let seen = total.broken.first().and_then(|outcome| outcome.violation.as_ref());
        assert!(
            seen.is_some_and(|violation| violation.what.starts_with("the second oracle")),
            "{name}: {seen:?}"
        );
    }
}
