//! What a parent gives its children on the way: the id the backend knows it by.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests are tests too")]

#[path = "support/device.rs"]
mod device;

use device::{Device, rejected};
use keepsync::{
    queue,
    remote::{Accepted, Outcome, PushItem},
    settings::Settings,
};

fn on_disk() -> (tempfile::TempDir, Device) {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::named(1, Some(folder.path().to_owned()), Settings::default());
    (folder, device)
}

/// Takes it, and knows it as `901` from then on.
fn named(_: &PushItem) -> Option<Outcome> {
    Some(Outcome::Accepted(Accepted {
        version: 1,
        change: 1,
        server_id: Some("901".to_owned()),
        ..Accepted::default()
    }))
}

fn parent_server_ids(device: &mut Device) -> Vec<(String, Option<String>)> {
    let mut seen = Vec::new();
    device.push(|item| {
        seen.push((item.id.clone(), item.parent_server_id.clone()));
        named(item)
    });
    seen
}

fn told(id: &str) -> (String, Option<String>) {
    (id.to_owned(), Some("901".to_owned()))
}

#[test]
fn children_carry_the_server_id_of_a_parent_that_was_accepted_in_an_earlier_process() {
    let (_folder, mut device) = on_disk();
    device.put("workout", "w", "{}");
    device.push(named);
    // One was written before the restart, one after it.
    device.put("set_log", "before", r#"{"workout_id":"w"}"#);
    let mut device = device.restart();
    device.put("set_log", "after", r#"{"workout_id":"w"}"#);
    assert_eq!(parent_server_ids(&mut device), [told("before"), told("after")]);
}

#[test]
fn children_that_waited_behind_a_refused_parent_carry_the_id_it_gets_once_it_is_fixed() {
    let (_folder, mut device) = on_disk();
    // Without `after` children go when their parent is answered, and can name it.
    device.capabilities.after = false;
    device.drain = device.fresh_drain();
    let parent = device.put("workout", "w", "{}").unwrap();
    device.put("set_log", "s", r#"{"workout_id":"w"}"#);
    device.push(|item| {
        assert_eq!(item.id, "w", "the child stays");
        Some(rejected("validation"))
    });
    let mut device = device.restart();
    device
        .db
        .write(|write| queue::edit(write, parent, r#"{"a":1}"#))
        .unwrap();
    assert_eq!(parent_server_ids(&mut device), [("w".to_owned(), None), told("s")]);
}
