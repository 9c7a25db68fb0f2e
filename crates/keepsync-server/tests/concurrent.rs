//! Many at once, and a server that ends in the middle.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use keepsync_server::{Config, Rate};
use keepsync_wire::{SYNC_PATH, SyncResponse, SyncStatus};
use rusqlite::Connection;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
};
use support::{Client, Running, create};
use uuid::Uuid;

fn config(data: &Path) -> Config {
    let mut config = Config::new(data);
    config.limits.per_user = Rate {
        per_second: 100_000,
        burst: 100_000,
    };
    config
}

/// Pulls until everything was answered, and once more; each change must come once, in order.
async fn follow(client: Client, answered: Arc<AtomicUsize>, wanted: usize) -> Vec<String> {
    let (mut seen, mut cursor, mut last) = (Vec::new(), None::<String>, 0);
    loop {
        let complete = answered.load(Ordering::SeqCst) == wanted;
        let page = client.pull(None, cursor.as_deref(), 7).await;
        seen.extend(page.changes.iter().map(|change| change.id.clone()));
        if let Some(at) = page.cursors.into_iter().next() {
            let text = at.cursor.as_deref().unwrap();
            let up: i64 = text.split('<').next().unwrap().parse().unwrap();
            assert!(up >= last, "a cursor went back");
            last = up;
            cursor = at.cursor;
        }
        if complete && !page.has_more {
            return seen;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_are_dense_in_the_order_of_commits_and_a_puller_misses_none() {
    const WRITERS: u128 = 16;
    const EACH: u128 = 60;
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(config(folder.path())).await;
    // Sixteen on one user, and one on each of six more.
    let mut writers = Vec::new();
    let mut followers = Vec::new();
    for (user, count) in [("ann", WRITERS)]
        .into_iter()
        .chain(["b", "c", "d", "e", "f", "g"].map(|user| (user, 1)))
    {
        let client = Client::new(&running, folder.path(), user);
        let answered = Arc::new(AtomicUsize::new(0));
        let highest = Arc::new(AtomicI64::new(0));
        let wanted = (count * EACH * 2) as usize;
        for writer in 0..count {
            let (client, answered, highest) = (client.clone(), Arc::clone(&answered), Arc::clone(&highest));
            writers.push(tokio::spawn(async move {
                let mut changes = Vec::new();
                for n in 0..EACH {
                    let op = 1 + (writer * EACH + n) * 2;
                    let items = vec![
                        create(op, &format!("r{op}"), "{}"),
                        create(op + 1, &format!("r{}", op + 1), "{}"),
                    ];
                    let before = highest.load(Ordering::SeqCst);
                    let results = client.push(items).await;
                    for result in &results {
                        assert_eq!(result.status, SyncStatus::Success);
                        assert!(
                            result.change > before,
                            "what was answered earlier was committed earlier"
                        );
                        changes.push(result.change);
                    }
                    assert_eq!(results[1].change, results[0].change + 1, "a request is not torn");
                    highest.fetch_max(results[1].change, Ordering::SeqCst);
                    answered.fetch_add(2, Ordering::SeqCst);
                }
                (client.user, changes)
            }));
        }
        let tablet = Client {
            device: "tablet".to_owned(),
            ..client
        };
        followers.push((wanted, tokio::spawn(follow(tablet, answered, wanted))));
    }
    let mut changes: HashMap<String, BTreeSet<i64>> = HashMap::new();
    for writer in writers {
        let (user, made) = writer.await.unwrap();
        for change in made {
            assert!(
                changes.entry(user.clone()).or_default().insert(change),
                "a number was given twice"
            );
        }
    }
    for (user, made) in changes {
        let count = made.len() as i64;
        assert_eq!(
            (made.first().copied(), made.last().copied()),
            (Some(1), Some(count)),
            "{user} has gaps"
        );
    }
    for (wanted, follower) in followers {
        let seen = follower.await.unwrap();
        assert_eq!(seen.len(), wanted, "each record once");
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), wanted);
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_change_one_version_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(config(folder.path())).await;
    let ann = Client::new(&running, folder.path(), "ann");
    let pushes: Vec<_> = (1..=16_u128)
        .map(|op| {
            let ann = ann.clone();
            tokio::spawn(async move {
                ann.push(vec![create(op, "n", &format!("{{\"n\":{op}}}"))])
                    .await
                    .remove(0)
            })
        })
        .collect();
    let mut winners = Vec::new();
    let mut met = BTreeSet::new();
    for push in pushes {
        let result = push.await.unwrap();
        match result.status {
            SyncStatus::Success => winners.push(result.op_id),
            _ => {
                met.insert(result.server.unwrap().op_id.unwrap());
            }
        }
    }
    assert_eq!((winners.len(), met), (1, winners.into_iter().collect()));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_many_times_at_once_is_applied_once() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(config(folder.path())).await;
    let ann = Client::new(&running, folder.path(), "ann");
    let pushes: Vec<_> = (0..16)
        .map(|_| {
            let ann = ann.clone();
            tokio::spawn(async move { ann.push(vec![create(1, "n", "{}")]).await.remove(0) })
        })
        .collect();
    for push in pushes {
        let result = push.await.unwrap();
        assert_eq!(
            (result.status, result.server_version, result.change),
            (SyncStatus::Success, 1, 1)
        );
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_before_a_server_fell_is_there_and_the_rest_comes_again() {
    let folder = tempfile::tempdir().unwrap();
    let answers: Arc<Mutex<BTreeMap<Uuid, i64>>> = Arc::default();
    for round in 0..4_u128 {
        let running = Running::start(config(folder.path())).await;
        let ann = Client::new(&running, folder.path(), "ann");
        let writers: Vec<_> = (0..4_u128)
            .map(|writer| {
                let (ann, answers) = (ann.clone(), Arc::clone(&answers));
                tokio::spawn(async move {
                    // From the first on: what was answered before is answered the same.
                    for n in 0..200 * (round + 1) {
                        let op = 1 + writer * 10_000 + n;
                        let request = ann.request(vec![create(op, &format!("r{op}"), "{}")]);
                        let sent = ann
                            .http
                            .post(format!("{}{SYNC_PATH}", ann.base))
                            .bearer_auth(&ann.token);
                        let Ok(response) = sent.body(serde_json::to_vec(&request).unwrap()).send().await else {
                            return;
                        };
                        let Ok(bytes) = response.bytes().await else { return };
                        let Ok(answer) = serde_json::from_slice::<SyncResponse>(&bytes) else {
                            return;
                        };
                        let result = &answer.results[0];
                        assert_eq!(result.status, SyncStatus::Success);
                        let before = answers.lock().unwrap().insert(result.op_id, result.change);
                        assert!(before.is_none_or(|before| before == result.change), "another answer");
                    }
                })
            })
            .collect();
        let wanted = 150 * (round as usize + 1);
        support::until(async || answers.lock().unwrap().len() >= wanted).await;
        // No stop, no close: the task is dropped where it stands.
        running.task.abort();
        assert!(running.task.await.unwrap_err().is_cancelled());
        for writer in writers {
            writer.await.unwrap();
        }
    }
    let running = Running::start(config(folder.path())).await;
    running.stop().await;
    let conn = Connection::open(folder.path().join("server.db")).unwrap();
    let mut statement = conn.prepare("SELECT op, change FROM applied").unwrap();
    let applied: BTreeMap<Uuid, i64> = statement
        .query_map([], |row| Ok((Uuid::from_bytes(row.get(0)?), row.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    for (op, change) in &*answers.lock().unwrap() {
        assert_eq!(applied.get(op), Some(change));
    }
    let numbers: BTreeSet<i64> = applied.values().copied().collect();
    assert_eq!(numbers.last().copied(), Some(applied.len() as i64), "dense");
}
