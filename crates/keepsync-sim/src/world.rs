//! One story: several devices and a server on one virtual clock, in one thread.
//!
//! Everything that will happen stands in one queue, ordered by time.

use crate::{
    app,
    backend::{Server, Snapshot},
    bug::{Bug, Planted},
    chance::{Area, Chance, Series},
    clock::Clock,
    copies::Copies,
    device::{ACCOUNTS, Broken, Device},
    faults::{Faults, Sleep},
    keychain::Keychains,
    net::{Envelope, Mood},
    oracle::{Oracle, Violation},
    plot::Plot,
    trace::Trace,
};
use keepsync::{
    drain::{Answer, Report},
    remote::Capabilities,
    settings::{Order, Settings},
};
use keepsync_proxy::rng::Rng;
use std::{collections::BTreeMap, path::Path};

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
        /// How often the network below has sent it.
        tries: u32,
    },
    /// The runner gives a request up, unless it was answered.
    GiveUp {
        device: usize,
        life: u64,
        request: u64,
        kind: &'static str,
        answer: Box<Answer>,
        /// Only if there is no connection yet.
        connecting: bool,
    },
    GoOffline(usize),
    GoOnline(usize),
    Cut(usize),
    CutAll,
    Crash(usize),
    Open(usize),
    Jump(usize),
    Switch(usize),
    Upgrade(usize),
    Wipe(usize),
    DiskFull(usize),
    DiskRoom(usize),
    SignIn(usize),
    BadMood,
    GoodMood,
    Backup,
    Restore,
    Restart,
    /// The partition matrix: a device is cut off, now and again some time after it is healed.
    Partition(usize),
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
    /// Devices.
    pub devices: u64,
}

/// What the users of a story do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Script {
    /// Everything the app can.
    Life,
    /// They write, and write, and write.
    Writes,
}

/// What a story is put together from.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) script: Script,
    pub(crate) count: usize,
    pub(crate) settings: Settings,
    pub(crate) capabilities: Capabilities,
    pub(crate) wild_clocks: bool,
    pub(crate) bad: f64,
    pub(crate) length: u64,
    pub(crate) act_every_ms: f64,
    pub(crate) checked: f64,
    pub(crate) delays: (u64, u64),
}

/// A story.
pub struct World {
    pub(crate) rng: Rng,
    pub(crate) clock: Clock,
    pub(crate) server: Server,
    pub(crate) keychains: Keychains,
    pub(crate) devices: Vec<Device>,
    pub(crate) oracle: Oracle,
    pub(crate) trace: Trace,
    pub(crate) faults: Faults,
    kinds: Vec<&'static str>,
    pub(crate) bug: Option<Bug>,
    pub(crate) plot: Plot,
    pub(crate) chance: Chance,
    pub(crate) mood: Mood,
    /// How often the server has been started.
    pub(crate) server_life: u64,
    /// Nobody answers at its address until then.
    pub(crate) server_down_until: u64,
    /// How long a message takes at least and at most, where nothing is wrong, in milliseconds.
    pub(crate) delays: (u64, u64),
    pub(crate) stats: Stats,
    /// The report of each device's last pass.
    pub(crate) reports: Vec<Option<Report>>,
    /// No new faults begin.
    pub(crate) healed: bool,
    pub(crate) script: Script,
    pub(crate) bad: f64,
    /// Per storage step: the device's file is looked into after it.
    pub(crate) checked: f64,
    /// Whether every wall clock is right to a day, so that nobody's clock is clamped.
    pub(crate) sane_clocks: bool,
    pub(crate) acts: BTreeMap<(usize, Series), u32>,
    acts_until: u64,
    pub(crate) act_every_ms: f64,
    pub(crate) backups: Vec<Snapshot>,
    /// How many accounts there are.
    accounts: usize,
    pub(crate) copies: Copies,
    /// Who goes off for long from when on, and how.
    pub(crate) sleep: Option<(usize, u64, Sleep)>,
    _planted: Planted,
    queue: BTreeMap<(u64, u64), Happening>,
    happenings: u64,
}

pub(crate) const HOUR: u64 = 3_600_000;

/// In place of a device, where none is meant but another stream of the same chance.
pub(crate) const NOBODY: usize = 50;

impl World {
    /// The story of a seed, in a folder of its own.
    pub fn new(seed: u64, folder: &Path, plot: Plot, print: bool) -> Result<Self, Broken> {
        let mut rng = Rng::new(seed, 1);
        let mut faults = Faults::draw(&mut rng);
        faults.draw_more(&mut Rng::new(seed, 60));
        let faults = plot.thin(faults);
        let settings = draw_settings(&mut rng);
        let capabilities = draw_capabilities(&mut rng);
        let wild_clocks = rng.chance(0.2);
        let of_seed = draw_count(&mut rng);
        let bad = if rng.chance(0.3) { 0.1 } else { 0.0 };
        let length = rng.between(HOUR, 8 * HOUR).min(plot.end);
        // A story with many devices is no longer for it.
        let acts = rng.between(25, 125) as f64 / of_seed as f64;
        let parts = Parts {
            script: Script::Life,
            count: of_seed.min(plot.devices),
            settings,
            capabilities,
            wild_clocks,
            bad,
            length,
            act_every_ms: length as f64 / acts,
            checked: 0.03,
            delays: (5, 300),
        };
        let mut world = Self::with(seed, folder, plot, parts, faults, print)?;
        world.plan();
        world.plan_sleep(length);
        Ok(world)
    }

    pub(crate) fn with(
        seed: u64,
        folder: &Path,
        plot: Plot,
        parts: Parts,
        faults: Faults,
        print: bool,
    ) -> Result<Self, Broken> {
        let bug = plot.bug;
        let mut chance = Chance::new(seed);
        let clock = Clock::default();
        let mut devices = Vec::new();
        for index in 0..parts.count {
            let own = folder.join(format!("d{index}"));
            std::fs::create_dir_all(&own)?;
            let rng = chance.of(Area::Device, index);
            let offset = draw_offset(rng, parts.wild_clocks);
            let mut settings = parts.settings.clone();
            settings.device_label = Some(format!("phone {index}"));
            let mut device = Device::new(index, own, clock.clone(), offset, seed, settings)?;
            device.limit(parts.capabilities);
            if faults.upgrade_every_ms == 0.0 && rng.chance(0.5) {
                device.version = app::LATEST;
            }
            devices.push(device);
        }
        let count = parts.count;
        let accounts = match faults.switch_every_ms > 0.0 || faults.sleep == Some(Sleep::Unanswered) {
            true => ACCOUNTS.len(),
            false => 1,
        };
        let mut world = Self {
            clock,
            server: Server::new(
                seed,
                !Bug::is_of_server(bug),
                faults.restore_every_ms == 0.0,
                parts.script == Script::Writes,
            )?,
            keychains: Keychains::default(),
            oracle: Oracle::default(),
            trace: Trace::new(print),
            kinds: faults.kinds(),
            faults,
            bug,
            mood: Mood::Good,
            server_life: 0,
            server_down_until: 0,
            delays: parts.delays,
            stats: Stats::default(),
            reports: vec![None; count],
            healed: false,
            script: parts.script,
            bad: parts.bad,
            checked: parts.checked,
            sane_clocks: !parts.wild_clocks,
            acts: BTreeMap::new(),
            acts_until: parts.length,
            act_every_ms: parts.act_every_ms,
            backups: Vec::new(),
            accounts,
            copies: Copies::default(),
            sleep: None,
            _planted: Planted::new(bug),
            queue: BTreeMap::new(),
            happenings: 0,
            devices,
            rng: chance.of(Area::Network, 0).clone(),
            chance,
            plot,
        };
        world.stats.devices = count as u64;
        world
            .trace
            .line(0, format_args!("seed {seed}, {count} devices, {:?}", world.faults));
        Ok(world)
    }

    /// The first of everything that happens again and again.
    fn plan(&mut self) {
        for at in 0..self.devices.len() {
            let start = self.chance.of(Area::Acts, at).between(0, 60_000);
            self.later(start, Happening::Open(at));
            self.later(start + 1_000, Happening::Act(at));
            let faults = self.faults.clone();
            self.again(Area::Offline, at, faults.offline_every_ms, Happening::GoOffline(at));
            self.again(Area::Cut, at, faults.cut_every_ms, Happening::Cut(at));
            self.again(Area::Crash, at, faults.crash_every_ms, Happening::Crash(at));
            self.again(Area::Jump, at, faults.jump_every_ms, Happening::Jump(at));
            self.again(Area::Switch, at, faults.switch_every_ms, Happening::Switch(at));
            self.again(Area::Upgrade, at, faults.upgrade_every_ms, Happening::Upgrade(at));
            self.again(Area::Disk, at, faults.disk_full_every_ms, Happening::DiskFull(at));
            self.again(Area::Wipe, at, faults.wipe_every_ms, Happening::Wipe(at));
        }
        let faults = self.faults.clone();
        self.again(Area::Cut, NOBODY, faults.cut_all_every_ms, Happening::CutAll);
        self.again(Area::Mood, 0, faults.bad_server_every_ms, Happening::BadMood);
        self.again(Area::Restore, 0, faults.restore_every_ms, Happening::Restore);
        self.again(Area::Restore, 1, faults.restore_every_ms / 2.0, Happening::Backup);
        self.again(Area::Restart, 0, faults.restart_every_ms, Happening::Restart);
    }

    /// The whole story: faults, healing, and what must then hold.
    pub fn run(&mut self) -> Result<(), Violation> {
        let result = match self.tell() {
            Ok(()) => self.oracle.witness.judge(),
            // The second oracle cannot judge what did not come to its end.
            Err(violation) if self.plot.oracle_only && violation.promise != "simulation" => Ok(()),
            Err(violation) => Err(violation),
        };
        self.stats.virtual_ms = self.clock.now();
        self.stats.writes = self.oracle.count() as u64;
        result
    }

    fn tell(&mut self) -> Result<(), Violation> {
        self.run_until(self.acts_until)?;
        self.sleep_through()?;
        self.finish()
    }

    /// The kinds of its faults.
    pub(crate) fn kinds(&self) -> &[&'static str] {
        &self.kinds
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
        self.accounts
    }

    pub(crate) fn later(&mut self, delay: u64, what: Happening) {
        self.happenings += 1;
        self.queue.insert((self.clock.now() + delay, self.happenings), what);
    }

    /// Takes things out of what will happen.
    pub(crate) fn forget(&mut self, which: impl Fn(&Happening) -> bool) {
        self.queue.retain(|_, what| !which(what));
    }

    pub(crate) fn again(&mut self, area: Area, device: usize, mean: f64, what: Happening) {
        if mean > 0.0 {
            let delay = 1_000 + self.chance.of(area, device).exponential(mean);
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
            self.nod_off()?;
        }
        self.clock.advance(end);
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
        // Seldom: a phone that is off the network for hours would do little else.
        probe_interval_ms: *rng.pick(&[120_000, 900_000, 1_800_000]).unwrap_or(&900_000),
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

/// Mostly three or four, at times as many as ten.
fn draw_count(rng: &mut Rng) -> usize {
    match rng.below(100) {
        0..45 => 3,
        45..73 => 4,
        73..83 => 5,
        83..89 => 6,
        89..93 => 7,
        93..96 => 8,
        96..98 => 9,
        _ => 10,
    }
}

/// Most clocks are right to a few seconds, some wrong by hours; where clocks are wild, a few are wrong by years.
pub(crate) fn draw_offset(rng: &mut Rng, wild: bool) -> i64 {
    let most = match rng.below(10) {
        0..6 => 5_000,
        6..8 => 11 * 3_600_000,
        _ if !wild => 11 * 3_600_000,
        8 => 10 * 86_400_000,
        _ => 5 * 365 * 86_400_000,
    };
    i64::try_from(rng.below(2 * most)).unwrap_or(0) - i64::try_from(most).unwrap_or(0)
}
