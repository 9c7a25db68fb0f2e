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
//! steps on real SQLite files. What is simulated is the runner around them (clock, disk, network,
//! process), the people, and the server, which is the wire's contract in memory ([`server`]).
//!
//! With the feature `proxy` there is also a proxy that breaks connections between real processes
//! (`proxy`), for demonstrations and for tests that kill.
//!
//! [`oracle`] keeps its own notes of what the app was told. [`bug`] plants bugs, each of which must
//! be caught.

mod app;
pub mod bug;
pub mod chance;
pub mod clock;
pub mod device;
pub mod faults;
mod finish;
mod happen;
pub mod inspect;
pub mod many;
mod net;
pub mod oracle;
pub mod partition;
pub mod plot;
#[cfg(feature = "proxy")]
pub mod proxy;
pub mod rng;
mod runner;
pub mod server;
pub mod shrink;
pub mod story;
pub mod trace;
mod user;
mod world;

pub use bug::Bug;
pub use oracle::Violation;
pub use plot::Plot;
pub use story::{Outcome, run};
pub use world::{Stats, World};
