//! The twelve promises of the design, one test each, against the model server. The simulator attacks
//! the same promises from all sides; here each can be read in a minute.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "../../keepsync/tests/support/device.rs"]
mod device;

use device::{Device, START, well};
use keepsync::{
    Backend, Db, Error, Store,
    conflict::{self, Resolution},
    drain::{Answer, Event, HalfResult, Request, Status, Trigger},
    queue::{self, EntryState},
    record::{self, RecordState},
    remote::{
        Capabilities, Fault, PullPage, PullRequest, PushAnswer, PushBatch, Remote, RemoteFuture, Token, TokenFault,
        wire,
    },
    session,
    settings::Settings,
};
use keepsync_sim::server::{ModelServer, refuses_bad};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
};

const USER: &str = "lifter";

/// The model server's answer.
fn answer(server: &mut ModelServer, request: Request) -> Answer {
    match request {
        Request::Push(batch) => {
            let response = server.sync(USER, &wire::sync_request(batch), START).unwrap();
            Answer::Pushed(Ok(wire::push_answer(response)))
        }
        Request::Pull(pull) => {
            let response = server.pull(USER, &wire::pull_request(&pull), START).unwrap();
            Answer::Pulled(Ok(wire::pull_page(response).unwrap()))
        }
        other => well(other),
    }
}

fn sync(device: &mut Device, server: &mut ModelServer) -> keepsync::drain::Report {
    device.sync(|request| Some(answer(server, request)))
}

fn validating() -> ModelServer {
    ModelServer::with(refuses_bad)
}

fn on_disk(folder: &tempfile::TempDir) -> Device {
    Device::named(
        1,
        Some(folder.path().to_owned()),
        Settings {
            jitter: 0.0,
            ..Settings::default()
        },
    )
}

/// A workout with two sets, completed.
fn log_workout(device: &mut Device, id: &str) {
    device
        .db
        .write(|write| session::start(write, "workout", "set_log", id, "{}"))
        .unwrap();
    for slot in ["squat/1", "squat/2"] {
        device
            .db
            .write(|write| session::log_set(write, "workout", id, slot, r#"{"weight":100,"reps":5}"#))
            .unwrap();
    }
    device
        .db
        .write(|write| session::complete(write, "workout", id, "{}"))
        .unwrap();
}

#[test]
fn promise_1_kept_a_write_that_returned_is_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let mut device = on_disk(&folder);
    device.put("workout", "w", r#"{"n":1}"#);
    // Nothing is closed, flushed or said goodbye to. (Real kills: tests/kill.rs.)
    let options = device.options.clone();
    std::mem::forget(device);
    let again = Db::open(options).unwrap();
    assert_eq!(
        again
            .read(|read| read.get("workout", "w"))
            .unwrap()
            .unwrap()
            .body
            .as_deref(),
        Some(r#"{"n":1}"#)
    );
    assert_eq!(again.read(|read| read.queue_counts()).unwrap().waiting, 1);
}

#[test]
fn promise_2_together_a_record_and_its_entry_are_one_transaction_and_notices_follow_the_commit() {
    let folder = tempfile::tempdir().unwrap();
    let mut device = on_disk(&folder);
    let raw = rusqlite::Connection::open(device.db.path().unwrap()).unwrap();
    raw.execute_batch("CREATE TRIGGER no_entry BEFORE INSERT ON entry BEGIN SELECT raise(ABORT, 'no'); END")
        .unwrap();
    assert!(
        device
            .db
            .write(|write| record::put(write, "workout", "w", "{}"))
            .is_err()
    );
    assert_eq!(device.get("workout", "w"), None, "no record without its entry");
    raw.execute_batch("DROP TRIGGER no_entry").unwrap();
    let (_, changes) = device
        .db
        .write(|write| record::put(write, "workout", "w", "{}"))
        .unwrap();
    assert!(changes.collections.contains("workout") && changes.queue);

    // The same for an acknowledgement: entry, base and journal go together or not at all.
    raw.execute_batch("CREATE TRIGGER no_ack BEFORE INSERT ON journal BEGIN SELECT raise(ABORT, 'no'); END")
        .unwrap();
    sync(&mut device, &mut ModelServer::new());
    assert_eq!(
        (device.entries().len(), device.get("workout", "w").unwrap().version),
        (1, 0)
    );
}

#[test]
fn promise_3_never_dropped_whatever_happens_to_an_unsent_write_it_is_still_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut device = on_disk(&folder);
    let op = device.put("workout", "w", r#"{"bad":true}"#).unwrap();
    let kept = |device: &Device, when: &str| {
        assert!(device.entries().iter().any(|entry| entry.op == op), "after {when}");
    };
    for fault in [
        Fault::Offline,
        Fault::Timeout,
        Fault::Untrusted,
        Fault::SignIn,
        Fault::TooLarge,
        Fault::Server { status: 500 },
        Fault::Unrecognised { status: 403 },
        Fault::Throttled { after_ms: Some(1) },
    ] {
        for _ in 0..8 {
            device.sync(|request| {
                Some(match request {
                    Request::Push(_) => Answer::Pushed(Err(fault.clone())),
                    other => well(other),
                })
            });
            device.pass_time(10_000_000);
        }
        kept(&device, fault.code());
    }
    sync(&mut device, &mut validating());
    kept(&device, "a refusal");
    assert_eq!(device.entries()[0].state, EntryState::Parked);
    let mut device = device.restart();
    kept(&device, "a restart");
    let looked = device.db.read(|read| read.entry(op)).unwrap();
    assert_eq!(
        (looked.body.as_deref(), looked.reason.unwrap().code.as_str()),
        (Some(r#"{"bad":true}"#), "validation")
    );
    // Only the user throws it away, and then the record's history has it.
    device.db.write(|write| queue::discard(write, op, true)).unwrap();
    let history = device.db.read(|read| read.history("workout", "w")).unwrap();
    assert_eq!(history[0].body.as_deref(), Some(r#"{"bad":true}"#));
}

#[test]
fn promise_4_once_a_reply_lost_after_the_commit_duplicates_nothing() {
    let mut server = ModelServer::new();
    let mut device = Device::new();
    log_workout(&mut device, "w");
    for _ in 0..3 {
        // The server commits; its answer never arrives; the process dies.
        device.feed(Event::Wake(Trigger::User), |request| match request {
            Request::Push(_) => {
                answer(&mut server, request);
                None
            }
            other => Some(well(other)),
        });
        device = device.restart_in_memory();
    }
    let report = sync(&mut device, &mut server);
    assert_eq!(device.entries().len(), 0, "{report:?}");
    assert_eq!(
        server.account(USER).unwrap().log().len(),
        4,
        "creation, two sets, completion: each once"
    );
}

#[test]
fn promise_5_in_order_and_a_stuck_entry_holds_up_nobody_else() {
    let mut server = validating();
    let mut device = Device::new();
    device.put("workout", "stuck", r#"{"bad":true}"#);
    device.put("set_log", "child", r#"{"workout_id":"stuck"}"#);
    log_workout(&mut device, "w");
    sync(&mut device, &mut server);
    let log: Vec<_> = server
        .account(USER)
        .unwrap()
        .log()
        .iter()
        .map(|applied| applied.key.1.clone())
        .collect();
    let sets = ["squat/1", "squat/2"].map(|slot| session::set_id("w", slot));
    assert_eq!(log, ["w", &sets[0], &sets[1], "w"]);
    let left: Vec<_> = device
        .entries()
        .into_iter()
        .map(|entry| (entry.id, entry.state))
        .collect();
    let stuck = [
        ("stuck".to_owned(), EntryState::Parked),
        ("child".to_owned(), EntryState::Waiting),
    ];
    assert_eq!(left, stuck, "the child waits for its parent");
}

#[test]
fn promise_6_edits_in_flight_stay_pending() {
    let mut server = ModelServer::new();
    let folder = tempfile::tempdir().unwrap();
    let mut device = on_disk(&folder);
    device.put("workout", "w", r#"{"n":1}"#);
    let mut app = Db::open(device.options.clone()).unwrap();
    device.sync(|request| {
        if matches!(request, Request::Push(_)) && app.read(|read| read.queue_counts()).unwrap().total() == 1 {
            app.write(|write| record::put(write, "workout", "w", r#"{"n":2}"#))
                .unwrap();
            let taken = answer(&mut server, request);
            return Some(taken);
        }
        Some(match request {
            // The second entry is left unanswered.
            Request::Push(_) => Answer::Pushed(Ok(PushAnswer::default())),
            other => well(other),
        })
    });
    let record = device.get("workout", "w").unwrap();
    assert_eq!(
        (record.body.as_deref(), record.state, record.version),
        (Some(r#"{"n":2}"#), RecordState::Pending, 1)
    );
    sync(&mut device, &mut server);
    assert_eq!(device.get("workout", "w").unwrap().state, RecordState::Synced);
}

#[test]
fn promise_7_nothing_silently_overwritten_both_versions_can_be_found() {
    let mut server = ModelServer::new();
    let mut phone = Device::new();
    let mut tablet = Device::named(2, None, Settings::default());
    for collection in ["workout", "profile"] {
        phone.put(collection, "x", r#"{"n":0}"#);
    }
    sync(&mut phone, &mut server);
    sync(&mut tablet, &mut server);
    for collection in ["workout", "profile"] {
        phone.put(collection, "x", r#"{"n":"phone"}"#);
        tablet.pass_time(5_000);
        tablet.put(collection, "x", r#"{"n":"tablet"}"#);
    }
    sync(&mut tablet, &mut server);
    sync(&mut phone, &mut server);
    let conflict = &phone.db.read(|read| read.conflicts()).unwrap()[0];
    assert_eq!(conflict.local.as_deref(), Some(r#"{"n":"phone"}"#));
    assert_eq!(conflict.remote.as_deref(), Some(r#"{"n":"tablet"}"#));
    assert_eq!(
        phone.body("profile", "x").as_deref(),
        Some(r#"{"n":"tablet"}"#),
        "the later write won"
    );
    let history = phone.db.read(|read| read.history("profile", "x")).unwrap();
    assert_eq!(
        history[0].body.as_deref(),
        Some(r#"{"n":"phone"}"#),
        "and what lost is in the history"
    );
}

#[test]
fn promise_8_converging_once_faults_stop_all_devices_show_what_the_server_has() {
    let mut server = ModelServer::new();
    let mut devices = [Device::new(), Device::named(2, None, Settings::default())];
    for round in 0..5 {
        for (n, device) in devices.iter_mut().enumerate() {
            device.put("profile", "me", &format!(r#"{{"round":{round},"by":{n}}}"#));
            device.put("workout", &format!("w{round}{n}"), "{}");
            if round % 2 == n {
                sync(device, &mut server);
            }
        }
    }
    for _ in 0..2 {
        for device in &mut devices {
            sync(device, &mut server);
        }
    }
    for device in &mut devices {
        assert!(device.entries().is_empty());
        let account = server.account(USER).unwrap();
        for ((collection, id), stored) in account.records() {
            let here = device.get(collection, id).unwrap();
            assert_eq!(
                (here.body.as_deref(), here.version),
                (
                    stored.version.data.as_ref().map(|data| data.get()),
                    stored.version.version
                ),
                "{collection}/{id}"
            );
        }
    }
    for device in &mut devices {
        let report = sync(device, &mut server);
        assert_eq!(
            (report.requests, report.pulled),
            (1, 0),
            "a further sync is one request and no rows"
        );
    }
}

#[test]
fn promise_9_offline_is_free_and_order_does_not_depend_on_the_clock() {
    let mut server = ModelServer::new();
    let mut device = Device::new();
    for n in 0..5 {
        device.put("workout", &format!("w{n}"), "{}");
        device.env.wall_ms.fetch_sub(86_400_000, SeqCst);
    }
    for _ in 0..1_000 {
        device.sync(|request| {
            Some(match request {
                Request::Probe => Answer::Probed(Err(Fault::Offline)),
                Request::Pull(_) => Answer::Pulled(Err(Fault::Offline)),
                other => answer(&mut server, other),
            })
        });
    }
    assert!(
        device
            .entries()
            .iter()
            .all(|entry| entry.attempts == 0 && entry.next_attempt_at.is_none())
    );
    sync(&mut device, &mut server);
    let log: Vec<_> = server
        .account(USER)
        .unwrap()
        .log()
        .iter()
        .map(|applied| applied.key.1.clone())
        .collect();
    assert_eq!(log, ["w0", "w1", "w2", "w3", "w4"]);
}

#[test]
fn promise_10_mine_only_accounts_do_not_meet() {
    let folder = tempfile::tempdir().unwrap();
    let mut mine = on_disk(&folder);
    mine.put("workout", "w", r#"{"canary":"mine-7f3a"}"#);
    let mut options = mine.options.clone();
    options.account = "other".to_owned();
    let other = Db::open(options).unwrap();
    assert_eq!(other.read(|read| read.get("workout", "w")).unwrap(), None);
    let files = |db: &Db| {
        let path = db.path().unwrap();
        ["", "-wal"]
            .map(|suffix| std::fs::read(format!("{}{suffix}", path.display())).unwrap_or_default())
            .concat()
    };
    assert!(files(&mine.db).windows(9).any(|bytes| bytes == b"mine-7f3a"));
    assert!(!files(&other).windows(9).any(|bytes| bytes == b"mine-7f3a"));
    // A file does not serve another account, even under its own name.
    let theirs = other.path().unwrap().to_owned();
    drop(other);
    let mut mine = mine.restart();
    std::fs::copy(mine.db.path().unwrap(), &theirs).unwrap();
    let mut options = mine.options.clone();
    options.account = "other".to_owned();
    assert_eq!(Db::open(options).err(), Some(Error::OtherAccount));
    // Unsent work outlives sign-out and names its own account when it goes.
    let mut accounts = Vec::new();
    mine.sync(|request| {
        if let Request::Push(batch) = &request {
            accounts.push(batch.account.clone());
        }
        Some(well(request))
    });
    assert_eq!(accounts, ["lifter"]);
}

/// A backend that never answers.
struct Silent(Arc<AtomicU64>);

impl Remote for Silent {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            batches: true,
            after: true,
            pull: true,
        }
    }
    fn push<'a>(&'a self, _: Option<&'a Token>, _: PushBatch) -> RemoteFuture<'a, Result<PushAnswer, Fault>> {
        self.0.fetch_add(1, SeqCst);
        Box::pin(std::future::pending())
    }
    fn pull<'a>(&'a self, _: Option<&'a Token>, _: PullRequest) -> RemoteFuture<'a, Result<PullPage, Fault>> {
        self.0.fetch_add(1, SeqCst);
        Box::pin(std::future::pending())
    }
    fn probe<'a>(&'a self) -> RemoteFuture<'a, Result<(), Fault>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn promise_11_never_waiting_reads_and_writes_do_not_wait_for_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let asked = Arc::new(AtomicU64::new(0));
    let options = keepsync::OpenOptions::new(folder.path(), USER, device::collections());
    let backend = Backend {
        remote: Arc::new(Silent(Arc::clone(&asked))),
        tokens: None,
    };
    let store = Store::open(options, Some(backend)).await.unwrap();
    let syncing = {
        let store = store.clone();
        tokio::spawn(async move { store.sync().await })
    };
    while asked.load(SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    store.put("workout", "w", "{}").await.unwrap();
    assert!(store.get("workout", "w").await.unwrap().is_some());
    assert!(matches!(store.status().await.unwrap(), Status::Syncing { .. }));
    assert!(!syncing.is_finished());
    // And whoever waits for the network can stop it.
    store.cancel();
    let report = syncing.await.unwrap().unwrap();
    assert!(report.cancelled.is_some());
    store.close().await.unwrap();
}

#[test]
fn promise_12_never_stuck_in_silence_each_state_has_its_status_and_each_entry_its_reason() {
    let status = |device: &Device| {
        let counts = device.db.read(|read| read.queue_counts()).unwrap();
        device.drain.snapshot().status(&counts, false, device.now())
    };
    let after = |fault: Option<Fault>| {
        let mut device = Device::new();
        device.put("workout", "w", r#"{"bad":true}"#);
        device.sync(|request| {
            Some(match (request, &fault) {
                (Request::Push(_), Some(fault)) => Answer::Pushed(Err(fault.clone())),
                (Request::Probe, Some(Fault::Offline)) => Answer::Probed(Err(Fault::Offline)),
                (Request::Refresh, _) => Answer::Refreshed(Err(TokenFault::SignInNeeded)),
                (other, Some(_)) => well(other),
                (other, None) => answer(&mut validating(), other),
            })
        });
        device
    };
    assert_eq!(status(&Device::new()), Status::Idle);
    assert_eq!(status(&after(Some(Fault::Offline))), Status::Offline);
    assert_eq!(status(&after(Some(Fault::SignIn))), Status::NeedsSignIn);
    let throttled = after(Some(Fault::Throttled { after_ms: Some(7_000) }));
    assert_eq!(
        status(&throttled),
        Status::WaitingUntil {
            at: throttled.now().wall_ms + 7_000
        }
    );
    let unrecognised = after(Some(Fault::Unrecognised { status: 404 }));
    assert_eq!(
        status(&unrecognised),
        Status::WaitingUntil {
            at: unrecognised.now().wall_ms + 5_000
        }
    );
    let parked = after(None);
    assert_eq!(status(&parked), Status::NeedsAttention { count: 1 });
    assert_eq!(parked.entries()[0].reason.as_ref().unwrap().code, "validation");

    let mut conflicted = Device::new();
    conflicted.put("workout", "w", r#"{"n":1}"#);
    conflicted.pull_only(vec![device::change(
        "workout",
        "w",
        device::version(1, Some(r#"{"n":2}"#), 1),
    )]);
    assert_eq!(status(&conflicted), Status::NeedsAttention { count: 1 });
    conflicted
        .db
        .write(|write| conflict::resolve(write, "workout", "w", "1", &Resolution::KeepRemote))
        .unwrap();
    assert_eq!(status(&conflicted), Status::Idle);

    let mut syncing = Device::new();
    syncing.put("workout", "w", "{}");
    let seen = AtomicBool::new(false);
    syncing.feed(Event::Wake(Trigger::User), |request| {
        seen.store(true, SeqCst);
        drop(request);
        None
    });
    assert!(seen.load(SeqCst) && matches!(status(&syncing), Status::Syncing { .. }));
    let offline = after(Some(Fault::Offline));
    let looked = offline.db.read(|read| read.entry(offline.entries()[0].op)).unwrap();
    assert!(looked.after.is_empty() && looked.state == EntryState::Waiting);
    assert_eq!(HalfResult::default(), HalfResult::NotRun);
}
