//! The first sync of real devices from the real server: its order, its progress, a kill in the middle, a
//! stall, and a collection that a later version of the app adds.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use keepsync::{
    Store,
    collection::{Collection, Collections, FirstSync},
    conflict::Policy,
    drain::Status,
    first_sync::{FirstSyncProgress, FirstSyncState},
    record::{Mutation, Query},
    store::Watch,
};
use keepsync_proxy::{Fault, Proxy};
use std::sync::Arc;
use support::app::{Passing, Watched, World, body, follow, ids, snapshot, sync};

const WORKOUTS: usize = 100;
const STATISTICS: usize = 500;
const PAGE: usize = 50;

fn collections(may_continue: bool) -> Collections {
    let required = FirstSync::Required { may_continue };
    Collections::new([
        Collection::new("workout", Policy::Ask)
            .priority(10)
            .first_sync(required),
        Collection::new("statistic", Policy::LastWriteWins).first_sync(required),
    ])
    .unwrap()
}

fn put(collection: &str, id: String) -> Mutation {
    Mutation::Put {
        collection: collection.to_owned(),
        id,
        body: "{\"a\":1}".to_owned(),
    }
}

/// A world whose server has workouts `w000`, `w001`, … and later statistics `s000`, `s001`, ….
async fn filled() -> World {
    let world = World::start().await;
    let first = world.device("ann", "first", collections(true)).open().await;
    // A workout's priority does not make it newer on the server.
    for (collection, letter, count) in [("workout", "w", WORKOUTS), ("statistic", "s", STATISTICS)] {
        let made = (0..count).map(|n| put(collection, format!("{letter}{n:03}")));
        first.write_all(made.collect()).await.unwrap();
        assert_eq!(sync(&first).await.accepted, count as u64);
    }
    first.close().await.unwrap();
    world
}

fn given(watched: &Watched) -> Vec<String> {
    let pages = watched.pages();
    pages
        .into_iter()
        .flat_map(|page| page.changes)
        .map(|change| change.id)
        .collect()
}

fn numbers(progress: &FirstSyncProgress) -> (u64, Option<u64>) {
    (progress.done, progress.total)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_sync_killed_in_the_middle_goes_on_where_it_was_newest_first() {
    const PAGES: usize = 5;
    let world = filled().await;
    let watched = Watched::new(world.http(&world.server.url("")), |number| {
        if number < PAGES {
            Passing::Well
        } else {
            Passing::AnswerHangs
        }
    });
    let device = |folder: &str, watched| {
        let device = world.device("ann", folder, collections(true)).by(watched);
        device.settings(|settings| settings.pull_page = PAGE as u32).open()
    };
    let store = device("second", &watched).await;
    let syncing = tokio::spawn({
        let store = store.clone();
        async move { store.sync().await }
    });
    // The sixth page was read by the server and is lost with the process.
    support::until(async || watched.pages().len() > PAGES).await;
    let arrived = PAGES * PAGE;
    let newest = ids(&store, "statistic").await;
    assert_eq!(newest.len(), arrived - WORKOUTS, "what has come can be used");
    assert_eq!(
        newest[0],
        format!("s{:03}", STATISTICS - newest.len()),
        "the newest of them"
    );
    assert_eq!(ids(&store, "workout").await.len(), WORKOUTS);
    assert!(matches!(store.status().await.unwrap(), Status::Syncing { .. }));
    snapshot(&world.folder.path().join("second"), &world.folder.path().join("third"));
    syncing.abort();
    drop(store);

    let again = Watched::new(world.http(&world.server.url("")), |_| Passing::Well);
    let store = device("third", &again).await;
    let progress = store.first_sync().await.unwrap();
    let all = (WORKOUTS + STATISTICS) as u64;
    assert_eq!(
        numbers(&progress),
        (arrived as u64, Some(all)),
        "it is known before the network is asked"
    );
    assert_eq!(progress.state, FirstSyncState::Waiting);
    assert_eq!(store.status().await.unwrap(), Status::NeedsFirstSync { stalled: false });
    let report = sync(&store).await;
    assert_eq!(report.pulled, all - arrived as u64);
    assert_eq!(again.asked()[0], watched.asked()[PAGES], "one page is asked twice");
    assert_eq!(again.asked().len() + watched.asked().len(), all as usize / PAGE + 1);
    // The highest priority first, the newest first, and each once.
    let mut order = given(&watched);
    order.truncate(arrived);
    order.extend(given(&again));
    let workouts = (0..WORKOUTS).rev().map(|n| format!("w{n:03}"));
    let statistics = (0..STATISTICS).rev().map(|n| format!("s{n:03}"));
    assert_eq!(order, workouts.chain(statistics).collect::<Vec<_>>());
    let progress = store.first_sync().await.unwrap();
    assert_eq!(
        (progress.state, numbers(&progress)),
        (FirstSyncState::Done, (all, Some(all)))
    );
    assert_eq!(ids(&store, "statistic").await.len(), STATISTICS);
    assert_eq!(sync(&store).await.requests, 1, "and nothing is left");
    store.close().await.unwrap();
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_progress_of_a_first_sync_can_be_followed_and_only_grows() {
    let world = filled().await;
    let device = world.device("ann", "second", collections(false));
    let store = device
        .settings(|settings| settings.pull_page = PAGE as u32)
        .open()
        .await;
    let mut watch = store.subscribe(Watch::first_sync()).unwrap();
    let before = watch.next().await.unwrap();
    assert_eq!((before.state, numbers(&before)), (FirstSyncState::Waiting, (0, None)));
    let syncing = tokio::spawn({
        let store = store.clone();
        async move { store.sync().await }
    });
    let is_over = |progress: &FirstSyncProgress| progress.state == FirstSyncState::Done;
    let seen = follow(&mut watch, is_over).await;
    syncing.await.unwrap().unwrap();
    let all = (WORKOUTS + STATISTICS) as u64;
    assert!(seen.is_sorted_by_key(|progress| progress.done));
    for progress in seen.iter().filter(|progress| progress.done > 0) {
        assert_eq!(progress.total, Some(all), "it is known from the first page on");
        let [workouts, statistics] = &progress.collections[..] else {
            unreachable!()
        };
        assert_eq!(
            (workouts.name.as_str(), workouts.total),
            ("workout", Some(WORKOUTS as u64))
        );
        assert_eq!(
            (statistics.name.as_str(), statistics.total),
            ("statistic", Some(STATISTICS as u64))
        );
        assert_eq!(workouts.done + statistics.done, progress.done);
        assert!(statistics.done == 0 || workouts.done == WORKOUTS as u64);
        let whole = progress.state == FirstSyncState::Done;
        assert_eq!((workouts.complete, statistics.complete), (whole, whole));
    }
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_made_during_a_first_sync_come_with_it_and_what_was_deleted_is_gone_at_its_end() {
    let world = filled().await;
    let other = world.device("ann", "other", collections(true)).open().await;
    sync(&other).await;
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let (stop, gone) = (std::sync::Mutex::new(stop), std::sync::Mutex::new(gone));
    let watched = Watched::new(world.http(&world.server.url("")), move |number| {
        if number == 4 {
            stop.lock().unwrap().send(()).unwrap();
            gone.lock().unwrap().recv().unwrap();
        }
        Passing::Well
    });
    let device = world.device("ann", "second", collections(true)).by(&watched);
    let store = device
        .settings(|settings| settings.pull_page = PAGE as u32)
        .open()
        .await;
    let syncing = tokio::spawn({
        let store = store.clone();
        async move { sync(&store).await }
    });
    tokio::task::spawn_blocking(move || stopped.recv().unwrap())
        .await
        .unwrap();
    // 100 workouts and statistics 400 to 499 are there.
    other.put("statistic", "s450", "{\"a\":2}").await.unwrap();
    other.put("statistic", "s010", "{\"a\":2}").await.unwrap();
    other.delete("statistic", "s451").await.unwrap();
    other.delete("statistic", "s011").await.unwrap();
    other.put("workout", "new", "{\"a\":2}").await.unwrap();
    sync(&other).await;
    go.send(()).unwrap();
    syncing.await.unwrap();
    for collection in ["workout", "statistic"] {
        assert_eq!(ids(&store, collection).await, ids(&other, collection).await);
    }
    for id in ["s450", "s010"] {
        assert_eq!(
            body(&store, "statistic", id).await.as_deref(),
            Some("{\"a\":2}"),
            "{id}"
        );
    }
    assert_eq!(sync(&store).await.pulled, 0);
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collection_that_a_later_version_of_the_app_adds_comes_from_its_own_start() {
    let world = filled().await;
    let only = |names: &[&str]| {
        let one = |name: &&str| Collection::new(*name, Policy::LastWriteWins);
        Collections::new(names.iter().map(one)).unwrap()
    };
    let store = world.device("ann", "phone", only(&["workout"])).open().await;
    assert_eq!(sync(&store).await.pulled, WORKOUTS as u64);
    store.put("workout", "w007", "{\"a\":2}").await.unwrap();
    sync(&store).await;
    assert_eq!(sync(&store).await.pulled, 1, "its own write comes back once");
    store.close().await.unwrap();

    let watched = Watched::new(world.http(&world.server.url("")), |_| Passing::Well);
    let device = world
        .device("ann", "phone", only(&["workout", "statistic"]))
        .by(&watched);
    let store = device.open().await;
    let report = sync(&store).await;
    assert_eq!(report.pulled, STATISTICS as u64, "nothing of the other again");
    let asked = watched.asked();
    assert_eq!(
        asked[0].cursors.iter().find(|(name, _)| name == "statistic").unwrap().1,
        None
    );
    assert_eq!(ids(&store, "statistic").await.len(), STATISTICS);
    assert_eq!(body(&store, "workout", "w007").await.as_deref(), Some("{\"a\":2}"));
    assert_eq!(sync(&store).await.requests, 1);
    store.close().await.unwrap();
    world.server.stop().await;
}

/// A device whose first sync hangs after three pages, and the proxy that makes it.
async fn stalled(world: &World, may_continue: bool) -> (Store, Arc<Proxy>, Arc<Watched>) {
    let proxy = Arc::new(Proxy::start(world.server.address).await.unwrap());
    let watched = Watched::new(world.http(&proxy.url()), {
        let proxy = Arc::clone(&proxy);
        move |number| {
            if number == 3 {
                proxy.next("v1/pull", Fault::BlackHole);
            }
            Passing::Well
        }
    });
    let name = format!("stalled-{may_continue}");
    let device = world.device("ann", &name, collections(may_continue)).by(&watched);
    let device = device.settings(|settings| {
        settings.pull_page = PAGE as u32;
        settings.first_sync_limit_ms = 300;
    });
    let store = device.open().await;
    let mut watch = store.subscribe(Watch::first_sync()).unwrap();
    tokio::spawn({
        let store = store.clone();
        async move { store.sync().await }
    });
    // It may have been short of time before it began; what counts is the hanging request.
    let hangs = |it: &FirstSyncProgress| it.state == FirstSyncState::Stalled && it.done == 3 * PAGE as u64;
    let seen = follow(&mut watch, hangs).await;
    assert_eq!(seen.last().unwrap().may_continue, may_continue);
    assert_eq!(store.status().await.unwrap(), Status::NeedsFirstSync { stalled: true });
    (store, proxy, watched)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_sync_that_stalls_says_so_and_a_retry_goes_on_where_it_was() {
    let world = filled().await;
    let (store, _proxy, watched) = stalled(&world, false).await;
    // Nothing is locked, and nothing that is written meanwhile is lost.
    store.put("workout", "mine", "{\"a\":3}").await.unwrap();
    let refused = store.continue_without_first_sync().await.unwrap_err();
    assert!(refused.to_string().contains("statistic"), "{refused}");
    assert_eq!(store.status().await.unwrap(), Status::NeedsFirstSync { stalled: true });

    let report = store.retry_first_sync().await.unwrap();
    let all = (WORKOUTS + STATISTICS) as u64;
    assert_eq!(
        (report.pulled, report.accepted),
        (all - 3 * PAGE as u64, 1),
        "{report:?}"
    );
    assert_eq!(watched.asked()[4], watched.asked()[3], "the request that hung");
    assert_eq!(given(&watched).len(), all as usize, "no page twice");
    assert_eq!(store.first_sync().await.unwrap().state, FirstSyncState::Done);
    assert_eq!(store.status().await.unwrap(), Status::Idle);
    assert_eq!(ids(&store, "workout").await.len(), WORKOUTS + 1);
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_app_allows_it_a_user_goes_on_without_the_first_sync_and_it_comes_later() {
    let world = filled().await;
    let (store, _proxy, _) = stalled(&world, true).await;
    store.continue_without_first_sync().await.unwrap();
    let progress = store.first_sync().await.unwrap();
    assert_eq!((progress.state, progress.done), (FirstSyncState::Done, 3 * PAGE as u64));
    assert!(
        matches!(store.status().await.unwrap(), Status::Syncing { .. }),
        "the request still hangs"
    );
    store.put("workout", "mine", "{\"a\":3}").await.unwrap();
    store.retry_first_sync().await.unwrap();
    assert_eq!(
        store
            .query(Query::new("statistic").limit(1_000))
            .await
            .unwrap()
            .records
            .len(),
        STATISTICS
    );
    assert_eq!(store.status().await.unwrap(), Status::Idle);
    let progress = store.first_sync().await.unwrap();
    assert!(progress.collections.iter().all(|collection| collection.complete));
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_sync_that_cannot_begin_stalls_too() {
    let world = World::start().await;
    let device = world.device("ann", "phone", collections(false));
    let mut device = device.settings(|settings| settings.first_sync_limit_ms = 200);
    // Nobody listens there.
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    device.url = format!("http://{}", nowhere.local_addr().unwrap());
    drop(nowhere);
    let store = device.open().await;
    let mut watch = store.subscribe(Watch::status()).unwrap();
    let stalled = |status: &Status| *status == Status::NeedsFirstSync { stalled: true };
    follow(&mut watch, stalled).await;
    let report = store.retry_first_sync().await.unwrap();
    assert!(report.pull.failed());
    follow(&mut watch, stalled).await;
    store.close().await.unwrap();
    world.server.stop().await;
}
