//! The independent oracle: says whether the promises of Keepsync's design were kept, from what happened
//! outside of it.
//!
//! It is written from the promises and from the server's contract, shares no code with the core, the wire or
//! the simulator, and knows nothing of how they work: no queue, no base, no drain. It reads a [`History`]: what
//! the app was told while it ran, what each device shows in the end through public reads, and what the server
//! holds. Each write has a name of its own, which its body carries, so that it can be met again.
//!
//! ```text
//! facts, one JSON object a line -> History -> check -> violations, each naming a promise
//! history                          history    promises
//! ```
//!
//! What it does not know, it does not guess: a write of which nobody was told whether it returned may be
//! there or not; after a server was restored, what the server lost is not the devices' fault.

mod history;
mod promises;
#[cfg(feature = "dump")]
mod dump;

#[cfg(feature = "dump")]
pub use dump::{DumpError, dump, dump_named};
pub use history::{Applied, Fact, History, Key, Outcome, ReadError, Told, Written};
pub use promises::{Promise, Violation, check};
