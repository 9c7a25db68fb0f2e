//! One mutant against the tests that reach it, the quick ones first.

use crate::{
    Result,
    tests::{Ended, Test, run},
    tree::Program,
};
use std::{path::Path, time::Duration};

/// What became of a mutant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// A test failed.
    Caught,
    /// A test hung, or took more than ten times as long.
    TimedOut,
    /// Every test that reaches it passed: so many.
    Survived(usize),
}

/// Tests are run in lots of doubling length, so that most mutants cost milliseconds.
pub(crate) fn hunt(mutant: usize, programs: &[Program], tests: &[Test], temp: &Path) -> Result<Fate> {
    let reaching: Vec<&Test> = tests.iter().filter(|test| test.reaches[mutant]).collect();
    let mut lot_time = Duration::from_millis(150);
    let mut rest = &reaching[..];
    while !rest.is_empty() {
        let mut sum = Duration::ZERO;
        let count = rest
            .iter()
            .take_while(|test| {
                let fits = sum.is_zero() || sum + test.time <= lot_time;
                sum += test.time;
                fits
            })
            .count();
        let (lot, later) = rest.split_at(count.max(1));
        for (index, program) in programs.iter().enumerate() {
            let here: Vec<&&Test> = lot.iter().filter(|test| test.program == index).collect();
            if here.is_empty() {
                continue;
            }
            let names: Vec<&str> = here.iter().map(|test| test.name.as_str()).collect();
            let usual: Duration = here.iter().map(|test| test.time).sum();
            match run(
                program,
                &names,
                Some(mutant),
                None,
                Duration::from_secs(10) + usual * 10,
                temp,
            )? {
                Ended::Passed => {}
                Ended::Failed => return Ok(Fate::Caught),
                Ended::TimedOut => return Ok(Fate::TimedOut),
            }
        }
        rest = later;
        lot_time *= 2;
    }
    Ok(Fate::Survived(reaching.len()))
}
