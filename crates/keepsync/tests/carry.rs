//! A device's records out and in: one moment, whoever writes meanwhile; what is imported stands; who the
//! device is stays.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests are tests too")]

#[path = "support/device.rs"]
mod device;

use device::{Device, START, accepted, change, version};
use keepsync::{
    OpenOptions, Place,
    carry::{self, Import, Imported},
    record::RecordState,
    session,
    settings::Settings,
};

fn export(device: &Device) -> String {
    device.db.read(|read| carry::export(read, START)).unwrap().text
}

fn parse(device: &Device, text: &str) -> Result<Import, carry::BadFile> {
    Import::parse(text.as_bytes(), &device.options.collections, &device.options.settings)
}

fn import(device: &mut Device, text: &str) -> Imported {
    let import = parse(device, text).unwrap();
    let mut so_far = Imported::default();
    while !import.is_done(so_far) {
        so_far = device.db.write(|write| import.bring(write, so_far)).unwrap().0;
    }
    so_far
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

#[test]
fn every_collection_is_in_it_parents_first_and_what_was_deleted_is_not() {
    let mut device = Device::new();
    device.put("profile", "p", r#"{"n": 1}"#);
    device.put("set_log", "s", r#"{"workout_id":"w"}"#);
    device.put("workout", "w", "{}");
    device.pull_only(vec![change("exercise", "e", version(3, Some("{}"), 0))]);
    device.pull_only(vec![change("profile", "gone", version(1, Some("{}"), 0))]);
    device.delete("profile", "gone");
    let text = export(&device);
    let expected = [
        r#"{"keepsync_export":1,"exported_at":"2025-11-20T00:53:20.000Z","records":4,"sessions":0}"#,
        r#"{"record":{"collection":"workout","id":"w","state":"pending","body":{}}}"#,
        r#"{"record":{"collection":"set_log","id":"s","state":"pending","body":{"workout_id":"w"}}}"#,
        r#"{"record":{"collection":"exercise","id":"e","state":"synced","body":{}}}"#,
        r#"{"record":{"collection":"profile","id":"p","state":"pending","body":{"n":1}}}"#,
    ];
    assert_eq!(lines(&text), expected);
}

#[test]
fn what_differs_is_overwritten_what_is_the_same_left_alone_and_what_is_not_in_it_stays() {
    let mut from = Device::new();
    for (id, body) in [("same", r#"{"a":1}"#), ("other", r#"{"a":2}"#), ("new", r#"{"a":3}"#)] {
        from.put("profile", id, body);
    }
    let text = export(&from);
    let mut device = Device::new();
    device.pull_only(vec![
        change("profile", "same", version(1, Some(r#"{ "a": 1 }"#), 0)),
        change("profile", "other", version(1, Some(r#"{"a":0}"#), 0)),
        change("profile", "mine", version(1, Some(r#"{"a":9}"#), 0)),
    ]);
    let done = import(&mut device, &text);
    let expected = Imported {
        written: 2,
        unchanged: 1,
        ..Imported::default()
    };
    assert_eq!(done, expected);
    assert_eq!(device.body("profile", "other").as_deref(), Some(r#"{"a":2}"#));
    assert_eq!(device.body("profile", "mine").as_deref(), Some(r#"{"a":9}"#));
    assert_eq!(device.get("profile", "same").unwrap().state, RecordState::Synced);
    // It goes to the server as what the user wrote here, on the version that was here.
    let mut sent = Vec::new();
    device.push(|item| {
        sent.push((item.id.clone(), item.base_version));
        Some(accepted(2))
    });
    assert_eq!(sent, [("new".to_owned(), 0), ("other".to_owned(), 1)]);
    assert_eq!(import(&mut device, &text).unchanged, 3);
}

#[test]
fn who_the_device_is_and_when_it_was_synced_last_are_never_imported() {
    let folder = tempfile::tempdir().unwrap();
    let mut from = Device::named(7, None, Settings::default());
    from.put("profile", "p", "{}");
    from.push(|_| Some(accepted(1)));
    let text = export(&from);
    assert!(!text.contains("device-7"));
    let mut device = Device::named(1, Some(folder.path().to_owned()), Settings::default());
    device.put("profile", "own", "{}");
    device.push(|_| Some(accepted(1)));
    device.pass_time(60_000);
    let state = |device: &Device| {
        let conn = rusqlite::Connection::open(device.options.file().unwrap()).unwrap();
        let meta = |key: &str| -> Option<String> {
            conn.query_row("SELECT CAST(value AS TEXT) FROM meta WHERE key = ?1", [key], |row| {
                row.get(0)
            })
            .ok()
        };
        let cursors: Vec<(String, Option<String>)> = conn
            .prepare("SELECT collection, cursor FROM pull ORDER BY 1")
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        (meta("synced_at"), meta("device_id"), meta("epoch"), cursors)
    };
    let before = state(&device);
    assert!(before.0.is_some());
    assert_eq!(import(&mut device, &text).written, 1);
    assert_eq!(state(&device), before);
    assert_eq!(device.db.device_id(), "device-1");
    assert_eq!(
        device.get("profile", "p").unwrap().version,
        0,
        "the versions of another device are its own"
    );
}

#[test]
fn a_session_in_progress_goes_on_where_it_was() {
    let mut from = Device::new();
    from.db
        .write(|write| session::start(write, "workout", "set_log", "w", "{}"))
        .unwrap();
    from.db
        .write(|write| session::log_set(write, "workout", "w", "squat/1", r#"{"reps":5}"#))
        .unwrap();
    from.db
        .write(|write| session::note(write, "workout", "w", Some("typing")))
        .unwrap();
    let mut device = Device::named(2, None, Settings::default());
    assert_eq!(import(&mut device, &export(&from)).sessions, 1);
    let active = |device: &Device| device.db.read(|read| read.active_sessions()).unwrap().remove(0);
    let (there, here) = (active(&from), active(&device));
    assert_eq!((here.started_at, &here.scratch), (there.started_at, &there.scratch));
    assert_eq!(here.sets[0].body, there.sets[0].body);
    device
        .db
        .write(|write| session::complete(write, "workout", "w", "{}"))
        .unwrap();
}

#[test]
fn a_text_that_was_cut_off_or_is_another_is_refused_before_anything_is_written() {
    let mut from = Device::new();
    from.put("profile", "p", "{}");
    from.put("profile", "q", "{}");
    let text = export(&from);
    let cut: String = lines(&text)[..2].join("\n");
    let device = Device::new();
    for (bad, says) in [
        (cut.as_str(), "the file was cut off or changed"),
        ("{}", "not a file that `export` wrote"),
        (
            &text.replace("\"keepsync_export\":1", "\"keepsync_export\":2"),
            "format 2",
        ),
        (
            &text.replace("\"q\"", "\"p\""),
            "line 3: a record that an earlier line has",
        ),
        (&text.replace("profile", "unknown"), "line 2: no collection"),
        (&text.replace("\"body\":{}", "\"body\":[]"), "line 2: "),
        (&text.replace("profile", "set_log"), "line 2: body.workout_id"),
    ] {
        let refused = parse(&device, bad).unwrap_err().to_string();
        assert!(refused.contains(says), "{refused}");
    }
    assert!(device.entries().is_empty());
}

#[test]
fn an_export_is_of_one_moment_whoever_writes_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let options = OpenOptions {
        place: Place::Folder(folder.path().to_owned()),
        ..Device::new().options
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = keepsync::Store::open(options, None).await.unwrap();
        // Both, always with the same number: they are in different collections, read one after the other.
        let both = |n: u64| {
            let put = |collection: &str| keepsync::record::Mutation::Put {
                collection: collection.to_owned(),
                id: "x".to_owned(),
                body: format!(r#"{{"n":{n}}}"#),
            };
            vec![put("profile"), put("session")]
        };
        store.write_all(both(0)).await.unwrap();
        let writing = tokio::spawn({
            let store = store.clone();
            async move {
                for n in 1..200 {
                    store.write_all(both(n)).await.unwrap();
                }
            }
        });
        let mut seen = 0;
        while !writing.is_finished() || seen == 0 {
            let text = store.export().await.unwrap().text;
            let bodies: Vec<&str> = text
                .lines()
                .skip(1)
                .map(|line| line.split("\"body\":").nth(1).unwrap())
                .collect();
            assert_eq!(bodies[0], bodies[1]);
            seen += 1;
        }
        store.close().await.unwrap();
    });
}
