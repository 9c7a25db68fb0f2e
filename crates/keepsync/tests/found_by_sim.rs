//! Stories the simulator found, each told again at the lowest level at which it shows.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "support/device.rs"]
mod device;

use device::*;
use keepsync::{
    Error,
    conflict::{self, Resolution},
    drain::{Answer, Request, Step, carry_out},
    record,
    remote::{Accepted, Fault, Outcome, PullPage, PushAnswer, RemoteChange},
    session,
};

#[test]
fn a_session_whose_record_another_device_deleted_can_still_be_discarded() {
    let mut device = Device::new();
    let write = |device: &mut Device, slot: &str| {
        device.pass_time(1);
        device
            .db
            .write(|write| session::log_set(write, "workout", "w", slot, "{}"))
            .unwrap();
    };
    device
        .db
        .write(|write| session::start(write, "workout", "set_log", "w", "{}"))
        .unwrap();
    write(&mut device, "a");
    device.push(|_| Some(accepted(1)));
    device.pull_only(vec![change("workout", "w", version(2, None, 5))]);
    write(&mut device, "b");
    device
        .db
        .write(|write| session::discard(write, "workout", "w"))
        .unwrap();
    assert!(device.db.read(|read| read.active_sessions()).unwrap().is_empty());
}

#[test]
fn a_session_in_progress_is_not_deleted_as_a_record_which_would_hold_its_sets_for_ever() {
    let mut device = Device::new();
    device
        .db
        .write(|write| session::start(write, "plan", "plan_set", "p", "{}"))
        .unwrap();
    device
        .db
        .write(|write| session::log_set(write, "plan", "p", "a", "{}"))
        .unwrap();
    let refused = device.db.write(|write| record::delete(write, "plan", "p"));
    assert!(matches!(refused, Err(Error::SessionState { .. })), "{refused:?}");
    device.db.write(|write| session::discard(write, "plan", "p")).unwrap();
    assert!(device.entries().is_empty());
}

/// A creation whose answer is lost, another device's edit of it that is pulled, and a further write
/// here that never saw that edit.
fn lost_answer_then_anothers_edit() -> Device {
    let mut device = Device::new();
    device.put("workout", "w", "{\"n\":1}");
    device.sync(|request| {
        Some(match request {
            Request::Push(_) => Answer::Pushed(Err(Fault::Offline)),
            other => well(other),
        })
    });
    device.pull_only(vec![change("workout", "w", version(2, Some("{\"n\":2}"), 5))]);
    device.put("workout", "w", "{\"n\":3}");
    device
}

#[test]
fn a_write_behind_a_lost_answer_does_not_count_as_having_seen_what_was_pulled_since() {
    for together in [true, false] {
        let mut device = lost_answer_then_anothers_edit();
        if !together {
            device.capabilities.after = false;
            device.drain = device.fresh_drain();
        }
        device.push(|item| {
            Some(match item.body.as_deref() {
                Some("{\"n\":1}") => accepted(1),
                _ => Outcome::Conflict(version(2, Some("{\"n\":2}"), 5)),
            })
        });
        let conflicts = device.db.read(|read| read.conflicts()).unwrap();
        assert_eq!(conflicts.len(), 1, "together: {together}");
        assert_eq!(conflicts[0].base.as_deref(), Some("{\"n\":1}"));
        assert_eq!(conflicts[0].remote.as_deref(), Some("{\"n\":2}"));
        assert_eq!(conflicts[0].local.as_deref(), Some("{\"n\":3}"));
    }
}

#[test]
fn what_follows_a_discarded_write_does_not_count_as_having_seen_what_was_pulled_since() {
    let mut device = lost_answer_then_anothers_edit();
    let first = device.entries()[0].op;
    let entries = device.entries();
    assert_eq!(entries.len(), 2);
    assert_eq!((entries[1].base_version, entries[1].maybe_sent), (0, false));
    device
        .db
        .write(|write| keepsync::queue::discard(write, first, true))
        .unwrap();
    device.push(|item| {
        assert_eq!(item.base_version, 0);
        Some(Outcome::Conflict(version(2, Some("{\"n\":2}"), 5)))
    });
    assert_eq!(device.db.read(|read| read.conflicts()).unwrap().len(), 1);
}

#[test]
fn what_was_chained_on_a_discarded_write_does_not_count_as_having_seen_what_was_pulled_since() {
    let mut device = Device::new();
    device.put("workout", "w", "{\"n\":1}");
    device.push(|_| Some(accepted(1)));
    device.put("workout", "w", "{\"n\":2}");
    device.sync(|request| {
        Some(match request {
            Request::Push(_) => Answer::Pushed(Err(Fault::Offline)),
            other => well(other),
        })
    });
    device.put("workout", "w", "{\"n\":3}");
    // Both go out, the second chained on the first, and no answer comes.
    device.sync(|request| {
        Some(match request {
            Request::Push(_) => Answer::Pushed(Err(Fault::Offline)),
            other => well(other),
        })
    });
    device.pull_only(vec![change("workout", "w", version(2, Some("{\"n\":9}"), 5))]);
    let first = device.entries()[0].op;
    device
        .db
        .write(|write| keepsync::queue::discard(write, first, true))
        .unwrap();
    device.push(|_| Some(Outcome::Blocked));
    let mut bases = Vec::new();
    device.push(|item| {
        bases.push((item.base_version, item.base_op));
        Some(Outcome::Conflict(version(2, Some("{\"n\":9}"), 5)))
    });
    assert_eq!(bases, [(1, None)]);
    assert_eq!(device.db.read(|read| read.conflicts()).unwrap().len(), 1);
}

#[test]
fn the_end_of_a_session_takes_part_in_its_conflict_and_is_in_the_history_if_the_other_side_is_kept() {
    let mut device = Device::new();
    device
        .db
        .write(|write| session::start(write, "workout", "set_log", "w", "{\"n\":1}"))
        .unwrap();
    device.push(|_| Some(accepted(1)));
    device.put("workout", "w", "{\"n\":2}");
    device.push(|_| Some(Outcome::Conflict(version(2, Some("{\"n\":9}"), 5))));
    device
        .db
        .write(|write| session::complete(write, "workout", "w", "{\"n\":3}"))
        .unwrap();
    let conflict = device.db.read(|read| read.conflicts()).unwrap().remove(0);
    assert!(conflict.local.as_ref().unwrap().contains("\"n\":3"));
    let resolved = Resolution::KeepRemote;
    device
        .db
        .write(|write| conflict::resolve(write, "workout", "w", &conflict.token, &resolved))
        .unwrap();
    let history = device.db.read(|read| read.history("workout", "w")).unwrap();
    assert!(
        history
            .iter()
            .any(|lost| lost.body.as_ref().is_some_and(|body| body.contains("\"n\":3")))
    );
}

#[test]
fn a_record_that_never_left_takes_no_children_of_another_collection_with_it() {
    for discards in [false, true] {
        let mut device = Device::new();
        device.put("workout", "same", "{}");
        device.push(|_| Some(accepted(1)));
        device.put("set_log", "s", r#"{"workout_id":"same"}"#);
        let op = device.put("profile", "same", "{}").unwrap();
        if discards {
            device
                .db
                .write(|write| keepsync::queue::discard(write, op, false))
                .unwrap();
        } else {
            device.delete("profile", "same");
        }
        let left: Vec<String> = device.entries().into_iter().map(|entry| entry.id).collect();
        assert_eq!(left, ["s"]);
    }
}

/// A page of an epoch, with where it branched off.
fn epoch_page(epoch: &str, branch: Option<(&str, i64)>, changes: Vec<RemoteChange>) -> PullPage {
    PullPage {
        epoch: Some(epoch.to_owned()),
        branch: branch.map(|(parent, change)| (parent.to_owned(), change)),
        changes,
        cursors: vec![("workout".to_owned(), "1".to_owned())],
        ..PullPage::default()
    }
}

/// Applies a page as it comes.
fn apply(device: &mut Device, page: PullPage) {
    carry_out(&mut device.db, Step::ApplyPage(page.clone()));
    // A page of another epoch is not applied; it comes again.
    carry_out(&mut device.db, Step::ApplyPage(page));
}

/// A pass in which every write is accepted in `epoch`, from change number `change` on.
fn accept_in(device: &mut Device, epoch: &str, mut change: i64) {
    device.sync(|request| {
        Some(match request {
            Request::Pull(_) => Answer::Pulled(Ok(epoch_page(epoch, None, Vec::new()))),
            Request::Push(batch) => {
                let mut results = Vec::new();
                for item in &batch.items {
                    change += 1;
                    let accepted = Accepted {
                        version: item.base_version + 1,
                        change,
                        ..Accepted::default()
                    };
                    results.push((item.op, Outcome::Accepted(accepted)));
                }
                Answer::Pushed(Ok(PushAnswer {
                    results,
                    server_time: None,
                    epoch: Some(epoch.to_owned()),
                }))
            }
            other => well(other),
        })
    });
}

#[test]
fn what_a_restored_server_lost_meets_other_versions_as_a_change_not_as_nothing_new() {
    let mut device = Device::new();
    device.put("workout", "w", "{\"n\":1}");
    accept_in(&mut device, "e1", 10);
    apply(&mut device, epoch_page("e2", Some(("e1", 5)), Vec::new()));
    device.push(|_| Some(Outcome::Conflict(version(1, Some("{\"n\":9}"), 5))));
    let conflicts = device.db.read(|read| read.conflicts()).unwrap();
    assert_eq!(conflicts.len(), 1, "not taken for unchanged and dropped");
    assert_eq!(conflicts[0].local.as_deref(), Some("{\"n\":1}"));
}

#[test]
fn a_second_restore_that_goes_further_back_loses_nothing_of_the_first_epoch() {
    let mut device = Device::new();
    let old = device.put("workout", "old", "{}").unwrap();
    accept_in(&mut device, "e1", 3);
    apply(
        &mut device,
        epoch_page(
            "e2",
            Some(("e1", 5)),
            vec![change("workout", "old", version(1, Some("{}"), 0))],
        ),
    );
    assert!(device.entries().is_empty());
    apply(&mut device, epoch_page("e3", Some(("e2", 2)), Vec::new()));
    assert_eq!(device.entries().iter().map(|entry| entry.op).collect::<Vec<_>>(), [old]);
}

#[test]
fn what_goes_again_goes_in_the_order_of_writing_though_its_answers_came_in_another() {
    let mut device = Device::new();
    device
        .db
        .write(|write| session::start(write, "workout", "set_log", "w", "{}"))
        .unwrap();
    device
        .db
        .write(|write| session::log_set(write, "workout", "w", "a", "{}"))
        .unwrap();
    device
        .db
        .write(|write| session::complete(write, "workout", "w", "{}"))
        .unwrap();
    let written: Vec<_> = device.entries().iter().map(|entry| entry.op).collect();
    // The answer to the first is missing from the first answer.
    device.push(|item| (item.op != written[0]).then(|| accepted(1)));
    accept_in(&mut device, "e1", 10);
    assert!(device.entries().is_empty());
    apply(&mut device, epoch_page("e2", Some(("e1", 0)), Vec::new()));
    assert_eq!(
        device.entries().iter().map(|entry| entry.op).collect::<Vec<_>>(),
        written
    );
    let mut sent = Vec::new();
    device.push(|item| {
        sent.push(item.op);
        Some(accepted(1))
    });
    assert_eq!(sent, written);
}

#[test]
fn a_push_that_meets_another_epoch_pulls_before_anything_else_goes() {
    let mut device = Device::new();
    device.put("workout", "a", "{}");
    accept_in(&mut device, "e1", 10);
    device.put("workout", "b", "{}");
    let mut requests = Vec::new();
    let report = device.sync(|request| {
        Some(match request {
            Request::Pull(pull) => {
                requests.push(format!("pull {:?}", pull.epoch));
                let restored = requests.len() > 1;
                let page = if restored {
                    epoch_page("e2", Some(("e1", 5)), Vec::new())
                } else {
                    epoch_page("e1", None, Vec::new())
                };
                Answer::Pulled(Ok(page))
            }
            Request::Push(batch) => {
                requests.push(format!("push {:?} {}", batch.epoch, batch.items.len()));
                let known = batch.epoch.as_deref() == Some("e2");
                let results = batch.items.iter().filter(|_| known).map(|item| (item.op, accepted(1)));
                Answer::Pushed(Ok(PushAnswer {
                    results: results.collect(),
                    server_time: None,
                    epoch: Some("e2".to_owned()),
                }))
            }
            other => well(other),
        })
    });
    let expected = [
        "pull Some(\"e1\")",
        "push Some(\"e1\") 1",
        "pull Some(\"e1\")",
        "pull Some(\"e2\")",
        "push Some(\"e2\") 2",
    ];
    assert_eq!(requests, expected);
    assert_eq!((report.accepted, report.waiting), (2, 0));
}

#[test]
fn a_clock_set_ahead_by_years_does_not_empty_the_journal() {
    let mut device = Device::new();
    let first = device.put("workout", "a", "{}").unwrap();
    device.push(|_| {
        Some(Outcome::Accepted(Accepted {
            version: 1,
            change: 1,
            updated_at: Some(START),
            ..Accepted::default()
        }))
    });
    device
        .env
        .wall_ms
        .fetch_add(5 * 365 * 86_400_000, std::sync::atomic::Ordering::Relaxed);
    device.put("workout", "b", "{}");
    device.push(|_| {
        Some(Outcome::Accepted(Accepted {
            version: 1,
            change: 2,
            updated_at: Some(START + 1),
            ..Accepted::default()
        }))
    });
    apply(&mut device, epoch_page("e1", None, Vec::new()));
    apply(&mut device, epoch_page("e2", Some(("e1", 0)), Vec::new()));
    assert_eq!(device.entries().first().map(|entry| entry.op), Some(first));
}

#[test]
fn the_sets_of_a_session_that_was_refused_and_discarded_do_not_go_without_it() {
    let mut device = Device::new();
    device
        .db
        .write(|write| session::start(write, "workout", "set_log", "w", "{}"))
        .unwrap();
    device
        .db
        .write(|write| session::log_set(write, "workout", "w", "a", "{\"n\":1}"))
        .unwrap();
    device.push(|item| {
        Some(if item.id == "w" {
            rejected("validation")
        } else {
            Outcome::Blocked
        })
    });
    device
        .db
        .write(|write| session::discard(write, "workout", "w"))
        .unwrap();
    assert!(device.entries().is_empty(), "{:?}", device.entries());
    let set = session::set_id("w", "a");
    assert!(device.get("set_log", &set).is_none());
    let history = device.db.read(|read| read.history("set_log", &set)).unwrap();
    assert!(
        history
            .iter()
            .any(|version| version.body.as_ref().is_some_and(|body| body.contains("\"n\":1")))
    );
}
