//! What the tests of the file and of the store share: collections, a clock that stands still, child
//! processes, and a look into the write-ahead log.

#![allow(dead_code, reason = "each test binary uses a part of this")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the helpers of tests are tests too"
)]

use keepsync::{
    Key, OpenOptions, Store,
    collection::{Collection, Collections, Direction, Sending},
    conflict::Policy,
    env::Env,
    kv,
};
use std::{
    path::{Path, PathBuf},
    pin::Pin,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    task::{Context, Poll, Waker},
};

pub(crate) const ACCOUNT: &str = "lifter@example.org";

/// 2025-11-20, 02:13:20 UTC.
pub(crate) const START: i64 = 1_763_604_800_000;

/// A clock that moves when it is told to, and bytes that are never the same twice.
pub(crate) struct Clock {
    wall: AtomicI64,
    count: AtomicU64,
}

impl Clock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            wall: AtomicI64::new(START),
            count: AtomicU64::new(1),
        })
    }

    pub(crate) fn advance(&self, ms: i64) {
        self.wall.fetch_add(ms, Relaxed);
    }
}

impl Env for Clock {
    fn wall_ms(&self) -> i64 {
        self.wall.load(Relaxed)
    }

    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.wall.load(Relaxed) - START).unwrap()
    }

    fn random(&self) -> [u8; 16] {
        let count = self.count.fetch_add(1, Relaxed);
        let mut bytes = [0x5a; 16];
        bytes[..8].copy_from_slice(&count.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        bytes
    }
}

/// `workout` is a live session with `set_log` as its children, `plan` with `plan_set` one that goes
/// out when it is done; `exercise` is pulled only; `draft` stays on the device.
pub(crate) fn collections() -> Collections {
    Collections::new([
        Collection::new("workout", Policy::Ask).index("date"),
        Collection::new("set_log", Policy::ClientWins)
            .child_of("workout", "workout_id")
            .index("weight"),
        Collection::new("plan", Policy::Ask).sending(Sending::OnComplete),
        Collection::new("plan_set", Policy::ClientWins).child_of("plan", "plan_id"),
        Collection::new("exercise", Policy::ServerWins).direction(Direction::PullOnly),
        Collection::new("draft", Policy::ClientWins).direction(Direction::Local),
    ])
    .unwrap()
}

/// A store with a device id of its own and a clock that stands still.
pub(crate) fn options(folder: &Path) -> OpenOptions {
    OpenOptions {
        key: key(),
        device_id: Some("device-1".to_owned()),
        env: Clock::new(),
        ..OpenOptions::new(folder, ACCOUNT, collections())
    }
}

/// Bytes of [`key`].
const KEY: [u8; 32] = *b"the key of all files of a test..";

/// With `KEEPSYNC_TEST_KEY` in the environment all files of a test are encrypted, and that of the processes it starts.
pub(crate) fn key() -> Option<Key> {
    std::env::var_os("KEEPSYNC_TEST_KEY").map(|_| Key::new(KEY))
}

/// A look at a file behind the store's back, with its key.
pub(crate) fn raw(path: &Path) -> rusqlite::Connection {
    let conn = rusqlite::Connection::open(path).unwrap();
    if key().is_some() {
        let hex: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
        conn.execute_batch(&format!("PRAGMA key = \"x'{hex}'\"")).unwrap();
    }
    conn
}

/// Bytes of a page. SQLCipher tells them as a text.
pub(crate) fn page_size(conn: &rusqlite::Connection) -> usize {
    let told = conn.query_row("PRAGMA page_size", [], |row| row.get::<_, rusqlite::types::Value>(0));
    match told.unwrap() {
        rusqlite::types::Value::Integer(bytes) => bytes.try_into().unwrap(),
        rusqlite::types::Value::Text(bytes) => bytes.parse().unwrap(),
        other => unreachable!("{other:?}"),
    }
}

/// The file of [`options`].
pub(crate) fn file(folder: &Path) -> PathBuf {
    options(folder).file().unwrap()
}

/// `path` with something after its name: `-wal`, `-shm`.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(suffix);
    name.into()
}

/// Keeps the writer busy, as a slow disk does, until it is let go.
pub(crate) struct Busy {
    go: mpsc::Sender<()>,
    done: tokio::task::JoinHandle<keepsync::Result<()>>,
}

impl Busy {
    pub(crate) async fn new(store: &Store) -> Self {
        let (go, wait) = mpsc::channel::<()>();
        let (at_work, working) = tokio::sync::oneshot::channel();
        let mut at_work = Some(at_work);
        let store = store.clone();
        let done = tokio::spawn(async move {
            store
                .write(move |write| {
                    at_work.take().unwrap().send(()).unwrap();
                    wait.recv().unwrap();
                    kv::set(write, "busy", "was")
                })
                .await
        });
        working.await.unwrap();
        Self { go, done }
    }

    pub(crate) async fn let_go(self) {
        self.go.send(()).unwrap();
        self.done.await.unwrap().unwrap();
    }
}

/// Polls a future once, so that what it asks for is queued; it must not be done already.
pub(crate) fn ask<F: Future>(mut future: Pin<&mut F>) {
    let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Pending), "it was answered at once");
}

/// The frames of the write-ahead log that belong to its present life: one per page written, true for
/// those that say "commit".
pub(crate) fn frames_in_log(file: &Path) -> Vec<bool> {
    let log = std::fs::read(beside(file, "-wal")).unwrap();
    if log.len() < 32 {
        return Vec::new();
    }
    let word = |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let page = word(&log, 8) as usize;
    let salt = &log[16..24];
    log[32..]
        .chunks_exact(24 + page)
        .take_while(|frame| &frame[8..16] == salt)
        .map(|frame| word(frame, 4) != 0)
        .collect()
}

/// How many transactions the write-ahead log holds. One with FULL is one fsync.
pub(crate) fn commits_in_log(file: &Path) -> usize {
    frames_in_log(file).into_iter().filter(|commit| *commit).count()
}

/// This test binary again, for one ignored test that plays another process.
pub(crate) fn child(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    command
}

/// The folder a child process works in; set by its parent.
pub(crate) fn child_folder() -> PathBuf {
    PathBuf::from(std::env::var_os("KEEPSYNC_TEST_FOLDER").expect("run by another test, with its folder"))
}

/// Runs a child to its end, in `folder`, and gives what it printed as `name=value` lines.
pub(crate) fn run_child(mut command: Command, folder: &Path) -> Vec<(String, String)> {
    let output = command.env("KEEPSYNC_TEST_FOLDER", folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}\n{said}\n{complaint}");
    assert!(said.contains("1 passed"), "the child ran no test: {said}");
    said.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
