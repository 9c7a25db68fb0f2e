//! Real devices and the real server: a tombstone that was forgotten, and a server that was restored.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use keepsync::{Store, record::RecordState};
use keepsync_server::{backup, restore};
use rusqlite::Connection;
use std::path::Path;
use support::devices::{World, sync};

async fn ids(store: &Store) -> Vec<String> {
    let page = store
        .query(keepsync::record::Query::new("note").limit(1_000))
        .await
        .unwrap();
    assert!(page.records.iter().all(|record| record.state == RecordState::Synced));
    let mut ids: Vec<String> = page.records.into_iter().map(|record| record.id).collect();
    ids.sort();
    ids
}

/// Makes everything on the server as old as if it had been left alone for so many days.
fn age(data: &Path, days: i64) {
    let conn = Connection::open(data.join("server.db")).unwrap();
    let ms = days * 24 * 60 * 60 * 1_000;
    conn.execute("UPDATE record SET updated_at = updated_at - ?1", [ms])
        .unwrap();
    conn.execute("UPDATE applied SET at = at - ?1", [ms]).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_was_away_for_longer_than_tombstones_are_kept_loses_what_was_deleted_and_nothing_else() {
    let mut world = World::new();
    let running = world.start().await;
    let phone = world.device(&running, "phone").await;
    let tablet = world.device(&running, "tablet").await;
    for n in 0..450 {
        phone.put("note", &format!("n{n:03}"), "{\"a\":1}").await.unwrap();
    }
    sync(&phone).await;
    sync(&tablet).await;
    assert_eq!(ids(&tablet).await.len(), 450);
    tablet.close().await.unwrap();
    for gone in ["n007", "n449"] {
        phone.delete("note", gone).await.unwrap();
    }
    phone.put("note", "n100", "{\"a\":2}").await.unwrap();
    sync(&phone).await;
    phone.close().await.unwrap();
    running.stop().await;
    age(&world.data, 91);

    let running = world.start().await;
    let left = || {
        let conn = Connection::open(world.data.join("server.db")).unwrap();
        conn.query_row("SELECT count(*) FROM record WHERE body IS NULL", [], |row| {
            row.get::<_, i64>(0)
        })
        .unwrap()
    };
    support::until(async || left() == 0).await;
    let tablet = world.device(&running, "tablet").await;
    // Written while it was away; it must arrive.
    tablet.put("note", "new", "{}").await.unwrap();
    sync(&tablet).await;
    let here = ids(&tablet).await;
    assert_eq!(here.len(), 449);
    assert!(!here.contains(&"n007".to_owned()) && !here.contains(&"n449".to_owned()));
    assert_eq!(
        tablet.get("note", "n100").await.unwrap().unwrap().body.as_deref(),
        Some("{\"a\":2}")
    );
    // Its own write comes back once; nothing else does.
    assert!(sync(&tablet).await.pulled <= 1, "it does not start over again");
    assert_eq!(sync(&tablet).await.pulled, 0);
    let phone = world.device(&running, "phone").await;
    sync(&phone).await;
    assert_eq!(ids(&phone).await, here);
    // Made again, on both at once: one conflict, and no version from before the tombstone fits.
    phone.put("note", "n007", "{\"b\":1}").await.unwrap();
    sync(&phone).await;
    sync(&tablet).await;
    assert_eq!(ids(&tablet).await.len(), 450);
    tablet.close().await.unwrap();
    phone.close().await.unwrap();
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_give_a_restored_server_again_what_it_lost() {
    let mut world = World::new();
    let running = world.start().await;
    let phone = world.device(&running, "phone").await;
    let tablet = world.device(&running, "tablet").await;
    for n in 0..10 {
        phone.put("note", &format!("old{n}"), "{}").await.unwrap();
    }
    sync(&phone).await;
    let file = world.folder.path().join("backup.db");
    backup(&world.data, &file).unwrap();
    for n in 0..10 {
        phone.put("note", &format!("new{n}"), "{}").await.unwrap();
    }
    phone.put("note", "old3", "{\"a\":1}").await.unwrap();
    sync(&phone).await;
    tablet.put("note", "tablets", "{}").await.unwrap();
    sync(&tablet).await;
    running.stop().await;
    restore(&world.data, &file).unwrap();

    let running = world.start().await;
    sync(&phone).await;
    sync(&tablet).await;
    sync(&phone).await;
    let here = ids(&phone).await;
    assert_eq!(here.len(), 21);
    assert_eq!(ids(&tablet).await, here);
    let fresh = world.device(&running, "fresh").await;
    sync(&fresh).await;
    assert_eq!(ids(&fresh).await, here);
    assert_eq!(
        fresh.get("note", "old3").await.unwrap().unwrap().body.as_deref(),
        Some("{\"a\":1}")
    );
    for store in [phone, tablet, fresh] {
        store.close().await.unwrap();
    }
    running.stop().await;
}
