//! Files that are new, old or damaged.

use super::{deeds::put, registered::earlier, scenario, three};
use crate::{
    act::{Act, Scenario, close, open, pass, world},
    key,
    server::Net,
};
use std::path::Path;

/// Zeroes the first page of the records' tree, and marks the file as suspect, as a read that met it does.
fn spoil_records(file: &Path) -> std::io::Result<()> {
    let of = |error: rusqlite::Error| std::io::Error::other(error);
    let conn = rusqlite::Connection::open(file).map_err(of)?;
    key::unlock(&conn).map_err(of)?;
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'record'";
    let root: u32 = conn.query_row(sql, [], |row| row.get(0)).map_err(of)?;
    let (root, size) = (root as usize, key::page_size(&conn).map_err(of)?);
    drop(conn);
    let mut bytes = std::fs::read(file)?;
    if let Some(page) = bytes.get_mut((root - 1) * size..root * size) {
        page.fill(0);
    }
    std::fs::write(file, bytes)?;
    let mut mark = file.as_os_str().to_owned();
    mark.push(".suspect");
    std::fs::write(mark, "")
}

/// The file that the first release wrote.
fn freeze(file: &Path) -> std::io::Result<()> {
    std::fs::remove_file(file)?;
    let conn = rusqlite::Connection::open(file).map_err(std::io::Error::other)?;
    key::unlock(&conn).map_err(std::io::Error::other)?;
    let frozen = include_str!("../../../keepsync/tests/frozen/0001.sql");
    conn.execute_batch(frozen).map_err(std::io::Error::other)
}

pub(super) fn all() -> Vec<Scenario> {
    let old: Vec<Act> = vec![
        put("workout", "w", r#"{"date":"1","name":"Legs"}"#),
        put("profile", "me", "{}"),
    ];
    vec![
        Scenario {
            grows: true,
            ..scenario("new-file", Vec::new(), vec![put("workout", "w", "{}"), pass(Net::Well)])
        },
        Scenario {
            before: earlier,
            grows: true,
            ..scenario(
                "new-collections",
                old,
                vec![put("exercise", "e", "{}"), pass(Net::Well)],
            )
        },
        Scenario {
            spoil: Some(freeze),
            by_hand: true,
            grows: true,
            ..scenario(
                "frozen-file",
                vec![world("a server of its own", |server| server.restore(0))],
                vec![put("workout", "w", "{}"), pass(Net::Well)],
            )
        },
        scenario(
            "sign-out",
            three(),
            vec![
                put("profile", "me", r#"{"n":3}"#),
                close(),
                open(),
                pass(Net::Well),
                close(),
            ],
        ),
        Scenario {
            spoil: Some(spoil_records),
            salvages: true,
            grows: true,
            ..scenario(
                "salvage",
                three(),
                vec![put("profile", "me", r#"{"n":3}"#), pass(Net::Well)],
            )
        },
    ]
}
