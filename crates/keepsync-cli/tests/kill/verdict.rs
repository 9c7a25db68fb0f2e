//! What the two databases say, read with plain SQL.
//!
//! * **Lost**: acknowledged, and the server has neither it nor a later one.
//! * **Doubled**: a version that two operations made, a set with more than one version, or operations
//!   that the server applied and the device does not know of, or the other way round.
//! * **Out of order**: a version with an earlier number than the one before it.
//! * **Stuck**: unsent, or not the same in both files.

use super::Notes;
use rusqlite::{Connection, OpenFlags};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

type Key = (String, String);

pub(super) struct Verdict {
    pub(super) acknowledged: usize,
    pub(super) summary: String,
    /// What is wrong, at most so many of each kind.
    pub(super) wrong: Vec<String>,
}

const MOST: usize = 5;

fn open(file: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(file, flags).unwrap()
}

fn all<T>(conn: &Connection, sql: &str, map: fn(&rusqlite::Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
    let mut statement = conn.prepare(sql).unwrap();
    let rows = statement.query_map([], map).unwrap();
    rows.map(Result::unwrap).collect()
}

fn number(body: &str) -> i64 {
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    body["n"].as_i64().unwrap()
}

pub(super) fn verdict(server: &Path, device: &Path, user: &str, notes: &Notes) -> Verdict {
    let (server, device) = (open(server), open(device));
    let users: Vec<String> = all(&server, "SELECT user FROM account", |row| row.get(0));
    assert_eq!(users, [user]);
    let records = "SELECT collection, id, body, version FROM record ORDER BY collection, id";
    let record = |row: &rusqlite::Row<'_>| {
        let key: Key = (row.get(0)?, row.get(1)?);
        Ok((key, (row.get::<_, String>(2)?, row.get::<_, i64>(3)?)))
    };
    let on_server: BTreeMap<Key, (String, i64)> = all(&server, records, record).into_iter().collect();
    let on_device: BTreeMap<Key, (String, i64)> = all(&device, records, record).into_iter().collect();
    let mut known: Vec<([u8; 16], String)> = all(&device, "SELECT op, body FROM journal", |row| {
        Ok((row.get(0)?, row.get(1)?))
    });
    known.sort_unstable();
    let applied: Vec<([u8; 16], Key, i64)> = all(
        &server,
        "SELECT op, collection, id, version FROM applied ORDER BY collection, id, version",
        |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?), row.get(3)?)),
    );
    let unsent: i64 = all(&device, "SELECT count(*) FROM entry", |row| row.get(0))[0];

    let (mut lost, mut doubled, mut disordered, mut stuck) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut acknowledged = 0;
    for (key, told) in notes {
        let Some(n) = told.acknowledged else { continue };
        acknowledged += 1;
        let there = on_server.get(key).map(|(body, _)| number(body));
        if !there.is_some_and(|there| (n..=told.tried).contains(&there)) {
            lost.push(format!("{key:?}: acknowledged {n}, the server has {there:?}"));
        }
    }
    lost.extend(
        on_server
            .keys()
            .filter(|key| !notes.contains_key(*key))
            .map(|key| format!("{key:?}: nobody wrote it")),
    );

    let bodies: BTreeMap<[u8; 16], &str> = known.iter().map(|(op, body)| (*op, body.as_str())).collect();
    let mut chains: BTreeMap<&Key, Vec<(i64, Option<i64>)>> = BTreeMap::new();
    for (op, key, version) in &applied {
        let n = bodies.get(op).map(|body| number(body));
        chains.entry(key).or_default().push((*version, n));
    }
    for (key, chain) in &chains {
        let dense = chain.iter().map(|(version, _)| *version).eq(1..=chain.len() as i64);
        let current = on_server.get(*key).map(|(_, version)| *version);
        if !dense || current != Some(chain.len() as i64) || (key.0 == "set_log" && chain.len() != 1) {
            doubled.push(format!("{key:?}: versions {chain:?}, the record is at {current:?}"));
        }
        if !chain.is_sorted_by(|a, b| a.1 < b.1) {
            disordered.push(format!("{key:?}: {chain:?}"));
        }
    }
    let server_ops: Vec<[u8; 16]> = applied.iter().map(|(op, ..)| *op).collect();
    let device_ops: Vec<[u8; 16]> = known.iter().map(|(op, _)| *op).collect();
    let (at_server, at_device) = (BTreeSet::from_iter(&server_ops), BTreeSet::from_iter(&device_ops));
    if at_server != at_device || at_server.len() != server_ops.len() || at_device.len() != device_ops.len() {
        doubled.push(format!(
            "{} operations applied, {} in the journal, {} in both",
            server_ops.len(),
            device_ops.len(),
            at_server.intersection(&at_device).count()
        ));
    }

    if unsent != 0 {
        stuck.push(format!("{unsent} unsent"));
    }
    let keys: BTreeSet<&Key> = on_server.keys().chain(on_device.keys()).collect();
    stuck.extend(
        keys.into_iter()
            .filter(|key| on_server.get(*key) != on_device.get(*key))
            .map(|key| format!("{key:?} differs")),
    );

    let summary = format!(
        "{acknowledged} records acknowledged, {} operations applied: {} lost, {} doubled, {} out of order, {} stuck",
        applied.len(),
        lost.len(),
        doubled.len(),
        disordered.len(),
        stuck.len()
    );
    let wrong = [
        ("lost", lost),
        ("doubled", doubled),
        ("out of order", disordered),
        ("stuck", stuck),
    ];
    let wrong = wrong
        .into_iter()
        .flat_map(|(what, which)| which.into_iter().take(MOST).map(move |one| format!("{what}: {one}")))
        .collect();
    Verdict {
        acknowledged,
        summary,
        wrong,
    }
}
