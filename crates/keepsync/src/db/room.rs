//! What happens when the disk is full.
//!
//! 1. A write found no room; nothing of it happened.
//! 2. The log is moved into the file and cut, which gives its room back. A step of the drain may have the
//!    reserve too, a file beside the database, and so may a write that needs it for the log alone, because the
//!    file has unused pages. The write is tried again.
//! 3. Still no room: the oldest part of the journal goes in a transaction of its own, or, where there is no
//!    journal, of the history; with the help of the reserve, for the log that this needs. The pages it was on
//!    are used again. The log is cut, the write is tried for the last time.
//! 4. After each try the log is moved and cut again, and the reserve is made again as far as there is room.
//!
//! A write of the user that finds nothing to prune and no unused pages leaves the reserve to the drain, whose
//! steps take writes out of the queue, also when nothing can be put in. Stopped anywhere: the reserve may be
//! missing until the file is opened again or a write finds no room, and what was pruned is gone.

use super::{Db, Durability, Write, beside, harden};
use crate::{error::Result, journal};
use rusqlite::{Connection, params};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// Size of the reserve in bytes: some hundred pages in the log, and what the file may grow by meanwhile. The
/// drain sends less at once until its steps fit.
const RESERVE: usize = 512 * 1024;
/// Unused pages in the file that make pruning needless: the room is wanting elsewhere.
const SPARE_PAGES: i64 = 64;
/// Bytes of bodies that go at once.
const CHUNK: i64 = 1024 * 1024;

/// For whom room is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// A write of the app.
    Write,
    /// A step of the drain.
    Drain,
}

/// How room is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Step 2: nothing is given up for it.
    Tidy,
    /// Step 3.
    Prune,
}

/// The ways, in this order: no journal is given up for what passes by itself, or fits without.
pub(super) const WAYS: [Way; 2] = [Way::Tidy, Way::Prune];

impl Db {
    /// Does `f` for this need: its writes may use what that one may.
    pub(crate) fn needing<T>(&mut self, need: Need, f: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.need, need);
        let done = f(self);
        self.need = before;
        done
    }

    /// Makes room in this way. False: there is nothing it could give.
    pub(super) fn make_room(&mut self, way: Way) -> bool {
        let spare = spare_pages(&self.conn).unwrap_or(0) >= SPARE_PAGES;
        if way == Way::Tidy {
            if spare || self.need == Need::Drain {
                self.give_reserve();
            }
            self.cut_log();
            return true;
        }
        let prunable = !spare && self.read(|read| has_old(read.conn)).unwrap_or(false);
        if !prunable {
            return false;
        }
        self.give_reserve();
        let pruned = self.prune_oldest();
        self.cut_log();
        pruned
    }

    /// Step 4.
    pub(super) fn close_ranks(&self) {
        self.cut_log();
        self.keep_reserve();
    }

    /// Makes the reserve if it is not there, or only a part of it: the process died while it was written. Without
    /// room for it, or a place, there is none.
    pub(super) fn keep_reserve(&self) {
        let is_whole = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|meta| meta.len() == RESERVE as u64);
        let Some(reserve) = self.reserve().filter(|reserve| !is_whole(reserve)) else {
            return;
        };
        if write_reserve(&reserve).is_err() {
            // What there is of it would only be in the way.
            let _ = std::fs::remove_file(&reserve);
        }
    }

    fn give_reserve(&self) {
        if let Some(reserve) = self.reserve() {
            // It may be gone already.
            let _ = std::fs::remove_file(reserve);
        }
    }

    fn reserve(&self) -> Option<PathBuf> {
        self.path().map(|path| beside(path, ".reserve"))
    }

    fn prune_oldest(&mut self) -> bool {
        if self.begin(Durability::Full).is_err() {
            return false;
        }
        let (pruned, _): (Result<bool>, _) = self.with_write(|write| {
            Ok(journal::prune_bytes(write, CHUNK)? || forget_oldest(write, "history", CHUNK)?.is_some())
        });
        match pruned {
            Ok(pruned) => self.commit(Durability::Full).is_ok() && pruned,
            Err(_) => {
                self.roll_back(Durability::Full);
                false
            }
        }
    }

    /// As far as readers and the room for it allow; what stays is moved with a later one.
    fn cut_log(&self) {
        // Not for as long as a write would wait for another process.
        let _ = self.conn.busy_timeout(Duration::from_millis(200));
        let _ = self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        let _ = self.conn.busy_timeout(harden::BUSY);
    }
}

/// Lets the oldest rows of the journal or the history go: so many that their bodies have at least `bytes`.
/// Gives the bytes of those that went; `None` where there was nothing.
pub(crate) fn forget_oldest(write: &mut Write<'_>, table: &'static str, bytes: i64) -> Result<Option<i64>> {
    let (mut freed, mut last): (i64, Option<i64>) = (0, None);
    {
        let oldest = format!("SELECT n, coalesce(octet_length(body), 0) FROM {table} ORDER BY n");
        let mut statement = write.conn.prepare_cached(&oldest)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()?.filter(|_| freed < bytes) {
            last = Some(row.get(0)?);
            freed += row.get::<_, i64>(1)?;
        }
    }
    let Some(last) = last else { return Ok(None) };
    write
        .conn
        .prepare_cached(&format!("DELETE FROM {table} WHERE n <= ?1"))?
        .execute([last])?;
    Ok(Some(freed))
}

fn spare_pages(conn: &Connection) -> Result<i64> {
    Ok(conn.query_row("PRAGMA freelist_count", [], |row| row.get(0))?)
}

fn has_old(conn: &Connection) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM journal) OR EXISTS (SELECT 1 FROM history)";
    Ok(conn.query_row(sql, params![], |row| row.get(0))?)
}

/// Written out: a hole takes no room.
fn write_reserve(path: &Path) -> Result<()> {
    harden::create_private(path)?;
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new().write(true).open(path)?;
        // Not an array: as a constant it would be half a mebibyte of every app.
        file.write_all(&vec![0; RESERVE])?;
        file.sync_all()
    };
    write().map_err(|error| harden::io_error(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OpenOptions, collection::Collection, collection::Collections, conflict::Policy, error::Error};

    const OLD: i64 = 40;

    /// A device whose journal holds what a restored server would be given.
    fn with_a_journal(folder: &Path) -> Db {
        let collections = Collections::new([Collection::new("workout", Policy::Ask)]).unwrap();
        let mut db = Db::open(OpenOptions::new(folder, "lifter@example.org", collections)).unwrap();
        db.write(|write| {
            for n in 0..OLD {
                write.conn.execute(
                    "INSERT INTO journal (op, collection, id, lane, kind, body, base_version, hlc, created_at, version,
                     change, epoch, acked_at) VALUES (randomblob(16), 'workout', ?1, ?1, 'create', ?2, 0, 0, 0, 1, 1, 'e', 0)",
                    params![n.to_string(), "x".repeat(60_000)],
                )?;
            }
            Ok(())
        })
        .unwrap();
        db
    }

    fn journal(db: &Db) -> i64 {
        let count = db.conn.query_row("SELECT count(*) FROM journal", [], |row| row.get(0));
        count.unwrap()
    }

    /// Finds no room so often, then some. Gives how often it was tried.
    fn write_that_is_refused(db: &mut Db, times: usize) -> (usize, Result<()>) {
        let mut tries = 0;
        let done = db.write(|_| {
            tries += 1;
            if tries <= times {
                Err(Error::StorageFull)
            } else {
                Ok(())
            }
        });
        (tries, done.map(|_| ()))
    }

    #[test]
    fn room_is_tidied_before_anything_is_pruned() {
        let folder = tempfile::tempdir().unwrap();
        let mut db = with_a_journal(folder.path());
        assert_eq!(write_that_is_refused(&mut db, 1), (2, Ok(())));
        assert_eq!(journal(&db), OLD, "what is tidied was enough: nothing may be given up");

        let (tries, done) = write_that_is_refused(&mut db, 2);
        assert_eq!((tries, done), (3, Ok(())));
        let left = journal(&db);
        assert!(0 < left && left < OLD, "it was not: {left} of {OLD} are left");
    }

    #[test]
    fn a_reserve_that_was_half_written_is_made_whole() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = with_a_journal(folder.path()).reserve().unwrap();
        for bytes in [0, 4_096, RESERVE - 1] {
            std::fs::write(&reserve, vec![0; bytes]).unwrap();
            drop(with_a_journal(folder.path()));
            assert_eq!(
                std::fs::metadata(&reserve).unwrap().len(),
                RESERVE as u64,
                "{bytes} bytes of it"
            );
        }
    }

    #[test]
    fn a_write_that_finds_room_at_once_gives_nothing_up() {
        let folder = tempfile::tempdir().unwrap();
        let mut db = with_a_journal(folder.path());
        assert_eq!(write_that_is_refused(&mut db, 0), (1, Ok(())));
        assert_eq!(journal(&db), OLD);
    }
}
