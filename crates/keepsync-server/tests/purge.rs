//! What is forgotten, and what must not be.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use keepsync_server::{
    Config, Retention, Server,
    storage::{Pull, Purged, Push, Storage, sqlite::SqliteStorage},
};
use keepsync_wire::{Cursor, PullRequest, PullResponse, SyncItem, SyncRequest, SyncResult, SyncStatus, code};
use std::time::Duration;
use support::{create, delete, update};
use uuid::Uuid;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

struct Story {
    storage: SqliteStorage,
    now_ms: i64,
    _folder: tempfile::TempDir,
}

impl Story {
    fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            storage: SqliteStorage::open(&folder.path().join("server.db")).unwrap(),
            now_ms: 1_000 * DAY_MS,
            _folder: folder,
        }
    }

    async fn push(&self, items: Vec<SyncItem>) -> Vec<SyncResult> {
        let push = Push {
            answer_bytes: usize::MAX,
            refusals: vec![None; items.len()],
            request: SyncRequest {
                user_id: "ann".to_owned(),
                device_id: "phone".to_owned(),
                device_label: None,
                epoch: None,
                items,
            },
        };
        self.storage.push("ann", push, self.now_ms).await.unwrap().results
    }

    async fn pull(&self, cursor: Option<&str>, limit: u32) -> PullResponse {
        let request = PullRequest {
            user_id: "ann".to_owned(),
            device_id: "tablet".to_owned(),
            epoch: Some(self.storage.epoch().to_owned()),
            collections: vec![Cursor {
                collection: "note".to_owned(),
                cursor: cursor.map(str::to_owned),
                ..Cursor::default()
            }],
            limit,
        };
        let pull = Pull {
            request,
            page_bytes: usize::MAX,
        };
        self.storage.pull("ann", pull, self.now_ms).await.unwrap()
    }

    /// Ten records, changes 1 to 10, of which the last two are deleted by changes 11 and 12.
    async fn ten_records_two_deleted(&self) {
        for n in 1..=10 {
            self.push(vec![create(n, &format!("r{n}"), "{}")]).await;
        }
        self.push(vec![delete(11, "r9", 1), delete(12, "r10", 1)]).await;
    }

    async fn purge(&self) -> Purged {
        self.storage.purge(&Retention::default(), self.now_ms).await.unwrap()
    }
}

fn ids(page: &PullResponse) -> Vec<&str> {
    page.changes.iter().map(|change| change.id.as_str()).collect()
}

fn cursor(page: &PullResponse) -> Option<&str> {
    page.cursors.first().and_then(|at| at.cursor.as_deref())
}

#[tokio::test]
async fn a_tombstone_is_kept_for_its_time_and_then_forgotten() {
    let mut story = Story::begin();
    story.ten_records_two_deleted().await;
    story.now_ms += 90 * DAY_MS;
    assert_eq!(story.purge().await, Purged::default(), "not yet");
    assert_eq!(ids(&story.pull(Some("10"), 10).await), ["r9", "r10"]);
    story.now_ms += 1;
    assert_eq!(story.purge().await.tombstones, 2);
    let page = story.pull(Some("12"), 10).await;
    assert!(
        page.changes.is_empty() && page.whole.is_empty(),
        "who had passed them goes on"
    );
}

#[tokio::test]
async fn a_cursor_before_what_was_forgotten_starts_over_once_and_pages_to_the_end() {
    let mut story = Story::begin();
    story.ten_records_two_deleted().await;
    story.now_ms += 91 * DAY_MS;
    story.purge().await;
    let first = story.pull(Some("11"), 3).await;
    assert_eq!(
        (ids(&first), first.whole.as_slice()),
        (vec!["r8", "r7", "r6"], ["note".to_owned()].as_slice())
    );
    assert_eq!((cursor(&first), first.remaining), (Some("12<6"), Some(5)));
    let second = story.pull(cursor(&first), 3).await;
    assert_eq!((ids(&second), second.whole.len()), (vec!["r5", "r4", "r3"], 0));
    // What happens meanwhile comes too, of what was given and of what was not.
    story.push(vec![update(13, "r1", 1, "{}"), delete(14, "r8", 1)]).await;
    let third = story.pull(cursor(&second), 3).await;
    assert_eq!((ids(&third), third.whole.len()), (vec!["r1", "r8", "r2"], 0));
    assert_eq!((cursor(&third), third.has_more), (Some("14"), false));
    assert!(third.changes[1].current.data.is_none());
}

#[tokio::test]
async fn a_first_pull_that_pages_below_what_was_forgotten_does_not_start_over() {
    let mut story = Story::begin();
    story.ten_records_two_deleted().await;
    story.now_ms += 91 * DAY_MS;
    story.purge().await;
    let (mut at, mut seen, mut pages) = (None::<String>, Vec::new(), 0);
    loop {
        let page = story.pull(at.as_deref(), 3).await;
        assert!(page.whole.is_empty());
        seen.extend(page.changes.iter().map(|change| change.id.clone()));
        at = cursor(&page).map(str::to_owned).or(at);
        pages += 1;
        if !page.has_more {
            break;
        }
        assert!(pages < 10, "it does not end");
    }
    assert_eq!(seen, ["r8", "r7", "r6", "r5", "r4", "r3", "r2", "r1"]);
    assert_eq!(at.as_deref(), Some("12"));
}

#[tokio::test]
async fn a_pull_from_the_start_that_was_overtaken_by_another_purge_starts_over() {
    let mut story = Story::begin();
    story.ten_records_two_deleted().await;
    story.now_ms += 91 * DAY_MS;
    story.purge().await;
    let first = story.pull(None, 3).await;
    // r8 was given, is deleted, and its tombstone is forgotten before the next page.
    story.push(vec![delete(13, "r8", 1)]).await;
    story.now_ms += 91 * DAY_MS;
    assert_eq!(story.purge().await.tombstones, 1);
    let again = story.pull(cursor(&first), 3).await;
    assert_eq!(
        (ids(&again), again.whole.as_slice()),
        (vec!["r7", "r6", "r5"], ["note".to_owned()].as_slice())
    );
    assert_eq!(cursor(&again), Some("13<5"));
}

#[tokio::test]
async fn a_cursor_that_was_never_given_starts_over_and_is_named() {
    let story = Story::begin();
    story.ten_records_two_deleted().await;
    for foreign in ["", "x", "3<x", "3<5", "3<4<5", "3.4", "99999999999999999999", "1e3"] {
        let page = story.pull(Some(foreign), 100).await;
        assert_eq!((page.changes.len(), page.whole.len()), (10, 1), "{foreign}");
    }
    let far = story.pull(Some(&i64::MAX.to_string()), 100).await;
    assert!(far.changes.is_empty() && far.cursors.is_empty());
}

#[tokio::test]
async fn a_record_made_again_begins_above_every_forgotten_version() {
    let mut story = Story::begin();
    story
        .push(vec![create(1, "n", "{}"), update(2, "n", 1, "{}"), delete(3, "n", 2)])
        .await;
    story.now_ms += 91 * DAY_MS;
    story.purge().await;
    let old = story.push(vec![update(4, "n", 3, "{}")]).await;
    let there = old[0].server.as_ref().unwrap();
    assert_eq!(
        (old[0].status, there.version, there.data.is_none()),
        (SyncStatus::Conflict, 0, true)
    );
    let made = story.push(vec![create(5, "n", "{}")]).await;
    assert_eq!(made[0].server_version, 4);
    for base in 1..4 {
        let late = story.push(vec![update(10 + base as u128, "n", base, "{}")]).await;
        assert_eq!(
            late[0].status,
            SyncStatus::Conflict,
            "a base from before the tombstone: {base}"
        );
    }
}

#[tokio::test]
async fn an_answer_is_forgotten_after_its_time_but_never_that_of_a_current_version() {
    let mut story = Story::begin();
    story.push(vec![create(1, "n", "{}"), update(2, "n", 1, "{}")]).await;
    story.now_ms += 91 * DAY_MS;
    assert_eq!(story.purge().await.answers, 1);
    let again = story.push(vec![update(2, "n", 1, "{}")]).await;
    assert_eq!((again[0].status, again[0].change), (SyncStatus::Success, 2));
    let mut next = update(3, "n", 0, "{}");
    next.base_op = Some(Uuid::from_u128(2));
    assert_eq!(story.push(vec![next]).await[0].server_version, 3);
    let mut blocked = update(4, "n", 3, "{}");
    blocked.after = vec![Uuid::from_u128(1)];
    let blocked = story.push(vec![blocked]).await;
    assert_eq!(
        blocked[0].code.as_deref(),
        Some(code::BLOCKED),
        "forgotten is not applied"
    );
}

#[tokio::test]
async fn a_purge_of_much_takes_all_of_it_in_steps() {
    let mut story = Story::begin();
    for n in 0..30_u128 {
        let items = (0..100).map(|at| 1 + n * 100 + at).flat_map(|op| {
            let id = format!("r{op}");
            // Of each hundred, one record stays and keeps its answer.
            let gone = (op % 100 != 0).then(|| delete(1_000_000 + op, &id, 1));
            [Some(create(op, &id, "{}")), gone].into_iter().flatten()
        });
        story.push(items.collect()).await;
    }
    story.now_ms += 91 * DAY_MS;
    let mut all = Purged::default();
    // What was a tombstone's answer may take a second turn.
    for _ in 0..2 {
        let purged = story.purge().await;
        all.tombstones += purged.tombstones;
        all.answers += purged.answers;
    }
    assert_eq!((all.tombstones, all.answers), (30 * 99, 30 * 99 * 2));
    assert_eq!(story.pull(None, 1_000).await.changes.len(), 30);
}

#[tokio::test]
async fn answers_may_not_be_forgotten_before_devices_forget_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::new(folder.path());
    config.retention.answers = Duration::from_secs(30 * 24 * 60 * 60);
    let refused = Server::bind(config).await.err().unwrap();
    assert_eq!(refused.code(), "config");
    assert!(refused.to_string().contains("retention.answers"));
}
