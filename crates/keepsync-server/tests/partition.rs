//! The partition matrix, real: 5 to 10 devices in one process, each behind a proxy of its own, and the real
//! server. They write 10 to 40 times a second in all, while the link of each, at times of all, is cut up, down
//! or both ways for up to 10 s, again and again. Settings are the default ones. At last every link is healed:
//! how long until every queue is empty?
//!
//! The bar is 11 s: an offline device asks every 10 s whether the server is there, and then needs a second for
//! what waits. Bytes that were sent into a cut arrive after it as TCP sends them again (see
//! `keepsync_proxy`'s `Cut`). Then the independent oracle judges: nothing lost, doubled, turned around,
//! overwritten unseen, and all devices show what the server holds.
//!
//! `KEEPSYNC_PARTITIONS` runs (default 1) of `KEEPSYNC_PARTITION_SECONDS` each (default 6), from
//! `KEEPSYNC_PARTITION_SEED` (default 1) on. `KEEPSYNC_PARTITION_SWALLOW=1`: what is sent into a cut never
//! arrives; there the bar is not held to, only the rest.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the helpers of tests are tests too"
)]

mod support;

use keepsync::{
    Backend, OpenOptions, Store,
    collection::{Collection, Collections},
    conflict::Policy,
    record::{self, Query},
    remote::{
        RemoteFuture, Token, TokenFault, TokenProvider,
        http::{HttpOptions, HttpRemote},
    },
    settings::Settings,
};
use keepsync_oracle::{Fact, History, Key, Told, check};
use keepsync_proxy::{Cut, Proxy, rng::Rng};
use keepsync_server::{Config, Rate, access_token};
use serde_json::Value;
use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use support::{Running, now_ms};
use tokio::task::JoinSet;

const USER: &str = "ann";

/// After the last healing.
const BAR: Duration = Duration::from_secs(11);

/// What is not empty by then is stuck.
const PATIENCE: Duration = Duration::from_secs(120);

/// The longest cut, and the longest time between two.
const LONGEST: Duration = Duration::from_secs(10);

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

struct Signed(String);

impl TokenProvider for Signed {
    fn token<'a>(&'a self, _: &'a str, _: Option<&'a Token>) -> RemoteFuture<'a, Result<Option<Token>, TokenFault>> {
        let token = Token::new(self.0.clone(), None);
        Box::pin(async move { Ok(Some(token)) })
    }
}

struct Device {
    name: String,
    store: Store,
    proxy: Proxy,
}

impl Device {
    async fn new(folder: &Path, server: &Running, name: String, token: &str) -> Self {
        let proxy = Proxy::start(server.address).await.unwrap();
        let collections = Collections::new([
            Collection::new("note", Policy::ClientWins),
            Collection::new("board", Policy::LastWriteWins),
        ]);
        let mut options = OpenOptions::new(folder.join(&name), USER, collections.unwrap());
        options.settings = Settings {
            // For the oracle, which looks for every version that lost.
            history_per_record: 100_000,
            history_count: 1_000_000,
            ..Settings::default()
        };
        let backend = Backend {
            remote: Arc::new(HttpRemote::new(HttpOptions::new(proxy.url())).unwrap()),
            tokens: Some(Arc::new(Signed(token.to_owned()))),
        };
        let store = Store::open(options, Some(backend)).await.unwrap();
        Self { name, store, proxy }
    }

    /// One write: half of them to a record that all change.
    async fn write(&self, n: u64, random: &mut Rng, facts: &Arc<Mutex<Vec<Fact>>>) {
        let write = format!("{}/{n}", self.name);
        let (collection, id) = match random.below(2) {
            0 => ("note", format!("{}-{}", self.name, n / 3)),
            _ => ("board", format!("b{}", random.below(5))),
        };
        let (name, told, device) = (write.clone(), Arc::clone(facts), self.name.clone());
        let written = self.store.write(move |transaction| {
            let seen = transaction
                .read()
                .get(collection, &id)?
                .and_then(|record| name_in(&record.body?));
            told.lock().unwrap().push(Fact::Tried {
                write: name.clone(),
                user: USER.to_owned(),
                device: device.clone(),
                key: Key::new(collection, &id),
                deletes: false,
                saw: seen.into_iter().collect(),
            });
            record::put(transaction, collection, &id, &format!(r#"{{"m":"{name}"}}"#))
        });
        let op = written.await.unwrap().op.map(|op| op.to_string());
        facts.lock().unwrap().push(Fact::Returned { write, op });
    }

    async fn until_empty(&self, healed: Instant) -> Option<Duration> {
        while healed.elapsed() < PATIENCE {
            if self.store.queue_counts().await.unwrap().total() == 0 {
                return Some(healed.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        None
    }

    /// What it shows in the end.
    async fn shown(&self) -> Vec<Fact> {
        let mut facts = Vec::new();
        let (user, device) = (USER.to_owned(), self.name.clone());
        for collection in ["note", "board"] {
            let mut query = Query::new(collection).limit(1_000);
            loop {
                let page = self.store.query(query).await.unwrap();
                for record in page.records {
                    let key = Key::new(collection, &record.id);
                    for version in self.store.history(collection, &record.id).await.unwrap() {
                        facts.push(Fact::History {
                            user: user.clone(),
                            device: device.clone(),
                            key: key.clone(),
                            write: version.body.as_deref().and_then(name_in),
                        });
                    }
                    let body = record.body.unwrap();
                    facts.push(Fact::Shows {
                        user: user.clone(),
                        device: device.clone(),
                        key,
                        write: name_in(&body),
                        body: serde_json::from_str(&body).unwrap(),
                    });
                }
                let Some(next) = page.next else { break };
                query = Query::new(collection).limit(1_000).after(next);
            }
        }
        for entry in self.store.entries(i64::MIN, 1_000).await.unwrap() {
            facts.push(Fact::Unsent {
                user: user.clone(),
                device: device.clone(),
                key: Key::new(entry.collection, entry.id),
                write: None,
                why: entry.why.code().to_owned(),
            });
        }
        facts
    }
}

fn name_in(body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    body.get("m")?.as_str().map(str::to_owned)
}

/// Cuts and heals; at last a cut that ends for all at the same moment, which the caller chooses: `end`.
async fn weather(device: Arc<Device>, mut random: Rng, longest: Duration, swallows: bool, end: Instant) {
    let part = |random: &mut Rng| longest.mul_f64(random.unit());
    let cut = |random: &mut Rng| {
        let way = random.below(3);
        device.proxy.cut(Cut {
            up: way != 0,
            down: way != 1,
            swallows,
        });
    };
    loop {
        let (pause, length) = (part(&mut random), part(&mut random));
        if Instant::now() + pause + length > end - longest {
            break;
        }
        tokio::time::sleep(pause).await;
        cut(&mut random);
        tokio::time::sleep(length).await;
        device.proxy.heal();
    }
    let last = end - part(&mut random);
    tokio::time::sleep(last.saturating_duration_since(Instant::now())).await;
    cut(&mut random);
}

/// Gives for each device how long it took until its queue was empty.
async fn run(seed: u64, seconds: u64, swallows: bool) -> Vec<Duration> {
    let mut random = Rng::new(seed, 0);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut config = Config::new(&data);
    let rate = Rate {
        per_second: 100_000,
        burst: 100_000,
    };
    (config.limits.per_user, config.limits.per_address) = (rate, rate);
    let server = Running::start(config).await;
    let token = access_token(&data, USER, 3_600, now_ms()).unwrap();
    let count = random.between(5, 10);
    let per_second = random.between(10, 40);
    let mut devices = Vec::new();
    for n in 0..count {
        devices.push(Arc::new(
            Device::new(folder.path(), &server, format!("d{n}"), &token).await,
        ));
    }
    let facts = Arc::new(Mutex::new(Vec::new()));
    let over = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    let end = Instant::now() + Duration::from_secs(seconds);
    for (n, device) in devices.iter().enumerate() {
        let stream = 10 * n as u64;
        let longest = LONGEST.min(Duration::from_secs(seconds) / 2);
        tasks.spawn(weather(
            Arc::clone(device),
            Rng::new(seed, stream + 1),
            longest,
            swallows,
            end,
        ));
        let (device, facts, over) = (Arc::clone(device), Arc::clone(&facts), Arc::clone(&over));
        let mut random = Rng::new(seed, stream + 2);
        tasks.spawn(async move {
            let mut n = 0;
            while !over.load(SeqCst) {
                let mean = 1_000 * count / per_second;
                tokio::time::sleep(Duration::from_millis(random.below(2 * mean + 1))).await;
                device.write(n, &mut random, &facts).await;
                n += 1;
            }
        });
    }
    tokio::time::sleep(end.saturating_duration_since(Instant::now())).await;
    over.store(true, SeqCst);
    while tasks.join_next().await.is_some() {}
    let healed = Instant::now();
    devices.iter().for_each(|device| device.proxy.heal());
    let mut waits = JoinSet::new();
    for device in devices.clone() {
        waits.spawn(async move {
            let empty = device.until_empty(healed).await;
            let left = device.store.entries(i64::MIN, 3).await.unwrap();
            let why: Vec<_> = left.iter().map(|entry| entry.why.code().to_owned()).collect();
            let events = device.store.events(6).await.unwrap();
            let status = device.store.status().await.unwrap();
            empty.ok_or_else(|| format!("{}: {status:?} {why:?} {events:#?}", device.name))
        });
    }
    let empty: Result<Vec<Duration>, String> = waits.join_all().await.into_iter().collect();
    let empty = empty.unwrap();
    // Everybody fetches what the others sent last.
    for device in &devices {
        let report = device.store.sync().await.unwrap();
        assert!(!report.pull.failed() && !report.push.failed(), "{report:?}");
    }
    let mut facts = std::mem::take(&mut *facts.lock().unwrap());
    for device in &devices {
        facts.extend(device.shown().await);
        device.store.close().await.unwrap();
    }
    server.stop().await;
    facts.extend(keepsync_oracle::dump(&data.join("server.db"), &[]).unwrap());
    facts.push(Fact::Quiet);
    let history = History::of(facts).unwrap();
    let violations = check(&history);
    let mut sorted = empty.clone();
    sorted.sort();
    println!(
        "seed {seed}: {count} devices, {} writes, {} applied, empty after {:?}, {} broken",
        history
            .writes
            .values()
            .filter(|write| write.told == Told::Returned)
            .count(),
        history.applied().count(),
        sorted,
        violations.len()
    );
    let few = &violations[..violations.len().min(10)];
    if !violations.is_empty() {
        std::fs::write(folder.path().join("history.jsonl"), history.to_lines()).unwrap();
        println!("history.jsonl is kept in {}", folder.keep().display());
    }
    assert!(violations.is_empty(), "seed {seed}: {few:#?}");
    empty
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_partition_every_queue_is_empty_in_time_and_all_agree() {
    let runs = number("KEEPSYNC_PARTITIONS", 1);
    let seconds = number("KEEPSYNC_PARTITION_SECONDS", 6);
    let first = number("KEEPSYNC_PARTITION_SEED", 1);
    let swallows = number("KEEPSYNC_PARTITION_SWALLOW", 0) == 1;
    let mut all = Vec::new();
    for seed in first..first + runs {
        all.extend(run(seed, seconds, swallows).await);
    }
    all.sort();
    let (median, worst) = (all[all.len() / 2], all[all.len() - 1]);
    println!("{runs} runs of {seconds} s: queues empty after {median:?} in the median, {worst:?} at worst");
    assert!(swallows || worst <= BAR, "it took {worst:?}");
}
