//! Connections for reading, and the gate that lets the writer's checkpoint through.
//!
//! A reader pins the write-ahead log: while one is at work the log cannot start over. When the log
//! has grown too far, the gate closes: new readers wait, those at work get a moment to finish, then
//! are interrupted, and run again from the start once the checkpoint is through. Reads only look, so
//! running one twice is the same as running it once. One that cannot be interrupted is not in the
//! file at that moment, and the writer does not wait for it.

use crate::{
    db::{Db, Read, Shared, key},
    error::{Error, Result},
};
use rusqlite::{Connection, InterruptHandle};
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How long readers at work may hold up a checkpoint.
const PATIENCE: Duration = Duration::from_millis(100);

/// An interrupt between two statements reaches neither, so it is repeated this often.
const INTERRUPTS: usize = 10;

/// And this long after the one before.
const BETWEEN_INTERRUPTS: Duration = Duration::from_millis(5);

pub(super) struct Readers {
    path: PathBuf,
    shared: Shared,
    most: usize,
    gate: Mutex<Gate>,
    moved: Condvar,
}

#[derive(Default)]
struct Gate {
    idle: Vec<Connection>,
    open: usize,
    /// Readers at work, by number; the flag says that they were interrupted.
    working: HashMap<u64, (InterruptHandle, bool)>,
    next: u64,
    shut: bool,
    closed: bool,
}

impl Readers {
    pub(super) fn new(path: PathBuf, shared: Shared) -> Self {
        let most = shared.settings.readers.max(1);
        Self {
            path,
            shared,
            most,
            gate: Mutex::default(),
            moved: Condvar::new(),
        }
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, gate: MutexGuard<'a, Gate>) -> MutexGuard<'a, Gate> {
        self.moved.wait(gate).unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads on a connection of its own. Blocks; not for an async thread.
    pub(super) fn read<T>(&self, f: impl Fn(&Read<'_>) -> Result<T>) -> Result<T> {
        loop {
            let (number, conn) = self.enter()?;
            let mut place = Place {
                readers: self,
                number,
                conn: Some(conn),
                is_good: true,
            };
            let mut result = match &place.conn {
                Some(conn) => f(&Read {
                    conn,
                    shared: &self.shared,
                }),
                None => Err(Error::Closed),
            };
            if result.is_err() && place.has_given_up() {
                result = Err(Error::Damaged {
                    path: self.path.clone(),
                });
                place.is_good = false;
            }
            let interrupted = place.leave();
            if !(interrupted && result.is_err()) {
                return result.map_err(|error| Db::locate(error, &self.path));
            }
        }
    }

    fn wait_while<'a>(
        &self,
        gate: MutexGuard<'a, Gate>,
        most: Duration,
        condition: impl FnMut(&mut Gate) -> bool,
    ) -> MutexGuard<'a, Gate> {
        let waited = self.moved.wait_timeout_while(gate, most, condition);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn enter(&self) -> Result<(u64, Connection)> {
        let mut gate = self.gate();
        let conn = loop {
            if gate.closed {
                return Err(Error::Closed);
            }
            if !gate.shut {
                if let Some(conn) = gate.idle.pop() {
                    break conn;
                }
                if gate.open < self.most {
                    gate.open += 1;
                    drop(gate);
                    let opened = Db::reader(&self.path, self.shared.key.as_ref());
                    gate = self.gate();
                    match opened {
                        Ok(conn) => {
                            // The gate may have shut while the connection was opened.
                            gate.idle.push(conn);
                            continue;
                        }
                        Err(error) => {
                            gate.open -= 1;
                            self.moved.notify_all();
                            return Err(error);
                        }
                    }
                }
            }
            gate = self.wait(gate);
        };
        gate.next += 1;
        let number = gate.next;
        gate.working.insert(number, (conn.get_interrupt_handle(), false));
        Ok((number, conn))
    }

    fn leave(&self, number: u64, conn: Connection, is_good: bool) -> bool {
        // A panic may have left a snapshot open. A connection that cannot end it is of no use.
        let ended = conn.is_autocommit() || conn.execute_batch("ROLLBACK").is_ok();
        let conn = (ended && is_good).then_some(conn);
        let mut gate = self.gate();
        let interrupted = gate.working.remove(&number).is_some_and(|(_, interrupted)| interrupted);
        match conn {
            Some(conn) if !gate.closed => gate.idle.push(conn),
            _ => gate.open -= 1,
        }
        drop(gate);
        self.moved.notify_all();
        interrupted
    }

    /// Runs `f` while no reader is at work.
    pub(super) fn while_aside(&self, f: impl FnOnce()) {
        let mut gate = self.gate();
        gate.shut = true;
        // Those that were interrupted before and are still at work had their moment.
        let in_time = |gate: &mut Gate| gate.working.values().any(|(_, interrupted)| !interrupted);
        gate = self.wait_while(gate, PATIENCE, in_time);
        for _ in 0..INTERRUPTS {
            for (handle, interrupted) in gate.working.values_mut() {
                *interrupted = true;
                handle.interrupt();
            }
            gate = self.wait_while(gate, BETWEEN_INTERRUPTS, |gate| !gate.working.is_empty());
        }
        drop(gate);
        f();
        self.gate().shut = false;
        self.moved.notify_all();
    }

    /// Closes the connections. Readers at work finish first.
    pub(super) fn close(&self) {
        let mut gate = self.gate();
        gate.closed = true;
        gate.open -= gate.idle.len();
        gate.idle.clear();
        drop(gate);
        self.moved.notify_all();
    }
}

/// A reader at work. It is given back when the read panics, too.
struct Place<'a> {
    readers: &'a Readers,
    number: u64,
    conn: Option<Connection>,
    /// Whether others can read on the connection.
    is_good: bool,
}

impl Place<'_> {
    /// Whether SQLCipher gave the connection up.
    fn has_given_up(&self) -> bool {
        let key = self.readers.shared.key.as_ref();
        self.conn.as_ref().is_some_and(|conn| key::has_given_up(conn, key))
    }

    /// Whether it was interrupted.
    fn leave(mut self) -> bool {
        self.give_back()
    }

    fn give_back(&mut self) -> bool {
        let conn = self.conn.take();
        conn.is_some_and(|conn| self.readers.leave(self.number, conn, self.is_good))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.give_back();
    }
}
