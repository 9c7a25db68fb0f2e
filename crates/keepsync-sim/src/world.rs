//! One story: several devices and a server on one virtual clock, in one thread.
//!
//! Everything that will happen stands in one queue, ordered by time.

use crate::{
    bug::Bug,
    clock::Clock,
    device::{ACCOUNTS, Broken, Device, Image},
    faults::Faults,
    net::{Envelope, Mood},
    oracle::{Oracle, Violation},
    rng::Rng,
    server::{ModelServer, Snapshot, refuses_bad},
    trace::Trace,
    user::{Deed, Hands},
};
use keepsync::{
    drain::{Answer, Event, Report, Trigger},
    remote::Capabilities,
    settings::{Order, Settings},
};
use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
};
use uuid::Uuid;

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Happening {
    Act(usize),
    Timer {
        device: usize,
        life: u64,
        number: u64,
    },
    Arrive(Box<Envelope>),
    Answer {
        device: usize,
        life: u64,
        request: u64,
        kind: &'static str,
        answer: Box<Answer>,
    },
    GoOffline(usize),
    GoOnline(usize),
    Crash(usize),
    Open(usize),
    Jump(usize),
    Switch(usize),
    SignIn(usize),
    BadMood,
    GoodMood,
    Backup,
    Restore,
}

/// What a story was made of.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stats {
    /// Storage steps of drains.
    pub steps: u64,
    /// Requests that left a runner.
    pub requests: u64,
    /// Processes that died.
    pub crashes: u64,
    /// Things that went wrong otherwise.
    pub faults: u64,
    /// Restores of the server.
    pub restores: u64,
    /// Writes that returned.
    pub writes: u64,
    /// Virtual milliseconds.
    pub virtual_ms: u64,
}

/// What the one who asks for a story may choose.
#[derive(Debug, Clone, Copy)]
pub struct Plot {
    /// A planted bug.
    pub bug: Option<Bug>,
    /// Whether the server may be restored from a backup, or reset.
    pub restores: bool,
}

impl Default for Plot {
    fn default() -> Self {
        Self {
            bug: None,
            restores: true,
        }
    }
}

/// A story.
pub struct World {
    pub(crate) rng: Rng,
    pub(crate) clock: Clock,
    pub(crate) server: ModelServer,
    pub(crate) devices: Vec<Device>,
    pub(crate) oracle: Oracle,
    pub(crate) trace: Trace,
    pub(crate) faults: Faults,
    pub(crate) bug: Option<Bug>,
    pub(crate) mood: Mood,
    pub(crate) stats: Stats,
    /// Planted bug: operation ids that have been sent.
    pub(crate) sent: HashSet<Uuid>,
    /// The report of each device's last pass.
    pub(crate) reports: Vec<Option<Report>>,
    /// No new faults begin.
    pub(crate) healed: bool,
    bad: f64,
    acts_until: u64,
    act_every_ms: f64,
    backups: Vec<Snapshot>,
    queue: BTreeMap<(u64, u64), Happening>,
    happenings: u64,
}

const HOUR: u64 = 3_600_000;

impl World {
    /// The story of a seed, in a folder of its own.
    pub fn new(seed: u64, folder: &Path, plot: Plot, print: bool) -> Result<Self, Broken> {
        let bug = plot.bug;
        let mut rng = Rng::new(seed, 1);
        let clock = Clock::default();
        let mut faults = Faults::draw(&mut rng);
        if !plot.restores && bug != Some(Bug::NoEpoch) {
            faults.restore_every_ms = 0.0;
        }
        let settings = draw_settings(&mut rng);
        let capabilities = draw_capabilities(&mut rng);
        let mut devices = Vec::new();
        for index in 0..usize::try_from(rng.between(1, 4))?.clamp(2, 4) {
            let own = folder.join(format!("d{index}"));
            std::fs::create_dir_all(&own)?;
            let offset = draw_offset(&mut rng);
            let mut settings = settings.clone();
            settings.device_label = Some(format!("phone {index}"));
            let mut device = Device::new(index, own, clock.clone(), offset, seed, settings);
            device.limit(capabilities);
            devices.push(device);
        }
        let bad = if rng.chance(0.3) { 0.1 } else { 0.0 };
        let length = rng.between(HOUR, 24 * HOUR);
        let acts = rng.between(10, 40) as f64;
        let count = devices.len();
        let mut world = Self {
            clock,
            server: ModelServer::with(refuses_bad, Bug::breach(bug)),
            oracle: Oracle::default(),
            trace: Trace::new(print),
            faults,
            bug,
            mood: Mood::Good,
            stats: Stats::default(),
            sent: HashSet::new(),
            reports: vec![None; count],
            healed: false,
            bad,
            acts_until: length,
            act_every_ms: length as f64 / acts,
            backups: Vec::new(),
            queue: BTreeMap::new(),
            happenings: 0,
            devices,
            rng,
        };
        world
            .trace
            .line(0, format_args!("seed {seed}, {count} devices, {:?}", world.faults));
        world.plan();
        Ok(world)
    }

    /// The first of everything that happens again and again.
    fn plan(&mut self) {
        for at in 0..self.devices.len() {
            let start = self.rng.between(0, 60_000);
            self.later(start, Happening::Open(at));
            self.later(start + 1_000, Happening::Act(at));
            self.again(self.faults.offline_every_ms, Happening::GoOffline(at));
            self.again(self.faults.crash_every_ms, Happening::Crash(at));
            self.again(self.faults.jump_every_ms, Happening::Jump(at));
            self.again(self.faults.switch_every_ms, Happening::Switch(at));
        }
        self.again(self.faults.bad_server_every_ms, Happening::BadMood);
        self.again(self.faults.restore_every_ms, Happening::Restore);
        self.again(self.faults.restore_every_ms / 2.0, Happening::Backup);
    }

    /// The whole story: faults, healing, and what must then hold.
    pub fn run(&mut self) -> Result<(), Violation> {
        self.run_until(self.acts_until)?;
        let result = self.finish();
        self.stats.virtual_ms = self.clock.now();
        self.stats.writes = self.oracle.count() as u64;
        result
    }

    /// What it was made of.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// What happened.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// How many accounts it had.
    pub(crate) fn accounts(&self) -> usize {
        if self.faults.switch_every_ms > 0.0 {
            ACCOUNTS.len()
        } else {
            1
        }
    }

    pub(crate) fn later(&mut self, delay: u64, what: Happening) {
        self.happenings += 1;
        self.queue.insert((self.clock.now() + delay, self.happenings), what);
    }

    fn again(&mut self, mean: f64, what: Happening) {
        if mean > 0.0 {
            let delay = 1_000 + self.rng.exponential(mean);
            self.later(delay, what);
        }
    }

    pub(crate) fn run_until(&mut self, end: u64) -> Result<(), Violation> {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((at, _), what) = entry.remove_entry();
            self.clock.advance(at);
            self.happen(what)?;
        }
        self.clock.advance(end);
        Ok(())
    }

    fn happen(&mut self, what: Happening) -> Result<(), Violation> {
        match what {
            Happening::Act(at) => {
                if self.healed {
                    return Ok(());
                }
                // People come in bursts.
                let mean = if self.rng.chance(0.7) {
                    self.act_every_ms / 4.0
                } else {
                    self.act_every_ms * 2.5
                };
                self.again(mean, Happening::Act(at));
                let events = self.act(at)?;
                self.feed(at, events)
            }
            Happening::Timer { device, life, number } => {
                let counts = |app: &crate::device::App| app.timer.1 == number;
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
            } => self.deliver(device, life, request, kind, *answer),
            Happening::Open(at) => self.open(at),
            Happening::SignIn(at) => {
                self.devices[at].token_valid = true;
                self.feed(at, vec![Event::Wake(Trigger::SignedIn)])
            }
            Happening::GoOnline(at) => self.go_online(at),
            Happening::GoodMood => {
                self.mood = Mood::Good;
                Ok(())
            }
            _ if self.healed => Ok(()),
            Happening::GoOffline(at) => self.go_offline(at),
            Happening::Crash(at) => {
                self.again(self.faults.crash_every_ms, Happening::Crash(at));
                self.crash(at)
            }
            Happening::Jump(at) => {
                self.again(self.faults.jump_every_ms, Happening::Jump(at));
                let offset = draw_offset(&mut self.rng);
                self.devices[at].env.set_wall_offset(offset);
                if self.bug == Some(Bug::ClockBackwards) {
                    self.devices[at].env.lose(self.rng.between(HOUR, 48 * HOUR));
                }
                Ok(())
            }
            Happening::Switch(at) => {
                self.again(self.faults.switch_every_ms, Happening::Switch(at));
                if self.devices[at].app.is_none() {
                    return Ok(());
                }
                if self.rng.chance(0.5) {
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
            Happening::BadMood => {
                self.again(self.faults.bad_server_every_ms, Happening::BadMood);
                self.mood = if self.rng.chance(0.5) {
                    Mood::Down
                } else {
                    Mood::RefusesAll
                };
                let delay = self.rng.between(60_000, HOUR);
                self.later(delay, Happening::GoodMood);
                self.trace
                    .line(self.clock.now(), format_args!("server: {:?}", self.mood));
                Ok(())
            }
            Happening::Backup => {
                self.again(self.faults.restore_every_ms / 2.0, Happening::Backup);
                self.backups.push(self.server.snapshot());
                Ok(())
            }
            Happening::Restore => {
                self.again(self.faults.restore_every_ms, Happening::Restore);
                let how = if self.rng.chance(0.1) {
                    self.server.reset();
                    "reset"
                } else if let Some(backup) = self.rng.pick(&self.backups) {
                    self.server.restore(backup);
                    "restored"
                } else {
                    return Ok(());
                };
                self.oracle.server_restored();
                for (user, account) in self.server.users() {
                    self.oracle.read_server(user, account)?;
                }
                self.stats.restores += 1;
                self.trace
                    .line(self.clock.now(), format_args!("server {how}: {}", self.server.epoch()));
                Ok(())
            }
        }
    }

    // The app.

    /// Starts the app, as a user does who takes the phone out.
    pub(crate) fn open(&mut self, at: usize) -> Result<(), Violation> {
        if self.devices[at].app.is_some() {
            return Ok(());
        }
        self.devices[at].open()?;
        self.reports[at] = None;
        self.trace.line(self.clock.now(), format_args!("{at} opens"));
        if self.stats.crashes > 0 {
            self.check_device(at, true)?;
        }
        self.feed(at, vec![Event::Active(true), Event::Wake(Trigger::Foreground)])
    }

    pub(crate) fn crash(&mut self, at: usize) -> Result<(), Violation> {
        let device = &mut self.devices[at];
        let Some(app) = &mut device.app else { return Ok(()) };
        let power = app.unsynced.take();
        let how = if power.is_some() { "loses power" } else { "is killed" };
        self.trace.line(self.clock.now(), format_args!("{at} {how}"));
        self.stats.crashes += 1;
        device.crash(power)?;
        let mean = if self.rng.chance(0.7) { 5_000.0 } else { HOUR as f64 };
        let delay = 500 + self.rng.exponential(mean);
        self.later(delay, Happening::Open(at));
        Ok(())
    }

    fn go_offline(&mut self, at: usize) -> Result<(), Violation> {
        self.again(self.faults.offline_every_ms, Happening::GoOffline(at));
        let device = &mut self.devices[at];
        if !device.online {
            return Ok(());
        }
        device.online = false;
        if let Some(app) = &mut device.app {
            app.attempts_offline = Some(app.inspect.attempts()?);
        }
        self.trace.line(self.clock.now(), format_args!("{at} has no network"));
        let delay = if self.rng.chance(0.5) {
            self.rng.between(1_000, 60_000)
        } else {
            self.rng.between(60_000, 8 * HOUR)
        };
        self.later(delay, Happening::GoOnline(at));
        // The platform notices, or not.
        if self.rng.chance(0.5) {
            self.feed(at, vec![Event::NetworkLost])
        } else {
            Ok(())
        }
    }

    pub(crate) fn go_online(&mut self, at: usize) -> Result<(), Violation> {
        let device = &mut self.devices[at];
        if device.online {
            return Ok(());
        }
        device.online = true;
        if let Some(app) = &mut device.app {
            app.attempts_offline = None;
        }
        self.trace.line(self.clock.now(), format_args!("{at} has a network"));
        if self.rng.chance(0.5) {
            self.feed(at, vec![Event::Wake(Trigger::NetworkBack)])
        } else {
            Ok(())
        }
    }

    pub(crate) fn act(&mut self, at: usize) -> Result<Vec<Event>, Violation> {
        if self.devices[at].app.is_none() {
            return Ok(Vec::new());
        }
        if self.bug == Some(Bug::NotDurable) {
            self.remember_image(at)?;
        }
        let deed = self.hands(at).act()?;
        if self.bug != Some(Bug::NotDurable)
            && let Some(app) = &mut self.devices[at].app
        {
            // The user's commits are synced, and take along what was not.
            app.unsynced = None;
        }
        Ok(self.done(at, deed))
    }

    pub(crate) fn hands(&mut self, at: usize) -> Hands<'_> {
        Hands {
            device: &mut self.devices[at],
            rng: &mut self.rng,
            oracle: &mut self.oracle,
            bad: self.bad,
        }
    }

    pub(crate) fn done(&mut self, at: usize, deed: Deed) -> Vec<Event> {
        self.trace.line(self.clock.now(), format_args!("{at}: {}", deed.line));
        deed.events
    }

    pub(crate) fn remember_image(&mut self, at: usize) -> Result<(), Violation> {
        if let Some(app) = &mut self.devices[at].app
            && app.unsynced.is_none()
            && let Some(path) = app.db.path()
        {
            app.unsynced = Some(Image::take(path).map_err(Broken::from)?);
        }
        Ok(())
    }
}

fn draw_settings(rng: &mut Rng) -> Settings {
    let schedules: [&[u64]; 3] = [
        &[30_000, 60_000, 300_000, 900_000, 3_600_000],
        &[5_000, 30_000, 120_000],
        &[1_000, 5_000, 30_000, 60_000, 300_000],
    ];
    let schedule = rng.pick(&schedules).map_or(Vec::new(), |schedule| schedule.to_vec());
    Settings {
        order: if rng.chance(0.7) {
            Order::PullThenPush
        } else {
            Order::PushThenPull
        },
        retry_schedule_ms: schedule,
        batch_count: *rng.pick(&[200, 200, 5, 1]).unwrap_or(&200),
        pull_page: *rng.pick(&[500, 500, 10, 2]).unwrap_or(&500),
        active_interval_ms: 1_800_000,
        probe_interval_ms: 60_000,
        history_per_record: 10_000,
        history_count: 100_000,
        ..Settings::default()
    }
}

fn draw_capabilities(rng: &mut Rng) -> Capabilities {
    let (batches, after) = *rng
        .pick(&[
            (true, true),
            (true, true),
            (true, true),
            (true, true),
            (true, false),
            (false, false),
        ])
        .unwrap_or(&(true, true));
    Capabilities {
        batches,
        after,
        pull: true,
    }
}

/// Most clocks are right to a few seconds, some wrong by hours, a few by years.
fn draw_offset(rng: &mut Rng) -> i64 {
    let most = match rng.below(10) {
        0..6 => 5_000,
        6..8 => 12 * 3_600_000,
        8 => 10 * 86_400_000,
        _ => 5 * 365 * 86_400_000,
    };
    i64::try_from(rng.below(2 * most)).unwrap_or(0) - i64::try_from(most).unwrap_or(0)
}
