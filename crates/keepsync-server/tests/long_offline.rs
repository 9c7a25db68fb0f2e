//! A week and more offline: thousands of writes of many collections go out in batches, what matters most
//! first, the oldest first within it, and the progress can be seen.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use keepsync::{
    collection::{Collection, Collections},
    conflict::Policy,
    drain::Status,
    record::Mutation,
    store::Watch,
};
use std::collections::BTreeMap;
use support::app::{Passing, Watched, World, ids, sync};

const COLLECTIONS: usize = 10;
const EACH: usize = 500;

fn name(n: usize) -> String {
    format!("kind_{n}")
}

/// Pairs of collections share a priority; the last ones matter most.
fn priority(n: usize) -> i32 {
    (n / 2) as i32 * 10
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_long_time_offline_the_queue_goes_out_by_priority_then_age_in_few_requests() {
    let world = World::start().await;
    let registered = (0..COLLECTIONS).map(|n| Collection::new(name(n), Policy::Ask).priority(priority(n)));
    let collections = Collections::new(registered).unwrap();
    let watched = Watched::new(world.http(&world.server.url("")), |_| Passing::Well);
    let store = world
        .device("ann", "phone", collections.clone())
        .by(&watched)
        .open()
        .await;
    // Written in turn, so that no order but the queue's own brings them together.
    let mut made = Vec::new();
    for n in 0..COLLECTIONS * EACH {
        let collection = n % COLLECTIONS;
        made.push((collection, format!("r{:05}", n)));
    }
    for some in made.chunks(250) {
        let put = |(collection, id): &(usize, String)| Mutation::Put {
            collection: name(*collection),
            id: id.clone(),
            body: format!("{{\"note\":\"written offline\",\"id\":\"{id}\"}}"),
        };
        store.write_all(some.iter().map(put).collect()).await.unwrap();
    }
    assert_eq!(store.queue_counts().await.unwrap().waiting, made.len() as u64);

    let mut watch = store.subscribe(Watch::status()).unwrap();
    let mut syncing = tokio::spawn({
        let store = store.clone();
        async move { sync(&store).await }
    });
    let mut seen = Vec::new();
    let report = loop {
        tokio::select! {
            report = &mut syncing => break report.unwrap(),
            status = watch.next() => if let Status::Syncing { done, total } = status.unwrap() {
                seen.push((done, total));
            }
        }
    };
    let all = made.len() as u64;
    assert_eq!((report.accepted, report.conflicts, report.parked), (all, 0, 0));
    // One pull, and batches of two hundred.
    assert_eq!(
        (report.requests, watched.pushed().len()),
        (1 + all / 200, all as usize / 200)
    );
    assert!(watched.pushed().iter().all(|items| *items == 200));
    let pushing: Vec<(u64, u64)> = seen.into_iter().filter(|(_, total)| *total == all).collect();
    assert!(pushing.is_sorted_by_key(|(done, _)| *done), "{pushing:?}");
    assert!(pushing.iter().all(|(done, _)| done % 200 == 0));
    assert!(!pushing.is_empty(), "it can be followed");

    let there = world.database();
    let mut statement = there
        .prepare("SELECT collection, id FROM record ORDER BY change")
        .unwrap();
    let order: Vec<(String, String)> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let mut expected: BTreeMap<i32, Vec<(String, String)>> = BTreeMap::new();
    for (collection, id) in made {
        expected
            .entry(-priority(collection))
            .or_default()
            .push((name(collection), id));
    }
    assert!(
        order == expected.into_values().flatten().collect::<Vec<_>>(),
        "by priority, then by age"
    );
    let tablet = world.device("ann", "tablet", collections).open().await;
    assert_eq!(sync(&tablet).await.pulled, all);
    for n in 0..COLLECTIONS {
        assert_eq!(ids(&tablet, &name(n)).await.len(), EACH);
    }
    world.server.stop().await;
}
