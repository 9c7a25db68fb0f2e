//! The accounts of one installation: one file each, in one folder.
//!
//! # Switching
//! 1. The store of the account before is closed: its drain stops, a request under way is given up. What
//!    it would have answered is answered to nobody; the entries it was about stay `maybe_sent` and go
//!    again under their operation ids when their own account is open again.
//! 2. The other account's file is opened.
//!
//! Stopped in between: both files are as they were; nothing knows of "the current account" but the app.
//!
//! # Wiping
//! 1. The caller asks what would be lost ([`Accounts::losses`]), shows it, and passes it back.
//! 2. The account's store is closed, and what would be lost is looked at again: if it is not what was
//!    agreed to, nothing is wiped.
//! 3. The file is renamed, and then deleted with all that stands beside it. Stopped before the renaming:
//!    the account is as it was. Stopped after it: the account is gone, and what is left of its files is
//!    deleted when it is opened next, or by [`Accounts::new`].
//!
//! The installation's id is nobody's: it stays. Tokens are kept by the app; those in memory go with the
//! store.

mod losses;

pub use losses::Losses;

use crate::{
    OpenOptions, Place,
    db::{Db, wipe},
    error::{Error, Result},
    store::{Backend, Store},
};
use rusqlite::Connection;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// An account that has a file on this device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The account; `None` if its file cannot be read now.
    pub account: Option<String>,
    /// Its file.
    pub file: PathBuf,
    /// How many writes wait to be sent; `None` if its file cannot be read now.
    pub unsent: Option<u64>,
    /// Whether its store is open in this process.
    pub is_open: bool,
    /// Why its file cannot be read.
    pub problem: Option<Error>,
}

type MakeBackend = Box<dyn Fn(&str) -> Option<Backend> + Send + Sync>;

/// The accounts of an installation. See the [module](self).
pub struct Accounts {
    folder: PathBuf,
    options: OpenOptions,
    backend: MakeBackend,
    current: tokio::sync::Mutex<Option<Store>>,
    /// Who looks at files or wipes them, one at a time: a call that was dropped may still be at work.
    files: Arc<Mutex<()>>,
}

impl Accounts {
    /// Accounts in a folder. Of `options` everything holds for each account but the account itself;
    /// `backend` makes each account's own backend, with its own tokens.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `options` do not name a folder. Those of the folder.
    pub fn new(
        options: OpenOptions,
        backend: impl Fn(&str) -> Option<Backend> + Send + Sync + 'static,
    ) -> Result<Self> {
        let Place::Folder(folder) = &options.place else {
            return Err(Error::invalid("place", "accounts live in a folder"));
        };
        let folder = folder.clone();
        wipe::resume_all(&folder)?;
        Ok(Self {
            folder,
            options,
            backend: Box::new(backend),
            current: tokio::sync::Mutex::new(None),
            files: Arc::default(),
        })
    }

    fn options_for(&self, account: &str) -> OpenOptions {
        OpenOptions {
            account: account.to_owned(),
            ..self.options.clone()
        }
    }

    fn file(&self, account: &str) -> Result<PathBuf> {
        let file = self.options_for(account).file();
        file.ok_or_else(|| Error::Internal("an account without a file".to_owned()))
    }

    /// Opens an account's store beside those that are open, or gives the one that is.
    ///
    /// # Errors
    /// Those of [`Store::open`].
    pub async fn open(&self, account: &str) -> Result<Store> {
        Store::open(self.options_for(account), (self.backend)(account)).await
    }

    /// Closes the store of the last switch and opens this account's. What is unsent in the one before
    /// waits there. To the account that is current already, nothing is closed.
    ///
    /// # Errors
    /// Those of [`Store::open`]; then no account is current.
    pub async fn switch(&self, account: &str) -> Result<Store> {
        let mut current = self.current.lock().await;
        if let Some(store) = current
            .as_ref()
            .filter(|store| store.account() == account && store.is_open())
        {
            return Ok(store.clone());
        }
        if let Some(before) = current.take() {
            before.close().await?;
        }
        let store = self.open(account).await?;
        *current = Some(store.clone());
        Ok(store)
    }

    /// Closes the account's store and keeps its file. Gives how many writes wait in it for the next
    /// sign-in.
    ///
    /// # Errors
    /// Those of reading the file; the store is closed all the same.
    pub async fn sign_out(&self, account: &str) -> Result<u64> {
        self.close(account).await?;
        let (file, key) = (self.file(account)?, self.options.key.clone());
        self.blocking(move || match file.exists() {
            true => unsent(&Db::reader(&file, key.as_ref())?),
            false => Ok(0),
        })
        .await
    }

    async fn close(&self, account: &str) -> Result<()> {
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|store| store.account() == account) {
            current.take();
        }
        // Whoever opened it.
        match Store::opened(&self.options_for(account)) {
            Some(store) => store.close().await,
            None => Ok(()),
        }
    }

    /// The accounts that have a file here, by name, without opening any of them for writing.
    ///
    /// # Errors
    /// Those of reading the folder. A file that cannot be read is in the list, with its problem.
    pub async fn list(&self) -> Result<Vec<Known>> {
        let folder = self.folder.clone();
        let options = self.options.clone();
        self.blocking(move || {
            let mut known = Vec::new();
            for file in wipe::account_files(&folder)? {
                let read = || {
                    let conn = Db::reader(&file, options.key.as_ref())?;
                    Ok((account_of(&conn)?, unsent(&conn)?))
                };
                let (account, unsent, problem) = match read() {
                    Ok((account, unsent)) => (Some(account), Some(unsent), None),
                    Err(problem) => (None, None, Some(Db::locate(problem, &file))),
                };
                let is_open = account.clone().is_some_and(|account| {
                    Store::opened(&OpenOptions {
                        account,
                        ..options.clone()
                    })
                    .is_some()
                });
                known.push(Known {
                    account,
                    file,
                    unsent,
                    is_open,
                    problem,
                });
            }
            known.sort_by(|a, b| (&a.account, &a.file).cmp(&(&b.account, &b.file)));
            Ok(known)
        })
        .await
    }

    /// What wiping an account would lose, as things stand now.
    ///
    /// # Errors
    /// Those of reading its file.
    pub async fn losses(&self, account: &str) -> Result<Losses> {
        let (file, options) = (self.file(account)?, self.options.clone());
        self.blocking(move || losses::of(&file, &options)).await
    }

    /// Deletes an account's file and all that stands beside it, for good. `yes` is what the user agreed
    /// to lose, from [`Accounts::losses`].
    ///
    /// # Errors
    /// [`Error::WouldLose`] if that is not what would be lost now: ask again. Its store is closed then,
    /// and nothing is deleted. Those of the folder: then it is wiped by the next opening.
    pub async fn wipe(&self, account: &str, yes: &Losses) -> Result<()> {
        // Asked while it is open first: a refusal should cost nobody his store.
        if self.losses(account).await? != *yes {
            return Err(Error::WouldLose);
        }
        self.close(account).await?;
        let (file, options, yes) = (self.file(account)?, self.options.clone(), yes.clone());
        self.blocking(move || {
            if losses::of(&file, &options)? != yes {
                return Err(Error::WouldLose);
            }
            wipe::wipe(&file)
        })
        .await
    }

    async fn blocking<T: Send + 'static>(&self, f: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let files = self.files.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _alone = files.lock().unwrap_or_else(PoisonError::into_inner);
            f()
        });
        done.await
            .map_err(|_| Error::Internal("looking at an account's file panicked".to_owned()))?
    }
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts").finish_non_exhaustive()
    }
}

fn account_of(conn: &Connection) -> Result<String> {
    Ok(conn.query_row("SELECT value FROM meta WHERE key = 'account'", [], |row| row.get(0))?)
}

fn unsent(conn: &Connection) -> Result<u64> {
    let count: i64 = conn.query_row("SELECT count(*) FROM entry", [], |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

fn exists(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|meta| meta.len() > 0)
}
