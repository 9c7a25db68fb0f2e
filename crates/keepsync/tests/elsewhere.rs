//! What another device has just done to what is worked on here.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "support/device.rs"]
mod device;

use device::*;
use keepsync::{
    Write,
    drain::{Step, carry_out},
    notice::{Notice, NoticeKind},
    record::Elsewhere,
    remote::{Outcome, PullPage, RemoteChange},
    session,
};

const MINUTE: i64 = 60_000;

/// A page that the server gives so long after the start.
fn pull(device: &mut Device, server_ms: i64, changes: Vec<RemoteChange>) {
    let page = PullPage {
        changes,
        server_time: Some(START + server_ms),
        ..PullPage::default()
    };
    carry_out(&mut device.db, Step::ApplyPage(page));
}

fn told(device: &Device) -> Vec<Notice> {
    device.db.read(|read| read.notices()).unwrap()
}

fn last(device: &Device, id: &str) -> Option<Elsewhere> {
    device
        .db
        .read(|read| read.last_change_elsewhere("workout", id))
        .unwrap()
}

#[test]
fn a_screen_can_say_which_device_has_changed_a_record_and_when() {
    let mut device = Device::new();
    device.put("workout", "w", r#"{"n":1}"#);
    assert_eq!(last(&device, "w"), None, "nobody else has it");
    device.push(|_| Some(accepted(1)));
    assert_eq!(last(&device, "w"), None);
    pull(
        &mut device,
        2 * MINUTE,
        vec![change("workout", "w", version(2, Some(r#"{"n":2}"#), MINUTE))],
    );
    let tablet = Elsewhere {
        device_id: "tablet".to_owned(),
        device_label: Some("Tablet".to_owned()),
        at: START + MINUTE,
    };
    assert_eq!(last(&device, "w"), Some(tablet.clone()));
    assert_eq!(
        device.get("workout", "w").unwrap().device_label.as_deref(),
        Some("Tablet")
    );
    device.put("workout", "w", r#"{"n":3}"#);
    assert_eq!(
        last(&device, "w"),
        Some(tablet),
        "an edit that is not confirmed does not hide it"
    );
    device.push(|_| Some(accepted(3)));
    assert_eq!(last(&device, "w"), None, "the last word is ours");
    assert_eq!(last(&device, "nobody"), None);
}

#[test]
fn a_record_written_here_lately_and_changed_elsewhere_just_now_is_told() {
    let mut device = Device::new();
    for id in ["a", "b"] {
        device.put("workout", id, r#"{"n":1}"#);
    }
    device.push(|_| Some(accepted(1)));
    // The server's clock goes by, and this device's with it.
    device.pass_time(5 * MINUTE as u64);
    pull(
        &mut device,
        5 * MINUTE,
        vec![change("workout", "a", version(2, Some(r#"{"n":2}"#), 4 * MINUTE))],
    );
    let notices = told(&device);
    assert_eq!(notices.len(), 1);
    assert_eq!(
        (notices[0].kind, notices[0].id.as_deref()),
        (NoticeKind::ChangedElsewhere, Some("a"))
    );
    assert_eq!(notices[0].device_id.as_deref(), Some("tablet"));
    // The same page again, and a version that is old by now, are no news.
    pull(
        &mut device,
        6 * MINUTE,
        vec![change("workout", "a", version(2, Some(r#"{"n":2}"#), 4 * MINUTE))],
    );
    pull(
        &mut device,
        30 * MINUTE,
        vec![change("workout", "b", version(2, Some(r#"{"n":2}"#), 4 * MINUTE))],
    );
    assert_eq!(told(&device), notices);
}

#[test]
fn a_version_that_was_seen_before_warns_of_nothing() {
    let mut device = Device::new();
    let seen = || change("workout", "w", version(1, Some(r#"{"n":1}"#), 0));
    pull(&mut device, 0, vec![seen()]);
    device.put("workout", "w", r#"{"n":2}"#);
    pull(&mut device, 0, vec![seen()]);
    assert_eq!(told(&device), []);
}

#[test]
fn what_nobody_works_on_here_changes_in_silence() {
    let mut device = Device::new();
    pull(
        &mut device,
        MINUTE,
        vec![change("workout", "new", version(1, Some("{}"), MINUTE))],
    );
    pull(
        &mut device,
        MINUTE,
        vec![change("workout", "new", version(2, Some(r#"{"n":1}"#), MINUTE))],
    );
    device.put("workout", "old", r#"{"n":1}"#);
    device.push(|_| Some(accepted(1)));
    device.pass_time(60 * MINUTE as u64);
    pull(
        &mut device,
        60 * MINUTE,
        vec![change("workout", "old", version(2, Some(r#"{"n":2}"#), 59 * MINUTE))],
    );
    assert_eq!(told(&device), []);
}

#[test]
fn a_session_in_progress_and_each_of_its_sets_are_worked_on() {
    let mut device = Device::new();
    let start = |write: &mut Write<'_>| session::start(write, "workout", "set_log", "w", "{}");
    device.db.write(start).unwrap();
    device.push(|_| Some(accepted(1)));
    device.pass_time(60 * MINUTE as u64);
    let set = change(
        "set_log",
        "s",
        version(1, Some(r#"{"workout_id":"w","reps":5}"#), 59 * MINUTE),
    );
    pull(
        &mut device,
        60 * MINUTE,
        vec![
            set,
            change("set_log", "t", version(1, Some(r#"{"workout_id":"x"}"#), 59 * MINUTE)),
        ],
    );
    let notices = told(&device);
    assert_eq!(notices.len(), 1);
    assert_eq!(
        (notices[0].collection.as_str(), notices[0].id.as_deref()),
        ("workout", Some("w"))
    );
    pull(
        &mut device,
        60 * MINUTE,
        vec![change("workout", "w", version(2, Some(r#"{"n":2}"#), 59 * MINUTE))],
    );
    assert_eq!((told(&device).len(), told(&device)[0].times), (1, 2));
}

#[test]
fn a_conflict_answer_warns_as_a_pulled_version_does() {
    let mut device = Device::new();
    device.put("profile", "me", r#"{"n":1}"#);
    device.push(|_| Some(accepted(1)));
    device.put("profile", "me", r#"{"n":2}"#);
    device.push(|_| Some(Outcome::Conflict(version(2, Some(r#"{"n":3}"#), 0))));
    assert_eq!(told(&device)[0].kind, NoticeKind::ChangedElsewhere);
}

#[test]
fn the_window_is_a_setting() {
    let settings = keepsync::settings::Settings {
        elsewhere_window_ms: MINUTE,
        ..keepsync::settings::Settings::default()
    };
    for (ago, warned) in [(MINUTE, 1), (MINUTE + 1, 0)] {
        let mut device = Device::named(1, None, settings.clone());
        device.put("workout", "w", r#"{"n":1}"#);
        pull(
            &mut device,
            0,
            vec![change("workout", "w", version(1, Some(r#"{"n":2}"#), -ago))],
        );
        assert_eq!(told(&device).len(), warned, "{ago}");
    }
}

#[test]
fn a_device_that_changes_its_label_is_called_by_the_new_one_everywhere() {
    let mut device = Device::new();
    let named = |n: i64, label: Option<&str>| {
        let mut version = version(n, Some(r#"{"n":1}"#), n);
        version.device_label = label.map(str::to_owned);
        version
    };
    device.pull_only(vec![change("workout", "a", named(1, Some("Tablet")))]);
    device.pull_only(vec![change("workout", "b", named(1, Some("Gym tablet")))]);
    device.pull_only(vec![change("workout", "c", named(1, None))]);
    for id in ["a", "b", "c"] {
        assert_eq!(
            device.get("workout", id).unwrap().device_label.as_deref(),
            Some("Gym tablet")
        );
    }
    assert_eq!(device.db.read(|read| read.device_label("nobody")).unwrap(), None);
}
