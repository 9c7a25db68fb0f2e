//! A device on a clock of its own: the real file and the real drain, driven by hand, with a backend
//! that is a closure.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of this")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the helpers of tests are tests too"
)]

use keepsync::{
    Db, OpenOptions, Place,
    collection::{Collection, Collections, Sending},
    conflict::Policy,
    drain::{Answer, Drain, Event, Instruction, Report, Request, Trigger, carry_out, schedule::Rules},
    env::{Env, Now},
    hlc::Hlc,
    queue::Entry,
    record::{self, Record},
    remote::{Accepted, Capabilities, Outcome, PullPage, PushAnswer, PushBatch, PushItem, RemoteChange, RemoteVersion},
    settings::Settings,
};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
};

/// A clock that stands still unless it is moved, and bytes that are never the same twice.
pub struct TestEnv {
    pub wall_ms: AtomicI64,
    pub monotonic_ms: AtomicU64,
    counter: AtomicU64,
    name: u64,
}

impl Env for TestEnv {
    fn wall_ms(&self) -> i64 {
        self.wall_ms.load(Relaxed)
    }
    fn monotonic_ms(&self) -> u64 {
        self.monotonic_ms.load(Relaxed)
    }
    fn random(&self) -> [u8; 16] {
        let count = self.counter.fetch_add(1, Relaxed);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&count.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        bytes[8..].copy_from_slice(&self.name.to_le_bytes());
        bytes
    }
}

pub struct Device {
    pub db: Db,
    pub drain: Drain,
    pub env: Arc<TestEnv>,
    pub options: OpenOptions,
    pub capabilities: Capabilities,
    pub timer: Option<u64>,
}

pub const START: i64 = 1_763_600_000_000;

pub fn collections() -> Collections {
    Collections::new([
        Collection::new("workout", Policy::Ask)
            .priority(10)
            .index("date")
            .same_when(["date", "time"]),
        Collection::new("set_log", Policy::ClientWins)
            .child_of("workout", "workout_id")
            .priority(10),
        Collection::new("heart_rate", Policy::ClientWins)
            .child_of("workout", "workout_id")
            .settles_itself(),
        Collection::new("weight", Policy::ClientWins),
        Collection::new("plan", Policy::Ask).sending(Sending::OnComplete),
        Collection::new("plan_set", Policy::ClientWins).child_of("plan", "plan_id"),
        Collection::new("profile", Policy::LastWriteWins),
        Collection::new("exercise", Policy::ServerWins),
        Collection::new("session", Policy::Ask)
            .group(["schedule"], Policy::ServerWins)
            .group(["weight", "reps"], Policy::ClientWins),
    ])
    .unwrap()
}

impl Device {
    pub fn new() -> Self {
        Self::named(
            1,
            None,
            Settings {
                jitter: 0.0,
                ..Settings::default()
            },
        )
    }

    pub fn named(name: u64, folder: Option<PathBuf>, settings: Settings) -> Self {
        Self::with(name, folder, settings, collections())
    }

    /// A device of its own name, with collections of its own.
    pub fn with(name: u64, folder: Option<PathBuf>, settings: Settings, collections: Collections) -> Self {
        let env = Arc::new(TestEnv {
            wall_ms: AtomicI64::new(START),
            monotonic_ms: AtomicU64::new(0),
            counter: AtomicU64::new(1),
            name,
        });
        let options = OpenOptions {
            place: folder.map_or(Place::Memory, Place::Folder),
            account: "lifter".to_owned(),
            key: None,
            device_id: Some(format!("device-{name}")),
            collections,
            settings,
            resolvers: keepsync::conflict::Resolvers::default(),
            env: env.clone(),
        };
        let capabilities = Capabilities {
            batches: true,
            after: true,
            pull: true,
        };
        let db = Db::open(options.clone()).unwrap();
        let drain = Self::drain(&options, capabilities);
        Self {
            db,
            drain,
            env,
            options,
            capabilities,
            timer: None,
        }
    }

    fn drain(options: &OpenOptions, capabilities: Capabilities) -> Drain {
        Drain::new(
            options.settings.clone(),
            Rules::from(&options.collections),
            capabilities,
            0,
        )
    }

    /// The process ends and the app is started again.
    pub fn restart(self) -> Self {
        let Self {
            db,
            env,
            options,
            capabilities,
            ..
        } = self;
        drop(db);
        let db = Db::open(options.clone()).unwrap();
        let drain = Self::drain(&options, capabilities);
        Self {
            db,
            drain,
            env,
            options,
            capabilities,
            timer: None,
        }
    }

    /// The drain forgets what it was doing, as after a restart; the file is in memory.
    pub fn restart_in_memory(mut self) -> Self {
        self.drain = self.fresh_drain();
        self
    }

    pub fn fresh_drain(&self) -> Drain {
        Self::drain(&self.options, self.capabilities)
    }

    pub fn pass_time(&self, ms: u64) {
        self.env.wall_ms.fetch_add(ms as i64, Relaxed);
        self.env.monotonic_ms.fetch_add(ms, Relaxed);
    }

    pub fn now(&self) -> Now {
        self.db.now()
    }

    pub fn put(&mut self, collection: &str, id: &str, body: &str) -> Option<uuid::Uuid> {
        self.pass_time(1);
        self.db
            .write(|write| record::put(write, collection, id, body))
            .unwrap()
            .0
            .op
    }

    pub fn delete(&mut self, collection: &str, id: &str) {
        self.pass_time(1);
        self.db.write(|write| record::delete(write, collection, id)).unwrap();
    }

    pub fn get(&self, collection: &str, id: &str) -> Option<Record> {
        self.db.read(|read| read.get(collection, id)).unwrap()
    }

    pub fn body(&self, collection: &str, id: &str) -> Option<String> {
        self.get(collection, id).and_then(|record| record.body)
    }

    pub fn entries(&self) -> Vec<Entry> {
        self.db.read(|read| read.entries(i64::MIN, 100_000)).unwrap()
    }

    /// Feeds an event and carries everything out until the machine rests; `network` answers requests,
    /// `None` for "the process dies here".
    pub fn feed(&mut self, event: Event, mut network: impl FnMut(Request) -> Option<Answer>) -> Option<Report> {
        let mut events = std::collections::VecDeque::from([event]);
        let mut last = None;
        while let Some(event) = events.pop_front() {
            for instruction in self.drain.handle(event, self.db.now(), 0.5) {
                match instruction {
                    Instruction::Step(step) => events.push_back(Event::Stepped(carry_out(&mut self.db, step).0)),
                    Instruction::Request { request, what } => match network(what) {
                        Some(answer) => events.push_back(Event::Answered { request, answer }),
                        None => return None,
                    },
                    Instruction::Timer(at) => self.timer = at,
                    Instruction::Finished(report) => last = Some(report),
                    Instruction::Abandon => {}
                }
            }
        }
        last
    }

    /// One pass, by the user's tap.
    pub fn sync(&mut self, network: impl FnMut(Request) -> Option<Answer>) -> Report {
        self.feed(Event::Wake(Trigger::User), network).expect("the pass ended")
    }

    /// One pass in which every push is answered by `push` and every pull by an empty page.
    pub fn push(&mut self, mut push: impl FnMut(&PushItem) -> Option<Outcome>) -> Report {
        self.sync(|request| {
            Some(match request {
                Request::Push(batch) => answered(&batch, &mut push),
                other => well(other),
            })
        })
    }

    /// One pass that pulls these changes.
    pub fn pull(&mut self, changes: Vec<RemoteChange>) -> Report {
        let mut page = Some(PullPage {
            changes,
            ..PullPage::default()
        });
        self.sync(|request| {
            Some(match request {
                Request::Pull(_) => Answer::Pulled(Ok(page.take().unwrap_or_default())),
                Request::Push(batch) => answered(&batch, &mut |_| Some(Outcome::Retry { after_ms: None })),
                other => well(other),
            })
        })
    }

    /// Pulls without giving the push a chance.
    pub fn pull_only(&mut self, changes: Vec<RemoteChange>) {
        let page = PullPage {
            changes,
            ..PullPage::default()
        };
        carry_out(&mut self.db, keepsync::drain::Step::ApplyPage(page));
    }
}

pub fn answered(batch: &PushBatch, push: &mut impl FnMut(&PushItem) -> Option<Outcome>) -> Answer {
    let results = batch
        .items
        .iter()
        .filter_map(|item| Some((item.op, push(item)?)))
        .collect();
    Answer::Pushed(Ok(PushAnswer {
        results,
        server_time: None,
        epoch: None,
    }))
}

pub fn well(request: Request) -> Answer {
    match request {
        Request::Pull(_) => Answer::Pulled(Ok(PullPage::default())),
        Request::Push(batch) => answered(&batch, &mut |item| Some(accepted(item.base_version + 1))),
        Request::Probe => Answer::Probed(Ok(())),
        Request::Refresh => Answer::Refreshed(Ok(())),
        Request::Resolve(_) => Answer::Resolved(Err("nobody decides here".to_owned())),
    }
}

pub fn accepted(version: i64) -> Outcome {
    Outcome::Accepted(Accepted {
        version,
        change: version,
        ..Accepted::default()
    })
}

pub fn rejected(code: &str) -> Outcome {
    Outcome::Rejected {
        code: code.to_owned(),
        message: "no".to_owned(),
    }
}

/// A version another device wrote, `later_ms` after [`START`].
pub fn version(version: i64, body: Option<&str>, later_ms: i64) -> RemoteVersion {
    RemoteVersion {
        body: body.map(str::to_owned),
        version,
        hlc: Hlc::at(START + later_ms),
        device_id: "tablet".to_owned(),
        device_label: Some("Tablet".to_owned()),
        updated_at: START + later_ms,
        ..RemoteVersion::default()
    }
}

pub fn change(collection: &str, id: &str, version: RemoteVersion) -> RemoteChange {
    RemoteChange {
        collection: collection.to_owned(),
        id: id.to_owned(),
        version,
    }
}
