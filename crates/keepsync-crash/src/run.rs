//! One run: a story, a fault at its k-th operation, and what must hold afterwards.
//!
//! # A crash (`kill`, `lose`, `torn`)
//! 1. The story is played until the process dies at operation k.
//! 2. The crash takes what it takes. With a second fault, an opening meets that, and dies or fails too.
//! 3. The app is opened again. The file must be sound; every operation that the app was told of must be there
//!    or on the server; and **every row must be as after some transaction of the run without faults**: the one
//!    before the death or the one it died in, or after a power cut an earlier one if all since were such as come
//!    again (pages, answers).
//! 4. What was not done is done again, and the story goes on. A write that had been committed although nobody
//!    was told is made again under the same id: what a user can tell stays the same.
//! 5. At its end, a user could tell no difference to the run without faults, and the server's bodies are the
//!    same.
//!
//! # An error (`io-once`, `io-ever`, `full-once`, `full-ever`, `read-once`)
//! As above, in the same process; what fails must say so and leave the file as before or after. With an error
//! for ever the app is also opened again while it lasts (an error is never taken for damage), then the disk is
//! mended. `full-drain`: on the full disk reading works, and the queue is drained.

use crate::{
    act::{Scenario, What},
    check,
    image::{self, Image},
    phone::{Asleep, Mark, Phone, Stop, file},
    server::Net,
    state,
};
use keepsync::{Error, db::Durability, record::Query};
use keepsync_disk::{Counts, Crash, Disk, Fault, Plan};
use std::{path::Path, sync::Arc};

/// What goes wrong in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The process is killed.
    Kill,
    /// The power fails, and nothing arrives that was not synced.
    Lose,
    /// The power fails, and some of it arrives.
    Torn,
    /// One operation fails.
    IoOnce,
    /// All operations from one on fail, until the disk is mended.
    IoEver,
    /// One write finds no room.
    FullOnce,
    /// The disk is full until there is room again.
    FullEver,
    /// The same, and the queue is drained before there is room.
    FullDrain,
    /// One read fails.
    ReadOnce,
}

/// All modes, by name.
pub const MODES: [(&str, Mode); 9] = [
    ("kill", Mode::Kill),
    ("lose", Mode::Lose),
    ("torn", Mode::Torn),
    ("io-once", Mode::IoOnce),
    ("io-ever", Mode::IoEver),
    ("full-once", Mode::FullOnce),
    ("full-ever", Mode::FullEver),
    ("full-drain", Mode::FullDrain),
    ("read-once", Mode::ReadOnce),
];

impl Mode {
    fn plan(self, at: u64) -> Plan {
        let (fault, lasting) = match self {
            Self::Kill | Self::Lose | Self::Torn => (Fault::Stop, true),
            Self::IoOnce | Self::ReadOnce => (Fault::IoError, false),
            Self::IoEver => (Fault::IoError, true),
            Self::FullOnce => (Fault::Full, false),
            Self::FullEver | Self::FullDrain => (Fault::Full, true),
        };
        let counts = if self == Self::ReadOnce {
            Counts::Reads
        } else {
            Counts::Changes
        };
        Plan {
            fault,
            counts,
            at,
            lasting,
        }
    }

    fn crash(self) -> Option<Crash> {
        match self {
            Self::Kill => Some(Crash::Kill),
            Self::Lose => Some(Crash::LoseUnsynced),
            Self::Torn => Some(Crash::Torn),
            _ => None,
        }
    }

    /// Whether the disk is full.
    fn fills(self) -> bool {
        matches!(self, Self::FullOnce | Self::FullEver | Self::FullDrain)
    }

    /// Whether the process dies.
    pub fn kills(self) -> bool {
        self.crash().is_some()
    }
}

/// Which run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// What goes wrong.
    pub mode: Mode,
    /// At which operation, from 1.
    pub point: u64,
    /// Decides what is torn, and the second fault.
    pub seed: u64,
    /// Whether the opening after the crash meets a fault too.
    pub second: bool,
}

/// What does not hold; or what is wrong with the tool itself.
#[derive(Debug)]
pub struct Violation {
    /// During which act.
    pub act: String,
    /// At which operation.
    pub point: String,
    /// What.
    pub what: String,
}

type Run<T> = Result<T, String>;

/// A story with what the run without faults left.
#[derive(Debug)]
pub struct Known {
    /// The story.
    pub scenario: Scenario,
    asleep: AsleepImage,
    marks: Arc<Vec<Mark>>,
    /// How many transactions each act had ended after.
    ends: Vec<usize>,
    /// What a user could tell at the end, and what the server has.
    end: Vec<String>,
    /// Operations on the disk.
    pub points: u64,
    mistake: Option<Mistake>,
}

/// A mistake that all further runs of a story are made with, to see whether it is seen. Others are planted in the
/// core; see `keepsync::planted`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// The disk says that it has synced, and has not.
    LyingSync,
    /// The user's writes are committed with NORMAL in the place of FULL.
    Normal,
}

struct AsleepImage(Asleep, Image);

impl std::fmt::Debug for AsleepImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AsleepImage").field(&self.1).finish_non_exhaustive()
    }
}

fn said(stop: &Stop) -> String {
    match stop {
        Stop::Error(error) => format!("{} ({error})", stop.code()),
        Stop::Step(code) => format!("a storage step failed with {code}"),
    }
}

pub(crate) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Known {
    /// Plays the story without faults, and remembers what it left. `folder` is for this alone.
    ///
    /// # Errors
    /// It does not work even then.
    pub fn record(scenario: Scenario, folder: &Path) -> Run<Self> {
        image::clear(folder).map_err(text)?;
        let disk = Disk::at(folder).map_err(text)?;
        let mut phone = Phone::wake(
            Asleep::new(),
            disk,
            (scenario.before)().map_err(text)?,
            scenario.wal_bytes,
        );
        for (number, act) in scenario.base.iter().enumerate() {
            phone.turn(number, 0);
            phone
                .play(act)
                .map_err(|stop| format!("before the story, {}: {}", act.name, said(&stop)))?;
        }
        let (asleep, disk) = phone.sleep();
        drop(disk);
        if let Some(spoil) = scenario.spoil {
            spoil(&file(folder)).map_err(text)?;
        }
        let image = Image::take(folder).map_err(text)?;
        let mut known = Self {
            scenario,
            asleep: AsleepImage(asleep, image),
            marks: Arc::default(),
            ends: Vec::new(),
            end: Vec::new(),
            points: 0,
            mistake: None,
        };
        let mut phone = known.wake(folder)?;
        // Before the first opening nothing is compared.
        phone.progress.recorded = Some(vec![Mark {
            hash: 0,
            visible: 0,
            hard: true,
        }]);
        let before = phone.disk.counted().changes();
        for number in 0..known.scenario.acts.len() {
            known
                .play(&mut phone, number, 0)
                .map_err(|stop| format!("without faults: {}", said(&stop)))?;
            known.ends.push(phone.progress.position);
        }
        known.points = phone.disk.counted().changes() - before;
        known.marks = Arc::new(phone.progress.recorded.take().unwrap_or_default());
        known.finish(&mut phone, true)?;
        known.end = known.told(&mut phone)?;
        Ok(known)
    }

    /// The same story with a mistake.
    #[must_use]
    pub fn with(mut self, mistake: Mistake) -> Self {
        self.mistake = Some(mistake);
        self
    }

    fn wake(&self, folder: &Path) -> Run<Phone> {
        self.asleep.1.put(folder).map_err(text)?;
        let disk = Disk::at(folder).map_err(text)?;
        disk.limit(self.scenario.room).map_err(text)?;
        disk.lie(self.mistake == Some(Mistake::LyingSync));
        let collections = (self.scenario.collections)().map_err(text)?;
        let mut phone = Phone::wake(self.asleep.0.clone(), disk, collections, self.scenario.wal_bytes);
        if self.mistake == Some(Mistake::Normal) {
            phone.durability = Durability::Normal;
        }
        Ok(phone)
    }

    fn play(&self, phone: &mut Phone, number: usize, attempt: usize) -> Result<(), Stop> {
        phone.turn(self.scenario.base.len() + number, attempt);
        match self.scenario.acts.get(number) {
            Some(act) => phone.play(act),
            None => Ok(()),
        }
    }

    /// The disk is mended, and everything comes to rest; also after one more opening, where that is wanted.
    fn finish(&self, phone: &mut Phone, again: bool) -> Run<()> {
        phone.disk.heal();
        phone.disk.limit(None).map_err(text)?;
        phone.turn(self.scenario.base.len() + self.scenario.acts.len(), 0);
        if phone.db.is_none() {
            phone.open().map_err(|error| format!("opening at the end: {error}"))?;
        }
        phone
            .settle()
            .map_err(|stop| format!("settling at the end: {}", said(&stop)))?;
        if again {
            phone
                .open()
                .map_err(|error| format!("opening after the end: {error}"))?;
        }
        Ok(())
    }

    fn told(&self, phone: &mut Phone) -> Run<Vec<String>> {
        let mut lines = state::visible(phone.progress.eye().map_err(text)?).map_err(text)?;
        lines.extend(phone.server.told());
        Ok(lines)
    }

    fn sound(&self, phone: &mut Phone) -> Run<()> {
        let conn = phone.progress.eye().map_err(text)?;
        check::sound(conn, !self.scenario.by_hand)?;
        check::kept(conn, &phone.server, &phone.told)
    }

    /// Nothing was taken for damage, unless it is.
    fn undamaged(&self, phone: &Phone) -> Run<()> {
        let aside = image::set_aside(phone.disk.folder()).map_err(text)?;
        match (self.scenario.salvages, aside.len()) {
            (false, 0) | (true, 0 | 1) => Ok(()),
            (_, count) => Err(format!("{count} files were set aside as damaged")),
        }
    }

    /// Runs one case in a folder that is for this alone. `None`: the story has not so many operations.
    ///
    /// # Errors
    /// What does not hold.
    pub fn run(&self, case: Case, folder: &Path) -> Result<Option<()>, Box<Violation>> {
        let mut place = (String::new(), String::new());
        match self.try_run(case, folder, &mut place) {
            Ok(reached) => Ok(reached.then_some(())),
            Err(what) => Err(Box::new(Violation {
                act: place.0,
                point: place.1,
                what,
            })),
        }
    }

    fn try_run(&self, case: Case, folder: &Path, place: &mut (String, String)) -> Run<bool> {
        if case.mode == Mode::FullDrain && self.scenario.room.is_some() {
            // The disk is full from the beginning, and the reserve may be given away when the fault strikes.
            return Ok(false);
        }
        let mut phone = self.wake(folder)?;
        phone.progress.reference = Some(Arc::clone(&self.marks));
        phone.progress.several = self.scenario.room.is_some() || case.mode.fills();
        phone.disk.plan(case.mode.plan(case.point));
        let (mut number, mut attempt, mut furthest) = (0, 0, 0);
        let mut struck = false;
        while let Some(act) = self.scenario.acts.get(number) {
            // What happens elsewhere happens once.
            if matches!(act.what, What::World(_)) && number < furthest {
                number += 1;
                continue;
            }
            furthest = furthest.max(number + 1);
            let played = self.play(&mut phone, number, attempt);
            if let Some(point) = phone.disk.fired().filter(|_| place.1.is_empty()) {
                *place = (act.name.clone(), point.to_string());
            }
            if let Some(what) = phone.progress.violation.take() {
                return Err(what);
            }
            let Err(stop) = played else {
                number += 1;
                attempt = 0;
                continue;
            };
            // What was pruned in the first attempt is not there for the second.
            let again = self.scenario.room.is_some() && attempt > 0 && attempt < 4;
            if again && stop.code() == Error::StorageFull.code() {
                phone.disk.limit(None).map_err(text)?;
                attempt += 1;
                continue;
            }
            if phone.disk.fired().is_none() || struck {
                return Err(format!("{}, for no reason: {}", act.name, said(&stop)));
            }
            struck = case.mode.plan(1).lasting || case.mode.kills();
            number = match case.mode.crash() {
                Some(crash) => self.after_crash(&mut phone, case, crash, number)?,
                None => self.after_error(&mut phone, case, number, &stop)?,
            };
            if case.mode == Mode::FullDrain {
                return Ok(true);
            }
            attempt = if number < self.scenario.acts.len() {
                attempt + 1
            } else {
                0
            };
            if attempt > 4 {
                return Err(format!("{}: fails again and again: {}", act.name, said(&stop)));
            }
        }
        let fired = phone.disk.fired().is_some() || struck;
        if phone.disk.is_stopped() {
            // It died in the last act's shadow.
            phone.die();
            if let Some(crash) = case.mode.crash() {
                self.after_crash(&mut phone, case, crash, self.scenario.acts.len())?;
            }
        }
        self.finish(&mut phone, case.point % 8 == 1)?;
        self.undamaged(&phone)?;
        self.sound(&mut phone)?;
        let end = self.told(&mut phone)?;
        // What a full disk makes room with is gone; see the core's `room.rs`.
        let full = self.scenario.room.is_some() || case.mode.fills();
        let same = match full {
            true => without_history(&end).eq(without_history(&self.end)),
            false => end == self.end,
        };
        if !same {
            return Err(format!(
                "it ends otherwise than without a fault:\n{}",
                difference(&self.end, &end)
            ));
        }
        Ok(fired)
    }

    /// The process died in this act. Gives with which act to go on.
    fn after_crash(&self, phone: &mut Phone, case: Case, crash: Crash, number: usize) -> Run<usize> {
        phone.die();
        phone.progress.reference = None;
        phone.disk.crash(crash, case.seed ^ case.point).map_err(text)?;
        if case.second {
            self.second(phone, case, crash)?;
        }
        phone
            .open()
            .map_err(|error| format!("opening after the crash: {} ({error})", error.code()))?;
        self.undamaged(phone)?;
        self.sound(phone)?;
        let hash = phone.progress.found().map_err(text)?;
        let position = phone.progress.position;
        let allowed = self.allowed(position, crash);
        let found = allowed
            .clone()
            .rev()
            .find(|&at| self.marks.get(at).is_some_and(|mark| phone.progress.is(mark, hash)));
        let Some(found) = found else {
            let elsewhere: Vec<usize> = (0..self.marks.len())
                .filter(|&at| phone.progress.is(&self.marks[at], hash))
                .collect();
            return Err(format!(
                "after {position} transactions the file is as after none of {allowed:?}, but as after {elsewhere:?}:\n{}",
                phone.progress.eye().and_then(state::dump).map_err(text)?.join("\n")
            ));
        };
        phone.progress.position = found;
        let is_write = |number: usize| {
            matches!(
                self.scenario.acts.get(number).map(|act| &act.what),
                Some(What::Write(_))
            )
        };
        if is_write(number) && self.ends.get(number) == Some(&found) && found > position {
            self.again(phone, number)?;
            return Ok(number + 1);
        }
        // The first act that has not come to its end.
        let next = self.ends.iter().position(|&end| end > found).unwrap_or(number);
        // The app has been opened already.
        Ok(next.max(1).min(number.max(1)))
    }

    /// After how many transactions the file may be.
    fn allowed(&self, position: usize, crash: Crash) -> std::ops::RangeInclusive<usize> {
        // Opening goes on to its end before anything is looked at.
        let last = (position + 1).min(self.marks.len().saturating_sub(1)).max(1);
        let mut first = position.clamp(1, last);
        if crash != Crash::Kill {
            let soft = |at: usize| match (self.marks.get(at), self.marks.get(at.wrapping_sub(1))) {
                (Some(mark), Some(before)) => !mark.hard || mark.hash == before.hash,
                _ => false,
            };
            while first > 1 && soft(first) {
                first -= 1;
            }
        }
        first..=last
    }

    /// A write that is there already is made again.
    fn again(&self, phone: &mut Phone, number: usize) -> Run<()> {
        let before = self.told(phone)?;
        let again = self.play(phone, number, 1);
        if let Err(Stop::Error(error)) = &again
            && !matches!(
                error,
                Error::SessionState { .. } | Error::NotFound { .. } | Error::ConflictChanged | Error::Invalid { .. }
            )
        {
            return Err(format!("a write that is there, made again: {} ({error})", error.code()));
        }
        let after = self.told(phone)?;
        if after != before {
            return Err(format!(
                "a write that was there, made again, changes something:\n{}",
                difference(&before, &after)
            ));
        }
        Ok(())
    }

    /// An opening that meets a fault too.
    fn second(&self, phone: &mut Phone, case: Case, crash: Crash) -> Run<()> {
        let number = mix(case.seed.wrapping_mul(31) ^ case.point);
        let (fault, counts, most) = match number % 4 {
            0 => (Fault::Stop, Counts::Changes, 12),
            1 => (Fault::IoError, Counts::Changes, 12),
            2 => (Fault::IoError, Counts::Reads, 60),
            _ => (Fault::Stop, Counts::Reads, 60),
        };
        phone.disk.plan(Plan {
            fault,
            counts,
            at: 1 + mix(number) % most,
            lasting: true,
        });
        if let Err(error) = phone.open()
            && phone.disk.fired().is_none()
        {
            return Err(format!("opening after the crash: {} ({error})", error.code()));
        }
        self.undamaged(phone)?;
        phone.die();
        phone.disk.heal();
        let crash = if phone.disk.is_stopped() { crash } else { Crash::Kill };
        phone.disk.crash(crash, mix(number) ^ 1).map_err(text)
    }

    /// An act failed, and the process lives. Gives with which act to go on.
    fn after_error(&self, phone: &mut Phone, case: Case, number: usize, stop: &Stop) -> Run<usize> {
        if case.mode.fills() && stop.code() != Error::StorageFull.code() {
            return Err(format!("a full disk is told as {}", said(stop)));
        }
        let is_open = |phone: &Phone| phone.db.is_some();
        self.undamaged(phone)?;
        match case.mode {
            Mode::IoEver => {
                if let Err(error) = phone.open()
                    && matches!(error, Error::Damaged { .. })
                {
                    return Err("an I/O error is taken for damage".to_owned());
                }
                self.undamaged(phone)?;
                phone.die();
                phone.disk.heal();
                phone.disk.crash(Crash::Kill, 0).map_err(text)?;
                phone
                    .open()
                    .map_err(|error| format!("opening the mended disk: {} ({error})", error.code()))?;
            }
            Mode::FullDrain => return self.drain_when_full(phone).map(|()| number),
            Mode::FullEver => {
                phone.disk.heal();
            }
            _ => {}
        }
        if !is_open(phone) {
            // Opening failed: there is nothing to look at yet, and opening is tried again.
            return Ok(0);
        }
        self.undamaged(phone)?;
        self.sound(phone)?;
        // A pass that failed went on in its own way.
        if matches!(stop, Stop::Step(_)) {
            return Ok(number);
        }
        let hash = phone.progress.found().map_err(text)?;
        let position = phone.progress.position;
        if phone.progress.reference.is_none() {
            return Ok(number);
        }
        let is = |at: usize| self.marks.get(at).is_some_and(|mark| phone.progress.is(mark, hash));
        if is(position) {
            return Ok(number);
        }
        if !is(position + 1) {
            return Err(format!(
                "{} failed, and left the file neither as before nor as after it",
                self.scenario.acts[number].name
            ));
        }
        if matches!(self.scenario.acts[number].what, What::Write(_)) {
            self.again(phone, number)?;
            return Ok(number + 1);
        }
        Ok(number)
    }

    /// Reads work, and what waits goes out.
    fn drain_when_full(&self, phone: &mut Phone) -> Run<()> {
        if phone.db.is_none() {
            if self.scenario.grows {
                return Ok(());
            }
            return Err("the app does not open on a full disk".to_owned());
        }
        let read = |phone: &Phone| -> Result<(), Error> {
            let Some(db) = &phone.db else { return Ok(()) };
            db.read(|read| {
                read.entries(i64::MIN, 1_000)?;
                read.conflicts()?;
                read.queue_counts()?;
                for collection in ["workout", "profile", "weight"] {
                    if read.needs_first_sync().is_ok() {
                        let _ = read.query(&Query::new(collection).limit(100))?;
                    }
                }
                Ok(())
            })
        };
        read(phone).map_err(|error| format!("reading on a full disk: {} ({error})", error.code()))?;
        let mut last = Ok(0);
        for _ in 0..10 {
            last = phone.pass(Net::Well);
            if last == Ok(0) {
                break;
            }
        }
        match last {
            Ok(0) => {}
            Ok(count) => return Err(format!("{count} entries still wait after ten passes on a full disk")),
            Err(stop) => return Err(format!("the drain on a full disk: {}", said(&stop))),
        }
        self.sound(phone)?;
        self.finish(phone, false)?;
        self.undamaged(phone)?;
        self.sound(phone)
    }
}

fn without_history(lines: &[String]) -> impl Iterator<Item = &String> {
    lines.iter().filter(|line| !line.starts_with("history "))
}

/// What is in one and not in the other.
fn difference(expected: &[String], found: &[String]) -> String {
    let missing = expected
        .iter()
        .filter(|line| !found.contains(line))
        .map(|line| format!("- {line}"));
    let more = found
        .iter()
        .filter(|line| !expected.contains(line))
        .map(|line| format!("+ {line}"));
    missing.chain(more).collect::<Vec<_>>().join("\n")
}

fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
