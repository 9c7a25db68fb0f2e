//! The short way of an arrival ([`arrive`](super::super::flight::arrive)) must come to the same as the long one ([`accept`]). The
//! backend telling the body it stored forces the long way; where that is the body that was sent, nothing
//! else may differ.

use super::*;
use crate::{
    OpenOptions, Place,
    collection::{Collection, Collections, OnRejected},
    conflict::Policy,
    db::Db,
    drain::{Release, Step, carry_out},
    env::Env,
    queue::{self, WriteOutcome},
    remote::{PullPage, PushBatch, RemoteChange},
    settings::Settings,
};
use rusqlite::types::Value;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Time stands still, and chance repeats itself: two devices that do the same are the same.
#[derive(Default)]
struct Still(AtomicU64);

impl Env for Still {
    fn wall_ms(&self) -> i64 {
        1_763_600_000_000
    }

    fn monotonic_ms(&self) -> u64 {
        0
    }

    fn random(&self) -> [u8; 16] {
        // Spread over all the bytes: an id keeps some of them.
        let odd = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835;
        u128::from(self.0.fetch_add(1, Relaxed)).wrapping_mul(odd).to_le_bytes()
    }
}

fn device() -> Db {
    let collections = [
        Collection::new("workout", Policy::LastWriteWins).on_rejected(OnRejected::ParkEntry),
        Collection::new("plan", Policy::Ask),
        Collection::new("set_log", Policy::ClientWins).child_of("workout", "workout_id"),
    ];
    Db::open(OpenOptions {
        place: Place::Memory,
        account: "lifter".to_owned(),
        key: None,
        device_id: Some("device".to_owned()),
        collections: Collections::new(collections).unwrap(),
        settings: Settings::default(),
        resolvers: crate::conflict::Resolvers::default(),
        env: Arc::new(Still::default()),
    })
    .unwrap()
}

fn put(db: &mut Db, id: &str, body: &str) {
    db.write(|write| record::put(write, "workout", id, body)).unwrap();
}

fn seqs(db: &Db) -> Vec<i64> {
    let entries = db.read(|read| read.entries(i64::MIN, 100)).unwrap();
    entries.iter().map(|entry| entry.seq).collect()
}

type Sent = (PushBatch, Flight);

fn send(db: &mut Db, seqs: &[i64]) -> Sent {
    db.write(|write| queue::claim(write, seqs)).unwrap().0
}

/// All of it was taken; the backend tells the bodies it stored, or does not.
fn all_taken(batch: &PushBatch, first_version: i64, told: bool) -> PushAnswer {
    let taken = |(version, item): (i64, &crate::remote::PushItem)| {
        let accepted = Accepted {
            version,
            change: version,
            server_id: Some(format!("server-{}", item.id)),
            body: item.body.clone().filter(|_| told),
            updated_at: Some(1_763_600_005_000),
        };
        (item.op, Outcome::Accepted(accepted))
    };
    PushAnswer {
        results: (first_version..).zip(&batch.items).map(taken).collect(),
        server_time: None,
        epoch: Some("e1".to_owned()),
    }
}

fn settle_with(db: &mut Db, flight: &Flight, answer: &PushAnswer) -> SettleReport {
    db.write(|write| settle(write, flight, answer)).unwrap().0
}

/// Records, queue, journal and conflicts, every column; what may have been sent is marked in `entry`.
fn dump(db: &Db) -> Vec<Vec<Value>> {
    let table = |name: &str| {
        db.read(|read| {
            read.conn.execute(
                "UPDATE entry SET maybe_sent = 1 WHERE seq IN (SELECT seq FROM flight)",
                [],
            )?;
            let mut statement = read.conn.prepare(&format!("SELECT * FROM {name} ORDER BY 1"))?;
            let columns = statement.column_count();
            let rows = statement.query_map([], |row| (0..columns).map(|column| row.get(column)).collect())?;
            Ok(rows.collect::<rusqlite::Result<Vec<Vec<Value>>>>()?)
        })
        .unwrap()
    };
    ["record", "entry", "journal", "conflict"]
        .into_iter()
        .flat_map(table)
        .collect()
}

/// Refused in an earlier flight, while a later write was made: with `ParkEntry` that one goes on alone.
fn behind_a_parked_one(db: &mut Db) -> Sent {
    put(db, "w", r#"{"n":1}"#);
    let (refused, _) = send(db, &[1]);
    put(db, "w", r#"{"n":2}"#);
    let rejection = Rejection {
        seq: 1,
        op: refused.items[0].op,
        code: "validation".to_owned(),
        message: String::new(),
    };
    db.write(|write| park(write, &rejection)).unwrap();
    send(db, &[2])
}

type Story = fn(&mut Db) -> Sent;

const STORIES: [(&str, Story); 9] = [
    ("a creation", |db| {
        put(db, "w", r#"{"n":1}"#);
        send(db, &[1])
    }),
    ("a child with its parent", |db| {
        put(db, "w", r#"{"n":1}"#);
        db.write(|write| record::put(write, "set_log", "s", r#"{"workout_id":"w"}"#))
            .unwrap();
        send(db, &[1, 2])
    }),
    ("two of one record", |db| {
        put(db, "w", r#"{"n":1}"#);
        send(db, &[1]);
        put(db, "w", r#"{"n":2}"#);
        send(db, &[1, 2])
    }),
    ("an edit while it was away", |db| {
        put(db, "w", r#"{"n":1}"#);
        let batch = send(db, &[1]);
        put(db, "w", r#"{"n":2}"#);
        batch
    }),
    ("an edit while it was away, thrown away again", |db| {
        put(db, "w", r#"{"n":1}"#);
        let batch = send(db, &[1]);
        put(db, "w", r#"{"n":2}"#);
        let later = db.read(|read| read.entries(1, 1)).unwrap().remove(0);
        db.write(|write| queue::discard(write, later.op, false)).unwrap();
        batch
    }),
    ("a deletion while it was away", |db| {
        put(db, "w", r#"{"n":1}"#);
        let batch = send(db, &[1]);
        db.write(|write| record::delete(write, "workout", "w")).unwrap();
        batch
    }),
    ("a newer version came while it was away", |db| {
        put(db, "w", r#"{"n":1}"#);
        let batch = send(db, &[1]);
        let version = RemoteVersion {
            body: Some(r#"{"n":9}"#.to_owned()),
            version: 40,
            device_id: "tablet".to_owned(),
            ..RemoteVersion::default()
        };
        let page = PullPage {
            epoch: Some("e1".to_owned()),
            changes: vec![RemoteChange {
                collection: "workout".to_owned(),
                id: "w".to_owned(),
                version,
            }],
            ..PullPage::default()
        };
        db.write(|write| crate::pull::apply(write, &page)).unwrap();
        batch
    }),
    ("a parked write before it", behind_a_parked_one),
    ("a conflict, before a first attempt's late answer", |db| {
        db.write(|write| record::put(write, "plan", "p", r#"{"n":1}"#)).unwrap();
        let sent = send(db, &[1]);
        let theirs = RemoteVersion {
            body: Some(r#"{"n":9}"#.to_owned()),
            version: 3,
            device_id: "tablet".to_owned(),
            ..RemoteVersion::default()
        };
        let met = PushAnswer {
            results: vec![(sent.0.items[0].op, Outcome::Conflict(theirs))],
            server_time: None,
            epoch: Some("e1".to_owned()),
        };
        let report = settle_with(db, &sent.1, &met);
        assert_eq!(report.conflicts, 1);
        sent
    }),
];

#[test]
fn the_short_way_of_an_arrival_comes_to_the_same_as_the_long_one() {
    for (story, play) in STORIES {
        let [short, long] = [false, true].map(|told| {
            let mut db = device();
            let (batch, flight) = play(&mut db);
            let report = settle_with(&mut db, &flight, &all_taken(&batch, 7, told));
            assert_eq!(report.accepted, batch.items.len() as u64, "{story}");
            dump(&db)
        });
        assert_eq!(short, long, "{story}");
    }
}

/// Sent once more it would undo what was made on it.
#[test]
fn a_refused_write_is_superseded_by_the_one_that_passed_it_by_however_that_is_known_to_have_arrived() {
    for pulled in [false, true] {
        let mut db = device();
        let (batch, flight) = behind_a_parked_one(&mut db);
        let refused = db.read(|read| read.entries(i64::MIN, 1)).unwrap().remove(0).op;
        let later = &batch.items[0];
        // Until it is known what became of that one, a tap changes nothing.
        db.write(|write| queue::retry(write, refused)).unwrap();
        assert_eq!(db.write(queue::retry_all).unwrap().0, 0);
        if pulled {
            let version = RemoteVersion {
                body: later.body.clone(),
                version: 1,
                hlc: later.hlc,
                op: Some(later.op),
                ..RemoteVersion::default()
            };
            db.write(|write| conflict::meet(write, "workout", "w", &version, None, Some(1)))
                .unwrap();
        } else {
            settle_with(&mut db, &flight, &all_taken(&batch, 1, false));
        }
        assert_eq!(seqs(&db), [0; 0]);
        let record = db.read(|read| read.get("workout", "w")).unwrap().unwrap();
        assert_eq!(
            (record.state, record.body.as_deref()),
            (record::RecordState::Synced, Some(r#"{"n":2}"#))
        );
        let outcome = db.read(|read| read.outcome(refused)).unwrap();
        assert_eq!(outcome, WriteOutcome::Superseded { by: later.op });
    }
}

/// The version that an operation of this device made was pulled.
fn pulled(db: &mut Db, op: Uuid, body: &str, number: i64) {
    let version = RemoteVersion {
        body: Some(body.to_owned()),
        version: number,
        op: Some(op),
        ..RemoteVersion::default()
    };
    db.write(|write| conflict::meet(write, "workout", "w", &version, None, Some(1)))
        .unwrap();
}

#[test]
fn a_pulled_version_of_our_own_takes_what_went_before_it_along() {
    let mut db = device();
    put(&mut db, "w", r#"{"n":1}"#);
    send(&mut db, &[1]);
    put(&mut db, "w", r#"{"n":2}"#);
    let (batch, _) = send(&mut db, &[1, 2]);
    pulled(&mut db, batch.items[1].op, r#"{"n":2}"#, 2);
    assert_eq!(seqs(&db), [0; 0]);
}

#[test]
fn a_refused_write_whose_version_is_pulled_all_the_same_has_arrived() {
    let mut db = device();
    put(&mut db, "w", r#"{"n":1}"#);
    let (batch, _) = send(&mut db, &[1]);
    let op = batch.items[0].op;
    let rejection = Rejection {
        seq: 1,
        op,
        code: "validation".to_owned(),
        message: String::new(),
    };
    db.write(|write| park(write, &rejection)).unwrap();
    pulled(&mut db, op, r#"{"n":1}"#, 1);
    assert_eq!(seqs(&db), [0; 0]);
}

#[test]
fn a_refused_completion_holds_what_follows() {
    let mut db = device();
    put(&mut db, "w", r#"{"n":1}"#);
    db.write(|write| {
        let sql = "UPDATE entry SET kind = 'complete' WHERE seq = 1";
        Ok(write.conn.execute(sql, [])?)
    })
    .unwrap();
    let (refused, _) = send(&mut db, &[1]);
    put(&mut db, "w", r#"{"n":2}"#);
    let rejection = Rejection {
        seq: 1,
        op: refused.items[0].op,
        code: "validation".to_owned(),
        message: String::new(),
    };
    db.write(|write| park(write, &rejection)).unwrap();
    assert!(send(&mut db, &[2]).0.items.is_empty());
}

#[test]
fn an_answer_to_an_operation_that_is_not_there_any_more_settles_nothing() {
    let mut db = device();
    put(&mut db, "w", r#"{"n":1}"#);
    let (mut batch, mut flight) = send(&mut db, &[1]);
    let before = dump(&db);
    batch.items[0].op = Uuid::from_u128(1);
    flight.items[0].1 = Uuid::from_u128(1);
    let report = settle_with(&mut db, &flight, &all_taken(&batch, 1, false));
    assert_eq!(report.accepted, 0);
    assert_eq!(dump(&db), before);
}

fn in_flight(db: &Db) -> Vec<i64> {
    db.read(|read| {
        let mut statement = read.conn.prepare("SELECT seq FROM flight ORDER BY seq")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    })
    .unwrap()
}

#[test]
fn what_is_answered_is_no_longer_in_flight_and_what_stays_keeps_the_mark() {
    let mut db = device();
    for id in ["a", "b", "c"] {
        put(&mut db, id, r#"{"n":1}"#);
    }
    let (batch, flight) = send(&mut db, &[1, 2]);
    assert_eq!(in_flight(&db), [1, 2]);
    // The process may die here: what may have left is known all the same.
    let sent = |db: &Db| -> Vec<bool> {
        let entries = db.read(|read| read.entries(i64::MIN, 100)).unwrap();
        entries.iter().map(|entry| entry.maybe_sent).collect()
    };
    assert_eq!(sent(&db), [true, true, false]);
    let mut answer = all_taken(&batch, 1, false);
    answer.results.truncate(1);
    settle_with(&mut db, &flight, &answer);
    assert_eq!(in_flight(&db), [] as [i64; 0]);
    assert_eq!((seqs(&db), sent(&db)), (vec![2, 3], vec![true, false]));
}

#[test]
fn an_entry_that_goes_on_under_a_fresh_id_has_certainly_not_left() {
    let mut db = device();
    db.write(|write| record::put(write, "set_log", "s", r#"{"workout_id":"w"}"#))
        .unwrap();
    let (batch, flight) = send(&mut db, &[1]);
    let theirs = RemoteVersion {
        body: Some(r#"{"workout_id":"w","n":9}"#.to_owned()),
        version: 3,
        device_id: "tablet".to_owned(),
        ..RemoteVersion::default()
    };
    let met = PushAnswer {
        results: vec![(batch.items[0].op, Outcome::Conflict(theirs))],
        server_time: None,
        epoch: Some("e1".to_owned()),
    };
    settle_with(&mut db, &flight, &met);
    let entry = db.read(|read| read.entries(i64::MIN, 1)).unwrap().remove(0);
    assert_ne!(entry.op, batch.items[0].op);
    assert!(!entry.maybe_sent);
}

/// 120 records, of which every tenth has a second write, all of it in one batch.
fn many(db: &mut Db) -> Sent {
    for n in 0..120 {
        put(db, &format!("w{n}"), r#"{"n":1}"#);
        if n % 10 == 0 {
            // Sent, so that the next is no part of it.
            send(db, &[*seqs_of_all(db).last().unwrap()]);
            put(db, &format!("w{n}"), r#"{"n":2}"#);
        }
    }
    let all = seqs_of_all(db);
    send(db, &all)
}

fn seqs_of_all(db: &Db) -> Vec<i64> {
    let entries = db.read(|read| read.entries(i64::MIN, 1_000)).unwrap();
    entries.iter().map(|entry| entry.seq).collect()
}

#[test]
fn a_whole_batch_comes_to_the_same_by_the_short_way_as_by_the_long_one() {
    // As one server counts, as another that commits them one by one between others' writes, and unknown.
    let counts: [fn(i64) -> i64; 3] = [|n| n, |n| n * n, |_| 0];
    for change in counts {
        let [short, long] = [false, true].map(|told| {
            let mut db = device();
            let (batch, flight) = many(&mut db);
            let mut answer = all_taken(&batch, 7, told);
            for (n, ((_, outcome), item)) in (1_i64..).zip(answer.results.iter_mut().zip(&batch.items)) {
                if let Outcome::Accepted(accepted) = outcome {
                    accepted.change = change(n);
                    accepted.version = 7 + n / 50 * 10 + i64::from(item.base_op.is_some());
                }
            }
            let report = settle_with(&mut db, &flight, &answer);
            assert_eq!(report.accepted, 132);
            dump(&db)
        });
        assert_eq!(short, long);
    }
}

#[test]
fn one_that_is_not_there_any_more_keeps_no_other_of_its_batch_from_arriving() {
    let mut db = device();
    let (batch, flight) = many(&mut db);
    db.write(|write| Ok(write.conn.execute("DELETE FROM entry WHERE seq = 60", [])?))
        .unwrap();
    let report = settle_with(&mut db, &flight, &all_taken(&batch, 7, false));
    assert_eq!(report.accepted, 131);
    assert_eq!(seqs_of_all(&db), [] as [i64; 0]);
    assert_eq!(in_flight(&db), [] as [i64; 0]);
    let journal = "SELECT count(*), count(DISTINCT op), sum(n = 60) FROM journal";
    let told: (i64, i64, i64) = db
        .read(|read| {
            Ok(read
                .conn
                .query_row(journal, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?)
        })
        .unwrap();
    assert_eq!(told, (131, 131, 0));
}

#[test]
fn what_an_entry_was_chained_on_is_known_while_it_is_away_and_afterwards() {
    let mut db = device();
    put(&mut db, "w", r#"{"n":1}"#);
    let (first, _) = send(&mut db, &[1]);
    put(&mut db, "w", r#"{"n":2}"#);
    let (batch, flight) = send(&mut db, &[1, 2]);
    let before = Some(first.items[0].op);
    assert_eq!(batch.items[1].base_op, before);
    let chained_on = |db: &Db| db.read(|read| head_at(read.conn, 2)).unwrap().unwrap().base_op;
    // The process may die here.
    assert_eq!(chained_on(&db), before);
    assert_eq!(send(&mut db, &[1, 2]).0.items[1].base_op, before);
    let mut answer = all_taken(&batch, 1, false);
    answer.results.truncate(1);
    let report = settle_with(&mut db, &flight, &answer);
    assert_eq!((report.accepted, report.postponed), (1, vec![2]));
    assert_eq!(in_flight(&db), [] as [i64; 0]);
    assert_eq!(chained_on(&db), before);
}

#[test]
fn what_is_written_of_an_entry_that_is_away_stands_against_what_it_went_out_with() {
    let mut db = device();
    put(&mut db, "w", r#"{"n":1}"#);
    send(&mut db, &[1]);
    put(&mut db, "w", r#"{"n":2}"#);
    send(&mut db, &[1, 2]);
    let rebased = |write: &mut Write<'_>| {
        let mut head = head_at(write.conn, 2)?.unwrap();
        head.base_op = None;
        head.store(write)?;
        head_at(write.conn, 2)
    };
    let head = db.write(rebased).unwrap().0.unwrap();
    assert_eq!((head.base_op, head.maybe_sent), (None, true));
    assert_eq!(in_flight(&db), [1]);
}

#[test]
fn what_was_not_taken_stays_between_what_was_and_the_queue_is_told() {
    let mut db = device();
    for id in ["a", "b", "c"] {
        put(&mut db, id, r#"{"n":1}"#);
    }
    let (batch, flight) = send(&mut db, &[1, 2, 3]);
    let mut answer = all_taken(&batch, 1, false);
    answer.results[1].1 = Outcome::Retry { after_ms: None };
    settle_with(&mut db, &flight, &answer);
    assert_eq!(seqs(&db), [2]);

    let mut db = device();
    put(&mut db, "a", r#"{"n":1}"#);
    let (batch, flight) = send(&mut db, &[1]);
    let answer = all_taken(&batch, 1, false);
    let (report, changes) = db.write(|write| settle(write, &flight, &answer)).unwrap();
    assert!(changes.queue && !report.other_epoch);
    // The same epoch again is no other one.
    put(&mut db, "a", r#"{"n":2}"#);
    let (batch, flight) = send(&mut db, &[2]);
    let report = settle_with(&mut db, &flight, &all_taken(&batch, 2, false));
    assert_eq!((report.accepted, report.other_epoch), (1, false));
}

#[test]
fn in_one_generation_an_older_version_is_not_believed_after_a_newer_one() {
    let mut db = device();
    for (number, n) in [(2, 2), (1, 1)] {
        pulled(&mut db, Uuid::from_u128(9), &format!(r#"{{"n":{n}}}"#), number);
    }
    let record = db.read(|read| read.get("workout", "w")).unwrap().unwrap();
    assert_eq!(record.body.as_deref(), Some(r#"{"n":2}"#));
}

#[test]
fn a_refused_write_goes_again_before_a_later_one_that_has_not_left() {
    let mut db = device();
    put(&mut db, "w", r#"{"n":1}"#);
    let (batch, flight) = send(&mut db, &[1]);
    put(&mut db, "w", r#"{"n":2}"#);
    let refused = Outcome::Rejected {
        code: "validation".to_owned(),
        message: String::new(),
    };
    let answer = PushAnswer {
        results: vec![(batch.items[0].op, refused)],
        server_time: None,
        epoch: Some("e1".to_owned()),
    };
    let report = settle_with(&mut db, &flight, &answer);
    db.write(|write| park(write, &report.rejected[0])).unwrap();
    db.write(|write| queue::retry(write, batch.items[0].op)).unwrap();
    assert_eq!(send(&mut db, &[1, 2]).0.items.len(), 2);
}

#[test]
fn who_watches_the_queue_hears_of_what_is_freed_and_of_nothing_else() {
    let mut db = device();
    put(&mut db, "w", r#"{"n":1}"#);
    let (_, flight) = send(&mut db, &[1]);
    settle_with(&mut db, &flight, &PushAnswer::default());
    let heard = [(); 2].map(|()| {
        let release = Step::Release(Release::Unanswered(vec![1]));
        carry_out(&mut db, release).1.queue
    });
    assert_eq!(heard, [true, false]);
}
