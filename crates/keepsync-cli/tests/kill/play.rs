//! What the children share: a store on a file, words and facts to say, and what a device shows in the end.

use keepsync::{
    Backend, OpenOptions, Place, Store,
    collection::{Collection, Collections},
    conflict::Policy,
    record::{Query, Written},
    remote::{
        RemoteFuture, Token, TokenFault, TokenProvider,
        http::{HttpOptions, HttpRemote},
    },
    settings::{Order, Settings},
};
use keepsync_oracle::{Fact, Key};
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    io::Write as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// What the device is called in facts.
pub(crate) const DEVICE: &str = "phone";

/// How long the last drain may take; without patience a stuck queue would hang the test.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn var(name: &str) -> String {
    std::env::var(name).unwrap()
}

struct Signed(String);

impl TokenProvider for Signed {
    fn token<'a>(
        &'a self,
        account: &'a str,
        _: Option<&'a Token>,
    ) -> RemoteFuture<'a, Result<Option<Token>, TokenFault>> {
        Box::pin(async move { Ok(Some(Token::new(&*self.0, Some(account.to_owned())))) })
    }
}

pub(crate) const COLLECTIONS: [&str; 3] = ["workout", "set_log", "profile"];

pub(crate) fn collections() -> Collections {
    let collections = Collections::new([
        Collection::new("workout", Policy::Ask).priority(10),
        Collection::new("set_log", Policy::ClientWins)
            .child_of("workout", "workout_id")
            .priority(10),
        // In turn with the sets, not after them: then it is edited while it is on the way.
        Collection::new("profile", Policy::LastWriteWins).priority(10),
    ]);
    collections.unwrap()
}

/// In a hurry, and with a log that is moved into the file again and again.
pub(crate) fn settings(order: Order) -> Settings {
    Settings {
        order,
        write_delay_ms: 1,
        probe_interval_ms: 20,
        retry_schedule_ms: vec![10; 100],
        backoff_schedule_ms: vec![10],
        // The server means it well; here it would only be a pause without anything to kill.
        throttle_cap_ms: 20,
        batch_count: 7,
        journal_count: 10_000_000,
        wal_bytes: 128 * 1024,
        ..Settings::default()
    }
}

/// On the file, for the account, with the backend that the parent named.
pub(crate) async fn open(order: Order) -> Store {
    let file = var("KEEPSYNC_KILL_FILE");
    let mut options = OpenOptions::new(&file, super::USER, collections());
    options.place = Place::File(Path::new(&file).to_owned());
    options.settings = settings(order);
    let backend = Backend {
        remote: Arc::new(HttpRemote::new(HttpOptions::new(var("KEEPSYNC_KILL_URL"))).unwrap()),
        tokens: Some(Arc::new(Signed(var("KEEPSYNC_KILL_TOKEN")))),
    };
    Store::open(options, Some(backend)).await.unwrap()
}

/// A line that is out when this returns.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // The test harness may have begun a line.
    writeln!(out, "\n{line}").unwrap();
    out.flush().unwrap();
}

pub(crate) fn tell(fact: impl Serialize) {
    say(&serde_json::to_string(&fact).unwrap());
}

/// A name that no other write has.
pub(crate) fn name(collection: &str, id: &str, n: u64) -> String {
    format!("{collection}/{id}/{n}")
}

pub(crate) fn body(name: &str) -> String {
    json!({ "m": name }).to_string()
}

/// Tries a write, and tells of it before and after.
pub(crate) async fn write<W: Future<Output = keepsync::Result<Written>>>(
    (user, device): (&str, &str),
    (collection, id, n): (&str, &str, u64),
    write: impl FnOnce(String) -> W,
) {
    let named = name(collection, id, n);
    tell(Fact::Tried {
        write: named.clone(),
        user: user.to_owned(),
        device: device.to_owned(),
        key: Key::new(collection, id),
        deletes: false,
        saw: Vec::new(),
    });
    let written = write(body(&named)).await.unwrap();
    tell(Fact::Returned {
        write: named,
        op: written.op.map(|op| op.to_string()),
    });
}

pub(crate) fn name_in(body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    body.get("m")?.as_str().map(str::to_owned)
}

/// All that a device shows in the end, through public reads.
pub(crate) async fn shown(store: &Store, collections: &[&str]) -> Vec<Fact> {
    let (user, device) = (store.account().to_owned(), DEVICE.to_owned());
    let mut facts = Vec::new();
    for collection in collections {
        let mut query = Query::new(*collection).limit(1_000);
        loop {
            let page = store.query(query).await.unwrap();
            for record in page.records {
                let body = record.body.unwrap();
                facts.push(Fact::Shows {
                    user: user.clone(),
                    device: device.clone(),
                    key: Key::new(record.collection, record.id),
                    write: name_in(&body),
                    body: serde_json::from_str(&body).unwrap(),
                });
            }
            let Some(next) = page.next else { break };
            query = Query::new(*collection).limit(1_000).after(next);
        }
    }
    let mut after = i64::MIN;
    loop {
        let entries = store.entries(after, 500).await.unwrap();
        let Some(last) = entries.last() else { break };
        after = last.seq;
        for entry in entries {
            let whole = store.entry(entry.op).await.unwrap();
            facts.push(Fact::Unsent {
                user: user.clone(),
                device: device.clone(),
                key: Key::new(entry.collection, entry.id),
                write: whole.body.as_deref().and_then(name_in),
                why: entry.why.code().to_owned(),
            });
        }
    }
    for conflict in store.conflicts().await.unwrap() {
        let versions = [conflict.local.as_deref(), conflict.remote.as_deref()];
        facts.push(Fact::Conflict {
            user: user.clone(),
            device: device.clone(),
            key: Key::new(conflict.collection, conflict.id),
            writes: versions.into_iter().flatten().filter_map(name_in).collect(),
        });
    }
    facts
}

/// Drains until nothing is unsent, and tells what is shown then.
pub(crate) async fn drain_to_the_end(store: &Store) {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let report = store.sync().await.unwrap();
        let whole = !report.push.failed() && !report.pull.failed();
        if whole && store.queue_counts().await.unwrap().total() == 0 {
            for fact in shown(store, &COLLECTIONS).await {
                tell(fact);
            }
            store.close().await.unwrap();
            return say("drained");
        }
        // The server may have asked for a pause.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let left = store.entries(i64::MIN, 20).await.unwrap();
    say(&format!("stuck {left:?}"));
}
