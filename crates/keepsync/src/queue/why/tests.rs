//! What each unsent write says of itself.

use super::*;
use crate::{
    OpenOptions, Place,
    collection::{Collection, Collections},
    conflict::Policy,
    db::Db,
    queue::{
        self,
        tests::{Moved, answer, device, entries, put, refuse, send},
    },
    record,
    remote::Outcome,
    settings::Settings,
};
use std::sync::Arc;

fn why_of(db: &Db, op: Uuid) -> Why {
    db.read(|read| read.entry(op)).unwrap().why
}

fn behind(op: Uuid, held_up: HeldUp) -> Why {
    Why::Behind {
        op,
        held_up,
        collection: "workout".to_owned(),
        id: "w".to_owned(),
    }
}

#[test]
fn each_why_has_its_code_and_says_what_keeps_it() {
    let op = Uuid::from_u128(1);
    let reason = Reason {
        code: "validation".to_owned(),
        message: "reps must be positive".to_owned(),
    };
    let table = [
        (Why::Ready, "ready", "goes with the next sync"),
        (
            Why::Unanswered,
            "unanswered",
            "was sent, and no answer has come; goes again as the same write",
        ),
        (
            Why::Until { at: 1_763_600_000_999 },
            "waiting_until",
            "the server could not take it yet; goes again at 2025-11-20T00:53:20Z",
        ),
        (
            Why::RetriesUsedUp { by_hand: true },
            "retries_used_up",
            "tried as often as planned; waits for a tap",
        ),
        (
            Why::RetriesUsedUp { by_hand: false },
            "retries_used_up",
            "tried as often as planned; goes out with the next network change or tap",
        ),
        (Why::Held, "held", "goes when its session is done"),
        (Why::Parked(reason), "validation", "reps must be positive"),
        (
            Why::Conflict {
                name: "workout/w@7".to_owned(),
            },
            "in_conflict",
            "the conflict workout/w@7 has to be resolved",
        ),
        (
            behind(op, HeldUp::Parked("validation".to_owned())),
            "behind_parked",
            "must follow a write of workout/w, which was refused (validation)",
        ),
        (
            behind(op, HeldUp::Conflict),
            "behind_conflict",
            "must follow a write of workout/w, which is in conflict",
        ),
        (
            behind(op, HeldUp::Held),
            "behind_held",
            "must follow a write of workout/w, which is held until its session is done",
        ),
        (
            behind(op, HeldUp::Waiting),
            "behind_waiting",
            "must follow a write of workout/w, which waits for its time",
        ),
        (
            behind(op, HeldUp::Newer),
            "behind_newer",
            "must follow a write of workout/w, which is a kind of write that only a newer version of the app knows",
        ),
        (Why::Drain(Status::Offline), "offline", "the server cannot be reached"),
        (
            Why::Drain(Status::NeedsSignIn),
            "needs_sign_in",
            "the account has to sign in again",
        ),
        (
            Why::Drain(Status::StorageFull),
            "storage_full",
            "there is no room on the disk",
        ),
        (Why::Drain(Status::LocalOnly), "local_only", "no server is configured"),
        (
            Why::Drain(Status::WaitingUntil { at: 0 }),
            "waiting",
            "nothing is sent before 1970-01-01T00:00:00Z",
        ),
        (Why::Drain(Status::Idle), "idle", "the drain is at work"),
    ];
    for (why, code, message) in table {
        assert_eq!((why.code(), why.message().as_str()), (code, message));
        assert_eq!(
            format!("{why:?}"),
            format!("Why({code})"),
            "no message: it may quote a body"
        );
        let behind = matches!(why, Why::Behind { .. }).then_some(op);
        assert_eq!(why.behind(), behind, "{code}");
    }
}

#[test]
fn times_that_no_calendar_has_are_told_as_the_nearest_one() {
    for (ms, text) in [
        (i64::MIN, "1970-01-01T00:00:00Z"),
        (-1, "1970-01-01T00:00:00Z"),
        (i64::MAX, "9999-12-31T23:59:59Z"),
    ] {
        assert_eq!(time(ms), text);
    }
}

#[test]
fn an_entry_is_late_only_before_its_time_and_never_without_one() {
    let clock = Clock {
        tick: 1_000,
        wall: 50_000,
        now: 50_400,
    };
    for (next_tick, later) in [(0, false), (1, false), (1_400, false), (1_401, true), (NEVER, true)] {
        assert_eq!(clock.is_later(next_tick), later, "{next_tick}");
    }
    // The wall clock was set back below what any tick says.
    let clock = Clock { now: -1, ..clock };
    assert!(!clock.is_later(0), "what waits for no time can go");
}

#[test]
fn an_entry_says_until_when_it_waits_and_at_that_time_that_it_goes_again() {
    let (mut db, env) = device(Settings::default());
    let (op, _) = put(&mut db, "workout", "w", "{}");
    let sent = send(&mut db, &[1]);
    answer(&mut db, &sent, &Outcome::Retry { after_ms: None });
    let at = queue::tests::START + 30_000;
    env.pass(29_999);
    assert_eq!(why_of(&db, op), Why::Until { at });
    env.pass(1);
    assert_eq!(why_of(&db, op), Why::Unanswered);
}

#[test]
fn a_write_behind_one_that_only_a_newer_app_knows_says_so() {
    let (mut db, _) = device(Settings::default());
    let (newer, _) = put(&mut db, "workout", "w", "{}");
    db.write(|write| Ok(write.conn.execute("UPDATE entry SET kind = 'increment'", [])?))
        .unwrap();
    let (op, _) = put(&mut db, "workout", "w", r#"{"n":1}"#);
    assert_ne!(op, newer, "nothing is folded into it");
    assert_eq!(why_of(&db, op), behind(newer, HeldUp::Newer));
}

#[test]
fn of_two_that_hold_it_up_alike_the_older_one_is_named() {
    let (mut db, _) = device(Settings::default());
    let (set, _) = put(&mut db, "set_log", "a", r#"{"workout_id":"w"}"#);
    let (other, _) = put(&mut db, "set_log", "b", r#"{"workout_id":"w"}"#);
    refuse(&mut db, 1, set);
    refuse(&mut db, 2, other);
    db.write(|write| {
        crate::session::start(write, "workout", "set_log", "w", "{}")?;
        crate::session::complete(write, "workout", "w", "{}")
    })
    .unwrap();
    let completion = entries(&db).pop().unwrap();
    assert_eq!((completion.kind, completion.why.behind()), (Kind::Complete, Some(set)));
}

/// A program's days, and the lifts of a day.
fn nested() -> Db {
    let collections = [
        Collection::new("program", Policy::Ask),
        Collection::new("day", Policy::Ask).child_of("program", "program_id"),
        Collection::new("lift", Policy::ClientWins).child_of("day", "day_id"),
    ];
    let options = OpenOptions {
        place: Place::Memory,
        account: "lifter".to_owned(),
        key: None,
        device_id: Some("device".to_owned()),
        collections: Collections::new(collections).unwrap(),
        settings: Settings::default(),
        resolvers: crate::conflict::Resolvers::default(),
        env: Arc::new(Moved::default()),
    };
    Db::open(options).unwrap()
}

#[test]
fn a_grandchild_is_behind_its_parent_which_travels_in_another_lane() {
    let mut db = nested();
    put(&mut db, "program", "p", "{}");
    let (day, _) = put(&mut db, "day", "d", r#"{"program_id":"p"}"#);
    let (lift, _) = put(&mut db, "lift", "l", r#"{"day_id":"d"}"#);
    assert_eq!(why_of(&db, lift), Why::Ready);
    refuse(&mut db, 2, day);
    assert_eq!(why_of(&db, lift).behind(), Some(day));
    assert_eq!(why_of(&db, lift).code(), "behind_parked");
    let (program, _) = db.read(|read| Ok((entries_of(read, "p")?, ()))).unwrap();
    assert_eq!(program, [Why::Ready], "it follows nothing");
}

fn entries_of(read: &Read<'_>, id: &str) -> Result<Vec<Why>> {
    let entries = read.entries(i64::MIN, 100)?;
    Ok(entries
        .into_iter()
        .filter(|entry| entry.id == id)
        .map(|entry| entry.why)
        .collect())
}

#[test]
fn a_deletion_that_is_not_looked_at_alone_is_behind_the_same_write() {
    let mut db = nested();
    put(&mut db, "program", "p", "{}");
    send(&mut db, &[1]);
    let (day, _) = put(&mut db, "day", "d", r#"{"program_id":"p"}"#);
    refuse(&mut db, 2, day);
    let (deleted, _) = db.write(|write| record::delete(write, "program", "p")).unwrap();
    assert_eq!(why_of(&db, deleted.op.unwrap()).behind(), Some(day));
}
