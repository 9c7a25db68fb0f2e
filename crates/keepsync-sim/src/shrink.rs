//! From a long story that breaks a promise to a short one that breaks the same.
//!
//! 1. Kinds of faults are left out, one by one.
//! 2. Devices are left out, from the last.
//! 3. The end is moved forward, to where it broke if that is before the users stop.
//! 4. Acts of users are left out: half of them, a quarter, and so on to single ones.
//! 5. Once more from the beginning, until nothing can be left out any more, or enough was tried.
//!
//! Each step is kept if the story still breaks the same promise. Nothing in it depends on anything but
//! the seed and the choice, so the result is the same each time.

use crate::{
    chance::Act,
    device::Broken,
    plot::Plot,
    story::{Outcome, run},
};
use std::collections::BTreeSet;

/// The shortest story found.
#[derive(Debug)]
pub struct Short {
    /// How to choose it.
    pub plot: Plot,
    /// How it comes out.
    pub outcome: Outcome,
    /// How many stories were run on the way.
    pub tried: u32,
}

struct Search {
    seed: u64,
    promise: &'static str,
    plot: Plot,
    best: Outcome,
    tried: u32,
    most: u32,
}

/// Shortens a story that breaks a promise; `None` if it breaks none. At most `most` stories are run.
///
/// # Errors
/// What is wrong with the machine it runs on.
pub fn shrink(seed: u64, plot: Plot, most: u32) -> Result<Option<Short>, Broken> {
    let outcome = run(seed, plot.clone(), false)?;
    let Some(violation) = &outcome.violation else {
        return Ok(None);
    };
    let mut search = Search {
        seed,
        promise: violation.promise,
        plot,
        best: outcome,
        tried: 1,
        most,
    };
    while search.round()? {}
    Ok(Some(Short {
        plot: search.plot,
        outcome: search.best,
        tried: search.tried,
    }))
}

impl Search {
    /// True if anything could be left out.
    fn round(&mut self) -> Result<bool, Broken> {
        let mut better = false;
        for kind in self.best.kinds.clone() {
            better |= self.attempt(|plot| {
                plot.without.insert(kind);
            })?;
        }
        while self.best.stats.devices > 1 {
            let fewer = usize::try_from(self.best.stats.devices - 1)?;
            if !self.attempt(|plot| plot.devices = fewer)? {
                break;
            }
            better = true;
        }
        for part in [8, 4, 2, 1] {
            // At the end the clock goes on for hours; only what is before it can be cut.
            let end = self.plot.end.min(self.best.end);
            better |= end > 60_000 && self.attempt(|plot| plot.end = end - end / (part + 1))?;
        }
        better |= self.acts()?;
        Ok(better && self.tried < self.most)
    }

    fn acts(&mut self) -> Result<bool, Broken> {
        let mut better = false;
        let mut size = self.best.acts.len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            loop {
                let acts: Vec<Act> = self.best.acts.iter().copied().collect();
                if from >= acts.len() {
                    break;
                }
                let left_out = &acts[from..acts.len().min(from + size)];
                let only: BTreeSet<Act> = acts.iter().filter(|act| !left_out.contains(act)).copied().collect();
                if self.attempt(|plot| plot.only = Some(only))? {
                    better = true;
                } else {
                    from += size;
                }
            }
            size /= 2;
        }
        Ok(better)
    }

    fn attempt(&mut self, change: impl FnOnce(&mut Plot)) -> Result<bool, Broken> {
        if self.tried >= self.most {
            return Ok(false);
        }
        self.tried += 1;
        let mut plot = self.plot.clone();
        change(&mut plot);
        let outcome = run(self.seed, plot.clone(), false)?;
        let same = outcome
            .violation
            .as_ref()
            .is_some_and(|violation| violation.promise == self.promise);
        if same {
            self.plot = plot;
            self.best = outcome;
        }
        Ok(same)
    }
}
