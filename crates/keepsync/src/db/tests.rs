//! What only the inside of a connection can tell: its settings.

use super::*;
use crate::{collection::Collection, conflict::Policy};
use rusqlite::{
    StatementStatus,
    trace::{TraceEvent, TraceEventCodes},
};
use std::{collections::HashMap, sync::Mutex};

fn open(folder: &Path) -> Db {
    let collections = Collections::new([Collection::new("workout", Policy::Ask)]).unwrap();
    Db::open(OpenOptions::new(folder, "lifter@example.org", collections)).unwrap()
}

fn number(conn: &Connection, pragma: &str) -> i64 {
    conn.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))
        .unwrap()
}

const FULL: i64 = 2;
const NORMAL: i64 = 1;

#[test]
fn the_writer_is_in_wal_and_commits_with_full() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(folder.path());
    let mode: String = db.conn.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    assert_eq!(number(&db.conn, "synchronous"), FULL);
    if cfg!(target_vendor = "apple") {
        assert_eq!(number(&db.conn, "fullfsync"), 1);
        assert_eq!(number(&db.conn, "checkpoint_fullfsync"), 1);
    }
}

#[test]
fn a_pulled_page_commits_with_normal_and_what_follows_with_full() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = open(folder.path());
    let during = |write: &mut Write<'_>| Ok(number(write.conn, "synchronous"));

    let (seen, _) = db.write_with(Durability::Normal, during).unwrap();
    assert_eq!(seen, NORMAL);
    assert_eq!(db.write(during).unwrap().0, FULL);

    let failed = db.write_with(Durability::Normal, |_| Err::<(), _>(Error::Closed));
    assert_eq!(failed.unwrap_err(), Error::Closed);
    assert_eq!(db.write(during).unwrap().0, FULL, "after a page that failed");
}

#[test]
fn a_pulled_page_that_cannot_begin_leaves_full_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = open(folder.path());
    db.conn.busy_timeout(std::time::Duration::ZERO).unwrap();
    let other = Connection::open(db.path().unwrap()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let failed = db.write_with(Durability::Normal, |_| Ok(()));
    assert_eq!(failed.unwrap_err(), Error::Locked);
    assert_eq!(number(&db.conn, "synchronous"), FULL);
}

#[test]
fn a_statement_is_not_parsed_again_for_other_values() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(folder.path());
    // The index has two of the three columns.
    let sql = "SELECT seq, body FROM entry WHERE lane = ?1 AND id = ?2 AND collection = ?3 ORDER BY seq";
    for (lane, id, collection) in [("a", "b", "c"), ("d", "e", "f"), ("g", "h", "i")] {
        let mut statement = db.conn.prepare_cached(sql).unwrap();
        assert!(!statement.exists([lane, id, collection]).unwrap());
    }
    let statement = db.conn.prepare_cached(sql).unwrap();
    assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
}

#[test]
fn every_connection_is_hardened() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(folder.path());
    let reader = Db::reader(db.path().unwrap(), None).unwrap();
    for (name, conn) in [("writer", &db.conn), ("reader", &reader)] {
        assert_eq!(number(conn, "trusted_schema"), 0, "{name}");
        assert_eq!(number(conn, "cell_size_check"), 1, "{name}");
        let refused = |sql: &str, with: &str| {
            let error = conn.execute_batch(sql).unwrap_err().to_string();
            assert!(error.contains(with), "{name}, {sql}: {error}");
        };
        refused(
            "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = sql",
            "may not be modified",
        );
        refused("SELECT load_extension('x')", "no such function");
        refused("SELECT \"not a column\"", "no such column");
        refused(
            "CREATE TEMP TABLE t (x); CREATE INDEX temp.i ON t (\"not a column\")",
            "no such column",
        );
    }
    let error = reader.execute_batch("DELETE FROM kv").unwrap_err();
    assert_eq!(Error::from(error), Error::ReadOnlyFile, "a reader does not write");
}

/// What each statement text has cost a connection so far: rows met in scans, and steps.
type Costs = Arc<Mutex<HashMap<String, (i32, i32)>>>;

fn count_costs(conn: &mut Connection) -> Costs {
    let costs = Costs::default();
    let counted = Arc::clone(&costs);
    let profile = move |event: TraceEvent<'_>| {
        if let TraceEvent::Profile(statement, _) = event {
            let scanned = statement.get_status(StatementStatus::FullscanStep);
            let steps = statement.get_status(StatementStatus::VmStep);
            let sql = statement.sql().into_owned();
            counted.lock().unwrap().insert(sql, (scanned, steps));
        }
    };
    conn.trace_v2(TraceEventCodes::SQLITE_TRACE_PROFILE, Some(profile))
        .unwrap();
    costs
}

#[test]
fn statements_of_a_session_look_at_no_more_rows_after_10_000_sets() {
    use crate::session;
    let folder = tempfile::tempdir().unwrap();
    let collections = [
        Collection::new("workout", Policy::Ask),
        Collection::new("set_log", Policy::ClientWins).child_of("workout", "workout_id"),
        Collection::new("plan", Policy::Ask).sending(crate::collection::Sending::OnComplete),
        Collection::new("plan_set", Policy::ClientWins).child_of("plan", "plan_id"),
    ];
    let collections = Collections::new(collections).unwrap();
    for (sessions, children) in [("workout", "set_log"), ("plan", "plan_set")] {
        let mut db = Db::open(OpenOptions::new(folder.path(), sessions, collections.clone())).unwrap();
        db.write(|write| session::start(write, sessions, children, "s1", "{}"))
            .unwrap();
        let costs = count_costs(&mut db.conn);
        let body = r#"{"weight":75.0,"reps":8}"#;
        let mut steps_of = |from: usize| {
            let before: i32 = costs.lock().unwrap().values().map(|(_, steps)| steps).sum();
            for n in from..from + 20 {
                let (slot, other) = (format!("bench/{n}"), format!("squat/{n}"));
                db.write(|write| {
                    session::log_set(write, sessions, "s1", &slot, body)?;
                    session::log_set(write, sessions, "s1", &slot, r#"{"weight":77.5,"reps":8}"#)?;
                    session::note(write, sessions, "s1", Some("rest"))?;
                    session::log_set(write, sessions, "s1", &other, body)?;
                    session::remove_set(write, sessions, "s1", &other)?;
                    write.read().get(children, &session::set_id("s1", &slot))
                })
                .unwrap();
            }
            let after: i32 = costs.lock().unwrap().values().map(|(_, steps)| steps).sum();
            let mut fill = |to: usize| {
                db.write(|write| {
                    (from + 20..to).try_for_each(|n| {
                        session::log_set(write, sessions, "s1", &format!("bench/{n}"), body).map(|_| ())
                    })
                })
                .unwrap();
            };
            if from == 0 {
                fill(10_000);
            }
            after - before
        };
        let (first, last) = (steps_of(0), steps_of(10_000));
        // The first prunings of an empty history are shorter.
        assert!(
            last <= first + first / 10,
            "{sessions}: {first} steps at first, {last} after 10,000"
        );
        for (sql, (scanned, _)) in costs.lock().unwrap().iter() {
            assert_eq!(*scanned, 0, "{sessions}: scanned by {sql}");
        }
    }
}

#[test]
fn a_panic_in_the_middle_of_a_transaction_undoes_it_and_the_next_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = open(folder.path());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        db.write(|write| -> Result<()> {
            crate::record::put(write, "workout", "half", "{}")?;
            panic!("in the middle")
        })
    }));
    assert!(panicked.is_err());
    db.write(|write| crate::record::put(write, "workout", "next", "{}"))
        .unwrap();
    let there = |id: &str| db.read(|read| read.get("workout", id)).unwrap().is_some();
    assert!(!there("half") && there("next"));
}

#[test]
fn what_is_read_together_is_of_one_moment() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = open(folder.path());
    let pair = |n: u32| [("a".to_owned(), n.to_string()), ("b".to_owned(), n.to_string())];
    db.write(|write| crate::kv::multi_set(write, &pair(1))).unwrap();
    let conn = Db::reader(db.path().unwrap(), None).unwrap();
    let shared = db.shared().clone();
    let read = Read {
        conn: &conn,
        shared: &shared,
    };
    let seen = read.together(|| {
        let first = read.kv_get("a")?;
        db.write(|write| crate::kv::multi_set(write, &pair(2)))?;
        Ok((first, read.kv_get("b")?))
    });
    assert_eq!(seen.unwrap(), (Some("1".to_owned()), Some("1".to_owned())));
    assert_eq!(read.kv_get("b").unwrap().as_deref(), Some("2"));
}
