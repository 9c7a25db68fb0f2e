//! When to try again. Pure.

/// The wait before the next attempt of an entry that has had `attempts`, in milliseconds; `None`
/// when the schedule is used up. `unit` is a uniform number in `0..1`: the wait is drawn from
/// `1 ± jitter` of its step.
pub fn retry_delay(schedule_ms: &[u64], attempts: u32, jitter: f64, unit: f64) -> Option<u64> {
    let step = *schedule_ms.get(usize::try_from(attempts).unwrap_or(usize::MAX))?;
    let factor = 1.0 + jitter.clamp(0.0, 1.0) * (2.0 * unit - 1.0);
    Some((step as f64 * factor).round() as u64)
}

/// The whole remote's wait, after answers that settle nothing. Grows to the schedule's last step and
/// stays there: a backend that is away for a day is not given up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
    /// Not before this tick.
    pub until: u64,
}

impl Backoff {
    /// One more failure at `now` (ticks).
    pub fn fail(&mut self, schedule_ms: &[u64], jitter: f64, unit: f64, now: u64) {
        let last = u32::try_from(schedule_ms.len().saturating_sub(1)).unwrap_or(u32::MAX);
        let delay = retry_delay(schedule_ms, self.failures.min(last), jitter, unit).unwrap_or(1_000);
        self.failures = self.failures.saturating_add(1);
        self.until = now.saturating_add(delay);
    }

    /// It works again.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_is_followed_and_ends() {
        let schedule = [30_000, 60_000, 300_000];
        let delays: Vec<_> = (0..4)
            .map(|attempts| retry_delay(&schedule, attempts, 0.0, 0.5))
            .collect();
        assert_eq!(delays, [Some(30_000), Some(60_000), Some(300_000), None]);
    }

    #[test]
    fn jitter_stays_within_its_bounds() {
        assert_eq!(retry_delay(&[1_000], 0, 0.2, 0.0), Some(800));
        assert_eq!(retry_delay(&[1_000], 0, 0.2, 1.0), Some(1_200));
    }

    #[test]
    fn a_remote_is_never_given_up() {
        let mut backoff = Backoff::default();
        for _ in 0..100 {
            backoff.fail(&[5_000, 60_000], 0.0, 0.5, 1_000);
        }
        assert_eq!(backoff.until, 61_000);
        backoff.reset();
        assert_eq!(backoff.until, 0);
    }

    #[test]
    fn jitter_is_drawn_evenly_and_is_never_more_than_the_wait_itself() {
        assert_eq!(retry_delay(&[1_000], 0, 0.2, 0.25), Some(900));
        assert_eq!(retry_delay(&[1_000], 0, 0.2, 0.75), Some(1_100));
        assert_eq!(retry_delay(&[1_000], 0, 7.0, 0.0), Some(0));
        assert_eq!(retry_delay(&[1_000], 0, 7.0, 1.0), Some(2_000));
        assert_eq!(retry_delay(&[1_000], 0, -7.0, 1.0), Some(1_000));
    }

    #[test]
    fn a_remote_backs_off_step_by_step_and_for_a_second_without_a_schedule() {
        let mut backoff = Backoff::default();
        let until: Vec<u64> = (0..3)
            .map(|_| {
                backoff.fail(&[5_000, 60_000], 0.0, 0.5, 1_000);
                backoff.until
            })
            .collect();
        assert_eq!(until, [6_000, 61_000, 61_000]);
        let mut backoff = Backoff::default();
        backoff.fail(&[], 0.0, 0.5, 1_000);
        assert_eq!(backoff.until, 2_000);
    }
}
