//! A pull: one page, read from one state of the file.
//!
//! 1. What was committed after the cursors, all collections together, in the order of the commits.
//! 2. When nothing of that is left: the backfill of collections that are pulled from the start, those of
//!    the highest priority first, the latest change first. See [`At`].
//! 3. What does not fit is counted. Counting walks over an index and does not touch the rows.
//!
//! A cursor that cannot be continued, or that this server did not give, starts over and its collection is
//! named in `whole`. One of another epoch starts over too; the device knows by the epoch.

use super::{cursor::At, epoch::Epoch, rows};
use crate::{
    planted::{self, Bug},
    storage::{Pull, StorageError},
};
use keepsync_wire::{Branch, Change, Cursor, PullRequest, PullResponse};
use rusqlite::{Connection, OptionalExtension, params};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

/// All of it is in one index.
const WALK_UP: &str =
    "SELECT change, collection, body IS NULL, rowid FROM record WHERE user = ?1 AND change > ?2 ORDER BY change";
const WALK_DOWN: &str =
    "SELECT change, collection, body IS NULL, rowid FROM record WHERE user = ?1 AND change < ?2 ORDER BY change DESC";

/// A collection that was asked for.
struct Asked {
    /// Where it stands; the start where no cursor was given, or none that can be continued.
    at: At,
    from_start: bool,
    priority: i32,
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
    let (asked, whole) = start(request, same_epoch, &account);
    let mut page = Page {
        conn,
        user,
        pull,
        now_ms,
        changes: Vec::new(),
        bytes: 0,
        left: BTreeMap::new(),
    };
    let (mut up, new_left) = page.upwards(&asked, account.head)?;
    let mut below = page.downwards(&asked, new_left == 0)?;
    if planted::is(Bug::CursorRunsAhead) {
        up = account.head;
        below.clear();
        page.left.clear();
    }
    let mut cursors = Vec::new();
    for (&collection, asked) in &asked {
        let at = At {
            up: up.max(asked.at.up),
            below: below.get(collection).copied(),
        };
        // Until the new is through, a pull from the start has not begun.
        let moved = if asked.from_start {
            new_left == 0
        } else {
            at != asked.at
        };
        if moved {
            cursors.push(Cursor {
                collection: collection.to_owned(),
                cursor: Some(at.to_string()),
                remaining: Some(page.left.get(collection).copied().unwrap_or(0)),
                ..Cursor::default()
            });
        }
    }
    let left = page.left.values().sum();
    Ok(PullResponse {
        epoch: epoch.name.clone(),
        branch: epoch.parent.clone().map(|parent| Branch {
            parent,
            change: account.branch,
        }),
        cursors,
        changes: page.changes,
        has_more: left > 0,
        whole,
        remaining: Some(left),
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
fn start<'a>(request: &'a PullRequest, same_epoch: bool, account: &Account) -> (BTreeMap<&'a str, Asked>, Vec<String>) {
    let mut asked = BTreeMap::new();
    let mut whole = Vec::new();
    for wanted in &request.collections {
        let given = wanted.cursor.as_deref().filter(|_| same_epoch);
        let from = given.and_then(At::parse).filter(|at| at.up >= account.purged);
        let name = wanted.collection.as_str();
        whole.retain(|already: &String| already != name);
        if given.is_some() && from.is_none() {
            whole.push(name.to_owned());
        }
        let collection = Asked {
            at: from.unwrap_or(At::start(account.head)),
            from_start: from.is_none(),
            priority: wanted.priority,
        };
        asked.insert(name, collection);
    }
    (asked, whole)
}

struct Page<'a> {
    conn: &'a Connection,
    user: &'a str,
    pull: &'a Pull,
    now_ms: i64,
    changes: Vec<Change>,
    bytes: usize,
    /// What does not fit, of each collection.
    left: BTreeMap<String, u64>,
}

impl Page<'_> {
    fn has_room(&self) -> bool {
        self.changes.len() < self.pull.request.limit.max(1) as usize && self.bytes < self.pull.page_bytes
    }

    fn give(&mut self, rowid: i64) -> Result<(), StorageError> {
        let read = read(self.conn, self.user, rowid)?;
        self.bytes += rows::size(&read.current);
        self.changes.push(read);
        Ok(())
    }

    fn leave(&mut self, collection: &str) {
        match self.left.get_mut(collection) {
            Some(left) => *left += 1,
            None => {
                self.left.insert(collection.to_owned(), 1);
            }
        }
    }

    /// What is new. Gives how far it came, and how much of it is left.
    fn upwards(&mut self, asked: &BTreeMap<&str, Asked>, head: i64) -> Result<(i64, u64), StorageError> {
        let lowest = asked.values().map(|asked| asked.at.up).min().unwrap_or(head);
        let (mut last, mut left) = (lowest, 0);
        let mut statement = self.conn.prepare_cached(WALK_UP)?;
        let mut rows = statement.query(params![self.user, lowest])?;
        while let Some(row) = rows.next()? {
            let change: i64 = row.get(0)?;
            let name = row.get_ref(1)?.as_str().unwrap_or_default();
            if asked.get(name).is_none_or(|asked| change <= asked.at.up) {
                continue;
            }
            if planted::is(Bug::LateCommits) && is_late(self.conn, row.get(3)?, self.now_ms)? {
                continue;
            }
            // Once one is left, all after it are: the page's end is one number.
            if left == 0 && self.has_room() {
                self.give(row.get(3)?)?;
                last = change;
            } else {
                self.leave(name);
                left += 1;
            }
        }
        Ok((if left == 0 { head } else { last }, left))
    }

    /// The backfill, if it is its turn. Gives, of each collection that is not through with it, where it
    /// then is.
    fn downwards<'a>(
        &mut self,
        asked: &BTreeMap<&'a str, Asked>,
        mut its_turn: bool,
    ) -> Result<BTreeMap<&'a str, i64>, StorageError> {
        let mut below = BTreeMap::new();
        let priorities: BTreeSet<Reverse<i32>> = asked.values().map(|asked| Reverse(asked.priority)).collect();
        for Reverse(priority) in priorities {
            let group: BTreeMap<&'a str, i64> = asked
                .iter()
                .filter(|(_, asked)| asked.priority == priority)
                .filter_map(|(name, asked)| Some((*name, asked.at.below?)))
                .collect();
            let Some(&highest) = group.values().max() else {
                continue;
            };
            let (mut lowest, mut left) = (highest, 0);
            let mut statement = self.conn.prepare_cached(WALK_DOWN)?;
            let mut rows = statement.query(params![self.user, highest])?;
            while let Some(row) = rows.next()? {
                let change: i64 = row.get(0)?;
                let name = row.get_ref(1)?.as_str().unwrap_or_default();
                if group.get(name).is_none_or(|&below| change >= below) {
                    continue;
                }
                let (tombstone, rowid): (bool, i64) = (row.get(2)?, row.get(3)?);
                if tombstone && !could_know(self.conn, self.user, &self.pull.request, rowid)? {
                    continue;
                }
                if its_turn && left == 0 && self.has_room() {
                    self.give(rowid)?;
                    lowest = change;
                } else {
                    self.leave(name);
                    left += 1;
                }
            }
            if left > 0 {
                its_turn = false;
                below.extend(group.into_iter().map(|(name, at)| (name, at.min(lowest))));
            }
        }
        Ok(below)
    }
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

/// Planted bug: a transaction of an odd change number takes a minute to be seen.
fn is_late(conn: &Connection, rowid: i64, now_ms: i64) -> Result<bool, StorageError> {
    let sql = "SELECT change % 2 = 1 AND updated_at > ?2 - 60000 FROM record WHERE rowid = ?1";
    Ok(conn
        .prepare_cached(sql)?
        .query_row(params![rowid, now_ms], |row| row.get(0))?)
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
        collection: row.get(9)?,
        id: row.get(10)?,
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
        for (walk, bound) in [(WALK_UP, "change>?"), (WALK_DOWN, "change<?")] {
            let plan: String = conn
                .query_row(&format!("EXPLAIN QUERY PLAN {walk}"), params!["ann", 1], |row| {
                    row.get(3)
                })
                .unwrap();
            let expected = format!("COVERING INDEX record_change (user=? AND {bound})");
            assert!(plan.contains(&expected), "{plan}");
        }
    }
}
