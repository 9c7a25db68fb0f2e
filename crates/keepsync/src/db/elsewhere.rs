//! Whether another process wrote to the file. SQLite tells by a number that is another after a commit of
//! any other connection. All that a [`Db`] keeps in memory and another process may change are the clocks.

use super::{Db, latest_clock, latest_tick};
use crate::error::Result;
use rusqlite::Connection;

/// What is known of the others.
#[derive(Debug)]
pub(super) struct Elsewhere {
    version: i64,
    times: u64,
    untold: bool,
}

impl Elsewhere {
    pub(super) fn new(conn: &Connection) -> Result<Self> {
        Ok(Self {
            version: version(conn)?,
            times: 0,
            untold: false,
        })
    }

    /// How often it was seen.
    pub(super) fn times(&self) -> u64 {
        self.times
    }

    /// Whether there is something to be told; it is told once.
    pub(super) fn tell(&mut self) -> bool {
        std::mem::take(&mut self.untold)
    }
}

impl Db {
    /// At the beginning of a transaction, when nobody else can write any more.
    pub(super) fn catch_up(&mut self) -> Result<()> {
        let version = version(&self.conn)?;
        if version == self.elsewhere.version {
            return Ok(());
        }
        let (clock, tick) = (latest_clock(&self.conn)?, latest_tick(&self.conn)?);
        self.ticks.catch_up(&*self.shared.env, tick);
        let now = self.now();
        self.clock.catch_up(clock, now);
        self.elsewhere = Elsewhere {
            version,
            times: self.elsewhere.times + 1,
            untold: true,
        };
        Ok(())
    }
}

fn version(conn: &Connection) -> Result<i64> {
    Ok(conn
        .prepare_cached("PRAGMA data_version")?
        .query_row([], |row| row.get(0))?)
}
