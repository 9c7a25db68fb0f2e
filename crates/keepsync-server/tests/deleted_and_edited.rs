//! A record is deleted on one device and edited on another, both without a network. Either may be the later
//! one, and either may be the first to sync: real devices, the real server.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use keepsync::{
    Store,
    conflict::Resolution,
    notice::NoticeKind,
    record::{Query, RecordState},
};
use support::{
    Running,
    devices::{World, sync},
};

/// The phone deletes, the tablet edits.
struct Scene {
    world: World,
    running: Running,
    phone: Store,
    tablet: Store,
    collection: &'static str,
    told: String,
}

const BEFORE: &str = r#"{"n":1}"#;
const EDIT: &str = r#"{"n":2,"notes":"felt good"}"#;
/// More than the devices' clocks differ by, less than what a clock may be ahead.
const LATER: i64 = 60_000;

impl Scene {
    async fn new(collection: &'static str, edit_later: bool, delete_first: bool) -> Self {
        let mut world = World::new();
        let running = world.start().await;
        let (phone_ahead, tablet_ahead) = if edit_later { (0, LATER) } else { (LATER, 0) };
        let phone = world.device_ahead(&running, "phone", phone_ahead).await;
        let tablet = world.device_ahead(&running, "tablet", tablet_ahead).await;
        // Made and seen before, by a clock that is behind both.
        let made = world.device_ahead(&running, "old", -LATER).await;
        made.put(collection, "r", BEFORE).await.unwrap();
        sync(&made).await;
        made.close().await.unwrap();
        sync(&phone).await;
        sync(&tablet).await;
        phone.delete(collection, "r").await.unwrap();
        tablet.put(collection, "r", EDIT).await.unwrap();
        let scene = Self {
            told: format!("{collection}, edit later: {edit_later}, delete syncs first: {delete_first}"),
            world,
            running,
            phone,
            tablet,
            collection,
        };
        let [first, second] = if delete_first {
            [&scene.phone, &scene.tablet]
        } else {
            [&scene.tablet, &scene.phone]
        };
        sync(first).await;
        sync(second).await;
        scene
    }

    /// Everybody has seen everything; also somebody who was not there.
    async fn ends(self, body: Option<&str>) {
        for device in [&self.phone, &self.tablet, &self.phone, &self.tablet] {
            sync(device).await;
        }
        let fresh = self.world.device(&self.running, "fresh").await;
        sync(&fresh).await;
        for (name, device) in [("phone", &self.phone), ("tablet", &self.tablet), ("fresh", &fresh)] {
            let found = device.get(self.collection, "r").await.unwrap();
            assert_eq!(
                found.as_ref().and_then(|it| it.body.as_deref()),
                body,
                "{}, {name}",
                self.told
            );
            assert!(
                found.is_none_or(|it| it.state == RecordState::Synced),
                "{}, {name}",
                self.told
            );
            assert_eq!(device.queue_counts().await.unwrap().total(), 0, "{}, {name}", self.told);
            assert!(device.conflicts().await.unwrap().is_empty(), "{}, {name}", self.told);
            let page = device.query(Query::new(self.collection)).await.unwrap();
            assert_eq!(page.records.len(), usize::from(body.is_some()), "{}, {name}", self.told);
        }
        for device in [self.phone, self.tablet, fresh] {
            device.close().await.unwrap();
        }
        self.running.stop().await;
    }

    /// Of what was lost: on which device the user is told, and can find the edit.
    async fn told_on(&self) -> Vec<&'static str> {
        let mut told = Vec::new();
        for (name, device) in [("phone", &self.phone), ("tablet", &self.tablet)] {
            let notices = device.notices().await.unwrap();
            let lost: Vec<_> = notices
                .iter()
                .filter(|it| it.kind == NoticeKind::EditLostToDelete)
                .collect();
            if let [notice] = lost[..] {
                assert_eq!(
                    (notice.collection.as_str(), notice.id.as_deref()),
                    (self.collection, Some("r"))
                );
                let history = device.history(self.collection, "r").await.unwrap();
                let found = history.iter().any(|version| version.body.as_deref() == Some(EDIT));
                assert!(found, "{}: told on {name}, and not kept there", self.told);
                told.push(name);
            } else {
                assert!(lost.is_empty(), "{}: {lost:?}", self.told);
            }
        }
        told
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_last_write_wins_a_later_edit_brings_the_record_back() {
    for delete_first in [true, false] {
        let scene = Scene::new("profile", true, delete_first).await;
        assert!(scene.told_on().await.is_empty(), "{}: nothing was lost", scene.told);
        scene.ends(Some(EDIT)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_last_write_wins_a_later_delete_stands_and_the_user_is_told_what_was_lost() {
    // Told where the two met: on the device that came second.
    for (delete_first, on) in [(true, "tablet"), (false, "phone")] {
        let scene = Scene::new("profile", false, delete_first).await;
        assert_eq!(scene.told_on().await, [on], "{}", scene.told);
        scene.ends(None).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_client_wins_a_pending_edit_beats_a_delete_whatever_the_clocks_say() {
    for edit_later in [true, false] {
        let scene = Scene::new("tag", edit_later, true).await;
        assert!(scene.told_on().await.is_empty(), "{}: nothing was lost", scene.told);
        scene.ends(Some(EDIT)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_client_wins_a_delete_that_meets_an_edit_stands_only_if_it_is_later() {
    let scene = Scene::new("tag", true, false).await;
    assert!(scene.told_on().await.is_empty(), "{}: nothing was lost", scene.told);
    scene.ends(Some(EDIT)).await;
    let scene = Scene::new("tag", false, false).await;
    assert_eq!(scene.told_on().await, ["phone"], "{}", scene.told);
    scene.ends(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_ask_the_user_sees_both_and_decides_whoever_was_later() {
    for (edit_later, delete_first, keep_edit) in [
        (true, true, true),
        (true, true, false),
        (true, false, true),
        (true, false, false),
        (false, true, true),
        (false, false, false),
    ] {
        let scene = Scene::new("note", edit_later, delete_first).await;
        // Asked on the device that came second, with the other's label.
        let (asked, not_asked, label) = if delete_first {
            (&scene.tablet, &scene.phone, "phone")
        } else {
            (&scene.phone, &scene.tablet, "tablet")
        };
        assert!(not_asked.conflicts().await.unwrap().is_empty(), "{}", scene.told);
        let conflict = asked.conflicts().await.unwrap().remove(0);
        let edit = Some(EDIT.to_owned());
        let sides = if delete_first { (edit, None) } else { (None, edit) };
        assert_eq!(
            (conflict.local.clone(), conflict.remote.clone()),
            sides,
            "{}",
            scene.told
        );
        assert_eq!(conflict.base.as_deref(), Some(BEFORE), "{}", scene.told);
        assert_eq!(conflict.remote_label.as_deref(), Some(label), "{}", scene.told);
        assert!(
            scene.told_on().await.is_empty(),
            "{}: nothing is lost before the user decides",
            scene.told
        );
        let resolution = if keep_edit == delete_first {
            Resolution::KeepLocal
        } else {
            Resolution::KeepRemote
        };
        asked.resolve("note", "r", &conflict.token, resolution).await.unwrap();
        scene.ends(keep_edit.then_some(EDIT)).await;
    }
}
