//! A file that an older release wrote still opens, and everything in it is still there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of tests are tests too"
)]

#[path = "support/local.rs"]
mod local;

use keepsync::{
    Db, OpenOptions,
    queue::{self, EntryState, Kind, QueueCounts},
    record::{Compare, Query, RecordState},
    session::SessionState,
};
use local::{file, options, raw};
use rusqlite::Connection;
use uuid::Uuid;

const FROZEN: &str = include_str!("frozen/0001.sql");
const DEVICE: &str = "0193487a-1c00-7a2b-8c3d-4e5f60718293";
const REFUSED: &str = "0193487a-2000-7000-8000-000000000001";
const UNANSWERED: &str = "0193487a-2000-7000-8000-000000000002";
const PLAN: &str = "0193487a-2000-7000-8000-000000000003";
const SET: &str = "7c3f1f0e-6a57-5d0b-9d5e-3c1f5b0e9a11";

fn op(last: u128) -> Uuid {
    Uuid::from_u128(0x0193_487a_3000_7000_8000_0000_0000_0000 + last)
}

fn open_frozen(folder: &std::path::Path) -> Db {
    if !file(folder).exists() {
        let frozen = raw(&file(folder));
        frozen.execute_batch(FROZEN).unwrap();
    }
    let options = OpenOptions {
        device_id: Some(DEVICE.to_owned()),
        ..options(folder)
    };
    Db::open(options).unwrap()
}

#[test]
fn every_table_of_the_frozen_file_has_rows() {
    let frozen = Connection::open_in_memory().unwrap();
    frozen.execute_batch(FROZEN).unwrap();
    let mut statement = frozen
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        .unwrap();
    let tables = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    for table in tables {
        let table = table.unwrap();
        let count = format!("SELECT count(*) FROM {table}");
        let rows: i64 = frozen.query_row(&count, [], |row| row.get(0)).unwrap();
        assert!(rows > 0, "{table}");
    }
}

#[test]
fn the_queue_of_a_frozen_file_is_still_there() {
    let folder = tempfile::tempdir().unwrap();
    // Twice: what the first opening did must not lose anything either.
    for _ in 0..2 {
        let db = open_frozen(folder.path());
        assert_eq!(db.salvaged(), None);
        assert_eq!(db.device_id(), DEVICE);
        let entries = db.read(|read| read.entries(i64::MIN, 10)).unwrap();
        let told: Vec<_> = entries
            .iter()
            .map(|entry| {
                (
                    entry.seq,
                    entry.op,
                    entry.kind,
                    entry.state,
                    entry.maybe_sent,
                    entry.attempts,
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                (7, op(0xa1), Kind::Update, EntryState::Parked, true, 1),
                (8, op(0xa2), Kind::Create, EntryState::Waiting, true, 2),
                (9, op(0xa3), Kind::Create, EntryState::Held, false, 0),
            ]
        );
        assert_eq!(entries[0].replaces, Some(op(0xa0)));
        assert_eq!(entries[0].reason.as_ref().unwrap().code, "validation");
        assert_eq!(entries[1].next_attempt_at, Some(1_763_604_700_000 + 60_000));
        let set = db.read(|read| read.entry(op(0xa3))).unwrap();
        assert_eq!((set.id.as_str(), set.lane.as_str()), (SET, PLAN));
        assert!(set.body.unwrap().contains("82.5"));
        let counts = QueueCounts {
            waiting: 1,
            held: 1,
            parked: 1,
            ..QueueCounts::default()
        };
        assert_eq!(db.read(|read| read.queue_counts()).unwrap(), counts);
        assert_eq!(db.read(queue::export).unwrap().lines().count(), 3);
    }
}

#[test]
fn the_session_in_progress_of_a_frozen_file_is_still_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = open_frozen(folder.path());
    let sessions = db.read(|read| read.active_sessions()).unwrap();
    let [session] = sessions.as_slice() else {
        panic!("{sessions:?}")
    };
    assert_eq!((session.id.as_str(), session.state), (PLAN, SessionState::Active));
    assert_eq!(session.started_at, 1_763_604_600_000);
    assert_eq!(session.scratch.as_deref(), Some(r#"{"rest":90,"typed":"82,"}"#));
    assert_eq!(
        session.sets.iter().map(|set| set.id.as_str()).collect::<Vec<_>>(),
        [SET]
    );
    db.write(|write| keepsync::session::complete(write, "plan", PLAN, "{}"))
        .unwrap();
    assert_eq!(db.read(|read| read.queue_counts()).unwrap().held, 0);
}

#[test]
fn records_and_history_of_a_frozen_file_are_still_there() {
    let folder = tempfile::tempdir().unwrap();
    let db = open_frozen(folder.path());
    let get = |collection: &str, id: &str| db.read(|read| read.get(collection, id)).unwrap().unwrap();
    let refused = get("workout", REFUSED);
    assert_eq!((refused.version, refused.state), (3, RecordState::Parked));
    assert_eq!(refused.server_id.as_deref(), Some("901"));
    let unanswered = get("workout", UNANSWERED);
    assert_eq!((unanswered.version, unanswered.state), (0, RecordState::Pending));
    assert_eq!(get("plan_set", SET).parent_id.as_deref(), Some(PLAN));
    assert_eq!(get("draft", "next-week").body.as_deref(), Some(r#"{"text":"Deload"}"#));
    let query = Query::new("workout").filter("date", Compare::Ge, "2025-11-19");
    let page = db.read(|read| read.query(&query)).unwrap();
    assert_eq!(page.records.len(), 1);
    let history = db.read(|read| read.history("workout", REFUSED)).unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!(history[0].reason, "lost_to_device");
}

#[test]
fn conflict_pairs_and_counters_of_a_frozen_file_are_still_there() {
    let folder = tempfile::tempdir().unwrap();
    let db = open_frozen(folder.path());
    let conflicts = db.read(|read| read.conflicts()).unwrap();
    let [conflict] = conflicts.as_slice() else {
        panic!("{conflicts:?}")
    };
    assert_eq!((conflict.id.as_str(), conflict.remote_version), (REFUSED, 3));
    assert_eq!(conflict.remote_label.as_deref(), Some("Tablet"));
    assert!(conflict.local.as_ref().unwrap().contains("zwickt"));
    assert!(conflict.remote.as_ref().unwrap().contains("lief gut"));
    assert_eq!(db.read(|read| read.kv_keys()).unwrap(), ["last-screen", "theme"]);
    assert_eq!(
        db.read(|read| read.kv_get("theme")).unwrap().as_deref(),
        Some("\"dark\"")
    );
    assert_eq!(db.read(|read| read.counters()).unwrap()["items_sent"], 31);
    assert_eq!(db.read(|read| read.events(10)).unwrap()[0].event, "sync_success");
}
