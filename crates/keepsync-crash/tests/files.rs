//! What the core does to files beside SQLite: an account that is wiped, a damaged file that is set aside. The process
//! dies between any two of these renamings and deletions, again while the next one makes good what was left, and the
//! app is opened.
//!
//! The kernel tells in which order they were done (inotify); each beginning of that list is done to a copy.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of tests are tests too"
)]

use inotify::{EventMask, Inotify, WatchMask};
use keepsync::{
    Db, OpenOptions,
    accounts::Accounts,
    collection::{Collection, Collections},
    conflict::Policy,
    kv, record,
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// Something that was done to a file of the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Did {
    Rename(String, String),
    Delete(String),
}

/// What is done in the folder meanwhile, in order. New files and what is written to them is not told.
fn watched<T>(folder: &Path, f: impl FnOnce() -> T) -> (T, Vec<Did>) {
    let mut inotify = Inotify::init().unwrap();
    let mask = WatchMask::DELETE | WatchMask::MOVED_FROM | WatchMask::MOVED_TO;
    inotify.watches().add(folder, mask).unwrap();
    let done = f();
    let (mut did, mut from) = (Vec::new(), String::new());
    let mut buffer = [0; 65_536];
    while let Ok(events) = inotify.read_events(&mut buffer) {
        for event in events {
            let name = event.name.unwrap_or_default().to_str().unwrap().to_owned();
            if event.mask.contains(EventMask::MOVED_FROM) {
                from = name;
            } else if event.mask.contains(EventMask::MOVED_TO) {
                did.push(Did::Rename(std::mem::take(&mut from), name));
            } else {
                did.push(Did::Delete(name));
            }
        }
    }
    (done, did)
}

type Files = BTreeMap<String, Vec<u8>>;

fn files(folder: &Path) -> Files {
    let entry = |entry: fs::DirEntry| {
        (
            entry.file_name().into_string().unwrap(),
            fs::read(entry.path()).unwrap(),
        )
    };
    fs::read_dir(folder).unwrap().map(|one| entry(one.unwrap())).collect()
}

fn folder_with(files: &Files) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

/// The files after this much was done to them.
fn after(files: &Files, did: &[Did]) -> Files {
    let mut files = files.clone();
    for one in did {
        match one {
            Did::Rename(from, to) => {
                let bytes = files.remove(from).unwrap();
                files.insert(to.clone(), bytes);
            }
            Did::Delete(name) => {
                files.remove(name);
            }
        }
    }
    files
}

fn options(folder: &Path, account: &str) -> OpenOptions {
    let collections = Collections::new([
        Collection::new("workout", Policy::Ask),
        Collection::new("draft", Policy::ClientWins).direction(keepsync::collection::Direction::Local),
    ]);
    OpenOptions::new(folder, account, collections.unwrap())
}

fn name(account: &str) -> String {
    let path = options(Path::new("folder"), account).file().unwrap();
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

const WRITES: usize = 20;

fn write_some(folder: &Path, account: &str) -> Db {
    let mut db = Db::open(options(folder, account)).unwrap();
    db.write(|write| {
        for n in 0..WRITES {
            record::put(write, "workout", &format!("w{n}"), &format!("{{\"by\":\"{account}\"}}"))?;
            record::put(write, "draft", &format!("d{n}"), "{}")?;
            kv::set(write, &format!("k{n}"), account)?;
        }
        Ok(())
    })
    .unwrap();
    db
}

/// How many unsent writes, drafts and pairs an account has.
fn counts(db: &Db) -> [usize; 3] {
    db.read(|read| {
        let drafts = read.query(&record::Query::new("draft").limit(1_000))?.records;
        Ok([
            read.entries(i64::MIN, 1_000)?.len(),
            drafts.len(),
            read.kv_keys()?.len(),
        ])
    })
    .unwrap()
}

const ALL: [usize; 3] = [WRITES; 3];
const NONE: [usize; 3] = [0; 3];

/// Opens both accounts as an app does after it was killed: all of one account is there, or nothing.
fn opened(state: &Files, gone: bool, what: &str) -> Vec<Did> {
    let folder = folder_with(state);
    let new = || Accounts::new(options(folder.path(), ""), |_| None).unwrap();
    let (accounts, did) = watched(folder.path(), new);
    drop(accounts);
    // Nobody but this account is opened first, and whoever opens it again finds the same.
    for _ in 0..2 {
        let ada = Db::open(options(folder.path(), "ada")).unwrap();
        assert_eq!(counts(&ada), if gone { NONE } else { ALL }, "ada, {what}");
        assert!(ada.salvaged().is_none(), "{what}");
        assert_eq!(
            counts(&Db::open(options(folder.path(), "bob")).unwrap()),
            ALL,
            "bob, {what}"
        );
    }
    let left = files(folder.path());
    if gone {
        let of_ada = |file: &&String| file.starts_with(&name("ada"));
        let left: Vec<_> = left.keys().filter(of_ada).collect();
        let fresh = [name("ada"), name("ada") + ".reserve"];
        assert!(left.iter().all(|file| fresh.contains(*file)), "{left:?}, {what}");
    }
    assert_eq!(left.get("device-id"), state.get("device-id"), "{what}");
    did
}

#[tokio::test]
async fn an_account_that_is_wiped_is_there_or_gone_wherever_it_was_stopped() {
    let folder = tempfile::tempdir().unwrap();
    for account in ["ada", "bob"] {
        drop(write_some(folder.path(), account));
    }
    // All that may stand beside a file.
    let ada = name("ada");
    for beside in [
        ".damaged-1",
        ".damaged-1-wal",
        ".damaged-2",
        ".suspect",
        ".salvage",
        ".salvage-wal",
        ".drain",
    ] {
        fs::write(folder.path().join(format!("{ada}{beside}")), "left").unwrap();
    }
    let accounts = Accounts::new(options(folder.path(), ""), |_| None).unwrap();
    let losses = accounts.losses("ada").await.unwrap();
    let before = files(folder.path());

    let runtime = tokio::runtime::Handle::current();
    let wipe = || std::thread::scope(|scope| scope.spawn(|| runtime.block_on(accounts.wipe("ada", &losses))).join());
    let (wiped, did) = watched(folder.path(), wipe);
    wiped.unwrap().unwrap();
    let did: Vec<Did> = did.into_iter().filter(|one| !is_sqlite(one)).collect();
    let renamed = did.iter().position(|one| matches!(one, Did::Rename(..))).unwrap();
    assert!(renamed >= 2 && did.len() >= renamed + 7, "{did:?}");

    for stopped in 0..=did.len() {
        let state = after(&before, &did[..stopped]);
        let gone = stopped > renamed;
        let what = format!("stopped after {:?}", &did[..stopped]);
        let goes_on = opened(&state, gone, &what);
        // The app that goes on with it is stopped too.
        assert!(
            stopped == did.len() || !gone || !goes_on.is_empty(),
            "{what}: nothing was left to do"
        );
        for again in 1..goes_on.len() {
            let state = after(&state, &goes_on[..again]);
            opened(&state, gone, &format!("{what}, and after {:?}", &goes_on[..again]));
        }
    }
}

/// SQLite's own: a reader makes them and takes them away.
fn is_sqlite(did: &Did) -> bool {
    matches!(did, Did::Delete(name) if name == &(self::name("ada") + "-shm") || name == &(self::name("ada") + "-wal"))
}

/// The files before this was done, where that can be told: what is renamed keeps its content, and a mark has none.
fn before(files: &Files, did: &[Did]) -> Files {
    let mut files = files.clone();
    for one in did.iter().rev() {
        match one {
            Did::Rename(from, to) => {
                let bytes = files.remove(to).unwrap();
                files.insert(from.clone(), bytes);
            }
            Did::Delete(name) if name.ends_with(".suspect") => {
                files.insert(name.clone(), Vec::new());
            }
            Did::Delete(other) => panic!("{other} was deleted"),
        }
    }
    files
}

#[test]
fn a_damaged_file_that_is_set_aside_is_set_aside_once_wherever_that_was_stopped() {
    let folder = tempfile::tempdir().unwrap();
    drop(write_some(folder.path(), "ada"));
    let root: u32 = {
        let conn = rusqlite::Connection::open(options(folder.path(), "ada").file().unwrap()).unwrap();
        let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'history'";
        conn.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    // As a process that was killed leaves them: the last write is in the log, and a page of the file is damaged.
    let mut db = Db::open(options(folder.path(), "ada")).unwrap();
    db.write(|write| kv::set(write, "k0", "last")).unwrap();
    let mut damaged = files(folder.path());
    drop(db);
    assert!(damaged[&(name("ada") + "-wal")].len() > 4_096);
    damaged.remove(&(name("ada") + "-shm"));
    damaged.insert(name("ada") + ".suspect", Vec::new());
    let root = root as usize;
    damaged.get_mut(&name("ada")).unwrap()[(root - 1) * 4_096..root * 4_096].fill(0xa5);
    let bytes_of = |files: &Files| -> Vec<(String, Vec<u8>)> {
        let kept = files
            .iter()
            .filter(|(name, _)| name.contains(".damaged-") && !name.ends_with("-shm"));
        kept.map(|(name, bytes)| (name.clone(), bytes.clone())).collect()
    };

    let folder = folder_with(&damaged);
    let (db, did) = watched(folder.path(), || Db::open(options(folder.path(), "ada")).unwrap());
    let salvaged = db.salvaged().cloned();
    assert!(salvaged.is_some(), "{did:?}");
    assert_eq!(counts(&db), ALL);
    drop(db);
    let end = files(folder.path());
    let kept = bytes_of(&end);
    assert_eq!(kept.len(), 2, "the file and its log");
    for (suffix, original) in [("", ".damaged-1"), ("-wal", ".damaged-1-wal")] {
        assert!(
            end[&(name("ada") + original)] == damaged[&(name("ada") + suffix)],
            "{original}"
        );
    }
    let first = did.iter().position(|one| matches!(one, Did::Rename(..))).unwrap();
    let last = did
        .iter()
        .position(|one| matches!(one, Did::Delete(name) if name.ends_with(".suspect")));
    let did = &did[first..=last.unwrap()];
    assert!(did.len() >= 4, "{did:?}");

    for stopped in 0..=did.len() {
        let state = before(&end, &did[stopped..]);
        let what = format!("stopped after {:?}", &did[..stopped]);
        let folder = folder_with(&state);
        for _ in 0..2 {
            let db = Db::open(options(folder.path(), "ada")).unwrap();
            assert_eq!(counts(&db), ALL, "{what}");
        }
        let left = files(folder.path());
        assert_eq!(bytes_of(&left), kept, "kept as it was, once; {what}");
        assert!(
            !left
                .keys()
                .any(|name| name.contains(".salvage") || name.ends_with(".suspect")),
            "{what}"
        );
    }
}

#[test]
fn an_installations_id_is_made_once_wherever_that_was_stopped() {
    let folder = tempfile::tempdir().unwrap();
    drop(write_some(folder.path(), "ada"));
    let whole = files(folder.path());
    let id = whole["device-id"].clone();
    let without = |more: &[(&str, &[u8])]| {
        let mut files = whole.clone();
        files.remove("device-id");
        files.extend(more.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())));
        files
    };
    let states = [
        without(&[]),
        without(&[("device-id.lock", b"")]),
        without(&[("device-id.lock", b""), ("device-id.new", b"")]),
        without(&[("device-id.lock", b""), ("device-id.new", &id[..9])]),
        without(&[("device-id.lock", b""), ("device-id.new", &id)]),
        without(&[("device-id.lock", b""), ("device-id", b"")]),
        without(&[("device-id.lock", b""), ("device-id", &id[..9])]),
    ];
    for state in &states {
        let folder = folder_with(state);
        let first = Db::open(options(folder.path(), "ada")).unwrap();
        let made = first.device_id().to_owned();
        assert_eq!(counts(&first), ALL);
        drop(first);
        assert_eq!(made.len(), 36);
        for account in ["ada", "bob"] {
            assert_eq!(Db::open(options(folder.path(), account)).unwrap().device_id(), made);
        }
    }
}

/// Made with `create_new`, and then opened by SQLite.
#[test]
fn a_file_that_was_only_made_is_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let file: PathBuf = options(folder.path(), "ada").file().unwrap();
    fs::write(&file, "").unwrap();
    let db = write_some(folder.path(), "ada");
    assert!(db.salvaged().is_none());
    assert_eq!(counts(&db), ALL);
}
