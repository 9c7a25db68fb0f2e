//! A device's records out and in again, and a file that does not fit together.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Instant,
};
use support::{Device, PATIENCE};

/// A device with the real training log, and its export.
fn exported(folder: &Path) -> (Device, PathBuf) {
    let log = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/strong-workouts.csv");
    let device = Device::new(folder, "old");
    device.ok(&["import-strong", log.to_str().unwrap()]);
    let file = folder.join("export.jsonl");
    device.ok(&["export", file.to_str().unwrap()]);
    (device, file)
}

fn seen(device: &Device) -> Vec<(Value, String)> {
    let mut seen = Vec::new();
    for collection in ["workout", "set_log"] {
        let records = device.ok(&["list", collection]).lines();
        seen.extend(
            records
                .into_iter()
                .map(|record| (record["id"].clone(), record["body"].to_string())),
        );
    }
    seen
}

#[test]
fn an_export_makes_the_same_records_on_another_device_and_not_the_same_device() {
    let folder = tempfile::tempdir().unwrap();
    let (old, file) = exported(folder.path());
    let new = Device::new(folder.path(), "new");
    let file = file.to_str().unwrap();
    assert_eq!(
        new.ok(&["import", file]).json(),
        json!({"written": 2207, "unchanged": 0, "sessions": 0})
    );
    assert_eq!(
        new.ok(&["import", file]).json(),
        json!({"written": 0, "unchanged": 2207, "sessions": 0})
    );
    assert_eq!(seen(&new), seen(&old));
    let id = |device: &Device| device.ok(&["status"]).json()["device_id"].clone();
    assert_ne!(id(&new), id(&old));
    assert!(
        !std::fs::read_to_string(file)
            .unwrap()
            .contains(id(&old).as_str().unwrap())
    );
}

#[test]
fn an_import_that_was_killed_half_way_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let (old, file) = exported(folder.path());
    let new = Device::new(folder.path(), "new");
    let file = file.to_str().unwrap();
    let records = || -> Option<i64> {
        let conn = Connection::open_with_flags(new.db(), OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
        conn.query_row("SELECT count(*) FROM record", [], |row| row.get(0)).ok()
    };
    let mut killed = new.command(&["import", file]).stdout(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + PATIENCE;
    while records().is_none_or(|records| records == 0) {
        assert!(Instant::now() < until, "it never began");
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    let there = records().unwrap();
    // On a fast disk it may have been over; what is asked holds either way.
    assert!(there % 300 == 0 || there == 2207, "whole commits: {there}");
    let told = new.ok(&["import", file]).json();
    assert_eq!(
        told,
        json!({"written": 2207 - there, "unchanged": there, "sessions": 0})
    );
    assert_eq!(seen(&new), seen(&old));
}

#[test]
fn a_doctor_names_what_does_not_fit_together_and_nothing_that_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::new(folder.path(), "phone");
    device.ok(&["put", "workout", "w1", r#"{"name":"s3cret"}"#]);
    device.ok(&["put", "workout", "w2", r#"{"name":"s3cret"}"#]);
    assert_eq!(device.ok(&["doctor"]).json()["ok"], true);
    let conn = Connection::open(device.db()).unwrap();
    conn.execute("DELETE FROM entry WHERE id = 'w1'", []).unwrap();
    conn.execute("DELETE FROM record WHERE id = 'w2'", []).unwrap();
    drop(conn);
    let ended = device.run(&["doctor"]);
    assert_eq!((ended.code, &ended.json()["ok"]), (1, &json!(false)));
    let problems = ended.json()["problems"].clone();
    let named = |at: usize| (problems[at]["code"].clone(), problems[at]["id"].clone());
    assert_eq!(named(0), (json!("unsent_without_entry"), json!("w1")));
    assert_eq!(named(1), (json!("entry_without_record"), json!("w2")));
    let report = folder.path().join("report.json");
    device.ok(&["bundle", report.to_str().unwrap()]);
    let told = ended.out + &std::fs::read_to_string(report).unwrap();
    assert!(!told.contains("s3cret"));
}
