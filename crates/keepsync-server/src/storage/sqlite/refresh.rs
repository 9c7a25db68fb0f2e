//! Refresh tokens: rows for [`crate::token::rotate`], which decides.

use crate::{
    storage::{StorageError, TokenHash, Trade},
    token::rotate::{self, Found, Step},
};
use rusqlite::{Connection, OptionalExtension, params};

/// The first token of a family, which is named after it.
pub(crate) fn begin(conn: &Connection, user: &str, token: &TokenHash, now_ms: i64) -> Result<(), StorageError> {
    insert(conn, user, token, None, token, now_ms)
}

/// Trades `token` for `next`.
pub(super) fn trade(
    conn: &Connection,
    token: &TokenHash,
    next: &TokenHash,
    now_ms: i64,
) -> Result<Trade, StorageError> {
    let row = conn
        .prepare_cached("SELECT user, family, before, next, spent, expires_at FROM refresh WHERE hash = ?1")?
        .query_row([token], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, TokenHash>(1)?,
                Found {
                    before: row.get(2)?,
                    next: row.get(3)?,
                    spent: row.get(4)?,
                    expires_at: row.get(5)?,
                },
            ))
        })
        .optional()?;
    let Some((user, family, found)) = row else {
        return Ok(Trade::Refused);
    };
    match rotate::step(&found, now_ms) {
        Step::Refuse => Ok(Trade::Refused),
        Step::Revoke => {
            conn.prepare_cached("DELETE FROM refresh WHERE family = ?1 AND user = ?2")?
                .execute(params![family, user])?;
            Ok(Trade::Reused { user })
        }
        Step::Trade { spend, void } => {
            if let Some(spend) = spend {
                conn.prepare_cached("UPDATE refresh SET spent = 1 WHERE hash = ?1")?
                    .execute([spend])?;
            }
            if let Some(void) = void {
                conn.prepare_cached("DELETE FROM refresh WHERE hash = ?1")?
                    .execute([void])?;
            }
            insert(conn, &user, &family, Some(token), next, now_ms)?;
            conn.prepare_cached("UPDATE refresh SET next = ?2 WHERE hash = ?1")?
                .execute(params![token, next])?;
            Ok(Trade::Traded { user })
        }
    }
}

fn insert(
    conn: &Connection,
    user: &str,
    family: &TokenHash,
    before: Option<&TokenHash>,
    token: &TokenHash,
    now_ms: i64,
) -> Result<(), StorageError> {
    conn.prepare_cached("INSERT INTO refresh (hash, user, family, before, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![token, user, family, before, rotate::expires_at(now_ms)])?;
    Ok(())
}
