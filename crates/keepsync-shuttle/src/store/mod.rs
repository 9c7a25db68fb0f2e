//! The core's `store`, as far as it is under test.

#[path = "../../../keepsync/src/store/hub.rs"]
mod hub;
#[path = "../../../keepsync/src/store/inbox.rs"]
mod inbox;

pub(crate) mod hub_scenes;
pub(crate) mod inbox_scenes;
