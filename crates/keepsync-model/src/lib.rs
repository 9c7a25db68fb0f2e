//! A model of Keepsync's protocol.
pub mod rules;
pub mod state;
mod server;
mod device;
mod conflict;
mod pull;
mod tidy;
mod rest;
mod holds;
pub mod world;

pub use rules::{Flaw, Policy, Rules};
pub use world::{Action, World};
