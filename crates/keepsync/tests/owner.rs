//! Two processes with one file: one of them drains, and each sees what the other wrote. The other process is
//! played here by its lock and by a second writer of the file; real ones are in `keepsync-cli`'s
//! `two_processes`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the helpers of tests are tests too"
)]

#[path = "support/local.rs"]
mod local;

use keepsync::{
    Backend, Db, OpenOptions, Store,
    accounts::Accounts,
    drain::{HalfResult, Status},
    env::SystemEnv,
    record,
    remote::{
        Accepted, Capabilities, Fault, Outcome, PullPage, PullRequest, PushAnswer, PushBatch, Remote, RemoteFuture,
        Token,
    },
    settings::Settings,
    store::Watch,
};
use local::{Clock, beside, file, options};
use std::{
    fs::File,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

/// Far more than anything here takes; it only keeps a broken rule from hanging the run.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("it hangs")
}

/// Takes everything, and counts the requests.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Remote for Counting {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            batches: true,
            after: true,
            pull: false,
        }
    }
    fn push<'a>(&'a self, _: Option<&'a Token>, batch: PushBatch) -> RemoteFuture<'a, Result<PushAnswer, Fault>> {
        self.0.fetch_add(1, SeqCst);
        let accepted = |version| {
            Outcome::Accepted(Accepted {
                version,
                change: 1,
                server_id: None,
                body: None,
                updated_at: None,
            })
        };
        let results = batch
            .items
            .iter()
            .map(|item| (item.op, accepted(item.base_version + 1)));
        let answer = PushAnswer {
            results: results.collect(),
            server_time: None,
            epoch: None,
        };
        Box::pin(async move { Ok(answer) })
    }
    fn pull<'a>(&'a self, _: Option<&'a Token>, _: PullRequest) -> RemoteFuture<'a, Result<PullPage, Fault>> {
        Box::pin(async { Err(Fault::Offline) })
    }
    fn probe<'a>(&'a self) -> RemoteFuture<'a, Result<(), Fault>> {
        Box::pin(async { Ok(()) })
    }
}

/// On the system's clocks: here time has to go by.
fn real(folder: &Path) -> OpenOptions {
    OpenOptions {
        env: Arc::new(SystemEnv::default()),
        ..options(folder)
    }
}

fn by_hand(folder: &Path) -> OpenOptions {
    OpenOptions {
        settings: Settings {
            automatic: false,
            ..Settings::default()
        },
        ..real(folder)
    }
}

async fn open(options: OpenOptions, remote: &Arc<Counting>) -> Store {
    let backend = Backend {
        remote: remote.clone(),
        tokens: None,
    };
    Store::open(options, Some(backend)).await.unwrap()
}

/// The lock of the file, as another process would take it.
fn lock_file(folder: &Path) -> File {
    let path = beside(&file(folder), ".drain");
    let mut open = File::options();
    open.write(true).create(true).truncate(false).open(path).unwrap()
}

async fn until(mut holds: impl AsyncFnMut() -> bool) {
    within(async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

async fn unsent(store: &Store) -> u64 {
    store.queue_counts().await.unwrap().total()
}

#[tokio::test]
async fn while_another_process_drains_nothing_is_sent_and_the_status_and_the_entries_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let other = lock_file(folder.path());
    other.lock().unwrap();
    let remote = Arc::new(Counting::default());
    let store = open(real(folder.path()), &remote).await;
    store.put("workout", "w", "{}").await.unwrap();
    until(async || store.status().await.unwrap() == Status::Elsewhere).await;
    let entries = store.entries(i64::MIN, 10).await.unwrap();
    assert_eq!(entries[0].why.code(), "elsewhere");
    let report = within(store.sync()).await.unwrap();
    assert_eq!(
        (report.pull, report.push),
        (HalfResult::Failed("elsewhere"), HalfResult::Failed("elsewhere"))
    );
    assert_eq!((remote.0.load(SeqCst), unsent(&store).await), (0, 1));
    // Who waits takes over when the owner goes, by itself.
    drop(other);
    until(async || unsent(&store).await == 0).await;
    until(async || store.status().await.unwrap() == Status::Idle).await;
}

#[tokio::test]
async fn a_sync_that_was_asked_for_waits_for_its_turn() {
    let folder = tempfile::tempdir().unwrap();
    let other = lock_file(folder.path());
    other.lock().unwrap();
    let remote = Arc::new(Counting::default());
    let store = open(by_hand(folder.path()), &remote).await;
    store.put("workout", "w", "{}").await.unwrap();
    let syncing = tokio::spawn({
        let store = store.clone();
        async move { store.sync().await }
    });
    until(async || store.status().await.unwrap() == Status::Elsewhere).await;
    drop(other);
    let report = within(syncing).await.unwrap().unwrap();
    assert_eq!((report.accepted, report.push), (1, HalfResult::Worked), "{report:?}");
}

#[tokio::test]
async fn what_was_asked_for_and_answered_is_not_made_up_for_where_nothing_starts_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let other = lock_file(folder.path());
    other.lock().unwrap();
    let remote = Arc::new(Counting::default());
    let store = open(by_hand(folder.path()), &remote).await;
    store.put("workout", "w", "{}").await.unwrap();
    let report = within(store.background(20)).await.unwrap();
    assert_eq!(report.push, HalfResult::Failed("elsewhere"));
    assert_eq!(store.status().await.unwrap(), Status::Elsewhere);
    drop(other);
    let report = within(store.sync()).await.unwrap();
    assert_eq!(
        (report.accepted, remote.0.load(SeqCst)),
        (1, 1),
        "the one that was asked for"
    );
    assert_eq!(store.status().await.unwrap(), Status::Idle);
}

#[tokio::test]
async fn the_owner_keeps_the_drain_while_it_is_active_and_lets_go_of_it_in_the_background() {
    let folder = tempfile::tempdir().unwrap();
    let other = lock_file(folder.path());
    let remote = Arc::new(Counting::default());
    let store = open(real(folder.path()), &remote).await;
    store.put("workout", "w", "{}").await.unwrap();
    until(async || unsent(&store).await == 0).await;
    assert!(other.try_lock().is_err(), "between two passes it is the owner still");
    store.foreground(false);
    until(async || other.try_lock().is_ok()).await;
    // The other is done: in the background a pass is begun by asking.
    other.unlock().unwrap();
    store.put("workout", "w2", "{}").await.unwrap();
    until(async || unsent(&store).await == 0).await;
    until(async || other.try_lock().is_ok()).await;
}

#[tokio::test]
async fn a_store_that_drains_when_it_is_told_is_the_owner_only_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let other = lock_file(folder.path());
    let store = open(by_hand(folder.path()), &Arc::default()).await;
    store.put("workout", "w", "{}").await.unwrap();
    assert_eq!(within(store.sync()).await.unwrap().accepted, 1);
    until(async || other.try_lock().is_ok()).await;
}

#[tokio::test]
async fn what_another_process_wrote_is_told_and_sent_by_the_owner() {
    let folder = tempfile::tempdir().unwrap();
    let remote = Arc::new(Counting::default());
    let store = open(real(folder.path()), &remote).await;
    let mut shown = store.subscribe(Watch::record("workout", "w")).unwrap();
    assert_eq!(within(shown.next()).await.unwrap(), None);
    let mut extension = Db::open(real(folder.path())).unwrap();
    extension
        .write(|write| record::put(write, "workout", "w", "{}"))
        .unwrap();
    store.look();
    assert!(within(shown.next()).await.unwrap().is_some());
    until(async || unsent(&store).await == 0).await;
    assert_eq!(remote.0.load(SeqCst), 1);
    // It is known by now that there are others: the next is found without being told.
    extension
        .write(|write| record::put(write, "workout", "w2", "{}"))
        .unwrap();
    until(async || unsent(&store).await == 0).await;
}

#[test]
fn a_write_after_another_process_wrote_has_the_later_clock() {
    let folder = tempfile::tempdir().unwrap();
    let (here, ahead) = (Clock::new(), Clock::new());
    let with = |env: &Arc<Clock>| OpenOptions {
        env: env.clone(),
        ..options(folder.path())
    };
    let mut app = Db::open(with(&here)).unwrap();
    app.write(|write| record::put(write, "workout", "w0", "{}")).unwrap();
    let mut extension = Db::open(with(&ahead)).unwrap();
    ahead.advance(3_600_000);
    extension
        .write(|write| record::put(write, "workout", "w1", "{}"))
        .unwrap();
    let (_, changes) = app.write(|write| record::put(write, "workout", "w2", "{}")).unwrap();
    assert!(changes.elsewhere);
    let (_, changes) = app.write(|write| record::put(write, "workout", "w3", "{}")).unwrap();
    assert!(!changes.elsewhere, "it is told once");
    let conn = rusqlite::Connection::open(file(folder.path())).unwrap();
    let mut clocks = conn.prepare("SELECT hlc FROM entry ORDER BY seq").unwrap();
    let clocks: Vec<i64> = clocks
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(clocks.is_sorted_by(|a, b| a < b), "{clocks:?}");
}

#[tokio::test]
async fn a_pause_that_the_backend_asked_the_other_process_for_holds_here_too() {
    let folder = tempfile::tempdir().unwrap();
    let remote = Arc::new(Counting::default());
    let store = open(by_hand(folder.path()), &remote).await;
    store.put("workout", "w", "{}").await.unwrap();
    let conn = rusqlite::Connection::open(file(folder.path())).unwrap();
    let a_day = 24 * 3_600_000_i64;
    conn.execute("INSERT INTO meta (key, value) VALUES ('throttled_until', ?1)", [a_day])
        .unwrap();
    let report = within(store.sync()).await.unwrap();
    assert_eq!(report.push, HalfResult::Failed("throttled"), "{report:?}");
    assert_eq!(remote.0.load(SeqCst), 0);
}

#[tokio::test]
async fn a_store_opened_again_drains_although_the_old_one_is_still_at_it() {
    let folder = tempfile::tempdir().unwrap();
    let remote = Arc::new(Counting::default());
    for n in 0..20 {
        let store = open(real(folder.path()), &remote).await;
        store.put("workout", &format!("w{n}"), "{}").await.unwrap();
        // As a reload does it: dropped, and opened again at once.
        drop(store);
    }
    let store = open(real(folder.path()), &remote).await;
    until(async || unsent(&store).await == 0).await;
}

#[tokio::test]
async fn wiping_an_account_leaves_no_lock_behind() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = Accounts::new(real(folder.path()), |_| {
        Some(Backend {
            remote: Arc::new(Counting::default()),
            tokens: None,
        })
    })
    .unwrap();
    let store = accounts.open("ann").await.unwrap();
    store.sync().await.unwrap();
    let lock = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        path.extension().is_some_and(|extension| extension == "drain")
    };
    assert_eq!(
        std::fs::read_dir(folder.path())
            .unwrap()
            .map(lock)
            .filter(|is| *is)
            .count(),
        1
    );
    let losses = accounts.losses("ann").await.unwrap();
    accounts.wipe("ann", &losses).await.unwrap();
    assert_eq!(
        std::fs::read_dir(folder.path())
            .unwrap()
            .map(lock)
            .filter(|is| *is)
            .count(),
        0
    );
}
