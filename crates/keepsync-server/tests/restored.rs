//! Real devices whose real server goes back to a backup, or begins with nothing.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use keepsync::{
    Store,
    record::{Query, RecordState},
    settings::Settings,
};
use keepsync_server::{backup, restore};
use rusqlite::Connection;
use std::{collections::BTreeMap, fs, path::Path};
use support::{
    Running,
    devices::{World, sync},
};
use uuid::Uuid;

/// The operations the server has applied, in the order of their commits.
fn applied(data: &Path) -> Vec<Uuid> {
    let conn = Connection::open(data.join("server.db")).unwrap();
    let mut statement = conn.prepare("SELECT op FROM applied ORDER BY change").unwrap();
    let rows = statement
        .query_map([], |row| Ok(Uuid::from_bytes(row.get(0)?)))
        .unwrap();
    rows.collect::<rusqlite::Result<_>>().unwrap()
}

/// All that a device shows, none of it waiting for anything.
async fn shown(store: &Store) -> BTreeMap<(String, String), String> {
    let mut shown = BTreeMap::new();
    for collection in ["note", "profile", "tag"] {
        for record in store.query(Query::new(collection).limit(1_000)).await.unwrap().records {
            assert_eq!(record.state, RecordState::Synced, "{collection}/{}", record.id);
            shown.insert((collection.to_owned(), record.id), record.body.unwrap());
        }
    }
    shown
}

async fn body(store: &Store, collection: &str, id: &str) -> Option<String> {
    store.get(collection, id).await.unwrap().and_then(|record| record.body)
}

/// The server stops, its data goes, and one without any begins under the same address.
async fn reset(world: &mut World, running: Running) -> Running {
    running.stop().await;
    for file in ["server.db", "server.db-wal", "server.db-shm"] {
        let _ = fs::remove_file(world.data.join(file));
    }
    world.start().await
}

async fn go_back(world: &mut World, running: Running, file: &Path) -> Running {
    running.stop().await;
    restore(&world.data, file).unwrap();
    world.start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_above_the_branch_goes_again_under_its_ids_oldest_first() {
    let mut world = World::new();
    let running = world.start().await;
    let phone = world.device(&running, "phone").await;
    let file = world.folder.path().join("backup.db");
    for n in 0..30 {
        // Several versions of some, so that the order within a record counts too.
        phone
            .put("note", &format!("n{}", n % 12), &format!("{{\"n\":{n}}}"))
            .await
            .unwrap();
        sync(&phone).await;
        if n == 9 {
            backup(&world.data, &file).unwrap();
        }
    }
    phone.delete("note", "n3").await.unwrap();
    sync(&phone).await;
    let (before, seen) = (applied(&world.data), shown(&phone).await);
    assert_eq!(before.len(), 31);

    let running = go_back(&mut world, running, &file).await;
    assert_eq!(applied(&world.data), before[..10]);
    phone.put("note", "while", "{}").await.unwrap();
    let report = sync(&phone).await;
    assert_eq!(report.pulled, 10, "the cursors start afresh");
    let after = applied(&world.data);
    assert_eq!(after[..31], before, "the same ids in the same order");
    assert_eq!(after.len(), 32, "and what was unsent after them, once");
    let mut expected = seen;
    expected.insert(("note".to_owned(), "while".to_owned()), "{}".to_owned());
    assert_eq!(shown(&phone).await, expected);
    sync(&phone).await;
    assert_eq!(sync(&phone).await.pulled, 0);
    assert!(phone.conflicts().await.unwrap().is_empty());
    phone.close().await.unwrap();
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_devices_that_wrote_in_turn_agree_again_whoever_comes_first() {
    for phone_first in [true, false] {
        let mut world = World::new();
        let running = world.start().await;
        let phone = world.device(&running, "phone").await;
        let tablet = world.device(&running, "tablet").await;
        let file = world.folder.path().join("backup.db");
        phone.put("profile", "p", r#"{"n":0}"#).await.unwrap();
        sync(&phone).await;
        backup(&world.data, &file).unwrap();
        for n in 1..=4 {
            let device = if n % 2 == 1 { &tablet } else { &phone };
            sync(device).await;
            device.put("profile", "p", &format!("{{\"n\":{n}}}")).await.unwrap();
            sync(device).await;
        }
        tablet.put("note", "tablets", "{}").await.unwrap();
        sync(&tablet).await;

        let running = go_back(&mut world, running, &file).await;
        let order = if phone_first {
            [&phone, &tablet]
        } else {
            [&tablet, &phone]
        };
        for _ in 0..3 {
            for device in order {
                sync(device).await;
            }
        }
        let fresh = world.device(&running, "fresh").await;
        sync(&fresh).await;
        let all = shown(&fresh).await;
        assert_eq!(shown(&phone).await, all, "phone first: {phone_first}");
        assert_eq!(shown(&tablet).await, all, "phone first: {phone_first}");
        assert_eq!(all.len(), 2);
        let last = body(&fresh, "profile", "p").await;
        assert_eq!(last.as_deref(), Some(r#"{"n":4}"#), "the latest write stands");
        for store in [phone, tablet, fresh] {
            store.close().await.unwrap();
        }
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_begins_with_nothing_gets_everything_the_journals_hold() {
    let mut world = World::new();
    let running = world.start().await;
    let phone = world.device(&running, "phone").await;
    let tablet = world.device(&running, "tablet").await;
    for n in 0..40 {
        let device = if n % 2 == 0 { &phone } else { &tablet };
        device
            .put("note", &format!("n{n}"), &format!("{{\"n\":{n}}}"))
            .await
            .unwrap();
    }
    for device in [&phone, &tablet, &phone] {
        sync(device).await;
    }
    phone.put("note", "n1", r#"{"of":"tablet's"}"#).await.unwrap();
    sync(&phone).await;
    sync(&tablet).await;
    tablet.put("note", "unsent", "{}").await.unwrap();
    let mut expected = shown(&phone).await;
    expected.insert(("note".to_owned(), "unsent".to_owned()), "{}".to_owned());

    let running = reset(&mut world, running).await;
    assert!(applied(&world.data).is_empty());
    for _ in 0..2 {
        for device in [&tablet, &phone] {
            sync(device).await;
        }
    }
    sync(&tablet).await;
    assert_eq!(shown(&tablet).await, expected);
    assert_eq!(shown(&phone).await, expected);
    let fresh = world.device(&running, "fresh").await;
    sync(&fresh).await;
    assert_eq!(shown(&fresh).await, expected);
    for store in [phone, tablet, fresh] {
        store.close().await.unwrap();
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_older_than_the_journal_is_lost_with_the_server_but_not_from_the_history() {
    let mut world = World::new();
    let running = world.start().await;
    let settings = Settings {
        journal_count: 5,
        ..Settings::default()
    };
    let phone = world.device_with(&running, "phone", settings).await;
    for n in 0..12 {
        phone
            .put("note", &format!("n{n:02}"), &format!("{{\"n\":{n}}}"))
            .await
            .unwrap();
        sync(&phone).await;
    }
    let running = reset(&mut world, running).await;
    sync(&phone).await;
    sync(&phone).await;
    let ids: Vec<String> = shown(&phone).await.into_keys().map(|(_, id)| id).collect();
    assert_eq!(ids, ["n07", "n08", "n09", "n10", "n11"]);
    let history = phone.history("note", "n00").await.unwrap();
    assert_eq!(history[0].reason, "lost_by_server");
    assert_eq!(history[0].body.as_deref(), Some(r#"{"n":0}"#));
    phone.close().await.unwrap();
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_that_waits_on_a_lost_version_arrives_under_each_policy() {
    for (collection, lost_first) in [("profile", true), ("profile", false), ("tag", true), ("tag", false)] {
        let mut world = World::new();
        let running = world.start().await;
        let phone = world.device(&running, "phone").await;
        let tablet = world.device(&running, "tablet").await;
        phone.put(collection, "r", r#"{"n":0}"#).await.unwrap();
        sync(&phone).await;
        let file = world.folder.path().join("backup.db");
        backup(&world.data, &file).unwrap();
        for n in 1..=2 {
            phone.put(collection, "r", &format!("{{\"n\":{n}}}")).await.unwrap();
            sync(&phone).await;
        }
        sync(&tablet).await;
        // Made on version 3, of which the server keeps the first only.
        tablet.put(collection, "r", r#"{"n":3}"#).await.unwrap();

        let running = go_back(&mut world, running, &file).await;
        let order = if lost_first {
            [&phone, &tablet]
        } else {
            [&tablet, &phone]
        };
        for _ in 0..3 {
            for device in order {
                sync(device).await;
            }
        }
        let told = format!("{collection}, {lost_first}");
        let (here, there) = (
            body(&phone, collection, "r").await,
            body(&tablet, collection, "r").await,
        );
        assert_eq!(here, there, "{told}");
        let kept = here.as_deref() == Some(r#"{"n":3}"#);
        let mut histories = phone.history(collection, "r").await.unwrap();
        histories.extend(tablet.history(collection, "r").await.unwrap());
        let in_history = histories
            .iter()
            .any(|version| version.body.as_deref() == Some(r#"{"n":3}"#));
        assert!(kept || in_history, "{told}: it is nowhere");
        if collection == "profile" {
            assert!(kept, "{told}: the latest write stands");
        }
        phone.close().await.unwrap();
        tablet.close().await.unwrap();
        running.stop().await;
    }
}
