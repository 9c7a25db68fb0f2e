//! A disk for tests: SQLite files that stop, fail, fill up, and lose or tear what was not synced.
//!
//! # How it works
//! 1. [`install`] registers a VFS as SQLite's default, once per process. Whoever opens a database after that
//!    uses it without knowing.
//! 2. Below a folder with a [`Disk`], content stays in real files, so that everybody else meets it; locks and
//!    the index of the write-ahead log are kept in this process's memory; operations are counted, and the
//!    planned fault ([`Plan`]) strikes at its place. Elsewhere SQLite's own VFS does everything.
//! 3. What was written is remembered per file until it is synced, and so are the names of files that were made
//!    and deleted. [`Disk::crash`], after the connections were dropped, takes back what the crash is to take.
//!    Nothing is really synced: the tests' own machine is not switched off.
//!
//! # What it assumes
//! As SQLite's own VFS does on Linux: a write changes no bytes beside it (`POWERSAFE_OVERWRITE`); the first sync
//! of a file that SQLite made puts its name on the disk too; a deletion is on the disk with the next of these.
//! What `std::fs` does in the folder is on the disk at once: renames, removals, and whole new files.
//!
//! # What is the same every time
//! The same operations meet the same fault and leave the same bytes, whatever thread they run on. Only the salt
//! in a log's header depends on what else the process has opened: SQLite has one source of randomness for all.

#![cfg(unix)]

mod disk;
mod fault;
mod lock;
mod node;
mod rng;
mod vfs;

pub use disk::Disk;
pub use fault::{Counted, Counts, Crash, Fault, Op, Plan, Point};
pub use vfs::install;
