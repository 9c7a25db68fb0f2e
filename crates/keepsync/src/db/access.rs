//! What reads and writes are given: a connection, and what all of one file have in common.

use super::{Shared, clock::Clock, meta};
use crate::{
    change::Changes,
    env::{self, Now},
    error::Result,
    hlc::Hlc,
};
use rusqlite::{Connection, ToSql, params, types::FromSql};
use uuid::Uuid;

/// Reads inside or outside of a transaction.
#[derive(Clone, Copy)]
pub struct Read<'c> {
    pub(crate) conn: &'c Connection,
    pub(crate) shared: &'c Shared,
}

impl Read<'_> {
    /// All that `f` reads is of one moment, whatever is written meanwhile. For a few statements that
    /// belong together: while it runs, the log cannot start over.
    pub(crate) fn together<T>(&self, f: impl FnOnce() -> Result<T>) -> Result<T> {
        if !self.conn.is_autocommit() {
            return f();
        }
        self.conn.prepare_cached("BEGIN")?.execute([])?;
        let result = f();
        self.conn.prepare_cached("ROLLBACK")?.execute([])?;
        result
    }

    pub(crate) fn meta<T: FromSql>(&self, key: &str) -> Result<Option<T>> {
        meta(self.conn, key)
    }
}

/// Writes inside a transaction.
pub struct Write<'c> {
    pub(crate) conn: &'c Connection,
    pub(crate) shared: &'c Shared,
    pub(crate) now: Now,
    pub(super) clock: &'c mut Clock,
    pub(crate) changes: Changes,
    /// Bytes of bodies the journal gained, not stored yet; see [`journal`](crate::journal).
    pub(crate) journal_bytes: i64,
    /// How often it was seen that another process had written.
    #[cfg_attr(not(feature = "runtime"), allow(dead_code, reason = "the runner asks"))]
    pub(crate) elsewhere: u64,
}

impl<'c> Write<'c> {
    /// Reads, seeing what this transaction has written.
    pub fn read(&self) -> Read<'c> {
        Read {
            conn: self.conn,
            shared: self.shared,
        }
    }

    /// The hybrid clock of the next local write.
    pub(crate) fn tick_hlc(&mut self) -> Hlc {
        self.clock.tick(self.now)
    }

    /// The hybrid clock of a local write that follows a version.
    pub(crate) fn tick_hlc_after(&mut self, before: Option<Hlc>) -> Hlc {
        match before {
            Some(before) => self.clock.tick_after(before, self.now),
            None => self.tick_hlc(),
        }
    }

    /// Takes a clock from elsewhere into account; gives it as it is believed.
    pub(crate) fn observe_hlc(&mut self, seen: Hlc) -> Hlc {
        self.clock.observe(seen, self.now)
    }

    /// The backend told its time. Gives by how many milliseconds this device's writes were too far ahead of
    /// it, if they were.
    pub(crate) fn learn_time(&mut self, server_time: i64) -> Option<i64> {
        self.clock.learn(server_time, self.now)
    }

    /// Stores the clocks: whenever an entry leaves the queue, and with every stored tick.
    pub(crate) fn store_clocks(&mut self) -> Result<()> {
        let hlc = self.clock.latest().to_i64();
        self.set_meta("hlc", &hlc)?;
        self.set_meta("tick", &i64::try_from(self.now.tick_ms).unwrap_or(i64::MAX))?;
        let wall_ms = self.now.wall_ms;
        self.set_meta("tick_wall", &wall_ms)
    }

    pub(crate) fn set_meta(&mut self, key: &str, value: &(impl ToSql + ?Sized)) -> Result<()> {
        let mut statement = self.conn.prepare_cached(
            "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value",
        )?;
        statement.execute(params![key, value])?;
        Ok(())
    }

    pub(crate) fn uuid_v7(&self) -> Uuid {
        env::uuid_v7(self.now.wall_ms, self.shared.env.random())
    }

    /// A uniform number in `0..1`, for jitter.
    pub(crate) fn unit(&self) -> f64 {
        env::unit(self.shared.env.random())
    }
}
