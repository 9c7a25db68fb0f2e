//! A damaged file: kept, never deleted; what can be read of it is carried over; the app is told; never
//! a panic, and never an account that cannot be opened any more.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of tests are tests too"
)]

#[path = "support/local.rs"]
mod local;

use keepsync::{
    Db, Error, Result, Store, kv, queue,
    queue::EntryState,
    record::{self, Query, RecordState},
    session,
};
use local::{beside, file, key, options, page_size, raw};

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// What [`written`] wrote.
const WORKOUTS: usize = 60;
const PAIRS: usize = 120;

/// A file of some sixty pages, closed: workouts with unsent writes, pairs, and two sessions.
fn written() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let mut db = Db::open(options(folder.path())).unwrap();
    let long = "Schulter zwickt. ".repeat(300);
    let write_all = |write: &mut keepsync::Write<'_>| {
        for n in 0..WORKOUTS {
            // Some bodies are longer than a page.
            let notes = if n % 20 == 7 { long.as_str() } else { &long[..400] };
            let body = format!("{{\"date\":\"2025-{n:04}\",\"notes\":\"{notes}\"}}");
            record::put(write, "workout", &workout(n), &body)?;
        }
        for n in 0..PAIRS {
            kv::set(write, &format!("key-{n:03}"), &format!("{n} {}", &long[..150]))?;
        }
        for (collection, children, id) in [("workout", "set_log", "live"), ("plan", "plan_set", "held")] {
            session::start(write, collection, children, id, "{}")?;
            for slot in 0..5 {
                session::log_set(write, collection, id, &format!("bench/{slot}"), "{\"weight\":82.5}")?;
            }
            session::note(write, collection, id, Some("rest until 18:05"))?;
        }
        Ok(())
    };
    db.write(write_all).unwrap();
    drop(db);
    std::fs::read(file(folder.path())).unwrap()
}

fn workout(n: usize) -> String {
    format!("w{n:03}")
}

/// Everything in the queue: each set has its own entry, and so have the sessions.
const ENTRIES: usize = WORKOUTS + 2 * 6;

/// What a test does to the first page, or to texts in the file, is no damage to an encrypted one but a wrong key:
/// `encrypted.rs` has that.
fn is_encrypted() -> bool {
    key().is_some()
}

/// Reads everything an app reads.
fn look(db: &Db) -> Result<Seen> {
    db.read(|read| {
        let mut bodies = BTreeMap::new();
        for entry in read.entries(i64::MIN, 10_000)? {
            let body = read.entry(entry.op)?.body.unwrap_or_default();
            bodies.insert((entry.collection, entry.id), body);
        }
        let mut pairs = BTreeMap::new();
        for key in read.kv_keys()? {
            pairs.insert(key.clone(), read.kv_get(&key)?.unwrap_or_default());
        }
        for collection in ["workout", "set_log", "plan", "plan_set"] {
            read.query(&Query::new(collection).limit(1_000))?;
        }
        read.query(&Query::new("workout").order_by("date").limit(1_000))?;
        read.conflicts()?;
        read.bundle()?;
        queue::export(read)?;
        let sessions = read
            .active_sessions()?
            .into_iter()
            .map(|session| (session.id, session.sets.len(), session.scratch))
            .collect();
        Ok(Seen {
            bodies,
            pairs,
            sessions,
        })
    })
}

#[derive(Debug, Clone, PartialEq)]
struct Seen {
    bodies: BTreeMap<(String, String), String>,
    pairs: BTreeMap<String, String>,
    sessions: Vec<(String, usize, Option<String>)>,
}

fn open_bytes(bytes: &[u8]) -> (tempfile::TempDir, Result<Db>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(file(folder.path()), bytes).unwrap();
    let db = Db::open(options(folder.path()));
    (folder, db)
}

fn set_aside(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.to_string_lossy();
            name.contains(".damaged-") && !name.ends_with("-wal") && !name.ends_with("-shm")
        })
        .collect();
    found.sort();
    found
}

// Not a database at all.

#[test]
fn garbage_is_set_aside_and_a_fresh_file_takes_its_place() {
    if is_encrypted() {
        return;
    }
    let garbage: Vec<u8> = (0..20_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let (folder, db) = open_bytes(&garbage);
    let mut db = db.unwrap();
    let salvage = db.salvaged().unwrap().clone();
    assert_eq!((salvage.entries, salvage.pairs, salvage.whole), (0, 0, false));
    assert_eq!(std::fs::read(&salvage.set_aside).unwrap(), garbage, "kept as it was");
    assert_eq!(set_aside(folder.path()), [salvage.set_aside]);
    db.write(|write| record::put(write, "workout", "w1", "{}")).unwrap();
    drop(db);
    let again = Db::open(options(folder.path())).unwrap();
    assert_eq!(again.salvaged(), None, "told once");
    assert_eq!(look(&again).unwrap().bodies.len(), 1);
}

#[test]
fn each_damaged_file_is_kept_under_its_own_name() {
    if is_encrypted() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for n in 1..=3 {
        std::fs::write(file(folder.path()), format!("garbage {n} ").repeat(100)).unwrap();
        Db::open(options(folder.path())).unwrap();
    }
    let kept: BTreeSet<Vec<u8>> = set_aside(folder.path())
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    assert_eq!(kept.len(), 3);
}

#[tokio::test]
async fn the_app_is_told_through_its_store() {
    if is_encrypted() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(file(folder.path()), "garbage".repeat(1_000)).unwrap();
    let store = Store::open(options(folder.path()), None).await.unwrap();
    assert!(store.salvaged().is_some_and(|salvage| salvage.set_aside.exists()));
}

// Truncated.

#[test]
fn a_truncated_file_gives_up_what_is_left_of_it() {
    let whole = written();
    let all = look(&open_bytes(&whole).1.unwrap()).unwrap();
    let page = layout(&whole).size;
    for share in [1, 10, 25, 50, 75, 90, 98] {
        if share == 1 && is_encrypted() {
            continue;
        }
        // The last page is cut too, except where one page more or less is all.
        let cut = whole.len() * share / 100 / page * page + if share < 98 { 1_000 } else { 0 };
        let (folder, db) = open_bytes(&whole[..cut]);
        let db = db.unwrap_or_else(|error| panic!("{share} %: {error}"));
        let salvage = db.salvaged().unwrap_or_else(|| panic!("{share} %: not told"));
        assert_eq!(
            std::fs::metadata(&salvage.set_aside).unwrap().len(),
            cut as u64,
            "{share} %"
        );
        let seen = look(&db).unwrap();
        for (key, body) in &seen.bodies {
            assert_eq!(all.bodies.get(key), Some(body), "{share} %");
        }
        assert_eq!(set_aside(folder.path()).len(), 1, "{share} %");
        if share == 98 {
            assert!(seen.bodies.len() > ENTRIES / 2, "{}", seen.bodies.len());
        }
    }
}

#[test]
fn a_file_cut_to_nothing_does_not_take_its_log_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = Db::open(options(folder.path())).unwrap();
    db.write(|write| record::put(write, "workout", "w1", "{}")).unwrap();
    let log = std::fs::read(beside(&file(folder.path()), "-wal")).unwrap();
    drop(db);
    std::fs::write(file(folder.path()), "").unwrap();
    std::fs::write(beside(&file(folder.path()), "-wal"), &log).unwrap();
    let db = Db::open(options(folder.path())).unwrap();
    let aside = &db.salvaged().unwrap().set_aside;
    assert_eq!(std::fs::read(beside(aside, "-wal")).unwrap(), log);
}

// Page by page.

/// What is on each page: the table, and how many rows, for the pages of a table's leaves.
struct Layout {
    pages: BTreeMap<usize, (String, String, usize)>,
    size: usize,
}

fn layout(bytes: &[u8]) -> Layout {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy");
    std::fs::write(&path, bytes).unwrap();
    let conn = raw(&path);
    let size = page_size(&conn);
    let mut statement = conn
        .prepare("SELECT pageno, name, pagetype, ncell FROM dbstat")
        .unwrap();
    let number = |row: &rusqlite::Row<'_>, column| row.get::<_, u32>(column).map(|number| number as usize);
    let pages = statement
        .query_map([], |row| {
            Ok((number(row, 0)?, (row.get(1)?, row.get(2)?, number(row, 3)?)))
        })
        .unwrap()
        .collect::<rusqlite::Result<_>>()
        .unwrap();
    Layout { pages, size }
}

/// Zeroes the first page of a table's or index's tree, in a closed file.
fn zero_root_of(path: &Path, name: &str) {
    let conn = raw(path);
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
    let root: u32 = conn.query_row(sql, [name], |row| row.get(0)).unwrap();
    let (root, size) = (root as usize, page_size(&conn));
    drop(conn);
    let mut bytes = std::fs::read(path).unwrap();
    bytes[(root - 1) * size..root * size].fill(0);
    std::fs::write(path, bytes).unwrap();
}

/// Opens, reads; where reading finds the damage, closes and opens again.
fn open_and_look(folder: &Path) -> (Db, Seen) {
    for _ in 0..2 {
        let db = Db::open(options(folder)).unwrap();
        match look(&db) {
            Ok(seen) => return (db, seen),
            Err(Error::Damaged { path }) => assert_eq!(path, file(folder), "the error says where"),
            Err(error) => panic!("{error}"),
        }
    }
    let db = Db::open(options(folder)).unwrap();
    let seen = look(&db).unwrap();
    (db, seen)
}

fn with_each_page_damaged(how: impl Fn(&mut [u8])) {
    let whole = written();
    let all = look(&open_bytes(&whole).1.unwrap()).unwrap();
    assert_eq!((all.bodies.len(), all.pairs.len()), (ENTRIES, PAIRS));
    let layout = layout(&whole);
    let count = whole.len() / layout.size;
    assert!((50..=90).contains(&count), "{count} pages");
    for number in 1..=count {
        let mut bytes = whole.clone();
        how(&mut bytes[(number - 1) * layout.size..number * layout.size]);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(file(folder.path()), &bytes).unwrap();
        if number == 1 && is_encrypted() {
            assert_eq!(Db::open(options(folder.path())).err(), Some(Error::WrongKey));
            assert!(std::fs::read(file(folder.path())).unwrap() == bytes);
            continue;
        }
        let (db, seen) = open_and_look(folder.path());
        let (table, kind, rows) = layout.pages.get(&number).cloned().unwrap_or_default();
        let what = format!("page {number}, {kind} of {table}");
        let aside = set_aside(folder.path());
        assert_eq!(db.salvaged().is_some(), !aside.is_empty(), "{what}: told if set aside");
        if let Some(salvage) = db.salvaged() {
            assert_eq!(salvage.entries, seen.bodies.len(), "{what}");
            assert_eq!(salvage.pairs, seen.pairs.len(), "{what}");
            assert_eq!(
                std::fs::read(&salvage.set_aside).unwrap(),
                bytes,
                "{what}: kept as it was"
            );
        }
        // What is not on the page is still there, unless the page led to it: without the schema there are
        // no tables.
        let schema = table == "sqlite_schema";
        assert!(!schema || db.salvaged().is_some_and(|salvage| !salvage.whole), "{what}");
        let saved = |table_read: &str, there: usize, of: usize| {
            if schema || (table == table_read && kind != "leaf" && kind != "overflow") {
                return;
            }
            let lost = match kind.as_str() {
                "leaf" if table == table_read => rows,
                "overflow" if table == table_read => 1,
                _ => 0,
            };
            assert!(
                there + lost >= of,
                "{what}: {there} of {of} in {table_read}, {lost} may be lost"
            );
        };
        saved("entry", seen.bodies.len(), ENTRIES);
        saved("kv", seen.pairs.len(), PAIRS);
        // A session is shown with its record, which comes from its entry.
        if !schema && table != "session" && table != "entry" {
            assert_eq!(seen.sessions.len(), 2, "{what}");
        }
        for (key, body) in &seen.bodies {
            assert!(all.bodies.get(key) == Some(body), "{what}: {key:?} is another");
        }
        // And the account goes on, at the latest after one more opening.
        let put = |mut db: Db| {
            db.write(|write| record::put(write, "workout", "after", "{}"))
                .map(|_| ())
        };
        if let Err(error) = put(db) {
            assert!(matches!(error, Error::Damaged { .. }), "{what}: {error}");
            let db = Db::open(options(folder.path())).unwrap();
            assert!(db.salvaged().is_some(), "{what}");
            put(db).unwrap_or_else(|error| panic!("{what}: {error}"));
        }
    }
}

#[test]
fn each_page_zeroed_in_turn_costs_at_most_its_own_rows() {
    with_each_page_damaged(|page| page.fill(0));
}

#[test]
fn each_page_flipped_in_turn_costs_at_most_its_own_rows() {
    with_each_page_damaged(|page| page.iter_mut().for_each(|byte| *byte ^= 0xff));
}

#[test]
fn the_first_bytes_of_each_page_damaged_in_turn_cost_at_most_its_own_rows() {
    with_each_page_damaged(|page| page[..8].fill(0xa5));
}

#[test]
fn a_file_that_was_suspected_and_is_sound_stays_where_it_is() {
    let (folder, db) = open_bytes(&written());
    let all = look(&db.unwrap()).unwrap();
    std::fs::write(beside(&file(folder.path()), ".suspect"), "").unwrap();
    let (db, seen) = open_and_look(folder.path());
    assert_eq!(db.salvaged(), None);
    assert_eq!(seen, all);
    assert!(!beside(&file(folder.path()), ".suspect").exists(), "looked at once");
}

#[test]
fn a_body_that_is_no_json_any_more_is_damage_and_told() {
    let (folder, db) = open_bytes(&written());
    drop(db.unwrap());
    let raw = raw(&file(folder.path()));
    raw.execute_batch("DROP INDEX field_workout__date; UPDATE record SET body = '{\"date\":' WHERE id = 'w003'")
        .unwrap();
    drop(raw);
    // The index is made anew at opening, which reads every body.
    let db = Db::open(options(folder.path())).unwrap();
    let seen = look(&db).unwrap();
    assert!(db.salvaged().is_some());
    assert_eq!((seen.bodies.len(), seen.pairs.len()), (ENTRIES, PAIRS));
}

// What is carried over.

#[test]
fn carried_writes_keep_id_order_attempts_and_reason() {
    let folder = tempfile::tempdir().unwrap();
    let frozen = raw(&file(folder.path()));
    frozen.execute_batch(include_str!("frozen/0001.sql")).unwrap();
    drop(frozen);
    let before = Db::open(options(folder.path())).unwrap();
    let told = |db: &Db| -> Vec<_> {
        let entries = db.read(|read| read.entries(i64::MIN, 10)).unwrap();
        entries
            .into_iter()
            .map(|entry| {
                (
                    entry.op,
                    entry.kind,
                    entry.state,
                    entry.maybe_sent,
                    entry.attempts,
                    entry.replaces,
                )
            })
            .collect()
    };
    let expected = told(&before);
    drop(before);
    zero_root_of(&file(folder.path()), "record");
    let (db, _) = open_and_look(folder.path());
    assert_eq!(told(&db), expected);
    let salvage = db.salvaged().unwrap();
    assert_eq!((salvage.entries, salvage.pairs), (3, 2));
    assert!(!salvage.whole, "drafts that stay on the device may have been there");
    let entries = db.read(|read| read.entries(i64::MIN, 10)).unwrap();
    let parked = entries.iter().find(|entry| entry.state == EntryState::Parked).unwrap();
    assert_eq!(parked.reason.as_ref().unwrap().code, "validation");
    let record = db.read(|read| read.get("workout", &parked.id)).unwrap().unwrap();
    assert_eq!(record.state, RecordState::Parked);
}

/// Nobody else has them.
#[test]
fn records_that_no_pull_brings_are_carried_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = Db::open(options(folder.path())).unwrap();
    let draft = |n: usize| format!("{{\"text\":\"draft {n}\"}}");
    db.write(|write| {
        for n in 0..200 {
            record::put(write, "draft", &format!("d{n}"), &draft(n))?;
        }
        record::put(write, "draft", "changed", "{}")?;
        record::put(write, "draft", "changed", "{\"text\":\"last\"}")?;
        record::put(write, "draft", "gone", "{}")?;
        record::delete(write, "draft", "gone").map(|_| ())
    })
    .unwrap();
    drop(db);
    zero_root_of(&file(folder.path()), "entry");
    let (db, _) = open_and_look(folder.path());
    let salvage = db.salvaged().unwrap();
    assert_eq!((salvage.entries, salvage.records), (0, 201));
    let page = db.read(|read| read.query(&Query::new("draft").limit(1_000))).unwrap();
    assert_eq!(page.records.len(), 201);
    for record in &page.records {
        let expected = match record.id.strip_prefix('d') {
            Some(n) => draft(n.parse().unwrap()),
            None => "{\"text\":\"last\"}".to_owned(),
        };
        assert_eq!(record.body.as_deref(), Some(expected.as_str()), "{}", record.id);
        assert_eq!(record.state, RecordState::Synced);
    }
}

#[test]
fn a_table_that_is_not_as_it_was_made_is_damage_and_heals() {
    if is_encrypted() {
        return;
    }
    // Where SQLite keeps the text that makes a table; with one letter changed it is still SQL.
    for (from, to) in [("local_body", "lokal_body"), ("CREATE TABLE kv", "CREATE TABLE kw")] {
        let mut bytes = written();
        for at in 0..bytes.len() - from.len() {
            if bytes[at..].starts_with(from.as_bytes()) {
                bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            }
        }
        let (folder, db) = open_bytes(&bytes);
        if let Ok(db) = db {
            let before = db.salvaged().cloned();
            let looked = look(&db);
            drop(db);
            let told = before.is_some() || matches!(looked, Err(Error::Damaged { .. }));
            assert!(told, "{from}: {:?}", looked.err());
        }
        let db = Db::open(options(folder.path())).unwrap();
        look(&db).unwrap();
        assert_eq!(set_aside(folder.path()).len(), 1, "{from}");
    }
}

#[test]
fn a_file_without_our_tables_is_set_aside() {
    let (folder, db) = open_bytes(&written());
    drop(db.unwrap());
    let conn = raw(&file(folder.path()));
    conn.execute_batch("DROP TABLE record").unwrap();
    drop(conn);
    let db = Db::open(options(folder.path())).unwrap();
    assert_eq!(db.salvaged().map(|salvage| salvage.entries), Some(ENTRIES));
    look(&db).unwrap();
}

#[test]
fn a_file_without_our_tables_and_without_a_log_is_kept_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path());
    let conn = raw(&path);
    let ours = "PRAGMA application_id = 0x4b536476; PRAGMA user_version = 1; CREATE TABLE meta (key, value)";
    conn.execute_batch(ours).unwrap();
    drop(conn);
    let before = std::fs::read(&path).unwrap();
    let db = Db::open(options(folder.path())).unwrap();
    assert_eq!(std::fs::read(&db.salvaged().unwrap().set_aside).unwrap(), before);
}

#[test]
fn a_file_that_brings_code_is_refused_untouched() {
    let endless = "CREATE VIEW kv AS WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n AS key, n AS value FROM c";
    let deletes = "CREATE TRIGGER t AFTER INSERT ON entry BEGIN DELETE FROM entry; END";
    for code in [format!("DROP TABLE kv; {endless}"), deletes.to_owned()] {
        let (folder, db) = open_bytes(&written());
        drop(db.unwrap());
        let path = file(folder.path());
        let conn = raw(&path);
        conn.execute_batch(&code).unwrap();
        drop(conn);
        let before = std::fs::read(&path).unwrap();
        assert_eq!(
            Db::open(options(folder.path())).err(),
            Some(Error::ForeignFile),
            "{code}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

#[test]
fn no_damaged_byte_of_the_header_locks_the_account_out() {
    if is_encrypted() {
        return;
    }
    let whole = written();
    // Not the ones that say whose file it is, and how new.
    for at in (0..100).filter(|at| !(60..64).contains(at) && !(68..72).contains(at)) {
        for value in [whole[at] ^ 0x80, 3] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            let (folder, db) = open_bytes(&bytes);
            let looked = look(&db.unwrap_or_else(|error| panic!("byte {at} = {value}: {error}")));
            if looked.is_ok() {
                continue;
            }
            let db = Db::open(options(folder.path())).unwrap();
            assert!(look(&db).is_ok(), "byte {at} = {value}: {:?}", looked.err());
        }
    }
}

#[test]
fn a_row_that_makes_no_sense_costs_itself_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = Db::open(options(folder.path())).unwrap();
    db.write(|write| {
        for n in 0..5 {
            record::put(write, "workout", &workout(n), "{\"date\":\"2025-11-20\"}")?;
        }
        kv::set(write, "theme", "dark")
    })
    .unwrap();
    drop(db);
    // What a flipped byte inside a row can come to: SQLite itself does not notice.
    let raw = raw(&file(folder.path()));
    raw.execute_batch(
        "UPDATE entry SET body = '{\"date\":' WHERE seq = 2; UPDATE entry SET op = x'00' WHERE seq = 4;
         UPDATE kv SET value = cast(x'ff' AS TEXT)",
    )
    .unwrap();
    drop(raw);
    zero_root_of(&file(folder.path()), "record");
    let db = Db::open(options(folder.path())).unwrap();
    let met = db.read(|read| read.get("workout", "w000"));
    assert!(matches!(met, Err(Error::Damaged { .. })), "{met:?}");
    drop(db);
    let (db, seen) = open_and_look(folder.path());
    let ids: Vec<&str> = seen.bodies.keys().map(|(_, id)| id.as_str()).collect();
    assert_eq!(ids, ["w000", "w002", "w004"]);
    assert!(!db.salvaged().unwrap().whole);
}

#[test]
fn a_salvage_that_was_interrupted_is_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = written();
    let layout = layout(&bytes);
    let (&page, _) = layout
        .pages
        .iter()
        .find(|(_, (table, kind, _))| table == "record_key" && kind == "leaf")
        .unwrap();
    bytes[(page - 1) * layout.size..page * layout.size].fill(0);
    std::fs::write(file(folder.path()), &bytes).unwrap();
    // A process killed in the middle leaves a part of the new file beside the damaged one.
    std::fs::write(beside(&file(folder.path()), ".salvage"), "half").unwrap();
    let (db, seen) = open_and_look(folder.path());
    assert_eq!(seen.bodies.len(), ENTRIES);
    assert_eq!(seen.pairs.len(), PAIRS);
    drop(db);
    assert!(!beside(&file(folder.path()), ".salvage").exists());
    // One killed between the two renames leaves the new file whole, and none in the old one's place.
    std::fs::rename(file(folder.path()), beside(&file(folder.path()), ".salvage")).unwrap();
    let (_, seen) = open_and_look(folder.path());
    assert_eq!(seen.bodies.len(), ENTRIES);
}

#[test]
fn a_damaged_file_is_kept_with_its_log_as_they_were() {
    let (folder, db) = open_bytes(&written());
    let mut db = db.unwrap();
    db.write(|write| record::put(write, "workout", "in-the-log", "{}"))
        .unwrap();
    let killed = tempfile::tempdir().unwrap();
    for suffix in ["", "-wal"] {
        let (from, to) = (file(folder.path()), file(killed.path()));
        std::fs::copy(beside(&from, suffix), beside(&to, suffix)).unwrap();
    }
    drop(db);
    let path = file(killed.path());
    let mut bytes = std::fs::read(&path).unwrap();
    let layout = layout(&bytes);
    let is_pair = |(_, (table, kind, _)): &(&usize, &(String, String, usize))| table == "kv" && kind == "leaf";
    let (&page, _) = layout.pages.iter().find(is_pair).unwrap();
    bytes[(page - 1) * layout.size..page * layout.size].fill(0);
    std::fs::write(&path, &bytes).unwrap();
    std::fs::write(beside(&path, ".suspect"), "").unwrap();
    let log = std::fs::read(beside(&path, "-wal")).unwrap();
    let (db, seen) = open_and_look(killed.path());
    assert_eq!(seen.bodies.len(), ENTRIES + 1, "with what was in the log only");
    let aside = &db.salvaged().unwrap().set_aside;
    assert!(std::fs::read(aside).unwrap() == bytes && std::fs::read(beside(aside, "-wal")).unwrap() == log);
}

// The log.

#[test]
fn a_log_damaged_anywhere_gives_a_file_as_it_was_after_some_commit() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = Db::open(options(folder.path())).unwrap();
    for n in 0..8 {
        db.write(|write| {
            record::put(write, "workout", &workout(n), "{}")?;
            kv::set(write, "last", &n.to_string())
        })
        .unwrap();
    }
    let main = std::fs::read(file(folder.path())).unwrap();
    let log = std::fs::read(beside(&file(folder.path()), "-wal")).unwrap();
    let mut fewest = usize::MAX;
    for at in (0..log.len()).step_by(1_031) {
        let killed = tempfile::tempdir().unwrap();
        let mut broken = log.clone();
        broken[at] ^= 0xff;
        std::fs::write(file(killed.path()), &main).unwrap();
        std::fs::write(beside(&file(killed.path()), "-wal"), &broken).unwrap();
        let (mut db, seen) = open_and_look(killed.path());
        let there = seen.bodies.len();
        fewest = fewest.min(there);
        let last = seen.pairs.get("last").map_or(0, |n| n.parse::<usize>().unwrap() + 1);
        assert_eq!(there, last, "byte {at}: records and pairs of the same commit");
        db.write(|write| record::put(write, "workout", "after", "{}")).unwrap();
        assert_eq!(look(&db).unwrap().bodies.len(), there + 1);
    }
    assert!(fewest < 8, "the damage was never met");
}
