//! The locks at which threads meet: std's. The tests of their interleavings (`keepsync-shuttle`) compile the
//! files that use them against shuttle's instead, so that nothing of it is in the core.

pub(crate) use std::sync::{Mutex, MutexGuard, PoisonError};

#[cfg(feature = "runtime")]
pub(crate) use std::sync::Condvar;
