//! A whole store against plain REST endpoints, over real sockets.

#![cfg(all(feature = "http", feature = "runtime"))]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "support/api.rs"]
mod api;
#[path = "support/scripted.rs"]
mod scripted;

use api::{Backend as Api, described, error};
use keepsync::{
    Backend, OpenOptions, Place, Store,
    collection::{Collection, Collections, Direction},
    conflict::{Policy, Resolution},
    drain::{HalfResult, Status},
    queue::{Entry, EntryState},
    record::RecordState,
    remote::{
        Remote as _, RemoteFuture, Token, TokenFault, TokenProvider,
        http::HttpOptions,
        rest::{RestRemote, RestSetupError},
    },
    settings::Settings,
};
use scripted::{Manner, Reply, Request, Scripted};
use serde_json::{Value, json};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

const SECRET: &str = "s3cret-canary";

struct Tickets;

impl TokenProvider for Tickets {
    fn token<'a>(
        &'a self,
        account: &'a str,
        rejected: Option<&'a Token>,
    ) -> RemoteFuture<'a, Result<Option<Token>, TokenFault>> {
        let token = Token::new(SECRET, Some(account.to_owned()));
        let answer = match rejected {
            None => Ok(Some(token)),
            Some(_) => Err(TokenFault::SignInNeeded),
        };
        Box::pin(async move { answer })
    }
}

fn remote(url: &str) -> RestRemote {
    RestRemote::new(HttpOptions::new(url), described()).unwrap()
}

async fn open_with(url: &str, settings: Settings) -> Store {
    let collections = Collections::new([
        Collection::new("workout", Policy::Ask),
        Collection::new("set_log", Policy::ClientWins)
            .child_of("workout", "workout_id")
            .settles_itself()
            .direction(Direction::PushOnly),
        Collection::new("exercise", Policy::ServerWins).direction(Direction::PullOnly),
        Collection::new("note", Policy::Ask).direction(Direction::PushOnly),
    ])
    .unwrap();
    let mut options = OpenOptions::new("", "lifter", collections);
    options.place = Place::Memory;
    options.settings = Settings {
        automatic: false,
        ..settings
    };
    let backend = Backend {
        remote: Arc::new(remote(url)),
        tokens: Some(Arc::new(Tickets)),
    };
    Store::open(options, Some(backend)).await.unwrap()
}

async fn open(url: &str) -> Store {
    open_with(url, Settings::default()).await
}

/// The API, and a server that speaks for it.
fn serve() -> (Arc<Mutex<Api>>, Scripted) {
    serve_but(|_, _| None)
}

/// The same; `but` may answer in its place, before it has seen the request (`false`) or after.
fn serve_but(but: impl Fn(&Request, bool) -> Option<Reply> + Send + Sync + 'static) -> (Arc<Mutex<Api>>, Scripted) {
    let api = Arc::new(Mutex::new(Api::default()));
    let kept = Arc::clone(&api);
    let server = Scripted::start(move |request| {
        if let Some(reply) = but(request, false) {
            return reply;
        }
        let reply = kept.lock().unwrap().serve(request);
        but(request, true).unwrap_or(reply)
    });
    (api, server)
}

fn writes(server: &Scripted) -> Vec<Request> {
    server.requests().into_iter().filter(|it| it.method != "GET").collect()
}

fn keys(requests: &[Request]) -> Vec<String> {
    let key = |it: &Request| it.header("idempotency-key").unwrap().to_owned();
    requests.iter().map(key).collect()
}

async fn entries(store: &Store) -> Vec<Entry> {
    store.entries(i64::MIN, 100).await.unwrap()
}

#[tokio::test]
async fn a_network_error_keeps_the_write_and_retries_it_under_the_same_key() {
    let is_well = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_well);
    let (api, server) = serve_but(move |request, _| {
        let fails = !flag.load(SeqCst) && (request.method != "GET" || request.path == "/v1/health");
        fails.then(|| Reply::none(Manner::Reset))
    });
    let store = open(&server.url()).await;
    store
        .put("workout", "w1", r#"{"id":"w1","name":"legs"}"#)
        .await
        .unwrap();
    let op = entries(&store).await[0].op;
    for _ in 0..3 {
        assert!(store.sync().await.unwrap().push.failed());
        let kept = entries(&store).await;
        assert_eq!(
            (kept[0].op, kept[0].state, kept[0].attempts),
            (op, EntryState::Waiting, 0)
        );
        assert_eq!(store.status().await.unwrap(), Status::Offline);
    }
    is_well.store(true, SeqCst);
    let report = store.sync().await.unwrap();
    assert_eq!((report.accepted, report.push), (1, HalfResult::Worked));
    let sent = keys(&writes(&server));
    assert!(
        sent.len() >= 2 && sent.iter().all(|key| *key == op.to_string()),
        "{sent:?}"
    );
    assert_eq!(api.lock().unwrap().applied, 1);
    let record = store.get("workout", "w1").await.unwrap().unwrap();
    assert_eq!(record.state, RecordState::Synced);
}

#[tokio::test]
async fn a_lost_reply_is_repeated_under_the_same_key_and_applied_once() {
    for manner in [Manner::HangUp, Manner::Reset, Manner::BreakOffAt(3)] {
        let lost = AtomicUsize::new(0);
        let (api, server) = serve_but(move |request, is_applied| {
            let loses = is_applied && request.method == "PUT" && lost.fetch_add(1, SeqCst) < 2;
            loses.then(|| Reply::json(201, r#"{"id":"w1","version":1}"#).sent(manner))
        });
        let store = open(&server.url()).await;
        store.put("workout", "w1", r#"{"id":"w1"}"#).await.unwrap();
        for _ in 0..4 {
            store.sync().await.unwrap();
        }
        assert!(entries(&store).await.is_empty(), "{manner:?}");
        let sent = keys(&writes(&server));
        assert_eq!(sent.len(), 3, "{manner:?}");
        assert!(sent.iter().all(|key| *key == sent[0]), "{manner:?}: {sent:?}");
        assert_eq!(api.lock().unwrap().applied, 1, "{manner:?}");
    }
}

const REFUSALS: [u16; 14] = [400, 402, 403, 404, 405, 409, 410, 412, 415, 418, 422, 423, 428, 451];

#[tokio::test]
async fn each_4xx_in_the_declared_form_parks_with_code_and_message_and_is_not_retried() {
    for status in REFUSALS {
        let (_, server) = serve_but(move |request, _| (request.method != "GET").then(|| error(status, "no_good")));
        let store = open(&server.url()).await;
        // A note cannot be read back, so a 409 has nothing to be settled with.
        store.put("note", "n1", r#"{"text":"felt strong"}"#).await.unwrap();
        let report = store.sync().await.unwrap();
        assert_eq!(report.parked, 1, "{status}");
        for _ in 0..3 {
            store.sync().await.unwrap();
        }
        let parked = entries(&store).await;
        assert_eq!(parked[0].state, EntryState::Parked, "{status}");
        let reason = parked[0].reason.clone().unwrap();
        assert_eq!(
            (reason.code.as_str(), reason.message.as_str()),
            ("no_good", "no: no_good"),
            "{status}"
        );
        assert_eq!(writes(&server).len(), 1, "{status}: it is not sent again by itself");
        assert_eq!(
            store.status().await.unwrap(),
            Status::NeedsAttention { count: 1 },
            "{status}"
        );
        let record = store.get("note", "n1").await.unwrap().unwrap();
        assert_eq!(record.body.as_deref(), Some(r#"{"text":"felt strong"}"#), "{status}");

        store.retry_entry(parked[0].op).await.unwrap();
        store.sync().await.unwrap();
        assert_eq!(writes(&server).len(), 2, "{status}: the user's tap sends it");
    }
}

#[tokio::test]
async fn the_same_4xx_in_another_form_parks_nothing() {
    type Other = fn(u16) -> Reply;
    let others: [(&str, Other); 6] = [
        ("page", Reply::html),
        ("other JSON", |status| Reply::json(status, r#"{"code":"no_good"}"#)),
        ("problem", |status| {
            Reply::new(status, r#"{"error":{"code":"no_good"}}"#).with("content-type", "application/problem+json")
        }),
        ("empty", |status| Reply::new(status, "")),
        ("cut", |status| Reply::json(status, r#"{"error":{"code":"no_"#)),
        ("code of no text", |status| {
            Reply::json(status, r#"{"error":{"code":null}}"#)
        }),
    ];
    for status in REFUSALS {
        for (name, other) in others {
            let is_well = Arc::new(AtomicBool::new(false));
            let flag = Arc::clone(&is_well);
            let (api, server) =
                serve_but(move |request, _| (request.method != "GET" && !flag.load(SeqCst)).then(|| other(status)));
            let store = open(&server.url()).await;
            store.put("note", "n1", r#"{"text":"a"}"#).await.unwrap();
            let op = entries(&store).await[0].op;
            for _ in 0..3 {
                let report = store.sync().await.unwrap();
                assert!(
                    report.push.failed() && report.parked == 0,
                    "{status} {name}: {report:?}"
                );
            }
            let kept = entries(&store).await;
            assert_eq!(
                (kept[0].op, kept[0].state),
                (op, EntryState::Waiting),
                "{status} {name}"
            );
            is_well.store(true, SeqCst);
            store.sync().await.unwrap();
            assert!(entries(&store).await.is_empty(), "{status} {name}");
            assert_eq!(api.lock().unwrap().applied, 1, "{status} {name}");
        }
    }
}

#[tokio::test]
async fn complete_goes_to_its_endpoint_after_its_sets() {
    let (api, server) = serve();
    let store = open(&server.url()).await;
    let workout = store
        .start_session("workout", "set_log", "w1", r#"{"id":"w1"}"#)
        .await
        .unwrap()
        .id;
    for slot in ["squat/1", "squat/2"] {
        store.log_set("workout", &workout, slot, r#"{"reps":5}"#).await.unwrap();
    }
    store
        .complete_session("workout", &workout, r#"{"note":"good"}"#)
        .await
        .unwrap();
    let created: Vec<i64> = entries(&store).await.iter().map(|entry| entry.seq).collect();
    let report = store.sync().await.unwrap();
    assert_eq!((report.accepted, report.push), (4, HalfResult::Worked), "{created:?}");
    let sent = writes(&server);
    let lines: Vec<String> = sent.iter().map(|it| format!("{} {}", it.method, it.path)).collect();
    assert_eq!(lines[0], "PUT /v1/workouts/w1");
    assert!(lines[1].starts_with("PUT /v1/workouts/w1/sets/") && lines[2].starts_with("PUT /v1/workouts/w1/sets/"));
    assert_eq!(lines[3], "POST /v1/workouts/w1/complete");
    let payload: Value = serde_json::from_slice(&sent[3].body).unwrap();
    assert_eq!(
        (&payload["state"], &payload["note"]),
        (&json!("completed"), &json!("good"))
    );
    assert_eq!(payload["version"], 1, "it names the version it was made on");
    for request in &sent {
        assert_eq!(
            request.header("authorization"),
            Some(format!("Bearer {SECRET}").as_str())
        );
        assert_eq!(request.header("content-type"), Some("application/json"));
    }
    assert_eq!(api.lock().unwrap().applied, 4);
    // Skipping has no endpoint of its own here; it goes as the update it is registered as.
    store
        .start_session("workout", "set_log", "w2", r#"{"id":"w2"}"#)
        .await
        .unwrap();
    store.sync().await.unwrap();
    store.skip_session("workout", "w2", "{}").await.unwrap();
    store.sync().await.unwrap();
    let last = writes(&server).pop().unwrap();
    assert_eq!((last.method.as_str(), last.path.as_str()), ("PUT", "/v1/workouts/w2"));
    assert!(last.text().contains("skipped"));
}

#[tokio::test]
async fn a_stuck_set_holds_up_its_session_and_nobody_else() {
    let (_, server) = serve_but(|request, _| request.path.contains("/sets/").then(|| error(422, "too_heavy")));
    let store = open(&server.url()).await;
    store
        .start_session("workout", "set_log", "w1", r#"{"id":"w1"}"#)
        .await
        .unwrap();
    store
        .log_set("workout", "w1", "squat/1", r#"{"reps":5}"#)
        .await
        .unwrap();
    store.complete_session("workout", "w1", "{}").await.unwrap();
    store.put("note", "n1", "{}").await.unwrap();
    store.sync().await.unwrap();
    let left: Vec<_> = entries(&store)
        .await
        .iter()
        .map(|it| (it.kind.as_str(), it.state))
        .collect();
    assert_eq!(
        left,
        [("create", EntryState::Parked), ("complete", EntryState::Waiting)]
    );
}

#[tokio::test]
async fn no_id_reaches_another_resource() {
    let (_, server) = serve();
    let store = open(&server.url()).await;
    let sent = [
        ("a/b", "/v1/workouts/a%2Fb"),
        ("x/complete", "/v1/workouts/x%2Fcomplete"),
        ("a?limit=1#f", "/v1/workouts/a%3Flimit%3D1%23f"),
        ("%2e%2e", "/v1/workouts/%252e%252e"),
        ("@evil.example", "/v1/workouts/%40evil.example"),
        ("\u{e9}\u{1f4aa}", "/v1/workouts/%C3%A9%F0%9F%92%AA"),
    ];
    for (id, _) in sent {
        store.put("workout", id, "{}").await.unwrap();
    }
    store.sync().await.unwrap();
    let paths: Vec<String> = writes(&server).into_iter().map(|it| it.path).collect();
    assert_eq!(paths, sent.map(|(_, path)| path));
    let before = server.requests().len();
    let parked = [".", "..", "../notes", "a/../../notes", "a\\.."];
    for id in parked {
        store.put("workout", id, "{}").await.unwrap();
    }
    store.sync().await.unwrap();
    let left = entries(&store).await;
    let reasons: Vec<_> = left
        .iter()
        .map(|it| (it.id.as_str(), it.state, it.reason.clone().unwrap().code))
        .collect();
    assert_eq!(reasons, parked.map(|id| (id, EntryState::Parked, "bad_id".to_owned())));
    assert!(
        server.requests()[before..].iter().all(|it| it.method == "GET"),
        "nothing was sent"
    );
}

#[tokio::test]
async fn a_write_without_an_endpoint_is_parked_and_kept() {
    let (_, server) = serve();
    let store = open(&server.url()).await;
    store.put("note", "n1", r#"{"text":"a"}"#).await.unwrap();
    store.sync().await.unwrap();
    store.put("note", "n1", r#"{"text":"b"}"#).await.unwrap();
    store.sync().await.unwrap();
    let left = entries(&store).await;
    assert_eq!((left.len(), left[0].state), (1, EntryState::Parked));
    assert_eq!(left[0].reason.clone().unwrap().code, "no_endpoint");
    let record = store.get("note", "n1").await.unwrap().unwrap();
    assert_eq!(record.body.as_deref(), Some(r#"{"text":"b"}"#));
    assert_eq!(writes(&server).len(), 1);
}

#[tokio::test]
async fn a_delete_of_what_is_gone_has_arrived() {
    let (api, server) = serve();
    let store = open(&server.url()).await;
    store.put("workout", "w1", r#"{"id":"w1"}"#).await.unwrap();
    store.sync().await.unwrap();
    api.lock().unwrap().records.clear();
    store.delete("workout", "w1").await.unwrap();
    let report = store.sync().await.unwrap();
    assert_eq!((report.accepted, report.conflicts, report.parked), (1, 0, 0));
    assert!(entries(&store).await.is_empty());
    assert_eq!(writes(&server).last().unwrap().method, "DELETE");
}

#[tokio::test]
async fn a_set_that_was_deleted_elsewhere_is_brought_back_where_the_client_wins() {
    let is_lost = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_lost);
    let (api, server) = serve_but(move |request, _| {
        let refuses = request.path.contains("/sets/") && flag.swap(false, SeqCst);
        refuses.then(|| error(404, "not_found"))
    });
    let store = open(&server.url()).await;
    store.put("workout", "w1", r#"{"id":"w1"}"#).await.unwrap();
    let body = |reps| format!(r#"{{"id":"s1","workout_id":"w1","reps":{reps}}}"#);
    store.put("set_log", "s1", &body(5)).await.unwrap();
    assert_eq!(store.sync().await.unwrap().accepted, 2);
    is_lost.store(true, SeqCst);
    store.put("set_log", "s1", &body(6)).await.unwrap();
    let report = store.sync().await.unwrap();
    assert_eq!(
        (report.conflicts, report.rebased, report.accepted),
        (1, 1, 1),
        "{report:?}"
    );
    assert_eq!(api.lock().unwrap().records["/v1/workouts/w1/sets/s1"]["reps"], 6);
}

#[tokio::test]
async fn a_409_is_a_conflict_with_what_is_read_and_the_user_decides() {
    let api = Arc::new(Mutex::new(Api::default()));
    // After the pull of the pass and before its push, another device writes.
    let theirs = json!({"id": "w1", "name": "theirs"});
    let kept = Arc::clone(&api);
    let is_due = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_due);
    let racing = Scripted::start(move |request| {
        let mut api = kept.lock().unwrap();
        if request.method == "PUT" && flag.swap(false, SeqCst) {
            api.put("/v1/workouts/w1", theirs.clone());
        }
        api.serve(request)
    });
    let store = open(&racing.url()).await;
    store
        .put("workout", "w1", r#"{"id":"w1","name":"legs"}"#)
        .await
        .unwrap();
    store.sync().await.unwrap();
    store
        .put("workout", "w1", r#"{"id":"w1","name":"mine"}"#)
        .await
        .unwrap();
    is_due.store(true, SeqCst);
    let report = store.sync().await.unwrap();
    assert_eq!((report.conflicts, report.accepted), (1, 0), "{report:?}");
    let conflict = store.conflicts().await.unwrap().pop().unwrap();
    assert_eq!(conflict.local.as_deref(), Some(r#"{"id":"w1","name":"mine"}"#));
    assert!(conflict.remote.as_deref().unwrap().contains("theirs"));
    assert_eq!(conflict.remote_version, 2);
    store
        .resolve("workout", "w1", "2", Resolution::KeepLocal)
        .await
        .unwrap();
    let report = store.sync().await.unwrap();
    assert_eq!((report.conflicts, report.accepted), (0, 1), "{report:?}");
    let record = api.lock().unwrap().records["/v1/workouts/w1"].clone();
    assert_eq!((&record["name"], &record["version"]), (&json!("mine"), &json!(3)));
    let reads = racing
        .requests()
        .iter()
        .filter(|it| it.method == "GET" && it.path == "/v1/workouts/w1")
        .count();
    assert_eq!(reads, 1);
}

#[tokio::test]
async fn a_refusal_that_has_nothing_to_do_with_others_is_parked_and_does_not_go_round() {
    let (_, server) = serve_but(|request, _| (request.method == "POST").then(|| error(409, "already_completed")));
    let store = open(&server.url()).await;
    store
        .start_session("workout", "set_log", "w1", r#"{"id":"w1"}"#)
        .await
        .unwrap();
    store.complete_session("workout", "w1", "{}").await.unwrap();
    store.sync().await.unwrap();
    let left = entries(&store).await;
    assert_eq!((left.len(), left[0].state), (1, EntryState::Parked));
    assert_eq!(left[0].reason.clone().unwrap().code, "already_completed");
    let completes = writes(&server).iter().filter(|it| it.method == "POST").count();
    assert_eq!(completes, 1);
}

#[tokio::test]
async fn a_pull_goes_page_by_page_and_a_whole_list_removes_what_is_gone() {
    let (api, server) = serve();
    {
        let mut api = api.lock().unwrap();
        for n in 0..25 {
            api.put(&format!("/v1/workouts/w{n}"), json!({"id": format!("w{n}"), "n": n}));
        }
        api.exercises = (0..3).map(|n| json!({"id": format!("e{n}"), "name": n})).collect();
    }
    let settings = Settings {
        pull_page: 10,
        ..Settings::default()
    };
    let store = open_with(&server.url(), settings).await;
    let report = store.sync().await.unwrap();
    assert_eq!((report.pulled, report.pull), (28, HalfResult::Worked), "{report:?}");
    let count = async |collection: &str| {
        let query = keepsync::record::Query::new(collection).limit(100);
        store.query(query).await.unwrap().records.len()
    };
    assert_eq!((count("workout").await, count("exercise").await), (25, 3));
    let paths: Vec<String> = server.requests().iter().map(|it| it.path.clone()).collect();
    assert_eq!(
        paths,
        [
            "/v1/exercises",
            "/v1/workouts?limit=10",
            "/v1/workouts?since=10&limit=10",
            "/v1/workouts?since=20&limit=10",
        ]
    );
    {
        let mut api = api.lock().unwrap();
        api.exercises.remove(1);
        api.put("/v1/workouts/w3", json!({"id": "w3", "deleted": true}));
        api.put("/v1/workouts/w4", json!({"id": "w4", "n": 40}));
    }
    let report = store.sync().await.unwrap();
    assert_eq!(report.requests, 2, "{report:?}");
    assert_eq!((count("workout").await, count("exercise").await), (24, 2));
    assert!(store.get("exercise", "e1").await.unwrap().is_none());
    let body = store.get("workout", "w4").await.unwrap().unwrap().body.unwrap();
    assert_eq!(body, r#"{"id":"w4","n":40,"version":2}"#);
    // An own write comes back and changes nothing.
    store.put("workout", "w4", r#"{"id":"w4","n":41}"#).await.unwrap();
    store.sync().await.unwrap();
    store.sync().await.unwrap();
    assert_eq!(
        store.get("workout", "w4").await.unwrap().unwrap().state,
        RecordState::Synced
    );
    assert_eq!(api.lock().unwrap().records["/v1/workouts/w4"]["version"], 3);
}

#[tokio::test]
async fn a_forgotten_cursor_starts_its_collection_over() {
    let (api, server) = serve();
    api.lock().unwrap().put("/v1/workouts/w1", json!({"id": "w1"}));
    api.lock().unwrap().put("/v1/workouts/w2", json!({"id": "w2"}));
    let store = open(&server.url()).await;
    store.sync().await.unwrap();
    {
        let mut api = api.lock().unwrap();
        // A hard delete and a tombstone that is forgotten with it.
        *api = Api::default();
        api.put("/v1/workouts/w2", json!({"id": "w2"}));
        api.put("/v1/workouts/w2", json!({"id": "w2", "n": 2}));
        api.oldest_cursor = 3;
    }
    let report = store.sync().await.unwrap();
    assert_eq!(report.pull, HalfResult::Worked, "{report:?}");
    assert!(
        store.get("workout", "w1").await.unwrap().is_none(),
        "it is not there any more"
    );
    assert!(store.get("workout", "w2").await.unwrap().is_some());
}

#[tokio::test]
async fn a_list_that_fails_keeps_no_other_from_being_pulled() {
    let (api, server) = serve_but(|request, _| (request.path == "/v1/exercises").then(|| Reply::html(502)));
    api.lock().unwrap().put("/v1/workouts/w1", json!({"id": "w1"}));
    let store = open(&server.url()).await;
    assert!(store.sync().await.unwrap().pull.failed());
    let report = store.sync().await.unwrap();
    assert!(report.pull.failed(), "and that is said");
    assert!(store.get("workout", "w1").await.unwrap().is_some());
}

#[tokio::test]
async fn a_401_pauses_the_account_and_costs_nothing() {
    let is_signed_in = Arc::new(AtomicBool::new(false));
    for (status, code) in [(401, "who"), (403, "token_expired")] {
        is_signed_in.store(false, SeqCst);
        let flag = Arc::clone(&is_signed_in);
        let (_, server) =
            serve_but(move |request, _| (request.method != "GET" && !flag.load(SeqCst)).then(|| error(status, code)));
        let store = open(&server.url()).await;
        store.put("note", "n1", "{}").await.unwrap();
        store.sync().await.unwrap();
        assert_eq!(store.status().await.unwrap(), Status::NeedsSignIn, "{status}");
        let kept = entries(&store).await;
        assert_eq!((kept[0].state, kept[0].attempts), (EntryState::Waiting, 0), "{status}");
        is_signed_in.store(true, SeqCst);
        store.signed_in();
        store.sync().await.unwrap();
        assert!(entries(&store).await.is_empty(), "{status}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_takes_no_token_along() {
    let other = Scripted::start(|_| Reply::json(200, "{}"));
    let location = other.url();
    let (_, server) =
        serve_but(move |request, _| (request.method != "GET").then(|| Reply::new(307, "").with("location", &location)));
    let store = open(&server.url()).await;
    store.put("note", "n1", "{}").await.unwrap();
    store.sync().await.unwrap();
    assert_eq!(entries(&store).await.len(), 1);
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn a_portal_is_offline_and_costs_no_attempt() {
    let server = Scripted::start(|_| Reply::html(200));
    let store = open(&server.url()).await;
    store.put("note", "n1", "{}").await.unwrap();
    store.sync().await.unwrap();
    assert_eq!(store.status().await.unwrap(), Status::Offline);
    assert_eq!(entries(&store).await[0].attempts, 0);
    assert!(remote(&server.url()).probe().await.is_err());
}

#[test]
fn plain_http_is_for_this_machine_only() {
    let refused = RestRemote::new(HttpOptions::new("http://api.example.com"), described()).err();
    assert!(matches!(refused, Some(RestSetupError::Http(_))), "{refused:?}");
    let text = format!("{:?}", remote("https://api.example.com/v2"));
    assert!(text.contains("api.example.com"), "{text}");
}
