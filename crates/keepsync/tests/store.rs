//! What an app holds in its hand: subscriptions, opening and closing, key-value pairs, records,
//! queries, sessions.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of tests are tests too"
)]

#[path = "support/local.rs"]
mod local;

use keepsync::{
    Backend, Error, OpenOptions, Place, Store,
    drain::Status,
    queue::{EntryState, Kind},
    record::{Compare, Mutation, Page, Query, RecordState},
    remote::{Capabilities, Fault, PullPage, PullRequest, PushAnswer, PushBatch, Remote, RemoteFuture, Token},
    session::{SessionState, set_id},
    settings::Settings,
    store::{Subscription, Watch},
};
use local::{Busy, Clock, START, ask, beside, file, frames_in_log, options};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};
use tempfile::TempDir;

/// Far more than anything here takes; it only keeps a broken rule from hanging the run.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("it hangs")
}

async fn open() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(options(folder.path()), None).await.unwrap();
    (folder, store)
}

fn ids(page: &Page) -> Vec<&str> {
    page.records.iter().map(|record| record.id.as_str()).collect()
}

fn invalid(result: Result<impl std::fmt::Debug, Error>) -> (String, String) {
    match result {
        Err(Error::Invalid { field, problem }) => (field, problem),
        other => panic!("{other:?}"),
    }
}

// Subscriptions.

/// In memory reads and writes go through the writer in turn, so it is known what has been answered.
async fn in_memory() -> Store {
    let in_memory = OpenOptions {
        place: Place::Memory,
        ..options(std::path::Path::new("nowhere"))
    };
    Store::open(in_memory, None).await.unwrap()
}

/// Nothing is delivered. For a store [`in_memory`]: what is asked after a read of the subscription is
/// answered after it.
async fn is_quiet<T>(store: &Store, subscription: &mut Subscription<T>) {
    let mut next = pin!(subscription.next());
    ask(next.as_mut());
    store.kv_keys().await.unwrap();
    ask(next);
}

#[tokio::test]
async fn the_first_delivery_is_the_current_value() {
    let (_folder, store) = open().await;
    store.put("workout", "w1", "{}").await.unwrap();
    let mut records = store.subscribe(Watch::query(Query::new("workout"))).unwrap();
    assert_eq!(ids(&within(records.next()).await.unwrap()), ["w1"]);
    let mut one = store.subscribe(Watch::record("workout", "w2")).unwrap();
    assert_eq!(within(one.next()).await.unwrap(), None);
    let mut queue = store.subscribe(Watch::queue()).unwrap();
    assert_eq!(within(queue.next()).await.unwrap().waiting, 1);
    let mut sessions = store.subscribe(Watch::sessions()).unwrap();
    assert_eq!(within(sessions.next()).await.unwrap(), []);
    let mut conflicts = store.subscribe(Watch::conflicts()).unwrap();
    assert_eq!(within(conflicts.next()).await.unwrap(), []);
    let mut status = store.subscribe(Watch::status()).unwrap();
    assert_eq!(within(status.next()).await.unwrap(), Status::LocalOnly);
}

#[tokio::test]
async fn changes_while_a_value_is_looked_at_are_one_change() {
    let store = in_memory().await;
    let mut records = store.subscribe(Watch::query(Query::new("workout"))).unwrap();
    store.put("workout", "first", "{}").await.unwrap();
    assert_eq!(ids(&within(records.next()).await.unwrap()), ["first"]);
    is_quiet(&store, &mut records).await;
    for n in 0..20 {
        store.put("workout", &format!("w{n:02}"), "{}").await.unwrap();
    }
    assert_eq!(within(records.next()).await.unwrap().records.len(), 21);
    is_quiet(&store, &mut records).await;
}

#[tokio::test]
async fn a_change_elsewhere_is_not_delivered() {
    let store = in_memory().await;
    let mut plans = store.subscribe(Watch::query(Query::new("plan"))).unwrap();
    let mut sessions = store.subscribe(Watch::sessions()).unwrap();
    within(plans.next()).await.unwrap();
    within(sessions.next()).await.unwrap();
    store.put("workout", "w1", "{}").await.unwrap();
    is_quiet(&store, &mut plans).await;
    is_quiet(&store, &mut sessions).await;
}

#[tokio::test]
async fn a_waiting_subscriber_sees_what_was_committed() {
    let (_folder, store) = open().await;
    let mut one = store.subscribe(Watch::record("workout", "w1")).unwrap();
    assert_eq!(within(one.next()).await.unwrap(), None);
    let mut waiting = pin!(one.next());
    ask(waiting.as_mut());
    store.put("workout", "w1", "{}").await.unwrap();
    assert!(within(waiting).await.unwrap().is_some());
}

#[tokio::test]
async fn a_write_that_failed_is_not_delivered() {
    let store = in_memory().await;
    let mut records = store.subscribe(Watch::query(Query::new("workout"))).unwrap();
    within(records.next()).await.unwrap();
    let mutations = vec![put("workout", "w1", "{}"), put("workout", "w2", "no json")];
    invalid(store.write_all(mutations).await);
    is_quiet(&store, &mut records).await;
}

#[tokio::test]
async fn dropping_the_future_of_next_loses_nothing() {
    let store = in_memory().await;
    let mut one = store.subscribe(Watch::record("workout", "w1")).unwrap();
    let busy = Busy::new(&store).await;
    ask(pin!(one.next()));
    busy.let_go().await;
    assert_eq!(within(one.next()).await.unwrap(), None, "the first value still comes");
    ask(pin!(one.next()));
    store.put("workout", "w1", "{}").await.unwrap();
    let busy = Busy::new(&store).await;
    ask(pin!(one.next()));
    busy.let_go().await;
    assert!(within(one.next()).await.unwrap().is_some(), "the change still comes");
}

#[tokio::test]
async fn following_an_unknown_collection_is_refused() {
    let (_folder, store) = open().await;
    let refused = store.subscribe(Watch::query(Query::new("nope"))).err();
    assert_eq!(refused, Some(Error::UnknownCollection("nope".to_owned())));
}

// Opening and closing.

#[tokio::test]
async fn a_closed_store_answers_closed() {
    let (_folder, store) = open().await;
    let mut records = store.subscribe(Watch::query(Query::new("workout"))).unwrap();
    let mut status = store.subscribe(Watch::status()).unwrap();
    within(records.next()).await.unwrap();
    within(status.next()).await.unwrap();
    {
        let mut waiting = pin!(records.next());
        ask(waiting.as_mut());
        within(store.close()).await.unwrap();
        within(store.close()).await.unwrap();
        assert_eq!(within(waiting).await, Err(Error::Closed), "who waits is told");
    }
    assert_eq!(within(records.next()).await, Err(Error::Closed));
    assert_eq!(within(status.next()).await, Err(Error::Closed));
    assert_eq!(store.put("workout", "w1", "{}").await, Err(Error::Closed));
    assert_eq!(store.get("workout", "w1").await, Err(Error::Closed));
    assert_eq!(store.kv_get("a").await, Err(Error::Closed));
    assert_eq!(store.status().await, Err(Error::Closed));
    assert_eq!(store.sync().await, Err(Error::Closed));
    // Hints do not fail.
    store.network(true);
    store.foreground(false);
    store.cancel();
}

#[tokio::test]
async fn closing_from_two_places_is_closing_once() {
    let (_folder, store) = open().await;
    let other = store.clone();
    let (one, two) = tokio::join!(store.close(), other.close());
    assert_eq!((one, two), (Ok(()), Ok(())));
}

#[tokio::test]
async fn opening_after_closing_gives_a_new_store() {
    let (folder, store) = open().await;
    store.put("workout", "w1", "{}").await.unwrap();
    store.close().await.unwrap();
    let again = Store::open(options(folder.path()), None).await.unwrap();
    assert!(again.get("workout", "w1").await.unwrap().is_some());
    assert_eq!(
        store.get("workout", "w1").await,
        Err(Error::Closed),
        "the old handle stays closed"
    );
}

/// SQLite removes the log when the last connection is closed.
async fn is_closed(folder: &TempDir) {
    let log = beside(&file(folder.path()), "-wal");
    within(async {
        while log.exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_dropped_store_closes_its_file() {
    // More than once: writer and readers close on threads of their own.
    for _ in 0..20 {
        let (folder, store) = open().await;
        store.put("workout", "w1", "{}").await.unwrap();
        store.get("workout", "w1").await.unwrap();
        drop(store);
        is_closed(&folder).await;
        let again = Store::open(options(folder.path()), None).await.unwrap();
        assert!(again.get("workout", "w1").await.unwrap().is_some());
    }
}

/// Never answers.
struct Silent;

impl Remote for Silent {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            batches: true,
            after: true,
            pull: true,
        }
    }
    fn push<'a>(&'a self, _: Option<&'a Token>, _: PushBatch) -> RemoteFuture<'a, Result<PushAnswer, Fault>> {
        Box::pin(std::future::pending())
    }
    fn pull<'a>(&'a self, _: Option<&'a Token>, _: PullRequest) -> RemoteFuture<'a, Result<PullPage, Fault>> {
        Box::pin(std::future::pending())
    }
    fn probe<'a>(&'a self) -> RemoteFuture<'a, Result<(), Fault>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn a_dropped_store_ends_its_drain_also_in_the_middle_of_a_request() {
    let folder = tempfile::tempdir().unwrap();
    let remote = Arc::new(Silent);
    let backend = Backend {
        remote: remote.clone(),
        tokens: None,
    };
    let store = Store::open(options(folder.path()), Some(backend)).await.unwrap();
    store.put("workout", "w1", "{}").await.unwrap();
    while !matches!(store.status().await.unwrap(), Status::Syncing { .. }) {
        tokio::task::yield_now().await;
    }
    drop(store);
    within(async {
        while Arc::strong_count(&remote) > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    is_closed(&folder).await;
}

#[tokio::test]
async fn a_sync_under_way_is_told_when_the_store_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Backend {
        remote: Arc::new(Silent),
        tokens: None,
    };
    let store = Store::open(options(folder.path()), Some(backend)).await.unwrap();
    let mut syncing = pin!(store.sync());
    ask(syncing.as_mut());
    while !matches!(store.status().await.unwrap(), Status::Syncing { .. }) {
        tokio::task::yield_now().await;
    }
    within(store.close()).await.unwrap();
    assert_eq!(within(syncing).await, Err(Error::Closed));
}

#[tokio::test]
async fn without_a_backend_everything_local_works() {
    let (_folder, store) = open().await;
    assert_eq!(store.status().await.unwrap(), Status::LocalOnly);
    store.put("workout", "w1", "{}").await.unwrap();
    assert_eq!(store.status().await.unwrap(), Status::LocalOnly);
    assert_eq!(store.sync().await.unwrap(), keepsync::drain::Report::default());
    assert_eq!(store.queue_counts().await.unwrap().waiting, 1, "it waits for a backend");
}

#[tokio::test]
async fn a_store_in_memory_has_no_file_and_all_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let in_memory = OpenOptions {
        place: Place::Memory,
        ..options(folder.path())
    };
    let store = Store::open(in_memory.clone(), None).await.unwrap();
    store.put("workout", "w1", "{}").await.unwrap();
    assert!(store.get("workout", "w1").await.unwrap().is_some());
    let other = Store::open(in_memory, None).await.unwrap();
    assert_eq!(other.get("workout", "w1").await.unwrap(), None);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

// Key-value pairs.

#[tokio::test]
async fn pairs_are_set_read_and_removed_as_asyncstorage_does() {
    let (folder, store) = open().await;
    assert_eq!(store.kv_get("theme").await.unwrap(), None);
    store.kv_set("theme", "dark").await.unwrap();
    store.kv_set("theme", "").await.unwrap();
    assert_eq!(
        store.kv_get("theme").await.unwrap().as_deref(),
        Some(""),
        "empty is a value"
    );
    store.kv_remove("nowhere").await.unwrap();
    let pairs = [("b", "2"), ("a", "1"), ("ü \u{0} '\"", "☃")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    store.kv_multi_set(pairs.to_vec()).await.unwrap();
    assert_eq!(store.kv_keys().await.unwrap(), ["a", "b", "theme", "ü \u{0} '\""]);
    let asked = ["ü \u{0} '\"", "nowhere", "a"].map(str::to_owned).to_vec();
    let values: Vec<Option<String>> = store
        .kv_multi_get(asked)
        .await
        .unwrap()
        .into_iter()
        .map(|(_, v)| v)
        .collect();
    assert_eq!(
        values,
        [Some("☃".to_owned()), None, Some("1".to_owned())],
        "in the order asked"
    );
    store
        .kv_multi_remove(vec!["a".to_owned(), "nowhere".to_owned()])
        .await
        .unwrap();
    store.close().await.unwrap();

    let store = Store::open(options(folder.path()), None).await.unwrap();
    assert_eq!(store.kv_keys().await.unwrap(), ["b", "theme", "ü \u{0} '\""], "durable");
    assert_eq!(store.queue_counts().await.unwrap().total(), 0, "not synced");
    store.kv_clear().await.unwrap();
    assert_eq!(store.kv_keys().await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn merging_goes_into_objects_and_replaces_all_else() {
    let (_folder, store) = open().await;
    store
        .kv_merge("user", r#"{"name":"A","units":{"weight":"kg"}}"#)
        .await
        .unwrap();
    let patch = r#"{"units":{"distance":"km"},"name":null,"tags":["x"]}"#;
    store.kv_merge("user", patch).await.unwrap();
    store
        .kv_merge("user", r#"{"tags":["y"],"units":{"weight":null}}"#)
        .await
        .unwrap();
    let merged: Value = serde_json::from_str(&store.kv_get("user").await.unwrap().unwrap()).unwrap();
    let expected = json!({"name": null, "units": {"weight": null, "distance": "km"}, "tags": ["y"]});
    assert_eq!(merged, expected);
}

#[tokio::test]
async fn merging_what_is_no_object_is_refused_and_changes_nothing() {
    let (_folder, store) = open().await;
    store.kv_set("theme", "dark").await.unwrap();
    invalid(store.kv_merge("theme", "{}").await);
    invalid(store.kv_merge("new", "[1]").await);
    invalid(store.kv_set("", "x").await);
    let half = vec![("a".to_owned(), "1".to_owned()), (String::new(), "2".to_owned())];
    invalid(store.kv_multi_set(half).await);
    assert_eq!(store.kv_get("theme").await.unwrap().as_deref(), Some("dark"));
    assert_eq!(store.kv_keys().await.unwrap(), ["theme"]);
}

// Records.

fn put(collection: &str, id: &str, body: &str) -> Mutation {
    Mutation::Put {
        collection: collection.to_owned(),
        id: id.to_owned(),
        body: body.to_owned(),
    }
}

#[tokio::test]
async fn a_record_tells_when_and_where_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::new();
    let store = Store::open(
        OpenOptions {
            env: clock.clone(),
            ..options(folder.path())
        },
        None,
    )
    .await
    .unwrap();
    let written = store.put("workout", "", r#"{"name":"Mittwoch"}"#).await.unwrap();
    assert_eq!(uuid::Uuid::parse_str(&written.id).unwrap().get_version_num(), 7);
    clock.advance(1_000);
    store
        .patch("workout", &written.id, r#"{"rpe":8,"name":null}"#)
        .await
        .unwrap();
    let record = store.get("workout", &written.id).await.unwrap().unwrap();
    assert_eq!(record.body.as_deref(), Some(r#"{"rpe":8}"#));
    assert_eq!(
        (record.created_at, record.updated_at, record.synced_at),
        (START, START + 1_000, None)
    );
    assert_eq!((record.device_id.as_str(), record.server_id), ("device-1", None));
    assert_eq!((record.version, record.state), (0, RecordState::Pending));

    store.put("draft", "d1", "{}").await.unwrap();
    let draft = store.get("draft", "d1").await.unwrap().unwrap();
    assert_eq!(
        draft.state,
        RecordState::Synced,
        "nothing of it is unsent: it stays on the device"
    );
}

#[tokio::test]
async fn a_deleted_record_is_gone_and_writing_it_needs_one_that_is_there() {
    let (_folder, store) = open().await;
    store.put("workout", "w1", "{}").await.unwrap();
    store.delete("workout", "w1").await.unwrap();
    assert_eq!(store.get("workout", "w1").await.unwrap(), None);
    assert_eq!(ids(&store.query(Query::new("workout")).await.unwrap()), [""; 0]);
    let missing = || Error::NotFound {
        what: "record",
        id: "w1".to_owned(),
    };
    assert_eq!(store.delete("workout", "w1").await, Err(missing()));
    assert_eq!(store.patch("workout", "w1", "{}").await, Err(missing()));
    assert_eq!(
        store.queue_counts().await.unwrap().total(),
        0,
        "creation and deletion cancel out"
    );
    assert_eq!(store.history("workout", "w1").await.unwrap()[0].reason, "cancelled");
}

#[tokio::test]
async fn reference_data_and_unknown_collections_are_not_written() {
    let (_folder, store) = open().await;
    let refused = store.put("exercise", "e1", "{}").await;
    assert_eq!(refused, Err(Error::PulledOnly("exercise".to_owned())));
    let unknown = Error::UnknownCollection("nope".to_owned());
    assert_eq!(store.put("nope", "e1", "{}").await, Err(unknown.clone()));
    assert_eq!(store.get("nope", "e1").await, Err(unknown.clone()));
    assert_eq!(store.query(Query::new("nope")).await, Err(unknown));
}

#[tokio::test]
async fn limits_of_a_body_are_named() {
    let (_folder, store) = open().await;
    let sized = |bytes: usize| format!("{{\"n\":\"{}\"}}", "x".repeat(bytes - 8));
    const MIB: usize = 1024 * 1024;
    store.put("draft", "fits", &sized(MIB)).await.unwrap();
    let (field, problem) = invalid(store.put("draft", "d1", &sized(MIB + 1)).await);
    assert_eq!(
        (field.as_str(), problem.as_str()),
        ("body", "1048577 bytes, the limit is 1048576")
    );
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    store.put("draft", "deep", &nested(64)).await.unwrap();
    let (field, problem) = invalid(store.put("draft", "d1", &nested(65)).await);
    assert_eq!(field, "body.a");
    assert_eq!(problem, "nested 65 deep, the limit is 64");
    let (field, _) = invalid(store.patch("draft", "fits", "{\"more\":1}").await);
    assert_eq!(field, "body", "a patch may not lead beyond the limit");
    for no_object in ["", "null", "[]", "7", "\"{}\"", "{", "{} {}", "{'a':1}"] {
        assert_eq!(
            invalid(store.put("draft", "d1", no_object).await).0,
            "body",
            "{no_object:?}"
        );
    }
    for bad in ["\n", "a\u{0}b", &"x".repeat(257)] {
        assert_eq!(invalid(store.put("draft", bad, "{}").await).0, "id", "{bad:?}");
    }
    assert_eq!(invalid(store.put("set_log", "s1", "{}").await).0, "body.workout_id");
    assert_eq!(store.get("draft", "d1").await.unwrap(), None);
}

#[tokio::test]
async fn several_writes_are_one_or_none() {
    let (_folder, store) = open().await;
    store.put("workout", "w0", r#"{"name":"old"}"#).await.unwrap();
    let all = |last: Mutation| {
        vec![
            put("workout", "w1", "{}"),
            Mutation::Patch {
                collection: "workout".to_owned(),
                id: "w0".to_owned(),
                patch: r#"{"name":"new"}"#.to_owned(),
            },
            last,
        ]
    };
    let missing = Mutation::Delete {
        collection: "plan".to_owned(),
        id: "nowhere".to_owned(),
    };
    assert!(store.write_all(all(missing)).await.is_err());
    assert_eq!(ids(&store.query(Query::new("workout")).await.unwrap()), ["w0"]);
    let old = store.get("workout", "w0").await.unwrap().unwrap();
    assert_eq!(old.body.as_deref(), Some(r#"{"name":"old"}"#));
    assert_eq!(store.queue_counts().await.unwrap().total(), 1);

    let written = store.write_all(all(put("plan", "p1", "{}"))).await.unwrap();
    assert_eq!(
        written.iter().map(|w| w.id.as_str()).collect::<Vec<_>>(),
        ["w1", "w0", "p1"]
    );
    assert_eq!(store.queue_counts().await.unwrap().total(), 3);
}

#[tokio::test]
async fn history_is_bounded_per_record_and_in_all() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        history_per_record: 3,
        history_count: 10,
        ..Settings::default()
    };
    let store = Store::open(
        OpenOptions {
            settings,
            ..options(folder.path())
        },
        None,
    )
    .await
    .unwrap();
    for n in 0..6 {
        store.put("workout", "w", &format!("{{\"n\":{n}}}")).await.unwrap();
        store.delete("workout", "w").await.unwrap();
    }
    let kept: Vec<String> = store
        .history("workout", "w")
        .await
        .unwrap()
        .into_iter()
        .filter_map(|version| version.body)
        .collect();
    assert_eq!(
        kept,
        [r#"{"n":5}"#, r#"{"n":4}"#, r#"{"n":3}"#],
        "the newest, newest first"
    );
    let mut total = 0;
    for n in 0..30 {
        let id = format!("x{n}");
        store.put("workout", &id, "{}").await.unwrap();
        store.delete("workout", &id).await.unwrap();
    }
    for n in 0..30 {
        total += store.history("workout", &format!("x{n}")).await.unwrap().len();
    }
    assert_eq!(total, 10);
    assert_eq!(
        store.history("workout", "x29").await.unwrap().len(),
        1,
        "the newest stay"
    );
}

// Queries.

/// Reads all pages of `limit`, checking that none is larger.
async fn all_pages(store: &Store, query: Query, limit: usize) -> Vec<String> {
    let (mut all, mut next) = (Vec::new(), None::<String>);
    loop {
        let mut query = query.clone().limit(limit);
        if let Some(next) = &next {
            query = query.after(next.as_str());
        }
        let page = store.query(query).await.unwrap();
        assert!(page.records.len() <= limit);
        all.extend(page.records.into_iter().map(|record| record.id));
        assert!(all.len() <= 1_000, "it goes in circles: {:?}", &all[..20]);
        match page.next {
            Some(position) => next = Some(position),
            None => return all,
        }
    }
}

#[tokio::test]
async fn paging_meets_every_record_once_whatever_the_order_and_the_values() {
    let (_folder, store) = open().await;
    let values = [
        "null",
        "1",
        "1",
        "2",
        "2.0",
        "-0.5",
        "82.35",
        "82.35",
        "0.1",
        "1e300",
        "123456789012345678901234567890",
        "true",
        "false",
        "\"\"",
        "\"a\"",
        "\"a\"",
        "\"ä\"",
        "\"a\\\"b\"",
        "\"\\u0000\"",
        "[1,2.50]",
        "{\"b\":1,\"a\":2}",
        "{\"b\":1,\"a\":2}",
        "0.30000000000000004",
        "5e-324",
        "9007199254740993",
        "9223372036854775807",
    ];
    let mut expected = BTreeSet::new();
    for (n, value) in values.iter().enumerate() {
        let id = format!("d{n:02}");
        store.put("draft", &id, &format!("{{\"x\":{value}}}")).await.unwrap();
        expected.insert(id);
    }
    for n in 0..3 {
        // The field is not there; it is there twice (the first counts).
        store.put("draft", &format!("e{n}"), "{}").await.unwrap();
        store.put("draft", &format!("f{n}"), r#"{"x":7,"x":3}"#).await.unwrap();
        expected.extend([format!("e{n}"), format!("f{n}")]);
    }
    for descending in [false, true] {
        for order in [None, Some("x"), Some("nowhere")] {
            let mut query = Query::new("draft");
            if let Some(field) = order {
                query = query.order_by(field);
            }
            if descending {
                query = query.descending();
            }
            let whole = all_pages(&store, query.clone(), 1_000).await;
            assert_eq!(whole.iter().cloned().collect::<BTreeSet<_>>(), expected);
            for limit in [1, 2, 5] {
                let paged = all_pages(&store, query.clone(), limit).await;
                assert_eq!(paged, whole, "{order:?}, descending {descending}, pages of {limit}");
            }
        }
    }
}

#[tokio::test]
async fn paging_over_many_weights_skips_and_repeats_none() {
    let (_folder, store) = open().await;
    let mut seed = 7_u64;
    let bodies: Vec<Mutation> = (0..400)
        .map(|n| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            // Every weight twice, with all the digits a sensor can give.
            let digits = (seed >> 11) % 10_u64.pow(16);
            put(
                "draft",
                &format!("d{n:03}"),
                &format!("{{\"w\":{}.{digits:016}}}", 20 + n / 2),
            )
        })
        .collect();
    store.write_all(bodies).await.unwrap();
    let whole = all_pages(&store, Query::new("draft").order_by("w"), 1_000).await;
    assert_eq!(all_pages(&store, Query::new("draft").order_by("w"), 1).await, whole);
    let down = all_pages(&store, Query::new("draft").order_by("w").descending(), 1).await;
    assert_eq!(down, whole.into_iter().rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn filters_compare_as_told() {
    let (_folder, store) = open().await;
    for (id, body) in [
        ("a", r#"{"date":"2025-01-01","reps":5,"done":true}"#),
        ("b", r#"{"date":"2025-02-01","reps":8,"done":false}"#),
        ("c", r#"{"date":"2025-02-01","reps":8.5}"#),
        ("d", r#"{"reps":null}"#),
    ] {
        store.put("workout", id, body).await.unwrap();
    }
    let found = async |field: &str, compare, value: Value| {
        let page = store
            .query(Query::new("workout").filter(field, compare, value))
            .await
            .unwrap();
        page.records.into_iter().map(|record| record.id).collect::<String>()
    };
    assert_eq!(found("date", Compare::Eq, json!("2025-02-01")).await, "bc");
    assert_eq!(found("date", Compare::Ne, json!("2025-02-01")).await, "ad");
    assert_eq!(found("date", Compare::Lt, json!("2025-02-01")).await, "a");
    assert_eq!(found("date", Compare::Ge, json!("2025-01-01")).await, "abc");
    assert_eq!(found("reps", Compare::Gt, json!(8)).await, "c");
    assert_eq!(found("reps", Compare::Le, json!(8.0)).await, "ab");
    assert_eq!(found("reps", Compare::Eq, json!(8)).await, "b");
    assert_eq!(found("reps", Compare::Eq, Value::Null).await, "d");
    assert_eq!(found("reps", Compare::Ne, Value::Null).await, "abc");
    assert_eq!(found("done", Compare::Eq, json!(true)).await, "a");
    assert_eq!(found("nowhere", Compare::Eq, Value::Null).await, "abcd");
    let two = Query::new("workout")
        .filter("date", Compare::Eq, "2025-02-01")
        .filter("reps", Compare::Gt, 8)
        .descending();
    assert_eq!(ids(&store.query(two).await.unwrap()), ["c"]);
}

#[tokio::test]
async fn values_are_bound_and_field_names_checked() {
    let (_folder, store) = open().await;
    store.put("workout", "w1", r#"{"name":"x"}"#).await.unwrap();
    for evil in [
        "x' OR '1'='1",
        "x\"; DROP TABLE record; --",
        "');DELETE FROM entry;--",
        "\u{0}",
        "%",
    ] {
        let query = Query::new("workout").filter("name", Compare::Eq, evil);
        assert_eq!(ids(&store.query(query).await.unwrap()), [""; 0], "{evil:?}");
        for query in [
            Query::new("workout").filter(evil, Compare::Eq, "x"),
            Query::new("workout").order_by(evil),
        ] {
            assert!(invalid(store.query(query).await).1.contains("field name"), "{evil:?}");
        }
        let (field, _) = invalid(store.query(Query::new("workout").after(evil)).await);
        assert_eq!(field, "after", "{evil:?}");
        assert_eq!(
            store.query(Query::new(evil)).await,
            Err(Error::UnknownCollection(evil.to_owned()))
        );
        assert_eq!(store.get("workout", evil).await.unwrap(), None, "{evil:?}");
    }
    for limit in [0, 1_001] {
        assert_eq!(
            invalid(store.query(Query::new("workout").limit(limit)).await).0,
            "limit"
        );
    }
    assert_eq!(store.queue_counts().await.unwrap().total(), 1);
}

// Sessions.

#[tokio::test]
async fn a_session_is_there_again_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::new();
    let opened = OpenOptions {
        env: clock.clone(),
        ..options(folder.path())
    };
    let store = Store::open(opened.clone(), None).await.unwrap();
    store
        .start_session("workout", "set_log", "s1", r#"{"name":"Mittwoch"}"#)
        .await
        .unwrap();
    clock.advance(60_000);
    for (slot, weight) in [
        ("bench/1", 75.0),
        ("squat/1", 100.0),
        ("bench/2", 77.5),
        ("bench/1", 76.0),
    ] {
        let body = json!({ "weight": weight }).to_string();
        store.log_set("workout", "s1", slot, &body).await.unwrap();
    }
    store.remove_set("workout", "s1", "squat/1").await.unwrap();
    store.note("workout", "s1", Some(r#"{"rest":90}"#)).await.unwrap();
    let before = store.active_sessions().await.unwrap();
    store.close().await.unwrap();
    clock.advance(60_000);
    let store = Store::open(opened, None).await.unwrap();
    let sessions = store.active_sessions().await.unwrap();
    assert_eq!(sessions, before);
    let session = &sessions[0];
    assert_eq!((session.state, session.started_at), (SessionState::Active, START));
    assert_eq!(session.scratch.as_deref(), Some(r#"{"rest":90}"#));
    let sets: Vec<&str> = session.sets.iter().map(|set| set.id.as_str()).collect();
    assert_eq!(
        sets,
        [set_id("s1", "bench/1"), set_id("s1", "bench/2")],
        "in the order first logged"
    );
    assert!(
        session.sets[0].body.as_ref().unwrap().contains("76"),
        "the last value of its slot"
    );
    assert!(session.record.body.as_ref().unwrap().contains("2025-11-20T02:13:20"));

    store.complete_session("workout", "s1", r#"{"rpe":8}"#).await.unwrap();
    assert_eq!(store.active_sessions().await.unwrap(), []);
    let refused = Error::SessionState {
        state: "completed",
        event: "log a set",
    };
    assert_eq!(store.log_set("workout", "s1", "bench/3", "{}").await, Err(refused));
}

#[tokio::test]
async fn what_a_session_holds_goes_when_it_is_done() {
    let (_folder, store) = open().await;
    store.start_session("plan", "plan_set", "s1", "{}").await.unwrap();
    store.log_set("plan", "s1", "bench/1", "{}").await.unwrap();
    store.note("plan", "s1", Some("scratch is never sent")).await.unwrap();
    assert_eq!(store.queue_counts().await.unwrap().held, 2);
    store.complete_session("plan", "s1", "{}").await.unwrap();
    let entries = store.entries(i64::MIN, 10).await.unwrap();
    let told: Vec<_> = entries.iter().map(|entry| (entry.kind, entry.state)).collect();
    let waiting = EntryState::Waiting;
    assert_eq!(
        told,
        [
            (Kind::Create, waiting),
            (Kind::Create, waiting),
            (Kind::Complete, waiting)
        ]
    );
    assert!(!store.export_queue().await.unwrap().contains("scratch"));
}

#[tokio::test]
async fn discarding_a_session_cancels_what_never_left() {
    let (_folder, store) = open().await;
    for (collection, children) in [("workout", "set_log"), ("plan", "plan_set")] {
        store.start_session(collection, children, "s1", "{}").await.unwrap();
        for slot in ["a", "b", "c"] {
            store
                .log_set(collection, "s1", slot, r#"{"weight":75.0}"#)
                .await
                .unwrap();
        }
        store.discard_session(collection, "s1").await.unwrap();
        assert_eq!(store.queue_counts().await.unwrap().total(), 0, "{collection}");
        assert_eq!(store.active_sessions().await.unwrap(), []);
        assert_eq!(ids(&store.query(Query::new(children)).await.unwrap()), [""; 0]);
        assert_eq!(store.get(collection, "s1").await.unwrap(), None);
        let history = store.history(children, &set_id("s1", "a")).await.unwrap();
        assert!(
            history[0].body.as_ref().unwrap().contains("75"),
            "what was lifted is not lost without a trace"
        );
        // And it can begin again.
        store.start_session(collection, children, "s1", "{}").await.unwrap();
        store.discard_session(collection, "s1").await.unwrap();
    }
}

/// Takes everything there is and never answers: what it was given may have left.
#[derive(Default)]
struct Swallowing {
    got: Mutex<usize>,
}

impl Remote for Swallowing {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            batches: true,
            after: true,
            pull: false,
        }
    }
    fn push<'a>(&'a self, _: Option<&'a Token>, batch: PushBatch) -> RemoteFuture<'a, Result<PushAnswer, Fault>> {
        *self.got.lock().unwrap() += batch.items.len();
        Box::pin(std::future::pending())
    }
    fn pull<'a>(&'a self, _: Option<&'a Token>, _: PullRequest) -> RemoteFuture<'a, Result<PullPage, Fault>> {
        Box::pin(std::future::pending())
    }
    fn probe<'a>(&'a self) -> RemoteFuture<'a, Result<(), Fault>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn discarding_a_session_queues_deletes_for_what_may_have_left() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(options(folder.path()), None).await.unwrap();
    store.start_session("workout", "set_log", "s1", "{}").await.unwrap();
    store.log_set("workout", "s1", "sent", "{}").await.unwrap();
    store.close().await.unwrap();
    let remote = Arc::new(Swallowing::default());
    let backend = Backend {
        remote: remote.clone(),
        tokens: None,
    };
    let store = Store::open(options(folder.path()), Some(backend)).await.unwrap();
    within(async {
        while *remote.got.lock().unwrap() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    store.log_set("workout", "s1", "unsent", "{}").await.unwrap();
    store.discard_session("workout", "s1").await.unwrap();
    let entries = store.entries(i64::MIN, 10).await.unwrap();
    let told: Vec<_> = entries
        .iter()
        .map(|entry| (entry.collection.as_str(), entry.kind))
        .collect();
    assert_eq!(
        told,
        [
            ("workout", Kind::Create),
            ("set_log", Kind::Create),
            ("set_log", Kind::Delete),
            ("workout", Kind::Delete),
        ],
        "the unsent set is gone, children go first"
    );
}

#[tokio::test]
async fn a_set_costs_the_same_however_many_there_are() {
    let (folder, store) = open().await;
    store.start_session("workout", "set_log", "s1", "{}").await.unwrap();
    let pages_per_set = async |from: usize| {
        // Each set alone, as a lifter logs it; the log's frames are the pages it wrote.
        let (mut pages, mut counted) = (0, 0);
        for n in from..from + 50 {
            let before = frames_in_log(&file(folder.path())).len();
            let slot = format!("bench/{n}");
            store
                .log_set("workout", "s1", &slot, r#"{"weight":75.0,"reps":8}"#)
                .await
                .unwrap();
            let after = frames_in_log(&file(folder.path())).len();
            // Now and then the log begins anew.
            if after > before {
                pages += after - before;
                counted += 1;
            }
        }
        assert!(counted >= 40, "the log began anew too often to count: {counted}");
        pages / counted
    };
    let first = pages_per_set(10).await;
    let many = |write: &mut keepsync::Write<'_>| {
        for n in 60..10_000 {
            let body = r#"{"weight":75.0,"reps":8}"#;
            keepsync::session::log_set(write, "workout", "s1", &format!("bench/{n}"), body)?;
        }
        Ok(())
    };
    store.write(many).await.unwrap();
    let last = pages_per_set(10_000).await;
    // A deeper tree may cost a page per index.
    assert!(last <= first + 4, "{first} pages a set at first, {last} after 10,000");
    let session = store.active_sessions().await.unwrap().remove(0);
    assert_eq!(session.sets.len(), 10_040);
}

/// A backend with which nothing is wrong.
struct Obliging;

impl Remote for Obliging {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            batches: true,
            after: true,
            pull: true,
        }
    }
    fn push<'a>(&'a self, _: Option<&'a Token>, batch: PushBatch) -> RemoteFuture<'a, Result<PushAnswer, Fault>> {
        let accepted = |item: &keepsync::remote::PushItem| {
            let accepted = keepsync::remote::Accepted {
                version: item.base_version + 1,
                ..Default::default()
            };
            (item.op, keepsync::remote::Outcome::Accepted(accepted))
        };
        let answer = PushAnswer {
            results: batch.items.iter().map(accepted).collect(),
            ..PushAnswer::default()
        };
        Box::pin(async { Ok(answer) })
    }
    fn pull<'a>(&'a self, _: Option<&'a Token>, _: PullRequest) -> RemoteFuture<'a, Result<PullPage, Fault>> {
        Box::pin(async { Ok(PullPage::default()) })
    }
    fn probe<'a>(&'a self) -> RemoteFuture<'a, Result<(), Fault>> {
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test]
async fn the_end_of_the_last_whole_drain_is_known_to_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::new();
    let mut told = Vec::new();
    // The first drain has something to write, the second has not; both are remembered.
    for body in [Some("{}"), None] {
        let backend = Backend {
            remote: Arc::new(Obliging),
            tokens: None,
        };
        let mut options = options(folder.path());
        options.settings.automatic = false;
        options.env = clock.clone();
        let store = Store::open(options, Some(backend)).await.unwrap();
        if let Some(body) = body {
            store.put("workout", "w1", body).await.unwrap();
        }
        let before = store.read(|read| read.last_synced_at()).await.unwrap();
        assert_eq!(before, told.last().copied());
        clock.advance(1_000);
        store.sync().await.unwrap();
        told.push(store.last_synced_at().unwrap());
        store.close().await.unwrap();
    }
    let store = Store::open(options(folder.path()), None).await.unwrap();
    let known = store.read(|read| read.last_synced_at()).await.unwrap();
    assert_eq!(known, told.last().copied());
    assert!(told[0] < told[1]);
    store.close().await.unwrap();
}
