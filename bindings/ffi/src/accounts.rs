//! The accounts of an installation: one file each, in one folder.

use crate::{
    Host, Options, Store,
    error::{KeepsyncError, Result},
    installation::Installation,
    mirror::{Out, record},
    runtime::run,
};
use keepsync::accounts as core;
use std::sync::Arc;

/// An account that has a file on this device.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct KnownAccount {
    /// The account; absent if its file cannot be read now.
    pub account: Option<String>,
    /// Its file.
    pub file: String,
    /// How many writes wait to be sent; absent if its file cannot be read now.
    pub unsent: Option<i64>,
    /// Whether its store is open in this process.
    pub is_open: bool,
    /// Why its file cannot be read: a code of `KeepsyncError`.
    pub problem: Option<String>,
}

impl Out<KnownAccount> for core::Known {
    fn out(self) -> KnownAccount {
        KnownAccount {
            account: self.account,
            file: self.file.out(),
            unsent: self.unsent.out(),
            is_open: self.is_open,
            problem: self.problem.map(|problem| problem.code().to_owned()),
        }
    }
}

record! {
    /// What wiping an account would lose: all of it is only on this device.
    Losses from core::Losses {
        /// Writes that have not reached the server.
        unsent: i64,
        /// Conflicts the user has not settled.
        conflicts: i64,
        /// Sessions in progress.
        sessions: i64,
        /// Records of collections that stay on the device, or that the app no longer registers and the server never
        /// confirmed.
        local_records: i64,
        /// Key-value pairs.
        pairs: i64,
        /// Damaged files that were set aside, which may hold what could not be read.
        damaged_files: i64,
        /// Which state of the file this was told of. Opaque.
        token: String,
    }
}

/// The accounts of an installation.
#[derive(uniffi::Object)]
pub struct Accounts {
    installation: Arc<Installation>,
}

#[uniffi::export]
impl Accounts {
    /// Accounts in a folder. Nothing is opened yet. Of a folder whose stores are open in this process, these are the
    /// same accounts again, as they were registered then, with a new host: after a reload.
    #[uniffi::constructor]
    pub fn new(options: Options, host: Host) -> Result<Arc<Self>> {
        let installation = Installation::of(options, host)?;
        Ok(Arc::new(Self { installation }))
    }

    /// Opens an account's store, or gives the one that is open.
    pub async fn open(&self, account: String) -> Result<Arc<Store>> {
        run(Arc::clone(&self.installation).open(account)).await
    }

    /// Closes the account's store and keeps its file. Gives how many writes wait in it for the next sign-in.
    pub async fn sign_out(&self, account: String) -> Result<i64> {
        let installation = Arc::clone(&self.installation);
        run(async move {
            if let Some(store) = installation.opened(&account) {
                store.close_for_good().await?;
            }
            Ok(installation.accounts().await?.sign_out(&account).await?.out())
        })
        .await
    }

    /// The accounts that have a file here, by name.
    pub async fn list(&self) -> Result<Vec<KnownAccount>> {
        let installation = Arc::clone(&self.installation);
        run(async move { Ok(installation.accounts().await?.list().await?.out()) }).await
    }

    /// What wiping an account would lose, as things stand now.
    pub async fn losses(&self, account: String) -> Result<Losses> {
        let installation = Arc::clone(&self.installation);
        run(async move { Ok(installation.accounts().await?.losses(&account).await?.out()) }).await
    }

    /// Deletes an account's file and all that stands beside it, for good. `yes` is what the user agreed to lose; if that
    /// is not what would be lost now, the answer is `would_lose`, and nothing is deleted.
    pub async fn wipe(&self, account: String, yes: Losses) -> Result<()> {
        let installation = Arc::clone(&self.installation);
        run(async move {
            let accounts = installation.accounts().await?;
            let now = accounts.losses(&account).await?;
            if now.clone().out() != yes {
                return Err(KeepsyncError::from(keepsync::Error::WouldLose));
            }
            let wiped = accounts.wipe(&account, &now).await;
            // It may have closed the file, also where it refused in the end.
            if let Some(store) = installation.opened(&account)
                && !store.is_core_open()
            {
                store.was_closed(wiped.is_ok());
            }
            Ok(wiped?)
        })
        .await
    }
}
