//! A device that is off for longer than the server remembers tombstones and answers, as a phone in a drawer is.
//!
//! 1. From some moment on it is drowsy; it goes off when [`Sleep`] says.
//! 2. The others go on to the end of the story, faults stop for them, and everything that they sent is answered:
//!    only then may a server forget answers (docs/server.md).
//! 3. All are off, and time passes; the server forgets. Then the end of the story begins, and all are on again.

use crate::{
    chance::Area,
    faults::Sleep,
    oracle::Violation,
    world::{HOUR, World},
};

impl World {
    /// Who goes off, and from when on.
    pub(crate) fn plan_sleep(&mut self, length: u64) {
        let Some(how) = self.faults.sleep.filter(|_| self.server.remembers_ms().is_some()) else {
            return;
        };
        let count = self.devices.len() as u64;
        let rng = self.chance.of(Area::Sleep, 0);
        let (at, from) = (rng.below(count), rng.between(length / 5, length * 4 / 5));
        let at = usize::try_from(at).unwrap_or(0);
        if how == Sleep::Unanswered {
            self.devices[at].account = 1;
        }
        self.sleep = Some((at, from, how));
    }

    pub(crate) fn is_drowsy(&self, at: usize, how: Sleep) -> bool {
        let now = self.clock.now();
        let is_it = |&(sleeper, from, it): &(usize, u64, Sleep)| sleeper == at && it == how && now >= from;
        self.sleep.as_ref().is_some_and(is_it) && !self.healed && !self.devices[at].asleep
    }

    /// If everything that a drowsy device sent was answered, it goes off.
    pub(crate) fn nod_off(&mut self) -> Result<(), Violation> {
        let Some((at, ..)) = self.sleep else { return Ok(()) };
        if !self.is_drowsy(at, Sleep::Answered) {
            return Ok(());
        }
        let Some(app) = self.devices[at].app.as_ref().filter(|app| !app.drain.is_busy()) else {
            return Ok(());
        };
        if app.inspect.entries()?.iter().any(|entry| entry.maybe_sent) {
            return Ok(());
        }
        self.devices[at].close();
        self.goes_off(at);
        Ok(())
    }

    /// It dies with a request on its way, and goes off.
    pub(crate) fn drop_off(&mut self, at: usize) -> Result<(), Violation> {
        self.crash(at)?;
        self.goes_off(at);
        Ok(())
    }

    fn goes_off(&mut self, at: usize) {
        self.devices[at].asleep = true;
        self.trace.line(self.clock.now(), format_args!("{at} is off for long"));
    }

    /// Time passes, until the server has forgotten what was before.
    pub(crate) fn sleep_through(&mut self) -> Result<(), Violation> {
        let Some(remembers) = self.server.remembers_ms() else {
            return Ok(());
        };
        if !self.devices.iter().any(|device| device.asleep) {
            return Ok(());
        }
        self.heal(0)?;
        self.run_until(self.clock.now() + 2 * HOUR)?;
        for device in &mut self.devices {
            device.close();
        }
        self.run_until(self.clock.now() + remembers + HOUR)?;
        self.server.forget(self.clock.true_wall_ms())?;
        for device in &mut self.devices {
            device.asleep = false;
        }
        self.trace.line(
            self.clock.now(),
            format_args!("all are on again; the server has forgotten what is old"),
        );
        Ok(())
    }
}
