//! The device's hybrid clock, beside a wall clock that may be wrong by minutes or by years. Pure.
//!
//! Versions decide what was made on what; hybrid clocks only order writes that were made without knowing
//! of each other. So a wrong clock cannot lose a write, but it could win or lose every such comparison.
//! Therefore:
//!
//! 1. Whatever the backend says of its own time is the reference from then on, carried forward by the clock
//!    that never runs backwards. It is not stored: a device that starts offline believes its own clock
//!    until it is told.
//! 2. A wall clock within a day of the reference is believed. One further ahead counts as a day ahead, as it
//!    does for everybody else; one further behind counts as the reference.
//! 3. A clock of elsewhere that is more than a day ahead counts as a day ahead.
//! 4. A write is later than what it was made on, whatever the clocks say; but a version from a clock far
//!    ahead does not drag along what is written after the clock was set right.

use crate::{env::Now, hlc::Hlc};

#[derive(Debug)]
pub(crate) struct Clock {
    latest: Hlc,
    /// The backend's time, UTC milliseconds, and the tick at which it was told.
    server: Option<(i64, u64)>,
    ahead_ms: i64,
}

impl Clock {
    /// `ahead_ms`: how far ahead a clock is believed.
    pub(crate) fn new(latest: Hlc, ahead_ms: i64) -> Self {
        Self {
            latest,
            server: None,
            ahead_ms,
        }
    }

    pub(crate) fn latest(&self) -> Hlc {
        self.latest
    }

    /// What the backend's clock says now, as far as it was told.
    fn reference(&self, now: Now) -> Option<i64> {
        self.server.map(|(at, tick)| {
            let since = i64::try_from(now.tick_ms.saturating_sub(tick)).unwrap_or(0);
            at.saturating_add(since)
        })
    }

    /// The time that is believed: UTC milliseconds.
    fn believed(&self, now: Now) -> i64 {
        match self.reference(now) {
            Some(reference) if now.wall_ms > reference.saturating_add(self.ahead_ms) => {
                reference.saturating_add(self.ahead_ms)
            }
            Some(reference) if now.wall_ms < reference.saturating_sub(self.ahead_ms) => reference,
            _ => now.wall_ms,
        }
    }

    /// The clock of the next local write.
    pub(crate) fn tick(&mut self, now: Now) -> Hlc {
        self.latest = self.latest.next(self.believed(now));
        self.latest
    }

    /// The clock of a local write that follows a version.
    pub(crate) fn tick_after(&mut self, before: Hlc, now: Now) -> Hlc {
        let before = match self.reference(now) {
            Some(reference) => before.clamped(reference, self.ahead_ms),
            None => before,
        };
        self.latest = self.latest.max(before);
        self.tick(now)
    }

    /// Takes a clock from elsewhere into account; gives it as it is believed.
    pub(crate) fn observe(&mut self, seen: Hlc, now: Now) -> Hlc {
        let reference = self.reference(now).unwrap_or(now.wall_ms);
        let clamped = seen.clamped(reference, self.ahead_ms);
        self.latest = self.latest.max(clamped);
        clamped
    }

    /// Another process of this device wrote to the file, up to this clock: what is written from here on is
    /// later.
    pub(crate) fn catch_up(&mut self, stored: Hlc, now: Now) {
        let believed = match self.reference(now) {
            Some(reference) => stored.clamped(reference, self.ahead_ms),
            None => stored,
        };
        self.latest = self.latest.max(believed);
    }

    /// The backend told its time. Gives by how many milliseconds the latest own clock was too far ahead, if
    /// it was.
    pub(crate) fn learn(&mut self, server_time: i64, now: Now) -> Option<i64> {
        self.server = Some((server_time, now.tick_ms));
        let ahead = self.latest.wall_ms().saturating_sub(server_time);
        let believed = self.latest.clamped(server_time, self.ahead_ms);
        let too_far = believed < self.latest;
        self.latest = believed;
        too_far.then_some(ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3_600_000;
    const YEARS: i64 = 5 * 365 * DAY;
    /// What the backend's clock says.
    const TRUE: i64 = 1_763_600_000_000;

    fn now(wrong_by: i64, later_ms: u64) -> Now {
        Now {
            wall_ms: TRUE + wrong_by + later_ms as i64,
            tick_ms: 1_000 + later_ms,
        }
    }

    fn told(wrong_by: i64) -> Clock {
        let mut clock = Clock::new(Hlc::default(), DAY);
        clock.learn(TRUE, now(wrong_by, 0));
        clock
    }

    #[test]
    fn a_clock_within_a_day_is_believed_and_one_beyond_is_held_to_the_backends() {
        let hour = 3_600_000;
        for (wrong_by, believed) in [
            (0, 0),
            (5 * 60_000, 5 * 60_000),
            (-20 * hour, -20 * hour),
            (DAY, DAY),
            (DAY + 1, DAY),
            (YEARS, DAY),
            (-DAY, -DAY),
            (-DAY - 1, 0),
            (-YEARS, 0),
        ] {
            let hlc = told(wrong_by).tick(now(wrong_by, hour as u64));
            assert_eq!(hlc, Hlc::at(TRUE + hour + believed), "wrong by {wrong_by}");
            let untold = Clock::new(Hlc::default(), DAY).tick(now(wrong_by, 0));
            assert_eq!(untold, Hlc::at(TRUE + wrong_by), "there is nothing else to believe");
        }
    }

    #[test]
    fn a_clock_that_was_set_right_is_not_ahead_for_ever() {
        let mut clock = Clock::new(Hlc::default(), DAY);
        let wrong = clock.tick(now(YEARS, 0));
        assert_eq!(clock.learn(TRUE, now(YEARS, 1)), Some(YEARS));
        assert_eq!(clock.learn(TRUE, now(0, 1)), None, "it is told once");
        // Later than what it follows is believed to be, and two days later it is forgotten.
        let after = clock.tick_after(wrong, now(0, 2));
        assert!(after > wrong.clamped(TRUE, DAY) && after < wrong);
        assert_eq!(clock.tick(now(0, 2 * DAY as u64)), Hlc::at(TRUE + 2 * DAY));
    }

    #[test]
    fn a_device_years_behind_believes_the_others_and_one_years_ahead_does_not_drag_them() {
        let mut behind = told(-YEARS);
        let seen = Hlc::at(TRUE + 1_000);
        assert_eq!(behind.observe(seen, now(-YEARS, 2_000)), seen);
        assert!(behind.tick(now(-YEARS, 2_000)) > seen);
        let mut right = told(0);
        assert_eq!(right.observe(Hlc::at(TRUE + YEARS), now(0, 0)), Hlc::at(TRUE + DAY));
        assert!(right.tick(now(0, 0)) <= Hlc::at(TRUE + DAY).next(0));
    }
}
