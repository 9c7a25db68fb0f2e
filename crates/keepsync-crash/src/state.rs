//! What a file holds, looked at with a connection and SQL of our own.
//!
//! Two looks: [`whole`] is everything, byte for byte, for comparing a file with the same run stopped nowhere;
//! [`visible`] is what a user could tell, without ids, times, versions and counters, for comparing ends of runs
//! that took different ways.

use rusqlite::{Connection, OpenFlags, Result, types::ValueRef};
use std::{
    fmt::Write as _,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::Path,
};

pub(crate) fn look(file: &Path) -> Result<Connection> {
    let conn = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    crate::key::unlock(&conn)?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

/// A hash of every row of every table, and of the schema.
pub(crate) fn whole(conn: &Connection) -> Result<u64> {
    let mut hash = DefaultHasher::new();
    let names = texts(
        conn,
        "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name",
    )?;
    for table in names.iter().map(String::as_str).chain(["sqlite_schema"]) {
        table.hash(&mut hash);
        let mut statement = match table {
            "sqlite_schema" => conn.prepare_cached("SELECT type, name, sql FROM sqlite_schema ORDER BY name")?,
            table => conn.prepare_cached(&format!("SELECT * FROM {table}"))?,
        };
        let width = statement.column_count();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            for column in 0..width {
                match row.get_ref(column)? {
                    ValueRef::Null => 0u8.hash(&mut hash),
                    ValueRef::Integer(number) => (1u8, number).hash(&mut hash),
                    ValueRef::Real(number) => (2u8, number.to_bits()).hash(&mut hash),
                    ValueRef::Text(text) => (3u8, text).hash(&mut hash),
                    ValueRef::Blob(bytes) => (4u8, bytes).hash(&mut hash),
                }
            }
        }
    }
    Ok(hash.finish())
}

/// A hash of what a user could tell, but for the history, which a full disk may take.
pub(crate) fn seen(conn: &Connection) -> Result<u64> {
    let mut hash = DefaultHasher::new();
    let mut lines = visible(conn)?;
    lines.retain(|line| !line.starts_with("history "));
    lines.hash(&mut hash);
    Ok(hash.finish())
}

/// Everything as text, for a person who looks for the difference.
pub(crate) fn dump(conn: &Connection) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for table in texts(
        conn,
        "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name",
    )? {
        lines.extend(rows(conn, &table, &format!("SELECT * FROM {table}"))?);
    }
    Ok(lines)
}

/// What a user could tell.
pub(crate) fn visible(conn: &Connection) -> Result<Vec<String>> {
    const LOOKS: [(&str, &str); 9] = [
        (
            "record",
            "SELECT collection, id, body, base > 0, base_body, state FROM record WHERE body IS NOT NULL OR state > 0 ORDER BY 1, 2",
        ),
        (
            "entry",
            "SELECT collection, id, body, state, reason_code FROM entry ORDER BY 1, 2, seq",
        ),
        (
            "conflict",
            "SELECT collection, id, base_body, local_body, remote_body FROM conflict ORDER BY 1, 2",
        ),
        (
            "history",
            "SELECT DISTINCT collection, id, body, reason FROM history ORDER BY 1, 2, 3, 4",
        ),
        (
            "session",
            "SELECT collection, id, children, scratch FROM session ORDER BY 1, 2",
        ),
        ("kv", "SELECT key, value FROM kv ORDER BY 1"),
        ("notice", "SELECT kind, collection, id FROM notice ORDER BY 1, 2, 3"),
        ("pull", "SELECT collection, complete, first_done FROM pull ORDER BY 1"),
        (
            "index",
            "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY 1",
        ),
    ];
    let mut lines = Vec::new();
    for (name, sql) in LOOKS {
        lines.extend(rows(conn, name, sql)?);
    }
    Ok(lines)
}

fn rows(conn: &Connection, name: &str, sql: &str) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let mut statement = conn.prepare_cached(sql)?;
    let width = statement.column_count();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let mut line = name.to_owned();
        for column in 0..width {
            let _ = match row.get_ref(column)? {
                ValueRef::Null => write!(line, " -"),
                ValueRef::Integer(number) => write!(line, " {number}"),
                ValueRef::Real(number) => write!(line, " {number}"),
                ValueRef::Text(text) => write!(line, " {}", String::from_utf8_lossy(text)),
                ValueRef::Blob(bytes) => bytes.iter().try_for_each(|byte| write!(line, "{byte:02x}")),
            };
        }
        lines.push(line);
    }
    Ok(lines)
}

pub(crate) fn texts(conn: &Connection, sql: &str) -> Result<Vec<String>> {
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map([], |row| row.get(0))?;
    rows.collect()
}
