//! Conflicts that the app's own code decides: what it may say, and every way in which it may not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of tests are tests too"
)]

#[path = "support/device.rs"]
mod device;

use device::*;
use keepsync::{
    Backend, OpenOptions, Place, Store,
    collection::{Collection, Collections},
    conflict::{self, Conflict, Policy, Resolvers, Verdict, consult},
    drain::{Answer, Request, Step, carry_out},
    queue::{self, EntryState},
    record::RecordState,
    remote::{
        Capabilities, Fault, Outcome, PullPage, PullRequest, PushAnswer, PushBatch, Remote, RemoteFuture,
        RemoteVersion, Token,
    },
    settings::Settings,
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

const OURS: &str = r#"{"n":2}"#;
const THEIRS: &str = r#"{"n":3}"#;

fn collections() -> Collections {
    Collections::new([
        Collection::new("c", Policy::custom("app")),
        Collection::new("other", Policy::Ask),
    ])
    .unwrap()
}

fn a_device(folder: Option<std::path::PathBuf>) -> Device {
    let settings = Settings {
        jitter: 0.0,
        ..Settings::default()
    };
    Device::with(1, folder, settings, collections())
}

fn theirs() -> RemoteVersion {
    RemoteVersion {
        clocks: Some("{}".to_owned()),
        ..version(2, Some(THEIRS), 60_000)
    }
}

/// A record both have at version 1, edited here since; the server has another version 2.
fn edited(device: &mut Device) {
    device.put("c", "r", r#"{"n":1}"#);
    device.push(|_| Some(accepted(1)));
    device.put("c", "r", OURS);
}

/// One pass: the first push of the record meets their version, what resolvers are asked goes to these.
fn pass(device: &mut Device, resolvers: &Resolvers) -> Vec<(Option<String>, i64)> {
    let mut arrived = Vec::new();
    device.pass_time(120_000);
    device.sync(|request| {
        Some(match request {
            Request::Resolve(asked) => Answer::Resolved(consult(resolvers, &asked)),
            Request::Push(batch) => answered(&batch, &mut |item| {
                Some(if item.base_version < 2 && item.collection == "c" {
                    Outcome::Conflict(theirs())
                } else {
                    arrived.push((item.body.clone(), item.base_version));
                    accepted(item.base_version + 1)
                })
            }),
            other => well(other),
        })
    });
    arrived
}

fn says(answer: impl Fn() -> Result<Verdict, String> + Send + Sync + 'static) -> Resolvers {
    Resolvers::new().with("app", move |_: &Conflict| answer())
}

fn history(device: &Device) -> Vec<Option<String>> {
    let versions = device.db.read(|read| read.history("c", "r")).unwrap();
    versions.into_iter().map(|version| version.body).collect()
}

fn reason(device: &Device) -> (EntryState, String, String) {
    let entry = device.entries().remove(0);
    let reason = entry.reason.expect("it says why");
    (entry.state, reason.code, reason.message)
}

#[test]
fn what_a_resolver_decides_goes_out_in_the_same_pass() {
    let both = r#"{"n":5}"#;
    for (verdict, shown, sent, lost) in [
        (
            Verdict::Merge(both.to_owned()),
            both,
            vec![(Some(both.to_owned()), 2)],
            vec![OURS, THEIRS],
        ),
        (Verdict::KeepLocal, OURS, vec![(Some(OURS.to_owned()), 2)], vec![THEIRS]),
        (Verdict::KeepRemote, THEIRS, vec![], vec![OURS]),
    ] {
        let mut device = a_device(None);
        edited(&mut device);
        let saying = verdict.clone();
        let arrived = pass(&mut device, &says(move || Ok(saying.clone())));
        assert_eq!(arrived, sent, "{verdict:?}");
        assert_eq!(device.body("c", "r").as_deref(), Some(shown), "{verdict:?}");
        assert_eq!(device.get("c", "r").unwrap().state, RecordState::Synced, "{verdict:?}");
        assert!(device.db.read(|read| read.unresolved()).unwrap().is_empty());
        let history = history(&device);
        for body in lost {
            assert!(
                history.contains(&Some(body.to_owned())),
                "{verdict:?}: {body} is in the history"
            );
        }
    }
}

#[test]
fn a_resolver_is_shown_both_versions_their_base_and_where_theirs_is_from() {
    let shown: Arc<Mutex<Vec<Conflict>>> = Arc::default();
    let seen = Arc::clone(&shown);
    let resolvers = Resolvers::new().with("app", move |conflict: &Conflict| {
        seen.lock().unwrap().push(conflict.clone());
        Ok(Verdict::KeepLocal)
    });
    let mut device = a_device(None);
    edited(&mut device);
    pass(&mut device, &resolvers);
    let conflict = shown.lock().unwrap().remove(0);
    assert_eq!(
        [
            conflict.base.as_deref(),
            conflict.local.as_deref(),
            conflict.remote.as_deref()
        ],
        [Some(r#"{"n":1}"#), Some(OURS), Some(THEIRS)]
    );
    assert_eq!(conflict.remote_label.as_deref(), Some("Tablet"));
    assert!(conflict.local_at > 0 && conflict.remote_at > 0);
}

#[test]
fn a_resolver_may_leave_it_to_the_user() {
    let mut device = a_device(None);
    edited(&mut device);
    pass(&mut device, &says(|| Ok(Verdict::Ask)));
    assert_eq!(device.db.read(|read| read.conflicts()).unwrap().len(), 1);
    assert!(
        device.db.read(|read| read.unresolved()).unwrap().is_empty(),
        "it is not asked again"
    );
    device
        .db
        .write(|write| conflict::resolve(write, "c", "r", "2", &conflict::Resolution::KeepRemote))
        .unwrap();
    assert_eq!(device.body("c", "r").as_deref(), Some(THEIRS));
}

#[test]
fn a_resolver_that_cannot_decide_parks_the_write_and_a_retry_asks_again() {
    let failing: [(&str, Resolvers); 4] = [
        ("out of ideas", says(|| Err("out of ideas".to_owned()))),
        ("panicked", says(|| panic!("in the app's code"))),
        ("is registered", Resolvers::new()),
        ("not a JSON object", says(|| Ok(Verdict::Merge("[]".to_owned())))),
    ];
    for (told, resolvers) in failing {
        let mut device = a_device(None);
        edited(&mut device);
        device.put("other", "o", "{}");
        let arrived = pass(&mut device, &resolvers);
        assert_eq!(arrived, [(Some("{}".to_owned()), 0)], "{told}: the others go");
        let (state, code, message) = reason(&device);
        assert_eq!((state, code.as_str()), (EntryState::Parked, "policy_failed"), "{told}");
        assert!(message.contains(told), "{message}");
        assert_eq!(
            device.body("c", "r").as_deref(),
            Some(OURS),
            "{told}: ours stays in sight"
        );
        assert_eq!(device.get("c", "r").unwrap().state, RecordState::Parked);
        // Left alone it stays there.
        assert_eq!(pass(&mut device, &says(|| Ok(Verdict::KeepLocal))), []);
        let op = device.entries()[0].op;
        device.db.write(|write| queue::retry(write, op)).unwrap();
        let arrived = pass(&mut device, &says(|| Ok(Verdict::KeepLocal)));
        assert_eq!(arrived, [(Some(OURS.to_owned()), 2)], "{told}: a retry asks again");
        assert_eq!(device.get("c", "r").unwrap().state, RecordState::Synced);
    }
}

#[test]
fn an_answer_to_what_is_no_longer_so_is_thrown_away_and_it_is_asked_again() {
    let mut device = a_device(None);
    edited(&mut device);
    device.pull_only(vec![change("c", "r", theirs())]);
    let asked = |device: &Device| device.db.read(|read| read.unresolved()).unwrap().remove(0);
    let first = asked(&device);
    // The user writes on while the resolver thinks.
    device.put("c", "r", r#"{"n":22}"#);
    let answer = || Ok(Verdict::KeepRemote);
    let stale = |device: &mut Device, first: conflict::Unresolved| {
        let step = Step::Resolve {
            asked: Box::new(first),
            answer: answer(),
        };
        carry_out(&mut device.db, step);
    };
    stale(&mut device, first);
    let second = asked(&device);
    assert_eq!(second.conflict.local.as_deref(), Some(r#"{"n":22}"#));
    // Another version comes.
    let newer = RemoteVersion { version: 3, ..theirs() };
    device.pull_only(vec![change("c", "r", newer)]);
    stale(&mut device, second);
    let third = asked(&device);
    assert_eq!(third.conflict.remote_version, 3);
    assert_eq!(device.body("c", "r").as_deref(), Some(r#"{"n":22}"#));
    stale(&mut device, third);
    assert_eq!(device.body("c", "r").as_deref(), Some(THEIRS), "now it holds");
}

#[test]
fn a_conflict_that_waits_for_its_resolver_survives_a_restart_and_is_not_the_users() {
    let folder = tempfile::tempdir().unwrap();
    let mut device = a_device(Some(folder.path().to_owned()));
    edited(&mut device);
    device.pull_only(vec![change("c", "r", theirs())]);
    let mut device = device.restart();
    assert!(device.db.read(|read| read.conflicts()).unwrap().is_empty());
    assert_eq!(device.db.read(|read| read.unresolved()).unwrap()[0].resolver, "app");
    let arrived = pass(&mut device, &says(|| Ok(Verdict::KeepLocal)));
    assert_eq!(arrived, [(Some(OURS.to_owned()), 2)]);
}

#[test]
fn a_deletion_that_met_an_edit_is_for_the_resolver_too() {
    let mut device = a_device(None);
    edited(&mut device);
    device.delete("c", "r");
    let arrived = pass(&mut device, &says(|| Ok(Verdict::KeepLocal)));
    assert_eq!(arrived, [(None, 2)], "the deletion goes out on top of theirs");
    assert!(device.get("c", "r").is_none());
}

/// A backend whose version 2 of everything is in the way.
struct InTheWay;

impl Remote for InTheWay {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            batches: true,
            after: true,
            pull: true,
        }
    }
    fn push<'a>(&'a self, _: Option<&'a Token>, batch: PushBatch) -> RemoteFuture<'a, Result<PushAnswer, Fault>> {
        let answer = |item: &keepsync::remote::PushItem| {
            let outcome = match item.base_version {
                2 => accepted(3),
                _ => Outcome::Conflict(theirs()),
            };
            (item.op, outcome)
        };
        let answer = PushAnswer {
            results: batch.items.iter().map(answer).collect(),
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

async fn store(resolvers: Resolvers, resolver_ms: u64) -> Store {
    let options = OpenOptions {
        place: Place::Memory,
        settings: Settings {
            automatic: false,
            resolver_ms,
            ..Settings::default()
        },
        resolvers,
        ..OpenOptions::new("", "lifter", collections())
    };
    let backend = Backend {
        remote: Arc::new(InTheWay),
        tokens: None,
    };
    Store::open(options, Some(backend)).await.unwrap()
}

/// Far more than anything here takes; it only keeps a broken rule from hanging the run.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("it hangs")
}

#[tokio::test]
async fn the_store_asks_on_a_thread_of_its_own_and_sends_in_the_same_sync() {
    let (thread, asked) = std::sync::mpsc::channel();
    let resolvers = Resolvers::new().with("app", move |_: &Conflict| {
        thread.send(std::thread::current().name().map(str::to_owned)).unwrap();
        Ok(Verdict::Merge(r#"{"n":9}"#.to_owned()))
    });
    let store = store(resolvers, 10_000).await;
    store.put("c", "r", OURS).await.unwrap();
    let report = within(store.sync()).await.unwrap();
    assert_eq!((report.conflicts, report.accepted), (1, 1));
    assert_eq!(asked.recv().unwrap().as_deref(), Some("keepsync-resolver"));
    assert_eq!(
        store.get("c", "r").await.unwrap().unwrap().body.as_deref(),
        Some(r#"{"n":9}"#)
    );
    within(store.close()).await.unwrap();
}

#[tokio::test]
async fn a_resolver_that_hangs_keeps_nobody_waiting() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let (at_work, working) = tokio::sync::oneshot::channel();
    let at_work = Mutex::new(Some(at_work));
    let resolvers = Resolvers::new().with("app", move |_: &Conflict| {
        if let Some(at_work) = at_work.lock().unwrap().take() {
            at_work.send(()).unwrap();
        }
        // Until the test lets it go, or is over.
        let _ = wait.lock().unwrap().recv();
        Ok(Verdict::KeepLocal)
    });
    let store = store(resolvers, 300).await;
    store.put("c", "r", OURS).await.unwrap();
    let syncing = tokio::spawn({
        let store = store.clone();
        async move { store.sync().await }
    });
    within(working).await.unwrap();
    within(store.put("other", "o", "{}")).await.unwrap();
    assert!(
        within(store.get("c", "r")).await.unwrap().is_some(),
        "reads and writes go on"
    );
    within(syncing).await.unwrap().unwrap();
    let entries = store.entries(i64::MIN, 10).await.unwrap();
    let reason = entries[0].reason.as_ref().unwrap();
    assert_eq!(
        (entries[0].state, reason.code.as_str()),
        (EntryState::Parked, "policy_failed")
    );
    assert!(reason.message.contains("longer than 300 ms"), "{}", reason.message);
    within(store.close()).await.unwrap();
    drop(go);
}
