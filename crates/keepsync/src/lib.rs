//! Keepsync: an offline-first core for apps.
//!
//! It owns the session in progress, the records, the queue of unsent writes, and the drain that sends
//! them when the network comes back. A write that returned is on the disk; what cannot be sent is kept
//! with its reason; every attempt carries the same operation id; nothing is silently overwritten; the
//! app never waits for the network.
//!
//! # From `open` to a synced record
//!
//! **1. Register collections.** A collection says how conflicts are settled, which way its records
//! travel, what is indexed, and whose child it is. That is all the code a collection needs.
//!
//! ```
//! use keepsync::{collection::{Collection, Collections}, conflict::Policy};
//!
//! let collections = Collections::new([
//!     Collection::new("workout", Policy::Ask).priority(10).index("date"),
//!     Collection::new("set_log", Policy::ClientWins).child_of("workout", "workout_id").priority(10),
//!     Collection::new("user_profile", Policy::LastWriteWins),
//! ])?;
//! # Ok::<(), keepsync::Error>(())
//! ```
//!
//! **2. Open the account's store**, on a tokio runtime. Without a backend everything local works. A
//! backend is a [`Remote`](remote::Remote): Keepsync's own wire over HTTP is
//! [`HttpRemote`](remote::http::HttpRemote), plain endpoints are a
//! [`RestRemote`](remote::rest::RestRemote), and the app's sign-in is a
//! [`TokenProvider`](remote::TokenProvider).
//!
//! **3. Write.** Each call is one transaction: the record and its queue entry, or neither.
//!
//! **4. Read**, from the local file, always.
//!
//! **5. Sync** happens by itself: after a write, on the app's hints ([`Store::network`],
//! [`Store::foreground`]), on a timer while the app is active. [`Store::sync`] does it now and says
//! what came of it.
//!
//! ```
//! use keepsync::{
//!     Backend, OpenOptions, Store,
//!     collection::{Collection, Collections},
//!     conflict::Policy,
//!     drain::Status,
//!     record::{Query, RecordState},
//!     remote::http::{HttpOptions, HttpRemote},
//! };
//! use std::sync::Arc;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let collections = Collections::new([
//!     Collection::new("workout", Policy::Ask).index("date"),
//!     Collection::new("set_log", Policy::ClientWins).child_of("workout", "workout_id"),
//! ])?;
//! let remote = HttpRemote::new(HttpOptions::new("https://example.invalid/api"))?;
//! let backend = Backend { remote: Arc::new(remote), tokens: None };
//! let store = Store::open(OpenOptions::new(folder.path(), "lifter@example.org", collections), Some(backend)).await?;
//!
//! // A session: started, logged into, completed. In a basement without signal.
//! let workout = store.start_session("workout", "set_log", "", r#"{"date":"2026-11-20","name":"Legs"}"#).await?.id;
//! store.log_set("workout", &workout, "squat/1", r#"{"weight":100,"reps":5}"#).await?;
//! store.log_set("workout", &workout, "squat/2", r#"{"weight":100,"reps":4}"#).await?;
//! store.complete_session("workout", &workout, "{}").await?;
//!
//! // It is there, and says where it stands.
//! let page = store.query(Query::new("workout").order_by("date").descending().limit(20)).await?;
//! assert_eq!(page.records[0].state, RecordState::Pending);
//! for entry in store.entries(i64::MIN, 100).await? {
//!     println!("{} {}: {} {:?}", entry.kind.as_str(), entry.id, entry.state.as_str(), entry.reason);
//! }
//!
//! // The network is back (it is not: example.invalid does not exist).
//! store.network(true);
//! let report = store.sync().await?;
//! assert!(report.push.failed());
//! assert_eq!(store.status().await?, Status::Offline);
//! assert_eq!(store.queue_counts().await?.total(), 4, "nothing is lost, no attempt is used up");
//! store.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! With a server that answers, the same `sync` reports four accepted entries, the records are
//! [`Synced`](record::RecordState::Synced), and the status is [`Idle`](drain::Status::Idle). What a
//! server has to do is in the `keepsync-wire` crate.
//!
//! **6. The first sync** of a collection brings its newest records first. Where the app cannot do without
//! one, [`FirstSync::Required`](collection::FirstSync::Required) says so, the status asks for it, and
//! [`first_sync`] tells how far it is, whether it stalled, and how to retry or go on without.
//!
//! **7. When something is wrong**, the status says what ([`drain::Status`]), every unsent write says
//! why it is where it is ([`queue::Why`]), conflicts wait with both versions, what differs and a proposed
//! merge ([`conflict::Conflict`]), records that were made twice can be made one ([`record::merge_into`]),
//! and [`Store::bundle`] is what to attach to a bug report.
//!
//! **8. What became of a write** is told by its operation id ([`record::Written::op`]): [`Store::outcome`]
//! waits for it, also in the next life of the process, and [`Store::rollback`] takes an unsent write back.
//!
//! **9. Several accounts** on one device are kept apart by [`accounts::Accounts`]; [`carry`] takes a
//! device's records out, and in on another.
//!
//! # The flow, and where each step lives
//!
//! ```text
//! UI call -> one transaction (record + entry) -> change published -> UI
//!                                |
//! wake-up (network back, foreground, write, timer, user) -> drain -> remote -> outcome
//!                                                            |
//!           change published <- one transaction (settle + base + visible body)
//! ```
//!
//! Decisions are pure ([`drain::Drain`], [`drain::schedule`], [`conflict::plan`]): time, randomness,
//! network and storage are passed in. [`Store`] is one runner, on tokio; the simulator is another.

pub mod session;
pub mod record;
pub mod queue;
pub mod change;
pub mod notice;
pub mod drain;
pub mod remote;
mod pull;
mod journal;
pub mod first_sync;
pub mod conflict;
pub mod db;
#[cfg(feature = "runtime")]
pub mod store;
#[cfg(feature = "runtime")]
pub mod accounts;
pub mod carry;

pub mod collection;
mod body;
pub mod kv;
pub mod hlc;
pub mod env;
pub mod settings;
pub mod diagnostics;
#[cfg(any(feature = "http", feature = "runtime"))]
mod sync;
mod error;
#[doc(hidden)]
pub mod planted;

pub use body::Body;
pub use db::{Db, Key, OpenOptions, Place, Read, Write};
pub use error::{Error, Result, RetryClass};
pub use first_sync::continue_without_first_sync;
#[doc(hidden)]
pub use planted::PLANTED;
#[cfg(feature = "runtime")]
pub use store::{Backend, Store};
