//! What the app's own code does for the core: tokens, the file's key, the network's state, its own decisions.
//!
//! Each is kept in a slot, so that after a reload the new code answers where the old code was asked. None is called
//! with a lock held, on a thread that reads or writes, or without a limit of time.

use crate::{Conflict, Remote, Store, error::KeepsyncError, mirror::Out, runtime::runtime};
use keepsync::{conflict, remote};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// What the app gives: its sign-in, and what else it needs. What is absent is not asked.
#[derive(Clone, Default, uniffi::Record)]
pub struct Host {
    /// Where tokens come from; absent for a backend that needs none.
    #[uniffi(default = None)]
    pub tokens: Option<Arc<dyn TokenProvider>>,
    /// Where the files' key comes from: with it they are encrypted.
    #[uniffi(default = None)]
    pub keys: Option<Arc<dyn KeyProvider>>,
    /// Watches the platform's network.
    #[uniffi(default = None)]
    pub connectivity: Option<Arc<dyn Connectivity>>,
    /// The app's own backend, for `Backend.App`.
    #[uniffi(default = None)]
    pub remote: Option<Arc<dyn Remote>>,
    /// Decides conflicts of collections whose policy is `Custom`.
    #[uniffi(default = None)]
    pub resolver: Option<Arc<dyn ConflictResolver>>,
}

/// The app's own code failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum HostError {
    /// It says why. Must not tell what is in a record.
    #[error("{reason}")]
    Failed {
        /// For a person.
        reason: String,
    },
}

/// It threw something else. What that says is left out: it may hold anything.
impl From<uniffi::UnexpectedUniFFICallbackError> for HostError {
    fn from(_: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Failed {
            reason: "an unexpected error was thrown".to_owned(),
        }
    }
}

/// An access token.
#[derive(Clone, PartialEq, uniffi::Record)]
pub struct Token {
    /// The text for the `Authorization` header.
    pub secret: String,
    /// The account it was issued to, if known: one of another account is not used.
    #[uniffi(default = None)]
    pub subject: Option<String>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").finish_non_exhaustive()
    }
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum TokenError {
    /// The user has to sign in again. Nothing is dropped; the account's queue waits.
    #[error("sign-in needed")]
    SignInNeeded,
    /// The token service cannot be reached now.
    #[error("the token service cannot be reached")]
    Offline,
}

/// Something went wrong in the app: asked again later.
impl From<uniffi::UnexpectedUniFFICallbackError> for TokenError {
    fn from(_: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Offline
    }
}

/// Where tokens come from: the app's sign-in. One call at a time for an account, however many requests wait; one that
/// takes longer than 30 s is given up, and asked again with the next drain.
#[uniffi::export(foreign)]
#[async_trait::async_trait]
pub trait TokenProvider: Send + Sync {
    /// A token for `account`. `rejected` is the secret the backend has just refused, if this is a refresh: the same one
    /// must not come back. None means that the backend needs none.
    async fn token(&self, account: String, rejected: Option<String>) -> Result<Option<Token>, TokenError>;
}

/// Where the files' key comes from. Asked once, before the first opening.
#[uniffi::export(foreign)]
#[async_trait::async_trait]
pub trait KeyProvider: Send + Sync {
    /// The installation's key: 32 bytes, always the same. One that cannot be had now (before the first unlock of a
    /// phone) is an error; opening then answers `unavailable`.
    async fn key(&self) -> Result<Vec<u8>, HostError>;
}

/// Watches the platform's network. What it says is a hint: only an answer of the backend is proof.
#[uniffi::export(foreign)]
pub trait Connectivity: Send + Sync {
    /// Watch from now on, and tell `store.network`. Called at opening and on resuming; may come again after `stop`.
    fn start(&self, store: Arc<Store>) -> Result<(), HostError>;
    /// Watch no more. Called on suspending and closing.
    fn stop(&self) -> Result<(), HostError>;
}

/// What a resolver decided.
#[derive(Debug, Clone, PartialEq, uniffi::Enum)]
#[cfg_attr(
    test,
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", rename_all_fields = "camelCase")
)]
pub enum Verdict {
    /// A body made from both.
    Merged {
        /// JSON text.
        body: String,
    },
    /// This device's version stands.
    KeepLocal,
    /// The server's version stands.
    KeepRemote,
    /// The user is to decide.
    AskUser,
}

/// Decides conflicts of collections whose policy is `Custom`, within `Settings.resolver_ms`. One that fails parks the
/// write as `policy_failed`.
#[uniffi::export(foreign)]
#[async_trait::async_trait]
pub trait ConflictResolver: Send + Sync {
    /// Decides between the two versions. `resolver` is the name in the policy.
    async fn resolve(&self, resolver: String, conflict: Conflict) -> Result<Verdict, HostError>;
}

/// The host of an installation, which may be another after a reload.
pub(crate) struct Slot(watch::Sender<Host>);

impl Slot {
    pub(crate) fn new(host: Host) -> Self {
        Self(watch::Sender::new(host))
    }

    pub(crate) fn set(&self, host: Host) {
        self.0.send_replace(host);
    }

    pub(crate) fn get(&self) -> Host {
        self.0.borrow().clone()
    }

    pub(crate) fn follow(&self) -> watch::Receiver<Host> {
        self.0.subscribe()
    }
}

/// Asks the host of the moment for tokens.
pub(crate) struct Tokens(pub(crate) Arc<Slot>);

impl remote::TokenProvider for Tokens {
    fn token<'a>(
        &'a self,
        account: &'a str,
        rejected: Option<&'a remote::Token>,
    ) -> remote::RemoteFuture<'a, Result<Option<remote::Token>, remote::TokenFault>> {
        let rejected = rejected.map(|token| token.secret().to_owned());
        Box::pin(async move {
            let Some(tokens) = self.0.get().tokens else {
                return Ok(None);
            };
            match tokens.token(account.to_owned(), rejected).await {
                Ok(token) => Ok(token.map(|token| remote::Token::new(token.secret, token.subject))),
                Err(TokenError::SignInNeeded) => Err(remote::TokenFault::SignInNeeded),
                Err(TokenError::Offline) => Err(remote::TokenFault::Offline),
            }
        })
    }
}

/// Asks the host of the moment to decide. The core calls it on a thread of its own.
pub(crate) struct Resolver {
    pub(crate) slot: Arc<Slot>,
    pub(crate) name: String,
    pub(crate) patience: Duration,
}

impl conflict::ConflictResolver for Resolver {
    fn resolve(&self, conflict: &conflict::Conflict) -> Result<conflict::Verdict, String> {
        let resolver = self.slot.get().resolver.ok_or("the app has no resolver")?;
        let runtime = runtime().map_err(|error: KeepsyncError| error.to_string())?;
        let decision = resolver.resolve(self.name.clone(), conflict.clone().out());
        // The core gives up after the same time; without this the thread would wait on.
        let decision = runtime.block_on(async { tokio::time::timeout(self.patience, decision).await });
        match decision.map_err(|_| "the resolver took too long")? {
            Ok(Verdict::Merged { body }) => Ok(conflict::Verdict::Merge(body)),
            Ok(Verdict::KeepLocal) => Ok(conflict::Verdict::KeepLocal),
            Ok(Verdict::KeepRemote) => Ok(conflict::Verdict::KeepRemote),
            Ok(Verdict::AskUser) => Ok(conflict::Verdict::Ask),
            Err(HostError::Failed { reason }) => Err(reason),
        }
    }
}
