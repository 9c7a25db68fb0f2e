//! What goes over the wire between a Keepsync device and a server.
//!
//! The contract is IronFlow's (`SyncRequest`, `SyncItem`, `SyncResponse`, `SyncResult`), and what
//! Keepsync's promises add to it: an operation id on each item and its answer, `after`, `base_op`,
//! hybrid clocks, machine-readable codes, and a pull by cursor.
//!
//! # Push: `POST {base}/v1/sync`
//!
//! 1. The device sends [`SyncRequest`]; items stand in the order in which they must be applied.
//! 2. The server takes the user from the verified token alone. Another `user_id` in the request
//!    applies nothing.
//! 3. A request that counts in another epoch applies nothing: the answer names the epoch and has no
//!    results. The device pulls, and sends again what it still has to send: the same version number
//!    means another version after a restore. A server that was ever restored treats a request that names
//!    no epoch the same: it may have been on its way since before.
//! 4. For each item, in one transaction of its own or of the request:
//!    * an `op_id` that was applied before is answered with its first answer, unless its content
//!      differs ([`code::OP_REUSED`]);
//!    * so is one whose content was applied before under an id in `earlier`;
//!    * an `after` that was not applied answers [`SyncStatus::Error`] with [`code::BLOCKED`];
//!    * the base is `version`, or, with `base_op`, the version that operation produced;
//!    * a base that is not the record's current version answers [`SyncStatus::Conflict`] with the
//!      server's version. So does one of the right number that another operation made than `base_id`
//!      says: after a restore a number can come a second time;
//!    * otherwise the item is applied, the record's version grows by one, and the answer is
//!      remembered under `op_id` in the same transaction.
//! 5. Where every item was refused with [`code::VALIDATION`], the answer's status is 422 and its body
//!    the same [`SyncResponse`]; otherwise it is 200.
//! 6. Results are matched by `op_id`, never by position. An item without a result is unanswered and
//!    comes again under the same id. A definite refusal is not remembered.
//!
//! A device takes answers of some size only (8 MiB by default). Where the versions that conflicts carry
//! would make an answer too large, a server answers further ones with [`code::TRY_LATER`]. A body that
//! arrives too slowly is a 408, after which a device sends less at once; a 503 would have it send the same
//! again. A request that is refused before its end is read all the same: closing in the middle of it can
//! destroy the answer.
//!
//! # Pull: `POST {base}/v1/pull`
//!
//! The device sends one opaque cursor per collection; the server answers changes, new cursors, and
//! whether there is more. A page holds
//!
//! 1. what was committed after the cursors, all collections together, in commit order;
//! 2. if it has room left: older records of collections that are pulled from the start, the *backfill*.
//!    A collection whose cursor is absent begins at the head, whose number the server fixes in the
//!    cursor, and goes down from there: collections of the highest [`Cursor::priority`] first, among
//!    those of one priority the latest change first. The backfill has a position of its own in the
//!    cursor, so changes that are committed meanwhile come between, and a device that stops goes on
//!    where it was. Children may come before their parents.
//!
//! While `has_more` is true a device does not know all that there is of the collections it asked for.
//!
//! A pull from the start contains no tombstones that the device could not know. A device that names an
//! epoch, or that wrote a version of the record, could know: it may be waiting for the answer to a write
//! that the deletion came after.
//!
//! A server forgets a tombstone after a time it states. A cursor older than what was forgotten cannot
//! be continued: the answer starts over from the beginning and names the collection in
//! [`PullResponse::whole`], so that the device removes clean records that do not come again. So it is with
//! a cursor that the server did not give.
//!
//! # Probe: `GET {base}/v1/health`
//!
//! Any answer with the [`PROTOCOL_HEADER`] proves that the backend, and not a captive portal, is
//! there.
//!
//! # Token: `POST {base}/v1/token/refresh`
//!
//! A server that issues its own tokens trades a refresh token for an access token and the next refresh
//! token ([`TokenRequest`], [`TokenResponse`]). The old one is spent by the first *use* of the new one,
//! not by the answer, because an answer can be lost: until then it may be traded again.
//!
//! Every answer that is the backend's carries [`PROTOCOL_HEADER`] and the media type [`MEDIA_TYPE`].

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

/// Header on every request and every answer that is the backend's; its value is
/// [`PROTOCOL_VERSION`].
pub const PROTOCOL_HEADER: &str = "keepsync-protocol";
/// The version of the contract in this crate.
pub const PROTOCOL_VERSION: &str = "1";
/// Media type of every body, in both directions.
pub const MEDIA_TYPE: &str = "application/json";
/// Path of the push, below the base address.
pub const SYNC_PATH: &str = "v1/sync";
/// Path of the pull, below the base address.
pub const PULL_PATH: &str = "v1/pull";
/// Path of the probe, below the base address.
pub const HEALTH_PATH: &str = "v1/health";
/// Path of the trade of refresh tokens, below the base address.
pub const TOKEN_PATH: &str = "v1/token/refresh";

/// Machine-readable codes in [`SyncResult::code`] and [`ErrorBody::code`].
pub mod code {
    /// The base is not the record's current version.
    pub const VERSION_MISMATCH: &str = "version_mismatch";
    /// An operation named in `after` or `base_op` was not applied.
    pub const BLOCKED: &str = "blocked";
    /// The same operation id came with another content; it was not applied.
    pub const OP_REUSED: &str = "op_reused";
    /// The body breaks the collection's schema.
    pub const VALIDATION: &str = "validation";
    /// The server does not know this collection.
    pub const UNKNOWN_COLLECTION: &str = "unknown_collection";
    /// The user may not do this to this record; signing in again does not help.
    pub const FORBIDDEN: &str = "forbidden";
    /// The token is missing, expired, or not valid.
    pub const TOKEN_INVALID: &str = "token_invalid";
    /// The item, or the request, is larger than the server takes.
    pub const TOO_LARGE: &str = "too_large";
    /// The server could not apply the operation now; it may later.
    pub const TRY_LATER: &str = "try_later";
    /// Too many requests; `Retry-After` says how long to wait.
    pub const THROTTLED: &str = "throttled";
    /// The server failed.
    pub const INTERNAL: &str = "internal";
}

/// A batch of unsent writes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SyncRequest {
    /// The account; the server trusts the token and refuses a request that names another user.
    pub user_id: String,
    /// The installation that sends.
    pub device_id: String,
    /// What a person calls this device, for conflict screens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_label: Option<String>,
    /// The epoch the versions of the items count in; absent before the first answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<String>,
    /// The writes, in the order in which they must be applied.
    pub items: Vec<SyncItem>,
}

/// What an item does to its record. `complete` and `skip` are updates that change the state of a
/// session; backends with an endpoint for each can tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// The device made this record.
    Create,
    /// A new body for a record.
    Update,
    /// The record goes away.
    Delete,
    /// A session was completed.
    Complete,
    /// A session was skipped.
    Skip,
}

/// One unsent write.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SyncItem {
    /// The same on every attempt of this write.
    pub op_id: Uuid,
    /// The collection.
    pub entity_type: String,
    /// The record.
    pub entity_id: String,
    /// What to do.
    pub operation: Operation,
    /// The whole body; absent for a delete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
    /// The server version this write was made on; 0 for a record the server has never confirmed.
    pub version: i64,
    /// Where set, the base is the version this operation produced, and `version` is not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_op: Option<Uuid>,
    /// The operation that made `version`, where the device knows it. It says which version of that number
    /// is meant, and is no part of the item's content: a repeat may come with it or without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_id: Option<Uuid>,
    /// Operations that must have been applied before this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<Uuid>,
    /// The operation id this one takes the place of, if its content was changed after a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Uuid>,
    /// Ids under which the same content may have been applied in an earlier epoch. A server that was restored
    /// to a state in which one of them was applied to this record answers what it answered then, and applies
    /// nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Uuid>,
    /// When the user wrote it, by the device's clock: UTC milliseconds. Never used for order.
    pub timestamp: i64,
    /// Hybrid logical clock of the write, see [`Hlc`].
    pub hlc: Hlc,
    /// The clocks of the parts of the body that this write does not change: see [`Version::clocks`].
    /// A device that builds its request anew may word them otherwise, so they are no part of what must
    /// be the same when an operation id comes again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clocks: Option<Box<RawValue>>,
}

/// The answers to a [`SyncRequest`], in any order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SyncResponse {
    /// At most one per item, matched by `op_id`.
    pub results: Vec<SyncResult>,
    /// The server's clock: UTC milliseconds.
    pub server_time: i64,
    /// Which life of the server's data the versions count in.
    pub epoch: String,
}

/// How an item ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncStatus {
    /// Applied now, or applied before under the same operation id.
    Success,
    /// Not applied: the server has another version.
    Conflict,
    /// Not applied: see `code`.
    Error,
}

/// The answer to one item.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SyncResult {
    /// The item's operation id.
    pub op_id: Uuid,
    /// The item's record.
    pub entity_id: String,
    /// How it ended.
    pub status: SyncStatus,
    /// For an error: one of [`code`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// For a conflict: the server's version. For success: only where the server changed the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Version>,
    /// For success: the version this operation produced.
    #[serde(default)]
    pub server_version: i64,
    /// For success: the change number this operation was committed under.
    #[serde(default)]
    pub change: i64,
    /// For success: when it was first applied, UTC milliseconds by the server's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<i64>,
    /// For success: the id the backend gave the record, if it has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_id: Option<String>,
    /// For an error: text for a person; never used to decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// For an error that may go away: how long to wait at least, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// One version of a record as the server holds it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Version {
    /// The body; absent when this version is a deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
    /// Grows by one with every change of the record.
    pub version: i64,
    /// The writer's hybrid clock.
    pub hlc: Hlc,
    /// [`SyncItem::clocks`] of that write: an object from unit to hybrid clock and device id, only where
    /// they differ from this version's own. Opaque to the server, which keeps it with the version and
    /// gives it back as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clocks: Option<Box<RawValue>>,
    /// The operation that made this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op_id: Option<Uuid>,
    /// The device that made this version.
    #[serde(default)]
    pub device_id: String,
    /// What a person calls that device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_label: Option<String>,
    /// The id the backend gave the record, if it has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_id: Option<String>,
    /// When the record was first applied: UTC milliseconds by the server's clock.
    #[serde(default)]
    pub created_at: i64,
    /// When this version was applied: UTC milliseconds by the server's clock.
    #[serde(default)]
    pub updated_at: i64,
}

/// Asks for what changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PullRequest {
    /// The account, as in [`SyncRequest::user_id`].
    pub user_id: String,
    /// The installation that asks.
    pub device_id: String,
    /// The epoch the cursors count in; absent before the first pull.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<String>,
    /// One for each collection.
    pub collections: Vec<Cursor>,
    /// At most this many changes.
    pub limit: u32,
}

/// How far one collection has been pulled.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The collection.
    pub collection: String,
    /// Opaque to the device; absent means from the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// In a request: of two collections that are pulled from the start, the higher one comes first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: i32,
    /// In an answer: how many changes of this collection are left after the page, where the server
    /// knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<u64>,
}

fn is_zero(priority: &i32) -> bool {
    *priority == 0
}

/// One page of changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PullResponse {
    /// Which life of the server's data this page comes from.
    pub epoch: String,
    /// The epoch this one was restored from, and the last change number the two have in common.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<Branch>,
    /// In commit order; older records of a pull from the start after them, the latest first.
    pub changes: Vec<Change>,
    /// The cursors after this page, for the collections that moved.
    pub cursors: Vec<Cursor>,
    /// Whether another page is ready.
    pub has_more: bool,
    /// Collections that start over from the beginning, although a cursor was given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub whole: Vec<String>,
    /// How many changes are left after this page, where the server knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<u64>,
    /// The server's clock: UTC milliseconds.
    pub server_time: i64,
}

/// Where an epoch branched off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Branch {
    /// The epoch before.
    pub parent: String,
    /// Changes up to and including this number are in both.
    pub change: i64,
}

/// One changed record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Change {
    /// The collection.
    pub collection: String,
    /// The record.
    pub id: String,
    /// The version it has now.
    pub current: Version,
}

/// Asks for another access token.
#[derive(Clone, Serialize, Deserialize)]
pub struct TokenRequest {
    /// The refresh token.
    pub refresh_token: String,
}

/// The next tokens of a user. Neither is ever logged.
#[derive(Clone, Serialize, Deserialize)]
pub struct TokenResponse {
    /// For the `Authorization` header, as `Bearer`.
    pub access_token: String,
    /// The next refresh token.
    pub refresh_token: String,
    /// Seconds until the access token expires.
    pub expires_in: u64,
    /// Whose tokens these are.
    pub user_id: String,
}

/// The body of an answer for a whole request that went wrong.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ErrorBody {
    /// One of [`code`].
    pub code: String,
    /// Text for a person; never used to decide.
    #[serde(default)]
    pub message: String,
}

mod hlc;
pub use hlc::{Hlc, ParseHlcError};
