//! Two records that look like one, made on two devices: both are kept, and can be made one.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "support/device.rs"]
mod device;

use device::*;
use keepsync::{
    Error, Write,
    collection::{Collection, Collections},
    conflict::Policy,
    record::{self, RecordState, Twins},
    remote::RemoteChange,
    session,
};
use keepsync_wire::Operation;

fn theirs(collection: &str, id: &str, body: &str) -> RemoteChange {
    let mut made = version(1, Some(body), 5);
    // Ours come later, by a millisecond each.
    made.created_at = START;
    change(collection, id, made)
}

fn twins(device: &Device) -> Vec<Twins> {
    device.db.read(|read| read.twins("workout")).unwrap()
}

fn ids(device: &Device) -> Vec<Vec<String>> {
    let group = |group: Twins| group.into_iter().map(|twin| twin.record.id).collect();
    twins(device).into_iter().map(group).collect()
}

fn merge(device: &mut Device, keep: &str, drop: &str) -> keepsync::Result<u64> {
    let merge = |write: &mut Write<'_>| record::merge_into(write, "workout", keep, drop);
    device.db.write(merge).map(|(moved, _)| moved)
}

const MORNING: &str = r#"{"date":"2026-11-20","time":"08:00","name":"Legs"}"#;

#[test]
fn records_of_one_time_made_on_two_devices_are_twins_and_both_are_kept() {
    let mut device = Device::new();
    device.put("workout", "ours", MORNING);
    device.put("workout", "evening", r#"{"date":"2026-11-20","time":"20:00"}"#);
    device.put("workout", "dateless", r#"{"time":"08:00"}"#);
    device.pull_only(vec![
        theirs("workout", "yours", r#"{"time":"08:00","date":"2026-11-20"}"#),
        theirs("workout", "no date either", r#"{"time":"08:00"}"#),
    ]);
    let found = twins(&device);
    assert_eq!(ids(&device), [["yours", "ours"]]);
    assert_eq!(
        (found[0][1].made_by.as_str(), found[0][0].made_by.as_str()),
        ("device-1", "tablet")
    );
    assert_eq!(found[0][0].made_by_label.as_deref(), Some("Tablet"));
    assert_eq!(found[0][0].record.device_label.as_deref(), Some("Tablet"));
    assert!(device.body("workout", "ours").is_some() && device.body("workout", "yours").is_some());
}

#[test]
fn two_of_one_device_are_no_twins_also_after_another_device_edited_one() {
    let mut device = Device::new();
    device.put("workout", "a", MORNING);
    device.put("workout", "b", MORNING);
    device.push(|_| Some(accepted(1)));
    device.pull_only(vec![change("workout", "b", version(2, Some(MORNING), 9))]);
    assert_eq!(
        device
            .db
            .read(|read| read.created_by("workout", "b"))
            .unwrap()
            .as_deref(),
        Some("device-1")
    );
    assert_eq!(ids(&device), Vec::<Vec<String>>::new());
}

#[test]
fn a_deleted_twin_is_none_any_more() {
    let mut device = Device::new();
    device.put("workout", "ours", MORNING);
    device.pull_only(vec![theirs("workout", "yours", MORNING)]);
    assert_eq!(ids(&device).len(), 1);
    device.delete("workout", "yours");
    assert_eq!(ids(&device).len(), 0);
}

#[test]
fn a_collection_without_such_fields_is_told() {
    let device = Device::new();
    let error = device.db.read(|read| read.twins("profile")).unwrap_err();
    assert_eq!(error.code(), "invalid");
}

/// Ours with sets in two slots, and theirs with sets in two, one of which is the same.
fn pair() -> Device {
    let mut device = Device::new();
    device.put("workout", "ours", MORNING);
    for slot in ["squat/1", "squat/2"] {
        let id = session::set_id("ours", slot);
        device.put(
            "set_log",
            &id,
            &format!(r#"{{"workout_id":"ours","slot":"{slot}","kg":1}}"#),
        );
    }
    device.push(|_| Some(accepted(1)));
    let set = |slot: &str| {
        let body = format!(r#"{{"workout_id":"yours","slot":"{slot}","kg":2}}"#);
        theirs("set_log", &session::set_id("yours", slot), &body)
    };
    device.pull_only(vec![
        theirs("workout", "yours", MORNING),
        set("squat/2"),
        set("squat/3"),
        theirs("heart_rate", "beat", r#"{"workout_id":"yours","bpm":99}"#),
    ]);
    device
}

fn sets(device: &Device, workout: &str) -> Vec<(String, String)> {
    let query = keepsync::record::Query::new("set_log").filter("workout_id", keepsync::record::Compare::Eq, workout);
    let page = device.db.read(|read| read.query(&query)).unwrap();
    let mut sets: Vec<(String, String)> = page
        .records
        .into_iter()
        .map(|set| {
            let body: serde_json::Value = serde_json::from_str(set.body.as_deref().unwrap()).unwrap();
            assert_eq!(set.id, session::set_id(workout, body["slot"].as_str().unwrap()));
            (body["slot"].as_str().unwrap().to_owned(), body["kg"].to_string())
        })
        .collect();
    sets.sort();
    sets
}

#[test]
fn making_one_of_two_moves_all_children_and_keeps_both_of_a_slot() {
    let mut device = pair();
    assert_eq!(merge(&mut device, "ours", "yours"), Ok(3));
    let slots = [("squat/1", "1"), ("squat/2", "1"), ("squat/2#2", "2"), ("squat/3", "2")];
    assert_eq!(
        sets(&device, "ours"),
        slots.map(|(slot, kg)| (slot.to_owned(), kg.to_owned()))
    );
    assert_eq!(sets(&device, "yours"), []);
    assert_eq!(device.get("workout", "yours"), None);
    assert_eq!(ids(&device).len(), 0);
    let lost = device.db.read(|read| read.history("workout", "yours")).unwrap();
    assert_eq!(lost[0].body.as_deref(), Some(MORNING));
    let mut sent = Vec::new();
    let report = device.push(|item| {
        if item.operation == Operation::Delete {
            sent.push(item.collection.clone());
        }
        Some(accepted(item.base_version + 1))
    });
    assert_eq!((report.accepted, report.waiting), (7, 0), "{sent:?}");
    assert_eq!(sent.last().unwrap(), "workout", "it goes when it is empty: {sent:?}");
    assert!(device.entries().is_empty());
    assert_eq!(device.get("workout", "ours").unwrap().state, RecordState::Synced);
    assert_eq!(device.db.read(|read| read.examine()).unwrap().problems, []);
}

#[test]
fn a_slot_is_taken_also_by_a_child_that_the_app_named_itself() {
    let mut device = Device::new();
    for workout in ["a", "b"] {
        device.put("workout", workout, MORNING);
        let body = format!(r#"{{"workout_id":"{workout}","slot":"squat/1"}}"#);
        device.put("set_log", &format!("set of {workout}"), &body);
    }
    merge(&mut device, "a", "b").unwrap();
    let moved = device.body("set_log", &session::set_id("a", "squat/1#2")).unwrap();
    assert!(moved.contains("squat/1#2"));
    assert!(device.body("set_log", "set of a").is_some());
}

#[test]
fn what_hangs_on_a_child_moves_with_it() {
    let mut device = Device::new();
    device.options.collections = Collections::new([
        Collection::new("workout", Policy::Ask),
        Collection::new("set_log", Policy::Ask).child_of("workout", "workout_id"),
        Collection::new("video", Policy::Ask).child_of("set_log", "set_id"),
    ])
    .unwrap();
    let mut device = device.restart();
    for workout in ["a", "b"] {
        device.put("workout", workout, "{}");
    }
    device.put("set_log", "s", r#"{"workout_id":"b"}"#);
    device.put("video", "v", r#"{"set_id":"s","at":"form"}"#);
    device.push(|_| Some(accepted(1)));
    merge(&mut device, "a", "b").unwrap();
    let live = |collection: &str| {
        let query = keepsync::record::Query::new(collection);
        let mut page = device.db.read(|read| read.query(&query)).unwrap();
        assert_eq!(page.records.len(), 1);
        page.records.remove(0)
    };
    let (set, video) = (live("set_log"), live("video"));
    assert_eq!((set.parent_id.as_deref(), video.parent_id), (Some("a"), Some(set.id)));
    assert!(video.body.unwrap().contains("form"));
}

#[test]
fn one_that_is_gone_the_same_in_conflict_or_in_progress_is_not_merged_and_nothing_moves() {
    let mut device = pair();
    let before = (sets(&device, "ours"), sets(&device, "yours"));
    let mut refused = |keep: &str, drop: &str| merge(&mut device, keep, drop).unwrap_err().code();
    assert_eq!(refused("ours", "nobody"), "not_found");
    assert_eq!(refused("nobody", "ours"), "not_found");
    assert_eq!(refused("ours", "ours"), "invalid");
    device.put("workout", "yours", r#"{"date":"2026-11-20","time":"08:01"}"#);
    device.pull_only(vec![change("workout", "yours", version(2, Some("{}"), 9))]);
    assert_eq!(merge(&mut device, "ours", "yours").unwrap_err().code(), "invalid");
    assert_eq!((sets(&device, "ours"), sets(&device, "yours")), before);
    let start = |write: &mut Write<'_>| session::start(write, "workout", "set_log", "now", MORNING);
    device.db.write(start).unwrap();
    assert!(matches!(
        merge(&mut device, "ours", "now"),
        Err(Error::SessionState { .. })
    ));
    // Into the one in progress it goes.
    assert_eq!(merge(&mut device, "now", "ours"), Ok(2));
    assert_eq!(sets(&device, "now").len(), 2);
}
