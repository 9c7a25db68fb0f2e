//! A write that is waited for until the real server has it, and every way in which it falls back to the
//! queue.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use keepsync::{
    Store,
    collection::{Collection, Collections},
    conflict::Policy,
    queue::EntryState,
    store::Confirmation,
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};
use support::app::{Passing, Watched, World, sync};

/// Long enough for anything that does not hang.
const LONG: u64 = 30_000;

fn collections() -> Collections {
    Collections::new([
        Collection::new("workout", Policy::Ask),
        Collection::new("set_log", Policy::ClientWins)
            .child_of("workout", "workout_id")
            .settles_itself(),
    ])
    .unwrap()
}

fn watched(world: &World, way: impl Fn(usize) -> Passing + Send + Sync + 'static) -> Arc<Watched> {
    Watched::both(world.http(&world.server.url("")), |_| Passing::Well, way)
}

async fn device(world: &World, name: &str, watched: &Arc<Watched>) -> Store {
    let device = world.device("ann", name, collections()).by(watched);
    // A write by itself would go out with its neighbours, after an hour.
    let slow = device.settings(|settings| {
        settings.automatic = true;
        settings.write_delay_ms = 3_600_000;
    });
    let store = slow.open().await;
    sync(&store).await;
    store
}

fn queued(why: &str) -> Confirmation {
    Confirmation::Queued { why: why.to_owned() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_is_waited_for_is_on_the_server_when_it_is_confirmed() {
    let world = World::start().await;
    let watched = watched(&world, |_| Passing::Well);
    let store = device(&world, "phone", &watched).await;
    let (body, op) = (
        "{\"n\":1}",
        store.put("workout", "w", "{\"n\":1}").await.unwrap().op.unwrap(),
    );
    assert_eq!(store.confirmed(op, LONG).await.unwrap(), Confirmation::Confirmed);
    assert_eq!(world.record("workout", "w"), Some((Some(body.to_owned()), 1)));
    assert_eq!(
        store.confirmed(op, 0).await.unwrap(),
        Confirmation::Confirmed,
        "also when asked later"
    );
    let op = store.patch("workout", "w", "{\"m\":2}").await.unwrap().op.unwrap();
    assert_eq!(store.confirmed(op, LONG).await.unwrap(), Confirmation::Confirmed);
    assert_eq!(world.record("workout", "w").unwrap().1, 2);
    let op = store.delete("workout", "w").await.unwrap().op.unwrap();
    assert_eq!(store.confirmed(op, LONG).await.unwrap(), Confirmation::Confirmed);
    assert_eq!(world.record("workout", "w"), Some((None, 3)));
    // A session that is completed takes what it must follow along.
    let session = store.start_session("workout", "set_log", "s", "{}").await.unwrap().id;
    store.log_set("workout", &session, "squat/1", "{}").await.unwrap();
    let op = store
        .complete_session("workout", &session, "{}")
        .await
        .unwrap()
        .op
        .unwrap();
    assert_eq!(store.confirmed(op, LONG).await.unwrap(), Confirmation::Confirmed);
    assert_eq!(store.queue_counts().await.unwrap().total(), 0);
    let nothing = store.confirmed(uuid::Uuid::from_u128(7), LONG).await.unwrap_err();
    assert_eq!(nothing.code(), "not_found");
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_its_time_is_up_the_write_is_queued_and_arrives_later_once() {
    let world = World::start().await;
    // The server does it; nobody hears of it.
    let watched = watched(&world, |number| {
        if number == 0 {
            Passing::AnswerHangs
        } else {
            Passing::Well
        }
    });
    let store = device(&world, "phone", &watched).await;
    let op = store.put("workout", "w", "{}").await.unwrap().op.unwrap();
    assert_eq!(store.confirmed(op, 200).await.unwrap(), queued("time_limit"));
    let entry = store.entry(op).await.unwrap();
    assert!(entry.maybe_sent && entry.state == EntryState::Waiting);
    store.cancel();
    let again = store.put("workout", "w", "{\"n\":2}").await.unwrap().op.unwrap();
    assert_eq!(store.confirmed(again, LONG).await.unwrap(), Confirmation::Confirmed);
    assert_eq!(store.confirmed(op, 0).await.unwrap(), Confirmation::Confirmed);
    assert_eq!(world.record("workout", "w"), Some((Some("{\"n\":2}".to_owned()), 2)));
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_network_the_write_falls_back_to_the_queue_at_once() {
    let world = World::start().await;
    let online = Arc::new(AtomicBool::new(false));
    let network = online.clone();
    let watched = watched(&world, move |_| match network.load(Relaxed) {
        true => Passing::Well,
        false => Passing::Offline,
    });
    let store = device(&world, "phone", &watched).await;
    let op = store.put("workout", "w", "{}").await.unwrap().op.unwrap();
    assert_eq!(store.confirmed(op, LONG).await.unwrap(), queued("offline"));
    assert_eq!(store.entry(op).await.unwrap().attempts, 0);
    online.store(true, Relaxed);
    // The next one asks whether the network is back, and takes the first along.
    let next = store.put("workout", "x", "{}").await.unwrap().op.unwrap();
    assert_eq!(store.confirmed(next, LONG).await.unwrap(), Confirmation::Confirmed);
    assert_eq!(store.confirmed(op, 0).await.unwrap(), Confirmation::Confirmed);

    let mut alone = world.device("ann", "alone", collections()).options;
    alone.place = keepsync::Place::Memory;
    let alone = Store::open(alone, None).await.unwrap();
    let op = alone.put("workout", "w", "{}").await.unwrap().op.unwrap();
    assert_eq!(alone.confirmed(op, LONG).await.unwrap(), queued("local_only"));
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_write_says_so_and_what_waits_behind_it_does_too() {
    let schema = r#"{"type":"object","properties":{"n":{"minimum":1}}}"#;
    let world = World::with(&[("workout", schema)]).await;
    let store = device(&world, "phone", &watched(&world, |_| Passing::Well)).await;
    let op = store.put("workout", "w", "{\"n\":0}").await.unwrap().op.unwrap();
    assert_eq!(store.confirmed(op, LONG).await.unwrap(), queued("validation"));
    assert_eq!(store.entry(op).await.unwrap().state, EntryState::Parked);
    let set = store
        .put("set_log", "s", "{\"workout_id\":\"w\"}")
        .await
        .unwrap()
        .op
        .unwrap();
    let Confirmation::Queued { .. } = store.confirmed(set, LONG).await.unwrap() else {
        unreachable!()
    };
    // The user mends it: another operation in its place.
    let mended = store.edit_entry(op, "{\"n\":1}").await.unwrap();
    assert_eq!(store.confirmed(mended, LONG).await.unwrap(), Confirmation::Confirmed);
    assert_eq!(store.confirmed(set, LONG).await.unwrap(), Confirmation::Confirmed);
    let op = store.put("workout", "w", "{\"n\":0}").await.unwrap().op.unwrap();
    assert_eq!(store.confirmed(op, LONG).await.unwrap(), queued("validation"));
    store.discard_entry(op, true).await.unwrap();
    assert_eq!(store.confirmed(op, LONG).await.unwrap(), Confirmation::Gone);
    let never = uuid::Uuid::nil();
    assert_eq!(store.confirmed(never, LONG).await.unwrap_err().code(), "not_found");
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_that_a_policy_settles_is_confirmed_and_one_for_the_user_is_queued() {
    let world = World::start().await;
    let phone = device(&world, "phone", &watched(&world, |_| Passing::Well)).await;
    let tablet = device(&world, "tablet", &watched(&world, |_| Passing::Well)).await;
    for (collection, body) in [("workout", "{}"), ("set_log", "{\"workout_id\":\"w\"}")] {
        phone.put(collection, "w", body).await.unwrap();
    }
    sync(&phone).await;
    sync(&tablet).await;
    for collection in ["workout", "set_log"] {
        phone.patch(collection, "w", "{\"n\":1}").await.unwrap();
    }
    sync(&phone).await;
    let set = tablet.patch("set_log", "w", "{\"n\":2}").await.unwrap().op.unwrap();
    assert_eq!(tablet.confirmed(set, LONG).await.unwrap(), Confirmation::Confirmed);
    assert!(world.record("set_log", "w").unwrap().0.unwrap().contains("\"n\":2"));
    let workout = tablet.patch("workout", "w", "{\"n\":2}").await.unwrap().op.unwrap();
    assert_eq!(tablet.confirmed(workout, LONG).await.unwrap(), queued("conflict"));
    assert_eq!(tablet.conflicts().await.unwrap().len(), 1);
    world.server.stop().await;
}
