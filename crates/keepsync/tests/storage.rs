//! The account's file: whose it is, who may read it, how often it is open, and what happens when it
//! cannot be opened or written.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of tests are tests too"
)]

#[path = "support/local.rs"]
mod local;

use keepsync::{
    Db, Error, OpenOptions, Place, Result, Store, kv,
    record::{self, Query},
};
use local::{ACCOUNT, beside, child, child_folder, collections, file, key, options, raw, run_child};
use rusqlite::Connection;
use std::{
    collections::BTreeSet,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Barrier},
};
use tempfile::TempDir;

fn put(db: &mut Db, id: &str) -> Result<()> {
    db.write(|write| record::put(write, "workout", id, r#"{"name":"Mittwoch"}"#))
        .map(|_| ())
}

fn ids(db: &Db) -> Vec<String> {
    let page = db.read(|read| read.query(&Query::new("workout").limit(1_000))).unwrap();
    page.records.into_iter().map(|record| record.id).collect()
}

// Who may read it.

#[test]
fn file_log_and_index_are_for_their_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = Db::open(options(folder.path())).unwrap();
    put(&mut db, "w1").unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let meta = std::fs::metadata(beside(&file(folder.path()), suffix)).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, 0o600, "{suffix}");
    }
}

#[test]
fn the_account_is_not_in_the_files_name() {
    let folder = tempfile::tempdir().unwrap();
    let name = file(folder.path()).file_name().unwrap().to_string_lossy().into_owned();
    assert!(!name.contains("lifter") && !name.contains('@'), "{name}");
}

// Whose it is.

#[test]
fn a_file_of_another_account_is_refused_and_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let mut mine = Db::open(options(folder.path())).unwrap();
    put(&mut mine, "w1").unwrap();
    drop(mine);
    let other = OpenOptions {
        account: "somebody.else@example.org".to_owned(),
        ..options(folder.path())
    };
    let path = other.file().unwrap();
    std::fs::copy(file(folder.path()), &path).unwrap();
    let before = std::fs::read(&path).unwrap();
    assert_eq!(Db::open(other).err(), Some(Error::OtherAccount));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn accounts_have_files_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut mine = Db::open(options(folder.path())).unwrap();
    put(&mut mine, "w1").unwrap();
    let other = Db::open(OpenOptions {
        account: "somebody.else@example.org".to_owned(),
        ..options(folder.path())
    });
    assert_eq!(ids(&other.unwrap()), [""; 0]);
}

// Written by a newer version.

fn make_newer(path: &Path) -> Connection {
    let newer = raw(path);
    newer
        .execute_batch("PRAGMA wal_autocheckpoint=0; CREATE TABLE of_the_future (x); PRAGMA user_version=9999")
        .unwrap();
    newer
}

#[test]
fn a_newer_file_is_refused_and_untouched() {
    let folder = tempfile::tempdir().unwrap();
    drop(Db::open(options(folder.path())).unwrap());
    drop(make_newer(&file(folder.path())));
    let before = std::fs::read(file(folder.path())).unwrap();
    let refused = Error::NewerFile { found: 9999, known: 1 };
    assert_eq!(Db::open(options(folder.path())).err(), Some(refused));
    assert_eq!(std::fs::read(file(folder.path())).unwrap(), before);
}

#[test]
fn a_newer_file_whose_app_was_killed_keeps_its_log() {
    let (folder, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop(Db::open(options(folder.path())).unwrap());
    let newer = make_newer(&file(folder.path()));
    // As a killed app leaves it: the newest commits are in the log only.
    for suffix in ["", "-wal"] {
        std::fs::copy(
            beside(&file(folder.path()), suffix),
            beside(&file(killed.path()), suffix),
        )
        .unwrap();
    }
    drop(newer);
    let read = |suffix| std::fs::read(beside(&file(killed.path()), suffix)).unwrap();
    let before = (read(""), read("-wal"));
    assert!(before.1.len() > 4096, "the log holds the newest commits");
    let refused = Db::open(options(killed.path())).err();
    assert!(
        matches!(refused, Some(Error::NewerFile { found: 9999, .. })),
        "{refused:?}"
    );
    assert!((read(""), read("-wal")) == before, "file or log changed");
}

#[test]
fn another_programs_database_is_refused_and_untouched() {
    for version in ["", "PRAGMA user_version=1"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.db");
        let theirs = raw(&path);
        theirs
            .execute_batch(&format!("CREATE TABLE notes (text); {version}"))
            .unwrap();
        drop(theirs);
        let before = std::fs::read(&path).unwrap();
        assert_eq!(Db::open(at(&path, ACCOUNT)).err(), Some(Error::ForeignFile));
        assert!(std::fs::read(&path).unwrap() == before, "the file changed");
    }
}

// Opened more than once.

/// Two handles to one store share its texts.
fn same(one: &Store, other: &Store) -> bool {
    std::ptr::eq(one.device_id(), other.device_id())
}

#[tokio::test]
async fn opening_a_file_again_gives_the_same_store() {
    let folder = tempfile::tempdir().unwrap();
    let first = Store::open(options(folder.path()), None).await.unwrap();
    let again = Store::open(options(folder.path()), None).await.unwrap();
    assert!(same(&first, &again));
}

#[tokio::test]
async fn opening_a_file_at_the_same_time_gives_the_same_store() {
    let folder = tempfile::tempdir().unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|_| tokio::spawn(Store::open(options(folder.path()), None)))
        .collect();
    let mut stores = Vec::new();
    for task in tasks {
        stores.push(task.await.unwrap().unwrap());
    }
    assert!(stores.iter().all(|store| same(store, &stores[0])));
}

#[tokio::test]
async fn a_relative_path_and_a_symlink_lead_to_the_same_store() {
    // The working directory belongs to the whole process, so the relative path starts there.
    let folder = tempfile::tempdir_in(".").unwrap();
    let relative = PathBuf::from(".").join(folder.path().file_name().unwrap());
    let absolute = folder.path().canonicalize().unwrap();
    let links = tempfile::tempdir().unwrap();
    let link = links.path().join("link");
    symlink(&absolute, &link).unwrap();
    let first = Store::open(options(&absolute), None).await.unwrap();
    for path in [relative, absolute.join("..").join(absolute.file_name().unwrap()), link] {
        let again = Store::open(options(&path), None).await.unwrap();
        assert!(same(&first, &again), "{path:?}");
    }
}

#[tokio::test]
async fn a_symlinked_folder_that_does_not_exist_yet_leads_to_the_same_store() {
    let base = tempfile::tempdir().unwrap();
    let (real, link) = (base.path().join("real"), base.path().join("link"));
    std::fs::create_dir(&real).unwrap();
    symlink(&real, &link).unwrap();
    let first = Store::open(options(&link.join("accounts")), None).await.unwrap();
    let again = Store::open(options(&real.join("accounts")), None).await.unwrap();
    assert!(same(&first, &again));
}

#[tokio::test]
async fn other_accounts_have_other_stores() {
    let folder = tempfile::tempdir().unwrap();
    let mine = Store::open(options(folder.path()), None).await.unwrap();
    let theirs = OpenOptions {
        account: "somebody.else@example.org".to_owned(),
        ..options(folder.path())
    };
    let other = Store::open(theirs, None).await.unwrap();
    assert!(!same(&mine, &other));
}

// The installation's id.

fn installed(folder: &Path, account: &str) -> OpenOptions {
    OpenOptions {
        key: key(),
        ..OpenOptions::new(folder, account, collections())
    }
}

#[test]
fn the_device_id_outlives_accounts_and_wiping() {
    let folder = tempfile::tempdir().unwrap();
    let mine = installed(folder.path(), ACCOUNT);
    let id = Db::open(mine.clone()).unwrap().device_id().to_owned();
    assert_eq!(Db::open(installed(folder.path(), "b")).unwrap().device_id(), id);
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(beside(&mine.file().unwrap(), suffix));
    }
    assert_eq!(Db::open(mine).unwrap().device_id(), id);
}

#[test]
fn a_device_id_that_cannot_be_read_is_made_anew_and_stays() {
    for broken in [
        &b""[..],
        b"0193",
        b"\xff\xfe\x00",
        b"not an id at all, whatever it says",
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("device-id"), broken).unwrap();
        let id = Db::open(installed(folder.path(), "a")).unwrap().device_id().to_owned();
        assert_eq!(id.len(), 36, "{id:?} for {broken:?}");
        assert_eq!(Db::open(installed(folder.path(), "b")).unwrap().device_id(), id);
    }
}

/// A whole device in one place.
fn at(file: &Path, account: &str) -> OpenOptions {
    OpenOptions {
        place: Place::File(file.to_owned()),
        ..installed(Path::new("nowhere"), account)
    }
}

#[test]
fn files_named_one_by_one_are_devices_of_their_own_also_in_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let [phone, tablet] = ["phone.db", "tablet.db"].map(|name| folder.path().join(name));
    let id = |file: &Path| Db::open(at(file, ACCOUNT)).unwrap().device_id().to_owned();
    let (first, second) = (id(&phone), id(&tablet));
    assert_ne!(first, second);
    assert_eq!((id(&phone), id(&tablet)), (first, second));
    assert!(phone.is_file() && tablet.is_file());
}

#[tokio::test]
async fn a_file_named_for_one_account_does_not_open_for_another() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new").join("phone.db");
    let mine = Store::open(at(&file, "anna"), None).await.unwrap();
    mine.put("workout", "w1", "{}").await.unwrap();
    let theirs = Store::open(at(&file, "ben"), None).await;
    assert_eq!(theirs.unwrap_err(), keepsync::Error::OtherAccount, "while it is open");
    let roundabout = folder.path().join("new").join("..").join("new").join("phone.db");
    let again = Store::open(at(&roundabout, "anna"), None).await.unwrap();
    assert!(same(&mine, &again));
    mine.close().await.unwrap();
    let theirs = Store::open(at(&file, "ben"), None).await;
    assert_eq!(theirs.unwrap_err(), keepsync::Error::OtherAccount, "afterwards");
    let mine = Store::open(at(&file, "anna"), None).await.unwrap();
    assert!(mine.get("workout", "w1").await.unwrap().is_some());
}

#[test]
fn threads_that_race_for_the_device_id_get_one() {
    let folder = tempfile::tempdir().unwrap();
    let start = Arc::new(Barrier::new(8));
    let threads: Vec<_> = (0..8)
        .map(|n| {
            let (start, options) = (Arc::clone(&start), installed(folder.path(), &n.to_string()));
            std::thread::spawn(move || {
                start.wait();
                Db::open(options).unwrap().device_id().to_owned()
            })
        })
        .collect();
    let ids: BTreeSet<String> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(ids.len(), 1);
    let leftovers: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("device-id."))
        .filter(|name| name != "device-id.lock")
        .collect();
    assert_eq!(leftovers, [""; 0]);
}

#[test]
fn processes_that_race_for_the_device_id_get_one() {
    let folder = tempfile::tempdir().unwrap();
    let children: Vec<_> = (0..4)
        .map(|n| {
            let mut command = child("child_that_tells_its_device_id");
            command
                .env("KEEPSYNC_TEST_FOLDER", folder.path())
                .env("KEEPSYNC_TEST_ACCOUNT", n.to_string());
            command.stdout(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let ids: BTreeSet<String> = children
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success());
            let said = String::from_utf8(output.stdout).unwrap();
            let line = said.lines().find(|line| line.starts_with("device=")).unwrap();
            line.to_owned()
        })
        .collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
}

#[test]
#[ignore = "run by processes_that_race_for_the_device_id_get_one"]
fn child_that_tells_its_device_id() {
    let account = std::env::var("KEEPSYNC_TEST_ACCOUNT").unwrap();
    let db = Db::open(installed(&child_folder(), &account)).unwrap();
    println!("\ndevice={}", db.device_id());
}

// Read-only, not readable, not a file.

/// A file with one record, closed, its log moved into it.
fn prepared() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut db = Db::open(options(folder.path())).unwrap();
    put(&mut db, "w1").unwrap();
    drop(db);
    folder
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Permissions do not bind root, so its tests run as somebody else.
fn as_a_common_user(test: &str, folder: &Path) -> Vec<(String, String)> {
    use std::os::unix::process::CommandExt as _;
    const NOBODY: u32 = 65_534;
    let mut command = child(test);
    let readable = tempfile::tempdir().unwrap();
    if std::fs::metadata(folder).unwrap().uid() == 0 {
        // The build's folder may be closed to others.
        mode(readable.path(), 0o755);
        let binary = readable.path().join("test");
        std::fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
        mode(&binary, 0o755);
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        command = Command::new(binary);
        command.args(arguments).uid(NOBODY).gid(NOBODY).current_dir("/");
        for entry in std::fs::read_dir(folder).unwrap() {
            chown(entry.unwrap().path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    run_child(command, folder)
}

#[test]
#[ignore = "run by the tests of what cannot be opened or written"]
fn child_that_opens_reads_and_writes() {
    let opened = Db::open(options(&child_folder()));
    match opened {
        Err(error) => println!("\nopen={}", error.code()),
        Ok(mut db) => {
            println!("\nopen=ok");
            println!("read={}", ids(&db).join(","));
            println!(
                "write={}",
                put(&mut db, "w2").map_or_else(|error| error.code(), |()| "ok")
            );
            println!("then={}", ids(&db).join(","));
        }
    }
}

fn said(lines: &[(String, String)]) -> Vec<&str> {
    lines.iter().map(|(_, value)| value.as_str()).collect()
}

#[test]
fn a_common_user_opens_reads_and_writes() {
    let folder = prepared();
    let lines = as_a_common_user("child_that_opens_reads_and_writes", folder.path());
    assert_eq!(said(&lines), ["ok", "w1", "ok", "w1,w2"]);
}

#[test]
fn a_read_only_file_can_be_read_and_writing_it_has_its_own_error() {
    let folder = prepared();
    mode(&file(folder.path()), 0o400);
    let lines = as_a_common_user("child_that_opens_reads_and_writes", folder.path());
    assert_eq!(said(&lines), ["ok", "w1", "read_only_file", "w1"]);
    mode(&file(folder.path()), 0o600);
    assert_eq!(ids(&Db::open(options(folder.path())).unwrap()), ["w1"]);
}

#[test]
fn a_read_only_folder_has_its_own_error() {
    let folder = prepared();
    mode(folder.path(), 0o500);
    let lines = as_a_common_user("child_that_opens_reads_and_writes", folder.path());
    mode(folder.path(), 0o700);
    assert_eq!(said(&lines), ["read_only_file"]);
    assert_eq!(ids(&Db::open(options(folder.path())).unwrap()), ["w1"]);
}

#[test]
fn a_read_only_folder_takes_no_new_file() {
    let folder = tempfile::tempdir().unwrap();
    mode(folder.path(), 0o500);
    let lines = as_a_common_user("child_that_opens_reads_and_writes", folder.path());
    mode(folder.path(), 0o700);
    assert_eq!(said(&lines), ["read_only_file"]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_file_that_cannot_be_read_now_is_unavailable_and_kept() {
    let folder = prepared();
    let before = std::fs::read(file(folder.path())).unwrap();
    mode(&file(folder.path()), 0o000);
    let lines = as_a_common_user("child_that_opens_reads_and_writes", folder.path());
    assert_eq!(said(&lines), ["unavailable"]);
    mode(&file(folder.path()), 0o600);
    assert_eq!(std::fs::read(file(folder.path())).unwrap(), before);
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        2,
        "nothing was set aside: there is the file and its reserve"
    );
}

#[test]
fn a_folder_in_the_files_place_is_unavailable_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(file(folder.path())).unwrap();
    assert_eq!(Db::open(options(folder.path())).err(), Some(Error::Unavailable));
    assert!(file(folder.path()).is_dir());
}

#[test]
fn a_file_in_the_folders_place_is_unavailable_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("taken");
    std::fs::write(&taken, "mine").unwrap();
    assert_eq!(Db::open(options(&taken)).err(), Some(Error::Unavailable));
    assert_eq!(std::fs::read(&taken).unwrap(), b"mine");
}

/// A child in a mount namespace of its own, with a file system of `size` at its folder. The mount
/// goes with the child.
#[cfg(target_os = "linux")]
fn on_a_small_disk(test: &str, folder: &Path, size: &str, then: &str) -> Vec<(String, String)> {
    let inner = child(test);
    let mut command = Command::new("unshare");
    if std::fs::metadata(folder).unwrap().uid() != 0 {
        command.arg("--map-root-user");
    }
    command.args(["--mount", "sh", "-ec"]);
    command.arg(format!(
        "mount -t tmpfs -o size={size},mode=700 tmpfs \"$KEEPSYNC_TEST_FOLDER\"; {then} exec \"$0\" \"$@\""
    ));
    command.arg(inner.get_program()).args(inner.get_args());
    run_child(command, folder)
}

#[cfg(target_os = "linux")]
#[test]
fn a_read_only_disk_has_its_own_error() {
    let (folder, original) = (tempfile::tempdir().unwrap(), prepared());
    let then = format!(
        "cp {0}/* \"$KEEPSYNC_TEST_FOLDER\"; mount -o remount,ro \"$KEEPSYNC_TEST_FOLDER\";",
        original.path().display()
    );
    let lines = on_a_small_disk("child_that_opens_reads_and_writes", folder.path(), "1m", &then);
    assert_eq!(said(&lines), ["read_only_file"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_read_only_disk_takes_no_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let then = "mount -o remount,ro \"$KEEPSYNC_TEST_FOLDER\";";
    let lines = on_a_small_disk("child_that_opens_reads_and_writes", folder.path(), "1m", then);
    assert_eq!(said(&lines), ["read_only_file"]);
}

// Locked.

#[test]
fn a_file_locked_by_another_process_has_its_own_error_and_works_afterwards() {
    let folder = prepared();
    let other = raw(&file(folder.path()));
    other
        .execute_batch("PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT")
        .unwrap();
    assert_eq!(Db::open(options(folder.path())).err(), Some(Error::Locked));
    drop(other);
    let mut db = Db::open(options(folder.path())).unwrap();
    put(&mut db, "w2").unwrap();
    assert_eq!(ids(&db), ["w1", "w2"]);
}

#[tokio::test]
async fn a_write_that_meets_a_lock_changes_nothing_and_works_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(options(folder.path()), None).await.unwrap();
    store.put("workout", "w1", "{}").await.unwrap();
    let other = raw(&file(folder.path()));
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(store.put("workout", "w2", "{}").await.err(), Some(Error::Locked));
    assert!(store.get("workout", "w1").await.unwrap().is_some(), "reads go on");
    assert!(store.get("workout", "w2").await.unwrap().is_none());
    drop(other);
    store.put("workout", "w2", "{}").await.unwrap();
    assert_eq!(store.queue_counts().await.unwrap().total(), 2);
}

// No room.

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_refuses_writes_with_its_own_error_and_nothing_half_done() {
    let folder = tempfile::tempdir().unwrap();
    let lines = on_a_small_disk("child_on_a_full_disk", folder.path(), "2m", "");
    assert_eq!(said(&lines), ["done"]);
}

/// Writes a file until there is no room left at all.
fn fill(folder: &Path) {
    use std::io::Write as _;
    let mut ballast = std::fs::File::create(folder.join("ballast")).unwrap();
    while ballast.write_all(&[0; 512]).is_ok() {}
}

fn make_room(folder: &Path) {
    std::fs::remove_file(folder.join("ballast")).unwrap();
}

#[test]
#[ignore = "run by a_full_disk_refuses_writes_with_its_own_error_and_nothing_half_done"]
fn child_on_a_full_disk() {
    let folder = child_folder();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        // A new file has no room: the error is the disk's, and afterwards it is as if never tried.
        fill(&folder);
        assert_eq!(Db::open(options(&folder)).err(), Some(Error::StorageFull));
        make_room(&folder);
        std::fs::write(folder.join("ballast"), vec![0; 300 * 1024]).unwrap();

        let store = Store::open(options(&folder), None).await.unwrap();
        assert_eq!(store.salvaged(), None);
        store.kv_set("theme", "dark").await.unwrap();
        let body = format!("{{\"notes\":\"{}\"}}", "x".repeat(2_000));
        let mut kept = Vec::new();
        let error = loop {
            let id = format!("w{:04}", kept.len());
            match store.put("workout", &id, &body).await {
                Ok(_) => kept.push(id),
                Err(error) => break error,
            }
        };
        assert_eq!(error, Error::StorageFull);
        assert!(kept.len() > 10, "{}", kept.len());

        // Record and entry both, or neither; reads go on.
        let check = async |store: &Store, kept: &[String]| {
            let page = store.query(Query::new("workout").limit(1_000)).await.unwrap();
            let there: Vec<String> = page.records.into_iter().map(|record| record.id).collect();
            assert_eq!(there, kept);
            assert_eq!(store.queue_counts().await.unwrap().total(), kept.len() as u64);
            assert_eq!(store.kv_get("theme").await.unwrap().as_deref(), Some("dark"));
        };
        check(&store, &kept).await;
        let both = store
            .write(move |write| {
                kv::set(write, "theme", "light")?;
                record::put(write, "workout", "too-much", &body)
            })
            .await;
        assert_eq!(both.err(), Some(Error::StorageFull));
        check(&store, &kept).await;

        make_room(&folder);
        store.put("workout", "w9999", "{}").await.unwrap();
        kept.push("w9999".to_owned());
        check(&store, &kept).await;
        store.close().await.unwrap();

        // Closed and opened while there is no room at all: the file is neither damaged nor empty.
        fill(&folder);
        match Store::open(options(&folder), None).await {
            Err(error) => assert_eq!(error, Error::StorageFull),
            Ok(store) => {
                check(&store, &kept).await;
                store.close().await.unwrap();
            }
        }
        make_room(&folder);
        let store = Store::open(options(&folder), None).await.unwrap();
        assert_eq!(store.salvaged(), None);
        check(&store, &kept).await;
        store.close().await.unwrap();
    });
    println!("\nresult=done");
}
