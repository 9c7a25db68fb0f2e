//! Pages, cursors, epochs and the first sync.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "support/device.rs"]
mod device;

use device::*;
use keepsync::{
    Error,
    collection::{Collection, Collections, Direction, FirstSync},
    conflict::Policy,
    drain::{Answer, Request, Step, StepDone, carry_out},
    record::{Query, RecordState},
    remote::{Accepted, Fault, Outcome, PullPage, PushAnswer, RemoteChange},
    settings::Settings,
};

fn page(changes: Vec<RemoteChange>, cursor: &str, has_more: bool) -> PullPage {
    PullPage {
        epoch: Some("e1".to_owned()),
        changes,
        cursors: vec![("workout".to_owned(), cursor.to_owned())],
        has_more,
        ..PullPage::default()
    }
}

fn requested_cursor(request: &Request) -> Option<Option<String>> {
    let Request::Pull(pull) = request else { return None };
    Some(pull.cursors.iter().find(|(name, _)| name == "workout")?.1.clone())
}

#[test]
fn pages_follow_each_other_by_cursor_and_the_last_one_ends_the_pull() {
    let mut device = Device::new();
    let mut asked = Vec::new();
    let report = device.sync(|request| {
        let Some(cursor) = requested_cursor(&request) else {
            return Some(well(request));
        };
        let n = asked.len() as i64 + 1;
        asked.push(cursor);
        let id = format!("w{n}");
        Some(Answer::Pulled(Ok(page(
            vec![change("workout", &id, version(1, Some("{}"), n))],
            &n.to_string(),
            n < 3,
        ))))
    });
    assert_eq!(asked, [None, Some("1".to_owned()), Some("2".to_owned())]);
    assert_eq!(report.pulled, 3);
    assert_eq!(
        device
            .db
            .read(|read| read.query(&Query::new("workout")))
            .unwrap()
            .records
            .len(),
        3
    );
}

#[test]
fn a_page_that_could_not_be_applied_leaves_its_cursor_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut device = Device::named(1, Some(folder.path().to_owned()), Settings::default());
    let raw = rusqlite::Connection::open(device.db.path().unwrap()).unwrap();
    raw.execute_batch("CREATE TRIGGER no BEFORE UPDATE ON pull BEGIN SELECT raise(ABORT, 'no'); END")
        .unwrap();
    let rows = vec![change("workout", "w", version(1, Some("{}"), 0))];
    let (done, changes) = carry_out(&mut device.db, Step::ApplyPage(page(rows, "7", false)));
    assert!(matches!(done, StepDone::Failed { .. }) && changes.is_empty());
    assert!(
        device.get("workout", "w").is_none(),
        "rows and cursor come together or not at all"
    );
}

#[test]
fn a_pulled_version_becomes_the_base_while_a_change_is_pending() {
    let mut device = Device::new();
    device.put("profile", "me", r#"{"n":1}"#);
    device.push(|_| Some(accepted(1)));
    device.put("profile", "me", r#"{"n":2}"#);
    device.pull_only(vec![change("profile", "me", version(2, Some(r#"{"n":0}"#), -5_000))]);
    let record = device.get("profile", "me").unwrap();
    assert_eq!((record.version, record.body.as_deref()), (2, Some(r#"{"n":2}"#)));
}

#[test]
fn an_old_version_does_not_take_the_place_of_a_newer_one() {
    let mut device = Device::new();
    device.pull_only(vec![change("workout", "w", version(3, Some(r#"{"n":3}"#), 0))]);
    device.pull_only(vec![change("workout", "w", version(2, Some(r#"{"n":2}"#), 0))]);
    assert_eq!(device.body("workout", "w").as_deref(), Some(r#"{"n":3}"#));
}

#[test]
fn a_deletion_pulled_removes_a_clean_record() {
    let mut device = Device::new();
    device.pull_only(vec![change("workout", "w", version(1, Some("{}"), 0))]);
    device.pull_only(vec![
        change("workout", "w", version(2, None, 0)),
        change("workout", "x", version(4, None, 0)),
    ]);
    assert!(device.get("workout", "w").is_none() && device.get("workout", "x").is_none());
}

#[test]
fn a_pull_from_the_start_removes_clean_records_the_server_no_longer_has() {
    let mut device = Device::new();
    let three = ["a", "b", "c"].map(|id| change("workout", id, version(1, Some("{}"), 0)));
    device.sync(|request| match request {
        Request::Pull(_) => Some(Answer::Pulled(Ok(page(three.to_vec(), "3", false)))),
        other => Some(well(other)),
    });
    device.put("workout", "c", r#"{"mine":1}"#);
    let whole = PullPage {
        whole: vec!["workout".to_owned()],
        ..page(vec![three[0].clone()], "4", false)
    };
    carry_out(&mut device.db, Step::ApplyPage(whole));
    let ids: Vec<String> = device
        .db
        .read(|read| read.query(&Query::new("workout")))
        .unwrap()
        .records
        .into_iter()
        .map(|r| r.id)
        .collect();
    assert_eq!(ids, ["a", "c"], "what is unsent stays");
}

#[test]
fn a_pull_that_starts_over_before_its_end_removes_what_only_its_beginning_brought() {
    let mut device = Device::new();
    let [gone, stays] = ["gone", "stays"].map(|id| change("workout", id, version(1, Some("{}"), 0)));
    carry_out(&mut device.db, Step::ApplyPage(page(vec![gone], "5<3", true)));
    // Away for so long that the server has forgotten the deletion; this cursor cannot be continued.
    let again = PullPage {
        whole: vec!["workout".to_owned()],
        ..page(vec![stays.clone()], "9<7", true)
    };
    carry_out(&mut device.db, Step::ApplyPage(again));
    assert!(device.get("workout", "gone").is_some(), "not before its end");
    carry_out(&mut device.db, Step::ApplyPage(page(vec![], "9", false)));
    assert!(device.get("workout", "gone").is_none());
    assert!(
        device.get("workout", "stays").is_some(),
        "it came in an earlier page of the same pull"
    );
}

#[test]
fn a_child_that_comes_before_its_parent_belongs_to_it() {
    let mut device = Device::new();
    let set = |n: i64| {
        change(
            "set_log",
            &format!("s{n}"),
            version(1, Some(r#"{"workout_id":"w"}"#), n),
        )
    };
    carry_out(&mut device.db, Step::ApplyPage(page(vec![set(2), set(1)], "3<2", true)));
    // A set is edited while its workout is still to come.
    let op = device.put("set_log", "s1", r#"{"workout_id":"w","reps":5}"#);
    let workout = change("workout", "w", version(1, Some(r#"{"n":1}"#), 0));
    carry_out(&mut device.db, Step::ApplyPage(page(vec![workout], "3", false)));
    let entry = device.db.read(|read| read.entry(op.unwrap())).unwrap();
    assert_eq!((entry.lane.as_str(), entry.after.len()), ("w", 0));
    assert_eq!(device.db.read(|read| read.examine()).unwrap().problems, []);
    device.push(|_| Some(accepted(2)));
    assert_eq!(device.get("set_log", "s1").unwrap().state, RecordState::Synced);
}

#[test]
fn a_collection_registered_later_starts_its_own_pull() {
    let folder = tempfile::tempdir().unwrap();
    let mut device = Device::named(1, Some(folder.path().to_owned()), Settings::default());
    device.sync(|request| match request {
        Request::Pull(_) => Some(Answer::Pulled(Ok(page(vec![], "9", false)))),
        other => Some(well(other)),
    });
    let mut more: Vec<Collection> = collections().iter().cloned().collect();
    more.push(Collection::new("recovery", Policy::LastWriteWins));
    device.options.collections = Collections::new(more).unwrap();
    let mut device = device.restart();
    let mut cursors = Vec::new();
    device.sync(|request| {
        if let Request::Pull(pull) = &request {
            cursors.clone_from(&pull.cursors);
        }
        Some(well(request))
    });
    assert!(cursors.contains(&("workout".to_owned(), Some("9".to_owned()))));
    assert!(cursors.contains(&("recovery".to_owned(), None)));
}

#[test]
fn a_new_epoch_keeps_what_is_unsent_and_sends_again_what_the_server_lost() {
    let mut device = Device::new();
    let mut change_number = 10;
    let mut sent = Vec::new();
    for id in ["old", "lost", "unsent"] {
        sent.push(device.put("workout", id, r#"{"n":1}"#).unwrap());
        if id == "unsent" {
            break;
        }
        device.sync(|request| match request {
            Request::Pull(_) => Some(Answer::Pulled(Ok(page(vec![], "1", false)))),
            Request::Push(batch) => {
                change_number += 10;
                let outcome = Outcome::Accepted(Accepted {
                    version: 1,
                    change: change_number,
                    ..Accepted::default()
                });
                let results = batch.items.iter().map(|item| (item.op, outcome.clone())).collect();
                Some(Answer::Pushed(Ok(PushAnswer {
                    results,
                    server_time: None,
                    epoch: Some("e1".to_owned()),
                })))
            }
            other => Some(well(other)),
        });
    }
    // The server was restored to just after "old".
    let mut requests = Vec::new();
    let mut pushed = Vec::new();
    device.sync(|request| match &request {
        Request::Pull(pull) => {
            requests.push((pull.epoch.clone(), requested_cursor(&request).unwrap()));
            let branch = Some(("e1".to_owned(), 20));
            let rows = vec![change("workout", "old", version(1, Some(r#"{"n":1}"#), 0))];
            Some(Answer::Pulled(Ok(PullPage {
                epoch: Some("e2".to_owned()),
                branch,
                ..page(rows, "2", false)
            })))
        }
        Request::Push(batch) => {
            pushed.extend(batch.items.iter().map(|item| item.op));
            Some(well(request))
        }
        _ => Some(well(request)),
    });
    assert_eq!(requests[0], (Some("e1".to_owned()), Some("1".to_owned())));
    assert_eq!(requests[1], (Some("e2".to_owned()), None), "it starts afresh");
    assert_eq!(pushed, [sent[1], sent[2]], "under the same ids, oldest first");
    for id in ["old", "lost", "unsent"] {
        assert_eq!(device.get("workout", id).unwrap().state, RecordState::Synced, "{id}");
    }
}

#[test]
fn a_second_sync_without_changes_is_one_request_and_no_commit() {
    let folder = tempfile::tempdir().unwrap();
    let mut device = Device::named(1, Some(folder.path().to_owned()), Settings::default());
    device.put("workout", "w", "{}");
    device.push(|_| Some(accepted(1)));
    let size = |device: &Device| {
        std::fs::metadata(format!("{}-wal", device.db.path().unwrap().display()))
            .unwrap()
            .len()
    };
    device.push(|_| Some(accepted(1)));
    let before = size(&device);
    let report = device.push(|_| Some(accepted(1)));
    assert_eq!((report.requests, size(&device)), (1, before));
}

#[test]
fn directions_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut device = Device::named(1, Some(folder.path().to_owned()), Settings::default());
    device.options.collections = Collections::new([
        Collection::new("down", Policy::ServerWins).direction(Direction::PullOnly),
        Collection::new("up", Policy::ClientWins).direction(Direction::PushOnly),
        Collection::new("here", Policy::ClientWins).direction(Direction::Local),
    ])
    .unwrap();
    let mut device = device.restart();
    let refused = device.db.write(|write| keepsync::record::put(write, "down", "x", "{}"));
    assert_eq!(refused.unwrap_err(), Error::PulledOnly("down".to_owned()));
    device.put("up", "x", "{}");
    assert_eq!(device.put("here", "x", "{}"), None);
    assert_eq!(device.get("here", "x").unwrap().state, RecordState::Synced);
    let mut asked = Vec::new();
    let mut sent = Vec::new();
    device.sync(|request| {
        match &request {
            Request::Pull(pull) => asked.extend(pull.cursors.iter().map(|(name, _)| name.clone())),
            Request::Push(batch) => sent.extend(batch.items.iter().map(|item| item.collection.clone())),
            _ => {}
        }
        Some(well(request))
    });
    assert_eq!((asked, sent), (vec!["down".to_owned()], vec!["up".to_owned()]));
}

#[test]
fn a_required_collection_gates_until_it_was_pulled_whole_or_the_user_goes_on() {
    for may_continue in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let mut device = Device::named(1, Some(folder.path().to_owned()), Settings::default());
        let required = FirstSync::Required { may_continue };
        device.options.collections =
            Collections::new([Collection::new("workout", Policy::Ask).first_sync(required)]).unwrap();
        let mut device = device.restart();
        let missing = |device: &Device| device.db.read(|read| read.needs_first_sync()).unwrap();
        assert_eq!(missing(&device), ["workout"]);
        let went_on = device.db.write(keepsync::continue_without_first_sync);
        assert_eq!(went_on.is_ok(), may_continue);
        assert_eq!(missing(&device).is_empty(), may_continue);
        carry_out(&mut device.db, Step::ApplyPage(page(vec![], "1", true)));
        assert_eq!(missing(&device).is_empty(), may_continue, "a page is not the whole");
        carry_out(&mut device.db, Step::ApplyPage(page(vec![], "2", false)));
        assert!(missing(&device).is_empty());
    }
}

/// Somebody has deleted it since, and the backend has forgotten that; or it was never asked what there is.
#[test]
fn what_was_pushed_before_the_first_whole_pull_and_is_not_in_it_is_gone() {
    let mut device = Device::new();
    for id in ["kept", "gone"] {
        device.put("workout", id, "{}");
    }
    device.put("workout", "unsent", "{}");
    device.sync(|request| {
        Some(match request {
            Request::Pull(_) => Answer::Pulled(Err(Fault::Server { status: 500 })),
            Request::Push(batch) => answered(&batch, &mut |item| (item.id != "unsent").then(|| accepted(1))),
            other => well(other),
        })
    });
    carry_out(
        &mut device.db,
        Step::ApplyPage(page(
            vec![change("workout", "kept", version(1, Some("{}"), 0))],
            "1",
            true,
        )),
    );
    assert!(device.get("workout", "gone").is_some(), "a page is not the whole");
    carry_out(&mut device.db, Step::ApplyPage(page(vec![], "2", false)));
    let there = ["kept", "gone", "unsent"].map(|id| device.get("workout", id).is_some());
    assert_eq!(there, [true, false, true]);
}

#[test]
fn a_deletion_that_arrived_is_not_undone_by_an_older_version() {
    let mut device = Device::new();
    device.put("workout", "w", "{}");
    device.push(|_| Some(accepted(1)));
    device.delete("workout", "w");
    device.push(|_| Some(accepted(2)));
    device.pull_only(vec![change("workout", "w", version(1, Some("{}"), 0))]);
    assert_eq!(device.get("workout", "w"), None);
    // A month later nothing that old can come any more, and the trace goes.
    device.pass_time(31 * 86_400_000);
    device.put("workout", "other", "{}");
    device.push(|_| Some(accepted(1)));
    let bundle = device.db.read(|read| read.bundle()).unwrap();
    assert_eq!(bundle["records"]["workout/0"], 1);
}

#[test]
fn a_session_whose_record_the_server_no_longer_has_is_over() {
    let mut device = Device::new();
    let start = |write: &mut keepsync::Write<'_>| keepsync::session::start(write, "workout", "set_log", "w", "{}");
    device.db.write(start).unwrap();
    device.push(|_| Some(accepted(1)));
    let whole = PullPage {
        whole: vec!["workout".to_owned()],
        ..PullPage::default()
    };
    carry_out(&mut device.db, Step::ApplyPage(whole));
    assert_eq!(device.get("workout", "w"), None);
    let log = |write: &mut keepsync::Write<'_>| keepsync::session::log_set(write, "workout", "w", "squat/1", "{}");
    assert_eq!(
        device.db.write(log).unwrap_err().code(),
        "not_found",
        "a set would have no session"
    );
    assert_eq!(device.db.read(|read| read.examine()).unwrap().problems, []);
}
