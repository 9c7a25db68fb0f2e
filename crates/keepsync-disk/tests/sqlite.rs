//! SQLite on the disk: it behaves as on a real one, and a crash takes what it is to take.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests are tests too")]

use keepsync_disk::{Counts, Crash, Disk, Fault, Op, Plan};
use rusqlite::{Connection, ErrorCode};
use std::path::{Path, PathBuf};

fn disk() -> (tempfile::TempDir, Disk, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::at(folder.path()).unwrap();
    let file = disk.folder().join("test.db");
    (folder, disk, file)
}

fn open(file: &Path, synchronous: &str) -> Connection {
    let conn = Connection::open(file).unwrap();
    conn.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(())).unwrap();
    conn.execute_batch(&format!("PRAGMA synchronous={synchronous}; PRAGMA busy_timeout=0;"))
        .unwrap();
    conn
}

fn with_table(file: &Path, synchronous: &str) -> Connection {
    let conn = open(file, synchronous);
    conn.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY, x BLOB)")
        .unwrap();
    conn
}

fn put(conn: &Connection, n: i64) -> rusqlite::Result<usize> {
    conn.execute("INSERT INTO t VALUES (?1, zeroblob(3000))", [n])
}

fn count(conn: &Connection) -> i64 {
    conn.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
}

fn is_sound(conn: &Connection) -> bool {
    conn.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0))
        .unwrap()
        == "ok"
}

fn code(error: rusqlite::Error) -> ErrorCode {
    error.sqlite_error_code().unwrap()
}

fn bytes(file: &Path, suffix: &str) -> Option<u64> {
    let name = format!("{}{suffix}", file.display());
    std::fs::metadata(name).ok().map(|meta| meta.len())
}

/// Nothing is moved into the file, as in a process that was killed.
fn die(disk: &Disk, conn: Connection) {
    disk.stop();
    drop(conn);
}

#[test]
fn a_reader_sees_what_was_committed_and_nothing_else() {
    let (_folder, _disk, file) = disk();
    let writer = with_table(&file, "FULL");
    let reader = open(&file, "FULL");
    put(&writer, 1).unwrap();
    assert_eq!(count(&reader), 1);
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    put(&writer, 2).unwrap();
    assert_eq!(count(&reader), 1);
    reader.execute_batch("BEGIN").unwrap();
    assert_eq!(count(&reader), 1);
    writer.execute_batch("COMMIT").unwrap();
    assert_eq!(count(&reader), 1, "a reader keeps its moment");
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(count(&reader), 2);
    assert_eq!(bytes(&file, "-shm"), None, "the index is in memory");
}

#[test]
fn a_writer_keeps_others_out() {
    let (_folder, _disk, file) = disk();
    let writer = with_table(&file, "FULL");
    let other = open(&file, "FULL");
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let busy = other.execute_batch("BEGIN IMMEDIATE").unwrap_err();
    assert_eq!(code(busy), ErrorCode::DatabaseBusy);
    writer.execute_batch("COMMIT").unwrap();
    other.execute_batch("BEGIN IMMEDIATE; COMMIT").unwrap();
    // A dropped connection holds nothing.
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    drop(writer);
    other.execute_batch("BEGIN IMMEDIATE; COMMIT").unwrap();
}

#[test]
fn a_checkpoint_moves_the_log_as_far_as_readers_allow() {
    let (_folder, _disk, file) = disk();
    let writer = with_table(&file, "FULL");
    let reader = open(&file, "FULL");
    let busy = || -> i64 {
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        writer.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    put(&writer, 1).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    assert_eq!(count(&reader), 1);
    put(&writer, 2).unwrap();
    assert_eq!(busy(), 1);
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(busy(), 0);
    assert_eq!(bytes(&file, "-wal"), Some(0));
    assert_eq!(count(&reader), 2);
    drop((writer, reader));
    assert_eq!(bytes(&file, "-wal"), None, "the last one takes the log along");
}

#[test]
fn threads_share_the_file() {
    let (_folder, _disk, file) = disk();
    let first = with_table(&file, "FULL");
    let threads: Vec<_> = (0..4_i64)
        .map(|thread| {
            let file = file.clone();
            std::thread::spawn(move || {
                let conn = open(&file, "FULL");
                conn.execute_batch("PRAGMA busy_timeout=60000").unwrap();
                for n in 0..50 {
                    put(&conn, thread * 1_000 + n).unwrap();
                    assert!(count(&conn) > n);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(count(&first), 200);
    assert!(is_sound(&first));
}

/// What <https://sqlite.org/pragma.html#pragma_synchronous> says of each: only with EXTRA does SQLite sync the
/// folder after the journal is deleted.
#[test]
fn a_rollback_journal_whose_deletion_was_not_synced_rolls_back() {
    for (synchronous, expected) in [("EXTRA", Some(1)), ("FULL", Some(0)), ("OFF", None)] {
        let (_folder, disk, file) = disk();
        let conn = Connection::open(&file).unwrap();
        conn.execute_batch(&format!(
            "PRAGMA journal_mode=DELETE; PRAGMA synchronous={synchronous}; CREATE TABLE t (n INTEGER PRIMARY KEY, x BLOB)"
        ))
        .unwrap();
        put(&conn, 1).unwrap();
        die(&disk, conn);
        disk.crash(Crash::LoseUnsynced, 0).unwrap();
        let conn = Connection::open(&file).unwrap();
        let there = conn.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0));
        // Without a sync not even the table is there.
        assert_eq!(there.ok(), expected, "{synchronous}");
    }
}

// Crashes.

#[test]
fn an_open_transaction_is_gone_after_a_kill() {
    let (_folder, disk, file) = disk();
    let conn = with_table(&file, "FULL");
    put(&conn, 1).unwrap();
    // So many that pages are spilled before the commit.
    conn.execute_batch("PRAGMA cache_size=5; BEGIN").unwrap();
    let before = disk.counted().writes;
    for n in 2..100 {
        put(&conn, n).unwrap();
    }
    assert!(disk.counted().writes > before, "nothing was spilled");
    die(&disk, conn);
    disk.crash(Crash::Kill, 0).unwrap();
    let conn = open(&file, "FULL");
    assert_eq!(count(&conn), 1);
    assert!(is_sound(&conn));
}

/// Commits two transactions, loses the power, counts what is there.
fn after_a_power_cut(synchronous: &str, crash: Crash) -> i64 {
    let (_folder, disk, file) = disk();
    let conn = with_table(&file, "FULL");
    conn.execute_batch(&format!("PRAGMA synchronous={synchronous}"))
        .unwrap();
    put(&conn, 1).unwrap();
    put(&conn, 2).unwrap();
    die(&disk, conn);
    disk.crash(crash, 0).unwrap();
    let conn = open(&file, "FULL");
    assert!(is_sound(&conn));
    count(&conn)
}

#[test]
fn a_commit_that_was_not_synced_is_gone_after_a_power_cut_and_one_that_was_is_not() {
    assert_eq!(after_a_power_cut("OFF", Crash::LoseUnsynced), 0);
    assert_eq!(after_a_power_cut("NORMAL", Crash::LoseUnsynced), 0);
    assert_eq!(after_a_power_cut("FULL", Crash::LoseUnsynced), 2);
    for synchronous in ["OFF", "NORMAL", "FULL"] {
        assert_eq!(after_a_power_cut(synchronous, Crash::Kill), 2, "{synchronous}");
    }
}

#[test]
fn what_a_killed_process_did_not_sync_can_still_be_lost() {
    let (_folder, disk, file) = disk();
    let conn = with_table(&file, "FULL");
    conn.execute_batch("PRAGMA synchronous=NORMAL").unwrap();
    put(&conn, 1).unwrap();
    die(&disk, conn);
    disk.crash(Crash::Kill, 0).unwrap();
    disk.crash(Crash::LoseUnsynced, 0).unwrap();
    assert_eq!(count(&open(&file, "FULL")), 0);
}

#[test]
fn a_torn_commit_is_there_whole_or_not_at_all_and_both_happen() {
    let mut seen = std::collections::BTreeMap::new();
    for seed in 0..200 {
        let (_folder, disk, file) = disk();
        let conn = with_table(&file, "FULL");
        put(&conn, 1).unwrap();
        conn.execute_batch("PRAGMA synchronous=NORMAL").unwrap();
        conn.execute_batch("BEGIN; INSERT INTO t VALUES (2, zeroblob(9000)); INSERT INTO t VALUES (3, NULL); COMMIT")
            .unwrap();
        put(&conn, 4).unwrap();
        die(&disk, conn);
        disk.crash(Crash::Torn, seed).unwrap();
        let conn = open(&file, "FULL");
        assert!(is_sound(&conn), "seed {seed}");
        *seen.entry(count(&conn)).or_insert(0) += 1;
    }
    // 2 would be half of a transaction.
    assert_eq!(seen.keys().copied().collect::<Vec<_>>(), [1, 3, 4], "{seen:?}");
}

#[test]
fn a_log_whose_deletion_was_not_synced_comes_back() {
    let (_folder, disk, file) = disk();
    let conn = with_table(&file, "FULL");
    put(&conn, 1).unwrap();
    let log = bytes(&file, "-wal");
    drop(conn);
    assert_eq!(bytes(&file, "-wal"), None);
    disk.crash(Crash::LoseUnsynced, 0).unwrap();
    assert_eq!(bytes(&file, "-wal"), log);
    let conn = open(&file, "FULL");
    assert_eq!(count(&conn), 1);
    assert!(is_sound(&conn));
}

#[test]
fn nothing_is_taken_back_of_what_was_settled() {
    let (_folder, disk, file) = disk();
    let conn = with_table(&file, "OFF");
    put(&conn, 1).unwrap();
    disk.settle();
    put(&conn, 2).unwrap();
    die(&disk, conn);
    disk.crash(Crash::LoseUnsynced, 0).unwrap();
    assert_eq!(count(&open(&file, "FULL")), 1);
}

#[test]
fn a_crash_waits_for_the_connections_to_be_dropped() {
    let (_folder, disk, file) = disk();
    let conn = with_table(&file, "FULL");
    assert!(disk.crash(Crash::Kill, 0).is_err());
    drop(conn);
    disk.crash(Crash::Kill, 0).unwrap();
}

/// SQLite's own loop: at each point, in each mode, the file is sound and a commit that returned is there.
#[test]
fn stopped_at_each_operation_the_file_is_sound_and_keeps_what_was_committed() {
    for crash in [Crash::Kill, Crash::LoseUnsynced, Crash::Torn] {
        for at in 1.. {
            let (_folder, disk, file) = disk();
            drop(with_table(&file, "FULL"));
            disk.plan(Plan {
                fault: Fault::Stop,
                counts: Counts::Changes,
                at,
                lasting: true,
            });
            let committed = (|| -> rusqlite::Result<i64> {
                let conn = Connection::open(&file)?;
                conn.execute_batch("PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=3")?;
                for n in 1..=5 {
                    if put(&conn, n).is_err() {
                        return Ok(n - 1);
                    }
                }
                Ok(5)
            })();
            let fired = disk.fired();
            disk.crash(crash, at).unwrap();
            let conn = open(&file, "FULL");
            let (least, there) = (committed.unwrap_or(0), count(&conn));
            assert!(
                there == least || there == least + 1,
                "{crash:?} at {at}: {least} committed, {there} there"
            );
            assert!(is_sound(&conn), "{crash:?} at {at}");
            if fired.is_none() {
                assert!(at > 30, "only {at} points");
                break;
            }
        }
    }
}

// Faults.

fn planned(fault: Fault, counts: Counts, lasting: bool) -> (rusqlite::Result<usize>, rusqlite::Result<usize>, i64) {
    let (_folder, disk, file) = disk();
    let conn = with_table(&file, "FULL");
    disk.plan(Plan {
        fault,
        counts,
        at: 1,
        lasting,
    });
    let (first, second) = (put(&conn, 1), put(&conn, 2));
    assert!(disk.heal().is_some());
    let there = count(&conn);
    put(&conn, 3).unwrap();
    assert!(is_sound(&conn));
    (first, second, there)
}

#[test]
fn an_error_once_fails_one_statement_and_one_for_ever_fails_all() {
    for (fault, expected) in [
        (Fault::IoError, ErrorCode::SystemIoFailure),
        (Fault::Full, ErrorCode::DiskFull),
    ] {
        let (first, second, there) = planned(fault, Counts::Changes, false);
        assert_eq!((code(first.unwrap_err()), second, there), (expected, Ok(1), 1));
        let (first, second, there) = planned(fault, Counts::Changes, true);
        assert_eq!(
            (code(first.unwrap_err()), code(second.unwrap_err()), there),
            (expected, expected, 0)
        );
    }
}

#[test]
fn a_read_fails_where_planned_and_says_where() {
    let (_folder, disk, file) = disk();
    let conn = with_table(&file, "FULL");
    put(&conn, 1).unwrap();
    drop(conn);
    disk.plan(Plan {
        fault: Fault::IoError,
        counts: Counts::Reads,
        at: 2,
        lasting: false,
    });
    let conn = Connection::open(&file).unwrap();
    let failed = conn.query_row("SELECT count(*) FROM t", [], |_| Ok(())).unwrap_err();
    assert_eq!(code(failed), ErrorCode::SystemIoFailure);
    let point = disk.fired().unwrap();
    assert_eq!((point.op, point.file.as_path()), (Op::Read, file.as_path()));
    assert_eq!(count(&conn), 1);
}

#[test]
fn a_full_disk_has_room_again_for_what_was_removed() {
    let (_folder, disk, file) = disk();
    let conn = with_table(&file, "FULL");
    std::fs::write(disk.folder().join("reserve"), [0; 20_000]).unwrap();
    disk.plan(Plan {
        fault: Fault::Full,
        counts: Counts::Changes,
        at: 1,
        lasting: true,
    });
    assert_eq!(code(put(&conn, 1).unwrap_err()), ErrorCode::DiskFull);
    std::fs::remove_file(disk.folder().join("reserve")).unwrap();
    put(&conn, 1).unwrap();
    let full = (2..100).find_map(|n| put(&conn, n).err()).unwrap();
    assert_eq!(code(full), ErrorCode::DiskFull);
}

#[test]
fn the_same_operations_leave_the_same_bytes() {
    let run = |seed: u64| {
        let (_folder, disk, file) = disk();
        let conn = with_table(&file, "NORMAL");
        for n in 0..20 {
            put(&conn, n).unwrap();
        }
        conn.query_row("PRAGMA wal_checkpoint", [], |_| Ok(())).unwrap();
        disk.settle();
        for n in 20..25 {
            conn.execute("UPDATE t SET x = ?1", [n]).unwrap();
        }
        die(&disk, conn);
        disk.crash(Crash::Torn, seed).unwrap();
        (count(&open(&file, "FULL")), std::fs::read(&file).unwrap())
    };
    assert!(run(7) == run(7));
}

#[test]
fn elsewhere_nothing_is_counted_and_nothing_fails() {
    let (_folder, disk, _file) = disk();
    let elsewhere = tempfile::tempdir().unwrap();
    disk.stop();
    let before = disk.counted();
    let file = elsewhere.path().join("plain.db");
    let conn = with_table(&file, "FULL");
    put(&conn, 1).unwrap();
    assert!(bytes(&file, "-shm").is_some(), "SQLite's own VFS maps a file");
    assert_eq!(disk.counted(), before);
}
