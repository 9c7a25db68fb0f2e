//! Many stories on many threads. What comes out does not depend on how many threads there are: each
//! story is its seed's alone, and they are put together in the order of their seeds.

use crate::{
    device::Broken,
    plot::Plot,
    story::{Outcome, run},
    world::Stats,
};
use std::{
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

/// What many stories came to.
#[derive(Debug, Default)]
pub struct Total {
    /// How many.
    pub seeds: u64,
    /// Of all their traces, in the order of the seeds.
    pub hash: u64,
    /// Added up.
    pub stats: Stats,
    /// Those that broke a promise, in the order of the seeds; only the first, if it was to stop there.
    pub broken: Vec<Outcome>,
}

/// Runs the stories of these seeds on `jobs` threads. Unless it is to keep going, it stops at the
/// lowest seed whose story breaks a promise, and counts none after it.
///
/// # Errors
/// What is wrong with the machine it runs on.
pub fn many(seeds: Range<u64>, jobs: usize, plot: &Plot, keep_going: bool) -> Result<Total, Broken> {
    let outcomes = spread(seeds.clone(), jobs, |seed| {
        let outcome = run(seed, plot.clone(), false).map_err(|error| error.to_string())?;
        let stop = outcome.violation.is_some() && !keep_going;
        Ok((outcome, stop))
    })?;
    let mut total = Total::default();
    for outcome in outcomes {
        total.seeds += 1;
        total.hash = total.hash.rotate_left(7) ^ outcome.hash;
        total.stats.add(&outcome.stats);
        if outcome.violation.is_some() {
            total.broken.push(outcome);
        }
    }
    Ok(total)
}

/// Does the same for each number, on `jobs` threads, and gives the results in their order. Whoever says
/// so with `true` is the last in that order: what comes after it is thrown away or not begun.
///
/// # Errors
/// The first in that order.
pub fn spread<T: Send>(
    numbers: Range<u64>,
    jobs: usize,
    each: impl Fn(u64) -> Result<(T, bool), String> + Sync,
) -> Result<Vec<T>, Broken> {
    let next = AtomicU64::new(numbers.start);
    let end = AtomicU64::new(numbers.end);
    let results: Mutex<Vec<(u64, Result<T, String>)>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Relaxed);
                    if number >= end.load(Relaxed) {
                        return;
                    }
                    let result = match each(number) {
                        Ok((value, stop)) => {
                            if stop {
                                end.fetch_min(number + 1, Relaxed);
                            }
                            Ok(value)
                        }
                        Err(error) => {
                            end.fetch_min(number + 1, Relaxed);
                            Err(error)
                        }
                    };
                    results
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push((number, result));
                }
            });
        }
    });
    let end = end.load(Relaxed);
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(number, _)| *number);
    results
        .into_iter()
        .take_while(|(number, _)| *number < end)
        .map(|(_, result)| result.map_err(Broken::from))
        .collect()
}

/// As many threads as the machine runs at once.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

impl Stats {
    /// Adds another story's.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.requests += other.requests;
        self.crashes += other.crashes;
        self.faults += other.faults;
        self.restores += other.restores;
        self.writes += other.writes;
        self.virtual_ms += other.virtual_ms;
        self.devices += other.devices;
    }
}
