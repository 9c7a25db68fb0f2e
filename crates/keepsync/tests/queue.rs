//! What becomes of unsent writes: folding, freezing, settling, parking, and what the user can do.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "support/device.rs"]
mod device;

use device::*;
use keepsync::{
    Error,
    collection::{Collection, Collections},
    conflict::Policy,
    drain::{Answer, Drain, Event, HalfResult, Request, Trigger, schedule::Rules},
    queue::{self, EntryState, Kind},
    record::RecordState,
    remote::{Fault, Outcome, PushAnswer},
    session,
    settings::Settings,
};

#[test]
fn a_write_that_never_left_takes_the_next_one_in() {
    let mut device = Device::new();
    let op = device.put("workout", "w", r#"{"n":1}"#);
    assert_eq!(
        device.put("workout", "w", r#"{"n":2}"#),
        op,
        "the same operation carries both"
    );
    let entries = device.entries();
    assert_eq!((entries.len(), entries[0].kind), (1, Kind::Create));
    let mut sent = Vec::new();
    device.push(|item| {
        sent.push(item.body.clone());
        Some(accepted(1))
    });
    assert_eq!(sent, [Some(r#"{"n":2}"#.to_owned())]);
}

#[test]
fn a_creation_and_its_deletion_that_never_left_cancel_out_and_leave_a_trace() {
    let mut device = Device::new();
    device.put("workout", "w", r#"{"n":1}"#);
    device.delete("workout", "w");
    assert!(device.entries().is_empty());
    assert_eq!(device.get("workout", "w"), None);
    let history = device.db.read(|read| read.history("workout", "w")).unwrap();
    assert_eq!(
        (history[0].reason.as_str(), history[0].body.as_deref()),
        ("cancelled", Some(r#"{"n":1}"#))
    );
}

#[test]
fn an_edit_while_in_flight_stays_pending() {
    let mut device = Device::new();
    let first = device.put("workout", "w", r#"{"n":1}"#).unwrap();
    let mut second = None;
    let mut round = 0;
    // The app edits while the answer is on its way: modelled by an answer that is lost.
    device.feed(Event::Wake(Trigger::User), |request| match request {
        Request::Push(_) => None,
        other => Some(well(other)),
    });
    second.replace(device.put("workout", "w", r#"{"n":2}"#).unwrap());
    assert_ne!(second, Some(first));
    assert_eq!(device.entries().len(), 2);
    let mut device = device.restart_in_memory();
    device.push(|item| {
        round += 1;
        (item.op == first).then(|| accepted(1))
    });
    let entries = device.entries();
    assert_eq!((entries.len(), Some(entries[0].op), round), (1, second, 2));
    assert_eq!(
        device.body("workout", "w").as_deref(),
        Some(r#"{"n":2}"#),
        "the edit is what is seen"
    );
    assert_eq!(
        device.get("workout", "w").unwrap().version,
        1,
        "what was acknowledged is the base"
    );
    assert_eq!(device.get("workout", "w").unwrap().state, RecordState::Pending);
}

#[test]
fn every_attempt_of_an_entry_carries_the_same_operation_id_and_content() {
    let mut device = Device::new();
    device.put("workout", "w", r#"{"n":1}"#);
    let mut seen = Vec::new();
    for fault in [
        Fault::Timeout,
        Fault::Unrecognised { status: 502 },
        Fault::Offline,
        Fault::TooLarge,
    ] {
        device.sync(|request| {
            Some(match request {
                Request::Push(batch) => {
                    seen.extend(
                        batch
                            .items
                            .iter()
                            .map(|item| (item.op, item.body.clone(), item.base_op, item.base_version)),
                    );
                    Answer::Pushed(Err(fault.clone()))
                }
                other => well(other),
            })
        });
        device.pass_time(10_000_000);
    }
    device.push(|item| {
        seen.push((item.op, item.body.clone(), item.base_op, item.base_version));
        Some(accepted(1))
    });
    assert_eq!(seen.len(), 5);
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
    assert!(device.entries().is_empty());
}

#[test]
fn chained_writes_go_together_and_name_what_they_stand_on() {
    let mut device = Device::new();
    let (coll, kids) = ("workout", "set_log");
    device
        .db
        .write(|write| session::start(write, coll, kids, "w", "{}"))
        .unwrap();
    for slot in ["bench/1", "bench/2"] {
        device
            .db
            .write(|write| session::log_set(write, coll, "w", slot, r#"{"reps":5}"#))
            .unwrap();
    }
    device
        .db
        .write(|write| session::complete(write, coll, "w", "{}"))
        .unwrap();
    let ops: Vec<_> = device.entries().iter().map(|entry| entry.op).collect();
    let mut sent = Vec::new();
    device.push(|item| {
        sent.push((item.op, item.after.clone(), item.base_op));
        Some(accepted(1))
    });
    assert_eq!(sent.len(), 4);
    assert_eq!(
        sent[1],
        (ops[1], vec![ops[0]], None),
        "a set follows its session's creation"
    );
    assert_eq!(sent[3].0, ops[3]);
    assert_eq!(sent[3].1, vec![ops[0], ops[1], ops[2]], "completion follows everything");
    assert_eq!(sent[3].2, Some(ops[0]), "and stands on the version the creation made");
}

#[test]
fn what_is_held_goes_when_the_session_is_completed() {
    let mut device = Device::new();
    device
        .db
        .write(|write| session::start(write, "plan", "plan_set", "p", "{}"))
        .unwrap();
    device
        .db
        .write(|write| session::log_set(write, "plan", "p", "1", r#"{"reps":5}"#))
        .unwrap();
    assert!(device.entries().iter().all(|entry| entry.state == EntryState::Held));
    let report = device.push(|_| Some(accepted(1)));
    assert_eq!(report.requests, 1, "only the pull");
    device
        .db
        .write(|write| session::complete(write, "plan", "p", "{}"))
        .unwrap();
    assert!(device.entries().iter().all(|entry| entry.state == EntryState::Waiting));
    assert_eq!(device.push(|_| Some(accepted(1))).accepted, 3);
}

#[test]
fn a_rejected_entry_keeps_its_reason_and_its_lane_and_others_go_on() {
    let mut device = Device::new();
    device.put("workout", "bad", "{}");
    device.put("profile", "me", "{}");
    let report = device.push(|item| {
        Some(if item.id == "bad" {
            rejected("validation")
        } else {
            accepted(1)
        })
    });
    assert_eq!((report.accepted, report.parked), (1, 1));
    let entry = &device.entries()[0];
    assert_eq!(
        (entry.state, entry.reason.as_ref().unwrap().code.as_str()),
        (EntryState::Parked, "validation")
    );
    assert_eq!(device.get("workout", "bad").unwrap().state, RecordState::Parked);
    device.pass_time(100_000_000);
    let mut sent = 0;
    device.push(|_| {
        sent += 1;
        Some(accepted(1))
    });
    assert_eq!(sent, 0, "what was refused does not go again by itself, nor by a sync");
}

#[test]
fn a_further_write_frees_a_parked_one_under_a_new_operation_id() {
    let mut device = Device::new();
    let refused = device.put("workout", "w", r#"{"bad":1}"#).unwrap();
    device.push(|_| Some(rejected("validation")));
    let fresh = device.put("workout", "w", r#"{"good":1}"#).unwrap();
    assert_ne!(fresh, refused);
    let mut sent = Vec::new();
    device.push(|item| {
        sent.push((item.op, item.replaces, item.operation));
        Some(accepted(1))
    });
    assert_eq!(sent, [(fresh, Some(refused), keepsync_wire::Operation::Create)]);
    assert_eq!(device.get("workout", "w").unwrap().state, RecordState::Synced);
}

#[test]
fn a_parked_entry_can_be_looked_at_edited_retried_and_discarded() {
    let mut device = Device::new();
    for id in ["a", "b", "c"] {
        device.put("workout", id, r#"{"n":1}"#);
    }
    device.push(|_| Some(rejected("validation")));
    let ops: Vec<_> = device.entries().iter().map(|entry| entry.op).collect();
    let looked = device.db.read(|read| read.entry(ops[0])).unwrap();
    assert_eq!(looked.body.as_deref(), Some(r#"{"n":1}"#));
    device
        .db
        .write(|write| queue::edit(write, ops[0], r#"{"n":2}"#))
        .unwrap();
    assert_eq!(
        device.body("workout", "a").as_deref(),
        Some(r#"{"n":2}"#),
        "the app sees the edit"
    );
    device.db.write(|write| queue::retry(write, ops[1])).unwrap();
    assert_eq!(
        device.db.write(|write| queue::discard(write, ops[2], false)).unwrap().0,
        1
    );
    assert_eq!(device.get("workout", "c"), None, "the server never had it");
    assert_eq!(
        device.db.read(|read| read.history("workout", "c")).unwrap()[0].reason,
        "discarded"
    );
    assert_eq!(device.push(|_| Some(accepted(1))).accepted, 2);
}

#[test]
fn discarding_a_creation_that_others_need_asks_first() {
    let mut device = Device::new();
    device
        .db
        .write(|write| session::start(write, "workout", "set_log", "w", "{}"))
        .unwrap();
    device
        .db
        .write(|write| session::log_set(write, "workout", "w", "1", "{}"))
        .unwrap();
    let op = device.entries()[0].op;
    let refused = device.db.write(|write| queue::discard(write, op, false));
    assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    assert_eq!(device.entries().len(), 2);
    assert_eq!(device.db.write(|write| queue::discard(write, op, true)).unwrap().0, 2);
    assert!(device.entries().is_empty());
}

#[test]
fn an_entry_whose_fate_is_open_cannot_be_edited() {
    let mut device = Device::new();
    let op = device.put("workout", "w", "{}").unwrap();
    device.push(|_| None);
    assert_eq!(
        device.db.write(|write| queue::edit(write, op, "{}")).unwrap_err(),
        Error::MaybeSent
    );
}

#[test]
fn discarding_an_edit_shows_the_confirmed_body_again() {
    let mut device = Device::new();
    device.put("workout", "w", r#"{"n":1}"#);
    device.push(|_| Some(accepted(1)));
    let op = device.put("workout", "w", r#"{"n":2}"#).unwrap();
    device.db.write(|write| queue::discard(write, op, false)).unwrap();
    let record = device.get("workout", "w").unwrap();
    assert_eq!(
        (record.body.as_deref(), record.state, record.version),
        (Some(r#"{"n":1}"#), RecordState::Synced, 1)
    );
}

#[test]
fn attempts_and_the_time_of_the_next_outlive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let settings = keepsync::settings::Settings {
        jitter: 0.0,
        ..Default::default()
    };
    let mut device = Device::named(1, Some(folder.path().to_owned()), settings);
    device.put("workout", "w", "{}");
    device.push(|_| Some(Outcome::Retry { after_ms: None }));
    let before = device.entries();
    assert_eq!(
        (before[0].attempts, before[0].next_attempt_at),
        (1, Some(device.now().wall_ms + 30_000))
    );
    let mut device = device.restart();
    assert_eq!(device.entries(), before);
    let mut sent = 0;
    let mut count = |request: Request| {
        sent += u32::from(matches!(request, Request::Push(_)));
        Some(well(request))
    };
    device.pass_time(29_000);
    device.feed(Event::Wake(Trigger::Foreground), &mut count);
    device.pass_time(1_000);
    device.feed(Event::Wake(Trigger::Foreground), &mut count);
    assert_eq!(sent, 1);
    assert!(device.entries().is_empty());
}

#[test]
fn a_used_up_schedule_asks_for_attention_and_still_goes_with_a_tap() {
    let mut device = Device::new();
    device.put("workout", "w", "{}");
    for _ in 0..6 {
        device.push(|_| Some(Outcome::Retry { after_ms: None }));
    }
    let entry = &device.entries()[0];
    assert!(entry.exhausted && entry.state == EntryState::Waiting && entry.attempts == 6);
    assert_eq!(device.db.read(|read| read.queue_counts()).unwrap().exhausted, 1);
    assert_eq!(device.push(|_| Some(accepted(1))).accepted, 1);
}

#[test]
fn an_unanswered_entry_waits_and_goes_again_under_its_id() {
    let mut device = Device::new();
    let op = device.put("workout", "w", "{}").unwrap();
    let mut sent = 0;
    device.push(|_| {
        sent += 1;
        None
    });
    assert_eq!(sent, 1, "not asked again in the same pass");
    device.push(|item| (item.op == op).then(|| accepted(1)));
    assert!(device.entries().is_empty());
}

#[test]
fn results_for_others_settle_nothing() {
    let mut device = Device::new();
    device.put("workout", "w", "{}");
    device.sync(|request| {
        Some(match request {
            Request::Push(_) => Answer::Pushed(Ok(PushAnswer {
                results: vec![(uuid::Uuid::from_u128(1), accepted(1))],
                ..PushAnswer::default()
            })),
            other => well(other),
        })
    });
    assert_eq!(device.entries().len(), 1);
}

#[test]
fn an_entry_discarded_while_away_is_not_brought_back_by_its_answer() {
    let mut device = Device::new();
    let op = device.put("workout", "w", "{}").unwrap();
    device.feed(Event::Wake(Trigger::User), |request| match request {
        Request::Push(_) => None,
        other => Some(well(other)),
    });
    device.db.write(|write| queue::discard(write, op, false)).unwrap();
    assert!(device.entries().is_empty());
    // It had arrived all the same: the next pull shows it.
    device.drain = device.fresh_drain();
    let arrived = keepsync::remote::RemoteVersion {
        op: Some(op),
        ..version(1, Some("{}"), 0)
    };
    device.pull(vec![change("workout", "w", arrived)]);
    assert_eq!(device.get("workout", "w").unwrap().state, RecordState::Synced);
}

#[test]
fn a_delete_of_what_is_not_there_has_arrived() {
    let mut device = Device::new();
    device.put("workout", "w", "{}");
    device.push(|_| Some(accepted(1)));
    device.delete("workout", "w");
    assert_eq!(device.push(|_| Some(rejected("not_found"))).accepted, 1);
    assert!(device.entries().is_empty() && device.get("workout", "w").is_none());
}

#[test]
fn entries_of_a_newer_app_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let settings = keepsync::settings::Settings::default();
    let mut device = Device::named(1, Some(folder.path().to_owned()), settings);
    device.put("workout", "w", "{}");
    let path = device.db.path().unwrap().to_owned();
    let raw = rusqlite::Connection::open(path).unwrap();
    raw.execute("UPDATE entry SET kind = 'increment'", []).unwrap();
    let report = device.push(|_| Some(accepted(1)));
    assert_eq!((report.accepted, report.push), (0, HalfResult::Worked));
    let kept: String = raw.query_row("SELECT kind FROM entry", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, "increment");
}

#[test]
fn export_gives_every_unsent_write_with_its_body() {
    let mut device = Device::new();
    device.put("workout", "w", r#"{"n":1}"#);
    device.put("profile", "me", r#"{"name":"x"}"#);
    let lines = device.db.read(queue::export).unwrap();
    let bodies: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["body"].clone())
        .collect();
    assert_eq!(bodies, [serde_json::json!({"n":1}), serde_json::json!({"name":"x"})]);
}

#[test]
fn without_deletes_only_what_never_left_can_be_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut device = Device::named(
        1,
        Some(folder.path().to_owned()),
        keepsync::settings::Settings::default(),
    );
    let field_work = Collection::new("task", Policy::ClientWins).without_deletes();
    device.options.collections = Collections::new([field_work]).unwrap();
    let mut device = device.restart();
    device.put("task", "slip", "{}");
    device.delete("task", "slip");
    assert!(device.entries().is_empty() && device.get("task", "slip").is_none());
    device.put("task", "real", "{}");
    device.push(|_| Some(accepted(1)));
    let refused = device.db.write(|write| keepsync::record::delete(write, "task", "real"));
    assert_eq!(refused.unwrap_err(), Error::NoDeletes("task".to_owned()));
}

/// A pass of two requests, of which the first puts an entry off and the second takes longer than the
/// entry has to wait.
fn long_pass(device: &mut Device, first: impl Fn(&str) -> Outcome) {
    let env = device.env.clone();
    let mut requests = 0;
    device.sync(|request| {
        let Request::Push(batch) = request else {
            return Some(well(request));
        };
        requests += 1;
        if requests > 1 {
            env.monotonic_ms.fetch_add(60_000, std::sync::atomic::Ordering::Relaxed);
            return Some(well(Request::Push(batch)));
        }
        Some(answered(&batch, &mut |item| Some(first(&item.collection))))
    });
    assert_eq!(requests, 2);
}

#[test]
fn an_entry_that_came_due_while_its_pass_went_on_goes_by_itself() {
    let mut device = Device::new();
    device.put("workout", "w", "{}");
    device.put("profile", "p", "{}");
    device.drain = Drain::new(
        Settings {
            batch_count: 1,
            ..device.options.settings.clone()
        },
        Rules::from(&device.options.collections),
        device.capabilities,
        0,
    );
    long_pass(&mut device, |_| Outcome::Retry { after_ms: None });
    assert_eq!(device.entries().len(), 1);
    let due = device.timer.expect("something is due");
    assert!(due <= device.now().tick_ms);
    device.feed(Event::Timer, |request| Some(well(request)));
    assert!(device.entries().is_empty());
}

#[test]
fn a_due_entry_behind_a_parked_one_does_not_wake_the_drain_again_and_again() {
    let mut device = Device::new();
    device.put("workout", "w", "{}");
    device.put("set_log", "s", r#"{"workout_id":"w"}"#);
    device.put("profile", "p", "{}");
    device.drain = Drain::new(
        Settings {
            batch_count: 2,
            ..device.options.settings.clone()
        },
        Rules::from(&device.options.collections),
        device.capabilities,
        0,
    );
    long_pass(&mut device, |collection| match collection {
        "workout" => rejected("validation"),
        _ => Outcome::Retry { after_ms: None },
    });
    let mut passes = 0;
    while device.timer.is_some_and(|due| due <= device.now().tick_ms) && passes < 10 {
        device.feed(Event::Timer, |request| Some(well(request)));
        passes += 1;
    }
    assert!(passes <= 1, "{passes} passes for an entry that cannot go");
    assert_eq!(device.entries().len(), 2, "the refused one, and the one behind it");
}

#[test]
fn discarding_the_making_of_a_session_ends_it() {
    let mut device = Device::new();
    let begin = |write: &mut keepsync::Write<'_>| {
        keepsync::session::start(write, "workout", "set_log", "w", "{}")?;
        keepsync::session::log_set(write, "workout", "w", "squat/1", "{}")
    };
    device.db.write(begin).unwrap();
    let op = device.entries()[0].op;
    device
        .db
        .write(|write| keepsync::queue::discard(write, op, true))
        .unwrap();
    assert_eq!(device.get("workout", "w"), None);
    let found = device.db.read(|read| read.examine()).unwrap();
    assert_eq!((found.sessions, found.problems), (0, vec![]));
    let late = |write: &mut keepsync::Write<'_>| keepsync::session::log_set(write, "workout", "w", "squat/2", "{}");
    assert_eq!(
        device.db.write(late).unwrap_err().code(),
        "not_found",
        "a set would have no session"
    );
    // The name is free again.
    device.db.write(begin).unwrap();
}
