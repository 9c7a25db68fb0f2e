//! Stops Keepsync at every operation on the disk, and looks at what is left.
//!
//! The loop is SQLite's: k = 1, 2, 3 ... until the fault no longer strikes, for each story ([`scenarios`]) and
//! each kind of fault ([`Mode`]). What runs is the shipped core: the real file, the real steps of the drain, on a
//! disk that fails ([`keepsync_disk`]). What must hold is in [`run`].

mod act;
mod check;
pub mod damage;
mod image;
mod key;
mod layout;
mod phone;
pub mod run;
pub mod scenarios;
pub mod server;
mod state;

pub use act::{Act, Scenario};
pub use run::{Case, Known, MODES, Mistake, Mode, Violation};
