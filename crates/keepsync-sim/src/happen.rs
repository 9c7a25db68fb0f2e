//! What happens in a story, one thing after the other.

use crate::{
    app,
    bug::{Bug, Planted},
    chance::{Act, Area, Series},
    copies::Copies,
    device::{ACCOUNTS, App, Broken, Image},
    net::Mood,
    oracle::Violation,
    user::{Deed, Hands},
    world::{HOUR, Happening, NOBODY, Script, World, draw_offset},
};
use keepsync::drain::{Event, Trigger};
use keepsync_disk::{Counts, Crash, Fault, Plan};

/// No file can grow.
pub(crate) const FULL: Plan = Plan {
    fault: Fault::Full,
    counts: Counts::Changes,
    at: 1,
    lasting: true,
};

impl World {
    pub(crate) fn happen(&mut self, what: Happening) -> Result<(), Violation> {
        match what {
            Happening::Act(at) => self.act_in_time(at),
            Happening::Timer { device, life, number } => {
                let counts = |app: &App| app.timer.1 == number;
                if self.devices[device].life == life && self.devices[device].app.as_ref().is_some_and(counts) {
                    if let Some(app) = &mut self.devices[device].app {
                        app.timer.0 = None;
                    }
                    return self.feed(device, vec![Event::Timer]);
                }
                Ok(())
            }
            Happening::Arrive(envelope) => self.arrive(*envelope),
            Happening::Answer {
                device,
                life,
                request,
                kind,
                answer,
                tries,
            } => self.come_in(device, life, request, kind, answer, tries),
            Happening::GiveUp {
                device,
                life,
                request,
                kind,
                answer,
                connecting,
            } => {
                let waits = |app: &App| {
                    app.open_request.is_some_and(|(open, _)| open == request) && !(connecting && app.connected)
                };
                if self.devices[device].life == life && self.devices[device].app.as_ref().is_some_and(waits) {
                    if let Some(app) = &mut self.devices[device].app {
                        app.connected = false;
                    }
                    return self.deliver(device, life, request, kind, *answer);
                }
                Ok(())
            }
            Happening::Open(at) => self.open(at),
            Happening::SignIn(at) => {
                self.devices[at].token_valid = true;
                self.feed(at, vec![Event::Wake(Trigger::SignedIn)])
            }
            Happening::GoOnline(at) => self.go_online(at),
            Happening::DiskRoom(at) => self.disk_full(at, false),
            Happening::GoodMood => {
                self.mood = Mood::Good;
                Ok(())
            }
            _ if self.healed => Ok(()),
            fault => self.go_wrong(fault),
        }
    }

    /// What happens only as long as there are faults.
    fn go_wrong(&mut self, what: Happening) -> Result<(), Violation> {
        let faults = self.faults.clone();
        match what {
            Happening::GoOffline(at) => self.go_offline(at),
            Happening::Cut(at) => {
                self.again(Area::Cut, at, faults.cut_every_ms, Happening::Cut(at));
                self.cut(at, at);
                Ok(())
            }
            Happening::CutAll => {
                self.again(Area::Cut, NOBODY, faults.cut_all_every_ms, Happening::CutAll);
                for at in 0..self.devices.len() {
                    self.cut(at, NOBODY);
                }
                Ok(())
            }
            Happening::Partition(at) => {
                self.partition(at);
                Ok(())
            }
            Happening::Crash(at) => {
                self.again(Area::Crash, at, faults.crash_every_ms, Happening::Crash(at));
                self.crash(at)
            }
            Happening::Jump(at) => {
                self.again(Area::Jump, at, faults.jump_every_ms, Happening::Jump(at));
                let wild = !self.sane_clocks;
                let rng = self.chance.of(Area::Jump, at);
                let (offset, lost) = (draw_offset(rng, wild), rng.between(HOUR, 48 * HOUR));
                self.devices[at].env.set_wall_offset(offset);
                if self.bug == Some(Bug::ClockBackwards) {
                    self.devices[at].env.lose(lost);
                }
                Ok(())
            }
            Happening::Switch(at) => {
                self.again(Area::Switch, at, faults.switch_every_ms, Happening::Switch(at));
                self.switch(at)
            }
            Happening::Upgrade(at) => {
                self.again(Area::Upgrade, at, faults.upgrade_every_ms, Happening::Upgrade(at));
                self.upgrade(at)
            }
            Happening::Wipe(at) => {
                self.again(Area::Wipe, at, faults.wipe_every_ms, Happening::Wipe(at));
                self.wipe(at)
            }
            Happening::DiskFull(at) => {
                self.again(Area::Disk, at, faults.disk_full_every_ms, Happening::DiskFull(at));
                self.disk_full(at, true)
            }
            Happening::BadMood => {
                self.again(Area::Mood, 0, faults.bad_server_every_ms, Happening::BadMood);
                let rng = self.chance.of(Area::Mood, 0);
                let (down, delay) = (rng.chance(0.5), rng.between(60_000, HOUR));
                self.mood = if down { Mood::Down } else { Mood::RefusesAll };
                self.later(delay, Happening::GoodMood);
                self.trace
                    .line(self.clock.now(), format_args!("server: {:?}", self.mood));
                Ok(())
            }
            Happening::Backup => {
                self.again(Area::Restore, 1, faults.restore_every_ms / 2.0, Happening::Backup);
                self.backups.push(self.server.snapshot(self.clock.true_wall_ms())?);
                Ok(())
            }
            Happening::Restore => {
                self.again(Area::Restore, 0, faults.restore_every_ms, Happening::Restore);
                self.restore()
            }
            Happening::Restart => {
                self.again(Area::Restart, 0, faults.restart_every_ms, Happening::Restart);
                self.restart();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    // The server.

    fn restore(&mut self) -> Result<(), Violation> {
        let rng = self.chance.of(Area::Restore, 0);
        let how = if rng.chance(0.1) {
            self.server.reset()?;
            "reset"
        } else if let Some(backup) = rng.pick(&self.backups) {
            self.server.restore(backup)?;
            "restored"
        } else {
            return Ok(());
        };
        self.oracle.server_restored();
        self.copies = Copies::default();
        self.keychains.server_restored();
        for (user, account) in self.server.users().filter(|_| !self.plot.oracle_only) {
            self.oracle.read_server(user, account)?;
        }
        self.stats.restores += 1;
        self.trace
            .line(self.clock.now(), format_args!("server {how}: {}", self.server.epoch()));
        Ok(())
    }

    /// The server ends and starts anew: every connection breaks, and for a while nobody answers. What
    /// was committed is there again.
    pub(crate) fn restart(&mut self) {
        let away = self.chance.of(Area::Restart, 0).between(100, 30_000);
        self.stats.faults += 1;
        self.server_life += 1;
        self.server_down_until = self.clock.now() + away;
        self.trace
            .line(self.clock.now(), format_args!("server starts anew, {away} ms away"));
    }

    // The network.

    /// For some time nothing goes out, or in, or both.
    pub(crate) fn cut(&mut self, at: usize, stream: usize) {
        let now = self.clock.now();
        let rng = self.chance.of(Area::Cut, stream);
        let until = now
            + if rng.chance(0.7) {
                rng.between(100, 15_000)
            } else {
                rng.between(15_000, HOUR)
            };
        let how = rng.below(3);
        self.stats.faults += 1;
        let device = &mut self.devices[at];
        if how != 1 {
            device.cut_out_until = device.cut_out_until.max(until);
        }
        if how != 0 {
            device.cut_in_until = device.cut_in_until.max(until);
        }
        let which = ["from it", "to it", "both ways"][how as usize];
        self.trace.line(
            now,
            format_args!("{at} is cut off, {which}, for {:.1} s", (until - now) as f64 / 1_000.0),
        );
    }

    fn go_offline(&mut self, at: usize) -> Result<(), Violation> {
        self.again(
            Area::Offline,
            at,
            self.faults.offline_every_ms,
            Happening::GoOffline(at),
        );
        let rng = self.chance.of(Area::Offline, at);
        let notices = rng.chance(0.5);
        let delay = if rng.chance(0.5) {
            rng.between(1_000, 60_000)
        } else {
            rng.between(60_000, 8 * HOUR)
        };
        let device = &mut self.devices[at];
        if !device.online {
            return Ok(());
        }
        device.online = false;
        if let Some(app) = &mut device.app {
            app.connected = false;
            app.attempts_offline = Some(app.inspect.attempts()?);
        }
        self.trace.line(self.clock.now(), format_args!("{at} has no network"));
        self.later(delay, Happening::GoOnline(at));
        // The platform notices, or not.
        if notices {
            self.feed(at, vec![Event::NetworkLost])
        } else {
            Ok(())
        }
    }

    pub(crate) fn go_online(&mut self, at: usize) -> Result<(), Violation> {
        let notices = self.chance.of(Area::Offline, at).chance(0.5);
        let device = &mut self.devices[at];
        if device.online {
            return Ok(());
        }
        device.online = true;
        if let Some(app) = &mut device.app {
            app.attempts_offline = None;
        }
        self.trace.line(self.clock.now(), format_args!("{at} has a network"));
        if notices {
            self.feed(at, vec![Event::Wake(Trigger::NetworkBack)])
        } else {
            Ok(())
        }
    }

    // The app.

    /// Starts the app, as a user does who takes the phone out.
    pub(crate) fn open(&mut self, at: usize) -> Result<(), Violation> {
        if self.devices[at].app.is_some() || self.devices[at].asleep {
            return Ok(());
        }
        let risky = self.stats.crashes > 0 && self.chance.of(Area::Steps, at).chance(self.faults.crash_at_open);
        if risky {
            self.plan_fault(at, Fault::Stop);
        }
        let opened = self.devices[at].open();
        if risky && self.end_fault(at) {
            return self.crash(at);
        }
        if opened.is_err() && self.devices[at].full {
            // It is tried again when there is room.
            self.later(60_000, Happening::Open(at));
            return Ok(());
        }
        opened?;
        self.reports[at] = None;
        self.trace.line(
            self.clock.now(),
            format_args!("{at} opens, version {}", self.devices[at].version),
        );
        let device = &self.devices[at];
        if let Some(app) = &device.app {
            let witness = &mut self.oracle.witness;
            witness.look_again((device.user(), at), &app.inspect, device.full)?;
        }
        if self.stats.crashes > 0 {
            self.check_device(at, true)?;
        }
        self.feed(at, vec![Event::Active(true), Event::Wake(Trigger::Foreground)])
    }

    pub(crate) fn crash(&mut self, at: usize) -> Result<(), Violation> {
        if self.devices[at].app.is_none() && !self.devices[at].disk.is_stopped() {
            return Ok(());
        }
        let power = self.faults.power;
        let rng = self.chance.of(Area::Crash, at);
        let how = match rng.chance(power) {
            false => Crash::Kill,
            true if rng.chance(0.5) => Crash::LoseUnsynced,
            true => Crash::Torn,
        };
        let (seed, soon) = (rng.bits(), rng.chance(0.7));
        let delay = 500 + rng.exponential(if soon { 5_000.0 } else { HOUR as f64 });
        let device = &mut self.devices[at];
        let fired = device.disk.fired();
        device.crash(how, seed)?;
        // What was planned for the process that died is not for the next one.
        device.disk.heal();
        if device.full {
            device.disk.plan(FULL);
        }
        let what = match how {
            Crash::Kill => "is killed",
            Crash::LoseUnsynced => "loses power, and what was not synced",
            Crash::Torn => "loses power; what was not synced is torn",
        };
        let place = fired.map_or(String::new(), |point| format!(" as it {point}"));
        self.trace.line(self.clock.now(), format_args!("{at} {what}{place}"));
        self.stats.crashes += 1;
        self.later(delay, Happening::Open(at));
        Ok(())
    }

    /// Plans that the process dies, or the disk fails once, in the next few writes.
    pub(crate) fn plan_fault(&mut self, at: usize, fault: Fault) {
        let k = 1 + self.chance.of(Area::Steps, at).below(16);
        self.devices[at].disk.plan(Plan {
            fault,
            counts: Counts::Changes,
            at: k,
            lasting: false,
        });
    }

    /// Takes the plan back, unless it is the long one of a full disk. True if the process has died by it.
    pub(crate) fn end_fault(&mut self, at: usize) -> bool {
        let device = &self.devices[at];
        if let Some(point) = device.disk.heal() {
            self.stats.faults += 1;
            if !device.disk.is_stopped() {
                self.trace
                    .line(self.clock.now(), format_args!("{at}: the disk fails as it {point}"));
            }
        }
        if device.full {
            device.disk.plan(FULL);
        }
        device.disk.is_stopped()
    }

    /// While the disk is full: what may be pruned by what comes next.
    pub(crate) fn note_prunable(&mut self, at: usize) -> Result<(), Violation> {
        let device = &self.devices[at];
        match &device.app {
            Some(app) if device.full => self.oracle.may_be_pruned(device.user(), at, &app.inspect),
            _ => Ok(()),
        }
    }

    fn disk_full(&mut self, at: usize, full: bool) -> Result<(), Violation> {
        self.note_prunable(at)?;
        let delay = self.chance.of(Area::Disk, at).between(60_000, 3 * HOUR);
        let device = &mut self.devices[at];
        if !full && device.app.is_some() {
            self.oracle.witness.look_away(device.user(), at);
        }
        device.full = full;
        device.disk.heal();
        if full {
            device.disk.plan(FULL);
            self.stats.faults += 1;
            self.later(delay, Happening::DiskRoom(at));
        }
        let how = if full { "is full" } else { "has room again" };
        self.trace.line(self.clock.now(), format_args!("{at}: the disk {how}"));
        Ok(())
    }

    fn switch(&mut self, at: usize) -> Result<(), Violation> {
        if self.devices[at].app.is_none() {
            return Ok(());
        }
        if self.chance.of(Area::Switch, at).chance(0.5) {
            // Something is on its way just then.
            self.feed(at, vec![Event::Wake(Trigger::User)])?;
        }
        let device = &mut self.devices[at];
        device.close();
        device.account = (device.account + 1) % ACCOUNTS.len();
        device.token_valid = true;
        self.trace
            .line(self.clock.now(), format_args!("{at} is now {}'s", device.user()));
        self.open(at)
    }

    /// The other version of the app is installed: mostly the later one, at times the earlier one again.
    fn upgrade(&mut self, at: usize) -> Result<(), Violation> {
        if self.devices[at].app.is_none() {
            return Ok(());
        }
        let back = self.chance.of(Area::Upgrade, at).chance(0.3);
        let device = &mut self.devices[at];
        let version = if back { 1 } else { app::LATEST };
        if device.version == version {
            return Ok(());
        }
        device.close();
        device.version = version;
        self.open(at)
    }

    /// The account that is signed in is wiped, as its user agreed to, and signs in again.
    fn wipe(&mut self, at: usize) -> Result<(), Violation> {
        let device = &mut self.devices[at];
        let Some(app) = &device.app else { return Ok(()) };
        self.oracle.wiped(device.user(), at, &app.inspect)?;
        device.wipe()?;
        self.trace
            .line(self.clock.now(), format_args!("{at} wipes {}'s data", device.user()));
        self.open(at)
    }

    // The users.

    fn act_in_time(&mut self, at: usize) -> Result<(), Violation> {
        if self.healed {
            return Ok(());
        }
        let mean = self.act_every_ms;
        let rng = self.chance.of(Area::Acts, at);
        match self.script {
            // People come in bursts.
            Script::Life => {
                let mean = if rng.chance(0.7) { mean / 4.0 } else { mean * 2.5 };
                self.again(Area::Acts, at, mean, Happening::Act(at));
            }
            Script::Writes => {
                let delay = rng.exponential(mean);
                self.later(delay, Happening::Act(at));
            }
        }
        let events = self.act(at, Series::Own)?;
        self.feed(at, events)
    }

    /// The next act of a device's user, if it is part of the story.
    pub(crate) fn act(&mut self, at: usize, series: Series) -> Result<Vec<Event>, Violation> {
        let number = self.acts.entry((at, series)).or_insert(0);
        let act = Act {
            device: at,
            series,
            number: *number,
        };
        *number += 1;
        if self.devices[at].app.is_none() || !self.plot.has(act) {
            return Ok(Vec::new());
        }
        if self.bug == Some(Bug::NotDurable) {
            self.remember_image(at)?;
        }
        self.oracle.acts.insert(act);
        self.note_prunable(at)?;
        let mut dice = self.chance.act(act);
        let fault = match (
            dice.chance(self.faults.crash_at_act),
            dice.chance(self.faults.disk_at_act),
        ) {
            _ if self.healed => None,
            (true, _) => Some(Fault::Stop),
            (_, true) => Some(Fault::IoError),
            _ => None,
        };
        if let Some(fault) = fault {
            self.plan_fault(at, fault);
        }
        let bad = self.bad;
        let mut hands = Hands {
            device: &mut self.devices[at],
            rng: &mut dice,
            oracle: &mut self.oracle,
            bad,
        };
        let deed = match self.script {
            Script::Life => hands.act(),
            Script::Writes => hands.jot(),
        };
        let died = Planted::died();
        if (fault.is_some() && self.end_fault(at)) || died {
            // Whatever it came to, nobody was told.
            self.trace.line(
                self.clock.now(),
                format_args!("{at} user {act}: dies in the middle of it"),
            );
            self.crash(at)?;
            return Ok(Vec::new());
        }
        let deed = deed?;
        let line = format!("{act}: {}", deed.line);
        Ok(self.done(at, Deed { line, ..deed }))
    }

    /// The hands of a user who settles what waits for him.
    pub(crate) fn hands(&mut self, at: usize) -> Hands<'_> {
        Hands {
            device: &mut self.devices[at],
            rng: self.chance.of(Area::End, at),
            oracle: &mut self.oracle,
            bad: self.bad,
        }
    }

    pub(crate) fn done(&mut self, at: usize, deed: Deed) -> Vec<Event> {
        self.trace
            .line(self.clock.now(), format_args!("{at} user {}", deed.line));
        deed.events
    }

    /// Planted bug: what was committed last is not on the disk yet.
    fn remember_image(&mut self, at: usize) -> Result<(), Violation> {
        if let Some(app) = &mut self.devices[at].app
            && let Some(path) = app.db.path()
        {
            app.unsynced = Some(Image::take(path).map_err(Broken::from)?);
        }
        Ok(())
    }
}
