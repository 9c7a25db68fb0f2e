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
//! Decisions are pure ([`decide`], [`token::rotate`]); storage is a port ([`storage::Storage`]).

mod server;
mod http;
pub mod token;
mod check;
mod schema;
pub mod decide;
pub mod storage;

mod backup;
mod config;
mod folder;
mod clock;
mod logs;
mod error;

pub use backup::{BackupReport, RestoreReport, backup, restore};
pub use config::{Config, Limits, Rate, Retention};
pub use error::ServerError;
pub use logs::init_logs;
pub use server::Server;
pub use token::{access_token, refresh_token};
