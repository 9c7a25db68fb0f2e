//! Two processes on one file: an app and its extension, as `keepsync::store` describes them.
//!
//! 1. Both open the file, write records of their own and one that both change, and want to drain: in turn
//!    the one that is active, and whichever asks. Now and then one opens its store again while the handle
//!    before is still draining, as a reload does.
//! 2. One is killed, the one whose push is under way if there is one, and started again: at once, or when the
//!    other has taken over.
//! 3. In the end one drains what is left, and says what it shows.
//!
//! Each has a proxy of its own, which tells when a push was under way: never both at once.

use super::{
    USER,
    play::{drain_to_the_end, name, name_in, open, say, tell, var, write},
    process::{PATIENCE, Playing, Server, log},
};
use keepsync::{Store, record, settings::Order};
use keepsync_oracle::{Fact, Key};
use keepsync_proxy::{Exchange, Fault, Proxy, rng::Rng};
use std::{
    path::Path,
    time::{Duration, Instant},
};

const NAMES: [&str; 2] = ["app", "extension"];

/// Unsent writes with which a user pauses.
const BACKLOG: u64 = 10;

const PAUSE: Fault = Fault::Slow {
    bytes: 1 << 20,
    tick: Duration::from_millis(8),
};

/// What two processes came to.
pub(crate) struct Pair {
    pub(crate) facts: Vec<Fact>,
    /// Kills while a push of the killed one was under way.
    pub(crate) mid_push: u64,
    /// How many pushes each made.
    pub(crate) pushes: [usize; 2],
    /// Pushes of both that were under way at the same time.
    pub(crate) both: Vec<(Exchange, Exchange)>,
}

pub(crate) fn pair(folder: &Path, rounds: u64, seed: u64) -> Pair {
    let mut random = Rng::new(seed, 0);
    let runtime = super::runtime();
    let mut server = Server::start(folder);
    let proxies = NAMES.map(|_| runtime.block_on(Proxy::start(server.addr)).unwrap());
    proxies.iter().for_each(|proxy| proxy.always(Some(PAUSE)));
    let file = folder.join("device.keepsync");
    let token = super::token(&folder.join("server"));
    let start = |which: usize, round: &str| {
        let url = proxies[which].url();
        let with = [
            ("KEEPSYNC_KILL_FILE", file.as_os_str()),
            ("KEEPSYNC_KILL_URL", url.as_ref()),
            ("KEEPSYNC_KILL_TOKEN", token.as_ref()),
            ("KEEPSYNC_KILL_ROUND", round.as_ref()),
            ("KEEPSYNC_KILL_NAME", NAMES[which].as_ref()),
        ];
        Playing::start("pair::child", &with, log(folder, NAMES[which]))
    };
    let mut facts = super::collection_facts();
    let mut mid_push = 0;
    // Until when a process lived, by which of the two and in which life.
    let mut deaths: [Vec<Instant>; 2] = [Vec::new(), Vec::new()];
    let mut processes = [0, 1].map(|which| Some(start(which, "0")));
    for round in 1..=rounds {
        for process in processes.iter_mut().flatten() {
            process.until_ready(&mut facts);
        }
        std::thread::sleep(Duration::from_micros(20_000 + random.below(60_000)));
        let deadline = Instant::now() + Duration::from_millis(200);
        let pushing = loop {
            let pushing = [0, 1]
                .into_iter()
                .find(|which| under_way(&proxies[*which], &deaths[*which]));
            if pushing.is_some() || Instant::now() > deadline {
                break pushing;
            }
            std::thread::sleep(Duration::from_micros(500));
        };
        mid_push += u64::from(pushing.is_some());
        let which = pushing.unwrap_or(usize::try_from(random.below(2)).unwrap());
        let (_, moment) = processes[which].take().unwrap().kill(&mut facts);
        deaths[which].push(moment);
        if round % 2 == 0 {
            // The other takes over by itself.
            let other = 1 - which;
            let deadline = Instant::now() + PATIENCE;
            while !proxies[other]
                .exchanges()
                .iter()
                .any(|push| is_push(push) && push.began > moment)
            {
                assert!(
                    Instant::now() < deadline,
                    "{} does not take over, seed {seed}",
                    NAMES[other]
                );
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        processes[which] = Some(start(which, &round.to_string()));
    }
    for (which, process) in processes.into_iter().enumerate() {
        let (_, moment) = process.unwrap().kill(&mut facts);
        deaths[which].push(moment);
    }
    let [app, extension] = [0, 1].map(|which| pushes(&proxies[which], &deaths[which]));
    proxies.iter().for_each(|proxy| proxy.always(None));
    let said = start(0, "last").end(&mut facts);
    assert!(said.iter().any(|word| word == "drained"), "seed {seed}: {said:?}");
    server.kill();
    facts.extend(super::held_by_server(folder));
    facts.push(Fact::Quiet);
    let both = app
        .iter()
        .flat_map(|one| extension.iter().map(move |other| (one, other)));
    Pair {
        facts,
        mid_push,
        pushes: [app.len(), extension.len()],
        both: both
            .filter(|(one, other)| one.overlaps(other))
            .map(|(one, other)| (one.clone(), other.clone()))
            .collect(),
    }
}

fn is_push(exchange: &Exchange) -> bool {
    exchange.path == format!("/{}", keepsync_wire::SYNC_PATH)
}

/// Whether a process that lives has a push under way.
fn under_way(proxy: &Proxy, deaths: &[Instant]) -> bool {
    let of_this_life = |exchange: &Exchange| deaths.last().is_none_or(|death| exchange.began > *death);
    let exchanges = proxy.exchanges();
    let mut open = exchanges
        .iter()
        .filter(|exchange| is_push(exchange) && exchange.ended.is_none());
    open.any(of_this_life)
}

/// The pushes, none of which outlives its process: what the network still carries is nobody's any more.
fn pushes(proxy: &Proxy, deaths: &[Instant]) -> Vec<Exchange> {
    let mut pushes: Vec<Exchange> = proxy.exchanges().into_iter().filter(is_push).collect();
    for push in &mut pushes {
        let death = deaths.iter().find(|death| **death > push.began).copied();
        push.ended = match (push.ended, death) {
            (Some(ended), Some(death)) => Some(ended.min(death)),
            (ended, death) => ended.or(death),
        };
    }
    pushes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run as a child by two_processes_on_one_file_lose_nothing_and_never_push_at_once"]
async fn child() {
    let (round, me) = (var("KEEPSYNC_KILL_ROUND"), var("KEEPSYNC_KILL_NAME"));
    let mut store = open(Order::PullThenPush).await;
    if round == "last" {
        return drain_to_the_end(&store).await;
    }
    say("ready");
    for n in 0u64.. {
        let patience = Instant::now() + Duration::from_millis(300);
        while store.queue_counts().await.unwrap().total() > BACKLOG && Instant::now() < patience {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        match n % 12 {
            // Both active: the first to come is the owner, until it goes.
            3 => store.foreground(true),
            // In the background: whoever asks.
            6 => store.foreground(false),
            7..9 => drop(store.background(200).await.unwrap()),
            // A reload: the handle before is still draining.
            11 => {
                let before = store.clone();
                let closing = tokio::spawn(async move { before.close().await });
                tokio::task::yield_now().await;
                store = open(Order::PushThenPull).await;
                closing.await.unwrap().unwrap();
                // The close may have come after the opening, and closed what that gave.
                if store.queue_counts().await.is_err() {
                    store = open(Order::PushThenPull).await;
                }
            }
            _ => {}
        }
        own(&store, &me, &round, n).await;
        shared(&store, &me, &round, n).await;
    }
}

async fn own(store: &Store, me: &str, round: &str, n: u64) {
    let id = &format!("{me}-{round}-{}", n / 4);
    write((USER, me), ("profile", id, n % 4), async |body| {
        store.put("profile", id, &body).await
    })
    .await;
}

/// One record that both change, each knowing what is there.
async fn shared(store: &Store, me: &str, round: &str, n: u64) {
    let named = name("profile", &format!("shared@{me}-{round}"), n);
    let (write, me) = (named.clone(), me.to_owned());
    let written = store.write(move |transaction| {
        let seen = transaction
            .read()
            .get("profile", "shared")?
            .and_then(|record| name_in(&record.body?));
        tell(Fact::Tried {
            write: write.clone(),
            user: USER.to_owned(),
            device: me.clone(),
            key: Key::new("profile", "shared"),
            deletes: false,
            saw: seen.into_iter().collect(),
        });
        record::put(transaction, "profile", "shared", &super::play::body(&write))
    });
    let op = written.await.unwrap().op;
    tell(Fact::Returned {
        write: named,
        op: op.map(|op| op.to_string()),
    });
}
