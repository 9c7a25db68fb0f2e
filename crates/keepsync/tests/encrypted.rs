//! Encrypted files: nothing of what is in them can be read without the key; a wrong key, or none, costs nothing; and
//! damage is met as in plain files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of tests are tests too"
)]

#[path = "support/local.rs"]
mod local;

use keepsync::{
    Db, Error, Key, OpenOptions, RetryClass, Store,
    accounts::Accounts,
    carry, kv, queue,
    record::{self, Query},
    session,
};
use local::{ACCOUNT, beside, child, child_folder, run_child};
use rusqlite::Connection;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const RIGHT: [u8; 32] = *b"right: thirty-two bytes of a key";
const WRONG: [u8; 32] = *b"wrong: thirty-two bytes of a key";
const PAGE: usize = 4_096;

fn with(folder: &Path, key: Option<[u8; 32]>) -> OpenOptions {
    OpenOptions {
        key: key.map(Key::new),
        ..local::options(folder)
    }
}

fn open(folder: &Path) -> Db {
    Db::open(with(folder, Some(RIGHT))).unwrap()
}

fn file(folder: &Path) -> PathBuf {
    local::file(folder)
}

/// A look behind the store's back.
fn raw(path: &Path) -> Connection {
    let conn = Connection::open(path).unwrap();
    let hex: String = RIGHT.iter().map(|byte| format!("{byte:02x}")).collect();
    conn.execute_batch(&format!("PRAGMA key = \"x'{hex}'\"")).unwrap();
    conn
}

/// Every file of a folder with every byte.
fn bytes_of(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// As a killed process leaves it: with all of the log.
fn copy_as_killed(from: &Path, to: &Path) {
    for (path, bytes) in bytes_of(from) {
        std::fs::write(to.join(path.file_name().unwrap()), bytes).unwrap();
    }
}

const SECRETS: [&str; 6] = [
    "Kniebeuge tief",
    "workout-of-ada",
    "theme-of-ada",
    "dunkelblau",
    "rest until 18:05",
    ACCOUNT,
];

fn write_secrets(db: &mut Db) {
    db.write(|write| {
        for n in 0..60 {
            // Some bodies are longer than a page.
            let notes = "Kniebeuge tief ".repeat(if n % 20 == 7 { 600 } else { 20 });
            let body = format!("{{\"date\":\"{n}\",\"notes\":\"{notes}\"}}");
            record::put(write, "workout", &format!("workout-of-ada-{n:02}"), &body)?;
            kv::set(write, &format!("theme-of-ada-{n:02}"), &"dunkelblau ".repeat(30))?;
        }
        session::start(write, "workout", "set_log", "live", "{}")?;
        session::note(write, "workout", "live", Some("rest until 18:05"))
    })
    .unwrap();
}

/// Everything in the queue of [`write_secrets`].
const ENTRIES: usize = 61;
const PAIRS: usize = 60;

fn seen(db: &Db) -> keepsync::Result<(usize, usize, usize)> {
    db.read(|read| {
        let entries = read.entries(i64::MIN, 1_000)?;
        for entry in &entries {
            read.entry(entry.op)?;
        }
        let keys = read.kv_keys()?;
        for key in &keys {
            read.kv_get(key)?;
        }
        read.query(&Query::new("workout").order_by("date").limit(1_000))?;
        queue::export(read)?;
        read.bundle()?;
        Ok((entries.len(), keys.len(), read.active_sessions()?.len()))
    })
}

/// Not even the plain text of one word, in UTF-8 or in UTF-16.
fn assert_nothing_is_legible(folder: &Path, also: &[&[u8]]) {
    let files = bytes_of(folder);
    let mut needles: Vec<Vec<u8>> = also.iter().map(|needle| needle.to_vec()).collect();
    for secret in SECRETS {
        needles.push(secret.as_bytes().to_vec());
        needles.push(secret.encode_utf16().flat_map(u16::to_le_bytes).collect());
    }
    needles.extend([b"CREATE TABLE".to_vec(), b"SQLite format".to_vec()]);
    for (path, bytes) in &files {
        for needle in &needles {
            let found = bytes.windows(needle.len()).any(|window| window == &needle[..]);
            assert!(!found, "{:?} in {}", String::from_utf8_lossy(needle), path.display());
        }
    }
}

fn key_in_every_form() -> [Vec<u8>; 3] {
    let hex: String = RIGHT.iter().map(|byte| format!("{byte:02x}")).collect();
    [RIGHT.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()]
}

fn assert_nothing_of_it_is_legible(folder: &Path) {
    let key = key_in_every_form();
    assert_nothing_is_legible(folder, &[&key[0], &key[1], &key[2]]);
}

// What is in the file.

#[test]
fn what_was_written_is_there_again_with_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = open(folder.path());
    write_secrets(&mut db);
    drop(db);
    let db = open(folder.path());
    assert_eq!(seen(&db).unwrap(), (ENTRIES, PAIRS, 1));
    assert_eq!(db.salvaged(), None);
    let sound: String = raw(&file(folder.path()))
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sound, "ok");
}

#[test]
fn nothing_of_it_is_legible_in_any_file_while_it_is_open_after_a_kill_and_when_it_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = open(folder.path());
    write_secrets(&mut db);
    let log = std::fs::metadata(beside(&file(folder.path()), "-wal")).unwrap().len();
    assert!(log > 100_000, "it stands in the log: {log}");
    assert_nothing_of_it_is_legible(folder.path());
    let killed = tempfile::tempdir().unwrap();
    copy_as_killed(folder.path(), killed.path());
    drop(db);
    assert_nothing_of_it_is_legible(folder.path());
    let db = open(killed.path());
    assert_eq!(seen(&db).unwrap(), (ENTRIES, PAIRS, 1));
    assert_nothing_of_it_is_legible(killed.path());
}

/// The check above finds what is there: a plain file has all of it.
#[test]
#[should_panic = "in "]
fn a_plain_file_is_legible() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = Db::open(with(folder.path(), None)).unwrap();
    write_secrets(&mut db);
    drop(db);
    assert_nothing_of_it_is_legible(folder.path());
}

#[test]
fn temporary_tables_are_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    // At least 2: memory unless a connection says otherwise, which none does.
    let conn = raw(&file(folder.path()));
    let mut options = conn.prepare("PRAGMA compile_options").unwrap();
    let options: Vec<String> = options
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let has = |option: &str| options.iter().any(|known| known == option);
    assert!(has("TEMP_STORE=2") || has("TEMP_STORE=3"), "{options:?}");
    let version: String = conn.query_row("PRAGMA cipher_version", [], |row| row.get(0)).unwrap();
    assert!(version.starts_with("4."), "{version}");
}

#[test]
fn two_files_with_one_key_have_nothing_in_common() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for folder in [&one, &other] {
        write_secrets(&mut open(folder.path()));
    }
    let [one, other] = [one, other].map(|folder| std::fs::read(file(folder.path())).unwrap());
    let mut blocks = one.chunks(16).collect::<Vec<_>>();
    blocks.sort_unstable();
    blocks.dedup();
    assert!(blocks.len() * 16 + PAGE > one.len(), "no block twice in one file");
    assert!(other.chunks(16).all(|block| blocks.binary_search(&block).is_err()));
}

// Another key.

/// Opens, lists and looks with this key, and expects the refusal and every byte of the folder.
async fn assert_refused_untouched(folder: &Path, key: Option<[u8; 32]>) {
    let before = bytes_of(folder);
    let options = with(folder, key);
    let refused = Db::open(options.clone()).err();
    assert_eq!(refused, Some(Error::WrongKey));
    assert_eq!(
        (Error::WrongKey.code(), Error::WrongKey.retry_class()),
        ("wrong_key", RetryClass::AfterUser)
    );
    assert_eq!(Store::open(options.clone(), None).await.err(), Some(Error::WrongKey));
    let accounts = Accounts::new(options, |_| None).unwrap();
    let known = accounts.list().await.unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!((known[0].account.as_ref(), known[0].unsent), (None, None));
    assert_eq!(known[0].problem, Some(Error::WrongKey));
    assert_eq!(accounts.losses(ACCOUNT).await.err(), Some(Error::WrongKey));
    assert_eq!(accounts.sign_out(ACCOUNT).await.err(), Some(Error::WrongKey));
    assert_eq!(
        accounts.wipe(ACCOUNT, &Default::default()).await.err(),
        Some(Error::WrongKey)
    );
    assert!(bytes_of(folder) == before, "a byte or a file is another");
}

/// A folder that was closed, and one whose process was killed.
fn closed_and_killed(key: Option<[u8; 32]>) -> [tempfile::TempDir; 2] {
    let [closed, killed] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut db = Db::open(with(closed.path(), key)).unwrap();
    write_secrets(&mut db);
    copy_as_killed(closed.path(), killed.path());
    drop(db);
    // The index of a log is made anew by whoever reads the log first.
    std::fs::remove_file(beside(&file(killed.path()), "-shm")).unwrap();
    [closed, killed]
}

#[tokio::test]
async fn a_wrong_key_leaves_every_byte_and_the_right_one_opens() {
    for folder in closed_and_killed(Some(RIGHT)) {
        assert_refused_untouched(folder.path(), Some(WRONG)).await;
        assert_eq!(seen(&open(folder.path())).unwrap(), (ENTRIES, PAIRS, 1));
    }
}

#[tokio::test]
async fn no_key_leaves_every_byte_of_an_encrypted_file() {
    for folder in closed_and_killed(Some(RIGHT)) {
        assert_refused_untouched(folder.path(), None).await;
        assert_eq!(seen(&open(folder.path())).unwrap(), (ENTRIES, PAIRS, 1));
    }
}

#[tokio::test]
async fn a_plain_file_is_not_opened_with_a_key() {
    for folder in closed_and_killed(None) {
        assert_refused_untouched(folder.path(), Some(RIGHT)).await;
        let plain = Db::open(with(folder.path(), None)).unwrap();
        assert_eq!(seen(&plain).unwrap(), (ENTRIES, PAIRS, 1));
    }
}

#[tokio::test]
async fn an_index_of_the_log_that_a_killed_process_left_is_left_by_a_wrong_key() {
    let [_, killed] = closed_and_killed(Some(RIGHT));
    std::fs::write(beside(&file(killed.path()), "-shm"), vec![7; 32_768]).unwrap();
    assert_refused_untouched(killed.path(), Some(WRONG)).await;
    assert_eq!(seen(&open(killed.path())).unwrap(), (ENTRIES, PAIRS, 1));
}

#[tokio::test]
async fn a_damaged_first_page_is_a_wrong_key_also_for_the_right_one() {
    let [closed, _] = closed_and_killed(Some(RIGHT));
    let whole = std::fs::read(file(closed.path())).unwrap();
    for at in [0, 15, 16, 100, 4_000, PAGE - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(file(closed.path()), &bytes).unwrap();
        assert_refused_untouched(closed.path(), Some(RIGHT)).await;
    }
    std::fs::write(file(closed.path()), &whole).unwrap();
    assert_eq!(seen(&open(closed.path())).unwrap(), (ENTRIES, PAIRS, 1));
}

#[test]
fn a_first_page_that_is_whole_in_the_log_only_is_read_from_there() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let mut db = open(folder.path());
    // A new table's root is in the schema's page: it is written to the log.
    write_secrets(&mut db);
    raw(&file(folder.path()))
        .execute_batch("PRAGMA user_version = 1")
        .unwrap();
    let killed = tempfile::tempdir().unwrap();
    copy_as_killed(folder.path(), killed.path());
    drop(db);
    let mut bytes = std::fs::read(file(killed.path())).unwrap();
    bytes[512..1_024].fill(0);
    std::fs::write(file(killed.path()), &bytes).unwrap();
    let before = bytes_of(killed.path());
    assert_eq!(
        Db::open(with(killed.path(), Some(WRONG))).err(),
        Some(Error::WrongKey),
        "another key is none for the log"
    );
    assert!(bytes_of(killed.path()) == before);
    let db = open(killed.path());
    assert_eq!(db.salvaged(), None);
    assert_eq!(seen(&db).unwrap(), (ENTRIES, PAIRS, 1));
}

#[tokio::test]
async fn an_open_store_is_not_given_to_another_key() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(with(folder.path(), Some(RIGHT)), None).await.unwrap();
    store.put("workout", "w1", "{}").await.unwrap();
    for key in [Some(WRONG), None] {
        let other = Store::open(with(folder.path(), key), None).await;
        assert_eq!(other.err(), Some(Error::WrongKey));
    }
    let same = Store::open(with(folder.path(), Some(RIGHT)), None).await.unwrap();
    assert!(same.get("workout", "w1").await.unwrap().is_some());
    store.close().await.unwrap();
}

#[test]
fn without_a_key_this_build_makes_and_opens_plain_files() {
    let folder = tempfile::tempdir().unwrap();
    write_secrets(&mut Db::open(with(folder.path(), None)).unwrap());
    let bytes = std::fs::read(file(folder.path())).unwrap();
    assert!(bytes.starts_with(b"SQLite format 3\0"));
    let plain = Connection::open(file(folder.path())).unwrap();
    let entries: i64 = plain
        .query_row("SELECT count(*) FROM entry", [], |row| row.get(0))
        .unwrap();
    assert_eq!(entries, ENTRIES as i64);
}

// Damage.

#[test]
fn damage_in_the_middle_is_set_aside_and_what_can_be_read_is_saved_encrypted() {
    let folder = tempfile::tempdir().unwrap();
    write_secrets(&mut open(folder.path()));
    let path = file(folder.path());
    let conn = raw(&path);
    let sql = "SELECT pageno FROM dbstat WHERE name = 'kv' AND pagetype = 'leaf' ORDER BY path LIMIT 1 OFFSET 2";
    let page: u32 = conn.query_row(sql, [], |row| row.get(0)).unwrap();
    drop(conn);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[(page as usize - 1) * PAGE + 100] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let mut db = open(folder.path());
    assert_eq!(db.salvaged(), None, "it is met where it is");
    assert_eq!(seen(&db), Err(Error::Damaged { path: path.clone() }));
    // What is on other pages can still be written, as in a plain file.
    db.write(|write| record::put(write, "workout", "after", "{}")).unwrap();
    drop(db);
    let db = open(folder.path());
    let salvage = db.salvaged().unwrap().clone();
    assert_eq!(salvage.entries, ENTRIES + 1);
    assert!(salvage.pairs >= PAIRS - 13 && salvage.pairs < PAIRS, "{salvage:?}");
    assert!(!salvage.whole);
    assert_eq!(seen(&db).unwrap(), (ENTRIES + 1, salvage.pairs, 1));
    assert_nothing_of_it_is_legible(folder.path());
    assert!(salvage.set_aside.exists());
    drop(db);
    assert_nothing_of_it_is_legible(folder.path());
}

#[test]
fn a_value_whose_last_page_is_gone_is_not_saved_with_zeros_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = open(folder.path());
    db.write(|write| {
        kv::set(write, "short", "short")?;
        kv::set(write, "long", &"lang ".repeat(2_000))
    })
    .unwrap();
    drop(db);
    let path = file(folder.path());
    let conn = raw(&path);
    let sql = "SELECT pageno FROM dbstat WHERE name = 'kv' AND pagetype = 'overflow' ORDER BY path DESC LIMIT 1";
    let page: u32 = conn.query_row(sql, [], |row| row.get(0)).unwrap();
    drop(conn);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[(page as usize - 1) * PAGE..page as usize * PAGE].fill(0xff);
    std::fs::write(&path, &bytes).unwrap();
    std::fs::write(beside(&path, ".suspect"), "").unwrap();
    let db = open(folder.path());
    assert!(
        db.salvaged()
            .is_some_and(|salvage| salvage.pairs == 1 && !salvage.whole)
    );
    let values = db.read(|read| Ok((read.kv_get("short")?, read.kv_get("long")?)));
    assert_eq!(values.unwrap(), (Some("short".to_owned()), None));
}

#[tokio::test]
async fn a_store_that_met_damage_still_reads_and_writes_what_is_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    write_secrets(&mut open(folder.path()));
    let path = file(folder.path());
    let conn = raw(&path);
    let sql = "SELECT pageno FROM dbstat WHERE name = 'kv' AND pagetype = 'leaf' ORDER BY path LIMIT 1 OFFSET 2";
    let page: u32 = conn.query_row(sql, [], |row| row.get(0)).unwrap();
    drop(conn);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[(page as usize - 1) * PAGE + 100] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let store = Store::open(with(folder.path(), Some(RIGHT)), None).await.unwrap();
    let mut met = 0;
    for n in 0..60 {
        let key = format!("theme-of-ada-{n:02}");
        match store.read(move |read| read.kv_get(&key)).await {
            Ok(value) => assert!(value.is_some_and(|value| value.starts_with("dunkelblau"))),
            Err(Error::Damaged { path: found }) => {
                assert_eq!(found, path);
                met += 1;
            }
            Err(other) => panic!("{other}"),
        }
        // Written over what cannot be read, too: refused as damage, and nothing else is.
        let key = format!("theme-of-ada-{n:02}");
        match store.write(move |write| kv::set(write, &key, "hell")).await {
            Ok(()) | Err(Error::Damaged { .. }) => {}
            Err(other) => panic!("{other}"),
        }
        store.put("workout", &format!("after-{n}"), "{}").await.unwrap();
    }
    assert!((1..=13).contains(&met), "{met} of 60 could not be read");
    store.close().await.unwrap();
    let db = open(folder.path());
    assert_eq!(db.salvaged().map(|salvage| salvage.entries), Some(ENTRIES + 60));
}

// Accounts, and what leaves the file.

#[tokio::test]
async fn accounts_are_switched_listed_signed_out_and_wiped_with_one_key() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = Accounts::new(with(folder.path(), Some(RIGHT)), |_| None).unwrap();
    for name in ["ada-of-all-names", "bob-of-all-names"] {
        let store = accounts.switch(name).await.unwrap();
        store.put("workout", "w", r#"{"note":"Kniebeuge tief"}"#).await.unwrap();
    }
    assert_eq!(accounts.sign_out("ada-of-all-names").await.unwrap(), 1);
    let known = accounts.list().await.unwrap();
    let told: Vec<_> = known
        .iter()
        .map(|known| (known.account.as_deref().unwrap(), known.unsent.unwrap(), known.is_open))
        .collect();
    assert_eq!(told, [("ada-of-all-names", 1, false), ("bob-of-all-names", 1, true)]);
    assert_nothing_is_legible(folder.path(), &[b"ada-of-all", b"bob-of-all"]);
    let losses = accounts.losses("ada-of-all-names").await.unwrap();
    assert_eq!(losses.unsent, 1);
    accounts.wipe("ada-of-all-names", &losses).await.unwrap();
    assert_eq!(accounts.list().await.unwrap().len(), 1);
    accounts.sign_out("bob-of-all-names").await.unwrap();
}

#[test]
fn what_is_exported_can_be_brought_into_an_encrypted_file() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut db = open(from.path());
    write_secrets(&mut db);
    let export = db.read(|read| carry::export(read, local::START)).unwrap();
    assert!(export.text.contains("Kniebeuge tief"), "an export is in clear");
    let mut fresh = open(to.path());
    let import = carry::Import::parse(export.text.as_bytes(), &local::collections(), fresh.settings()).unwrap();
    let mut so_far = carry::Imported::default();
    while !import.is_done(so_far) {
        so_far = fresh.write(|write| import.bring(write, so_far)).unwrap().0;
    }
    let page = fresh
        .read(|read| read.query(&Query::new("workout").limit(1_000)))
        .unwrap();
    assert!(page.records.len() >= 60);
    assert_nothing_of_it_is_legible(to.path());
}

// Killed.

const PROMISE: &str = "promised";

fn workouts(db: &Db) -> usize {
    db.read(|read| read.queue_counts()).unwrap().total().try_into().unwrap()
}

#[test]
#[ignore = "run by a_process_killed_in_the_middle_has_lost_nothing"]
fn child_that_writes_until_it_is_killed() {
    let folder = child_folder();
    let mut db = open(&folder);
    for n in workouts(&db).. {
        let body = format!("{{\"note\":\"{}\"}}", "Kniebeuge tief ".repeat(n % 300));
        db.write(|write| record::put(write, "workout", &format!("workout-of-ada-{n}"), &body))
            .unwrap();
        std::fs::write(folder.join("new"), (n + 1).to_string()).unwrap();
        std::fs::rename(folder.join("new"), folder.join(PROMISE)).unwrap();
    }
}

#[test]
fn a_process_killed_in_the_middle_has_lost_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let promised = || -> usize {
        let text = std::fs::read_to_string(folder.path().join(PROMISE)).unwrap_or_default();
        text.parse().unwrap_or(0)
    };
    for round in 0..8 {
        let before = promised();
        let mut command = child("child_that_writes_until_it_is_killed");
        command.env("KEEPSYNC_TEST_FOLDER", folder.path());
        let mut process = command.stdout(std::process::Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while promised() < before + 5 + round * 7 {
            assert!(Instant::now() < deadline, "round {round}: it does not write");
            std::thread::yield_now();
        }
        process.kill().unwrap();
        process.wait().unwrap();
        let told = promised();
        let left = bytes_of(folder.path());
        assert_eq!(
            Db::open(with(folder.path(), Some(WRONG))).err(),
            Some(Error::WrongKey),
            "round {round}"
        );
        assert!(
            bytes_of(folder.path()) == left,
            "round {round}: the wrong key changed something"
        );
        let db = open(folder.path());
        assert_eq!(db.salvaged(), None, "round {round}");
        let there = workouts(&db);
        assert!(there == told || there == told + 1, "round {round}: {there} of {told}");
        drop(db);
        assert_nothing_of_it_is_legible(folder.path());
    }
}

#[test]
#[ignore = "run by threads_that_are_the_first_to_open_a_file_are_all_served"]
fn child_that_opens_many_files_at_once() {
    let folder = child_folder();
    let start = std::sync::Barrier::new(16);
    std::thread::scope(|scope| {
        for n in 0..16 {
            let (folder, start) = (folder.join(n.to_string()), &start);
            std::fs::create_dir(&folder).unwrap();
            // Not all of them encrypt: whoever comes first readies SQLite.
            let key = (n % 4 != 0).then_some(RIGHT);
            scope.spawn(move || {
                start.wait();
                Db::open(with(&folder, key)).unwrap();
            });
        }
    });
}

/// SQLite is ready once in a process, and takes itself for ready before SQLCipher is.
#[test]
fn threads_that_are_the_first_to_open_a_file_are_all_served() {
    for _ in 0..60 {
        let folder = tempfile::tempdir().unwrap();
        run_child(child("child_that_opens_many_files_at_once"), folder.path());
    }
}
