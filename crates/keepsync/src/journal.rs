//! The journal: acknowledged operations, kept for a server that is restored from a backup.
//!
//! It is bounded by age, by number and by bytes, and is the first to go where the disk has no room. The
//! oldest go first, so that no later write is kept without an earlier one. How many bytes it holds is counted
//! along (`meta.journal_bytes`): looking through it at the end of every pass would cost more than the pass.
//! A count that is off is set right when the bound is met.

use crate::{
    db::{Write, forget_oldest},
    error::Result,
};

/// Where the count is kept.
const BYTES: &str = "journal_bytes";
/// Of the bytes allowed, this part is left by a pruning, so that the next is not due at once.
const LEFT: (u64, u64) = (7, 8);

impl Write<'_> {
    /// Counts bodies that came (or, below 0, went), until [`store`].
    pub(crate) fn journaled(&mut self, bytes: i64) {
        self.journal_bytes = self.journal_bytes.saturating_add(bytes);
    }
}

/// Stores what was counted in this transaction.
pub(crate) fn store(write: &mut Write<'_>) -> Result<()> {
    let counted = std::mem::take(&mut write.journal_bytes);
    if counted == 0 {
        return Ok(());
    }
    let bytes = match write.read().meta::<i64>(BYTES)? {
        Some(bytes) => bytes.saturating_add(counted).max(0),
        None => write
            .conn
            .query_row("SELECT coalesce(sum(octet_length(body)), 0) FROM journal", [], |row| {
                row.get(0)
            })?,
    };
    write.set_meta(BYTES, &bytes)
}

/// Keeps the journal within its age, its number and its bytes.
pub(crate) fn prune(write: &mut Write<'_>) -> Result<()> {
    let shared = write.shared;
    let settings = &shared.settings;
    let count = i64::try_from(settings.journal_count).unwrap_or(i64::MAX);
    forget(
        write,
        "DELETE FROM journal WHERE n <= (SELECT max(n) FROM journal) - ?1 RETURNING octet_length(body)",
        count,
    )?;
    // By the server's clock, against the newest of them: this device's may have jumped by years. Only
    // from the front, so that no later write is kept without an earlier one.
    forget(
        write,
        "DELETE FROM journal WHERE n < coalesce((SELECT min(n) FROM journal WHERE acked_at >=
         (SELECT acked_at FROM journal ORDER BY n DESC LIMIT 1) - ?1), 0) RETURNING octet_length(body)",
        settings.journal_ms,
    )?;
    store(write)?;
    let most = i64::try_from(settings.journal_bytes).unwrap_or(i64::MAX);
    if write.read().meta::<i64>(BYTES)?.unwrap_or(0) > most {
        let left = settings.journal_bytes / LEFT.1 * LEFT.0;
        let held: i64 =
            write
                .conn
                .query_row("SELECT coalesce(sum(octet_length(body)), 0) FROM journal", [], |row| {
                    row.get(0)
                })?;
        write.set_meta(BYTES, &held)?;
        if held > most {
            prune_bytes(write, held.saturating_sub(i64::try_from(left).unwrap_or(i64::MAX)))?;
        }
    }
    Ok(())
}

/// Carries out a deletion that gives the lengths of the bodies that went, and counts them.
pub(crate) fn forget(write: &mut Write<'_>, sql: &str, bound: i64) -> Result<()> {
    let mut freed: i64 = 0;
    {
        let mut statement = write.conn.prepare_cached(sql)?;
        let mut rows = statement.query([bound])?;
        while let Some(row) = rows.next()? {
            freed += row.get::<_, Option<i64>>(0)?.unwrap_or(0);
        }
    }
    write.journaled(-freed);
    Ok(())
}

/// Lets the oldest go: so many that their bodies have at least `bytes`. False: there was nothing.
pub(crate) fn prune_bytes(write: &mut Write<'_>, bytes: i64) -> Result<bool> {
    let Some(freed) = forget_oldest(write, "journal", bytes)? else {
        return Ok(false);
    };
    write.journaled(-freed);
    store(write)?;
    Ok(true)
}
