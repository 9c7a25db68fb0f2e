//! Two real devices and the real server: one workout edited on both while offline, and two workouts that
//! are one.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use keepsync::{
    Backend, Error, OpenOptions, Store,
    collection::{Collection, Collections},
    conflict::{Changed, ChildBody, Conflict, Merged, Policy, Resolution},
    drain::Report,
    notice::NoticeKind,
    record::{Query, RecordState},
    remote::{
        RemoteFuture, Token, TokenFault, TokenProvider,
        http::{HttpOptions, HttpRemote},
    },
    session::set_id,
};
use keepsync_server::{Config, access_token};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};
use support::{Running, now_ms};

struct SignIn(PathBuf);

impl TokenProvider for SignIn {
    fn token<'a>(
        &'a self,
        account: &'a str,
        _rejected: Option<&'a Token>,
    ) -> RemoteFuture<'a, Result<Option<Token>, TokenFault>> {
        let token = access_token(&self.0, account, 600, now_ms()).unwrap();
        Box::pin(async move { Ok(Some(Token::new(token, None))) })
    }
}

async fn open(folder: &Path, running: &Running, name: &str) -> Store {
    let collections = Collections::new([
        Collection::new("workout", Policy::Ask).same_when(["date", "time"]),
        Collection::new("set_log", Policy::ClientWins).child_of("workout", "workout_id"),
    ]);
    let mut options = OpenOptions::new(folder.join(name), "ann", collections.unwrap());
    options.settings.automatic = false;
    options.settings.device_label = Some(name.to_owned());
    let backend = Backend {
        remote: Arc::new(HttpRemote::new(HttpOptions::new(running.url(""))).unwrap()),
        tokens: Some(Arc::new(SignIn(folder.join("data")))),
    };
    Store::open(options, Some(backend)).await.unwrap()
}

async fn sync(store: &Store) -> Report {
    store.network(true);
    let report = store.sync().await.unwrap();
    assert!(!report.push.failed() && !report.pull.failed(), "{report:?}");
    report
}

/// A server, a phone and a tablet.
struct World {
    running: Running,
    phone: Store,
    tablet: Store,
    folder: tempfile::TempDir,
}

const WORKOUT: &str = "0193487a-2000-7000-8000-000000000001";

fn set(slot: &str, weight: u32, reps: u32) -> String {
    format!(r#"{{"workout_id":"{WORKOUT}","slot":"{slot}","weight":{weight},"reps":{reps}}}"#)
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let running = Running::start(Config::new(folder.path().join("data"))).await;
        let phone = open(folder.path(), &running, "Phone").await;
        let tablet = open(folder.path(), &running, "Tablet").await;
        Self {
            running,
            phone,
            tablet,
            folder,
        }
    }

    /// A workout of two sets that both devices have, then edited on both: its name, a set that both
    /// changed, a set that each changed alone, and a set that each logged alone.
    async fn edited_on_both() -> Self {
        let world = Self::new().await;
        let (phone, tablet) = (&world.phone, &world.tablet);
        phone
            .start_session("workout", "set_log", WORKOUT, r#"{"date":"2026-11-20","name":"Legs"}"#)
            .await
            .unwrap();
        for slot in ["squat/1", "squat/2", "squat/3"] {
            phone
                .log_set("workout", WORKOUT, slot, r#"{"weight":100,"reps":5}"#)
                .await
                .unwrap();
        }
        phone.complete_session("workout", WORKOUT, "{}").await.unwrap();
        sync(phone).await;
        sync(tablet).await;
        let edits = [
            (phone, "Legs, heavy", "squat/1", 110, "squat/2", "squat/4"),
            (tablet, "Legs, light", "squat/1", 90, "squat/3", "squat/5"),
        ];
        for (device, name, both, weight, alone, new) in edits {
            let name = format!(r#"{{"name":"{name}"}}"#);
            device.patch("workout", WORKOUT, &name).await.unwrap();
            for (slot, weight) in [(both, weight), (alone, 77), (new, 50)] {
                let body = set(slot, weight, 5);
                device.put("set_log", &set_id(WORKOUT, slot), &body).await.unwrap();
            }
        }
        sync(tablet).await;
        let report = sync(phone).await;
        assert_eq!(report.accepted, 1, "the set that only the phone logged: {report:?}");
        world
    }

    async fn conflict(&self) -> Conflict {
        let mut found = self.phone.conflicts().await.unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    async fn resolve(&self, resolution: Resolution) {
        let token = self.conflict().await.token;
        self.phone
            .resolve("workout", WORKOUT, &token, resolution)
            .await
            .unwrap();
    }

    /// Both sync until everybody has everything; gives what both then show.
    async fn converged(&self) -> BTreeMap<String, String> {
        sync(&self.phone).await;
        sync(&self.tablet).await;
        sync(&self.phone).await;
        let here = shown(&self.phone).await;
        assert_eq!(here, shown(&self.tablet).await);
        for store in [&self.phone, &self.tablet] {
            assert_eq!(store.queue_counts().await.unwrap().total(), 0);
            assert_eq!(store.conflicts().await.unwrap(), []);
        }
        let fresh = open(self.folder.path(), &self.running, "fresh").await;
        sync(&fresh).await;
        assert_eq!(shown(&fresh).await, here, "and so has the server");
        fresh.close().await.unwrap();
        here
    }

    async fn stop(self) {
        self.phone.close().await.unwrap();
        self.tablet.close().await.unwrap();
        self.running.stop().await;
    }
}

/// Names of workouts and weights of sets, by id and slot.
async fn shown(store: &Store) -> BTreeMap<String, String> {
    let mut shown = BTreeMap::new();
    for collection in ["workout", "set_log"] {
        for record in store.query(Query::new(collection).limit(1_000)).await.unwrap().records {
            assert_eq!(record.state, RecordState::Synced);
            let body: serde_json::Value = serde_json::from_str(record.body.as_deref().unwrap()).unwrap();
            let key = body["slot"].as_str().map_or(record.id, str::to_owned);
            let value = if body["name"].is_string() {
                &body["name"]
            } else {
                &body["weight"]
            };
            shown.insert(key, value.to_string());
        }
    }
    shown
}

/// What both show in the end: the name, and the sets that both and that the phone alone had changed.
fn expected(name: &str, first: u32, second: u32) -> BTreeMap<String, String> {
    let sets = [
        ("squat/1", first),
        ("squat/2", second),
        ("squat/3", 77),
        ("squat/4", 50),
        ("squat/5", 50),
    ];
    let sets = sets
        .into_iter()
        .map(|(slot, weight)| (slot.to_owned(), weight.to_string()));
    sets.chain([(WORKOUT.to_owned(), format!("{name:?}"))]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workout_edited_offline_on_two_devices_is_one_conflict_with_both_side_by_side() {
    let world = World::edited_on_both().await;
    let conflict = world.conflict().await;
    assert_eq!(
        (conflict.collection.as_str(), conflict.id.as_str()),
        ("workout", WORKOUT)
    );
    assert_eq!(conflict.local_label.as_deref(), Some("Phone"));
    assert_eq!(conflict.remote_label.as_deref(), Some("Tablet"));
    assert!(conflict.local_at > 0 && conflict.remote_at > 0);
    assert!(conflict.local.as_deref().unwrap().contains("Legs, heavy"));
    assert!(conflict.remote.as_deref().unwrap().contains("Legs, light"));
    let base = conflict.base.as_deref().unwrap();
    assert!(base.contains("\"Legs\"") && base.contains("completed"));
    let mut children: Vec<(&str, bool)> = conflict
        .children
        .iter()
        .map(|child| (child.slot.as_deref().unwrap(), child.in_conflict))
        .collect();
    children.sort_unstable();
    // The phone's own edit of the second waits for the decision too.
    let expected = [
        ("squat/1", true),
        ("squat/2", true),
        ("squat/3", false),
        ("squat/4", false),
        ("squat/5", false),
    ];
    assert_eq!(children, expected);
    let told: Vec<(&str, Changed)> = conflict
        .difference
        .iter()
        .map(|it| (it.path.as_str(), it.changed))
        .collect();
    let (name, first, second) = (
        ("/name", Changed::Both),
        ("/weight", Changed::Both),
        ("/weight", Changed::Here),
    );
    assert_eq!(told, [name, first, second]);
    let warned = world.phone.notices().await.unwrap();
    assert!(warned.iter().all(|notice| notice.kind == NoticeKind::ChangedElsewhere) && !warned.is_empty());
    let tablet = world
        .phone
        .last_change_elsewhere("workout", WORKOUT)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(tablet.device_label.as_deref(), Some("Tablet"));
    assert_eq!(world.tablet.conflicts().await.unwrap(), [], "the tablet was first");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeping_this_devices_workout_brings_it_to_both() {
    let world = World::edited_on_both().await;
    world.resolve(Resolution::KeepLocal).await;
    assert_eq!(world.converged().await, expected("Legs, heavy", 110, 77));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeping_the_other_devices_workout_brings_it_to_both() {
    let world = World::edited_on_both().await;
    world.resolve(Resolution::KeepRemote).await;
    assert_eq!(world.converged().await, expected("Legs, light", 90, 100));
    let lost = world
        .phone
        .history("set_log", &set_id(WORKOUT, "squat/1"))
        .await
        .unwrap();
    assert!(lost[0].body.as_deref().unwrap().contains("110"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merging_both_brings_the_merge_to_both() {
    let world = World::edited_on_both().await;
    let mut body: serde_json::Value =
        serde_json::from_str(world.conflict().await.proposal.body.as_deref().unwrap()).unwrap();
    body["name"] = "Legs, both".into();
    let merged = Merged {
        body: Some(body.to_string()),
        children: vec![ChildBody {
            collection: "set_log".to_owned(),
            id: set_id(WORKOUT, "squat/1"),
            body: Some(set("squat/1", 100, 6)),
        }],
    };
    world.resolve(Resolution::MergeWith(merged)).await;
    assert_eq!(world.converged().await, expected("Legs, both", 100, 77));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merging_as_proposed_brings_the_proposal_to_both() {
    let world = World::edited_on_both().await;
    // The tablet's edits were made later.
    world.resolve(Resolution::MergeWith(Merged::default())).await;
    assert_eq!(world.converged().await, expected("Legs, light", 90, 77));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_further_edit_elsewhere_refreshes_what_is_open_and_a_decision_on_the_old_one_is_refused() {
    let world = World::edited_on_both().await;
    let stale = world.conflict().await;
    let squat = set_id(WORKOUT, "squat/1");
    world
        .tablet
        .put("set_log", &squat, &set("squat/1", 80, 5))
        .await
        .unwrap();
    sync(&world.tablet).await;
    sync(&world.phone).await;
    let fresh = world.conflict().await;
    assert_eq!(
        (fresh.base.clone(), fresh.local.clone()),
        (stale.base.clone(), stale.local.clone())
    );
    let child = fresh.children.iter().find(|child| child.id == squat).unwrap();
    assert!(child.remote.as_deref().unwrap().contains("80"));
    let refused = world
        .phone
        .resolve("workout", WORKOUT, &stale.token, Resolution::KeepRemote)
        .await;
    assert_eq!(refused, Err(Error::ConflictChanged));
    world.resolve(Resolution::KeepRemote).await;
    assert_eq!(world.converged().await, expected("Legs, light", 80, 100));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_that_meets_yet_another_edit_asks_again() {
    let world = World::edited_on_both().await;
    world.resolve(Resolution::KeepLocal).await;
    // Before the phone has sent it, the tablet is faster.
    world
        .tablet
        .patch("workout", WORKOUT, r#"{"name":"Arms"}"#)
        .await
        .unwrap();
    sync(&world.tablet).await;
    sync(&world.phone).await;
    let again = world.conflict().await;
    assert!(
        again.base.as_deref().unwrap().contains("Legs, light"),
        "what was shown is what it was made on"
    );
    assert!(again.local.as_deref().unwrap().contains("Legs, heavy"));
    assert!(again.remote.as_deref().unwrap().contains("Arms"));
    world.resolve(Resolution::KeepLocal).await;
    assert_eq!(world.converged().await, expected("Legs, heavy", 110, 77));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workout_deleted_on_the_tablet_while_the_phone_edits_its_sets_is_lost_to_nobody_unseen() {
    for keep in [true, false] {
        let world = World::new().await;
        let (phone, tablet) = (&world.phone, &world.tablet);
        phone.put("workout", WORKOUT, r#"{"name":"Legs"}"#).await.unwrap();
        let squat = set_id(WORKOUT, "squat/1");
        phone.put("set_log", &squat, &set("squat/1", 100, 5)).await.unwrap();
        sync(phone).await;
        sync(tablet).await;
        tablet.delete("set_log", &squat).await.unwrap();
        tablet.delete("workout", WORKOUT).await.unwrap();
        sync(tablet).await;
        phone.put("set_log", &squat, &set("squat/1", 110, 5)).await.unwrap();
        phone.put("set_log", "new", &set("squat/2", 50, 5)).await.unwrap();
        assert_eq!(sync(phone).await.accepted, 0);
        let conflict = world.conflict().await;
        assert!(conflict.local.is_some() && conflict.remote.is_none());
        let (resolution, expected) = match keep {
            true => (
                Resolution::KeepLocal,
                BTreeMap::from([(WORKOUT, "\"Legs\""), ("squat/1", "110"), ("squat/2", "50")]),
            ),
            false => (Resolution::KeepRemote, BTreeMap::new()),
        };
        world.resolve(resolution).await;
        let shown = world.converged().await;
        let shown: BTreeMap<&str, &str> = shown
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        assert_eq!(shown, expected);
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workouts_made_for_the_same_time_are_kept_and_can_be_made_one() {
    let world = World::new().await;
    let (phone, tablet) = (&world.phone, &world.tablet);
    let when = r#"{"date":"2026-11-20","time":"08:00","name":"Legs"}"#;
    for (store, id) in [(phone, "on-phone"), (tablet, "on-tablet")] {
        store.start_session("workout", "set_log", id, when).await.unwrap();
        store
            .log_set("workout", id, "squat/1", r#"{"weight":100}"#)
            .await
            .unwrap();
        store.complete_session("workout", id, "{}").await.unwrap();
    }
    sync(phone).await;
    sync(tablet).await;
    sync(phone).await;
    assert_eq!(phone.conflicts().await.unwrap(), []);
    for store in [phone, tablet] {
        let groups = store.twins("workout").await.unwrap();
        assert_eq!(groups.len(), 1);
        let made: BTreeMap<&str, Option<&str>> = groups[0]
            .iter()
            .map(|twin| (twin.record.id.as_str(), twin.made_by_label.as_deref()))
            .collect();
        assert_eq!(
            made,
            BTreeMap::from([("on-phone", Some("Phone")), ("on-tablet", Some("Tablet"))])
        );
    }
    assert_eq!(phone.merge_into("workout", "on-phone", "on-tablet").await, Ok(1));
    let shown = world.converged().await;
    let expected = [("on-phone", "\"Legs\""), ("squat/1", "100"), ("squat/1#2", "100")];
    assert_eq!(
        shown,
        expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    );
    assert_eq!(world.tablet.twins("workout").await.unwrap(), Vec::<Vec<_>>::new());
    world.stop().await;
}
