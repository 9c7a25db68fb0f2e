//! A disk without any room: what is pruned, what is refused, and what works all the same.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the helpers of tests are tests too, and a child tells its parent"
)]

#[path = "support/device.rs"]
mod device;
#[path = "support/local.rs"]
mod local;

use device::*;
use keepsync::{
    Error,
    collection::{Collection, Collections},
    conflict::Policy,
    record,
    settings::Settings,
};
use local::{child, child_folder, run_child};
use rusqlite::{Connection, OpenFlags};
use std::{collections::HashSet, fs, io::Write as _, os::unix::fs::MetadataExt as _, path::Path, process::Command};

/// A child whose folder is a file system of its own, of this size; it goes with the child.
fn on_a_small_disk(test: &str, size: &str) {
    let folder = tempfile::tempdir().unwrap();
    let inner = child(test);
    let mut command = Command::new("unshare");
    if fs::metadata(folder.path()).unwrap().uid() != 0 {
        command.arg("--map-root-user");
    }
    command.args(["--mount", "sh", "-ec"]);
    command.arg(format!(
        "mount -t tmpfs -o size={size},mode=700 tmpfs \"$KEEPSYNC_TEST_FOLDER\"; exec \"$0\" \"$@\""
    ));
    command.arg(inner.get_program()).args(inner.get_args());
    let said = run_child(command, folder.path());
    assert!(
        said.iter()
            .any(|(name, value)| (name.as_str(), value.as_str()) == ("result", "done")),
        "{said:?}"
    );
}

/// Takes all the room there is.
fn fill(folder: &Path) {
    let mut ballast = fs::File::create(folder.join("ballast")).unwrap();
    while ballast.write_all(&[0; 512]).is_ok() {}
}

fn small(folder: &Path) -> Device {
    let settings = Settings {
        jitter: 0.0,
        // Little of the disk is the log's.
        wal_bytes: 128 * 1024,
        ..Settings::default()
    };
    let mut device = Device::named(1, Some(folder.to_owned()), settings);
    device.options.collections = Collections::new([Collection::new("note", Policy::LastWriteWins)]).unwrap();
    device.restart()
}

fn note(n: usize) -> String {
    format!("{{\"n\":{n},\"text\":\"{}\"}}", "x".repeat(2_000))
}

fn write(device: &mut Device, n: usize) -> keepsync::Result<()> {
    device.pass_time(1);
    device
        .db
        .write(|write| record::put(write, "note", &format!("n{n:05}"), &note(n)))
        .map(|_| ())
}

/// Something of the file, read behind the core's back.
fn look(device: &Device, sql: &str) -> i64 {
    let conn = Connection::open_with_flags(device.db.path().unwrap(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    conn.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn reserve(device: &Device) -> u64 {
    let path = format!("{}.reserve", device.db.path().unwrap().display());
    fs::metadata(path).map_or(0, |meta| meta.len())
}

/// Writes until there is no room; gives how many arrived.
fn write_until_full(device: &mut Device, from: usize) -> usize {
    for n in from.. {
        if let Err(error) = write(device, n) {
            assert_eq!(error, Error::StorageFull);
            // Record and entry both, or neither.
            let id = format!("n{n:05}");
            assert_eq!(device.get("note", &id), None);
            assert!(device.entries().iter().all(|entry| entry.id != id));
            return n - from;
        }
        assert!(n < from + 5_000, "the disk is not small");
    }
    0
}

/// Syncs until nothing waits: a batch that is too much for the disk is tried again as a smaller one.
fn drain(device: &mut Device) {
    let (mut applied, mut repeated) = (HashSet::new(), 0);
    for _ in 0..10 {
        device.push(|item| {
            repeated += u32::from(!applied.insert(item.op));
            Some(accepted(1))
        });
        if device.entries().is_empty() {
            println!("{} sent, {repeated} of them again", applied.len());
            return;
        }
    }
    assert_eq!(device.entries().len(), 0, "the queue does not empty");
}

#[test]
fn the_journal_and_then_the_history_make_room_before_a_write_is_refused() {
    on_a_small_disk("child_that_prunes", "32m");
}

#[test]
#[ignore = "run by the_journal_and_then_the_history_make_room_before_a_write_is_refused"]
fn child_that_prunes() {
    let folder = child_folder();
    let mut device = small(&folder);
    assert_eq!(reserve(&device), 512 * 1024);
    // Half of it superseded, so that there is a history too.
    for n in 0..500 {
        write(&mut device, n).unwrap();
    }
    device.push(|_| Some(accepted(1)));
    for n in 0..120 {
        let body = note(n + 1_000);
        device
            .db
            .write(|write| record::put(write, "note", &format!("n{n:05}"), &body))
            .unwrap();
    }
    let theirs = |n: i64| version(2, Some(&note(9_999)), n);
    device.push(|_| Some(keepsync::remote::Outcome::Conflict(theirs(50_000_000))));
    let (journal, history) = ("SELECT count(*) FROM journal", "SELECT count(*) FROM history");
    assert_eq!((look(&device, journal), look(&device, history)), (500, 120));
    fill(&folder);

    let first = write_until_full(&mut device, 10_000);
    let (left, remembered) = (look(&device, journal), look(&device, history));
    // More than one megabyte of journal and a quarter of history, reused.
    assert!(first > 300, "only {first} more writes, {left} {remembered}");
    assert_eq!(
        (left, remembered),
        (0, 0),
        "both were given up before a write was refused"
    );
    let sound: String = Connection::open(device.db.path().unwrap())
        .unwrap()
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sound, "ok");

    // Reading and sending go on; each answer is written with what was kept for it.
    assert!(device.body("note", "n10000").is_some());
    assert_eq!(device.entries().len(), first);
    drain(&mut device);
    // What was sent is in the journal now, and makes room for what is written next.
    assert!(write_until_full(&mut device, 20_000) > 20);

    // The same after the app was killed and started again, without any room.
    let mut device = device.restart();
    let waiting = device.entries().len();
    assert!(waiting > 20);
    drain(&mut device);
    assert_eq!(device.body("note", "n20000"), Some(note(20_000)));
    fs::remove_file(folder.join("ballast")).unwrap();
    write(&mut device, 30_000).unwrap();
    drop(device.restart());
    println!("\nresult=done");
}

#[test]
fn the_oldest_of_the_journal_goes_first_and_no_more_than_is_needed() {
    on_a_small_disk("child_that_prunes_a_part", "64m");
}

#[test]
#[ignore = "run by the_oldest_of_the_journal_goes_first_and_no_more_than_is_needed"]
fn child_that_prunes_a_part() {
    let folder = child_folder();
    let mut device = small(&folder);
    for n in 0..1_500 {
        write(&mut device, n).unwrap();
    }
    device.push(|_| Some(accepted(1)));
    assert_eq!(look(&device, "SELECT min(n) FROM journal"), 1);
    fill(&folder);
    let pruned = |device: &Device| 1_500 - look(device, "SELECT count(*) FROM journal");
    for n in 10_000..10_100 {
        write(&mut device, n).unwrap();
    }
    let first = pruned(&device);
    assert!((400..=800).contains(&first), "{first}: one megabyte of bodies at once");
    assert_eq!(look(&device, "SELECT min(n) FROM journal"), first + 1, "the oldest");
    assert_eq!(look(&device, "SELECT max(n) FROM journal"), 1_500, "the newest is kept");
    println!("\nresult=done");
}
