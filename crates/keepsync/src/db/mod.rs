//! The file: one SQLite database per account.
//!
//! # Opening
//! 1. The file is created with mode 0600, or opened, with its key if it has one (`key.rs`); hardened
//!    (`harden.rs`); put into WAL.
//! 2. Another program's database, or a schema newer than ours: refused with [`Error::ForeignFile`] or
//!    [`Error::NewerFile`], the file untouched.
//! 3. Missing migrations run in one transaction (`migrate.rs`). Stopped in the middle: nothing
//!    happened, the next opening runs them.
//! 4. Indexes follow the registered collections, in one transaction.
//! 5. A damaged file is set aside, never deleted, and what can be read of the queue is carried into
//!    a new one (`salvage.rs`). Damage that shows only later is met at the next opening.
//!
//! # Writing
//! Everything that writes takes a [`Write`], which exists only inside a transaction; everything
//! that reads takes a [`Read`]. Nobody else opens a transaction.
//! 1. `BEGIN IMMEDIATE`.
//! 2. Each job of the group runs in a savepoint of its own, so that one that fails undoes itself
//!    and nothing else.
//! 3. `COMMIT` with FULL: one fsync for the whole group. Stopped before: nothing of the group
//!    happened. Stopped after: all of it did.
//! 4. What changed is given back to be published; never before the commit.
//!
//! Another process may write between two transactions. Each begins by looking whether one did, and then
//! catches up with the clocks that are kept in memory (`elsewhere.rs`).

mod access;
mod around;
mod clock;
mod elsewhere;
mod harden;
mod installation;
pub(crate) mod key;
mod migrate;
mod room;
pub(crate) mod salvage;
pub(crate) mod wipe;

pub use access::{Read, Write};
use clock::Clock;
use elsewhere::Elsewhere;
pub use key::Key;
use room::WAYS;
pub(crate) use room::{Need, forget_oldest};
pub use salvage::Salvage;

use crate::{
    change::Changes,
    collection::Collections,
    conflict::Resolvers,
    env::{self, Env, Now, Ticks},
    error::{Error, Result},
    hlc::Hlc,
    planted::{self, Bug},
    settings::Settings,
};
use rusqlite::{Connection, OpenFlags, OptionalExtension, types::FromSql};
use std::{
    cell::Cell,
    path::{Path, PathBuf},
    sync::Arc,
};
use uuid::Uuid;

/// Where a store keeps its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: nothing survives the process, which is for tests and for apps that ask for it.
    Memory,
    /// A folder with one file per account, and the installation's id for all of them.
    Folder(PathBuf),
    /// This very file, with an installation's id of its own beside it: a whole device in one place.
    File(PathBuf),
}

/// What a store is opened with.
#[derive(Clone)]
pub struct OpenOptions {
    /// Where the file is.
    pub place: Place,
    /// The account; any text. Files in a folder are named by a hash of it.
    pub account: String,
    /// The key of the file, and of all accounts of an installation: with it the file is encrypted, see
    /// [`Key`]. `None`: it is not. In memory nothing is encrypted.
    pub key: Option<Key>,
    /// The installation's id. `None` reads it from the place, where it is made once and outlives
    /// accounts and wiping.
    pub device_id: Option<String>,
    /// What the app registered.
    pub collections: Collections,
    /// Limits and times.
    pub settings: Settings,
    /// What decides conflicts of collections whose policy is
    /// [`Policy::Custom`](crate::conflict::Policy::Custom).
    pub resolvers: Resolvers,
    /// Clocks and randomness.
    pub env: Arc<dyn Env>,
}

impl OpenOptions {
    /// A store for `account` in `folder`, with default settings and the system's clocks.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new(folder: impl Into<PathBuf>, account: impl Into<String>, collections: Collections) -> Self {
        Self {
            place: Place::Folder(folder.into()),
            account: account.into(),
            key: None,
            device_id: None,
            collections,
            settings: Settings::default(),
            resolvers: Resolvers::new(),
            env: Arc::new(env::SystemEnv::default()),
        }
    }

    /// Where the account's file is; `None` in memory.
    pub fn file(&self) -> Option<PathBuf> {
        match &self.place {
            Place::Memory => None,
            Place::Folder(folder) => {
                let name = Uuid::new_v5(&NAMESPACE, self.account.as_bytes());
                Some(folder.join(format!("{}.keepsync", name.simple())))
            }
            Place::File(file) => Some(file.clone()),
        }
    }
}

/// `file` with something added to its name.
fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.to_owned().into_os_string();
    name.push(suffix);
    name.into()
}

/// Namespace of the ids that Keepsync derives from names (UUIDv5).
pub(crate) const NAMESPACE: Uuid = Uuid::from_u128(0x8d1f_9c2e_5b0a_4f5e_9a53_6b65_6570_7379);

/// An account's file, opened for writing. One per file and process; it is not shared between
/// threads, and on a phone it lives on its own.
pub struct Db {
    conn: Connection,
    path: Option<PathBuf>,
    shared: Shared,
    ticks: Ticks,
    clock: Clock,
    salvaged: Option<Salvage>,
    unsaved_synced_at: Option<i64>,
    need: Need,
    elsewhere: Elsewhere,
    /// Whether SQLCipher gave the connection up; it is opened anew before the next write.
    given_up: Cell<bool>,
}

/// What readers and writers of one file have in common.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) collections: Arc<Collections>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) env: Arc<dyn Env>,
    pub(crate) key: Option<Key>,
    pub(crate) account: Arc<str>,
    pub(crate) device_id: Arc<str>,
}

/// How hard a commit is made to stick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// On the disk when it returns: every write of the user.
    Full,
    /// Consistent, but the last ones may be missing after a power cut: pulled pages and answers, which
    /// come again.
    Normal,
}

/// A piece of work inside a group commit.
pub trait Job {
    /// Does it; what fails is undone. Where there was no room it is run once more.
    ///
    /// # Errors
    /// Why it failed.
    fn run(&mut self, write: &mut Write<'_>) -> Result<()>;
    /// Called once, after the commit, with its result.
    fn finish(self: Box<Self>, commit: Result<()>);
}

impl Db {
    /// Opens the account's file, making it if it is not there.
    ///
    /// # Errors
    /// [`Error::NewerFile`], [`Error::ForeignFile`], [`Error::WrongKey`], [`Error::OtherAccount`], [`Error::StorageFull`],
    /// [`Error::ReadOnlyFile`], [`Error::Locked`], [`Error::Unavailable`]. A damaged file is not an
    /// error: see [`Db::salvaged`].
    pub fn open(options: OpenOptions) -> Result<Self> {
        key::is_possible(options.key.as_ref())?;
        let Some(path) = options.file() else {
            let conn = Self::connect_memory(&options)?;
            return Self::with(conn, None, options);
        };
        wipe::resume(&path)?;
        salvage::resume(&path)?;
        let open = || {
            let conn = Self::connect(&path, &options)?;
            Self::with(conn, Some(path.clone()), options.clone()).map_err(|error| Self::locate(error, &path))
        };
        match open() {
            Err(Error::Damaged { .. }) => {
                let saved = salvage::salvage(&path, &options, |beside| Self::connect(beside, &options))?;
                let mut db = open()?;
                db.salvaged = Some(saved);
                Ok(db)
            }
            other => other,
        }
    }

    fn with(conn: Connection, path: Option<PathBuf>, options: OpenOptions) -> Result<Self> {
        if planted::is(Bug::FlightLostAtRestart) {
            conn.execute("DELETE FROM flight", [])?;
        }
        let device_id = match (&options.device_id, &options.place) {
            (Some(given), _) => given.clone(),
            (None, Place::Folder(folder)) => installation::id(&folder.join("device-id"), &*options.env)?,
            (None, Place::File(file)) => installation::id(&beside(file, ".device-id"), &*options.env)?,
            (None, Place::Memory) => env::uuid_v7(options.env.wall_ms(), options.env.random()).to_string(),
        };
        let elsewhere = Elsewhere::new(&conn)?;
        let ticks = Ticks::resume(&*options.env, latest_tick(&conn)?);
        let clock = Clock::new(latest_clock(&conn)?, options.settings.clock_ahead_ms);
        let mut db = Self {
            conn,
            path,
            ticks,
            clock,
            salvaged: None,
            unsaved_synced_at: None,
            need: Need::Write,
            elsewhere,
            given_up: Cell::new(false),
            shared: Shared {
                collections: Arc::new(options.collections),
                settings: Arc::new(options.settings),
                env: options.env,
                key: options.key,
                account: options.account.into(),
                device_id: device_id.into(),
            },
        };
        db.keep_reserve();
        if meta::<String>(&db.conn, "device_id")?.as_deref() != Some(&*db.shared.device_id) {
            let id = db.shared.device_id.clone();
            db.write(|write| write.set_meta("device_id", &*id))?;
        }
        Ok(db)
    }

    fn connect_memory(options: &OpenOptions) -> Result<Connection> {
        key::ready();
        let mut conn = Connection::open_in_memory()?;
        harden::harden(&conn)?;
        migrate::migrate(&mut conn, &options.account)?;
        migrate::index(&mut conn, &options.collections)?;
        Ok(conn)
    }

    fn connect(path: &Path, options: &OpenOptions) -> Result<Connection> {
        harden::create_private(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        if salvage::lost_its_file(path) {
            return Err(Error::Damaged { path: path.to_owned() });
        }
        let open = || -> Result<Connection> {
            let mut conn = key::open(path, flags, options.key.as_ref())?;
            // A file that is refused or damaged is left as it is, log and all.
            harden::checkpoint_on_close(&conn, false)?;
            migrate::refuse_others(&conn)?;
            harden::harden(&conn)?;
            harden::write_ahead(&conn, &options.settings)?;
            salvage::examine(&conn, path)?;
            migrate::migrate(&mut conn, &options.account)?;
            migrate::index(&mut conn, &options.collections)?;
            harden::checkpoint_on_close(&conn, true)?;
            Ok(conn)
        };
        open().map_err(|error| harden::explain(error, path))
    }

    /// A second connection to the same file, for reading only; `None` in memory.
    #[cfg(any(feature = "runtime", test))]
    pub(crate) fn reader(path: &Path, key: Option<&Key>) -> Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = key::open(path, flags, key)?;
        harden::harden(&conn)?;
        Ok(conn)
    }

    /// Where the file is; `None` in memory.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// What was saved if the file was found damaged while opening.
    pub fn salvaged(&self) -> Option<&Salvage> {
        self.salvaged.as_ref()
    }

    /// The installation's id.
    pub fn device_id(&self) -> &str {
        &self.shared.device_id
    }

    #[cfg(any(feature = "runtime", test))]
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The limits and times it was opened with.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// A drain whose halves both worked ended now, and had nothing to write. A commit of its own would
    /// cost every idle sync one, so the time is written when the file is closed ([`Db::keep_synced_at`]),
    /// unless a later drain has something to write.
    pub(crate) fn note_synced_at(&mut self, at: Option<i64>) {
        self.unsaved_synced_at = at;
    }

    /// Writes what [`Db::note_synced_at`] noted. Not hard: after a power cut the time before it is told.
    #[cfg(feature = "runtime")]
    pub(crate) fn keep_synced_at(&mut self) -> Result<()> {
        let Some(at) = self.unsaved_synced_at.take() else {
            return Ok(());
        };
        self.write_with(Durability::Normal, |write| write.set_meta("synced_at", &at))
            .map(|_| ())
    }

    /// The moment, on this file's clocks.
    pub fn now(&self) -> Now {
        self.ticks.now(&*self.shared.env)
    }

    #[cfg(feature = "runtime")]
    pub(crate) fn ticks(&self) -> Ticks {
        self.ticks.clone()
    }

    /// Reads.
    ///
    /// # Errors
    /// What `f` gives.
    pub fn read<T>(&self, f: impl FnOnce(&Read<'_>) -> Result<T>) -> Result<T> {
        let result = f(&Read {
            conn: &self.conn,
            shared: &self.shared,
        });
        result.map_err(|error| self.located(error))
    }

    /// One transaction, committed with FULL. Gives what `f` gave, and what changed. Where there is no room,
    /// `f` runs again after some was made (`room.rs`).
    ///
    /// # Errors
    /// What `f` or the commit gives; then nothing has changed.
    pub fn write<T>(&mut self, f: impl FnMut(&mut Write<'_>) -> Result<T>) -> Result<(T, Changes)> {
        let lax = planted::is(Bug::NormalInsteadOfFull);
        self.write_with(if lax { Durability::Normal } else { Durability::Full }, f)
    }

    /// One transaction. Gives what `f` gave, and what changed.
    ///
    /// # Errors
    /// What `f` or the commit gives; then nothing has changed.
    pub fn write_with<T>(
        &mut self,
        durability: Durability,
        mut f: impl FnMut(&mut Write<'_>) -> Result<T>,
    ) -> Result<(T, Changes)> {
        let mut done = self.try_write(durability, &mut f);
        for way in WAYS {
            if !matches!(done, Err(Error::StorageFull)) || !self.make_room(way) {
                break;
            }
            done = self.try_write(durability, &mut f);
            self.close_ranks();
        }
        done
    }

    fn try_write<T>(
        &mut self,
        durability: Durability,
        f: &mut impl FnMut(&mut Write<'_>) -> Result<T>,
    ) -> Result<(T, Changes)> {
        self.begin(durability)?;
        let (result, mut changes) = self.with_write(f);
        match result {
            Ok(value) => {
                self.commit(durability)?;
                changes.elsewhere = self.elsewhere.tell();
                Ok((value, changes))
            }
            Err(error) => {
                self.roll_back(durability);
                Err(self.located(error))
            }
        }
    }

    /// Many jobs, one transaction, one fsync. After the commit what changed is published, and then
    /// each job is told how it went.
    pub fn write_group(&mut self, mut jobs: Vec<Box<dyn Job + std::marker::Send>>, publish: impl FnOnce(&Changes)) {
        let mut done = self.try_group(&mut jobs);
        for way in WAYS {
            if done != Err(Error::StorageFull) || !self.make_room(way) {
                break;
            }
            done = self.try_group(&mut jobs);
            self.close_ranks();
        }
        let verdict = done
            .map(|changes| publish(&changes))
            .map_err(|error| self.located(error));
        for job in jobs {
            job.finish(verdict.clone());
        }
    }

    fn try_group(&mut self, jobs: &mut [Box<dyn Job + std::marker::Send>]) -> Result<Changes> {
        let mut changes = Changes::default();
        let mut verdict = self.begin(Durability::Full);
        if verdict.is_ok() {
            let alone = jobs.len() == 1;
            for job in jobs {
                if !alone {
                    verdict = self.conn.execute_batch("SAVEPOINT job").map_err(Error::from);
                }
                if verdict.is_err() {
                    break;
                }
                let (ran, changed) = self.with_write(|write| job.run(write));
                let ok = ran.is_ok();
                // A full disk or an I/O error ends the whole transaction behind our back.
                if self.conn.is_autocommit() || ran == Err(Error::StorageFull) {
                    verdict = Err(Error::StorageFull);
                    break;
                }
                if !ok && self.has_given_up() {
                    // No other job can be done on this connection, and no commit.
                    verdict = Err(Error::Damaged { path: PathBuf::new() });
                    break;
                }
                if ok {
                    changes.merge(changed);
                }
                if !alone {
                    let end = if ok {
                        "RELEASE job"
                    } else {
                        "ROLLBACK TO job; RELEASE job"
                    };
                    verdict = self.conn.execute_batch(end).map_err(Error::from);
                } else if !ok {
                    self.roll_back(Durability::Full);
                }
            }
            if verdict.is_ok() && !self.conn.is_autocommit() {
                verdict = self.commit(Durability::Full);
            } else if verdict.is_err() {
                self.roll_back(Durability::Full);
            }
        }
        verdict.map(|()| {
            changes.elsewhere = self.elsewhere.tell();
            changes
        })
    }

    fn with_write<T>(&mut self, f: impl FnOnce(&mut Write<'_>) -> T) -> (T, Changes) {
        let mut write = Write {
            conn: &self.conn,
            shared: &self.shared,
            now: self.ticks.now(&*self.shared.env),
            clock: &mut self.clock,
            changes: Changes::default(),
            journal_bytes: 0,
            elsewhere: self.elsewhere.times(),
        };
        let value = f(&mut write);
        let changes = write.changes;
        (value, changes)
    }

    fn begin(&mut self, durability: Durability) -> Result<()> {
        if !self.conn.is_autocommit() {
            // A panic in the middle of a transaction left it open.
            self.roll_back(Durability::Normal);
        }
        self.revive()?;
        if durability == Durability::Normal {
            self.conn.execute_batch("PRAGMA synchronous=NORMAL")?;
        }
        let begun = self
            .conn
            .prepare_cached("BEGIN IMMEDIATE")
            .and_then(|mut begin| begin.execute([]));
        if let Err(error) = begun {
            self.restore(durability);
            return Err(self.located(error.into()));
        }
        if let Err(error) = self.catch_up() {
            self.roll_back(durability);
            return Err(self.located(error));
        }
        Ok(())
    }

    fn commit(&mut self, durability: Durability) -> Result<()> {
        let committed = self
            .conn
            .prepare_cached("COMMIT")
            .and_then(|mut commit| commit.execute([]));
        if let Err(error) = committed {
            self.roll_back(durability);
            return Err(self.located(error.into()));
        }
        self.restore(durability);
        Ok(())
    }

    fn roll_back(&mut self, durability: Durability) {
        if !self.conn.is_autocommit() {
            // Nothing to report: a transaction that cannot be rolled back is gone already.
            let _ = self.conn.execute_batch("ROLLBACK");
        }
        self.restore(durability);
    }

    fn restore(&self, durability: Durability) {
        if durability == Durability::Normal {
            // Fails only on a closed connection.
            let _ = self.conn.execute_batch("PRAGMA synchronous=FULL");
        }
    }

    /// Opens an encrypted file's connection anew if SQLCipher gave it up: on a plain file, too, damage on one page
    /// does not keep the app from writing to the others.
    fn revive(&mut self) -> Result<()> {
        let Some(path) = self.path.as_ref().filter(|_| self.given_up.get()) else {
            return Ok(());
        };
        let open = || -> Result<Connection> {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let conn = key::open(path, flags, self.shared.key.as_ref())?;
            harden::harden(&conn)?;
            harden::write_ahead(&conn, &self.shared.settings)?;
            harden::checkpoint_on_close(&conn, true)?;
            Ok(conn)
        };
        let opened = open().map_err(|error| match error {
            // The key was right a moment ago.
            Error::WrongKey => Error::Damaged { path: PathBuf::new() },
            other => other,
        });
        self.conn = opened.map_err(|error| self.located(error))?;
        self.given_up.set(false);
        Ok(())
    }

    fn has_given_up(&self) -> bool {
        self.given_up.get() || key::has_given_up(&self.conn, self.shared.key.as_ref())
    }

    fn located(&self, error: Error) -> Error {
        // What such a connection says after the first time is not what is wrong.
        let gave_up = self.has_given_up();
        self.given_up.set(gave_up);
        let error = match gave_up {
            true => Error::Damaged { path: PathBuf::new() },
            false => error,
        };
        match &self.path {
            Some(path) => Self::locate(error, path),
            None => error,
        }
    }

    /// Says where the damage is, and marks the file for a close look at its next opening.
    pub(crate) fn locate(error: Error, path: &Path) -> Error {
        if !matches!(error, Error::Damaged { .. }) {
            return error;
        }
        salvage::suspect(path);
        Error::Damaged { path: path.to_owned() }
    }

    /// Moves the write-ahead log into the file as far as readers allow; true if all of it went.
    #[cfg(feature = "runtime")]
    pub(crate) fn checkpoint(&self) -> Result<bool> {
        let busy: i64 = self
            .conn
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        Ok(busy == 0)
    }

    /// Size of the write-ahead log in bytes.
    #[cfg(feature = "runtime")]
    pub(crate) fn wal_bytes(&self) -> u64 {
        let Some(path) = &self.path else { return 0 };
        std::fs::metadata(beside(path, "-wal")).map_or(0, |meta| meta.len())
    }
}

fn meta<T: FromSql>(conn: &Connection, key: &str) -> Result<Option<T>> {
    let mut statement = conn.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    Ok(statement.query_row([key], |row| row.get(0)).optional()?)
}

fn latest_tick(conn: &Connection) -> Result<Option<(u64, i64)>> {
    let tick: Option<i64> = meta(conn, "tick")?;
    let wall: Option<i64> = meta(conn, "tick_wall")?;
    Ok(tick.and_then(|tick| u64::try_from(tick).ok()).zip(wall))
}

/// User writes do not store the clock (it would cost each a page): the newest entry holds it.
fn latest_clock(conn: &Connection) -> Result<Hlc> {
    let stored: i64 = meta(conn, "hlc")?.unwrap_or(0);
    let newest: i64 = conn.query_row(
        "SELECT coalesce(max(hlc), 0) FROM (SELECT hlc FROM entry ORDER BY seq DESC LIMIT 64)",
        [],
        |row| row.get(0),
    )?;
    Ok(Hlc::from_i64(stored.max(newest)))
}

#[cfg(test)]
mod tests;
