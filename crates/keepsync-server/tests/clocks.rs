//! Two real devices whose clocks are wrong by minutes, hours and years, ahead and behind, on the real
//! server: versions decide what follows what, hybrid clocks order what was written apart, the server's time
//! is the reference, and what is more than a day ahead is clamped and told.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use keepsync::{
    Store,
    collection::{Collection, Collections},
    conflict::Policy,
};
use keepsync_wire::Hlc;
use std::sync::Arc;
use support::{
    app::{World, WrongClock, body, sync},
    now_ms,
};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;
const WRONG: [i64; 10] = [
    -30 * YEAR,
    -5 * YEAR,
    -3 * DAY,
    -5 * HOUR,
    -5 * MINUTE,
    5 * MINUTE,
    5 * HOUR,
    3 * DAY,
    5 * YEAR,
    70 * YEAR,
];

fn collections() -> Collections {
    Collections::new([
        Collection::new("profile", Policy::LastWriteWins),
        Collection::new("workout", Policy::Ask),
    ])
    .unwrap()
}

struct Two {
    world: World,
    wrong: Store,
    clock: Arc<WrongClock>,
    right: Store,
}

impl Two {
    /// One device whose clock is wrong by so much, and one whose clock is right. Both have `p`.
    async fn start(by_ms: i64) -> Self {
        let world = World::start().await;
        let clock = WrongClock::by(by_ms);
        let device = world.device("ann", "wrong", collections());
        let wrong = device.env(Arc::clone(&clock) as _).open().await;
        let right = world.device("ann", "right", collections()).open().await;
        let two = Self {
            world,
            wrong,
            clock,
            right,
        };
        two.right.put("profile", "p", "{\"n\":0}").await.unwrap();
        two.settle().await;
        two
    }

    async fn settle(&self) {
        for device in [&self.wrong, &self.right, &self.wrong] {
            sync(device).await;
        }
    }

    /// What both show and the server has, which must be the same.
    async fn agreed(&self, id: &str) -> Option<String> {
        let here = body(&self.right, "profile", id).await;
        assert_eq!(body(&self.wrong, "profile", id).await, here);
        assert_eq!(self.world.record("profile", id).and_then(|(body, _)| body), here);
        here
    }

    /// The clock that the server has of a record's version.
    fn clock_of(&self, id: &str) -> i64 {
        let sql = "SELECT hlc FROM record WHERE collection = 'profile' AND id = ?1";
        let raw: i64 = self.world.database().query_row(sql, [id], |row| row.get(0)).unwrap();
        Hlc::from_i64(raw).wall_ms()
    }

    async fn stop(self) {
        self.wrong.close().await.unwrap();
        self.right.close().await.unwrap();
        self.world.server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_knowing_the_other_version_stands_whatever_the_clocks_say() {
    for by_ms in WRONG {
        let two = Two::start(by_ms).await;
        for n in 1..=6 {
            let writer = if n % 2 == 0 { &two.right } else { &two.wrong };
            let text = format!("{{\"n\":{n}}}");
            writer.put("profile", "p", &text).await.unwrap();
            assert_eq!(sync(writer).await.conflicts, 0, "wrong by {by_ms}");
            two.settle().await;
            assert_eq!(two.agreed("p").await, Some(text), "wrong by {by_ms}");
        }
        // Deleted by one who knows, made again by the other.
        two.wrong.delete("profile", "p").await.unwrap();
        two.settle().await;
        assert_eq!(two.agreed("p").await, None, "wrong by {by_ms}");
        two.right.put("profile", "p", "{\"again\":1}").await.unwrap();
        sync(&two.right).await;
        two.settle().await;
        assert_eq!(
            two.agreed("p").await.as_deref(),
            Some("{\"again\":1}"),
            "wrong by {by_ms}"
        );
        two.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_apart_comes_to_one_and_the_other_can_be_found() {
    for by_ms in WRONG {
        let two = Two::start(by_ms).await;
        two.wrong.put("profile", "p", "{\"by\":\"wrong\"}").await.unwrap();
        two.right.put("profile", "p", "{\"by\":\"right\"}").await.unwrap();
        two.settle().await;
        sync(&two.right).await;
        let stands = two.agreed("p").await.unwrap();
        let mut lost = two.wrong.history("profile", "p").await.unwrap();
        lost.extend(two.right.history("profile", "p").await.unwrap());
        let other = if stands.contains("wrong") {
            "{\"by\":\"right\"}"
        } else {
            "{\"by\":\"wrong\"}"
        };
        assert!(
            lost.iter().any(|version| version.body.as_deref() == Some(other)),
            "wrong by {by_ms}: {lost:?}"
        );
        // Under `ask` no clock decides.
        two.wrong.put("workout", "w", "{\"by\":\"wrong\"}").await.unwrap();
        two.right.put("workout", "w", "{\"by\":\"right\"}").await.unwrap();
        sync(&two.wrong).await;
        sync(&two.right).await;
        assert_eq!(two.right.conflicts().await.unwrap().len(), 1, "wrong by {by_ms}");
        two.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_and_an_edit_made_apart_come_to_one_whichever_clock_is_wrong() {
    for by_ms in WRONG {
        for deletes_wrong in [true, false] {
            let two = Two::start(by_ms).await;
            let (deletes, edits) = if deletes_wrong {
                (&two.wrong, &two.right)
            } else {
                (&two.right, &two.wrong)
            };
            deletes.delete("profile", "p").await.unwrap();
            edits.put("profile", "p", "{\"n\":1}").await.unwrap();
            two.settle().await;
            sync(&two.right).await;
            two.agreed("p").await;
            two.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_far_ahead_is_told_and_does_not_drag_the_others_along() {
    for by_ms in WRONG {
        let two = Two::start(by_ms).await;
        two.wrong.put("profile", "p", "{\"by\":\"wrong\"}").await.unwrap();
        two.settle().await;
        two.right.put("profile", "p", "{\"by\":\"right\"}").await.unwrap();
        two.right.put("profile", "q", "{}").await.unwrap();
        sync(&two.right).await;
        for id in ["p", "q"] {
            let ahead = two.clock_of(id) - now_ms();
            assert!(ahead <= DAY, "wrong by {by_ms}: {ahead}");
        }
        two.stop().await;
    }
    // A device that has not heard the server's time yet writes as far ahead as its clock is.
    for (by_ms, marked) in [(5 * YEAR, true), (3 * DAY, true), (5 * HOUR, false), (-5 * YEAR, false)] {
        let world = World::start().await;
        let device = world.device("ann", "wrong", collections()).env(WrongClock::by(by_ms));
        let wrong = device.open().await;
        wrong.put("profile", "p", "{}").await.unwrap();
        sync(&wrong).await;
        let right = world.device("ann", "right", collections()).open().await;
        sync(&right).await;
        for store in [&right, &wrong] {
            let bundle = store.bundle().await.unwrap();
            let told = bundle["counters"]["clocks_clamped"].as_i64().unwrap_or(0);
            assert_eq!(told > 0, marked, "wrong by {by_ms}: {told}");
            let events = store.events(100).await.unwrap();
            let event = events.iter().find(|event| event.event == "clock_clamped");
            assert_eq!(event.is_some(), marked);
            if let Some(event) = event {
                assert_eq!(event.fields["device_id"], wrong.device_id());
                assert!(event.fields["ahead_ms"].as_i64().unwrap() > DAY);
            }
        }
        world.server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_was_set_right_wins_and_loses_as_any_other() {
    for by_ms in [5 * YEAR, 70 * YEAR] {
        let two = Two::start(by_ms).await;
        two.wrong.put("profile", "p", "{\"n\":1}").await.unwrap();
        two.settle().await;
        two.clock.set(0);
        // Written apart, first here, then there; two days of the other's clock stand for the wait until what
        // was believed of the wrong clock has passed.
        let later = WrongClock::by(2 * DAY);
        let device = two.world.device("ann", "later", collections());
        let other = device.env(Arc::clone(&later) as _).open().await;
        for id in ["p", "new"] {
            two.wrong.put("profile", id, "{\"by\":\"first\"}").await.unwrap();
            let ahead = two.clock_of("p") - now_ms();
            assert!(ahead <= 2 * DAY, "wrong by {by_ms}: {ahead}");
        }
        other.put("profile", "new", "{\"by\":\"later\"}").await.unwrap();
        sync(&two.wrong).await;
        sync(&other).await;
        sync(&two.wrong).await;
        let stands = body(&two.wrong, "profile", "new").await.unwrap();
        assert!(stands.contains("later"), "wrong by {by_ms}: {stands}");
        other.close().await.unwrap();
        two.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_years_behind_is_not_always_the_loser() {
    for by_ms in [-30 * YEAR, -5 * YEAR, -3 * DAY] {
        let two = Two::start(by_ms).await;
        two.right.put("profile", "p", "{\"by\":\"right\"}").await.unwrap();
        let first = now_ms();
        support::until(async || now_ms() > first + 5).await;
        two.wrong.put("profile", "p", "{\"by\":\"wrong\"}").await.unwrap();
        sync(&two.right).await;
        two.settle().await;
        let stands = two.agreed("p").await.unwrap();
        assert!(stands.contains("wrong"), "it was written later: {stands}");
        two.stop().await;
    }
}
