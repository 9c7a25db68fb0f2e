//! What happens to a damaged file.
//!
//! 1. A fresh file is made beside it, `<name>.salvage`. Unsent writes, key-value pairs, sessions in
//!    progress and records that no pull brings are read from the damaged one, row by row around what
//!    cannot be read, and carried over in one transaction. A record with an unsent write starts without
//!    a base: the next pull, which starts from the beginning, brings it.
//! 2. The damaged file, and then its log, are renamed to `<name>.damaged-<n>`. Nothing is deleted, and
//!    nothing in them is changed.
//! 3. The fresh file takes its place.
//!
//! Stopped in 1, by a full disk too: the next opening begins again. Stopped later: it goes on
//! ([`resume`]).
//!
//! Opening looks only at the first pages. Damage that shows later leaves a mark, `<name>.suspect`
//! ([`suspect`]), and the next opening looks at every page.

use super::{
    around::{self, Rows, Table},
    harden::io_error,
    key, migrate,
};
use crate::{
    OpenOptions,
    collection::{Collection, Collections},
    error::{Error, Result},
};
use rusqlite::{
    Connection, ErrorCode, OpenFlags, Params, Row, Statement, TransactionBehavior,
    config::DbConfig,
    params_from_iter,
    types::{Value, ValueRef},
};
use serde_json::value::RawValue;
use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// What was saved from a damaged file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salvage {
    /// Where the damaged file is now.
    pub set_aside: PathBuf,
    /// Unsent writes carried over.
    pub entries: usize,
    /// Key-value pairs carried over.
    pub pairs: usize,
    /// Records carried over that no pull brings: those that stay on the device, and sent ones of collections that
    /// are only pushed.
    pub records: usize,
    /// Whether all of these and all sessions could be read.
    pub whole: bool,
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(suffix);
    name.into()
}

/// Marks the file for a close look at its next opening.
pub(super) fn suspect(path: &Path) {
    // Without the mark the damage is met again, and marked then.
    let _ = std::fs::File::create(with(path, ".suspect"));
}

/// Looks at every page, every table and every row if the file is marked. SQLite finds what is wrong with the tree;
/// what is wrong inside a row shows in texts that are not UTF-8 and bodies that are not JSON.
pub(super) fn examine(conn: &Connection, path: &Path) -> Result<()> {
    let mark = with(path, ".suspect");
    if !mark.exists() {
        return Ok(());
    }
    let damaged = || Error::Damaged { path: path.to_owned() };
    let verdict: String = conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" || !migrate::is_as_made(conn)? {
        return Err(damaged());
    }
    let mut tables = conn.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?;
    for table in tables.query_map([], |row| row.get::<_, String>(0))? {
        let mut statement = conn.prepare(&format!("SELECT * FROM \"{}\"", table?))?;
        let json: Vec<bool> = statement
            .column_names()
            .map(|name| matches!(name, "body" | "base_body" | "local_body" | "remote_body" | "fields"))
            .collect();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            for (column, &json) in json.iter().enumerate() {
                match row.get::<_, Value>(column)? {
                    Value::Text(text) if json && serde_json::from_str::<&RawValue>(&text).is_err() => {
                        return Err(damaged());
                    }
                    _ => {}
                }
            }
        }
    }
    remove(&mark)
}

/// Whether the file was cut to nothing while its log was not: SQLite would delete the log.
pub(super) fn lost_its_file(path: &Path) -> bool {
    let bytes = |path: &Path| std::fs::metadata(path).map(|meta| meta.len()).ok();
    bytes(path) == Some(0) && bytes(&with(path, "-wal")).is_some_and(|bytes| bytes > 0)
}

/// Puts a fresh file in the place of a damaged one. `connect` opens a file, making it.
pub(super) fn salvage(
    path: &Path,
    options: &OpenOptions,
    connect: impl FnOnce(&Path) -> Result<Connection>,
) -> Result<Salvage> {
    let beside = with(path, ".salvage");
    for suffix in ["", "-wal", "-shm"] {
        remove(&with(&beside, suffix))?;
    }
    let mut fresh = connect(&beside)?;
    let carried = carry_over(path, options, &mut fresh)?;
    // Closing moves the log into the file; what must not be left behind is moved now.
    fresh.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    drop(fresh);
    let set_aside = set_aside(path)?;
    rename(&beside, path)?;
    remove(&with(path, ".suspect"))?;
    Ok(Salvage { set_aside, ..carried })
}

/// Does what an interrupted salvage has left to do. The damaged file goes only after the fresh one is
/// whole: where it is gone, the fresh one may take its place.
pub(crate) fn resume(path: &Path) -> Result<()> {
    let beside = with(path, ".salvage");
    if path.exists() || !beside.exists() {
        return Ok(());
    }
    if let Some(aside) = asides(path).take_while(|aside| aside.exists()).last() {
        set_log_aside(path, &aside)?;
    }
    rename(&beside, path)?;
    remove(&with(path, ".suspect"))
}

fn asides(path: &Path) -> impl Iterator<Item = PathBuf> {
    (1..10_000).map(|n| with(path, &format!(".damaged-{n}")))
}

fn set_aside(path: &Path) -> Result<PathBuf> {
    let aside = asides(path)
        .find(|aside| !aside.exists())
        .ok_or_else(|| Error::Internal("too many damaged files".to_owned()))?;
    // The file first: a log is replayed into whatever file stands beside it.
    rename(path, &aside)?;
    set_log_aside(path, &aside)?;
    Ok(aside)
}

fn set_log_aside(path: &Path, aside: &Path) -> Result<()> {
    for suffix in ["-wal", "-shm"] {
        rename(&with(path, suffix), &with(aside, suffix))?;
    }
    Ok(())
}

/// One that is not there is no error.
fn rename(from: &Path, to: &Path) -> Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io_error(&error)),
        _ => Ok(()),
    }
}

/// One that is not there is no error.
fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io_error(&error)),
        _ => Ok(()),
    }
}

const ENTRY: &str = "op, replaces, collection, id, lane, kind, body, base_version, hlc, priority, maybe_sent, attempts, state, \
                     reason_code, reason_message, created_at, base_id, clocks";

/// Of a record whose visible body is its base. `state` and `version` first: see [`read_records`].
const RECORD: &str = "state, version, collection, id, parent_id, body, hlc, device_id, clocks, base_id, server_id, created_by, created_at, \
                      updated_at, synced_at";

/// Records without unsent writes that no pull brings. Where every collection is pulled, and the table cannot be read
/// whole, nothing is missing.
fn read_records(damaged: &Connection, collections: &Collections) -> Rows {
    let table = Table {
        name: "record",
        rowid: "rid",
        columns: RECORD,
    };
    let mut rows = around::read(damaged, table, |row| {
        let (state, version): (i64, i64) = (row.get(1)?, row.get(2)?);
        let collection: String = row.get(3)?;
        let pulled = collections.get(&collection).map_or(true, Collection::pulls);
        // Nobody else has one that was never confirmed, whoever its collection belongs to.
        Ok(state == 0 && row.get_ref(6)? != ValueRef::Null && (version == 0 || !pulled))
    });
    rows.whole |= collections.iter().all(Collection::pulls);
    rows
}

/// Carries unsent writes, pairs, sessions and records that no pull brings from the damaged file into a fresh one. A row
/// that makes no sense stays behind: one would make the whole queue unreadable.
fn carry_over(damaged: &Path, options: &OpenOptions, fresh: &mut Connection) -> Result<Salvage> {
    let mut salvage = Salvage {
        set_aside: PathBuf::new(),
        entries: 0,
        pairs: 0,
        records: 0,
        whole: false,
    };
    if lost_its_file(damaged) {
        return Ok(salvage);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let key = options.key.as_ref();
    let opened = key::open(damaged, flags, key).and_then(|conn| {
        super::harden::harden(&conn)?;
        // It is kept as it is: its log is not moved into it.
        super::harden::checkpoint_on_close(&conn, false)?;
        // Only so does SQLite read a file that is shorter than its header says. Nothing is written.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false)?;
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, true)?;
        key::read_around_damage(&conn, key)?;
        Ok(conn)
    });
    let damaged = match opened {
        // Nothing is set aside because of a key.
        Err(Error::WrongKey) => return Err(Error::WrongKey),
        Err(_) => return Ok(salvage),
        Ok(damaged) => damaged,
    };
    if migrate::has_code(&damaged) == Ok(true) {
        return Ok(salvage);
    }
    let all = |_: &Row<'_>| Ok(true);
    let table = |name, rowid, columns| Table { name, rowid, columns };
    let mut entries = around::read(&damaged, table("entry", "seq", ENTRY), all);
    let mut pairs = around::read(&damaged, table("kv", "rowid", "key, value"), all);
    let mut records = read_records(&damaged, &options.collections);
    let mut sessions = read_sessions(&damaged);
    if key.is_some() {
        for rows in [&mut entries, &mut pairs, &mut records] {
            let read = rows.rows.len();
            rows.rows.retain(|values| !lost_its_end(values));
            rows.whole &= rows.rows.len() == read;
        }
        sessions = sessions.filter(|rows| !rows.iter().any(|values| lost_its_end(values)));
    }
    salvage.whole = entries.whole && pairs.whole && records.whole && sessions.is_some();

    let tx = fresh.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        // The base is not carried: the next pull brings it, and `plan` settles the two. What was not held may
        // have been on its way.
        let mut insert = tx.prepare(&format!(
            "INSERT INTO entry ({ENTRY}, base, next_tick) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, iif(?13 = 1, ?11, 1), ?12,
             CASE ?13 WHEN 2 THEN 0 ELSE ?13 END, ?14, ?15, ?16, ?17, ?18, 0, 0
             WHERE length(?1) = 16 AND coalesce(length(?2), 16) = 16 AND coalesce(length(?17), 16) = 16 AND ?12 BETWEEN 0 AND 4294967295
             AND iif(?7 IS NULL, 1, iif(json_valid(?7), json_type(?7) = 'object', 0))"
        ))?;
        for values in &entries.rows {
            salvage.entries += carry(&mut insert, params_from_iter(values))?;
        }
    }
    tx.execute_batch(
        "INSERT INTO record (collection, id, parent_id, body, hlc, device_id, base, version, state, created_at, updated_at,
         clocks) SELECT collection, id, nullif(lane, id), body, hlc, '', 0, 0, iif(state = 3, 3, 1), created_at, created_at, clocks
         FROM entry WHERE seq IN (SELECT max(seq) FROM entry GROUP BY collection, id)",
    )?;
    {
        let mut insert = tx.prepare(&format!(
            "INSERT INTO record ({RECORD}, base) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, 1
             WHERE coalesce(length(?10), 16) = 16 AND iif(json_valid(?6), json_type(?6) = 'object', 0)"
        ))?;
        for values in &records.rows {
            salvage.records += carry(&mut insert, params_from_iter(values))?;
        }
        let mut insert = tx.prepare("INSERT INTO kv (key, value) VALUES (?1, ?2)")?;
        for values in &pairs.rows {
            salvage.pairs += carry(&mut insert, params_from_iter(values))?;
        }
        let mut insert = tx.prepare(
            "INSERT INTO session (collection, id, children, started_at, scratch) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        for values in sessions.iter().flatten() {
            carry(&mut insert, params_from_iter(values))?;
        }
    }
    tx.commit()?;
    salvage.whole &= salvage.entries == entries.rows.len()
        && salvage.pairs == pairs.rows.len()
        && salvage.records == records.rows.len();
    Ok(salvage)
}

/// Whether the end of a text was on a page that reads as zeros. A plain file's would read as what it is now.
fn lost_its_end(values: &[Value]) -> bool {
    values
        .iter()
        .any(|value| matches!(value, Value::Text(text) if text.ends_with('\0')))
}

/// How many rows were carried: none, if the table does not take it.
fn carry(insert: &mut Statement<'_>, row: impl Params) -> Result<usize> {
    match insert.execute(row) {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => Ok(0),
        other => Ok(other?),
    }
}

/// Sessions in progress are few, so they are all or nothing.
fn read_sessions(damaged: &Connection) -> Option<Vec<Vec<Value>>> {
    let read = || -> rusqlite::Result<Vec<Vec<Value>>> {
        let mut statement = damaged.prepare("SELECT collection, id, children, started_at, scratch FROM session")?;
        let rows = statement.query_map([], |row| (0..5).map(|column| row.get(column)).collect())?;
        rows.collect()
    };
    read().ok()
}
