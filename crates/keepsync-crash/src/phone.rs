//! A device: the real file and the real drain, driven by hand on a clock that stands still.

use crate::{
    act::{Act, What},
    server::{Net, START, Server},
    state,
};
use keepsync::{
    Db, Error, OpenOptions, Place,
    collection::Collections,
    conflict::{Resolvers, consult},
    db::Durability,
    drain::{Answer, Drain, Event, Instruction, Request, Step, StepDone, Trigger, carry_out, schedule::Rules},
    env::Env,
    remote::Capabilities,
    settings::Settings,
};
use keepsync_disk::Disk;
use rusqlite::Connection;
use std::{
    collections::{HashSet, VecDeque},
    mem::discriminant,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
};
use uuid::Uuid;

/// A clock that stands still unless it is moved, and bytes that are never the same twice.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    passed_ms: AtomicI64,
    counter: AtomicU64,
}

impl Env for Clock {
    fn wall_ms(&self) -> i64 {
        START + self.passed_ms.load(Relaxed)
    }
    fn monotonic_ms(&self) -> u64 {
        self.passed_ms.load(Relaxed).unsigned_abs()
    }
    fn random(&self) -> [u8; 16] {
        let count = self.counter.fetch_add(1, Relaxed);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&count.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        bytes[8..].copy_from_slice(&count.to_be_bytes());
        bytes
    }
}

impl Clock {
    /// Not backwards.
    fn move_to(&self, passed_ms: i64) {
        self.passed_ms.fetch_max(passed_ms, Relaxed);
    }
}

/// Why an act did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It gave an error.
    Error(Error),
    /// A storage step of the drain failed, with this code.
    Step(&'static str),
}

impl Stop {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Error(error) => error.code(),
            Self::Step(code) => code,
        }
    }
}

/// The file after a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) hash: u64,
    /// The same of what a user can tell.
    pub(crate) visible: u64,
    /// Whether it was committed so that a power cut does not take it.
    pub(crate) hard: bool,
}

/// How far a run has come, in transactions.
#[derive(Debug)]
pub(crate) struct Progress {
    file: PathBuf,
    /// A connection that only looks, for as long as the app runs.
    eye: Option<Connection>,
    pub(crate) position: usize,
    /// While the run without faults is recorded.
    pub(crate) recorded: Option<Vec<Mark>>,
    /// What the run without faults left; a step that fails must leave the file as before it or after it.
    pub(crate) reference: Option<Arc<Vec<Mark>>>,
    /// Whether a write may be several transactions.
    pub(crate) several: bool,
    pub(crate) violation: Option<String>,
}

impl Progress {
    /// A connection to look with.
    pub(crate) fn eye(&mut self) -> rusqlite::Result<&Connection> {
        let eye = match self.eye.take() {
            Some(eye) => eye,
            None => state::look(&self.file)?,
        };
        Ok(self.eye.insert(eye))
    }

    fn mark(&mut self, hard: bool) -> rusqlite::Result<()> {
        self.position += 1;
        if self.recorded.is_some() {
            let conn = self.eye()?;
            let (hash, visible) = (state::whole(conn)?, state::seen(conn)?);
            self.recorded.get_or_insert_default().push(Mark { hash, visible, hard });
        }
        Ok(())
    }

    /// The file as it is now, for [`Progress::is`].
    pub(crate) fn found(&self) -> rusqlite::Result<u64> {
        let conn = state::look(&self.file)?;
        if self.several {
            state::seen(&conn)
        } else {
            state::whole(&conn)
        }
    }

    /// Whether the file is as it was there.
    pub(crate) fn is(&self, mark: &Mark, found: u64) -> bool {
        found == if self.several { mark.visible } else { mark.hash }
    }

    /// A step failed, and the process lives. From here on this run goes its own way.
    fn failed(&mut self, what: &str) {
        let Some(reference) = self.reference.take() else { return };
        let found = self.found();
        let allowed = [self.position.checked_sub(1), Some(self.position)];
        let fits = |hash| {
            let mut marks = allowed.iter().flatten().filter_map(|&at| reference.get(at));
            marks.any(|mark| self.is(mark, hash))
        };
        match found {
            Ok(hash) if fits(hash) => {}
            Ok(_) => {
                self.violation = Some(format!(
                    "{what} failed, and left the file neither as before nor as after it"
                ))
            }
            Err(_) => {}
        }
    }
}

/// A device.
pub(crate) struct Phone {
    pub(crate) disk: Disk,
    pub(crate) options: OpenOptions,
    env: Arc<Clock>,
    /// Of the user's writes.
    pub(crate) durability: Durability,
    pub(crate) db: Option<Db>,
    drain: Option<Drain>,
    pub(crate) server: Server,
    /// Operations that the app was told of.
    pub(crate) told: Vec<Uuid>,
    pub(crate) progress: Progress,
}

/// A device that is switched off, without its files.
#[derive(Clone)]
pub(crate) struct Asleep {
    pub(crate) server: Server,
    told: Vec<Uuid>,
    passed_ms: i64,
}

impl Asleep {
    pub(crate) fn new() -> Self {
        Self {
            server: Server::default(),
            told: Vec::new(),
            passed_ms: 0,
        }
    }
}

pub(crate) fn file(folder: &Path) -> PathBuf {
    folder.join("phone.keepsync")
}

impl Phone {
    pub(crate) fn wake(asleep: Asleep, disk: Disk, collections: Collections, wal_bytes: u64) -> Self {
        let env = Arc::new(Clock::default());
        env.move_to(asleep.passed_ms);
        let settings = Settings {
            jitter: 0.0,
            wal_bytes,
            ..Settings::default()
        };
        let options = OpenOptions {
            place: Place::File(file(disk.folder())),
            account: "lifter@example.org".to_owned(),
            key: crate::key::key(),
            device_id: Some("phone".to_owned()),
            collections,
            settings,
            resolvers: Resolvers::new().with("larger", crate::scenarios::Larger),
            env: env.clone(),
        };
        let progress = Progress {
            file: file(disk.folder()),
            eye: None,
            position: 0,
            recorded: None,
            reference: None,
            several: false,
            violation: None,
        };
        Self {
            disk,
            options,
            env,
            durability: Durability::Full,
            db: None,
            drain: None,
            server: asleep.server,
            told: asleep.told,
            progress,
        }
    }

    pub(crate) fn sleep(mut self) -> (Asleep, Disk) {
        self.die();
        let asleep = Asleep {
            server: self.server,
            told: self.told,
            passed_ms: self.env.passed_ms.load(Relaxed),
        };
        (asleep, self.disk)
    }

    /// The app is gone, with all it had in memory.
    pub(crate) fn die(&mut self) {
        // The app's own connection is the last to be closed.
        self.progress.eye = None;
        self.db = None;
        self.drain = None;
    }

    pub(crate) fn open(&mut self) -> Result<(), Error> {
        self.die();
        let db = Db::open(self.options.clone())?;
        let capabilities = Capabilities {
            batches: true,
            after: true,
            pull: true,
        };
        let rules = Rules::from(&self.options.collections);
        self.drain = Some(Drain::new(self.options.settings.clone(), rules, capabilities, 0));
        self.db = Some(db);
        Ok(())
    }

    /// Sets clock and randomness for an act: each act has its own time, and each attempt at it its own randomness.
    pub(crate) fn turn(&mut self, number: usize, attempt: usize) {
        let (number, attempt) = (number as u64, attempt as u64);
        self.env.move_to((number * 60_000) as i64);
        self.env
            .counter
            .store(number * 10_000_000 + attempt * 100_000 + 1, Relaxed);
    }

    pub(crate) fn play(&mut self, act: &Act) -> Result<(), Stop> {
        match &act.what {
            What::Open => {
                self.open().map_err(Stop::Error)?;
                self.mark()
            }
            What::Write(write) => {
                let written = match self.durability {
                    Durability::Full => self.db()?.write(|w| write(w)),
                    other => self.db()?.write_with(other, |w| write(w)),
                };
                let (op, _) = written.map_err(Stop::Error)?;
                self.mark()?;
                self.told.extend(op);
                Ok(())
            }
            What::Work(work) => {
                let mut looked = Ok(());
                let progress = &mut self.progress;
                let db = self.db.as_mut().ok_or_else(closed)?;
                work(db, &mut || {
                    looked = std::mem::replace(&mut looked, Ok(())).and(progress.mark(true))
                })
                .map_err(Stop::Error)?;
                looked.map_err(broken)
            }
            What::Pass(net) => self.pass(*net).map(|_| ()),
            What::Settle => self.settle(),
            What::World(happens) => {
                happens(&mut self.server);
                Ok(())
            }
            What::Close => {
                self.die();
                self.mark()?;
                self.progress.eye = None;
                Ok(())
            }
        }
    }

    fn db(&mut self) -> Result<&mut Db, Stop> {
        self.db.as_mut().ok_or_else(closed)
    }

    fn mark(&mut self) -> Result<(), Stop> {
        self.progress.mark(true).map_err(broken)
    }

    pub(crate) fn settle(&mut self) -> Result<(), Stop> {
        for _ in 0..8 {
            if self.pass(Net::Well)? == 0 {
                break;
            }
            let passed_ms = self.env.passed_ms.load(Relaxed);
            self.env.move_to(passed_ms + 6 * 3_600_000);
        }
        Ok(())
    }

    /// One pass, by the user's tap. Gives how many entries still wait.
    pub(crate) fn pass(&mut self, net: Net) -> Result<u64, Stop> {
        let mut asked = HashSet::new();
        let mut events = VecDeque::from([Event::Wake(Trigger::User)]);
        let (mut failed, mut waiting) = (None, 0);
        let db = self.db.as_mut().ok_or_else(closed)?;
        let drain = self.drain.as_mut().ok_or_else(closed)?;
        while let Some(event) = events.pop_front() {
            for instruction in drain.handle(event, db.now(), 0.5) {
                match instruction {
                    Instruction::Step(step) => {
                        // What comes again is not synced by itself; see `Step`.
                        let hard = !matches!(step, Step::ApplyPage(_) | Step::Settle { .. });
                        let name = step_name(&step);
                        let (done, _) = carry_out(db, step);
                        if let StepDone::Failed { code } = done {
                            failed = failed.or(Some(code));
                            if self.disk.is_stopped() {
                                return Err(Stop::Step(code));
                            }
                            self.progress.failed(name);
                        } else {
                            self.progress.mark(hard).map_err(broken)?;
                        }
                        events.push_back(Event::Stepped(done));
                    }
                    Instruction::Request {
                        request,
                        what: Request::Resolve(unresolved),
                    } => {
                        let answer = Answer::Resolved(consult(&self.options.resolvers, &unresolved));
                        events.push_back(Event::Answered { request, answer });
                    }
                    Instruction::Request { request, what } => {
                        let first = asked.insert(discriminant(&what));
                        let answer = self.server.answer(what, net, first);
                        events.push_back(Event::Answered { request, answer });
                    }
                    Instruction::Finished(report) => waiting = report.waiting,
                    Instruction::Timer(_) | Instruction::Abandon => {}
                }
            }
        }
        failed.map_or(Ok(waiting), |code| Err(Stop::Step(code)))
    }
}

fn closed() -> Stop {
    Stop::Error(Error::Internal("the app does not run".to_owned()))
}

fn broken(error: rusqlite::Error) -> Stop {
    Stop::Error(Error::Internal(format!("recording: {error}")))
}

fn step_name(step: &Step) -> &'static str {
    match step {
        Step::Release(_) => "releasing",
        Step::PreparePull { .. } => "preparing a pull",
        Step::ApplyPage(_) => "applying a page",
        Step::Unresolved => "looking for conflicts",
        Step::Resolve { .. } => "applying what a resolver said",
        Step::Schedule => "reading the queue",
        Step::Claim(_) => "claiming",
        Step::Settle { .. } => "settling",
        Step::Postpone(_) => "postponing",
        Step::Finish(_) => "finishing",
    }
}
