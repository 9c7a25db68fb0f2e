//! A pull: one page, read from one state of the file.
//!
//! A cursor is `"{change}"`, or `"{change}.{horizon}"`: the horizon is the account's `purged` when the
//! pull from the start began that this cursor continues. It can be continued if nothing was forgotten
//! that it has not passed: the larger of its two numbers is at least `purged`. A pull from the start
//! gets no record that a forgotten tombstone was for, so it need not fear those up to its horizon;
//! without it, a pull that takes several pages below `purged` would start over at each. Once the change
//! has passed the horizon, the horizon is dropped.
//!
//! A cursor that cannot be continued, or that this server did not give, starts over from the beginning
//! and its collection is named in `whole`. One of another epoch starts from the beginning too; the
//! device knows by the epoch.

use super::{epoch::Epoch, rows};
use crate::storage::{Pull, StorageError};
use keepsync_wire::{Branch, Change, Cursor, PullRequest, PullResponse};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeMap;

/// All of it is in one index, so counting what is left does not touch the rows.
const WALK: &str =
    "SELECT change, collection, body IS NULL, rowid FROM record WHERE user = ?1 AND change > ?2 ORDER BY change";

/// How far a collection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct At {
    change: i64,
    horizon: i64,
}

/// Where a collection goes on; `None`: from the start.
struct Asked {
    from: Option<At>,
    horizon: i64,
}

#[derive(Debug, Default)]
struct Account {
    head: i64,
    branch: i64,
    purged: i64,
}

pub(super) fn pull(
    conn: &Connection,
    epoch: &Epoch,
    user: &str,
    pull: &Pull,
    now_ms: i64,
) -> Result<PullResponse, StorageError> {
    let request = &pull.request;
    let account = account(conn, user)?;
    let same_epoch = request.epoch.as_ref().is_none_or(|asked| *asked == epoch.name);
    let (asked, whole) = start(request, same_epoch, account.purged);
    let page = page(conn, user, pull, &asked)?;
    let end = page.last.filter(|_| page.left > 0).unwrap_or(account.head);
    let moved = asked
        .iter()
        .filter(|(_, asked)| asked.from.is_none_or(|from| from.change < end));
    let cursors = moved.map(|(collection, asked)| Cursor {
        collection: (*collection).to_owned(),
        cursor: Some(cursor(end, asked.horizon)),
    });
    Ok(PullResponse {
        epoch: epoch.name.clone(),
        branch: epoch.parent.clone().map(|parent| Branch {
            parent,
            change: account.branch,
        }),
        cursors: cursors.collect(),
        changes: page.changes,
        has_more: page.left > 0,
        whole,
        remaining: Some(page.left),
        server_time: now_ms,
    })
}

fn account(conn: &Connection, user: &str) -> Result<Account, StorageError> {
    let found = conn
        .prepare_cached("SELECT head, branch, purged FROM account WHERE user = ?1")?
        .query_row([user], |row| {
            Ok(Account {
                head: row.get(0)?,
                branch: row.get(1)?,
                purged: row.get(2)?,
            })
        })
        .optional()?;
    Ok(found.unwrap_or_default())
}

/// Where each collection goes on, and which start over although a cursor was given.
fn start(request: &PullRequest, same_epoch: bool, purged: i64) -> (BTreeMap<&str, Asked>, Vec<String>) {
    let mut asked = BTreeMap::new();
    let mut whole = Vec::new();
    for wanted in &request.collections {
        let given = wanted.cursor.as_deref().filter(|_| same_epoch);
        let from = given.and_then(parse).filter(|at| at.change.max(at.horizon) >= purged);
        let name = wanted.collection.as_str();
        whole.retain(|already: &String| already != name);
        if given.is_some() && from.is_none() {
            whole.push(name.to_owned());
        }
        let horizon = from.map_or(purged, |at| at.horizon);
        asked.insert(name, Asked { from, horizon });
    }
    (asked, whole)
}

fn parse(text: &str) -> Option<At> {
    let (change, horizon) = match text.split_once('.') {
        Some((change, horizon)) => (change, horizon.parse().ok()?),
        None => (text, 0),
    };
    Some(At {
        change: change.parse().ok()?,
        horizon,
    })
}

fn cursor(change: i64, horizon: i64) -> String {
    if change < horizon {
        format!("{change}.{horizon}")
    } else {
        change.to_string()
    }
}

struct Page {
    changes: Vec<Change>,
    /// The change number of the last of them.
    last: Option<i64>,
    /// How many changes come after them.
    left: u64,
}

/// The next changes of all collections that were asked for, in the order of their commits.
fn page(conn: &Connection, user: &str, pull: &Pull, asked: &BTreeMap<&str, Asked>) -> Result<Page, StorageError> {
    let mut page = Page {
        changes: Vec::new(),
        last: None,
        left: 0,
    };
    let limit = pull.request.limit.max(1) as usize;
    let mut bytes = 0;
    let Some(lowest) = asked.values().map(|asked| asked.from.map_or(0, |at| at.change)).min() else {
        return Ok(page);
    };
    let mut statement = conn.prepare_cached(WALK)?;
    let mut rows = statement.query(params![user, lowest])?;
    while let Some(row) = rows.next()? {
        let change: i64 = row.get(0)?;
        let Some(asked) = asked.get(row.get_ref(1)?.as_str().unwrap_or_default()) else {
            continue;
        };
        if asked.from.is_some_and(|from| change <= from.change) {
            continue;
        }
        let tombstone: bool = row.get(2)?;
        let rowid: i64 = row.get(3)?;
        if tombstone && asked.from.is_none() && !could_know(conn, user, &pull.request, rowid)? {
            continue;
        }
        if page.changes.len() >= limit || bytes >= pull.page_bytes {
            page.left += 1;
            continue;
        }
        let read = read(conn, user, rowid)?;
        bytes += rows::size(&read.current);
        page.changes.push(read);
        page.last = Some(change);
    }
    Ok(page)
}

/// Whether the device may have the record that was deleted: it has pulled before, and may wait for the
/// answer to a write, or it wrote the record.
fn could_know(conn: &Connection, user: &str, request: &PullRequest, rowid: i64) -> Result<bool, StorageError> {
    if request.epoch.is_some() {
        return Ok(true);
    }
    let sql = "SELECT 1 FROM record JOIN writer USING (user, collection, id)
               WHERE record.rowid = ?1 AND record.user = ?2 AND writer.device_id = ?3";
    let mut statement = conn.prepare_cached(sql)?;
    Ok(statement.exists(params![rowid, user, request.device_id])?)
}

fn read(conn: &Connection, user: &str, rowid: i64) -> Result<Change, StorageError> {
    let sql = format!(
        "SELECT {}, collection, id FROM record WHERE rowid = ?1 AND user = ?2",
        rows::VERSION
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut found = statement.query(params![rowid, user])?;
    let row = found.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    Ok(Change {
        collection: row.get(8)?,
        id: row.get(9)?,
        current: rows::version(row)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_walk_over_changes_does_not_touch_the_rows() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(include_str!("0001.sql")).unwrap();
        let plan: String = conn
            .query_row(&format!("EXPLAIN QUERY PLAN {WALK}"), params!["ann", 1], |row| {
                row.get(3)
            })
            .unwrap();
        assert!(
            plan.contains("COVERING INDEX record_change (user=? AND change>?)"),
            "{plan}"
        );
    }

    #[test]
    fn a_cursor_drops_its_horizon_once_it_has_passed_it() {
        for (change, horizon, text) in [(3, 0, "3"), (3, 12, "3.12"), (12, 12, "12"), (13, 12, "13")] {
            assert_eq!(cursor(change, horizon), text);
            let at = parse(text).unwrap();
            assert_eq!((at.change, at.change.max(at.horizon)), (change, change.max(horizon)));
        }
        for other in ["", ".", "3.", ".3", "3.4.5", "x"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
