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
//! [`oracle`] keeps its own notes of what the app was told. At the end `keepsync-oracle`, which shares no code with it
//! or with the core, judges the same story (`witness`). [`bug`] plants bugs, each of which must be caught.

mod app;
pub mod backend;
pub mod bug;
pub mod chance;
pub mod checks;
pub mod clock;
mod copies;
mod deeds;
pub mod device;
pub mod faults;
mod finish;
mod happen;
pub mod inspect;
mod keychain;
pub mod many;
mod merges;
mod net;
pub mod oracle;
pub mod partition;
pub mod plot;
mod runner;
pub mod server;
pub mod shrink;
mod sleep;
pub mod story;
pub mod trace;
mod user;
mod witness;
mod world;

pub use bug::Bug;
pub use oracle::Violation;
pub use plot::Plot;
pub use story::{Outcome, run};
pub use world::{Stats, World};
