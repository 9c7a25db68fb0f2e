//! The field-work app (seed `expo-sqlite-convex-offline-plan.md`): its tables registered in one line, the
//! device always wins, push then pull, an initial sync before it may be used, three retries.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use keepsync::{
    Store,
    collection::{Collection, Collections, FirstSync},
    conflict::Policy,
    drain::{HalfResult, Status},
    record::RecordState,
    settings::{Order, Settings},
    store::Confirmation,
};
use std::sync::Arc;
use support::app::{Passing, Watched, World, body, ids, sync};

const TABLES: usize = 24;

fn tables() -> impl Iterator<Item = String> {
    (0..TABLES).map(|n| format!("table_{n:02}"))
}

async fn mobile(world: &World, name: &str, watched: &Arc<Watched>) -> Store {
    let device = world
        .device("ann", name, Collections::field(tables()).unwrap())
        .by(watched);
    let device = device.settings(|settings| {
        *settings = Settings {
            automatic: false,
            ..Settings::field_mode()
        }
    });
    device.open().await
}

/// The desk: creates, updates and deletes, and says nothing about who wins.
async fn web(world: &World) -> Store {
    let plain = |name| Collection::new(name, Policy::LastWriteWins).first_sync(FirstSync::NotRequired);
    let web = world.device("ann", "web", Collections::new(tables().map(plain)).unwrap());
    web.open().await
}

fn well(world: &World) -> Arc<Watched> {
    Watched::new(world.http(&world.server.url("")), |_| Passing::Well)
}

#[test]
fn field_mode_is_what_the_plan_asks_for() {
    let settings = Settings::field_mode();
    assert_eq!(
        (settings.order, settings.retry_schedule_ms.len()),
        (Order::PushThenPull, 3)
    );
    assert_eq!(Collections::field(tables()).unwrap().iter().count(), TABLES);
    assert!(Collections::field(["tasks", "tasks"]).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_is_told_to_sync_first_and_no_table_can_be_gone_on_without() {
    let world = World::start().await;
    let web = web(&world).await;
    for table in tables() {
        web.put(&table, "made at the desk", "{\"by\":\"web\"}").await.unwrap();
    }
    sync(&web).await;
    let http = world.http(&world.server.url(""));
    let offline = Watched::both(http, |_| Passing::Offline, |_| Passing::Offline);
    let store = mobile(&world, "phone", &offline).await;
    assert_eq!(store.status().await.unwrap(), Status::NeedsFirstSync { stalled: false });
    assert!(store.retry_first_sync().await.unwrap().pull.failed());
    let refused = store.continue_without_first_sync().await.unwrap_err();
    assert!(refused.to_string().contains("table_00"), "{refused}");
    // The gate is the app's to close; what is written all the same is kept.
    store.put("table_03", "early", "{}").await.unwrap();
    assert_eq!(store.status().await.unwrap(), Status::NeedsFirstSync { stalled: false });
    store.close().await.unwrap();

    let store = mobile(&world, "phone", &well(&world)).await;
    let report = sync(&store).await;
    // Pushed first, so its own write is among what comes.
    assert_eq!((report.accepted, report.pulled), (1, TABLES as u64 + 1));
    assert_eq!(store.status().await.unwrap(), Status::Idle);
    for table in tables() {
        assert!(body(&store, &table, "made at the desk").await.is_some(), "{table}");
    }
    // From now on it can be used offline, also after a restart.
    store.close().await.unwrap();
    let store = mobile(&world, "phone", &offline).await;
    assert_eq!(store.status().await.unwrap(), Status::Idle);
    store.put("table_07", "in the field", "{}").await.unwrap();
    assert!(store.sync().await.unwrap().push.failed());
    assert_eq!(store.status().await.unwrap(), Status::Offline);
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_creates_and_updates_in_every_table_and_deletes_in_none() {
    let world = World::start().await;
    let store = mobile(&world, "phone", &well(&world)).await;
    sync(&store).await;
    for table in tables() {
        store.put(&table, "task", "{\"text\":\"a\"}").await.unwrap();
    }
    sync(&store).await;
    for table in tables() {
        store.patch(&table, "task", "{\"done\":true}").await.unwrap();
        assert_eq!(store.delete(&table, "task").await.unwrap_err().code(), "no_deletes");
    }
    let report = sync(&store).await;
    assert_eq!((report.accepted, report.conflicts), (TABLES as u64, 0));
    for table in tables() {
        let (body, version) = world.record(&table, "task").unwrap();
        let body = body.unwrap();
        assert!(
            version == 2 && body.contains(r#""text":"a""#) && body.contains(r#""done":true"#),
            "{body}"
        );
    }
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_captured_in_the_field_wins_over_the_desk_and_the_desks_version_can_be_found() {
    let world = World::start().await;
    let (store, web) = (mobile(&world, "phone", &well(&world)).await, web(&world).await);
    for id in ["edited", "deleted", "untouched"] {
        store.put("table_05", id, "{\"n\":0}").await.unwrap();
    }
    sync(&store).await;
    sync(&web).await;
    // In the field, offline; at the desk, later.
    for id in ["edited", "deleted"] {
        store.put("table_05", id, "{\"n\":1,\"by\":\"field\"}").await.unwrap();
    }
    web.put("table_05", "edited", "{\"n\":2,\"by\":\"web\"}").await.unwrap();
    web.put("table_05", "untouched", "{\"n\":2,\"by\":\"web\"}")
        .await
        .unwrap();
    web.delete("table_05", "deleted").await.unwrap();
    sync(&web).await;
    let report = sync(&store).await;
    assert_eq!(
        (report.accepted, report.conflicts, report.rebased),
        (2, 2, 2),
        "{report:?}"
    );
    sync(&web).await;
    for (id, by) in [("edited", "field"), ("deleted", "field"), ("untouched", "web")] {
        for device in [&store, &web] {
            let body = body(device, "table_05", id).await.unwrap();
            assert!(body.contains(by), "{id}: {body}");
        }
        assert!(world.record("table_05", id).unwrap().0.unwrap().contains(by), "{id}");
    }
    let lost = store.history("table_05", "edited").await.unwrap();
    assert!(
        lost.iter()
            .any(|version| version.body.as_deref() == Some("{\"n\":2,\"by\":\"web\"}"))
    );
    assert!(store.conflicts().await.unwrap().is_empty());
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_skips_what_is_pending_for_display_and_keeps_its_base() {
    let world = World::start().await;
    let watched = Watched::both(
        world.http(&world.server.url("")),
        |_| Passing::Well,
        // The second push does not get through, the pull after it does.
        |number| {
            if number == 1 {
                Passing::BadGateway
            } else {
                Passing::Well
            }
        },
    );
    let store = mobile(&world, "phone", &watched).await;
    let web = web(&world).await;
    store.put("table_00", "task", "{\"n\":0}").await.unwrap();
    sync(&store).await;
    sync(&web).await;
    web.put("table_00", "task", "{\"n\":2}").await.unwrap();
    web.put("table_00", "other", "{\"n\":2}").await.unwrap();
    sync(&web).await;
    store.put("table_00", "task", "{\"n\":1}").await.unwrap();
    let report = store.sync().await.unwrap();
    assert_eq!(
        (report.push.failed(), report.pull),
        (true, HalfResult::Worked),
        "the halves do not stop each other"
    );
    let pending = store.get("table_00", "task").await.unwrap().unwrap();
    assert_eq!(
        (pending.body.as_deref(), pending.state),
        (Some("{\"n\":1}"), RecordState::Pending)
    );
    assert_eq!(pending.version, 2, "the base is the desk's version");
    assert_eq!(ids(&store, "table_00").await, ["other", "task"], "the others came");
    let report = sync(&store).await;
    // It may have been sent on the old base; the server says that it was not, and the field wins.
    assert_eq!((report.accepted, report.conflicts, report.rebased), (1, 1, 1));
    let lost = store.history("table_00", "task").await.unwrap();
    assert!(lost.iter().any(|version| version.body.as_deref() == Some("{\"n\":2}")));
    assert_eq!(
        world.record("table_00", "task"),
        Some((Some("{\"n\":1}".to_owned()), 3))
    );
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_three_retries_the_error_surfaces_and_nothing_is_dropped() {
    let world = World::start().await;
    let watched = Watched::both(
        world.http(&world.server.url("")),
        |_| Passing::Well,
        |number| {
            if number < 4 {
                Passing::ServerFails
            } else {
                Passing::Well
            }
        },
    );
    let store = mobile(&world, "phone", &watched).await;
    let op = store.put("table_11", "task", "{}").await.unwrap().op.unwrap();
    for attempt in 1..=4 {
        assert!(store.sync().await.unwrap().push.failed());
        let entry = store.entry(op).await.unwrap();
        assert_eq!((entry.attempts, entry.exhausted), (attempt, attempt == 4));
        let status = store.status().await.unwrap();
        let surfaced = status == Status::NeedsAttention { count: 1 };
        assert_eq!(surfaced, attempt == 4, "after attempt {attempt}: {status:?}");
    }
    // The tap that the user is asked for.
    assert_eq!(sync(&store).await.accepted, 1);
    assert_eq!(store.status().await.unwrap(), Status::Idle);
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_while_online_is_on_the_server_before_the_screen_goes_on_and_offline_it_is_queued() {
    let world = World::start().await;
    let watched = Watched::both(
        world.http(&world.server.url("")),
        |_| Passing::Well,
        |number| if number == 1 { Passing::Offline } else { Passing::Well },
    );
    let store = mobile(&world, "phone", &watched).await;
    sync(&store).await;
    let mut outcomes = Vec::new();
    for n in 0..2 {
        let op = store
            .put("table_02", &format!("task {n}"), "{}")
            .await
            .unwrap()
            .op
            .unwrap();
        outcomes.push(store.confirmed(op, 30_000).await.unwrap());
    }
    let why = "offline".to_owned();
    assert_eq!(outcomes, [Confirmation::Confirmed, Confirmation::Queued { why }]);
    assert!(world.record("table_02", "task 0").is_some() && world.record("table_02", "task 1").is_none());
    sync(&store).await;
    assert!(world.record("table_02", "task 1").is_some());
    world.server.stop().await;
}
