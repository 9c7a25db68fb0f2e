//! A real device's drain against a real server: how many requests it takes.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use keepsync::{
    Backend, OpenOptions, Place, Store,
    collection::{Collection, Collections},
    conflict::Policy,
    drain::{HalfResult, Report},
    queue::EntryState,
    remote::{
        RemoteFuture, Token, TokenFault, TokenProvider,
        http::{HttpOptions, HttpRemote},
    },
    settings::Settings,
};
use keepsync_server::Config;
use std::{path::Path, sync::Arc};
use support::{Running, now_ms};

struct Signed(String);

impl TokenProvider for Signed {
    fn token<'a>(
        &'a self,
        _account: &'a str,
        _rejected: Option<&'a Token>,
    ) -> RemoteFuture<'a, Result<Option<Token>, TokenFault>> {
        let token = Token::new(self.0.clone(), None);
        Box::pin(async move { Ok(Some(token)) })
    }
}

/// A server that takes sets with at least one repetition, and nothing less.
async fn serve(folder: &Path) -> Running {
    let schemas = folder.join("schemas");
    std::fs::create_dir_all(&schemas).unwrap();
    let schema = r#"{"type":"object","properties":{"reps":{"minimum":1}}}"#;
    std::fs::write(schemas.join("set_log.json"), schema).unwrap();
    let mut config = Config::new(folder.join("data"));
    config.schemas = Some(schemas);
    Running::start(config).await
}

async fn device(server: &Running, folder: &Path, account: &str) -> Store {
    let collections = Collections::new([
        Collection::new("workout", Policy::Ask),
        Collection::new("set_log", Policy::ClientWins).child_of("workout", "workout_id"),
    ])
    .unwrap();
    let mut options = OpenOptions::new("", account, collections);
    options.place = Place::Memory;
    options.settings = Settings {
        // Every request of this test was asked for.
        automatic: false,
        ..Settings::default()
    };
    let token = keepsync_server::access_token(&folder.join("data"), account, 600, now_ms()).unwrap();
    let backend = Backend {
        remote: Arc::new(HttpRemote::new(HttpOptions::new(server.url(""))).unwrap()),
        tokens: Some(Arc::new(Signed(token))),
    };
    Store::open(options, Some(backend)).await.unwrap()
}

async fn log(store: &Store, workout: &str, sets: usize) {
    store.start_session("workout", "set_log", workout, "{}").await.unwrap();
    for n in 0..sets {
        store
            .log_set("workout", workout, &format!("squat/{n}"), r#"{"reps":5}"#)
            .await
            .unwrap();
    }
    store.complete_session("workout", workout, "{}").await.unwrap();
}

/// A thousand entries: ten workouts of ninety-eight sets.
async fn thousand(store: &Store) -> Report {
    for n in 0..10 {
        log(store, &format!("w{n}"), 98).await;
    }
    let report = store.sync().await.unwrap();
    assert_eq!(
        (report.accepted, report.push),
        (1_000, HalfResult::Worked),
        "{report:?}"
    );
    report
}

async fn sync(store: &Store) -> Report {
    let report = store.sync().await.unwrap();
    assert_eq!(
        (report.pull, report.push),
        (HalfResult::Worked, HalfResult::Worked),
        "{report:?}"
    );
    report
}

#[tokio::test]
async fn a_parked_lane_costs_the_others_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path()).await;
    let without = device(&server, folder.path(), "without").await;
    sync(&without).await;
    let expected = thousand(&without).await;
    // One pull, and five batches of two hundred.
    assert_eq!(expected.requests, 6, "{expected:?}");

    let with = device(&server, folder.path(), "with").await;
    with.start_session("workout", "set_log", "bad", "{}").await.unwrap();
    with.log_set("workout", "bad", "squat/1", r#"{"reps":0}"#)
        .await
        .unwrap();
    with.complete_session("workout", "bad", "{}").await.unwrap();
    let report = with.sync().await.unwrap();
    assert_eq!((report.accepted, report.parked), (1, 1), "{report:?}");
    // What was accepted comes back with the next pull, and is in it in any case.
    sync(&with).await;
    let report = thousand(&with).await;
    assert_eq!(report.requests, expected.requests, "{report:?}");
    let left = with.entries(i64::MIN, 10).await.unwrap();
    let left: Vec<_> = left.iter().map(|entry| (entry.lane.as_str(), entry.state)).collect();
    assert_eq!(left, [("bad", EntryState::Parked), ("bad", EntryState::Waiting)]);
    server.stop().await;
}

#[tokio::test]
async fn a_second_sync_with_nothing_new_is_one_request() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path()).await;
    let store = device(&server, folder.path(), "lifter").await;
    thousand(&store).await;
    // The server's log has the device's own writes; they come back once, and change nothing.
    let echo = sync(&store).await;
    assert_eq!((echo.accepted, echo.conflicts), (0, 0), "{echo:?}");
    let nothing = sync(&store).await;
    assert_eq!(
        (nothing.requests, nothing.pulled, nothing.accepted),
        (1, 0, 0),
        "{nothing:?}"
    );
    assert!(store.entries(i64::MIN, 10).await.unwrap().is_empty());
    server.stop().await;
}
