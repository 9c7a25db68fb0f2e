//! Where a write has come to since it was made.

use super::{Head, head_at, no_entry};
use crate::{db::Read, error::Result};
use rusqlite::{OptionalExtension, params};
use uuid::Uuid;

/// Where a write has come to.
pub(crate) enum Standing {
    /// It is in the queue, perhaps under another operation id, with another base or body.
    Queued(Box<Head>),
    /// The backend has it.
    Arrived,
    /// It is not in the queue, and was not acknowledged: discarded, or lost to another version.
    Gone,
}

/// The place in the queue of a write that was made under `op`.
///
/// # Errors
/// [`Error::NotFound`](crate::Error::NotFound) where nothing travels, or travelled lately, under `op`.
pub(crate) fn place_of(read: &Read<'_>, op: Uuid) -> Result<i64> {
    // Neither has an index on it, see `find_op`. The journal keeps the number an entry had.
    for sql in [
        "SELECT seq FROM entry WHERE op = ?1",
        "SELECT n FROM journal WHERE op = ?1",
    ] {
        let mut statement = read.conn.prepare_cached(sql)?;
        if let Some(seq) = statement
            .query_row([op.as_bytes().as_slice()], |row| row.get(0))
            .optional()?
        {
            return Ok(seq);
        }
    }
    Err(no_entry(op))
}

/// Where the write at this place of the queue has come to.
pub(crate) fn standing(read: &Read<'_>, seq: i64) -> Result<Standing> {
    if let Some(head) = head_at(read.conn, seq)? {
        return Ok(Standing::Queued(Box::new(head)));
    }
    let mut statement = read.conn.prepare_cached("SELECT 1 FROM journal WHERE n = ?1")?;
    let arrived: bool = statement.exists(params![seq])?;
    Ok(if arrived { Standing::Arrived } else { Standing::Gone })
}
