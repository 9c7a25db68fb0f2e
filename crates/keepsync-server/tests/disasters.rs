//! Disasters that users of a workout app reported, with a real device against the real server.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use keepsync::{
    Backend, OpenOptions, Store,
    accounts::Accounts,
    collection::{Collection, Collections},
    conflict::Policy,
    drain::Status,
    queue::WriteOutcome,
    record::Mutation,
    remote::{
        RemoteFuture, Token, TokenFault, TokenProvider,
        http::{HttpOptions, HttpRemote},
    },
    settings::Settings,
};
use keepsync_server::{Config, access_token};
use rusqlite::Connection;
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use support::{Running, now_ms};

/// The app's sign-in, which may have ended.
#[derive(Clone)]
struct SignIn {
    data: PathBuf,
    signed_in: Arc<AtomicBool>,
}

impl TokenProvider for SignIn {
    fn token<'a>(
        &'a self,
        account: &'a str,
        _rejected: Option<&'a Token>,
    ) -> RemoteFuture<'a, Result<Option<Token>, TokenFault>> {
        Box::pin(async move {
            if !self.signed_in.load(Ordering::SeqCst) {
                return Err(TokenFault::SignInNeeded);
            }
            let token = access_token(&self.data, account, 600, now_ms()).unwrap();
            Ok(Some(Token::new(token, Some(account.to_owned()))))
        })
    }
}

fn collections() -> Collections {
    Collections::new([
        Collection::new("workout", Policy::Ask).priority(10),
        Collection::new("set_log", Policy::ClientWins)
            .child_of("workout", "workout_id")
            .priority(10),
    ])
    .unwrap()
}

/// Only by hand, so that requests can be counted.
fn options(folder: &Path) -> OpenOptions {
    OpenOptions {
        settings: Settings {
            automatic: false,
            ..Settings::default()
        },
        ..OpenOptions::new(folder, "", collections())
    }
}

fn backend(running: &Running, sign_in: &SignIn) -> Backend {
    Backend {
        remote: Arc::new(HttpRemote::new(HttpOptions::new(running.url(""))).unwrap()),
        tokens: Some(Arc::new(sign_in.clone())),
    }
}

/// What the server has, in the order in which it took it: collection, id, version.
fn on_the_server(data: &Path) -> Vec<(String, String, i64)> {
    let conn = Connection::open(data.join("server.db")).unwrap();
    let mut statement = conn
        .prepare("SELECT collection, id, version FROM record ORDER BY change")
        .unwrap();
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap();
    rows.collect::<rusqlite::Result<_>>().unwrap()
}

fn put(collection: &str, id: &str, body: &str) -> Mutation {
    Mutation::Put {
        collection: collection.to_owned(),
        id: id.to_owned(),
        body: body.to_owned(),
    }
}

async fn log_workouts(store: &Store, workouts: usize, sets: usize) {
    let mut writes = Vec::new();
    for w in 0..workouts {
        writes.push(put("workout", &format!("w{w}"), r#"{"name":"Legs"}"#));
        for s in 0..sets {
            let body = format!(r#"{{"workout_id":"w{w}","reps":{s}}}"#);
            writes.push(put("set_log", &format!("w{w}s{s}"), &body));
        }
    }
    store.write_all(writes).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pending_workouts_survive_a_session_error_and_a_sign_out_and_are_sent_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let running = Running::start(Config::new(&data)).await;
    let sign_in = SignIn {
        data: data.clone(),
        signed_in: Arc::new(AtomicBool::new(false)),
    };
    let url = Arc::new(running.url(""));
    let provider = sign_in.clone();
    let accounts = Accounts::new(options(&folder.path().join("phone")), move |_| {
        Some(Backend {
            remote: Arc::new(HttpRemote::new(HttpOptions::new(url.as_str())).unwrap()),
            tokens: Some(Arc::new(provider.clone())),
        })
    })
    .unwrap();
    let store = accounts.switch("ann").await.unwrap();
    log_workouts(&store, 12, 5).await;
    let report = store.sync().await.unwrap();
    assert!(report.push.failed(), "{report:?}");
    assert_eq!(store.status().await.unwrap(), Status::NeedsSignIn);
    let entry = store.entries(i64::MIN, 1).await.unwrap().remove(0);
    assert_eq!((entry.why.code(), entry.attempts), ("needs_sign_in", 0));
    assert_eq!(accounts.sign_out("ann").await, Ok(72));
    // Somebody else in between.
    accounts.switch("bob").await.unwrap();
    assert_eq!(accounts.sign_out("bob").await, Ok(0));
    let store = accounts.switch("ann").await.unwrap();
    assert_eq!(store.queue_counts().await.unwrap().total(), 72, "all there");
    assert!(store.sync().await.unwrap().push.failed());
    assert_eq!(on_the_server(&data), [], "nothing goes without a sign-in");
    sign_in.signed_in.store(true, Ordering::SeqCst);
    store.signed_in();
    let report = store.sync().await.unwrap();
    assert_eq!((report.accepted, report.parked), (72, 0), "{report:?}");
    let there = on_the_server(&data);
    assert_eq!(there.len(), 72);
    assert!(there.iter().all(|(_, _, version)| *version == 1), "sent once");
    assert_eq!(store.queue_counts().await.unwrap().total(), 0);
    store.close().await.unwrap();
    running.stop().await;
}

const CHILDREN: usize = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_parent_parks_its_300_children_behind_it_and_one_edit_frees_them_all_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let schemas = folder.path().join("schemas");
    std::fs::create_dir(&schemas).unwrap();
    std::fs::write(schemas.join("workout.json"), r#"{"required":["name"]}"#).unwrap();
    let mut config = Config::new(&data);
    config.schemas = Some(schemas);
    let running = Running::start(config).await;
    let sign_in = SignIn {
        data: data.clone(),
        signed_in: Arc::new(AtomicBool::new(true)),
    };
    let phone = OpenOptions {
        account: "ann".to_owned(),
        ..options(&folder.path().join("phone"))
    };
    let store = Store::open(phone.clone(), Some(backend(&running, &sign_in)))
        .await
        .unwrap();
    let parent = store.put("workout", "w", r#"{"no":"name"}"#).await.unwrap().op.unwrap();
    let set = |n: usize| put("set_log", &format!("s{n:03}"), r#"{"workout_id":"w"}"#);
    store.write_all((0..CHILDREN).map(set).collect()).await.unwrap();
    let report = store.sync().await.unwrap();
    assert_eq!(
        (report.accepted, report.parked, report.conflicts),
        (0, 1, 0),
        "{report:?}"
    );
    // Nobody tries what cannot go, however often.
    let again = store.sync().await.unwrap();
    assert_eq!(
        (again.requests, again.accepted, again.parked),
        (1, 0, 0),
        "only the pull: {again:?}"
    );
    assert_eq!(store.status().await.unwrap(), Status::NeedsAttention { count: 1 });
    let refused = store.outcome(parent).await.unwrap();
    assert!(
        matches!(&refused, WriteOutcome::Rejected { code, .. } if code == "validation"),
        "{refused:?}"
    );

    // After a restart too: every child says whom it waits for, and why.
    store.close().await.unwrap();
    let store = Store::open(phone, Some(backend(&running, &sign_in))).await.unwrap();
    let entries = store.entries(i64::MIN, 1_000).await.unwrap();
    assert_eq!(entries.len(), 1 + CHILDREN);
    for child in &entries[1..] {
        assert_eq!((child.why.code(), child.why.behind()), ("behind_parked", Some(parent)));
        assert!(child.why.message().contains("(validation)"), "{}", child.why.message());
        assert_eq!((child.attempts, child.exhausted), (0, false), "it cost them nothing");
    }

    let edited = store.edit_entry(parent, r#"{"name":"Legs"}"#).await.unwrap();
    let report = store.sync().await.unwrap();
    assert_eq!((report.accepted, report.parked), (1 + CHILDREN as u64, 0), "{report:?}");
    assert!(report.requests <= 1 + 2, "a pull and two batches: {report:?}");
    assert_eq!(
        store.outcome(parent).await.unwrap(),
        WriteOutcome::Superseded { by: edited }
    );
    assert!(matches!(
        store.outcome(edited).await.unwrap(),
        WriteOutcome::Accepted { version: 1, .. }
    ));
    let expected = std::iter::once(("workout".to_owned(), "w".to_owned(), 1))
        .chain((0..CHILDREN).map(|n| ("set_log".to_owned(), format!("s{n:03}"), 1)));
    assert!(on_the_server(&data).into_iter().eq(expected), "in order, once");
    assert_eq!(store.status().await.unwrap(), Status::Idle);
    store.close().await.unwrap();
    running.stop().await;
}
