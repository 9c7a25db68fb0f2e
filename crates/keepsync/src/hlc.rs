//! Hybrid logical clocks, as they go over the wire.

pub use keepsync_wire::Hlc;
