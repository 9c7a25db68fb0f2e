//! What goes wrong in a story, and how often. Each seed has its own mixture: some faults off, some
//! rare, some the rule, because a story with everything in it hides what one fault alone shows.

use crate::rng::Rng;

/// The mixture. Probabilities are per request unless said otherwise.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// The request never arrives.
    pub lose_request: f64,
    /// It arrives, its answer does not.
    pub lose_answer: f64,
    /// It arrives long after the device has given it up.
    pub late_request: f64,
    /// It arrives twice.
    pub duplicate: f64,
    /// The answer takes long, though not too long.
    pub slow: f64,
    /// The server fails: half the time before it does the work, half the time after.
    pub server_error: f64,
    /// "Not so fast."
    pub throttle: f64,
    /// Somebody else answers.
    pub portal: f64,
    /// The token runs out.
    pub token_expires: f64,
    /// Some results are missing from the answer.
    pub partial: f64,
    /// Results come in another order.
    pub shuffle: f64,
    /// Per item: the server could not take it now.
    pub try_later: f64,
    /// The request is larger than the server takes beyond this many items; 0 for no limit.
    pub most_items: usize,
    /// Per storage step: the process dies before or after it.
    pub crash_at_step: f64,
    /// Per request: the process dies before it leaves, or when its answer has come.
    pub crash_at_request: f64,
    /// Per storage step: the user does something just then.
    pub act_at_step: f64,
    /// Per storage step: the disk fails.
    pub disk: f64,
    /// Per page: a power cut would lose it.
    pub unsynced_page: f64,
    /// Mean time between offline periods of a device; 0 for none.
    pub offline_every_ms: f64,
    /// Mean time between crashes of a device outside of steps; 0 for none.
    pub crash_every_ms: f64,
    /// Mean time between jumps of a device's wall clock; 0 for none.
    pub jump_every_ms: f64,
    /// Mean time between bad periods of the server; 0 for none.
    pub bad_server_every_ms: f64,
    /// Mean time between restores of the server; 0 for none.
    pub restore_every_ms: f64,
    /// Mean time between changes of the account on a device; 0 for none.
    pub switch_every_ms: f64,
}

const HOUR: f64 = 3_600_000.0;

impl Faults {
    /// The mixture of a seed.
    pub fn draw(rng: &mut Rng) -> Self {
        let mut some = |often: f64, most: f64| {
            let there = rng.chance(often);
            let amount = rng.unit();
            if there { amount * amount * most } else { 0.0 }
        };
        let mut faults = Self {
            lose_request: some(0.5, 0.4),
            lose_answer: some(0.6, 0.5),
            late_request: some(0.3, 0.2),
            duplicate: some(0.4, 0.4),
            slow: some(0.5, 0.5),
            server_error: some(0.4, 0.4),
            throttle: some(0.3, 0.2),
            portal: some(0.3, 0.2),
            token_expires: some(0.3, 0.1),
            partial: some(0.4, 0.5),
            shuffle: some(0.5, 1.0),
            try_later: some(0.4, 0.3),
            most_items: 0,
            crash_at_step: some(0.4, 0.015),
            crash_at_request: some(0.5, 0.04),
            act_at_step: some(0.6, 0.06),
            disk: some(0.2, 0.05),
            unsynced_page: some(0.5, 0.5),
            ..Self::default()
        };
        faults.most_items = if rng.chance(0.2) {
            1 + usize::try_from(rng.below(4)).unwrap_or(0)
        } else {
            0
        };
        let mut every = |often: f64, shortest: f64, longest: f64| {
            let there = rng.chance(often);
            let time = shortest + rng.unit() * (longest - shortest);
            if there { time } else { 0.0 }
        };
        faults.offline_every_ms = every(0.7, 0.2 * HOUR, 6.0 * HOUR);
        faults.crash_every_ms = every(0.4, 1.0 * HOUR, 12.0 * HOUR);
        faults.jump_every_ms = every(0.4, 1.0 * HOUR, 12.0 * HOUR);
        faults.bad_server_every_ms = every(0.3, 1.0 * HOUR, 12.0 * HOUR);
        faults.restore_every_ms = every(0.3, 1.0 * HOUR, 12.0 * HOUR);
        faults.switch_every_ms = every(0.25, 2.0 * HOUR, 10.0 * HOUR);
        faults
    }
}
