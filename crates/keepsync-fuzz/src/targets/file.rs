//! Any bytes in the place of a device's file.
//!
//! 1. Opening ends, with a store or with an error that says why; it never panics.
//! 2. The bytes are kept: in their place where the file was refused, beside it where it was damaged.
//! 3. A store that was opened can be used: what fails in it says that the file is damaged, and then the next
//!    opening sets it aside and goes on.

use crate::device::{folder, options};
use keepsync::{Db, Error, Result, carry, kv, queue, record, record::Query};
use std::path::Path;

pub(crate) fn run(data: &[u8]) {
    open_and_use(data);
}

/// Also what [`damage`](super::damage) does with what it made.
pub(crate) fn open_and_use(bytes: &[u8]) {
    let folder = folder();
    let path = folder.path().join("file.keepsync");
    std::fs::write(&path, bytes).unwrap();
    let db = match Db::open(options(Some(path.clone()))) {
        Ok(db) => db,
        Err(Error::NewerFile { .. } | Error::ForeignFile) => {
            assert_eq!(
                std::fs::read(&path).unwrap(),
                bytes,
                "it was refused, and is not what it was"
            );
            return;
        }
        Err(Error::OtherAccount) => {
            assert!(keeps(&path, bytes), "it was refused, and is not what it was");
            return;
        }
        Err(problem) => panic!("a file that is neither foreign nor usable: {problem:?}"),
    };
    kept_if_damaged(&db, bytes);
    let used = use_all(db);
    // What shows only later leads to a close look, and after that there is a store.
    if used.is_err() {
        let before = std::fs::read(&path).unwrap();
        let db = Db::open(options(Some(path.clone()))).unwrap();
        if db
            .salvaged()
            .is_some_and(|salvage| salvage.set_aside.with_extension("") == path)
        {
            kept_if_damaged(&db, &before);
        }
        let again = use_all(db);
        assert!(again.is_ok(), "it does not heal: {again:?}, after {used:?}");
    }
    let db = Db::open(options(Some(path))).unwrap();
    use_all(db).unwrap();
}

/// Whether the file is what it was. One with our tables that had no log, as ours always have, is given one
/// before its rows are looked at: SQLite writes that into the header, and whole pages.
fn keeps(path: &Path, bytes: &[u8]) -> bool {
    let kept = std::fs::read(path).unwrap();
    let had_log = bytes.get(18..20) == Some(&[2, 2]) || !bytes.starts_with(b"SQLite format 3\0");
    let after_header = |bytes: &[u8]| bytes.get(100..).unwrap_or_default().to_vec();
    kept == bytes || !had_log && after_header(&kept).starts_with(&after_header(bytes))
}

fn kept_if_damaged(db: &Db, bytes: &[u8]) {
    if let Some(salvage) = db.salvaged() {
        let kept = std::fs::read(&salvage.set_aside).unwrap();
        let differs = kept.iter().zip(bytes).position(|(one, other)| one != other);
        assert!(
            keeps(&salvage.set_aside, bytes),
            "the damaged file was changed: {} bytes were {}, the first that differs is {differs:?}",
            kept.len(),
            bytes.len()
        );
    }
}

/// Reads all that an app reads, and writes. The first error is given.
fn use_all(mut db: Db) -> Result<()> {
    db.read(|read| {
        for entry in read.entries(i64::MIN, 10_000)? {
            read.entry(entry.op)?;
        }
        for collection in [
            "workout", "set_log", "plan", "plan_set", "profile", "counter", "exercise",
        ] {
            read.query(&Query::new(collection).limit(1_000))?;
        }
        read.query(&Query::new("workout").order_by("date").limit(100))?;
        for key in read.kv_keys()? {
            read.kv_get(&key)?;
        }
        read.conflicts()?;
        read.active_sessions()?;
        read.bundle()?;
        queue::export(read)?;
        carry::export(read, 0)?;
        read.examine().map(drop)
    })?;
    db.write(|write| {
        record::put(write, "profile", "fuzz", r#"{"a":1}"#)?;
        record::patch(write, "profile", "fuzz", r#"{"b":2}"#)?;
        kv::set(write, "fuzz", "1")
    })?;
    Ok(())
}
