//! Two versions met: every way they can, and what becomes of both.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "support/device.rs"]
mod device;

use device::*;
use keepsync::{
    Error,
    conflict::{self, Resolution},
    queue::{EntryState, Kind},
    record::RecordState,
    remote::{Outcome, RemoteVersion},
};
use keepsync_wire::Operation;

/// A record both sides have at version 1, edited here since.
fn edited(collection: &str, id: &str) -> Device {
    let mut device = Device::new();
    device.put(collection, id, r#"{"n":1}"#);
    assert_eq!(device.push(|_| Some(accepted(1))).accepted, 1);
    device.put(collection, id, r#"{"n":2}"#);
    device
}

fn history(device: &Device, collection: &str, id: &str) -> Vec<(String, Option<String>)> {
    let versions = device.db.read(|read| read.history(collection, id)).unwrap();
    versions
        .into_iter()
        .map(|version| (version.reason, version.body))
        .collect()
}

const EARLIER: i64 = -1_000;
const LATER: i64 = 1_000_000;

#[test]
fn server_wins_takes_the_servers_version_and_keeps_ours_in_the_history() {
    let mut device = edited("exercise", "e");
    device.pull_only(vec![change("exercise", "e", version(2, Some(r#"{"n":3}"#), EARLIER))]);
    assert_eq!(device.body("exercise", "e").as_deref(), Some(r#"{"n":3}"#));
    assert!(device.entries().is_empty());
    assert_eq!(
        history(&device, "exercise", "e"),
        [("lost_to_server".to_owned(), Some(r#"{"n":2}"#.to_owned()))]
    );
    let events = device.db.read(|read| read.events(10)).unwrap();
    assert!(
        events.iter().any(|event| event.event == "edit_lost"),
        "the user can be told"
    );
}

#[test]
fn client_wins_sends_ours_over_theirs_and_keeps_theirs_in_the_history() {
    let mut device = Device::new();
    device.put("weight", "s", r#"{"reps":5}"#);
    device.push(|_| Some(accepted(1)));
    device.put("weight", "s", r#"{"reps":6}"#);
    let theirs = r#"{"reps":4}"#;
    device.pull_only(vec![change("weight", "s", version(2, Some(theirs), LATER))]);
    assert_eq!(device.body("weight", "s").as_deref(), Some(r#"{"reps":6}"#));
    assert_eq!(
        history(&device, "weight", "s"),
        [("lost_to_device".to_owned(), Some(theirs.to_owned()))]
    );
    let mut base = 0;
    device.push(|item| {
        base = item.base_version;
        Some(accepted(3))
    });
    assert_eq!(
        (base, device.get("weight", "s").unwrap().state),
        (2, RecordState::Synced)
    );
}

#[test]
fn client_wins_brings_back_what_was_deleted_elsewhere_whatever_the_clocks_say() {
    let mut device = Device::new();
    device.put("weight", "s", r#"{"reps":5}"#);
    device.push(|_| Some(accepted(1)));
    device.put("weight", "s", r#"{"reps":6}"#);
    device.pull_only(vec![change("weight", "s", version(2, None, LATER))]);
    assert!(device.get("weight", "s").is_some());
    let mut sent = Vec::new();
    device.push(|item| {
        sent.push((item.operation, item.base_version));
        Some(accepted(3))
    });
    assert_eq!(sent, [(Operation::Update, 2)]);
}

#[test]
fn last_write_wins_by_hybrid_clock() {
    for (later_ms, winner) in [(EARLIER, r#"{"n":2}"#), (LATER, r#"{"n":3}"#)] {
        let mut device = edited("profile", "me");
        device.pull_only(vec![change("profile", "me", version(2, Some(r#"{"n":3}"#), later_ms))]);
        assert_eq!(device.body("profile", "me").as_deref(), Some(winner));
        assert_eq!(
            history(&device, "profile", "me").len(),
            1,
            "the loser is in the history"
        );
    }
}

#[test]
fn a_clock_years_ahead_wins_by_a_day_at_most() {
    let mut device = edited("profile", "me");
    let far = 50 * 365 * 86_400_000;
    device.pull_only(vec![change("profile", "me", version(2, Some(r#"{"n":3}"#), far))]);
    // It won this once; a write two days later is later than what it was clamped to.
    device.pass_time(2 * 86_400_000);
    device.put("profile", "me", r#"{"n":4}"#);
    device.pull_only(vec![change(
        "profile",
        "me",
        version(3, Some(r#"{"n":5}"#), 86_400_000),
    )]);
    assert_eq!(device.body("profile", "me").as_deref(), Some(r#"{"n":4}"#));
}

#[test]
fn ask_keeps_both_until_the_user_decides() {
    let mut device = edited("workout", "w");
    device.pull_only(vec![change("workout", "w", version(2, Some(r#"{"n":3}"#), LATER))]);
    let conflicts = device.db.read(|read| read.conflicts()).unwrap();
    let conflict = &conflicts[0];
    assert_eq!(conflict.base.as_deref(), Some(r#"{"n":1}"#));
    assert_eq!(conflict.local.as_deref(), Some(r#"{"n":2}"#));
    assert_eq!(conflict.remote.as_deref(), Some(r#"{"n":3}"#));
    assert_eq!(
        (conflict.remote_device.as_str(), conflict.remote_label.as_deref()),
        ("tablet", Some("Tablet"))
    );
    assert_eq!(device.body("workout", "w").as_deref(), Some(r#"{"n":2}"#));
    assert_eq!(device.get("workout", "w").unwrap().state, RecordState::Conflict);
    device.put("workout", "other", "{}");
    let mut sent = Vec::new();
    device.push(|item| {
        sent.push(item.id.clone());
        Some(accepted(1))
    });
    assert_eq!(sent, ["other"], "only its own lane is held up");
}

#[test]
fn a_conflict_answer_to_a_push_opens_the_same_conflict() {
    let mut device = edited("workout", "w");
    device.push(|_| Some(Outcome::Conflict(version(2, Some(r#"{"n":3}"#), LATER))));
    assert_eq!(
        device.db.read(|read| read.conflicts()).unwrap()[0].remote.as_deref(),
        Some(r#"{"n":3}"#)
    );
    assert_eq!(device.entries()[0].state, EntryState::Conflict);
}

#[test]
fn each_resolution_goes_out_on_top_of_the_version_that_was_shown() {
    let merged = r#"{"n":23}"#;
    for (resolution, body, goes) in [
        (Resolution::KeepLocal, r#"{"n":2}"#, true),
        (Resolution::KeepRemote, r#"{"n":3}"#, false),
        (Resolution::Merge(merged.to_owned()), merged, true),
    ] {
        let mut device = edited("workout", "w");
        let refused = device.entries()[0].op;
        device.push(|_| Some(Outcome::Conflict(version(2, Some(r#"{"n":3}"#), LATER))));
        device
            .db
            .write(|write| conflict::resolve(write, "workout", "w", "2", &resolution))
            .unwrap();
        assert!(device.db.read(|read| read.conflicts()).unwrap().is_empty());
        assert_eq!(device.body("workout", "w").as_deref(), Some(body));
        let mut sent = Vec::new();
        device.push(|item| {
            sent.push((item.base_version, item.body.clone(), item.replaces));
            Some(accepted(3))
        });
        let expected = if goes {
            vec![(2, Some(body.to_owned()), Some(refused))]
        } else {
            vec![]
        };
        assert_eq!(sent, expected, "{resolution:?}");
        assert_eq!(device.get("workout", "w").unwrap().state, RecordState::Synced);
        assert!(
            !history(&device, "workout", "w").is_empty(),
            "{resolution:?}: what lost is kept"
        );
    }
}

#[test]
fn a_resolution_of_what_is_no_longer_current_is_refused() {
    let mut device = edited("workout", "w");
    device.pull_only(vec![change("workout", "w", version(2, Some(r#"{"n":3}"#), LATER))]);
    device.pull_only(vec![change("workout", "w", version(3, Some(r#"{"n":4}"#), LATER))]);
    let conflicts = device.db.read(|read| read.conflicts()).unwrap();
    assert_eq!(
        (conflicts.len(), conflicts[0].remote.as_deref()),
        (1, Some(r#"{"n":4}"#)),
        "it was refreshed"
    );
    assert_eq!(
        conflicts[0].base.as_deref(),
        Some(r#"{"n":1}"#),
        "what both were made on stays"
    );
    let stale = device
        .db
        .write(|write| conflict::resolve(write, "workout", "w", "2", &Resolution::KeepLocal));
    assert_eq!(stale.unwrap_err(), Error::ConflictChanged);
    assert_eq!(device.db.read(|read| read.conflicts()).unwrap().len(), 1);
}

#[test]
fn a_resolution_can_meet_another_version_again() {
    let mut device = edited("workout", "w");
    device.pull_only(vec![change("workout", "w", version(2, Some(r#"{"n":3}"#), LATER))]);
    device
        .db
        .write(|write| conflict::resolve(write, "workout", "w", "2", &Resolution::KeepLocal))
        .unwrap();
    device.push(|_| Some(Outcome::Conflict(version(3, Some(r#"{"n":4}"#), LATER))));
    let conflict = &device.db.read(|read| read.conflicts()).unwrap()[0];
    assert_eq!(
        (conflict.remote_version, conflict.local.as_deref()),
        (3, Some(r#"{"n":2}"#))
    );
}

#[test]
fn a_write_while_the_conflict_is_open_takes_part_in_it() {
    let mut device = edited("workout", "w");
    device.pull_only(vec![change("workout", "w", version(2, Some(r#"{"n":3}"#), LATER))]);
    device.put("workout", "w", r#"{"n":22}"#);
    let conflict = &device.db.read(|read| read.conflicts()).unwrap()[0];
    assert_eq!(conflict.local.as_deref(), Some(r#"{"n":22}"#));
    assert_eq!(device.entries().len(), 1);
    assert_eq!(device.entries()[0].state, EntryState::Conflict);
}

#[test]
fn a_conflict_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut device = Device::named(
        1,
        Some(folder.path().to_owned()),
        keepsync::settings::Settings::default(),
    );
    device.put("workout", "w", r#"{"n":1}"#);
    device.push(|_| Some(Outcome::Conflict(version(2, Some(r#"{"n":3}"#), LATER))));
    let before = device.db.read(|read| read.conflicts()).unwrap();
    assert_eq!(before.len(), 1);
    let device = device.restart();
    assert_eq!(device.db.read(|read| read.conflicts()).unwrap(), before);
}

#[test]
fn equal_bodies_are_no_conflict_and_arrived() {
    let mut device = edited("workout", "w");
    device.push(|_| Some(Outcome::Conflict(version(2, Some(r#"{ "n" : 2 }"#), LATER))));
    assert!(device.entries().is_empty() && device.db.read(|read| read.conflicts()).unwrap().is_empty());
    assert_eq!(device.get("workout", "w").unwrap().state, RecordState::Synced);
}

#[test]
fn a_creation_that_is_already_there_with_the_same_body_has_arrived() {
    let mut device = Device::new();
    device.put("workout", "w", r#"{"n":1}"#);
    device.push(|_| Some(Outcome::Conflict(version(1, Some(r#"{"n":1}"#), EARLIER))));
    assert!(device.entries().is_empty());
    assert_eq!(device.get("workout", "w").unwrap().version, 1);
}

#[test]
fn a_conflict_with_ones_own_lost_answer_is_an_arrival() {
    let mut device = edited("workout", "w");
    let own = device.entries()[0].op;
    device.push(|_| {
        Some(Outcome::Conflict(RemoteVersion {
            op: Some(own),
            ..version(2, Some(r#"{"n":2}"#), 0)
        }))
    });
    assert!(device.entries().is_empty() && device.db.read(|read| read.conflicts()).unwrap().is_empty());
}

#[test]
fn ones_own_operation_in_a_pulled_version_settles_its_entry() {
    let mut device = edited("workout", "w");
    let own = device.entries()[0].op;
    device.push(|_| None);
    device.put("workout", "w", r#"{"n":9}"#);
    device.pull_only(vec![change(
        "workout",
        "w",
        RemoteVersion {
            op: Some(own),
            ..version(2, Some(r#"{"n":2}"#), 0)
        },
    )]);
    let entries = device.entries();
    assert_eq!(
        (entries.len(), entries[0].base_version),
        (1, 2),
        "the later edit stands on it"
    );
    assert_eq!(device.body("workout", "w").as_deref(), Some(r#"{"n":9}"#));
}

#[test]
fn an_entry_whose_fate_is_open_is_settled_by_its_answer_not_by_a_newer_version() {
    let mut device = edited("workout", "w");
    device.push(|_| None);
    let (op, base) = (device.entries()[0].op, device.entries()[0].base_version);
    device.pull_only(vec![change("workout", "w", version(5, Some(r#"{"n":5}"#), LATER))]);
    assert!(device.db.read(|read| read.conflicts()).unwrap().is_empty());
    assert_eq!(
        device.get("workout", "w").unwrap().version,
        5,
        "the base moved all the same"
    );
    let mut sent = Vec::new();
    // It had been applied before that version was made.
    device.push(|item| {
        sent.push((item.op, item.base_version));
        Some(accepted(2))
    });
    assert_eq!(sent, [(op, base)], "sent again exactly as before");
    assert_eq!(
        device.body("workout", "w").as_deref(),
        Some(r#"{"n":5}"#),
        "what came after it is what is there"
    );
    assert_eq!(device.get("workout", "w").unwrap().version, 5);
}

#[test]
fn the_base_an_entry_was_made_on_is_frozen_until_its_answer_comes() {
    let mut device = edited("workout", "w");
    device.push(|_| None);
    device.pull_only(vec![change("workout", "w", version(5, Some(r#"{"n":5}"#), LATER))]);
    device.push(|_| Some(Outcome::Conflict(version(5, Some(r#"{"n":5}"#), LATER))));
    let conflict = &device.db.read(|read| read.conflicts()).unwrap()[0];
    assert_eq!(conflict.base.as_deref(), Some(r#"{"n":1}"#));
}

#[test]
fn a_delete_elsewhere_under_ask_is_a_conflict_and_can_be_resolved_both_ways() {
    for (resolution, there) in [(Resolution::KeepLocal, true), (Resolution::KeepRemote, false)] {
        let mut device = edited("workout", "w");
        device.pull_only(vec![change("workout", "w", version(2, None, LATER))]);
        let conflict = &device.db.read(|read| read.conflicts()).unwrap()[0];
        assert_eq!(
            (conflict.remote.as_deref(), conflict.local.as_deref()),
            (None, Some(r#"{"n":2}"#))
        );
        device
            .db
            .write(|write| conflict::resolve(write, "workout", "w", "2", &resolution))
            .unwrap();
        device.push(|_| Some(accepted(3)));
        assert_eq!(device.get("workout", "w").is_some(), there, "{resolution:?}");
        assert!(device.entries().is_empty());
    }
}

#[test]
fn field_groups_are_settled_by_their_own_policies_into_one_write() {
    let mut device = Device::new();
    device.put("session", "s", r#"{"schedule":1,"weight":10,"reps":1,"note":"a"}"#);
    device.push(|_| Some(accepted(1)));
    device.put("session", "s", r#"{"schedule":2,"weight":20,"reps":1,"note":"a"}"#);
    let theirs = version(2, Some(r#"{"schedule":3,"weight":10,"reps":2,"note":"b"}"#), LATER);
    device.pull_only(vec![change("session", "s", theirs)]);
    let merged: serde_json::Value = serde_json::from_str(&device.body("session", "s").unwrap()).unwrap();
    assert_eq!(
        merged,
        serde_json::json!({"schedule":3,"weight":20,"reps":1,"note":"b"})
    );
    let entries = device.entries();
    assert_eq!(
        (entries.len(), entries[0].base_version, entries[0].kind),
        (1, 2, Kind::Update)
    );
}

#[test]
fn a_version_that_cannot_be_read_is_left_to_the_user() {
    let mut device = edited("profile", "me");
    let deep = format!("{{\"n\":{}{}}}", "[".repeat(200), "]".repeat(200));
    device.pull_only(vec![change("profile", "me", version(2, Some(&deep), LATER))]);
    assert_eq!(device.db.read(|read| read.conflicts()).unwrap().len(), 1);
    assert_eq!(device.get("profile", "me").unwrap().version, 2, "and the pull goes on");
}

#[test]
fn an_edit_behind_a_conflict_is_not_sent_before_it_is_settled() {
    let mut device = edited("workout", "w");
    device.push(|_| None);
    device.put("workout", "w", r#"{"n":22}"#);
    assert_eq!(device.entries().len(), 2);
    device.push(|item| {
        Some(match item.body.as_deref() {
            Some(r#"{"n":2}"#) => Outcome::Conflict(version(2, Some(r#"{"n":3}"#), LATER)),
            _ => Outcome::Blocked,
        })
    });
    let conflict = &device.db.read(|read| read.conflicts()).unwrap()[0];
    assert_eq!(
        conflict.local.as_deref(),
        Some(r#"{"n":22}"#),
        "the newest local version takes part"
    );
    assert!(device.entries().iter().all(|entry| entry.state == EntryState::Conflict));
    device
        .db
        .write(|write| conflict::resolve(write, "workout", "w", "2", &Resolution::KeepLocal))
        .unwrap();
    let mut sent = Vec::new();
    device.push(|item| {
        sent.push(item.body.clone().unwrap());
        Some(accepted(3 + sent.len() as i64))
    });
    assert_eq!(sent.last().map(String::as_str), Some(r#"{"n":22}"#));
    assert_eq!(device.get("workout", "w").unwrap().state, RecordState::Synced);
}

#[test]
fn an_edit_is_later_than_the_version_it_follows_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut device = Device::named(
        1,
        Some(folder.path().to_owned()),
        keepsync::settings::Settings::default(),
    );
    let hour = 3_600_000;
    // Written by a device whose clock is an hour ahead.
    device.pull_only(vec![change("profile", "me", version(1, Some(r#"{"n":1}"#), hour))]);
    let mut device = device.restart();
    device.put("profile", "me", r#"{"n":2}"#);
    device.pull_only(vec![change("profile", "me", version(2, Some(r#"{"n":3}"#), hour / 2))]);
    assert_eq!(device.body("profile", "me").as_deref(), Some(r#"{"n":2}"#));
}

#[test]
fn a_merge_is_later_than_both_versions_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut device = Device::named(
        1,
        Some(folder.path().to_owned()),
        keepsync::settings::Settings::default(),
    );
    let hour = 3_600_000;
    device.put("workout", "w", r#"{"n":1}"#);
    device.pull_only(vec![change("workout", "w", version(1, Some(r#"{"n":2}"#), hour))]);
    let mut device = device.restart();
    let merged = Resolution::Merge(r#"{"n":3}"#.to_owned());
    device
        .db
        .write(|write| conflict::resolve(write, "workout", "w", "1", &merged))
        .unwrap();
    let mut clocks = Vec::new();
    device.push(|item| {
        clocks.push(item.hlc);
        Some(accepted(2))
    });
    assert!(clocks[0] > version(1, None, hour).hlc, "{clocks:?}");
}
