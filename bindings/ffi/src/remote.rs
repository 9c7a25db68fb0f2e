//! An app's own backend: what the core sends and asks, and what the app answers. The rules every one has to keep are
//! the core's (`keepsync::remote`): only an answer that is certainly the backend's and names the operation becomes an
//! outcome; everything else is a fault, which settles nothing.

use crate::{
    Capabilities, Kind,
    error::operation,
    host::Slot,
    mirror::{Out, record},
};
use keepsync::{hlc::Hlc, remote as core};
use keepsync_wire::Operation;
use std::{future::Future, sync::Arc, time::Duration};

/// One unsent write on its way.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct PushItem {
    /// The same on every attempt: the backend applies it at most once.
    pub op: String,
    /// The collection.
    pub collection: String,
    /// The record.
    pub id: String,
    /// The id of the parent.
    pub parent_id: Option<String>,
    /// The id the backend gave the parent, if known.
    pub parent_server_id: Option<String>,
    /// What to do.
    pub kind: Kind,
    /// The whole body as JSON text; absent for a delete.
    pub body: Option<String>,
    /// The server version it was made on; 0 for none.
    pub base_version: i64,
    /// Where set, the base is the version this operation produced.
    pub base_op: Option<String>,
    /// Unanswered operations it must follow.
    pub after: Vec<String>,
    /// When the user wrote it: UTC milliseconds.
    pub created_at: i64,
    /// Its hybrid clock, to be kept and given back with the version.
    pub hlc: String,
    /// The id the backend gave the record, if known.
    pub server_id: Option<String>,
}

impl Out<PushItem> for core::PushItem {
    fn out(self) -> PushItem {
        PushItem {
            op: self.op.out(),
            collection: self.collection,
            id: self.id,
            parent_id: self.parent_id,
            parent_server_id: self.parent_server_id,
            kind: match self.operation {
                Operation::Create => Kind::Create,
                Operation::Update => Kind::Update,
                Operation::Delete => Kind::Delete,
                Operation::Complete => Kind::Complete,
                Operation::Skip => Kind::Skip,
            },
            body: self.body,
            base_version: self.base_version,
            base_op: self.base_op.out(),
            after: self.after.out(),
            created_at: self.created_at,
            hlc: self.hlc.to_string(),
            server_id: self.server_id,
        }
    }
}

record! {
    /// Unsent writes on their way, in the order in which they must be applied.
    PushBatch from core::PushBatch {
        /// The account they belong to.
        account: String,
        /// This installation.
        device_id: String,
        /// What a person calls this device.
        device_label: Option<String>,
        /// The writes.
        items: Vec<PushItem>,
    }
}

/// A version of a record as the backend holds it.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct RemoteVersion {
    /// JSON text; absent when the version is a deletion.
    pub body: Option<String>,
    /// Grows with every change. 0 without a body: not there.
    pub version: i64,
    /// When this version was made, by the server's clock: UTC milliseconds.
    pub updated_at: i64,
    /// The operation that made it.
    #[uniffi(default = None)]
    pub op: Option<String>,
    /// The device that made it.
    #[uniffi(default = None)]
    pub device_id: Option<String>,
    /// What a person calls that device.
    #[uniffi(default = None)]
    pub device_label: Option<String>,
    /// The writer's hybrid clock, if the backend keeps them.
    #[uniffi(default = None)]
    pub hlc: Option<String>,
    /// The id the backend gave the record.
    #[uniffi(default = None)]
    pub server_id: Option<String>,
    /// When the record was made, by the server's clock: UTC milliseconds.
    #[uniffi(default = None)]
    pub created_at: Option<i64>,
}

/// What of an answer cannot be read settles nothing.
fn unrecognised<E>(_: E) -> core::Fault {
    core::Fault::Unrecognised { status: 0 }
}

impl TryFrom<RemoteVersion> for core::RemoteVersion {
    type Error = core::Fault;

    fn try_from(told: RemoteVersion) -> Result<Self, core::Fault> {
        Ok(Self {
            body: told.body,
            version: told.version,
            hlc: match told.hlc {
                Some(hlc) => hlc.parse().map_err(unrecognised)?,
                None => Hlc::at(told.updated_at),
            },
            clocks: None,
            op: told.op.map(|op| operation(&op)).transpose().map_err(unrecognised)?,
            device_id: told.device_id.unwrap_or_default(),
            device_label: told.device_label,
            server_id: told.server_id,
            created_at: told.created_at.unwrap_or(told.updated_at),
            updated_at: told.updated_at,
        })
    }
}

/// What the backend said of one write.
#[derive(Debug, Clone, PartialEq, uniffi::Enum)]
#[cfg_attr(
    test,
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", rename_all_fields = "camelCase")
)]
pub enum Outcome {
    /// It is applied, now or by an earlier attempt.
    Accepted {
        /// The version it produced.
        version: i64,
        /// The id the backend gave the record.
        server_id: Option<String>,
        /// The body the backend stored, where it is not the one that was sent.
        body: Option<String>,
    },
    /// Not applied: the backend has another version.
    HasOther {
        /// That version.
        remote: RemoteVersion,
    },
    /// Not applied, and the same content never will be. The entry is parked.
    Rejected {
        /// Machine-readable.
        code: String,
        /// For a person.
        reason: String,
    },
    /// Not applied now; it may be later.
    Retry {
        /// Wait at least this long, in milliseconds.
        after_ms: Option<i64>,
    },
    /// Not applied: an operation it must follow was not.
    Blocked,
    /// Not applied: the token does not allow it any more.
    SignIn,
    /// Not applied: this one body is larger than the backend takes.
    TooLarge,
}

/// What the backend said of which operation.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct PushResult {
    /// The operation.
    pub op: String,
    /// What it said.
    pub outcome: Outcome,
}

/// What the backend said of a batch. An item without a result is unanswered.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct PushAnswer {
    /// Matched by operation id.
    pub results: Vec<PushResult>,
    /// The server's clock: UTC milliseconds, where it says.
    #[uniffi(default = None)]
    pub server_time: Option<i64>,
}

impl TryFrom<PushAnswer> for core::PushAnswer {
    type Error = core::Fault;

    fn try_from(answer: PushAnswer) -> Result<Self, core::Fault> {
        let result = |result: PushResult| -> Result<_, core::Fault> {
            let outcome = match result.outcome {
                Outcome::Accepted {
                    version,
                    server_id,
                    body,
                } => core::Outcome::Accepted(core::Accepted {
                    version,
                    server_id,
                    body,
                    ..core::Accepted::default()
                }),
                Outcome::HasOther { remote } => core::Outcome::Conflict(remote.try_into()?),
                Outcome::Rejected { code, reason } => core::Outcome::Rejected { code, message: reason },
                Outcome::Retry { after_ms } => core::Outcome::Retry {
                    after_ms: after_ms.and_then(|ms| u64::try_from(ms).ok()),
                },
                Outcome::Blocked => core::Outcome::Blocked,
                Outcome::SignIn => core::Outcome::SignIn,
                Outcome::TooLarge => core::Outcome::TooLarge,
            };
            Ok((operation(&result.op).map_err(unrecognised)?, outcome))
        };
        Ok(Self {
            results: answer.results.into_iter().map(result).collect::<Result<_, _>>()?,
            server_time: answer.server_time,
            epoch: None,
        })
    }
}

/// A collection and how far it was pulled.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct Cursor {
    /// The collection.
    pub collection: String,
    /// Opaque, the backend's own; absent: from the start.
    pub position: Option<String>,
}

/// Asks for a page of changes.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct PullRequest {
    /// The account.
    pub account: String,
    /// This installation.
    pub device_id: String,
    /// What to pull, the most important first.
    pub cursors: Vec<Cursor>,
    /// At most this many changes.
    pub limit: i64,
}

impl Out<PullRequest> for core::PullRequest {
    fn out(self) -> PullRequest {
        let cursor = |(collection, position)| Cursor { collection, position };
        PullRequest {
            account: self.account,
            device_id: self.device_id,
            cursors: self.cursors.into_iter().map(cursor).collect(),
            limit: self.limit.out(),
        }
    }
}

/// One changed record.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct RemoteChange {
    /// The collection.
    pub collection: String,
    /// The record.
    pub id: String,
    /// The version it has now.
    pub version: RemoteVersion,
}

/// One page of changes.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct PullPage {
    /// In the order in which they were made.
    pub changes: Vec<RemoteChange>,
    /// The cursors after this page.
    pub cursors: Vec<Cursor>,
    /// Whether another page is ready.
    pub has_more: bool,
    /// Collections for which this page, and those after it until there are no more, hold everything there is.
    #[uniffi(default = [])]
    #[cfg_attr(test, serde(default))]
    pub whole: Vec<String>,
    /// The server's clock: UTC milliseconds, where it says.
    #[uniffi(default = None)]
    pub server_time: Option<i64>,
}

impl TryFrom<PullPage> for core::PullPage {
    type Error = core::Fault;

    fn try_from(page: PullPage) -> Result<Self, core::Fault> {
        let change = |change: RemoteChange| -> Result<_, core::Fault> {
            Ok(core::RemoteChange {
                collection: change.collection,
                id: change.id,
                version: change.version.try_into()?,
            })
        };
        let cursor = |cursor: Cursor| Some((cursor.collection, cursor.position?));
        Ok(Self {
            changes: page.changes.into_iter().map(change).collect::<Result<_, _>>()?,
            cursors: page.cursors.into_iter().filter_map(cursor).collect(),
            has_more: page.has_more,
            whole: page.whole,
            server_time: page.server_time,
            ..Self::default()
        })
    }
}

/// Why a whole request has no usable answer. A fault settles no write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, uniffi::Error)]
#[cfg_attr(
    test,
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", rename_all_fields = "camelCase")
)]
pub enum RemoteFault {
    /// No route, DNS, refused, reset, or a captive portal. Costs no attempt.
    #[error("offline")]
    Offline,
    /// No answer within the deadline, or an answer that broke off.
    #[error("timed out")]
    Timeout,
    /// The certificate is not trusted.
    #[error("the server's certificate is not trusted")]
    Untrusted,
    /// The backend says: not so fast.
    #[error("throttled")]
    Throttled {
        /// Wait at least this long, in milliseconds.
        after_ms: Option<i64>,
    },
    /// The backend does not accept the token.
    #[error("the token is not accepted")]
    SignIn,
    /// The batch is larger than the backend takes.
    #[error("the request is too large")]
    TooLarge,
    /// The backend itself failed on this request.
    #[error("the server failed with status {status}")]
    Server {
        /// HTTP status, or 0 where there is none.
        status: i64,
    },
    /// Something answered that is not certainly the backend.
    #[error("unexpected answer with status {status}")]
    Unrecognised {
        /// HTTP status, or 0 where there is none.
        status: i64,
    },
}

impl From<uniffi::UnexpectedUniFFICallbackError> for RemoteFault {
    fn from(_: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Unrecognised { status: 0 }
    }
}

impl From<RemoteFault> for core::Fault {
    fn from(fault: RemoteFault) -> Self {
        let http = |status: i64| u16::try_from(status).unwrap_or(0);
        match fault {
            RemoteFault::Offline => Self::Offline,
            RemoteFault::Timeout => Self::Timeout,
            RemoteFault::Untrusted => Self::Untrusted,
            RemoteFault::Throttled { after_ms } => Self::Throttled {
                after_ms: after_ms.and_then(|ms| u64::try_from(ms).ok()),
            },
            RemoteFault::SignIn => Self::SignIn,
            RemoteFault::TooLarge => Self::TooLarge,
            RemoteFault::Server { status } => Self::Server { status: http(status) },
            RemoteFault::Unrecognised { status } => Self::Unrecognised { status: http(status) },
        }
    }
}

/// The app's own backend. A call that takes longer than a minute is a timeout.
#[uniffi::export(foreign)]
#[async_trait::async_trait]
pub trait Remote: Send + Sync {
    /// Sends a batch. `token` is the account's access token, if the app has one.
    async fn push(&self, token: Option<String>, batch: PushBatch) -> Result<PushAnswer, RemoteFault>;
    /// Fetches one page of changes.
    async fn pull(&self, token: Option<String>, request: PullRequest) -> Result<PullPage, RemoteFault>;
    /// Finds out whether the backend itself answers. Needs no token.
    async fn probe(&self) -> Result<(), RemoteFault>;
}

const PATIENCE: Duration = Duration::from_secs(60);

/// Passes requests to the host of the moment.
pub(crate) struct AppRemote {
    pub(crate) slot: Arc<Slot>,
    pub(crate) capabilities: Capabilities,
}

impl AppRemote {
    async fn ask<T, U, F>(&self, call: impl FnOnce(Arc<dyn Remote>) -> F) -> Result<U, core::Fault>
    where
        F: Future<Output = Result<T, RemoteFault>>,
        U: TryFrom<T>,
        core::Fault: From<U::Error>,
    {
        // Between two hosts nobody is there: as without a network.
        let remote = self.slot.get().remote.ok_or(core::Fault::Offline)?;
        match tokio::time::timeout(PATIENCE, call(remote)).await {
            Ok(answer) => Ok(answer?.try_into()?),
            Err(_) => Err(core::Fault::Timeout),
        }
    }
}

fn secret(token: Option<&core::Token>) -> Option<String> {
    token.map(|token| token.secret().to_owned())
}

impl core::Remote for AppRemote {
    fn capabilities(&self) -> core::Capabilities {
        self.capabilities.clone().into()
    }

    fn push<'a>(
        &'a self,
        token: Option<&'a core::Token>,
        batch: core::PushBatch,
    ) -> core::RemoteFuture<'a, Result<core::PushAnswer, core::Fault>> {
        let token = secret(token);
        Box::pin(self.ask(move |remote| async move { remote.push(token, batch.out()).await }))
    }

    fn pull<'a>(
        &'a self,
        token: Option<&'a core::Token>,
        request: core::PullRequest,
    ) -> core::RemoteFuture<'a, Result<core::PullPage, core::Fault>> {
        let token = secret(token);
        Box::pin(self.ask(move |remote| async move { remote.pull(token, request.out()).await }))
    }

    fn probe<'a>(&'a self) -> core::RemoteFuture<'a, Result<(), core::Fault>> {
        Box::pin(async move {
            let probed: Result<Probed, core::Fault> = self.ask(|remote| async move { remote.probe().await }).await;
            probed.map(|Probed| ())
        })
    }
}

/// It answered.
struct Probed;

impl TryFrom<()> for Probed {
    type Error = core::Fault;

    fn try_from((): ()) -> Result<Self, core::Fault> {
        Ok(Self)
    }
}
