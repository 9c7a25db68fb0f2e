//! What must hold of a file at any moment, by its rows: D1 to D3 of the reliability notes.

use crate::{server::Server, state::texts};
use rusqlite::{Connection, OptionalExtension as _};
use uuid::Uuid;

/// What is wrong, if anything.
pub(crate) type Verdict = Result<(), String>;

fn text(error: rusqlite::Error) -> String {
    format!("looking at the file: {error}")
}

/// Rows that must not be there, by what they would mean.
const NEVER: [(&str, &str); 8] = [
    (
        "an entry without a record",
        "SELECT collection || '/' || id FROM entry e WHERE NOT EXISTS (SELECT 1 FROM record r WHERE r.collection = e.collection AND r.id = e.id)",
    ),
    (
        "an unsent record without an entry",
        "SELECT collection || '/' || id FROM record r WHERE state > 0 AND NOT EXISTS (SELECT 1 FROM entry e WHERE r.collection = e.collection AND r.id = e.id)",
    ),
    (
        "an entry whose record is not marked",
        "SELECT e.collection || '/' || e.id FROM entry e JOIN record r USING (collection, id) WHERE r.state < max(1, e.state)",
    ),
    (
        "a record that does not show its newest entry",
        "SELECT r.collection || '/' || r.id FROM record r JOIN entry e ON e.seq = (SELECT max(seq) FROM entry n WHERE n.collection = r.collection AND n.id = r.id)
         WHERE r.body IS NOT e.body AND e.state < 2",
    ),
    (
        "a conflict without an entry, or an entry in conflict without its row",
        "SELECT collection || '/' || id FROM (
           SELECT collection, id FROM conflict EXCEPT SELECT collection, id FROM entry WHERE state = 2)
         UNION ALL SELECT collection || '/' || id FROM (
           SELECT collection, id FROM entry WHERE state = 2 EXCEPT SELECT collection, id FROM conflict)",
    ),
    (
        "an entry in flight that is none",
        "SELECT CAST(seq AS TEXT) FROM flight WHERE seq NOT IN (SELECT seq FROM entry)",
    ),
    (
        "a session without a record",
        "SELECT collection || '/' || id FROM session s WHERE NOT EXISTS (SELECT 1 FROM record r WHERE r.collection = s.collection AND r.id = s.id)",
    ),
    ("an operation twice", "SELECT hex(op) FROM entry GROUP BY op HAVING count(*) > 1"),
];

/// D2 and D3. `own_rows`: all of them were written by the core, and not by hand.
pub(crate) fn sound(conn: &Connection, own_rows: bool) -> Verdict {
    for sql in [
        "PRAGMA integrity_check",
        "SELECT 'foreign keys' FROM pragma_foreign_key_check",
    ] {
        let found = texts(conn, sql).map_err(text)?;
        if found.iter().any(|line| line != "ok") {
            return Err(format!("{sql}: {}", found.join("; ")));
        }
    }
    for (what, sql) in NEVER.iter().filter(|_| own_rows) {
        if let Some(found) = texts(conn, sql).map_err(text)?.first() {
            return Err(format!("{what}: {found}"));
        }
    }
    Ok(())
}

/// D1: each operation that the app was told of is in the queue, or the server has it, or the file says what
/// became of it. And nothing counts as answered that the server has not got.
pub(crate) fn kept(conn: &Connection, server: &Server, told: &[Uuid]) -> Verdict {
    for op in told {
        if server.has_applied(*op) {
            continue;
        }
        let known: Option<i64> = conn
            .prepare_cached("SELECT 1 FROM entry WHERE op = ?1 OR earlier = ?1 UNION ALL SELECT 1 FROM outcome WHERE op = ?1 UNION ALL SELECT 1 FROM journal WHERE op = ?1")
            .and_then(|mut statement| statement.query_row([op.as_bytes().as_slice()], |row| row.get(0)).optional())
            .map_err(text)?;
        if known.is_none() {
            return Err(format!(
                "operation {op} was acknowledged, and is neither here nor on the server"
            ));
        }
    }
    let mut statement = conn.prepare_cached("SELECT op FROM journal").map_err(text)?;
    let answered = statement.query_map([], |row| row.get::<_, [u8; 16]>(0)).map_err(text)?;
    for op in answered {
        let op = Uuid::from_bytes(op.map_err(text)?);
        if !server.has_applied(op) && !server.was_restored() {
            return Err(format!(
                "operation {op} counts as answered, and the server has not got it"
            ));
        }
    }
    Ok(())
}
