//! What becomes of two versions that meet, at the level of the file: no drain, no server.

use super::{apply::meet, *};
use crate::{
    OpenOptions, Place,
    collection::{Collection, Collections},
    db::{Db, Write},
    hlc::Hlc,
    queue::{
        self, Entry, EntryState, Kind, Rejection, WriteOutcome,
        tests::{Moved, START, accepted, answer, entries, put, refuse, send},
    },
    record::{self, Row, find},
    remote::{Outcome, RemoteVersion},
    settings::Settings,
};
use std::sync::Arc;
use uuid::Uuid;

fn device() -> (Db, Arc<Moved>) {
    let collections = [
        Collection::new("workout", Policy::Ask),
        Collection::new("set_log", Policy::ClientWins).child_of("workout", "workout_id"),
        Collection::new("drill", Policy::ClientWins)
            .child_of("workout", "workout_id")
            .group(["a"], Policy::ServerWins),
        Collection::new("log", Policy::LastWriteWins),
        Collection::new("line", Policy::ClientWins).child_of("log", "log_id"),
        Collection::new("profile", Policy::LastWriteWins),
        Collection::new("score", Policy::Counter),
        Collection::new("ours", Policy::ClientWins),
        Collection::new("fields", Policy::merge_fields([["x", "y"]])),
        Collection::new("mixed", Policy::Ask)
            .group(["a"], Policy::LastWriteWins)
            .group(["s"], Policy::ServerWins)
            .group(["c"], Policy::ClientWins),
        Collection::new("sides", Policy::ServerWins).group(["c"], Policy::ClientWins),
    ];
    let env = Arc::new(Moved::default());
    let db = Db::open(OpenOptions {
        place: Place::Memory,
        account: "lifter".to_owned(),
        key: None,
        device_id: Some("phone".to_owned()),
        collections: Collections::new(collections).unwrap(),
        settings: Settings {
            jitter: 0.0,
            ..Settings::default()
        },
        resolvers: Resolvers::default(),
        env: env.clone(),
    });
    (db.unwrap(), env)
}

/// A version of a tablet, written so many milliseconds after the start.
fn theirs(version: i64, body: Option<&str>, ms: i64) -> RemoteVersion {
    RemoteVersion {
        body: body.map(str::to_owned),
        version,
        hlc: Hlc::at(START + ms),
        device_id: "tablet".to_owned(),
        updated_at: START + ms,
        op: Some(Uuid::from_u128(version as u128)),
        ..RemoteVersion::default()
    }
}

fn pulled(db: &mut Db, collection: &str, id: &str, remote: &RemoteVersion) {
    db.write(|write| meet(write, collection, id, remote, None, None))
        .unwrap();
}

/// As the answer to the record's first entry.
fn answered(db: &mut Db, collection: &str, id: &str, remote: &RemoteVersion) {
    let first = of(db, collection, id)[0].seq;
    db.write(|write| meet(write, collection, id, remote, Some(first), None))
        .unwrap();
}

fn of(db: &Db, collection: &str, id: &str) -> Vec<Entry> {
    let of_record = |entry: &Entry| entry.collection == collection && entry.id == id;
    entries(db).into_iter().filter(of_record).collect()
}

fn row(db: &Db, collection: &str, id: &str) -> Row {
    db.read(|read| find(read.conn, collection, id)).unwrap().unwrap()
}

fn body(db: &Db, collection: &str, id: &str) -> Option<String> {
    db.read(|read| read.get(collection, id)).unwrap()?.body
}

fn conflict(db: &Db, id: &str) -> Option<Conflict> {
    db.read(|read| read.conflict("workout", id)).unwrap()
}

fn history(db: &Db, collection: &str, id: &str) -> Vec<String> {
    let all = db.read(|read| read.history(collection, id)).unwrap();
    let mut reasons: Vec<String> = all.into_iter().map(|version| version.reason).collect();
    reasons.sort();
    reasons
}

fn resolve_as(db: &mut Db, collection: &str, id: &str, how: &Resolution) {
    let shown = db.read(|read| read.conflict(collection, id)).unwrap().unwrap();
    db.write(|write| resolve(write, collection, id, &shown.token, how))
        .unwrap();
}

#[test]
fn a_child_that_is_pulled_knows_its_parent() {
    let (mut db, _) = device();
    pulled(&mut db, "set_log", "s", &theirs(1, Some(r#"{"workout_id":"w"}"#), 0));
    assert_eq!(row(&db, "set_log", "s").parent_id.as_deref(), Some("w"));
    pulled(&mut db, "set_log", "t", &theirs(1, Some(r#"{"workout_id":7}"#), 0));
    assert_eq!(
        row(&db, "set_log", "t").parent_id,
        None,
        "what cannot be told stops no pull"
    );
    pulled(&mut db, "workout", "w", &theirs(1, Some(r#"{"workout_id":"x"}"#), 0));
    assert_eq!(row(&db, "workout", "w").parent_id, None);
}

#[test]
fn ones_own_write_as_the_server_keeps_it_is_what_the_next_one_was_made_on() {
    let (mut db, _) = device();
    let (op, _) = put(&mut db, "workout", "w", r#"{"n":1}"#);
    send(&mut db, &[1]);
    put(&mut db, "workout", "w", r#"{"n":2}"#);
    let own = RemoteVersion {
        op: Some(op),
        ..theirs(1, Some(r#"{"n":1,"by":"server"}"#), 0)
    };
    pulled(&mut db, "workout", "w", &own);
    assert_eq!(conflict(&db, "w"), None, "nobody wrote against us");
    let left = of(&db, "workout", "w");
    assert_eq!(
        (left.len(), left[0].state, left[0].base_version),
        (1, EntryState::Waiting, 1)
    );
    assert_eq!(body(&db, "workout", "w").as_deref(), Some(r#"{"n":2}"#));
}

#[test]
fn an_unsent_edit_is_not_written_once_more_when_the_record_is_deleted_elsewhere() {
    let (mut db, _) = device();
    pulled(&mut db, "workout", "w", &theirs(1, Some(r#"{"n":1}"#), 0));
    let (op, _) = put(&mut db, "workout", "w", r#"{"n":2}"#);
    put(&mut db, "set_log", "s", r#"{"workout_id":"w"}"#);
    pulled(&mut db, "workout", "w", &theirs(2, None, 5));
    let unsent = of(&db, "workout", "w");
    assert_eq!(
        (unsent.len(), unsent[0].op, unsent[0].state),
        (1, op, EntryState::Conflict)
    );
    assert_eq!(conflict(&db, "w").unwrap().base.as_deref(), Some(r#"{"n":1}"#));
}

#[test]
fn a_body_without_a_version_is_another_version_all_the_same() {
    let (mut db, _) = device();
    put(&mut db, "workout", "w", r#"{"n":1}"#);
    answered(&mut db, "workout", "w", &theirs(0, Some(r#"{"n":9}"#), 5));
    assert!(conflict(&db, "w").is_some());
    // Nothing at all is no version.
    put(&mut db, "workout", "x", r#"{"n":1}"#);
    answered(&mut db, "workout", "x", &theirs(0, None, 5));
    assert!(conflict(&db, "x").is_none());
    let kept = of(&db, "workout", "x");
    assert_eq!((kept[0].kind, kept[0].state), (Kind::Create, EntryState::Waiting));
}

#[test]
fn what_was_made_apart_is_added_and_what_was_made_on_something_unknown_is_not() {
    for (base_version, sum) in [(0, 5), (4, 2)] {
        let (mut db, env) = device();
        env.pass(1_000);
        put(&mut db, "score", "s", r#"{"n":2}"#);
        db.write(|write| {
            Ok(write
                .conn
                .execute("UPDATE entry SET base_version = ?1", [base_version])?)
        })
        .unwrap();
        answered(&mut db, "score", "s", &theirs(5, Some(r#"{"n":3}"#), 0));
        let n: serde_json::Value = serde_json::from_str(&body(&db, "score", "s").unwrap()).unwrap();
        assert_eq!(n["n"], sum, "made on {base_version}");
    }
}

#[test]
fn a_choice_keeps_the_clocks_of_units_that_it_does_not_change() {
    let (mut db, _) = device();
    pulled(&mut db, "mixed", "m", &theirs(1, Some(r#"{"a":1,"b":1}"#), 0));
    put(&mut db, "mixed", "m", r#"{"a":1,"b":2}"#);
    pulled(&mut db, "mixed", "m", &theirs(2, Some(r#"{"a":1,"b":3}"#), 5));
    resolve_as(&mut db, "mixed", "m", &Resolution::Merge(r#"{"a":1,"b":5}"#.to_owned()));
    let row = row(&db, "mixed", "m");
    let clocks = Clocks::parse(row.clocks.as_deref().unwrap(), row.hlc);
    assert_ne!(clocks, Clocks::default());
    let (batch, _) = send(&mut db, &[1]);
    assert_eq!(batch.items[0].clocks, row.clocks, "and they travel");
}

#[test]
fn only_an_edit_that_loses_to_a_deletion_is_told() {
    let table = [
        // (ours is a deletion, theirs is one, ours is later, told)
        (true, false, true, true),
        (false, true, false, true),
        (true, false, false, false),
        (false, true, true, false),
        (false, false, true, false),
        (false, false, false, false),
    ];
    for (deleted, their_deletion, later, told) in table {
        let (mut db, env) = device();
        pulled(&mut db, "profile", "p", &theirs(1, Some(r#"{"n":1}"#), 0));
        env.pass(1_000);
        if deleted {
            db.write(|write| record::delete(write, "profile", "p")).unwrap();
        } else {
            put(&mut db, "profile", "p", r#"{"n":2}"#);
        }
        let remote = (!their_deletion).then_some(r#"{"n":3}"#);
        pulled(
            &mut db,
            "profile",
            "p",
            &theirs(2, remote, if later { 500 } else { 2_000 }),
        );
        let notices = db.read(|read| read.notices()).unwrap();
        assert_eq!(!notices.is_empty(), told, "{deleted} {their_deletion} {later}");
    }
}

#[test]
fn a_merge_puts_into_the_history_what_is_in_neither_of_its_sides() {
    for (local, remote, lost) in [
        (
            r#"{"x":1,"y":1,"a":2,"b":1}"#,
            r#"{"x":1,"y":1,"a":1,"b":3}"#,
            vec!["lost_to_server", "merged"],
        ),
        (r#"{"x":1,"y":1,"a":2,"b":1}"#, r#"{"x":1,"y":1,"a":2,"b":1}"#, vec![]),
    ] {
        let (mut db, env) = device();
        pulled(
            &mut db,
            "fields",
            "f",
            &theirs(1, Some(r#"{"x":1,"y":1,"a":1,"b":1}"#), 0),
        );
        env.pass(1_000);
        put(&mut db, "fields", "f", local);
        let told = RemoteVersion {
            clocks: Some(format!(r#"{{"":["{}","tablet"]}}"#, Hlc::at(START))),
            ..theirs(2, Some(remote), 2_000)
        };
        pulled(&mut db, "fields", "f", &told);
        assert_eq!(history(&db, "fields", "f"), lost, "{remote}");
    }
}

#[test]
fn a_merge_by_sides_says_nothing_of_units_and_one_by_clocks_does() {
    let (mut db, _) = device();
    pulled(&mut db, "sides", "s", &theirs(1, Some(r#"{"c":1,"d":1}"#), 0));
    put(&mut db, "sides", "s", r#"{"c":2,"d":2}"#);
    pulled(&mut db, "sides", "s", &theirs(2, Some(r#"{"c":3,"d":3}"#), 5));
    assert_eq!(body(&db, "sides", "s").as_deref(), Some(r#"{"c":2,"d":3}"#));
    assert_eq!(row(&db, "sides", "s").clocks, None);

    pulled(&mut db, "fields", "f", &theirs(1, Some(r#"{"a":1,"b":1}"#), 0));
    put(&mut db, "fields", "f", r#"{"a":2,"b":1}"#);
    pulled(&mut db, "fields", "f", &theirs(2, Some(r#"{"a":1,"b":3}"#), 5));
    assert_eq!(body(&db, "fields", "f").as_deref(), Some(r#"{"a":2,"b":3}"#));
    assert!(row(&db, "fields", "f").clocks.is_some());
}

#[test]
fn what_goes_on_top_of_another_version_is_an_update_of_it_and_on_top_of_none_a_creation() {
    // Made here, there already: the later creation goes on as an update, with what follows it.
    let (mut db, env) = device();
    env.pass(10);
    put(&mut db, "ours", "o", r#"{"n":1}"#);
    send(&mut db, &[1]);
    put(&mut db, "ours", "o", r#"{"n":2}"#);
    let (_, changes) = db
        .write(|write| meet(write, "ours", "o", &theirs(3, Some(r#"{"n":9}"#), 0), Some(1), None))
        .unwrap();
    assert!(changes.sendable, "it goes now");
    let kinds = |db: &Db| -> Vec<(Kind, i64)> {
        let all = of(db, "ours", "o");
        all.into_iter().map(|entry| (entry.kind, entry.base_version)).collect()
    };
    assert_eq!(kinds(&db), [(Kind::Update, 3), (Kind::Update, 3)]);
    // Changed here, lost there.
    let first = of(&db, "ours", "o")[0].seq;
    db.write(|write| meet(write, "ours", "o", &theirs(0, None, 0), Some(first), None))
        .unwrap();
    assert_eq!(kinds(&db), [(Kind::Create, 0), (Kind::Update, 0)]);
}

#[test]
fn a_write_that_goes_on_keeps_the_reason_only_if_it_is_refused() {
    for refused in [true, false] {
        let (mut db, env) = device();
        env.pass(10);
        let (op, _) = put(&mut db, "ours", "o", r#"{"n":1}"#);
        let sent = send(&mut db, &[1]);
        if refused {
            refuse(&mut db, 1, op);
        } else {
            answer(&mut db, &sent, &Outcome::Retry { after_ms: None });
        }
        let (_, changes) = db
            .write(|write| meet(write, "ours", "o", &theirs(3, Some(r#"{"n":9}"#), 0), Some(1), None))
            .unwrap();
        let entry = &of(&db, "ours", "o")[0];
        assert_eq!(entry.base_version, 3, "it is on top of theirs");
        let reason = entry.reason.as_ref().map(|reason| reason.code.as_str());
        assert_eq!(reason, refused.then_some("validation"));
        assert_eq!(changes.sendable, !refused);
    }
}

#[test]
fn the_users_choice_of_another_body_is_an_update_and_a_completion_stays_one() {
    let (mut db, _) = device();
    put(&mut db, "workout", "w", r#"{"n":1}"#);
    answered(&mut db, "workout", "w", &theirs(3, Some(r#"{"n":9}"#), 5));
    resolve_as(&mut db, "workout", "w", &Resolution::Merge(r#"{"n":5}"#.to_owned()));
    let entry = of(&db, "workout", "w").remove(0);
    assert_eq!((entry.kind, entry.base_version), (Kind::Update, 3));

    let (mut db, _) = device();
    pulled(&mut db, "workout", "w", &theirs(1, Some(r#"{"n":1}"#), 0));
    let finish = |write: &mut Write<'_>| {
        record::put(write, "workout", "w", r#"{"n":2}"#)?;
        Ok(write.conn.execute("UPDATE entry SET kind = 'complete'", [])?)
    };
    db.write(finish).unwrap();
    pulled(&mut db, "workout", "w", &theirs(2, Some(r#"{"n":9}"#), 5));
    resolve_as(&mut db, "workout", "w", &Resolution::Merge(r#"{"n":5}"#.to_owned()));
    assert_eq!(of(&db, "workout", "w")[0].kind, Kind::Complete);
}

#[test]
fn a_conflict_forgets_that_a_resolver_failed_and_no_other_reason() {
    for (code, kept) in [("policy_failed", None), ("validation", Some("validation"))] {
        let (mut db, _) = device();
        let (op, _) = put(&mut db, "workout", "w", r#"{"n":1}"#);
        let rejection = Rejection {
            seq: 1,
            op,
            code: code.to_owned(),
            message: String::new(),
        };
        db.write(|write| queue::park(write, &rejection)).unwrap();
        answered(&mut db, "workout", "w", &theirs(3, Some(r#"{"n":9}"#), 5));
        let entry = &of(&db, "workout", "w")[0];
        assert_eq!(entry.state, EntryState::Conflict);
        assert_eq!(entry.reason.as_ref().map(|reason| reason.code.as_str()), kept);
    }
}

#[test]
fn a_conflict_stays_open_while_an_entry_is_in_it_and_closing_says_so() {
    let (mut db, _) = device();
    let (op, _) = put(&mut db, "workout", "w", r#"{"n":1}"#);
    let opened = db
        .write(|write| meet(write, "workout", "w", &theirs(3, Some(r#"{"n":9}"#), 5), Some(1), None))
        .unwrap();
    assert!(opened.1.conflicts);
    let ((), kept) = db.write(|write| close_if_idle(write, "workout", "w")).unwrap();
    assert!(!kept.conflicts && conflict(&db, "w").is_some());
    let (_, closed) = db.write(|write| queue::discard(write, op, false)).unwrap();
    assert!(closed.conflicts && conflict(&db, "w").is_none());
    let ((), nothing) = db.write(|write| close_if_idle(write, "workout", "w")).unwrap();
    assert!(!nothing.conflicts, "there was none");
    let outcome = db.read(|read| read.outcome(op)).unwrap();
    assert_eq!(outcome, WriteOutcome::Discarded);
}

#[test]
fn a_merge_of_both_sides_is_proposed_and_one_side_as_it_was_written() {
    for (local, remote, proposed) in [
        (r#"{"a":2,"b":1}"#, r#"{"a":1,"b":3}"#, r#"{"a":2,"b":3}"#),
        (r#"{"b":1, "a":2}"#, r#"{"a":3,"b":1}"#, r#"{"a":3,"b":1}"#),
    ] {
        let (mut db, _) = device();
        pulled(&mut db, "workout", "w", &theirs(1, Some(r#"{"a":1,"b":1}"#), 0));
        put(&mut db, "workout", "w", local);
        pulled(&mut db, "workout", "w", &theirs(2, Some(remote), 5));
        let shown = conflict(&db, "w").unwrap();
        assert_eq!(shown.proposal.body.as_deref(), Some(proposed));
        let key = |collection: &str, id: &str| (collection.to_owned(), id.to_owned());
        assert_eq!(shown.proposal_of(&key("workout", "w")), Some(proposed));
        assert_eq!(shown.proposal_of(&key("workout", "x")), None);
        assert_eq!(shown.proposal_of(&key("set_log", "w")), None);
    }
}

#[test]
fn the_proposal_of_a_child_is_told_by_its_own_name() {
    let child = |collection: &str, id: &str, body: Option<&str>| ChildBody {
        collection: collection.to_owned(),
        id: id.to_owned(),
        body: body.map(str::to_owned),
    };
    let shown = Conflict {
        collection: "workout".to_owned(),
        id: "w".to_owned(),
        proposal: Proposal {
            body: Some("own".to_owned()),
            children: vec![child("set_log", "a", Some("first")), child("set_log", "b", None)],
            contested: Vec::new(),
        },
        ..Conflict::default()
    };
    for (collection, id, expected) in [
        ("workout", "w", Some("own")),
        ("set_log", "a", Some("first")),
        ("set_log", "b", None),
        ("set_log", "c", None),
        ("workout", "a", None),
    ] {
        let key = (collection.to_owned(), id.to_owned());
        assert_eq!(shown.proposal_of(&key), expected, "{collection}/{id}");
    }
}

#[test]
fn resolvers_are_shown_by_their_names() {
    let resolvers = Resolvers::new().with("newest", |_: &Conflict| Ok(Verdict::KeepLocal));
    assert_eq!(format!("{resolvers:?}"), "{\"newest\"}");
}

#[test]
fn what_a_merge_gives_for_a_child_that_is_not_in_conflict_is_written_only_if_it_is_another() {
    for (given, writes) in [(r#"{"workout_id":"w","n":1}"#, 0), (r#"{"workout_id":"w","n":2}"#, 1)] {
        let (mut db, _) = device();
        pulled(&mut db, "workout", "w", &theirs(1, Some(r#"{"n":1}"#), 0));
        pulled(
            &mut db,
            "set_log",
            "s",
            &theirs(1, Some(r#"{"n":1,"workout_id":"w"}"#), 0),
        );
        put(&mut db, "workout", "w", r#"{"n":2}"#);
        pulled(&mut db, "workout", "w", &theirs(2, Some(r#"{"n":3}"#), 5));
        let child = ChildBody {
            collection: "set_log".to_owned(),
            id: "s".to_owned(),
            body: Some(given.to_owned()),
        };
        let how = Resolution::MergeWith(Merged {
            body: None,
            children: vec![child],
        });
        resolve_as(&mut db, "workout", "w", &how);
        assert_eq!(of(&db, "set_log", "s").len(), writes, "{given}");
    }
}

#[test]
fn a_merge_of_what_the_server_never_had_makes_it_or_leaves_nothing() {
    // The workout is deleted there while a set of it was made here: the set joins its conflict.
    for (given, left) in [(Some(r#"{"workout_id":"w","n":7}"#), Some(Kind::Create)), (None, None)] {
        let (mut db, _) = device();
        pulled(&mut db, "workout", "w", &theirs(1, Some(r#"{"n":1}"#), 0));
        put(&mut db, "workout", "w", r#"{"n":2}"#);
        put(&mut db, "set_log", "s", r#"{"workout_id":"w","n":1}"#);
        pulled(&mut db, "workout", "w", &theirs(2, None, 5));
        let child = ChildBody {
            collection: "set_log".to_owned(),
            id: "s".to_owned(),
            body: given.map(str::to_owned),
        };
        let how = Resolution::MergeWith(Merged {
            body: Some(r#"{"n":3}"#.to_owned()),
            children: vec![child],
        });
        resolve_as(&mut db, "workout", "w", &how);
        let kinds: Vec<Kind> = of(&db, "set_log", "s").iter().map(|entry| entry.kind).collect();
        assert_eq!(kinds, Vec::from_iter(left), "{given:?}");
        assert_eq!(body(&db, "set_log", "s").as_deref(), given);
    }
}

#[test]
fn keeping_the_servers_side_shows_it_here_and_makes_nothing_that_it_never_had() {
    let (mut db, _) = device();
    pulled(&mut db, "workout", "w", &theirs(1, Some(r#"{"n":1}"#), 0));
    put(&mut db, "workout", "w", r#"{"n":2}"#);
    put(&mut db, "set_log", "s", r#"{"workout_id":"w","n":1}"#);
    pulled(&mut db, "workout", "w", &theirs(2, None, 5));
    resolve_as(&mut db, "workout", "w", &Resolution::KeepRemote);
    assert!(entries(&db).is_empty());
    assert_eq!((body(&db, "workout", "w"), body(&db, "set_log", "s")), (None, None));
    let set = db.read(|read| find(read.conn, "set_log", "s")).unwrap();
    assert!(set.is_none(), "the server never had it: no tombstone");

    pulled(&mut db, "workout", "x", &theirs(1, Some(r#"{"n":1}"#), 0));
    put(&mut db, "workout", "x", r#"{"n":2}"#);
    pulled(&mut db, "workout", "x", &theirs(2, Some(r#"{"n":3}"#), 5));
    resolve_as(&mut db, "workout", "x", &Resolution::KeepRemote);
    assert_eq!(body(&db, "workout", "x").as_deref(), Some(r#"{"n":3}"#));
    assert_eq!(row(&db, "workout", "x").version, 2);
}

#[test]
fn an_acceptance_after_a_conflict_leaves_no_trace_of_it() {
    let (mut db, _) = device();
    put(&mut db, "workout", "w", r#"{"n":1}"#);
    let sent = send(&mut db, &[1]);
    answer(&mut db, &sent, &Outcome::Conflict(theirs(3, Some(r#"{"n":9}"#), 5)));
    answer(&mut db, &sent, &accepted(4));
    assert_eq!((conflict(&db, "w"), entries(&db).len()), (None, 0));
}

#[test]
fn what_one_side_alone_changed_stands_whoever_would_win() {
    let (mut db, _) = device();
    pulled(&mut db, "sides", "s", &theirs(1, Some(r#"{"c":1,"d":1}"#), 0));
    put(&mut db, "sides", "s", r#"{"c":1,"d":2}"#);
    pulled(&mut db, "sides", "s", &theirs(2, Some(r#"{"c":3,"d":1}"#), 5));
    assert_eq!(body(&db, "sides", "s").as_deref(), Some(r#"{"c":3,"d":2}"#));
}

#[test]
fn a_parent_that_asks_has_the_say_over_the_groups_of_its_children_too() {
    let (mut db, _) = device();
    pulled(&mut db, "workout", "w", &theirs(1, Some("{}"), 0));
    pulled(
        &mut db,
        "drill",
        "d",
        &theirs(1, Some(r#"{"workout_id":"w","a":1}"#), 0),
    );
    put(&mut db, "drill", "d", r#"{"workout_id":"w","a":2}"#);
    pulled(
        &mut db,
        "drill",
        "d",
        &theirs(2, Some(r#"{"workout_id":"w","a":3}"#), 5),
    );
    let shown = conflict(&db, "w").expect("the user decides");
    assert!(!shown.in_conflict && shown.children[0].in_conflict);
    assert_eq!(of(&db, "drill", "d")[0].state, EntryState::Conflict);
}

#[test]
fn only_a_parent_that_asks_is_defended_by_what_is_unsent_of_its_children() {
    let (mut db, _) = device();
    pulled(&mut db, "log", "l", &theirs(1, Some(r#"{"n":1}"#), 0));
    put(&mut db, "line", "x", r#"{"log_id":"l"}"#);
    pulled(&mut db, "log", "l", &theirs(2, None, 5));
    assert_eq!((body(&db, "log", "l"), of(&db, "log", "l").len()), (None, 0));

    pulled(&mut db, "workout", "w", &theirs(1, Some(r#"{"n":1}"#), 0));
    put(&mut db, "set_log", "s", r#"{"workout_id":"w"}"#);
    pulled(&mut db, "workout", "w", &theirs(2, None, 5));
    assert!(conflict(&db, "w").is_some());
}

#[test]
fn what_joins_a_conflict_shows_what_its_write_was_made_on() {
    let (mut db, _) = device();
    pulled(&mut db, "workout", "w", &theirs(1, Some(r#"{"n":1}"#), 0));
    put(&mut db, "set_log", "s", r#"{"workout_id":"w","n":1}"#);
    let sent = send(&mut db, &[1]);
    put(&mut db, "set_log", "s", r#"{"workout_id":"w","n":2}"#);
    // A newer version came before the answer to the first write.
    pulled(
        &mut db,
        "set_log",
        "s",
        &theirs(6, Some(r#"{"workout_id":"w","n":9}"#), 5),
    );
    answer(&mut db, &sent, &accepted(5));
    put(&mut db, "workout", "w", r#"{"n":2}"#);
    pulled(&mut db, "workout", "w", &theirs(2, Some(r#"{"n":3}"#), 5));
    let shown = conflict(&db, "w").unwrap();
    let set = &shown.children[0];
    assert!(set.in_conflict);
    assert_eq!(set.base.as_deref(), Some(r#"{"workout_id":"w","n":1}"#));
}

#[test]
fn a_child_that_is_kept_does_not_contest_a_record_that_is_there() {
    let (mut db, _) = device();
    pulled(&mut db, "workout", "w", &theirs(1, Some(r#"{"a":1,"b":1}"#), 0));
    pulled(
        &mut db,
        "set_log",
        "s",
        &theirs(1, Some(r#"{"workout_id":"w","n":1}"#), 0),
    );
    put(&mut db, "set_log", "s", r#"{"workout_id":"w","n":2}"#);
    put(&mut db, "workout", "w", r#"{"a":2,"b":1}"#);
    pulled(&mut db, "workout", "w", &theirs(2, Some(r#"{"a":3,"b":3}"#), 5));
    let shown = conflict(&db, "w").unwrap();
    assert!(shown.children[0].in_conflict, "it joined");
    let contested: Vec<_> = shown.proposal.contested.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(contested, ["/a"]);
}

#[test]
fn what_was_written_to_a_child_since_is_not_lost_with_the_record_that_stands() {
    let (mut db, _) = device();
    pulled(&mut db, "workout", "w", &theirs(1, Some(r#"{"n":1}"#), 0));
    pulled(
        &mut db,
        "set_log",
        "s",
        &theirs(1, Some(r#"{"workout_id":"w","n":1}"#), 0),
    );
    put(&mut db, "workout", "w", r#"{"n":2}"#);
    pulled(&mut db, "workout", "w", &theirs(2, Some(r#"{"n":3}"#), 5));
    put(&mut db, "set_log", "s", r#"{"workout_id":"w","n":2}"#);
    resolve_as(&mut db, "workout", "w", &Resolution::KeepRemote);
    assert_eq!(
        body(&db, "set_log", "s").as_deref(),
        Some(r#"{"workout_id":"w","n":2}"#)
    );
    assert_eq!(of(&db, "set_log", "s")[0].state, EntryState::Waiting);
}

#[test]
fn a_child_that_is_in_no_conflict_keeps_no_record_that_one_side_deleted() {
    let (mut db, _) = device();
    let start = |write: &mut Write<'_>| {
        crate::session::start(write, "workout", "set_log", "w", r#"{"n":1}"#)?;
        crate::session::log_set(write, "workout", "w", "squat/1", "{}")
    };
    db.write(start).unwrap();
    let sent = send(&mut db, &[1, 2]);
    answer(&mut db, &sent, &accepted(1));
    assert!(entries(&db).is_empty());
    pulled(&mut db, "workout", "w", &theirs(2, None, 5));
    let shown = conflict(&db, "w").expect("a session in progress is defended");
    assert!(!shown.children[0].in_conflict);
    assert_eq!((shown.proposal.body, shown.proposal.contested.len()), (None, 0));
}

#[test]
fn a_record_that_is_gone_here_too_is_not_defended_by_its_children() {
    let (mut db, _) = device();
    pulled(&mut db, "workout", "w", &theirs(1, Some(r#"{"n":1}"#), 0));
    pulled(&mut db, "workout", "w", &theirs(2, None, 5));
    put(&mut db, "set_log", "s", r#"{"workout_id":"w"}"#);
    pulled(&mut db, "workout", "w", &theirs(3, None, 9));
    assert_eq!((conflict(&db, "w"), of(&db, "workout", "w").len()), (None, 0));
    assert_eq!(row(&db, "workout", "w").version, 3);
}
