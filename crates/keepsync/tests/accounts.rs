//! Several accounts on one installation: what is whose, what would be lost, and what is gone for good.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of tests are tests too"
)]

#[path = "support/local.rs"]
mod local;

use keepsync::{
    Backend, Error, OpenOptions, Store,
    accounts::{Accounts, Known, Losses},
    remote::{
        Accepted, Capabilities, Fault, Outcome, PullPage, PullRequest, PushAnswer, PushBatch, Remote, RemoteChange,
        RemoteFuture, RemoteVersion, Token,
    },
};
use local::{Clock, collections};
use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};
use tempfile::TempDir;
use tokio::sync::{Notify, Semaphore};

/// Far more than anything here takes; it only keeps a broken rule from hanging the run.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("it hangs")
}

fn options(folder: &Path) -> OpenOptions {
    OpenOptions {
        env: Clock::new(),
        key: local::key(),
        ..OpenOptions::new(folder, "", collections())
    }
}

fn local_accounts() -> (TempDir, Accounts) {
    let folder = tempfile::tempdir().unwrap();
    let accounts = Accounts::new(options(folder.path()), |_| None).unwrap();
    (folder, accounts)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn told(known: &[Known]) -> Vec<(&str, u64, bool)> {
    known
        .iter()
        .map(|known| (known.account.as_deref().unwrap(), known.unsent.unwrap(), known.is_open))
        .collect()
}

#[tokio::test]
async fn what_is_unsent_waits_for_its_own_account() {
    let (_folder, accounts) = local_accounts();
    let ann = accounts.switch("ann").await.unwrap();
    ann.put("workout", "w", r#"{"whose":"ann"}"#).await.unwrap();
    let bob = accounts.switch("bob").await.unwrap();
    assert_eq!(
        ann.put("workout", "x", "{}").await,
        Err(Error::Closed),
        "the one before is closed"
    );
    assert_eq!(bob.get("workout", "w").await, Ok(None));
    bob.put("workout", "b1", "{}").await.unwrap();
    bob.put("workout", "b2", "{}").await.unwrap();
    assert_eq!(
        told(&accounts.list().await.unwrap()),
        [("ann", 1, false), ("bob", 2, true)]
    );
    assert_eq!(accounts.sign_out("bob").await, Ok(2));
    assert_eq!(bob.get("workout", "b1").await, Err(Error::Closed));
    let ann = accounts.switch("ann").await.unwrap();
    assert_eq!(ann.queue_counts().await.unwrap().total(), 1);
    assert!(ann.get("workout", "w").await.unwrap().is_some());
    let device = ann.device_id().to_owned();
    let again = accounts.switch("ann").await.unwrap();
    again.put("workout", "y", "{}").await.unwrap();
    assert!(
        ann.get("workout", "y").await.unwrap().is_some(),
        "to itself nothing is closed"
    );
    assert_eq!(accounts.switch("bob").await.unwrap().device_id(), device);
    assert_eq!(accounts.sign_out("nobody").await, Ok(0));
}

#[tokio::test]
async fn a_list_opens_nothing_for_writing_and_tells_of_files_it_cannot_read() {
    let (folder, accounts) = local_accounts();
    accounts
        .switch("ann")
        .await
        .unwrap()
        .put("workout", "w", "{}")
        .await
        .unwrap();
    accounts.sign_out("ann").await.unwrap();
    let file = accounts.list().await.unwrap()[0].file.clone();
    let before = std::fs::read(&file).unwrap();
    std::fs::write(
        folder.path().join("bad.keepsync"),
        "not a database, whatever it is called",
    )
    .unwrap();
    let known = accounts.list().await.unwrap();
    assert_eq!(told(&known[1..]), [("ann", 1, false)]);
    assert_eq!((known[0].account.as_ref(), known[0].unsent), (None, None));
    let problem = known[0].problem.as_ref();
    assert!(
        match local::key() {
            None => matches!(problem, Some(Error::Damaged { .. })),
            Some(_) => problem == Some(&Error::WrongKey),
        },
        "{problem:?}"
    );
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn losses_name_all_that_is_only_here() {
    let (folder, accounts) = local_accounts();
    assert!(accounts.losses("ann").await.unwrap().is_nothing());
    let ann = accounts.switch("ann").await.unwrap();
    assert!(accounts.losses("ann").await.unwrap().is_nothing());
    ann.put("workout", "w", "{}").await.unwrap();
    ann.put("draft", "d", "{}").await.unwrap();
    ann.kv_set("theme", "dark").await.unwrap();
    ann.start_session("workout", "set_log", "s", "{}").await.unwrap();
    let damaged = accounts.list().await.unwrap()[0].file.to_string_lossy().into_owned() + ".damaged-1";
    std::fs::write(damaged, "x").unwrap();
    let losses = accounts.losses("ann").await.unwrap();
    let Losses {
        unsent,
        conflicts,
        sessions,
        local_records,
        pairs,
        damaged_files,
        ..
    } = losses;
    assert_eq!(
        (unsent, conflicts, sessions, local_records, pairs, damaged_files),
        (2, 0, 1, 1, 1, 1)
    );
    drop(folder);
}

#[tokio::test]
async fn wiping_needs_a_yes_to_what_stands_now_and_leaves_nothing_but_the_installation() {
    let (folder, accounts) = local_accounts();
    let ann = accounts.switch("ann").await.unwrap();
    let device = ann.device_id().to_owned();
    ann.put("workout", "w", r#"{"n":1}"#).await.unwrap();
    let old = accounts.losses("ann").await.unwrap();
    // Folded into the same entry: the counts are the same, what would be lost is not.
    ann.put("workout", "w", r#"{"n":2}"#).await.unwrap();
    assert_eq!(accounts.wipe("ann", &old).await, Err(Error::WouldLose));
    assert_eq!(accounts.wipe("ann", &Losses::default()).await, Err(Error::WouldLose));
    assert!(
        ann.get("workout", "w").await.unwrap().is_some(),
        "a refusal closes nothing"
    );
    let bob = accounts.open("bob").await.unwrap();
    bob.put("workout", "b", "{}").await.unwrap();
    let file = accounts.list().await.unwrap()[0].file.clone();
    for suffix in [
        ".suspect",
        ".damaged-1",
        ".damaged-1-wal",
        ".damaged-2",
        ".salvage",
        ".salvage-wal",
    ] {
        std::fs::write(local::beside(&file, suffix), "x").unwrap();
    }
    let yes = accounts.losses("ann").await.unwrap();
    accounts.wipe("ann", &yes).await.unwrap();
    assert_eq!(ann.get("workout", "w").await, Err(Error::Closed));
    assert_eq!(told(&accounts.list().await.unwrap()), [("bob", 1, true)]);
    let of_ann = file.file_name().unwrap().to_str().unwrap();
    let left = names(folder.path());
    assert!(!left.iter().any(|name| name.starts_with(of_ann)), "{left:?}");
    assert!(left.contains(&"device-id".to_owned()), "{left:?}");
    let fresh = accounts.switch("ann").await.unwrap();
    assert_eq!(fresh.device_id(), device, "the installation stays what it is");
    assert_eq!(fresh.get("workout", "w").await, Ok(None));
    assert_eq!(fresh.queue_counts().await.unwrap().total(), 0);
}

#[tokio::test]
async fn a_wipe_that_was_killed_after_the_point_of_no_return_is_finished_by_the_next_start() {
    for by_opening in [true, false] {
        let (folder, accounts) = local_accounts();
        accounts
            .switch("ann")
            .await
            .unwrap()
            .put("workout", "w", "{}")
            .await
            .unwrap();
        accounts.sign_out("ann").await.unwrap();
        let file = accounts.list().await.unwrap()[0].file.clone();
        // As a kill leaves it: renamed, and its log still there.
        std::fs::rename(&file, local::beside(&file, ".wiped")).unwrap();
        std::fs::write(local::beside(&file, "-wal"), "of the wiped one").unwrap();
        if by_opening {
            let store = accounts.open("ann").await.unwrap();
            assert_eq!(store.get("workout", "w").await, Ok(None));
        } else {
            Accounts::new(options(folder.path()), |_| None).unwrap();
        }
        assert!(!local::beside(&file, ".wiped").exists());
        assert!(by_opening || !local::beside(&file, "-wal").exists());
    }
}

/// A backend that holds every request until it is let go, and then answers it.
struct Holding {
    asked: Notify,
    go: Semaphore,
    seen: Mutex<Vec<String>>,
}

impl Holding {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            asked: Notify::new(),
            go: Semaphore::new(0),
            seen: Mutex::default(),
        })
    }

    async fn hold(&self, account: String) {
        self.seen.lock().unwrap().push(account);
        self.asked.notify_one();
        self.go.acquire().await.unwrap().forget();
    }
}

struct Shared(Arc<Holding>);

impl Remote for Shared {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            batches: true,
            after: true,
            pull: true,
        }
    }

    fn push<'a>(&'a self, _: Option<&'a Token>, batch: PushBatch) -> RemoteFuture<'a, Result<PushAnswer, Fault>> {
        Box::pin(async move {
            self.0.hold(batch.account).await;
            let accepted = |op| {
                (
                    op,
                    Outcome::Accepted(Accepted {
                        version: 1,
                        ..Accepted::default()
                    }),
                )
            };
            Ok(PushAnswer {
                results: batch.items.iter().map(|item| accepted(item.op)).collect(),
                ..PushAnswer::default()
            })
        })
    }

    fn pull<'a>(&'a self, _: Option<&'a Token>, request: PullRequest) -> RemoteFuture<'a, Result<PullPage, Fault>> {
        Box::pin(async move {
            self.0.hold(request.account).await;
            Ok(PullPage {
                changes: vec![RemoteChange {
                    collection: "workout".to_owned(),
                    id: "pulled".to_owned(),
                    version: RemoteVersion {
                        body: Some("{}".to_owned()),
                        version: 1,
                        ..RemoteVersion::default()
                    },
                }],
                ..PullPage::default()
            })
        })
    }

    fn probe<'a>(&'a self) -> RemoteFuture<'a, Result<(), Fault>> {
        Box::pin(async { Ok(()) })
    }
}

async fn is_untouched(store: &Store, unsent: u64) {
    assert_eq!(store.get("workout", "pulled").await, Ok(None));
    assert_eq!(store.queue_counts().await.unwrap().total(), unsent);
}

#[tokio::test]
async fn an_answer_that_arrives_after_the_switch_is_thrown_away() {
    let folder = tempfile::tempdir().unwrap();
    let holding = Holding::new();
    let remote = holding.clone();
    let with_backend = Accounts::new(options(folder.path()), move |account| {
        (account == "ann").then(|| Backend {
            remote: Arc::new(Shared(remote.clone())),
            tokens: None,
        })
    })
    .unwrap();
    // The pull is held first, then, in another round, the push.
    for held in 1..=2 {
        let ann = with_backend.switch("ann").await.unwrap();
        ann.put("workout", "w", "{}").await.unwrap();
        within(holding.asked.notified()).await;
        if held == 2 {
            holding.go.add_permits(1);
            within(holding.asked.notified()).await;
        }
        let bob = with_backend.switch("bob").await.unwrap();
        holding.go.add_permits(10);
        tokio::task::yield_now().await;
        is_untouched(&bob, 0).await;
        with_backend.sign_out("bob").await.unwrap();
        // What was let go is used up by nobody.
        while holding.go.try_acquire().is_ok_and(|permit| {
            permit.forget();
            true
        }) {}
        let alone = Accounts::new(options(folder.path()), |_| None).unwrap();
        let ann = alone.switch("ann").await.unwrap();
        if held == 1 {
            is_untouched(&ann, 1).await;
        } else {
            assert_eq!(ann.queue_counts().await.unwrap().total(), 1, "its answer came too late");
        }
        alone.sign_out("ann").await.unwrap();
    }
    assert!(holding.seen.lock().unwrap().iter().all(|account| account == "ann"));
}
