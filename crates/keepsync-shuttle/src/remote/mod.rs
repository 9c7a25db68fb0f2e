//! The core's `remote`, as far as it is under test.

pub(crate) use keepsync::remote::{RemoteFuture, Token, TokenFault, TokenProvider};

#[path = "../../../keepsync/src/remote/token.rs"]
mod token;

pub(crate) mod single_flight;
