//! The queue's rules at its own level: a file in memory, a clock that is moved by hand, no drain.

use super::*;
use crate::{
    OpenOptions, Place,
    change::Changes,
    collection::{Collection, Collections, OnRejected, Sending},
    conflict::Policy,
    db::Db,
    env::Env,
    record::{self, RecordState},
    remote::{Accepted, Outcome, PushAnswer, PushBatch, RemoteVersion},
    session,
    settings::Settings,
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

pub(crate) const START: i64 = 1_763_600_000_000;

#[derive(Default)]
pub(crate) struct Moved {
    ms: AtomicU64,
    chance: AtomicU64,
}

impl Moved {
    pub(crate) fn pass(&self, ms: u64) {
        self.ms.fetch_add(ms, Relaxed);
    }
}

impl Env for Moved {
    fn wall_ms(&self) -> i64 {
        START + self.ms.load(Relaxed) as i64
    }

    fn monotonic_ms(&self) -> u64 {
        self.ms.load(Relaxed)
    }

    fn random(&self) -> [u8; 16] {
        u128::from(self.chance.fetch_add(1, Relaxed)).to_le_bytes()
    }
}

/// A file in memory, and its clock.
pub(crate) fn device(settings: Settings) -> (Db, Arc<Moved>) {
    let collections = [
        Collection::new("workout", Policy::Ask),
        Collection::new("set_log", Policy::ClientWins).child_of("workout", "workout_id"),
        Collection::new("stat", Policy::LastWriteWins).on_rejected(OnRejected::ParkEntry),
        Collection::new("plan", Policy::Ask).sending(Sending::OnComplete),
        Collection::new("task", Policy::Ask).without_deletes(),
        Collection::new("plan_set", Policy::ClientWins).child_of("plan", "plan_id"),
    ];
    let env = Arc::new(Moved::default());
    let db = Db::open(OpenOptions {
        place: Place::Memory,
        account: "lifter".to_owned(),
        key: None,
        device_id: Some("device".to_owned()),
        collections: Collections::new(collections).unwrap(),
        settings: Settings {
            jitter: 0.0,
            ..settings
        },
        resolvers: crate::conflict::Resolvers::default(),
        env: env.clone(),
    });
    (db.unwrap(), env)
}

pub(crate) fn put(db: &mut Db, collection: &str, id: &str, body: &str) -> (Uuid, Changes) {
    let (written, changes) = db.write(|write| record::put(write, collection, id, body)).unwrap();
    (written.op.unwrap(), changes)
}

fn delete(db: &mut Db, collection: &str, id: &str) -> Uuid {
    let (written, _) = db.write(|write| record::delete(write, collection, id)).unwrap();
    written.op.unwrap()
}

pub(crate) fn entries(db: &Db) -> Vec<Entry> {
    db.read(|read| read.entries(i64::MIN, 1_000)).unwrap()
}

fn entry(db: &Db, op: Uuid) -> Entry {
    db.read(|read| read.entry(op)).unwrap()
}

pub(crate) fn send(db: &mut Db, seqs: &[i64]) -> (PushBatch, Flight) {
    db.write(|write| claim(write, seqs)).unwrap().0
}

pub(crate) fn answer(db: &mut Db, sent: &(PushBatch, Flight), outcome: &Outcome) -> SettleReport {
    let results = sent.0.items.iter().map(|item| (item.op, outcome.clone())).collect();
    let answer = PushAnswer {
        results,
        server_time: None,
        epoch: Some("e1".to_owned()),
    };
    db.write(|write| settle(write, &sent.1, &answer)).unwrap().0
}

pub(crate) fn accepted(version: i64) -> Outcome {
    Outcome::Accepted(Accepted {
        version,
        change: version,
        server_id: Some("at-the-server".to_owned()),
        ..Accepted::default()
    })
}

/// Sent and taken: the record is confirmed, with nothing unsent.
fn arrived(db: &mut Db, collection: &str, id: &str, version: i64) {
    let (op, _) = put(db, collection, id, r#"{"n":0}"#);
    let sent = send(db, &[entry(db, op).seq]);
    assert_eq!(answer(db, &sent, &accepted(version)).accepted, 1);
}

pub(crate) fn refuse(db: &mut Db, seq: i64, op: Uuid) {
    let rejection = Rejection {
        seq,
        op,
        code: "validation".to_owned(),
        message: "reps must be positive".to_owned(),
    };
    assert!(db.write(|write| park(write, &rejection)).unwrap().0);
}

/// Two writes of a record, of which the first may have left.
fn two_of(db: &mut Db, collection: &str) -> [(i64, Uuid); 2] {
    let (first, _) = put(db, collection, "r", r#"{"n":1}"#);
    send(db, &[1]);
    let (second, _) = put(db, collection, "r", r#"{"n":2}"#);
    [(1, first), (2, second)]
}

fn state_of(db: &Db, collection: &str, id: &str) -> Option<RecordState> {
    let record = db.read(|read| read.get(collection, id)).unwrap();
    record.map(|record| record.state)
}

#[test]
fn words_of_the_queue_are_stable() {
    let states = [
        EntryState::Waiting,
        EntryState::Held,
        EntryState::Conflict,
        EntryState::Parked,
    ];
    assert_eq!(
        states.map(EntryState::as_str),
        ["waiting", "held", "conflict", "parked"]
    );
    assert_eq!([0, 1, 2, 3, 9].map(EntryState::from_i64)[..4], states);
    assert_eq!(
        EntryState::from_i64(9),
        EntryState::Parked,
        "of a newer app: it does not go"
    );
}

#[test]
fn a_reason_shows_its_code_and_not_what_the_backend_quotes() {
    let reason = Reason {
        code: "validation".to_owned(),
        message: "{\"weight\":100} is wrong".to_owned(),
    };
    assert_eq!(format!("{reason:?}"), "Reason(validation)");
}

#[test]
fn only_deletions_and_changes_of_state_follow_the_children() {
    for (kind, changes_state, follows) in [
        (Kind::Create, false, false),
        (Kind::Update, false, false),
        (Kind::Delete, false, true),
        (Kind::Complete, true, true),
        (Kind::Skip, true, true),
    ] {
        assert_eq!(
            (kind.changes_state(), kind.follows_children()),
            (changes_state, follows),
            "{kind:?}"
        );
    }
}

#[test]
fn the_total_counts_each_entry_once() {
    let counts = QueueCounts {
        waiting: 1,
        exhausted: 1,
        held: 10,
        conflict: 100,
        parked: 1_000,
    };
    assert_eq!(counts.total(), 1_111);
}

#[test]
fn counts_are_of_every_entry_in_its_state() {
    let (mut db, _) = device(Settings {
        retry_schedule_ms: Vec::new(),
        ..Settings::default()
    });
    for id in ["a", "b", "c", "d", "e", "f"] {
        put(&mut db, "stat", id, "{}");
    }
    db.write(|write| session::start(write, "plan", "plan_set", "p", "{}"))
        .unwrap();
    db.write(|write| session::log_set(write, "plan", "p", "1", "{}"))
        .unwrap();
    for at in [1, 2] {
        let op = entries(&db)[at].op;
        refuse(&mut db, at as i64 + 1, op);
    }
    let sent = send(&mut db, &[4, 5]);
    answer(&mut db, &sent, &Outcome::Retry { after_ms: None });
    let counts = db.read(|read| read.queue_counts()).unwrap();
    let expected = QueueCounts {
        waiting: 4,
        exhausted: 2,
        held: 2,
        conflict: 0,
        parked: 2,
    };
    assert_eq!(counts, expected);
}

#[test]
fn a_write_says_whether_something_can_go_out_now() {
    let (mut db, _) = device(Settings::default());
    assert!(put(&mut db, "workout", "w", "{}").1.sendable, "a new entry");
    assert!(put(&mut db, "workout", "w", r#"{"n":1}"#).1.sendable, "folded into it");
    let start = |write: &mut Write<'_>| session::start(write, "plan", "plan_set", "p", "{}");
    let log = |write: &mut Write<'_>| session::log_set(write, "plan", "p", "1", "{}");
    assert!(!db.write(start).unwrap().1.sendable, "held until its session is done");
    assert!(!db.write(log).unwrap().1.sendable);
    assert!(!db.write(log).unwrap().1.sendable, "folded into what is held");
    let both = |write: &mut Write<'_>| {
        record::put(write, "workout", "x", "{}")?;
        session::log_set(write, "plan", "p", "2", "{}")?;
        session::log_set(write, "plan", "p", "2", "{}")
    };
    assert!(db.write(both).unwrap().1.sendable, "one of several is enough");
}

#[test]
fn what_is_held_or_not_due_is_not_claimed() {
    let (mut db, env) = device(Settings::default());
    db.write(|write| session::start(write, "plan", "plan_set", "p", "{}"))
        .unwrap();
    put(&mut db, "workout", "w", "{}");
    assert_eq!(send(&mut db, &[1]).1.items, [], "held");
    let sent = send(&mut db, &[2]);
    answer(&mut db, &sent, &Outcome::Retry { after_ms: Some(40_000) });
    env.pass(39_999);
    assert_eq!(send(&mut db, &[2]).1.items, [], "not yet due");
    env.pass(1);
    assert_eq!(send(&mut db, &[2]).1.items.len(), 1, "at its time it goes");
}

#[test]
fn an_update_tells_the_id_the_server_gave_and_a_creation_has_none() {
    let (mut db, _) = device(Settings::default());
    arrived(&mut db, "workout", "w", 1);
    put(&mut db, "workout", "w", r#"{"n":1}"#);
    put(&mut db, "workout", "x", r#"{"n":2}"#);
    let (batch, _) = send(&mut db, &[2, 3]);
    let ids: Vec<_> = batch.items.iter().map(|item| item.server_id.as_deref()).collect();
    assert_eq!(ids, [Some("at-the-server"), None]);
    assert_eq!(batch.items[0].body.as_deref(), Some(r#"{"n":1}"#));
}

#[test]
fn only_a_refused_write_of_a_collection_that_parks_entries_is_passed_by() {
    for (collection, refused, passes) in [
        ("stat", true, true),
        ("stat", false, false),
        ("workout", true, false),
        ("workout", false, false),
    ] {
        let (mut db, _) = device(Settings::default());
        let [(_, first), _] = two_of(&mut db, collection);
        if refused {
            refuse(&mut db, 1, first);
        }
        let claimed = send(&mut db, &[2]).1.items.len();
        assert_eq!(claimed == 1, passes, "{collection}, refused: {refused}");
    }
}

#[test]
fn records_that_go_whole_are_told_and_deletions_are_not_among_them() {
    let (mut db, _) = device(Settings::default());
    arrived(&mut db, "workout", "gone", 1);
    put(&mut db, "workout", "one", r#"{"n":1}"#);
    put(&mut db, "workout", "two", r#"{"n":1}"#);
    send(&mut db, &[3]);
    put(&mut db, "workout", "two", r#"{"nn":22}"#);
    delete(&mut db, "workout", "gone");
    put(&mut db, "workout", "part", r#"{"n":1}"#);
    send(&mut db, &[6]);
    put(&mut db, "workout", "part", r#"{"n":2}"#);
    let (batch, flight) = send(&mut db, &[2, 3, 4, 5, 6]);
    let mut whole = flight.whole.to_vec();
    whole.sort_by_key(|one| one.seqs[0]);
    let told: Vec<_> = whole
        .iter()
        .map(|one| (one.id.as_str(), &one.seqs[..], one.bytes))
        .collect();
    assert_eq!(told, [("one", &[2][..], 7), ("two", &[3, 4][..], 16)]);
    assert_eq!(whole[1].hlc, batch.items[2].hlc, "the last one's clock");
}

#[test]
fn only_what_was_taken_as_it_was_sent_arrives_the_short_way() {
    let taken = Accepted {
        version: 5,
        change: 5,
        ..Accepted::default()
    };
    let table = [
        (
            "as it was sent",
            Some(Outcome::Accepted(taken.clone())),
            Some("e1"),
            true,
        ),
        (
            "without a version",
            Some(Outcome::Accepted(Accepted {
                version: 0,
                ..taken.clone()
            })),
            Some("e1"),
            false,
        ),
        (
            "with another body",
            Some(Outcome::Accepted(Accepted {
                body: Some(r#"{"n":9}"#.to_owned()),
                ..taken.clone()
            })),
            Some("e1"),
            false,
        ),
        ("not taken", Some(Outcome::Retry { after_ms: None }), Some("e1"), false),
        ("not answered", None, Some("e1"), false),
        ("without an epoch", Some(Outcome::Accepted(taken)), None, false),
    ];
    for (what, outcome, epoch, short) in table {
        let (mut db, _) = device(Settings::default());
        let (op, _) = put(&mut db, "workout", "w", r#"{"n":1}"#);
        let (_, flight) = send(&mut db, &[1]);
        let results = outcome.iter().map(|outcome| (op, outcome)).collect();
        let (arrived, _) = db
            .write(|write| flight::arrive(write, &flight, &results, epoch))
            .unwrap();
        assert_eq!(arrived.contains(&1), short, "{what}");
    }
}

#[test]
fn what_was_written_since_does_not_arrive_the_short_way() {
    let (mut db, _) = device(Settings::default());
    let (op, _) = put(&mut db, "workout", "w", r#"{"n":1}"#);
    let (_, flight) = send(&mut db, &[1]);
    put(&mut db, "workout", "w", r#"{"n":2}"#);
    let outcome = accepted(5);
    let results = std::collections::HashMap::from([(op, &outcome)]);
    let (arrived, _) = db
        .write(|write| flight::arrive(write, &flight, &results, Some("e1")))
        .unwrap();
    assert_eq!(arrived.len(), 0);
}

#[test]
fn every_arrival_is_counted_whichever_way_it_goes() {
    let (mut db, _) = device(Settings::default());
    for id in ["a", "b", "c"] {
        put(&mut db, "workout", id, "{}");
    }
    let sent = send(&mut db, &[1, 2, 3]);
    assert_eq!(answer(&mut db, &sent, &accepted(5)).accepted, 3);
    assert!(entries(&db).is_empty());
}

#[test]
fn an_arrival_without_a_version_counts_on_from_the_known_one() {
    let (mut db, _) = device(Settings::default());
    arrived(&mut db, "workout", "w", 7);
    put(&mut db, "workout", "w", r#"{"n":1}"#);
    let sent = send(&mut db, &[2]);
    answer(&mut db, &sent, &accepted(0));
    let record = db.read(|read| read.get("workout", "w")).unwrap().unwrap();
    assert_eq!((record.version, record.state), (8, RecordState::Synced));
}

fn theirs(version: i64, body: &str) -> RemoteVersion {
    RemoteVersion {
        body: Some(body.to_owned()),
        version,
        device_id: "tablet".to_owned(),
        ..RemoteVersion::default()
    }
}

#[test]
fn a_late_acceptance_of_what_is_in_conflict_closes_the_conflict() {
    let (mut db, _) = device(Settings::default());
    put(&mut db, "workout", "w", r#"{"n":1}"#);
    let sent = send(&mut db, &[1]);
    answer(&mut db, &sent, &Outcome::Conflict(theirs(3, r#"{"n":9}"#)));
    assert_eq!(db.read(|read| read.conflicts()).unwrap().len(), 1);
    answer(&mut db, &sent, &accepted(4));
    assert_eq!(db.read(|read| read.conflicts()).unwrap(), []);
    assert_eq!(state_of(&db, "workout", "w"), Some(RecordState::Synced));
}

#[test]
fn what_follows_an_arrival_stands_on_the_record_unless_a_newer_version_came_meanwhile() {
    for (pulled, expected) in [
        (4, Base::Visible),
        (5, Base::Visible),
        (6, Base::Body(r#"{"n":1}"#.to_owned())),
    ] {
        let (mut db, _) = device(Settings::default());
        let (op, _) = put(&mut db, "workout", "w", r#"{"n":1}"#);
        let sent = send(&mut db, &[1]);
        put(&mut db, "workout", "w", r#"{"n":2}"#);
        let raise = |write: &mut Write<'_>| {
            // As a pull does that meets nothing to settle.
            let sql = "UPDATE record SET version = ?1, base = 2, base_body = '{\"n\":1}', base_hlc = hlc, base_device = 'pulled'";
            Ok(write.conn.execute(sql, [pulled])?)
        };
        db.write(raise).unwrap();
        answer(&mut db, &sent, &accepted(5));
        let heads = db.read(|read| heads_of(read.conn, "workout", "w", "w")).unwrap();
        let row = db
            .read(|read| record::find(read.conn, "workout", "w"))
            .unwrap()
            .unwrap();
        let taken = if pulled < 5 { "device" } else { "pulled" };
        assert_eq!(row.base_device.as_deref(), Some(taken), "pulled {pulled}, answered 5");
        assert_eq!(heads[0].base, expected, "pulled {pulled}, answered 5");
        assert_eq!((heads[0].base_version, heads[0].base_id), (5, Some(op)));
    }
}

#[test]
fn a_conflict_with_ones_own_write_is_an_arrival() {
    let (mut db, _) = device(Settings::default());
    let (op, _) = put(&mut db, "workout", "w", r#"{"n":1}"#);
    let sent = send(&mut db, &[1]);
    let own = RemoteVersion {
        op: Some(op),
        ..theirs(3, r#"{"n":1}"#)
    };
    let report = answer(&mut db, &sent, &Outcome::Conflict(own));
    assert_eq!((report.accepted, report.conflicts), (1, 0));
    assert_eq!(state_of(&db, "workout", "w"), Some(RecordState::Synced));
}

#[test]
fn a_write_blocked_by_what_nobody_has_uses_an_attempt_and_may_use_up_its_schedule() {
    for (schedule, gave_up) in [(Vec::new(), 1), (vec![1_000], 0)] {
        let (mut db, _) = device(Settings {
            retry_schedule_ms: schedule,
            ..Settings::default()
        });
        let (op, _) = put(&mut db, "workout", "w", "{}");
        let sent = send(&mut db, &[1]);
        let report = answer(&mut db, &sent, &Outcome::Blocked);
        assert_eq!((report.gave_up, report.postponed), (gave_up, vec![1]));
        assert_ne!(entries(&db)[0].op, op, "it goes on as another operation");
    }
}

#[test]
fn a_write_that_goes_on_from_what_the_backend_has_begins_its_schedule_anew() {
    let (mut db, _) = device(Settings::default());
    put(&mut db, "workout", "w", "{}");
    let used_up = |write: &mut Write<'_>| Ok(write.conn.execute("UPDATE entry SET attempts = 9", [])?);
    db.write(used_up).unwrap();
    let sent = send(&mut db, &[1]);
    let report = answer(&mut db, &sent, &Outcome::Blocked);
    assert_eq!((report.gave_up, entries(&db)[0].attempts), (0, 1));
}

#[test]
fn only_a_deletion_that_finds_nothing_has_arrived_by_being_refused() {
    for (deletes, code, arrives) in [
        (true, "not_found", true),
        (true, "validation", false),
        (false, "not_found", false),
        (false, "validation", false),
    ] {
        let (mut db, _) = device(Settings::default());
        arrived(&mut db, "workout", "w", 1);
        if deletes {
            delete(&mut db, "workout", "w");
        } else {
            put(&mut db, "workout", "w", r#"{"n":1}"#);
        }
        let sent = send(&mut db, &[2]);
        let refused = Outcome::Rejected {
            code: code.to_owned(),
            message: String::new(),
        };
        let report = answer(&mut db, &sent, &refused);
        let expected = if arrives { (1, 0) } else { (0, 1) };
        assert_eq!(
            (report.accepted, report.rejected.len() as u64),
            expected,
            "{deletes} {code}"
        );
    }
}

#[test]
fn editing_a_refused_write_renews_what_went_out_chained_on_it_and_nothing_else() {
    let (mut db, _) = device(Settings::default());
    put(&mut db, "workout", "r", r#"{"n":1}"#);
    send(&mut db, &[1]);
    put(&mut db, "workout", "r", r#"{"n":2}"#);
    send(&mut db, &[1, 2]);
    put(&mut db, "workout", "r", r#"{"n":3}"#);
    send(&mut db, &[1, 2, 3]);
    put(&mut db, "workout", "r", r#"{"n":4}"#);
    let before = entries(&db);
    refuse(&mut db, 2, before[1].op);
    db.write(|write| edit(write, before[1].op, r#"{"n":5}"#)).unwrap();
    let after = entries(&db);
    let renewed: Vec<bool> = before
        .iter()
        .zip(&after)
        .map(|(before, after)| before.op != after.op)
        .collect();
    assert_eq!(renewed, [false, true, true, false]);
    assert_eq!(after[2].replaces, Some(before[2].op));
    let sent: Vec<bool> = after.iter().map(|entry| entry.maybe_sent).collect();
    assert_eq!(sent, [true, false, false, false]);
}

#[test]
fn a_retry_frees_what_is_refused_and_its_record_is_pending_again() {
    let (mut db, _) = device(Settings::default());
    let (op, _) = put(&mut db, "workout", "w", "{}");
    refuse(&mut db, 1, op);
    assert_eq!(state_of(&db, "workout", "w"), Some(RecordState::Parked));
    let ((), changes) = db.write(|write| retry(write, op)).unwrap();
    assert!(changes.sendable);
    assert_eq!(entries(&db)[0].state, EntryState::Waiting);
    assert_eq!(state_of(&db, "workout", "w"), Some(RecordState::Pending));
}

#[test]
fn retrying_all_frees_what_is_refused_or_waits_and_says_how_many() {
    let (mut db, _) = device(Settings::default());
    for id in ["refused", "later", "now"] {
        put(&mut db, "workout", id, "{}");
    }
    db.write(|write| session::start(write, "plan", "plan_set", "held", "{}"))
        .unwrap();
    let op = entries(&db)[0].op;
    refuse(&mut db, 1, op);
    let sent = send(&mut db, &[2]);
    answer(&mut db, &sent, &Outcome::Retry { after_ms: None });
    assert_eq!(db.write(retry_all).unwrap().0, 2);
    let left: Vec<_> = entries(&db)
        .into_iter()
        .map(|entry| (entry.state, entry.attempts, entry.next_attempt_at, entry.reason))
        .collect();
    let free = (EntryState::Waiting, 0, None, None);
    assert_eq!(left[..3], [free.clone(), free.clone(), free]);
    assert_eq!(left[3].0, EntryState::Held);
    assert_eq!(state_of(&db, "workout", "refused"), Some(RecordState::Pending));
    assert_eq!(db.write(retry_all).unwrap().0, 0);
}

#[test]
fn an_export_goes_on_past_a_page_and_past_what_only_a_newer_app_knows() {
    let (mut db, _) = device(Settings::default());
    let fill = |write: &mut Write<'_>| {
        for id in 0..502 {
            record::put(write, "stat", &format!("s{id}"), "{}")?;
        }
        Ok(write
            .conn
            .execute("UPDATE entry SET kind = 'increment' WHERE seq = 3", [])?)
    };
    db.write(fill).unwrap();
    let lines = db.read(export).unwrap();
    assert_eq!(lines.lines().count(), 501);
    assert_eq!(
        db.read(|read| read.entries(i64::MIN, 4)).unwrap().len(),
        4,
        "a full page"
    );
}

#[test]
fn a_rollback_takes_later_writes_along_unless_they_pass_the_refused_one_by() {
    for (collection, refused, alone) in [
        ("stat", true, true),
        ("stat", false, false),
        ("workout", true, false),
        ("workout", false, false),
    ] {
        let (mut db, _) = device(Settings::default());
        arrived(&mut db, collection, "r", 1);
        let (first, _) = put(&mut db, collection, "r", r#"{"n":1}"#);
        send(&mut db, &[2]);
        put(&mut db, collection, "r", r#"{"n":2}"#);
        if refused {
            refuse(&mut db, 2, first);
        }
        let done = db.write(|write| rollback(write, first, false));
        assert_eq!(done.is_ok(), alone, "{collection}, refused: {refused}");
        let left = if alone { 1 } else { 2 };
        assert_eq!(entries(&db).len(), left, "{collection}, refused: {refused}");
    }
}

#[test]
fn children_go_only_with_the_creation_of_a_parent_that_the_server_does_not_have() {
    // The creation is in conflict: the server has a workout of this id.
    let (mut db, _) = device(Settings::default());
    let (op, _) = put(&mut db, "workout", "w", r#"{"n":1}"#);
    let sent = send(&mut db, &[1]);
    put(&mut db, "set_log", "s", r#"{"workout_id":"w"}"#);
    answer(&mut db, &sent, &Outcome::Conflict(theirs(3, r#"{"n":9}"#)));
    assert_eq!(
        db.write(|write| rollback(write, op, false)).unwrap().0,
        Rollback::Done(1)
    );
    assert_eq!(entries(&db).len(), 1, "the set stays");

    // An edit of a workout that the server does not have yet.
    let (mut db, _) = device(Settings::default());
    let [_, (_, second)] = two_of(&mut db, "workout");
    put(&mut db, "set_log", "s", r#"{"workout_id":"r"}"#);
    assert_eq!(
        db.write(|write| rollback(write, second, false)).unwrap().0,
        Rollback::Done(1)
    );
    assert_eq!(entries(&db).len(), 2, "the creation and the set stay");
}

#[test]
fn what_passed_by_and_may_have_been_sent_is_not_rolled_back_with_what_has_not_left() {
    let (mut db, _) = device(Settings::default());
    let [(_, first), _] = two_of(&mut db, "stat");
    refuse(&mut db, 1, first);
    assert_eq!(send(&mut db, &[2]).1.items.len(), 1, "it passes the refused one by");
    let (fresh, _) = db.write(|write| edit(write, first, r#"{"n":3}"#)).unwrap();
    send_again(&mut db);
    let refused = db.write(|write| rollback(write, fresh, true));
    assert_eq!(refused.unwrap_err(), Error::MaybeSent);
    assert_eq!(entries(&db).len(), 2);
}

/// An edit makes what follows another operation, which has left again meanwhile.
fn send_again(db: &mut Db) {
    db.write(|write| {
        Ok(write
            .conn
            .execute("UPDATE entry SET maybe_sent = 1 WHERE seq = 2", [])?)
    })
    .unwrap();
}

#[test]
fn only_a_creation_that_has_not_left_can_be_taken_back_where_nothing_is_deleted() {
    let (mut db, _) = device(Settings::default());
    arrived(&mut db, "task", "there", 1);
    put(&mut db, "task", "there", r#"{"n":1}"#);
    put(&mut db, "task", "slip", "{}");
    let refused = db.write(|write| record::delete(write, "task", "there"));
    assert_eq!(refused.unwrap_err(), Error::NoDeletes("task".to_owned()));
    assert!(db.write(|write| record::delete(write, "task", "slip")).is_ok());
}

#[test]
fn an_unanswered_write_uses_an_attempt_and_may_use_up_its_schedule() {
    for (schedule, gave_up) in [(Vec::new(), 2), (vec![1_000], 0)] {
        let (mut db, _) = device(Settings {
            retry_schedule_ms: schedule,
            ..Settings::default()
        });
        put(&mut db, "workout", "w", "{}");
        put(&mut db, "workout", "x", "{}");
        let (_, flight) = send(&mut db, &[1, 2]);
        let nothing = PushAnswer::default();
        let (report, _) = db.write(|write| settle(write, &flight, &nothing)).unwrap();
        assert_eq!((report.gave_up, report.postponed), (gave_up, vec![1, 2]));
    }
}

#[test]
fn what_was_sent_and_stays_keeps_the_mark_whatever_was_answered() {
    let refused = Outcome::Rejected {
        code: "validation".to_owned(),
        message: String::new(),
    };
    for outcome in [Outcome::SignIn, Outcome::TooLarge, refused] {
        let (mut db, _) = device(Settings::default());
        put(&mut db, "workout", "w", "{}");
        let sent = send(&mut db, &[1]);
        answer(&mut db, &sent, &outcome);
        let flying = db.read(|read| {
            Ok(read
                .conn
                .query_row("SELECT count(*) FROM flight", [], |row| row.get(0))?)
        });
        assert_eq!((entries(&db)[0].maybe_sent, flying), (true, Ok(0)), "{outcome:?}");
    }
}
