//! The journal's bounds.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "support/device.rs"]
mod device;

use device::*;
use keepsync::{
    drain::{Answer, Request},
    remote::{Fault, PullPage, RemoteVersion},
    settings::Settings,
};
use rusqlite::{Connection, OpenFlags};

fn with_journal(folder: &std::path::Path, journal_bytes: u64) -> Device {
    let settings = Settings {
        jitter: 0.0,
        journal_bytes,
        ..Settings::default()
    };
    Device::named(1, Some(folder.to_owned()), settings)
}

fn look(device: &Device) -> Connection {
    Connection::open_with_flags(device.db.path().unwrap(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

/// What the journal holds, and what is counted.
fn bytes(device: &Device) -> (i64, i64) {
    let sql = "SELECT (SELECT coalesce(sum(octet_length(body)), 0) FROM journal),
               coalesce((SELECT value FROM meta WHERE key = 'journal_bytes'), 0)";
    look(device)
        .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
}

fn ids(device: &Device) -> Vec<String> {
    let conn = look(device);
    let mut statement = conn.prepare("SELECT id FROM journal ORDER BY n").unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<rusqlite::Result<_>>().unwrap()
}

/// One hundred bytes.
fn body(n: usize) -> String {
    format!("{{\"n\":\"{n:0>92}\"}}")
}

#[test]
fn the_count_of_bytes_is_what_the_journal_holds_however_a_write_came_into_it_or_went() {
    let folder = tempfile::tempdir().unwrap();
    let mut device = with_journal(folder.path(), 1_000_000);
    let agrees = |device: &Device, held: i64| assert_eq!(bytes(device), (held, held));
    // Alone in its record.
    device.put("workout", "w", &body(1));
    device.push(|_| Some(accepted(1)));
    agrees(&device, 100);
    // One behind the other: the first may have left before the second was written.
    device.put("workout", "w", &body(2));
    device.sync(|request| {
        Some(match request {
            Request::Push(_) => Answer::Pushed(Err(Fault::Offline)),
            other => well(other),
        })
    });
    device.put("workout", "w", &body(3));
    device.push(|item| Some(accepted(if item.body.as_deref() == Some(&body(2)) { 2 } else { 3 })));
    agrees(&device, 300);
    // Its answer was lost, its version is pulled.
    let op = device.put("workout", "v", &body(4));
    device.sync(|request| {
        Some(match request {
            Request::Push(_) => Answer::Pushed(Err(Fault::Offline)),
            other => well(other),
        })
    });
    let version = RemoteVersion {
        op,
        ..version(1, Some(&body(4)), 5)
    };
    device.pull_only(vec![change("workout", "v", version)]);
    agrees(&device, 400);
    device.delete("workout", "v");
    device.push(|_| Some(accepted(2)));
    agrees(&device, 400);
    // It goes into the queue again, for a server that has lost it, and comes back.
    for epoch in ["e1", "e2"] {
        device.sync(|request| {
            Some(match request {
                Request::Pull(_) => Answer::Pulled(Ok(PullPage {
                    epoch: Some(epoch.to_owned()),
                    ..PullPage::default()
                })),
                Request::Push(_) => Answer::Pushed(Err(Fault::Offline)),
                other => well(other),
            })
        });
    }
    agrees(&device, 0);
    let mut next = 0;
    device.push(|_| {
        next += 1;
        Some(accepted(next))
    });
    agrees(&device, 400);
}

#[test]
fn the_journal_stays_within_its_bytes_and_the_oldest_go() {
    let folder = tempfile::tempdir().unwrap();
    let mut device = with_journal(folder.path(), 1_600);
    let mut all = Vec::new();
    for n in 0..60 {
        let id = format!("w{n:02}");
        device.put("workout", &id, &body(n));
        device.push(|_| Some(accepted(1)));
        all.push(id);
        let (held, counted) = bytes(&device);
        assert_eq!(held, counted);
        assert!(held <= 1_600, "{held} after {n}");
        // Not more than was needed, and an eighth besides.
        assert!(n < 16 || held >= 1_300, "{held} after {n}");
        let kept = ids(&device);
        assert_eq!(kept, all[all.len() - kept.len()..], "the newest, without a gap");
    }
}

#[test]
fn a_count_that_is_off_is_set_right_when_the_bound_is_met() {
    let folder = tempfile::tempdir().unwrap();
    let mut device = with_journal(folder.path(), 1_600);
    device.put("workout", "a", &body(1));
    device.push(|_| Some(accepted(1)));
    let path = device.db.path().unwrap().to_owned();
    for (told, then) in [("100000", 200), ("NULL", 300)] {
        let sql = match told {
            "NULL" => "DELETE FROM meta WHERE key = 'journal_bytes'".to_owned(),
            told => format!("UPDATE meta SET value = {told} WHERE key = 'journal_bytes'"),
        };
        Connection::open(&path).unwrap().execute_batch(&sql).unwrap();
        device.put("workout", told, &body(2));
        device.push(|_| Some(accepted(1)));
        assert_eq!(bytes(&device), (then, then), "{told}");
    }
}
