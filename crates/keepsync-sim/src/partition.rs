//! The partition matrix: 5 to 10 devices write 10 to 40 times a second in all, for 100 to 300 s, while
//! each of them, or all, are cut off from the server for up to 10 s, from it, to it or both ways, again
//! and again. Everything else is well, and the settings are the default ones. At last everything is
//! healed: how long until every queue is empty?
//!
//! The bar is 11 s: an offline device asks every 10 s whether the server is there, and then needs a
//! second for what waits.
//!
//! What is sent into a cut is sent again by TCP, in growing intervals, as it is where packets are
//! dropped and connections live on. With `swallow` it is gone, as in a half-open connection: nobody
//! hears of it but by waiting.

use crate::{
    chance::Area,
    device::Broken,
    faults::Faults,
    oracle::{Violation, broken},
    plot::Plot,
    story::Folder,
    world::{Happening, Parts, Script, World},
};
use keepsync::{remote::Capabilities, settings::Settings};
use keepsync_proxy::rng::Rng;
use std::fmt;

/// Milliseconds after the last healing at which every queue must be empty.
pub const BAR_MS: u64 = 11_000;

/// How long is waited for a queue to become empty.
const PATIENCE_MS: u64 = 15 * 60_000;

/// The longest cut, and the longest time between two.
const CUT_MS: u64 = 10_000;

/// How one run came out.
#[derive(Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Devices.
    pub devices: u64,
    /// Writes that returned.
    pub writes: u64,
    /// Cuts.
    pub cuts: u64,
    /// For each device: milliseconds from the last healing until its queue was empty.
    pub empty_ms: Vec<u64>,
    /// The promise it broke, if it did.
    pub violation: Option<Violation>,
    /// Equal for equal runs.
    pub hash: u64,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times: Vec<String> = self
            .empty_ms
            .iter()
            .map(|ms| format!("{:.1}", *ms as f64 / 1_000.0))
            .collect();
        write!(
            f,
            "run {}: {} devices, {} writes, {} cuts, queues empty after {} s; trace {:016x}",
            self.seed,
            self.devices,
            self.writes,
            self.cuts,
            times.join(" "),
            self.hash
        )?;
        match &self.violation {
            Some(violation) => write!(f, "\n  broken: {}: {}", violation.promise, violation.what),
            None => Ok(()),
        }
    }
}

/// Runs one. `swallow`: what is sent into a cut is gone. `print` writes its trace out.
///
/// # Errors
/// What is wrong with the machine it runs on.
pub fn run(seed: u64, swallow: bool, print: bool) -> Result<Outcome, Broken> {
    let folder = Folder::new()?;
    let mut rng = Rng::new(seed, 7);
    let count = usize::try_from(rng.between(5, 10))?;
    let writes_per_second = rng.between(10, 40);
    let length = rng.between(100, 300) * 1_000;
    let parts = Parts {
        script: Script::Writes,
        count,
        settings: Settings {
            // Default, but for what the check at the end reads.
            history_per_record: 100_000,
            history_count: 1_000_000,
            ..Settings::default()
        },
        capabilities: Capabilities {
            batches: true,
            after: true,
            pull: true,
        },
        wild_clocks: false,
        bad: 0.0,
        length,
        act_every_ms: 1_000.0 * count as f64 / writes_per_second as f64,
        checked: 0.000_5,
        delays: (5, 60),
    };
    let faults = Faults {
        half_open: if swallow { 1.0 } else { 0.0 },
        ..Faults::default()
    };
    let mut world = World::with(seed, &folder.0, Plot::default(), parts, faults, print)?;
    for at in 0..count {
        world.later(10 * at as u64, Happening::Open(at));
        world.later(1_000, Happening::Act(at));
        world.later(1_000, Happening::Partition(at));
    }
    let mut empty_ms = Vec::new();
    let violation = world.until_empty(length, &mut empty_ms).err();
    Ok(Outcome {
        seed,
        devices: count as u64,
        writes: world.oracle.count() as u64,
        cuts: world.stats().faults,
        empty_ms,
        violation,
        hash: world.trace().hash(),
    })
}

impl World {
    /// Cuts a device off, at times all of them, and comes back some time after.
    pub(crate) fn partition(&mut self, at: usize) {
        let now = self.clock.now();
        let rng = self.chance.of(Area::Cut, at);
        let (how, cut, pause) = (rng.below(3), rng.below(CUT_MS + 1), rng.below(CUT_MS + 1));
        let all = at == 0 && rng.chance(0.3);
        self.later(cut + pause, Happening::Partition(at));
        self.stats.faults += 1;
        let which = ["from", "to", "from and to"][how as usize];
        let whom = if all { "everyone".to_owned() } else { at.to_string() };
        self.trace
            .line(now, format_args!("nothing goes {which} {whom} for {cut} ms"));
        for (index, device) in self.devices.iter_mut().enumerate() {
            if all || index == at {
                if how != 1 {
                    device.cut_out_until = device.cut_out_until.max(now + cut);
                }
                if how != 0 {
                    device.cut_in_until = device.cut_in_until.max(now + cut);
                }
            }
        }
    }

    fn until_empty(&mut self, length: u64, empty_ms: &mut Vec<u64>) -> Result<(), Violation> {
        self.run_until(length)?;
        // No new cuts; people write until the last one is healed.
        let cuts = self
            .devices
            .iter()
            .map(|device| device.cut_out_until.max(device.cut_in_until));
        let healed = cuts.max().unwrap_or(0).max(length);
        self.forget(|what| matches!(what, Happening::Partition(_)));
        self.run_until(healed)?;
        self.trace.line(healed, format_args!("everything is healed"));
        self.healed = true;
        let mut left: Vec<usize> = (0..self.devices.len()).collect();
        empty_ms.resize(left.len(), PATIENCE_MS);
        while !left.is_empty() && self.clock.now() < healed + PATIENCE_MS {
            self.run_until(self.clock.now() + 20)?;
            let now = self.clock.now();
            let mut full = Vec::new();
            for at in left {
                if self.is_unsent(at)? {
                    full.push(at);
                } else {
                    empty_ms[at] = now - healed;
                }
            }
            left = full;
        }
        self.settle_down()?;
        self.check_converged(0)?;
        self.check_quiet()?;
        self.check_histories(0)?;
        match empty_ms.iter().enumerate().max_by_key(|(_, ms)| **ms) {
            Some((at, ms)) if *ms > BAR_MS => broken(
                "never stuck",
                format!("device {at}'s queue was empty only {ms} ms after everything was healed"),
            ),
            _ => Ok(()),
        }
    }

    fn is_unsent(&self, at: usize) -> Result<bool, Violation> {
        match &self.devices[at].app {
            Some(app) => Ok(app.db.read(|read| read.queue_counts())?.total() > 0),
            None => Ok(true),
        }
    }
}

/// Many runs.
#[derive(Debug, Default)]
pub struct Summary {
    runs: usize,
    devices: u64,
    writes: u64,
    cuts: u64,
    late: usize,
    broken: usize,
    /// Of each run: when the last of its queues was empty; in order.
    worst_ms: Vec<u64>,
}

impl Summary {
    /// Of these.
    pub fn of(outcomes: &[Outcome]) -> Self {
        let mut summary = Self::default();
        for outcome in outcomes {
            let worst = outcome.empty_ms.iter().copied().max().unwrap_or(PATIENCE_MS);
            summary.runs += 1;
            summary.devices += outcome.devices;
            summary.writes += outcome.writes;
            summary.cuts += outcome.cuts;
            summary.broken += usize::from(outcome.violation.is_some());
            summary.late += usize::from(worst > BAR_MS);
            summary.worst_ms.push(worst);
        }
        summary.worst_ms.sort_unstable();
        summary
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |ms: Option<&u64>| ms.map_or(0.0, |ms| *ms as f64 / 1_000.0);
        write!(
            f,
            "{} runs, {} devices, {} writes, {} cuts: every queue empty {:.1} s after healing in the median, {:.1} s at \
             worst; {} runs over {} s, {} broken",
            self.runs,
            self.devices,
            self.writes,
            self.cuts,
            seconds(self.worst_ms.get(self.worst_ms.len() / 2)),
            seconds(self.worst_ms.last()),
            self.late,
            BAR_MS / 1_000,
            self.broken
        )
    }
}
