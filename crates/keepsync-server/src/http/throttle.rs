//! How often somebody may ask.

use crate::config::Rate;
use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    state::keyed::DashMapStateStore,
};
use std::{
    hash::Hash,
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
};

/// After this many questions, those who have been silent are forgotten.
const TIDY_EVERY: u32 = 10_000;

/// Counts by key.
pub(super) struct Throttle<K: Hash + Eq + Clone> {
    limiter: RateLimiter<K, DashMapStateStore<K>, DefaultClock>,
    clock: DefaultClock,
    asked: AtomicU32,
}

impl<K: Hash + Eq + Clone> Throttle<K> {
    pub(super) fn new(rate: Rate) -> Self {
        let count = |count| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(count(rate.per_second)).allow_burst(count(rate.burst));
        Self {
            limiter: RateLimiter::dashmap(quota),
            clock: DefaultClock::default(),
            asked: AtomicU32::new(0),
        }
    }

    /// Counts one; or whole seconds to wait, at least 1.
    pub(super) fn take(&self, key: &K) -> Result<(), u64> {
        if self.asked.fetch_add(1, Ordering::Relaxed) % TIDY_EVERY == TIDY_EVERY - 1 {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(key).map_err(|not_until| {
            let wait = not_until.wait_time_from(self.clock.now());
            u64::try_from(wait.as_millis().div_ceil(1_000))
                .unwrap_or(u64::MAX)
                .max(1)
        })
    }
}
