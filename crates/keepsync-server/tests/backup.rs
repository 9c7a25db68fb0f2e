//! Backups, restores and epochs.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use keepsync_server::{Config, Server, backup, restore};
use keepsync_wire::{SYNC_PATH, SyncResponse, SyncStatus};
use reqwest::StatusCode;
use rusqlite::Connection;
use std::{
    collections::HashSet,
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};
use support::{Client, Running, create, json};
use uuid::Uuid;

#[tokio::test]
async fn a_restore_by_command_begins_an_epoch_that_names_its_branch() {
    epoch_after(|data, file| {
        let report = restore(data, file).unwrap();
        let kept = Connection::open(report.kept.unwrap()).unwrap();
        let records: i64 = kept
            .query_row("SELECT count(*) FROM record", [], |row| row.get(0))
            .unwrap();
        assert!(records > 1, "the old data is kept");
        assert_eq!((report.accounts, report.records), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn a_backup_copied_into_place_by_hand_does_as_well() {
    epoch_after(|data, file| {
        fs::copy(file, data.join("server.db")).unwrap();
    })
    .await;
}

async fn epoch_after(put_back: impl Fn(&Path, &Path)) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let file = folder.path().join("backup.db");
    let running = Running::start(Config::new(&data)).await;
    let ann = Client::new(&running, &data, "ann");
    ann.push(vec![create(1, "a", "{}")]).await;
    let report = backup(&data, &file).unwrap();
    assert_eq!((report.accounts, report.records), (1, 1));
    ann.push(vec![create(2, "b", "{}"), create(3, "c", "{}")]).await;
    let before = ann.pull(None, None, 10).await;
    assert!(before.branch.is_none());
    assert_eq!(before.epoch, report.epoch);
    let running_file = restore(&data, &file).unwrap_err();
    assert_eq!(running_file.code(), "in_use");
    running.stop().await;
    put_back(&data, &file);

    let running = Running::start(Config::new(&data)).await;
    let ann = Client::new(&running, &data, "ann");
    let page = ann.pull(Some(&before.epoch), Some("3"), 10).await;
    assert_ne!(page.epoch, before.epoch);
    let branch = page.branch.unwrap();
    assert_eq!((branch.parent, branch.change), (before.epoch.clone(), 1));
    assert_eq!(
        (page.changes.len(), page.whole.len()),
        (1, 0),
        "from the start; the epoch says why"
    );
    let mut old = ann.request(vec![create(4, "d", "{}")]);
    old.epoch = Some(before.epoch.clone());
    let told: SyncResponse = json(ann.post(SYNC_PATH, &old).await, StatusCode::OK).await;
    assert!(told.results.is_empty() && told.epoch == page.epoch, "applies nothing");
    let twice = || vec![create(1, "a", "{}"), create(2, "b", "{}")];
    let nothing = ann.push(twice()).await;
    assert!(
        nothing.is_empty(),
        "who names no epoch may have been on the way since before"
    );
    let mut named = ann.request(twice());
    named.epoch = Some(page.epoch.clone());
    let told: SyncResponse = json(ann.post(SYNC_PATH, &named).await, StatusCode::OK).await;
    let again = told.results;
    assert_eq!(
        (again[0].change, again[1].change),
        (1, 2),
        "answers of the backup are remembered, later ones are not"
    );
    let ben = Client::new(&running, &data, "ben");
    assert_eq!(ben.pull(None, None, 10).await.branch.unwrap().change, 0);
    running.stop().await;

    let running = Running::start(Config::new(&data)).await;
    let ann = Client::new(&running, &data, "ann");
    assert_eq!(ann.pull(None, None, 10).await.epoch, page.epoch, "once");
    running.stop().await;
    put_back(&data, &file);
    let running = Running::start(Config::new(&data)).await;
    let third = Client::new(&running, &data, "ann").pull(None, None, 10).await;
    assert!(third.epoch != page.epoch && third.branch.unwrap().parent == before.epoch);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_holds_all_that_was_answered_before_it_began() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut config = Config::new(&data);
    config.limits.per_user.burst = 100_000;
    let running = Running::start(config).await;
    let answered = Arc::new(Mutex::new(HashSet::new()));
    let ann = Client::new(&running, &data, "ann");
    let done = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..6_u128)
        .map(|writer| {
            let (ann, answered, done) = (ann.clone(), Arc::clone(&answered), Arc::clone(&done));
            tokio::spawn(async move {
                let mut op = 1 + writer * 1_000_000;
                while !done.load(Ordering::SeqCst) {
                    let results = ann.push(vec![create(op, &format!("r{op}"), "{\"n\":1}")]).await;
                    assert_eq!(results[0].status, SyncStatus::Success);
                    answered.lock().unwrap().insert(results[0].op_id);
                    op += 1;
                }
            })
        })
        .collect();
    let mut sizes = Vec::new();
    for n in 0..5 {
        let wanted = answered.lock().unwrap().len() + 50;
        support::until(async || answered.lock().unwrap().len() >= wanted).await;
        let before = answered.lock().unwrap().clone();
        let (from, file) = (data.clone(), folder.path().join(format!("backup-{n}")));
        let to = file.clone();
        tokio::task::spawn_blocking(move || backup(&from, &to))
            .await
            .unwrap()
            .unwrap();
        let conn = Connection::open(&file).unwrap();
        let check: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
        let mut statement = conn.prepare("SELECT op FROM applied").unwrap();
        let held: HashSet<Uuid> = statement
            .query_map([], |row| Ok(Uuid::from_bytes(row.get(0)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert!(before.is_subset(&held));
        let count = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        let size = held.len() as i64;
        assert_eq!(count("SELECT head FROM account"), size, "one state");
        assert_eq!(count("SELECT count(*) FROM record"), size, "one state");
        assert_eq!(count("SELECT max(change) FROM record"), size, "one state");
        sizes.push(size);
    }
    done.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(sizes.is_sorted() && *sizes.last().unwrap() <= answered.lock().unwrap().len() as i64);
    running.stop().await;
}

#[tokio::test]
async fn a_backup_takes_the_place_of_nothing_and_is_the_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    assert_eq!(
        backup(&data, &folder.path().join("b")).unwrap_err().code(),
        "io",
        "there is no data"
    );
    assert!(!folder.path().join("b").exists());
    Running::start(Config::new(&data)).await.stop().await;
    let file = folder.path().join("b");
    backup(&data, &file).unwrap();
    assert_eq!(backup(&data, &file).unwrap_err().code(), "exists");
    let left: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        for path in [&file, &data.join("server.db"), &data.join("signing-key")] {
            assert_eq!(
                fs::metadata(path).unwrap().permissions().mode() & 0o777,
                0o600,
                "{}",
                path.display()
            );
        }
    }
}

#[tokio::test]
async fn what_is_not_our_data_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    Running::start(Config::new(&data)).await.stop().await;
    let foreign = folder.path().join("foreign.db");
    Connection::open(&foreign)
        .unwrap()
        .execute_batch("CREATE TABLE t (a)")
        .unwrap();
    let text = folder.path().join("text");
    fs::write(&text, "not a database, but long enough to be looked at as one").unwrap();
    let before = fs::read(data.join("server.db")).unwrap();
    for file in [&foreign, &text] {
        assert_eq!(restore(&data, file).unwrap_err().code(), "not_data");
    }
    assert_eq!(restore(&data, &folder.path().join("none")).unwrap_err().code(), "io");
    assert_eq!(fs::read(data.join("server.db")).unwrap(), before);
    assert!(!data.join("server.db.restore").exists());

    let newer = Connection::open(data.join("server.db")).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    newer.close().unwrap();
    let refused = Server::bind(Config::new(&data)).await.err().unwrap();
    assert_eq!(refused.code(), "newer_data");
    fs::copy(&foreign, data.join("server.db")).unwrap();
    assert_eq!(Server::bind(Config::new(&data)).await.err().unwrap().code(), "not_data");
}

#[tokio::test]
async fn two_servers_do_not_run_on_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let first = Server::bind(Config::new(folder.path())).await.unwrap();
    let second = Server::bind(Config::new(folder.path())).await.err().unwrap();
    assert_eq!(second.code(), "in_use");
    drop(first);
    Server::bind(Config::new(folder.path())).await.unwrap();
}
