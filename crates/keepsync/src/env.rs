//! Time and randomness, passed in: the core never asks for them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};
use uuid::Uuid;

/// A moment, on two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// UTC milliseconds by the device's wall clock. For display and hybrid clocks; it may jump.
    pub wall_ms: i64,
    /// Milliseconds on a clock that never runs backwards, also across restarts: retry times are
    /// told on it. See [`Ticks`].
    pub tick_ms: u64,
}

/// Where time and randomness come from.
pub trait Env: Send + Sync {
    /// UTC milliseconds by the wall clock.
    fn wall_ms(&self) -> i64;
    /// Milliseconds since any fixed point of this process's life, not running backwards.
    fn monotonic_ms(&self) -> u64;
    /// Unpredictable bytes.
    fn random(&self) -> [u8; 16];
}

/// The system's clocks and its random source.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug)]
pub struct SystemEnv {
    start: std::time::Instant,
}

#[cfg(not(target_arch = "wasm32"))]
impl Default for SystemEnv {
    fn default() -> Self {
        Self {
            start: std::time::Instant::now(),
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Env for SystemEnv {
    fn wall_ms(&self) -> i64 {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn random(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        // A system without a random source leaves zeros; ids then still carry time and counter.
        let _ = getrandom::fill(&mut bytes);
        bytes
    }
}

/// Turns the clocks of one process life into one that also spans restarts.
///
/// 1. A tick is stored together with the wall time at which it was read.
/// 2. On opening, the new life starts at the stored tick plus the wall time gone by since, or at
///    the stored tick itself if the wall clock was turned back.
/// 3. From then on ticks follow the monotonic clock.
/// 4. Another process of the device may store ticks of its own, and be ahead because it slept less. Who finds
///    such a tick catches up with it, as on opening.
///
/// A wall clock turned back while the process was away makes retries wait at most one more step; one
/// turned forward makes them go out early. Neither changes any order.
/// Clones are one clock.
#[derive(Debug, Clone)]
pub struct Ticks {
    offset: Arc<AtomicU64>,
}

impl Ticks {
    /// Starts a process life. `stored` is the last stored tick and its wall time.
    pub fn resume(env: &dyn Env, stored: Option<(u64, i64)>) -> Self {
        Self {
            offset: Arc::new(AtomicU64::new(offset(env, stored))),
        }
    }

    /// Somebody else stored this tick, at this wall time. Never goes back.
    pub fn catch_up(&self, env: &dyn Env, stored: Option<(u64, i64)>) {
        self.offset.fetch_max(offset(env, stored), Relaxed);
    }

    /// The moment.
    pub fn now(&self, env: &dyn Env) -> Now {
        Now {
            wall_ms: env.wall_ms(),
            tick_ms: self.offset.load(Relaxed).saturating_add(env.monotonic_ms()),
        }
    }
}

/// How far ticks are ahead of the monotonic clock, for one who was away since `stored`.
fn offset(env: &dyn Env, stored: Option<(u64, i64)>) -> u64 {
    let start = stored.map_or(0, |(tick, wall)| {
        let away = u64::try_from(env.wall_ms().saturating_sub(wall)).unwrap_or(0);
        tick.saturating_add(away)
    });
    start.saturating_sub(env.monotonic_ms())
}

/// A UUIDv7 for a wall time in UTC milliseconds.
pub(crate) fn uuid_v7(wall_ms: i64, random: [u8; 16]) -> Uuid {
    let millis = u64::try_from(wall_ms).unwrap_or(0);
    let mut tail = [0; 10];
    tail.copy_from_slice(&random[..10]);
    uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid()
}

/// A uniform number in `0..1` from random bytes.
pub(crate) fn unit(random: [u8; 16]) -> f64 {
    let mut word = [0; 8];
    word.copy_from_slice(&random[..8]);
    (u64::from_le_bytes(word) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicI64;

    struct Fixed(AtomicI64);
    impl Env for Fixed {
        fn wall_ms(&self) -> i64 {
            self.0.load(Relaxed)
        }
        fn monotonic_ms(&self) -> u64 {
            7
        }
        fn random(&self) -> [u8; 16] {
            [0; 16]
        }
    }

    #[test]
    fn ticks_go_on_after_a_restart() {
        let env = Fixed(AtomicI64::new(5_000));
        let ticks = Ticks::resume(&env, Some((100_000, 2_000)));
        assert_eq!(ticks.now(&env).tick_ms, 103_000);
    }

    #[test]
    fn ticks_do_not_run_backwards_with_the_wall_clock() {
        let env = Fixed(AtomicI64::new(5_000));
        let ticks = Ticks::resume(&env, Some((100_000, 999_999)));
        assert_eq!(ticks.now(&env).tick_ms, 100_000);
        env.0.store(-50, Relaxed);
        assert_eq!(ticks.now(&env).tick_ms, 100_000);
    }

    #[test]
    fn who_finds_a_later_tick_catches_up_and_never_goes_back() {
        let env = Fixed(AtomicI64::new(5_000));
        let ticks = Ticks::resume(&env, Some((100_000, 5_000)));
        let same = ticks.clone();
        ticks.catch_up(&env, Some((200_000, 4_000)));
        assert_eq!(same.now(&env).tick_ms, 201_000);
        ticks.catch_up(&env, Some((1_000, 5_000)));
        ticks.catch_up(&env, None);
        assert_eq!(same.now(&env).tick_ms, 201_000);
    }
}
