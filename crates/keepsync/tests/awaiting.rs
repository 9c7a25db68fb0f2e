//! Awaiting what becomes of a write, and rolling it back, on a store: no polling, nothing lost by dropping
//! a future, any number of waiters, also after a restart.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of tests are tests too"
)]

#[path = "support/local.rs"]
mod local;

use keepsync::{
    Backend, Error, Store,
    queue::WriteOutcome,
    remote::{
        Accepted, Capabilities, Fault, Outcome, PullPage, PullRequest, PushAnswer, PushBatch, PushItem, Remote,
        RemoteFuture, Token,
    },
};
use local::{ask, options};
use std::{
    path::Path,
    pin::pin,
    sync::{
        Arc, Mutex,
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

type Say = Box<dyn Fn(&PushItem) -> Option<Outcome> + Send>;

/// Answers each item as it is told to; `None`: the connection breaks.
struct Told {
    say: Mutex<Say>,
    pulls: AtomicUsize,
    pushed: Mutex<Vec<uuid::Uuid>>,
}

impl Told {
    fn new(say: impl Fn(&PushItem) -> Option<Outcome> + Send + 'static) -> Arc<Self> {
        Arc::new(Self {
            say: Mutex::new(Box::new(say)),
            pulls: AtomicUsize::new(0),
            pushed: Mutex::default(),
        })
    }

    fn say(&self, say: impl Fn(&PushItem) -> Option<Outcome> + Send + 'static) {
        *self.say.lock().unwrap() = Box::new(say);
    }
}

impl Remote for Told {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            batches: true,
            after: true,
            pull: true,
        }
    }

    fn push<'a>(&'a self, _: Option<&'a Token>, batch: PushBatch) -> RemoteFuture<'a, Result<PushAnswer, Fault>> {
        self.pushed
            .lock()
            .unwrap()
            .extend(batch.items.iter().map(|item| item.op));
        let say = self.say.lock().unwrap();
        let results: Option<Vec<_>> = batch.items.iter().map(|item| Some((item.op, say(item)?))).collect();
        let answer = results.map(|results| PushAnswer {
            results,
            ..PushAnswer::default()
        });
        Box::pin(async move { answer.ok_or(Fault::Offline) })
    }

    fn pull<'a>(&'a self, _: Option<&'a Token>, _: PullRequest) -> RemoteFuture<'a, Result<PullPage, Fault>> {
        self.pulls.fetch_add(1, SeqCst);
        Box::pin(async { Ok(PullPage::default()) })
    }

    fn probe<'a>(&'a self) -> RemoteFuture<'a, Result<(), Fault>> {
        Box::pin(async { Ok(()) })
    }
}

async fn open(folder: &Path, remote: &Arc<Told>) -> Store {
    let backend = Backend {
        remote: remote.clone(),
        tokens: None,
    };
    let mut options = options(folder);
    options.settings.automatic = false;
    Store::open(options, Some(backend)).await.unwrap()
}

fn accepted(_: &PushItem) -> Option<Outcome> {
    Some(Outcome::Accepted(Accepted {
        version: 1,
        ..Accepted::default()
    }))
}

fn refused(_: &PushItem) -> Option<Outcome> {
    Some(Outcome::Rejected {
        code: "validation".to_owned(),
        message: "no".to_owned(),
    })
}

fn broken(_: &PushItem) -> Option<Outcome> {
    None
}

async fn put(store: &Store, id: &str) -> uuid::Uuid {
    store.put("workout", id, "{}").await.unwrap().op.unwrap()
}

#[tokio::test]
async fn a_thousand_who_wait_are_told_once_it_is_known_and_who_stopped_waiting_lost_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let remote = Told::new(accepted);
    let store = open(folder.path(), &remote).await;
    let op = put(&store, "w").await;
    // Asked once and dropped.
    ask(pin!(store.outcome(op)));
    let waiting: Vec<_> = (0..1_000)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.outcome(op).await })
        })
        .collect();
    tokio::task::yield_now().await;
    within(store.sync()).await.unwrap();
    for told in waiting {
        let told = within(told).await.unwrap().unwrap();
        assert!(matches!(told, WriteOutcome::Accepted { version: 1, .. }), "{told:?}");
    }
    let told = within(store.outcome(op)).await.unwrap();
    assert!(
        matches!(told, WriteOutcome::Accepted { .. }),
        "and whoever asks later: {told:?}"
    );
}

#[tokio::test]
async fn a_refusal_a_discard_and_a_closing_end_the_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let remote = Told::new(refused);
    let store = open(folder.path(), &remote).await;
    let op = put(&store, "w").await;
    let mut waiting = pin!(store.outcome(op));
    ask(waiting.as_mut());
    within(store.sync()).await.unwrap();
    let told = within(waiting).await.unwrap();
    assert!(
        matches!(&told, WriteOutcome::Rejected { code, .. } if code == "validation"),
        "{told:?}"
    );

    let op = put(&store, "v").await;
    let mut waiting = pin!(store.outcome(op));
    ask(waiting.as_mut());
    store.discard_entry(op, false).await.unwrap();
    assert_eq!(within(waiting).await, Ok(WriteOutcome::Discarded));

    let op = put(&store, "u").await;
    let mut waiting = pin!(store.outcome(op));
    ask(waiting.as_mut());
    store.close().await.unwrap();
    assert_eq!(within(waiting).await, Err(Error::Closed));
}

#[tokio::test]
async fn an_outcome_can_be_awaited_by_the_next_start_of_the_app() {
    let folder = tempfile::tempdir().unwrap();
    let remote = Told::new(broken);
    let store = open(folder.path(), &remote).await;
    let op = put(&store, "w").await;
    within(store.sync()).await.unwrap();
    store.close().await.unwrap();
    remote.say(accepted);
    let store = open(folder.path(), &remote).await;
    let mut waiting = pin!(store.outcome(op));
    ask(waiting.as_mut());
    within(store.sync()).await.unwrap();
    assert!(matches!(within(waiting).await, Ok(WriteOutcome::Accepted { .. })));
    assert_eq!(
        *remote.pushed.lock().unwrap(),
        [op, op],
        "the same operation, twice sent"
    );
}

#[tokio::test]
async fn a_rollback_waits_for_the_answer_and_says_what_came() {
    for (say, code) in [
        (accepted as fn(&PushItem) -> Option<Outcome>, "accepted"),
        (refused, "rolled_back"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let remote = Told::new(broken);
        let store = open(folder.path(), &remote).await;
        let op = put(&store, "w").await;
        within(store.sync()).await.unwrap();
        let rolling = tokio::spawn({
            let store = store.clone();
            async move { store.rollback(op, false).await }
        });
        within(store.sync()).await.unwrap();
        assert!(!rolling.is_finished(), "no answer has come");
        remote.say(say);
        within(store.sync()).await.unwrap();
        let outcome = within(rolling).await.unwrap().unwrap();
        assert_eq!(outcome.code(), code);
        assert_eq!(store.get("workout", "w").await.unwrap().is_some(), code == "accepted");
        assert_eq!(store.queue_counts().await.unwrap().total(), 0);
        let again = store.rollback(op, false).await.unwrap();
        assert_eq!(again.code(), code, "of what is over, what came of it");
    }
}

#[tokio::test]
async fn a_rollback_pulls_what_the_server_has() {
    let folder = tempfile::tempdir().unwrap();
    let remote = Told::new(accepted);
    let backend = Backend {
        remote: remote.clone(),
        tokens: None,
    };
    let mut options = options(folder.path());
    // Long enough that nothing else starts a pass.
    options.settings.write_delay_ms = 1_000_000;
    let store = Store::open(options, Some(backend)).await.unwrap();
    within(store.sync()).await.unwrap();
    let before = remote.pulls.load(SeqCst);
    let op = put(&store, "w").await;
    assert_eq!(store.rollback(op, false).await, Ok(WriteOutcome::RolledBack));
    within(async {
        while remote.pulls.load(SeqCst) == before {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(remote.pushed.lock().unwrap().is_empty());
    let unknown = store.rollback(uuid::Uuid::from_u128(1), false).await;
    assert!(matches!(unknown, Err(Error::NotFound { .. })), "{unknown:?}");
}

#[tokio::test]
async fn an_entry_says_what_the_drain_says() {
    let folder = tempfile::tempdir().unwrap();
    let remote = Told::new(broken);
    let store = open(folder.path(), &remote).await;
    let op = put(&store, "w").await;
    assert_eq!(store.entry(op).await.unwrap().why.code(), "ready");
    within(store.sync()).await.unwrap();
    assert_eq!(store.entry(op).await.unwrap().why.code(), "offline");
    assert_eq!(store.entries(i64::MIN, 10).await.unwrap()[0].why.code(), "offline");
    store.close().await.unwrap();
    let local = Store::open(options(folder.path()), None).await.unwrap();
    assert_eq!(local.entry(op).await.unwrap().why.code(), "local_only");
}
