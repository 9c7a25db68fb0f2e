//! What becomes of a write, by its operation id: now, and after a restart. And why it is still here.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests are tests too")]

#[path = "support/device.rs"]
mod device;

use device::{Device, START, accepted, change, rejected, version, well};
use keepsync::{
    conflict::{self, Resolution},
    drain::{Answer, Request, Status},
    queue::{self, EntryState, Why, WriteOutcome},
    remote::{Fault, Outcome, RemoteVersion},
    session,
    settings::{AfterLast, Settings},
};
use std::{collections::BTreeSet, sync::atomic::Ordering::Relaxed};
use uuid::Uuid;

fn outcome(device: &Device, op: Uuid) -> WriteOutcome {
    device.db.read(|read| read.outcome(op)).unwrap()
}

fn code(device: &Device, op: Uuid) -> String {
    outcome(device, op).code().to_owned()
}

/// On the disk, so that it can be started again.
fn on_disk() -> (tempfile::TempDir, Device) {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        jitter: 0.0,
        ..Settings::default()
    };
    let device = Device::named(1, Some(folder.path().to_owned()), settings);
    (folder, device)
}

fn why(device: &Device, id: &str) -> String {
    let entries = device.entries();
    let entry = entries.iter().find(|entry| entry.id == id).unwrap();
    let alone = device.db.read(|read| read.entry(entry.op)).unwrap();
    assert_eq!(alone.why, entry.why, "a list and a look at one say the same");
    entry.why.code().to_owned()
}

#[test]
fn an_accepted_write_says_its_version_also_after_a_restart() {
    let (_folder, mut device) = on_disk();
    let op = device.put("workout", "w", "{}").unwrap();
    let pending = outcome(&device, op);
    assert!(
        matches!(
            &pending,
            WriteOutcome::Pending {
                state: EntryState::Waiting,
                why: Why::Ready
            }
        ),
        "{pending:?}"
    );
    device.push(|_| Some(accepted(7)));
    let arrived = outcome(&device, op);
    assert!(
        matches!(arrived, WriteOutcome::Accepted { version: 7, .. }),
        "{arrived:?}"
    );
    assert_eq!(outcome(&device.restart(), op), arrived);
}

#[test]
fn writes_that_fold_share_their_outcome() {
    let mut device = Device::new();
    let first = device.put("workout", "w", "{}").unwrap();
    assert_eq!(device.put("workout", "w", r#"{"a":1}"#), Some(first));
    device.push(|_| Some(accepted(1)));
    assert_eq!(code(&device, first), "accepted");
}

#[test]
fn a_refused_write_says_why_and_its_edit_supersedes_it() {
    let (_folder, mut device) = on_disk();
    let op = device.put("workout", "w", "{}").unwrap();
    device.push(|_| Some(rejected("validation")));
    let refused = WriteOutcome::Rejected {
        code: "validation".to_owned(),
        message: "no".to_owned(),
    };
    assert_eq!(outcome(&device, op), refused);
    let mut device = device.restart();
    assert_eq!(outcome(&device, op), refused);
    let edited = device.db.write(|write| queue::edit(write, op, r#"{"a":1}"#)).unwrap().0;
    assert_ne!(edited, op);
    assert_eq!(outcome(&device, op), WriteOutcome::Superseded { by: edited });
    device.push(|_| Some(accepted(1)));
    assert_eq!(code(&device, edited), "accepted");
    assert_eq!(outcome(&device.restart(), op), WriteOutcome::Superseded { by: edited });
}

#[test]
fn a_write_to_a_refused_record_supersedes_the_refused_one() {
    let mut device = Device::new();
    let op = device.put("workout", "w", "{}").unwrap();
    device.push(|_| Some(rejected("validation")));
    let by = device.put("workout", "w", r#"{"a":1}"#).unwrap();
    assert_eq!(outcome(&device, op), WriteOutcome::Superseded { by });
}

#[test]
fn a_policy_that_goes_on_with_a_fresh_id_supersedes() {
    let mut device = Device::new();
    device.pull_only(vec![change("weight", "s", version(1, Some(r#"{}"#), 0))]);
    let op = device.put("weight", "s", r#"{"n":1}"#).unwrap();
    let mut met = false;
    device.push(|_| {
        let first = !std::mem::replace(&mut met, true);
        let other = version(2, Some(r#"{"n":2}"#), 9);
        first.then_some(Outcome::Conflict(other)).or(Some(accepted(3)))
    });
    let WriteOutcome::Superseded { by } = outcome(&device, op) else {
        panic!("{:?}", outcome(&device, op))
    };
    let arrived = outcome(&device, by);
    assert!(
        matches!(arrived, WriteOutcome::Accepted { version: 3, .. }),
        "{arrived:?}"
    );
}

#[test]
fn a_write_that_another_version_beat_is_lost_and_one_that_says_the_same_is_accepted() {
    let mut device = Device::new();
    device.pull_only(vec![change("exercise", "e", version(1, Some(r#"{"a":0}"#), 0))]);
    device.pull_only(vec![change("exercise", "f", version(1, Some(r#"{"a":0}"#), 0))]);
    let lost = device.put("exercise", "e", r#"{"a":1}"#).unwrap();
    let same = device.put("exercise", "f", r#"{"a":2}"#).unwrap();
    device.pull_only(vec![
        change("exercise", "e", version(2, Some(r#"{"a":2}"#), 9)),
        change("exercise", "f", version(2, Some(r#"{"a":2}"#), 9)),
    ]);
    assert_eq!(outcome(&device, lost), WriteOutcome::Lost { version: 2 });
    let same = outcome(&device, same);
    assert!(matches!(same, WriteOutcome::Accepted { version: 2, .. }), "{same:?}");
}

/// Requests leave, and no answer comes.
fn offline(request: Request) -> Option<Answer> {
    Some(match request {
        Request::Push(_) => Answer::Pushed(Err(Fault::Offline)),
        other => well(other),
    })
}

/// A workout that was changed here and on another device.
fn in_conflict(device: &mut Device) -> Uuid {
    device.pull_only(vec![change("workout", "w", version(1, Some(r#"{"a":0}"#), 0))]);
    let op = device.put("workout", "w", r#"{"a":1}"#).unwrap();
    device.push(|_| Some(Outcome::Conflict(version(2, Some(r#"{"a":2}"#), 9))));
    assert_eq!(outcome(device, op), WriteOutcome::Conflict);
    op
}

fn resolve(device: &mut Device, resolution: Resolution) {
    device
        .db
        .write(|write| conflict::resolve(write, "workout", "w", "2", &resolution))
        .unwrap();
}

#[test]
fn a_resolution_supersedes_or_loses_the_write_in_conflict() {
    for resolution in [Resolution::KeepLocal, Resolution::Merge(r#"{"a":3}"#.to_owned())] {
        let mut device = Device::new();
        let op = in_conflict(&mut device);
        resolve(&mut device, resolution);
        let by = device.entries()[0].op;
        assert_eq!(outcome(&device, op), WriteOutcome::Superseded { by });
        assert_eq!(code(&device, by), "pending");
    }
    let mut device = Device::new();
    let op = in_conflict(&mut device);
    resolve(&mut device, Resolution::KeepRemote);
    assert_eq!(outcome(&device, op), WriteOutcome::Lost { version: 2 });
}

#[test]
fn of_a_chain_that_becomes_one_write_every_link_is_superseded_by_it() {
    let mut device = Device::new();
    device.pull_only(vec![change("workout", "w", version(1, Some(r#"{"a":0}"#), 0))]);
    let first = device.put("workout", "w", r#"{"a":1}"#).unwrap();
    device.sync(offline);
    let second = device.put("workout", "w", r#"{"a":2}"#).unwrap();
    assert_ne!(first, second);
    device.push(|item| match item.op == first {
        true => Some(Outcome::Conflict(version(2, Some(r#"{"a":9}"#), 9))),
        false => Some(Outcome::Blocked),
    });
    assert_eq!(outcome(&device, second), WriteOutcome::Conflict);
    resolve(&mut device, Resolution::Merge(r#"{"a":3}"#.to_owned()));
    let by = device.entries()[0].op;
    assert_eq!(outcome(&device, first), WriteOutcome::Superseded { by });
    assert_eq!(outcome(&device, second), WriteOutcome::Superseded { by });
}

#[test]
fn thrown_away_is_discarded_and_so_is_what_never_left_and_was_deleted() {
    let (_folder, mut device) = on_disk();
    let op = device.put("workout", "w", "{}").unwrap();
    let child = device.put("set_log", "s", r#"{"workout_id":"w"}"#).unwrap();
    device.delete("workout", "w");
    assert_eq!(
        (code(&device, op), code(&device, child)),
        ("discarded".into(), "discarded".into())
    );
    let op = device.put("workout", "v", "{}").unwrap();
    device.db.write(|write| queue::discard(write, op, false)).unwrap();
    assert_eq!(code(&device.restart(), op), "discarded");
}

#[test]
fn an_answer_that_only_the_pull_brought_is_an_acceptance() {
    let mut device = Device::new();
    let op = device.put("workout", "w", "{}").unwrap();
    device.sync(offline);
    assert_eq!(code(&device, op), "pending");
    let pulled = RemoteVersion {
        op: Some(op),
        ..version(4, Some("{}"), 5)
    };
    device.pull_only(vec![change("workout", "w", pulled)]);
    let outcome = outcome(&device, op);
    assert!(
        matches!(outcome, WriteOutcome::Accepted { version: 4, .. }),
        "{outcome:?}"
    );
}

#[test]
fn what_has_left_the_journal_is_unknown() {
    let settings = Settings {
        jitter: 0.0,
        journal_ms: 1_000,
        ..Settings::default()
    };
    let mut device = Device::named(1, None, settings);
    let at = |ms: i64| {
        Outcome::Accepted(keepsync::remote::Accepted {
            version: 1,
            change: 1,
            updated_at: Some(START + ms),
            ..Default::default()
        })
    };
    let old = device.put("workout", "old", "{}").unwrap();
    device.push(|_| Some(at(0)));
    assert_eq!(code(&device, old), "accepted");
    device.pass_time(5_000);
    let new = device.put("workout", "new", "{}").unwrap();
    device.push(|_| Some(at(5_000)));
    assert_eq!([old, new].map(|op| code(&device, op)), ["unknown", "accepted"]);
    assert_eq!(code(&device, Uuid::from_u128(1)), "unknown");
}

#[test]
fn a_clock_that_jumps_makes_no_outcome_unknown() {
    let mut device = Device::new();
    let thrown: Vec<Uuid> = (0..2)
        .map(|n| {
            let op = device.put("workout", &format!("w{n}"), "{}").unwrap();
            device.db.write(|write| queue::discard(write, op, false)).unwrap();
            device.env.wall_ms.fetch_add(5 * 365 * 86_400_000, Relaxed);
            op
        })
        .collect();
    device.sync(|request| Some(well(request)));
    assert!(thrown.iter().all(|op| code(&device, *op) == "discarded"));
}

#[test]
fn there_are_no_more_outcomes_than_the_journal_may_have() {
    let settings = Settings {
        journal_count: 10,
        ..Settings::default()
    };
    let mut device = Device::named(1, None, settings);
    let mut ops = Vec::new();
    for n in 0..15 {
        let op = device.put("workout", &format!("w{n}"), "{}").unwrap();
        device.db.write(|write| queue::discard(write, op, false)).unwrap();
        ops.push(op);
    }
    let codes: Vec<String> = ops.iter().map(|op| code(&device, *op)).collect();
    assert!(codes[..5].iter().all(|code| code == "unknown"), "{codes:?}");
    assert!(codes[5..].iter().all(|code| code == "discarded"), "{codes:?}");
}

// Where is it, and why?

#[test]
fn a_write_that_must_follow_a_refused_one_names_it_and_its_code() {
    let mut device = Device::new();
    let parent = device.put("workout", "w", "{}").unwrap();
    device.put("set_log", "s", r#"{"workout_id":"w"}"#);
    device.put("workout", "free", "{}");
    assert_eq!(why(&device, "s"), "ready");
    device.push(|item| match item.id.as_str() {
        "w" => Some(rejected("validation")),
        "s" => Some(Outcome::Blocked),
        _ => None,
    });
    assert_eq!(why(&device, "w"), "validation");
    assert_eq!(why(&device, "s"), "behind_parked");
    let entries = device.entries();
    let set = entries.iter().find(|entry| entry.id == "s").unwrap();
    assert_eq!(set.why.behind(), Some(parent));
    assert_eq!(
        set.why.message(),
        "must follow a write of workout/w, which was refused (validation)"
    );
    assert_eq!(why(&device, "free"), "waiting_until");
    // Fixing the parent lets it go, in order.
    device
        .db
        .write(|write| queue::edit(write, parent, r#"{"a":1}"#))
        .unwrap();
    assert_eq!(
        (why(&device, "w"), why(&device, "s")),
        ("ready".into(), "unanswered".into())
    );
    let mut order = Vec::new();
    device.push(|item| {
        order.push(item.id.clone());
        Some(accepted(1))
    });
    assert_eq!(&order[..2], ["w", "s"]);
}

#[test]
fn what_waits_behind_a_write_that_waits_names_the_one_that_needs_something() {
    let mut device = Device::new();
    let parent = device.put("workout", "w", "{}").unwrap();
    device.put("set_log", "s", r#"{"workout_id":"w","n":1}"#);
    device.push(|item| match item.id.as_str() {
        "w" => Some(rejected("validation")),
        _ => Some(Outcome::Blocked),
    });
    // The set was sent, so this is an entry of its own, behind the set's creation, behind the workout.
    device.put("set_log", "s", r#"{"workout_id":"w","n":2}"#);
    let entries = device.entries();
    let sets: Vec<_> = entries.iter().filter(|entry| entry.id == "s").collect();
    assert_eq!(sets.len(), 2);
    assert!(sets.iter().all(|entry| entry.why.behind() == Some(parent)), "{sets:?}");
}

#[test]
fn a_completion_behind_a_refused_set_says_so_and_held_ones_say_held() {
    let mut device = Device::new();
    device
        .db
        .write(|write| session::start(write, "workout", "set_log", "w", "{}"))
        .unwrap();
    device
        .db
        .write(|write| session::log_set(write, "workout", "w", "squat/1", "{}"))
        .unwrap();
    device
        .db
        .write(|write| session::start(write, "plan", "plan_set", "p", "{}"))
        .unwrap();
    assert_eq!(why(&device, "p"), "held");
    device.push(|item| {
        if item.collection == "set_log" {
            Some(rejected("validation"))
        } else {
            Some(accepted(1))
        }
    });
    device
        .db
        .write(|write| session::complete(write, "workout", "w", "{}"))
        .unwrap();
    assert_eq!(why(&device, "w"), "behind_parked");
}

#[test]
fn of_several_that_hold_it_up_the_one_that_needs_the_user_is_named_through_any_that_wait() {
    let mut device = Device::new();
    device
        .db
        .write(|write| session::start(write, "workout", "set_log", "w", "{}"))
        .unwrap();
    device.push(|_| Some(accepted(1)));
    for slot in ["squat/1", "squat/2", "squat/3"] {
        device
            .db
            .write(|write| session::log_set(write, "workout", "w", slot, "{}"))
            .unwrap();
    }
    let refused = device.entries()[1].op;
    device.push(|item| {
        Some(if item.op == refused {
            rejected("validation")
        } else {
            Outcome::Retry { after_ms: None }
        })
    });
    device
        .db
        .write(|write| session::complete(write, "workout", "w", "{}"))
        .unwrap();
    // A change of state does not fold: this is an entry of its own, behind the completion.
    device.put("workout", "w", r#"{"note":"later"}"#);
    let entries = device.entries();
    let of_workout: Vec<_> = entries.iter().filter(|entry| entry.id == "w").collect();
    assert_eq!(of_workout.len(), 2);
    for entry in of_workout {
        assert_eq!((entry.why.code(), entry.why.behind()), ("behind_parked", Some(refused)));
    }
}

#[test]
fn every_other_state_has_its_answer() {
    for (after_last, by_hand) in [(AfterLast::Auto, false), (AfterLast::Manual, true)] {
        let settings = Settings {
            jitter: 0.0,
            after_last,
            retry_schedule_ms: vec![1_000],
            ..Settings::default()
        };
        let mut device = Device::named(1, None, settings);
        device.put("workout", "w", "{}");
        device.push(|_| Some(Outcome::Retry { after_ms: None }));
        let entry = device.entries().remove(0);
        assert_eq!(entry.why, Why::Until { at: START + 1 + 1_000 });
        device.pass_time(1_000);
        device.push(|_| Some(Outcome::Retry { after_ms: None }));
        assert_eq!(device.entries()[0].why, Why::RetriesUsedUp { by_hand });
        device.put("set_log", "s", r#"{"workout_id":"w"}"#);
        assert_eq!(why(&device, "s"), "behind_waiting");
    }
    let mut device = Device::new();
    in_conflict(&mut device);
    assert_eq!(
        device.entries()[0].why,
        Why::Conflict {
            name: "workout/w@2".to_owned()
        }
    );
    assert_eq!(why(&device, "w"), "in_conflict");
}

#[test]
fn what_only_the_drain_knows_stands_for_what_could_go() {
    let mut said = BTreeSet::from([Why::Drain(Status::Idle).message()]);
    for (status, code) in [
        (Status::Offline, "offline"),
        (Status::NeedsSignIn, "needs_sign_in"),
        (Status::StorageFull, "storage_full"),
        (Status::LocalOnly, "local_only"),
        (Status::Elsewhere, "elsewhere"),
        (Status::WaitingUntil { at: 5 }, "waiting"),
    ] {
        let says = Why::Ready.under(status).message();
        assert!(
            !says.is_empty() && said.insert(says),
            "{code}: each has words of its own"
        );
        assert_eq!(Why::Ready.under(status).code(), code);
        assert_eq!(Why::Unanswered.under(status).code(), code);
        assert_eq!(Why::Held.under(status).code(), "held");
    }
    assert_eq!(Why::Ready.under(Status::Idle), Why::Ready);
}
