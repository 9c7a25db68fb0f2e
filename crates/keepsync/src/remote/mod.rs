//! The port to a backend.
//!
//! A [`Remote`] does four things: push a batch, pull a page, check reachability, and refresh the
//! token (through a [`TokenProvider`], because the app owns the sign-in). It decides nothing: it
//! turns what came over the network into an answer or a [`Fault`], by status, media type, protocol
//! header and echoed operation ids, never by message text. What follows is decided by
//! [`drain`](crate::drain).
//!
//! Rules every implementation keeps:
//!
//! 1. Only an answer that is certainly the backend's and names the operation becomes an
//!    [`Outcome`]. Everything else is a [`Fault`] of the whole request and settles nothing.
//! 2. An operation goes out under [`PushItem::op`] on every attempt, in whatever form the backend
//!    takes an idempotency key.
//! 3. Every request has a connect, a read and a total deadline, and a cap on the answer's size. A
//!    future that never ends would stall the drain.
//! 4. The token never follows a redirect to another origin and is never logged.
//!
//! Two are built: Keepsync's own wire ([`http`]) and plain REST endpoints ([`rest`]). How the five
//! backends of the seeds fit is worked out in `docs/decisions/0001-remote-port.md`.

use crate::hlc::Hlc;
use keepsync_wire::Operation;
use std::{collections::BTreeMap, future::Future, pin::Pin};
use uuid::Uuid;

pub mod wire;
#[cfg(feature = "http")]
mod answer;
#[cfg(feature = "http")]
mod classify;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "http")]
pub mod rest;
#[cfg(feature = "http")]
mod transport;
#[cfg(all(feature = "http", any(target_os = "android", test)))]
mod roots;
#[cfg(any(feature = "http", feature = "runtime"))]
mod token;
#[cfg(any(feature = "http", feature = "runtime"))]
pub use token::Tokens;

/// `Send` where there are threads; nothing in a browser, whose futures are bound to their worker.
#[cfg(not(target_arch = "wasm32"))]
pub trait MaybeSend: Send {}
#[cfg(not(target_arch = "wasm32"))]
impl<T: Send + ?Sized> MaybeSend for T {}
/// `Send` where there are threads; nothing in a browser, whose futures are bound to their worker.
#[cfg(target_arch = "wasm32")]
pub trait MaybeSend {}
#[cfg(target_arch = "wasm32")]
impl<T: ?Sized> MaybeSend for T {}

/// `Sync` where there are threads; nothing in a browser.
#[cfg(not(target_arch = "wasm32"))]
pub trait MaybeSync: Sync {}
#[cfg(not(target_arch = "wasm32"))]
impl<T: Sync + ?Sized> MaybeSync for T {}
/// `Sync` where there are threads; nothing in a browser.
#[cfg(target_arch = "wasm32")]
pub trait MaybeSync {}
#[cfg(target_arch = "wasm32")]
impl<T: ?Sized> MaybeSync for T {}

/// The future of a port's call, boxed so that the port can be a trait object.
#[cfg(not(target_arch = "wasm32"))]
pub type RemoteFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
/// The future of a port's call, boxed so that the port can be a trait object.
#[cfg(target_arch = "wasm32")]
pub type RemoteFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// A backend. See the [module](self) for the rules.
pub trait Remote: MaybeSend + MaybeSync {
    /// What this backend understands; asked once per pass.
    fn capabilities(&self) -> Capabilities;

    /// Sends a batch. `token` is the account's access token, if the app has one.
    fn push<'a>(&'a self, token: Option<&'a Token>, batch: PushBatch) -> RemoteFuture<'a, Result<PushAnswer, Fault>>;

    /// Fetches one page of changes.
    fn pull<'a>(&'a self, token: Option<&'a Token>, request: PullRequest) -> RemoteFuture<'a, Result<PullPage, Fault>>;

    /// Finds out whether the backend itself (and not a captive portal) answers. Needs no token.
    fn probe<'a>(&'a self) -> RemoteFuture<'a, Result<(), Fault>>;

    /// The device moved to another network: connections made before are not to be used again.
    fn network_changed(&self) {}
}

/// What a backend understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Many items in one request. Without it each request carries one.
    pub batches: bool,
    /// [`PushItem::after`] and [`PushItem::base_op`]: an item may go out together with the items
    /// it must follow. Without it a batch holds only items whose predecessors have been answered.
    pub after: bool,
    /// Whether there is a pull at all.
    pub pull: bool,
}

/// The access token of one account.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    secret: String,
    subject: Option<String>,
}

impl Token {
    /// A token and the account it is for, if that is known. A token whose subject is another
    /// account is not used.
    pub fn new(secret: impl Into<String>, subject: Option<String>) -> Self {
        Self {
            secret: secret.into(),
            subject,
        }
    }

    /// The text for the `Authorization` header.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// The account it was issued to, if known.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("subject", &self.subject.is_some())
            .finish_non_exhaustive()
    }
}

/// Where tokens come from: the app's sign-in.
pub trait TokenProvider: MaybeSend + MaybeSync {
    /// A token for `account`. `rejected` is the token the backend has just refused, if this is a
    /// refresh: the same one must not come back. `Ok(None)` means the backend needs none.
    fn token<'a>(
        &'a self,
        account: &'a str,
        rejected: Option<&'a Token>,
    ) -> RemoteFuture<'a, Result<Option<Token>, TokenFault>>;
}

/// Why there is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// The user has to sign in again. Nothing is dropped; the account's queue waits.
    #[error("sign-in needed")]
    SignInNeeded,
    /// The token service cannot be reached now. Retryable.
    #[error("the token service cannot be reached")]
    Offline,
}

/// Unsent writes on their way, in the order in which they must be applied.
#[derive(Debug, Clone)]
pub struct PushBatch {
    /// The account they belong to.
    pub account: String,
    /// This installation.
    pub device_id: String,
    /// What a person calls this device.
    pub device_label: Option<String>,
    /// The epoch the versions count in; absent before the first answer. A backend whose data began
    /// another life since answers with its epoch and without results.
    pub epoch: Option<String>,
    /// The writes.
    pub items: Vec<PushItem>,
}

/// One unsent write on its way.
#[derive(Debug, Clone)]
pub struct PushItem {
    /// Its place in the queue; never leaves the device.
    pub seq: i64,
    /// The same on every attempt.
    pub op: Uuid,
    /// The collection.
    pub collection: String,
    /// The record.
    pub id: String,
    /// The id of the parent, for backends that address a child through it.
    pub parent_id: Option<String>,
    /// The id the backend gave the parent, if known.
    pub parent_server_id: Option<String>,
    /// What to do.
    pub operation: Operation,
    /// The whole body as JSON text; `None` for a delete.
    pub body: Option<String>,
    /// The server version it was made on; 0 for none.
    pub base_version: i64,
    /// Where set, the base is the version this operation produced.
    pub base_op: Option<Uuid>,
    /// The operation that made `base_version`, where it is known: a restored backend may give the number to
    /// another version.
    pub base_id: Option<Uuid>,
    /// Unanswered operations it must follow.
    pub after: Vec<Uuid>,
    /// The operation id it takes the place of.
    pub replaces: Option<Uuid>,
    /// Ids under which the same content may have been applied before the backend was restored.
    pub earlier: Vec<Uuid>,
    /// When the user wrote it: UTC milliseconds.
    pub created_at: i64,
    /// Its hybrid clock.
    pub hlc: Hlc,
    /// The clocks of the units it does not change, for the backend to keep and give back as they are.
    pub clocks: Option<String>,
    /// The id the backend gave the record, if known.
    pub server_id: Option<String>,
}

/// What the backend said of a batch.
#[derive(Debug, Clone, Default)]
pub struct PushAnswer {
    /// Matched by operation id. An item without one is unanswered.
    pub results: Vec<(Uuid, Outcome)>,
    /// The server's clock: UTC milliseconds, where it says.
    pub server_time: Option<i64>,
    /// The epoch the versions count in, where the backend has epochs.
    pub epoch: Option<String>,
}

/// What the backend said of one entry.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It is applied, now or by an earlier attempt.
    Accepted(Accepted),
    /// Not applied: the backend has another version.
    Conflict(RemoteVersion),
    /// Not applied, and the same content never will be. The entry is parked.
    Rejected {
        /// Machine-readable.
        code: String,
        /// For a person.
        message: String,
    },
    /// Not applied now; it may be later.
    Retry {
        /// Wait at least this long, in milliseconds.
        after_ms: Option<u64>,
    },
    /// Not applied: an operation in `after` or `base_op` was not.
    Blocked,
    /// Not applied: the token does not allow it any more.
    SignIn,
    /// Not applied: this one body is larger than the backend takes.
    TooLarge,
}

/// How an entry arrived.
#[derive(Debug, Clone, Default)]
pub struct Accepted {
    /// The version it produced.
    pub version: i64,
    /// The change number it was committed under, where the backend has them.
    pub change: i64,
    /// The id the backend gave the record.
    pub server_id: Option<String>,
    /// The body the backend stored, where it is not the one that was sent.
    pub body: Option<String>,
    /// When it was applied, by the server's clock: UTC milliseconds, where it says.
    pub updated_at: Option<i64>,
}

/// A version of a record as the backend holds it. A backend that has no hybrid clocks gives
/// `Hlc::at(updated_at)`; version 0 without a body means "not there".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoteVersion {
    /// JSON text; `None` when the version is a deletion.
    pub body: Option<String>,
    /// Grows with every change.
    pub version: i64,
    /// The writer's hybrid clock.
    pub hlc: Hlc,
    /// The clocks of its units, as [`Clocks`](crate::conflict::Clocks) reads them. `None`: this backend
    /// tells none, and the base has to do instead.
    pub clocks: Option<String>,
    /// The operation that made it.
    pub op: Option<Uuid>,
    /// The device that made it.
    pub device_id: String,
    /// What a person calls that device.
    pub device_label: Option<String>,
    /// The id the backend gave the record.
    pub server_id: Option<String>,
    /// When the record was made, by the server's clock: UTC milliseconds.
    pub created_at: i64,
    /// When this version was made, by the server's clock: UTC milliseconds.
    pub updated_at: i64,
}

impl RemoteVersion {
    /// The clocks that are worth a column.
    pub(crate) fn kept_clocks(&self) -> Option<&str> {
        self.clocks.as_deref().filter(|clocks| *clocks != "{}")
    }
}

/// Asks for a page of changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PullRequest {
    /// The account.
    pub account: String,
    /// This installation.
    pub device_id: String,
    /// The epoch the cursors count in.
    pub epoch: Option<String>,
    /// Collection and cursor; no cursor means from the start. Those of higher priority stand first.
    pub cursors: Vec<(String, Option<String>)>,
    /// The priority of the collections that have another than 0: of two that are pulled from the start,
    /// the higher one comes first.
    pub priorities: BTreeMap<String, i32>,
    /// At most this many changes.
    pub limit: u32,
}

/// One page of changes.
#[derive(Debug, Clone, Default)]
pub struct PullPage {
    /// Which life of the server's data it comes from.
    pub epoch: Option<String>,
    /// The epoch before, and the last change number both have.
    pub branch: Option<(String, i64)>,
    /// In commit order, but for older records of a pull from the start: a backend may bring the latest of
    /// those first.
    pub changes: Vec<RemoteChange>,
    /// The cursors after this page.
    pub cursors: Vec<(String, String)>,
    /// How many changes of a collection are left after this page, where the backend knows.
    pub left: Vec<(String, u64)>,
    /// Whether another page is ready.
    pub has_more: bool,
    /// Collections for which this page, and those after it until there are no more, hold everything
    /// there is, although a cursor was given: a snapshot, or a cursor the backend has forgotten. Named in
    /// the first of these pages only.
    /// Clean records that do not come again are then removed.
    pub whole: Vec<String>,
    /// How many changes are left, where the backend knows.
    pub remaining: Option<u64>,
    /// The server's clock: UTC milliseconds, where it says.
    pub server_time: Option<i64>,
}

/// One changed record.
#[derive(Debug, Clone)]
pub struct RemoteChange {
    /// The collection.
    pub collection: String,
    /// The record.
    pub id: String,
    /// The version it has now.
    pub version: RemoteVersion,
}

/// Why a whole request has no usable answer. A fault settles no entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No route, DNS, refused, reset, or a captive portal. Costs no attempt.
    #[error("offline")]
    Offline,
    /// No answer within the deadline, or an answer that broke off. A probe tells whether the
    /// device is offline or the request is at fault.
    #[error("timed out")]
    Timeout,
    /// The certificate is not trusted. Never downgraded.
    #[error("the server's certificate is not trusted")]
    Untrusted,
    /// The backend says: not so fast.
    #[error("throttled")]
    Throttled {
        /// Wait at least this long, in milliseconds; a tap does not pass it.
        after_ms: Option<u64>,
    },
    /// The backend does not accept the token. Costs no attempt.
    #[error("the token is not accepted")]
    SignIn,
    /// The batch is larger than the backend takes.
    #[error("the request is too large")]
    TooLarge,
    /// The backend itself failed on this request.
    #[error("the server failed with status {status}")]
    Server {
        /// HTTP status, or 0 where there is none.
        status: u16,
    },
    /// Something answered that is not certainly the backend, or the backend did not take the
    /// request as a whole.
    #[error("unexpected answer with status {status}")]
    Unrecognised {
        /// HTTP status, or 0 where there is none.
        status: u16,
    },
}

impl Fault {
    /// Stable, for the event log and the status.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Timeout => "timeout",
            Self::Untrusted => "untrusted",
            Self::Throttled { .. } => "throttled",
            Self::SignIn => "sign_in",
            Self::TooLarge => "too_large",
            Self::Server { .. } => "server_failed",
            Self::Unrecognised { .. } => "unrecognised_answer",
        }
    }
}
