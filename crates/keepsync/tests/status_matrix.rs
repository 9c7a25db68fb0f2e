//! A store against every status with every shape of body, for the push and for the pull: nothing is
//! dropped, nothing is parked by an answer that does not name it, nothing loops, and once the backend
//! is well again everything arrives, once.

#![cfg(all(feature = "http", feature = "runtime"))]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "support/scripted.rs"]
mod scripted;

use keepsync::{
    Backend, OpenOptions, Place, Store,
    collection::{Collection, Collections},
    conflict::Policy,
    drain::{HalfResult, Status},
    queue::EntryState,
    remote::{
        RemoteFuture, Token, TokenFault, TokenProvider,
        http::{HttpOptions, HttpRemote},
    },
    settings::Settings,
};
use keepsync_wire::{PULL_PATH, SYNC_PATH, SyncRequest};
use scripted::{Reply, Scripted, Shape, answer_to};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};
use uuid::Uuid;

const CAP: usize = 64 * 1024;
const STATUSES: [u16; 19] = [
    200, 207, 301, 400, 401, 403, 404, 408, 409, 412, 413, 422, 425, 429, 500, 502, 503, 504, 511,
];

/// A sign-in that always has another token.
struct Tickets(AtomicUsize);

impl TokenProvider for Tickets {
    fn token<'a>(
        &'a self,
        account: &'a str,
        _rejected: Option<&'a Token>,
    ) -> RemoteFuture<'a, Result<Option<Token>, TokenFault>> {
        let number = self.0.fetch_add(1, SeqCst);
        Box::pin(async move { Ok(Some(Token::new(format!("ticket-{number}"), Some(account.to_owned())))) })
    }
}

const HOUR: u64 = 3_600_000;

async fn open(url: &str) -> Store {
    let collections = Collections::new([Collection::new("workout", Policy::Ask)]).unwrap();
    let mut options = OpenOptions::new("", "lifter", collections);
    options.place = Place::Memory;
    options.settings = Settings {
        // Nothing goes by itself: every request of this test was asked for.
        write_delay_ms: HOUR,
        active_interval_ms: HOUR,
        probe_interval_ms: HOUR,
        retry_schedule_ms: vec![HOUR; 20],
        backoff_schedule_ms: vec![HOUR],
        throttle_default_ms: 0,
        ..Settings::default()
    };
    let remote = HttpRemote::new(HttpOptions {
        answer_bytes: CAP,
        ..HttpOptions::new(url)
    })
    .unwrap();
    let backend = Backend {
        remote: Arc::new(remote),
        tokens: Some(Arc::new(Tickets(AtomicUsize::new(0)))),
    };
    Store::open(options, Some(backend)).await.unwrap()
}

async fn ops(store: &Store) -> BTreeSet<Uuid> {
    store
        .entries(i64::MIN, 100)
        .await
        .unwrap()
        .into_iter()
        .map(|entry| entry.op)
        .collect()
}

async fn endures(status: u16, shape: Shape, path: &'static str) {
    let case = format!("{status} {shape:?} {path}");
    let is_well = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_well);
    let server = Scripted::start(move |request| {
        if request.path.ends_with(path) && !flag.load(SeqCst) {
            Reply::shaped(status, shape, &answer_to(request, status), CAP)
        } else {
            Reply::ours(200, answer_to(request, 200))
        }
    });
    let store = open(&server.url()).await;
    // The pass that opening starts; joined, so that what follows is counted from here.
    store.sync().await.unwrap();
    for n in 0..3 {
        store
            .put("workout", &format!("w{n}"), r#"{"name":"legs"}"#)
            .await
            .unwrap();
    }
    let before = ops(&store).await;
    let start = server.requests().len();
    let well_formed = matches!((status, shape), (200 | 207, Shape::Recognised));
    for _ in 0..3 {
        let report = store.sync().await.unwrap();
        let (pull, push) = (report.pull, report.push);
        let failed = if path == SYNC_PATH { push } else { pull };
        assert_eq!(failed == HalfResult::Worked, well_formed, "{case}: {report:?}");
        assert_eq!(report.parked, 0, "{case}");
    }
    let asked = server.requests().len() - start;
    assert!(asked <= 3 * 8, "{case}: {asked} requests");
    let entries = store.entries(i64::MIN, 100).await.unwrap();
    assert!(
        entries.iter().all(|entry| entry.state == EntryState::Waiting),
        "{case}: {entries:?}"
    );
    let after = ops(&store).await;
    assert!(after.is_subset(&before), "{case}: an operation changed its id");
    if path == SYNC_PATH && !well_formed {
        assert_eq!(after, before, "{case}: an operation was dropped");
    }

    is_well.store(true, SeqCst);
    store.signed_in();
    for _ in 0..4 {
        store.sync().await.unwrap();
    }
    assert_eq!(ops(&store).await, BTreeSet::new(), "{case}: it does not recover");
    assert_eq!(store.status().await.unwrap(), Status::Idle, "{case}");
    let sent: Vec<SyncRequest> = server
        .requests()
        .iter()
        .filter(|request| request.is_push())
        .map(|request| serde_json::from_slice(&request.body).unwrap())
        .collect();
    let ids: BTreeSet<Uuid> = sent
        .iter()
        .flat_map(|request| &request.items)
        .map(|item| item.op_id)
        .collect();
    assert_eq!(ids, before, "{case}: every attempt carries the operation's one id");
}

#[tokio::test]
async fn no_answer_to_a_push_drops_parks_or_loops() {
    for status in STATUSES {
        for shape in Shape::ALL {
            endures(status, shape, SYNC_PATH).await;
        }
    }
}

#[tokio::test]
async fn no_answer_to_a_pull_drops_parks_or_loops() {
    for status in STATUSES {
        for shape in Shape::ALL {
            endures(status, shape, PULL_PATH).await;
        }
    }
}
