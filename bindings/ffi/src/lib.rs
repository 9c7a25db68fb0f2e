//! The core for Kotlin and Swift, and through them for React Native: the only crate that knows UniFFI.
//!
//! It decides nothing. [`Accounts`] and [`Store`] are what an app holds; each call is one call of the core, carried
//! out on a runtime of this library's own, so that a call that is given up on the other side still comes to its end
//! here: a write is done or not, never half. Records and enums are the core's, spelled so that every language has
//! them: whole numbers are 64 bits with a sign, ids are text, bodies are JSON text, times are UTC milliseconds.
//!
//! # What the app's own code cannot break
//! What an app gives ([`Host`], [`Listener`]) is called with no lock held and off the threads that read and write.
//! Code that throws, hangs, calls back or is gone costs at most what it was asked for: a token, a decision, a
//! notification. How long it may take is said with each.
//!
//! # Reloads
//! A JavaScript reload makes new modules in an old process. Accounts of a folder that has open stores, asked for
//! again, are the same accounts with the same stores, and the new host takes the place of the old one.

// First: it makes a macro that the other modules use.
mod mirror;

mod accounts;
mod store;
mod records;
mod sessions;
mod pairs;
mod queue;
mod conflicts;
mod sync;
mod listen;
mod diagnostics;

mod options;
mod rest;
mod host;
mod remote;

mod error;
mod installation;
mod runtime;

pub use accounts::{Accounts, KnownAccount, Losses};
pub use conflicts::{
    Changed, ChildBody, Conflict, ConflictChild, Contested, Difference, Elsewhere, Proposal, Resolution, Twin,
};
pub use diagnostics::{Notice, NoticeKind, SyncEvent, version};
pub use error::{KeepsyncError, RetryClass};
pub use host::{
    ConflictResolver, Connectivity, Host, HostError, KeyProvider, Token, TokenError, TokenProvider, Verdict,
};
pub use listen::{Changes, Listener};
pub use options::{
    AfterLast, Backend, Capabilities, CollectionOptions, Direction, FieldGroup, FirstSync, HttpOptions, OnRejected,
    Options, Order, Parent, Policy, Sending, Settings,
};
pub use queue::{Confirmation, Entry, EntryState, Kind, QueueCounts, Reason, Why, WriteOutcome};
pub use records::{Compare, FieldValue, Filter, Mutation, Page, Query, Record, RecordState, Version, Written};
pub use remote::{
    Outcome, PullPage, PullRequest, PushAnswer, PushBatch, PushItem, PushResult, Remote, RemoteChange, RemoteFault,
    RemoteVersion,
};
pub use rest::{RestApi, RestEndpoints, RestErrors, RestList, RestRecord, RestWay, RestWrite};
pub use sessions::{LoggedSet, Session};
pub use store::{Salvage, Store};
pub use sync::{CollectionProgress, FirstSyncProgress, FirstSyncState, HalfResult, Report, Status};

#[cfg(test)]
mod transcript;

uniffi::setup_scaffolding!();
