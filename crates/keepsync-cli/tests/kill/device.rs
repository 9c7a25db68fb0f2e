//! The process that writes, drains and is killed.

use keepsync::{
    Backend, OpenOptions, Place, Store,
    collection::{Collection, Collections},
    conflict::Policy,
    remote::{
        RemoteFuture, Token, TokenFault, TokenProvider,
        http::{HttpOptions, HttpRemote},
    },
    settings::{Order, Settings},
};
use std::{
    io::Write as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// Unsent writes with which the user pauses.
const BACKLOG: u64 = 12;

/// How long the last drain may take; without patience a stuck queue would hang the test.
const PATIENCE: Duration = Duration::from_secs(60);

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

async fn open(file: &Path, url: &str, token: String, order: Order) -> Store {
    let collections = Collections::new([
        Collection::new("workout", Policy::Ask).priority(10),
        Collection::new("set_log", Policy::ClientWins)
            .child_of("workout", "workout_id")
            .priority(10),
        // In turn with the sets, not after them: then it is edited while it is on the way.
        Collection::new("profile", Policy::LastWriteWins).priority(10),
    ]);
    let mut options = OpenOptions::new(file, super::USER, collections.unwrap());
    options.place = Place::File(file.to_owned());
    options.settings = Settings {
        order,
        write_delay_ms: 1,
        probe_interval_ms: 20,
        retry_schedule_ms: vec![10; 100],
        backoff_schedule_ms: vec![10],
        // The server means it well; here it would only be a pause without anything to kill.
        throttle_cap_ms: 20,
        batch_count: 7,
        journal_count: 10_000_000,
        ..Settings::default()
    };
    let backend = Backend {
        remote: Arc::new(HttpRemote::new(HttpOptions::new(url)).unwrap()),
        tokens: Some(Arc::new(Signed(token))),
    };
    Store::open(options, Some(backend)).await.unwrap()
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // The test harness may have begun a line.
    writeln!(out, "\n{line}").unwrap();
    out.flush().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run as a child by device_and_server_killed_at_random_moments_lose_double_and_stall_nothing"]
async fn child() {
    let var = |name: &str| std::env::var(name).unwrap();
    let (file, round) = (var("KEEPSYNC_KILL_FILE"), var("KEEPSYNC_KILL_ROUND"));
    // After a kill a pull would show what arrived; without one only the operation ids can.
    let odd = round.parse().is_ok_and(|round: u64| round % 2 == 1);
    let order = if odd { Order::PushThenPull } else { Order::PullThenPush };
    let (url, token) = (var("KEEPSYNC_KILL_URL"), var("KEEPSYNC_KILL_TOKEN"));
    let store = open(Path::new(&file), &url, token, order).await;
    if round == "last" {
        return last(&store).await;
    }
    say("ready");
    for n in 0u64.. {
        // Faster than the server takes it, the queue would only grow, and kills would meet the same
        // few entries at its head.
        while store.queue_counts().await.unwrap().total() > BACKLOG {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        write(&store, &round, n).await;
    }
}

/// One session with three sets; in between, a profile that two sessions share is edited, so that its
/// last edits fall while earlier ones are on the way.
async fn write(store: &Store, round: &str, n: u64) {
    let workout = format!("w{round}-{n}");
    say(&format!("try workout {workout} 0"));
    let started = store.start_session("workout", "set_log", &workout, r#"{"n":0}"#).await;
    started.unwrap();
    say(&format!("ack workout {workout} 0"));
    for set in 0..3 {
        let id = keepsync::session::set_id(&workout, &set.to_string());
        say(&format!("try set_log {id} {set}"));
        let body = format!(r#"{{"n":{set}}}"#);
        let logged = store.log_set("workout", &workout, &set.to_string(), &body).await;
        logged.unwrap();
        say(&format!("ack set_log {id} {set}"));
        edit(store, &format!("p{round}-{}", n / 2), n % 2 * 3 + set).await;
    }
    say(&format!("try workout {workout} 1"));
    store.complete_session("workout", &workout, r#"{"n":1}"#).await.unwrap();
    say(&format!("ack workout {workout} 1"));
}

async fn edit(store: &Store, profile: &str, n: u64) {
    say(&format!("try profile {profile} {n}"));
    let body = format!(r#"{{"n":{n}}}"#);
    store.put("profile", profile, &body).await.unwrap();
    say(&format!("ack profile {profile} {n}"));
}

/// Drains until nothing is unsent.
async fn last(store: &Store) {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        store.sync().await.unwrap();
        if store.queue_counts().await.unwrap().total() == 0 {
            store.close().await.unwrap();
            return say("drained");
        }
        // The server may have asked for a pause.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let left = store.entries(i64::MIN, 20).await.unwrap();
    say(&format!("stuck {left:?}"));
}
