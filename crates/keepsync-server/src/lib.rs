//! The reference server.
//!
//! It keeps what devices send in one folder, and answers them by the contract of `keepsync-wire`, in
//! JSON over HTTP. Encryption is the business of a proxy before it.
//!
//! # A request, and where each step lives
//!
//! ```text
//! connection -> head, time, size -> who asks -> how often -> shape, schema -> decide -> commit -> answer
//! server        http              token       http/throttle  check, schema    decide    storage   http
//! ```
//!
//! ```
//! use keepsync_server::{Config, Server, access_token};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let server = Server::bind(Config::new(folder.path())).await?;
//! let address = server.local_addr();
//! let token = access_token(folder.path(), "lifter@example.org", 900, 1_800_000_000_000)?;
//! # let stop = async {};
//! server.run(stop).await?; // until it resolves
//! # let _ = (address, token);
//! # Ok(())
//! # }
//! ```
//!
//! Decisions are pure ([`decide`], [`token::rotate`]); storage is a port ([`storage::Storage`]). Without the
//! feature `http` there are no sockets, no threads and no runtime: what a request must look like
//! ([`check::Checks`]), and the tables ([`storage::sqlite::Ledger`]), for whoever brings a clock and a network
//! of their own.

#![cfg_attr(not(feature = "http"), allow(dead_code, reason = "what only the server itself uses"))]

#[cfg(feature = "http")]
mod server;
#[cfg(feature = "http")]
mod http;
pub mod token;
pub mod check;
mod schema;
pub mod decide;
pub mod storage;

mod backup;
mod config;
mod folder;
mod clock;
#[cfg(feature = "http")]
mod logs;
#[doc(hidden)]
pub mod planted;
mod error;

pub use backup::{BackupReport, RestoreReport, backup, restore};
pub use config::{Config, Limits, Rate, Retention};
pub use error::ServerError;
#[cfg(feature = "http")]
pub use logs::init_logs;
#[doc(hidden)]
pub use planted::PLANTED;
#[cfg(feature = "http")]
pub use server::Server;
pub use token::{access_token, refresh_token};
