//! Virtual time, and each device's own idea of it.

use keepsync::env::Env;
use keepsync_proxy::rng::Rng;
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
};

/// The story's start: 2025-11-20, UTC milliseconds.
pub const START_WALL_MS: i64 = 1_763_600_000_000;

/// Milliseconds since the story began; the same for everyone.
#[derive(Debug, Clone, Default)]
pub struct Clock(Arc<AtomicU64>);

impl Clock {
    /// The moment.
    pub fn now(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Goes on to a later moment.
    pub fn advance(&self, to: u64) {
        self.0.fetch_max(to, Relaxed);
    }

    /// UTC milliseconds by a clock that is right: the server's.
    pub fn true_wall_ms(&self) -> i64 {
        START_WALL_MS + i64::try_from(self.now()).unwrap_or(0)
    }
}

/// A device's clocks and its random source.
#[derive(Debug)]
pub struct DeviceEnv {
    clock: Clock,
    /// How wrong the wall clock is.
    wall_offset_ms: AtomicI64,
    /// Planted bug: what the monotonic clock has lost.
    lost_ms: AtomicU64,
    random: Mutex<Rng>,
}

impl DeviceEnv {
    /// A device whose wall clock is wrong by `wall_offset_ms`.
    pub fn new(clock: Clock, wall_offset_ms: i64, random: Rng) -> Self {
        Self {
            clock,
            wall_offset_ms: AtomicI64::new(wall_offset_ms),
            lost_ms: AtomicU64::new(0),
            random: Mutex::new(random),
        }
    }

    /// The user, or the network, sets the wall clock.
    pub fn set_wall_offset(&self, offset_ms: i64) {
        self.wall_offset_ms.store(offset_ms, Relaxed);
    }

    /// Planted bug: the monotonic clock runs backwards.
    pub fn lose(&self, ms: u64) {
        self.lost_ms.fetch_add(ms, Relaxed);
    }
}

impl Env for DeviceEnv {
    fn wall_ms(&self) -> i64 {
        self.clock.true_wall_ms() + self.wall_offset_ms.load(Relaxed)
    }

    fn monotonic_ms(&self) -> u64 {
        self.clock.now().saturating_sub(self.lost_ms.load(Relaxed))
    }

    fn random(&self) -> [u8; 16] {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).bytes()
    }
}
