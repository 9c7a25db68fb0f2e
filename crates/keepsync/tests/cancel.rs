//! Every exported future, dropped after each number of polls: what it was about has happened or has not, its
//! file is sound, and nothing waits for what will never come.
//!
//! A future is polled p times, for p = 0, 1, 2, ... until it comes to its end, and dropped there: at once, and,
//! in a second run, when it has been woken to go on. Then the same call and others must come to their end, the
//! drain must finish, and the store must close. A call that is missing from the lists here fails a test.

#![cfg(all(feature = "runtime", feature = "http"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of tests are tests too"
)]

#[path = "support/local.rs"]
mod local;
#[path = "support/scripted.rs"]
mod scripted;

use keepsync::{
    Backend, Db, Error, OpenOptions, Store, Write,
    accounts::Accounts,
    carry::{self, Import},
    conflict::Resolution,
    drain::HalfResult,
    hlc::Hlc,
    record::{self, Mutation, Query},
    remote::{
        Accepted, Capabilities, Fault, Outcome, PullPage, PullRequest, PushAnswer, PushBatch, PushItem, Remote,
        RemoteFuture, RemoteVersion, Token, TokenFault, TokenProvider, Tokens,
        http::{HttpOptions, HttpRemote},
    },
    settings::Settings,
    store::Watch,
};
use keepsync_wire::{Operation, TokenResponse};
use local::{Clock, collections};
use scripted::{Reply, Scripted, answer_to};
use std::{
    collections::{BTreeSet, HashSet},
    future::poll_fn,
    path::Path,
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
    time::Duration,
};
use tempfile::TempDir;
use uuid::Uuid;

/// Far more than anything here takes; it only keeps a broken rule from hanging the run.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(Duration::from_secs(60), future).await;
    done.unwrap_or_else(|_| panic!("{what} hangs"))
}

/// Polls a future, each time it is woken, so often and no more. Dropped at once after the last time, or, if
/// `late`, when it is woken once more. `None`: it was not at its end.
async fn polled<T>(mut future: Pin<Box<dyn Future<Output = T> + Send>>, times: usize, late: bool) -> Option<T> {
    let mut left = times;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if left == 0 && !late => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Lets everybody else have a turn, so that there are moments to be dropped at.
async fn turns() {
    for _ in 0..2 {
        tokio::task::yield_now().await;
    }
}

/// Refuses what is called `refused`, has another version of what is called `met`, takes all else.
#[derive(Default)]
struct Remembering {
    taken: Mutex<HashSet<Uuid>>,
}

impl Remote for Remembering {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            batches: true,
            after: true,
            pull: true,
        }
    }

    fn push<'a>(&'a self, _: Option<&'a Token>, batch: PushBatch) -> RemoteFuture<'a, Result<PushAnswer, Fault>> {
        Box::pin(async move {
            turns().await;
            let say = |item: &PushItem| match item.id.as_str() {
                "refused" if item.body.as_deref() == Some(r#"{"n":"bad"}"#) => Outcome::Rejected {
                    code: "validation".to_owned(),
                    message: "no".to_owned(),
                },
                "met" if item.base_version == 0 => Outcome::Conflict(RemoteVersion {
                    body: Some(r#"{"n":"theirs"}"#.to_owned()),
                    version: 7,
                    hlc: Hlc::at(1_763_600_000_000),
                    device_id: "tablet".to_owned(),
                    ..RemoteVersion::default()
                }),
                _ => {
                    self.taken.lock().unwrap().insert(item.op);
                    Outcome::Accepted(Accepted {
                        version: item.base_version + 1,
                        ..Accepted::default()
                    })
                }
            };
            let results = batch.items.iter().map(|item| (item.op, say(item))).collect();
            turns().await;
            Ok(PushAnswer {
                results,
                ..PushAnswer::default()
            })
        })
    }

    fn pull<'a>(&'a self, _: Option<&'a Token>, _: PullRequest) -> RemoteFuture<'a, Result<PullPage, Fault>> {
        Box::pin(async {
            turns().await;
            Ok(PullPage::default())
        })
    }

    fn probe<'a>(&'a self) -> RemoteFuture<'a, Result<(), Fault>> {
        Box::pin(async { Ok(()) })
    }
}

/// Trades a refresh token for the next: the old one is spent before the new one is stored.
#[derive(Default)]
struct Trader {
    spent: AtomicUsize,
    stored: AtomicUsize,
    cut: AtomicBool,
}

/// Notices that it was dropped on the way.
struct Trade<'a>(&'a Trader);

impl Drop for Trade<'_> {
    fn drop(&mut self) {
        if self.0.spent.load(SeqCst) != self.0.stored.load(SeqCst) {
            self.0.cut.store(true, SeqCst);
        }
    }
}

impl TokenProvider for Trader {
    fn token<'a>(&'a self, _: &'a str, _: Option<&'a Token>) -> RemoteFuture<'a, Result<Option<Token>, TokenFault>> {
        Box::pin(async move {
            let trade = Trade(self);
            let number = self.spent.fetch_add(1, SeqCst) + 1;
            turns().await;
            self.stored.store(number, SeqCst);
            drop(trade);
            Ok(Some(Token::new(format!("token-{number}"), None)))
        })
    }
}

#[derive(Clone)]
struct World {
    accounts: Arc<Accounts>,
    store: Store,
    remote: Arc<Remembering>,
    tokens: Arc<Trader>,
    folder: Arc<TempDir>,
    options: OpenOptions,
    /// Unsent.
    unsent: Uuid,
    /// Parked.
    parked: Uuid,
    /// As the conflict was shown.
    shown: String,
    /// What another device took out: some hundred records, which come in with several commits.
    carried: String,
}

fn options(folder: &Path) -> OpenOptions {
    OpenOptions {
        env: Clock::new(),
        settings: Settings {
            automatic: false,
            ..Settings::default()
        },
        ..OpenOptions::new(folder, "ann", collections())
    }
}

impl World {
    /// A parked write, a conflict, a session in progress, a write that was not sent, two accounts.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = options(folder.path());
        let (remote, tokens) = (Arc::new(Remembering::default()), Arc::new(Trader::default()));
        let (backend, provider) = (remote.clone(), tokens.clone());
        let accounts = Accounts::new(options.clone(), move |_| {
            Some(Backend {
                remote: backend.clone(),
                tokens: Some(provider.clone()),
            })
        });
        let accounts = Arc::new(accounts.unwrap());
        let store = accounts.switch("ann").await.unwrap();
        store.put("workout", "old", r#"{"n":0}"#).await.unwrap();
        let parked = store.put("workout", "refused", r#"{"n":"bad"}"#).await.unwrap().op;
        store.put("workout", "met", r#"{"n":"mine"}"#).await.unwrap();
        store.sync().await.unwrap();
        let shown = store.conflicts().await.unwrap().remove(0).token;
        store
            .start_session("workout", "set_log", "session", r#"{"n":1}"#)
            .await
            .unwrap();
        store.log_set("workout", "session", "squat/1", "{}").await.unwrap();
        store.kv_set("key", r#"{"a":1}"#).await.unwrap();
        let unsent = store.put("workout", "w", r#"{"n":2}"#).await.unwrap().op;
        Self {
            accounts,
            store,
            remote,
            tokens,
            folder: Arc::new(folder),
            options,
            unsent: unsent.unwrap(),
            parked: parked.unwrap(),
            shown,
            carried: carried(),
        }
    }

    fn import(&self) -> Import {
        Import::parse(
            self.carried.as_bytes(),
            &self.options.collections,
            &self.options.settings,
        )
        .unwrap()
    }
}

fn carried() -> String {
    static TEXT: OnceLock<String> = OnceLock::new();
    let make = || {
        let folder = tempfile::tempdir().unwrap();
        let mut other = Db::open(options(folder.path())).unwrap();
        let puts = |write: &mut Write<'_>| {
            (0..600).try_for_each(|n| record::put(write, "workout", &format!("carried{n}"), "{}").map(drop))
        };
        other.write(puts).unwrap();
        other.read(|read| carry::export(read, 0)).unwrap().text
    };
    TEXT.get_or_init(make).clone()
}

type Call = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;
type Make = fn(&World) -> Call;

macro_rules! calls {
    ($($name:literal: |$world:ident| $call:expr;)*) => {
        [$(($name, (|world: &World| -> Call {
            let $world = world.clone();
            Box::pin(async move { $call.await.map(drop) })
        }) as Make)),*]
    };
}

/// What an app can await of a store and of accounts.
fn calls() -> Vec<(&'static str, Make)> {
    calls! {
        "Store::open": |w| Store::open(w.options.clone(), None);
        "Store::close": |w| w.store.close();
        "Store::read": |w| w.store.read(|read| read.queue_counts());
        "Store::write": |w| w.store.write(|write| keepsync::kv::set(write, "written", "1"));
        "Store::sync": |w| w.store.sync();
        "Store::background": |w| w.store.background(5_000);
        "Store::status": |w| w.store.status();
        "Store::counters": |w| w.store.counters();
        "Store::events": |w| w.store.events(10);
        "Store::bundle": |w| w.store.bundle();
        "Store::first_sync": |w| w.store.first_sync();
        "Store::retry_first_sync": |w| w.store.retry_first_sync();
        "Store::continue_without_first_sync": |w| w.store.continue_without_first_sync();
        "Store::confirmed": |w| w.store.confirmed(w.unsent, 5_000);
        "Store::put": |w| w.store.put("workout", "new", "{}");
        "Store::patch": |w| w.store.patch("workout", "old", r#"{"n":3}"#);
        "Store::delete": |w| w.store.delete("workout", "old");
        "Store::write_all": |w| w.store.write_all(vec![
            Mutation::Put { collection: "workout".into(), id: "a".into(), body: "{}".into() },
            Mutation::Delete { collection: "workout".into(), id: "old".into() },
        ]);
        "Store::get": |w| w.store.get("workout", "old");
        "Store::query": |w| w.store.query(Query::new("workout"));
        "Store::history": |w| w.store.history("workout", "old");
        "Store::start_session": |w| w.store.start_session("plan", "plan_set", "p", "{}");
        "Store::log_set": |w| w.store.log_set("workout", "session", "squat/2", "{}");
        "Store::remove_set": |w| w.store.remove_set("workout", "session", "squat/1");
        "Store::note": |w| w.store.note("workout", "session", Some("heavy"));
        "Store::complete_session": |w| w.store.complete_session("workout", "session", "{}");
        "Store::skip_session": |w| w.store.skip_session("workout", "session", "{}");
        "Store::discard_session": |w| w.store.discard_session("workout", "session");
        "Store::active_sessions": |w| w.store.active_sessions();
        "Store::kv_get": |w| w.store.kv_get("key");
        "Store::kv_set": |w| w.store.kv_set("key", "2");
        "Store::kv_remove": |w| w.store.kv_remove("key");
        "Store::kv_merge": |w| w.store.kv_merge("key", r#"{"b":2}"#);
        "Store::kv_multi_get": |w| w.store.kv_multi_get(vec!["key".into()]);
        "Store::kv_multi_set": |w| w.store.kv_multi_set(vec![("x".into(), "1".into()), ("y".into(), "2".into())]);
        "Store::kv_multi_remove": |w| w.store.kv_multi_remove(vec!["key".into()]);
        "Store::kv_keys": |w| w.store.kv_keys();
        "Store::kv_clear": |w| w.store.kv_clear();
        "Store::entries": |w| w.store.entries(i64::MIN, 100);
        "Store::entry": |w| w.store.entry(w.unsent);
        "Store::queue_counts": |w| w.store.queue_counts();
        "Store::edit_entry": |w| w.store.edit_entry(w.parked, r#"{"n":"good"}"#);
        "Store::retry_entry": |w| w.store.retry_entry(w.parked);
        "Store::retry_all": |w| w.store.retry_all();
        "Store::discard_entry": |w| w.store.discard_entry(w.parked, true);
        "Store::outcome": |w| w.store.outcome(w.unsent);
        "Store::rollback": |w| w.store.rollback(w.unsent, true);
        "Store::export_queue": |w| w.store.export_queue();
        "Store::conflicts": |w| w.store.conflicts();
        "Store::resolve": |w| w.store.resolve("workout", "met", &w.shown, Resolution::KeepLocal);
        "Store::twins": |w| w.store.twins("workout");
        "Store::merge_into": |w| w.store.merge_into("workout", "old", "w");
        "Store::last_change_elsewhere": |w| w.store.last_change_elsewhere("workout", "old");
        "Store::notices": |w| w.store.notices();
        "Store::dismiss_notice": |w| w.store.dismiss_notice(1);
        "Store::export": |w| w.store.export();
        "Store::import": |w| async { w.store.import(w.carried.as_bytes().to_vec()).await };
        "Store::bring_in": |w| async { w.store.bring_in(w.import()).await };
        "Subscription::next": |w| async { w.store.subscribe(Watch::queue())?.next().await };
        "Feed::next": |w| async {
            let mut feed = w.store.feed()?;
            w.store.put("workout", "fed", "{}").await?;
            feed.next().await
        };
        "Accounts::open": |w| w.accounts.open("bob");
        "Accounts::switch": |w| w.accounts.switch("bob");
        "Accounts::sign_out": |w| w.accounts.sign_out("ann");
        "Accounts::list": |w| w.accounts.list();
        "Accounts::losses": |w| w.accounts.losses("ann");
        "Accounts::wipe": |w| async { w.accounts.wipe("ann", &w.accounts.losses("ann").await?).await };
    }
    .into()
}

/// Tested on their own, below.
const ALONE: [&str; 3] = ["Tokens::current", "Tokens::refresh", "HttpRemote::trade"];

/// Those after which the store that was open may be closed.
const CLOSE: [&str; 4] = [
    "Store::close",
    "Accounts::switch",
    "Accounts::sign_out",
    "Accounts::wipe",
];

/// Those that throw the unsent write away.
const THROW_AWAY: [&str; 3] = ["Store::rollback", "Store::merge_into", "Accounts::wipe"];

/// One call, dropped after so many polls. True: it came to its end.
async fn dropped_after(name: &str, make: Make, times: usize, late: bool) -> bool {
    let world = World::new().await;
    let what = format!("{name} dropped after {times} polls{}", if late { ", late" } else { "" });
    // These wait for the drain.
    let waits = ["Store::outcome", "Store::rollback"].contains(&name);
    let store = world.store.clone();
    let drain = waits.then(|| tokio::spawn(async move { store.sync().await }));
    let call = make(&world);
    let done = within(&what, polled(call, times, late)).await;
    if let Some(Err(error)) = &done {
        assert!(!matches!(error, Error::Closed | Error::Internal(_)), "{what}: {error}");
    }
    if let Some(drain) = drain {
        within(&what, drain).await.unwrap().unwrap();
    }
    // The same again comes to an end, whatever became of the first.
    if let Err(error) = within(&format!("{what}, then again: it"), make(&world)).await {
        let closed = CLOSE.contains(&name) && error == Error::Closed;
        assert!(
            closed || !matches!(error, Error::Closed | Error::Internal(_)),
            "{what}, then again: {error}"
        );
    }
    // And so do others.
    let store = within(&what, world.accounts.open("ann")).await.unwrap();
    let after = within(&what, store.put("workout", "after", r#"{"n":9}"#))
        .await
        .unwrap();
    let mut subscription = store.subscribe(Watch::query(Query::new("workout"))).unwrap();
    within(&what, subscription.next()).await.unwrap();
    let report = within(&format!("{what}: the drain"), store.sync()).await.unwrap();
    assert_eq!(
        (report.pull, report.push),
        (HalfResult::Worked, HalfResult::Worked),
        "{what}: {report:?}"
    );
    let counts = store.queue_counts().await.unwrap();
    assert_eq!(counts.waiting, 0, "{what}: {counts:?}");
    let taken = world.remote.taken.lock().unwrap().clone();
    assert!(taken.contains(&after.op.unwrap()), "{what}");
    assert!(
        taken.contains(&world.unsent) || THROW_AWAY.contains(&name),
        "{what}: a write was lost"
    );
    let examined = store.read(|read| read.examine()).await.unwrap();
    assert!(examined.problems.is_empty(), "{what}: {:?}", examined.problems);
    let cut = world.tokens.cut.load(SeqCst);
    assert!(!cut || CLOSE.contains(&name), "{what}: a refresh token was lost");
    within(&format!("{what}: closing"), store.close()).await.unwrap();
    let again = within(&what, Store::open(world.options.clone(), None)).await.unwrap();
    let examined = again.read(|read| read.examine()).await.unwrap();
    assert!(
        examined.problems.is_empty(),
        "{what}, opened again: {:?}",
        examined.problems
    );
    again.close().await.unwrap();
    drop(world.folder);
    done.is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_future_of_a_store_or_of_accounts_may_be_dropped_after_any_poll() {
    let mut dropped = 0;
    for (name, make) in calls() {
        for late in [false, true] {
            for times in usize::from(late).. {
                assert!(times < 200, "{name} never comes to its end");
                dropped += 1;
                if dropped_after(name, make, times, late).await {
                    break;
                }
            }
        }
    }
    // Each is dropped before its first poll, and in between at least once.
    assert!(dropped >= 4 * calls().len(), "only {dropped}");
}

/// `Type::function` of each public async function in the source, but for what only tests see.
fn in_the_source(folder: &Path, found: &mut BTreeSet<String>) {
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            in_the_source(&path, found);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let mut of = String::new();
        for line in text.lines().take_while(|line| *line != "mod tests {") {
            if let Some(block) = line.strip_prefix("impl") {
                let block = block.trim_end_matches(['{', ' ']);
                let name = block.rsplit(" for ").next().unwrap_or_default();
                let name = if name.starts_with('<') {
                    name.split_once("> ").map_or(name, |(_, name)| name)
                } else {
                    name
                };
                let name = name.trim().split('<').next().unwrap_or_default();
                of = name.rsplit("::").next().unwrap_or_default().to_owned();
            }
            if let Some(rest) = line.trim_start().strip_prefix("pub async fn ") {
                let name = rest.split(['(', '<']).next().unwrap_or_default();
                found.insert(format!("{of}::{name}"));
            }
        }
    }
}

#[test]
fn every_public_async_function_is_in_the_lists() {
    let mut found = BTreeSet::new();
    in_the_source(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    let listed: BTreeSet<String> = calls()
        .iter()
        .map(|(name, _)| *name)
        .chain(ALONE)
        .map(str::to_owned)
        .collect();
    assert_eq!(found, listed, "left: the source; right: what is tested here");
}

// Tokens.

#[tokio::test]
async fn a_trade_of_tokens_outlives_whoever_asked_for_it() {
    let ask = |tokens: Arc<Tokens>, old: Option<Token>| -> Pin<Box<dyn Future<Output = _> + Send>> {
        Box::pin(async move {
            match old {
                Some(old) => tokens.refresh(&old).await,
                None => tokens.current().await,
            }
        })
    };
    for refused in [false, true] {
        for late in [false, true] {
            for times in usize::from(late).. {
                let trader = Arc::new(Trader::default());
                let tokens = Arc::new(Tokens::new(trader.clone(), "ann"));
                let old = match refused {
                    true => tokens.current().await.unwrap(),
                    false => None,
                };
                let before = trader.spent.load(SeqCst);
                // The first is dropped; the others wait behind it, one of them is dropped too.
                let first = polled(ask(tokens.clone(), old.clone()), times, late);
                let second = polled(ask(tokens.clone(), old.clone()), 1, false);
                let others = [ask(tokens.clone(), old.clone()), ask(tokens.clone(), old.clone())];
                let others = others.map(tokio::spawn);
                let (first, second) = (first.await, second.await);
                for other in others {
                    let token = within("a waiter", other).await.unwrap().unwrap();
                    assert_eq!(
                        token.map(|token| token.secret().to_owned()),
                        Some(format!("token-{}", before + 1))
                    );
                }
                assert_eq!(trader.spent.load(SeqCst), before + 1, "one trade, whoever was dropped");
                assert!(!trader.cut.load(SeqCst), "a refresh token was lost");
                assert!(second.is_none_or(|token| token.is_ok()));
                if first.is_some() {
                    break;
                }
            }
        }
    }
}

// Real sockets.

fn batch() -> PushBatch {
    let item = PushItem {
        seq: 1,
        op: Uuid::from_u128(1),
        collection: "workout".to_owned(),
        parent_id: None,
        parent_server_id: None,
        id: "w".to_owned(),
        operation: Operation::Create,
        body: Some("{}".to_owned()),
        base_version: 0,
        base_op: None,
        base_id: None,
        after: Vec::new(),
        replaces: None,
        earlier: Vec::new(),
        created_at: 0,
        hlc: Hlc::at(1),
        clocks: None,
        server_id: None,
    };
    PushBatch {
        epoch: None,
        account: "ann".to_owned(),
        device_id: "phone".to_owned(),
        device_label: None,
        items: vec![item],
    }
}

type Ask = fn(Arc<HttpRemote>) -> Pin<Box<dyn Future<Output = Result<(), Fault>> + Send>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_over_a_socket_may_be_dropped_after_any_poll() {
    let server = Scripted::start(|request| {
        let token = || TokenResponse {
            access_token: "a".to_owned(),
            refresh_token: "r".to_owned(),
            expires_in: 60,
            user_id: "ann".to_owned(),
        };
        match request.path.ends_with("refresh") {
            true => Reply::ours(200, serde_json::to_string(&token()).unwrap()),
            false if request.path.ends_with("health") => Reply::ours(200, "{}"),
            false => Reply::ours(200, answer_to(request, 200)),
        }
    });
    let remote = Arc::new(HttpRemote::new(HttpOptions::new(server.url())).unwrap());
    let asks: [(&str, Ask); 4] = [
        ("trade", |remote| {
            Box::pin(async move { remote.trade("old").await.map(drop) })
        }),
        ("push", |remote| {
            Box::pin(async move { remote.push(None, batch()).await.map(drop) })
        }),
        ("pull", |remote| {
            Box::pin(async move { remote.pull(None, PullRequest::default()).await.map(drop) })
        }),
        ("probe", |remote| Box::pin(async move { remote.probe().await })),
    ];
    for (name, ask) in asks {
        for late in [false, true] {
            for times in usize::from(late).. {
                let done = within(name, polled(ask(remote.clone()), times, late)).await;
                // A connection that was left in the middle is not used again.
                assert_eq!(
                    within(name, ask(remote.clone())).await,
                    Ok(()),
                    "{name} after {times} polls"
                );
                if let Some(done) = done {
                    assert_eq!(done, Ok(()), "{name}");
                    break;
                }
            }
        }
    }
}
