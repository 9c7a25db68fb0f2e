//! Taking an unsent write back: at once where it certainly was not applied, and else when its answer is
//! there; also with a kill in between.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests are tests too")]

#[path = "support/device.rs"]
mod device;

use device::{Device, accepted, change, rejected, version, well};
use keepsync::{
    Error,
    drain::{Answer, Request},
    queue::{self, Rollback, WriteOutcome},
    record::RecordState,
    remote::{Fault, Outcome, RemoteVersion},
    settings::Settings,
};
use uuid::Uuid;

const BASE: &str = r#"{"a":0}"#;
const EDIT: &str = r#"{"a":1}"#;

/// On the disk, with a workout that the server has.
fn confirmed() -> (tempfile::TempDir, Device) {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        jitter: 0.0,
        ..Settings::default()
    };
    let mut device = Device::named(1, Some(folder.path().to_owned()), settings);
    device.pull_only(vec![change("workout", "w", version(1, Some(BASE), 0))]);
    (folder, device)
}

fn rollback(device: &mut Device, op: Uuid, cascade: bool) -> Result<Rollback, Error> {
    device
        .db
        .write(|write| queue::rollback(write, op, cascade))
        .map(|(done, _)| done)
}

fn outcome(device: &Device, op: Uuid) -> WriteOutcome {
    device.db.read(|read| read.outcome(op)).unwrap()
}

/// Requests leave, and no answer comes.
fn offline(request: Request) -> Option<Answer> {
    Some(match request {
        Request::Push(_) => Answer::Pushed(Err(Fault::Offline)),
        other => well(other),
    })
}

fn is_as_confirmed(device: &Device, op: Uuid) {
    assert_eq!(outcome(device, op), WriteOutcome::RolledBack);
    let record = device.get("workout", "w").unwrap();
    assert_eq!(
        (record.body.as_deref(), record.state),
        (Some(BASE), RecordState::Synced)
    );
    assert!(device.entries().is_empty(), "{:?}", device.entries());
    let history = device.db.read(|read| read.history("workout", "w")).unwrap();
    assert_eq!(
        (history[0].reason.as_str(), history[0].body.as_deref()),
        ("rolled_back", Some(EDIT))
    );
    assert!(device.db.read(|read| read.conflicts()).unwrap().is_empty());
}

/// An edit that may have been sent, to be rolled back, after a kill.
fn wanted() -> (tempfile::TempDir, Device, Uuid) {
    let (folder, mut device) = confirmed();
    let op = device.put("workout", "w", EDIT).unwrap();
    device.sync(offline);
    assert_eq!(rollback(&mut device, op, false), Ok(Rollback::WhenAnswered));
    assert_eq!(
        device.body("workout", "w").as_deref(),
        Some(EDIT),
        "until then it stands"
    );
    (folder, device.restart(), op)
}

#[test]
fn what_never_left_is_rolled_back_at_once_and_sends_nothing() {
    let (_folder, mut device) = confirmed();
    let op = device.put("workout", "w", EDIT).unwrap();
    assert_eq!(rollback(&mut device, op, false), Ok(Rollback::Done(1)));
    is_as_confirmed(&device, op);
    device.push(|item| panic!("{item:?}"));
    is_as_confirmed(&device.restart(), op);
}

#[test]
fn a_deletion_that_is_rolled_back_brings_the_record_back() {
    let (_folder, mut device) = confirmed();
    device.delete("workout", "w");
    let op = device.entries()[0].op;
    assert_eq!(device.get("workout", "w"), None);
    rollback(&mut device, op, false).unwrap();
    assert_eq!(device.body("workout", "w").as_deref(), Some(BASE));
}

#[test]
fn a_creation_takes_what_depends_on_it_only_when_told() {
    let (_folder, mut device) = confirmed();
    let op = device.put("workout", "new", "{}").unwrap();
    let set = device.put("set_log", "s", r#"{"workout_id":"new"}"#).unwrap();
    let refused = rollback(&mut device, op, false);
    assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    assert_eq!(device.entries().len(), 2);
    assert_eq!(rollback(&mut device, op, true), Ok(Rollback::Done(2)));
    assert_eq!((device.get("workout", "new"), device.get("set_log", "s")), (None, None));
    assert_eq!(outcome(&device, set), WriteOutcome::RolledBack);
}

#[test]
fn a_later_unsent_write_of_the_record_depends_on_it() {
    let (_folder, mut device) = confirmed();
    let first = device.put("workout", "w", EDIT).unwrap();
    device.sync(offline);
    let second = device.put("workout", "w", r#"{"a":2}"#).unwrap();
    assert!(matches!(
        rollback(&mut device, first, false),
        Err(Error::Invalid { .. })
    ));
    // The later one alone can go; the earlier stands then.
    assert_eq!(rollback(&mut device, second, false), Ok(Rollback::Done(1)));
    assert_eq!(device.body("workout", "w").as_deref(), Some(EDIT));
    assert_eq!(device.entries().len(), 1);
}

#[test]
fn what_was_refused_is_rolled_back_at_once() {
    let (_folder, mut device) = confirmed();
    let op = device.put("workout", "w", EDIT).unwrap();
    device.push(|_| Some(rejected("validation")));
    assert_eq!(rollback(&mut device, op, false), Ok(Rollback::Done(1)));
    is_as_confirmed(&device, op);
}

#[test]
fn what_is_in_conflict_is_rolled_back_to_what_the_server_has() {
    let (_folder, mut device) = confirmed();
    let op = device.put("workout", "w", EDIT).unwrap();
    device.push(|_| Some(Outcome::Conflict(version(2, Some(r#"{"a":9}"#), 9))));
    assert_eq!(rollback(&mut device, op, false), Ok(Rollback::Done(1)));
    assert_eq!(device.body("workout", "w").as_deref(), Some(r#"{"a":9}"#));
    assert!(device.db.read(|read| read.conflicts()).unwrap().is_empty());
}

#[test]
fn what_may_have_been_sent_goes_again_under_its_id_and_accepted_stands() {
    let (_folder, mut device, op) = wanted();
    let mut sent = Vec::new();
    device.push(|item| {
        sent.push(item.op);
        Some(accepted(2))
    });
    assert_eq!(sent, [op]);
    assert!(matches!(
        outcome(&device, op),
        WriteOutcome::Accepted { version: 2, .. }
    ));
    assert_eq!(device.body("workout", "w").as_deref(), Some(EDIT));
}

#[test]
fn a_refusal_rolls_it_back_instead_of_parking_it() {
    let (_folder, mut device, op) = wanted();
    let report = device.push(|_| Some(rejected("validation")));
    assert_eq!(report.parked, 0);
    is_as_confirmed(&device.restart(), op);
}

#[test]
fn a_conflict_rolls_it_back_to_the_version_that_came_with_it() {
    let (_folder, mut device, op) = wanted();
    device.push(|_| Some(Outcome::Conflict(version(2, Some(r#"{"a":9}"#), 9))));
    assert_eq!(outcome(&device, op), WriteOutcome::RolledBack);
    assert_eq!(device.body("workout", "w").as_deref(), Some(r#"{"a":9}"#));
    assert!(device.entries().is_empty());
    assert!(device.db.read(|read| read.conflicts()).unwrap().is_empty());
}

#[test]
fn a_conflict_with_itself_is_an_acceptance() {
    let (_folder, mut device, op) = wanted();
    let own = RemoteVersion {
        op: Some(op),
        ..version(2, Some(EDIT), 9)
    };
    device.push(|_| Some(Outcome::Conflict(own.clone())));
    assert!(matches!(
        outcome(&device, op),
        WriteOutcome::Accepted { version: 2, .. }
    ));
    assert_eq!(device.body("workout", "w").as_deref(), Some(EDIT));
}

#[test]
fn blocked_is_a_refusal_too() {
    let (_folder, mut device, op) = wanted();
    device.push(|_| Some(Outcome::Blocked));
    is_as_confirmed(&device, op);
}

#[test]
fn no_answer_is_waited_for_however_often() {
    let (_folder, mut device, op) = wanted();
    for answer in [Some(Outcome::Retry { after_ms: None }), None] {
        device.push(|_| answer.clone());
        assert_eq!(outcome(&device, op).code(), "pending");
        device = device.restart();
    }
    device.sync(offline);
    device.push(|_| Some(rejected("validation")));
    is_as_confirmed(&device, op);
}

#[test]
fn a_kill_before_the_answer_asks_again() {
    let (_folder, mut device, op) = wanted();
    // It is on its way, and the process dies.
    let mut pushed = None;
    device.feed(
        keepsync::drain::Event::Wake(keepsync::drain::Trigger::User),
        |request| match request {
            Request::Push(batch) => {
                pushed = Some(batch.items[0].op);
                None
            }
            other => Some(well(other)),
        },
    );
    assert_eq!(pushed, Some(op));
    let mut device = device.restart();
    assert_eq!(outcome(&device, op).code(), "pending");
    device.push(|item| {
        assert_eq!(item.op, op);
        Some(rejected("validation"))
    });
    is_as_confirmed(&device, op);
}

#[test]
fn a_further_write_takes_the_wish_back() {
    let (_folder, mut device, op) = wanted();
    let later = device.put("workout", "w", r#"{"a":2}"#).unwrap();
    assert_ne!(later, op);
    device.push(|item| {
        Some(if item.op == op {
            rejected("validation")
        } else {
            Outcome::Blocked
        })
    });
    assert_eq!(outcome(&device, op).code(), "rejected", "parked as ever, for the user");
    assert_eq!(device.body("workout", "w").as_deref(), Some(r#"{"a":2}"#));
}

#[test]
fn a_wish_with_cascade_is_taken_back_too_also_by_a_write_that_folds() {
    let (_folder, mut device) = confirmed();
    let op = device.put("workout", "w", EDIT).unwrap();
    device.sync(offline);
    let second = device.put("workout", "w", r#"{"a":2}"#).unwrap();
    assert_eq!(rollback(&mut device, op, true), Ok(Rollback::WhenAnswered));
    assert_eq!(device.put("workout", "w", r#"{"a":3}"#), Some(second));
    device.push(|item| {
        Some(if item.op == op {
            rejected("validation")
        } else {
            Outcome::Blocked
        })
    });
    assert_eq!(outcome(&device, op).code(), "rejected");
    assert_eq!(device.body("workout", "w").as_deref(), Some(r#"{"a":3}"#));
}

#[test]
fn what_was_hung_on_it_after_the_wish_is_not_thrown_away_with_it() {
    let (_folder, mut device) = confirmed();
    let op = device.put("workout", "new", "{}").unwrap();
    device.sync(offline);
    assert_eq!(rollback(&mut device, op, true), Ok(Rollback::WhenAnswered));
    device.put("set_log", "later", r#"{"workout_id":"new"}"#);
    device.push(|item| {
        Some(if item.op == op {
            rejected("validation")
        } else {
            Outcome::Blocked
        })
    });
    assert_eq!(outcome(&device, op).code(), "rejected");
    assert!(device.get("set_log", "later").is_some());
}

#[test]
fn with_cascade_all_that_depends_on_it_waits_and_goes_with_it() {
    let (_folder, mut device) = confirmed();
    let op = device.put("workout", "new", "{}").unwrap();
    let set = device.put("set_log", "s", r#"{"workout_id":"new"}"#).unwrap();
    device.sync(offline);
    assert_eq!(rollback(&mut device, op, true), Ok(Rollback::WhenAnswered));
    let mut device = device.restart();
    device.push(|item| {
        Some(if item.op == op {
            rejected("validation")
        } else {
            Outcome::Blocked
        })
    });
    assert_eq!(
        (outcome(&device, op), outcome(&device, set)),
        (WriteOutcome::RolledBack, WriteOutcome::RolledBack)
    );
    assert_eq!((device.get("workout", "new"), device.get("set_log", "s")), (None, None));
    assert!(device.entries().is_empty());
}

#[test]
fn a_child_that_came_later_is_not_thrown_away_unasked() {
    let (_folder, mut device) = confirmed();
    let op = device.put("workout", "new", "{}").unwrap();
    device.sync(offline);
    assert_eq!(rollback(&mut device, op, false), Ok(Rollback::WhenAnswered));
    device.put("set_log", "s", r#"{"workout_id":"new"}"#);
    device.push(|item| {
        Some(if item.op == op {
            rejected("validation")
        } else {
            Outcome::Blocked
        })
    });
    assert_eq!(outcome(&device, op).code(), "rejected");
    assert!(device.get("set_log", "s").is_some());
}

#[test]
fn what_is_not_in_the_queue_cannot_be_rolled_back() {
    let (_folder, mut device) = confirmed();
    let op = device.put("workout", "w", EDIT).unwrap();
    device.push(|_| Some(accepted(2)));
    assert!(matches!(rollback(&mut device, op, false), Err(Error::NotFound { .. })));
}
