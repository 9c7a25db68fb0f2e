//! What the steps tell and write, against a file in memory.

use super::*;
use crate::{
    queue::tests::{accepted, answer, device, put, send},
    remote::Outcome,
    settings::Settings,
};

fn events(db: &Db) -> i64 {
    db.read(|read| {
        Ok(read
            .conn
            .query_row("SELECT count(*) FROM event", [], |row| row.get(0))?)
    })
    .unwrap()
}

fn end(report: Report) -> Step {
    Step::Finish(Box::new(PassEnd {
        report,
        park: Vec::new(),
        started: 0,
        duration_ms: 1,
        throttled_until: None,
    }))
}

fn both(pull: HalfResult, push: HalfResult) -> Report {
    Report {
        pull,
        push,
        ..Report::default()
    }
}

#[test]
fn letting_go_says_that_the_queue_changed_only_if_something_waited() {
    let (mut db, _) = device(Settings::default());
    put(&mut db, "workout", "w", "{}");
    let release = || Step::Release(Release::Waiting);
    assert!(!carry_out(&mut db, release()).1.queue, "nothing waits for its time");
    let sent = send(&mut db, &[1]);
    answer(&mut db, &sent, &Outcome::Retry { after_ms: None });
    let exhausted = carry_out(&mut db, Step::Release(Release::Exhausted));
    assert!(!exhausted.1.queue, "its schedule is not used up");
    assert!(carry_out(&mut db, release()).1.queue);
    assert!(!carry_out(&mut db, release()).1.queue, "it was let go already");
}

#[test]
fn a_pass_writes_what_there_is_to_tell_and_offline_is_nothing() {
    use HalfResult::{Failed, NotRun, Worked};
    let offline = Failed("offline");
    let told = |report| {
        let (mut db, _) = device(Settings::default());
        let before = events(&db);
        carry_out(&mut db, end(report));
        events(&db) > before
    };
    for (pull, push, tells) in [
        (Worked, Worked, false),
        (NotRun, Worked, false),
        (offline, offline, false),
        (Failed("server"), Worked, true),
        (Worked, Failed("server"), true),
        (offline, Failed("server"), true),
    ] {
        assert_eq!(told(both(pull, push)), tells, "{pull:?} {push:?}");
    }
    let nothing = both(Worked, Worked);
    for report in [
        Report {
            accepted: 1,
            ..nothing.clone()
        },
        Report {
            pulled: 1,
            ..nothing.clone()
        },
        Report {
            conflicts: 1,
            ..nothing.clone()
        },
        Report { gave_up: 1, ..nothing },
    ] {
        assert!(told(report.clone()), "{report:?}");
    }
}

#[test]
fn only_a_pass_whose_halves_both_worked_has_synced() {
    use HalfResult::{Failed, NotRun, Worked};
    for (pull, push, synced) in [
        (Worked, Worked, true),
        (Worked, Failed("server"), false),
        (Failed("server"), Worked, false),
        (NotRun, Worked, false),
        (Worked, NotRun, false),
    ] {
        let (mut db, _) = device(Settings::default());
        let report = Report {
            accepted: 1,
            ..both(pull, push)
        };
        carry_out(&mut db, end(report));
        let at = db.read(|read| read.last_synced_at()).unwrap();
        assert_eq!(at.is_some(), synced, "{pull:?} {push:?}");
    }
}

#[test]
fn the_end_of_a_pass_tells_what_waits_and_when_the_first_of_it_is_due() {
    let (mut db, env) = device(Settings::default());
    for id in ["a", "b", "c", "d"] {
        put(&mut db, "stat", id, "{}");
    }
    let sent = send(&mut db, &[1]);
    answer(&mut db, &sent, &Outcome::Retry { after_ms: None });
    env.pass(500);
    let sent = send(&mut db, &[2]);
    answer(&mut db, &sent, &Outcome::Retry { after_ms: None });
    let sent = send(&mut db, &[3]);
    answer(&mut db, &sent, &accepted(1));
    let (done, _) = carry_out(&mut db, end(Report::default()));
    let StepDone::Finished {
        next_due,
        parked,
        waiting,
    } = done
    else {
        panic!("{done:?}")
    };
    assert_eq!((next_due, parked, waiting), (Some(30_000), 0, 3));
}

#[test]
fn a_page_tells_whether_a_needed_collection_is_still_missing() {
    use crate::collection::{Collection, Collections, FirstSync};
    for (first_sync, missing) in [
        (FirstSync::NotRequired, false),
        (FirstSync::Required { may_continue: true }, true),
    ] {
        let collection = Collection::new("exercise", crate::conflict::Policy::ServerWins).first_sync(first_sync);
        let mut db = Db::open(crate::OpenOptions {
            place: crate::Place::Memory,
            account: "lifter".to_owned(),
            key: None,
            device_id: Some("device".to_owned()),
            collections: Collections::new([collection]).unwrap(),
            settings: Settings::default(),
            resolvers: conflict::Resolvers::default(),
            env: std::sync::Arc::new(crate::queue::tests::Moved::default()),
        })
        .unwrap();
        let page = PullPage {
            has_more: true,
            ..PullPage::default()
        };
        let (done, _) = carry_out(&mut db, Step::ApplyPage(page));
        let StepDone::PageApplied { needs_first_sync, .. } = done else {
            panic!("{done:?}")
        };
        assert_eq!(needs_first_sync, missing);
    }
}
