//! What a close look at a file finds: nothing in a sound one, and each kind of damage by its name.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "support/device.rs"]
mod device;

use device::{Device, accepted, rejected, version};
use keepsync::{
    diagnostics::{Examination, Problem},
    record,
    remote::Outcome,
    session,
    settings::Settings,
};
use std::path::Path;

/// A device in a folder with something of everything: synced, pending, parked, in conflict, deleted, held.
fn busy(folder: &Path) -> Device {
    let mut device = Device::named(1, Some(folder.to_owned()), Settings::default());
    device.put("workout", "synced", "{\"date\":\"2026-01-01\"}");
    device.put("workout", "refused", "{\"date\":\"2026-01-02\"}");
    device.put("workout", "disputed", "{\"date\":\"2026-01-03\"}");
    device.put("profile", "gone", "{}");
    device.push(|item| {
        Some(match item.id.as_str() {
            "refused" => rejected("validation"),
            "disputed" => Outcome::Conflict(version(4, Some("{\"date\":\"2020-01-01\"}"), 5)),
            _ => accepted(1),
        })
    });
    device.delete("profile", "gone");
    device.put("workout", "pending", "{}");
    let held = |write: &mut keepsync::Write<'_>| {
        session::start(write, "plan", "plan_set", "held", "{}")?;
        session::log_set(write, "plan", "held", "bench/1", "{\"weight\":82.5}")
    };
    device.db.write(held).unwrap();
    device
}

fn examine(device: &Device) -> Examination {
    device.db.read(|read| read.examine()).unwrap()
}

#[test]
fn a_sound_file_has_no_problems_and_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let found = examine(&busy(folder.path()));
    assert_eq!(found.problems, []);
    let workouts = &found.records["workout"];
    let of = |state: &str| workouts.get(state).copied().unwrap_or(0);
    assert_eq!(
        (of("synced"), of("pending"), of("parked"), of("conflict")),
        (1, 1, 1, 1)
    );
    assert_eq!(found.deleted["profile"], 1);
    assert_eq!((found.queue.parked, found.queue.conflict, found.queue.held), (1, 1, 2));
    assert_eq!((found.conflicts, found.sessions), (1, 1));
}

/// Damage done behind the core's back, and what it is called.
const DAMAGE: [(&str, &str, &str); 10] = [
    (
        "UPDATE record SET body = '[1]' WHERE id = 'synced'",
        "bad_body",
        "synced",
    ),
    (
        "DELETE FROM entry WHERE id = 'pending'",
        "unsent_without_entry",
        "pending",
    ),
    (
        "DELETE FROM record WHERE id = 'pending'",
        "entry_without_record",
        "pending",
    ),
    (
        "UPDATE record SET state = 1 WHERE id = 'refused'",
        "state_differs",
        "refused",
    ),
    (
        "UPDATE entry SET state = 0 WHERE id = 'disputed'",
        "conflict_without_entry",
        "disputed",
    ),
    ("DELETE FROM conflict", "entry_without_conflict", "disputed"),
    ("DELETE FROM session", "held_without_session", "held"),
    ("DELETE FROM record WHERE id = 'held'", "session_without_record", "held"),
    (
        "UPDATE record SET base = 2 WHERE id = 'synced'",
        "base_missing",
        "synced",
    ),
    (
        "UPDATE entry SET lane = 'elsewhere' WHERE id = 'pending'",
        "entry_lane_differs",
        "pending",
    ),
];

#[test]
fn each_kind_of_damage_is_called_by_its_name() {
    for (sql, code, id) in DAMAGE {
        let folder = tempfile::tempdir().unwrap();
        let device = busy(folder.path());
        let path = device.db.path().unwrap().to_owned();
        let conn = rusqlite::Connection::open(path).unwrap();
        assert!(conn.execute(sql, []).unwrap() > 0, "{sql}");
        let problems = examine(&device).problems;
        let named = |problem: &Problem| problem.code == code && problem.id.as_deref() == Some(id);
        assert!(problems.iter().any(named), "{sql}: {problems:?}");
    }
}

#[test]
fn an_index_that_disagrees_with_its_table_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let device = busy(folder.path());
    let conn = rusqlite::Connection::open(device.db.path().unwrap()).unwrap();
    conn.execute_batch(
        "PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = replace(sql, 'parent_id IS NOT NULL', 'parent_id IS NULL') WHERE name = 'record_parent';
         PRAGMA schema_version = 1000000;",
    )
    .unwrap();
    drop(conn);
    let problems = examine(&device).problems;
    assert!(
        problems.iter().any(|problem| problem.code == "integrity"),
        "{problems:?}"
    );
}

#[test]
fn many_of_a_kind_are_counted_rather_than_listed() {
    let folder = tempfile::tempdir().unwrap();
    let mut device = Device::named(1, Some(folder.path().to_owned()), Settings::default());
    for n in 0..50 {
        device.put("profile", &format!("p{n}"), "{}");
    }
    let conn = rusqlite::Connection::open(device.db.path().unwrap()).unwrap();
    conn.execute("DELETE FROM entry", []).unwrap();
    let problems = examine(&device).problems;
    assert_eq!(problems.len(), 21);
    assert!(problems[20].message.ends_with("30 more"), "{}", problems[20].message);
}

#[test]
fn a_record_that_was_deleted_can_still_be_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let device = busy(folder.path());
    let looked = device.db.read(|read| read.record("profile", "gone")).unwrap().unwrap();
    assert_eq!(looked.body, None);
    assert_eq!(device.get("profile", "gone"), None);
    assert!(device.db.read(|read| read.record("nothing", "x")).is_err());
}

#[test]
fn a_session_brought_over_keeps_its_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut device = Device::named(1, Some(folder.path().to_owned()), Settings::default());
    let bring = |write: &mut keepsync::Write<'_>| {
        session::start_at(write, "workout", "set_log", "w", "{\"name\":\"Legs\"}", 1_000)?;
        record::patch(write, "workout", "w", "{\"name\":\"Arms\"}")
    };
    device.db.write(bring).unwrap();
    let session = device.db.read(|read| read.session("workout", "w")).unwrap().unwrap();
    assert_eq!(session.started_at, 1_000);
    let body = session.record.body.unwrap();
    assert!(body.contains("\"started_at\":\"1970-01-01T00:00:01.000Z\""), "{body}");
}
