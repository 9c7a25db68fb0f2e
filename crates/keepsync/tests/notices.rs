//! What the user is told although nobody asked.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "support/device.rs"]
mod device;

use device::*;
use keepsync::{
    collection::{Collection, Collections},
    conflict::{self, Policy, Resolution},
    notice::{self, Notice, NoticeKind},
    record::RecordState,
    remote::RemoteChange,
    session,
};

fn told(device: &Device) -> Vec<Notice> {
    device.db.read(|read| read.notices()).unwrap()
}

fn kinds(device: &Device) -> Vec<NoticeKind> {
    told(device).into_iter().map(|notice| notice.kind).collect()
}

fn library(changes: &[(&str, i64, &str)]) -> Vec<RemoteChange> {
    changes
        .iter()
        .map(|&(id, n, body)| change("exercise", id, version(n, Some(body), n)))
        .collect()
}

fn with_library() -> Device {
    let mut device = Device::new();
    device.options.collections =
        Collections::new([Collection::new("exercise", Policy::ServerWins).announce_changes()]).unwrap();
    device.restart()
}

#[test]
fn changed_definitions_are_one_notice_and_the_first_pull_is_none() {
    let mut device = with_library();
    device.pull(library(&[("squat", 1, "{}"), ("bench", 1, "{}")]));
    assert_eq!(told(&device), [], "everything is new on the first pull");
    device.pull(library(&[("squat", 1, "{}")]));
    assert_eq!(told(&device), [], "nothing differs");
    device.pull(library(&[("squat", 2, r#"{"level":"expert"}"#), ("row", 1, "{}")]));
    let notices = told(&device);
    assert_eq!(notices.len(), 1);
    assert_eq!(notices[0].kind, NoticeKind::DefinitionsChanged);
    assert_eq!((notices[0].collection.as_str(), &notices[0].id), ("exercise", &None));
    device.pull(library(&[("squat", 3, r#"{"level":"beginner"}"#)]));
    assert_eq!(told(&device)[0].times, 2);
}

#[test]
fn a_notice_that_happened_again_is_not_dismissed_by_its_old_number() {
    let mut device = with_library();
    device.pull(library(&[("squat", 1, "{}")]));
    device.pull(library(&[("squat", 2, r#"{"a":1}"#)]));
    let seen = told(&device)[0].n;
    device.pull(library(&[("squat", 3, r#"{"a":2}"#)]));
    let (_, changes) = device.db.write(|write| notice::dismiss(write, seen)).unwrap();
    assert!(!changes.notices);
    let current = told(&device)[0].n;
    let (_, changes) = device.db.write(|write| notice::dismiss(write, current)).unwrap();
    assert!(changes.notices);
    assert_eq!(told(&device), []);
    device.pull(library(&[("squat", 4, r#"{"a":3}"#)]));
    assert!(told(&device)[0].n > current, "a number is not used again");
}

#[test]
fn an_edit_that_a_later_deletion_beats_is_told_and_is_in_the_history() {
    let mut device = Device::new();
    device.put("profile", "p", r#"{"unit":"kg"}"#);
    device.push(|_| Some(accepted(1)));
    device.put("profile", "p", r#"{"unit":"lb"}"#);
    let deletion = change("profile", "p", version(2, None, 60_000));
    device.pull_only(vec![deletion]);
    assert_eq!(device.get("profile", "p"), None);
    assert_eq!(kinds(&device), [NoticeKind::EditLostToDelete]);
    let lost = device.db.read(|read| read.history("profile", "p")).unwrap();
    assert_eq!(lost[0].body.as_deref(), Some(r#"{"unit":"lb"}"#));
}

fn session_deleted_elsewhere() -> Device {
    let mut device = Device::new();
    let start = |write: &mut keepsync::Write<'_>| session::start(write, "workout", "set_log", "w", "{}");
    device.db.write(start).unwrap();
    device.push(|_| Some(accepted(1)));
    assert_eq!(device.get("workout", "w").unwrap().state, RecordState::Synced);
    device.pull_only(vec![change("workout", "w", version(2, None, 60_000))]);
    device
}

#[test]
fn a_session_in_progress_that_was_deleted_elsewhere_is_the_users_to_decide() {
    let mut device = session_deleted_elsewhere();
    assert_eq!(kinds(&device), [NoticeKind::SessionDeletedElsewhere]);
    let conflicts = device.db.read(|read| read.conflicts()).unwrap();
    assert_eq!(conflicts.len(), 1);
    assert!(conflicts[0].local.is_some() && conflicts[0].remote.is_none());
    let log = |write: &mut keepsync::Write<'_>| session::log_set(write, "workout", "w", "squat/1", "{}");
    device.db.write(log).unwrap();
    device
        .db
        .write(|write| conflict::resolve(write, "workout", "w", "2", &Resolution::KeepLocal))
        .unwrap();
    let complete = |write: &mut keepsync::Write<'_>| session::complete(write, "workout", "w", "{}");
    device.db.write(complete).unwrap();
    let mut newest = 2;
    let report = device.push(|_| {
        newest += 1;
        Some(accepted(newest))
    });
    assert_eq!(report.waiting, 0);
    assert!(device.body("workout", "w").unwrap().contains("completed"));
}

#[test]
fn a_session_that_the_user_lets_go_with_its_deletion_is_over() {
    let mut device = session_deleted_elsewhere();
    device
        .db
        .write(|write| conflict::resolve(write, "workout", "w", "2", &Resolution::KeepRemote))
        .unwrap();
    assert_eq!(device.get("workout", "w"), None);
    assert_eq!(device.db.read(|read| read.active_sessions()).unwrap(), []);
    assert_eq!(device.entries(), []);
}
