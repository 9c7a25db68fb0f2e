//! Forgetting, one bounded step at a time; others get their turn between two steps.
//!
//! Stopped between two steps: the rest is forgotten the next time. A step is one transaction, so what
//! an account remembers of its forgotten tombstones is never behind.

use crate::{
    config::Retention,
    planted::{self, Bug},
    storage::{Purged, StorageError},
};
use rusqlite::{Connection, Row, params};

/// Rows a step looks at, of each kind.
const STEP: i64 = 500;

/// What is older than these times (UTC milliseconds) is forgotten.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    pub(super) tombstones: i64,
    pub(super) answers: i64,
    pub(super) tokens: i64,
}

impl Before {
    pub(super) fn of(retention: &Retention, now_ms: i64) -> Self {
        let before =
            |age: std::time::Duration| now_ms.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        Self {
            tombstones: before(retention.tombstones),
            answers: before(retention.answers),
            tokens: now_ms,
        }
    }
}

/// The last answer that was looked at: when it was remembered, user, operation.
#[derive(Debug, Clone)]
pub(super) struct Place(i64, String, Vec<u8>);

/// How a step went.
pub(super) struct Step {
    pub(super) purged: Purged,
    /// Where the next one goes on with the answers.
    pub(super) place: Place,
    /// Whether there is nothing left to do.
    pub(super) done: bool,
}

impl Place {
    pub(super) fn start() -> Self {
        Self(i64::MIN, String::new(), Vec::new())
    }
}

pub(super) fn step(conn: &Connection, before: Before, place: Place) -> Result<Step, StorageError> {
    let tombstones = forget_tombstones(conn, before.tombstones)?;
    let (seen, answers, place) = forget_answers(conn, before.answers, place)?;
    let tokens = forget_tokens(conn, before.tokens)?;
    let most = STEP as u64;
    Ok(Step {
        purged: Purged {
            tombstones,
            answers,
            tokens,
        },
        place,
        done: tombstones < most && seen < most && tokens < most,
    })
}

fn forget_tokens(conn: &Connection, before: i64) -> Result<u64, StorageError> {
    let sql = "DELETE FROM refresh WHERE hash IN (SELECT hash FROM refresh WHERE expires_at <= ?1 LIMIT ?2)";
    Ok(conn.prepare_cached(sql)?.execute([before, STEP])? as u64)
}

/// The account remembers the highest change and version of what it forgot.
fn forget_tombstones(conn: &Connection, before: i64) -> Result<u64, StorageError> {
    let mut statement = conn.prepare_cached(
        "SELECT rowid, user, collection, id, change, version FROM record
         WHERE body IS NULL AND updated_at < ?1 ORDER BY updated_at LIMIT ?2",
    )?;
    let mut rows = statement.query([before, STEP])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (rowid, user, collection, id): (i64, String, String, String) =
            (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        let (change, version): (i64, i64) = (row.get(4)?, row.get(5)?);
        found.push((rowid, user, collection, id, change, version));
    }
    for (rowid, user, collection, id, change, version) in &found {
        let (change, version) = if planted::is(Bug::PurgeForgetsItself) {
            (&0, &0)
        } else {
            (change, version)
        };
        conn.prepare_cached(
            "UPDATE account SET purged = max(purged, ?2), version_floor = max(version_floor, ?3) WHERE user = ?1",
        )?
        .execute(params![user, change, version])?;
        conn.prepare_cached("DELETE FROM writer WHERE user = ?1 AND collection = ?2 AND id = ?3")?
            .execute([user, collection, id])?;
        conn.prepare_cached("DELETE FROM record WHERE rowid = ?1 AND user = ?2")?
            .execute(params![rowid, user])?;
    }
    Ok(found.len() as u64)
}

/// The answer of a record's current version stays: it is the base of what devices send next. So answers
/// are walked over, from place to place, and a step's work is bounded though none of them is forgotten.
fn forget_answers(conn: &Connection, before: i64, place: Place) -> Result<(u64, u64, Place), StorageError> {
    let mut statement = conn.prepare_cached(
        "SELECT at, user, op, EXISTS (SELECT 1 FROM record WHERE record.user = applied.user AND record.op = applied.op)
         FROM applied WHERE at < ?1 AND (at, user, op) > (?2, ?3, ?4) ORDER BY at, user, op LIMIT ?5",
    )?;
    let read = |row: &Row<'_>| Ok((Place(row.get(0)?, row.get(1)?, row.get(2)?), row.get::<_, bool>(3)?));
    let found = statement
        .query_map(params![before, place.0, place.1, place.2, STEP], read)?
        .collect::<Result<Vec<_>, _>>()?;
    let mut forgotten = 0;
    for (Place(_, user, op), _) in found
        .iter()
        .filter(|(_, is_current)| !is_current || planted::is(Bug::PurgeForgetsCurrent))
    {
        forgotten += conn
            .prepare_cached("DELETE FROM applied WHERE user = ?1 AND op = ?2")?
            .execute(params![user, op])? as u64;
    }
    let seen = found.len() as u64;
    Ok((
        seen,
        forgotten,
        found.into_iter().last().map_or(place, |(last, _)| last),
    ))
}
