//! The simulator: several devices and one server in one thread, on a virtual clock, with seeded
//! faults; and the design's promises, checked while the story runs and after its faults have stopped.
//!
//! A story is a number. The same number gives the same story, down to the hash of its trace, so that
//! whatever a run finds can be run again, line by line:
//!
//! ```text
//! cargo run --release -p keepsync-sim -- --seed 17 --trace
//! ```
//!
//! Nothing of the core is done again here: the devices run the core's own drain and its own storage
//! steps on real SQLite files, and the server is the code that ships on tables in memory ([`backend`]). What is
//! simulated is the runner around them (clock, disk, network, process) and the people. [`server`] is the wire's
//! contract in the fewest words, which the server's every answer is compared with.
//!
//! With the feature `proxy` there is also a proxy that breaks connections between real processes
//! (`proxy`), for demonstrations and for tests that kill.
//!
//! [`oracle`] keeps its own notes of what the app was told. [`bug`] plants bugs, each of which must
//! be caught.

#[cfg(feature = "world")]
mod app;
#[cfg(feature = "world")]
pub mod backend;
#[cfg(feature = "world")]
pub mod bug;
#[cfg(feature = "world")]
pub mod chance;
#[cfg(feature = "world")]
pub mod checks;
#[cfg(feature = "world")]
pub mod clock;
#[cfg(feature = "world")]
mod deeds;
#[cfg(feature = "world")]
pub mod device;
#[cfg(feature = "world")]
pub mod faults;
#[cfg(feature = "world")]
mod finish;
#[cfg(feature = "world")]
mod happen;
#[cfg(feature = "world")]
pub mod inspect;
#[cfg(feature = "world")]
mod keychain;
#[cfg(feature = "world")]
pub mod many;
#[cfg(feature = "world")]
mod merges;
#[cfg(feature = "world")]
mod net;
#[cfg(feature = "world")]
pub mod oracle;
#[cfg(feature = "world")]
pub mod partition;
#[cfg(feature = "world")]
pub mod plot;
#[cfg(feature = "proxy")]
pub mod proxy;
pub mod rng;
#[cfg(feature = "world")]
mod runner;
pub mod server;
#[cfg(feature = "world")]
pub mod shrink;
#[cfg(feature = "world")]
pub mod story;
#[cfg(feature = "world")]
pub mod trace;
#[cfg(feature = "world")]
mod user;
#[cfg(feature = "world")]
mod world;

#[cfg(feature = "world")]
pub use bug::Bug;
#[cfg(feature = "world")]
pub use oracle::Violation;
#[cfg(feature = "world")]
pub use plot::Plot;
#[cfg(feature = "world")]
pub use story::{Outcome, run};
#[cfg(feature = "world")]
pub use world::{Stats, World};
