//! A real process that writes and drains, killed with SIGKILL at random moments, against a real server
//! over real sockets. `KEEPSYNC_KILLS` says how often (default 200), `KEEPSYNC_KILL_SEED` repeats the
//! moments of a run.
//!
//! 1. The child writes: sessions with sets, and a profile edited again and again. Before each write
//!    it says what it tries, and after it returned, that it is acknowledged. The drain runs all the
//!    while.
//! 2. It is killed a few milliseconds later, and started again on the same file.
//! 3. In the end a child only drains. Then everything acknowledged must be on the server, in order,
//!    nothing twice, and nothing unsent left.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "support/http.rs"]
mod http;

use keepsync::{
    Backend, OpenOptions, Store,
    collection::{Collection, Collections},
    conflict::Policy,
    remote::{
        RemoteFuture, Token, TokenFault, TokenProvider,
        http::{HttpOptions, HttpRemote},
    },
    settings::{Order, Settings},
};
use keepsync_sim::server::ModelServer;
use std::{
    collections::{BTreeMap, HashSet},
    io::{BufRead, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

const USER: &str = "lifter";
const SECRET: &str = "token-lifter";

/// Between a commit on the server and its answer.
const ANSWER_DELAY: Duration = Duration::from_millis(5);

struct Signed;

impl TokenProvider for Signed {
    fn token<'a>(
        &'a self,
        account: &'a str,
        _: Option<&'a Token>,
    ) -> RemoteFuture<'a, Result<Option<Token>, TokenFault>> {
        Box::pin(async move { Ok(Some(Token::new(SECRET, Some(account.to_owned())))) })
    }
}

async fn open(folder: &Path, url: &str, order: Order) -> Store {
    let collections = Collections::new([
        Collection::new("workout", Policy::Ask).priority(10),
        Collection::new("set_log", Policy::ClientWins)
            .child_of("workout", "workout_id")
            .priority(10),
        Collection::new("profile", Policy::LastWriteWins),
    ]);
    let mut options = OpenOptions::new(folder, USER, collections.unwrap());
    options.settings = Settings {
        order,
        write_delay_ms: 1,
        probe_interval_ms: 20,
        retry_schedule_ms: vec![10; 100],
        backoff_schedule_ms: vec![10],
        batch_count: 7,
        ..Settings::default()
    };
    let remote = HttpRemote::new(HttpOptions::new(url)).unwrap();
    let backend = Backend {
        remote: Arc::new(remote),
        tokens: Some(Arc::new(Signed)),
    };
    Store::open(options, Some(backend)).await.unwrap()
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{line}").unwrap();
    out.flush().unwrap();
}

/// The process that is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run as a child by a_process_killed_at_random_moments_loses_doubles_and_stalls_nothing"]
async fn child() {
    let var = |name: &str| std::env::var(name).unwrap();
    let folder = var("KEEPSYNC_KILL_FOLDER");
    let round = var("KEEPSYNC_KILL_ROUND");
    // After a kill a pull would show what arrived; without one only the operation ids can.
    let odd = round.parse().is_ok_and(|round: u64| round % 2 == 1);
    let order = if odd { Order::PushThenPull } else { Order::PullThenPush };
    let store = open(Path::new(&folder), &var("KEEPSYNC_KILL_URL"), order).await;
    if round == "last" {
        for _ in 0..1_000 {
            store.sync().await.unwrap();
            if store.queue_counts().await.unwrap().total() == 0 {
                say("drained");
                return;
            }
        }
        let left: Vec<_> = store.entries(i64::MIN, 20).await.unwrap();
        say(&format!("stuck {left:?}"));
        return;
    }
    say("ready");
    for n in 0u64.. {
        let workout = format!("w{round}-{n}");
        say(&format!("try workout {workout} 0"));
        store
            .start_session("workout", "set_log", &workout, r#"{"n":0}"#)
            .await
            .unwrap();
        say(&format!("ack workout {workout} 0"));
        for set in 0..3 {
            let id = keepsync::session::set_id(&workout, &set.to_string());
            say(&format!("try set_log {id} {set}"));
            store
                .log_set("workout", &workout, &set.to_string(), &format!(r#"{{"n":{set}}}"#))
                .await
                .unwrap();
            say(&format!("ack set_log {id} {set}"));
        }
        say(&format!("try workout {workout} 1"));
        store.complete_session("workout", &workout, r#"{"n":1}"#).await.unwrap();
        say(&format!("ack workout {workout} 1"));
        let profile = format!("p{round}");
        say(&format!("try profile {profile} {n}"));
        store
            .put("profile", &profile, &format!(r#"{{"n":{n}}}"#))
            .await
            .unwrap();
        say(&format!("ack profile {profile} {n}"));
    }
}

/// What the child said of one record: the last number it tried, and the last that was acknowledged.
#[derive(Debug, Default, Clone, Copy)]
struct Told {
    tried: i64,
    acknowledged: Option<i64>,
}

/// Runs a child until it ends or is killed; gives what it said.
fn run(folder: &Path, url: &str, round: &str, kill_after: Option<Duration>) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--ignored", "--nocapture"])
        .env("KEEPSYNC_KILL_FOLDER", folder)
        .env("KEEPSYNC_KILL_URL", url)
        .env("KEEPSYNC_KILL_ROUND", round)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (lines, said) = mpsc::channel();
    let out = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        BufReader::new(out)
            .lines()
            .map_while(Result::ok)
            .for_each(|line| drop(lines.send(line)));
    });
    let mut all = Vec::new();
    if let Some(after) = kill_after {
        while let Ok(line) = said.recv() {
            let ready = line == "ready";
            all.push(line);
            if ready {
                break;
            }
        }
        std::thread::sleep(after);
        // SIGKILL: nothing of the child runs after this.
        child.kill().unwrap();
    }
    child.wait().unwrap();
    reader.join().unwrap();
    all.extend(said.try_iter());
    all
}

struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

#[test]
fn a_process_killed_at_random_moments_loses_doubles_and_stalls_nothing() {
    let number = |name: &str, default: u64| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    let kills = number("KEEPSYNC_KILLS", 200);
    let seed = number("KEEPSYNC_KILL_SEED", 1);
    let mut random = Random(seed);
    let folder = tempfile::tempdir().unwrap();
    let server = Arc::new(Mutex::new(ModelServer::new()));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let url = runtime.block_on(http::serve(Arc::clone(&server), ANSWER_DELAY));

    let mut told: BTreeMap<(String, String), Told> = BTreeMap::new();
    for round in 0..kills {
        let after = Duration::from_micros(random.below(40_000));
        for line in run(folder.path(), &url, &round.to_string(), Some(after)) {
            let words: Vec<&str> = line.split(' ').collect();
            let [what @ ("try" | "ack"), collection, id, n] = words[..] else {
                continue;
            };
            let Ok(n) = n.parse::<i64>() else { continue };
            let told = told.entry((collection.to_owned(), id.to_owned())).or_default();
            if what == "try" {
                told.tried = n;
            } else {
                told.acknowledged = Some(n);
            }
        }
    }
    let last = run(folder.path(), &url, "last", None);
    assert!(last.iter().any(|line| line == "drained"), "seed {seed}: {last:?}");

    let server = server.lock().unwrap();
    let account = server.account(USER).unwrap();
    let n_of = |body: &Option<String>| -> i64 {
        let body: serde_json::Value = serde_json::from_str(body.as_deref().unwrap()).unwrap();
        body["n"].as_i64().unwrap()
    };
    let mut ops = HashSet::new();
    let mut applied: BTreeMap<_, Vec<i64>> = BTreeMap::new();
    for entry in account.log() {
        assert!(ops.insert(entry.op), "seed {seed}: applied twice: {entry:?}");
        applied.entry(entry.key.clone()).or_default().push(n_of(&entry.body));
    }
    let mut acknowledged = 0;
    for (key, told) in &told {
        let there = applied.get(key).cloned().unwrap_or_default();
        assert!(
            there.is_sorted_by(|a, b| a < b),
            "seed {seed}: {key:?} doubled or out of order: {there:?}"
        );
        if let Some(n) = told.acknowledged {
            acknowledged += 1;
            let newest = there.last().copied();
            let fits = newest.is_some_and(|newest| (n..=told.tried).contains(&newest));
            assert!(
                fits,
                "seed {seed}: {key:?} lost: acknowledged {n}, the server has {newest:?}"
            );
        }
    }
    assert!(
        applied.keys().all(|key| told.contains_key(key)),
        "seed {seed}: something nobody wrote"
    );
    println!("{kills} kills, seed {seed}: {acknowledged} records acknowledged, 0 lost, 0 doubled, 0 stuck");
}
