//! A device on a clock that stands still: the real file and the real drain.

use keepsync::{
    Db, OpenOptions, Place,
    collection::{Collection, Collections, Sending},
    conflict::{Policy, Resolvers},
    drain::{Answer, Drain, Event, Instruction, Request, Trigger, carry_out, schedule::Rules},
    env::Env,
    remote::Capabilities,
    settings::Settings,
};
use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// 2025-11-20, 00:53:20 UTC.
pub(crate) const START: i64 = 1_763_600_000_000;
pub(crate) const ACCOUNT: &str = "ada";

/// Instructions of one pass; far more than any script of answers can cause.
const MOST: usize = 20_000;

struct Still(AtomicU64);

impl Env for Still {
    fn wall_ms(&self) -> i64 {
        START
    }
    fn monotonic_ms(&self) -> u64 {
        0
    }
    fn random(&self) -> [u8; 16] {
        let count = self.0.fetch_add(1, Relaxed);
        let mut bytes = [0x5a; 16];
        bytes[..8].copy_from_slice(&count.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        bytes
    }
}

pub(crate) fn collections() -> Collections {
    Collections::new([
        Collection::new("workout", Policy::Ask).index("date"),
        Collection::new("set_log", Policy::ClientWins).child_of("workout", "workout_id"),
        Collection::new("plan", Policy::Ask).sending(Sending::OnComplete),
        Collection::new("plan_set", Policy::ClientWins).child_of("plan", "plan_id"),
        Collection::new("profile", Policy::LastWriteWins),
        Collection::new("counter", Policy::Counter),
        Collection::new("exercise", Policy::ServerWins),
    ])
    .unwrap()
}

pub(crate) fn options(file: Option<PathBuf>) -> OpenOptions {
    OpenOptions {
        place: file.map_or(Place::Memory, Place::File),
        account: ACCOUNT.to_owned(),
        key: None,
        device_id: Some("phone".to_owned()),
        collections: collections(),
        settings: Settings {
            jitter: 0.0,
            ..Settings::default()
        },
        resolvers: Resolvers::default(),
        env: Arc::new(Still(AtomicU64::new(1))),
    }
}

pub(crate) struct Device {
    pub(crate) db: Db,
    options: OpenOptions,
}

impl Device {
    pub(crate) fn in_memory() -> Self {
        let options = options(None);
        let db = Db::open(options.clone()).unwrap();
        Self { db, options }
    }

    /// One pass, by the user's tap, to its end.
    pub(crate) fn sync(&mut self, mut network: impl FnMut(Request) -> Answer) {
        let capabilities = Capabilities {
            batches: true,
            after: true,
            pull: true,
        };
        let rules = Rules::from(&self.options.collections);
        let mut drain = Drain::new(self.options.settings.clone(), rules, capabilities, 0);
        let mut events = VecDeque::from([Event::Wake(Trigger::User)]);
        let mut count = 0;
        while let Some(event) = events.pop_front() {
            for instruction in drain.handle(event, self.db.now(), 0.5) {
                count += 1;
                assert!(count < MOST, "the pass goes round in circles");
                match instruction {
                    Instruction::Step(step) => events.push_back(Event::Stepped(carry_out(&mut self.db, step).0)),
                    Instruction::Request { request, what } => events.push_back(Event::Answered {
                        request,
                        answer: network(what),
                    }),
                    Instruction::Timer(_) | Instruction::Finished(_) | Instruction::Abandon => {}
                }
            }
        }
    }

    /// What a close look finds wrong, in words without bodies.
    pub(crate) fn problems(&self) -> Vec<String> {
        let found = self.db.read(|read| read.examine()).unwrap();
        let words = |problem: keepsync::diagnostics::Problem| format!("{} {:?}", problem.code, problem.id);
        found.problems.into_iter().map(words).collect()
    }
}

/// A folder in memory, where there is one: nothing here is about the disk.
pub(crate) fn folder() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}
