//! Keepsync: an offline-first core for apps.
//!
//! It owns the session in progress, the records, the queue of unsent writes, and the drain that sends
//! them when the network comes back. A write that returned is on the disk; what cannot be sent is kept
//! with its reason; every attempt carries the same operation id; nothing is silently overwritten; the
//! app never waits for the network.
//!
//! Decisions are pure ([`drain::Drain`], [`drain::schedule`], [`conflict::plan`]): time, randomness,
//! network and storage are passed in.

pub mod session;
pub mod record;
pub mod queue;
pub mod change;
pub mod drain;
pub mod remote;
mod pull;
pub mod conflict;
pub mod db;
#[cfg(feature = "runtime")]
pub mod store;

pub mod collection;
mod body;
pub mod kv;
pub mod hlc;
pub mod env;
pub mod settings;
pub mod diagnostics;
mod error;

pub use body::Body;
pub use db::{Db, OpenOptions, Read, Write};
pub use error::{Error, Result, RetryClass};
pub use pull::continue_without_first_sync;
#[cfg(feature = "runtime")]
pub use store::{Backend, Store};
